//! Clocks: of the processors by frequency policy, of the graphics processor by devfreq, of the memory by the board's own
//! clock tree. What each may do now, and what the hardware can.

use std::path::{Path, PathBuf};

use edge_core::Mono;

use super::node::{self, Node};
use super::reading::{Absence, Reading};
use super::sensed::ClockRate;
use super::shelf::{Item, Placed, Shelf};

/// Hertz; nothing runs faster.
pub const PLAUSIBLE: (f64, f64) = (0.0, 1e11);
const KILO: f64 = 1e3;
/// Load is told in thousandths; percent is a tenth of it.
const PER_MILLE: f64 = 0.1;
/// Words in the name of a devfreq node, or of its device, that say that it is a graphics processor.
const GPU_WORDS: [&str; 7] = ["gpu", "ga10b", "gv11b", "gp10b", "gm20b", "gb10b", "gpc"];
/// The memory's clock, readable for root alone.
const EMC: &str = "sys/kernel/debug/bpmp/debug/clk/emc";
/// What a power mode lets the memory's clock go up to: of newer boards' software, and of older.
const EMC_CAPS: [&str; 2] = ["sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap"];
/// Where a board's software without a devfreq class has its graphics processor.
const GPU_DIRS: [&str; 4] = [
    "sys/devices/platform/bus@0/17000000.gpu",
    "sys/devices/platform/17000000.gpu",
    "sys/devices/platform/gpu.0",
    "sys/devices/17000000.ga10b",
];

/// The clocks of a machine, and the load of its integrated graphics processor.
#[derive(Debug)]
pub struct Clocks {
    root: PathBuf,
    shelf: Shelf<Source>,
}

#[derive(Debug)]
struct Source {
    place: PathBuf,
    /// The first that there is.
    rates: Vec<Node>,
    unit: f64,
    limits: [Option<f64>; 3],
    load: Option<Node>,
}

impl Placed for Source {
    fn place(&self) -> &Path {
        &self.place
    }

    fn renew(&mut self, new: Source) {
        self.limits = new.limits;
        self.load = self.load.take().or(new.load);
    }
}

impl Clocks {
    /// Those of the machine whose files are below `root`.
    pub fn new(root: &Path) -> Clocks {
        Clocks { root: root.to_owned(), shelf: Shelf::default() }
    }

    /// Looks for clocks and what they may do.
    pub fn find(&mut self, now: Mono) {
        let mut found = processors(&self.root);
        found.extend(graphics(&self.root));
        found.extend(memory(&self.root));
        self.shelf.renew(found, now);
    }

    /// What they run at.
    pub fn read(&mut self, now: Mono) -> Vec<ClockRate> {
        let clock = |item: &mut Item<Source>| {
            let [min_hz, max_hz, top_hz] = item.thing.limits;
            let hz = if item.is_gone() { Err(Absence::gone()) } else { rate(&mut item.thing) };
            ClockRate { name: item.name.clone(), hz: Reading::of(hz, now), min_hz, max_hz, top_hz }
        };
        self.shelf.iter_mut().map(clock).collect()
    }

    /// Load of each graphics processor that has a clock here: its clock's name, the name of the node, percent.
    pub fn loads(&mut self, now: Mono) -> Vec<(String, String, Reading<f64>)> {
        let graphics = self.shelf.iter_mut().filter(|item| item.name.starts_with("gpu"));
        let load = |item: &mut Item<Source>| {
            let gone = item.is_gone();
            let read = match &mut item.thing.load {
                _ if gone => Err(Absence::gone()),
                Some(load) => load.within(PER_MILLE, (0.0, 100.0)),
                None => Err(Absence::Unsupported),
            };
            (item.name.to_string(), node::name(&item.thing.place), Reading::of(read, now))
        };
        graphics.map(load).collect()
    }
}

