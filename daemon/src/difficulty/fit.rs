//! Logistic regression with a penalty on the square of the weights, on sparse rows. Knows nothing of texts.
//!
//! Newton's method, each step by conjugate gradients (Lin, Weng, Keerthi, "Trust region Newton method for logistic
//! regression", JMLR 2008, with a line search in place of the trust region). Rows are taken in their order: the same rows
//! give the same weights.

/// One row: places that are not 0, and their values.
pub type Sparse<'a> = &'a [(u16, f32)];

/// Newton steps at most; eight are usual.
const STEPS: usize = 25;
/// Steps of conjugate gradients in each.
const INNER: usize = 40;
/// Gradient at the end as a share of the one at the start.
const SMALL: f64 = 1e-4;

/// Rows with what is to be predicted of them.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    pub rows: Vec<Sparse<'a>>,
    /// Within 0..=1; a share counts as that part of a 1.
    pub targets: Vec<f64>,
    /// What is added to each row's sum, whatever the weights.
    pub offsets: Vec<f64>,
    /// Places a row may have.
    pub width: usize,
    /// Weight of half the sum of squares against the sum over rows.
    pub penalty: f64,
}

/// Weights, and what is added to every row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fitted {
    pub weights: Vec<f64>,
    pub bias: f64,
}

impl Fitted {
    /// The row's sum: the logarithm of the odds.
    pub fn sum(&self, row: Sparse<'_>) -> f64 {
        dot(&self.weights, row) + self.bias
    }
}

/// 1 / (1 + e^-x), without overflow.
pub fn logistic(sum: f64) -> f64 {
    if sum >= 0.0 { 1.0 / (1.0 + (-sum).exp()) } else { sum.exp() / (1.0 + sum.exp()) }
}

/// Minus the logarithm of what was given to the target.
pub fn surprise(sum: f64, target: f64) -> f64 {
    sum.max(0.0) - sum * target + (-sum.abs()).exp().ln_1p()
}

/// The weights that explain the targets best.
pub fn fit(problem: &Problem<'_>, start: Option<&Fitted>) -> Fitted {
    let mut at = match start {
        Some(start) => start.clone(),
        None => Fitted { weights: vec![0.0; problem.width], bias: problem.prior() },
    };
    let mut value = problem.value(&at);
    let mut first = None;
    for _ in 0..STEPS {
        let (slope, curvature) = problem.slope(&at);
        let size = length(&slope);
        if size <= SMALL * *first.get_or_insert(size.max(1.0)) {
            break;
        }
        let step = problem.newton(&slope, &curvature, size);
        let Some((next, better)) = problem.search(&at, &step, value) else { break };
        (at, value) = (next, better);
    }
    at
}

