//! The store on disk: what no host heard outlives the daemon. What was kept within a second is written together.
//!
//! The queue in memory is what is given out; the disk has the same in packs. A pack goes when nothing of it is in the queue any
//! more, so after a kill a part of a pack may be told again, as results of the same time.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use edge_core::Mono;
use tokio::sync::mpsc;

use super::store::{Bounds, ChunkId, Store};
use crate::driver::chain;
use crate::ledger::outbox::{Head, OutboxFile, Report};

/// How long what was kept waits for company before it is written.
const PAUSE: Duration = Duration::from_secs(1);
/// Reports of the disk that wait.
const REPORTS: usize = 64;
/// How long the disk may take at the start.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// The queue, and its disk.
#[derive(Debug)]
pub struct Kept {
    store: Store,
    file: Option<OutboxFile>,
    pub reports: mpsc::Receiver<Report>,
    next_pack: i64,
    /// Packs on the disk, each with its last chunk.
    packs: VecDeque<(i64, ChunkId)>,
    /// Not written yet.
    pending: Vec<(ChunkId, Vec<u8>)>,
    due: Option<Mono>,
    /// Why the disk does not take it; empty if it does.
    pub fault: String,
}

impl Kept {
    /// Opens the file and reads what an earlier daemon left; without it, what is kept is lost with the process, which is said.
    pub async fn open(path: &Path, bounds: Bounds) -> Kept {
        let (sender, reports) = mpsc::channel(REPORTS);
        let (file, fault) = match OutboxFile::start(path, sender) {
            Ok(file) => (Some(file), String::new()),
            Err(error) => (None, chain(&error)),
        };
        let (packs, pending) = (VecDeque::new(), Vec::new());
        let mut kept =
            Kept { store: Store::new(bounds), file, reports, next_pack: 1, packs, pending, due: None, fault };
        if kept.file.is_some() && tokio::time::timeout(DISK_LIMIT, kept.load()).await.is_err() {
            kept.fault = format!("the disk did not answer within {} s", DISK_LIMIT.as_secs());
        }
        if !kept.fault.is_empty() {
            tracing::error!(fault = %kept.fault, "results for SCADA hosts are kept in memory alone");
        }
        kept
    }

    async fn load(&mut self) {
        let heads = match self.reports.recv().await {
            Some(Report::Opened { chunks, moved }) => {
                if let Some((aside, why)) = moved {
                    tracing::error!(%why, aside = %aside.display(), "results for SCADA hosts were unreadable");
                }
                chunks
            }
            Some(Report::Shut(shut)) => {
                self.fault = shut.what;
                return;
            }
            _ => return,
        };
        for Head { id, .. } in heads {
            self.next_pack = self.next_pack.max(id + 1);
            if self.file.as_ref().is_none_or(|file| file.fetch(id).is_err()) {
                continue;
            }
            if let Some(Report::Fetched(_, Some(content))) = self.reports.recv().await {
                let chunks: Vec<Vec<u8>> = postcard::from_bytes(&content).unwrap_or_else(|error| {
                    tracing::error!(%error, pack = id, "read results for SCADA hosts");
                    Vec::new()
                });
                let last = chunks.into_iter().filter_map(|chunk| self.store.append(chunk)).last();
                self.packs.extend(last.map(|last| (id, last)));
            }
        }
        self.forget();
    }

    /// Puts a chunk behind the others.
    pub fn append(&mut self, now: Mono, chunk: Vec<u8>) {
        let Some(id) = self.store.append(chunk.clone()) else { return };
        if self.file.is_some() {
            self.pending.push((id, chunk));
            self.due.get_or_insert(now.after(PAUSE));
        }
        self.forget();
    }

    /// The oldest chunks, at most `most`.
    pub fn oldest(&self, most: usize) -> Vec<(ChunkId, Vec<u8>)> {
        self.store.oldest(most)
    }

    /// Takes out every chunk up to this one.
    pub fn remove(&mut self, through: ChunkId) {
        self.store.remove(through);
        self.forget();
    }

    /// The queue.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// When something is to be written.
    pub fn next_due(&self) -> Option<Mono> {
        self.due
    }

