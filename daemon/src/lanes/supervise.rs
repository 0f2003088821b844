//! When an engine host is started again, and which models it gets. Pure: time and facts in, a decision out.

use std::time::Duration;

use edge_core::Mono;

/// The first restart is at once: a single crash should cost its requests only. Then these pauses, the last for good.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// A host that lived this long has recovered; its next end counts as the first.
const RECOVERED: Duration = Duration::from_secs(60);

/// Pauses longer than the one at this place are for hosts that end without having served: a request that ends hosts is
/// run twice at most, and must not take the engine from everybody else for long.
const SERVED: usize = 1;

/// Counts ends and spaces out starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    ends: usize,
    started: Option<Mono>,
}

impl Backoff {
    /// A host was started at `now`.
    pub fn started(&mut self, now: Mono) {
        self.started = Some(now);
    }

    /// The host ended at `now`, and had `served` a batch or not: when to start the next one.
    pub fn ended(&mut self, now: Mono, served: bool) -> Mono {
        if self.started.is_some_and(|started| now.since(started) >= RECOVERED) {
            self.ends = 0;
        }
        if served {
            self.ends = self.ends.min(SERVED);
        }
        let pause = PAUSES.get(self.ends).or(PAUSES.last()).copied().unwrap_or_default();
        self.ends += 1;
        now.after(pause)
    }
}

/// What is to become of a model after the host ended while loading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoadDeath {
    /// Something else explains the end: load it again like any other.
    Again,
    /// Load it again, with nothing beside it, so that it is known who is to blame.
    Alone,
    /// It has ended a host while it was loaded alone, and was suspected before: do not load it again.
    GiveUp,
}

/// What a host was at when it ended, as far as one of the models that it was loading is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadDeath {
    /// Other models that were being loaded.
    pub beside: usize,
    /// Requests were on it, or the daemon itself ended it for something that was not a load.
    pub explained: bool,
    /// A host ended before while it loaded this model.
    pub suspect: bool,
}

/// Decides what becomes of the model. One end can be anybody's (an administrator's `kill`, a lack of memory); a model is
/// given up at the second one that nothing but its load explains.
pub fn after_load_death(death: LoadDeath) -> AfterLoadDeath {
    match death {
        LoadDeath { explained: true, .. } => AfterLoadDeath::Again,
        LoadDeath { beside: 0, suspect: true, .. } => AfterLoadDeath::GiveUp,
        LoadDeath { .. } => AfterLoadDeath::Alone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_are_spaced_out_to_a_bound() {
        let mut backoff = Backoff::default();
        backoff.started(at(0));
        let pauses: Vec<u128> = (0..8).map(|_| backoff.ended(at(1), false).since(at(1)).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 1000, 4000, 10_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn a_host_that_lived_long_starts_from_the_beginning() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.started(at(0));
            backoff.ended(at(1), false);
        }
        backoff.started(at(10));
        assert_eq!(backoff.ended(at(100), false), at(100));
    }

    #[test]
    fn hosts_that_served_are_started_again_soon_however_often_they_end() {
        let mut backoff = Backoff::default();
        backoff.started(at(0));
        let pauses: Vec<u128> = (0..6).map(|_| backoff.ended(at(1), true).since(at(1)).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 250, 250, 250, 250]);
    }

    #[test]
    fn a_model_is_given_up_at_the_second_end_that_only_its_load_explains() {
        let cases = [
            (LoadDeath { beside: 2, explained: false, suspect: false }, AfterLoadDeath::Alone),
            (LoadDeath { beside: 2, explained: false, suspect: true }, AfterLoadDeath::Alone),
            (LoadDeath { beside: 0, explained: false, suspect: false }, AfterLoadDeath::Alone),
            (LoadDeath { beside: 0, explained: false, suspect: true }, AfterLoadDeath::GiveUp),
            (LoadDeath { beside: 0, explained: true, suspect: true }, AfterLoadDeath::Again),
            (LoadDeath { beside: 2, explained: true, suspect: false }, AfterLoadDeath::Again),
        ];
        for (death, expected) in cases {
            assert_eq!(after_load_death(death), expected, "{death:?}");
        }
    }
}
