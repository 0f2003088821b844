//! Descriptors in and out: what a caller handed in is a sealed memfd of at least the size it says, or is named; what
//! goes out is a fresh sealed memfd. Looks at kind, seals, size and access mode only, never at the bytes.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use edge_wire::error::ErrorCode;
use rustix::fs::{FileType, MemfdFlags, OFlags, SealFlags};

use super::error::internal;
use crate::request::{Blob, Failure};

/// Without these, the bytes could change or vanish while they are read in place.
pub const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// The bytes of input `name`, at `offset` in a sealed memfd.
pub fn tensor(name: &str, fd: OwnedFd, offset: u64, len: u64) -> Result<Blob, Failure> {
    let seals = rustix::fs::fcntl_get_seals(&fd)
        .map_err(|_| Failure::invalid(format!("input {name}: its descriptor is not a memfd")))?;
    if !seals.contains(SEALS) {
        return Err(Failure::invalid(format!("input {name}: its memfd lacks the seals {}", words(SEALS - seals))));
    }
    let size = size(&fd, name)?;
    match offset.checked_add(len) {
        // An empty one is left to the driver, which names the dimension that is zero.
        Some(end) if end <= size => {}
        _ => {
            return Err(Failure::invalid(format!(
                "input {name}: offset {offset} and length {len} go beyond its memfd of {size} bytes"
            )));
        }
    }
    Ok(Blob::Sealed { fd: Arc::new(fd), offset, len })
}

/// An encoded payload in a descriptor of any kind that can be read.
pub fn payload(fd: OwnedFd, max_len: u64) -> Result<Blob, Failure> {
    let stat =
        rustix::fs::fstat(&fd).map_err(|error| internal(format!("look at the payload's descriptor: {error}")))?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            return Err(Failure::invalid("the payload's descriptor is a directory; it takes a file"));
        }
        FileType::RegularFile if size > max_len => {
            return Err(Failure::new(
                ErrorCode::TooLarge,
                format!("the payload has {size} bytes; it takes 1 to {max_len}"),
            ));
        }
        FileType::RegularFile if size == 0 => {
            return Err(Failure::invalid(format!("the payload is empty; it takes 1 to {max_len} bytes")));
        }
        _ => {}
    }
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(|error| internal(format!("payload's descriptor: {error}")))?;
    if flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == OFlags::WRONLY {
        return Err(Failure::invalid("the payload's descriptor is not open for reading"));
    }
    let sealed = rustix::fs::fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SEALS));
    match sealed {
        true => Ok(Blob::Sealed { fd: Arc::new(fd), offset: 0, len: size }),
        false => Ok(Blob::Unsealed { fd: Arc::new(fd), max_len }),
    }
}

/// A fresh sealed memfd that holds `bytes`.
pub fn sealed(bytes: &[u8]) -> Result<OwnedFd, Failure> {
    let failed = |error: &dyn std::fmt::Display| internal(format!("make an output memfd: {error}"));
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("edged-output", flags).map_err(|error| failed(&error))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(|error| failed(&error))?;
    rustix::fs::fcntl_add_seals(&file, SEALS).map_err(|error| failed(&error))?;
    Ok(file.into())
}

/// The bytes of an output, wherever they are. The caller has checked its size against a limit.
pub fn read(name: &str, blob: &Blob) -> Result<Bytes, Failure> {
    match blob {
        Blob::Inline(bytes) => Ok(bytes.clone()),
        Blob::Sealed { fd, offset, len } => {
            let failed = |error: &dyn std::fmt::Display| internal(format!("read output {name}: {error}"));
            let mut bytes = vec![0; usize::try_from(*len).map_err(|error| failed(&error))?];
            let file = File::from(fd.try_clone().map_err(|error| failed(&error))?);
            file.read_exact_at(&mut bytes, *offset).map_err(|error| failed(&error))?;
            Ok(bytes.into())
        }
        Blob::Unsealed { .. } => Err(internal(format!("output {name} is in a descriptor that is not sealed"))),
    }
}

