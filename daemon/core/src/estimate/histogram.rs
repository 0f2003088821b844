//! Counts of observations in fixed buckets, for quantiles that follow what changes. Bounded memory, no allocation, whole
//! numbers: the same observations give the same quantiles on every machine. Must not know what is counted.
//!
//! **Buckets.** Values are cut to units of `2^SHIFT`. The first 8 units have a bucket each; after that every octave is cut
//! into 8 buckets of one width, so the edges of a bucket differ by a ratio of 9:8 at most.
//! **Error.** A quantile is told as the upper edge of its bucket: never below the true one, and above it by no more than
//! an eighth or one unit, whichever is more. Values beyond the last bucket count in it.
//! **Fading.** Each observation weighs [`WEIGHT`]. All weights are halved at the end of each half life, so that an old
//! state of things fades with time; and when the weight is that of [`MOST`] observations, so that a new one shows within
//! as many however many come.

use super::chance::Chance;
use crate::units::{Mono, Span};

/// Buckets per octave.
const PARTS: u32 = 8;
/// Weight of one observation: after ten halvings nothing is left of it.
pub const WEIGHT: u32 = 1024;
/// Observations at which all counts are halved. 512 to 1,024 are enough for a 99th percentile (five to ten beyond it).
pub const MOST: u32 = 1024;

/// Quantiles of fading observations. `N` buckets in units of `2^SHIFT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<const N: usize, const SHIFT: u32> {
    /// Weight in each bucket and all later ones: both questions that are asked read it, and halving keeps it in order.
    later: [u32; N],
    /// The last halving for age.
    aged: Mono,
}

impl<const N: usize, const SHIFT: u32> Default for Histogram<N, SHIFT> {
    fn default() -> Self {
        Histogram { later: [0; N], aged: Mono::default() }
    }
}

impl<const N: usize, const SHIFT: u32> Histogram<N, SHIFT> {
    /// The bucket of `value`.
    pub fn place(value: u64) -> usize {
        Self::split(value).0.min(N - 1)
    }

    /// The largest value that belongs into bucket `index`.
    pub const fn edge(index: usize) -> u64 {
        let index = index as u64 + 1;
        let parts = PARTS as u64;
        let units = if index < 2 * parts { index } else { (parts + index % parts) << (index / parts - 1) };
        (units << SHIFT) - 1
    }

    /// One observation.
    pub fn learn(&mut self, now: Mono, life: Span, value: u64) {
        let halvings = self.halvings(now, life);
        if halvings > 0 {
            self.halve(halvings);
            let passed = Span::from_nanos(life.as_nanos().saturating_mul(u64::from(halvings)));
            self.aged = if self.later[0] == 0 { now } else { passed.from(self.aged).min(now) };
        }
        if self.later[0] >= MOST * WEIGHT {
            self.halve(1);
        }
        self.later[..=Self::place(value)].iter_mut().for_each(|later| *later += WEIGHT);
    }

