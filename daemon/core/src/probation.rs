//! Decides whether a version of a model that was just activated stays. It is watched for a time and a number of requests: a
//! version whose runs fail, that is slower than it was measured to be, or that stops giving its golden answers is taken
//! back. Must not know versions, files or hosts.
//!
//! ```text
//!             time and requests are over,
//!             golden answers hold
//!   Watch ─────────────────────────────────► Passed
//!     │
//!     └─ failing, slow, or a golden answer differs ──► Breach
//! ```

use std::time::Duration;

use crate::units::Mono;

/// Fewer failed runs than this are told, and breach nothing: a single one may be the input's fault.
pub const LEAST_FAILED: u32 = 3;
/// One run in so many may fail.
const MOST_FAILED: u32 = 20;
/// Service times before which nothing is said of them.
pub const LEAST_RUNS: u32 = 20;
/// So many times its expected service time is more than what other work on the box makes of it.
pub const SLOW_TIMES: u32 = 3;
/// Differences below this are of no account, however many times the expected time they are.
const SLOW_LEAST: Duration = Duration::from_millis(1);
/// Golden answers are checked so often in the time of the probation.
const CHECKS: u32 = 2;

/// What a version has to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Watched for at least so long.
    pub time: Duration,
    /// And until so many requests were run.
    pub requests: u32,
    /// Service time of one request, as it was measured when the version was loaded; `None` if nobody knows.
    pub expected: Option<Duration>,
}

/// Why a version is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// So many of its runs failed.
    Failing {
        /// Failed runs.
        failed: u32,
        /// All runs.
        of: u32,
    },
    /// A request takes so long, and was expected to take so long.
    Slow {
        /// As it was learnt.
        takes: Duration,
        /// As it was measured.
        expected: Duration,
    },
    /// A golden input has not its golden answer any more, or none at all.
    Golden,
    /// No way to run it is left.
    Gone,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Watch,
    /// Its golden answers are to be checked.
    Check,
    /// It stays.
    Passed,
    /// It is taken back.
    Breach(Breach),
}

/// A version that is being watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probation {
    terms: Terms,
    since: Mono,
    runs: u32,
    failed: u32,
    /// Checks of golden answers that were begun, and whether one is under way.
    checks: u32,
    checking: bool,
    breach: Option<Breach>,
}

impl Probation {
    /// Watched from now on.
    pub fn new(now: Mono, terms: Terms) -> Probation {
        Probation { terms, since: now, runs: 0, failed: 0, checks: 0, checking: false, breach: None }
    }

    /// Requests were run: so many were answered, and for so many the runtime failed.
    pub fn ran(&mut self, answered: u32, failed: u32) {
        self.runs = self.runs.saturating_add(answered).saturating_add(failed);
        self.failed = self.failed.saturating_add(failed);
        if self.failed >= LEAST_FAILED && self.failed.saturating_mul(MOST_FAILED) > self.runs {
            self.note(Breach::Failing { failed: self.failed, of: self.runs });
        }
    }

    /// No way to run it is left.
    pub fn gone(&mut self) {
        self.note(Breach::Gone);
    }

    /// Its golden answers hold, or not.
    pub fn checked(&mut self, good: bool) {
        self.checking = false;
        if !good {
            self.note(Breach::Golden);
        }
    }

    /// The first breach is the one to tell.
    fn note(&mut self, breach: Breach) {
        self.breach.get_or_insert(breach);
    }

    /// What is to be done now, given the service time of one request as it was learnt since.
    pub fn judge(&mut self, now: Mono, takes: Option<Duration>) -> Verdict {
        if let (Some(takes), Some(expected)) = (takes, self.terms.expected)
            && self.runs >= LEAST_RUNS
            && takes > expected.saturating_mul(SLOW_TIMES).max(expected + SLOW_LEAST)
        {
            self.note(Breach::Slow { takes, expected });
        }
        if let Some(breach) = self.breach {
            return Verdict::Breach(breach);
        }
        if self.checking {
            return Verdict::Watch;
        }
        let passed = now.since(self.since);
        // The last check is due at the end of the time, and nothing passes without it.
        let due =
            self.checks < CHECKS && passed.saturating_mul(CHECKS) >= self.terms.time.saturating_mul(self.checks + 1);
        if due {
            (self.checks, self.checking) = (self.checks + 1, true);
            return Verdict::Check;
        }
        let over = passed >= self.terms.time && self.runs >= self.terms.requests && self.checks >= CHECKS;
        if over { Verdict::Passed } else { Verdict::Watch }
    }

