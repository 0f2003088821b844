//! Fans: how far each is driven, and how fast it turns.

use std::path::{Path, PathBuf};

use edge_core::Mono;

use super::node::{self, Node};
use super::reading::{Absence, Reading};
use super::sensed::Fan;
use super::shelf::{Item, Placed, Shelf};

/// A Jetson tells the turns of its fan by a sensor of its own.
const TACHOMETER: &str = "pwm_tach";
/// Fans of one sensor; more are left out.
const MOST: u8 = 8;
/// A fan is driven by a share of 255.
const PERCENT: f64 = 100.0 / 255.0;
/// Turns per minute.
pub const RPM: (f64, f64) = (0.0, 100_000.0);

/// The fans of a machine.
#[derive(Debug)]
pub struct Fans {
    root: PathBuf,
    shelf: Shelf<Source>,
}

#[derive(Debug)]
struct Source {
    place: PathBuf,
    driven: Node,
    turns: Option<Node>,
}

impl Placed for Source {
    fn place(&self) -> &Path {
        &self.place
    }

    fn renew(&mut self, new: Source) {
        // The other sensor may have come later, or moved.
        let same = self.turns.as_ref().map(Node::path) == new.turns.as_ref().map(Node::path);
        if !same {
            self.turns = new.turns;
        }
    }
}

impl Fans {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Fans {
        Fans { root: root.to_owned(), shelf: Shelf::default() }
    }

    /// Looks for them.
    pub fn find(&mut self, now: Mono) {
        let hwmons = node::hwmons(&self.root);
        let tachometer = hwmons.iter().find(|(name, _)| name == TACHOMETER).map(|(_, dir)| dir.join("rpm"));
        let mut found = Vec::new();
        for (name, dir) in &hwmons {
            let fans = (1..=MOST).filter_map(|number| {
                let (driven, turns) = (dir.join(format!("pwm{number}")), dir.join(format!("fan{number}_input")));
                let own = turns.exists().then_some(turns);
                if own.is_none() && !driven.exists() {
                    return None;
                }
                let turns = own.or_else(|| tachometer.clone().filter(|_| name == "pwmfan"));
                let source = Source {
                    place: dir.join(number.to_string()),
                    driven: Node::new(driven),
                    turns: turns.map(Node::new),
                };
                Some((name.clone(), source))
            });
            found.extend(fans);
        }
        self.shelf.renew(found, now);
    }

    /// What they do now.
    pub fn read(&mut self, now: Mono) -> Vec<Fan> {
        let fan = |item: &mut Item<Source>| {
            let gone = item.is_gone();
            let percent = if gone { Err(Absence::gone()) } else { item.thing.driven.within(PERCENT, (0.0, 100.0)) };
            // One of 255 steps is no more exact than that.
            let percent = percent.map(|percent| (percent * 10.0).round() / 10.0);
            let rpm = match &mut item.thing.turns {
                _ if gone => Err(Absence::gone()),
                Some(turns) => turns.within(1.0, RPM),
                None => Err(Absence::Unsupported),
            };
            Fan { name: item.name.clone(), percent: Reading::of(percent, now), rpm: Reading::of(rpm, now) }
        };
        self.shelf.iter_mut().map(fan).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::root;
    use super::*;

    #[test]
    fn a_fan_is_told_by_one_sensor_or_by_two() {
        let root = root(&[
            ("sys/class/hwmon/hwmon0/name", "pwm_tach"),
            ("sys/class/hwmon/hwmon0/rpm", "2450"),
            ("sys/class/hwmon/hwmon1/name", "pwmfan"),
            ("sys/class/hwmon/hwmon1/pwm1", "255"),
            ("sys/class/hwmon/hwmon2/name", "nct6775"),
            ("sys/class/hwmon/hwmon2/fan1_input", "900"),
            ("sys/class/hwmon/hwmon2/fan2_input", "-1"),
            ("sys/class/hwmon/hwmon2/pwm2", "256"),
            ("sys/class/hwmon/hwmon3/name", "ina3221"),
        ]);
        let mut fans = Fans::new(root.path());
        fans.find(Mono::default());
        let found = fans.read(Mono::default());
        let seen: Vec<_> = found.iter().map(|fan| (&*fan.name, fan.percent.value(), fan.rpm.value())).collect();
        let expected =
            [("pwmfan", Some(100.0), Some(2450.0)), ("nct6775", None, Some(900.0)), ("nct6775#2", None, None)];
        assert_eq!(seen, expected);
        assert!(found[1].percent.is_unsupported());
        assert!(found[2].percent.absence().unwrap().word().ends_with("pwm2: 256 is out of range"));
    }
}
