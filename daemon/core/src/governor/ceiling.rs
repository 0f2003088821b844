//! How much is left after the hardware has cut power: an event takes a share of what was used, and what was taken comes
//! back slowly, so that the next event is far off. Knows nothing of heat.

use core::time::Duration;

use crate::units::Mono;

/// What is left of the duty in use when the hardware cuts.
const CUT: f64 = 0.75;
/// The least that is left of all.
const LEAST: f64 = 0.1;
/// One cut, then time to see what it did.
const PAUSE: Duration = Duration::from_secs(5);
/// Nothing comes back before there was quiet for this long, and then this much each second. What was cut for power is tried
/// with care, as nothing tells how near the next event is; of heat the thermometers tell.
const POWER: (Duration, f64) = (Duration::from_secs(30), 0.005);
const HEAT: (Duration, f64) = (Duration::from_secs(5), 0.05);

/// Why the hardware cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Over-current, a power cap, an alarm.
    Power,
    /// It slows itself down to cool.
    Heat,
}

/// The most that power allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    duty: f64,
    last: Option<Mono>,
    why: Cut,
}

impl Default for Ceiling {
    fn default() -> Ceiling {
        Ceiling { duty: 1.0, last: None, why: Cut::Heat }
    }
}

impl Ceiling {
    /// One sample later: whether the hardware cuts now, and how busy the lanes were.
    pub fn sample(&mut self, now: Mono, cuts: Option<Cut>, used: f64, dt: f64) {
        let (quiet, back) = match self.why {
            Cut::Power => POWER,
            Cut::Heat => HEAT,
        };
        if let Some(why) = cuts {
            // Within a row of cuts the graver reason holds.
            self.why = if self.last.is_some() && self.why == Cut::Power { Cut::Power } else { why };
            if self.last.is_none_or(|last| now.since(last) >= PAUSE) {
                self.duty = (self.duty.min(used.max(LEAST)) * CUT).max(LEAST);
                self.last = Some(now);
            }
        } else if self.last.is_some_and(|last| now.since(last) >= quiet) {
            self.duty = (self.duty + back * dt).min(1.0);
            if self.duty >= 1.0 {
                self.last = None;
            }
        }
    }

    /// The share of the lanes' time that it allows.
    pub fn duty(&self) -> f64 {
        self.duty
    }

    /// Whether the hardware cut lately.
    pub fn is_down(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_acts_at_once_and_comes_back_slowly() {
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let mut ceiling = Ceiling::default();
        ceiling.sample(at(1), Some(Cut::Power), 0.8, 1.0);
        assert!((ceiling.duty() - 0.6).abs() < 1e-9 && ceiling.is_down());
        ceiling.sample(at(2), Some(Cut::Power), 0.8, 1.0);
        assert!((ceiling.duty() - 0.6).abs() < 1e-9, "one cut at a time");
        ceiling.sample(at(7), Some(Cut::Power), 0.6, 1.0);
        assert!((ceiling.duty() - 0.45).abs() < 1e-9);
        (8..36).for_each(|second| ceiling.sample(at(second), None, 0.4, 1.0));
        assert!((ceiling.duty() - 0.45).abs() < 1e-9, "not before there was quiet");
        (37..200).for_each(|second| ceiling.sample(at(second), None, 0.4, 1.0));
        assert!(!ceiling.is_down() && ceiling.duty() >= 1.0);
        (0..500).for_each(|second| ceiling.sample(at(200 + second), Some(Cut::Power), 0.0, 1.0));
        assert!(ceiling.duty() >= LEAST);
        let mut ceiling = Ceiling::default();
        ceiling.sample(at(1), Some(Cut::Heat), 0.8, 1.0);
        (2..30).for_each(|second| ceiling.sample(at(second), None, 0.6, 1.0));
        assert!(!ceiling.is_down(), "after heat the thermometers tell");
    }
}
