//! The machine in `edgectl status`: software, modes, accelerators, and compact tables of what can be read on it.

use edge_wire::dto::{ReadingInfo, Status};
use edge_wire::governor::GovernorStatus;
use edge_wire::hardware::{Accelerator, ClockInfo, Hardware, Measured, RailInfo, Zone};

use super::governor::capacity;
use crate::render::table::{Align, clean, field, table};
use crate::render::units::{bytes, celsius, hertz, span, watts, whole};

/// Lines of the block at the top: what the machine is, and what it lets run.
pub fn fields(status: &Status) -> String {
    let (hardware, governor) = (&status.hardware, &status.governor);
    let mut text = String::new();
    let mut line = |label: &str, told: String| {
        if !told.is_empty() {
            text.push_str(&field(label, &clean(&told)));
        }
    };
    let simulated = &hardware.simulated;
    line("hardware", if simulated.is_empty() { String::new() } else { format!("SIMULATED: {simulated}") });
    line("software", hardware.software.clone());
    line("power mode", mode(hardware));
    for accelerator in &hardware.accelerators {
        line(&accelerator.kind, told(accelerator));
    }
    line("regime", regime(governor));
    line("capacity", if is_reduced(governor) { capacity(&governor.capacity) } else { String::new() });
    line("held", governor.capacity.held.clone());
    line("fans", fans(hardware));
    line("slowed by", slowed(hardware));
    line("incidents", over_current(hardware));
    if tells_nothing(status) {
        line("sensors", "nothing here tells a temperature, clock, fan or power".into());
    }
    text
}

/// A machine, read by a daemon that reads machines, on which there is nothing to read.
fn tells_nothing(status: &Status) -> bool {
    let Hardware { zones, clocks, rails, fans, .. } = &status.hardware;
    let is_empty = zones.is_empty() && clocks.is_empty() && rails.is_empty() && fans.is_empty();
    is_empty && !status.governor.regime.is_empty()
}

fn mode(hardware: &Hardware) -> String {
    let modes: Vec<&str> = hardware.power_modes.iter().map(|mode| mode.name.as_str()).collect();
    let of = if modes.is_empty() { String::new() } else { format!(" (there are {})", modes.join(", ")) };
    match (hardware.power_mode.is_empty(), hardware.power_mode_absent.as_str()) {
        (false, _) => format!("{}{of}", hardware.power_mode),
        (true, "" | "unsupported") => String::new(),
        (true, why) => format!("not known: {why}{of}"),
    }
}

fn told(accelerator: &Accelerator) -> String {
    let Accelerator { name, driver, told_by, load_percent, power_w, memory_free_bytes, throttled_by, note, .. } =
        accelerator;
    let mut parts = vec![name.clone()];
    if !driver.is_empty() {
        parts.push(format!("driver {driver}"));
    }
    parts.extend(load_percent.value.map(|percent| format!("{percent:.0}% busy")));
    parts.extend(power_w.value.map(watts));
    parts.extend(memory_free_bytes.value.map(|free| format!("{} free", bytes(whole(free)))));
    if !throttled_by.is_empty() {
        parts.push(format!("slowed by {throttled_by}"));
    }
    if !note.is_empty() {
        parts.push(note.clone());
    }
    let by = if told_by.is_empty() { String::new() } else { format!(" ({told_by})") };
    parts.join(", ") + &by
}

fn regime(governor: &GovernorStatus) -> String {
    if governor.regime.is_empty() {
        return String::new();
    }
    let reason = if governor.reason.is_empty() { String::new() } else { format!(": {}", governor.reason) };
    format!("{} for {}{reason}", governor.regime, span(governor.since_ms))
}

/// Less may run than the policy allows.
fn is_reduced(governor: &GovernorStatus) -> bool {
    let capacity = &governor.capacity;
    !governor.regime.is_empty()
        && (capacity.lanes < capacity.lanes_max || capacity.batch < capacity.batch_max || capacity.duty < 0.995)
}

fn fans(hardware: &Hardware) -> String {
    let fan = |fan: &edge_wire::hardware::FanInfo| {
        let percent = fan.percent.value.map(|percent| format!("{percent:.0}%"));
        let rpm = fan.rpm.value.map(|rpm| format!("{rpm:.0} rpm"));
        let parts: Vec<String> = [percent, rpm].into_iter().flatten().collect();
        if parts.is_empty() {
            format!("{} {}", fan.name, fan.rpm.absent)
        } else {
            format!("{} {}", fan.name, parts.join(" "))
        }
    };
    hardware.fans.iter().map(fan).collect::<Vec<_>>().join(", ")
}

/// What slows the machine down now.
fn slowed(hardware: &Hardware) -> String {
    let coolers = hardware.coolers.iter().filter(|cooler| cooler.kind == "throttle");
    let active = coolers.filter_map(|cooler| {
        let state = cooler.state.value.filter(|state| *state > 0.0)?;
        Some(format!("{} ({state:.0} of {})", cooler.name, cooler.max_state))
    });
    active.collect::<Vec<_>>().join(", ")
}

