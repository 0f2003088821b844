//! What the machine tells of itself: temperatures with their trips, clocks, power, cooling, modes. Units are in the field
//! names. A value that is not known is absent, with the reason; never a zero.

use serde::{Deserialize, Serialize};

use crate::dto::Problem;

/// A value that may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// The value, in the unit of the field that holds it; `None` if absent.
    pub value: Option<f64>,
    /// `unsupported`, `not_yet` or `failed: why` when there is no value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub absent: String,
}

impl Measured {
    /// A value.
    #[must_use]
    pub fn of(value: f64) -> Measured {
        Measured { value: Some(value), absent: String::new() }
    }

    /// No value, for this reason.
    #[must_use]
    pub fn absent(why: impl Into<String>) -> Measured {
        Measured { value: None, absent: why.into() }
    }
}

/// A temperature at which the machine does something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trip {
    /// The kernel's word (`passive`, `active`, `hot`, `critical`), or `surface` for one that only warns of a hot surface.
    pub kind: String,
    /// Where it begins, degrees Celsius.
    pub temp_c: f64,
    /// How far below it must cool before it ends, kelvin.
    pub hysteresis_c: f64,
}

/// A thermal zone, or the thermometer of an accelerator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// By its type, without the suffix `-thermal` or `-therm`: `cpu`, `gpu`, `tj`; a second one of the same type ends in `#2`.
    pub name: String,
    /// Degrees Celsius.
    pub temp_c: Measured,
    /// Its trip points, the lowest first.
    pub trips: Vec<Trip>,
}

/// Something that cools, or that slows the machine down so that it cools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cooler {
    /// The kernel's type: `cpufreq-cpu0`, `gpu-throttle-alert`, `pwm-fan` ...
    pub name: String,
    /// `throttle` (the machine slows down while it is above 0), `surface` (a warning only), `fan` or `other`.
    pub kind: String,
    /// Its present state, from 0 to `max_state`.
    pub state: Measured,
    /// Its last state.
    pub max_state: u32,
}

/// A clock that can be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockInfo {
    /// `cpu0`, `cpu4` (by policy), `gpu`, `emc`, `npu` ...
    pub name: String,
    /// What it runs at, hertz.
    pub hz: Measured,
    /// What it may go down to now, hertz; 0 if nobody tells.
    pub min_hz: f64,
    /// What it may go up to now, hertz; 0 if nobody tells.
    pub max_hz: f64,
    /// The most that the hardware can, hertz; 0 if nobody tells. Above `max_hz` where a power mode caps it.
    pub top_hz: f64,
}

/// A power rail that can be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RailInfo {
    /// Its label: `VDD_IN`, `VDD_CPU_GPU_CV` ...
    pub name: String,
    /// Watts.
    pub power_w: Measured,
    /// Volts.
    pub volts: Measured,
    /// Amperes.
    pub amperes: Measured,
    /// Amperes at which the sensor warns; 0 if nobody tells.
    pub warn_amperes: f64,
    /// Its warning or critical alarm is on.
    pub alarm: bool,
}

/// A counter of over-current events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverCurrent {
    /// `oc1` (under-voltage), `oc2` (average current), `oc3` (instantaneous current).
    pub name: String,
    /// Events since the daemon first looked after the machine had started.
    pub events: Measured,
}

/// A fan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FanInfo {
    /// The driver's name: `pwmfan` ...
    pub name: String,
    /// How far it is driven, percent.
    pub percent: Measured,
    /// Turns per minute.
    pub rpm: Measured,
}

/// A power mode that the machine knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerMode {
    /// Differs from board to board for the same name.
    pub id: u32,
    /// `15W`, `MAXN` ...
    pub name: String,
}

/// A graphics processor or a neural processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accelerator {
    /// `gpu` or `npu`.
    pub kind: String,
    /// For example `NVIDIA RTX A2000`, `Hailo-8L`.
    pub name: String,
    /// Driver or library version; empty if nobody tells.
    pub driver: String,
    /// Who tells: `sysfs`, `nvml`, `libhailort`.
    pub told_by: String,
    /// Share of time that it was busy, percent.
    pub load_percent: Measured,
    /// Watts.
    pub power_w: Measured,
    /// Its own memory that is free, bytes.
    pub memory_free_bytes: Measured,
    /// What slows it down now, in words; empty if nothing does.
    pub throttled_by: String,
    /// Why nothing more is known of it; empty otherwise.
    pub note: String,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// Name of the simulated machine; empty on a real one.
    pub simulated: String,
    /// The board's software, such as `L4T 36.4.3`; empty elsewhere.
    pub software: String,
    /// How old all of this is, milliseconds.
    pub age_ms: u64,
    /// Thermal zones.
    pub zones: Vec<Zone>,
    /// Cooling devices.
    pub coolers: Vec<Cooler>,
    /// Clocks.
    pub clocks: Vec<ClockInfo>,
    /// Power rails.
    pub rails: Vec<RailInfo>,
    /// Over-current counters.
    pub over_current: Vec<OverCurrent>,
    /// Fans.
    pub fans: Vec<FanInfo>,
    /// Accelerators.
    pub accelerators: Vec<Accelerator>,
    /// The present power mode by name; empty if there is none or nobody tells.
    pub power_mode: String,
    /// Why the power mode is not known; empty otherwise.
    pub power_mode_absent: String,
    /// The modes that there are, by id.
    pub power_modes: Vec<PowerMode>,
    /// Good to know of it, and nothing that is wrong: a power mode that caps a clock, for example.
    pub notes: Vec<Problem>,
}
