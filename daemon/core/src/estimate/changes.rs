//! What it costs a model to run a batch of another size than the one before on the same session: some runtimes prepare
//! themselves anew for each shape that differs from the last one (OpenVINO takes a millisecond for it, whatever the model), for
//! others it is nothing. Learnt from sizes that are powers of two, so that one size is compared with itself.

use crate::estimate::mean::Mean;
use crate::estimate::service::{CLASSES, class_of};
use crate::units::Span;

/// Runs of a size of each kind before they are compared.
const COMPARED: u64 = 8;
/// A change costs something if it makes a run longer by more than this.
const COST_PERCENT: u64 = 105;

/// Times of runs after one of the same size, and after one of another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    same: [Mean; CLASSES],
    changed: [Mean; CLASSES],
}

impl Changes {
    /// A batch of `rows` rows took so long for each of its units, after one of `before` rows on its session.
    pub fn learn(&mut self, before: Option<usize>, rows: usize, units: u64, took: Span) {
        let Some(before) = before.filter(|_| rows.is_power_of_two()) else { return };
        let times = if before == rows { &mut self.same } else { &mut self.changed };
        if let Some(time) = times.get_mut(class_of(rows)) {
            time.learn(took.as_nanos() / units.max(1));
        }
    }

    /// Whether a change costs so much that sizes should change seldom.
    pub fn are_costly(&self) -> bool {
        let both = self.same.iter().zip(&self.changed);
        let compared = both.filter(|(same, changed)| same.samples() >= COMPARED && changed.samples() >= COMPARED);
        let (same, changed) = compared.fold((0u64, 0u64), |(all_same, all_changed), (same, changed)| {
            (all_same.saturating_add(same.at_least()), all_changed.saturating_add(changed.at_least()))
        });
        changed.saturating_mul(100) > same.saturating_mul(COST_PERCENT)
    }
}

/// The largest power of two up to so many rows: of few sizes each comes again soon.
pub fn steady(rows: usize) -> usize {
    rows.checked_ilog2().map_or(0, |power| 1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many runs of each size in turn, which take `fixed` us, `each` us for a row and `change` us for a new size.
    fn after(sizes: &[usize], rounds: usize, fixed: u64, each: u64, change: u64) -> Changes {
        let (mut changes, mut before) = (Changes::default(), None);
        for at in 0..rounds * sizes.len() {
            let rows = sizes[at % sizes.len()];
            let changed = if before.is_some_and(|before| before != rows) { change } else { 0 };
            let count = u64::try_from(rows).unwrap();
            changes.learn(before, rows, count, Span::from_nanos((fixed + each * count + changed) * 1_000));
            before = Some(rows);
        }
        changes
    }

    #[test]
    fn changes_are_costly_where_the_same_size_takes_longer_after_another_one() {
        for (sizes, fixed, each, change, costly) in [
            (&[4, 4, 5, 5][..], 500, 500, 1_000, true),
            (&[1, 1, 2, 2, 4, 4], 0, 700, 1_000, true),
            // What a run costs beside its rows is no cost of a change.
            (&[4, 4, 5, 5], 5_000, 100, 0, false),
            (&[1, 1, 8, 8, 3], 0, 700, 0, false),
            // A millisecond is nothing to one of a hundred.
            (&[4, 4, 5, 5], 0, 25_000, 1_000, false),
            // Of sizes that never come twice in a row, or never change, nothing is known.
            (&[4, 8], 500, 500, 1_000, false),
            (&[4], 500, 500, 1_000, false),
        ] {
            assert_eq!(after(sizes, 20, fixed, each, change).are_costly(), costly, "{sizes:?} {fixed} {each} {change}");
        }
        assert!(!after(&[4, 4, 5, 5], 7, 500, 500, 1_000).are_costly(), "too few to compare");
    }

    #[test]
    fn steady_sizes_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 7, 8, 31].map(steady), [0, 1, 2, 2, 4, 4, 8, 16]);
    }
}
