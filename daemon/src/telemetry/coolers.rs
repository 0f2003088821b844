//! Cooling devices: what cools, and what slows the machine down so that it cools.

use std::path::{Path, PathBuf};

use edge_core::Mono;

use super::node::{self, Node};
use super::reading::{Absence, Reading};
use super::sensed::Cooler;
use super::shelf::{Item, Placed, Shelf};

/// States that a device can have; a larger number is nonsense.
const MOST: f64 = 100_000.0;

/// The cooling devices of a machine.
#[derive(Debug)]
pub struct Coolers {
    dir: PathBuf,
    shelf: Shelf<Source>,
}

#[derive(Debug)]
struct Source {
    dir: PathBuf,
    kind: &'static str,
    state: Node,
    max_state: u32,
}

impl Placed for Source {
    fn place(&self) -> &Path {
        &self.dir
    }

    fn renew(&mut self, new: Source) {
        (self.kind, self.max_state) = (new.kind, new.max_state);
    }
}

impl Coolers {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Coolers {
        Coolers { dir: root.join("sys/class/thermal"), shelf: Shelf::default() }
    }

    /// Looks for them.
    pub fn find(&mut self, now: Mono) {
        let dirs = node::entries(&self.dir).into_iter().filter(|dir| node::name(dir).starts_with("cooling_device"));
        let found = dirs.filter_map(|dir| {
            let name = node::text(&dir.join("type"))?;
            let max_state = node::number(&dir.join("max_state")).filter(|most| (0.0..=MOST).contains(most));
            let source = Source {
                kind: kind(&name),
                state: Node::new(dir.join("cur_state")),
                max_state: max_state.map_or(0, whole),
                dir,
            };
            Some((name, source))
        });
        self.shelf.renew(found.collect(), now);
    }

    /// Their states now.
    pub fn read(&mut self, now: Mono) -> Vec<Cooler> {
        let cooler = |item: &mut Item<Source>| {
            let state = if item.is_gone() { Err(Absence::gone()) } else { item.thing.state.within(1.0, (0.0, MOST)) };
            let Source { kind, max_state, .. } = item.thing;
            Cooler { name: item.name.clone(), kind, state: Reading::of(state, now), max_state }
        };
        self.shelf.iter_mut().map(cooler).collect()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and a bound")]
fn whole(number: f64) -> u32 {
    number as u32
}

/// What a cooling device of this type does.
fn kind(name: &str) -> &'static str {
    let begins = |word: &str| name.starts_with(word);
    match name {
        super::zones::SURFACE => "surface",
        _ if name.ends_with("throttle-alert") || begins("cpufreq-") || begins("devfreq-") => "throttle",
        _ if name.to_lowercase().contains("fan") => "fan",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::root;
    use super::*;

    #[test]
    fn the_type_says_what_a_device_does() {
        for (name, expected) in [
            ("gpu-throttle-alert", "throttle"),
            ("cpufreq-cpu4", "throttle"),
            ("devfreq-17000000.gpu", "throttle"),
            ("hot-surface-alert", "surface"),
            ("pwm-fan", "fan"),
            ("Fan", "fan"),
            ("Processor", "other"),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn states_are_read_and_nonsense_is_named() {
        let root = root(&[
            ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0"),
            ("sys/class/thermal/cooling_device0/cur_state", "3"),
            ("sys/class/thermal/cooling_device0/max_state", "28"),
            ("sys/class/thermal/cooling_device10/type", "pwm-fan"),
            ("sys/class/thermal/cooling_device10/cur_state", "-1"),
            ("sys/class/thermal/cooling_device10/max_state", "many"),
        ]);
        let mut coolers = Coolers::new(root.path());
        coolers.find(Mono::default());
        let found = coolers.read(Mono::default());
        assert_eq!((found[0].state.value(), found[0].max_state), (Some(3.0), 28));
        assert!(found[1].state.absence().unwrap().word().ends_with("cur_state: -1 is out of range"));
        assert_eq!(found[1].max_state, 0);
    }
}
