//! How a simulated machine behaves: a simple model of heat and load, and what each file that moves shows of it. Pure.

use std::fmt::Write;

use super::told::{Device, Devices};
use super::tree::{ENERGY_RANGE, What};

/// Seconds until 63% of a lasting change of load has become heat.
const TIME_CONSTANT: f64 = 60.0;
/// Seconds of one wave of the load that nobody sets.
const WAVE: f64 = 120.0;
/// What is at work at this share or above has power.
const BUSY: f64 = 0.1;
/// Kelvin that the hottest part rises by all load; with the surroundings it decides on throttling.
const HOTTEST: (f64, f64) = (22.5, 28.0);
/// Degrees at which the machine slows down, and ends doing so.
const SLOW: (f64, f64) = (99.0, 94.0);
/// What is left of the heat then.
const SLOWED: f64 = 0.6;
/// Seconds after the start at which late things appear.
pub const LATE: f64 = 5.0;
/// Ticks of all processors in a second.
const TICKS: f64 = 600.0;

/// A machine as it is now.
#[derive(Clone, Debug)]
pub struct Life {
    pub name: &'static str,
    watts: (f64, f64),
    /// Seconds since the start.
    pub time: f64,
    /// Share of what it could do, 0 to 1.
    load: f64,
    /// The same, as it has become heat.
    warmth: f64,
    /// Degrees Celsius of the surroundings.
    ambient: f64,
    slow: bool,
    energy_uj: f64,
    busy_ticks: f64,
}

impl Life {
    /// A machine at the temperature that it has with a little load.
    pub fn new(name: &'static str, watts: (f64, f64)) -> Life {
        let load = wave(0.0);
        Life { name, watts, time: 0.0, load, warmth: load, ambient: 25.0, slow: false, energy_uj: 1e6, busy_ticks: 0.0 }
    }

    /// Lets time pass, seconds; load and surroundings are those that somebody set, if somebody did.
    pub fn step(&mut self, seconds: f64, load: Option<f64>, ambient: Option<f64>) {
        self.time += seconds;
        self.load = load.unwrap_or_else(|| wave(self.time)).clamp(0.0, 1.0);
        self.ambient = ambient.unwrap_or(self.ambient).clamp(-40.0, 80.0);
        let heat = if self.slow { self.load * SLOWED } else { self.load };
        self.warmth += (heat - self.warmth) * (1.0 - (-seconds / TIME_CONSTANT).exp());
        let hottest = self.celsius(HOTTEST);
        self.slow = hottest >= SLOW.0 || (self.slow && hottest >= SLOW.1);
        self.energy_uj += self.watts() * seconds * 1e6;
        self.busy_ticks += TICKS * seconds * self.load;
    }

    /// Whether parts that sleep without work are awake.
    pub fn is_busy(&self) -> bool {
        self.load >= BUSY
    }

    fn celsius(&self, rise: (f64, f64)) -> f64 {
        // A thermometer is never quite still.
        self.ambient + rise.0 + rise.1 * self.warmth + 0.15 * (self.time * 1.7).sin()
    }

    fn watts(&self) -> f64 {
        self.watts.0 + (self.watts.1 - self.watts.0) * if self.slow { self.load * SLOWED } else { self.load }
    }

    /// Share to which the fan is driven.
    fn fan(&self) -> f64 {
        (0.2 + (self.celsius(HOTTEST) - 40.0) / 50.0).clamp(0.2, 1.0)
    }

    /// What a file shows.
    pub fn text(&self, what: What) -> String {
        match what {
            What::Zone { rise, .. } => whole(self.celsius(rise) * 1e3),
            What::Processor { min, max } => {
                let top = if self.slow { max / 2 } else { max };
                whole(min as f64 + (top.max(min) - min) as f64 * self.load)
            }
            What::Gpu { steps, max } => whole(self.gpu(steps, max)),
            What::GpuLoad => whole(self.load * 1e3),
            What::Amperes { share, millivolts } => whole(self.watts() * share * 1e6 / (millivolts.max(1) as f64)),
            What::Fan => whole(self.fan() * 255.0),
            What::Turns => whole(self.fan() * 5400.0),
            What::Surface => u8::from(self.load >= BUSY && self.time.rem_euclid(7.0) < 3.0).to_string(),
            What::Throttle => u8::from(self.slow).to_string(),
            What::Stat => self.stat(),
            What::LoadAverage => format!("{:.2} {:.2} {:.2} 1/300 4242", self.load * 4.0, self.load * 4.0, 1.0),
            What::Energy => whole(self.energy_uj.rem_euclid(ENERGY_RANGE as f64)),
            What::Card(card) => self.card(card),
            What::Npu(npu) => self.npu(npu),
        }
    }

