//! What the machine says of its own power: one figure for the whole board, from the sensors of a Jetson (INA3221) or the
//! energy counters of a processor (RAPL). A machine that has neither has no rail, and nothing is made up for it.
//!
//! Sources: the kernel's `ina3221` hwmon driver (millivolts and milliamperes) and its powercap interface (microjoules,
//! with the value at which a counter starts again).

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::node::{self, Fault, Node};
use super::rails::{self, Channel};
use crate::driver::clock::Clock;

/// How often a rail is read: often enough for a measurement of a second, and a sensor on a slow bus takes 2 ms.
const INTERVAL: Duration = Duration::from_millis(100);
/// The rail of all that a Jetson module takes, where it has one.
const WHOLE: &str = "VDD_IN";
/// Where there is none, the rails of the first sensor together are the module's.
const FIRST_SENSOR: &str = "1-0040";
/// Something that can be read.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Pairs of files: millivolts and milliamperes.
    Sensor(Vec<(PathBuf, PathBuf)>),
    /// Counters of microjoules, and the value after which each starts again.
    Counters(Vec<(PathBuf, u64)>),
}

/// The rail of a machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Rail {
    /// As the machine names it.
    pub name: String,
    source: Source,
    /// What the counters said last.
    last: Vec<u64>,
}

impl Rail {
    /// The rail of the machine whose `/sys` is below `root`, if it has one that can be read.
    pub fn find(root: &Path) -> Option<Rail> {
        let mut rail = sensor(root).or_else(|| counters(root))?;
        // What cannot be read now (counters belong to root) is none.
        rail.read(Duration::from_secs(1)).ok()?;
        Some(rail)
    }

    /// Microjoules since it was read before, `since` ago. Power that is sampled counts for all that time.
    fn read(&mut self, since: Duration) -> Result<u64, String> {
        match &self.source {
            Source::Sensor(channels) => {
                let mut microwatts = 0u64;
                for (volts, amperes) in channels {
                    microwatts = microwatts.saturating_add(number(volts)?.saturating_mul(number(amperes)?));
                }
                let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
                Ok(u64::try_from(u128::from(microwatts) * u128::from(micros) / 1_000_000).unwrap_or(u64::MAX))
            }
            Source::Counters(counters) => {
                let now = counters.iter().map(|(path, _)| number(path)).collect::<Result<Vec<_>, _>>()?;
                let spent = |((now, before), (_, range)): ((&u64, &u64), &(PathBuf, u64))| {
                    now.checked_sub(*before).unwrap_or_else(|| (range - before).saturating_add(*now))
                };
                let sum = now.iter().zip(&self.last).zip(counters).map(spent).fold(0, u64::saturating_add);
                self.last = now;
                Ok(sum)
            }
        }
    }
}

fn number(path: &Path) -> Result<u64, String> {
    let mut node = Node::new(path.to_owned());
    let text = node.text().map(str::to_owned);
    let text = text.map_err(|fault| format!("read {}: {}", path.display(), words(fault)))?;
    // A current may be negative for a moment, when a rail is fed from elsewhere: then it takes nothing.
    let number: i64 = text.parse().map_err(|_| format!("{}: {text:?} is no number", path.display()))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Asleep => "it says nothing now".into(),
        Fault::Missing => "it is not there".into(),
        Fault::Disabled => "it is switched off".into(),
        Fault::Errno(errno) => errno.to_string(),
    }
}

fn sensor(root: &Path) -> Option<Rail> {
    let mut channels = rails::channels(root);
    let files = |channel: &Channel| (channel.file("in", "input"), channel.file("curr", "input"));
    if let Some(channel) = channels.iter().find(|channel| channel.label == WHOLE) {
        let source = Source::Sensor(vec![files(channel)]);
        return Some(Rail { name: channel.label.clone(), source, last: Vec::new() });
    }
    channels.retain(|channel| channel.device == FIRST_SENSOR);
    let name = channels.iter().map(|channel| channel.label.as_str()).collect::<Vec<_>>().join(" + ");
    let source = Source::Sensor(channels.iter().map(files).collect());
    (!channels.is_empty()).then_some(Rail { name, source, last: Vec::new() })
}

