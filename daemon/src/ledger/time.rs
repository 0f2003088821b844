//! Time as the files know it: a wall clock that people may set, and a count of running time that nobody can.
//!
//! Deadlines and ages are kept in both. In one life of the daemon only the running time counts, so a clock that is set
//! moves nothing: the times in the file are moved along with it. Over a restart the wall clock tells how long the
//! machine was off, and the running time bounds how long anything can wait whatever the wall clock says.
//! Must not read a clock.

/// Two clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, UTC.
    pub wall_ms: i64,
    /// Milliseconds since the machine started, sleep included (CLOCK_BOOTTIME).
    pub boot_ms: i64,
}

/// A wall clock that is off by no more than this was not set, it drifts.
pub const DRIFT_MS: i64 = 5_000;

/// The two clocks of one life of the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    last: Now,
    /// Milliseconds that the daemon ran, in all its lives.
    ran_ms: i64,
}

impl Steady {
    /// Begins a life; `ran_ms` is what earlier ones ran, as far as the file knows.
    pub fn start(now: Now, ran_ms: i64) -> Steady {
        Steady { last: now, ran_ms: ran_ms.max(0) }
    }

    /// Goes on to `now`. By how many milliseconds somebody has set the wall clock since, 0 if nobody has; what is kept
    /// in wall time has to move by that much.
    pub fn advance(&mut self, now: Now) -> i64 {
        let passed = now.boot_ms.saturating_sub(self.last.boot_ms);
        if passed < 0 {
            // Told late: the clock itself never goes back.
            return 0;
        }
        self.ran_ms = self.ran_ms.saturating_add(passed);
        let set = now.wall_ms.saturating_sub(self.last.wall_ms.saturating_add(passed));
        self.last = now;
        if set.saturating_abs() > DRIFT_MS { set } else { 0 }
    }

    /// The wall clock as it was last told, milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        self.last.wall_ms
    }

    /// Milliseconds that the daemon ran in all its lives.
    pub fn ran_ms(&self) -> i64 {
        self.ran_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn only_a_clock_that_was_set_moves_what_is_kept_in_wall_time() {
        let cases = [
            (1_000, 1_000, 0, 1_000),
            (1_000 + DRIFT_MS, 1_000, 0, 1_000),
            (1_000 - DAY, 1_000, -DAY, 1_000),
            (1_000 + DAY, 1_000, DAY, 1_000),
            // A night's sleep is no set clock.
            (8 * 3_600_000, 8 * 3_600_000, 0, 8 * 3_600_000),
            (50, -7, 0, 0),
        ];
        for (wall, boot, set, ran) in cases {
            let mut steady = Steady::start(Now { wall_ms: 5 * DAY, boot_ms: 77 }, 10);
            let now = Now { wall_ms: 5 * DAY + wall, boot_ms: 77 + boot };
            assert_eq!((steady.advance(now), steady.ran_ms() - 10), (set, ran), "{wall} {boot}");
        }
    }
}