fn rate(source: &mut Source) -> Result<f64, Absence> {
    let mut last = Absence::Unsupported;
    for node in &mut source.rates {
        match node.within(source.unit, PLAUSIBLE) {
            Ok(hz) => return Ok(hz),
            Err(Absence::Unsupported) => {}
            Err(absence) => last = absence,
        }
    }
    Err(last)
}

fn limit(path: &Path, unit: f64) -> Option<f64> {
    node::number(path).map(|number| number * unit).filter(|hz| *hz > 0.0 && *hz <= PLAUSIBLE.1)
}

/// `cpu0` for the policy of the processors from 0 on. What a processor really runs at is told to root alone, on some
/// machines; the other file may show what was asked for.
fn processors(root: &Path) -> Vec<(String, Source)> {
    let dirs = node::entries(&root.join("sys/devices/system/cpu/cpufreq"));
    let policy = |dir: PathBuf| {
        let number: u32 = node::name(&dir).strip_prefix("policy")?.parse().ok()?;
        let source = Source {
            rates: ["cpuinfo_cur_freq", "scaling_cur_freq"].map(|file| Node::new(dir.join(file))).into(),
            unit: KILO,
            limits: ["scaling_min_freq", "scaling_max_freq", "cpuinfo_max_freq"]
                .map(|file| limit(&dir.join(file), KILO)),
            load: None,
            place: dir,
        };
        Some((format!("cpu{number}"), source))
    };
    dirs.into_iter().filter_map(policy).collect()
}

fn graphics(root: &Path) -> Vec<(String, Source)> {
    let nodes = node::entries(&root.join("sys/class/devfreq")).into_iter();
    let mut dirs: Vec<(PathBuf, PathBuf)> =
        nodes.filter(|dir| is_gpu(dir)).map(|dir| (dir.join("device"), dir)).collect();
    if dirs.is_empty() {
        let below = |device: &str| {
            let device = root.join(device);
            let node = node::entries(&device.join("devfreq")).into_iter().next()?;
            Some((device, node))
        };
        dirs.extend(GPU_DIRS.iter().find_map(|device| below(device)));
    }
    let clock = |(device, dir): (PathBuf, PathBuf)| {
        let name = if node::name(&dir).contains("nvd") { "gpu-nvd" } else { "gpu" };
        let [min, max] = ["min_freq", "max_freq"].map(|file| limit(&dir.join(file), 1.0));
        let steps = node::text(&dir.join("available_frequencies")).unwrap_or_default();
        let steps = steps.split_whitespace().filter_map(|step| step.parse::<f64>().ok());
        let top = steps.filter(|hz| *hz > 0.0 && *hz <= PLAUSIBLE.1).max_by(f64::total_cmp).or(max);
        let load = [device.join("load"), dir.join("load")].into_iter().find(|path| path.exists());
        let source = Source {
            rates: vec![Node::new(dir.join("cur_freq"))],
            unit: 1.0,
            limits: [min, max, top],
            load: load.map(Node::new),
            place: dir,
        };
        (name.to_owned(), source)
    };
    dirs.into_iter().map(clock).collect()
}

/// Whether a devfreq node is that of a graphics processor, by its own name or by that in the device tree.
fn is_gpu(dir: &Path) -> bool {
    let says = |name: &str| GPU_WORDS.iter().any(|word| name.contains(word));
    let name = node::name(dir);
    says(&name) || name.contains("gpu-nvd") || node::text(&dir.join("device/of_node/name")).is_some_and(|n| says(&n))
}

