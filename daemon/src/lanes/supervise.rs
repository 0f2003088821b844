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

    /// The host ended at `now`: when to start the next one.
    pub fn ended(&mut self, now: Mono) -> Mono {
        if self.started.is_some_and(|started| now.since(started) >= RECOVERED) {
            self.ends = 0;
        }
        let pause = PAUSES.get(self.ends).or(PAUSES.last()).copied().unwrap_or_default();
        self.ends += 1;
        now.after(pause)
    }
}

/// What is to become of a model after the host ended while loading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoadDeath {
    /// Load it again, with nothing beside it, so that it is known who is to blame.
    Alone,
    /// It ended the host while it was loaded alone: do not load it again.
    GiveUp,
}

/// Decides by how many models were being loaded when the host ended.
pub fn after_load_death(loading_beside: usize) -> AfterLoadDeath {
    if loading_beside == 0 { AfterLoadDeath::GiveUp } else { AfterLoadDeath::Alone }
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
        let pauses: Vec<u128> = (0..8).map(|_| backoff.ended(at(1)).since(at(1)).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 1000, 4000, 10_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn a_host_that_lived_long_starts_from_the_beginning() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.started(at(0));
            backoff.ended(at(1));
        }
        backoff.started(at(10));
        assert_eq!(backoff.ended(at(100)), at(100));
    }

    #[test]
    fn a_model_is_given_up_only_when_it_was_loaded_alone() {
        assert_eq!(after_load_death(2), AfterLoadDeath::Alone);
        assert_eq!(after_load_death(0), AfterLoadDeath::GiveUp);
    }
}
