//! When a device may be opened again, and when a child may be started again. Pure.

use std::time::Duration;

/// Between two readings of a device that is awake.
const AWAKE: Duration = Duration::from_secs(5);
/// Between two readings of one that sleeps: each wakes it.
const ASLEEP: Duration = Duration::from_secs(30);
/// After it was in use by another program: the first time, the second, and from then on.
const IN_USE: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(60)];
/// After it could not be opened for another reason.
const FAILED: Duration = Duration::from_secs(30);

/// How the last attempt at a device went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was read.
    Read,
    /// Another program had it, so many times in a row.
    InUse(u32),
    /// It could not be opened.
    Failed,
}

impl Attempt {
    /// After this attempt another program has it.
    pub fn in_use(before: Option<Attempt>) -> Attempt {
        match before {
            Some(Attempt::InUse(times)) => Attempt::InUse(times.saturating_add(1)),
            _ => Attempt::InUse(1),
        }
    }
}

/// How long a device is left alone after an attempt; `asleep` if it saves power now.
pub fn rest(attempt: Attempt, asleep: bool) -> Duration {
    match attempt {
        Attempt::Read if asleep => ASLEEP,
        Attempt::Read => AWAKE,
        Attempt::InUse(times) => {
            let index = usize::try_from(times.saturating_sub(1)).unwrap_or(usize::MAX);
            IN_USE.get(index).copied().unwrap_or(IN_USE[IN_USE.len() - 1])
        }
        Attempt::Failed => FAILED,
    }
}

/// Pause after the first end of a child; three times as long after each more.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After so many answers in a row the ends before are forgotten: a minute of them.
const FORGOTTEN_AFTER: u32 = 12;

/// The ends of a child in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    failures: u32,
    answers: u32,
}

impl Restarts {
    /// It ended. The pause until it is started again.
    pub fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.answers = 0;
        pause(self.failures)
    }

    /// It answered.
    pub fn answered(&mut self) {
        self.answers = self.answers.saturating_add(1);
        if self.answers >= FORGOTTEN_AFTER {
            self.failures = 0;
        }
    }

    /// How often it ended.
    pub fn failures(self) -> u32 {
        self.failures
    }
}

/// How long to wait after so many ends in a row.
fn pause(failures: u32) -> Duration {
    let factor = 3u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_left_alone_for_longer_where_opening_it_costs_more() {
        for (attempt, asleep, seconds) in [
            (Attempt::Read, false, 5),
            (Attempt::Read, true, 30),
            (Attempt::InUse(1), false, 10),
            (Attempt::InUse(1), true, 10),
            (Attempt::InUse(2), false, 30),
            (Attempt::InUse(3), false, 60),
            (Attempt::InUse(u32::MAX), false, 60),
            (Attempt::Failed, false, 30),
        ] {
            assert_eq!(rest(attempt, asleep).as_secs(), seconds, "{attempt:?} {asleep}");
        }
    }

    #[test]
    fn uses_by_another_program_are_counted_while_they_follow_each_other() {
        for (before, after) in [
            (None, Attempt::InUse(1)),
            (Some(Attempt::Read), Attempt::InUse(1)),
            (Some(Attempt::Failed), Attempt::InUse(1)),
            (Some(Attempt::InUse(1)), Attempt::InUse(2)),
            (Some(Attempt::InUse(u32::MAX)), Attempt::InUse(u32::MAX)),
        ] {
            assert_eq!(Attempt::in_use(before), after);
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_are_forgotten_after_a_minute_of_answers() {
        let mut restarts = Restarts::default();
        let pauses: Vec<u64> = (0..6).map(|_| restarts.failed().as_secs()).collect();
        assert_eq!(pauses, [5, 15, 45, 135, 300, 300]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
        for _ in 1..FORGOTTEN_AFTER {
            restarts.answered();
        }
        assert_eq!(restarts.failures(), 6, "one that ends every other minute is not well");
        restarts.answered();
        assert_eq!((restarts.failures(), restarts.failed().as_secs()), (0, 5));
    }
}