fn size(fd: impl AsFd, name: &str) -> Result<u64, Failure> {
    let stat = rustix::fs::fstat(fd).map_err(|error| internal(format!("input {name}: {error}")))?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

fn words(seals: SealFlags) -> String {
    let names = [(SealFlags::SHRINK, "SHRINK"), (SealFlags::GROW, "GROW"), (SealFlags::WRITE, "WRITE")];
    let missing: Vec<_> = names.iter().filter(|(seal, _)| seals.contains(*seal)).map(|(_, name)| *name).collect();
    missing.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memfd(bytes: &[u8], seals: SealFlags) -> OwnedFd {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("test", flags).unwrap());
        file.write_all(bytes).unwrap();
        rustix::fs::fcntl_add_seals(&file, seals).unwrap();
        file.into()
    }

    #[test]
    fn a_sealed_memfd_is_taken_within_its_size() {
        let fd = memfd(&[7; 100], SEALS | SealFlags::SEAL);
        for (offset, len) in [(0, 100), (99, 1), (3, 8)] {
            let Blob::Sealed { offset: at, len: size, .. } = tensor("x", fd.try_clone().unwrap(), offset, len).unwrap()
            else {
                panic!("not sealed")
            };
            assert_eq!((at, size), (offset, len));
        }
    }

    #[test]
    fn what_is_outside_of_a_memfd_is_named() {
        let fd = memfd(&[7; 100], SEALS);
        for (offset, len) in [(0, 101), (100, 1), (u64::MAX, 2), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            let no = tensor("x", fd.try_clone().unwrap(), offset, len).unwrap_err();
            assert!(no.code == ErrorCode::InvalidInput && no.message.contains("input x: offset"), "{}", no.message);
            assert!(no.message.contains("100 bytes"), "{}", no.message);
        }
        for fd in [fd, memfd(&[], SEALS)] {
            assert!(tensor("x", fd, 0, 0).unwrap().is_empty());
        }
    }

    #[test]
    fn missing_seals_are_named() {
        let cases = [
            (SealFlags::empty(), "SHRINK, GROW, WRITE"),
            (SealFlags::SHRINK | SealFlags::GROW, "seals WRITE"),
            (SealFlags::SHRINK | SealFlags::WRITE, "seals GROW"),
            (SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE, "seals WRITE"),
        ];
        for (seals, expected) in cases {
            let no = tensor("x", memfd(&[1], seals), 0, 1).unwrap_err();
            assert!(no.code == ErrorCode::InvalidInput && no.message.contains(expected), "{}", no.message);
        }
    }

    #[test]
    fn what_is_no_memfd_is_no_tensor() {
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        let zero = File::open("/dev/zero").unwrap();
        let file = tempfile::tempfile().unwrap();
        let folder = File::open("/").unwrap();
        for fd in [pipe, zero.into(), file.into(), folder.into()] {
            let no = tensor("x", fd, 0, 1).unwrap_err();
            assert!(no.code == ErrorCode::InvalidInput && no.message.contains("input x"), "{}", no.message);
        }
    }

    #[test]
    fn a_payload_is_anything_that_can_be_read() {
        let (pipe, writer) = rustix::pipe::pipe().unwrap();
        assert!(matches!(payload(pipe, 10), Ok(Blob::Unsealed { max_len: 10, .. })));
        assert!(matches!(payload(File::open("/dev/zero").unwrap().into(), 10), Ok(Blob::Unsealed { .. })));
        assert!(matches!(payload(memfd(b"abc", SEALS), 10), Ok(Blob::Sealed { offset: 0, len: 3, .. })));
        assert!(matches!(payload(memfd(b"abc", SealFlags::WRITE), 10), Ok(Blob::Unsealed { .. })));
        let cases = [
            (payload(writer, 10), ErrorCode::InvalidInput, "reading"),
            (payload(File::open("/").unwrap().into(), 10), ErrorCode::InvalidInput, "directory"),
            (payload(memfd(b"", SEALS), 10), ErrorCode::InvalidInput, "empty; it takes 1 to 10"),
            (payload(memfd(b"12345678901", SEALS), 10), ErrorCode::TooLarge, "11 bytes; it takes 1 to 10"),
        ];
        for (result, code, expected) in cases {
            let no = result.unwrap_err();
            assert!(no.code == code && no.message.contains(expected), "{}", no.message);
        }
    }

    #[test]
    fn an_output_is_sealed_and_reads_back() {
        let fd = sealed(b"abcdef").unwrap();
        assert!(rustix::fs::fcntl_get_seals(&fd).unwrap().contains(SEALS));
        let blob = Blob::Sealed { fd: Arc::new(fd), offset: 2, len: 3 };
        assert_eq!(read("y", &blob).unwrap(), "cde");
        assert_eq!(read("y", &Blob::Inline(Bytes::from_static(b"x"))).unwrap(), "x");
    }
}
