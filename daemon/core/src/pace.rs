//! Spreads the lanes' time so that a share of it is used and no more: a token bucket of lane time. Decides whether a batch may
//! start now, and when one may. Must not know why the share is what it is.
//!
//! A batch takes what it is expected to run when it starts, and what it really ran when it ends: the bucket may be overdrawn
//! by one batch a lane, which is then waited for. All of the time means no bucket at all.

use crate::units::{Mono, Ratio, Span};

/// Parts of a lane's time per unit of time.
const WHOLE: u64 = 1_000_000;

/// The bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Lane time that comes in per unit of time, in parts of `WHOLE`; `None` if nothing is held back.
    rate: Option<u64>,
    /// What may be used at once.
    burst: Span,
    /// What is there, and what is owed; one of both is nothing.
    there: Span,
    owed: Span,
    at: Mono,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { rate: None, burst: Span::ZERO, there: Span::ZERO, owed: Span::ZERO, at: Mono::default() }
    }
}

impl Pace {
    /// From `now` on this share of the time of so many lanes may be used, and at most `burst` of it at once after a rest.
    pub fn set(&mut self, now: Mono, lanes: u16, share: Ratio, burst: Span) {
        self.fill(now);
        let all = u64::from(lanes).saturating_mul(WHOLE);
        let rate = share.of(all);
        let held_back = self.rate.is_some();
        self.rate = (rate < all).then_some(rate);
        if !held_back {
            // What was used before was allowed.
            (self.there, self.owed, self.at) = (burst, Span::ZERO, now);
        }
        self.burst = burst;
        self.there = self.there.min(burst);
    }

    fn fill(&mut self, now: Mono) {
        let Some(rate) = self.rate else { return };
        let came = scaled(Span::between(self.at, now), rate);
        // Less than a nanosecond is left for the next time.
        if came == Span::ZERO {
            return;
        }
        self.at = now;
        let paid = came.min(self.owed);
        self.owed = self.owed.minus(paid);
        self.there = self.there.plus(came.minus(paid)).min(self.burst);
    }

    /// A batch that is expected to run for `time` begins.
    pub fn begin(&mut self, now: Mono, time: Span) {
        self.fill(now);
        self.take(time);
    }

    /// It ran for `took` instead.
    pub fn end(&mut self, now: Mono, expected: Span, took: Span) {
        self.fill(now);
        self.take(took.minus(expected));
        self.give(expected.minus(took));
    }

    fn take(&mut self, time: Span) {
        if self.rate.is_some() {
            let there = self.there.min(time);
            self.there = self.there.minus(there);
            self.owed = self.owed.plus(time.minus(there));
        }
    }

    fn give(&mut self, time: Span) {
        let paid = time.min(self.owed);
        self.owed = self.owed.minus(paid);
        self.there = self.there.plus(time.minus(paid)).min(self.burst);
    }

    /// When the next batch may begin; at the latest instant there is if nothing comes in.
    pub fn opens(&self, now: Mono) -> Mono {
        let Some(rate) = self.rate else { return now };
        let owed = self.owed(now);
        if owed == Span::ZERO {
            return now;
        }
        let nanos = (u128::from(owed.as_nanos()) * u128::from(WHOLE)).div_ceil(u128::from(rate.max(1)));
        match u64::try_from(nanos) {
            Ok(nanos) if rate > 0 => Span::from_nanos(nanos).from(now),
            Ok(_) | Err(_) => Mono::MAX,
        }
    }

    /// Whether a batch may begin now.
    pub fn is_open(&self, now: Mono) -> bool {
        self.rate.is_none() || self.owed(now) == Span::ZERO
    }

    /// Lane time that has to come in before the next batch begins.
    pub fn owed(&self, now: Mono) -> Span {
        self.rate.map_or(Span::ZERO, |rate| self.owed.minus(scaled(Span::between(self.at, now), rate)))
    }

    /// Whether anything is held back.
    pub fn holds_back(&self) -> bool {
        self.rate.is_some()
    }
}

/// `span` at a rate in parts of `WHOLE`.
fn scaled(span: Span, rate: u64) -> Span {
    let nanos = u128::from(span.as_nanos()) * u128::from(rate) / u128::from(WHOLE);
    Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_nanos(millis * 1_000_000)
    }

    const MS: fn(u64) -> Span = Span::from_millis;

    #[test]
    fn a_share_of_the_time_is_used_and_no_more() {
        for (lanes, share, parts) in [(1, 0.5, 500), (2, 0.5, 1000), (2, 0.25, 500), (4, 0.9, 3600)] {
            let mut pace = Pace::default();
            pace.set(at(0), lanes, Ratio::new(share).unwrap(), MS(100));
            let (mut used, mut now) = (0, 0);
            while now < 100_000 {
                if pace.is_open(at(now)) {
                    pace.begin(at(now), MS(20));
                    used += 20;
                } else {
                    now += 1;
                }
            }
            let whole = parts * 100;
            assert!((whole..whole + 200).contains(&used), "{lanes} lanes, {share}: {used} of {whole}");
        }
    }

    #[test]
    fn what_really_ran_counts_and_rest_is_saved_up_to_a_bound() {
        let mut pace = Pace::default();
        pace.set(at(0), 1, Ratio::HALF, MS(0));
        pace.begin(at(0), MS(10));
        assert_eq!((pace.owed(at(0)), pace.opens(at(0))), (MS(10), at(20)));
        pace.end(at(10), MS(10), MS(30));
        assert_eq!(pace.opens(at(10)), at(60));
        assert!(!pace.is_open(at(59)) && pace.is_open(at(60)));
        pace.set(at(60), 1, Ratio::HALF, MS(30));
        pace.begin(at(10_000), MS(50));
        assert_eq!(pace.owed(at(10_000)), MS(20), "no more than a burst is saved");
    }

    #[test]
    fn all_of_the_time_is_never_held_back_and_none_of_it_always() {
        let mut pace = Pace::default();
        pace.set(at(0), 2, Ratio::ONE, MS(0));
        pace.begin(at(0), MS(1_000_000));
        assert!(pace.is_open(at(0)) && !pace.holds_back());
        pace.set(at(0), 2, Ratio::ZERO, MS(0));
        pace.begin(at(0), MS(1));
        assert_eq!(pace.opens(at(5)), Mono::MAX);
        pace.set(at(9), 2, Ratio::ONE, MS(0));
        assert!(pace.is_open(at(9)));
    }
}
