//! Decides how long a request rests on the disk after a place failed to serve it, before it is tried again: longer each time, as
//! it may be the request that fails them. Must not know what failed, nor how the places are: what waits for a place that is down is
//! no such failure.

use crate::units::Span;

/// The first rest is at most so long, and each at most twice the one before.
const FIRST: Span = Span::from_millis(1_000);
/// No rest is longer: what waits for days is tried a hundred times a day.
const MOST: Span = Span::from_millis(600_000);

/// How long it rests after it failed for the `times`th time. `jitter` is any number that differs from request to request, so that many
/// do not come back together.
pub fn rest(times: u32, jitter: u64) -> Span {
    // Beyond 32 doublings it is the longest in any case.
    let most = FIRST.times(1 << times.saturating_sub(1).min(32)).min(MOST);
    let half = most.as_nanos() / 2;
    Span::from_nanos(half.saturating_add(jitter % half.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_from_a_second_to_ten_minutes_and_no_further() {
        for (times, least, most) in
            [(0, 500, 1_000), (1, 500, 1_000), (2, 1_000, 2_000), (5, 8_000, 16_000), (11, 300_000, 600_000)]
        {
            let rests = [0, 1, u64::MAX / 3, u64::MAX].map(|jitter| rest(times, jitter));
            assert!(rests.iter().all(|rest| (Span::from_millis(least)..=Span::from_millis(most)).contains(rest)));
        }
        assert_eq!((rest(u32::MAX, 0), rest(1, 0)), (Span::from_millis(300_000), Span::from_millis(500)));
    }
}
