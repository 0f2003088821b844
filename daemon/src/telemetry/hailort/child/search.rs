//! Where libhailort is, and what `/sys` says of the driver and its devices. Files only.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::library::Library;

/// Where packages and hand-made builds put it.
const DIRECTORIES: [&str; 8] = [
    "usr/lib",
    "usr/local/lib",
    "usr/lib64",
    "usr/local/lib64",
    "usr/lib/aarch64-linux-gnu",
    "usr/local/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/local/lib/x86_64-linux-gnu",
];
const NAME: &str = "libhailort.so";
/// The driver of Hailo-8, and the one of Hailo-10 and 15.
const DRIVERS: [&str; 2] = ["hailo_pci", "hailo1x_pci"];

/// The libraries of a machine.
#[derive(Debug)]
pub struct Candidates {
    root: PathBuf,
    /// The one, if it was named.
    named: Option<PathBuf>,
}

impl Candidates {
    /// Of the machine below `root`.
    pub fn new(root: PathBuf, named: Option<PathBuf>) -> Candidates {
        Candidates { root, named }
    }

    /// The first that can be used; what was wrong with the first if none can.
    pub fn open(&self, c_only: bool) -> Result<Library, String> {
        let paths = self.paths();
        let mut wrong = None;
        for path in &paths {
            match Library::open(path, c_only) {
                Ok(library) => return Ok(library),
                Err(error) => drop(wrong.get_or_insert_with(|| error.to_string())),
            }
        }
        Err(wrong.unwrap_or_else(|| {
            let places: Vec<String> = DIRECTORIES.iter().map(|dir| self.root.join(dir).display().to_string()).collect();
            let driver =
                self.driver_version().map_or_else(String::new, |version| format!(" {version}, the driver's version"));
            format!("no {NAME} in {}: install libhailort{driver}", places.join(", "))
        }))
    }

    /// The driver's own version first, then the newest.
    fn paths(&self) -> Vec<PathBuf> {
        if let Some(named) = &self.named {
            return vec![named.clone()];
        }
        let driver = self.driver_version().map(|version| numbers(&version));
        let mut found: Vec<(bool, Vec<u32>, PathBuf)> = Vec::new();
        for path in DIRECTORIES.iter().flat_map(|dir| entries(&self.root.join(dir))) {
            let Some(rest) = path.file_name().and_then(|name| name.to_str()?.strip_prefix(NAME)) else { continue };
            if rest.is_empty() || rest.starts_with('.') {
                let version = numbers(rest);
                found.push((Some(&version) == driver.as_ref(), version, path));
            }
        }
        found.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        // A directory may be another by a link, and a name too.
        let mut seen = Vec::new();
        found.retain(|(_, _, path)| match fs::canonicalize(path) {
            Ok(real) if !seen.contains(&real) => {
                seen.push(real);
                true
            }
            _ => false,
        });
        found.into_iter().map(|(_, _, path)| path).collect()
    }

    /// As the loaded module says it.
    pub fn driver_version(&self) -> Option<String> {
        let version = |name: &&str| fs::read_to_string(self.root.join("sys/module").join(name).join("version")).ok();
        DRIVERS.iter().find_map(version).map(|text| text.trim().to_owned())
    }

    /// Whether a device saves power, by its address; `false` if nobody tells.
    pub fn is_asleep(&self, id: &str) -> bool {
        let state = self.root.join("sys/bus/pci/devices").join(id).join("power_state");
        // Addresses of other kinds of devices name no file here; nor may they name one elsewhere.
        !id.contains('/') && fs::read_to_string(state).is_ok_and(|state| state.trim().starts_with("D3"))
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn names(candidates: &Candidates) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(&candidates.root).unwrap().display().to_string();
        candidates.paths().iter().map(name).collect()
    }

    #[test]
    fn the_library_of_the_drivers_version_goes_before_the_newest() {
        let files = [
            ("usr/lib/libhailort.so.4.9.0", "a"),
            ("usr/lib/libhailort.so.4.20.0", "b"),
            ("usr/local/lib/libhailort.so.5.1.1", "c"),
            ("usr/lib/aarch64-linux-gnu/libhailort.so.4.23.0", "d"),
            ("usr/lib/libhailortcli.so.9", "no library of this name"),
        ];
        let root = machine(&files);
        std::os::unix::fs::symlink("libhailort.so.4.20.0", root.path().join("usr/lib/libhailort.so")).unwrap();
        let candidates = Candidates::new(root.path().to_owned(), None);
        let newest = [
            "usr/local/lib/libhailort.so.5.1.1",
            "usr/lib/aarch64-linux-gnu/libhailort.so.4.23.0",
            "usr/lib/libhailort.so.4.20.0",
            "usr/lib/libhailort.so.4.9.0",
        ];
        assert_eq!(names(&candidates), newest, "by number, and each file once");
        let module = root.path().join("sys/module/hailo_pci");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("version"), "4.20.0\n").unwrap();
        assert_eq!(names(&candidates)[0], "usr/lib/libhailort.so.4.20.0");
    }

    #[test]
    fn a_machine_without_one_says_where_it_was_looked_for_and_what_to_install() {
        let root = machine(&[("sys/module/hailo1x_pci/version", "5.2.0\n")]);
        let candidates = Candidates::new(root.path().to_owned(), None);
        let why = candidates.open(false).err().unwrap();
        assert!(
            why.contains("/usr/local/lib,") && why.ends_with("install libhailort 5.2.0, the driver's version"),
            "{why}"
        );
    }

    #[test]
    fn a_device_sleeps_if_its_bus_says_so() {
        let state = |id: &str| format!("sys/bus/pci/devices/{id}/power_state");
        let (idle, busy) = (state("0000:01:00.0"), state("0000:02:00.0"));
        let root = machine(&[(&idle, "D3hot\n"), (&busy, "D0\n")]);
        let candidates = Candidates::new(root.path().to_owned(), None);
        let told = ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "[integrated]", "../devices/0000:01:00.0"];
        assert_eq!(told.map(|id| candidates.is_asleep(id)), [true, false, false, false, false]);
    }
}
