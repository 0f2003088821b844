//! Thermal zones: by their type, never by their number; with their trip points. A zone whose part of the chip has no power
//! answers EAGAIN, or EINVAL, or nothing, or -256000: it is asleep, not broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_core::Mono;
use edge_wire::hardware::Trip;

use super::node::{self, Fault, Node};
use super::reading::{Absence, Reading, tidy};
use super::sensed::Zone;
use super::shelf::{Placed, Shelf};

/// The drivers' word for "no value", millidegrees.
const NO_VALUE: f64 = -256_000.0;
/// Degrees Celsius that a thermometer of a machine can show.
pub const PLAUSIBLE: (f64, f64) = (-60.0, 200.0);
/// A cooling device that only says that the surface is hot.
pub const SURFACE: &str = "hot-surface-alert";
/// Trip points, and bindings to cooling devices, of one zone; more are left out.
const MOST: u32 = 32;
const MILLI: f64 = 1e-3;

/// The zones of a machine.
#[derive(Debug)]
pub struct Zones {
    dir: PathBuf,
    shelf: Shelf<Source>,
}

#[derive(Debug)]
struct Source {
    dir: PathBuf,
    temp: Node,
    trips: Arc<[Trip]>,
}

impl Placed for Source {
    fn place(&self) -> &Path {
        &self.dir
    }

    fn renew(&mut self, new: Source) {
        if self.trips != new.trips {
            self.trips = new.trips;
        }
    }
}

impl Zones {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Zones {
        Zones { dir: root.join("sys/class/thermal"), shelf: Shelf::default() }
    }

    /// Looks for zones and their trip points.
    pub fn find(&mut self, now: Mono) {
        let dirs = node::entries(&self.dir).into_iter().filter(|dir| node::name(dir).starts_with("thermal_zone"));
        let found = dirs.filter_map(|dir| {
            let name = zone_name(&node::text(&dir.join("type"))?);
            (!name.is_empty()).then(|| (name, Source { temp: Node::new(dir.join("temp")), trips: trips(&dir), dir }))
        });
        self.shelf.renew(found.collect(), now);
    }

    /// Their temperatures now.
    pub fn read(&mut self, now: Mono) -> Vec<Zone> {
        let zone = |item: &mut super::shelf::Item<Source>| Zone {
            name: item.name.clone(),
            temp_c: Reading::of(if item.is_gone() { Err(Absence::gone()) } else { celsius(&mut item.thing.temp) }, now),
            trips: item.thing.trips.clone(),
        };
        self.shelf.iter_mut().map(zone).collect()
    }
}

/// The name of a zone by its type: lower case, without the suffix.
pub fn zone_name(kind: &str) -> String {
    let name = kind.trim().to_lowercase();
    let stem = name.strip_suffix("-thermal").or_else(|| name.strip_suffix("-therm")).unwrap_or(&name);
    stem.to_owned()
}

fn celsius(temp: &mut Node) -> Result<f64, Absence> {
    let milli = match temp.text() {
        Err(Fault::Missing | Fault::Asleep | Fault::Disabled) => return Err(Absence::NotYet),
        Err(fault) => return Err(temp.absence(fault)),
        Ok(text) => text.parse::<f64>().map_err(|_| text.to_owned()),
    };
    let why = match milli {
        Ok(NO_VALUE) => return Err(Absence::NotYet),
        Ok(milli) if (PLAUSIBLE.0..=PLAUSIBLE.1).contains(&(milli * MILLI)) => return Ok(tidy(milli * MILLI)),
        Ok(milli) => format!("{milli} is out of range"),
        Err(text) => format!("{text:?} is no number"),
    };
    Err(Absence::Failed(format!("{}: {why}", temp.path().display())))
}

/// The trip points of a zone, the lowest first. One at 0 degrees or below was never set.
fn trips(dir: &Path) -> Arc<[Trip]> {
    let bindings = bindings(dir);
    let trip = |number: u32| {
        let file = |what: &str| dir.join(format!("trip_point_{number}_{what}"));
        let kind = node::text(&file("type"))?;
        let temp_c = tidy(node::number(&file("temp"))? * MILLI);
        let hysteresis_c = tidy(node::number(&file("hyst")).unwrap_or(0.0) * MILLI);
        let of_this: Vec<&str> =
            bindings.iter().filter(|(trip, _)| *trip == number).map(|(_, cooler)| cooler.as_str()).collect();
        let kind = kind_of(&kind, &of_this);
        (temp_c > 0.0 && temp_c <= PLAUSIBLE.1).then(|| Trip {
            kind,
            temp_c,
            hysteresis_c: hysteresis_c.clamp(0.0, temp_c),
        })
    };
    let mut trips: Vec<Trip> = (0..MOST).filter_map(trip).collect();
    trips.sort_by(|a, b| a.temp_c.total_cmp(&b.temp_c));
    trips.into()
}

