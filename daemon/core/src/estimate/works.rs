//! How much work a request turns out to be that nobody knows beforehand, as the tokens a language model will generate: learnt
//! from what ended, and asked for what is running. Must not know requests or places.
//!
//! Work is told as the time it takes at full speed. The chance that something ends within a further time, *given how much
//! it has had already*, is the share of those that ended in between among those that were longer than it is now. Lengths
//! of answers have two humps and a long tail: something that has run for long is not about to end, as a mean would say.
//!
//! How much there will be depends on what was asked: short prompts of one program have short answers, and the long ones of
//! another have long ones. So it is learnt per size of the request (two groups an octave) and of all together. What all
//! together say counts in each group as a few observations of its own: a group that has seen little says what all say, and where size tells
//! nothing, nothing is lost but a little sharpness.
//!
//! Behind all together is one believed observation, a Lomax distribution (as likely to end within what it had so far, and
//! [`Works::new`]'s time, as not): it is all there is before the first end, and what is said of one that runs for longer
//! than any before.

use super::chance::Chance;
use super::histogram::{Histogram, WEIGHT};
use crate::units::{Mono, Span};

/// The kind of work changes with the shift.
const LIFE: Span = Span::from_millis(3_600_000);
const BUCKETS: usize = 168;
/// The newest end weighs so much in the mean.
const NEWEST: u64 = 32;
/// Groups of sizes: below 16, then two an octave up to 32,768, and what is larger in the last.
const GROUPS: usize = 24;
/// Observations of a group that all together count for.
const ALL_WORTH: u64 = 4;

/// Buckets of 1.05 ms and more, up to 2.4 hours.
type Seen = Histogram<BUCKETS, 20>;

/// Learnt distribution of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Works {
    all: Seen,
    groups: Box<[Seen; GROUPS]>,
    believed: Span,
    /// Mean of the whole work, known part included.
    mean: Span,
    ends: u64,
}

impl Works {
    /// Nothing seen; half of all are believed to be over after `believed`.
    pub fn new(believed: Span) -> Works {
        let groups = Box::new(std::array::from_fn(|_| Seen::default()));
        Works { all: Seen::default(), groups, believed, mean: believed, ends: 0 }
    }

    /// Something of this size (tokens or bytes, always the same) ended: its unknown part turned out to be `unknown`, of
    /// `whole` work in all.
    pub fn learn(&mut self, now: Mono, size: u64, unknown: Span, whole: Span) {
        self.all.learn(now, LIFE, unknown.as_nanos());
        self.groups[group(size)].learn(now, LIFE, unknown.as_nanos());
        self.ends = (self.ends + 1).min(NEWEST);
        let (mean, whole) = (self.mean.as_nanos(), whole.as_nanos());
        self.mean = Span::from_nanos(mean - mean / self.ends + whole / self.ends);
    }

    /// The chance that something of this size that had `had` of unknown work ends within `more`.
    pub fn within(&self, size: u64, had: Span, more: Span) -> Chance {
        self.given(size, had, more).within(more)
    }

    /// What is known of something of this size that had `had` of unknown work, to be asked for several times up to `far`.
    pub fn given(&self, size: u64, had: Span, far: Span) -> Given<'_> {
        let group = &self.groups[group(size)];
        let (all_longer, group_longer) = (self.all.more_than(had.as_nanos()), group.more_than(had.as_nanos()));
        let one = |weight: u64| (1 << 32) / weight;
        let all_one = one(all_longer + u64::from(WEIGHT));
        let group_one = one(group_longer + ALL_WORTH * u64::from(WEIGHT));
        // Between nothing and `far` the believed chance is taken as a straight line: it is a little more.
        let scale = self.believed.plus(had).plus(far).as_nanos() >> 16;
        let believed = (u64::from(WEIGHT) << 32) / scale.max(1);
        Given { all: &self.all, group, had, all_longer, group_longer, all_one, group_one, believed }
    }

    /// Mean of the whole work.
    pub fn mean(&self) -> Span {
        self.mean
    }
}

/// Something that had some work already. What does not depend on the time asked for is worked out once.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    all: &'a Seen,
    group: &'a Seen,
    had: Span,
    /// Weight of those that were longer than it is now.
    all_longer: u64,
    group_longer: u64,
    /// One by what that and what is believed weigh, in 2^32ths.
    all_one: u64,
    group_one: u64,
    /// Believed weight that ends, in 2^32ths for 65,536 ns.
    believed: u64,
}

