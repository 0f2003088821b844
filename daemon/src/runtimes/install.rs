//! From a wheel to a runtime that lies on the box and was tried, or to the reason why not. Until the last step everything is in a
//! directory that is nobody's; the current runtime is not touched here.

use std::path::Path;

use edge_engine::library::OLDEST;
use edge_engine::protocol::DeviceOptions;
use edge_wire::runtime::{Installed, InstalledRuntime, ProviderTrial};

use super::fit::{self, Judged, Part};
use super::shelf::Held;
use super::trial::{self, Tried};
use super::wheel::{self, Wheel};
use super::{RuntimeError, elf, here};
use crate::driver::clock;

/// Digits of the wheel's digest that tell builds of one version apart.
const DIGITS: usize = 8;

/// Providers that every runtime has, or that the daemon has no use for.
const PLAIN: [&str; 2] = ["cpu", "azure"];

/// Installs the wheel at `path`; with `only_check` nothing stays of it.
pub async fn install(
    held: &Held<'_>,
    shelf: &super::shelf::Shelf,
    device: &DeviceOptions,
    path: &Path,
    only_check: bool,
) -> Result<Installed, RuntimeError> {
    let mut wheel = Wheel::open(path)?;
    old(&wheel.version)?;
    let sha256 = wheel::digest(path)?;
    let id = format!("{}-{}", wheel.version, sha256.get(..DIGITS).unwrap_or(&sha256));
    if let Some(runtime) = shelf.list().into_iter().find(|runtime| runtime.id == id) {
        let remarks = remarks(&runtime.providers);
        return Ok(Installed { runtime, fresh: false, remarks });
    }
    let stage = held.stage(wheel.bytes())?;
    wheel.unpack(stage.path())?;
    let judged = judged(&wheel, stage.path())?;
    let library = wheel.libraries.first().map(|entry| stage.path().join(&entry.name)).unwrap_or_default();
    let Tried { version, providers } = trial::tried(&library, device).await.map_err(RuntimeError::Load)?;
    let providers = explained(providers, &judged);
    useless(&providers)?;
    let record = InstalledRuntime {
        id,
        version,
        path: String::new(),
        bytes: wheel.bytes(),
        wheel: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256,
        installed_at: clock::rfc3339(clock::wall()),
        providers,
        current: false,
        previous: false,
    };
    let remarks = remarks(&record.providers);
    let runtime = if only_check { record } else { stage.admit(&record)? };
    Ok(Installed { runtime, fresh: !only_check, remarks })
}

/// Whether a version is older than the binding can talk to.
fn old(version: &str) -> Result<(), RuntimeError> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    match (major, minor) {
        (Some(major), Some(minor)) if major == OLDEST.0 && minor >= OLDEST.1 => Ok(()),
        _ => Err(RuntimeError::Version { found: version.into() }),
    }
}

/// What their files say of the libraries, before anything is loaded.
fn judged(wheel: &Wheel, place: &Path) -> Result<Judged, RuntimeError> {
    let mut parts = Vec::new();
    for entry in &wheel.libraries {
        parts.push(Part { name: entry.name.clone(), library: elf::read(&place.join(&entry.name))? });
    }
    let judged = fit::judge(&parts, &here::here(Path::new("/"), &parts, place));
    match judged.fault {
        Some(why) => Err(RuntimeError::Fit(why)),
        None => Ok(judged),
    }
}

/// The same providers; where the files told why one cannot be, that says more than what a loader says. One whose library is there
/// and which the runtime does not name is told as well.
fn explained(providers: Vec<ProviderTrial>, judged: &Judged) -> Vec<ProviderTrial> {
    let explain = |trial: ProviderTrial| match judged.unusable.get(&trial.name) {
        Some(why) if !trial.registers => ProviderTrial { why: why.clone(), ..trial },
        _ => trial,
    };
    let unnamed = judged.unusable.iter().filter(|(name, _)| providers.iter().all(|trial| trial.name != **name));
    let unnamed = unnamed.map(|(name, why)| ProviderTrial { name: name.clone(), registers: false, why: why.clone() });
    let unnamed: Vec<ProviderTrial> = unnamed.collect();
    providers.into_iter().map(explain).chain(unnamed).collect()
}

/// A runtime is for its providers: one of which none works brings nothing that the package's has not.
fn useless(providers: &[ProviderTrial]) -> Result<(), RuntimeError> {
    let failed: Vec<&ProviderTrial> = providers.iter().filter(|trial| !trial.registers).collect();
    let works = providers.iter().any(|trial| trial.registers && !PLAIN.contains(&trial.name.as_str()));
    if failed.is_empty() || works {
        return Ok(());
    }
    let whys: Vec<String> = failed.iter().map(|trial| format!("{}: {}", trial.name, trial.why)).collect();
    Err(RuntimeError::Useless(whys.join("; ")))
}

fn remarks(providers: &[ProviderTrial]) -> Vec<String> {
    let failed = providers.iter().filter(|trial| !trial.registers);
    let mut remarks: Vec<String> =
        failed.map(|trial| format!("the provider {} does not work here: {}", trial.name, trial.why)).collect();
    if providers.iter().all(|trial| PLAIN.contains(&trial.name.as_str())) {
        remarks.push("it computes on the processor only, as that of the package does".into());
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(name: &str, why: &str) -> ProviderTrial {
        ProviderTrial { name: name.into(), registers: why.is_empty(), why: why.into() }
    }

    #[test]
    fn versions_that_the_binding_cannot_talk_to_are_refused() {
        let oldest = format!("1.{}.0", OLDEST.1);
        for (version, good) in [(oldest.as_str(), true), ("1.99.0", true), ("1.32.0.dev20261101", true)] {
            assert_eq!(old(version).is_ok(), good, "{version}");
        }
        for version in ["1.18.0", "0.99.0", "2.0.0", "1", "one"] {
            let said = old(version).unwrap_err().to_string();
            assert!(said.contains(&format!("1.{}", OLDEST.1)), "{version}: {said}");
        }
    }

    #[test]
    fn a_runtime_of_which_only_the_cpu_works_is_refused_unless_it_has_nothing_else() {
        assert!(useless(&[trial("cpu", "")]).is_ok());
        assert!(useless(&[trial("cpu", ""), trial("cuda", ""), trial("tensorrt", "no")]).is_ok());
        assert!(useless(&[trial("cpu", ""), trial("azure", ""), trial("cuda", "no")]).is_err());
        let said = useless(&[trial("cpu", ""), trial("cuda", "no card"), trial("tensorrt", "no lib")]).unwrap_err();
        assert!(said.to_string().contains("cuda: no card; tensorrt: no lib"), "{said}");
        assert_eq!(remarks(&[trial("cpu", "")]).len(), 1);
        assert_eq!(remarks(&[trial("cpu", ""), trial("cuda", "")]), [""; 0]);
    }

    #[test]
    fn why_a_provider_cannot_be_is_told_in_the_words_that_help() {
        let judged =
            Judged { unusable: [("cuda".to_owned(), "needs libcudnn.so.9".to_owned())].into(), ..Judged::default() };
        let told = explained(vec![trial("cpu", ""), trial("cuda", "cannot open"), trial("tensorrt", "x")], &judged);
        let whys: Vec<&str> = told.iter().map(|trial| trial.why.as_str()).collect();
        assert_eq!(whys, ["", "needs libcudnn.so.9", "x"]);
        let told = explained(vec![trial("cpu", "")], &judged);
        assert_eq!((told[1].name.as_str(), told[1].registers), ("cuda", false));
    }
}
