//! What this box has for a runtime: the libraries in the places where the loader looks, and the board's software. Reads files
//! only; whether that is enough is decided in `fit`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::elf::{self, machine};
use super::fit::{Here, Part};
use crate::telemetry;

/// Most directories that are looked at.
const MOST_DIRS: usize = 256;
/// Most names of libraries that are remembered.
const MOST_NAMES: usize = 100_000;
/// How deep the loader's configuration may include others.
const DEPTH: u32 = 8;

/// What the parts of a wheel find below `root`, once they lie in `place`.
pub fn here(root: &Path, parts: &[Part], place: &Path) -> Here {
    let mut dirs: Vec<PathBuf> = env::split_paths(&env::var_os("LD_LIBRARY_PATH").unwrap_or_default()).collect();
    let origin = place.to_string_lossy();
    let own = parts.iter().flat_map(|part| &part.library.places);
    dirs.extend(own.map(|place| PathBuf::from(place.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))));
    dirs.extend(loader_dirs(root));
    dirs.truncate(MOST_DIRS);
    let mut files = BTreeSet::new();
    for dir in &dirs {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let libraries = names.filter(|name| name.contains(".so"));
        files.extend(libraries.take(MOST_NAMES.saturating_sub(files.len())));
    }
    let wanted: BTreeSet<&str> =
        parts.iter().flat_map(|part| &part.library.wants).map(|want| want.of.as_str()).collect();
    let offers = wanted.into_iter().filter_map(|name| Some((name.to_owned(), offers(&dirs, name)?))).collect();
    let software = telemetry::board_software(root);
    let jetpack = telemetry::jetpack_of(&software).map(str::to_owned);
    Here { machine: env::consts::ARCH.into(), files, offers, software, jetpack }
}

/// Versions that the first library of this name for this machine offers; `None` if there is none that can be read.
fn offers(dirs: &[PathBuf], name: &str) -> Option<BTreeSet<String>> {
    let mut libraries = dirs.iter().filter_map(|dir| elf::read(&dir.join(name)).ok());
    let found = libraries.find(|library| machine(library.machine) == env::consts::ARCH)?;
    (!found.offers.is_empty()).then_some(found.offers)
}

/// Where the loader looks: its configuration, then what is built into it.
fn loader_dirs(root: &Path) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    read_config(root, &root.join("etc/ld.so.conf"), &mut dirs, DEPTH);
    let triplet = format!("{}-linux-gnu", env::consts::ARCH);
    for base in ["lib", "usr/lib", "usr/local/lib", "lib64", "usr/lib64"] {
        dirs.extend([root.join(base).join(&triplet), root.join(base)]);
    }
    dirs
}

/// Directories that a file of the loader's configuration names, and those that it includes.
fn read_config(root: &Path, file: &Path, dirs: &mut Vec<PathBuf>, depth: u32) {
    let text = fs::read_to_string(file).unwrap_or_default();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if dirs.len() >= MOST_DIRS {
            return;
        }
        match line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace)) {
            Some(pattern) if depth > 0 => {
                let files = included(root, Path::new(pattern.trim()));
                files.iter().for_each(|file| read_config(root, file, dirs, depth - 1));
            }
            Some(_) => {}
            None if line.starts_with('/') => dirs.push(root.join(line.trim_start_matches('/'))),
            None => {}
        }
    }
}

/// The files of a pattern such as `/etc/ld.so.conf.d/*.conf`, in name order.
fn included(root: &Path, pattern: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let dir = root.join(dir.strip_prefix("/").unwrap_or(dir));
    let Some((begin, end)) = name.split_once('*') else { return vec![dir.join(name)] };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let matches = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
    };
    let mut files: Vec<PathBuf> = entries.filter(matches).take(MOST_DIRS).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_where_the_loaders_configuration_says() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("etc/ld.so.conf", "# all\ninclude /etc/ld.so.conf.d/*.conf\n/opt/lib # last\n");
        put("etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda/lib64\n");
        put("etc/ld.so.conf.d/cuda.txt", "/usr/local/no\n");
        put("usr/local/cuda/lib64/libcudart.so.12", "");
        put("usr/local/no/libno.so.1", "");
        put("opt/lib/libopt.so.1", "");
        put("usr/lib/libplain.so.3", "");
        put("usr/lib/readme", "");
        put("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1\n");
        let here = here(root.path(), &[], root.path());
        for name in ["libcudart.so.12", "libopt.so.1", "libplain.so.3"] {
            assert!(here.files.contains(name), "{name} of {:?}", here.files);
        }
        assert!(!here.files.contains("libno.so.1") && !here.files.contains("readme"));
        assert_eq!((here.software.as_str(), here.jetpack.as_deref()), ("L4T 36.4.3", Some("6.2")));
    }

    #[test]
    fn this_machine_has_a_c_library_with_versions() {
        let this = elf::read(&env::current_exe().unwrap()).unwrap();
        let parts = [Part { name: "libonnxruntime.so".into(), library: this }];
        let here = here(Path::new("/"), &parts, Path::new("/nowhere"));
        assert!(here.offers.contains_key("libc.so.6"), "{:?}", here.offers.keys());
        assert_eq!(super::super::fit::judge(&parts, &here).fault, None, "this program runs here");
    }
}
