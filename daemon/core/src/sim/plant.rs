//! Simulated thermal machines with throttling hardware of their own: what a governor is tried on. A chain of masses from
//! the chip to the air, integrated in steps of 50 ms.
//!
//! | plant | what it is like |
//! |---|---|
//! | sealed | a 25 W module in a closed aluminium box without a fan: minutes to warm up, an hour to be warm through |
//! | fan | the same module under a heatsink whose fan follows the temperature, and can fail |
//! | phone | a 7 W chip in a thin case: quick to warm up, no power rail |

use crate::governor::{Sample, ZoneId, ZoneSample};
use crate::sim::Dice;
use crate::units::{Celsius, Kelvin, Watts};

/// Length of a step, seconds.
const STEP: f64 = 0.05;
/// Readings come in steps of this, kelvin.
const QUANTUM: f64 = 0.5;
/// Noise of a reading, kelvin.
const NOISE: f64 = 0.3;
/// What is left of the speed and of the power that work takes while the hardware throttles.
const THROTTLED: (f64, f64) = (0.5, 0.55);
/// The hardware throttles until it is cooler by this, kelvin.
const HYSTERESIS: f64 = 5.0;
/// The part that parameters are drawn within.
const SPREAD: f64 = 0.3;

/// Kinds of plants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A closed box without a fan.
    Sealed,
    /// A heatsink with a fan.
    Fan,
    /// Thin and small.
    Phone,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Sealed, Kind::Fan, Kind::Phone];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Sealed => "sealed",
            Kind::Fan => "fan",
            Kind::Phone => "phone",
        }
    }
}

/// What is wrong with a plant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// The fan stands still.
    FanFailed,
    /// The air is warmer by this, kelvin.
    Warmer(f64),
    /// The thermometer says what it last said.
    Frozen,
    /// The thermometer is off by this, kelvin.
    Off(f64),
    /// The zone is not there.
    Gone,
}

/// Parameters of a plant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Air, degrees Celsius.
    pub ambient: f64,
    /// Watts without work.
    pub idle: f64,
    /// Watts that all lanes together add.
    pub work: f64,
    /// Heat capacities from the chip outwards, joule per kelvin.
    pub masses: [f64; 3],
    /// Conductances from each mass to the next and from the last to the air, watts per kelvin. The last one without a fan.
    pub ways: [f64; 3],
    /// What the fan adds at full speed, watts per kelvin.
    pub fan: f64,
    /// Where the hardware throttles, degrees Celsius.
    pub trip: f64,
    /// Whether it has a power rail.
    pub rail: bool,
}

impl Parameters {
    /// A plant of a kind, with each parameter drawn within 30% by a seed; seed 0 draws nothing.
    pub fn draw(kind: Kind, ambient: f64, seed: u64) -> Parameters {
        let mut dice = Dice::new(seed);
        let mut drawn = |value: f64| {
            let turn = uniform(&mut dice) * 2.0 - 1.0;
            if seed == 0 { value } else { value * (1.0 + SPREAD * turn) }
        };
        let mut plant = |idle, work, masses: [f64; 3], ways: [f64; 3], fan, trip, rail| Parameters {
            ambient,
            idle: drawn(idle),
            work: drawn(work),
            masses: masses.map(&mut drawn),
            ways: ways.map(&mut drawn),
            fan: drawn(fan),
            trip,
            rail,
        };
        match kind {
            Kind::Sealed => plant(5.0, 20.0, [10.0, 120.0, 500.0], [1.6, 2.5, 0.45], 0.0, 99.0, true),
            Kind::Fan => plant(5.0, 20.0, [10.0, 60.0, 120.0], [1.6, 4.0, 0.2], 0.9, 99.0, true),
            Kind::Phone => plant(0.6, 6.0, [3.0, 15.0, 50.0], [0.5, 0.6, 0.14], 0.0, 95.0, false),
        }
    }

    /// Temperature of the chip in the end at a duty, degrees Celsius.
    pub fn steady(&self, duty: f64) -> f64 {
        let power = self.idle + self.work * duty;
        let inner = power / self.ways[0] + power / self.ways[1];
        // The fan depends on the temperature: the fixed point by halving.
        let (mut low, mut high) = (self.ambient, self.ambient + 1000.0);
        for _ in 0..60 {
            let chip = (low + high) / 2.0;
            let out = self.ways[2] + self.fan * fan_speed(chip, false);
            let reached = self.ambient + power / out + inner;
            if reached > chip { low = chip } else { high = chip }
        }
        low
    }

    /// The largest constant duty whose steady state stays under the trip, at most `offered`.
    pub fn optimum(&self, offered: f64) -> f64 {
        let (mut low, mut high) = (0.0, offered.min(1.0));
        if self.steady(high) < self.trip {
            return high;
        }
        for _ in 0..60 {
            let duty = (low + high) / 2.0;
            if self.steady(duty) < self.trip { low = duty } else { high = duty }
        }
        low
    }
}

