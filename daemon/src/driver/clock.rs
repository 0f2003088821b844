//! The only reader of clocks. Everything else is told the time.

use std::time::{Duration, SystemTime};

use edge_core::Mono;
use tokio::time::Instant;

/// Ties tokio's clock (which tests may pause) to CLOCK_MONOTONIC, which the engine host reads too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    instant: Instant,
    nanos: u64,
}

impl Clock {
    /// Starts at the present CLOCK_MONOTONIC.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Clock {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
        Clock { instant: Instant::now(), nanos: seconds * 1_000_000_000 + nanos }
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Mono {
        Mono::from_nanos(self.nanos).after(Instant::now() - self.instant)
    }

    /// The runtime's instant for `at`, for its timer.
    pub fn instant(&self, at: Mono) -> Instant {
        let span = at.since(Mono::from_nanos(self.nanos));
        // Far enough to mean "not in this life of the daemon", near enough for the timer's arithmetic.
        self.instant + span.min(Duration::from_secs(365 * 24 * 3600))
    }
}

/// Time since the machine started, that of its sleep included (CLOCK_BOOTTIME), for ages that must not stand still then.
pub fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) =
        (u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default());
    Duration::new(seconds, nanos.min(999_999_999))
}

/// Wall-clock time, for records that people and other machines read.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970, UTC; 0 for a clock before that.
pub fn unix_seconds() -> u64 {
    wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since midnight, in the time zone of the machine as it was when the daemon started.
pub fn local_second_of_day() -> u32 {
    let now = libc::time_t::try_from(unix_seconds()).unwrap_or_default();
    // SAFETY: zeros are a valid value of this structure of numbers and one pointer, which is not followed.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values that live through the call; the second is written.
    let told = unsafe { libc::localtime_r(&raw const now, &raw mut local) };
    let of_day = local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec;
    match told.is_null() {
        true => u32::try_from(unix_seconds() % 86_400).unwrap_or_default(),
        false => u32::try_from(of_day).unwrap_or_default(),
    }
}

/// RFC 3339 in UTC with microseconds, for example `2026-11-22T21:40:00.000123Z`.
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}
