//! What a probe answers: a value with its time, or a typed absence. Zero is not "unknown".

use edge_core::Mono;
use edge_wire::hardware::Measured;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// This machine has no such thing, or does not tell it to this user.
    Unsupported,
    /// There will be one: a sensor that is switched off for the moment, or a difference that needs a second sample.
    NotYet,
    /// It should be there and is not; with what was tried.
    Failed(String),
}

impl Absence {
    /// As it stands in the status: `unsupported`, `not_yet` or `failed: why`.
    pub fn word(&self) -> String {
        match self {
            Absence::Unsupported => "unsupported".into(),
            Absence::NotYet => "not_yet".into(),
            Absence::Failed(why) => format!("failed: {why}"),
        }
    }

    /// What stands for a thing that was there and vanished.
    pub fn gone() -> Absence {
        Absence::Failed("gone".into())
    }
}

/// A probe's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading<T> {
    /// A value, and when it was read.
    Known { value: T, at: Mono },
    /// None, for this reason.
    Absent(Absence),
}

impl<T: Copy> Reading<T> {
    /// What was read at `at`.
    pub fn of(read: Result<T, Absence>, at: Mono) -> Reading<T> {
        match read {
            Ok(value) => Reading::Known { value, at },
            Err(absence) => Reading::Absent(absence),
        }
    }

    /// A thing that this machine does not have.
    pub const fn unsupported() -> Reading<T> {
        Reading::Absent(Absence::Unsupported)
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<T> {
        match self {
            Reading::Known { value, .. } => Some(*value),
            Reading::Absent(_) => None,
        }
    }

    /// Why there is none.
    pub fn absence(&self) -> Option<&Absence> {
        match self {
            Reading::Known { .. } => None,
            Reading::Absent(absence) => Some(absence),
        }
    }

    /// Whether this machine does not have it.
    pub fn is_unsupported(&self) -> bool {
        self.absence() == Some(&Absence::Unsupported)
    }
}

impl Reading<f64> {
    /// As the status shows it.
    pub fn measured(&self) -> Measured {
        match self {
            Reading::Known { value, .. } => Measured::of(*value),
            Reading::Absent(absence) => Measured::absent(absence.word()),
        }
    }
}

/// A value without the noise of its conversion behind the sixth digit after the point: 57.175, not 57.175000000000004.
pub fn tidy(value: f64) -> f64 {
    const DIGITS: f64 = 1e6;
    if value.abs() < DIGITS { (value * DIGITS).round() / DIGITS } else { value }
}

/// A count for people; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub fn to_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_converted_value_has_no_noise_and_a_large_one_keeps_all_of_itself() {
        assert_eq!([57_175.0 * 1e-3, -0.000_000_4, 836_320_000.0].map(tidy), [57.175, 0.0, 836_320_000.0]);
        assert_eq!(tidy(5.861_727_999_999_999), 5.861_728);
    }
}
