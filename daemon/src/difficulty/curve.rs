//! How good a score is: quality over the share of calls that go to the stronger site.
//!
//! Calls go in order of their score, highest first; calls of one score in an order that the score does not know, so that each
//! has their mean. `PGR(c) = (quality(c) - weak) / (strong - weak)` with the share c sent; APGR is its mean over c from 0 to 1,
//! the exact integral of the line through the points after each call (Ong et al., "RouteLLM", 2024, take some points of it). By chance it is
//! 0.5.

use super::fit::count;

/// One call: the score by which it is sent, and how good either answer is, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    pub score: f64,
    pub weak: f64,
    pub strong: f64,
}

/// Quality over the share sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Quality after 0, 1, 2... calls were sent.
    pub quality: Vec<f64>,
}

impl Curve {
    /// The curve of some calls; `None` if there are none, or a score is no number.
    pub fn of(calls: &[Call]) -> Option<Curve> {
        if calls.is_empty() || calls.iter().any(|call| !call.score.is_finite()) {
            return None;
        }
        let mut calls = calls.to_vec();
        calls.sort_by(|left, right| right.score.total_cmp(&left.score));
        let all = count(calls.len());
        let mut at = calls.iter().map(|call| call.weak).sum::<f64>();
        let mut quality = vec![at / all];
        for equal in calls.chunk_by(|left, right| left.score == right.score) {
            let mean = equal.iter().map(|call| call.strong - call.weak).sum::<f64>() / count(equal.len());
            for _ in equal {
                at += mean;
                quality.push(at / all);
            }
        }
        Some(Curve { quality })
    }

    /// Quality with nothing sent, and with all.
    pub fn ends(&self) -> (f64, f64) {
        let first = self.quality.first().copied().unwrap_or_default();
        (first, self.quality.last().copied().unwrap_or(first))
    }

    /// Mean share of the gain over all shares sent; `None` if the stronger site gains nothing.
    pub fn apgr(&self) -> Option<f64> {
        let (weak, strong) = self.ends();
        let area: f64 = self.quality.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0 - weak).sum();
        let steps = count(self.quality.len().saturating_sub(1));
        (strong > weak).then(|| area / steps / (strong - weak))
    }

    /// Largest share that may stay local so that the quality is at least this part of the strong one.
    pub fn kept_at(&self, part: f64) -> f64 {
        let wanted = part * self.ends().1 - 1e-12;
        let steps = self.quality.len().saturating_sub(1);
        let sent = self.quality.iter().position(|quality| *quality >= wanted).unwrap_or(steps);
        1.0 - count(sent) / count(steps.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(scores: &[f64], gains: &[f64]) -> Vec<Call> {
        let call = |(score, gain): (&f64, &f64)| Call { score: *score, weak: 0.5, strong: 0.5 + gain };
        scores.iter().zip(gains).map(call).collect()
    }

    #[test]
    fn a_score_that_knows_nothing_has_half_of_the_area_and_a_perfect_one_more() {
        let gains = [0.5, 0.0, 0.5, 0.0];
        let of = |scores: &[f64]| Curve::of(&calls(scores, &gains)).and_then(|curve| curve.apgr()).unwrap();
        assert!((of(&[1.0; 4]) - 0.5).abs() < 1e-12);
        assert!((of(&[4.0, 2.0, 3.0, 1.0]) - 0.75).abs() < 1e-12);
        assert!((of(&[1.0, 3.0, 2.0, 4.0]) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_share_kept_is_the_largest_whose_quality_is_enough() {
        let curve = Curve::of(&calls(&[4.0, 3.0, 2.0, 1.0], &[0.5, 0.5, 0.0, 0.0])).unwrap();
        assert_eq!(curve.ends(), (0.5, 0.75));
        assert_eq!(curve.kept_at(1.0), 0.5);
        assert_eq!(curve.kept_at(0.8), 0.75);
        assert_eq!(curve.kept_at(0.5), 1.0);
    }

    #[test]
    fn nothing_is_said_where_nothing_can_be() {
        assert!(Curve::of(&[]).is_none());
        assert!(Curve::of(&calls(&[f64::NAN], &[0.1])).is_none());
        assert!(Curve::of(&calls(&[1.0, 2.0], &[0.0, -0.1])).unwrap().apgr().is_none());
    }
}
