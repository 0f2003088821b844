//! Whether a model's runs take longer than the plan that was measured on this device says, beyond noise.

use crate::estimate::mean::Mean;
use crate::estimate::service::ServiceTimes;
use crate::units::{Mono, Span};

/// Thousandths.
const MILLI: u64 = 1000;
/// Runs before anything is said.
const RUNS: u64 = 8;
/// What was seen longer ago says nothing of now.
const OLD: Span = Span::from_millis(60_000);
/// A model that was late is so until its runs take no more than this share of what they took too long.
const BACK: f64 = 0.5;

/// Runs of one model against its plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Late {
    planned: ServiceTimes,
    ratio: Mean,
    last: Option<Mono>,
    is_late: bool,
}

impl Late {
    /// The plan says this of a batch of so many rows, each of cost 1.
    pub fn plan(&mut self, now: Mono, rows: usize, took: Span) {
        self.planned.learn(now, rows, u64::try_from(rows).unwrap_or(u64::MAX), took);
    }

    /// A batch ran while nothing else ran on the box. `factor` is what counts as late.
    pub fn ran(&mut self, now: Mono, rows: usize, units: u64, took: Span, factor: f64) {
        let Some(planned) = self.planned.guess(rows, units).filter(|planned| *planned > Span::ZERO) else { return };
        self.ratio.learn(took.times(MILLI).as_nanos() / planned.as_nanos());
        self.last = Some(now);
        let (Some(ratio), true) = (self.factor(), self.ratio.samples() >= RUNS) else { return };
        let back = 1.0 + (factor - 1.0) * BACK;
        self.is_late = ratio >= if self.is_late { back } else { factor };
    }

    /// How many times as long as planned its runs take, if that is late.
    pub fn late(&self, now: Mono) -> Option<f64> {
        let is_new = self.last.is_some_and(|last| Span::between(last, now) <= OLD);
        self.factor().filter(|_| self.is_late && is_new)
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio in thousandths")]
    fn factor(&self) -> Option<f64> {
        self.ratio.get().map(|ratio| ratio as f64 / MILLI as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_late_beyond_noise_and_until_they_are_not() {
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let ms = Span::from_millis;
        let mut late = Late::default();
        late.ran(at(1), 1, 1, ms(500), 1.5);
        assert_eq!(late.late(at(1)), None, "there is no plan");
        late.plan(at(1), 1, ms(10));
        late.plan(at(1), 4, ms(20));
        for took in [9, 12, 10, 40, 11, 10, 9, 10, 12, 11] {
            late.ran(at(2), 1, 1, ms(took), 1.5);
        }
        assert_eq!(late.late(at(2)), None, "one stall is noise");
        (0..20).for_each(|_| late.ran(at(3), 4, 4, ms(40), 1.5));
        assert!(late.late(at(3)).is_some_and(|factor| (1.8..2.1).contains(&factor)), "{late:?}");
        assert_eq!(late.late(at(64)), None, "that was long ago");
        (0..4).for_each(|_| late.ran(at(65), 1, 1, ms(14), 1.5));
        assert!(late.late(at(65)).is_some(), "not yet as planned");
        (0..20).for_each(|_| late.ran(at(66), 1, 1, ms(11), 1.5));
        assert_eq!(late.late(at(66)), None);
    }
}
