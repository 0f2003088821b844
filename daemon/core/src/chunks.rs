//! Decides into chunks of how many rows a request is divided that brings many in its tensors, so that whoever comes meanwhile
//! waits for one chunk and not for all of it. Must not know lanes, callers or the host; it is given what was measured.
//!
//! ```text
//!   rows of a chunk  =  as many as are expected to run within the policy's chunk, if so many together cost no more for each
//!                       than fewer do; never more than the model takes at once; one, if even one takes longer, or if
//!                       nothing was measured
//! ```
//!
//! A request that fits into one chunk is not divided. The others are divided evenly: thirteen rows and twelve instead of
//! thirteens and a rest of five, so that no chunk pays for a run of its own with little in it.

use crate::estimate::batch_size::OVERHEAD;
use crate::estimate::service::{CLASSES, ServiceTimes, rows_of};
use crate::units::Span;

/// More rows are taken in a chunk unless that costs each of them so much more (percent): fewer chunks are less work around
/// the model.
const DEARER_PERCENT: u128 = 103;

/// Why a chunk has no more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// More rows are expected to run longer than a chunk may.
    Time,
    /// One row by itself is expected to run longer than a chunk may.
    Row,
    /// The model takes no more at once.
    Most,
    /// More rows together cost more for each.
    Cost,
    /// The model was not measured yet.
    Unmeasured,
}

/// How a request is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    rows: u32,
    why: Why,
}

impl Size {
    /// Chunks of at most `rows` rows, at least one.
    pub fn new(rows: u32, why: Why) -> Size {
        Size { rows: rows.max(1), why }
    }

    /// How a request of `rows` rows is divided for a model with these `times` that takes at most `most` rows at once, if a run
    /// may take `chunk`.
    pub fn of(times: &ServiceTimes, most: u32, chunk: Span, rows: u32) -> Size {
        let up_to = most.min(rows).max(1);
        if times.guess(1, 1).is_none() {
            return Size::new(1, Why::Unmeasured);
        }
        if rows <= most && time(times, rows) <= chunk {
            return Size::new(rows, Why::Time);
        }
        let fitting = |class: usize| largest(times, class, up_to, chunk).map(|rows| (rows, cost(times, rows)));
        let sizes = || (0..CLASSES).filter_map(fitting);
        let Some(least) = sizes().map(|(_, cost)| cost).min() else { return Size::new(1, Why::Row) };
        let pays = |(_, cost): &(u32, u128)| cost * 100 <= least * DEARER_PERCENT;
        let (rows, _) = sizes().rfind(pays).unwrap_or_default();
        let larger = sizes().any(|(other, _)| other > rows);
        let why = match (rows >= most, larger) {
            (true, _) => Why::Most,
            (false, true) => Why::Cost,
            (false, false) => Why::Time,
        };
        Size::new(rows, why)
    }

    /// Most rows of a chunk.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Why they are no more.
    pub fn why(&self) -> Why {
        self.why
    }

    /// Number of chunks of so many rows.
    pub fn count(&self, rows: u32) -> u32 {
        rows.div_ceil(self.rows)
    }

    /// Rows of the next chunk if so many are left.
    pub fn next(&self, left: u32) -> u32 {
        left.div_ceil(self.count(left).max(1))
    }

    /// Rows of the smallest and of the largest of the chunks of so many rows.
    pub fn range(&self, rows: u32) -> (u32, u32) {
        (rows.checked_div(self.count(rows)).unwrap_or(0), self.next(rows))
    }

    /// Whether `left` rows of a request that is divided by `was` are to be divided by this one, which is what is known now: if it
    /// is half as much or less, or twice as much or more, or if chunks as they were would be too long by half.
    pub fn replaces(&self, was: Size, left: u32, times: &ServiceTimes, chunk: Span) -> bool {
        let (small, large) = (self.rows.min(was.rows), self.rows.max(was.rows));
        let too_long = || self.rows < was.rows && time(times, was.rows) > chunk.plus(chunk.part(2));
        self.count(left) != was.count(left) && (large / 2 >= small || too_long())
    }
}

