//! Messages for subscribers (results of bindings, events) until the broker has them, over outages and restarts: a pure state
//! machine.
//!
//! Decides in which order they leave, which of them go to the disk and when, which of them are given up at which bound, and
//! when the request behind one is over: as soon as the broker has the message or the disk has it. Most messages never see the
//! disk: what the broker takes within a short pause needs none. During an outage they go there in segments, as many as come
//! within a pause, and only as much of it as fits a bound stays in memory. Within a rank (priority) order is kept. Must not
//! know what a message says, how it travels, or what a disk is.
//!
//! ```text
//! posted ──► in memory ──► handed out ──► settled: the broker has it, or never takes it
//!                │  ▲           (again from the window after a lost connection)
//!      (pause)   ▼  │ (its turn)
//!              on disk ──► given up: too old, or the outbox is full
//! ```

mod disk;
mod letter;
mod places;
mod segment;
mod shelf;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edge_core::{Mono, Priority};

pub use self::letter::{Letter, digest};
use self::segment::{Disk, Segment, Slot};
use self::shelf::Shelf;
use super::packet::Outbound;
use super::session::JobId;
use crate::ledger::outbox::Head;

/// A message that leaves so long after it was made says that it is late.
const LATE: Duration = Duration::from_secs(2);
/// How long after a failed attempt to write the next is made.
const RETRY: Duration = Duration::from_secs(2);
/// So many times the bound of what stays in memory may wait for a disk that takes nothing.
const WITHOUT_DISK: u64 = 4;

/// What it keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages that wait at most.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How long one waits at most.
    pub age: Duration,
    /// Bytes that stay in memory besides lying on disk.
    pub memory_bytes: u64,
    /// How long a message waits for company before it goes to the disk while there is a connection, and while there is none.
    pub pause_connected: Duration,
    pub pause_alone: Duration,
}

/// Where a message is: its rank and its number in the order of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    rank: usize,
    number: i64,
}

/// What the transport is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this to the disk; answered by [`Outbox::written`] or [`Outbox::failed`].
    Write(Head, Bytes),
    /// Read it; answered by [`Outbox::fetched`].
    Fetch(i64),
    /// Forget it; answered by [`Outbox::removed`]. Never before what was to be forgotten earlier.
    Remove(i64),
    /// All messages of this request are with the broker or on the disk.
    Safe(JobId),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Accepted,
    /// The broker does not take it.
    Refused,
}

/// How full it is, and what happened since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub rows: u64,
    pub bytes: u64,
    /// Of `rows` those that are on disk.
    pub stored: u64,
    /// Given to the broker.
    pub sent: u64,
    /// Of these the ones that were late.
    pub late: u64,
    /// Given up because the outbox was full.
    pub dropped: u64,
    /// Given up because they were too old.
    pub expired: u64,
    /// Not needed any more, as a newer one of the topic came.
    pub replaced: u64,
    /// Not taken by the broker.
    pub refused: u64,
    /// On disk, and unreadable.
    pub unreadable: u64,
    /// Of QoS 0, made while there was no connection.
    pub unsent: u64,
}

/// The outbox.
#[derive(Debug)]
pub struct Outbox {
    bounds: Bounds,
    /// By rank, the highest first.
    ranks: [VecDeque<Segment>; 3],
    /// Numbers of each rank: the next, and the lowest that was given to what an earlier daemon left.
    next_number: [i64; 3],
    first_number: [i64; 3],
    /// `None` until it is known what is on the disk.
    next_chunk: Option<i64>,
    chunks: HashMap<i64, (usize, i64)>,
    shelf: Shelf,
    /// Segments that are not written, by when their first message came.
    unwritten: BTreeSet<(Mono, usize, i64)>,
    writing: usize,
    held_until: Option<Mono>,
    /// Messages of each request that are not safe.
    jobs: HashMap<JobId, u32>,
    /// By digest of the topic the latest message of those that replace each other.
    latest: HashMap<u64, Place>,
    /// Bytes in memory; of these the ones that are nowhere else.
    memory: u64,
    unsaved: u64,
    level: Level,
    connected: bool,
    stopping: bool,
    actions: VecDeque<Action>,
}

