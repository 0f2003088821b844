//! Finds the ONNX Runtime library by looking at files; loads nothing and runs nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the package of the product puts it.
pub const PACKAGED: &str = "/usr/lib/edged/onnxruntime";
/// The variable that names it.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// A library that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// `config`, `ORT_DYLIB_PATH`, `/usr/lib/edged/onnxruntime` or `python`.
    pub found_by: &'static str,
}

/// No library; each place that was looked at, with what was wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ONNX Runtime library found; tried {}", .tried.join(", "))]
pub struct LibraryError {
    pub tried: Vec<String>,
}

/// Looks in the configured place, in `ORT_DYLIB_PATH`, in the package's directory and in installed Python wheels, in
/// this order. A place that was named by the operator and has no library is an error, never skipped.
pub fn find(config: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Found, LibraryError> {
    search(config, env, Path::new("/"))
}

/// The same below another root directory.
fn search(config: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>, root: &Path) -> Result<Found, LibraryError> {
    let variable = env(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    for (named, found_by) in [(config.map(Path::to_owned), "config"), (variable, VARIABLE)] {
        let Some(path) = named else { continue };
        return match inside(&path) {
            Some(path) => Ok(Found { path, found_by }),
            None => Err(LibraryError { tried: vec![format!("{found_by} {} (no library there)", path.display())] }),
        };
    }
    let packaged = root.join(PACKAGED.trim_start_matches('/'));
    if let Some(path) = inside(&packaged) {
        return Ok(Found { path, found_by: PACKAGED });
    }
    let places = python_places(env, root);
    let found = places.iter().find_map(|place| inside(&place.join("onnxruntime/capi")));
    found.map(|path| Found { path, found_by: "python" }).ok_or_else(|| {
        let mut tried = vec!["config (not set)".into(), format!("{VARIABLE} (not set)")];
        tried.push(format!("{PACKAGED} (no library there)"));
        tried.push(format!("onnxruntime in {} Python package directories", places.len()));
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
        let error = search(None, &none, root.path()).unwrap_err();
        assert!(error.to_string().contains("ORT_DYLIB_PATH (not set)"), "{error}");

        let python = lib("usr/local/lib/python3.11/dist-packages/onnxruntime/capi/libonnxruntime.so.1.32.0");
        lib("usr/local/lib/python3.9/dist-packages/onnxruntime/capi/libonnxruntime.so.1.20.0");
        lib("usr/local/lib/python3.11/dist-packages/onnxruntime/capi/libonnxruntime_providers_shared.so");
        let found = search(None, &none, root.path()).unwrap();
        assert_eq!((found.path, found.found_by), (python, "python"));

        lib("usr/lib/edged/onnxruntime/libonnxruntime.so.1.9.0");
        let packaged = lib("usr/lib/edged/onnxruntime/libonnxruntime.so.1.32.0");
        let found = search(None, &none, root.path()).unwrap();
        assert_eq!((found.path, found.found_by), (packaged, PACKAGED));

        let named = lib("opt/ort.so");
        let env = |key: &str| (key == VARIABLE).then(|| named.clone().into_os_string());
        assert_eq!(search(None, &env, root.path()).unwrap().found_by, VARIABLE);
        assert_eq!(search(Some(&named), &none, root.path()).unwrap().found_by, "config");
    }

    #[test]
    fn a_named_place_without_a_library_is_an_error_and_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        put(&root.path().join("usr/lib/edged/onnxruntime/libonnxruntime.so"));
        let missing = root.path().join("nothing.so");
        let error = search(Some(&missing), &|_| None, root.path()).unwrap_err();
        assert!(error.to_string().contains("config") && error.to_string().contains("nothing.so"), "{error}");
    }
}
