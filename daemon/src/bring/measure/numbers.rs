//! Tensors of two variants beside each other.

use super::share;

/// Largest difference, as a share of max(1, largest absolute value of the first): infinite where a number stands against none, or
/// their counts differ.
pub fn difference(given: &[f64], first: &[f64]) -> f64 {
    if given.len() != first.len() {
        return f64::INFINITY;
    }
    let scale = first.iter().filter(|number| number.is_finite()).fold(1f64, |most, number| most.max(number.abs()));
    let apart = |(given, first): (&f64, &f64)| match (given - first).abs() {
        _ if given == first || (given.is_nan() && first.is_nan()) => 0.0,
        apart if apart.is_nan() => f64::INFINITY,
        apart => apart / scale,
    };
    given.iter().zip(first).map(apart).fold(0.0, f64::max)
}

/// How many rows of so many numbers have their largest one at the same place, and how many rows there are.
pub fn same_largest(given: &[f64], first: &[f64], row: usize) -> (usize, usize) {
    let rows = first.chunks(row.max(1));
    let all = rows.len();
    let largest =
        |row: &[f64]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map(|(at, _)| at);
    (rows.zip(given.chunks(row.max(1))).filter(|(first, given)| largest(first) == largest(given)).count(), all)
}

/// Time that both speak over time that one of them does; 1 if nobody does. Each from and to.
pub fn overlap(given: &[(f64, f64)], first: &[(f64, f64)]) -> (f64, f64) {
    let length = |spans: &[(f64, f64)]| spans.iter().map(|(from, to)| (to - from).max(0.0)).sum::<f64>();
    let both: f64 = given
        .iter()
        .flat_map(|given| first.iter().map(move |first| (given.1.min(first.1) - given.0.max(first.0)).max(0.0)))
        .sum();
    (both, length(given) + length(first) - both)
}

/// Of counts of what is alike and of all.
pub fn agreement(counts: impl IntoIterator<Item = (usize, usize)>) -> Option<f64> {
    let (alike, all) = counts.into_iter().fold((0, 0), |(alike, all), (one, of)| (alike + one, all + of));
    (all > 0).then(|| share(alike, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shares_of_the_largest_value_or_of_one() {
        let (nan, infinity) = (f64::NAN, f64::INFINITY);
        let cases: [(&[f64], &[f64], f64); 9] = [
            (&[0.5, 0.25], &[0.5, 0.25], 0.0),
            (&[0.5, 0.35], &[0.5, 0.25], 0.1),
            (&[100.0, 1.0], &[100.0, 2.0], 0.01),
            (&[-102.0], &[-100.0], 0.02),
            (&[nan], &[nan], 0.0),
            (&[nan], &[1.0], infinity),
            (&[infinity], &[infinity], 0.0),
            (&[infinity], &[1.0], infinity),
            (&[1.0], &[1.0, 2.0], infinity),
        ];
        for (given, first, wanted) in cases {
            let found = difference(given, first);
            assert!(found == wanted || (found - wanted).abs() < 1e-12, "{given:?} {first:?}: {found}");
        }
    }

    #[test]
    fn rows_are_compared_by_their_largest() {
        let first = [0.1, 0.9, 0.5, 0.5, 0.3, 0.2];
        assert_eq!(same_largest(&[0.2, 0.3, 0.6, 0.5, 0.1, 0.2], &first, 2), (2, 3));
        assert_eq!(same_largest(&first, &first, 3), (2, 2));
        assert_eq!(same_largest(&[], &first, 2), (0, 3));
        assert_eq!(agreement([(2, 3), (1, 1)]), Some(0.75));
        assert_eq!(agreement([]), None);
    }

    #[test]
    fn spans_overlap_where_both_are() {
        assert_eq!(overlap(&[(0.0, 2.0)], &[(1.0, 3.0)]), (1.0, 3.0));
        assert_eq!(overlap(&[(0.0, 1.0), (2.0, 3.0)], &[(0.0, 3.0)]), (2.0, 3.0));
        assert_eq!(overlap(&[], &[(0.0, 3.0)]), (0.0, 3.0));
    }
}
