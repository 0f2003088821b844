//! The one place of these tests that reads a clock: stop watches, and waits for a condition with a deadline.
//!
//! A wait names what it waits for, so that a test that ends here says what never came.
#![expect(clippy::disallowed_methods, reason = "system tests watch other processes, whose time is real")]

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// How long a condition of a healthy system may take on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at a condition.
const GLANCE: Duration = Duration::from_millis(5);

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Looks again and again until `probe` has something; a fault in between is kept for the message, not fatal.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let watch = Stopwatch::start();
    let mut last = None;
    loop {
        match tokio::time::timeout(limit.saturating_sub(watch.elapsed()), probe()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => {}
            Ok(Err(fault)) => last = Some(fault),
            Err(_) => last = last.or_else(|| Some(anyhow!("the last look did not return"))),
        }
        if watch.elapsed() >= limit {
            return Err(last
                .unwrap_or_else(|| anyhow!("it never held"))
                .context(format!("{what}: not within {limit:?}")));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// The same without a runtime.
pub fn eventually_blocking<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if watch.elapsed() >= limit {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(GLANCE);
    }
}

/// Bounds a future, and says what it was.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, future).await.map_err(|_| anyhow!("{what}: not within {limit:?}"))
}

/// Ticks that bound a rate; one that was missed is not made up for.
pub fn pace(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Lets time pass while something is measured; never to wait for a condition.
pub async fn measure_for(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Rests between two measured calls: what is measured is what a rest costs.
#[expect(clippy::disallowed_methods, reason = "the rest is the subject of the measurement, not a wait for something")]
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}
