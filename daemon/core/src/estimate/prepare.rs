//! How long decoding a payload takes, learnt per size, and what the decoded request then costs to run.

use crate::estimate::mean::Mean;
use crate::units::{Bytes, Cost, Span};

/// Payloads are counted in blocks of this size, plus one for what every payload costs.
const BLOCK: u64 = 4096;
/// Fixed-point scale of the time per block.
const SCALE: u64 = 16;

/// The blocks that a payload counts as.
pub fn blocks(bytes: Bytes) -> u64 {
    1 + bytes.0 / BLOCK
}

/// Preparation times of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrepareTimes {
    per_block: Mean,
    cost: Mean,
}

impl PrepareTimes {
    /// A payload of `bytes` was decoded in `took` and turned out to cost `cost`.
    pub fn learn(&mut self, bytes: Bytes, took: Span, cost: Cost) {
        self.per_block.learn(took.times(SCALE).as_nanos() / blocks(bytes));
        self.cost.learn(u64::from(cost.units()));
    }

    /// How long payloads of `blocks` together take; zero if none was measured.
    pub fn work(&self, blocks: u64) -> Span {
        Span::from_nanos(self.per_block.get().unwrap_or(0)).times(blocks).part(SCALE)
    }

    /// What a request that is not decoded yet is expected to cost.
    pub fn expected_cost(&self) -> u64 {
        self.cost.get().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_cost_are_learnt_per_size() {
        let mut times = PrepareTimes::default();
        assert_eq!((times.work(100), times.expected_cost()), (Span::ZERO, 1));
        times.learn(Bytes(9 * BLOCK), Span::from_millis(5), Cost::new(3));
        assert_eq!(times.work(blocks(Bytes(9 * BLOCK))), Span::from_millis(5));
        assert_eq!(times.work(blocks(Bytes(19 * BLOCK))), Span::from_millis(10));
        assert_eq!(times.work(blocks(Bytes(0))), Span::from_nanos(500_000));
        assert_eq!(times.expected_cost(), 3);
    }
}
