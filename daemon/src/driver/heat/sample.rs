//! From what was sensed to what the governor is told: which trip of a thermometer counts, which rails make up the box, what
//! the hardware's own slowing down is. Plain functions of samples; names become numbers here and come back in `words`.

use std::sync::Arc;
use std::time::Duration;

use edge_core::governor::{Clue, Sample, ZoneId, ZoneSample};
use edge_core::units::{Celsius, Kelvin, Watts};
use edge_wire::hardware::Trip;

use crate::telemetry::sensed::{ClockRate, Sensed, Zone};

/// Thermometers that get a number at most; more than any board has.
const ZONES: usize = 64;
/// The rail that feeds all of a module, where there is one.
const WHOLE: &str = "VDD_IN";
/// A zone that only tells where it switches off is kept this far below, kelvin.
const BELOW_CRITICAL: f64 = 5.0;
/// A clock below this share of its most is held down.
const LOW: f64 = 0.9;
/// And below this one it is far down.
const FAR: f64 = 0.65;
/// A processor above this load is busy, percent.
const BUSY: f64 = 90.0;

/// Numbers of thermometers, given when they are first seen and never to another one.
#[derive(Debug, Default)]
pub struct Names(Vec<Arc<str>>);

impl Names {
    /// The number of a name; `None` if there are too many.
    fn id(&mut self, name: &Arc<str>) -> Option<ZoneId> {
        let known = self.0.iter().position(|other| other == name);
        let place = known.or_else(|| {
            (self.0.len() < ZONES).then(|| {
                self.0.push(name.clone());
                self.0.len() - 1
            })
        })?;
        u16::try_from(place).ok().map(ZoneId)
    }

    /// The name of a number.
    pub fn name(&self, id: ZoneId) -> &str {
        self.0.get(usize::from(id.0)).map_or("?", |name| name)
    }
}

/// What the governor is told; `before` is the sample before.
pub fn sample(names: &mut Names, now: &Sensed, before: Option<&Sensed>, slept: Duration) -> Sample {
    Sample {
        slept,
        zones: now.zones.iter().filter_map(|zone| governed(names, zone)).collect(),
        power: power(now).and_then(Watts::new),
        throttled: is_throttled(now),
        power_capped: is_capped(now),
        over_current: before.map_or(0, |before| over_current(now, before)),
        clue: clue(now),
    }
}

/// What the governor is told when no sample comes: nobody answers any more.
pub fn silence(names: &mut Names, last: &Sensed) -> Sample {
    let silent = |zone: ZoneSample| ZoneSample { temp: None, ..zone };
    Sample {
        zones: last.zones.iter().filter_map(|zone| governed(names, zone)).map(silent).collect(),
        ..Sample::default()
    }
}

/// A thermometer with a trip at which the machine slows down, or at least one at which it switches off.
fn governed(names: &mut Names, zone: &Zone) -> Option<ZoneSample> {
    let lowest = |kinds: &[&str]| {
        let of_kind = |trip: &&Trip| kinds.contains(&trip.kind.as_str());
        zone.trips.iter().filter(of_kind).min_by(|a, b| a.temp_c.total_cmp(&b.temp_c))
    };
    let critical = lowest(&["critical"]).and_then(|trip| Celsius::new(trip.temp_c));
    let (trip, hysteresis) = match lowest(&["passive", "hot"]) {
        Some(trip) => (trip.temp_c, trip.hysteresis_c),
        None => (critical?.get() - BELOW_CRITICAL, 0.0),
    };
    Some(ZoneSample {
        id: names.id(&zone.name)?,
        temp: zone.temp_c.value().and_then(Celsius::new),
        trip: Celsius::new(trip)?,
        hysteresis: Kelvin::new(hysteresis).unwrap_or_default(),
        critical,
    })
}

/// What the box takes, watts: by the rail that feeds all of it, else by the sum of its rails, else what the one accelerator
/// tells that has a meter of its own. `None` if any part of it is not known now.
pub fn power(sensed: &Sensed) -> Option<f64> {
    if let Some(whole) = sensed.rails.iter().find(|rail| &*rail.name == WHOLE) {
        return whole.power_w.value().filter(|watts| *watts >= 0.0);
    }
    if !sensed.rails.is_empty() {
        return sensed.rails.iter().map(|rail| rail.power_w.value()).sum::<Option<f64>>().filter(|watts| *watts >= 0.0);
    }
    let mut metered = sensed.accelerators.iter().filter(|one| !one.power_w.is_unsupported());
    metered.next().and_then(|one| one.power_w.value())
}

