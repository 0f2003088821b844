//! How long a site takes to answer and how often it fails, from what was observed. Must not know what was asked of it, or
//! where else a request could go.
//!
//! Latency is kept per class of payload size, because a link adds time per byte: a tensor of a megabyte over an uplink of
//! 20 Mbit/s takes 0.4 s however quick the site is. A class that has seen nothing is read from the nearest that has, moved
//! by what the difference in size takes at an assumed rate. Sites of language models are read by time to the first token, in the same
//! way per class of the prompt's length, and time per token instead. Error bounds and fading: see [`histogram`](super::histogram).
//!
//! **Before anything is observed** there is a belief by zone, log-normal and worth [`PRIOR`] observations: after a dozen real
//! ones the median is theirs. From [`DOUBTED`] on the belief is worth less the more was seen, so that with a hundred
//! observations, when a 99th percentile can first be seen, it is theirs too. When a site was not used for an hour, its old
//! answers are worth little and the belief counts again, so that one bad hour does not shut it for ever.
//!
//! | zone | median | p99 | rate | why |
//! |---|---|---|---|---|
//! | device | 10 ms | 200 ms | 1 GB/s | no network: another server's own time, over the loopback |
//! | premises | 20 ms | 400 ms | 50 MB/s | a switched gigabit network that others use, and a machine that others use |
//! | region | 60 ms | 1 s | 5 MB/s | tens of milliseconds of way, 40 Mbit/s of a site's uplink |
//! | cloud | 150 ms | 2.5 s | 2.5 MB/s | 20 to 300 ms of way with a tail of seconds, 20 Mbit/s of an uplink |
//!
//! To the first token of a short prompt, what each token of a longer one adds, and per token of the answer:
//!
//! | zone | first: median | p99 | prompt | each: median | p99 | why |
//! |---|---|---|---|---|---|---|
//! | device | 400 ms | 2 s | 1,000/s | 50 ms | 200 ms | a small accelerator reads a prompt of hundreds of tokens |
//! | premises | 300 ms | 2 s | 4,000/s | 25 ms | 100 ms | a workstation's accelerator |
//! | region, cloud | 350 ms | 2 s | 10,000/s | 20 ms | 80 ms | large accelerators behind a queue that is not ours |

use super::chance::Chance;
use super::histogram::{Histogram, WEIGHT};
use crate::request::Zone;
use crate::units::{Mono, Span};

/// Observations that the belief by zone is worth.
pub const PRIOR: u32 = 5;
/// Observations from which on the belief is worth less, in proportion.
pub const DOUBTED: u32 = 20;
/// Observations lose half of their weight in ten minutes: the states of a network last minutes to hours.
const LIFE: Span = Span::from_millis(600_000);
/// Sizes told apart.
pub const CLASSES: usize = 4;
/// Largest payload of each class but the last, bytes; for the last, the size that stands for it.
pub const SIZES: [u64; CLASSES] = [4 << 10, 64 << 10, 1 << 20, 4 << 20];
/// The same of prompts, in tokens.
pub const PROMPTS: [u64; CLASSES] = [512, 4 << 10, 32 << 10, 128 << 10];
/// Answers behind which an error rate of nothing stands, before there are any.
const BELIEVED_ANSWERS: u32 = 10;

/// Times in units of 8.2 us, up to 137 s.
type Times = Histogram<176, 13>;
/// A log-normal by eight points: exponent of (p99 / median), in thousandths, and its share in thousandths. The middles of
/// 0-10-30-50-70-90%, then 94%, 99% and 99.75% for the tail.
const SHAPE: [(i64, u32); 8] =
    [(-707, 100), (-362, 200), (-109, 200), (109, 200), (362, 200), (668, 80), (1000, 15), (1207, 5)];

/// What is believed of a time before it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Belief {
    points: [(usize, u32); SHAPE.len()],
}

impl Belief {
    /// A log-normal of this median and 99th percentile. Buckets are spaced by octaves, so an exponent is a distance.
    fn new(median: Span, p99: Span) -> Belief {
        let index = |span: Span| i64::try_from(Times::place(span.as_nanos())).unwrap_or(0);
        let (middle, tail) = (index(median), index(p99));
        let point = |(exponent, share): (i64, u32)| {
            let bucket = middle + ((tail - middle) * exponent) / 1000;
            (usize::try_from(bucket.max(0)).unwrap_or(0), PRIOR * WEIGHT * share / 1000)
        };
        Belief { points: SHAPE.map(point) }
    }
}

/// Observed times with the belief behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    times: Times,
    belief: Belief,
}

