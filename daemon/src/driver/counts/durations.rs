//! Durations counted in fixed buckets, for quantiles over any time that somebody else chooses. Must not know what took so long.

use std::time::Duration;

/// Upper edges of the buckets, microseconds: from a small model on a fast processor to an answer of a site that takes a minute.
/// One more bucket is for all that takes longer.
pub const EDGES_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Counts by duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    counts: [u64; EDGES_US.len() + 1],
    sum_us: u64,
}

impl Durations {
    /// Counts one, given in microseconds.
    pub fn add(&mut self, us: u64) {
        let bucket = EDGES_US.partition_point(|edge| *edge < us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// Each bucket's upper edge with how many are in it and in no earlier one; the last one has no edge.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let edges = EDGES_US.iter().map(|us| Some(Duration::from_micros(*us))).chain([None]);
        edges.zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_into_the_first_bucket_that_it_does_not_exceed() {
        for (us, edge) in [
            (0, Some(500)),
            (500, Some(500)),
            (501, Some(1_000)),
            (60_000_000, Some(60_000_000)),
            (60_000_001, None),
            (u64::MAX, None),
        ] {
            let mut durations = Durations::default();
            durations.add(us);
            let filled = durations.buckets().find(|(_, count)| *count == 1).unwrap();
            assert_eq!(filled.0, edge.map(Duration::from_micros), "{us}");
            assert_eq!(durations.count(), 1);
        }
    }

    #[test]
    fn the_edges_rise_and_the_sum_is_that_of_all() {
        assert!(EDGES_US.is_sorted_by(|a, b| a < b));
        let mut durations = Durations::default();
        [400, 700, 70_000_000].into_iter().for_each(|us| durations.add(us));
        assert_eq!((durations.count(), durations.sum()), (3, Duration::from_micros(70_001_100)));
        assert_eq!(durations.buckets().map(|(_, count)| count).sum::<u64>(), 3);
    }
}
