//! Whether a provider that runs on an NVIDIA graphics processor can: whether the libraries that it needs are there, and
//! whether the driver has the device that is wanted. Asked when the host starts, so that it is said once and in words that
//! help; the runtime finds out for each model anew, and names the place in its source. Knows nothing of models.

use std::path::{Path, PathBuf};

use super::{driver, needed};
use crate::host::raw;

/// Libraries that providers open only when a model needs them, by how their names begin.
const LATER: [&str; 3] = ["libcudnn.so.", "libcufft.so.", "libnvrtc.so."];

/// Why such a provider cannot run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvidiaError {
    #[error("read its library {}: {why}", path.display())]
    Read { path: PathBuf, why: String },
    #[error(
        "its library {} needs {}, which this machine does not have where the loader looks: install CUDA, cuDNN or TensorRT \
         in the versions of that name, or name their directory in LD_LIBRARY_PATH",
        path.display(),
        list(missing)
    )]
    Missing { path: PathBuf, missing: Vec<String> },
    #[error("the NVIDIA driver does not start: {0}")]
    Driver(String),
    #[error("device {wanted} was asked for (engine.device); the NVIDIA driver has {count}, counted from 0")]
    Number { wanted: u16, count: usize },
}

fn list(names: &[String]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Checks the provider whose library is `library`, for device `number`. What it needs is opened, and stays so.
pub fn check(library: &Path, number: u16) -> Result<(), NvidiaError> {
    let read = |why: std::io::Error| NvidiaError::Read { path: library.to_owned(), why: why.to_string() };
    let needed = needed::of(library).map_err(read)?;
    let wheels = wheels(library);
    let places: Vec<PathBuf> = needed.places.iter().chain(&wheels).cloned().collect();
    let missing: Vec<String> = needed.names.into_iter().filter(|name| !open(name, &places)).collect();
    if !missing.is_empty() {
        return Err(NvidiaError::Missing { path: library.to_owned(), missing });
    }
    for name in LATER.iter().filter_map(|start| file(&wheels, start)) {
        // Whether a model needs it is not known: without it the runtime says so then.
        open(&name, &wheels);
    }
    number_of(number, driver::devices().map_err(NvidiaError::Driver)?)
}

fn number_of(wanted: u16, count: usize) -> Result<(), NvidiaError> {
    if usize::from(wanted) < count { Ok(()) } else { Err(NvidiaError::Number { wanted, count }) }
}

/// Opens a library by its name, or from one of these places; the loader then finds it by its name.
fn open(name: &str, places: &[PathBuf]) -> bool {
    let by_path = || places.iter().map(|place| place.join(name)).filter(|path| path.is_file());
    raw::open_library(Path::new(name)).is_ok() || by_path().any(|path| raw::open_library(&path).is_ok())
}

/// Where Python packages put NVIDIA's libraries, beside a runtime that is one itself.
fn wheels(library: &Path) -> Vec<PathBuf> {
    // packages/onnxruntime/capi/library and packages/nvidia/cudnn/lib
    let Some(packages) = library.ancestors().nth(3) else { return Vec::new() };
    let entries = std::fs::read_dir(packages.join("nvidia")).into_iter().flatten().flatten();
    let mut places: Vec<_> = entries.map(|entry| entry.path().join("lib")).filter(|place| place.is_dir()).collect();
    places.sort();
    places
}

/// Name of the first file in these places that begins so.
fn file(places: &[PathBuf], start: &str) -> Option<String> {
    let entries = places.iter().flat_map(|place| std::fs::read_dir(place).into_iter().flatten().flatten());
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(start)).min()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Makes a library of nothing that needs the others in this directory; `None`, and a word, without a compiler.
    fn library(path: &Path, needs: &[&Path]) -> Option<()> {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-nostdlib", "-x", "c", "/dev/null", "-Wl,--no-as-needed", "-x", "none"]);
        cc.args(needs).arg(format!("-Wl,-soname,{}", path.file_name().unwrap().to_str().unwrap())).arg("-o").arg(path);
        match cc.output() {
            Ok(made) => {
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                Some(())
            }
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "cc: {error}");
                println!("SKIPPED: no C compiler: cc: {error} (make need)");
                None
            }
        }
    }

    #[test]
    fn all_libraries_that_are_missing_are_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("libmissing-one.so.13"), dir.path().join("libmissing-two.so.9"));
        let provider = dir.path().join("a/b/libprovider.so");
        if [library(&one, &[]), library(&two, &[]), library(&provider, &[&one, &two])].contains(&None) {
            return;
        }
        for path in [&one, &two] {
            std::fs::remove_file(path).unwrap();
        }
        let error = check(&provider, 0).unwrap_err();
        let missing = vec!["libmissing-one.so.13".to_owned(), "libmissing-two.so.9".to_owned()];
        assert_eq!(error, NvidiaError::Missing { path: provider.clone(), missing });
        let said = error.to_string();
        assert!(said.contains("libprovider.so needs libmissing-one.so.13 and libmissing-two.so.9, which"), "{said}");
    }

    #[test]
    fn libraries_beside_a_runtime_in_a_python_package_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("nvidia/cu99/lib/libwheel-needed.so.99");
        let provider = dir.path().join("onnxruntime/capi/libprovider.so");
        if [library(&ours, &[]), library(&provider, &[&ours])].contains(&None) {
            return;
        }
        // What it needs is there: the driver is what may not be.
        let said = check(&provider, u16::MAX).unwrap_err();
        assert!(matches!(said, NvidiaError::Driver(_) | NvidiaError::Number { .. }), "{said:?}");
        assert_eq!(file(&wheels(&provider), "libwheel"), Some("libwheel-needed.so.99".into()));
    }

    #[test]
    fn a_device_that_the_driver_does_not_have_is_refused_with_what_it_has() {
        assert_eq!(number_of(1, 2), Ok(()));
        let said = number_of(2, 2).unwrap_err().to_string();
        assert_eq!(said, "device 2 was asked for (engine.device); the NVIDIA driver has 2, counted from 0");
    }
}
