//! What the driver is to do. An action contains no choice: whoever carries it out needs no policy.

use core::time::Duration;

use crate::chunks::Size;
use crate::governor::{Cause, Regime};
use crate::id::{HostId, LaneId, ModelId, RequestId};
use crate::members::Ids;
use crate::request::DataClass;
use crate::units::Mono;
use crate::verdict::{Outcome, Verdict};

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// The request was accepted (not emitted for a refused one, which is only settled).
    Accept {
        /// Which request.
        id: RequestId,
        /// Why and where.
        verdict: Verdict,
        /// Effective data class after ceiling and default.
        class: DataClass,
        /// Effective deadline.
        deadline: Mono,
        /// Predicted time until completion; `None` if nothing is known of the model yet.
        predicted: Option<Duration>,
    },
    /// The request runs in chunks of this size, from its first row on, or from the first one that was not asked for yet: for each
    /// chunk [`Event::Arrived`](crate::Event::Arrived) follows with it as the parent and its rows as the cost, at most the
    /// policy's `fan_out` of them open at the same time, and [`Event::Finished`](crate::Event::Finished) when their answers
    /// are put together.
    Divide {
        /// Which request.
        id: RequestId,
        /// Rows of each chunk.
        size: Size,
    },
    /// Decode the payload; answered by [`Event::Prepared`](crate::Event::Prepared). May come again for the same request
    /// (the host died, or its run failed and is tried again), so the payload is kept until it is settled.
    Prepare {
        /// Which request.
        id: RequestId,
        /// For which model; another one than it came for if it was moved.
        model: ModelId,
    },
    /// Run these requests together on this lane, behind the batch that it may run already; answered by
    /// [`Event::BatchDone`](crate::Event::BatchDone). A member may be run again after a failure.
    RunBatch {
        /// On which lane.
        lane: LaneId,
        /// Of which model.
        model: ModelId,
        /// Its members, at least one.
        ids: Ids,
    },
    /// Drop what the engine host holds decoded for this request: it will be decoded again, maybe elsewhere.
    Forget {
        /// Which request.
        id: RequestId,
    },
    /// Drop what the engine host holds for this request, and stop it if it runs alone. Its settlement follows at once;
    /// the answers to `Prepare` and `RunBatch` are still awaited.
    Abort {
        /// Which request.
        id: RequestId,
    },
    /// The request ended; reply, forget its payload. The only action for a request that was refused.
    Settle {
        /// Which request.
        id: RequestId,
        /// How it ended.
        outcome: Outcome,
    },
    /// End an engine host: a lane, or what is being decoded for its model, does not answer. Nothing more is sent to the
    /// host until [`Event::HostDown`](crate::Event::HostDown) and what follows it.
    RestartHost {
        /// Which host.
        host: HostId,
        /// The lane that does not answer.
        lane: LaneId,
    },
    /// Tell the outside about a change.
    Announce(Change),
}

/// A change that the outside is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Draining began.
    Draining,
    /// Draining, and nothing is left.
    Drained,
    /// Requests are taken again.
    Serving,
    /// Another regime.
    Regime {
        /// The one before.
        from: Regime,
        /// The one since now.
        to: Regime,
        /// Why.
        cause: Cause,
    },
}
