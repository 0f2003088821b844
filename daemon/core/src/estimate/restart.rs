//! When the engine host, or a model on it, will be back.

use crate::estimate::mean::Mean;
use crate::units::{Mono, Span};

/// Learns from each restart that ended: how long the host takes to be up again, and then a model to be ready.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restart {
    /// The shortest there was: the driver pauses before it starts a host that keeps ending, and how long it pauses says
    /// nothing of how long a start takes.
    up: Option<Span>,
    ready: Mean,
}

impl Restart {
    /// From a host's death to the next one that is up, this time, with whatever pause was between.
    pub fn learn_up(&mut self, took: Span) {
        self.up = Some(self.up.map_or(took, |least| least.min(took)));
    }

    /// From a host that is up to a model that is ready, this time.
    pub fn learn_ready(&mut self, took: Span) {
        self.ready.learn(took.as_nanos());
    }

    /// How much longer the wait for a model will last that began at `since`, with the host's death or with a host that
    /// is up, if `assumed` is what all of it takes before any was measured.
    pub fn remaining(&self, is_up: bool, since: Mono, now: Mono, assumed: Span) -> Span {
        let up = if is_up { Some(Span::ZERO) } else { self.up };
        let expected = up.zip(self.ready.span()).map_or(assumed, |(up, ready)| up.plus(ready));
        let waited = Span::between(since, now);
        if waited < expected {
            expected.minus(waited)
        } else {
            // Overdue: the host is started again and again with doubling pauses, so that it will take about as long
            // again as it has taken.
            waited
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    #[test]
    fn a_restart_is_expected_as_assumed_then_as_measured_and_overdue_ones_double() {
        let mut restart = Restart::default();
        assert_eq!(restart.remaining(false, at(0), at(100), ms(500)), ms(400));
        assert_eq!(restart.remaining(false, at(0), at(800), ms(500)), ms(800));
        restart.learn_up(ms(50));
        restart.learn_ready(ms(150));
        assert_eq!(restart.remaining(false, at(0), at(100), ms(500)), ms(100));
        assert_eq!(restart.remaining(true, at(0), at(100), ms(500)), ms(50));
    }

    #[test]
    fn a_pause_before_a_start_is_not_taken_for_a_part_of_it() {
        let mut restart = Restart::default();
        restart.learn_ready(ms(100));
        [50, 30_050, 10_050].into_iter().for_each(|took| restart.learn_up(ms(took)));
        assert_eq!(restart.remaining(false, at(0), at(0), ms(500)), ms(150));
    }
}
