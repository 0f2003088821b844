//! Where a message is, how it is taken out of there, and what goes when there is no room for all.

use std::collections::VecDeque;

use super::segment::{Content, Disk, Segment, Slot};
use super::{Action, Outbox, Place, WITHOUT_DISK, long};
use crate::transport::mqtt::session::JobId;

impl Outbox {
    pub(super) fn keep_bounds(&mut self) {
        while self.level.rows > self.bounds.rows || self.level.bytes > self.bounds.bytes {
            // The lowest rank first, and of it the oldest.
            let Some(rank) = (0..self.ranks.len()).rev().find(|rank| !self.ranks[*rank].is_empty()) else { return };
            self.level.dropped += self.give_up(rank, 0);
        }
        while self.unsaved > self.bounds.memory_bytes.saturating_mul(WITHOUT_DISK) {
            let unsaved = |segments: &VecDeque<Segment>| {
                segments.iter().position(|segment| !matches!(segment.disk, Disk::Stored(_)))
            };
            let oldest = (0..self.ranks.len()).rev().find_map(|rank| Some((rank, unsaved(&self.ranks[rank])?)));
            let Some((rank, at)) = oldest else { return };
            self.level.dropped += self.give_up(rank, at);
        }
    }

    /// Lets a segment go; gives how many messages that were.
    pub(super) fn give_up(&mut self, rank: usize, at: usize) -> u64 {
        let Some(segment) = self.ranks[rank].get(at) else { return 0 };
        let (first, left) = (segment.first, segment.left as u64);
        self.remove_segment(rank, first);
        left
    }

    pub(super) fn take_out(&mut self, place: Place) -> Option<Slot> {
        let segment = self.segment_mut(place)?;
        let slot = segment.settle(place.number)?;
        let (stored, left, first) = (matches!(segment.disk, Disk::Stored(_)), segment.left, segment.first);
        let bytes = slot.letter.bytes();
        (self.level.rows, self.level.bytes) = (self.level.rows - 1, self.level.bytes.saturating_sub(bytes));
        self.memory = self.memory.saturating_sub(bytes);
        match stored {
            true => self.level.stored = self.level.stored.saturating_sub(1),
            false => self.unsaved = self.unsaved.saturating_sub(bytes),
        }
        if slot.letter.newest {
            let digest = slot.letter.topic_digest();
            if self.latest.get(&digest) == Some(&place) {
                self.latest.remove(&digest);
            }
        }
        if left == 0 {
            self.remove_segment(place.rank, first);
        }
        Some(slot)
    }

    pub(super) fn remove_segment(&mut self, rank: usize, first: i64) {
        let at = self.ranks[rank].partition_point(|segment| segment.first < first);
        let Some(segment) = self.ranks[rank].remove(at) else { return };
        self.unwritten.remove(&(segment.since, rank, first));
        let (left, bytes) = (segment.left as u64, segment.bytes);
        (self.level.rows, self.level.bytes) =
            (self.level.rows.saturating_sub(left), self.level.bytes.saturating_sub(bytes));
        match segment.disk {
            Disk::Stored(id) => {
                self.level.stored = self.level.stored.saturating_sub(left);
                self.forget(rank, id);
            }
            // The orders keep their order: it is written, then removed.
            Disk::Writing(id) => {
                self.unsaved = self.unsaved.saturating_sub(bytes);
                self.forget(rank, id);
            }
            Disk::No => self.unsaved = self.unsaved.saturating_sub(bytes),
        }
        if let Content::Here(slots) = segment.content {
            self.memory = self.memory.saturating_sub(bytes);
            slots.into_iter().flatten().for_each(|slot| self.safe(rank, slot.jobs, slot.covers));
        }
        if left > 0 {
            let numbers = first..first + long(segment.len);
            self.latest.retain(|_, place| place.rank != rank || !numbers.contains(&place.number));
        }
        self.prefetch();
    }

    pub(super) fn forget(&mut self, rank: usize, id: i64) {
        self.chunks.remove(&id);
        self.actions.extend(self.shelf.release(rank, id).into_iter().map(Action::Remove));
    }

    /// A message needs no more care: what waited for that is over.
    pub(super) fn safe(&mut self, rank: usize, mut jobs: Vec<JobId>, mut covers: Vec<i64>) {
        while let Some(number) = covers.pop() {
            if let Some(covered) = self.take_out(Place { rank, number }) {
                self.level.replaced += 1;
                jobs.extend(covered.jobs);
                covers.extend(covered.covers);
            }
        }
        jobs.into_iter().for_each(|job| self.release(job));
    }

    pub(super) fn release(&mut self, job: JobId) {
        let Some(left) = self.jobs.get_mut(&job) else { return };
        *left -= 1;
        if *left == 0 {
            self.jobs.remove(&job);
            self.actions.push_back(Action::Safe(job));
        }
    }

    pub(super) fn position(&self, place: Place) -> Option<usize> {
        let after = self.ranks[place.rank].partition_point(|segment| segment.first <= place.number);
        after.checked_sub(1)
    }

    pub(super) fn segment(&self, place: Place) -> Option<&Segment> {
        self.ranks[place.rank].get(self.position(place)?)
    }

    pub(super) fn segment_mut(&mut self, place: Place) -> Option<&mut Segment> {
        let at = self.position(place)?;
        self.ranks[place.rank].get_mut(at)
    }
}