impl Outbox {
    /// An empty one, that does not know yet what is on the disk.
    pub fn new(bounds: Bounds) -> Outbox {
        Outbox {
            bounds,
            ranks: Default::default(),
            next_number: [0; 3],
            first_number: [0; 3],
            next_chunk: None,
            chunks: HashMap::new(),
            shelf: Shelf::default(),
            unwritten: BTreeSet::new(),
            writing: 0,
            held_until: None,
            jobs: HashMap::new(),
            latest: HashMap::new(),
            memory: 0,
            unsaved: 0,
            level: Level::default(),
            connected: false,
            stopping: false,
            actions: VecDeque::new(),
        }
    }

    /// How full it is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// There is a connection.
    pub fn connected(&mut self) {
        self.connected = true;
        self.prefetch();
    }

    /// There is none any more. Of QoS 0 nothing waits for the next one.
    pub fn lost(&mut self) {
        self.connected = false;
        for rank in 0..self.ranks.len() {
            let of = |segment: &Segment| {
                let waits = segment.slots().filter(|(at, slot)| *at >= segment.next && !slot.letter.is_durable());
                waits.map(|(at, _)| segment.first + i64::try_from(at).unwrap_or(0)).collect::<Vec<i64>>()
            };
            let unsent: Vec<i64> = self.ranks[rank].iter().flat_map(of).collect();
            self.level.unsent += unsent.len() as u64;
            for number in unsent {
                if let Some(slot) = self.take_out(Place { rank, number }) {
                    self.safe(rank, slot.jobs, slot.covers);
                }
            }
        }
    }

    /// A request is over when it was posted for so many times, and all its messages are safe.
    pub fn expect(&mut self, job: JobId, parts: u32) {
        *self.jobs.entry(job).or_default() += parts;
    }

    /// One part less of what was expected for a request: nothing comes of it.
    pub fn part_over(&mut self, job: JobId) {
        self.release(job);
    }

    /// Takes messages in; with a `job` they are one part of what is expected for it.
    pub fn post(&mut self, now: Mono, rank: Priority, letters: Vec<Letter>, job: Option<JobId>) {
        let rank = index(rank);
        if let Some(job) = job {
            let durable = letters.iter().filter(|letter| letter.is_durable()).count();
            self.expect(job, u32::try_from(durable).unwrap_or(u32::MAX));
        }
        for letter in letters {
            if !letter.is_durable() && !self.connected {
                self.level.unsent += 1;
                continue;
            }
            let jobs = job.filter(|_| letter.is_durable()).into_iter().collect();
            self.push(now, rank, Slot { jobs, ..Slot::new(letter, now) });
        }
        if let Some(job) = job {
            self.release(job);
        }
        self.keep_bounds();
    }

    fn push(&mut self, now: Mono, rank: usize, mut slot: Slot) {
        let place = Place { rank, number: self.next_number[rank] };
        self.next_number[rank] += 1;
        if slot.letter.newest
            && let Some(before) = self.latest.insert(slot.letter.topic_digest(), place)
        {
            self.replace(before, &mut slot);
        }
        let bytes = slot.letter.bytes();
        (self.level.rows, self.level.bytes) = (self.level.rows + 1, self.level.bytes + bytes);
        (self.memory, self.unsaved) = (self.memory + bytes, self.unsaved + bytes);
        // A segment is a small part of what may wait, as it is given up as a whole.
        let most = self.bounds.rows / 4;
        let fits = |last: &Segment| {
            last.has_room() && (last.len as u64) < most.max(1) && last.bytes < (self.bounds.bytes / 4).max(1)
        };
        let segments = &mut self.ranks[rank];
        let joins = segments.back().is_some_and(|last| fits(last) && contiguous(last, place.number));
        if !joins {
            segments.push_back(Segment::new(place.number, now, self.bounds.age));
            self.unwritten.insert((now, rank, place.number));
        }
        if let Some(last) = segments.back_mut() {
            last.push(slot);
        }
    }

