//! Readings of the machine: each a value with its time, or a named absence. Never a zero for "unknown".

pub mod gpu;
pub mod hailort;
mod memory;
mod platform;
pub mod rail;
mod watch;

pub use memory::available_bytes;
pub use platform::{board_software, gpu_driver, graphics_names, platform, processor_features, processor_name};
pub use watch::{Sample, Watch};

use std::path::{Path, PathBuf};

use edge_wire::dto::ReadingInfo;
use sysinfo::System;

/// Takes readings: load and memory through `sysinfo`, thermal zones, room for the state.
#[derive(Debug)]
pub struct Sampler {
    root: PathBuf,
    state_dir: PathBuf,
    system: Result<System, String>,
    samples: u64,
}

impl Sampler {
    /// A sampler that has taken nothing yet, of the machine whose `/sys` is below `root`; `state_dir` is where the daemon
    /// writes.
    pub fn new(root: &Path, state_dir: &Path) -> Sampler {
        let system = System::new().map_err(|error| format!("failed: {error}"));
        Sampler { root: root.to_owned(), state_dir: state_dir.to_owned(), system, samples: 0 }
    }

    /// All readings now.
    pub fn read(&mut self) -> Vec<ReadingInfo> {
        self.samples += 1;
        let mut readings = match &mut self.system {
            Ok(system) => {
                system.refresh_memory();
                system.refresh_cpu_usage();
                // Usage is a difference: the first sample has nothing to differ from.
                let load =
                    if self.samples > 1 { Ok(f64::from(system.global_cpu_usage())) } else { Err("not_yet".into()) };
                vec![
                    reading("cpu_load_percent", load),
                    reading("memory_available_bytes", Ok(to_float(system.available_memory()))),
                    reading("memory_total_bytes", Ok(to_float(system.total_memory()))),
                ]
            }
            Err(why) => {
                vec![reading("cpu_load_percent", Err(why.clone())), reading("memory_available_bytes", Err(why.clone()))]
            }
        };
        readings.push(reading("state_free_bytes", free_bytes(&self.state_dir)));
        readings.extend(zones(&self.root));
        readings
    }
}

fn reading(name: &str, value: Result<f64, String>) -> ReadingInfo {
    match value {
        Ok(value) => ReadingInfo { name: name.into(), value: Some(value), absent: String::new(), age_ms: 0 },
        Err(absent) => ReadingInfo { name: name.into(), value: None, absent, age_ms: 0 },
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes for people; exact below 2^53")]
fn to_float(value: u64) -> f64 {
    value as f64
}

/// Room that an unprivileged process may still fill on the file system of `dir`, or where it is going to be made.
fn free_bytes(dir: &Path) -> Result<f64, String> {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let stat = rustix::fs::statvfs(there).map_err(|errno| format!("failed: {}: {errno}", dir.display()))?;
    Ok(to_float(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// Thermal zones by their type. A power-gated zone answers EAGAIN: asleep, not broken.
fn zones(root: &Path) -> Vec<ReadingInfo> {
    let Ok(entries) = std::fs::read_dir(root.join("sys/class/thermal")) else {
        return vec![reading("temperature_c", Err("unsupported".into()))];
    };
    let zones = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("type").is_file());
    let mut readings: Vec<ReadingInfo> = zones
        .filter(|path| path.join("temp").exists())
        .map(|zone| {
            let kind = std::fs::read_to_string(zone.join("type")).unwrap_or_default();
            let name = format!("temperature_c.{}", kind.trim().trim_end_matches("-thermal"));
            reading(&name, temperature(&std::fs::read_to_string(zone.join("temp"))))
        })
        .collect();
    readings.sort_by(|a, b| a.name.cmp(&b.name));
    if readings.is_empty() {
        readings.push(reading("temperature_c", Err("unsupported".into())));
    }
    readings
}

/// Millidegrees as the kernel writes them; -256000 is the drivers' word for "no value".
fn temperature(text: &std::io::Result<String>) -> Result<f64, String> {
    match text {
        Ok(text) => match text.trim().parse::<i32>() {
            Ok(-256_000) => Err("not_yet".into()),
            Ok(milli) => Ok(f64::from(milli) / 1000.0),
            Err(_) => Err(format!("failed: {:?} is no number", text.trim())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err("not_yet".into()),
        Err(error) => Err(format!("failed: {error}")),
    }
}

/// Resident memory of a process, from `/proc/PID/statm`; 0 if it is gone.
pub fn rss_bytes(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or_default();
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_zone_that_sleeps_or_speaks_nonsense_has_no_value() {
        assert_eq!(temperature(&Ok("45500\n".into())), Ok(45.5));
        assert_eq!(temperature(&Ok("-256000\n".into())), Err("not_yet".into()));
        assert_eq!(temperature(&Err(Error::from(ErrorKind::WouldBlock))), Err("not_yet".into()));
        assert_eq!(temperature(&Ok(String::new())), Err("failed: \"\" is no number".into()));
        assert!(temperature(&Err(Error::from(ErrorKind::NotFound))).unwrap_err().starts_with("failed: "));
    }

    #[test]
    fn the_first_sample_says_that_load_is_not_known_yet() {
        let mut sampler = Sampler::new(Path::new("/"), Path::new("/"));
        let load = |readings: Vec<ReadingInfo>| {
            readings.into_iter().find(|reading| reading.name == "cpu_load_percent").unwrap()
        };
        assert_eq!(load(sampler.read()).absent, "not_yet");
        assert!(load(sampler.read()).value.is_some());
    }
}
