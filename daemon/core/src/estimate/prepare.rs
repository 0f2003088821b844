//! How long decoding a payload takes, and what the decoded request then costs to run, learnt per class of size.
//!
//! Time does not grow with the compressed bytes alone: a small file has a fixed part that says nothing of a large one, and
//! a plain picture of 3 KB may decode as long as a photograph of 500 KB. So sizes are learnt in classes that double, and
//! a class that has not been seen lately is guessed from its neighbours: good enough to plan with, no reason to refuse.

use crate::estimate::mean::Mean;
use crate::estimate::service::is_fresh;
use crate::units::{Bytes, Cost, Mono, Span};

/// Payloads are counted in blocks of this size, plus one for what every payload costs.
const BLOCK: u64 = 4096;
/// Number of size classes; the last one holds all from 128 MiB on.
const CLASSES: usize = 16;

/// The blocks that a payload counts as.
pub fn blocks(bytes: Bytes) -> u64 {
    1 + bytes.0 / BLOCK
}

fn class_of(blocks: u64) -> usize {
    let bits = blocks.max(1).ilog2();
    usize::try_from(bits).map_or(CLASSES - 1, |class| class.min(CLASSES - 1))
}

/// What is known of payloads of about one size.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    took: Mean,
    cost: Mean,
    last: Option<Mono>,
}

impl Class {
    fn is_fresh(&self, now: Mono) -> bool {
        self.last.is_some_and(|last| is_fresh(last, now, self.took.span().unwrap_or(Span::ZERO)))
    }
}

/// Preparation times of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrepareTimes {
    classes: [Class; CLASSES],
}

impl PrepareTimes {
    /// A payload of `bytes` was decoded in `took` and turned out to cost `cost`.
    pub fn learn(&mut self, now: Mono, bytes: Bytes, took: Span, cost: Cost) {
        let class = &mut self.classes[class_of(blocks(bytes))];
        if !class.is_fresh(now) {
            class.took.distrust();
            class.cost.distrust();
        }
        class.last = Some(now);
        class.took.learn(took.as_nanos());
        class.cost.learn(u64::from(cost.units()));
    }

    /// Whether payloads of this size were decoded lately, so that what is known of them may be held against one.
    pub fn is_current(&self, now: Mono, blocks: u64) -> bool {
        self.classes[class_of(blocks)].is_fresh(now)
    }

    /// How long one payload of `blocks` takes by the best guess, however old; no time if none was measured.
    pub fn guess(&self, blocks: u64) -> Span {
        self.nearest(blocks, |class| &class.took).map_or(Span::ZERO, Span::from_nanos)
    }

    /// How long one payload of `blocks` takes by what is known now, else no time.
    pub fn at_least(&self, now: Mono, blocks: u64) -> Span {
        if self.is_current(now, blocks) { self.guess(blocks) } else { Span::ZERO }
    }

    /// How long `count` payloads of `blocks` together take by the best guess, as if they were alike.
    pub fn work(&self, count: u64, blocks: u64) -> Span {
        self.guess(blocks / count.max(1)).times(count)
    }

    /// What a request of `blocks` that is not decoded yet is expected to cost.
    pub fn expected_cost(&self, blocks: u64) -> u64 {
        self.nearest(blocks, |class| &class.cost).unwrap_or(1).max(1)
    }

    /// What it costs by what is known now, else the least there is.
    pub fn least_cost(&self, now: Mono, blocks: u64) -> u64 {
        if self.is_current(now, blocks) { self.expected_cost(blocks) } else { 1 }
    }

    /// The mean of the class; if it has none, of the next smaller one, else of the next larger one.
    fn nearest(&self, blocks: u64, mean: impl Fn(&Class) -> &Mean) -> Option<u64> {
        let class = class_of(blocks);
        let smaller = self.classes.iter().take(class + 1).rev().find_map(|class| mean(class).get());
        smaller.or_else(|| self.classes.iter().skip(class + 1).find_map(|class| mean(class).get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn sizes_fall_into_classes_that_double() {
        for (bytes, class) in [(0, 0), (4095, 0), (4096, 1), (3 * BLOCK, 2), (500_000, 6), (u64::MAX, CLASSES - 1)] {
            assert_eq!(class_of(blocks(Bytes(bytes))), class, "{bytes} bytes");
        }
        assert_eq!(class_of(0), 0);
    }

    #[test]
    fn time_and_cost_are_learnt_per_class_of_size() {
        let mut times = PrepareTimes::default();
        assert_eq!((times.guess(100), times.expected_cost(100)), (Span::ZERO, 1));
        times.learn(at(1), Bytes(3000), Span::from_millis(100), Cost::new(3));
        let photograph = blocks(Bytes(500_000));
        assert_eq!(times.guess(photograph), Span::from_millis(100), "no more than what is known");
        assert_eq!(times.at_least(at(1), photograph), Span::ZERO, "and no reason to refuse");
        assert_eq!(times.at_least(at(1), 1), Span::from_millis(100));
        times.learn(at(1), Bytes(500_000), Span::from_millis(20), Cost::new(1));
        assert_eq!((times.guess(photograph), times.guess(1)), (Span::from_millis(20), Span::from_millis(100)));
        assert_eq!((times.expected_cost(photograph), times.expected_cost(1)), (1, 3));
    }

    #[test]
    fn many_payloads_take_as_long_as_so_many_of_their_average_size() {
        let mut times = PrepareTimes::default();
        times.learn(at(1), Bytes(0), Span::from_millis(1), Cost::ONE);
        times.learn(at(1), Bytes(8 * BLOCK), Span::from_millis(5), Cost::ONE);
        assert_eq!(times.work(10, 10), Span::from_millis(10));
        assert_eq!(times.work(10, 90), Span::from_millis(50));
        assert_eq!(times.work(0, 0), Span::ZERO);
        assert_eq!(times.work(u64::MAX, u64::MAX), Span::MAX);
    }

    #[test]
    fn an_old_class_is_no_reason_to_refuse_and_new_samples_replace_it() {
        let mut times = PrepareTimes::default();
        for _ in 0..8 {
            times.learn(at(1), Bytes(100), Span::from_millis(2000), Cost::new(9));
        }
        assert_eq!((times.at_least(at(11), 1), times.least_cost(at(11), 1)), (Span::from_millis(2000), 9));
        assert_eq!((times.at_least(at(12), 1), times.least_cost(at(12), 1)), (Span::ZERO, 1));
        assert_eq!(times.guess(1), Span::from_millis(2000));
        times.learn(at(60), Bytes(100), Span::from_millis(10), Cost::ONE);
        assert_eq!(times.at_least(at(60), 1), Span::from_millis(1005));
    }
}
