//! Heat and what follows from it, and what the machine tells of itself.

use std::fmt;
use std::time::Duration;

use edge_wire::dto::Status;
use edge_wire::governor::{GovernedZone, GovernorStatus};
use edge_wire::hardware::{Accelerator, Hardware, Measured};

use super::out::{Column, Out, count, truth};
use super::table::{self, Family};

const REGIMES: [&str; 6] = ["boot", "nominal", "throttled", "critical", "slow", "blind"];

pub(super) fn write(out: &mut Out<'_>, status: &Status, energy: Option<&(String, f64)>) -> fmt::Result {
    heat(out, &status.governor)?;
    let hardware = &status.hardware;
    out.value(&table::SENSORS_AGE, Duration::from_millis(hardware.age_ms).as_secs_f64())?;
    let zones = hardware.zones.iter().map(|zone| (zone.name.as_str(), zone.temp_c.value));
    known(out, &table::TEMPERATURE, zones)?;
    cooling(out, hardware)?;
    let clocks = || hardware.clocks.iter();
    known(out, &table::CLOCK, clocks().map(|clock| (clock.name.as_str(), clock.hz.value)))?;
    let most = clocks().filter(|clock| clock.max_hz > 0.0);
    known(out, &table::CLOCK_MAX, most.map(|clock| (clock.name.as_str(), Some(clock.max_hz))))?;
    let rails = || hardware.rails.iter();
    known(out, &table::POWER, rails().map(|rail| (rail.name.as_str(), rail.power_w.value)))?;
    out.values(&table::RAIL_ALARM, rails().map(|rail| ([rail.name.as_str()], truth(rail.alarm))))?;
    out.values(&table::ENERGY, energy.map(|(rail, joules)| ([rail.as_str()], *joules)))?;
    let events = hardware.over_current.iter().map(|counter| (counter.name.as_str(), counter.events.value));
    known(out, &table::OVER_CURRENT, events)?;
    accelerators(out, &hardware.accelerators)?;
    load(out, status)
}

fn heat(out: &mut Out<'_>, governor: &GovernorStatus) -> fmt::Result {
    out.states(&table::REGIME, &REGIMES, &governor.regime)?;
    out.value(&table::HEADROOM, governor.headroom_c)?;
    let columns: [Column<GovernedZone>; 5] = [
        (&table::GOVERNED, |zone| Some(zone.temp_c)),
        (&table::TRIP, |zone| Some(zone.trip_c)),
        (&table::TARGET, |zone| Some(zone.target_c)),
        (&table::AHEAD, |zone| zone.ahead_c),
        (&table::TRIP_IN, |zone| zone.trip_in_s),
    ];
    for (family, of) in columns {
        known(out, family, governor.zones.iter().map(|zone| (zone.name.as_str(), of(zone))))?;
    }
    let capacity = &governor.capacity;
    out.value(&table::LANES, f64::from(capacity.lanes))?;
    out.value(&table::LANES_MAX, f64::from(capacity.lanes_max))?;
    out.value(&table::BATCH, f64::from(capacity.batch))?;
    out.value(&table::BATCH_MAX, f64::from(capacity.batch_max))?;
    out.value(&table::DUTY, capacity.duty)?;
    out.value(&table::SUSTAINABLE, capacity.sustainable)?;
    out.value(&table::LOAD, governor.load)?;
    out.value(&table::HELD, truth(!capacity.held.is_empty()))
}

fn cooling(out: &mut Out<'_>, hardware: &Hardware) -> fmt::Result {
    let coolers = hardware.coolers.iter().filter(|cooler| cooler.max_state > 0);
    let coolers = coolers.filter_map(|cooler| {
        let share = cooler.state.value? / f64::from(cooler.max_state);
        Some(([cooler.name.as_str(), cooler.kind.as_str()], share))
    });
    out.values(&table::COOLER, coolers)?;
    let fans = || hardware.fans.iter();
    known(out, &table::FAN, fans().map(|fan| (fan.name.as_str(), share(&fan.percent))))?;
    known(out, &table::FAN_RPM, fans().map(|fan| (fan.name.as_str(), fan.rpm.value)))
}

/// Two cards of one kind have one name: a later one ends in its number.
fn accelerators(out: &mut Out<'_>, all: &[Accelerator]) -> fmt::Result {
    let names: Vec<String> = (0..all.len()).map(|at| named(all, at)).collect();
    let columns: [Column<Accelerator>; 3] = [
        (&table::ACCELERATOR_LOAD, |one| share(&one.load_percent)),
        (&table::ACCELERATOR_POWER, |one| one.power_w.value),
        (&table::ACCELERATOR_FREE, |one| one.memory_free_bytes.value),
    ];
    for (family, of) in columns {
        let told = all.iter().zip(&names).filter_map(|(one, name)| Some(([name.as_str(), &one.kind], of(one)?)));
        out.values(family, told)?;
    }
    Ok(())
}

fn named(all: &[Accelerator], at: usize) -> String {
    let Some(one) = all.get(at) else { return String::new() };
    match all.iter().take(at).filter(|other| other.name == one.name).count() {
        0 => one.name.clone(),
        earlier => format!("{}#{}", one.name, earlier + 1),
    }
}

fn load(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let reading = |name: &str| status.readings.iter().find(|reading| reading.name == name)?.value;
    out.value(&table::CPU_LOAD, reading("cpu_load_percent").map(|percent| percent / 100.0))?;
    out.value(&table::MEMORY, Some(status.platform.memory_bytes).filter(|bytes| *bytes > 0).map(count))?;
    out.value(&table::MEMORY_AVAILABLE, reading("memory_available_bytes"))?;
    out.value(&table::STATE_FREE, reading("state_free_bytes"))?;
    let mode = status.hardware.power_mode.as_str();
    out.facts(&table::POWER_MODE, Some([mode]).filter(|[mode]| !mode.is_empty()))
}

fn share(percent: &Measured) -> Option<f64> {
    percent.value.map(|percent| percent / 100.0)
}

/// Those that have a value.
fn known<'s>(out: &mut Out<'_>, family: &Family, values: impl Iterator<Item = (&'s str, Option<f64>)>) -> fmt::Result {
    out.values(family, values.filter_map(|(name, value)| Some(([name], value?))))
}
