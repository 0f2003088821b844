//! Whether this box's turn has come for a version that its fleet is to have, and what it does next. A rollout goes in *waves*: the
//! first share of the boxes takes the version at once, the next ones after a *hold* each, and none of them once boxes of
//! earlier waves report that it failed there. Must not know lists, addresses, files or topics.
//!
//! ```text
//!   place of the node's name   0 % ─────┬──────────┬──────────────────────────────── 100 %
//!   waves = [1, 10, 100]        wave 1  │  wave 2  │            wave 3
//!   may begin                   at once │ one hold │ two holds later, while no more than `max_failed`
//!                                                    boxes of waves 1 and 2 say that it failed
//! ```

use std::time::Duration;

use crate::units::Mono;

/// Places in a fleet: hundredths of a percent.
pub const PLACES: u32 = 10_000;
/// Pause after the first failed attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Where a box stands in its fleet, from 0 below [`PLACES`], by its node name alone: any two boxes and any other program get
/// the same. FNV-1a of the name's bytes, mixed by the finalizer of `MurmurHash3`, so that names which differ in their last digit
/// are far apart.
pub fn place(node: &str) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in node.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    u32::try_from((hash ^ (hash >> 33)) % u64::from(PLACES)).unwrap_or_default()
}

/// How a version comes to a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Up to which percent of the fleet each wave goes; ascending, at most 100.
    pub waves: Vec<u8>,
    /// Between the begin of one wave and the next.
    pub hold: Duration,
    /// More boxes of earlier waves than these on which it failed end the rollout.
    pub max_failed: u32,
}

impl Rollout {
    /// The wave of a place, counted from 0; `None` beyond the last one.
    pub fn wave(&self, place: u32) -> Option<usize> {
        self.waves.iter().position(|percent| place < u32::from(*percent) * (PLACES / 100))
    }
}

/// What a box knows of a version that it is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Requests go to it.
    pub active: bool,
    /// It is active, and watched.
    pub on_probation: bool,
    /// It is in the store.
    pub installed: bool,
    /// There is an address to fetch it from.
    pub has_source: bool,
    /// It was taken back on this box.
    pub bad: bool,
    /// The fleet's list forbids it.
    pub revoked: bool,
    /// Somebody on this box put another version in its place.
    pub aside: bool,
    /// What became of the last attempt.
    pub attempt: Attempt,
}

/// An attempt to fetch, install and activate it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempt {
    /// There was none.
    #[default]
    None,
    /// One is under way.
    Running,
    /// So many failed, the last one at this time.
    Failed {
        /// In a row.
        times: u32,
        /// When.
        at: Mono,
    },
}

/// What the boxes of earlier waves report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// There is no broker by which they could.
    Nobody,
    /// The broker is not there now, or was not for long enough.
    Unknown,
    /// So many say that it failed there.
    Known {
        /// Boxes.
        failed: u32,
    },
}

/// What a box does about a version that it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it serves.
    Done,
    /// Nothing: it serves, and is watched.
    Probation,
    /// Nothing: an attempt is under way.
    Working,
    /// Nothing: the list forbids what it asks for.
    Revoked,
    /// Nothing: it was taken back here.
    TakenBack,
    /// Nothing: somebody on this box put another version in its place.
    Aside,
    /// Nothing yet.
    Wait(Wait),
    /// It is fetched, installed and activated.
    Pull,
    /// It is there, and is activated.
    Activate,
}

/// Why nothing is done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The rollout has not begun, or the clock cannot be believed.
    Begin,
    /// The place of this box is beyond the last wave.
    BeyondWaves,
    /// So many boxes of earlier waves say that it failed there.
    Aborted {
        /// Boxes.
        failed: u32,
    },
    /// Its wave begins then.
    Hold {
        /// From now.
        left: Duration,
    },
    /// Nobody can say now how the earlier waves fare.
    Reports,
    /// An attempt failed; the next one is then.
    Retry {
        /// From now.
        left: Duration,
    },
    /// It is not in the store, and nobody says where it is to be had.
    NoSource,
}

/// Decides what a box at `place` does. `since` is how long ago the rollout began, by the clocks of the wall; `None` if it has not,
/// or nobody can tell.
pub fn next(rollout: &Rollout, place: u32, here: &Here, reports: Reports, since: Option<Duration>, now: Mono) -> Step {
    if here.active {
        return if here.on_probation { Step::Probation } else { Step::Done };
    }
    if here.attempt == Attempt::Running {
        return Step::Working;
    }
    if here.revoked {
        return Step::Revoked;
    }
    if here.bad {
        return Step::TakenBack;
    }
    if here.aside {
        return Step::Aside;
    }
    if let Err(wait) = may_begin(rollout, place, reports, since) {
        return Step::Wait(wait);
    }
    if let Attempt::Failed { times, at } = here.attempt {
        let left = pause(times).saturating_sub(now.since(at));
        if !left.is_zero() {
            return Step::Wait(Wait::Retry { left });
        }
    }
    match (here.installed, here.has_source) {
        (true, _) => Step::Activate,
        (false, true) => Step::Pull,
        (false, false) => Step::Wait(Wait::NoSource),
    }
}