impl Observed {
    fn new(median_ms: u64, p99_ms: u64) -> Observed {
        let belief = Belief::new(Span::from_millis(median_ms), Span::from_millis(p99_ms));
        Observed { times: Times::default(), belief }
    }

    fn learn(&mut self, now: Mono, took: Span) {
        self.times.learn(now, LIFE, took.as_nanos());
    }

    fn quantile(&self, now: Mono, permille: u32) -> Span {
        let belief = self.belief(now);
        let told = self.times.quantile(now, LIFE, &belief, permille);
        told.map_or(Span::MAX, Span::from_nanos)
    }

    fn beyond(&self, now: Mono, time: Span) -> Chance {
        let told = self.times.beyond(now, LIFE, &self.belief(now), time.as_nanos());
        told.unwrap_or(Chance::SURE)
    }

    /// The belief as it is worth now: never nothing, so there is always something to tell.
    fn belief(&self, now: Mono) -> [(usize, u32); SHAPE.len()] {
        let seen = self.times.weight(now, LIFE).max(DOUBTED * WEIGHT);
        let part = (u64::from(DOUBTED * WEIGHT) << 16) / u64::from(seen);
        let worth = |weight: u32| u32::try_from((u64::from(weight) * part) >> 16).unwrap_or(u32::MAX).max(1);
        self.belief.points.map(|(bucket, weight)| (bucket, worth(weight)))
    }

    fn count(&self, now: Mono) -> u32 {
        self.times.weight(now, LIFE).div_ceil(WEIGHT)
    }
}

/// Times per class of size.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sized {
    classes: [Observed; CLASSES],
    sizes: &'static [u64; CLASSES],
    /// Bytes or tokens per millisecond, assumed.
    rate: u64,
}

impl Sized {
    fn new(sizes: &'static [u64; CLASSES], (median, p99): (u64, u64), rate: u64) -> Sized {
        let classes = sizes.map(|size| Observed::new(median + size / rate, p99 + size / rate));
        Sized { classes, sizes, rate }
    }

    fn of(&self, size: u64) -> usize {
        self.sizes.iter().position(|most| size <= *most).unwrap_or(CLASSES - 1)
    }

    fn learn(&mut self, now: Mono, size: u64, took: Span) {
        self.classes[self.of(size)].learn(now, took);
    }

    fn quantile(&self, now: Mono, size: u64, permille: u32) -> Span {
        let (nearest, more, less) = self.nearest(now, size);
        let told = self.classes[nearest].quantile(now, permille);
        // What is fixed about an answer is not known from large ones: at least half of it is assumed to be.
        told.plus(more).minus(less).max(told.part(2))
    }

    fn beyond(&self, now: Mono, size: u64, time: Span) -> Chance {
        let (nearest, more, less) = self.nearest(now, size);
        // The way of `quantile`, backwards: what the difference in size takes is taken from the time, or given to it.
        self.classes[nearest].beyond(now, time.minus(more).plus(less.min(time)))
    }

    /// The class to read for this size, and what has to be added to what it says, and taken from it.
    fn nearest(&self, now: Mono, size: u64) -> (usize, Span, Span) {
        let class = self.of(size);
        let seen = |of: &usize| self.classes[*of].count(now) > 0;
        let nearest = (0..CLASSES).filter(seen).min_by_key(|of| of.abs_diff(class)).unwrap_or(class);
        let moved = |size: u64| Span::from_nanos(size.saturating_mul(1_000_000) / self.rate);
        let (wanted, known) = (self.sizes[class], self.sizes[nearest]);
        (nearest, moved(wanted.saturating_sub(known)), moved(known.saturating_sub(wanted)))
    }
}

/// How often a site fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failures {
    answers: Histogram<2, 0>,
}

/// What was observed of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// By the payload.
    whole: Sized,
    /// By the prompt.
    first: Sized,
    each: Observed,
    failures: Failures,
}

impl Latency {
    /// Nothing observed yet of a site in this zone.
    pub fn new(zone: Zone) -> Latency {
        let (whole, bytes, first, tokens, each) = match zone {
            Zone::Device => ((10, 200), 1_000_000, (400, 2_000), 1, (50, 200)),
            Zone::Premises => ((20, 400), 50_000, (300, 2_000), 4, (25, 100)),
            Zone::Region => ((60, 1_000), 5_000, (350, 2_000), 10, (20, 80)),
            Zone::Cloud => ((150, 2_500), 2_500, (350, 2_000), 10, (20, 80)),
        };
        // The time of a short prompt has its reading in it.
        let reading = PROMPTS[0] / tokens;
        let first = (first.0 - reading.min(first.0), first.1 - reading.min(first.1));
        Latency {
            whole: Sized::new(&SIZES, whole, bytes),
            first: Sized::new(&PROMPTS, first, tokens),
            each: Observed::new(each.0, each.1),
            failures: Failures::default(),
        }
    }

