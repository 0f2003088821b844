//! Finds the ONNX Runtime library by looking at files; loads nothing and runs nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where `edgectl runtime install` puts runtimes, unless the configuration names another directory.
pub const INSTALLED: &str = "/usr/local/lib/edged/onnxruntime";
/// The link there to the one that is used.
pub const CURRENT: &str = "current";
/// Where the package of the product puts it.
pub const PACKAGED: &str = "/usr/lib/edged/onnxruntime";
/// The variable that names it.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// A library that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// `config`, `ORT_DYLIB_PATH`, `installed`, `/usr/lib/edged/onnxruntime` or `python`.
    pub found_by: &'static str,
}

/// No library; each place that was looked at, with what was wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ONNX Runtime library found; tried {}", .tried.join(", "))]
pub struct LibraryError {
    pub tried: Vec<String>,
}

/// The oldest version that the binding can talk to; all later ones keep to what it calls.
pub const OLDEST: (u32, u32) = (1, ort::MINOR_VERSION);

/// How the library that was installed is found, in [`Found::found_by`].
pub const FOUND_INSTALLED: &str = "installed";

/// Where is looked besides the places that every machine has.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// What the operator named.
    pub config: Option<&'a Path>,
    /// The directory of installed runtimes.
    pub installed: &'a Path,
}

/// Looks in the configured place, in `ORT_DYLIB_PATH`, for the installed runtime that is current, in the package's directory
/// and in installed Python wheels, in this order. A place that was named by the operator, or made the current one, and has no
/// library is an error, never skipped.
pub fn find(places: Places<'_>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Found, LibraryError> {
    search(places, env, Path::new("/"))
}

/// The one that serves where none is installed and none was named.
pub fn find_without_installed() -> Option<Found> {
    let nowhere = Places { config: None, installed: Path::new("/nonexistent") };
    search(nowhere, &|_| None, Path::new("/")).ok()
}

