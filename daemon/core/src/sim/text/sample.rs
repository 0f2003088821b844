//! Samples of the machine as text: `sampled power=12.5 throttled=false power_capped=false over_current=0 slept=0 clue=-
//! zones=0:45.5:99:5:104.5,1:-:99:5:-`, each zone as number, temperature, trip, hysteresis and critical.

use super::Fields;
use crate::event::Event;
use crate::governor::{Clue, Sample, ZoneId, ZoneSample};
use crate::policy::Limits;
use crate::units::{Celsius, Kelvin, Watts};

const CLUES: [Clue; 7] = [
    Clue::NpuClock,
    Clue::GpuStuck,
    Clue::GpuCapped,
    Clue::MemoryCapped,
    Clue::GpuShared,
    Clue::CpuShared,
    Clue::CpuClock,
];

pub(super) fn write(sample: &Sample) -> String {
    let zones: Vec<String> = sample.zones.iter().map(zone).collect();
    format!(
        "sampled power={} throttled={} power_capped={} over_current={} slept={} clue={} zones={}",
        option(sample.power.map(Watts::get)),
        sample.throttled,
        sample.power_capped,
        sample.over_current,
        sample.slept.as_nanos(),
        sample.clue.map_or("-", Clue::as_str),
        zones.join(",")
    )
}

fn zone(zone: &ZoneSample) -> String {
    let (trip, hysteresis) = (zone.trip.get(), zone.hysteresis.get());
    let (temp, critical) = (option(zone.temp.map(Celsius::get)), option(zone.critical.map(Celsius::get)));
    format!("{}:{temp}:{trip}:{hysteresis}:{critical}", zone.id.0)
}

fn option(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub(super) fn read(fields: &Fields<'_>) -> Result<Event, String> {
    let zones = fields.word("zones")?.split(',').filter(|word| !word.is_empty()).map(read_zone);
    let zones: Option<Vec<ZoneSample>> = zones.collect();
    let clue = match fields.word("clue")? {
        "-" => None,
        word => Some(CLUES.into_iter().find(|clue| clue.as_str() == word).ok_or_else(|| format!("no clue {word}"))?),
    };
    Ok(Event::Sampled(Box::new(Sample {
        zones: zones.ok_or_else(|| format!("zones of: {}", fields.line))?,
        power: fields.one("power", |word| optional(word, Watts::new))?,
        throttled: fields.number("throttled")?,
        power_capped: fields.number("power_capped")?,
        over_current: fields.number("over_current")?,
        slept: fields.span("slept")?,
        clue,
    })))
}

fn read_zone(word: &str) -> Option<ZoneSample> {
    let parts: Vec<&str> = word.split(':').collect();
    let [id, temp, trip, hysteresis, critical] = parts.as_slice() else { return None };
    Some(ZoneSample {
        id: ZoneId(id.parse().ok()?),
        temp: optional(temp, Celsius::new)?,
        trip: Celsius::new(trip.parse().ok()?)?,
        hysteresis: Kelvin::new(hysteresis.parse().ok()?)?,
        critical: optional(critical, Celsius::new)?,
    })
}

fn optional<T>(word: &str, new: impl Fn(f64) -> Option<T>) -> Option<Option<T>> {
    if word == "-" { Some(None) } else { word.parse().ok().and_then(new).map(Some) }
}

pub(super) fn write_limits(limits: &Limits) -> String {
    format!(
        "margin={} max_power={} slow_factor={}",
        limits.margin.get(),
        option(limits.max_power.map(Watts::get)),
        limits.slow_factor
    )
}

pub(super) fn read_limits(fields: &Fields<'_>) -> Result<Limits, String> {
    Ok(Limits {
        margin: fields.one("margin", |word| word.parse().ok().and_then(Kelvin::new))?,
        max_power: fields.one("max_power", |word| optional(word, Watts::new))?,
        slow_factor: fields.number("slow_factor")?,
    })
}