    /// A request with `bytes` of payload was answered after `took`. That of a failure is not learnt here: a refused
    /// connection is quick and says nothing of an answer.
    pub fn learn(&mut self, now: Mono, bytes: u64, took: Span) {
        self.whole.learn(now, bytes, took);
        self.failures.answers.learn(now, LIFE, 0);
    }

    /// No answer came for as long as `waited`: the answer takes at least that. Nor did any of it, if there was a `prompt`.
    pub fn learn_at_least(&mut self, now: Mono, (bytes, prompt): (u64, u32), waited: Span, permille: u32) {
        if waited > self.quantile(now, bytes, permille) {
            self.whole.learn(now, bytes, waited);
        }
        if prompt > 0 && waited > self.first_token(now, prompt, permille) {
            self.first.learn(now, prompt.into(), waited);
        }
    }

    /// A request failed.
    pub fn learn_failed(&mut self, now: Mono) {
        self.failures.answers.learn(now, LIFE, 1);
    }

    /// The answer to a prompt of so many tokens began after `took`. For such a request that is the answer: [`Latency::learn`] is
    /// for the others.
    pub fn learn_first(&mut self, now: Mono, prompt: u32, took: Span) {
        self.first.learn(now, prompt.into(), took);
        self.failures.answers.learn(now, LIFE, 0);
    }

    /// A streamed answer had `tokens` more after its first, in `took`.
    pub fn learn_tokens(&mut self, now: Mono, tokens: u32, took: Span) {
        if tokens > 0 {
            self.each.learn(now, took.part(u64::from(tokens)));
        }
    }

    /// In what time an answer to `bytes` of payload comes in `permille` of a thousand cases.
    pub fn quantile(&self, now: Mono, bytes: u64, permille: u32) -> Span {
        self.whole.quantile(now, bytes, permille)
    }

    /// In what time the first token of the answer to a prompt of so many tokens comes in `permille` of a thousand cases.
    pub fn first_token(&self, now: Mono, prompt: u32, permille: u32) -> Span {
        self.first.quantile(now, prompt.into(), permille)
    }

    /// The chance that the first token takes longer than `time`.
    pub fn first_token_beyond(&self, now: Mono, prompt: u32, time: Span) -> Chance {
        self.first.beyond(now, prompt.into(), time)
    }

    /// The chance that an answer to `bytes` of payload takes longer than `time`.
    pub fn beyond(&self, now: Mono, bytes: u64, time: Span) -> Chance {
        self.whole.beyond(now, bytes, time)
    }

    /// In what time each further token comes, as the mean of an answer, in `permille` of a thousand answers.
    pub fn per_token(&self, now: Mono, permille: u32) -> Span {
        self.each.quantile(now, permille)
    }

    /// In what time an answer of `tokens` to a prompt is whole in `permille` of a thousand cases: both parts slow at once, which is
    /// no less than the truth unless they help each other.
    pub fn streamed(&self, now: Mono, prompt: u32, tokens: u32, permille: u32) -> Span {
        let more = u64::from(tokens.saturating_sub(1));
        self.first_token(now, prompt, permille).plus(self.per_token(now, permille).times(more))
    }

    /// Observations of this size that count now, old ones for less than one.
    pub fn count(&self, now: Mono, bytes: u64) -> u32 {
        self.whole.classes[self.whole.of(bytes)].count(now)
    }

    /// Observations of prompts of this length that count now.
    pub fn count_streams(&self, now: Mono, prompt: u32) -> u32 {
        self.first.classes[self.first.of(prompt.into())].count(now)
    }

    /// How many of a thousand requests fail.
    pub fn failed_permille(&self, now: Mono) -> u32 {
        let answers = &self.failures.answers;
        let (failed, all) = (answers.more_than(0), answers.weight(now, LIFE));
        let failed = failed.checked_shr(answers.halvings(now, LIFE)).unwrap_or(0);
        u32::try_from(failed * 1000 / u64::from(all + BELIEVED_ANSWERS * WEIGHT)).unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZONES: [Zone; 4] = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];

    fn at(seconds: u64) -> Mono {
        Span::from_millis(seconds * 1000).from(Mono::default())
    }