/// The rows of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The first one, counted from 0.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// The largest number of rows of a class of batch sizes, up to `up_to`, that runs within `chunk`.
fn largest(times: &ServiceTimes, class: usize, up_to: u32, chunk: Span) -> Option<u32> {
    let of_class = rows_of(class);
    let within = times.rows_within(class, chunk).min(u64::from(up_to)).min(u64::from(*of_class.end()));
    u32::try_from(within).ok().filter(|rows| of_class.contains(rows))
}

fn time(times: &ServiceTimes, rows: u32) -> Span {
    times.work(usize::try_from(rows).unwrap_or(usize::MAX), u64::from(rows))
}

/// What each of so many rows costs, in thousandths of a nanosecond, with what a run costs beside the model.
fn cost(times: &ServiceTimes, rows: u32) -> u128 {
    u128::from(time(times, rows).plus(OVERHEAD).as_nanos()) * 1000 / u128::from(rows.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Mono;

    const CHUNK: Span = Span::from_millis(20);

    /// A model of which batches of these rows were measured at these microseconds.
    fn measured(runs: &[(usize, u64)]) -> ServiceTimes {
        let mut times = ServiceTimes::default();
        for (rows, micros) in runs {
            let units = u64::try_from(*rows).unwrap();
            times.learn(Mono::from_nanos(1), *rows, units, Span::from_nanos(micros * 1000));
        }
        times
    }

    /// The chunks of so many rows.
    fn all(size: Size, rows: u32) -> Vec<u32> {
        let mut left = rows;
        core::iter::from_fn(|| {
            let next = size.next(left);
            left -= next;
            (next > 0).then_some(next)
        })
        .collect()
    }

    #[test]
    fn a_chunk_has_the_rows_that_run_in_time_and_pay() {
        use Why::{Cost, Most, Row, Time, Unmeasured};
        const ANY: u32 = u32::MAX;
        // What was measured, the most at once, rows; rows of a chunk, why.
        type Case<'a> = (&'a [(usize, u64)], u32, u32, u32, Why);
        let cases: [Case<'_>; 22] = [
            (&[(1, 1_000)], ANY, 1, 1, Time),
            (&[(1, 1_000)], ANY, 20, 20, Time),
            (&[(1, 1_000)], ANY, 21, 20, Time),
            (&[(1, 1_000)], ANY, 200, 20, Time),
            (&[(1, 1_000)], 16, 16, 16, Time),
            (&[(1, 1_000)], 16, 17, 16, Most),
            (&[(1, 1_500)], ANY, 200, 13, Time),
            (&[(1, 1_500)], 8, 200, 8, Most),
            // Alone it takes longer than a chunk, and all by itself it is not divided.
            (&[(1, 35_000)], ANY, 3, 1, Row),
            (&[(1, 35_000)], ANY, 1, 1, Row),
            // It gains by batches, up to a chunk.
            (&[(1, 6_000), (2, 7_000), (4, 8_000), (8, 12_000), (16, 19_000)], ANY, 64, 16, Time),
            (&[(1, 6_000), (2, 7_000), (4, 8_000), (8, 12_000), (16, 32_000)], ANY, 64, 8, Cost),
            (&[(1, 6_000), (2, 7_000), (4, 8_000), (8, 12_000), (16, 48_000)], ANY, 64, 8, Time),
            // Each row is dearer in company.
            (&[(1, 2_000), (2, 8_000), (4, 16_000)], ANY, 10, 1, Cost),
            (&[(1, 15_000), (2, 60_000)], ANY, 4, 1, Time),
            // Rows that are hardly anything: what a run costs is not what they cost.
            (&[(1, 20)], ANY, 1_000_000, 1000, Time),
            (&[(1, 20), (1000, 25)], ANY, 1_000_000, 800_000, Time),
            (&[(1, 20), (1000, 25)], ANY, 700_000, 700_000, Time),
            (&[(1, 0)], ANY, 4_000_000, 4_000_000, Time),
            (&[], ANY, 1, 1, Unmeasured),
            (&[], ANY, 5, 1, Unmeasured),
            (&[(1, 1_000)], 0, 5, 1, Most),
        ];
        for (at, (runs, most, rows, expected, why)) in cases.into_iter().enumerate() {
            let size = Size::of(&measured(runs), most, CHUNK, rows);
            assert_eq!((size.rows(), size.why()), (expected, why), "case {at}: {rows} rows, measured {runs:?}");
        }
    }

    #[test]
    fn what_was_only_stopped_is_not_measured() {
        let mut times = ServiceTimes::default();
        times.learn_at_least(Mono::from_nanos(1), 1, 1, Span::from_millis(1));
        assert_eq!(Size::of(&times, 16, CHUNK, 40), Size::new(1, Why::Unmeasured));
    }

    #[test]
    fn chunks_are_even() {
        for (rows, each, expected) in [
            (200, 16, vec![16, 16, 16, 16, 16, 15, 15, 15, 15, 15, 15, 15, 15]),
            (10, 3, vec![3, 3, 2, 2]),
            (10, 5, vec![5, 5]),
            (3, 1, vec![1, 1, 1]),
            (3, 0, vec![1, 1, 1]),
            (3, 4, vec![3]),
            (0, 4, vec![]),
        ] {
            let size = Size::new(each, Why::Time);
            let found = all(size, rows);
            assert_eq!(found, expected, "{rows} rows in chunks of {each}");
            let ends = (found.last().copied().unwrap_or(0), found.first().copied().unwrap_or(0));
            assert_eq!((u32::try_from(found.len()).unwrap(), size.range(rows)), (size.count(rows), ends));
        }
        assert_eq!(Size::new(1 << 31, Why::Time).next(u32::MAX), 1 << 31);
    }

    #[test]
    fn only_what_has_changed_much_is_divided_anew() {
        let times = measured(&[(1, 1_900)]);
        for (is, was, left, anew) in [
            (1, 2, 100, true),
            (2, 1, 100, true),
            (3, 2, 100, false),
            (13, 15, 100, false),
            (10, 16, 100, true),
            (8, 16, 100, true),
            (4, 4, 100, false),
            // What is left is one chunk in either way.
            (7, 20, 7, false),
            (20, 8, 7, false),
            (1, 2, 1, false),
            (1, 2, 0, false),
        ] {
            let replaces = Size::new(is, Why::Time).replaces(Size::new(was, Why::Cost), left, &times, CHUNK);
            assert_eq!(replaces, anew, "{is} instead of {was} for {left}");
        }
    }

    #[test]
    fn whatever_was_measured_every_row_is_in_one_chunk_that_is_expected_to_fit() {
        let mut dice = 7_u64;
        let mut roll = |end: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % end
        };
        let mut divided = 0;
        for _ in 0..5000 {
            let runs: Vec<(usize, u64)> =
                (0..roll(6)).map(|_| (usize::try_from(1 + roll(40)).unwrap(), roll(60_000))).collect();
            let (most, rows) = (u32::try_from(1 + roll(32)).unwrap(), u32::try_from(1 + roll(500)).unwrap());
            let (times, chunk) = (measured(&runs), Span::from_millis(1 + roll(50)));
            let size = Size::of(&times, most, chunk, rows);
            let chunks = all(size, rows);
            assert_eq!(chunks.iter().sum::<u32>(), rows, "{size:?}");
            let (small, large) = size.range(rows);
            assert!(
                chunks.iter().all(|each| (small..=large).contains(each)) && large - small <= 1,
                "{size:?} {chunks:?}"
            );
            assert!(large <= most.min(size.rows()), "{size:?}: at most {most}");
            let fits = size.rows() == 1 || time(&times, size.rows()) <= chunk;
            assert!(fits, "{size:?} takes {:?} of {chunk:?}, measured {runs:?}", time(&times, size.rows()));
            divided += usize::from(chunks.len() > 1);
        }
        assert!(divided > 1000, "{divided}");
    }
}
