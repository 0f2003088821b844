//! Recursive least squares: fits `y = theta . x` to one observation after another, in the form of a Kalman filter whose
//! parameters drift. Knows nothing of heat.
//!
//! With drift instead of a forgetting factor nothing is forgotten that was not contradicted: hours at the same load
//! leave what was learnt from its changes alone. Uncertainty grows to a stated bound and no further, which is what keeps
//! such a filter from winding up (Åström and Wittenmark, Adaptive Control, section 11.5).
//!
//! Sums, products and quotients only: they round alike on every machine, so a log replays exactly.

/// A fit of `N` parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rls<const N: usize> {
    /// The parameters.
    pub theta: [f64; N],
    /// Their covariance, in units of the observation's variance.
    covariance: [[f64; N]; N],
    /// Variances that the diagonal never exceeds.
    most: [f64; N],
}

impl<const N: usize> Rls<N> {
    /// Starts from `theta`, each parameter known with the variance `most`.
    pub fn new(theta: [f64; N], most: [f64; N]) -> Rls<N> {
        let mut covariance = [[0.0; N]; N];
        for (row, variance) in most.iter().enumerate() {
            covariance[row][row] = *variance;
        }
        Rls { theta, covariance, most }
    }

    /// What the parameters say of `x`.
    pub fn expect(&self, x: &[f64; N]) -> f64 {
        dot(&self.theta, x)
    }

    /// Takes the observation `y` at `x`, whose variance is `noise`; the parameters drifted by `drift` since the last one.
    /// Returns by how much it was missed. One that is not finite changes nothing.
    pub fn learn(&mut self, x: &[f64; N], y: f64, noise: f64, drift: &[f64; N]) -> f64 {
        let missed = y - self.expect(x);
        let all = x.iter().chain([&missed]).all(|value| value.is_finite());
        if !all {
            return 0.0;
        }
        self.drift(drift);
        let mut along = [0.0; N];
        for (row, value) in along.iter_mut().enumerate() {
            *value = dot(&self.covariance[row], x);
        }
        let scale = noise + dot(&along, x);
        for (row, weight) in along.iter().enumerate() {
            self.theta[row] += weight / scale * missed;
            for (column, other) in along.iter().enumerate().take(row + 1) {
                // Written to both halves, so that it stays symmetric whatever rounds.
                let value = self.covariance[row][column] - weight * other / scale;
                (self.covariance[row][column], self.covariance[column][row]) = (value, value);
            }
            // Rounding must not make a variance negative.
            self.covariance[row][row] = self.covariance[row][row].max(f64::MIN_POSITIVE);
        }
        missed
    }

    /// Nothing is known of one parameter any more but its value.
    pub fn doubt(&mut self, which: usize) {
        for other in 0..N {
            (self.covariance[which][other], self.covariance[other][which]) = (0.0, 0.0);
        }
        self.covariance[which][which] = self.most[which];
    }

    fn drift(&mut self, drift: &[f64; N]) {
        for (row, drift) in drift.iter().enumerate() {
            let grown = self.covariance[row][row] + drift;
            self.covariance[row][row] = grown.min(self.most[row].max(self.covariance[row][row]));
        }
    }
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_followed_when_it_moves() {
        let mut fit = Rls::new([0.0, 0.0], [100.0, 100.0]);
        let x = |step: u32| [f64::from(step % 7), 1.0];
        for step in 0..200 {
            fit.learn(&x(step), 3.0 * f64::from(step % 7) - 2.0, 0.01, &[1e-6, 1e-3]);
        }
        assert!((fit.theta[0] - 3.0).abs() < 0.01 && (fit.theta[1] + 2.0).abs() < 0.05, "{:?}", fit.theta);
        for step in 0..200 {
            fit.learn(&x(step), 3.0 * f64::from(step % 7) + 5.0, 0.01, &[1e-6, 1e-3]);
        }
        assert!((fit.theta[0] - 3.0).abs() < 0.05 && (fit.theta[1] - 5.0).abs() < 0.2, "{:?}", fit.theta);
    }

    #[test]
    fn hours_of_the_same_leave_the_slope_alone() {
        let mut fit = Rls::new([0.0, 0.0], [100.0, 100.0]);
        for step in 0..100_u32 {
            let x = f64::from(step % 5);
            fit.learn(&[x, 1.0], 2.0 * x + 1.0, 0.01, &[1e-7, 1e-4]);
        }
        for _ in 0..20_000 {
            fit.learn(&[4.0, 1.0], 9.0, 0.01, &[1e-7, 1e-4]);
        }
        assert!((fit.theta[0] - 2.0).abs() < 0.05, "{:?}", fit.theta);
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut fit = Rls::new([1.0, 2.0], [1.0, 1.0]);
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(fit.learn(&[bad, 1.0], 1.0, 0.01, &[0.0; 2]), 0.0);
            assert_eq!(fit.learn(&[1.0, 1.0], bad, 0.01, &[0.0; 2]), 0.0);
        }
        assert_eq!(fit.theta, [1.0, 2.0]);
    }
}
