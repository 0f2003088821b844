//! What an open device tells, and what is wrong in words. Decides what can be a value; knows nothing of time.

use edge_wire::hardware::{Measured, Trip};

use super::super::library::{Library, OpenDevice};
use super::super::status::{Health, Level, Status};
use super::super::{Device, Throttling};
use super::search::Candidates;

/// Temperatures beyond these are none, degrees Celsius.
const POSSIBLE_C: std::ops::RangeInclusive<f64> = -60.0..=200.0;
/// More than any module takes, watts.
const MOST_W: f64 = 500.0;

/// What a reading is taken with.
pub struct Reading<'a> {
    /// What `/sys` says of the driver.
    pub candidates: &'a Candidates,
    /// The library.
    pub library: &'a Library,
}

impl Reading<'_> {
    /// All of it.
    pub fn values(&self, open: &OpenDevice<'_>, no_power: &mut bool) -> Device {
        let mut device = Device::default();
        let mut notes = Vec::new();
        let identity = open.identify();
        match &identity {
            Ok(identity) => {
                device.name.clone_from(&identity.name);
                device.firmware = identity.firmware.to_string();
            }
            Err(status) => notes.push(format!("identify: {}", self.words(status))),
        }
        device.temps_c = match open.temperatures_c() {
            Ok(Some(temps)) => temps.map(|temp| possible(f64::from(temp), "temperature", &POSSIBLE_C)).into(),
            Ok(None) => vec![Measured::absent("not_yet"), Measured::absent("not_yet")],
            Err(status) => vec![self.missing(&status); 2],
        };
        device.clock_hz = match open.clock_hz() {
            // A clock of zero is one that it does not know.
            Ok(0) => Measured::absent("unsupported"),
            Ok(hz) => Measured::of(f64::from(hz)),
            Err(status) => self.missing(&status),
        };
        device.power_w = if *no_power { Measured::absent("unsupported") } else { self.power(open, no_power) };
        match open.is_protected() {
            Ok(true) => {}
            Ok(false) => notes.push("its protection against heat is switched off".into()),
            // There is none to be switched off.
            Err(status) if status.is_unsupported() => {}
            Err(status) => notes.push(format!("its protection against heat: {}", self.words(&status))),
        }
        match identity.ok().and_then(|identity| open.health(identity.architecture)) {
            Some(Ok(health)) => {
                device.throttling = Some(throttling(&health));
                device.over_current = health.over_current;
                device.trips = trips(&health);
            }
            Some(Err(status)) => notes.push(format!("how far it throttles: {}", self.words(&status))),
            None => notes.push(format!("libhailort {} does not tell how far it throttles", self.library.version)),
        }
        device.note = notes.join("; ");
        device
    }

    fn power(&self, open: &OpenDevice<'_>, no_power: &mut bool) -> Measured {
        match open.power_w() {
            Ok(watts) => possible(f64::from(watts), "power", &(0.0..=MOST_W)),
            Err(status) => {
                *no_power = status.is_unsupported();
                self.missing(&status)
            }
        }
    }

    fn missing(&self, status: &Status) -> Measured {
        match status.is_unsupported() {
            true => Measured::absent("unsupported"),
            false => Measured::absent(format!("failed: {}", self.words(status))),
        }
    }

    /// What is wrong, with what helps where that is known.
    pub fn words(&self, status: &Status) -> String {
        if status.is_mismatch() {
            let driver = self.candidates.driver_version().unwrap_or_else(|| "of an unknown version".into());
            return format!(
                "driver {driver} and libhailort {} do not fit: {status}; install the Hailo driver and libhailort of the \
                 same version, and start the machine again",
                self.library.version
            );
        }
        if status.is_file() {
            return format!("{status}; may the user of edged open /dev/hailo*?");
        }
        status.to_string()
    }
}

/// A value within what can be.
fn possible(value: f64, what: &str, range: &std::ops::RangeInclusive<f64>) -> Measured {
    match range.contains(&value) {
        true => Measured::of(value),
        false => Measured::absent(format!("failed: a {what} of {value} cannot be")),
    }
}

/// In the firmware's words. In the red zone it stops the flow of data, whatever its step.
fn throttling(health: &Health) -> Throttling {
    match (health.zone, health.level) {
        (2, _) => Throttling::Overheat,
        (_, 0) => Throttling::Light,
        (_, 1) => Throttling::Medium,
        (_, 2) => Throttling::Heavy,
        (_, 3) => Throttling::Severe,
        _ => Throttling::None,
    }
}

/// The lowest first. A step that begins nowhere is not set.
fn trips(health: &Health) -> Vec<Trip> {
    let trip = |kind: &str, level: &Level| {
        let (at, until) = (f64::from(level.at_c), f64::from(level.until_c));
        let set = at > 0.0 && POSSIBLE_C.contains(&at);
        let hysteresis_c = if (0.0..=at).contains(&until) { at - until } else { 0.0 };
        set.then(|| Trip { kind: kind.into(), temp_c: at, hysteresis_c })
    };
    let mut trips: Vec<Trip> = health.levels.iter().filter_map(|level| trip("passive", level)).collect();
    trips.extend(trip("hot", &health.orange));
    trips.extend(trip("critical", &health.red));
    trips.sort_by(|a, b| a.temp_c.total_cmp(&b.temp_c));
    trips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(zone: u8, level: i8) -> Health {
        let level_at = |at_c| Level { at_c, until_c: at_c - 5.0 };
        let levels = [level_at(95.0), level_at(98.0), Level::default(), level_at(1e9)];
        Health { over_current: false, zone, level, levels, orange: level_at(104.0), red: level_at(120.0) }
    }

    #[test]
    fn steps_and_zones_have_words() {
        for (zone, level, want) in [
            (0, -1, Throttling::None),
            (1, -1, Throttling::None),
            (0, 0, Throttling::Light),
            (1, 1, Throttling::Medium),
            (1, 2, Throttling::Heavy),
            (1, 3, Throttling::Severe),
            (2, 3, Throttling::Overheat),
            (2, -1, Throttling::Overheat),
        ] {
            assert_eq!(throttling(&health(zone, level)), want, "{zone} {level}");
        }
    }

    #[test]
    fn trips_are_those_that_are_set_the_lowest_first() {
        let trips = trips(&health(0, -1));
        let told: Vec<_> = trips.iter().map(|trip| (trip.kind.as_str(), trip.temp_c, trip.hysteresis_c)).collect();
        assert_eq!(
            told,
            [("passive", 95.0, 5.0), ("passive", 98.0, 5.0), ("hot", 104.0, 5.0), ("critical", 120.0, 5.0)]
        );
    }

    #[test]
    fn what_cannot_be_is_no_value() {
        assert_eq!(possible(45.5, "temperature", &POSSIBLE_C).value, Some(45.5));
        for value in [f64::NAN, -300.0, 1e30] {
            assert!(possible(value, "temperature", &POSSIBLE_C).absent.starts_with("failed: a temperature of "));
        }
    }
}