fn counters(root: &Path) -> Option<Rail> {
    let zones = node::entries(&root.join("sys/class/powercap"));
    let package = |zone: &PathBuf| node::text(&zone.join("name")).is_some_and(|name| name.starts_with("package-"));
    let counter = |zone: PathBuf| Some((zone.join("energy_uj"), number(&zone.join("max_energy_range_uj")).ok()?));
    let counters: Vec<_> = zones.into_iter().filter(package).filter_map(counter).collect();
    let last = counters.iter().map(|(path, _)| number(path)).collect::<Result<Vec<_>, _>>().ok()?;
    (!counters.is_empty()).then(|| Rail { name: "processor package".into(), source: Source::Counters(counters), last })
}

/// Energy that was taken since the start, and when that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Microjoules.
    pub energy_uj: u64,
    /// Time that these are for; what could not be read is not in it.
    pub over: Duration,
    /// Milliwatts of the last reading.
    pub power_mw: u64,
}

/// A thread that reads a rail. It ends with this.
#[derive(Debug)]
pub struct Meter {
    /// As the machine names the rail.
    pub name: String,
    taken: Arc<Mutex<Taken>>,
    _wake: Sender<()>,
}

impl Meter {
    /// Reads `rail` from now on.
    pub fn start(mut rail: Rail) -> std::io::Result<Meter> {
        let (wake, woken) = channel::<()>();
        let (name, taken) = (rail.name.clone(), Arc::new(Mutex::new(Taken::default())));
        let (theirs, clock) = (taken.clone(), Clock::start());
        std::thread::Builder::new().name("power".into()).stack_size(128 << 10).spawn(move || {
            let mut last = clock.now();
            let mut failing = false;
            while !matches!(woken.recv_timeout(INTERVAL), Err(RecvTimeoutError::Disconnected)) {
                let now = clock.now();
                let read = rail.read(now.since(last));
                if let (Err(why), false) = (&read, failing) {
                    tracing::warn!(rail = %rail.name, %why, "power is not known");
                }
                failing = read.is_err();
                if let Ok(energy) = read {
                    add(&theirs, energy, now.since(last));
                }
                last = now;
            }
        })?;
        Ok(Meter { name, taken, _wake: wake })
    }

