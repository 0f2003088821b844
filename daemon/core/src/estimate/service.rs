//! How long a model runs for a batch, learnt per batch size and unit of cost from its completions.
//!
//! Batch sizes are learnt in classes (1, 2, 3-4, 5-8, 9-16, 17 and more), because what a batch costs per unit differs between
//! models and providers in both directions: some halve it, some double it.
//!
//! A run whose size is not that of the run before it on its lane takes longer on some providers, which prepare for each new
//! shape: for a model of a millisecond OpenVINO takes a whole one more, and 20 for a shape that the session never had. So
//! what a size takes and what a change of size takes are learnt apart, and nothing from the first run of a size on a lane.
//! When a request will be done goes by the mean of all other runs; which size is best goes by the former two, because the
//! size that is chosen will be run again and again.

use crate::estimate::mean::Mean;
use crate::units::{Mono, Span};

/// Number of batch size classes; the last one holds all sizes above 16.
pub const CLASSES: usize = 6;
/// Fixed-point scale of the time per unit, so that a unit of a nanosecond is still told from two.
const SCALE: u64 = 1024;
/// An estimate without a completion for this long (or four times itself) is no reason to refuse any more: a wrong one
/// would otherwise keep its model shut for ever, as refusing leaves nothing to learn from.
const STALE: Span = Span::from_millis(10_000);
const STALE_TIMES: u64 = 4;

/// Whether an estimate of `expected` whose last sample came at `last` is new enough to say no by.
pub(super) fn is_fresh(last: Mono, now: Mono, expected: Span) -> bool {
    Span::between(last, now) <= STALE.max(expected.times(STALE_TIMES))
}

/// The class of a batch of `rows` rows.
pub fn class_of(rows: usize) -> usize {
    let bits = usize::BITS - rows.saturating_sub(1).leading_zeros();
    usize::try_from(bits).map_or(CLASSES - 1, |class| class.min(CLASSES - 1))
}

/// The numbers of rows that are in a class.
pub fn rows_of(class: usize) -> core::ops::RangeInclusive<u32> {
    let end = |class: usize| u32::try_from(class).ok().and_then(|class| 1_u32.checked_shl(class)).unwrap_or(u32::MAX);
    let first = class.checked_sub(1).map_or(1, |smaller| end(smaller).saturating_add(1));
    first..=if class + 1 >= CLASSES { u32::MAX } else { end(class) }
}

/// Service times of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceTimes {
    /// Scaled nanoseconds per unit, per class; of all runs.
    per_unit: [Mean; CLASSES],
    /// The same without what a change of size takes.
    steady: [Mean; CLASSES],
    /// Nanoseconds that runs took after one of another size, and would have taken after one of their own. The means are kept
    /// apart, so that noise goes both ways and does not look like a price.
    changed: Mean,
    unchanged: Mean,
    units_per_row: Mean,
    last: Option<Mono>,
    /// The same by class.
    last_of: [Option<Mono>; CLASSES],
}

impl ServiceTimes {
    /// A batch of `rows` rows and `units` of cost ran for `took`, and all of it succeeded; the one before it on its lane had
    /// the same size.
    pub fn learn(&mut self, now: Mono, rows: usize, units: u64, took: Span) {
        self.learn_all(now, rows, units, took);
        self.steady[class_of(rows)].learn(scaled_each(took, units));
    }

    /// The same of the first batch of this size on its lane: better than to know nothing.
    pub fn learn_first(&mut self, now: Mono, rows: usize, units: u64, took: Span) {
        if self.per_unit[class_of(rows)].get().is_none() {
            self.learn_all(now, rows, units, took);
        }
        self.note(now, rows);
    }

    /// The same of a batch after one of another size.
    pub fn learn_changed(&mut self, now: Mono, rows: usize, units: u64, took: Span) {
        self.learn_all(now, rows, units, took);
        let class = class_of(rows);
        // What the two do not explain is shared between them, until runs of one size tell them apart.
        let change = self.change();
        if let Some(steady) = self.steady[class].get() {
            self.changed.learn(took.as_nanos());
            self.unchanged.learn(unscaled(steady, units).as_nanos());
        }
        self.steady[class].learn(scaled_each(took.minus(change), units));
    }