/// What went wrong with its power since it started.
fn over_current(hardware: &Hardware) -> String {
    let events = hardware.over_current.iter().filter_map(|counter| {
        let events = counter.events.value.filter(|events| *events > 0.0)?;
        Some(format!("{} {events:.0} times", counter.name))
    });
    let told = events.collect::<Vec<_>>().join(", ");
    if told.is_empty() { told } else { format!("over-current: {told}") }
}

/// Tables of temperatures, clocks and rails; those that there are.
pub fn tables(hardware: &Hardware) -> Vec<String> {
    vec![zones(&hardware.zones), clocks(&hardware.clocks), rails(&hardware.rails)]
}

fn zones(zones: &[Zone]) -> String {
    if zones.is_empty() {
        return String::new();
    }
    let trips = |zone: &Zone| {
        let told: Vec<String> = zone.trips.iter().map(|trip| format!("{} {:.1}", trip.kind, trip.temp_c)).collect();
        if told.is_empty() { "-".into() } else { told.join(", ") }
    };
    let (known, silent): (Vec<&Zone>, Vec<&Zone>) = zones.iter().partition(|zone| zone.temp_c.value.is_some());
    let row = |zone: &&Zone| {
        let temp = zone.temp_c.value.map_or("-".into(), celsius);
        vec![clean(&zone.name), temp, clean(&trips(zone))]
    };
    let head = [("ZONE", Align::Left), ("NOW", Align::Right), ("TRIPS, C", Align::Left)];
    let mut rows: Vec<Vec<String>> = known.iter().map(row).collect();
    rows.extend(together(&silent));
    table(&head, &rows)
}

/// Zones that tell nothing, those with the same reason in one row.
fn together(silent: &[&Zone]) -> Vec<Vec<String>> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for zone in silent {
        let why = zone.temp_c.absent.as_str();
        match groups.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(&zone.name),
            None => groups.push((why, vec![&zone.name])),
        }
    }
    let row = |(why, names): (&str, Vec<&str>)| match names.as_slice() {
        [name] => vec![clean(name), "-".into(), clean(why)],
        names => vec![format!("{} zones", names.len()), "-".into(), clean(&format!("{why} ({})", names.join(" ")))],
    };
    groups.into_iter().map(row).collect()
}

fn clocks(clocks: &[ClockInfo]) -> String {
    if clocks.is_empty() {
        return String::new();
    }
    let known = |hz: f64| if hz > 0.0 { hertz(hz) } else { "-".into() };
    let row = |clock: &ClockInfo| {
        let capped = if clock.max_hz > 0.0 && clock.top_hz > clock.max_hz { "capped by the power mode" } else { "" };
        let why = if clock.hz.value.is_none() { clock.hz.absent.as_str() } else { capped };
        let now = clock.hz.value.map_or("-".into(), hertz);
        vec![clean(&clock.name), now, known(clock.max_hz), known(clock.top_hz), clean(why)]
    };
    let rows: Vec<Vec<String>> = clocks.iter().map(row).collect();
    let head = [
        ("CLOCK", Align::Left),
        ("NOW", Align::Right),
        ("UP TO", Align::Right),
        ("HARDWARE", Align::Right),
        ("", Align::Left),
    ];
    table(&head, &rows)
}

fn rails(rails: &[RailInfo]) -> String {
    if rails.is_empty() {
        return String::new();
    }
    let known = |value: &Measured, unit: &str| value.value.map_or("-".into(), |value| format!("{value:.2} {unit}"));
    let row = |rail: &RailInfo| {
        let alarm = if rail.alarm { "ALARM" } else { rail.power_w.absent.as_str() };
        let warn = if rail.warn_amperes > 0.0 { format!("{:.2} A", rail.warn_amperes) } else { "-".into() };
        let numbers = [known(&rail.power_w, "W"), known(&rail.volts, "V"), known(&rail.amperes, "A"), warn];
        std::iter::once(clean(&rail.name)).chain(numbers).chain([clean(alarm)]).collect()
    };
    let rows: Vec<Vec<String>> = rails.iter().map(row).collect();
    let head = [
        ("RAIL", Align::Left),
        ("POWER", Align::Right),
        ("VOLTS", Align::Right),
        ("CURRENT", Align::Right),
        ("WARNS AT", Align::Right),
        ("", Align::Left),
    ];
    table(&head, &rows)
}

/// The readings that are not shown above already.
pub fn other_readings(status: &Status) -> Vec<ReadingInfo> {
    let Hardware { zones, clocks, rails, fans, .. } = &status.hardware;
    let shown = |reading: &ReadingInfo| {
        let name = reading.name.as_str();
        let is_named = |start: &str| name.starts_with(start);
        (!zones.is_empty() && is_named("temperature_c"))
            || (!rails.is_empty() && is_named("power_w"))
            || (!fans.is_empty() && is_named("fan_"))
            || (!clocks.is_empty() && (is_named("clock_") || name.ends_with("_hz") || name.contains("_hz.")))
            || (tells_nothing(status) && reading.value.is_none() && (is_named("temperature_c") || is_named("power_w")))
    };
    status.readings.iter().filter(|reading| !shown(reading)).cloned().collect()
}