/// Whether the turn of a place has come.
fn may_begin(rollout: &Rollout, place: u32, reports: Reports, since: Option<Duration>) -> Result<(), Wait> {
    let wave = rollout.wave(place).ok_or(Wait::BeyondWaves)?;
    if let Reports::Known { failed } = reports
        && wave > 0
        && failed > rollout.max_failed
    {
        return Err(Wait::Aborted { failed });
    }
    let since = since.ok_or(Wait::Begin)?;
    let left = rollout.hold.saturating_mul(u32::try_from(wave).unwrap_or(u32::MAX)).saturating_sub(since);
    if !left.is_zero() {
        return Err(Wait::Hold { left });
    }
    if wave > 0 && reports == Reports::Unknown {
        return Err(Wait::Reports);
    }
    Ok(())
}

/// The pause after so many failed attempts.
fn pause(times: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << times.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rollout() -> Rollout {
        Rollout { waves: vec![1, 10, 100], hold: 60 * MINUTE, max_failed: 0 }
    }

    const HERE: Here = Here {
        active: false,
        on_probation: false,
        installed: false,
        has_source: true,
        bad: false,
        revoked: false,
        aside: false,
        attempt: Attempt::None,
    };
    const GOOD: Reports = Reports::Known { failed: 0 };

    #[test]
    fn places_are_fixed_for_ever_and_spread_evenly() {
        // Boxes of different versions of this program must agree.
        assert_eq!([place(""), place("line3-box7"), place("line3-box8")], [4_342, 6_864, 4_580]);
        let mut tenths = [0; 10];
        for number in 0..1000 {
            tenths[usize::try_from(place(&format!("box-{number:03}")) / 1000).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|boxes| (70..=130).contains(boxes)), "{tenths:?}");
    }

    #[test]
    fn waves_are_shares_of_the_fleet() {
        let rollout = rollout();
        let waves = [(0, Some(0)), (99, Some(0)), (100, Some(1)), (999, Some(1)), (1000, Some(2)), (9999, Some(2))];
        for (place, wave) in waves {
            assert_eq!(rollout.wave(place), wave, "{place}");
        }
        assert_eq!(Rollout { waves: vec![1, 10], ..rollout }.wave(1000), None);
    }

    #[test]
    fn a_box_takes_its_turn() {
        use Step::{Activate, Aside, Done, Probation, Pull, Revoked, TakenBack, Working};
        use Wait::{Aborted, Begin, BeyondWaves, Hold, NoSource, Retry};
        let now = Mono::from_nanos(3600 * 1_000_000_000);
        let earlier = |ago: Duration| Mono::from_nanos(now.as_nanos() - u64::try_from(ago.as_nanos()).unwrap());
        let failed = |times, ago| Attempt::Failed { times, at: earlier(ago) };
        let (canary, second, third) = (5, 500, 5000);
        let (zero, hour) = (Some(Duration::ZERO), Some(60 * MINUTE));
        let cases = [
            (canary, HERE, Reports::Unknown, zero, Pull),
            (canary, Here { installed: true, ..HERE }, Reports::Unknown, zero, Activate),
            (canary, Here { has_source: false, ..HERE }, GOOD, zero, Step::Wait(NoSource)),
            // Nobody is before the first wave.
            (canary, HERE, Reports::Known { failed: 7 }, zero, Pull),
            (canary, HERE, GOOD, None, Step::Wait(Begin)),
            (second, HERE, GOOD, zero, Step::Wait(Hold { left: 60 * MINUTE })),
            (second, HERE, GOOD, hour, Pull),
            (second, HERE, Reports::Unknown, hour, Step::Wait(Wait::Reports)),
            (second, HERE, Reports::Nobody, hour, Pull),
            (second, HERE, Reports::Known { failed: 1 }, hour, Step::Wait(Aborted { failed: 1 })),
            (third, HERE, GOOD, hour, Step::Wait(Hold { left: 60 * MINUTE })),
            (third, HERE, GOOD, Some(120 * MINUTE), Pull),
            // What serves stays, whatever is said of the rollout.
            (third, Here { active: true, ..HERE }, Reports::Known { failed: 9 }, None, Done),
            (third, Here { active: true, on_probation: true, ..HERE }, GOOD, None, Probation),
            (canary, Here { attempt: Attempt::Running, ..HERE }, GOOD, zero, Working),
            (canary, Here { revoked: true, ..HERE }, GOOD, zero, Revoked),
            (canary, Here { bad: true, installed: true, ..HERE }, GOOD, zero, TakenBack),
            (canary, Here { aside: true, installed: true, ..HERE }, GOOD, zero, Aside),
            (canary, Here { attempt: failed(1, MINUTE), ..HERE }, GOOD, zero, Pull),
            (canary, Here { attempt: failed(3, MINUTE), ..HERE }, GOOD, zero, Step::Wait(Retry { left: 3 * MINUTE })),
            (canary, Here { attempt: failed(99, MINUTE), ..HERE }, GOOD, zero, Step::Wait(Retry { left: 59 * MINUTE })),
        ];
        for (place, here, reports, since, expected) in cases {
            let found = next(&rollout(), place, &here, reports, since, now);
            assert_eq!(found, expected, "place {place}, {here:?}, {reports:?}, {since:?}");
        }
        let few = Rollout { waves: vec![1, 10], ..rollout() };
        assert_eq!(next(&few, third, &HERE, GOOD, hour, now), Step::Wait(BeyondWaves));
        let patient = Rollout { max_failed: 1, ..rollout() };
        assert_eq!(next(&patient, second, &HERE, Reports::Known { failed: 1 }, hour, now), Pull);
    }
}