    /// A message that was not handed out yet makes room for a later one of its topic. What is on the disk stays there until the
    /// later one is safe.
    fn replace(&mut self, before: Place, slot: &mut Slot) {
        let Some(segment) = self.segment_mut(before).filter(|segment| segment.awaits(before.number)) else { return };
        if segment.disk == Disk::No {
            if let Some(replaced) = self.take_out(before) {
                self.level.replaced += 1;
                slot.jobs.extend(replaced.jobs);
                slot.covers.extend(replaced.covers);
            }
        } else if let Some(replaced) = segment.get_mut(before.number) {
            replaced.covered = true;
            slot.covers.push(before.number);
        }
    }

    /// The next message to send, with its place; it stays here until [`Outbox::end`].
    pub fn next(&mut self, now: Mono) -> Option<(Place, Outbound)> {
        let (rank, at) = self.front()?;
        let segment = self.ranks[rank].get_mut(at)?;
        let (number, slot) = segment.hand_out()?;
        let mut message = slot.letter.message.clone();
        if slot.restored || now.since(slot.posted) >= LATE {
            message = Letter::late(message);
            self.level.late += 1;
        }
        self.prefetch();
        Some((Place { rank, number }, message))
    }

    /// Whether [`next`](Outbox::next) would give something.
    pub fn is_ready(&self) -> bool {
        self.front().is_some()
    }

    /// What became of a message that was handed out.
    pub fn end(&mut self, place: Place, end: End) {
        let Some(slot) = self.take_out(place) else { return };
        match end {
            End::Accepted => self.level.sent += 1,
            End::Refused => self.level.refused += 1,
        }
        self.safe(place.rank, slot.jobs, slot.covers);
    }

    /// Time passed.
    pub fn tick(&mut self, now: Mono) {
        for rank in 0..self.ranks.len() {
            while self.ranks[rank].front().is_some_and(|segment| segment.until <= now) {
                self.level.expired += self.give_up(rank, 0);
            }
        }
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        let due = |since: Mono, pause: Duration| since.after(pause) <= now;
        while self.next_chunk.is_some()
            && self.held_until.is_none()
            && let Some((since, rank, first)) = self.unwritten.first().copied()
            && due(since, self.pause())
        {
            self.unwritten.pop_first();
            self.write(Place { rank, number: first });
        }
    }

    /// When to call [`tick`](Outbox::tick) next.
    pub fn next_tick(&self) -> Option<Mono> {
        let first = self.unwritten.first().filter(|_| self.next_chunk.is_some());
        let write = first.map(|(since, ..)| since.after(self.pause()).max(self.held_until.unwrap_or(*since)));
        let until = self.ranks.iter().filter_map(|segments| segments.front()).map(|segment| segment.until);
        write.into_iter().chain(until).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// From now on nothing waits for company.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether nothing would be lost if the daemon ended now.
    pub fn is_safe(&self) -> bool {
        self.unwritten.is_empty() && self.writing == 0
    }

    /// Whether the disk is known and takes what it is given.
    pub fn has_disk(&self) -> bool {
        self.next_chunk.is_some() && self.held_until.is_none()
    }

    /// Whether nothing waits at all.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.level.rows == 0
    }

    fn pause(&self) -> Duration {
        match (self.stopping, self.connected) {
            (true, _) => Duration::ZERO,
            (false, true) => self.bounds.pause_connected,
            (false, false) => self.bounds.pause_alone,
        }
    }

    /// Where the next message is: rank and position of its segment. What is on the disk alone, and what must be there before it
    /// is sent, holds back what is behind it.
    fn front(&self) -> Option<(usize, usize)> {
        self.ranks.iter().enumerate().find_map(|(rank, segments)| {
            let at = segments.iter().position(|segment| !segment.is_handed_out())?;
            let segment = segments.get(at)?;
            let slot = segment.peek()?;
            let safe = matches!(segment.disk, Disk::Stored(_)) || !slot.letter.is_durable();
            // A disk that takes nothing holds nothing back.
            let held = slot.letter.newest && !safe && self.held_until.is_none();
            (!held || !self.shelf.holds(slot.letter.topic_digest())).then_some((rank, at))
        })
    }
}

/// Whether a message with this number may follow in the segment.
fn contiguous(segment: &Segment, number: i64) -> bool {
    segment.first + long(segment.len) == number
}

fn index(rank: Priority) -> usize {
    match rank {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn long(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub mod tests;