impl Given<'_> {
    /// The chance that it ends within `more`.
    pub fn within(&self, more: Span) -> Chance {
        let end = self.had.plus(more).as_nanos();
        let believed = ((more.as_nanos() >> 16).saturating_mul(self.believed) >> 32).min(u64::from(WEIGHT));
        let all = (self.all_longer - self.all.more_than(end) + believed) * self.all_one;
        // What all say, as so many observations of the group: 2^32ths by weight are 2^16ths after the shift.
        let of_all = (ALL_WORTH * u64::from(WEIGHT) * (all >> 16)) >> 16;
        let ended = self.group_longer - self.group.more_than(end) + of_all;
        Chance::of((ended * self.group_one) >> 16, 1 << 16)
    }
}

fn group(size: u64) -> usize {
    const FIRST: u64 = 16;
    if size < FIRST {
        return 0;
    }
    let octave = size.ilog2();
    let half = (size >> (octave - 1)) & 1;
    usize::try_from(u64::from(octave - FIRST.ilog2()) * 2 + half + 1).unwrap_or(GROUPS).min(GROUPS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(seconds: u64) -> Span {
        Span::from_millis(seconds * 1000)
    }

    fn percent(chance: Chance) -> u32 {
        (chance.get() * 100 + Chance::SURE.get() / 2) / Chance::SURE.get()
    }

    /// Half are over after 2 s, half after 20 s.
    fn two_humps() -> Works {
        let mut works = Works::new(s(5));
        (0..200)
            .for_each(|number| works.learn(Mono::default(), 500, s(2 + 18 * (number % 2)), s(3 + 18 * (number % 2))));
        works
    }

    #[test]
    fn what_runs_for_longer_than_the_short_ones_is_a_long_one() {
        let works = two_humps();
        for (had, more, expected) in [(0, 1, 0), (0, 3, 50), (3, 10, 1), (3, 19, 99), (15, 3, 1), (15, 7, 99)] {
            let told = percent(works.within(500, s(had), s(more)));
            assert!(told.abs_diff(expected) <= 1, "{had} s and {more} more: {told}");
        }
        assert!(works.mean() > s(11) && works.mean() < s(13), "{:?}", works.mean());
    }

    #[test]
    fn sizes_with_answers_of_their_own_are_told_apart_and_an_unseen_one_is_as_all() {
        let mut works = Works::new(s(5));
        for _ in 0..100 {
            works.learn(Mono::default(), 400, s(2), s(2));
            works.learn(Mono::default(), 1_000, s(20), s(20));
        }
        let of = |size| percent(works.within(size, s(0), s(4)));
        assert!((96..=100).contains(&of(400)) && of(1_000) <= 4, "{} {}", of(400), of(1_000));
        assert!((45..=55).contains(&of(5)), "{}", of(5));
        let groups = [0, 15, 16, 23, 24, 32, 48, 32_767, 32_768, u64::MAX].map(group);
        assert_eq!(groups, [0, 0, 1, 1, 2, 3, 4, 22, 23, 23]);
    }

    #[test]
    fn what_runs_for_longer_than_any_is_as_likely_to_double_as_not() {
        assert_eq!(percent(two_humps().within(500, s(95), s(100))), 50);
        assert_eq!(percent(Works::new(s(5)).within(500, s(0), s(5))), 50);
        assert_eq!(percent(Works::new(s(5)).within(500, s(0), s(0))), 0);
        assert_eq!(percent(Works::new(Span::ZERO).within(500, s(0), s(0))), 0);
    }

    proptest! {
        #[test]
        fn more_time_never_makes_an_end_less_likely(
            ends in proptest::collection::vec(0..u64::MAX, 0..300), had in any::<u64>(), more in 0..u64::MAX / 2, yet in 0..u64::MAX / 2,
        ) {
            let mut works = Works::new(s(5));
            for (now, end) in (0..).zip(ends) {
                let end = Span::from_nanos(end >> (end % 40));
                works.learn(Mono::from_nanos(now), end.as_nanos() % 9999, end, end);
            }
            let had = Span::from_nanos(had >> (more % 40));
            let (near, far) = (Span::from_nanos(more), Span::from_nanos(more + yet));
            let given = works.given(777, had, far);
            let (near, far) = (given.within(near), given.within(far));
            prop_assert!(near <= far && far <= Chance::SURE, "{near:?} {far:?}");
        }
    }
}
