//! What the child answers, and how it is told on the wire. Knows neither the library nor processes.

use edge_wire::hardware::{Accelerator, ClockInfo, Measured, Trip, Zone};
use serde::{Deserialize, Serialize};

/// What a device does against heat, as its firmware names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Throttling {
    /// Nothing.
    #[serde(rename = "none")]
    None,
    /// First step of a slower clock.
    #[serde(rename = "light")]
    Light,
    /// Second step.
    #[serde(rename = "medium")]
    Medium,
    /// Third step.
    #[serde(rename = "heavy")]
    Heavy,
    /// Last step.
    #[serde(rename = "severe")]
    Severe,
    /// It takes no data.
    #[serde(rename = "streams off")]
    StreamsOff,
    /// It is too hot to work.
    #[serde(rename = "overheat")]
    Overheat,
}

impl Throttling {
    /// From the weakest to the strongest.
    pub const ALL: [Throttling; 7] = [
        Throttling::None,
        Throttling::Light,
        Throttling::Medium,
        Throttling::Heavy,
        Throttling::Severe,
        Throttling::StreamsOff,
        Throttling::Overheat,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Throttling::None => "none",
            Throttling::Light => "light",
            Throttling::Medium => "medium",
            Throttling::Heavy => "heavy",
            Throttling::Severe => "severe",
            Throttling::StreamsOff => "streams off",
            Throttling::Overheat => "overheat",
        }
    }
}

/// What one device tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// As the library names it: its address on the PCI bus.
    pub id: String,
    /// `Hailo-8`, `Hailo-8L`, `Hailo-10H` ...
    pub name: String,
    /// Version of its firmware; empty if it does not tell.
    pub firmware: String,
    /// Its thermometers, degrees Celsius.
    pub temps_c: Vec<Measured>,
    /// Where its firmware slows it down or stops it.
    pub trips: Vec<Trip>,
    /// Watts.
    pub power_w: Measured,
    /// Clock of its cores, hertz.
    pub clock_hz: Measured,
    /// What it does against heat; `None` if nobody tells.
    pub throttling: Option<Throttling>,
    /// It takes more current than it may.
    pub over_current: bool,
    /// Why nothing more is known of it, or what is worth a note.
    pub note: String,
    /// How long ago it was read, milliseconds.
    pub age_ms: u64,
}

/// One line of the child.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Version of the library; empty if none is open.
    pub library: String,
    /// Why nothing is known of any device: `unsupported`, `not_yet` or `failed: why`; empty otherwise.
    pub absent: String,
    /// What the library finds.
    pub devices: Vec<Device>,
}

/// All that is told of the Hailo devices of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// One for each device.
    pub accelerators: Vec<Accelerator>,
    /// One for each thermometer: `npu`, `npu#2` ...
    pub zones: Vec<Zone>,
    /// One for each device: `npu`, `npu#2` ...
    pub clocks: Vec<ClockInfo>,
    /// How old the oldest of it is, milliseconds.
    pub age_ms: u64,
}

impl Answer {
    /// Nothing is known, for this reason.
    pub fn failed(why: &str) -> Answer {
        Answer { absent: format!("failed: {why}"), ..Answer::default() }
    }

    /// On the wire, for a machine with so many devices by its driver's count.
    pub fn tell(self, present: usize) -> Told {
        let Answer { library, mut absent, mut devices } = self;
        if devices.is_empty() && absent.is_empty() {
            absent = format!("failed: the driver lists {present}, and libhailort {library} finds none");
        }
        if !absent.is_empty() {
            devices = vec![Device::absent(&absent); present.max(1)];
        }
        let mut told = Told::default();
        for device in devices {
            told.age_ms = told.age_ms.max(device.age_ms);
            told.add(device, &library);
        }
        told
    }
}

impl Device {
    /// One of which nothing is known: `unsupported`, `not_yet` or `failed: why`.
    pub fn absent(why: &str) -> Device {
        let value = Measured::absent(why);
        Device {
            temps_c: vec![value.clone()],
            power_w: value.clone(),
            clock_hz: value,
            note: why.strip_prefix("failed: ").unwrap_or(why).to_owned(),
            ..Device::default()
        }
    }

