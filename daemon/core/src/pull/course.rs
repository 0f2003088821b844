//! Decides where a pull goes on after an attempt ended, and when it is given up. Sources are numbers, in the order in which they
//! are to be tried: mirrors and the place itself.
//!
//! ```text
//!   Try(0) ──it fails──► Try(1) ──it fails──► ... the last one fails ──► Wait ──► Try(first that may still do)
//!     │ it fails after bytes came                                         │ every one will fail for good,
//!     ▼                                                                   │ or nothing came for too long
//!   Wait, then the same again                                             ▼
//!                                                                       GiveUp
//! ```

use std::time::Duration;

use crate::units::Mono;

/// Pause after the first attempt in vain; doubles with each round of all sources.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause, unless a server asks for a longer one.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A server that asks for more is not believed.
const MOST_ASKED: Duration = Duration::from_secs(3600);
/// Rounds after which the pause is the longest one.
const MOST_ROUNDS: u32 = 16;

/// What is to be thought of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It may pass: no network, a server that is overloaded.
    Passing {
        /// The server named a pause.
        asked: Option<Duration>,
    },
    /// The same source will say the same again: not there, not for us.
    Lasting,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This source, at once.
    Try(usize),
    /// This source, after a pause.
    Wait(usize, Duration),
    /// Every source will fail for good.
    Hopeless,
    /// Nothing came for so long that it is given up.
    OutOfPatience,
}

/// The course of one pull.
#[derive(Clone, Debug)]
pub struct Course {
    /// Which sources failed for good.
    lost: Vec<bool>,
    at: usize,
    rounds: u32,
    /// When bytes came last, or the pull began.
    progress: Mono,
    /// Bytes came since the last failure.
    moved: bool,
    patience: Duration,
}

impl Course {
    /// A pull from so many sources, which is given up after `patience` without a byte.
    pub fn new(now: Mono, sources: usize, patience: Duration) -> Course {
        Course { lost: vec![false; sources], at: 0, rounds: 0, progress: now, moved: false, patience }
    }

    /// The source that is tried.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes came that were not there before.
    pub fn progressed(&mut self, now: Mono) {
        self.progress = now;
        self.rounds = 0;
        self.moved = true;
    }

    /// It was not to be tried for so long: a window was closed.
    pub fn rested(&mut self, span: Duration) {
        self.progress = self.progress.after(span);
    }

    /// The source that is tried failed. `dice` is any number: it spreads many boxes over time.
    pub fn failed(&mut self, now: Mono, fault: Fault, dice: u64) -> Next {
        let moved = std::mem::take(&mut self.moved);
        let asked = match fault {
            Fault::Lasting => {
                if let Some(lost) = self.lost.get_mut(self.at) {
                    *lost = true;
                }
                None
            }
            Fault::Passing { asked } => asked,
        };
        // Who gave something a moment ago is asked again before anybody else.
        if moved && fault != Fault::Lasting {
            return self.wait(now, asked, dice);
        }
        let left = |from: usize| (from..self.lost.len()).find(|at| self.lost.get(*at) == Some(&false));
        if let Some(next) = left(self.at + 1) {
            self.at = next;
            return Next::Try(next);
        }
        match left(0) {
            Some(first) => {
                self.at = first;
                self.wait(now, asked, dice)
            }
            None => Next::Hopeless,
        }
    }

    fn wait(&mut self, now: Mono, asked: Option<Duration>, dice: u64) -> Next {
        if now.since(self.progress) >= self.patience {
            return Next::OutOfPatience;
        }
        let pause = pause(self.rounds, dice).max(asked.unwrap_or_default().min(MOST_ASKED));
        self.rounds = self.rounds.saturating_add(1);
        // There is one more attempt at the end of the patience, and not none.
        let left = self.patience.saturating_sub(now.since(self.progress));
        Next::Wait(self.at, pause.min(left.max(FIRST_PAUSE)))
    }
}

