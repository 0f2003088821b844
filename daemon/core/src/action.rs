//! What the driver is to do. An action contains no choice: whoever carries it out needs no policy.

use core::time::Duration;

use crate::chunks::Size;
use crate::governor::{Cause, Regime};
use crate::id::{HostId, LaneId, ModelId, RequestId, SiteId};
use crate::members::Ids;
use crate::request::DataClass;
use crate::site::NanoUsd;
use crate::units::Mono;
use crate::verdict::{Outcome, Reason, Verdict};

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
    /// Send the request to a site; answered by [`Event::SiteDone`](crate::Event::SiteDone). May come again for the same
    /// request and another site, also while the first one has not answered.
    Spill {
        /// Which request.
        id: RequestId,
        /// Where.
        site: SiteId,
        /// Why it is not, or not only, served by this box.
        reason: Reason,
        /// What it is expected to cost; given back with the event.
        reserved: NanoUsd,
    },
    /// The answer of this site is not wanted any more; its event still comes.
    CallOff {
        /// To which request.
        id: RequestId,
        /// Whose.
        site: SiteId,
    },
    /// The request is served by this box after all.
    Stay {
        /// Which request.
        id: RequestId,
        /// Why.
        reason: Reason,
    },
    /// Look at the answer of this box; answered by [`Event::Checked`](crate::Event::Checked).
    Check {
        /// To which request.
        id: RequestId,
    },
    /// Ask a site how it is; answered by [`Event::SiteProbed`](crate::Event::SiteProbed).
    Probe {
        /// Which one.
        site: SiteId,
    },
    /// Bring up to so many of the requests that wait on the disk, the most urgent first, each as
    /// [`Event::Arrived`](crate::Event::Arrived); then [`Event::TakenUp`](crate::Event::TakenUp).
    TakeUp {
        /// At most.
        most: u16,
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
    /// The gate of a site changed.
    Site {
        /// Which one.
        site: SiteId,
        /// Requests may be sent there.
        passing: bool,
    },
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