    /// What was taken so far.
    pub fn taken(&self) -> Taken {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(taken: &Mutex<Taken>, energy_uj: u64, over: Duration) {
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    taken.energy_uj = taken.energy_uj.saturating_add(energy_uj);
    taken.over = taken.over.saturating_add(over);
    taken.power_mw = power_mw(energy_uj, over).unwrap_or(taken.power_mw);
}

/// Mean power, milliwatts; `None` for no time.
pub fn power_mw(energy_uj: u64, over: Duration) -> Option<u64> {
    let micros = over.as_micros();
    let milli = u128::from(energy_uj).saturating_mul(1_000).checked_div(micros)?;
    u64::try_from(milli).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_module_with_a_rail_for_all_is_read_there() {
        let root = tempfile::tempdir().unwrap();
        let hwmon = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3";
        write(root.path(), &[(&format!("{hwmon}/in1_label"), "VDD_IN"), (&format!("{hwmon}/in1_input"), "4984")]);
        write(root.path(), &[(&format!("{hwmon}/curr1_input"), "1856"), (&format!("{hwmon}/in2_label"), "VDD_SOC")]);
        let mut rail = Rail::find(root.path()).unwrap();
        assert_eq!((rail.name.clone(), rail.read(SECOND)), ("VDD_IN".to_owned(), Ok(4984 * 1856)));
        assert_eq!(rail.read(SECOND / 10), Ok(4984 * 1856 / 10));
        assert_eq!(power_mw(4984 * 1856 / 10, SECOND / 10), Some(9_250));
        write(root.path(), &[(&format!("{hwmon}/curr1_input"), "-3")]);
        assert_eq!(rail.read(SECOND), Ok(0));
        write(root.path(), &[(&format!("{hwmon}/curr1_input"), "?")]);
        assert!(rail.read(SECOND).unwrap_err().contains("curr1_input: \"?\" is no number"));
    }

    #[test]
    fn where_no_rail_is_for_all_those_of_the_first_sensor_are_added_up() {
        let root = tempfile::tempdir().unwrap();
        let rail = |device: &str, channel: u8, label: &str, volts: &str, amperes: &str| {
            let hwmon = format!("sys/bus/i2c/drivers/ina3221/{device}/hwmon/hwmon1");
            write(
                root.path(),
                &[
                    (&format!("{hwmon}/in{channel}_label"), label),
                    (&format!("{hwmon}/in{channel}_input"), volts),
                    (&format!("{hwmon}/curr{channel}_input"), amperes),
                ],
            );
        };
        rail("1-0040", 1, "VDD_GPU_SOC", "20000", "100");
        rail("1-0040", 2, "VDD_CPU_CV", "20000", "50");
        rail("1-0040", 3, "VIN_SYS_5V0", "5000", "1000");
        rail("1-0040", 7, "sum of shunt voltages", "1", "1");
        rail("1-0041", 1, "NC", "5000", "1");
        rail("1-0041", 2, "VDDQ_VDD2_1V8AO", "5000", "1");
        let mut found = Rail::find(root.path()).unwrap();
        assert_eq!(found.name, "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0");
        assert_eq!(found.read(SECOND), Ok(8_000_000));
    }

    #[test]
    fn counters_are_differences_also_where_they_start_again() {
        let root = tempfile::tempdir().unwrap();
        let zone = |number: u8, name: &str, energy: &str| {
            let zone = format!("sys/class/powercap/intel-rapl:{number}");
            let range = (&*format!("{zone}/max_energy_range_uj"), "1000");
            write(root.path(), &[(&format!("{zone}/name"), name), (&format!("{zone}/energy_uj"), energy), range]);
        };
        zone(0, "package-0", "900");
        zone(1, "package-1", "100");
        zone(2, "dram", "7");
        let mut rail = Rail::find(root.path()).unwrap();
        zone(0, "package-0", "50");
        zone(1, "package-1", "160");
        assert_eq!(rail.read(SECOND), Ok(150 + 60));
        assert_eq!(rail.read(SECOND), Ok(0));
        fs::remove_file(root.path().join("sys/class/powercap/intel-rapl:1/energy_uj")).unwrap();
        assert!(rail.read(SECOND).is_err());
        assert_eq!(Rail::find(root.path()), None, "what cannot be read is no rail");
    }

    #[test]
    fn a_machine_without_sensors_has_no_rail() {
        assert_eq!(Rail::find(tempfile::tempdir().unwrap().path()), None);
        assert_eq!(power_mw(5, Duration::ZERO), None);
    }

    #[test]
    fn a_meter_adds_up_what_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let hwmon = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3";
        write(root.path(), &[(&format!("{hwmon}/in1_label"), "VDD_IN"), (&format!("{hwmon}/in1_input"), "5000")]);
        write(root.path(), &[(&format!("{hwmon}/curr1_input"), "1000")]);
        let meter = Meter::start(Rail::find(root.path()).unwrap()).unwrap();
        while meter.taken().over < Duration::from_millis(150) {
            std::thread::yield_now();
        }
        let taken = meter.taken();
        let mean = power_mw(taken.energy_uj, taken.over).unwrap();
        assert!(mean.abs_diff(5_000) <= 1 && taken.power_mw.abs_diff(5_000) <= 1, "{taken:?}");
    }
}
