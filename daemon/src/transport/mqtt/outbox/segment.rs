//! A run of messages of one rank that goes to the disk, and from it, as a whole. Pure.

use std::time::Duration;

use edge_core::Mono;

use super::letter::Letter;
use crate::transport::mqtt::session::JobId;

/// Messages and bytes of one segment at most.
const MOST: usize = 1024;
const MOST_BYTES: u64 = 256 << 10;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) letter: Letter,
    /// Which requests are over only when this is safe: its own, and those of messages whose place it took.
    pub(super) jobs: Vec<JobId>,
    /// Messages on disk that are not needed any more once this is safe.
    pub(super) covers: Vec<i64>,
    /// A later one took its place, and is not safe yet: it is not handed out.
    pub(super) covered: bool,
    pub(super) posted: Mono,
    /// It was on the disk when the daemon started.
    pub(super) restored: bool,
}

impl Slot {
    pub(super) fn new(letter: Letter, posted: Mono) -> Slot {
        Slot { letter, jobs: Vec::new(), covers: Vec::new(), covered: false, posted, restored: false }
    }
}

/// What the disk has of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    No,
    /// Under this number, but not safe yet.
    Writing(i64),
    Stored(i64),
}

/// Where its messages are.
#[derive(Debug)]
pub(super) enum Content {
    /// In memory; those that are settled are empty.
    Here(Vec<Option<Slot>>),
    /// On the disk alone.
    Away,
    /// The disk was asked for it.
    Coming,
}

/// The run.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number of its first message; the others follow.
    pub(super) first: i64,
    pub(super) len: usize,
    /// Of messages that are not settled.
    pub(super) left: usize,
    pub(super) bytes: u64,
    /// The next one that was not handed out yet.
    pub(super) next: usize,
    /// When its first was posted.
    pub(super) since: Mono,
    /// When it is given up.
    pub(super) until: Mono,
    /// When its youngest was made, wall clock.
    pub(super) made_ms: i64,
    pub(super) disk: Disk,
    pub(super) content: Content,
}

impl Segment {
    pub(super) fn new(first: i64, now: Mono, age: Duration) -> Segment {
        Segment {
            first,
            len: 0,
            left: 0,
            bytes: 0,
            next: 0,
            since: now,
            until: now.after(age),
            made_ms: i64::MIN,
            disk: Disk::No,
            content: Content::Here(Vec::new()),
        }
    }

    /// Whether one more may join.
    pub(super) fn has_room(&self) -> bool {
        self.disk == Disk::No && self.len < MOST && self.bytes < MOST_BYTES && matches!(self.content, Content::Here(_))
    }

    pub(super) fn push(&mut self, slot: Slot) {
        if let Content::Here(slots) = &mut self.content {
            self.made_ms = self.made_ms.max(slot.letter.made_ms);
            self.bytes += slot.letter.bytes();
            slots.push(Some(slot));
            self.len += 1;
            self.left += 1;
        }
    }

    /// Whether everything in it was handed out or is settled.
    pub(super) fn is_handed_out(&self) -> bool {
        match &self.content {
            Content::Here(slots) => !slots.get(self.next..).unwrap_or_default().iter().any(is_due),
            Content::Away | Content::Coming => false,
        }
    }

    /// The next message that was not handed out.
    pub(super) fn peek(&self) -> Option<&Slot> {
        let Content::Here(slots) = &self.content else { return None };
        slots.get(self.next..)?.iter().find(|slot| is_due(slot))?.as_ref()
    }

    /// The same, with its number, and hands it out; it stays here until it is settled.
    pub(super) fn hand_out(&mut self) -> Option<(i64, &Slot)> {
        let Content::Here(slots) = &self.content else { return None };
        let skipped = slots.get(self.next..)?.iter().position(is_due)?;
        let at = self.next + skipped;
        self.next = at + 1;
        let number = self.first + i64::try_from(at).ok()?;
        Some((number, slots.get(at)?.as_ref()?))
    }

    /// Takes a message out.
    pub(super) fn settle(&mut self, number: i64) -> Option<Slot> {
        let at = usize::try_from(number - self.first).ok()?;
        let Content::Here(slots) = &mut self.content else { return None };
        let slot = slots.get_mut(at)?.take()?;
        self.left -= 1;
        self.bytes = self.bytes.saturating_sub(slot.letter.bytes());
        Some(slot)
    }

    /// The message with this number, if it is in memory.
    pub(super) fn get_mut(&mut self, number: i64) -> Option<&mut Slot> {
        let at = usize::try_from(number - self.first).ok()?;
        let Content::Here(slots) = &mut self.content else { return None };
        slots.get_mut(at)?.as_mut()
    }

    /// Whether `number` is in it and was not handed out.
    pub(super) fn awaits(&self, number: i64) -> bool {
        usize::try_from(number - self.first).is_ok_and(|at| at >= self.next && at < self.len)
    }

    /// Those that are not settled, with their places.
    pub(super) fn slots(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let slots = match &self.content {
            Content::Here(slots) => slots.as_slice(),
            Content::Away | Content::Coming => &[],
        };
        slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }
}

/// Whether a message is to be handed out.
fn is_due(slot: &Option<Slot>) -> bool {
    slot.as_ref().is_some_and(|slot| !slot.covered)
}
