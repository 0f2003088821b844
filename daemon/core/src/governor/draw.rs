//! What the box takes by how busy its lanes are: `watts = idle + per x duty`. Says which duty a power allows.

use super::rls::Rls;

/// Variance of a reading around the line, square watts.
const NOISE: f64 = 1.0;
/// Drift per second: what a lane takes changes with the models that run, what others take at any time.
const DRIFT: [f64; 2] = [2e-3, 2e-2];
/// Duty must have varied by this much before the line is believed.
const SPAN: f64 = 0.2;
/// Weight of the newest duty in its mean, and how far from that one must be to tell of the slope.
const MEAN: f64 = 0.05;
const CHANGE: f64 = 0.05;
/// How fast what others take is followed meanwhile.
const FOLLOW: f64 = 0.2;
/// Part of the power that is assumed to be there without work.
const IDLE: f64 = 0.25;
/// The least that a whole duty takes, watts: less cannot be told from nothing.
const LEAST: f64 = 0.05;

/// The line.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    fit: Rls<2>,
    mean: f64,
    taken: f64,
    /// The least that was ever taken, watts.
    least: f64,
    lowest: f64,
    highest: f64,
}

impl Default for Draw {
    fn default() -> Draw {
        Draw {
            fit: Rls::new([10.0, 5.0], [400.0, 400.0]),
            mean: 0.0,
            taken: 0.0,
            least: f64::MAX,
            lowest: 1.0,
            highest: 0.0,
        }
    }
}

impl Draw {
    /// The box took `watts` while the lanes were busy for `duty` of their time.
    pub fn learn(&mut self, duty: f64, watts: f64) {
        self.mean += (duty - self.mean) * MEAN;
        self.taken += (watts - self.taken) * MEAN;
        if (duty - self.mean).abs() >= CHANGE {
            self.fit.learn(&[duty, 1.0], watts, NOISE, &DRIFT);
        } else {
            // At the same load every difference is somebody else's.
            self.fit.theta[1] += (watts - self.fit.expect(&[duty, 1.0])) * FOLLOW;
        }
        self.least = self.least.min(self.taken.max(watts));
        let theta = &mut self.fit.theta;
        // What is there without work is neither less than nothing nor more than the least that was ever taken.
        let (most, least) = if self.mean > SPAN {
            (self.taken / self.mean, (self.taken - self.least) / self.mean)
        } else {
            (10_000.0, LEAST)
        };
        theta[0] = theta[0].min(most).max(least).max(LEAST);
        theta[1] = theta[1].clamp(0.0, 10_000.0);
        self.lowest = self.lowest.min(duty);
        self.highest = self.highest.max(duty);
    }

    /// Whether the line can be told from a point.
    pub fn is_known(&self) -> bool {
        self.highest - self.lowest >= SPAN
    }

    /// The line: what it takes without work, and what a whole duty adds. Until it can be told, a quarter of what it takes is
    /// assumed to be there without work.
    fn line(&self) -> (f64, f64) {
        if self.is_known() {
            return (self.fit.theta[1], self.fit.theta[0]);
        }
        let idle = self.taken * IDLE;
        (idle, ((self.taken - idle) / self.mean.max(IDLE)).max(LEAST))
    }

    /// Watts at this duty.
    pub fn watts(&self, duty: f64) -> f64 {
        let (idle, per) = self.line();
        idle + per * duty
    }

    /// The duty that takes this much; negative if not even rest would.
    pub fn duty(&self, watts: f64) -> f64 {
        let (idle, per) = self.line();
        (watts - idle) / per
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_known_once_the_load_has_varied_and_follows_another_program() {
        let mut draw = Draw::default();
        (0..100).for_each(|_| draw.learn(0.5, 15.0));
        assert!(!draw.is_known());
        (0..100_u32).for_each(|step| {
            let duty = f64::from(step % 10) / 10.0;
            draw.learn(duty, 5.0 + 20.0 * duty);
        });
        assert!(draw.is_known() && (draw.duty(17.0) - 0.6).abs() < 0.03, "{draw:?}");
        (0..100).for_each(|_| draw.learn(0.5, 18.0));
        assert!((draw.duty(18.0) - 0.5).abs() < 0.05, "{draw:?}");
    }

    #[test]
    fn a_line_that_falls_is_not_believed() {
        let mut draw = Draw::default();
        (0..200_u32).for_each(|step| draw.learn(f64::from(step % 2), 20.0 - 10.0 * f64::from(step % 2)));
        assert!(draw.fit.theta[0] >= LEAST && draw.watts(1.0).is_finite());
    }
}
