//! All that was read of the machine at one time, with types; and how it looks to the outside: as the record of the
//! hardware, and as a flat list of readings. Plain functions; nothing here reads anything.

use std::sync::Arc;

use edge_core::Mono;
use edge_wire::dto::ReadingInfo;
use edge_wire::hardware as wire;
use edge_wire::hardware::{PowerMode, Trip};

use super::reading::{Absence, Reading};

/// More CPU clocks than these are one line of the flat list: the fastest.
const CPU_CLOCKS: usize = 4;

/// A thermal zone or a thermometer of an accelerator.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    pub name: Arc<str>,
    /// Degrees Celsius, -60 to 200.
    pub temp_c: Reading<f64>,
    /// The lowest first.
    pub trips: Arc<[Trip]>,
}

/// A cooling device.
#[derive(Clone, Debug, PartialEq)]
pub struct Cooler {
    pub name: Arc<str>,
    /// `throttle`, `surface`, `fan` or `other`.
    pub kind: &'static str,
    /// 0 to `max_state`.
    pub state: Reading<f64>,
    pub max_state: u32,
}

/// A clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockRate {
    pub name: Arc<str>,
    /// Hertz, 0 to 1e11, like those below.
    pub hz: Reading<f64>,
    pub min_hz: Option<f64>,
    pub max_hz: Option<f64>,
    pub top_hz: Option<f64>,
}

/// A power rail.
#[derive(Clone, Debug, PartialEq)]
pub struct Rail {
    pub name: Arc<str>,
    /// Watts, -1000 to 1000.
    pub power_w: Reading<f64>,
    /// Volts, 0 to 100.
    pub volts: Reading<f64>,
    /// Amperes, -100 to 100: negative while a rail is fed from elsewhere.
    pub amperes: Reading<f64>,
    pub warn_amperes: Option<f64>,
    pub alarm: bool,
}

/// Over-current events.
#[derive(Clone, Debug, PartialEq)]
pub struct OverCurrent {
    pub name: Arc<str>,
    /// Since the baseline.
    pub events: Reading<f64>,
}

/// A fan.
#[derive(Clone, Debug, PartialEq)]
pub struct Fan {
    pub name: Arc<str>,
    /// 0 to 100; known only where it can be driven.
    pub percent: Reading<f64>,
    /// 0 to 100000.
    pub rpm: Reading<f64>,
}

/// A graphics or neural processor.
#[derive(Clone, Debug, PartialEq)]
pub struct Accelerator {
    /// `gpu` or `npu`.
    pub kind: &'static str,
    pub name: Arc<str>,
    /// Version of driver or library; empty if nobody tells.
    pub driver: Arc<str>,
    /// `sysfs`, `nvml`, `libhailort`.
    pub told_by: &'static str,
    /// 0 to 100.
    pub load_percent: Reading<f64>,
    /// Watts, 0 to 10000.
    pub power_w: Reading<f64>,
    /// Bytes.
    pub memory_free_bytes: Reading<f64>,
    /// Other processes that compute on it; `None` if nobody tells.
    pub processes: Option<u32>,
    /// Empty if nothing slows it down.
    pub throttled_by: String,
    /// Why nothing more is known; empty otherwise.
    pub note: String,
}

impl Accelerator {
    /// One of which only this is known.
    pub fn named(kind: &'static str, name: &str, driver: &str, told_by: &'static str) -> Accelerator {
        Accelerator {
            kind,
            name: name.into(),
            driver: driver.into(),
            told_by,
            load_percent: Reading::unsupported(),
            power_w: Reading::unsupported(),
            memory_free_bytes: Reading::unsupported(),
            processes: None,
            throttled_by: String::new(),
            note: String::new(),
        }
    }
}

/// The power modes of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerModes {
    /// The present one by name; what is not known is said why.
    pub present: Result<Arc<str>, Absence>,
    /// All of them, by id.
    pub modes: Arc<[PowerMode]>,
    /// File that they stand in, with links followed; empty without one.
    pub conf: Arc<str>,
}

