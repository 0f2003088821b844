//! When the engine host, or a model on it, will be back.

use crate::estimate::mean::Mean;
use crate::units::{Mono, Span};

/// Learns from each restart that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restart {
    took: Mean,
}

impl Restart {
    /// From a host's death (or the beginning of a load) to a model that is ready, this time.
    pub fn learn(&mut self, took: Span) {
        self.took.learn(took.as_nanos());
    }

    /// How much longer a wait that began at `since` will last, if `assumed` is what it takes before any was measured.
    pub fn remaining(&self, since: Mono, now: Mono, assumed: Span) -> Span {
        let expected = self.took.span().unwrap_or(assumed);
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

    #[test]
    fn a_restart_is_expected_as_assumed_then_as_measured_and_overdue_ones_double() {
        let at = |ms: u64| Mono::from_nanos(ms * 1_000_000);
        let assumed = Span::from_millis(500);
        let mut restart = Restart::default();
        assert_eq!(restart.remaining(at(0), at(100), assumed), Span::from_millis(400));
        assert_eq!(restart.remaining(at(0), at(800), assumed), Span::from_millis(800));
        restart.learn(Span::from_millis(200));
        assert_eq!(restart.remaining(at(0), at(100), assumed), Span::from_millis(100));
    }
}
