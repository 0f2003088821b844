//! Puts outputs where the caller wants them: in the packet, or each in a fresh sealed memfd that is never used again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::memfile::{self, Fresh};
use crate::protocol::{Data, INLINE_BYTES, INLINE_TOTAL, MAX_FDS, Want};

/// Why an output could not be handed out.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("make a memfd of {len} bytes for an output")]
    Memfd { len: usize, source: io::Error },
    #[error("{MAX_FDS} outputs in one packet are the most that there is room for")]
    TooMany,
}

/// The descriptors of one packet, and how much of its inline room is taken.
#[derive(Default)]
pub struct Packer {
    inline: usize,
    fds: Vec<OwnedFd>,
}

impl Packer {
    /// Packs one output.
    pub fn pack(&mut self, bytes: &[u8], want: Want) -> Result<Data, PackError> {
        let fits = bytes.len() <= INLINE_BYTES && self.inline + bytes.len() <= INLINE_TOTAL;
        if want == Want::Inline && fits {
            self.inline += bytes.len();
            return Ok(Data::Inline(bytes.to_vec()));
        }
        self.push(bytes.len(), || memfile::sealed(bytes))
    }

    fn push(&mut self, len: usize, make: impl FnOnce() -> io::Result<OwnedFd>) -> Result<Data, PackError> {
        let index = u16::try_from(self.fds.len()).ok().filter(|_| self.fds.len() < MAX_FDS);
        let fd = index.ok_or(PackError::TooMany)?;
        self.fds.push(make().map_err(|source| PackError::Memfd { len, source })?);
        Ok(Data::Sealed { fd, offset: 0, len: len as u64 })
    }

    /// Whether there is room for so many more descriptors.
    pub fn has_room(&self, more: usize) -> bool {
        self.fds.len() + more <= MAX_FDS
    }

    /// Packs an output that was written where it is.
    pub fn adopt(&mut self, fresh: Fresh, len: usize) -> Result<Data, PackError> {
        self.push(len, || fresh.sealed())
    }

    /// The descriptors, in the order in which the packed data names them.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().map(AsFd::as_fd).collect()
    }
}
