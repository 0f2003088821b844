//! Power rails of a board's sensors (INA3221): by label, in watts, volts and amperes, with the current at which a sensor
//! warns.

use std::path::{Path, PathBuf};

use edge_core::Mono;

use super::node::{self, Node};
use super::reading::{Absence, Reading, tidy};
use super::sensed::Rail;
use super::shelf::{Item, Placed, Shelf};

/// Channels of a sensor that are rails; the others are voltages of its own resistors, and their sum.
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=3;
/// The label of a channel that is connected to nothing.
const NOT_CONNECTED: &str = "NC";
const MILLI: f64 = 1e-3;
/// Volts that a sensor can measure, and more.
pub const VOLTS: (f64, f64) = (0.0, 100.0);
/// Amperes; negative where a rail is fed from elsewhere.
pub const AMPERES: (f64, f64) = (-100.0, 100.0);

/// A channel of a sensor that is a rail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Address of the sensor on its bus, such as `1-0040`.
    pub device: String,
    pub label: String,
    hwmon: PathBuf,
    number: u8,
}

impl Channel {
    /// A file of it, such as `in`, `input`.
    pub fn file(&self, kind: &str, what: &str) -> PathBuf {
        self.hwmon.join(format!("{kind}{}_{what}", self.number))
    }
}

/// The rails of the machine whose files are below `root`, by sensor and channel.
pub fn channels(root: &Path) -> Vec<Channel> {
    let mut channels = Vec::new();
    for device in node::entries(&root.join("sys/bus/i2c/drivers/ina3221")) {
        for hwmon in node::entries(&device.join("hwmon")) {
            channels.extend(CHANNELS.filter_map(|number| channel(&device, &hwmon, number)));
        }
    }
    channels
}

fn channel(device: &Path, hwmon: &Path, number: u8) -> Option<Channel> {
    let label = node::text(&hwmon.join(format!("in{number}_label")))?;
    let is_rail = label != NOT_CONNECTED && !label.starts_with("sum of");
    is_rail.then(|| Channel { device: node::name(device), label, hwmon: hwmon.to_owned(), number })
}

/// The rails of a machine.
#[derive(Debug)]
pub struct Rails {
    root: PathBuf,
    shelf: Shelf<Source>,
}

#[derive(Debug)]
struct Source {
    /// The file of its voltage.
    volts: Node,
    amperes: Node,
    alarms: [Node; 2],
    warn_amperes: Option<f64>,
}

impl Placed for Source {
    fn place(&self) -> &Path {
        self.volts.path()
    }

    fn renew(&mut self, new: Source) {
        self.warn_amperes = new.warn_amperes;
    }
}

impl Rails {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Rails {
        Rails { root: root.to_owned(), shelf: Shelf::default() }
    }

    /// Looks for them.
    pub fn find(&mut self, now: Mono) {
        let source = |channel: Channel| {
            let node = |kind: &str, what: &str| Node::new(channel.file(kind, what));
            let warn = node::number(&channel.file("curr", "max")).map(|milli| tidy(milli * MILLI));
            let source = Source {
                volts: node("in", "input"),
                amperes: node("curr", "input"),
                alarms: [node("curr", "max_alarm"), node("curr", "crit_alarm")],
                warn_amperes: warn.filter(|warn| *warn > 0.0 && *warn <= AMPERES.1),
            };
            (channel.label, source)
        };
        self.shelf.renew(channels(&self.root).into_iter().map(source).collect(), now);
    }

    /// What they carry now.
    pub fn read(&mut self, now: Mono) -> Vec<Rail> {
        self.shelf.iter_mut().map(|item| rail(item, now)).collect()
    }
}

fn rail(item: &mut Item<Source>, now: Mono) -> Rail {
    let (volts, amperes) = match item.is_gone() {
        true => (Err(Absence::gone()), Err(Absence::gone())),
        false => (item.thing.volts.within(MILLI, VOLTS), item.thing.amperes.within(MILLI, AMPERES)),
    };
    let power = match (&volts, &amperes) {
        (Ok(volts), Ok(amperes)) => Ok(tidy(volts * amperes)),
        (Err(absence), _) | (_, Err(absence)) => Err(absence.clone()),
    };
    let gone = item.is_gone();
    Rail {
        name: item.name.clone(),
        power_w: Reading::of(power, now),
        volts: Reading::of(volts, now),
        amperes: Reading::of(amperes, now),
        warn_amperes: item.thing.warn_amperes,
        // A sensor without alarms has none on.
        alarm: !gone && item.thing.alarms.iter_mut().any(|alarm| alarm.number().is_ok_and(|on| on > 0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{root, write};
    use super::*;

    #[test]
    fn rails_are_read_by_label_and_what_is_none_is_left_out() {
        let hwmon = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3";
        let root = root(&[("sys/bus/i2c/drivers/ina3221/module/x", "")]);
        let file = |name: &str, text: &str| write(root.path(), &format!("{hwmon}/{name}"), text);
        for (number, label) in [(1, "VDD_IN"), (2, "NC"), (3, "VDD_SOC"), (4, "VDD_X"), (7, "sum of shunt voltages")] {
            file(&format!("in{number}_label"), label);
        }
        file("in1_input", "4984");
        file("curr1_input", "1856");
        file("curr1_max", "7784");
        file("curr1_crit_alarm", "1");
        std::fs::create_dir(root.path().join(hwmon).join("in3_input")).unwrap();
        file("curr3_input", "100");
        let mut rails = Rails::new(root.path());
        rails.find(Mono::default());
        let found = rails.read(Mono::default());
        assert_eq!(found.iter().map(|rail| &*rail.name).collect::<Vec<_>>(), ["VDD_IN", "VDD_SOC"]);
        let watts = found[0].power_w.value().unwrap();
        assert!((watts - 9.250_304).abs() < 1e-9, "{watts}");
        assert_eq!((found[0].warn_amperes, found[0].alarm), (Some(7.784), true));
        let why = found[1].power_w.absence().unwrap().word();
        assert!(why.starts_with("failed: ") && why.ends_with("in3_input: Is a directory"), "{why}");
        assert_eq!((found[1].amperes.value(), found[1].alarm), (Some(0.1), false));
    }

    #[test]
    fn a_sensor_that_vanishes_is_gone_and_found_again_under_another_number() {
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let sensor = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon";
        let root = root(&[]);
        let appear = |number: u8| {
            for (name, text) in [("in1_label", "VDD_IN"), ("in1_input", "5000"), ("curr1_input", "2000")] {
                write(root.path(), &format!("{sensor}/hwmon{number}/{name}"), text);
            }
        };
        let mut rails = Rails::new(root.path());
        let mut seen = |seconds: u64| {
            rails.find(at(seconds));
            rails.read(at(seconds)).iter().map(|rail| rail.power_w.clone()).collect::<Vec<_>>()
        };
        assert_eq!(seen(0), []);
        appear(3);
        assert_eq!(seen(10)[0].value(), Some(10.0));
        std::fs::remove_dir_all(root.path().join(sensor)).unwrap();
        assert_eq!(seen(20)[0].absence().unwrap().word(), "failed: gone");
        appear(5);
        assert_eq!(seen(30)[0].value(), Some(10.0));
        std::fs::remove_dir_all(root.path().join(sensor)).unwrap();
        assert_eq!((seen(40).len(), seen(99).len(), seen(100).len()), (1, 1, 0));
    }
}
