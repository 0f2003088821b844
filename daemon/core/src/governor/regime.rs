//! In which regime the box is, and why. A pure transition: the state, the time and what is seen give the next state.
//!
//! ```text
//!            first sample                    a temperature at its trip point, the hardware slows down, power is capped
//!   Boot ───────────────────► Nominal ────────────────────────────────────────────────────────────► Throttled
//!                              │  ▲  ◄──────────── below its reset point, and nothing else ────────────┘ │
//!                  late without│  │as planned                              beyond the machine's own trip  │
//!                  heat        ▼  │                                                                       ▼
//!                              Slow          Blind: no temperature that is fresh             Critical: nothing runs
//! ```
//!
//! A worse regime is entered at once; a better one when the reset point is reached and the dwell is over. Order of
//! gravity: Critical, Blind, Throttled, Slow, Nominal.

use core::time::Duration;

use super::sample::{Clue, ZoneId};
use crate::units::Mono;

/// The regimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Regime {
    /// Nothing was read yet.
    Boot,
    /// Nothing holds the box back but what it can keep.
    Nominal,
    /// Heat or power holds the box back.
    Throttled,
    /// Nothing runs until the box is cooler.
    Critical,
    /// Runs take longer than planned, and heat is not why.
    Slow,
    /// No temperature is known.
    Blind,
}

impl Regime {
    /// All of them.
    pub const ALL: [Regime; 6] =
        [Regime::Boot, Regime::Nominal, Regime::Throttled, Regime::Critical, Regime::Slow, Regime::Blind];

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Regime::Boot => "boot",
            Regime::Nominal => "nominal",
            Regime::Throttled => "throttled",
            Regime::Critical => "critical",
            Regime::Slow => "slow",
            Regime::Blind => "blind",
        }
    }

    /// How grave it is.
    const fn rank(self) -> u8 {
        match self {
            Regime::Boot | Regime::Nominal => 0,
            Regime::Slow => 1,
            Regime::Throttled => 2,
            Regime::Blind => 3,
            Regime::Critical => 4,
        }
    }

    /// The shortest stay.
    pub const fn dwell(self) -> Duration {
        Duration::from_secs(match self {
            Regime::Boot | Regime::Nominal => 0,
            Regime::Blind => 5,
            Regime::Critical => 10,
            Regime::Throttled | Regime::Slow => 30,
        })
    }
}

/// Why a regime is as it is; the sentence is the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No sample has come.
    NoSample,
    /// All is as it should be.
    Fine,
    /// This machine has no thermometer with a trip.
    NoThermometer,
    /// None of the thermometers answers.
    Silent,
    /// A thermometer is near its trip.
    Hot(ZoneId),
    /// A thermometer is beyond its trip.
    TooHot(ZoneId),
    /// The hardware slows itself down for heat.
    HardwareHeat,
    /// The hardware slows itself down for power, or a rail's alarm is on.
    HardwarePower,
    /// There were over-current events.
    OverCurrent,
    /// The operator's bound of power is reached.
    PowerBound,
    /// Runs take longer than planned.
    Late(Option<Clue>),
}

/// A regime with its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Which.
    pub regime: Regime,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Mono,
}

/// What is seen now: for each regime whether there is cause to enter it, and whether there is still cause to stay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signs {
    /// A thermometer beyond its trip; and whether one is still above its target.
    pub critical: Option<Cause>,
    /// Still above the point at which Critical ends.
    pub critical_holds: bool,
    /// No temperature is known.
    pub blind: Option<Cause>,
    /// Heat or power holds the box back.
    pub throttled: Option<Cause>,
    /// Still above a reset point.
    pub throttled_holds: bool,
    /// Late without heat.
    pub slow: Option<Cause>,
}

impl Signs {
    /// The gravest regime that there is cause to enter.
    fn wanted(&self) -> (Regime, Cause) {
        let of = |regime, cause: Option<Cause>| cause.map(|cause| (regime, cause));
        of(Regime::Critical, self.critical)
            .or(of(Regime::Blind, self.blind))
            .or(of(Regime::Throttled, self.throttled))
            .or(of(Regime::Slow, self.slow))
            .unwrap_or((Regime::Nominal, Cause::Fine))
    }

    /// Whether a regime that was entered may not end yet.
    fn holds(&self, regime: Regime) -> bool {
        match regime {
            Regime::Critical => self.critical_holds,
            Regime::Throttled => self.throttled_holds,
            Regime::Boot | Regime::Nominal | Regime::Slow | Regime::Blind => false,
        }
    }
}

/// The next state.
pub fn next(state: State, now: Mono, signs: &Signs) -> State {
    let (regime, cause) = signs.wanted();
    if regime == state.regime {
        return State { cause, ..state };
    }
    let stays = signs.holds(state.regime) || now.since(state.since) < state.regime.dwell();
    if stays && regime.rank() < state.regime.rank() {
        return state;
    }
    State { regime, cause, since: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn state(regime: Regime) -> State {
        State { regime, cause: Cause::Fine, since: at(100) }
    }

    #[test]
    fn worse_is_entered_at_once_and_better_after_reset_and_dwell() {
        let hot = Signs { throttled: Some(Cause::HardwareHeat), throttled_holds: true, ..Signs::default() };
        let warm = Signs { throttled_holds: true, ..Signs::default() };
        let burning = Signs { critical: Some(Cause::TooHot(ZoneId(1))), critical_holds: true, ..hot };
        let (cool, blind) = (Signs::default(), Signs { blind: Some(Cause::Silent), ..Signs::default() });
        let slow = Signs { slow: Some(Cause::Late(None)), ..Signs::default() };
        use Regime::{Blind, Boot, Critical, Nominal, Slow, Throttled};
        for (from, after, signs, to) in [
            (Boot, 0, &cool, Nominal),
            (Boot, 0, &burning, Critical),
            (Nominal, 0, &hot, Throttled),
            (Nominal, 0, &slow, Slow),
            (Nominal, 0, &blind, Blind),
            (Slow, 0, &hot, Throttled),
            (Slow, 29, &cool, Slow),
            (Slow, 30, &cool, Nominal),
            (Throttled, 29, &cool, Throttled),
            (Throttled, 30, &cool, Nominal),
            (Throttled, 300, &warm, Throttled),
            (Throttled, 0, &burning, Critical),
            (Throttled, 30, &slow, Slow),
            (Critical, 9, &cool, Critical),
            (Critical, 10, &warm, Nominal),
            (Critical, 10, &hot, Throttled),
            (Critical, 60, &Signs { critical_holds: true, ..hot }, Critical),
            (Critical, 10, &blind, Blind),
            (Blind, 4, &cool, Blind),
            (Blind, 5, &cool, Nominal),
            (Blind, 0, &burning, Critical),
        ] {
            let next = next(state(from), at(100 + after), signs);
            assert_eq!(next.regime, to, "{from:?} after {after} s, {signs:?}");
            assert_eq!(next.since, if next.regime == from { at(100) } else { at(100 + after) });
        }
    }

    #[test]
    fn the_diagram_names_every_regime() {
        let diagram: String = include_str!("regime.rs").lines().filter(|line| line.starts_with("//!")).collect();
        for regime in Regime::ALL {
            assert!(diagram.contains(&format!("{regime:?}")), "{regime:?}");
        }
    }
}
