//! The outbox's dealings with the disk: what goes there, what was found there, what comes back and when. Must not know in
//! which order messages leave.

use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;

use super::letter::{self, Letter};
use super::segment::{Content, Disk, Segment, Slot};
use super::{Action, Outbox, Place, RETRY, size};
use crate::ledger::outbox::Head;

impl Outbox {
    /// The disk is there, with what an earlier daemon left on it.
    pub fn opened(&mut self, now: Mono, now_ms: i64, heads: Vec<Head>) {
        let last = heads.iter().map(|head| head.id).max().unwrap_or(0);
        self.next_chunk = Some(self.next_chunk.unwrap_or(0).max(last + 1));
        // From the latest to the earliest, each before what is there already.
        for head in heads.into_iter().rev() {
            if self.chunks.contains_key(&head.id) {
                continue;
            }
            let rank = usize::from(head.rank).min(self.ranks.len() - 1);
            self.first_number[rank] -= i64::from(head.messages);
            let first = self.first_number[rank];
            let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(head.made_ms)).unwrap_or(0));
            let mut segment = Segment::new(first, now, self.bounds.age.saturating_sub(age));
            (segment.len, segment.left) = (size(head.messages), size(head.messages));
            (segment.bytes, segment.made_ms) = (head.bytes, head.made_ms);
            (segment.disk, segment.content) = (Disk::Stored(head.id), Content::Away);
            for (at, digest) in &head.newest {
                self.latest.entry(*digest).or_insert(Place { rank, number: first + i64::from(*at) });
            }
            (self.level.rows, self.level.bytes) =
                (self.level.rows + u64::from(head.messages), self.level.bytes + head.bytes);
            self.level.stored += u64::from(head.messages);
            self.chunks.insert(head.id, (rank, first));
            self.shelf.put(rank, head.id, head.newest.iter().map(|(_, digest)| *digest).collect());
            self.ranks[rank].push_front(segment);
        }
        self.keep_bounds();
        if self.connected {
            self.prefetch();
        }
    }

    /// A chunk is on the disk.
    pub fn written(&mut self, id: i64) {
        self.writing = self.writing.saturating_sub(1);
        let Some((rank, first)) = self.chunks.get(&id).copied() else { return };
        let Some(segment) = self.segment_mut(Place { rank, number: first }) else { return };
        segment.disk = Disk::Stored(id);
        let (left, bytes, untouched) = (segment.left as u64, segment.bytes, segment.next == 0);
        let (mut jobs, mut covers) = (Vec::new(), Vec::new());
        if let Content::Here(slots) = &mut segment.content {
            for slot in slots.iter_mut().flatten() {
                jobs.append(&mut slot.jobs);
                covers.append(&mut slot.covers);
            }
        }
        self.level.stored += left;
        self.unsaved = self.unsaved.saturating_sub(bytes);
        self.safe(rank, jobs, covers);
        let is_first = self.ranks[rank].front().is_some_and(|segment| segment.first == first);
        if self.memory > self.bounds.memory_bytes && untouched && !is_first {
            self.memory = self.memory.saturating_sub(bytes);
            if let Some(segment) = self.segment_mut(Place { rank, number: first }) {
                segment.content = Content::Away;
            }
        }
    }

    /// A chunk could not be written; it is tried again in a while.
    pub fn failed(&mut self, now: Mono, id: i64) {
        self.writing = self.writing.saturating_sub(1);
        self.held_until = Some(now.after(RETRY));
        let Some((rank, first)) = self.chunks.remove(&id) else { return };
        self.shelf.take_back(rank, id);
        if let Some(segment) = self.segment_mut(Place { rank, number: first }) {
            segment.disk = Disk::No;
            let since = segment.since;
            self.unwritten.insert((since, rank, first));
        }
    }

    /// A chunk is gone from the disk.
    pub fn removed(&mut self, id: i64) {
        self.shelf.removed(id);
    }

    /// What was read of a chunk.
    pub fn fetched(&mut self, now: Mono, id: i64, content: Option<Bytes>) {
        let Some((rank, first)) = self.chunks.get(&id).copied() else { return };
        let Some(segment) = self.segment(Place { rank, number: first }) else { return };
        let (len, before, bytes) = (segment.len, segment.left as u64, segment.bytes);
        let Some(letters) = content.as_deref().and_then(letter::read) else {
            self.level.unreadable += before;
            return self.remove_segment(rank, first);
        };
        let mut slots: Vec<Option<Slot>> = Vec::new();
        slots.resize_with(len, || None);
        let (mut left, mut bytes_left) = (0, 0);
        for (at, letter) in letters {
            let number = first + i64::from(at);
            let newer = self.latest.get(&letter.topic_digest()).filter(|place| place.number > number).copied();
            let newer = newer.filter(|_| letter.newest);
            let covered = newer.is_some_and(|newer| self.cover(newer, number));
            if newer.is_some() && !covered {
                self.level.replaced += 1;
            } else if let Some(slot) = slots.get_mut(size(at)) {
                (left, bytes_left) = (left + 1, bytes_left + letter.bytes());
                *slot = Some(Slot { covered, restored: true, ..Slot::new(letter, now) });
            }
        }
        let gone = before.saturating_sub(left);
        (self.level.rows, self.level.bytes) =
            (self.level.rows.saturating_sub(gone), (self.level.bytes + bytes_left).saturating_sub(bytes));
        self.level.stored = self.level.stored.saturating_sub(gone);
        self.memory += bytes_left;
        if let Some(segment) = self.segment_mut(Place { rank, number: first }) {
            segment.content = Content::Here(slots);
            (segment.left, segment.bytes, segment.next) = (usize::try_from(left).unwrap_or(0), bytes_left, 0);
        }
        if left == 0 {
            self.remove_segment(rank, first);
        }
        self.prefetch();
    }

    /// Whether `newer`, which takes the place of a message on the disk, is not safe yet; that message is then let go with it.
    fn cover(&mut self, newer: Place, number: i64) -> bool {
        let Some(segment) = self.segment_mut(newer) else { return false };
        let stored = matches!(segment.disk, Disk::Stored(_));
        let slot = segment.get_mut(newer.number).filter(|_| !stored);
        slot.map(|slot| slot.covers.push(number)).is_some()
    }

    pub(super) fn write(&mut self, place: Place) {
        let Some(id) = self.next_chunk else { return };
        let Some(segment) = self.segment_mut(place) else { return };
        let durable = segment.slots().filter(|(_, slot)| slot.letter.is_durable());
        let letters: Vec<(u32, &Letter)> =
            durable.filter_map(|(at, slot)| Some((u32::try_from(at).ok()?, &slot.letter))).collect();
        if letters.is_empty() {
            return;
        }
        let newest = letters.iter().filter(|(_, letter)| letter.newest);
        let newest: Vec<(u32, u64)> = newest.map(|(at, letter)| (*at, letter.topic_digest())).collect();
        let Some(content) = letter::write(letters.into_iter()) else { return };
        let head = Head {
            id,
            rank: u8::try_from(place.rank).unwrap_or(u8::MAX),
            made_ms: segment.made_ms,
            messages: u32::try_from(segment.len).unwrap_or(u32::MAX),
            bytes: segment.bytes,
            newest,
        };
        segment.disk = Disk::Writing(id);
        self.shelf.put(place.rank, id, head.newest.iter().map(|(_, digest)| *digest).collect());
        self.next_chunk = Some(id + 1);
        self.chunks.insert(id, (place.rank, place.number));
        self.writing += 1;
        self.actions.push_back(Action::Write(head, content));
    }

    /// Asks for what is next, and for what comes after it.
    pub(super) fn prefetch(&mut self) {
        if !self.connected {
            return;
        }
        for segments in &mut self.ranks {
            let Some(at) = segments.iter().position(|segment| !segment.is_handed_out()) else { continue };
            for segment in segments.iter_mut().skip(at).take(2) {
                if let (Content::Away, Disk::Stored(id)) = (&segment.content, segment.disk) {
                    segment.content = Content::Coming;
                    self.actions.push_back(Action::Fetch(id));
                }
            }
        }
    }
}
