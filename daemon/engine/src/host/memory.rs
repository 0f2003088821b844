//! Bytes of a request, wherever they are: in the packet, in a sealed memfd, from where they are mapped or copied when they
//! are needed, or copied from a descriptor that is not sealed. What is mapped cannot change or shrink under the runtime,
//! because the seals are checked here.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::buffers::Buffers;
use super::unsealed;
use crate::fault::{chain, host_error};
use crate::memfile::{self, COPIED, Mapping, SealError};
use crate::protocol::{Data, ErrorKind, HostError};
use crate::tensor::Aligned;

/// Why the bytes of a payload or tensor cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("descriptor {index} was not sent ({sent} were)")]
    NoDescriptor { index: u16, sent: usize },
    #[error(transparent)]
    NotSealed(#[from] SealError),
    #[error("offset {offset} and length {len} reach beyond the {size} bytes of the memfd")]
    OutOfRange { offset: u64, len: u64, size: u64 },
    #[error("{len} bytes, at most {most} are accepted")]
    TooLarge { len: u64, most: u64 },
    #[error("more than {0} bytes, which is the most that is accepted")]
    TooLong(u64),
    #[error("descriptor is a {0}; accepted are memfds, regular files, pipes and sockets")]
    Kind(&'static str),
    #[error("descriptor is a pipe or socket, which the daemon reads itself")]
    Stream,
    #[error("map {len} bytes of a memfd")]
    Map { len: u64, source: io::Error },
    #[error("read descriptor")]
    Read(#[source] io::Error),
}

impl MemoryError {
    /// As the daemon is told, with the name of what could not be had in front.
    pub fn into_host_error(self, what: &str) -> HostError {
        let kind = match self {
            MemoryError::TooLarge { .. } | MemoryError::TooLong(_) => ErrorKind::TooLarge,
            MemoryError::Map { .. } => ErrorKind::Runtime,
            _ => ErrorKind::InvalidInput,
        };
        host_error(kind, format!("{what}: {}", chain(&self)))
    }
}

/// Bytes of a request that were found and checked, and not yet fetched.
pub enum Given<'f> {
    Here(Memory),
    Sealed(Part<'f>),
}

impl<'f> Given<'f> {
    /// The bytes that `data` names, at most `most` of them. The descriptors stay the caller's.
    pub fn of(data: Data, fds: &'f [OwnedFd], most: u64) -> Result<Given<'f>, MemoryError> {
        let bounded = |len: u64| if len > most { Err(MemoryError::TooLarge { len, most }) } else { Ok(()) };
        match data {
            Data::Inline(bytes) => {
                bounded(bytes.len() as u64)?;
                Ok(Given::Here(Memory::Owned(bytes)))
            }
            Data::Sealed { fd, offset, len } => {
                bounded(len)?;
                Part::new(descriptor(fds, fd)?.as_fd(), offset, len).map(Given::Sealed)
            }
            Data::Unsealed { fd, max_len } => {
                unsealed::read(descriptor(fds, fd)?, max_len.min(most)).map(|bytes| Given::Here(Memory::Owned(bytes)))
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Given::Here(memory) => memory.len(),
            Given::Sealed(part) => part.len,
        }
    }

    /// The bytes: in place where they are large, copied into memory of `buffers` where they are small.
    pub fn fetch(self, buffers: &mut Buffers) -> Result<Memory, MemoryError> {
        match self {
            Given::Here(memory) => Ok(memory),
            Given::Sealed(part) if part.is_small() => {
                let mut bytes = buffers.take(part.len);
                part.read_into(bytes.as_mut_slice())?;
                Ok(Memory::Aligned(bytes))
            }
            Given::Sealed(part) => {
                let len = part.len as u64;
                let mapped = Mapping::new(part.fd, part.offset, len);
                mapped.map(Memory::Mapped).map_err(|source| MemoryError::Map { len, source })
            }
        }
    }

    /// Copies the bytes into `place`, which has room for exactly these.
    pub fn copy_to(&self, place: &mut [u8]) -> Result<(), MemoryError> {
        match self {
            Given::Here(memory) => {
                place.copy_from_slice(memory);
                Ok(())
            }
            Given::Sealed(part) => part.read_into(place),
        }
    }
}

/// A part of a sealed memfd, which has that part.
#[derive(Clone, Copy)]
pub struct Part<'f> {
    fd: BorrowedFd<'f>,
    offset: u64,
    len: usize,
}

impl<'f> Part<'f> {
    fn new(fd: BorrowedFd<'f>, offset: u64, len: u64) -> Result<Part<'f>, MemoryError> {
        check_range(fd, offset, len)?;
        let len =
            usize::try_from(len).map_err(|_| MemoryError::Map { len, source: io::ErrorKind::OutOfMemory.into() })?;
        Ok(Part { fd, offset, len })
    }

    /// Whether it is copied rather than mapped.
    pub fn is_small(&self) -> bool {
        self.len <= COPIED
    }

    fn read_into(&self, place: &mut [u8]) -> Result<(), MemoryError> {
        memfile::read_at(self.fd, self.offset, place).map_err(MemoryError::Read)
    }
}

/// Bytes that stay where they are while a request runs.
pub enum Memory {
    Owned(Vec<u8>),
    Aligned(Aligned),
    Mapped(Mapping),
}

impl Memory {
    /// The same bytes at an address that is a multiple of `align`, a power of two up to 8; copied only if they are not.
    pub fn aligned(self, align: usize) -> Memory {
        if self.as_ptr().addr().is_multiple_of(align.max(1)) { self } else { Memory::Aligned(Aligned::copy_of(&self)) }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Memory::Owned(bytes) => bytes,
            Memory::Aligned(bytes) => bytes.as_slice(),
            Memory::Mapped(mapping) => mapping.as_ref(),
        }
    }
}

/// Checks that `offset` and `len` lie in a sealed memfd.
fn check_range(fd: impl AsFd, offset: u64, len: u64) -> Result<(), MemoryError> {
    let size = memfile::check(&fd)?;
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(MemoryError::OutOfRange { offset, len, size }),
    }
}

fn descriptor(fds: &[OwnedFd], index: u16) -> Result<&OwnedFd, MemoryError> {
    fds.get(usize::from(index)).ok_or(MemoryError::NoDescriptor { index, sent: fds.len() })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, SealFlags};

    use super::*;

    fn memfd(bytes: &[u8], seals: SealFlags) -> OwnedFd {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::write(&fd, bytes).unwrap();
        rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
        fd
    }

    fn all() -> SealFlags {
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
    }

    fn fetched(data: Data, fds: &[OwnedFd], most: u64) -> Result<Memory, MemoryError> {
        Given::of(data, fds, most)?.fetch(&mut Buffers::default())
    }

    fn sealed(offset: u64, len: u64) -> Data {
        Data::Sealed { fd: 0, offset, len }
    }

    #[test]
    fn a_sealed_memfd_is_read_in_place_at_any_offset() {
        let large = COPIED as u64 + 1;
        let bytes: Vec<u8> = (0..large + 9_000).map(|n| (n % 251) as u8).collect();
        let fds = [memfd(&bytes, all())];
        let cases =
            [(0, large), (1, large), (4096, large), (4100, large), (large, 0), (0, 100), (4100, 4_000), (7, large - 1)];
        for (offset, len) in cases {
            let memory = fetched(sealed(offset, len), &fds, 1 << 20).unwrap();
            let from = usize::try_from(offset).unwrap();
            assert_eq!(&*memory, &bytes[from..from + usize::try_from(len).unwrap()], "{offset} {len}");
            assert_eq!(matches!(memory, Memory::Mapped(_)), len == large, "{offset} {len}");
            let mut copy = vec![0; memory.len()];
            Given::of(sealed(offset, len), &fds, 1 << 20).unwrap().copy_to(&mut copy).unwrap();
            assert_eq!(copy, &*memory, "{offset} {len}");
        }
    }

    #[test]
    fn a_memfd_without_every_seal_is_never_mapped() {
        for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::SHRINK | SealFlags::GROW, SealFlags::SEAL] {
            let error = fetched(sealed(0, 4), &[memfd(b"abcd", seals)], 10).err().unwrap();
            assert!(matches!(error, MemoryError::NotSealed(_)), "{seals:?}: {error}");
        }
    }

    #[test]
    fn a_range_outside_the_memfd_is_named() {
        let fds = [memfd(b"abcd", all())];
        for (offset, len) in [(0, 5), (4, 1), (5, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let error = fetched(sealed(offset, len), &fds, u64::MAX).err().unwrap();
            assert!(matches!(error, MemoryError::OutOfRange { .. }), "{offset} {len}: {error}");
        }
        let error = fetched(Data::Sealed { fd: 3, offset: 0, len: 1 }, &fds, 10).err().unwrap();
        assert_eq!(error.to_string(), "descriptor 3 was not sent (1 were)");
        let error = fetched(sealed(0, 4), &fds, 3).err().unwrap();
        assert_eq!(error.to_string(), "4 bytes, at most 3 are accepted");
    }

    #[test]
    fn bytes_at_an_odd_address_are_moved_to_an_even_one() {
        let large = COPIED as u64 + 8;
        let fds = [memfd(&vec![9; COPIED + 100], all())];
        let memory = fetched(sealed(3, large), &fds, large).unwrap().aligned(8);
        assert!(matches!(memory, Memory::Aligned(_)));
        assert_eq!((&*memory, memory.as_ptr().addr() % 8), (&vec![9u8; COPIED + 8][..], 0));
        assert!(matches!(fetched(sealed(8, large), &fds, large).unwrap().aligned(8), Memory::Mapped(_)));
    }
}
