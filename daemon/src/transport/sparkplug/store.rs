//! Where results wait that no host heard: a queue of chunks that is bounded in number and in bytes.
//!
//! Decides which go when it is full (the oldest). Must not know what a chunk holds. It lies in memory; [`kept`](super::kept)
//! has the same on disk.

use std::collections::VecDeque;

use crate::config::sparkplug::SparkplugConfig;

/// Number of a chunk; numbers grow.
pub type ChunkId = u64;

/// A queue of chunks, the oldest first.
#[derive(Debug)]
pub struct Store {
    chunks: VecDeque<(ChunkId, Vec<u8>)>,
    bytes: usize,
    next: ChunkId,
    bounds: Bounds,
    dropped: u64,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub chunks: usize,
    pub bytes: usize,
}

impl Bounds {
    /// Those of the configuration.
    pub fn of(config: &SparkplugConfig) -> Bounds {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Bounds { chunks: size(config.history_max_rows), bytes: size(config.history_max_bytes) }
    }
}

impl Store {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Store {
        Store { chunks: VecDeque::new(), bytes: 0, next: 0, bounds, dropped: 0 }
    }

    /// Puts a chunk behind the others; the oldest go until it fits. `None` if it never does.
    pub fn append(&mut self, chunk: Vec<u8>) -> Option<ChunkId> {
        if chunk.len() > self.bounds.bytes || self.bounds.chunks == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        while self.chunks.len() >= self.bounds.chunks || self.bytes + chunk.len() > self.bounds.bytes {
            let Some((_, gone)) = self.chunks.pop_front() else { break };
            self.bytes -= gone.len();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.bytes += chunk.len();
        self.chunks.push_back((self.next, chunk));
        self.next += 1;
        Some(self.next - 1)
    }

    /// The oldest chunk.
    pub fn first(&self) -> Option<ChunkId> {
        self.chunks.front().map(|(id, _)| *id)
    }

    /// The oldest chunks, at most `most`.
    pub fn oldest(&self, most: usize) -> Vec<(ChunkId, Vec<u8>)> {
        self.chunks.iter().take(most).cloned().collect()
    }

    /// Takes out every chunk up to this one.
    pub fn remove(&mut self, through: ChunkId) {
        while self.chunks.front().is_some_and(|(id, _)| *id <= through) {
            let Some((_, gone)) = self.chunks.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Chunks that went because there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_in_their_order_and_stay_until_they_are_removed() {
        let mut store = Store::new(Bounds { chunks: 10, bytes: 100 });
        (0..4).for_each(|n| _ = store.append(vec![n]));
        let oldest = store.oldest(3);
        assert_eq!(oldest.iter().map(|(_, chunk)| chunk[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(store.len(), 4);
        store.remove(oldest[1].0);
        assert_eq!(store.oldest(9).iter().map(|(_, chunk)| chunk[0]).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_oldest_go_and_are_counted_when_there_is_no_room() {
        let mut store = Store::new(Bounds { chunks: 3, bytes: 10 });
        (0..5).for_each(|n| _ = store.append(vec![n; 2]));
        assert_eq!((store.len(), store.dropped()), (3, 2));
        store.append(vec![9; 8]);
        assert_eq!((store.len(), store.dropped()), (2, 4));
        store.append(vec![9; 11]);
        assert_eq!((store.len(), store.dropped()), (2, 5));
    }
}
