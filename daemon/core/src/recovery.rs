//! Decides when a setup that failed is tried again, and when one that is loaded counts as failed because its runs do. Must
//! not know hosts, files or a clock; it is told what failed and when.
//!
//! | what failed | tried again |
//! |---|---|
//! | the bundle, or somebody decided so | not by itself |
//! | the provider, its device or the machine, at a load or at every run | after 5 s, then after twice as long, up to 10 min |
//! | the engine host, at each of two loads | the same, but only while no other model is on that host |
//!
//! A load that takes long is tried more seldom, so that a box is not busy with failing.

use core::time::Duration;

use crate::units::Mono;

/// Pause after the first failure.
pub const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause, but for loads that take long. What was well for so long starts from the beginning.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The pause is at least so many times the time that the failure took.
const TIMES_LOAD: u32 = 9;
/// Runs in a row that fail before another setup takes over: one or two may be the fault of their requests.
pub const RUNS_ELSEWHERE: u32 = 3;
/// Runs in a row that fail before the host of a setup that nobody can stand in for is started again. More, since all that
/// is gained is a fresh process, and everybody on it waits for that.
pub const RUNS_RESTART: u32 = 10;

/// What a failure is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The bundle, or a decision: it would be the same again.
    Lasting,
    /// The provider, its device, or the machine: it may pass.
    Provider,
    /// Its load ended the engine host: it may pass, and the next one may do the same.
    Host,
}

/// What follows from a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRun {
    /// Nothing.
    Serve,
    /// The setup counts as failed, and another one serves.
    Fail,
    /// The host is started again, and the setup loaded and checked again.
    Restart,
}

/// What is remembered of a setup that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    failures: u32,
    again: Option<Mono>,
    /// Not beside other models.
    alone: bool,
    well_since: Option<Mono>,
    bad_runs: u32,
    /// Its host is not started again for its runs before.
    restart_from: Option<Mono>,
}

/// Pause after the failure of this number, from 1 on, which took so long.
pub fn pause(failures: u32, took: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).max(took.saturating_mul(TIMES_LOAD))
}

impl Record {
    /// It failed at `now`, after `took`.
    pub fn failed(&mut self, now: Mono, blame: Blame, took: Duration) {
        if self.well_since.take().is_some_and(|since| now.since(since) >= LONGEST_PAUSE) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.bad_runs = 0;
        self.alone = blame == Blame::Host;
        self.again = (blame != Blame::Lasting).then(|| now.after(pause(self.failures, took)));
    }

    /// It was loaded, and its golden answers held.
    pub fn loaded(&mut self, now: Mono) {
        (self.well_since, self.again, self.bad_runs) = (Some(now), None, 0);
    }

    /// It may be chosen again.
    pub fn released(&mut self) {
        self.again = None;
    }

    /// A batch came back: some of it was answered, or all of it failed by the runtime. Another setup can stand in, or not.
    pub fn ran(&mut self, now: Mono, good: bool, stand_in: bool) -> AfterRun {
        self.bad_runs = if good { 0 } else { self.bad_runs.saturating_add(1) };
        match (stand_in, self.bad_runs) {
            (true, runs) if runs >= RUNS_ELSEWHERE => AfterRun::Fail,
            (false, runs) if runs >= RUNS_RESTART && self.restart_from.is_none_or(|from| from <= now) => {
                self.failed(now, Blame::Provider, Duration::ZERO);
                self.restart_from = self.again.take();
                AfterRun::Restart
            }
            (true | false, _) => AfterRun::Serve,
        }
    }

    /// Whether it is tried again now, if other models are on its host or not.
    pub fn is_due(&self, now: Mono, others: bool) -> bool {
        self.again.is_some_and(|again| again <= now) && !(self.alone && others)
    }

    /// When it is tried again by itself; what must not be beside other models waits for that too.
    pub fn again(&self) -> Option<Mono> {
        self.again
    }

    /// Whether it waits until no other model is on its host.
    pub fn waits_alone(&self) -> bool {
        self.alone && self.again.is_some()
    }

