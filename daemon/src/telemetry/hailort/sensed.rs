//! What the child told, as the sampler takes it.

use edge_core::Mono;
use edge_wire::hardware::{Accelerator, ClockInfo, Measured, Zone};

use super::Told;
use crate::telemetry;
use crate::telemetry::reading::{Absence, Reading};
use crate::telemetry::sensed;

/// The same with types, read at `now` less its age.
pub fn sensed(told: Told, now: Mono) -> telemetry::Told {
    let age = std::time::Duration::from_millis(told.age_ms);
    let at = Mono::from_nanos(u64::try_from(now.since(Mono::default()).saturating_sub(age).as_nanos()).unwrap_or(0));
    telemetry::Told {
        accelerators: told.accelerators.iter().map(|one| accelerator(one, at)).collect(),
        zones: told.zones.iter().map(|zone| self::zone(zone, at)).collect(),
        clocks: told.clocks.iter().map(|clock| self::clock(clock, at)).collect(),
    }
}

fn reading(measured: &Measured, at: Mono) -> Reading<f64> {
    let absence = || match measured.absent.as_str() {
        "unsupported" | "" => Absence::Unsupported,
        "not_yet" => Absence::NotYet,
        why => Absence::Failed(why.strip_prefix("failed: ").unwrap_or(why).to_owned()),
    };
    Reading::of(measured.value.filter(|value| value.is_finite()).ok_or_else(absence), at)
}

fn accelerator(told: &Accelerator, at: Mono) -> sensed::Accelerator {
    sensed::Accelerator {
        load_percent: reading(&told.load_percent, at),
        power_w: reading(&told.power_w, at),
        memory_free_bytes: reading(&told.memory_free_bytes, at),
        throttled_by: told.throttled_by.clone(),
        note: told.note.clone(),
        ..sensed::Accelerator::named("npu", &told.name, &told.driver, "libhailort")
    }
}

fn zone(told: &Zone, at: Mono) -> sensed::Zone {
    sensed::Zone {
        name: told.name.as_str().into(),
        temp_c: reading(&told.temp_c, at),
        trips: told.trips.as_slice().into(),
    }
}

fn clock(told: &ClockInfo, at: Mono) -> sensed::ClockRate {
    let limit = |hz: f64| (hz > 0.0).then_some(hz);
    sensed::ClockRate {
        name: told.name.as_str().into(),
        hz: reading(&told.hz, at),
        min_hz: limit(told.min_hz),
        max_hz: limit(told.max_hz),
        top_hz: limit(told.top_hz),
    }
}
