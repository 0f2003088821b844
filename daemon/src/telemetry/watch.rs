//! A thread that takes a sample every second. Reading a sensor, a file system or `/proc` may block; whoever asks gets what
//! was last taken, with its age.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::{Problem, ReadingInfo};
use edge_wire::hardware::Hardware;
use tokio::sync::watch;

use super::sensed::{self, Sensed};
use super::traps::{self, Trap};
use super::{Sampler, rss_bytes};
use crate::driver::clock::{Clock, boot_time};

/// How often a sample is taken.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What was last taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// With their age.
    pub readings: Vec<ReadingInfo>,
    /// The same with all that belongs to it.
    pub hardware: Hardware,
    /// What is wrong with the machine; what is only good to know is with the hardware.
    pub problems: Vec<Problem>,
    /// Resident memory of the daemon.
    pub rss_bytes: u64,
    /// Resident memory of the engine host; 0 if there is none, or it is too young to have been looked at.
    pub engine_rss_bytes: u64,
}

/// One sample, when it was taken, and of which engine host.
#[derive(Debug, Default)]
struct Taken {
    sensed: Arc<Sensed>,
    traps: Vec<Trap>,
    rss_bytes: u64,
    engine_rss_bytes: u64,
    at: Mono,
    /// The same on the clock that counts while the machine is suspended.
    since_boot: Duration,
    engine: u32,
}

#[derive(Debug)]
struct Shared {
    taken: Mutex<Taken>,
    /// Process id of the engine host; 0 for none.
    engine: AtomicU32,
    clock: Clock,
    /// The newest sample for whoever wants each: one who is late misses some.
    newest: watch::Sender<Arc<Sensed>>,
}

/// The asking end. The thread ends with it.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    wake: Sender<()>,
}

impl Watch {
    /// Takes a first sample at once, and another every `interval` from then on.
    pub fn start(mut sampler: Sampler, interval: Duration) -> std::io::Result<Watch> {
        let shared = Arc::new(Shared {
            taken: Mutex::default(),
            engine: AtomicU32::new(0),
            clock: Clock::start(),
            newest: watch::Sender::new(Arc::default()),
        });
        let mut history = VecDeque::with_capacity(traps::SAMPLES);
        shared.take(&mut sampler, &mut history);
        let (wake, woken) = channel();
        let theirs = shared.clone();
        std::thread::Builder::new().name("telemetry".into()).stack_size(256 << 10).spawn(move || {
            while waits(&woken, interval) {
                theirs.take(&mut sampler, &mut history);
            }
        })?;
        Ok(Watch { shared, wake })
    }

    /// Each new sample, on the clock of the driver; the newest wins.
    pub fn samples(&self) -> watch::Receiver<Arc<Sensed>> {
        self.shared.newest.subscribe()
    }

    /// What was last taken, while the engine host is the process `engine` (0 for none).
    pub fn latest(&self, engine: u32) -> Sample {
        if self.shared.engine.swap(engine, Ordering::Relaxed) != engine {
            // A thread that has ended has nothing to say; what it last said stays, and ages.
            let _ = self.wake.send(());
        }
        let taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let age = age(self.shared.clock.now().since(taken.at), boot_time().saturating_sub(taken.since_boot));
        let mut readings = sensed::readings(&taken.sensed);
        readings.iter_mut().for_each(|reading| reading.age_ms = age);
        let of = |hinders: bool| taken.traps.iter().filter(move |trap| trap.hinders == hinders);
        let notes = of(false).map(|trap| trap.problem.clone()).collect();
        Sample {
            readings,
            hardware: Hardware { age_ms: age, notes, ..sensed::hardware(&taken.sensed) },
            problems: of(true).map(|trap| trap.problem.clone()).collect(),
            rss_bytes: taken.rss_bytes,
            engine_rss_bytes: if taken.engine == engine { taken.engine_rss_bytes } else { 0 },
        }
    }
}

/// Milliseconds by the driver's clock, which stands still while the machine is suspended, or by the one that does not.
fn age(driver: Duration, since_boot: Duration) -> u64 {
    u64::try_from(driver.max(since_boot).as_millis()).unwrap_or(u64::MAX)
}

/// Waits for the next sample's time; `false` once nobody asks any more.
fn waits(woken: &Receiver<()>, interval: Duration) -> bool {
    !matches!(woken.recv_timeout(interval), Err(RecvTimeoutError::Disconnected))
}

impl Shared {
    fn take(&self, sampler: &mut Sampler, history: &mut VecDeque<Arc<Sensed>>) {
        let engine = self.engine.load(Ordering::Relaxed);
        let (at, since_boot) = (self.clock.now(), boot_time());
        let sensed = Arc::new(sampler.read(at));
        if history.len() == traps::SAMPLES {
            history.pop_front();
        }
        history.push_back(sensed.clone());
        let taken = Taken {
            traps: traps::traps(history.make_contiguous()),
            sensed: sensed.clone(),
            rss_bytes: rss_bytes(std::process::id()),
            engine_rss_bytes: if engine == 0 { 0 } else { rss_bytes(engine) },
            at,
            since_boot,
            engine,
        };
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        self.newest.send_replace(sensed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readings_are_kept_with_their_true_age_and_not_taken_again_for_whoever_asks() {
        let watch = Watch::start(Sampler::new(Path::new("/"), Path::new("/")), Duration::from_secs(3600)).unwrap();
        let first = watch.latest(0);
        assert!(first.rss_bytes > 0 && first.readings.iter().any(|reading| reading.name == "state_free_bytes"));
        tokio::time::advance(Duration::from_secs(1000)).await;
        let later = watch.latest(0);
        assert!(later.readings.iter().all(|reading| reading.age_ms == 1_000_000), "{:?}", later.readings);
        assert_eq!(later.hardware.age_ms, 1_000_000);
        let values = |sample: &Sample| sample.readings.iter().map(|reading| reading.value).collect::<Vec<_>>();
        assert_eq!(values(&later), values(&first));
    }

    #[test]
    fn a_reading_from_before_the_machine_slept_is_old() {
        let hour = Duration::from_secs(3600);
        assert_eq!(age(Duration::from_millis(500), hour), 3_600_000);
        assert_eq!(age(Duration::from_millis(500), Duration::from_millis(499)), 500);
    }

    #[test]
    fn the_memory_of_another_engine_host_is_not_shown_for_this_one() {
        let watch = Watch::start(Sampler::new(Path::new("/"), Path::new("/")), Duration::from_secs(3600)).unwrap();
        let own = std::process::id();
        while watch.latest(own).engine_rss_bytes == 0 {
            std::thread::yield_now();
        }
        assert_eq!(watch.latest(own + 1).engine_rss_bytes, 0);
    }

    #[tokio::test]
    async fn whoever_wants_each_sample_gets_the_newest() {
        let watch = Watch::start(Sampler::new(Path::new("/"), Path::new("/")), Duration::from_millis(5)).unwrap();
        let mut samples = watch.samples();
        let mut last = samples.borrow_and_update().at;
        for _ in 0..3 {
            samples.changed().await.unwrap();
            let at = samples.borrow_and_update().at;
            assert!(at > last);
            last = at;
        }
    }
}