    fn gpu(&self, steps: &[u64], max: u64) -> f64 {
        let allowed: Vec<f64> = steps.iter().filter(|step| **step <= max).map(|step| *step as f64).collect();
        let wanted = allowed.last().copied().unwrap_or_default() * if self.slow { 0.5 } else { self.load.max(0.1) };
        // The least step that does the work.
        allowed.iter().copied().find(|step| *step >= wanted * 0.999).or(allowed.last().copied()).unwrap_or_default()
    }

    fn stat(&self) -> String {
        let idle = TICKS * self.time - self.busy_ticks;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "cpu  {} 0 0 {} 0 0 0 0 0 0", whole(self.busy_ticks), whole(idle.max(0.0)));
        text
    }

    fn card(&self, card: &super::boards::Card) -> String {
        let known = |value: f64| (!card.partial).then_some(value);
        let limit = |limit: f64| (limit > 0.0).then_some(limit);
        self.devices(Device {
            name: card.name.into(),
            driver: card.driver.into(),
            temperature_c: known(self.celsius((15.0, 40.0))),
            slowdown_c: limit(card.limits.0),
            shutdown_c: limit(card.limits.1),
            power_w: known(8.0 + 62.0 * self.load),
            load_percent: known(self.load * 100.0),
            memory_free_bytes: known(card.memory_mib as f64 * 1_048_576.0 * (1.0 - 0.5 * self.load)),
            clock_hz: known(card.top_hz * (0.1 + 0.9 * self.load)),
            clock_top_hz: limit(card.top_hz),
            throttled_by: String::new(),
        })
    }

    fn npu(&self, npu: &super::boards::Npu) -> String {
        self.devices(Device {
            name: npu.name.into(),
            driver: npu.driver.into(),
            temperature_c: Some(self.celsius((20.0, 25.0))),
            slowdown_c: Some(npu.limits.0),
            shutdown_c: Some(npu.limits.1),
            power_w: None,
            load_percent: Some(self.load * 100.0),
            memory_free_bytes: None,
            clock_hz: Some(npu.clock_hz),
            clock_top_hz: Some(npu.clock_hz),
            throttled_by: String::new(),
        })
    }

    fn devices(&self, device: Device) -> String {
        let devices = Devices { simulated: self.name.into(), devices: vec![device] };
        serde_json::to_string(&devices).unwrap_or_default()
    }
}

/// The load that nobody sets: a slow wave.
fn wave(time: f64) -> f64 {
    0.35 + 0.25 * (std::f64::consts::TAU * time / WAVE).sin()
}

fn whole(number: f64) -> String {
    format!("{:.0}", number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u32, load: f64, ambient: f64) -> Life {
        let mut life = Life::new("x", (5.0, 15.0));
        (0..seconds).for_each(|_| life.step(1.0, Some(load), Some(ambient)));
        life
    }

    fn number(life: &Life, what: What) -> f64 {
        life.text(what).parse().unwrap()
    }

    #[test]
    fn load_becomes_heat_and_heat_slows_down() {
        let zone = What::Zone { rise: HOTTEST, only_busy: false };
        let (idle, busy) = (after(600, 0.0, 25.0), after(600, 1.0, 25.0));
        assert!((number(&idle, zone) - 47_500.0).abs() < 200.0, "{}", idle.text(zone));
        assert!((number(&busy, zone) - 75_500.0).abs() < 200.0, "{}", busy.text(zone));
        assert_eq!(busy.text(What::Throttle), "0");
        let mut hot = after(600, 1.0, 52.0);
        let seen: Vec<String> = (0..600)
            .map(|_| {
                hot.step(1.0, Some(1.0), Some(52.0));
                hot.text(What::Throttle)
            })
            .collect();
        assert!(seen.contains(&"1".to_owned()) && seen.contains(&"0".to_owned()), "it throttles and recovers");
    }

    #[test]
    fn a_clock_stays_within_what_the_mode_allows_and_is_never_stuck() {
        let gpu = What::Gpu { steps: &[306, 408, 918], max: 408 };
        assert_eq!(after(9, 0.0, 25.0).text(gpu), "306");
        assert_eq!(after(9, 1.0, 25.0).text(gpu), "408");
        assert_eq!(after(9, 1.0, 25.0).text(What::GpuLoad), "1000");
    }
}
