//! The child: `edged probe-hailo`. For each line `read` on its standard input it answers with one line of JSON (`Answer`),
//! and it ends when that closes. It gives up the network before the library is loaded, as an engine host does, and reads
//! nothing but its input and `/sys`.
//!
//! It decides when a device is opened (`pace`): one that rests is told as it was read last, with its age. A device is
//! opened, read and released at once; it is never held.

mod search;

use std::fs::File;
use std::io::{BufRead, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use edge_core::Mono;
use edge_wire::hardware::{Measured, Trip};

use self::search::Candidates;
use super::library::{Health, Level, Library, OpenDevice, Status};
use super::pace::{Attempt, rest};
use super::{Answer, Device, Throttling};
use crate::driver::clock::Clock;

/// What is asked.
const READ: &str = "read";
/// The longest line that is read.
const LONGEST: u64 = 256;
/// Devices are looked for anew after this; a library that could not be opened is too.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Temperatures beyond these are none, degrees Celsius.
const POSSIBLE_C: std::ops::RangeInclusive<f64> = -60.0..=200.0;
/// More than any module takes, watts.
const MOST_W: f64 = 500.0;

/// Why the child ends other than by its input's end.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("confine the process")]
    Confine(#[source] edge_engine::host::confine::ConfineError),
    #[error("keep the standard output to itself")]
    Output(#[source] std::io::Error),
    #[error("read a line of the standard input")]
    Read(#[source] std::io::Error),
    #[error("a line of the standard input is longer than {LONGEST} bytes")]
    Long,
    #[error("write an answer")]
    Write(#[source] std::io::Error),
    #[error("encode an answer")]
    Encode(#[source] serde_json::Error),
}

/// How to read.
#[derive(Debug)]
pub struct Options {
    /// The machine whose `/sys` and libraries are below it.
    pub root: PathBuf,
    /// The library, if it shall not be searched for.
    pub library: Option<PathBuf>,
    /// Leave the library's C++ method alone.
    pub c_only: bool,
}

/// Answers until the standard input closes.
pub fn main(options: Options) -> Result<(), ProbeError> {
    edge_engine::host::confine::confine().map_err(ProbeError::Confine)?;
    edge_engine::host::confine::narrow().map_err(ProbeError::Confine)?;
    let mut output = own_output().map_err(ProbeError::Output)?;
    let mut input = std::io::stdin().lock();
    let mut reader = Reader::new(options);
    while let Some(line) = next_line(&mut input)? {
        let answer = match line.as_str() {
            READ => reader.read(),
            other => Answer::failed(&format!("asked for {other:?}, and only {READ:?} is known")),
        };
        let mut line = serde_json::to_vec(&answer).map_err(ProbeError::Encode)?;
        line.push(b'\n');
        output.write_all(&line).map_err(ProbeError::Write)?;
    }
    Ok(())
}

/// The standard output, for answers alone: what the library prints goes where errors go.
fn own_output() -> std::io::Result<File> {
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(own.into())
}

fn next_line(input: &mut impl BufRead) -> Result<Option<String>, ProbeError> {
    let mut line = String::new();
    let length = input.take(LONGEST).read_line(&mut line).map_err(ProbeError::Read)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.to_owned())),
        None if length == 0 => Ok(None),
        // An end without a line's end is an end, too, unless the line was cut here.
        None if u64::try_from(length).is_ok_and(|length| length < LONGEST) => Ok(None),
        None => Err(ProbeError::Long),
    }
}

/// A device, as it was found last.
#[derive(Debug)]
struct Kept {
    id: String,
    attempt: Option<(Attempt, Mono)>,
    device: Device,
    /// When `device` was read.
    read: Option<Mono>,
    /// Its board has no power meter; asking again would only fill the library's log.
    no_power: bool,
}

struct Reader {
    candidates: Candidates,
    c_only: bool,
    clock: Clock,
    library: Option<Library>,
    /// Why there is none, and until when that is left so.
    refused: Option<(String, Mono)>,
    kept: Vec<Kept>,
    look_again: Mono,
}

impl Reader {
    fn new(options: Options) -> Reader {
        let Options { root, library, c_only } = options;
        let clock = Clock::start();
        let candidates = Candidates::new(root, library);
        let look_again = clock.now();
        Reader { candidates, c_only, clock, library: None, refused: None, kept: Vec::new(), look_again }
    }

    fn read(&mut self) -> Answer {
        let now = self.clock.now();
        if let Some((why, until)) = &self.refused
            && *until > now
        {
            return Answer::failed(why);
        }
        self.refused = None;
        let library = match self.library.take().map_or_else(|| self.candidates.open(self.c_only), Ok) {
            Ok(library) => library,
            Err(why) => {
                let answer = Answer::failed(&why);
                self.refused = Some((why, now.after(LOOK_AGAIN)));
                return answer;
            }
        };
        let mut answer = Answer { library: library.version.to_string(), ..Answer::default() };
        match self.look(&library, now) {
            Ok(()) => answer.devices = self.devices(&library),
            Err(status) => answer.absent = format!("failed: list the devices: {}", self.words(&status, &library)),
        }
        self.library = Some(library);
        answer
    }

    /// Looks for devices, now and then.
    fn look(&mut self, library: &Library, now: Mono) -> Result<(), Status> {
        if self.look_again > now {
            return Ok(());
        }
        let found = library.scan()?;
        self.kept.retain(|kept| found.contains(&kept.id));
        for id in found {
            if self.kept.iter().all(|kept| kept.id != id) {
                let device = Device { id: id.clone(), ..Device::absent("not_yet") };
                self.kept.push(Kept { id, attempt: None, device, read: None, no_power: false });
            }
        }
        // While there is none, each time: one that comes is to be seen.
        if !self.kept.is_empty() {
            self.look_again = now.after(LOOK_AGAIN);
        }
        Ok(())
    }

    /// All of them; those that are due are read.
    fn devices(&mut self, library: &Library) -> Vec<Device> {
        let mut kept = std::mem::take(&mut self.kept);
        for device in &mut kept {
            let asleep = self.candidates.is_asleep(&device.id);
            let now = self.clock.now();
            if device.attempt.is_none_or(|(attempt, at)| now.since(at) >= rest(attempt, asleep)) {
                self.open(device, library);
            }
        }
        let now = self.clock.now();
        let told = kept.iter().map(|kept| {
            let age = kept.read.map_or(Duration::ZERO, |read| now.since(read));
            Device { age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX), ..kept.device.clone() }
        });
        let devices = told.collect();
        self.kept = kept;
        devices
    }

    /// Opens, reads and releases one.
    fn open(&self, kept: &mut Kept, library: &Library) {
        let before = kept.attempt.map(|(attempt, _)| attempt);
        let (attempt, mut device) = match library.device(&kept.id) {
            Ok(open) => (Attempt::Read, self.values(&open, library, &mut kept.no_power)),
            Err(status) if status.is_in_use() => {
                let mut device = Device::absent("not_yet");
                device.note = "in use by another program".into();
                (Attempt::in_use(before), device)
            }
            Err(status) => {
                let why = format!("failed: open {}: {}", kept.id, self.words(&status, library));
                (Attempt::Failed, Device::absent(&why))
            }
        };
        device.id.clone_from(&kept.id);
        if device.name.is_empty() {
            device.name.clone_from(&kept.device.name);
        }
        let now = self.clock.now();
        kept.device = device;
        kept.attempt = Some((attempt, now));
        kept.read = Some(now);
    }

    fn values(&self, open: &OpenDevice<'_>, library: &Library, no_power: &mut bool) -> Device {
        let mut device = Device::default();
        let mut notes = Vec::new();
        let identity = open.identify();
        match &identity {
            Ok(identity) => {
                device.name.clone_from(&identity.name);
                device.firmware = identity.firmware.to_string();
            }
            Err(status) => notes.push(format!("identify: {}", self.words(status, library))),
        }
        device.temps_c = match open.temperatures_c() {
            Ok(Some(temps)) => temps.map(|temp| possible(f64::from(temp), "temperature", &POSSIBLE_C)).into(),
            Ok(None) => vec![Measured::absent("not_yet"), Measured::absent("not_yet")],
            Err(status) => vec![self.missing(&status, library); 2],
        };
        device.clock_hz = match open.clock_hz() {
            // A clock of zero is one that it does not know.
            Ok(0) => Measured::absent("unsupported"),
            Ok(hz) => Measured::of(f64::from(hz)),
            Err(status) => self.missing(&status, library),
        };
        device.power_w = if *no_power { Measured::absent("unsupported") } else { self.power(open, library, no_power) };
        if let Ok(false) = open.is_protected() {
            notes.push("its protection against heat is switched off".into());
        }
        match identity.ok().and_then(|identity| open.health(identity.architecture)) {
            Some(Ok(health)) => {
                device.throttling = Some(throttling(&health));
                device.over_current = health.over_current;
                device.trips = trips(&health);
            }
            Some(Err(status)) => notes.push(format!("how far it throttles: {}", self.words(&status, library))),
            None => notes.push(format!("libhailort {} does not tell how far it throttles", library.version)),
        }
        device.note = notes.join("; ");
        device
    }

    fn power(&self, open: &OpenDevice<'_>, library: &Library, no_power: &mut bool) -> Measured {
        match open.power_w() {
            Ok(watts) => possible(f64::from(watts), "power", &(0.0..=MOST_W)),
            Err(status) => {
                *no_power = status.is_unsupported();
                self.missing(&status, library)
            }
        }
    }

    fn missing(&self, status: &Status, library: &Library) -> Measured {
        match status.is_unsupported() {
            true => Measured::absent("unsupported"),
            false => Measured::absent(format!("failed: {}", self.words(status, library))),
        }
    }

    /// What is wrong, with what helps where that is known.
    fn words(&self, status: &Status, library: &Library) -> String {
        if status.is_mismatch() {
            let driver = self.candidates.driver_version().unwrap_or_else(|| "of an unknown version".into());
            return format!(
                "driver {driver} and libhailort {} do not fit: {status}; install the Hailo driver and libhailort of the \
                 same version, and start the machine again",
                library.version
            );
        }
        if status.is_file() {
            return format!("{status}; may the user of edged open /dev/hailo*?");
        }
        status.to_string()
    }
}

/// A value within what can be.
fn possible(value: f64, what: &str, range: &std::ops::RangeInclusive<f64>) -> Measured {
    match range.contains(&value) {
        true => Measured::of(value),
        false => Measured::absent(format!("failed: a {what} of {value} cannot be")),
    }
}

/// In the firmware's words. In the red zone it stops the flow of data, whatever its step.
fn throttling(health: &Health) -> Throttling {
    match (health.zone, health.level) {
        (2, _) => Throttling::Overheat,
        (_, 0) => Throttling::Light,
        (_, 1) => Throttling::Medium,
        (_, 2) => Throttling::Heavy,
        (_, 3) => Throttling::Severe,
        _ => Throttling::None,
    }
}

/// The lowest first. A step that begins nowhere is not set.
fn trips(health: &Health) -> Vec<Trip> {
    let trip = |kind: &str, level: &Level| {
        let (at, until) = (f64::from(level.at_c), f64::from(level.until_c));
        let set = at > 0.0 && POSSIBLE_C.contains(&at);
        let hysteresis_c = if (0.0..=at).contains(&until) { at - until } else { 0.0 };
        set.then(|| Trip { kind: kind.into(), temp_c: at, hysteresis_c })
    };
    let mut trips: Vec<Trip> = health.levels.iter().filter_map(|level| trip("passive", level)).collect();
    trips.extend(trip("hot", &health.orange));
    trips.extend(trip("critical", &health.red));
    trips.sort_by(|a, b| a.temp_c.total_cmp(&b.temp_c));
    trips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(zone: u8, level: i8) -> Health {
        let level_at = |at_c| Level { at_c, until_c: at_c - 5.0 };
        let levels = [level_at(95.0), level_at(98.0), Level::default(), level_at(1e9)];
        Health { over_current: false, zone, level, levels, orange: level_at(104.0), red: level_at(120.0) }
    }

    #[test]
    fn steps_and_zones_have_words() {
        for (zone, level, want) in [
            (0, -1, Throttling::None),
            (1, -1, Throttling::None),
            (0, 0, Throttling::Light),
            (1, 1, Throttling::Medium),
            (1, 2, Throttling::Heavy),
            (1, 3, Throttling::Severe),
            (2, 3, Throttling::Overheat),
            (2, -1, Throttling::Overheat),
        ] {
            assert_eq!(throttling(&health(zone, level)), want, "{zone} {level}");
        }
    }

    #[test]
    fn trips_are_those_that_are_set_the_lowest_first() {
        let trips = trips(&health(0, -1));
        let told: Vec<_> = trips.iter().map(|trip| (trip.kind.as_str(), trip.temp_c, trip.hysteresis_c)).collect();
        assert_eq!(
            told,
            [("passive", 95.0, 5.0), ("passive", 98.0, 5.0), ("hot", 104.0, 5.0), ("critical", 120.0, 5.0)]
        );
    }

    #[test]
    fn lines_have_a_bound_and_an_end() {
        let mut two = b"read\nread".as_slice();
        assert_eq!(next_line(&mut two).unwrap().as_deref(), Some("read"));
        assert_eq!(next_line(&mut two).unwrap(), None, "cut off, and the input closed");
        assert!(matches!(next_line(&mut [b'x'; 300].as_slice()), Err(ProbeError::Long)));
        assert!(matches!(next_line(&mut b"\xff\n".as_slice()), Err(ProbeError::Read(_))));
    }

    #[test]
    fn what_cannot_be_is_no_value() {
        assert_eq!(possible(45.5, "temperature", &POSSIBLE_C).value, Some(45.5));
        for value in [f64::NAN, -300.0, 1e30] {
            assert!(possible(value, "temperature", &POSSIBLE_C).absent.starts_with("failed: a temperature of "));
        }
    }
}