fn uniform(dice: &mut Dice) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are left")]
    let part = (dice.roll() >> 11) as f64;
    part / 9_007_199_254_740_992.0
}

/// From 0 at 45 degrees to 1 at 85.
fn fan_speed(chip: f64, failed: bool) -> f64 {
    if failed { 0.0 } else { ((chip - 45.0) / 40.0).clamp(0.0, 1.0) }
}

/// A machine that warms up.
#[derive(Clone, Debug)]
pub struct Plant {
    /// What it is made of.
    pub parameters: Parameters,
    temps: [f64; 3],
    throttles: bool,
    /// Times that the hardware began to throttle.
    pub throttled: u32,
    /// What is wrong now.
    pub trouble: Option<Trouble>,
    dice: Dice,
    said: f64,
    power: f64,
    left: f64,
    /// Mean power since the last reading.
    energy: f64,
    over: f64,
}

impl Plant {
    /// A plant that has rested.
    pub fn new(parameters: Parameters, seed: u64) -> Plant {
        let mut plant = Plant {
            parameters,
            temps: [parameters.ambient; 3],
            throttles: false,
            throttled: 0,
            trouble: None,
            dice: Dice::new(seed ^ 0x5eed),
            said: parameters.ambient,
            power: parameters.idle,
            left: 0.0,
            energy: 0.0,
            over: 0.0,
        };
        // Rested means warm by what it takes without work.
        for _ in 0..200_000 {
            plant.step(0.0);
        }
        (plant.energy, plant.over) = (0.0, 0.0);
        plant
    }

    /// Time passes while the lanes are busy for `duty` of it.
    pub fn pass(&mut self, seconds: f64, duty: f64) {
        self.left += seconds;
        while self.left >= STEP {
            self.left -= STEP;
            self.step(duty);
        }
    }

    fn step(&mut self, duty: f64) {
        let p = &self.parameters;
        let factor = if self.throttles { THROTTLED.1 } else { 1.0 };
        self.power = p.idle + p.work * duty * factor;
        let warmer = if let Some(Trouble::Warmer(by)) = self.trouble { by } else { 0.0 };
        let failed = self.trouble == Some(Trouble::FanFailed);
        let out = p.ways[2] + p.fan * fan_speed(self.temps[0], failed);
        let flows = [
            (self.temps[0] - self.temps[1]) * p.ways[0],
            (self.temps[1] - self.temps[2]) * p.ways[1],
            (self.temps[2] - p.ambient - warmer) * out,
        ];
        self.temps[0] += (self.power - flows[0]) / p.masses[0] * STEP;
        self.temps[1] += (flows[0] - flows[1]) / p.masses[1] * STEP;
        self.temps[2] += (flows[1] - flows[2]) / p.masses[2] * STEP;
        self.energy += self.power * STEP;
        self.over += STEP;
        if self.temps[0] >= p.trip && !self.throttles {
            (self.throttles, self.throttled) = (true, self.throttled + 1);
        } else if self.temps[0] < p.trip - HYSTERESIS {
            self.throttles = false;
        }
    }

    /// Temperature of the chip, degrees Celsius.
    pub fn temp(&self) -> f64 {
        self.temps[0]
    }

    /// How fast work goes: 1 unless the hardware throttles.
    pub fn speed(&self) -> f64 {
        if self.throttles { THROTTLED.0 } else { 1.0 }
    }

    /// What its sensors say now.
    pub fn sample(&mut self) -> Sample {
        // The sum of twelve is close enough to normal.
        let noise = (0..12).map(|_| uniform(&mut self.dice)).sum::<f64>() - 6.0;
        let off = if let Some(Trouble::Off(by)) = self.trouble { by } else { 0.0 };
        if self.trouble != Some(Trouble::Frozen) {
            self.said = ((self.temps[0] + NOISE * noise + off) / QUANTUM).round() * QUANTUM;
        }
        let zone = ZoneSample {
            id: ZoneId(0),
            temp: Celsius::new(self.said),
            trip: Celsius::new(self.parameters.trip).unwrap_or(Celsius::ZERO),
            hysteresis: Kelvin::new(HYSTERESIS).unwrap_or_default(),
            critical: Celsius::new(self.parameters.trip + 5.5),
        };
        let mean = if self.over > 0.0 { self.energy / self.over } else { self.power };
        (self.energy, self.over) = (0.0, 0.0);
        Sample {
            zones: if self.trouble == Some(Trouble::Gone) { Vec::new() } else { vec![zone] },
            power: self.parameters.rail.then(|| Watts::new(mean).unwrap_or_default()),
            throttled: self.throttles,
            ..Sample::default()
        }
    }
}