/// The pause after so many rounds in vain: between half and the whole of what doubles with each of them.
pub fn pause(rounds: u32, dice: u64) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << rounds.min(MOST_ROUNDS)).min(LONGEST_PAUSE);
    let part = u32::try_from(dice % 512).unwrap_or(0);
    whole * (512 + part) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSING: Fault = Fault::Passing { asked: None };
    const PATIENCE: Duration = Duration::from_secs(3600);

    fn at(ms: u64) -> Mono {
        Mono::default().after(Duration::from_millis(ms))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        for (rounds, whole_ms) in [(0, 250), (1, 500), (2, 1000), (6, 16_000), (11, 300_000), (40, 300_000)] {
            let whole = Duration::from_millis(whole_ms);
            assert_eq!(pause(rounds, 0), whole / 2, "{rounds}");
            for dice in [1, 77, 511, u64::MAX] {
                assert!(pause(rounds, dice) >= whole / 2 && pause(rounds, dice) <= whole, "{rounds} {dice}");
            }
        }
    }

    #[test]
    fn every_source_is_tried_before_there_is_a_pause() {
        let mut course = Course::new(at(0), 3, PATIENCE);
        assert_eq!(course.failed(at(1), PASSING, 0), Next::Try(1));
        assert_eq!(course.failed(at(2), Fault::Lasting, 0), Next::Try(2));
        assert_eq!(course.failed(at(3), PASSING, 0), Next::Wait(0, FIRST_PAUSE / 2));
        // What failed for good is not asked again.
        assert_eq!(course.failed(at(4), PASSING, 0), Next::Try(2));
        assert_eq!(course.failed(at(5), PASSING, 0), Next::Wait(0, FIRST_PAUSE));
        assert_eq!(course.failed(at(6), Fault::Lasting, 0), Next::Try(2));
        assert_eq!(course.failed(at(7), Fault::Lasting, 0), Next::Hopeless);
    }

    #[test]
    fn a_source_that_gave_something_is_asked_again_first_and_soon() {
        let mut course = Course::new(at(0), 2, PATIENCE);
        for _ in 0..6 {
            course.failed(at(1), PASSING, 0);
        }
        assert_eq!(course.at(), 0);
        course.progressed(at(2));
        assert_eq!(course.failed(at(3), PASSING, 0), Next::Wait(0, FIRST_PAUSE / 2));
        // The second time it gave nothing.
        assert_eq!(course.failed(at(4), PASSING, 0), Next::Try(1));
        course.progressed(at(5));
        assert_eq!(course.failed(at(6), Fault::Lasting, 0), Next::Wait(0, FIRST_PAUSE / 2));
    }

    #[test]
    fn it_is_given_up_after_its_patience_without_a_byte_and_rests_do_not_count() {
        let mut course = Course::new(at(0), 1, Duration::from_secs(10));
        assert!(matches!(course.failed(at(9_000), PASSING, 0), Next::Wait(0, _)));
        course.rested(Duration::from_secs(5));
        assert!(matches!(course.failed(at(14_000), PASSING, 0), Next::Wait(0, _)));
        assert_eq!(course.failed(at(15_000), PASSING, 0), Next::OutOfPatience);
        course.progressed(at(15_000));
        assert!(matches!(course.failed(at(24_000), PASSING, 0), Next::Wait(0, _)));
    }

    #[test]
    fn a_pause_that_a_server_asks_for_is_kept_within_reason() {
        let asked = |s| Fault::Passing { asked: Some(Duration::from_secs(s)) };
        let mut course = Course::new(at(0), 1, Duration::from_secs(86_400));
        assert_eq!(course.failed(at(1), asked(20), 0), Next::Wait(0, Duration::from_secs(20)));
        assert_eq!(course.failed(at(1), asked(1_000_000), 0), Next::Wait(0, MOST_ASKED));
        // The patience ends a pause earlier.
        let mut course = Course::new(at(0), 1, Duration::from_secs(10));
        assert_eq!(course.failed(at(4000), asked(20), 0), Next::Wait(0, Duration::from_secs(6)));
    }

    #[test]
    fn without_any_source_nothing_is_to_be_hoped_for() {
        assert_eq!(Course::new(at(0), 0, PATIENCE).failed(at(1), PASSING, 0), Next::Hopeless);
    }
}
