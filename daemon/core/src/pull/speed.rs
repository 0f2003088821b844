//! How fast bytes come, over the last seconds, and how long the rest will take.

use std::collections::VecDeque;
use std::time::Duration;

use crate::units::Mono;

/// A count for each of these is kept.
const EVERY: Duration = Duration::from_millis(500);
/// So many are kept: ten seconds.
const KEPT: usize = 20;
/// Before this nothing is said: too little came.
const LEAST: Duration = Duration::from_millis(900);

/// The counts of the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Speed {
    counts: VecDeque<(Mono, u64)>,
}

impl Speed {
    /// So many bytes have come by now, all in all.
    pub fn count(&mut self, now: Mono, bytes: u64) {
        if self.counts.back().is_some_and(|(at, _)| now.since(*at) < EVERY) {
            return;
        }
        if self.counts.len() == KEPT {
            self.counts.pop_front();
        }
        self.counts.push_back((now, bytes));
    }

    /// A new attempt begins: what was before says nothing of it.
    pub fn restart(&mut self) {
        self.counts.clear();
    }

    /// Bytes per second now that so many have come; `None` while nobody can tell.
    pub fn per_second(&self, now: Mono, bytes: u64) -> Option<u64> {
        let (at, then) = self.counts.front()?;
        let span = now.since(*at);
        let nanos = span.as_nanos();
        (span >= LEAST)
            .then(|| u64::try_from(u128::from(bytes.saturating_sub(*then)) * 1_000_000_000 / nanos).unwrap_or(u64::MAX))
    }
}

/// How long the rest takes at this speed; `None` if it stands still.
pub fn left(bytes: u64, size: u64, per_second: u64) -> Option<Duration> {
    (per_second > 0).then(|| Duration::from_secs(size.saturating_sub(bytes).div_ceil(per_second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::default().after(Duration::from_millis(ms))
    }

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let mut speed = Speed::default();
        assert_eq!(speed.per_second(at(0), 0), None);
        speed.count(at(0), 0);
        assert_eq!(speed.per_second(at(500), 1000), None, "too soon");
        assert_eq!(speed.per_second(at(1000), 1000), Some(1000));
        // A minute at ten thousand a second: what was before is forgotten.
        let mut bytes = 1000;
        for step in 1..=120u64 {
            bytes += 5000;
            speed.count(at(1000 + step * 500), bytes);
        }
        assert_eq!(speed.per_second(at(61_000), bytes), Some(10_000));
        speed.restart();
        assert_eq!(speed.per_second(at(62_000), bytes), None);
    }

    #[test]
    fn the_rest_is_told_in_whole_seconds_and_not_at_all_where_nothing_moves() {
        assert_eq!(left(0, 1000, 300), Some(Duration::from_secs(4)));
        assert_eq!(left(1000, 1000, 300), Some(Duration::ZERO));
        assert_eq!(left(0, 1000, 0), None);
    }
}
