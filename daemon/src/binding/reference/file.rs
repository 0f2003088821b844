//! Opens a file below a directory so that nothing leads out of it: no link anywhere on the way, no `..`, nothing mounted by
//! magic. Only files are read, up to a bound, and no pipe or device is waited for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("open {}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is no regular file", .0.display())]
    Kind(PathBuf),
    #[error("{} has {bytes} bytes: takes up to {most}", .path.display())]
    Large { path: PathBuf, bytes: u64, most: u64 },
    #[error("read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// The bytes of the file `below` the directory `root`, at most `most`.
///
/// # Errors
/// That it cannot be read, is none, or is larger.
pub fn read(root: &Path, below: &Path, most: u64) -> Result<Bytes, FileError> {
    let path = || root.join(below);
    let opened = open(root, below).map_err(|source| FileError::Open { path: path(), source })?;
    let found = opened.metadata().map_err(|source| FileError::Read { path: path(), source })?;
    if !found.is_file() {
        return Err(FileError::Kind(path()));
    }
    if found.len() > most {
        return Err(FileError::Large { path: path(), bytes: found.len(), most });
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    opened
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Read { path: path(), source })?;
    let size = bytes.len() as u64;
    if size > most {
        return Err(FileError::Large { path: path(), bytes: size, most });
    }
    Ok(bytes.into())
}

/// Opens it without following or waiting for anything, one name after the other: openat2 does all of it at once, and what
/// systemd's RestrictSUIDSGID= lets through does not have it.
pub fn open(root: &Path, below: &Path) -> io::Result<File> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(root, folder, Mode::empty())?;
    let mut names = Vec::new();
    for part in below.components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV.into()),
        }
    }
    let last = names.pop().ok_or(Errno::ISDIR)?;
    for name in names {
        at = rustix::fs::openat(&at, name, folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(&at, last, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_below_is_read_and_whatever_leads_elsewhere_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(root.join("sub/frame"), "frame").unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink(root.join("sub/frame"), root.join("near")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let read = |below: &str| read(&root, Path::new(below), 5);
        for below in ["sub/frame", "./sub/./frame", "sub//frame"] {
            assert_eq!(read(below).unwrap(), Bytes::from_static(b"frame"));
        }
        for below in
            ["link/secret", "near", "../outside/secret", "sub/../../outside/secret", "gone", "/etc/passwd", "", "."]
        {
            assert!(matches!(read(below), Err(FileError::Open { .. })), "{below}");
        }
        for below in ["pipe", "sub"] {
            assert!(matches!(read(below), Err(FileError::Kind(_))), "{below}");
        }
        std::fs::write(root.join("large"), "larger").unwrap();
        assert!(matches!(read("large"), Err(FileError::Large { bytes: 6, most: 5, .. })));
    }
}
