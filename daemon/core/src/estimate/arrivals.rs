//! How often requests of a model come, learnt from the times at which they did.

use crate::estimate::mean::Mean;
use crate::units::{Mono, Span};

/// Arrivals of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    last: Option<Mono>,
    gap: Mean,
}

impl Arrivals {
    /// One came.
    pub fn learn(&mut self, now: Mono) {
        if let Some(last) = self.last {
            self.gap.learn(Span::between(last, now).as_nanos());
        }
        self.last = Some(now);
    }

    /// When the last one came, and the mean time between two; none before there were two.
    pub fn seen(&self) -> Option<(Mono, Span)> {
        Some((self.last?, self.gap.span()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_gap_is_known_from_the_second_arrival_on() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.seen(), None);
        for ms in [10, 14, 18] {
            arrivals.learn(Mono::from_nanos(ms * 1_000_000));
        }
        assert_eq!(arrivals.seen(), Some((Mono::from_nanos(18_000_000), Span::from_millis(4))));
    }
}
