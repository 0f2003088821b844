//! Asks every probe, and puts what they say together. It knows which there are and how often things are looked for, and
//! nothing of what they read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;

use super::accelerators::{self, Told};
use super::clocks::Clocks;
use super::coolers::Coolers;
use super::fan::Fans;
use super::node::Node;
use super::overcurrent::OverCurrents;
use super::powermode::Modes;
use super::rails::Rails;
use super::reading::Reading;
use super::sensed::{Accelerator, Sensed};
use super::system::Machine;
use super::zones::Zones;
use super::{disk, hailo, platform};

/// How often things are looked for: some appear late when a machine starts.
const LOOK: Duration = Duration::from_secs(10);

/// Somebody who tells more of accelerators than files do, given the time. It must not wait for a device.
pub type Source = Box<dyn FnMut(Mono) -> Told + Send>;

/// Takes samples of one machine.
pub struct Sampler {
    root: PathBuf,
    state_dir: PathBuf,
    simulated: Arc<str>,
    looked: Option<Mono>,
    model: Arc<str>,
    software: Arc<str>,
    boot_id: Node,
    zones: Zones,
    coolers: Coolers,
    clocks: Clocks,
    rails: Rails,
    over_current: OverCurrents,
    fans: Fans,
    modes: Modes,
    machine: Machine,
    npus: Vec<Accelerator>,
    sources: Vec<Source>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Sampler {
    /// A sampler that has taken nothing yet, of the machine whose `/sys`, `/proc`, `/etc` and `/var` are below `root`;
    /// `state_dir` is where the daemon writes.
    pub fn new(root: &Path, state_dir: &Path) -> Sampler {
        Sampler {
            root: root.to_owned(),
            state_dir: state_dir.to_owned(),
            simulated: Arc::default(),
            looked: None,
            model: platform::machine(root).into(),
            software: platform::software(root).into(),
            boot_id: Node::new(root.join("proc/sys/kernel/random/boot_id")),
            zones: Zones::new(root),
            coolers: Coolers::new(root),
            clocks: Clocks::new(root),
            rails: Rails::new(root),
            over_current: OverCurrents::new(root),
            fans: Fans::new(root),
            modes: Modes::new(root),
            machine: Machine::new(root),
            npus: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Says in each sample that the machine is simulated, and which.
    pub fn simulated(mut self, name: &str) -> Sampler {
        self.simulated = name.into();
        self
    }

    /// Asks this one, too.
    pub fn with(mut self, source: Source) -> Sampler {
        self.sources.push(source);
        self
    }

    /// All that there is, now.
    pub fn read(&mut self, now: Mono) -> Sensed {
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK) {
            self.look(now);
        }
        let boot_id: Arc<str> = self.boot_id.text().unwrap_or_default().into();
        let coolers = self.coolers.read(now);
        let (mut zones, mut clocks) = (self.zones.read(now), self.clocks.read(now));
        let mut files = accelerators::integrated(self.clocks.loads(now), &coolers);
        files.extend(self.npus.iter().cloned());
        let told = self.sources.iter_mut().map(|source| source(now)).fold(Told::default(), joined);
        let accelerators = accelerators::merge(&mut zones, &mut clocks, files, told);
        Sensed {
            at: now,
            simulated: self.simulated.clone(),
            model: self.model.clone(),
            software: self.software.clone(),
            over_current: self.over_current.read(&boot_id, now),
            boot_id,
            zones,
            coolers,
            clocks,
            rails: self.rails.read(now),
            fans: self.fans.read(now),
            accelerators,
            power_modes: self.modes.read(),
            load: self.machine.read(now),
            state_free: Reading::of(disk::free_bytes(&self.state_dir), now),
        }
    }

    fn look(&mut self, now: Mono) {
        self.looked = Some(now);
        self.zones.find(now);
        self.coolers.find(now);
        self.clocks.find(now);
        self.rails.find(now);
        self.over_current.find(now);
        self.fans.find(now);
        self.modes.find();
        self.npus = hailo::find(&self.root);
    }
}

fn joined(mut all: Told, more: Told) -> Told {
    all.accelerators.extend(more.accelerators);
    all.zones.extend(more.zones);
    all.clocks.extend(more.clocks);
    all
}

#[cfg(test)]
mod tests {
    use super::super::sensed::{hardware, readings};
    use super::super::testing::{root, write};
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut sampler = Sampler::new(Path::new("/"), Path::new("/"));
        let first = sampler.read(at(0));
        assert!(readings(&first).iter().any(|reading| reading.name == "state_free_bytes" && reading.value.is_some()));
        assert!(!first.boot_id.is_empty() && !first.model.is_empty());
        assert!(sampler.read(at(1)).load.cpu_percent.value().is_some());
        assert_eq!(hardware(&first).simulated, "");
    }

    #[test]
    fn what_appears_late_is_found_and_what_vanishes_is_gone_for_a_minute() {
        let root = root(&[]);
        let gpu = "sys/class/devfreq/17000000.gpu";
        let mut sampler = Sampler::new(root.path(), root.path());
        let mut clock = |seconds: u64| {
            let sensed = sampler.read(at(seconds));
            sensed.clocks.first().map(|clock| clock.hz.measured())
        };
        assert_eq!(clock(0), None);
        write(root.path(), &format!("{gpu}/cur_freq"), "612000000");
        assert_eq!(clock(9), None, "not looked for yet");
        assert_eq!(clock(10).unwrap().value, Some(612e6));
        std::fs::remove_dir_all(root.path().join(gpu)).unwrap();
        assert_eq!(clock(11).unwrap().absent, "unsupported");
        assert_eq!(clock(20).unwrap().absent, "failed: gone");
        write(root.path(), &format!("{gpu}/cur_freq"), "306000000");
        assert_eq!(clock(30).unwrap().value, Some(306e6));
        std::fs::remove_dir_all(root.path().join(gpu)).unwrap();
        assert_eq!(clock(40).unwrap().absent, "failed: gone");
        assert_eq!(clock(100), None);
    }

    #[test]
    fn others_may_tell_of_accelerators() {
        let root = root(&[("sys/class/hailo_chardev/hailo0/device_id", "1e60:2864")]);
        let mut sampler = Sampler::new(root.path(), root.path());
        assert_eq!(sampler.read(at(0)).accelerators[0].told_by, "sysfs");
        let told =
            Told { accelerators: vec![Accelerator::named("npu", "Hailo-8L", "4", "libhailort")], ..Told::default() };
        let mut sampler = Sampler::new(root.path(), root.path()).with(Box::new(move |_| told.clone())).simulated("x");
        let sensed = sampler.read(at(0));
        assert_eq!((sensed.accelerators.len(), &*sensed.accelerators[0].name), (1, "Hailo-8L"));
        assert_eq!(hardware(&sensed).simulated, "x");
    }
}
