//! Decides whether a free lane waits for one more request, so that both run together. Must not know lanes or lines; it is
//! given what waits, how often requests come and what was measured of the model.
//!
//! Running at once what waits is nearly always right: while it runs the next batch gathers by itself. It is wrong where a
//! batch of one more costs hardly anything more, and one more is about to come: it would have to wait for the whole run. So
//! the two ways are compared by the sum of all delays:
//!
//! ```text
//!   at once:   n are done after T(n), the next one after T(n) + T(1)
//!   together:  all n + 1 are done after gap + T(n + 1)
//! ```
//!
//! where T has in it what a change of size takes, if the run before had another one.
//!
//! Where a larger batch does not pay, T(n + 1) is about T(n) + T(1), and nothing ever waits.

use crate::estimate::batch_size::is_tried;
use crate::estimate::service::ServiceTimes;
use crate::units::{Mono, Span};

/// After so many gaps without an arrival none is expected any more.
const PATIENCE: u64 = 2;

/// What waits for a free lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Requests, each of about one row.
    pub count: usize,
    /// Cost of one of them.
    pub units: u64,
    /// Largest batch that pays.
    pub most: usize,
    /// Rows that the lane ran before.
    pub before: Option<usize>,
    /// When the last one came.
    pub last: Mono,
    /// Mean time from one to the next.
    pub gap: Span,
    /// The earliest deadline of any of them.
    pub deadline: Mono,
}

/// Until when the lane waits; none if what waits runs now.
pub fn until(times: &ServiceTimes, now: Mono, waiting: &Waiting) -> Option<Mono> {
    let Waiting { count, units, most, before, last, gap, deadline } = *waiting;
    let more = count + 1;
    if count == 0 || more > most || !is_tried(times, more) || !is_tried(times, count) {
        return None;
    }
    let steady = |count: usize| times.steady(count, units);
    let change = |before: Option<usize>, count| if before == Some(count) { Span::ZERO } else { times.change() };
    let so_far = steady(count).plus(change(before, count));
    let alone = steady(1).plus(change(Some(count), 1));
    // Sizes are learnt in classes; one more never costs less than one fewer.
    let run = steady(more).max(steady(count)).plus(change(before, more));
    let together = gap.plus(run);
    let delay = together.minus(so_far).times(u64::try_from(count).unwrap_or(u64::MAX));
    let spared = so_far.plus(alone).minus(together);
    let until = gap.times(PATIENCE).from(last);
    let in_time = run.from(until) <= deadline;
    (spared > delay && in_time && until > now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    /// A model that takes `curve` milliseconds for batches of 1, 2, 4 and 8.
    fn times(curve: [u64; 4]) -> ServiceTimes {
        let mut times = ServiceTimes::default();
        for (rows, took) in [1, 2, 4, 8].into_iter().zip(curve) {
            for _ in 0..3 {
                times.learn(ms(0), rows, u64::try_from(rows).unwrap(), Span::from_millis(took));
            }
        }
        times
    }

    fn waiting(count: usize, gap_ms: u64) -> Waiting {
        Waiting {
            count,
            units: 1,
            most: 8,
            before: None,
            last: ms(100),
            gap: Span::from_millis(gap_ms),
            deadline: ms(10_000),
        }
    }

    /// A device that takes hardly longer for more.
    const FLAT: [u64; 4] = [10, 10, 11, 12];
    /// A processor that takes as long for each.
    const STEEP: [u64; 4] = [10, 20, 40, 80];

    #[test]
    fn a_lane_waits_only_where_one_more_costs_little_and_comes_soon() {
        for (curve, count, gap, expected) in [
            (FLAT, 1, 2, Some(ms(104))),
            (FLAT, 1, 6, None),
            (FLAT, 4, 1, Some(ms(102))),
            (FLAT, 4, 3, None),
            (FLAT, 8, 1, None),
            (STEEP, 1, 0, None),
            (STEEP, 1, 1, None),
            (STEEP, 4, 1, None),
        ] {
            assert_eq!(until(&times(curve), ms(100), &waiting(count, gap)), expected, "{curve:?} {count} {gap}");
        }
    }

    #[test]
    fn a_lane_waits_for_the_size_that_it_ran_before() {
        let mut times = times(STEEP);
        for _ in 0..8 {
            times.learn(ms(0), 1, 1, Span::from_millis(10));
            times.learn_changed(ms(0), 1, 1, Span::from_millis(30));
        }
        for (before, count, gap, expected) in [
            (Some(4), 3, 2, Some(ms(104))),
            (Some(4), 3, 30, None),
            // The size changes in any case.
            (Some(8), 3, 2, None),
            (Some(1), 1, 2, None),
        ] {
            let waiting = Waiting { before, ..waiting(count, gap) };
            assert_eq!(until(&times, ms(100), &waiting), expected, "{before:?} {count} {gap}");
        }
    }

    #[test]
    fn no_deadline_is_missed_by_waiting_and_no_one_is_waited_for_who_does_not_come() {
        let late = |deadline| until(&times(FLAT), ms(100), &Waiting { deadline: ms(deadline), ..waiting(1, 2) });
        assert_eq!((late(113), late(114)), (None, Some(ms(104))));
        let at = |now| until(&times(FLAT), ms(now), &waiting(1, 2));
        assert_eq!((at(103), at(104)), (Some(ms(104)), None));
    }

    #[test]
    fn what_was_not_measured_is_not_waited_for() {
        let mut times = ServiceTimes::default();
        assert_eq!(until(&times, ms(100), &waiting(1, 1)), None);
        (0..3).for_each(|_| times.learn(ms(0), 1, 1, Span::from_millis(10)));
        assert_eq!(until(&times, ms(100), &waiting(1, 1)), None);
    }
}