    /// Failures since it was last well for long.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_leave_room_between_long_loads() {
        for (failures, took, expected) in [
            (0, 0, 5),
            (1, 0, 5),
            (2, 0, 10),
            (3, 1, 20),
            (7, 0, 320),
            (8, 0, 600),
            (u32::MAX, 0, 600),
            (1, 2, 18),
            (1, 540, 4860),
        ] {
            let found = pause(failures, Duration::from_secs(took));
            assert_eq!(found, Duration::from_secs(expected), "{failures} failures of {took} s");
        }
    }

    #[test]
    fn what_failed_is_tried_again_by_whose_fault_it_was() {
        for (blame, others, due) in [
            (Blame::Lasting, false, None),
            (Blame::Provider, false, Some(5)),
            (Blame::Provider, true, Some(5)),
            (Blame::Host, false, Some(5)),
            (Blame::Host, true, None),
        ] {
            let mut record = Record::default();
            record.failed(at(100), blame, Duration::ZERO);
            let found = (0..2000).find(|second| record.is_due(at(100 + second), others));
            assert_eq!(found, due, "{blame:?} beside others: {others}");
            assert_eq!((record.again().is_some(), record.failures()), (blame != Blame::Lasting, 1), "{blame:?}");
        }
    }

    #[test]
    fn a_short_recovery_does_not_shorten_the_pauses_and_a_long_one_does() {
        let mut record = Record::default();
        let mut pauses = Vec::new();
        for (failed, loaded) in [(0, None), (100, Some(110)), (200, Some(210)), (809, Some(900)), (1500, None)] {
            record.failed(at(failed), Blame::Provider, Duration::ZERO);
            pauses.push(record.again().map(|again| again.since(at(failed)).as_secs()));
            loaded.into_iter().for_each(|loaded| record.loaded(at(loaded)));
        }
        assert_eq!(pauses, [Some(5), Some(10), Some(20), Some(40), Some(5)]);
    }

    #[test]
    fn only_runs_that_fail_in_a_row_count() {
        for (runs, stand_in, expected) in [
            ("---", true, AfterRun::Fail),
            ("--+--", true, AfterRun::Serve),
            ("--+---", true, AfterRun::Fail),
            ("---------", false, AfterRun::Serve),
            ("----------", false, AfterRun::Restart),
            ("-----------", false, AfterRun::Serve),
            ("+", true, AfterRun::Serve),
        ] {
            let mut record = Record::default();
            let last = runs.chars().map(|run| record.ran(at(1), run == '+', stand_in)).last();
            assert_eq!(last, Some(expected), "{runs}, stand-in {stand_in}");
        }
    }

    #[test]
    fn a_host_is_started_again_for_the_runs_of_one_setup_ever_more_seldom() {
        let mut record = Record::default();
        let restarts = |record: &mut Record, second| record.ran(at(second), false, false) == AfterRun::Restart;
        let found: Vec<u64> = (0..100).filter(|second| restarts(&mut record, *second)).collect();
        assert_eq!(found, [9, 19, 29, 49, 89], "ten runs, then pauses of 5, 10, 20 and 40 s");
    }

    #[test]
    fn whatever_happens_the_pause_is_within_its_bounds_and_what_is_lasting_is_never_due() {
        let mut random: u64 = 7;
        let mut record = Record::default();
        let mut now = 0;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now += random >> 55;
            match random >> 32 & 7 {
                0 => record.loaded(at(now)),
                1 => {
                    record.ran(at(now), random >> 40 & 1 == 0, random >> 41 & 1 == 0);
                }
                2 => record.released(),
                blame => {
                    let blame = [Blame::Lasting, Blame::Provider, Blame::Host][usize::try_from(blame % 3).unwrap()];
                    record.failed(at(now), blame, Duration::ZERO);
                    let pause = record.again().map(|again| again.since(at(now)));
                    assert_eq!(pause.is_none(), blame == Blame::Lasting);
                    assert!(pause.is_none_or(|pause| (FIRST_PAUSE..=LONGEST_PAUSE).contains(&pause)), "{pause:?}");
                }
            }
        }
    }
}