/// The same below another root directory.
fn search(places: Places<'_>, env: &dyn Fn(&str) -> Option<OsString>, root: &Path) -> Result<Found, LibraryError> {
    let Places { config, installed } = places;
    let variable = env(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    for (named, found_by) in [(config.map(Path::to_owned), "config"), (variable, VARIABLE)] {
        let Some(path) = named else { continue };
        return match inside(&path) {
            Some(path) => Ok(Found { path, found_by }),
            None => Err(LibraryError { tried: vec![format!("{found_by} {} (no library there)", path.display())] }),
        };
    }
    let current = installed.join(CURRENT);
    if current.symlink_metadata().is_ok() {
        // The directory itself and not the link, so that a host that is started later gets the same one until the link is
        // looked at again.
        let found = current.canonicalize().ok().and_then(|dir| inside(&dir));
        return found.map(|path| Found { path, found_by: FOUND_INSTALLED }).ok_or_else(|| LibraryError {
            tried: vec![format!("{} (no library there: `edgectl runtime rollback`)", current.display())],
        });
    }
    let packaged = root.join(PACKAGED.trim_start_matches('/'));
    if let Some(path) = inside(&packaged) {
        return Ok(Found { path, found_by: PACKAGED });
    }
    let packages = python_places(env, root);
    let found = packages.iter().find_map(|place| inside(&place.join("onnxruntime/capi")));
    found.map(|path| Found { path, found_by: "python" }).ok_or_else(|| {
        let mut tried = vec!["config (not set)".into(), format!("{VARIABLE} (not set)")];
        tried.push(format!("{} (none is installed)", current.display()));
        tried.push(format!("{PACKAGED} (no library there)"));
        tried.push(format!("onnxruntime in {} Python package directories", packages.len()));
        LibraryError { tried }
    })
}

/// The library at `path`: the file itself, or the newest `libonnxruntime.so*` in the directory.
fn inside(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let named = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some_and(is_library);
    let entries = std::fs::read_dir(path).ok()?.filter_map(Result::ok).filter(named).map(|entry| entry.path());
    entries.filter(|path| path.is_file()).max_by_key(|path| version(path))
}

/// A provider's own library that is not there.
#[derive(Debug, thiserror::Error)]
#[error("no library of the execution provider {provider} in {} (a file {PLUGIN}*.so)", dir.display())]
pub struct PluginError {
    pub provider: String,
    pub dir: PathBuf,
}

/// How the libraries of execution providers are called.
const PLUGIN: &str = "libonnxruntime_providers_";

/// The library of an execution provider that comes as one of its own: in a directory of the provider's name in `dir`.
pub fn find_plugin(dir: &Path, provider: &str) -> Result<PathBuf, PluginError> {
    let dir = dir.join(provider);
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().ok();
    let is_plugin = |name: &String| name.starts_with(PLUGIN) && name.contains(".so");
    let entries = std::fs::read_dir(&dir).into_iter().flatten().filter_map(|entry| name(&entry.ok()?));
    // Of a library and its links of longer names, the shortest.
    let found = entries.filter(is_plugin).min_by_key(|name| (name.len(), name.clone()));
    found.map(|name| dir.join(name)).ok_or_else(|| PluginError { provider: provider.into(), dir })
}

fn is_library(name: &str) -> bool {
    let rest = name.strip_prefix("libonnxruntime.so");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn version(path: &Path) -> Vec<u32> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches("libonnxruntime.so").split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Directories in which Python looks for packages, the most particular first.
fn python_places(env: &dyn Fn(&str) -> Option<OsString>, root: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(venv) = env("VIRTUAL_ENV") {
        places.extend(versions(&PathBuf::from(venv).join("lib"), "site-packages"));
    }
    if let Some(home) = env("HOME") {
        places.extend(versions(&PathBuf::from(home).join(".local/lib"), "site-packages"));
    }
    for (lib, packages) in
        [("usr/local/lib", "site-packages"), ("usr/local/lib", "dist-packages"), ("usr/lib", "site-packages")]
    {
        places.extend(versions(&root.join(lib), packages));
    }
    places.push(root.join("usr/lib/python3/dist-packages"));
    places.retain(|place| place.is_dir());
    places
}

/// `lib/python3.N/packages` for every N, the newest first.
fn versions(lib: &Path, packages: &str) -> Vec<PathBuf> {
    let minor = |entry: &std::fs::DirEntry| -> Option<u32> {
        entry.file_name().to_str()?.strip_prefix("python3.")?.parse().ok()
    };
    let entries = std::fs::read_dir(lib).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries.filter_map(|entry| Some((minor(&entry)?, entry.path().join(packages)))).collect();
    found.sort_by_key(|row| std::cmp::Reverse(row.0));
    found.into_iter().map(|row| row.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path) -> PathBuf {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
        path.to_owned()
    }

    #[test]
    fn the_first_place_that_has_a_library_wins() {
        let root = tempfile::tempdir().unwrap();
        let lib = |name: &str| put(&root.path().join(name));
        let none = |_: &str| None;
        let installed = root.path().join("installed");
        let places = Places { config: None, installed: &installed };
        let error = search(places, &none, root.path()).unwrap_err();
        assert!(error.to_string().contains("ORT_DYLIB_PATH (not set)"), "{error}");

        let python = lib("usr/local/lib/python3.11/dist-packages/onnxruntime/capi/libonnxruntime.so.1.32.0");
        lib("usr/local/lib/python3.9/dist-packages/onnxruntime/capi/libonnxruntime.so.1.20.0");
        lib("usr/local/lib/python3.11/dist-packages/onnxruntime/capi/libonnxruntime_providers_shared.so");
        let found = search(places, &none, root.path()).unwrap();
        assert_eq!((found.path, found.found_by), (python, "python"));

        lib("usr/lib/edged/onnxruntime/libonnxruntime.so.1.9.0");
        let packaged = lib("usr/lib/edged/onnxruntime/libonnxruntime.so.1.32.0");
        let found = search(places, &none, root.path()).unwrap();
        assert_eq!((found.path, found.found_by), (packaged, PACKAGED));

        let inside = lib("installed/1.33.0-0123abcd/libonnxruntime.so.1.33.0");
        std::os::unix::fs::symlink("1.33.0-0123abcd", installed.join(CURRENT)).unwrap();
        let found = search(places, &none, root.path()).unwrap();
        assert_eq!((found.path, found.found_by), (inside.canonicalize().unwrap(), FOUND_INSTALLED));

        let named = lib("opt/ort.so");
        let env = |key: &str| (key == VARIABLE).then(|| named.clone().into_os_string());
        assert_eq!(search(places, &env, root.path()).unwrap().found_by, VARIABLE);
        let configured = Places { config: Some(&named), ..places };
        assert_eq!(search(configured, &none, root.path()).unwrap().found_by, "config");
    }

    #[test]
    fn a_named_place_without_a_library_is_an_error_and_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        put(&root.path().join("usr/lib/edged/onnxruntime/libonnxruntime.so"));
        let missing = root.path().join("nothing.so");
        let places = Places { config: Some(&missing), installed: root.path() };
        let error = search(places, &|_| None, root.path()).unwrap_err();
        assert!(error.to_string().contains("config") && error.to_string().contains("nothing.so"), "{error}");
        std::os::unix::fs::symlink("gone", root.path().join(CURRENT)).unwrap();
        let places = Places { config: None, ..places };
        let error = search(places, &|_| None, root.path()).unwrap_err();
        assert!(error.to_string().contains("edgectl runtime rollback"), "{error}");
    }
}
