//! Numbers that are alike for what looks alike: cosines, and whether the nearest neighbour is of the same kind.

use super::share;

/// The cosine of the angle between two; 0 where one has no length, or their lengths differ in number.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if a.len() == b.len() && lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// Share of those whose nearest other one is of the same kind; what has no numbers is near to nothing. Kinds of one
/// alone have no other to find and do not count; `None` if there are no others.
pub fn nearest(samples: &[(Option<Vec<f64>>, &str)]) -> Option<f64> {
    let unit: Vec<Option<Vec<f64>>> = samples.iter().map(|(numbers, _)| numbers.as_deref().and_then(scaled)).collect();
    let kind = |at: usize| samples.get(at).map(|(_, kind)| *kind);
    let counts = |at: &usize| (0..samples.len()).any(|other| other != *at && kind(other) == kind(*at));
    let judged: Vec<usize> = (0..samples.len()).filter(counts).collect();
    let right = judged.iter().filter(|at| {
        let Some(Some(own)) = unit.get(**at) else { return false };
        let near = |other: &[f64]| own.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        let others = unit.iter().enumerate().filter(|(other, _)| other != *at);
        let others = others.filter_map(|(other, numbers)| Some((other, near(numbers.as_deref()?))));
        let nearest = others.max_by(|a, b| a.1.total_cmp(&b.1));
        nearest.is_some_and(|(other, _)| kind(other) == kind(**at))
    });
    let right = right.count();
    (!judged.is_empty()).then(|| share(right, judged.len()))
}

/// To the length 1; `None` if it has no length.
fn scaled(numbers: &[f64]) -> Option<Vec<f64>> {
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    (length > 0.0 && length.is_finite()).then(|| numbers.iter().map(|number| number / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_of_the_angle_alone() {
        let cases: [(&[f64], &[f64], f64); 6] = [
            (&[1.0, 0.0], &[2.0, 0.0], 1.0),
            (&[1.0, 0.0], &[0.0, 3.0], 0.0),
            (&[1.0, 0.0], &[-1.0, 0.0], -1.0),
            (&[1.0, 1.0], &[1.0, 0.0], std::f64::consts::FRAC_1_SQRT_2),
            (&[0.0, 0.0], &[1.0, 0.0], 0.0),
            (&[1.0], &[1.0, 0.0], 0.0),
        ];
        for (a, b, wanted) in cases {
            assert!((cosine(a, b) - wanted).abs() < 1e-12, "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_nearest_other_one_tells_the_kind() {
        let at = |x: f64, y: f64, kind: &'static str| (Some(vec![x, y]), kind);
        let apart = [at(1.0, 0.0, "a"), at(1.0, 0.1, "a"), at(0.0, 1.0, "b"), at(0.1, 1.0, "b")];
        assert_eq!(nearest(&apart), Some(1.0));
        let mixed = [at(1.0, 0.0, "a"), at(1.0, 0.1, "b"), at(0.0, 1.0, "b"), at(0.1, 1.0, "a")];
        assert_eq!(nearest(&mixed), Some(0.0));
        // One alone does not count, but may be the nearest of others; what has no numbers is wrong.
        assert_eq!(nearest(&[at(1.0, 0.0, "a"), at(0.0, 1.0, "a"), at(1.0, 0.1, "c")]), Some(0.0));
        assert_eq!(nearest(&[at(1.0, 0.0, "a"), at(0.0, 1.0, "a"), (None, "a")]), Some(2.0 / 3.0));
        assert_eq!(nearest(&[at(1.0, 0.0, "a"), at(0.0, 1.0, "b")]), None);
    }
}