    /// Requests that were run, of those that are awaited.
    pub fn runs(&self) -> (u32, u32) {
        (self.runs, self.terms.requests)
    }

    /// Runs that failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// What is left of its time.
    pub fn left(&self, now: Mono) -> Duration {
        self.terms.time.saturating_sub(now.since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn terms() -> Terms {
        Terms { time: Duration::from_secs(600), requests: 100, expected: Some(10 * MS) }
    }

    fn at(seconds: u64) -> Mono {
        Mono::default().after(Duration::from_secs(seconds))
    }

    fn watched() -> Probation {
        Probation::new(at(0), terms())
    }

    #[test]
    fn it_passes_when_time_and_requests_are_over_and_its_answers_hold() {
        let mut version = watched();
        assert_eq!(version.judge(at(10), Some(10 * MS)), Verdict::Watch);
        version.ran(100, 0);
        assert_eq!(version.judge(at(299), None), Verdict::Watch);
        assert_eq!(version.judge(at(300), None), Verdict::Check);
        assert_eq!(version.judge(at(700), None), Verdict::Watch, "the check is under way");
        version.checked(true);
        assert_eq!(version.judge(at(700), None), Verdict::Check);
        version.checked(true);
        assert_eq!(version.judge(at(700), None), Verdict::Passed);
        // Without requests it is watched on.
        let mut idle = watched();
        for second in [600, 601] {
            assert_eq!(idle.judge(at(second), None), Verdict::Check);
            idle.checked(true);
        }
        assert_eq!(idle.judge(at(100_000), None), Verdict::Watch);
        idle.ran(100, 0);
        assert_eq!(idle.judge(at(100_000), None), Verdict::Passed);
    }

    #[test]
    fn it_is_taken_back_for_what_it_does() {
        let breached = |change: fn(&mut Probation), takes: Option<Duration>| {
            let mut version = watched();
            change(&mut version);
            match version.judge(at(1), takes) {
                Verdict::Breach(breach) => Some(breach),
                Verdict::Watch | Verdict::Check | Verdict::Passed => None,
            }
        };
        /// What happens to it, what a request takes, and what comes of it.
        type Case = (fn(&mut Probation), Option<Duration>, Option<Breach>);
        let cases: [Case; 9] = [
            (|version| version.ran(0, 2), None, None),
            (|version| version.ran(0, 3), None, Some(Breach::Failing { failed: 3, of: 3 })),
            (|version| version.ran(56, 3), None, Some(Breach::Failing { failed: 3, of: 59 })),
            (|version| version.ran(57, 3), None, None),
            (|version| version.ran(19, 0), Some(31 * MS), None),
            (|version| version.ran(20, 0), Some(30 * MS), None),
            (|version| version.ran(20, 0), Some(31 * MS), Some(Breach::Slow { takes: 31 * MS, expected: 10 * MS })),
            (|version| version.checked(false), None, Some(Breach::Golden)),
            (|version| version.gone(), None, Some(Breach::Gone)),
        ];
        for (change, takes, expected) in cases {
            assert_eq!(breached(change, takes), expected);
        }
    }

    #[test]
    fn what_is_too_quick_to_be_measured_is_never_slow() {
        let mut version = Probation::new(at(0), Terms { expected: Some(MS / 100), ..terms() });
        version.ran(1000, 0);
        assert_eq!(version.judge(at(1), Some(MS)), Verdict::Watch);
        assert!(matches!(version.judge(at(1), Some(2 * MS)), Verdict::Breach(Breach::Slow { .. })));
        let mut unknown = Probation::new(at(0), Terms { expected: None, ..terms() });
        unknown.ran(1000, 0);
        assert_eq!(unknown.judge(at(1), Some(Duration::from_secs(9))), Verdict::Watch);
    }

    #[test]
    fn the_first_breach_is_the_one_that_is_told() {
        let mut version = watched();
        version.ran(0, 3);
        version.gone();
        version.checked(false);
        assert_eq!(version.judge(at(1), None), Verdict::Breach(Breach::Failing { failed: 3, of: 3 }));
    }

    #[test]
    fn one_that_lasts_no_time_passes_after_its_checks() {
        let mut version = Probation::new(at(0), Terms { time: Duration::ZERO, requests: 0, expected: None });
        for _ in 0..CHECKS {
            assert_eq!(version.judge(at(0), None), Verdict::Check);
            version.checked(true);
        }
        assert_eq!(version.judge(at(0), None), Verdict::Passed);
        assert_eq!(version.left(at(0)), Duration::ZERO);
    }
}