    /// How often the weights have to be halved by `now` for their age.
    pub fn halvings(&self, now: Mono, life: Span) -> u32 {
        let age = Span::between(self.aged, now);
        if age < life {
            return 0;
        }
        u32::try_from(age.as_nanos() / life.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    fn halve(&mut self, times: u32) {
        self.later.iter_mut().for_each(|later| *later = faded(*later, times));
    }

    /// The weight of all observations as it is by `now`; [`WEIGHT`] is one fresh observation.
    pub fn weight(&self, now: Mono, life: Span) -> u32 {
        faded(self.later[0], self.halvings(now, life))
    }

    /// The weight in bucket `index` and all later ones; nothing beyond the last.
    fn from(&self, index: usize, times: u32) -> u64 {
        self.later.get(index).map_or(0, |later| u64::from(faded(*later, times)))
    }

    /// The quantile at `permille` of the observations and of `prior` (pairs of a bucket and its weight) together, as the
    /// upper edge of its bucket; `None` of nothing.
    pub fn quantile(&self, now: Mono, life: Span, prior: &[(usize, u32)], permille: u32) -> Option<u64> {
        let times = self.halvings(now, life);
        let total = u64::from(faded(self.later[0], times)) + believed(prior, |_| true);
        if total == 0 {
            return None;
        }
        // The first bucket by which so much of the weight is reached.
        let wanted = (total * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let above = |index: usize| self.from(index + 1, times) + believed(prior, |bucket| bucket > index);
        let (mut first, mut last) = (0, N - 1);
        while first < last {
            let middle = usize::midpoint(first, last);
            if total - above(middle) >= wanted { last = middle } else { first = middle + 1 }
        }
        Some(Self::edge(first))
    }

    /// The chance of more than `value`, after the observations and `prior` together; within a bucket all values are taken
    /// as alike. `None` of nothing.
    pub fn beyond(&self, now: Mono, life: Span, prior: &[(usize, u32)], value: u64) -> Option<Chance> {
        let times = self.halvings(now, life);
        let total = u64::from(faded(self.later[0], times)) + believed(prior, |_| true);
        let (index, octave, rest) = Self::split(value);
        let after = self.from(index + 1, times) + believed(prior, |bucket| bucket > index);
        let here = self.from(index, times) - self.from(index + 1, times) + believed(prior, |bucket| bucket == index);
        (total > 0).then(|| Chance::of(after + ((here * rest) >> octave), total))
    }

    /// Weight of more than `value`, as it was at the last observation.
    pub fn more_than(&self, value: u64) -> u64 {
        let (index, octave, rest) = Self::split(value);
        let (here, after) = (self.from(index, 0), self.from(index + 1, 0));
        after + (((here - after) * rest) >> octave)
    }

    /// The bucket of `value`; it is two to the power of the octave wide, and so much of that is above the value. Beyond the
    /// last bucket there is nothing.
    fn split(value: u64) -> (usize, u32, u64) {
        let units = value >> SHIFT;
        let octave = units.checked_ilog2().unwrap_or(0).saturating_sub(PARTS.ilog2());
        let index = u64::from(octave * PARTS) + (units >> octave);
        let wide = 1_u64 << octave;
        (usize::try_from(index).unwrap_or(N).min(N), octave, wide - 1 - (units & (wide - 1)))
    }
}

/// The weight of what is believed in some buckets.
fn believed(prior: &[(usize, u32)], of: impl Fn(usize) -> bool) -> u64 {
    prior.iter().map(|(bucket, weight)| if of(*bucket) { u64::from(*weight) } else { 0 }).sum()
}

/// What is left of a weight after so many halvings.
fn faded(weight: u32, times: u32) -> u32 {
    weight.checked_shr(times).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Histogram<96, 0>;
    const LIFE: Span = Span::from_millis(600_000);

    fn at(seconds: u64) -> Mono {
        Span::from_millis(seconds * 1000).from(Mono::default())
    }

    #[test]
    fn each_value_is_within_its_bucket_and_no_bucket_is_wider_than_an_eighth() {
        for value in 0..10_000_u64 {
            let place = Small::place(value);
            let (below, edge) = (place.checked_sub(1).map(Small::edge), Small::edge(place));
            assert!(value <= edge && below.is_none_or(|below| below < value), "{value}: {below:?}..={edge}");
            assert!((edge - value) * 8 <= value.max(1), "{value} is told as {edge}");
        }
        assert_eq!((Small::edge(0), Small::edge(7), Small::edge(8), Small::edge(16)), (0, 7, 8, 17));
    }

    #[test]
    fn what_is_beyond_the_last_bucket_counts_in_it() {
        let mut few = Histogram::<16, 0>::default();
        few.learn(at(0), LIFE, u64::MAX);
        assert_eq!(few.quantile(at(0), LIFE, &[], 500), Some(15));
    }

    #[test]
    fn nothing_seen_is_unknown_and_what_is_old_becomes_so() {
        let mut seen = Small::default();
        assert_eq!(seen.quantile(at(0), LIFE, &[], 500), None);
        seen.learn(at(0), LIFE, 7);
        assert_eq!((seen.weight(at(0), LIFE), seen.weight(at(1_200), LIFE)), (WEIGHT, WEIGHT / 4));
        assert_eq!(seen.quantile(at(6_000), LIFE, &[], 500), Some(7));
        assert_eq!(seen.quantile(at(6_600), LIFE, &[], 500), None, "eleven half lives");
    }

    #[test]
    fn a_new_state_of_things_shows_within_as_many_observations_as_are_kept() {
        let mut seen = Small::default();
        (0..100_000).for_each(|_| seen.learn(at(1), LIFE, 5));
        (0..600).for_each(|_| seen.learn(at(1), LIFE, 7));
        assert_eq!(seen.quantile(at(1), LIFE, &[], 700), Some(7));
        (0..600).for_each(|_| seen.learn(at(1), LIFE, 7));
        assert_eq!(seen.quantile(at(1), LIFE, &[], 500), Some(7));
    }

    #[test]
    fn what_is_believed_before_counts_beside_what_is_seen() {
        let mut seen = Small::default();
        let prior = [(3, 2 * WEIGHT), (6, 2 * WEIGHT)];
        assert_eq!(seen.quantile(at(0), LIFE, &prior, 500), Some(3));
        assert_eq!(seen.quantile(at(0), LIFE, &prior, 501), Some(6));
        (0..5).for_each(|_| seen.learn(at(0), LIFE, 40));
        assert_eq!(seen.quantile(at(0), LIFE, &prior, 600), Some(43));
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_exact_one_or_at_most_an_eighth_above_it(
            mut values in proptest::collection::vec(0..100_000_u64, 1..800),
            permille in 1..=1000_u32,
        ) {
            let mut seen = Histogram::<128, 0>::default();
            for (nanos, value) in (0..).zip(&values) {
                seen.learn(Mono::from_nanos(nanos), LIFE, *value);
            }
            values.sort_unstable();
            let rank = (values.len() * permille as usize).div_ceil(1000).max(1) - 1;
            let (exact, told) = (values[rank], seen.quantile(at(0), LIFE, &[], permille).unwrap());
            prop_assert!(exact <= told && (told - exact) * 8 <= exact.max(1), "{told} for {exact}");
        }

        #[test]
        fn the_chance_of_more_is_the_exact_share_within_what_a_bucket_holds(
            values in proptest::collection::vec(0..50_000_u64, 1..800),
            value in 0..60_000_u64,
        ) {
            let mut seen = Histogram::<128, 0>::default();
            values.iter().for_each(|seen_value| seen.learn(at(0), LIFE, *seen_value));
            let told = seen.beyond(at(0), LIFE, &[], value).unwrap();
            let place = Histogram::<128, 0>::place(value);
            let share = |above: &dyn Fn(u64) -> bool| {
                let count = values.iter().filter(|value| above(**value)).count();
                Chance::of(count as u64, values.len() as u64)
            };
            let least = share(&|other| Histogram::<128, 0>::place(other) > place);
            let most = share(&|other| Histogram::<128, 0>::place(other) >= place);
            prop_assert!(least <= told && told <= most, "{least:?} {told:?} {most:?}");
        }

        #[test]
        fn quantiles_rise_with_their_share_whatever_was_seen_and_when(
            seen_at in proptest::collection::vec((0..5_000_u64, 0..u64::MAX), 0..300),
            later in 0..20_000_u64,
        ) {
            let mut seen = Histogram::<128, 13>::default();
            let mut now = 0;
            for (wait, value) in seen_at {
                now += wait;
                seen.learn(at(now), LIFE, value >> 10);
            }
            let quantiles: Vec<_> = (1..=10).map(|tenth| seen.quantile(at(now + later), LIFE, &[], tenth * 100)).collect();
            prop_assert!(quantiles.is_sorted(), "{quantiles:?}");
            prop_assert!(seen.weight(at(now), LIFE) <= (MOST + 1) * WEIGHT);
        }
    }
}