    fn ms(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    /// Whether `told` is `expected`, or above it by no more than `more` percent.
    fn about(told: Span, expected: u64, more: u64) -> bool {
        told >= ms(expected) && told <= Span::from_nanos(ms(expected).as_nanos() / 100 * (100 + more))
    }

    #[test]
    fn a_site_of_which_nothing_is_known_is_as_its_zone_is() {
        for (zone, median, p99) in
            [(Zone::Device, 10, 200), (Zone::Premises, 20, 400), (Zone::Region, 60, 1_000), (Zone::Cloud, 150, 2_500)]
        {
            let site = Latency::new(zone);
            let told = site.quantile(at(0), 100, 990);
            assert!(about(told, p99, 15), "{zone:?}: {told:?}");
            let (below, above) = (site.quantile(at(0), 100, 500), site.quantile(at(0), 100, 501));
            assert!(below <= ms(median * 115 / 100) && above >= ms(median), "{zone:?}: {below:?}, {above:?}");
            assert_eq!((site.count(at(0), 100), site.failed_permille(at(0))), (0, 0));
        }
    }

    #[test]
    fn farther_is_slower_and_larger_is_slower_before_anything_is_seen() {
        for permille in [100, 500, 900, 990] {
            let of = |zone| Latency::new(zone).quantile(at(0), 1, permille);
            assert!(ZONES.map(of).is_sorted(), "{permille}");
            for zone in ZONES {
                let site = Latency::new(zone);
                let sizes = [1, 5 << 10, 65 << 10, 2 << 20, 1 << 30].map(|bytes| site.quantile(at(0), bytes, permille));
                assert!(sizes.is_sorted(), "{zone:?} {permille}: {sizes:?}");
            }
        }
    }

    #[test]
    fn after_a_dozen_answers_the_median_is_theirs_and_the_tail_still_doubted() {
        let mut site = Latency::new(Zone::Cloud);
        (0..12).for_each(|second| site.learn(at(second), 100, ms(40)));
        assert!(about(site.quantile(at(12), 100, 500), 40, 13));
        assert!(site.quantile(at(12), 100, 990) > ms(500));
        (12..110).for_each(|second| site.learn(at(second), 100, ms(40)));
        assert!(about(site.quantile(at(110), 100, 990), 40, 13));
        assert_eq!(site.count(at(12), 100 << 10), 0);
    }

    #[test]
    fn a_bad_hour_fades_while_nobody_asks() {
        let mut site = Latency::new(Zone::Premises);
        (0..100).for_each(|second| site.learn(at(second), 100, ms(30_000)));
        (0..100).for_each(|second| site.learn_failed(at(second)));
        assert!(site.quantile(at(100), 100, 500) >= ms(30_000));
        assert!((400..600).contains(&site.failed_permille(at(100))));
        assert!(site.quantile(at(3 * 3600), 100, 500) < ms(30));
        assert!(site.failed_permille(at(3 * 3600)) < 10);
    }

    #[test]
    fn a_size_not_seen_is_read_from_its_neighbour_and_the_link() {
        let mut site = Latency::new(Zone::Cloud);
        (0..500).for_each(|_| site.learn(at(1), 60 << 10, ms(200)));
        let of = |bytes| site.quantile(at(1), bytes, 500);
        // 960 KiB more at 2.5 MB/s are 393 ms; 60 KiB less are 24 ms.
        assert!(about(of(1 << 20), 593, 5), "{:?}", of(1 << 20));
        assert!(about(of(1), 176, 14), "{:?}", of(1));
        (0..500).for_each(|_| site.learn(at(1), 900 << 10, ms(250)));
        assert!(about(site.quantile(at(1), 1 << 20, 500), 250, 13), "seen for itself");
    }

    #[test]
    fn the_chance_of_more_and_the_quantile_say_the_same() {
        let mut site = Latency::new(Zone::Cloud);
        let late = |site: &Latency, bytes, time| site.beyond(at(1), bytes, time).get() * 1000 / Chance::SURE.get();
        assert!((400..600).contains(&late(&site, 1, ms(150))), "{}", late(&site, 1, ms(150)));
        assert!(late(&site, 1, ms(2_900)) <= 10 && late(&site, 1, ms(2_000)) >= 5);
        assert!(
            (10..=30).contains(&(site.first_token_beyond(at(1), 100, ms(1_900)).get() * 1000 / Chance::SURE.get()))
        );
        (0..500).for_each(|took| site.learn(at(1), 60 << 10, ms(100 + took)));
        assert!((490..510).contains(&late(&site, 60 << 10, ms(350))), "{}", late(&site, 60 << 10, ms(350)));
        // A larger one takes 393 ms more, a smaller one 24 ms less.
        assert!((490..510).contains(&late(&site, 1 << 20, ms(743))), "{}", late(&site, 1 << 20, ms(743)));
        assert!((490..515).contains(&late(&site, 1, ms(326))), "{}", late(&site, 1, ms(326)));
    }

    #[test]
    fn no_answer_for_long_teaches_that_it_takes_longer() {
        let mut site = Latency::new(Zone::Premises);
        (0..20).for_each(|_| site.learn(at(1), 1, ms(20)));
        (0..20).for_each(|_| site.learn_at_least(at(1), (1, 0), ms(5), 990));
        assert!(about(site.quantile(at(1), 1, 500), 20, 13), "it waited for less than it takes");
        (0..60).for_each(|_| site.learn_at_least(at(1), (1, 0), ms(9_000), 500));
        assert!(site.quantile(at(1), 1, 500) >= ms(9_000));
    }

    #[test]
    fn a_stream_takes_its_first_token_and_the_others() {
        let mut site = Latency::new(Zone::Cloud);
        assert!(about(site.first_token(at(0), 100, 990), 2_000, 15));
        for second in 0..300 {
            site.learn_first(at(second), 100, ms(100));
            site.learn_tokens(at(second), 50, ms(500));
            site.learn_tokens(at(second), 0, ms(500));
        }
        assert!(about(site.first_token(at(300), 100, 500), 100, 13));
        assert!(about(site.per_token(at(300), 500), 10, 13));
        assert!(about(site.streamed(at(300), 100, 101, 500), 1_100, 13));
        assert_eq!((site.count_streams(at(300), 100), site.count(at(300), 1)), (300, 0));
        assert_eq!(site.streamed(at(300), 100, 0, 500), site.first_token(at(300), 100, 500));
        site.learn_failed(at(300));
        assert!(site.failed_permille(at(300)) < 5, "one of 301");
    }

    #[test]
    fn a_long_prompt_is_read_from_short_ones_and_the_reading_until_one_was_seen() {
        let mut site = Latency::new(Zone::Premises);
        (0..300).for_each(|second| site.learn_first(at(second), 200, ms(100)));
        let of = |site: &Latency, prompt| site.first_token(at(300), prompt, 500);
        // 32,256 tokens more at 4,000 a second.
        assert!(about(of(&site, 20_000), 100 + 8_064, 5), "{:?}", of(&site, 20_000));
        (0..300).for_each(|_| site.learn_first(at(300), 20_000, ms(3_000)));
        assert!(about(of(&site, 20_000), 3_000, 13), "seen for itself: {:?}", of(&site, 20_000));
        assert!(about(of(&site, 200), 100, 13));
        (0..900).for_each(|_| site.learn_at_least(at(300), (1, 200), ms(9_000), 500));
        assert!(of(&site, 200) >= ms(9_000), "nothing came for longer");
    }

    proptest! {
        #[test]
        fn quantiles_are_the_exact_ones_within_an_eighth_once_the_belief_is_outweighed(
            mut took in proptest::collection::vec(1_000_000..20_000_000_000_u64, 500..900),
            permille in 100..900_u32,
        ) {
            let mut site = Latency::new(Zone::Region);
            took.iter().for_each(|nanos| site.learn(at(1), 1, Span::from_nanos(*nanos)));
            took.sort_unstable();
            let told = site.quantile(at(1), 1, permille).as_nanos();
            // Five believed observations move the rank by no more than five.
            let rank = took.len() * permille as usize / 1000;
            let (least, most) = (took[rank.saturating_sub(7)], took[(rank + 7).min(took.len() - 1)]);
            prop_assert!(told >= least && told <= most + most / 8, "{least}..{most}: {told}");
        }

        #[test]
        fn the_same_observations_give_the_same_answers_and_never_none(
            seen in proptest::collection::vec((0..4_000_u64, 0..u64::MAX, 0..u64::MAX), 0..100),
        ) {
            let mut now = 0;
            let mut twins = [Latency::new(Zone::Cloud), Latency::new(Zone::Cloud)];
            for (wait, bytes, took) in seen {
                now += wait;
                for site in &mut twins {
                    site.learn(at(now), bytes >> (took % 64), Span::from_nanos(took));
                    if took % 3 == 0 { site.learn_failed(at(now)) }
                }
                prop_assert!(twins[0].quantile(at(now), bytes, 999) < Span::MAX);
                prop_assert!(twins[0].failed_permille(at(now)) <= 1000);
            }
            prop_assert_eq!(&twins[0], &twins[1]);
        }
    }
}