impl Problem<'_> {
    /// The logarithm of the odds of the targets' mean.
    fn prior(&self) -> f64 {
        let mean = (self.targets.iter().sum::<f64>() + 0.5) / (count(self.targets.len()) + 1.0);
        (mean / (1.0 - mean)).ln()
    }

    fn value(&self, at: &Fitted) -> f64 {
        let square: f64 = at.weights.iter().map(|weight| weight * weight).sum();
        let lines = self.rows.iter().zip(&self.targets).zip(&self.offsets);
        0.5 * self.penalty * square + lines.map(|((row, y), offset)| surprise(at.sum(row) + offset, *y)).sum::<f64>()
    }

    /// The gradient (the bias last), and the curvature of each row.
    fn slope(&self, at: &Fitted) -> (Vec<f64>, Vec<f64>) {
        let mut slope: Vec<f64> = at.weights.iter().map(|weight| weight * self.penalty).collect();
        slope.push(0.0);
        let mut curvature = Vec::with_capacity(self.rows.len());
        for ((row, target), offset) in self.rows.iter().zip(&self.targets).zip(&self.offsets) {
            let given = logistic(at.sum(row) + offset);
            add(&mut slope, row, given - target);
            curvature.push((given * (1.0 - given)).max(1e-9));
        }
        (slope, curvature)
    }

    /// The second derivative times a vector.
    fn bend(&self, curvature: &[f64], vector: &[f64]) -> Vec<f64> {
        let (bias, weights) = vector.split_last().map_or((0.0, vector), |(bias, weights)| (*bias, weights));
        let mut out: Vec<f64> = weights.iter().map(|weight| weight * self.penalty).collect();
        out.push(0.0);
        for (row, curve) in self.rows.iter().zip(curvature) {
            let along = dot(weights, row) + bias;
            add(&mut out, row, curve * along);
        }
        out
    }

    fn newton(&self, slope: &[f64], curvature: &[f64], size: f64) -> Vec<f64> {
        let mut step = vec![0.0; slope.len()];
        let mut rest: Vec<f64> = slope.iter().map(|value| -value).collect();
        let mut way = rest.clone();
        let mut squares = size * size;
        for _ in 0..INNER {
            let bent = self.bend(curvature, &way);
            let along = inner(&way, &bent);
            if along <= 0.0 {
                break;
            }
            let far = squares / along;
            step.iter_mut().zip(&way).for_each(|(to, by)| *to += far * by);
            rest.iter_mut().zip(&bent).for_each(|(to, by)| *to -= far * by);
            let left = inner(&rest, &rest);
            if left.sqrt() <= 0.05 * size {
                break;
            }
            way.iter_mut().zip(&rest).for_each(|(to, from)| *to = from + left / squares * *to);
            squares = left;
        }
        step
    }

    /// The whole step, or half of it, or half of that, until it is better.
    fn search(&self, at: &Fitted, step: &[f64], value: f64) -> Option<(Fitted, f64)> {
        let (bias, weights) = step.split_last()?;
        (0..12).map(|halvings| 0.5_f64.powi(halvings)).find_map(|far| {
            let weights = at.weights.iter().zip(weights).map(|(from, by)| from + far * by).collect();
            let next = Fitted { weights, bias: at.bias + far * bias };
            let better = self.value(&next);
            (better < value).then_some((next, better))
        })
    }
}

fn dot(weights: &[f64], row: Sparse<'_>) -> f64 {
    row.iter().map(|(at, value)| weights.get(usize::from(*at)).copied().unwrap_or_default() * f64::from(*value)).sum()
}

/// Adds the row so many times; the bias is last and 1 in every row.
fn add(to: &mut [f64], row: Sparse<'_>, times: f64) {
    for (at, value) in row {
        if let Some(place) = to.get_mut(usize::from(*at)) {
            *place += times * f64::from(*value);
        }
    }
    if let Some(bias) = to.last_mut() {
        *bias += times;
    }
}

fn inner(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn length(vector: &[f64]) -> f64 {
    inner(vector, vector).sqrt()
}

/// A number of things as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub(super) fn count(things: usize) -> f64 {
    things as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_nothing_at_what_was_found_and_a_larger_penalty_means_smaller_weights() {
        let rows: Vec<Vec<(u16, f32)>> = (0..40_u16).map(|at| vec![(at % 4, 1.0), (4, f32::from(at) / 40.0)]).collect();
        let targets: Vec<f64> = (0..40).map(|at| if at % 4 == 1 || at > 33 { 1.0 } else { 0.0 }).collect();
        let problem = |penalty| Problem {
            rows: rows.iter().map(Vec::as_slice).collect(),
            targets: targets.clone(),
            offsets: vec![0.0; 40],
            width: 5,
            penalty,
        };
        let (soft, hard) = (fit(&problem(0.1), None), fit(&problem(10.0), None));
        assert!(length(&problem(0.1).slope(&soft).0) < 1e-2, "{:?}", problem(0.1).slope(&soft).0);
        assert!(soft.weights[1] > 2.0 && soft.weights[1] > soft.weights[0] + 2.0, "{soft:?}");
        assert!(length(&hard.weights) < 0.5 * length(&soft.weights));
        assert_eq!(fit(&problem(0.1), None), soft);
    }

    #[test]
    fn one_kind_of_target_gives_finite_weights() {
        let row = [(0, 1.0)];
        let one = |target| Problem {
            rows: vec![&row; 5],
            targets: vec![target; 5],
            offsets: vec![0.0; 5],
            width: 1,
            penalty: 1.0,
        };
        for target in [0.0, 1.0, 0.5] {
            let found = fit(&one(target), None);
            assert!(found.bias.is_finite() && found.weights[0].is_finite(), "{found:?}");
        }
    }
}