    /// What slows it down, in words; empty if nothing does or nobody tells.
    fn throttled_by(&self) -> String {
        let heat = self.throttling.filter(|heat| *heat != Throttling::None).map(Throttling::as_str);
        let words: Vec<&str> = heat.into_iter().chain(self.over_current.then_some("over-current")).collect();
        words.join(", ")
    }
}

impl Told {
    fn add(&mut self, device: Device, library: &str) {
        let throttled_by = device.throttled_by();
        let name = if device.name.is_empty() { "Hailo".to_owned() } else { device.name };
        let temps = if device.temps_c.is_empty() { vec![Measured::default()] } else { device.temps_c };
        for temp_c in temps {
            let name = nth(self.zones.len());
            self.zones.push(Zone { name, temp_c: reasoned(temp_c), trips: device.trips.clone() });
        }
        let hz = reasoned(device.clock_hz);
        self.clocks.push(ClockInfo { name: nth(self.clocks.len()), hz, ..ClockInfo::default() });
        self.accelerators.push(Accelerator {
            kind: "npu".into(),
            name,
            driver: library.to_owned(),
            told_by: "libhailort".into(),
            // Neither its load nor its memory can be asked for in C.
            load_percent: Measured::absent("unsupported"),
            power_w: reasoned(device.power_w),
            memory_free_bytes: Measured::absent("unsupported"),
            throttled_by,
            note: device.note,
        });
    }
}

/// A value that is missing without a word is one that nobody tells.
fn reasoned(value: Measured) -> Measured {
    match (value.value, value.absent.is_empty()) {
        (None, true) => Measured::absent("unsupported"),
        _ => value,
    }
}

fn nth(before: usize) -> String {
    if before == 0 { "npu".to_owned() } else { format!("npu#{}", before + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_devices_have_four_thermometers_and_two_clocks_by_number() {
        let device = |temp: f64| Device {
            name: "Hailo-8".into(),
            temps_c: vec![Measured::of(temp), Measured::of(temp + 1.0)],
            clock_hz: Measured::of(400e6),
            age_ms: 40 + u64::from(temp > 50.0),
            ..Device::default()
        };
        let answer =
            Answer { library: "4.23.0".into(), devices: vec![device(60.0), device(50.0)], ..Answer::default() };
        let told = answer.tell(2);
        let zones: Vec<_> = told.zones.iter().map(|zone| (zone.name.as_str(), zone.temp_c.value)).collect();
        assert_eq!(zones, [("npu", Some(60.0)), ("npu#2", Some(61.0)), ("npu#3", Some(50.0)), ("npu#4", Some(51.0))]);
        let clocks: Vec<_> = told.clocks.iter().map(|clock| clock.name.as_str()).collect();
        assert_eq!((clocks, told.accelerators.len(), told.age_ms), (vec!["npu", "npu#2"], 2, 41));
    }

    #[test]
    fn what_nobody_tells_has_a_reason_and_no_zero() {
        for (answer, want, note) in [
            (Answer::failed("x"), "failed: x", "x"),
            (Answer { absent: "not_yet".into(), ..Answer::default() }, "not_yet", "not_yet"),
            (
                Answer { library: "5.1.1".into(), ..Answer::default() },
                "failed: the driver lists 2, and libhailort 5.1.1 finds none",
                "the driver lists 2, and libhailort 5.1.1 finds none",
            ),
        ] {
            let told = answer.tell(2);
            assert_eq!(told.accelerators.len(), 2);
            assert_eq!((told.zones[1].temp_c.absent.as_str(), told.accelerators[1].note.as_str()), (want, note));
            assert_eq!((told.clocks[0].hz.absent.as_str(), told.accelerators[0].power_w.value), (want, None));
        }
    }

    #[test]
    fn throttling_is_told_in_words_and_nothing_for_none() {
        for heat in Throttling::ALL {
            let word = heat.as_str();
            assert_eq!(serde_json::to_value(heat).unwrap(), word);
            let device = Device { throttling: Some(heat), ..Device::default() };
            assert_eq!(device.throttled_by(), if word == "none" { "" } else { word });
        }
        let both = Device { throttling: Some(Throttling::Heavy), over_current: true, ..Device::default() };
        assert_eq!(both.throttled_by(), "heavy, over-current");
        assert_eq!(Device { over_current: true, ..Device::default() }.throttled_by(), "over-current");
    }
}
