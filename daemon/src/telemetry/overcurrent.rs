//! Over-current events of a board: counters since the start of the machine, shown as differences from a baseline.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_core::Mono;

use super::node::{self, Node};
use super::reading::{Absence, Reading};
use super::sensed::OverCurrent;
use super::shelf::{Placed, Shelf};

/// The name of the sensor, whatever its number.
const HWMON: &str = "soctherm_oc";
/// Where it is on boards whose class of sensors does not list it.
const DEVICE: &str = "sys/devices/platform/soctherm-oc-event/hwmon";
/// A counter has at most this many events.
const MOST: f64 = 1e15;

/// The counters of a machine.
#[derive(Debug)]
pub struct OverCurrents {
    root: PathBuf,
    shelf: Shelf<Source>,
    baseline: Baseline,
}

#[derive(Debug)]
struct Source(Node);

impl Placed for Source {
    fn place(&self) -> &Path {
        self.0.path()
    }

    fn renew(&mut self, _: Source) {}
}

/// From where events are counted.
#[derive(Debug, Default)]
pub struct Baseline {
    boot_id: Arc<str>,
    first: HashMap<Arc<str>, (f64, f64)>,
}

impl Baseline {
    /// Events of a counter since it was first looked at in this start of the machine. One that goes backwards begins anew:
    /// what it counted before stays counted.
    pub fn since(&mut self, boot_id: &Arc<str>, name: &Arc<str>, count: f64) -> f64 {
        if self.boot_id != *boot_id {
            self.boot_id = boot_id.clone();
            self.first.clear();
        }
        let (last, events) = self.first.entry(name.clone()).or_insert((count, 0.0));
        *events += if count >= *last { count - *last } else { count };
        *last = count;
        *events
    }
}

impl OverCurrents {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> OverCurrents {
        OverCurrents { root: root.to_owned(), shelf: Shelf::default(), baseline: Baseline::default() }
    }

    /// Looks for them.
    pub fn find(&mut self, now: Mono) {
        let by_name = node::hwmons(&self.root).into_iter().find(|(name, _)| name == HWMON).map(|(_, dir)| dir);
        let dir = by_name.or_else(|| node::entries(&self.root.join(DEVICE)).into_iter().next());
        let files = dir.map(|dir| node::entries(&dir)).unwrap_or_default().into_iter();
        let counter = |path: PathBuf| {
            let name = node::name(&path).strip_suffix("_event_cnt").filter(|name| name.starts_with("oc"))?.to_owned();
            Some((name, Source(Node::new(path))))
        };
        let mut found: Vec<(String, Source)> = files.filter_map(counter).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        self.shelf.renew(found, now);
    }

    /// Events since the baseline.
    pub fn read(&mut self, boot_id: &Arc<str>, now: Mono) -> Vec<OverCurrent> {
        let baseline = &mut self.baseline;
        let counter = |item: &mut super::shelf::Item<Source>| {
            let count = if item.is_gone() { Err(Absence::gone()) } else { item.thing.0.within(1.0, (0.0, MOST)) };
            let events = count.map(|count| baseline.since(boot_id, &item.name, count));
            OverCurrent { name: item.name.clone(), events: Reading::of(events, now) }
        };
        self.shelf.iter_mut().map(counter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{root, write};
    use super::*;

    #[test]
    fn events_are_counted_from_the_first_look_in_each_start_of_the_machine() {
        let (boot, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let name: Arc<str> = "oc3".into();
        let mut baseline = Baseline::default();
        let seen = [7.0, 7.0, 9.0, 2.0, 3.0].map(|count| baseline.since(&boot, &name, count));
        assert_eq!(seen, [0.0, 0.0, 2.0, 4.0, 5.0]);
        assert_eq!(baseline.since(&other, &name, 3.0), 0.0);
    }

    #[test]
    fn the_sensor_is_found_by_its_name_wherever_it_moves() {
        let boot: Arc<str> = "a".into();
        let root = root(&[("sys/class/hwmon/hwmon0/name", "other"), ("sys/class/hwmon/hwmon0/oc1_event_cnt", "9")]);
        let appear = |number: u8, count: &str| {
            let dir = format!("sys/class/hwmon/hwmon{number}");
            write(root.path(), &format!("{dir}/name"), "soctherm_oc\n");
            write(root.path(), &format!("{dir}/oc1_event_cnt"), "0");
            write(root.path(), &format!("{dir}/oc3_event_cnt"), count);
            write(root.path(), &format!("{dir}/oc3_throt_en"), "1");
        };
        appear(4, "5");
        let mut counters = OverCurrents::new(root.path());
        let mut seen = || {
            counters.find(Mono::default());
            let found = counters.read(&boot, Mono::default());
            found.iter().map(|counter| (counter.name.to_string(), counter.events.value())).collect::<Vec<_>>()
        };
        assert_eq!(seen(), [("oc1".to_owned(), Some(0.0)), ("oc3".to_owned(), Some(0.0))]);
        std::fs::remove_dir_all(root.path().join("sys/class/hwmon/hwmon4")).unwrap();
        appear(2, "8");
        assert_eq!(seen()[1], ("oc3".to_owned(), Some(3.0)));
    }
}
