//! Sealed memory files: how big tensors cross process borders without a copy on the way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

/// The seals without which a file is never mapped: it can neither shrink under the reader, nor grow, nor change.
pub const REQUIRED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// A fresh sealed memfd that holds `bytes`.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("edge-tensor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    seal(&file)?;
    Ok(file)
}

/// Seals a memfd for good.
pub fn seal(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(file, REQUIRED | SealFlags::SEAL)?)
}

/// Why a descriptor may not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("not a memfd: takes a memfd with the seals SHRINK, GROW and WRITE")]
    NotAMemfd,
    #[error("memfd without the seal {0}: takes SHRINK, GROW and WRITE")]
    Missing(String),
    #[error("look at the descriptor")]
    Io(#[source] io::Error),
}

/// The size in bytes of a memfd that carries the required seals.
pub fn check(file: impl AsFd) -> Result<u64, SealError> {
    let seals = match rustix::fs::fcntl_get_seals(&file) {
        Ok(seals) => seals,
        // The kernel's answer for anything that cannot be sealed.
        Err(rustix::io::Errno::INVAL) => return Err(SealError::NotAMemfd),
        Err(errno) => return Err(SealError::Io(errno.into())),
    };
    let named = [(SealFlags::SHRINK, "SHRINK"), (SealFlags::GROW, "GROW"), (SealFlags::WRITE, "WRITE")];
    let missing: Vec<&str> = named.iter().filter(|(seal, _)| !seals.contains(*seal)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return Err(SealError::Missing(missing.join(", ")));
    }
    let size = rustix::fs::fstat(&file).map_err(|errno| SealError::Io(errno.into()))?.st_size;
    Ok(u64::try_from(size).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_is_accepted_and_cannot_change() {
        let file = sealed(b"abcd").unwrap();
        assert_eq!(check(&file).unwrap(), 4);
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
    }

    #[test]
    fn what_is_not_sealed_is_named() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        assert_eq!(
            check(&file).unwrap_err().to_string(),
            "memfd without the seal SHRINK, WRITE: takes SHRINK, GROW and WRITE"
        );
        assert!(matches!(check(std::fs::File::open("/dev/zero").unwrap()), Err(SealError::NotAMemfd)));
    }
}
