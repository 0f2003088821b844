//! Which file of a folder is taken next. Decides when a file is complete, the order, and that none is taken twice while it lies
//! there; must not know folders or a clock, but is told what lies there, and when.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use edge_core::Mono;
use edge_core::inbox::Stamp;

/// A file of which nobody told that it was closed or moved here is complete when it has not changed for so long.
pub const QUIET: Duration = Duration::from_millis(1500);
/// A file that is not complete holds back those behind it for so long, so that a folder is answered in the order of its names also
/// when the end of one was missed, as after a restart. Then it is passed: one that is written for ever must not stop the others.
pub const HOLDS: Duration = Duration::from_secs(5);
/// A file for which there was no room comes again after so long.
pub const AGAIN: Duration = Duration::from_millis(500);

/// One that could not be answered for a reason that passes, after so long.
pub const LATER: Duration = Duration::from_secs(30);

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may still be written; when it was first seen, and since when it looks so.
    Waiting { first: Mono, since: Mono, is_closed: bool },
    /// Its frame is under way.
    Taken,
    /// There was no room for it, until then.
    Later(Mono),
    /// It was answered, and lies there still: it is kept, or could not be removed.
    Settled,
    /// It cannot be taken as it is.
    Unfit,
}

/// The files of one folder.
#[derive(Debug, Default)]
pub struct Shelf {
    files: BTreeMap<OsString, (Stamp, State)>,
    taken: usize,
}

impl Shelf {
    /// What lies there now. What is gone is forgotten; what has changed is a new file.
    pub fn looked(&mut self, now: Mono, lying: &[(OsString, Stamp)]) {
        let mut before = std::mem::take(&mut self.files);
        for (name, stamp) in lying {
            let known = before.remove(name);
            let state = match known {
                Some((_, State::Taken)) => State::Taken,
                Some((old, state)) if old == *stamp => state,
                Some((old, State::Waiting { first, is_closed, .. })) => {
                    // Closed, and then seen for the first time; any other has grown.
                    State::Waiting { first, since: now, is_closed: is_closed && old == Stamp::default() }
                }
                Some(_) | None => State::Waiting { first: now, since: now, is_closed: false },
            };
            // Of one that is under way the stamp is that with which it was taken.
            let stamp = known.filter(|_| state == State::Taken).map_or(*stamp, |(old, _)| old);
            self.files.insert(name.clone(), (stamp, state));
        }
        // What is under way and gone is told of still.
        self.files.extend(before.into_iter().filter(|(_, (_, state))| *state == State::Taken));
    }

    /// The kernel says that nobody writes to this file any more.
    pub fn closed(&mut self, now: Mono, name: &OsStr) {
        match self.files.get_mut(name) {
            Some((_, State::Waiting { since, is_closed, .. })) => (*since, *is_closed) = (now, true),
            Some(_) => {}
            None => {
                let closed = State::Waiting { first: now, since: now, is_closed: true };
                self.files.insert(name.to_owned(), (Stamp::default(), closed));
            }
        }
    }

    /// The next file to be taken, the first by its name of those that are complete; none while one before it may still be written
    /// and was first seen less than [`HOLDS`] ago, or while one before it waits for room.
    pub fn next(&mut self, now: Mono) -> Option<(OsString, Stamp)> {
        for (name, (stamp, state)) in &mut self.files {
            let is_seen = *stamp != Stamp::default();
            let (is_due, holds) = match *state {
                State::Waiting { first, since, is_closed } => {
                    (is_seen && (is_closed || now.since(since) >= QUIET), now.since(first) < HOLDS)
                }
                State::Later(until) => (until <= now, true),
                State::Taken | State::Settled | State::Unfit => (false, false),
            };
            if is_due {
                *state = State::Taken;
                self.taken += 1;
                return Some((name.clone(), *stamp));
            }
            if holds {
                return None;
            }
        }
        None
    }

    /// Its frame was answered, and the file is to go.
    pub fn settled(&mut self, name: &OsStr) {
        self.ended(name, State::Settled);
    }

    /// There was no room for it.
    pub fn dropped(&mut self, now: Mono, name: &OsStr) {
        self.ended(name, State::Later(now.after(AGAIN)));
    }

    /// It could not be answered now.
    pub fn put_off(&mut self, now: Mono, name: &OsStr) {
        self.ended(name, State::Later(now.after(LATER)));
    }

    /// It cannot be taken until it changes.
    pub fn unfit(&mut self, name: &OsStr) {
        self.ended(name, State::Unfit);
    }

    /// Files that are under way.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Files that are answered and lie there still.
    pub fn left(&self) -> impl Iterator<Item = (&OsStr, Stamp)> {
        self.files
            .iter()
            .filter(|(_, (_, state))| *state == State::Settled)
            .map(|(name, (stamp, _))| (name.as_os_str(), *stamp))
    }

    /// Whether a file lies there that cannot be taken.
    pub fn has_unfit(&self) -> bool {
        self.files.values().any(|(_, state)| *state == State::Unfit)
    }

