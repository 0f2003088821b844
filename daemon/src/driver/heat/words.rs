//! The governor's reasons as sentences.

use edge_core::Snapshot;
use edge_core::governor::{Cause, Clue, Doubt, ZoneView};

use super::sample::Names;

/// Why the box is in its regime.
pub fn reason(snapshot: &Snapshot, names: &Names, simulated: bool) -> String {
    let of = |id| snapshot.zones.iter().find(|zone| zone.id == id);
    let kept = kept(snapshot);
    let near = |id, what: &str| match of(id) {
        Some(zone) => format!(
            "{} at {:.1} C{}{what}, the machine slows down at {:.1} C{kept}",
            names.name(id),
            zone.temp,
            if zone.doubt.is_some() { " (assumed)" } else { "" },
            zone.trip
        ),
        None => format!("{}{what}", names.name(id)),
    };
    let text = match snapshot.regime.cause {
        Cause::NoSample => "nothing was read yet".into(),
        Cause::Fine => fine(snapshot, names),
        Cause::NoThermometer => {
            "this machine tells no temperature with a trip point; nothing is held back for heat".into()
        }
        Cause::Silent => format!("no thermometer answers; the box goes by what it has learnt{kept}"),
        Cause::Hot(id) => near(id, ""),
        Cause::TooHot(id) => near(id, ": nothing runs until it is cooler"),
        Cause::HardwareHeat => format!("the hardware slows itself down for heat, {}{kept}", fine(snapshot, names)),
        Cause::HardwarePower => format!("the hardware cuts power, or a rail's alarm is on{kept}"),
        Cause::OverCurrent => format!("over-current events{kept}"),
        Cause::PowerBound => format!("`governor.max_power_w` is reached{kept}"),
        Cause::Late(found) => format!("runs take longer than planned, and heat is not why; {}", clue(found)),
    };
    marked(text, simulated)
}

fn marked(text: String, simulated: bool) -> String {
    if simulated { format!("{text} (simulated)") } else { text }
}

/// What is left of the capacity.
fn kept(snapshot: &Snapshot) -> String {
    let duty = snapshot.capacity.duty.get();
    if duty <= 0.0 {
        "; nothing runs".into()
    } else if duty >= 0.995 {
        String::new()
    } else {
        format!("; {:.0}% of the lanes' time may be used", duty * 100.0)
    }
}

fn fine(snapshot: &Snapshot, names: &Names) -> String {
    let room = |zone: &&ZoneView| zone.trip - zone.temp;
    match snapshot.zones.iter().min_by(|a, b| room(a).total_cmp(&room(b))) {
        Some(zone) => format!("{} at {:.1} C, {:.1} K below its trip", names.name(zone.id), zone.temp, room(&zone)),
        None => "everything is as it should be".into(),
    }
}

/// The likely cause of late runs.
pub fn clue(clue: Option<Clue>) -> &'static str {
    match clue {
        Some(Clue::NpuClock) => {
            "the clock of the neural processor is far below its most: restart the box, or reload its driver"
        }
        Some(Clue::GpuStuck) => {
            "the graphics processor stays at its lowest clock although it is busy: restart the box, look at `nvpmodel -q`"
        }
        Some(Clue::GpuCapped) => "the power mode holds the clock of the graphics processor below what it can",
        Some(Clue::MemoryCapped) => "the power mode holds the memory clock down",
        Some(Clue::GpuShared) => "another program uses the graphics processor",
        Some(Clue::CpuShared) => "other programs use the processors",
        Some(Clue::CpuClock) => "the processors run far below their most",
        None => "the machine does not tell why",
    }
}

/// Why a reading is not what is gone by.
pub fn doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Missing => "it does not answer: the model goes on from its last reading",
        Doubt::Frozen => "it says the very same for too long: the higher one of it and the model counts",
        Doubt::Fallen => "it fell at once, as no box does: the model goes on",
        Doubt::Risen => "it rose at once: it counts, and nothing is learnt from it",
    }
}
