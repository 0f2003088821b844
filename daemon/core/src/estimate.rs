//! Decides how long things will take, from how long they took: running a batch, preparing a payload, restarting the
//! host. Must not know requests, queues or deadlines.
//!
//! All means are exponentially weighted, of whole nanoseconds: the same completions give the same estimates on every
//! machine. Unknown is `None`, never zero.

pub mod arrivals;
pub mod batch_size;
pub mod chance;
pub mod doubts;
pub mod fan_out;
pub mod histogram;
pub mod late;
pub mod latency;
pub mod mean;
pub mod prepare;
pub mod rate;
pub mod restart;
pub mod service;
pub mod works;

use crate::units::Span;

/// Estimated work in the two stages that a request passes. They have workers of their own and go on side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Decoding payloads.
    pub prepare: Span,
    /// Running models.
    pub run: Span,
}

impl Demand {
    /// This and `other` together.
    pub const fn plus(self, other: Demand) -> Demand {
        Demand { prepare: self.prepare.plus(other.prepare), run: self.run.plus(other.run) }
    }

    /// What is left of this without `other`.
    pub const fn minus(self, other: Demand) -> Demand {
        Demand { prepare: self.prepare.minus(other.prepare), run: self.run.minus(other.run) }
    }
}
