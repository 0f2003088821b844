//! How many requests of a model to run together at most: a measured property of the model on its provider.
//!
//! A recogniser of text lines may take twice as long per item in a batch of eight as alone, a small detector half as
//! long, and a graphics processor a tenth. So nothing is assumed: sizes are tried upwards from one, as long as the next
//! class is cheaper per member, and the neighbours of the best are tried again now and then.

use crate::estimate::service::{CLASSES, ServiceTimes, class_of};
use crate::units::Span;

/// What a batch costs beside the model, once for all its members: two messages, two wake-ups, a decision.
pub(crate) const OVERHEAD: Span = Span::from_nanos(50_000);
/// A larger batch makes its first members wait for its last ones, so it has to be cheaper by three percent.
const GAIN_PERCENT: u64 = 97;
/// Samples before a class is compared: the very first run of a session is often the slowest.
pub const TRIED: u64 = 3;
/// Every so many batches a neighbour of the best size is tried again (more often in the beginning): at twice the cost,
/// that is less than half a percent of the work.
const RETRY_EVERY: u64 = 256;
const RETRY_FROM: u64 = 16;

/// Chooses the ceiling of each batch of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchSize {
    dispatched: u64,
}

impl BatchSize {
    /// A batch was dispatched.
    pub fn count(&mut self) {
        self.dispatched = self.dispatched.wrapping_add(1);
    }

    /// The ceiling of the next batch, of at most `most` members.
    pub fn next(&self, times: &ServiceTimes, most: usize) -> usize {
        let Some(best) = best(times, most) else { return 1 };
        let last = class_of(most);
        let class = if times.samples(best) < TRIED {
            best
        } else if best < last && (times.samples(best + 1) < TRIED || self.try_larger()) {
            best + 1
        } else if self.try_smaller() {
            best.saturating_sub(1)
        } else {
            best
        };
        size(class, most)
    }

    /// The size at which a backlog is worked off.
    pub fn usual(&self, times: &ServiceTimes, most: usize) -> usize {
        best(times, most).map_or(1, |class| size(class, most))
    }

    fn try_larger(&self) -> bool {
        self.turn().is_some_and(|turn| turn % 2 == 1)
    }

    fn try_smaller(&self) -> bool {
        self.turn().is_some_and(|turn| turn % 2 == 0)
    }

    /// The number of this retry, if this batch is one.
    fn turn(&self) -> Option<u64> {
        let count = self.dispatched;
        if count < RETRY_FROM {
            None
        } else if count.is_power_of_two() {
            Some(u64::from(count.trailing_zeros()))
        } else {
            count.is_multiple_of(RETRY_EVERY).then_some(count / RETRY_EVERY)
        }
    }
}

/// Where a change of size takes more than this part of a single row's run, sizes are powers of two: so there are few of
/// them, and a change is rare.
const COARSE_FROM: u64 = 8;

/// The ceiling of a batch that may have up to `most` rows while `waiting` wait, on a lane that ran `last` rows before: that
/// size again, where it costs less for each than to run what waits and to change the size for it. What a change takes
/// counts half, because the next batch will be of the new size as likely as not.
pub fn ceiling(times: &ServiceTimes, most: usize, waiting: usize, last: Option<usize>) -> usize {
    let (each, change) = (times.each(), times.change());
    let all = most.min(waiting);
    if change.times(COARSE_FROM) <= times.steady(1, each) || last == Some(all) {
        return most;
    }
    let new = if all.is_power_of_two() { all } else { all.next_power_of_two() / 2 };
    let Some(last) = last.filter(|last| (1..=all).contains(last) && is_tried(times, new)) else { return new.max(1) };
    let (again, anew) = (times.steady(last, each), times.steady(new, each).plus(change.part(2)));
    // again / last < anew / new
    let per = |span: Span, rows: usize| u128::from(span.as_nanos()) * u128::try_from(rows).unwrap_or(u128::MAX);
    if per(again, new) < per(anew, last) { last } else { new }
}

/// Whether batches of `rows` rows were measured often enough to be compared.
pub fn is_tried(times: &ServiceTimes, rows: usize) -> bool {
    times.samples(class_of(rows)) >= TRIED
}

