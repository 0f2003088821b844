//! Answers in an order: how often the right label is among the first, and how well a score tells two kinds apart.

use super::share;

/// Share of answers whose right label is among the first `count` that were given, the best first.
pub fn top(answers: &[(Vec<&str>, &str)], count: usize) -> f64 {
    let right = answers.iter().filter(|(given, right)| given.iter().take(count).any(|label| label == right));
    share(right.count(), answers.len())
}

/// The area under the receiver operating characteristic: how probable it is that one of those that are (`true`) has the higher
/// score than one of those that are not, equal scores counting half; `None` without both kinds. It is the statistic U of
/// Mann and Whitney over the number of pairs (Hanley and McNeil, Radiology 143, 1982), from the sum of ranks.
pub fn auroc(scores: &[(f64, bool)]) -> Option<f64> {
    let positives = scores.iter().filter(|(_, is)| *is).count();
    let negatives = scores.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the ranks, as equal scores share the mean of theirs.
    let (mut before, mut doubled) = (0usize, 0usize);
    for alike in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let rank = 2 * before + alike.len() + 1;
        doubled += rank * alike.iter().filter(|(_, is)| *is).count();
        before += alike.len();
    }
    Some(share(doubled - positives * (positives + 1), 2 * positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_label_is_looked_for_among_the_first() {
        let answers =
            [(vec!["a", "b", "c"], "a"), (vec!["a", "b", "c"], "b"), (vec!["c", "b", "a"], "a"), (vec![], "a")];
        for (count, wanted) in [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (9, 0.75)] {
            assert_eq!(top(&answers, count), wanted, "{count}");
        }
        assert_eq!(top(&[], 1), 0.0);
    }

    #[test]
    fn areas_under_the_curve_are_the_known_ones() {
        type Scores<'a> = &'a [(f64, bool)];
        let cases: [(Scores<'_>, Option<f64>); 7] = [
            (&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)], Some(0.75)),
            (&[(0.1, false), (0.9, true)], Some(1.0)),
            (&[(0.9, false), (0.1, true)], Some(0.0)),
            (&[(0.5, false), (0.5, true)], Some(0.5)),
            // Pairs: 1 > 0, 1 = 1, 2 > 0, 2 > 1: 3.5 of 4.
            (&[(0.0, false), (1.0, false), (1.0, true), (2.0, true)], Some(0.875)),
            (&[(0.5, true)], None),
            (&[], None),
        ];
        for (scores, wanted) in cases {
            assert_eq!(auroc(scores), wanted, "{scores:?}");
        }
    }

    #[test]
    fn the_area_is_that_of_all_pairs_counted_one_by_one() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 28
        };
        for _ in 0..200 {
            let scores: Vec<(f64, bool)> = (0..12).map(|_| (f64::from(next()), next() % 2 == 0)).collect();
            let of = |wanted: bool| scores.iter().filter(move |(_, is)| *is == wanted).map(|(score, _)| *score);
            let pairs: Vec<f64> = of(true)
                .flat_map(|good| of(false).map(move |bad| if good > bad { 1.0 } else { f64::from(good == bad) / 2.0 }))
                .collect();
            match super::super::mean(pairs) {
                None => assert_eq!(auroc(&scores), None),
                Some(wanted) => assert!((auroc(&scores).unwrap() - wanted).abs() < 1e-12, "{scores:?}"),
            }
        }
    }
}