    /// Writes what has waited long enough.
    pub fn tick(&mut self, now: Mono) {
        if self.due.is_some_and(|due| due <= now) {
            self.flush();
        }
    }

    /// The disk spoke.
    pub fn on_report(&mut self, report: Report) {
        match report {
            Report::Failed(id, why) => {
                if self.fault.is_empty() {
                    tracing::error!(%why, "write results for SCADA hosts");
                }
                self.packs.retain(|(pack, _)| *pack != id);
                self.fault = why;
            }
            Report::Shut(shut) => self.fault = shut.what,
            Report::Written(_) | Report::Opened { .. } => self.fault.clear(),
            Report::Removed(_) | Report::Fetched(..) => {}
        }
    }

    /// Writes all that is not written. Blocks on the disk for that long: not for the loop.
    pub fn close(mut self) {
        self.flush();
        if let Some(file) = self.file {
            file.close(self.reports);
        }
    }

    fn flush(&mut self) {
        self.due = None;
        let pending = std::mem::take(&mut self.pending);
        let (Some(file), Some((last, _))) = (&self.file, pending.last()) else { return };
        let last = *last;
        let chunks: Vec<&Vec<u8>> = pending.iter().map(|(_, chunk)| chunk).collect();
        let written = postcard::to_stdvec(&chunks).map_err(|error| error.to_string()).and_then(|content| {
            let head = Head {
                id: self.next_pack,
                rank: 0,
                made_ms: 0,
                messages: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
                bytes: content.len() as u64,
                newest: Vec::new(),
            };
            file.write(head, content.into()).map_err(|why| format!("{why:?}"))
        });
        match written {
            Ok(()) => {
                self.packs.push_back((self.next_pack, last));
                self.next_pack += 1;
            }
            Err(why) => self.fault = why,
        }
    }

    /// Lets go what is in the queue no more.
    fn forget(&mut self) {
        let first = self.store.first().unwrap_or(ChunkId::MAX);
        self.pending.retain(|(id, _)| *id >= first);
        while let Some((pack, _)) = self.packs.pop_front_if(|(_, last)| *last < first) {
            if let Some(file) = &self.file
                && let Err(why) = file.remove(pack)
            {
                tracing::debug!(?why, pack, "a pack of results is not removed yet");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { chunks: 5, bytes: 1000 };

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn queue(kept: &Kept) -> Vec<u8> {
        kept.oldest(9).into_iter().map(|(_, chunk)| chunk[0]).collect()
    }

    #[tokio::test]
    async fn what_no_host_heard_outlives_the_daemon_and_what_was_told_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparkplug.db");
        let mut kept = Kept::open(&path, BOUNDS).await;
        (0..3).for_each(|n| kept.append(at(0), vec![n]));
        kept.tick(at(1));
        (3..5).for_each(|n| kept.append(at(1), vec![n]));
        kept.tick(at(2));
        for _ in 0..2 {
            let report = kept.reports.recv().await.unwrap();
            kept.on_report(report);
        }
        // The first pack is told whole, the second in part; the last one waits for its second.
        let told = kept.oldest(4)[3].0;
        kept.remove(told);
        kept.append(at(2), vec![9]);
        tokio::task::spawn_blocking(move || kept.close()).await.unwrap();
        let kept = Kept::open(&path, BOUNDS).await;
        assert_eq!((queue(&kept), kept.fault.as_str()), (vec![3, 4, 9], ""));
        // Of more than there is room for the oldest go, on the disk, too.
        let mut kept = kept;
        (20..24).for_each(|n| kept.append(at(0), vec![n]));
        assert_eq!(queue(&kept), [9, 20, 21, 22, 23]);
        tokio::task::spawn_blocking(move || kept.close()).await.unwrap();
        let kept = Kept::open(&path, BOUNDS).await;
        assert_eq!(queue(&kept), [9, 20, 21, 22, 23]);
    }

    #[tokio::test]
    async fn a_disk_that_cannot_be_used_is_said_and_the_queue_works_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(dir.path(), BOUNDS).await;
        assert!(!kept.fault.is_empty());
        kept.append(at(0), vec![1]);
        kept.tick(at(5));
        assert_eq!(queue(&kept), [1]);
    }
}
