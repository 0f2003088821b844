//! Decides how long to rest so that bytes come no faster than they may.

use std::time::Duration;

use crate::units::Mono;

/// What was not used of the last moment may be used now.
const CREDIT: Duration = Duration::from_millis(100);

/// A limit of bytes per second.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_second: Option<u64>,
    /// When all that came may have come.
    due: Mono,
}

impl Pace {
    /// So many bytes per second; `None` for as many as there are.
    pub fn new(per_second: Option<u64>) -> Pace {
        Pace { per_second: per_second.filter(|rate| *rate > 0), due: Mono::default() }
    }

    /// So many bytes came: how long to rest before more are taken.
    pub fn took(&mut self, now: Mono, bytes: u64) -> Duration {
        let Some(rate) = self.per_second else { return Duration::ZERO };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let earliest = Mono::from_nanos(now.as_nanos().saturating_sub(u64::try_from(CREDIT.as_nanos()).unwrap_or(0)));
        self.due = self.due.max(earliest).after(span);
        self.due.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nobody_rests() {
        assert_eq!(Pace::new(None).took(Mono::default(), u64::MAX), Duration::ZERO);
    }

    #[test]
    fn over_time_no_more_comes_than_may_whatever_the_pieces() {
        for piece in [1, 700, 16 << 10, 1 << 20] {
            let rate = 64 << 10;
            let mut pace = Pace::new(Some(rate));
            let begin = Mono::default().after(Duration::from_secs(5));
            let (mut now, mut came) = (begin, 0);
            while now.since(begin) < Duration::from_secs(10) {
                came += piece;
                now = now.after(pace.took(now, piece).max(Duration::from_micros(1)));
            }
            let may = now.since(begin).as_secs_f64() * 65536.0 + 6553.6;
            #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
            let came = came as f64;
            assert!(came <= may * 1.001 && came >= may * 0.95, "{piece}: {came} of {may}");
        }
    }

    #[test]
    fn what_was_not_used_long_ago_is_lost() {
        let mut pace = Pace::new(Some(1000));
        pace.took(Mono::default(), 1);
        let later = Mono::default().after(Duration::from_secs(3600));
        assert_eq!(pace.took(later, 1100), Duration::from_secs(1));
    }
}
