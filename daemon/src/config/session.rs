//! Where a daemon on a session bus keeps what it has, unless it is told: with its user, whom the places of the service are closed to.
//! They are those of the XDG base directories (specifications.freedesktop.org/basedir-spec).

use std::path::{Path, PathBuf};

use toml::Value;

use super::Config;

/// Keys and their places by the environment of this process; nothing where it does not even name a home.
fn places() -> Option<[(&'static str, PathBuf); 3]> {
    by(|name| std::env::var(name).ok())
}

/// What is taken for keys that nobody set: these places, and below the first what is installed there.
pub fn values() -> Vec<(&'static str, Value)> {
    let Some(places) = places() else { return Vec::new() };
    let text = |path: &Path| path.display().to_string();
    let [(_, state), ..] = &places;
    let dirs = vec![text(&state.join("bundles")).into(), "/usr/share/edged/bundles".into()];
    let below = [("models.dirs", Value::Array(dirs)), ("models.inbox", text(&state.join("inbox")).into())];
    places.iter().map(|(key, place)| (*key, Value::from(text(place)))).chain(below).collect()
}

fn by(variable: impl Fn(&str) -> Option<String>) -> Option<[(&'static str, PathBuf); 3]> {
    // Relative ones are to be ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME")?;
    let place = |name: &str, below: &str| absolute(name).unwrap_or_else(|| home.join(below)).join("edged");
    let state = place("XDG_STATE_HOME", ".local/state");
    let runtime = absolute("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |dir| dir.join("edged"));
    Some([("paths.state_dir", state), ("paths.runtime_dir", runtime), ("cache.dir", place("XDG_CACHE_HOME", ".cache"))])
}

/// Makes those of them that are used and are not there, for their user alone. What the configuration names is its own affair.
///
/// # Errors
/// Which one cannot be made, and why.
pub fn make(config: &Config) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let used = [&config.state_dir, &config.runtime_dir, &config.cache.dir];
    for (_, place) in places().into_iter().flatten().filter(|(_, place)| used.contains(&place)) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place);
        made.map_err(|error| format!("make {}: {error}", place.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_users_own() {
        type Set = &'static [(&'static str, &'static str)];
        let found = |set: Set| {
            let value = |name: &str| set.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
            by(value).map(|places| places.map(|(_, place)| place.display().to_string()))
        };
        let cases: [(Set, Option<[&str; 3]>); 4] = [
            (&[], None),
            (&[("HOME", "here")], None),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "relative")],
                Some(["/h/.local/state/edged", "/h/.local/state/edged/run", "/h/.cache/edged"]),
            ),
            (
                &[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CACHE_HOME", "/c")],
                Some(["/s/edged", "/r/edged", "/c/edged"]),
            ),
        ];
        for (set, expected) in cases {
            assert_eq!(found(set), expected.map(|places| places.map(str::to_owned)), "{set:?}");
        }
    }
}
