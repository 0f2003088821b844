//! What the governor is told once a second.

use core::time::Duration;

use crate::units::{Celsius, Kelvin, Watts};

/// A thermometer, by a number that the driver gives it and never gives to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

/// One thermometer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZoneSample {
    /// Which.
    pub id: ZoneId,
    /// Its reading; `None` if it has none now.
    pub temp: Option<Celsius>,
    /// Where the machine slows itself down.
    pub trip: Celsius,
    /// How far below that it ends.
    pub hysteresis: Kelvin,
    /// Where it switches itself off, if it tells.
    pub critical: Option<Celsius>,
}

/// All readings of one instant that decide something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Thermometers that have a trip. One that is missing here counts as silent.
    pub zones: Vec<ZoneSample>,
    /// What the box takes; `None` if nothing tells now.
    pub power: Option<Watts>,
    /// The hardware slows itself down now, for heat.
    pub throttled: bool,
    /// The hardware slows itself down now, for power, or a rail's alarm is on.
    pub power_capped: bool,
    /// Over-current events since the last sample.
    pub over_current: u32,
    /// For how long the machine slept since the last sample, which the clock of events does not count.
    pub slept: Duration,
    /// What may make runs slow without heat, as far as it is seen.
    pub clue: Option<Clue>,
}

/// A likely cause of runs that take longer than planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clue {
    /// The clock of the neural processor is far below its most.
    NpuClock,
    /// The graphics processor stays at its lowest clock although it is busy.
    GpuStuck,
    /// The power mode holds the clock of the graphics processor below what it can.
    GpuCapped,
    /// The memory clock is held down.
    MemoryCapped,
    /// Another program uses the graphics processor.
    GpuShared,
    /// Other programs use the processors.
    CpuShared,
    /// The processors run far below their most.
    CpuClock,
}

impl Clue {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Clue::NpuClock => "npu_clock",
            Clue::GpuStuck => "gpu_stuck",
            Clue::GpuCapped => "gpu_capped",
            Clue::MemoryCapped => "memory_capped",
            Clue::GpuShared => "gpu_shared",
            Clue::CpuShared => "cpu_shared",
            Clue::CpuClock => "cpu_clock",
        }
    }
}
