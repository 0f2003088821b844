//! Decides when a file that somebody dropped for installation is taken, and what becomes of it afterwards. Must not know
//! folders, archives or a clock; it is told how a file looked, when, and how its installation ended.
//!
//! | how it ended | the file |
//! |---|---|
//! | the bundle is in the store | goes |
//! | it is refused for what it is | is put aside |
//! | it ends too early | stays for [`GRACE`]: it may still be copied; then it is put aside |
//! | the box was the hindrance | stays, and is tried again with growing pauses |
//! | somebody gave it up | stays until it changes, or the folder is looked at anew |
//!
//! Times of change are compared with one another and never with a clock, which may be wrong by years.

use core::cmp::Ordering;
use core::time::Duration;

use crate::units::Mono;

/// A file that has not changed for so long is complete, as far as anybody can tell without opening it.
pub const QUIET: Duration = Duration::from_secs(4);
/// A file that ends too early is waited for so long after it has changed last.
pub const GRACE: Duration = Duration::from_secs(60);
/// Pause after the first time that the box was the hindrance.
pub const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// Longest such pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the file on its disk.
    pub file: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was changed by the clock of whoever wrote it, nanoseconds since 1970.
    pub changed: i128,
}

/// How an installation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The bundle is in the store, by this installation or by an earlier one.
    Stored,
    /// It is refused for what it is: the same file would be refused again.
    Unfit,
    /// It ends too early, or was changed meanwhile.
    Cut,
    /// Disk, folder or store were the hindrance.
    Hindered,
    /// Somebody gave it up.
    GivenUp,
}

/// What becomes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is removed.
    Remove,
    /// It is put aside, with the reason.
    PutAside,
    /// It stays where it is.
    Keep,
}

impl End {
    /// What becomes of the file; `waited` says that it has been waited for long enough.
    pub fn fate(self, waited: bool) -> Fate {
        match self {
            End::Stored => Fate::Remove,
            End::Unfit => Fate::PutAside,
            End::Cut if waited => Fate::PutAside,
            End::Cut | End::Hindered | End::GivenUp => Fate::Keep,
        }
    }
}

/// A file that lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    stamp: Stamp,
    /// Since when it looks like this.
    since: Mono,
    /// It lay there already when the folder was looked at for the first time: nobody is copying it.
    before: bool,
    /// How the last attempt on this state of it ended.
    ended: Option<End>,
    failures: u32,
    again: Option<Mono>,
}

impl Dropped {
    /// A file that is seen for the first time; `first` says that the folder is looked at for the first time, too.
    pub fn new(now: Mono, stamp: Stamp, first: bool) -> Dropped {
        Dropped { stamp, since: now, before: first, ended: None, failures: 0, again: None }
    }

    /// It was looked at again.
    pub fn seen(&mut self, now: Mono, stamp: Stamp) {
        if stamp != self.stamp {
            *self = Dropped::new(now, stamp, false);
        }
    }

    /// Whatever was in the way may be out of it: somebody wants the folder looked at anew.
    pub fn afresh(&mut self) {
        if matches!(self.ended, Some(End::Hindered | End::GivenUp)) {
            (self.before, self.ended, self.failures, self.again) = (true, None, 0, None);
        }
    }

    /// Whether it is taken now.
    pub fn is_due(&self, now: Mono) -> bool {
        match self.ended {
            None => self.before || now.since(self.since) >= QUIET,
            Some(End::Cut) => self.has_waited(now),
            Some(End::Hindered) => self.again.is_none_or(|again| again <= now),
            Some(End::Stored | End::Unfit | End::GivenUp) => false,
        }
    }

    /// Whether it has been waited for long enough, should it end too early.
    pub fn has_waited(&self, now: Mono) -> bool {
        now.since(self.since) >= GRACE
    }

    /// An attempt has ended. A file that was to go, or to be put aside, and is still there is left alone until it changes.
    pub fn ended(&mut self, now: Mono, end: End) {
        self.ended = Some(end);
        if end == End::Hindered {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
            self.failures = self.failures.saturating_add(1);
            self.again = Some(now.after(pause));
        }
    }

    /// How the last attempt on it ended, if there was one.
    pub fn end(&self) -> Option<End> {
        self.ended
    }
}

/// Orders the names of files, without what all of them end with, so that of several versions of a model the newest is taken
/// first: digits count as numbers, and a pre-release (`-rc.1`) comes after its release.
pub fn newest_first(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (part(&mut left), part(&mut right)) {
            (None, None) => return Ordering::Equal,
            (None, Some(more)) => return if more.starts_with('-') { Ordering::Less } else { Ordering::Greater },
            (Some(more), None) => return if more.starts_with('-') { Ordering::Greater } else { Ordering::Less },
            (Some(one), Some(other)) => {
                let order = compare(one, other);
                if order.is_ne() {
                    return order.reverse();
                }
            }
        }
    }
}

