//! What Hailo neural processors tell of themselves: temperature, trips, throttling, power, clock. Only Hailo's own library
//! (libhailort) knows that, and foreign code never runs in the daemon: a child (`edged probe-hailo`) opens the library, and
//! a thread asks it. This side knows no structure of the library; `answer` is all that crosses. Nothing here blocks whoever
//! asks: he gets what was told last, with its age.
//!
//! Where there is no Hailo (nothing in `/sys/class/hailo_chardev`), no child is started. One that crashes, does not answer
//! in time or answers nonsense is ended, and started again after a pause that grows to 5 min; meanwhile every value is
//! `failed: why`. The child after such an end keeps to the C interface of the library (see `library`).
//!
//! # Replay
//!
//! On a copy of a machine the file `sim/hailo.json` below its root takes the place of the child. It is read anew each time,
//! and holds what a child answers on one line:
//!
//! ```json
//! {"library": "4.23.0", "absent": "", "devices": [
//!   {"id": "0000:01:00.0", "name": "Hailo-8L", "firmware": "4.23.0",
//!    "temps_c": [{"value": 71.5}, {"value": 70.25}],
//!    "trips": [{"kind": "passive", "temp_c": 90.0, "hysteresis_c": 5.0}],
//!    "power_w": {"absent": "unsupported"}, "clock_hz": {"value": 400000000.0},
//!    "throttling": "light", "over_current": false, "note": "", "age_ms": 0}]}
//! ```
//!
//! Every field may be left out. `absent` at the top holds for all devices. `throttling` is `none`, `light`, `medium`,
//! `heavy`, `severe`, `streams off`, `overheat`, or null where nobody tells.

mod answer;
pub mod child;
mod library;
mod link;
mod pace;
mod status;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge_core::Mono;

mod sensed;

pub use answer::{Answer, Device, Throttling, Told};
use link::Link;
use pace::Restarts;
pub use sensed::sensed;

use crate::driver::clock::Clock;

/// How often the child is asked; it reads a device no more often than that.
const INTERVAL: Duration = Duration::from_secs(5);
/// A replay is looked at as often as other sensors: it costs nothing.
const REPLAY_INTERVAL: Duration = Duration::from_secs(1);
/// Within what an answer must come: the library wakes a sleeping device in well under a second.
const WITHIN: Duration = Duration::from_secs(3);
/// Where the driver lists its devices.
const DEVICES: &str = "sys/class/hailo_chardev";
/// What takes the place of a child on a copy of a machine.
const REPLAY: &str = "sim/hailo.json";

/// How to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The daemon's own program; it is the child too.
    pub program: PathBuf,
    /// The machine whose `/sys` and libraries are below it.
    pub root: PathBuf,
    /// The library, if it shall not be searched for.
    pub library: Option<PathBuf>,
    /// Within what an answer must come.
    pub within: Duration,
}

impl Plan {
    /// As it is done for the machine below `root`.
    pub fn new(program: PathBuf, root: PathBuf) -> Plan {
        Plan { program, root, library: None, within: WITHIN }
    }
}

/// Asks, and keeps the child. Blocks for as long as an answer may take.
#[derive(Debug)]
pub struct Probe {
    plan: Plan,
    clock: Clock,
    link: Option<Link>,
    restarts: Restarts,
    /// When a child may be started again, and why the last one ended.
    paused: Option<(Mono, String)>,
}

impl Probe {
    /// One that has not asked yet.
    pub fn new(plan: Plan) -> Probe {
        Probe { plan, clock: Clock::start(), link: None, restarts: Restarts::default(), paused: None }
    }

    /// What there is to tell now, and in how long to ask again.
    pub fn turn(&mut self) -> (Told, Duration) {
        if let Some(answer) = replay(&self.plan.root.join(REPLAY)) {
            return (answer.tell(1), REPLAY_INTERVAL);
        }
        let present = present(&self.plan.root);
        if present == 0 {
            self.link = None;
            return (Told::default(), INTERVAL);
        }
        let (answer, wait) = self.ask();
        (answer.tell(present), wait)
    }

    /// Process id of the child, if there is one.
    pub fn child(&self) -> Option<u32> {
        self.link.as_ref().map(Link::id)
    }

    fn ask(&mut self) -> (Answer, Duration) {
        let now = self.clock.now();
        if let Some((until, why)) = &self.paused
            && *until > now
        {
            return (Answer::failed(why), until.since(now));
        }
        self.paused = None;
        let careful = self.restarts.failures() > 0;
        let mut link = match self.link.take().map_or_else(|| Link::start(&self.plan, careful), Ok) {
            Ok(link) => link,
            Err(why) => return self.pause(why),
        };
        match link.ask(self.plan.within, &self.clock) {
            Ok(answer) => {
                self.link = Some(link);
                self.restarts.answered();
                (answer, INTERVAL)
            }
            Err(trouble) => {
                let why = link.end(&trouble);
                self.pause(why)
            }
        }
    }

