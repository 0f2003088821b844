//! What the libraries of a simulated machine tell, by files: there is none to ask. Such files are read of simulated machines
//! alone.

use std::path::Path;
use std::sync::Arc;

use edge_core::Mono;
use edge_wire::hardware::Trip;
use serde::{Deserialize, Serialize};

use crate::telemetry::accelerators::Told;
use crate::telemetry::reading::{Absence, Reading};
use crate::telemetry::sampler::Source;
use crate::telemetry::sensed::{Accelerator, ClockRate, Zone};
use crate::telemetry::zones::PLAUSIBLE;
use crate::telemetry::{clocks, node};

/// The files, the kind of what they tell of, and for whom they stand.
const FILES: [(&str, &str, &str); 2] = [("sim/nvml.json", "gpu", "nvml"), ("sim/hailo.json", "npu", "libhailort")];

/// A file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Devices {
    /// Name of the machine.
    pub simulated: String,
    pub devices: Vec<Device>,
}

/// A card or a neural processor; what it does not tell is null.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    pub name: String,
    pub driver: String,
    pub temperature_c: Option<f64>,
    pub slowdown_c: Option<f64>,
    pub shutdown_c: Option<f64>,
    pub power_w: Option<f64>,
    pub load_percent: Option<f64>,
    pub memory_free_bytes: Option<f64>,
    pub clock_hz: Option<f64>,
    pub clock_top_hz: Option<f64>,
    pub throttled_by: String,
}

/// Who tells what the files of the machine below `root` say.
pub fn source(root: &Path) -> Source {
    let root = root.to_owned();
    Box::new(move |now| {
        let mut told = Told::default();
        for (file, kind, by) in FILES {
            if let Some(text) = node::text(&root.join(file)) {
                read(&text, (kind, by), now, &mut told);
            }
        }
        told
    })
}

fn read(text: &str, (kind, by): (&'static str, &'static str), now: Mono, told: &mut Told) {
    match serde_json::from_str::<Devices>(text) {
        Ok(devices) => devices.devices.into_iter().for_each(|device| tell(device, (kind, by), now, told)),
        Err(error) => told
            .accelerators
            .push(Accelerator { note: format!("simulated: {error}"), ..Accelerator::named(kind, "unknown", "", by) }),
    }
}

fn tell(device: Device, (kind, by): (&'static str, &'static str), now: Mono, told: &mut Told) {
    let reading = |value: Option<f64>, range: (f64, f64)| Reading::of(checked(value, range), now);
    let accelerator = Accelerator {
        load_percent: reading(device.load_percent, (0.0, 100.0)),
        power_w: reading(device.power_w, (0.0, 1e4)),
        memory_free_bytes: reading(device.memory_free_bytes, (0.0, 1e15)),
        throttled_by: device.throttled_by,
        note: "simulated".into(),
        ..Accelerator::named(kind, &device.name, &device.driver, by)
    };
    told.accelerators.push(accelerator);
    if device.temperature_c.is_some() {
        let trip = |(kind, temp_c): (&str, Option<f64>)| {
            let temp_c = temp_c.filter(|temp| *temp > 0.0 && *temp <= PLAUSIBLE.1)?;
            Some(Trip { kind: kind.into(), temp_c, hysteresis_c: 0.0 })
        };
        let mut trips: Vec<Trip> =
            [("passive", device.slowdown_c), ("critical", device.shutdown_c)].into_iter().filter_map(trip).collect();
        trips.sort_by(|a, b| a.temp_c.total_cmp(&b.temp_c));
        let temp_c = reading(device.temperature_c, PLAUSIBLE);
        told.zones.push(Zone { name: kind.into(), temp_c, trips: Arc::from(trips) });
    }
    if device.clock_hz.is_some() {
        let top_hz = device.clock_top_hz.filter(|hz| *hz > 0.0 && *hz <= clocks::PLAUSIBLE.1);
        let hz = reading(device.clock_hz, clocks::PLAUSIBLE);
        told.clocks.push(ClockRate { name: kind.into(), hz, min_hz: None, max_hz: top_hz, top_hz });
    }
}

fn checked(value: Option<f64>, range: (f64, f64)) -> Result<f64, Absence> {
    let value = value.ok_or(Absence::Unsupported)?;
    let fits = (range.0..=range.1).contains(&value);
    if fits { Ok(value) } else { Err(Absence::Failed(format!("{value} is out of range"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_tells_is_within_its_range_or_absent() {
        let mut told = Told::default();
        let text =
            r#"{"devices": [{"name": "a", "power_w": 5, "load_percent": 101, "temperature_c": 60, "slowdown_c": 90}]}"#;
        read(text, ("npu", "libhailort"), Mono::default(), &mut told);
        let npu = &told.accelerators[0];
        assert_eq!((npu.power_w.value(), npu.memory_free_bytes.is_unsupported()), (Some(5.0), true));
        assert_eq!(npu.load_percent.absence().unwrap().word(), "failed: 101 is out of range");
        assert_eq!((told.zones[0].temp_c.value(), told.zones[0].trips[0].temp_c), (Some(60.0), 90.0));
        read("{", ("gpu", "nvml"), Mono::default(), &mut told);
        assert!(told.accelerators[1].note.starts_with("simulated: "), "{}", told.accelerators[1].note);
    }
}
