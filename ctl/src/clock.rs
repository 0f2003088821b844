//! The one place where this command reads a clock: `doctor` checks whether the box has one, `bench` measures with it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures a span with the clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[expect(clippy::disallowed_methods, reason = "how long an answer takes can only be measured")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Seconds since 1970; 0 for a clock that stands before it.
#[expect(clippy::disallowed_methods, reason = "whether the clock was set can only be seen by reading it")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