fn memory(root: &Path) -> Option<(String, Source)> {
    let dir = root.join(EMC);
    let cap = EMC_CAPS.iter().find_map(|path| limit(&root.join(path), 1.0));
    let rate = Node::new(dir.join("rate"));
    if cap.is_none() && !rate.exists() {
        return None;
    }
    let [min, max] = ["min_rate", "max_rate"].map(|file| limit(&dir.join(file), 1.0));
    let most = [cap, max].into_iter().flatten().min_by(f64::total_cmp);
    Some(("emc".into(), Source { rates: vec![rate], unit: 1.0, limits: [min, most, max], load: None, place: dir }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{link, root, write};
    use super::*;

    fn found(root: &Path) -> Clocks {
        let mut clocks = Clocks::new(root);
        clocks.find(Mono::default());
        clocks
    }

    #[test]
    fn the_real_clock_of_a_processor_is_preferred_to_the_request() {
        let root = root(&[
            ("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_cur_freq", "729600"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1984000"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq", "115200"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1510400"),
            ("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "1984000"),
            ("sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "1984000"),
            ("sys/devices/system/cpu/cpufreq/boost", "1"),
        ]);
        let clocks = found(root.path()).read(Mono::default());
        let seen: Vec<_> = clocks.iter().map(|clock| (&*clock.name, clock.hz.value())).collect();
        assert_eq!(seen, [("cpu0", Some(729.6e6)), ("cpu4", Some(1984e6))]);
        let limits = (clocks[0].min_hz, clocks[0].max_hz, clocks[0].top_hz);
        assert_eq!(limits, (Some(115.2e6), Some(1510.4e6), Some(1984e6)));
        assert_eq!(clocks[1].max_hz, None);
    }

    #[test]
    fn the_graphics_processor_is_found_by_each_of_its_names() {
        for (node, device, name) in [
            ("17000000.gpu", "17000000.gpu", "gpu"),
            ("17000000.ga10b", "17000000.ga10b", "gpu"),
            ("57000000.gpu", "57000000.gpu", "gpu"),
            ("gpu-gpc-0", "thor", "gpu"),
            ("gpu-nvd-0", "thor", "gpu-nvd"),
        ] {
            let root = root(&[(&format!("sys/devices/{device}/load"), "873")]);
            let dir = format!("sys/class/devfreq/{node}");
            write(root.path(), &format!("{dir}/cur_freq"), "306000000");
            write(root.path(), &format!("{dir}/max_freq"), "408000000");
            write(root.path(), &format!("{dir}/available_frequencies"), "306000000 408000000 918000000");
            link(root.path(), &format!("{dir}/device"), &format!("../../../devices/{device}"));
            let mut clocks = found(root.path());
            let clock = clocks.read(Mono::default()).remove(0);
            assert_eq!((&*clock.name, clock.hz.value(), clock.top_hz), (name, Some(306e6), Some(918e6)), "{node}");
            assert_eq!(clock.max_hz, Some(408e6));
            let load = clocks.loads(Mono::default()).remove(0).2.value().unwrap();
            assert!((load - 87.3).abs() < 1e-9, "{load}");
        }
        let elsewhere = root(&[
            ("sys/devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu/cur_freq", "306000000"),
            ("sys/devices/platform/bus@0/17000000.gpu/load", "0"),
        ]);
        assert_eq!(found(elsewhere.path()).loads(Mono::default())[0].2.value(), Some(0.0));
        let none = root(&[("sys/class/devfreq/13e00000.dma/cur_freq", "1")]);
        assert!(found(none.path()).read(Mono::default()).is_empty());
    }

    #[test]
    fn the_clock_of_the_memory_is_capped_by_the_power_mode() {
        let root = root(&[
            ("sys/kernel/debug/bpmp/debug/clk/emc/rate", "2133000000"),
            ("sys/kernel/debug/bpmp/debug/clk/emc/max_rate", "3199000000"),
            ("sys/kernel/nvpmodel_clk_cap/emc", "2133000000"),
        ]);
        let clock = found(root.path()).read(Mono::default()).remove(0);
        assert_eq!((clock.hz.value(), clock.max_hz, clock.top_hz), (Some(2133e6), Some(2133e6), Some(3199e6)));
        let hidden = super::super::testing::root(&[("sys/kernel/nvpmodel_emc_cap/emc_iso_cap", "3199000000")]);
        let clock = found(hidden.path()).read(Mono::default()).remove(0);
        assert!(clock.hz.is_unsupported() && clock.max_hz == Some(3199e6));
    }
}