/// The kind of a trip point: one that slows nothing down and only warns of a hot surface is called so.
fn kind_of(kind: &str, coolers: &[&str]) -> String {
    let warns_only = kind == "passive" && !coolers.is_empty() && coolers.iter().all(|cooler| *cooler == SURFACE);
    if warns_only { "surface".into() } else { kind.to_lowercase() }
}

/// Which trip points of a zone are bound to which cooling devices.
fn bindings(dir: &Path) -> Vec<(u32, String)> {
    let binding = |number: u32| {
        let trip: u32 = node::text(&dir.join(format!("cdev{number}_trip_point")))?.parse().ok()?;
        Some((trip, node::text(&dir.join(format!("cdev{number}")).join("type"))?))
    };
    (0..MOST).filter_map(binding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{link, root, write};
    use super::*;

    fn zones(root: &Path) -> Vec<Zone> {
        let mut zones = Zones::new(root);
        zones.find(Mono::default());
        zones.read(Mono::default())
    }

    #[test]
    fn names_are_lower_case_without_the_suffix() {
        for (kind, name) in [
            ("cpu-thermal\n", "cpu"),
            ("CPU-therm", "cpu"),
            ("Tboard_tegra", "tboard_tegra"),
            ("x86_pkg_temp", "x86_pkg_temp"),
            ("SOC0-thermal", "soc0"),
        ] {
            assert_eq!(zone_name(kind), name);
        }
    }

    #[test]
    fn a_zone_that_sleeps_or_speaks_nonsense_has_no_value() {
        for (text, expected) in [
            (Some("45500\n"), Ok(45.5)),
            (Some("-256000\n"), Err("not_yet")),
            (Some(""), Err("not_yet")),
            (None, Err("not_yet")),
            (Some("-40000"), Ok(-40.0)),
            (Some("-61000"), Err("temp: -61000 is out of range")),
            (Some("201000"), Err("temp: 201000 is out of range")),
            (Some("1e30"), Err("is out of range")),
            (Some("warm"), Err("temp: \"warm\" is no number")),
            (Some("nan"), Err("is out of range")),
        ] {
            let root = root(&[("sys/class/thermal/thermal_zone4/type", "tj-thermal")]);
            if let Some(text) = text {
                write(root.path(), "sys/class/thermal/thermal_zone4/temp", text);
            }
            let found = zones(root.path());
            assert_eq!(&*found[0].name, "tj");
            match expected {
                Ok(celsius) => assert_eq!(found[0].temp_c.value(), Some(celsius), "{text:?}"),
                Err(why) => {
                    let word = found[0].temp_c.absence().unwrap().word();
                    assert!(word.ends_with(why), "{text:?}: {word}");
                }
            }
        }
    }

    #[test]
    fn a_passive_trip_that_only_warns_of_a_hot_surface_is_told_from_one_that_throttles() {
        let zone = "sys/class/thermal/thermal_zone0";
        let root = root(&[
            (&format!("{zone}/type"), "cpu-thermal"),
            (&format!("{zone}/temp"), "50000"),
            (&format!("{zone}/trip_point_0_type"), "passive"),
            (&format!("{zone}/trip_point_0_temp"), "99000"),
            (&format!("{zone}/trip_point_0_hyst"), "0"),
            (&format!("{zone}/trip_point_1_type"), "critical"),
            (&format!("{zone}/trip_point_1_temp"), "104500"),
            (&format!("{zone}/trip_point_2_type"), "passive"),
            (&format!("{zone}/trip_point_2_temp"), "70000"),
            (&format!("{zone}/trip_point_2_hyst"), "8000"),
            (&format!("{zone}/trip_point_3_type"), "active"),
            (&format!("{zone}/trip_point_3_temp"), "0"),
            (&format!("{zone}/cdev0_trip_point"), "0"),
            (&format!("{zone}/cdev1_trip_point"), "2"),
            (&format!("{zone}/cdev2_trip_point"), "-1"),
            ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0"),
            ("sys/class/thermal/cooling_device1/type", "hot-surface-alert"),
        ]);
        link(root.path(), &format!("{zone}/cdev0"), "../cooling_device0");
        link(root.path(), &format!("{zone}/cdev1"), "../cooling_device1");
        let found = zones(root.path());
        let trips: Vec<_> = found[0].trips.iter().map(|t| (t.kind.as_str(), t.temp_c, t.hysteresis_c)).collect();
        assert_eq!(trips, [("surface", 70.0, 8.0), ("passive", 99.0, 0.0), ("critical", 104.5, 0.0)]);
    }

    #[test]
    fn the_kind_of_a_trip_follows_what_it_is_bound_to() {
        assert_eq!(kind_of("passive", &[]), "passive");
        assert_eq!(kind_of("passive", &[SURFACE]), "surface");
        assert_eq!(kind_of("passive", &[SURFACE, "cpufreq-cpu0"]), "passive");
        assert_eq!(kind_of("critical", &[SURFACE]), "critical");
    }
}