    fn learn_all(&mut self, now: Mono, rows: usize, units: u64, took: Span) {
        if !self.is_current(now) {
            self.per_unit.iter_mut().chain(&mut self.steady).for_each(Mean::distrust);
        }
        self.note(now, rows);
        self.per_unit[class_of(rows)].learn(scaled_each(took, units));
        self.units_per_row.learn(units / u64::try_from(rows.max(1)).unwrap_or(u64::MAX));
    }

    /// How much longer a run takes after one of another size.
    pub fn change(&self) -> Span {
        self.changed.span().unwrap_or(Span::ZERO).minus(self.unchanged.span().unwrap_or(Span::ZERO))
    }

    /// How long a batch of `rows` rows of `units` each will run after one of the same size; no time if nothing is known.
    pub fn steady(&self, rows: usize, units: u64) -> Span {
        let units = units.saturating_mul(u64::try_from(rows).unwrap_or(u64::MAX));
        let known = self.steady.get(class_of(rows)).and_then(Mean::get);
        known.map_or_else(|| self.work(rows, units), |each| unscaled(each, units))
    }

    /// Such a batch was stopped after `took`, before it was done.
    pub fn learn_at_least(&mut self, now: Mono, rows: usize, units: u64, took: Span) {
        self.note(now, rows);
        self.per_unit[class_of(rows)].learn_at_least(took.times(SCALE).as_nanos() / units.max(1));
    }

    /// How long such a batch will run by what is known now; `None` if nothing is, or if it is too old to say no by.
    pub fn current(&self, now: Mono, rows: usize, units: u64) -> Option<Span> {
        if self.is_current(now) { self.guess(rows, units) } else { None }
    }

    /// The same for `units` in batches of `rows` rows, if such batches were measured lately: what is only known of other
    /// sizes may be far off for many units, and would never be corrected if it kept all such batches away.
    pub fn current_of_size(&self, now: Mono, rows: usize, units: u64) -> Option<Span> {
        let class = class_of(rows);
        let per_unit = self.per_unit.get(class)?.get().filter(|_| self.is_current_of(now, class, rows))?;
        Some(unscaled(per_unit, units))
    }

    /// How long `units` in batches of `rows` rows will run at least, by what such batches took lately, those that were stopped
    /// included; no time if there were none.
    pub fn at_least_of_size(&self, now: Mono, rows: usize, units: u64) -> Span {
        let class = class_of(rows);
        let known = self.per_unit.get(class).filter(|_| self.is_current_of(now, class, rows));
        known.map_or(Span::ZERO, |known| unscaled(known.get().unwrap_or_else(|| known.at_least()), units))
    }

    /// How long such a batch will run by the best guess, however old.
    pub fn guess(&self, rows: usize, units: u64) -> Option<Span> {
        Some(unscaled(self.nearest(class_of(rows))?, units))
    }

    /// How long such a batch will run at least: what is known now, else how long one that was stopped had run, else
    /// no time.
    pub fn at_least(&self, now: Mono, rows: usize, units: u64) -> Span {
        if self.is_current(now) { self.work(rows, units) } else { Span::ZERO }
    }

    /// How long `units` of waiting work will take, in batches of about `rows`, as far as anything is known.
    pub fn work(&self, rows: usize, units: u64) -> Span {
        let bound = || self.per_unit.iter().map(Mean::at_least).max().unwrap_or(0);
        self.guess(rows, units).unwrap_or_else(|| unscaled(bound(), units))
    }

