//! Numbers of a model as scores of 0 to 1.

use crate::bundle::Activation;

/// Scores, one for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores(Vec<f32>);

impl Scores {
    /// Makes scores of the numbers of one row.
    pub fn of(numbers: impl Iterator<Item = f32>, activation: Activation) -> Scores {
        let mut scores: Vec<f32> = numbers.collect();
        match activation {
            Activation::None => {}
            Activation::Sigmoid => scores.iter_mut().for_each(|score| *score = 1.0 / (1.0 + (-*score).exp())),
            Activation::Softmax => {
                // Less the largest, so that nothing overflows.
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
                let sum: f32 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
            }
        }
        Scores(scores)
    }

    /// Leaves the first `count`.
    pub fn shorten(&mut self, count: usize) {
        self.0.truncate(count);
    }

    /// Place and value of the largest; none if no score is a number.
    pub fn best(&self) -> Option<(usize, f32)> {
        super::largest(self.0.iter().copied()).filter(|(_, score)| !score.is_nan())
    }

    /// All of them.
    pub fn into_inner(self) -> Vec<f32> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_made_as_the_recipe_says() {
        let scores = |activation| Scores::of([0.0, 2.0, -1000.0].into_iter(), activation).into_inner();
        assert_eq!(scores(Activation::None), [0.0, 2.0, -1000.0]);
        assert_eq!(scores(Activation::Sigmoid), [0.5, 0.880_797, 0.0]);
        let soft = scores(Activation::Softmax);
        assert!((soft[0] - 0.119_203).abs() < 1e-6 && (soft[1] - 0.880_797).abs() < 1e-6 && soft[2] == 0.0, "{soft:?}");
        let large = Scores::of([1e30, 1e30].into_iter(), Activation::Softmax);
        assert_eq!(large.best(), Some((0, 0.5)));
        assert_eq!(Scores::of([f32::NAN].into_iter(), Activation::None).best(), None);
        assert_eq!(Scores::of(std::iter::empty(), Activation::Softmax).best(), None);
    }
}
