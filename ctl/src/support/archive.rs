//! The file: a compressed archive of the parts, which only its owner may read, and which is whole or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{CWD, RenameFlags};

use super::Clean;

/// The archive's bytes; everything in it is below the directory `root`.
pub fn packed(root: &str, unix_seconds: u64, parts: &[Clean]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_mtime(unix_seconds);
        header.set_size(part.bytes.len() as u64);
        tar.append_data(&mut header, format!("{root}/{}", part.file), part.bytes.as_slice())?;
    }
    tar.into_inner()?.finish()
}

/// Writes it beside its place, and moves it there when all of it is on the disk. Replaces a file that is there only with `force`,
/// and anything else never: `/dev/null` would be a file from then on, for every program of the box.
pub fn write(path: &Path, bytes: &[u8], force: bool) -> io::Result<()> {
    replaceable(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let part = Unfinished(path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let flags = if force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    match rustix::fs::renameat_with(CWD, &part.0, CWD, path, flags) {
        // Some file systems cannot do that at one instant.
        Err(rustix::io::Errno::INVAL) if !force => {
            fs::hard_link(&part.0, path)?;
        }
        done => done?,
    }
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// That there is a regular file, or nothing.
pub fn replaceable(path: &Path) -> io::Result<()> {
    let what = match path.symlink_metadata().map(|meta| meta.file_type()) {
        Ok(kind) if kind.is_file() => return Ok(()),
        Ok(kind) if kind.is_symlink() => "a link",
        Ok(kind) if kind.is_dir() => "a directory",
        Ok(_) => "a device, a pipe or a socket",
        // Whatever it is, writing meets it and says more.
        Err(_) => return Ok(()),
    };
    let why = format!("it is {what}, which is not replaced: name another file, or use --stdout");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// Goes away with this value, unless it was moved.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more when all went well.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_replaces_nothing_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar.gz");
        write(&path, b"one", false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write(&path, b"two", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
        assert!(write(&dir.path().join("no/a.tar.gz"), b"", false).is_err());
    }

    #[test]
    fn what_is_no_file_is_not_replaced_with_force_either() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "one").unwrap();
        fs::create_dir(at("directory")).unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("gone"), at("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let cases = [
            (at("link"), "a link"),
            (at("dangling"), "a link"),
            (at("directory"), "a directory"),
            (at("socket"), "a device, a pipe or a socket"),
        ];
        for (path, what) in cases {
            let before = path.symlink_metadata().unwrap().file_type();
            for force in [false, true] {
                let refused = write(&path, b"two", force).unwrap_err().to_string();
                assert!(refused.contains(what) && refused.contains("not replaced"), "{}: {refused}", path.display());
            }
            assert_eq!(path.symlink_metadata().unwrap().file_type(), before, "{}", path.display());
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "nothing is left over");
    }
}