impl Default for PowerModes {
    fn default() -> PowerModes {
        PowerModes { present: Err(Absence::Unsupported), modes: Arc::default(), conf: Arc::default() }
    }
}

/// Load and memory of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// 0 to 100.
    pub cpu_percent: Reading<f64>,
    /// Processes that want to run, mean of the last minute.
    pub average_1m: Reading<f64>,
    /// Bytes.
    pub memory_available: Reading<f64>,
    /// Bytes.
    pub memory_total: Reading<f64>,
}

impl Default for Load {
    fn default() -> Load {
        let none = Reading::unsupported;
        Load { cpu_percent: none(), average_1m: none(), memory_available: none(), memory_total: none() }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensed {
    /// When it was read.
    pub at: Mono,
    /// Name of the simulated machine; empty on a real one.
    pub simulated: Arc<str>,
    /// The board's name, as in the platform.
    pub model: Arc<str>,
    /// The board's software.
    pub software: Arc<str>,
    /// Of this start of the machine; empty if nobody tells.
    pub boot_id: Arc<str>,
    pub zones: Vec<Zone>,
    pub coolers: Vec<Cooler>,
    pub clocks: Vec<ClockRate>,
    pub rails: Vec<Rail>,
    pub over_current: Vec<OverCurrent>,
    pub fans: Vec<Fan>,
    pub accelerators: Vec<Accelerator>,
    pub power_modes: PowerModes,
    pub load: Load,
    /// Bytes that the daemon's state may still take.
    pub state_free: Reading<f64>,
}

impl Default for Sensed {
    fn default() -> Sensed {
        Sensed {
            at: Mono::default(),
            simulated: Arc::default(),
            model: Arc::default(),
            software: Arc::default(),
            boot_id: Arc::default(),
            zones: Vec::new(),
            coolers: Vec::new(),
            clocks: Vec::new(),
            rails: Vec::new(),
            over_current: Vec::new(),
            fans: Vec::new(),
            accelerators: Vec::new(),
            power_modes: PowerModes::default(),
            load: Load::default(),
            state_free: Reading::unsupported(),
        }
    }
}

/// The record of the hardware; its age is for whoever knows the time, and notes come of several samples.
pub fn hardware(sensed: &Sensed) -> wire::Hardware {
    let modes = &sensed.power_modes;
    wire::Hardware {
        simulated: sensed.simulated.to_string(),
        software: sensed.software.to_string(),
        age_ms: 0,
        zones: sensed.zones.iter().map(zone).collect(),
        coolers: sensed.coolers.iter().map(cooler).collect(),
        clocks: sensed.clocks.iter().map(clock).collect(),
        rails: sensed.rails.iter().map(rail).collect(),
        over_current: sensed
            .over_current
            .iter()
            .map(|counter| wire::OverCurrent { name: counter.name.to_string(), events: counter.events.measured() })
            .collect(),
        fans: sensed.fans.iter().map(fan).collect(),
        accelerators: sensed.accelerators.iter().map(accelerator).collect(),
        power_mode: modes.present.as_ref().map(ToString::to_string).unwrap_or_default(),
        power_mode_absent: modes.present.as_ref().err().map(Absence::word).unwrap_or_default(),
        power_modes: modes.modes.to_vec(),
        notes: Vec::new(),
    }
}

fn zone(zone: &Zone) -> wire::Zone {
    wire::Zone { name: zone.name.to_string(), temp_c: zone.temp_c.measured(), trips: zone.trips.to_vec() }
}

fn cooler(cooler: &Cooler) -> wire::Cooler {
    wire::Cooler {
        name: cooler.name.to_string(),
        kind: cooler.kind.into(),
        state: cooler.state.measured(),
        max_state: cooler.max_state,
    }
}

fn clock(clock: &ClockRate) -> wire::ClockInfo {
    let hz = |limit: Option<f64>| limit.unwrap_or(0.0);
    wire::ClockInfo {
        name: clock.name.to_string(),
        hz: clock.hz.measured(),
        min_hz: hz(clock.min_hz),
        max_hz: hz(clock.max_hz),
        top_hz: hz(clock.top_hz),
    }
}

fn rail(rail: &Rail) -> wire::RailInfo {
    wire::RailInfo {
        name: rail.name.to_string(),
        power_w: rail.power_w.measured(),
        volts: rail.volts.measured(),
        amperes: rail.amperes.measured(),
        warn_amperes: rail.warn_amperes.unwrap_or(0.0),
        alarm: rail.alarm,
    }
}

fn fan(fan: &Fan) -> wire::FanInfo {
    wire::FanInfo { name: fan.name.to_string(), percent: fan.percent.measured(), rpm: fan.rpm.measured() }
}

fn accelerator(accelerator: &Accelerator) -> wire::Accelerator {
    let note = match accelerator.processes {
        Some(processes) if processes > 0 && accelerator.note.is_empty() => {
            format!("{processes} processes compute on it")
        }
        _ => accelerator.note.clone(),
    };
    wire::Accelerator {
        kind: accelerator.kind.into(),
        name: accelerator.name.to_string(),
        driver: accelerator.driver.to_string(),
        told_by: accelerator.told_by.into(),
        load_percent: accelerator.load_percent.measured(),
        power_w: accelerator.power_w.measured(),
        memory_free_bytes: accelerator.memory_free_bytes.measured(),
        throttled_by: accelerator.throttled_by.clone(),
        note,
    }
}

/// The flat list. Load, memory, room and temperatures are always there; of the rest what this machine has.
pub fn readings(sensed: &Sensed) -> Vec<ReadingInfo> {
    let mut list = vec![
        info("cpu_load_percent", &sensed.load.cpu_percent),
        info("memory_available_bytes", &sensed.load.memory_available),
        info("memory_total_bytes", &sensed.load.memory_total),
        info("state_free_bytes", &sensed.state_free),
    ];
    list.extend(sensed.zones.iter().map(|zone| info(&format!("temperature_c.{}", zone.name), &zone.temp_c)));
    if sensed.zones.is_empty() {
        list.push(info("temperature_c", &Reading::unsupported()));
    }
    let mut more = |name: String, reading: &Reading<f64>| {
        if !reading.is_unsupported() {
            list.push(info(&name, reading));
        }
    };
    more("load_average".into(), &sensed.load.average_1m);
    sensed.rails.iter().for_each(|rail| more(format!("power_w.{}", rail.name), &rail.power_w));
    for (name, hz) in clocks(&sensed.clocks) {
        more(format!("clock_hz.{name}"), hz);
    }
    for fan in &sensed.fans {
        more(format!("fan_percent.{}", fan.name), &fan.percent);
        more(format!("fan_rpm.{}", fan.name), &fan.rpm);
    }
    for counter in &sensed.over_current {
        more(format!("over_current_events.{}", counter.name), &counter.events);
    }
    for (prefix, of) in prefixes(&sensed.accelerators) {
        more(format!("{prefix}_load_percent"), &of.load_percent);
        more(format!("{prefix}_power_w"), &of.power_w);
        more(format!("{prefix}_memory_free_bytes"), &of.memory_free_bytes);
    }
    list
}

/// A workstation has a clock for each of its dozens of processors: then the fastest stands for all.
fn clocks(clocks: &[ClockRate]) -> Vec<(&str, &Reading<f64>)> {
    let is_cpu = |clock: &&ClockRate| clock.name.starts_with("cpu");
    let (of_cpu, mut others): (Vec<&ClockRate>, Vec<&ClockRate>) = clocks.iter().partition(is_cpu);
    if of_cpu.len() <= CPU_CLOCKS {
        return clocks.iter().map(|clock| (&*clock.name, &clock.hz)).collect();
    }
    let rate = |clock: &&ClockRate| clock.hz.value().unwrap_or(-1.0);
    let fastest = of_cpu.into_iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
    let mut list: Vec<(&str, &Reading<f64>)> = fastest.map(|clock| ("cpu", &clock.hz)).into_iter().collect();
    list.extend(others.drain(..).map(|clock| (&*clock.name, &clock.hz)));
    list
}

/// `gpu`, `gpu2`, `npu` ...
fn prefixes(accelerators: &[Accelerator]) -> Vec<(String, &Accelerator)> {
    let number =
        |(place, of): (usize, &Accelerator)| accelerators[..place].iter().filter(|a| a.kind == of.kind).count();
    let prefix = |(place, of)| match number((place, of)) {
        0 => (of.kind.to_owned(), of),
        before => (format!("{}{}", of.kind, before + 1), of),
    };
    accelerators.iter().enumerate().map(prefix).collect()
}

fn info(name: &str, reading: &Reading<f64>) -> ReadingInfo {
    let absent = reading.absence().map(Absence::word).unwrap_or_default();
    ReadingInfo { name: name.into(), value: reading.value(), absent, age_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(value: f64) -> Reading<f64> {
        Reading::of(Ok(value), Mono::default())
    }

    fn names(sensed: &Sensed) -> Vec<String> {
        readings(sensed).into_iter().map(|reading| reading.name).collect()
    }

    #[test]
    fn a_machine_that_tells_nothing_has_the_readings_that_always_are() {
        let always = ["cpu_load_percent", "memory_available_bytes", "memory_total_bytes", "state_free_bytes"];
        assert_eq!(names(&Sensed::default()), [&always[..], &["temperature_c"]].concat());
        assert!(readings(&Sensed::default()).iter().all(|reading| reading.absent == "unsupported"));
    }

    #[test]
    fn what_is_there_is_listed_and_many_processors_are_one_line() {
        let clock = |name: &str, hz: f64| ClockRate {
            name: name.into(),
            hz: known(hz),
            min_hz: None,
            max_hz: None,
            top_hz: None,
        };
        let mut sensed = Sensed {
            zones: vec![Zone { name: "tj".into(), temp_c: known(50.0), trips: Arc::default() }],
            clocks: vec![clock("cpu0", 1e9), clock("gpu", 5e8)],
            accelerators: vec![Accelerator { load_percent: known(3.0), ..Accelerator::named("gpu", "a", "", "sysfs") }],
            ..Sensed::default()
        };
        assert_eq!(names(&sensed)[4..], ["temperature_c.tj", "clock_hz.cpu0", "clock_hz.gpu", "gpu_load_percent"]);
        sensed.clocks.extend((1..9).map(|number| clock(&format!("cpu{number}"), 2e9 + f64::from(number))));
        assert_eq!(names(&sensed)[5..7], ["clock_hz.cpu", "clock_hz.gpu"]);
        assert_eq!(readings(&sensed)[5].value, Some(2e9 + 8.0));
        sensed.accelerators.push(Accelerator { power_w: known(9.0), ..Accelerator::named("gpu", "b", "", "nvml") });
        assert_eq!(names(&sensed).last().map(String::as_str), Some("gpu2_power_w"));
    }

    #[test]
    fn an_absent_value_keeps_its_reason() {
        let zones = vec![Zone {
            name: "cv0".into(),
            temp_c: Reading::Absent(Absence::NotYet),
            trips: vec![Trip { kind: "critical".into(), temp_c: 104.5, hysteresis_c: 0.0 }].into(),
        }];
        let shown = hardware(&Sensed { zones, ..Sensed::default() });
        assert_eq!((shown.zones[0].temp_c.value, shown.zones[0].temp_c.absent.as_str()), (None, "not_yet"));
        assert_eq!(shown.zones[0].trips[0].temp_c, 104.5);
        assert_eq!(shown.power_mode_absent, "unsupported");
    }
}
