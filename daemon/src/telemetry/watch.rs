//! A thread that takes readings now and then. Reading a sensor, a file system or `/proc` may block; whoever asks gets what
//! was last taken, with its age.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::ReadingInfo;

use super::{Sampler, rss_bytes};
use crate::driver::clock::Clock;

/// What was last taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// With their age.
    pub readings: Vec<ReadingInfo>,
    /// Resident memory of the daemon.
    pub rss_bytes: u64,
    /// Resident memory of the engine host; 0 if there is none, or it is too young to have been looked at.
    pub engine_rss_bytes: u64,
}

/// One sample, when it was taken, and of which engine host.
#[derive(Debug, Default)]
struct Taken {
    sample: Sample,
    at: Mono,
    engine: u32,
}

#[derive(Debug)]
struct Shared {
    taken: Mutex<Taken>,
    /// Process id of the engine host; 0 for none.
    engine: AtomicU32,
    clock: Clock,
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
        let shared = Arc::new(Shared { taken: Mutex::default(), engine: AtomicU32::new(0), clock: Clock::start() });
        shared.take(&mut sampler);
        let (wake, woken) = channel();
        let theirs = shared.clone();
        std::thread::Builder::new().name("telemetry".into()).stack_size(256 << 10).spawn(move || {
            while waits(&woken, interval) {
                theirs.take(&mut sampler);
            }
        })?;
        Ok(Watch { shared, wake })
    }

    /// What was last taken, while the engine host is the process `engine` (0 for none).
    pub fn latest(&self, engine: u32) -> Sample {
        if self.shared.engine.swap(engine, Ordering::Relaxed) != engine {
            // A thread that has ended has nothing to say; what it last said stays, and ages.
            let _ = self.wake.send(());
        }
        let taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sample = taken.sample.clone();
        let age = self.shared.clock.now().since(taken.at).as_millis();
        sample.readings.iter_mut().for_each(|reading| reading.age_ms = u64::try_from(age).unwrap_or(u64::MAX));
        if taken.engine != engine {
            sample.engine_rss_bytes = 0;
        }
        sample
    }
}

/// Waits for the next sample's time; `false` once nobody asks any more.
fn waits(woken: &Receiver<()>, interval: Duration) -> bool {
    !matches!(woken.recv_timeout(interval), Err(RecvTimeoutError::Disconnected))
}

impl Shared {
    fn take(&self, sampler: &mut Sampler) {
        let engine = self.engine.load(Ordering::Relaxed);
        let sample = Sample {
            readings: sampler.read(),
            rss_bytes: rss_bytes(std::process::id()),
            engine_rss_bytes: if engine == 0 { 0 } else { rss_bytes(engine) },
        };
        let taken = Taken { sample, at: self.clock.now(), engine };
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
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
        tokio::time::advance(Duration::from_millis(1500)).await;
        let later = watch.latest(0);
        assert!(later.readings.iter().all(|reading| reading.age_ms == 1500), "{:?}", later.readings);
        let values = |sample: &Sample| sample.readings.iter().map(|reading| reading.value).collect::<Vec<_>>();
        assert_eq!(values(&later), values(&first));
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
}