/// What the power that heats is read from, for people.
pub fn power_source(sensed: &Sensed) -> &str {
    match sensed.rails.iter().any(|rail| &*rail.name == WHOLE) {
        true => WHOLE,
        false if sensed.rails.is_empty() => "accelerator",
        false => "all rails",
    }
}

fn is_throttled(sensed: &Sensed) -> bool {
    let slows = |state: Option<f64>| state.is_some_and(|state| state > 0.0);
    let heat = |words: &str| {
        ["too hot", "light", "medium", "heavy", "severe", "streams off", "overheat"]
            .iter()
            .any(|word| words.contains(word))
    };
    sensed.coolers.iter().any(|cooler| cooler.kind == "throttle" && slows(cooler.state.value()))
        || sensed.accelerators.iter().any(|one| heat(&one.throttled_by))
}

/// A card that runs at the power it was given does so all day (`power cap`); what counts is that somebody else cuts.
fn is_capped(sensed: &Sensed) -> bool {
    let cut = |words: &str| words.contains("power brake") || words.contains("over-current");
    sensed.rails.iter().any(|rail| rail.alarm) || sensed.accelerators.iter().any(|one| cut(&one.throttled_by))
}

fn over_current(now: &Sensed, before: &Sensed) -> u32 {
    let earlier = |name: &str| before.over_current.iter().find(|other| &*other.name == name)?.events.value();
    let new = now.over_current.iter().filter_map(|counter| {
        let (events, before) = (counter.events.value()?, earlier(&counter.name)?);
        Some((events - before).clamp(0.0, 1000.0))
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 1000 for each of a few counters"
    )]
    let sum = new.sum::<f64>() as u32;
    sum
}

fn share(clock: &ClockRate) -> Option<f64> {
    Some(clock.hz.value()? / clock.top_hz.or(clock.max_hz).filter(|top| *top > 0.0)?)
}

/// The likely cause of runs that take longer than planned, as far as the machine tells; the accelerators' first.
fn clue(sensed: &Sensed) -> Option<Clue> {
    let clocks = |name: &'static str| sensed.clocks.iter().filter(move |clock| clock.name.starts_with(name));
    let busy = |kind: &str| {
        let of_kind = |one: &&crate::telemetry::sensed::Accelerator| one.kind == kind;
        sensed.accelerators.iter().filter(of_kind).any(|one| one.load_percent.value().is_some_and(|load| load >= BUSY))
    };
    if clocks("npu").any(|clock| share(clock).is_some_and(|share| share < FAR)) {
        return Some(Clue::NpuClock);
    }
    let at_least =
        |clock: &ClockRate| Some(clock.hz.value()? <= clock.min_hz? * 1.02 && clock.max_hz? > clock.min_hz? * 1.5);
    if busy("gpu") && clocks("gpu").any(|clock| at_least(clock) == Some(true)) {
        return Some(Clue::GpuStuck);
    }
    let capped = |clock: &ClockRate| Some(clock.max_hz? < clock.top_hz? * LOW);
    if clocks("gpu").any(|clock| capped(clock) == Some(true)) {
        return Some(Clue::GpuCapped);
    }
    if sensed.accelerators.iter().any(|one| one.processes.is_some_and(|count| count > 0)) {
        return Some(Clue::GpuShared);
    }
    if clocks("emc").any(|clock| capped(clock) == Some(true)) {
        return Some(Clue::MemoryCapped);
    }
    let cores: Vec<f64> = clocks("cpu").filter_map(share).collect();
    let load = sensed.load.cpu_percent.value().unwrap_or(0.0);
    match cores.iter().copied().fold(0.0, f64::max) {
        fastest if !cores.is_empty() && fastest < FAR && load > 30.0 => Some(Clue::CpuClock),
        _ if load >= BUSY => Some(Clue::CpuShared),
        _ => None,
    }
}