fn size(class: usize, most: usize) -> usize {
    (1 << class.min(CLASSES - 1)).min(most.max(1))
}

/// The class with the least time per member; the smaller one unless the larger is clearly better.
fn best(times: &ServiceTimes, most: usize) -> Option<usize> {
    let mut best: Option<(usize, u64)> = None;
    for class in 0..=class_of(most) {
        let Some(per_row) = times.per_row(class) else { continue };
        let score = per_row.saturating_add(ServiceTimes::scaled(OVERHEAD) >> class);
        if best.is_none_or(|(_, least)| score < least / 100 * GAIN_PERCENT) {
            best = Some((class, score));
        }
    }
    best.map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Mono;

    /// Runs `batches` batches of a model that takes `fixed` + `each` x members microseconds, with a long queue.
    fn settled(fixed: u64, each: u64, most: usize, batches: usize) -> Vec<usize> {
        let (mut size, mut times) = (BatchSize::default(), ServiceTimes::default());
        let mut sizes = Vec::new();
        for step in 0..batches {
            let len = size.next(&times, most);
            let now = Mono::from_nanos(u64::try_from(step).unwrap() * 1_000_000);
            let units = u64::try_from(len).unwrap();
            times.learn(now, len, units, Span::from_nanos((fixed + each * units) * 1000));
            size.count();
            sizes.push(len);
        }
        sizes
    }

    #[test]
    fn a_model_that_gains_nothing_by_batches_runs_one_by_one() {
        let sizes = settled(0, 30_000, 16, 1000);
        assert_eq!(sizes[..3], [1, 1, 1]);
        let larger = sizes.iter().filter(|len| **len > 1).count();
        assert!(larger < 12, "{larger} larger batches in 1000");
        assert!(sizes.iter().all(|len| *len <= 2));
    }

    #[test]
    fn a_model_that_gains_by_batches_climbs_to_the_largest() {
        let sizes = settled(5_000, 100, 16, 40);
        assert_eq!(sizes.iter().max(), Some(&16));
        assert!(sizes[20..].iter().filter(|len| **len == 16).count() >= 18, "{sizes:?}");
    }

    #[test]
    fn a_tiny_model_is_batched_for_the_cost_around_it() {
        assert!(settled(0, 100, 4, 40)[20..].iter().filter(|len| **len == 4).count() >= 18);
    }

    #[test]
    fn a_lane_stays_with_a_size_while_a_change_of_it_costs_more_than_it_gains() {
        let mut times = ServiceTimes::default();
        let us = |us: u64| Span::from_nanos(us * 1000);
        let now = Mono::from_nanos(1);
        for (rows, took) in [(1, 850), (2, 1_280), (4, 2_110), (8, 3_950)] {
            (0..TRIED).for_each(|_| times.learn(now, rows, u64::try_from(rows).unwrap(), us(took)));
        }
        // Without a price for changes everything that waits runs.
        assert_eq!((ceiling(&times, 8, 7, Some(4)), ceiling(&times, 8, 7, None)), (8, 8));
        for _ in 0..8 {
            times.learn_changed(now, 1, 1, us(1_850));
            times.learn(now, 1, 1, us(850));
        }
        // last, waiting: ceiling
        for (last, waiting, wanted) in [
            (None, 7, 4),
            (None, 0, 1),
            (Some(4), 7, 4),
            (Some(4), 8, 4),
            (Some(4), 4, 8),
            (Some(3), 3, 8),
            // Fewer wait than ran: there is no choice.
            (Some(4), 3, 2),
            (Some(4), 1, 1),
            // More at a time gains more than the change takes.
            (Some(1), 3, 2),
            (Some(1), 8, 8),
            (Some(2), 8, 8),
            (Some(2), 5, 4),
        ] {
            assert_eq!(ceiling(&times, 8, waiting, last), wanted, "last {last:?}, {waiting} wait");
        }
    }

    #[test]
    fn no_size_exceeds_the_most_allowed() {
        for most in [0, 1, 3, 5, 32] {
            let largest = settled(10_000, 10, most, 80).into_iter().max();
            assert_eq!(largest, Some(most.max(1)), "at most {most}");
        }
    }
}
