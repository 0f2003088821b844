//! A running mean that follows changes and shrugs off single outliers.

use crate::units::Span;

/// Samples until the newest one weighs no more than the long-term weight: the mean of the first eight is a plain one.
const SETTLED: u64 = 8;
/// One sample may be at most this many times the mean once a few were seen: a stall of the machine is one event, not
/// a property of the model. A true change still gets through, by this factor per sample.
const OUTLIER: u64 = 4;
/// Samples after which outliers are cut. The first run of a session is often slow, so one sample is no yardstick.
const TRUSTED: u64 = 4;

/// Mean of samples, the newest weighing an eighth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mean {
    value: u64,
    samples: u64,
}

impl Mean {
    /// Takes one sample.
    pub fn learn(&mut self, sample: u64) {
        let sample =
            if self.samples >= TRUSTED { sample.min(self.value.saturating_mul(OUTLIER).max(1)) } else { sample };
        self.samples = (self.samples + 1).min(SETTLED);
        if sample >= self.value {
            self.value += (sample - self.value) / self.samples;
        } else {
            // Rounded up, so that the mean can come all the way down.
            self.value -= (self.value - sample).div_ceil(self.samples);
        }
    }

    /// Takes a sample of which only a lower bound is known, because the work was stopped. Before the first whole sample
    /// that gives a bound, not a mean.
    pub fn learn_at_least(&mut self, bound: u64) {
        self.value = self.value.max(bound);
    }

    /// The mean, or as long as there is none the largest lower bound.
    pub fn at_least(&self) -> u64 {
        self.value
    }

    /// Lets the next samples weigh as if only one had been seen: what was learnt is old.
    pub fn distrust(&mut self) {
        self.samples = self.samples.min(1);
    }

    /// The mean, or `None` before the first sample.
    pub fn get(&self) -> Option<u64> {
        (self.samples > 0).then_some(self.value)
    }

    /// The mean as a time.
    pub fn span(&self) -> Option<Span> {
        self.get().map(Span::from_nanos)
    }

    /// How many samples stand behind it, up to eight.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: &[u64]) -> Option<u64> {
        let mut mean = Mean::default();
        samples.iter().for_each(|sample| mean.learn(*sample));
        mean.get()
    }

    #[test]
    fn unknown_is_not_zero() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[0]), Some(0));
    }

    #[test]
    fn the_first_samples_count_alike_and_later_ones_an_eighth() {
        assert_eq!(after(&[100, 200]), Some(150));
        assert_eq!(after(&[100, 200, 300]), Some(200));
        assert_eq!(after(&[800, 800, 800, 800, 800, 800, 800, 800, 0]), Some(700));
    }

    #[test]
    fn one_stall_moves_a_trusted_mean_by_less_than_half() {
        let stalled = after(&[100, 100, 100, 100, 100, 100, 100, 100, 1_000_000]);
        assert!(stalled.is_some_and(|mean| mean < 150), "{stalled:?}");
    }

    #[test]
    fn a_lasting_change_gets_through() {
        let mut samples = vec![100; 8];
        samples.extend([10_000; 64]);
        assert!(after(&samples).is_some_and(|mean| mean > 9_000));
        samples.extend([1; 128]);
        assert_eq!(after(&samples), Some(1));
    }

    #[test]
    fn a_bound_only_raises_and_the_first_sample_replaces_it() {
        let mut mean = Mean::default();
        mean.learn_at_least(50);
        mean.learn_at_least(20);
        assert_eq!((mean.get(), mean.at_least()), (None, 50));
        mean.learn(30);
        assert_eq!(mean.get(), Some(30));
        mean.learn_at_least(90);
        assert_eq!((mean.get(), mean.at_least()), (Some(90), 90));
    }
}
