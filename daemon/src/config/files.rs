//! Where the files are that keys name. Must not read what is in them.

use std::path::{Path, PathBuf};

use super::validate::Machine;

/// What a file of a secret has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A token for a site.
    Token,
    /// User and password for a proxy.
    Proxy,
}

/// A file by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// Why it is none.
    pub fault: Option<String>,
    /// It is a systemd credential, and only the service can look whether there is one.
    pub is_unseen: bool,
}

/// The file of this name; a bare name is a systemd credential.
pub fn locate(machine: &Machine, name: &str) -> Found {
    let is_bare = !name.contains('/');
    let path = match &machine.credentials {
        Some(dir) if is_bare => dir.join(name),
        _ => PathBuf::from(name),
    };
    let is_unseen = is_bare && machine.credentials.is_none();
    let is_missing = !is_unseen && (machine.is_missing)(&path);
    let fault =
        is_missing.then(|| format!("there is no file {}: takes a file that the service can read", path.display()));
    Found { path, fault, is_unseen }
}

/// Why the file of a secret is none: every user of the box may open it. Systemd looks after its own credentials.
pub fn open_to_all(machine: &Machine, name: &str) -> Option<String> {
    let mode = (machine.mode)(name.starts_with('/').then(|| Path::new(name))?)? & 0o7777;
    let takes = "takes a systemd credential, or a file that only its owner and group may read, mode 0640 or less";
    (mode & 0o007 != 0).then(|| format!("{name} is open to every user (mode {mode:04o}): {takes}"))
}

/// Whether there is certainly no such file: one that the caller may not look at may well be there for the service.
pub fn is_missing(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(found) => found.is_dir(),
        Err(error) => matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory),
    }
}

/// The permissions of a file, if they can be looked at.
pub fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).ok().map(|found| found.permissions().mode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_certainly_not_there_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there");
        std::fs::write(&there, "").unwrap();
        assert!(!is_missing(&there));
        assert!(is_missing(dir.path()) && is_missing(&dir.path().join("gone")) && is_missing(&there.join("below")));
        assert!(mode(&there).is_some() && mode(&dir.path().join("gone")).is_none());
    }
}