/// Takes digits, or one character that is none, off the front.
fn part<'a>(text: &mut &'a str) -> Option<&'a str> {
    let first = text.chars().next()?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (part, rest) = text.split_at(if digits > 0 { digits } else { first.len_utf8() });
    *text = rest;
    Some(part)
}

fn compare(one: &str, other: &str) -> Ordering {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(one) && digits(other)) {
        return one.cmp(other);
    }
    let (short, long) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    short.len().cmp(&long.len()).then_with(|| short.cmp(long))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [End; 5] = [End::Stored, End::Unfit, End::Cut, End::Hindered, End::GivenUp];

    fn at(ms: u64) -> Mono {
        Mono::default().after(Duration::from_millis(ms))
    }

    fn stamp(bytes: u64) -> Stamp {
        Stamp { file: 7, bytes, changed: -1 }
    }

    #[test]
    fn nothing_but_what_is_in_the_store_is_removed() {
        let expected = [Fate::Remove, Fate::PutAside, Fate::Keep, Fate::Keep, Fate::Keep];
        assert_eq!(ENDS.map(|end| end.fate(false)), expected);
        let expected = [Fate::Remove, Fate::PutAside, Fate::PutAside, Fate::Keep, Fate::Keep];
        assert_eq!(ENDS.map(|end| end.fate(true)), expected);
    }

    #[test]
    fn what_lay_there_at_the_start_is_taken_at_once_and_what_comes_when_it_has_stopped_changing() {
        assert!(Dropped::new(at(0), stamp(1), true).is_due(at(0)));
        let mut file = Dropped::new(at(0), stamp(1), false);
        for (ms, bytes, due) in [(0, 1, false), (3999, 1, false), (3999, 2, false), (7998, 2, false), (7999, 2, true)] {
            file.seen(at(ms), stamp(bytes));
            assert_eq!(file.is_due(at(ms)), due, "{ms}");
        }
    }

    #[test]
    fn what_ends_too_early_is_waited_for_and_then_tried_for_the_last_time() {
        let mut file = Dropped::new(at(0), stamp(1), true);
        file.ended(at(10), End::Cut);
        assert!(!file.is_due(at(59_999)) && !file.has_waited(at(59_999)));
        assert!(file.is_due(at(60_000)) && file.has_waited(at(60_000)));
        // It was still being copied.
        file.seen(at(50_000), stamp(2));
        assert!(!file.is_due(at(50_000)) && file.is_due(at(54_000)) && !file.has_waited(at(60_000)));
    }

    #[test]
    fn a_box_that_is_in_the_way_is_tried_with_growing_pauses_until_somebody_asks() {
        let mut file = Dropped::new(at(0), stamp(1), true);
        let mut now = at(0);
        for pause in [15, 30, 60, 120, 240, 480, 600, 600] {
            file.ended(now, End::Hindered);
            assert!(!file.is_due(now.after(Duration::from_millis(pause * 1000 - 1))), "{pause}");
            now = now.after(Duration::from_secs(pause));
            assert!(file.is_due(now), "{pause}");
        }
        file.ended(now, End::Hindered);
        file.afresh();
        assert!(file.is_due(now));
    }

    #[test]
    fn what_could_not_be_moved_is_left_alone_until_it_changes() {
        for end in [End::Stored, End::Unfit, End::GivenUp] {
            let mut file = Dropped::new(at(0), stamp(1), true);
            file.ended(at(1), end);
            file.seen(at(90_000), stamp(1));
            assert!(!file.is_due(at(90_000)), "{end:?}");
            let mut asked = file;
            asked.afresh();
            assert_eq!(asked.is_due(at(90_000)), end == End::GivenUp, "{end:?}");
            file.seen(at(90_000), stamp(2));
            assert!(file.is_due(at(94_000)), "{end:?}");
        }
    }

    #[test]
    fn of_several_versions_the_newest_comes_first() {
        let sorted = [
            "b-1.0.0",
            "add-2.0.0",
            "add-2.0.0-rc.10",
            "add-2.0.0-rc.2",
            "add-1.10.0",
            "add-1.9.0",
            "add-1.9.0-rc.1",
            "add-01.8.0",
            "",
        ];
        for (low, a) in sorted.iter().enumerate() {
            for (high, b) in sorted.iter().enumerate() {
                assert_eq!(newest_first(a, b), low.cmp(&high), "{a} and {b}");
            }
        }
        // Numbers of any length are compared, not read.
        let long = format!("a-{}", "9".repeat(400));
        assert_eq!(newest_first(&long, "a-1"), Ordering::Less);
        assert_eq!(newest_first("ü-1", "ü-1"), Ordering::Equal);
    }
}
