//! Percentiles by nearest rank: the smallest measured value that at least this share of all values does not exceed. Every
//! result is a value that was measured, never one between two.

/// The `percent`-th percentile of values that are sorted; `None` where there is no value. 0 is the smallest, 100 and more the
/// largest.
pub fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent.min(100)).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The median of values in any order; `None` where there is no value.
pub fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    nearest_rank(&values, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_at_its_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        let cases: [(&[u64], usize, Option<u64>); 16] = [
            (&[], 50, None),
            (&[7], 0, Some(7)),
            (&[7], 50, Some(7)),
            (&[7], 99, Some(7)),
            (&[1, 2], 50, Some(1)),
            (&[1, 2], 51, Some(2)),
            (&[15, 20, 35, 40, 50], 5, Some(15)),
            (&[15, 20, 35, 40, 50], 30, Some(20)),
            (&[15, 20, 35, 40, 50], 40, Some(20)),
            (&[15, 20, 35, 40, 50], 50, Some(35)),
            (&[15, 20, 35, 40, 50], 100, Some(50)),
            (&[15, 20, 35, 40, 50], 1000, Some(50)),
            (&hundred, 50, Some(50)),
            (&hundred, 95, Some(95)),
            (&hundred, 99, Some(99)),
            (&hundred[..99], 99, Some(99)),
        ];
        for (sorted, percent, expected) in cases {
            assert_eq!(nearest_rank(sorted, percent), expected, "{percent}% of {sorted:?}");
        }
    }

    #[test]
    fn the_median_needs_no_order() {
        assert_eq!(median(vec![9, 1, 5]), Some(5));
        assert_eq!(median(vec![4, 1, 3, 2]), Some(2));
        assert_eq!(median(vec![]), None);
    }
}