    fn ended(&mut self, name: &OsStr, end: State) {
        if let Some((_, state @ State::Taken)) = self.files.get_mut(name) {
            *state = end;
            self.taken = self.taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::default().after(Duration::from_millis(ms))
    }

    fn stamp(bytes: u64) -> Stamp {
        Stamp { file: 1, bytes, changed: 1 }
    }

    fn look(shelf: &mut Shelf, ms: u64, files: &[(&str, u64)]) {
        let lying: Vec<_> = files.iter().map(|(name, bytes)| (OsString::from(name), stamp(*bytes))).collect();
        shelf.looked(at(ms), &lying);
    }

    fn next(shelf: &mut Shelf, ms: u64) -> Option<String> {
        shelf.next(at(ms)).map(|(name, _)| name.into_string().unwrap())
    }

    #[test]
    fn files_are_taken_by_name_once_nobody_writes_to_them() {
        let mut shelf = Shelf::default();
        look(&mut shelf, 0, &[("b", 1), ("a", 1)]);
        assert_eq!(next(&mut shelf, 1400), None, "it may still be written");
        look(&mut shelf, 1400, &[("a", 2), ("b", 1)]);
        assert_eq!(next(&mut shelf, 1500), None, "the first one grew");
        assert_eq!(next(&mut shelf, 2900).as_deref(), Some("a"));
        assert_eq!(next(&mut shelf, 2900).as_deref(), Some("b"));
        assert_eq!((next(&mut shelf, 9000), shelf.taken()), (None, 2), "none is taken twice");
    }

    #[test]
    fn a_file_that_is_not_complete_holds_back_those_behind_it_but_not_for_ever() {
        let mut shelf = Shelf::default();
        look(&mut shelf, 0, &[("b", 1)]);
        shelf.closed(at(100), OsStr::new("c"));
        look(&mut shelf, 100, &[("b", 1), ("c", 1)]);
        assert_eq!(next(&mut shelf, 100), None, "the end of the one before it was missed, it may be complete");
        assert_eq!(next(&mut shelf, 1500).as_deref(), Some("b"));
        assert_eq!(next(&mut shelf, 1500).as_deref(), Some("c"));
        look(&mut shelf, 2000, &[("a", 1)]);
        shelf.closed(at(2000), OsStr::new("d"));
        for ms in (2100..8000).step_by(100) {
            look(&mut shelf, ms, &[("a", ms), ("d", 1)]);
            assert_eq!(next(&mut shelf, ms).as_deref(), (ms == 7000).then_some("d"), "{ms}");
        }
    }

    #[test]
    fn a_file_that_was_closed_or_moved_here_is_complete_at_once() {
        let mut shelf = Shelf::default();
        look(&mut shelf, 0, &[("a", 1)]);
        shelf.closed(at(10), OsStr::new("a"));
        shelf.closed(at(10), OsStr::new("b"));
        assert_eq!(next(&mut shelf, 10).as_deref(), Some("a"));
        assert_eq!(next(&mut shelf, 10), None, "not yet seen");
        look(&mut shelf, 20, &[("a", 1), ("b", 1)]);
        assert_eq!(next(&mut shelf, 20).as_deref(), Some("b"));
        shelf.closed(at(30), OsStr::new("a"));
        assert_eq!(next(&mut shelf, 30), None, "closed while it is under way");
    }

    #[test]
    fn what_becomes_of_a_frame_says_whether_its_file_comes_again() {
        let mut shelf = Shelf::default();
        look(&mut shelf, 0, &[("a", 1), ("b", 1), ("c", 1)]);
        for _ in 0..3 {
            next(&mut shelf, 2000);
        }
        shelf.settled(OsStr::new("a"));
        shelf.put_off(at(2000), OsStr::new("b"));
        assert_eq!(next(&mut shelf, 31_999), None);
        assert_eq!(next(&mut shelf, 32_000).as_deref(), Some("b"));
        shelf.dropped(at(2000), OsStr::new("b"));
        shelf.unfit(OsStr::new("c"));
        look(&mut shelf, 2100, &[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(shelf.left().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(next(&mut shelf, 2100), None);
        assert_eq!(next(&mut shelf, 2500).as_deref(), Some("b"));
        look(&mut shelf, 3000, &[("a", 2), ("b", 1), ("c", 2)]);
        assert_eq!(next(&mut shelf, 3000), None);
        assert_eq!(next(&mut shelf, 4500).as_deref(), Some("a"), "another file by that name");
        assert_eq!(next(&mut shelf, 4500).as_deref(), Some("c"));
        assert_eq!(shelf.taken(), 3);
    }

    #[test]
    fn a_file_that_goes_while_it_is_under_way_is_counted_until_it_is_answered() {
        let mut shelf = Shelf::default();
        look(&mut shelf, 0, &[("a", 1)]);
        assert_eq!(next(&mut shelf, 2000).as_deref(), Some("a"));
        look(&mut shelf, 2000, &[]);
        assert_eq!(shelf.taken(), 1);
        shelf.settled(OsStr::new("a"));
        look(&mut shelf, 2001, &[]);
        assert_eq!((shelf.taken(), shelf.left().count()), (0, 0));
    }
}
