//! The one place where this command reads a clock: `doctor` checks whether the box has one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 for a clock that stands before it.
#[expect(clippy::disallowed_methods, reason = "whether the clock was set can only be seen by reading it")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