    /// How many units of work in batches of this class take `span`, by the best guess.
    pub fn rows_within(&self, class: usize, span: Span) -> u64 {
        let scaled = u128::from(span.as_nanos()) * u128::from(SCALE);
        let rows = self.nearest(class).map_or(0, |per_unit| scaled / u128::from(per_unit.max(1)));
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// Scaled time per row in batches of this class one after the other, without what a batch costs beside the model.
    pub(super) fn per_row(&self, class: usize) -> Option<u64> {
        let per_unit = self.steady.get(class)?.get()?;
        Some(per_unit.saturating_mul(self.each()))
    }

    /// `span` on the scale of [`ServiceTimes::per_row`].
    pub(super) fn scaled(span: Span) -> u64 {
        span.times(SCALE).as_nanos()
    }

    /// Units of a row.
    pub(super) fn each(&self) -> u64 {
        self.units_per_row.get().unwrap_or(1).max(1)
    }

    pub(super) fn samples(&self, class: usize) -> u64 {
        self.per_unit.get(class).map_or(0, Mean::samples)
    }

    fn note(&mut self, now: Mono, rows: usize) {
        (self.last, self.last_of[class_of(rows)]) = (Some(now), Some(now));
    }

    fn is_current_of(&self, now: Mono, class: usize, rows: usize) -> bool {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        let per_unit = self.per_unit.get(class).and_then(Mean::get).unwrap_or(0);
        let one = unscaled(per_unit, rows.saturating_mul(self.each()));
        self.last_of.get(class).copied().flatten().is_some_and(|last| is_fresh(last, now, one))
    }

    fn is_current(&self, now: Mono) -> bool {
        let Some(last) = self.last else { return false };
        let one = self.guess(1, self.each()).unwrap_or(Span::ZERO);
        is_fresh(last, now, one)
    }

    /// The time per unit of the class; if it was not measured, of the next smaller one (a larger batch is not expected
    /// to be cheaper until it was), else of the next larger one.
    fn nearest(&self, class: usize) -> Option<u64> {
        let smaller = self.per_unit.iter().take(class + 1).rev().find_map(Mean::get);
        smaller.or_else(|| self.per_unit.iter().skip(class + 1).find_map(Mean::get))
    }
}

fn scaled_each(span: Span, units: u64) -> u64 {
    span.times(SCALE).as_nanos() / units.max(1)
}

fn unscaled(per_unit: u64, units: u64) -> Span {
    let nanos = u128::from(per_unit) * u128::from(units) / u128::from(SCALE);
    u64::try_from(nanos).map_or(Span::MAX, Span::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn what_a_change_of_size_takes_is_told_from_what_a_size_takes() {
        let mut times = ServiceTimes::default();
        let us = |us: u64| Span::from_nanos(us * 1000);
        for _ in 0..8 {
            times.learn(at(1), 1, 1, us(850));
            times.learn(at(1), 4, 4, us(2_100));
        }
        assert_eq!(times.change(), Span::ZERO);
        for _ in 0..200 {
            times.learn_changed(at(1), 4, 4, us(3_100));
            times.learn_changed(at(1), 1, 1, us(1_850));
        }
        let near = |span: Span, wanted: u64| (span.as_nanos() / 1000).abs_diff(wanted) < wanted / 10;
        // Each took up half of what was unexplained; runs of one size then tell the two apart.
        let both = times.change().plus(times.steady(4, 1));
        assert!(near(both, 3_100), "{both:?}");
        for _ in 0..40 {
            times.learn(at(1), 1, 1, us(850));
            times.learn(at(1), 4, 4, us(2_100));
            times.learn_changed(at(1), 1, 1, us(1_850));
        }
        assert!(near(times.change(), 1_000), "{:?}", times.change());
        assert!(near(times.steady(4, 1), 2_100) && near(times.steady(1, 1), 850), "{times:?}");
        // Whoever waits is told by what all runs take.
        assert!(times.work(1, 1) > us(1_000));
    }

    #[test]
    fn runs_that_vary_make_no_price_for_changes() {
        let mut times = ServiceTimes::default();
        let us = |us: u64| Span::from_nanos(us * 1000);
        (0..8).for_each(|_| times.learn(at(1), 1, 1, us(10_000)));
        for _ in 0..100 {
            times.learn_changed(at(1), 1, 1, us(13_000));
            times.learn_changed(at(1), 1, 1, us(7_000));
        }
        assert!(times.change() < us(1_000), "{:?}", times.change());
    }

    #[test]
    fn the_first_run_of_a_size_counts_only_as_long_as_there_is_no_other() {
        let mut times = ServiceTimes::default();
        let ms = Span::from_millis;
        times.learn_first(at(1), 4, 4, ms(20));
        assert_eq!((times.guess(4, 4), times.per_row(2)), (Some(ms(20)), None));
        times.learn(at(1), 4, 4, ms(2));
        assert_eq!((times.guess(4, 4), times.steady(4, 1)), (Some(ms(11)), ms(2)));
        times.learn_first(at(2), 4, 4, ms(20));
        assert_eq!((times.guess(4, 4), times.steady(4, 1)), (Some(ms(11)), ms(2)));
    }

    #[test]
    fn sizes_fall_into_classes_that_double() {
        for (len, class) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (16, 4), (17, 5), (32, 5), (99, 5)]
        {
            assert_eq!(class_of(len), class, "batch of {len}");
            let rows = u32::try_from(len.max(1)).unwrap();
            let of = (0..CLASSES).filter(|class| rows_of(*class).contains(&rows));
            assert_eq!(of.collect::<Vec<_>>(), [class], "batch of {len}");
        }
    }

    #[test]
    fn nothing_is_known_of_a_model_that_never_ran() {
        let times = ServiceTimes::default();
        assert_eq!((times.guess(1, 1), times.current(at(0), 1, 1)), (None, None));
        assert_eq!(times.work(4, 100), Span::ZERO);
    }

    #[test]
    fn an_unmeasured_size_costs_as_much_per_unit_as_the_nearest_measured_one() {
        let mut times = ServiceTimes::default();
        times.learn(at(1), 1, 1, Span::from_millis(10));
        assert_eq!(times.guess(8, 8), Some(Span::from_millis(80)));
        times.learn(at(1), 8, 8, Span::from_millis(40));
        for (len, units, ms) in [(1, 1, 10), (1, 3, 30), (4, 4, 40), (8, 8, 40), (16, 16, 80)] {
            assert_eq!(times.guess(len, units), Some(Span::from_millis(ms)), "{units} units in a batch of {len}");
        }
    }

    #[test]
    fn an_old_estimate_is_no_reason_to_refuse_and_new_samples_replace_it() {
        let mut times = ServiceTimes::default();
        for _ in 0..8 {
            times.learn(at(1), 1, 1, Span::from_millis(2000));
        }
        assert_eq!(times.current(at(11), 1, 1), Some(Span::from_millis(2000)));
        assert_eq!(times.current(at(12), 1, 1), None);
        assert_eq!(times.guess(1, 1), Some(Span::from_millis(2000)));
        times.learn(at(60), 1, 1, Span::from_millis(10));
        assert_eq!(times.current(at(60), 1, 1), Some(Span::from_millis(1005)));
    }

    #[test]
    fn what_is_known_of_other_sizes_alone_is_not_current_for_a_size() {
        let (mut times, us) = (ServiceTimes::default(), |us: u64| Span::from_nanos(us * 1000));
        times.learn(at(1), 1, 1, us(300));
        assert_eq!(times.current(at(1), 60, 100_000), Some(Span::from_millis(30_000)));
        assert_eq!(times.current_of_size(at(1), 60, 100_000), None);
        assert_eq!(times.at_least_of_size(at(1), 60, 100_000), Span::ZERO);
        times.learn_at_least(at(1), 60, 60, us(120));
        assert_eq!(times.at_least_of_size(at(1), 60, 100_000), Span::from_millis(200));
        times.learn(at(2), 60, 60, us(300));
        assert_eq!(times.current_of_size(at(2), 60, 100_000), Some(Span::from_millis(500)));
        assert_eq!(times.at_least_of_size(at(2), 60, 100_000), Span::from_millis(500));
        // Runs of another size do not keep it current.
        times.learn(at(13), 1, 1, us(300));
        assert_eq!(times.current_of_size(at(13), 60, 100_000), None);
        assert_eq!(times.current_of_size(at(13), 1, 1), Some(us(300)));
    }

    #[test]
    fn a_stopped_run_teaches_a_lower_bound() {
        let mut times = ServiceTimes::default();
        times.learn_at_least(at(1), 1, 1, Span::from_millis(500));
        times.learn_at_least(at(1), 1, 1, Span::from_millis(100));
        assert_eq!(times.current(at(1), 1, 1), None);
        assert_eq!(times.at_least(at(1), 1, 2), Span::from_millis(1000));
        assert_eq!(times.at_least(at(60), 1, 1), Span::ZERO, "that is long ago");
        times.learn(at(60), 1, 1, Span::from_millis(700));
        assert_eq!(times.current(at(60), 1, 1), Some(Span::from_millis(700)));
    }

    #[test]
    fn units_of_less_than_a_nanosecond_are_still_told_apart() {
        let mut times = ServiceTimes::default();
        times.learn(at(1), 1, 1_000_000, Span::from_nanos(500_000));
        assert_eq!(times.guess(1, 2_000_000), Some(Span::from_nanos(1_000_000)));
        assert!(times.guess(1, u64::MAX).is_some_and(|span| span > Span::from_millis(1)));
    }
}
