//! Memory files for tensors that came inline and are too large for a packet to the engine host.
//!
//! Fresh memory costs more than the copy into it, so a file is used again, once the host has answered for all that was
//! in it. It is not sealed, and therefore the host takes a copy and maps nothing of it: a file that changes too early
//! could spoil an answer that nobody waits for, and nothing else.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::MemfdFlags;

/// Files that are kept for later.
const MAX_FILES: usize = 32;
/// Their bytes together; they count as memory of the daemon.
const MAX_BYTES: u64 = 4 << 20;

/// A file with the bytes of one tensor or payload in it, and nothing else.
#[derive(Clone, Debug)]
pub struct Filled {
    fd: Arc<OwnedFd>,
    len: u64,
}

impl Filled {
    /// To be sent; a second handle on the file keeps it from being used again.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// Files that wait to be used again.
#[derive(Debug, Default)]
pub struct Scratch {
    free: Vec<Filled>,
    bytes: u64,
}

impl Scratch {
    /// A file that holds exactly `bytes`.
    pub fn fill(&mut self, bytes: &[u8]) -> std::io::Result<Filled> {
        let len = bytes.len() as u64;
        let fd = match self.take(len) {
            Some(file) => file,
            None => Filled { fd: Arc::new(rustix::fs::memfd_create("edge-scratch", MemfdFlags::CLOEXEC)?), len: 0 },
        };
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            done += rustix::io::pwrite(&fd.fd, rest, done as u64)?;
        }
        if fd.len > len {
            rustix::fs::ftruncate(&fd.fd, len)?;
        }
        Ok(Filled { len, ..fd })
    }

    /// The host has answered for `files`. One that is still on its way to somebody is let go.
    pub fn give_back(&mut self, files: impl IntoIterator<Item = Filled>) {
        for file in files {
            let room = self.free.len() < MAX_FILES && self.bytes + file.len <= MAX_BYTES;
            if room && Arc::strong_count(&file.fd) == 1 {
                self.bytes += file.len;
                self.free.push(file);
            }
        }
    }

    /// One of the same size, whose pages all fit; else any, given back last, since its pages are still warm.
    fn take(&mut self, len: u64) -> Option<Filled> {
        let at = self.free.iter().rposition(|file| file.len == len).or_else(|| self.free.len().checked_sub(1))?;
        let file = self.free.remove(at);
        self.bytes -= file.len;
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(file: &Filled) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        let read = rustix::io::pread(&file.fd, &mut bytes, 0).unwrap();
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn a_file_is_used_again_and_holds_exactly_what_was_put_in_last() {
        let mut scratch = Scratch::default();
        let first = scratch.fill(b"a long one").unwrap();
        let second = scratch.fill(b"two").unwrap();
        assert_eq!((content(&first), first.len()), (b"a long one".to_vec(), 10));
        scratch.give_back([first, second]);
        assert_eq!(scratch.bytes, 13);
        let again = scratch.fill(b"one").unwrap();
        let other = scratch.fill(b"shorter").unwrap();
        assert_eq!((content(&again), content(&other)), (b"one".to_vec(), b"shorter".to_vec()));
        assert_eq!((scratch.bytes, scratch.free.len()), (0, 0));
        scratch.give_back([other]);
        assert_eq!(content(&scratch.fill(b"longer than that").unwrap()), b"longer than that");
    }

    #[test]
    fn a_file_that_somebody_still_holds_is_not_used_again() {
        let mut scratch = Scratch::default();
        let file = scratch.fill(b"abc").unwrap();
        let held = file.descriptor();
        scratch.give_back([file]);
        assert!(scratch.free.is_empty());
        drop(held);
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes() {
        let mut scratch = Scratch::default();
        let small: Vec<Filled> = (0..MAX_FILES + 5).map(|_| scratch.fill(b"x").unwrap()).collect();
        scratch.give_back(small);
        assert_eq!(scratch.free.len(), MAX_FILES);
        let mut scratch = Scratch::default();
        let large = vec![0; 3 << 20];
        let files = [scratch.fill(&large).unwrap(), scratch.fill(&large).unwrap()];
        scratch.give_back(files);
        assert_eq!((scratch.free.len(), scratch.bytes), (1, 3 << 20));
    }
}