    fn pause(&mut self, why: String) -> (Answer, Duration) {
        let pause = self.restarts.failed();
        let failures = self.restarts.failures();
        tracing::warn!(%why, failures, pause_s = pause.as_secs(), "Hailo devices do not tell anything");
        let answer = Answer::failed(&why);
        self.paused = Some((self.clock.now().after(pause), why));
        (answer, pause)
    }
}

/// How many devices the driver has.
fn present(root: &Path) -> usize {
    std::fs::read_dir(root.join(DEVICES)).map_or(0, |entries| entries.filter_map(Result::ok).count())
}

/// What the file says, if there is one.
fn replay(file: &Path) -> Option<Answer> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Answer::failed(&format!("read {}: {error}", file.display()))),
    };
    let parsed = serde_json::from_str(&text);
    Some(parsed.unwrap_or_else(|error| Answer::failed(&format!("parse {}: {error}", file.display()))))
}

/// What was told last, and when.
#[derive(Debug, Default)]
struct Last {
    told: Told,
    at: Mono,
}

/// The asking end. The thread ends with it, and the child with the thread.
#[derive(Debug)]
pub struct Hailo {
    last: Arc<Mutex<Last>>,
    clock: Clock,
    _wake: Sender<()>,
}

impl Hailo {
    /// Asks from now on.
    pub fn start(plan: Plan) -> std::io::Result<Hailo> {
        let (wake, woken) = channel::<()>();
        let clock = Clock::start();
        let last = Arc::new(Mutex::new(Last { told: Told::default(), at: clock.now() }));
        let theirs = last.clone();
        std::thread::Builder::new().name("hailo".into()).stack_size(256 << 10).spawn(move || {
            let mut probe = Probe::new(plan);
            let mut wait = Duration::ZERO;
            while matches!(woken.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                let told;
                (told, wait) = probe.turn();
                *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Last { told, at: clock.now() };
            }
        })?;
        Ok(Hailo { last, clock, _wake: wake })
    }

    /// What was told last, with its age.
    pub fn latest(&self) -> Told {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = last.told.clone();
        let since = u64::try_from(self.clock.now().since(last.at).as_millis()).unwrap_or(u64::MAX);
        told.age_ms = told.age_ms.saturating_add(since);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(root: &Path) -> Plan {
        Plan::new(root.join("no-such-program"), root.to_owned())
    }

    #[test]
    fn without_a_device_nothing_is_started_and_nothing_told() {
        let root = tempfile::tempdir().unwrap();
        let mut probe = Probe::new(plan(root.path()));
        assert_eq!(probe.turn(), (Told::default(), INTERVAL));
        std::fs::create_dir_all(root.path().join(DEVICES)).unwrap();
        assert_eq!(probe.turn(), (Told::default(), INTERVAL), "an empty class is no device");
    }

    #[test]
    fn a_child_that_cannot_be_started_is_told_and_tried_again_later() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(DEVICES).join("hailo0")).unwrap();
        let mut probe = Probe::new(plan(root.path()));
        let (told, wait) = probe.turn();
        assert_eq!(wait, Duration::from_secs(5));
        assert!(told.accelerators[0].note.contains("no-such-program"), "{told:?}");
        assert!(told.zones[0].temp_c.absent.starts_with("failed: "), "{told:?}");
        let (again, left) = probe.turn();
        assert_eq!(again, told, "the reason stays");
        assert!(left <= wait);
    }

    #[test]
    fn a_replay_takes_the_place_of_a_child_and_is_read_each_time() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(REPLAY);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut probe = Probe::new(plan(root.path()));
        let hot = r#"{"library": "4.23.0", "devices": [{"name": "Hailo-8L", "temps_c": [{"value": 95.5}],
            "clock_hz": {"value": 200e6}, "throttling": "streams off"}]}"#;
        std::fs::write(&file, hot).unwrap();
        let (told, wait) = probe.turn();
        assert_eq!((told.zones[0].temp_c.value, wait), (Some(95.5), REPLAY_INTERVAL));
        let npu = &told.accelerators[0];
        assert_eq!((npu.throttled_by.as_str(), npu.driver.as_str()), ("streams off", "4.23.0"));
        assert_eq!(told.clocks[0].hz.value, Some(200e6));
        assert_eq!(npu.power_w.absent, "unsupported", "what the file leaves out is not told");
        std::fs::write(&file, hot.replace("temps_c", "temps")).unwrap();
        let note = probe.turn().0.accelerators[0].note.clone();
        assert!(note.contains("hailo.json") && note.contains("unknown field `temps`"), "{note}");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(probe.turn().0, Told::default());
    }

    #[test]
    fn the_example_of_the_module_is_a_replay() {
        let example: String = include_str!("mod.rs")
            .lines()
            .skip_while(|line| *line != "//! ```json")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let answer: Answer = serde_json::from_str(&example).unwrap();
        assert_eq!(answer.tell(1).accelerators[0].throttled_by, "light");
    }
}
