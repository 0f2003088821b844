//! Copies large outputs of chunks into their places, beside the driver: a few at a time, the others wait in order. What waits is
//! bounded by the chunks that may be open.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use edge_core::{RequestId, Rows};
use tokio::task::{Id, JoinSet};

/// Chunks that are copied at the same time. More would only contend for the same memory.
const AT_ONCE: usize = 2;
/// Bytes that are read before they are written: they stay in the cache of the processor.
const BLOCK: usize = 256 << 10;

/// Bytes of a chunk's output with their place in the whole.
#[derive(Debug)]
pub struct Copy {
    /// A sealed memory file with the bytes at `offset`.
    pub from: Arc<OwnedFd>,
    pub offset: u64,
    pub len: u64,
    pub to: Arc<OwnedFd>,
    pub at: u64,
}

impl Copy {
    /// Copies. Takes as long as memory is slow.
    pub fn carry_out(&self) -> std::io::Result<()> {
        let mut block = vec![0; BLOCK.min(usize::try_from(self.len).unwrap_or(BLOCK))];
        let mut done = 0;
        while done < self.len {
            let rest = usize::try_from(self.len - done).unwrap_or(BLOCK).min(block.len());
            let place = block.get_mut(..rest).unwrap_or_default();
            let read = rustix::io::pread(&self.from, &mut *place, self.offset + done)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            write_all(&self.to, place.get(..read).unwrap_or_default(), self.at + done)?;
            done += read as u64;
        }
        Ok(())
    }
}

/// Writes all of `bytes` at `at`.
pub fn write_all(to: &OwnedFd, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::pwrite(to, bytes, at)?;
        bytes = bytes.get(written..).unwrap_or_default();
        at += written as u64;
    }
    Ok(())
}

/// A chunk whose outputs were copied, or could not be.
#[derive(Debug)]
pub struct Copied {
    pub parent: RequestId,
    pub rows: Rows,
    pub result: Result<(), String>,
}

/// What is being copied and what waits for it.
#[derive(Debug, Default)]
pub struct Copies {
    running: JoinSet<Result<(), String>>,
    of: HashMap<Id, (RequestId, Rows)>,
    waiting: VecDeque<(RequestId, Rows, Vec<Copy>)>,
}

impl Copies {
    /// Copies what belongs to one chunk; its end comes by [`Copies::next`].
    pub fn start(&mut self, parent: RequestId, rows: Rows, copies: Vec<Copy>) {
        self.waiting.push_back((parent, rows, copies));
        self.go_on();
    }

    fn go_on(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some((parent, rows, copies)) = self.waiting.pop_front()
        {
            let all = move || copies.iter().try_for_each(Copy::carry_out).map_err(|error| error.to_string());
            let handle = self.running.spawn_blocking(all);
            self.of.insert(handle.id(), (parent, rows));
        }
    }

    /// The next chunk that was copied; waits for ever if none is. Safe to cancel.
    pub async fn next(&mut self) -> Copied {
        loop {
            let (id, result) = match self.running.join_next_with_id().await {
                Some(Ok((id, result))) => (id, result),
                Some(Err(error)) => (error.id(), Err(error.to_string())),
                None => std::future::pending().await,
            };
            self.go_on();
            if let Some((parent, rows)) = self.of.remove(&id) {
                return Copied { parent, rows, result };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_copied_into_its_place_and_a_failure_is_told_of_its_own_chunk() {
        let file = || rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let (from, to) = (Arc::new(file()), Arc::new(file()));
        let bytes: Vec<u8> = (0..BLOCK * 3).map(|at| u8::try_from(at % 253).unwrap()).collect();
        write_all(&from, &bytes, 0).unwrap();
        let part = BLOCK as u64 * 3 / 8;
        let mut copies = Copies::default();
        for at in 0..9 {
            let (offset, at) = (at * part, (8 - at) * part);
            let copy = Copy { from: from.clone(), offset, len: part, to: to.clone(), at };
            copies.start(RequestId(offset / part), Rows { first: 0, count: 1 }, vec![copy]);
        }
        for _ in 0..9 {
            let done = copies.next().await;
            // The last one has nothing to read.
            assert_eq!(done.result.is_ok(), done.parent != RequestId(8), "{done:?}");
        }
        let mut all = vec![0; bytes.len()];
        rustix::io::pread(&*to, &mut all[..part as usize], part).unwrap();
        assert_eq!(all[..part as usize], bytes[bytes.len() - part as usize..]);
        assert!(copies.of.is_empty() && copies.waiting.is_empty());
    }
}
