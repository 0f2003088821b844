//! Load and memory of the machine. On the machine itself `sysinfo` tells them; of a copy of another one its `/proc` is
//! read, and where the copy has none, the machine that this runs on is meant.

use std::path::Path;

use edge_core::Mono;
use sysinfo::System;

use super::node::{self, Node};
use super::reading::{Absence, Reading, tidy, to_float};
use super::sensed::Load;

/// Processes that want to run; more are nonsense.
const MOST_LOAD: f64 = 1e6;

/// Tells load and memory.
#[derive(Debug)]
pub struct Machine {
    source: Source,
    average: Node,
    samples: u64,
}

#[derive(Debug)]
enum Source {
    Here(Result<Box<System>, String>),
    Copy(Box<Files>),
}

#[derive(Debug)]
struct Files {
    stat: Node,
    meminfo: Node,
    last: Option<(u64, u64)>,
}

impl Machine {
    /// The machine whose files are below `root`.
    pub fn new(root: &Path) -> Machine {
        let (stat, meminfo) = (Node::new(root.join("proc/stat")), Node::new(root.join("proc/meminfo")));
        let is_copy = root != Path::new("/") && stat.exists();
        let average = Node::new(if is_copy { root.join("proc/loadavg") } else { "/proc/loadavg".into() });
        let source = match is_copy {
            true => Source::Copy(Box::new(Files { stat, meminfo, last: None })),
            false => Source::Here(System::new().map(Box::new).map_err(|error| error.to_string())),
        };
        Machine { source, average, samples: 0 }
    }

    /// Load since the last time, and memory now.
    pub fn read(&mut self, now: Mono) -> Load {
        self.samples += 1;
        let average_1m = Reading::of(average(&mut self.average), now);
        match &mut self.source {
            Source::Here(Ok(system)) => {
                system.refresh_memory();
                system.refresh_cpu_usage();
                // Usage is a difference: the first sample has nothing to differ from.
                let usage = f64::from(system.global_cpu_usage()).clamp(0.0, 100.0);
                let cpu = if self.samples > 1 { Ok(usage) } else { Err(Absence::NotYet) };
                Load {
                    cpu_percent: Reading::of(cpu, now),
                    average_1m,
                    memory_available: Reading::of(Ok(to_float(system.available_memory())), now),
                    memory_total: Reading::of(Ok(to_float(system.total_memory())), now),
                }
            }
            Source::Here(Err(why)) => {
                let failed = || Reading::Absent(Absence::Failed(why.clone()));
                Load { cpu_percent: failed(), average_1m, memory_available: failed(), memory_total: failed() }
            }
            Source::Copy(files) => {
                let Files { stat, meminfo, last } = &mut **files;
                let (available, total) = (memory(meminfo, "MemAvailable:"), memory(meminfo, "MemTotal:"));
                Load {
                    cpu_percent: Reading::of(usage(stat, last), now),
                    average_1m,
                    memory_available: Reading::of(available, now),
                    memory_total: Reading::of(total, now),
                }
            }
        }
    }
}

fn average(node: &mut Node) -> Result<f64, Absence> {
    let failed = format!("{}: no number", node.path().display());
    match node.text() {
        Ok(text) => {
            let number = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
            number.filter(|load| (0.0..=MOST_LOAD).contains(load)).ok_or(Absence::Failed(failed))
        }
        Err(fault) => Err(node.absence(fault)),
    }
}

fn usage(stat: &mut Node, last: &mut Option<(u64, u64)>) -> Result<f64, Absence> {
    let failed = format!("{}: no line of all processors", stat.path().display());
    let now = match stat.text() {
        Ok(text) => ticks(text).ok_or(Absence::Failed(failed))?,
        Err(fault) => return Err(stat.absence(fault)),
    };
    let (busy, total) =
        last.replace(now).map_or((0, 0), |before| (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1)));
    if total == 0 {
        Err(Absence::NotYet)
    } else {
        Ok(tidy((100.0 * to_float(busy) / to_float(total)).clamp(0.0, 100.0)))
    }
}

/// Ticks that the processors were busy, and all of them.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_whitespace().take(8).map(|word| word.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let total = ticks.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
    // Idle, and waiting for a disk.
    let idle = ticks.get(3)?.saturating_add(*ticks.get(4)?);
    Some((total.saturating_sub(idle), total))
}

fn memory(meminfo: &mut Node, line: &str) -> Result<f64, Absence> {
    let failed = format!("{}: no {line}", meminfo.path().display());
    match meminfo.text() {
        Ok(text) => kib(text, line).map(|kib| to_float(kib.saturating_mul(1024))).ok_or(Absence::Failed(failed)),
        Err(fault) => Err(meminfo.absence(fault)),
    }
}

fn kib(meminfo: &str, line: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|text| text.strip_prefix(line))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Memory of the machine whose files are below `root`, bytes, if it is told there.
pub fn memory_bytes(root: &Path) -> Option<u64> {
    kib(&node::text(&root.join("proc/meminfo"))?, "MemTotal:")?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{root, write};
    use super::*;

    #[test]
    fn the_first_sample_says_that_load_is_not_known_yet() {
        let mut machine = Machine::new(Path::new("/"));
        assert_eq!(machine.read(Mono::default()).cpu_percent.absence(), Some(&Absence::NotYet));
        let load = machine.read(Mono::default());
        assert!(load.cpu_percent.value().is_some() && load.memory_total.value() > load.memory_available.value());
        assert!(load.average_1m.value().is_some());
    }

    #[test]
    fn a_copy_is_read_where_it_tells_them() {
        let root = root(&[
            ("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1\n"),
            ("proc/meminfo", "MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:   4 kB\n"),
            ("proc/loadavg", "0.52 0.58 0.59 1/9 1"),
        ]);
        let mut machine = Machine::new(root.path());
        let first = machine.read(Mono::default());
        assert_eq!(first.cpu_percent.absence(), Some(&Absence::NotYet));
        let memory = (first.memory_available.value(), first.memory_total.value(), first.average_1m.value());
        assert_eq!(memory, (Some(4096.0), Some(8192.0), Some(0.52)));
        write(root.path(), "proc/stat", "cpu  130 0 100 760 110 0 0 0 0 0\n");
        assert_eq!(machine.read(Mono::default()).cpu_percent.value(), Some(30.0));
        write(root.path(), "proc/stat", "cpu  1 0 nonsense\n");
        assert!(machine.read(Mono::default()).cpu_percent.absence().unwrap().word().contains("no line of all"));
        assert_eq!(memory_bytes(root.path()), Some(8192));
    }
}
