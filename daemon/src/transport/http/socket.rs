//! The socket among the runtime files: made by whoever holds its lock, in the place of one that a killed daemon left behind, and
//! removed at the end. A socket that somebody still serves is never taken away.

use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use edge_wire::names::API_SOCKET;
use rustix::fs::FlockOperation;

/// Everybody may connect: what may be asked without rights is open to local users, and who they are is told by the kernel.
const MODE: u32 = 0o666;
/// Held by the daemon whose socket it is, for as long as it lives.
const LOCK: &str = "api.lock";
/// A socket that is not in its place yet.
const NEW: &str = "api.sock.new";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("make the directory {path}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("lock {path}")]
    Lock { path: PathBuf, source: std::io::Error },
    #[error("{path} is served by another program that runs")]
    InUse { path: PathBuf },
    #[error("{path} is no socket, and is left alone")]
    Foreign { path: PathBuf },
    #[error("listen on {path}")]
    Listen { path: PathBuf, source: std::io::Error },
}

/// A socket that takes connections.
#[derive(Debug)]
pub struct Socket {
    pub listener: UnixListener,
    pub path: PathBuf,
    dir: File,
    _lock: File,
}

impl Socket {
    /// Listens in the directory `dir`, which is made if it is missing.
    pub fn open(dir: &Path) -> Result<Socket, SocketError> {
        let path = dir.join(API_SOCKET);
        let at = |source| SocketError::Directory { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(at)?;
        let dir = File::open(dir).map_err(at)?;
        let lock = lock(&near(&dir, LOCK), &path)?;
        look(&near(&dir, API_SOCKET), &path)?;
        let listener = listen(&dir).map_err(|source| SocketError::Listen { path: path.clone(), source })?;
        Ok(Socket { listener, path, dir, _lock: lock })
    }
}

impl Drop for Socket {
    /// Nobody else can have put one in its place while the lock is held.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(near(&self.dir, API_SOCKET)) {
            tracing::warn!(path = %self.path.display(), %error, "remove the HTTP socket");
        }
    }
}

/// A file of an open directory. The address of a socket has 107 bytes at most, and paths may be longer than that.
fn near(dir: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

fn lock(file: &Path, socket: &Path) -> Result<File, SocketError> {
    let path = socket.with_file_name(LOCK);
    // For nobody else: whoever may open it may lock it.
    let opened = File::options().create(true).truncate(false).write(true).mode(0o600).open(file);
    let opened = opened.map_err(|source| SocketError::Lock { path: path.clone(), source })?;
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(opened),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketError::InUse { path: socket.to_owned() }),
        Err(errno) => Err(SocketError::Lock { path, source: errno.into() }),
    }
}

/// Whether what is in the place, if anything is, may be replaced.
fn look(file: &Path, path: &Path) -> Result<(), SocketError> {
    let Ok(found) = std::fs::symlink_metadata(file) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(SocketError::Foreign { path: path.to_owned() });
    }
    match UnixStream::connect(file) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        // Whoever is there without the lock is no edged; one that is too busy to answer is there, too.
        Ok(_) | Err(_) => Err(SocketError::InUse { path: path.to_owned() }),
    }
}

/// It comes into its place when it is complete, so that nobody finds one that does not take connections.
fn listen(dir: &File) -> std::io::Result<UnixListener> {
    let (new, place) = (near(dir, NEW), near(dir, API_SOCKET));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(MODE))?;
    std::fs::rename(&new, &place)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_to_everybody_and_gone_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let socket = Socket::open(&run).unwrap();
        assert_eq!(socket.path, run.join("api.sock"));
        let mode = std::fs::metadata(&socket.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        UnixStream::connect(&socket.path).unwrap();
        drop(socket);
        assert!(!run.join("api.sock").exists());
    }

    #[test]
    fn one_that_is_served_is_not_taken_and_one_that_is_left_over_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Socket::open(dir.path()).unwrap();
        assert!(matches!(Socket::open(dir.path()), Err(SocketError::InUse { .. })));
        UnixStream::connect(&first.path).unwrap();
        // As a daemon that is killed leaves it.
        let path = first.path.clone();
        let (kept, other) = (dir.path().join("kept"), dir.path().join("other"));
        std::fs::hard_link(&path, &kept).unwrap();
        drop(first);
        std::fs::rename(&kept, &path).unwrap();
        assert!(UnixStream::connect(&path).is_err());
        drop(Socket::open(dir.path()).unwrap());
        // Of a program that knows nothing of the lock.
        let theirs = UnixListener::bind(&other).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(matches!(Socket::open(dir.path()), Err(SocketError::InUse { .. })));
        drop(theirs);
        drop(Socket::open(dir.path()).unwrap());
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::open(dir.path()), Err(SocketError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_long_path_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("a".repeat(100)).join("b".repeat(100));
        let socket = Socket::open(&long).unwrap();
        UnixStream::connect(near(&socket.dir, API_SOCKET)).unwrap();
    }
}
