//! When a device is opened, by `pace`: one that rests is told as it was read last, with its age. It is opened, read and
//! released at once, and never held. Knows no value.

use std::time::Duration;

use edge_core::Mono;

use super::super::library::Library;
use super::super::pace::{Attempt, rest};
use super::super::status::Status;
use super::super::{Answer, Device};
use super::Options;
use super::search::Candidates;
use super::values::Reading;
use crate::driver::clock::Clock;

/// Devices are looked for anew after this; a library that could not be opened is too.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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

/// The library, and the devices that it finds.
pub struct Reader {
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
    /// One that has opened nothing yet.
    pub fn new(options: Options) -> Reader {
        let Options { root, library, c_only } = options;
        let clock = Clock::start();
        let candidates = Candidates::new(root, library);
        let look_again = clock.now();
        Reader { candidates, c_only, clock, library: None, refused: None, kept: Vec::new(), look_again }
    }

    /// What there is to tell now.
    pub fn read(&mut self) -> Answer {
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
            Err(status) => {
                answer.absent = format!("failed: list the devices: {}", self.reading(&library).words(&status))
            }
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
            Ok(open) => (Attempt::Read, self.reading(library).values(&open, &mut kept.no_power)),
            Err(status) if status.is_in_use() => {
                let mut device = Device::absent("not_yet");
                device.note = "in use by another program".into();
                (Attempt::in_use(before), device)
            }
            Err(status) => {
                let why = format!("failed: open {}: {}", kept.id, self.reading(library).words(&status));
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

    fn reading<'a>(&'a self, library: &'a Library) -> Reading<'a> {
        Reading { candidates: &self.candidates, library }
    }
}
