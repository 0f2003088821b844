//! What happens to the core. Events carry no time: [`Scheduler::handle`](crate::Scheduler::handle) gets it beside them.

use core::time::Duration;

use crate::governor::Sample;
use crate::id::{ClientId, HostId, LaneId, ModelId, RequestId, SiteId};
use crate::members::Results;
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::site::{NanoUsd, Tokens};
use crate::stages::Stages;
use crate::units::{Bytes, Cost};
use crate::verdict::{Fault, SiteFault};

/// The lanes of one model: `count` ids from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRange {
    /// First lane.
    pub first: LaneId,
    /// Number of lanes, at least one.
    pub count: u16,
}

/// What the driver says of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// Being loaded; requests may wait for it if it is expected in time. What was decoded for it is decoded again.
    Loading,
    /// Loaded on these lanes; others that it had end after what they run.
    Ready {
        /// Its lanes.
        lanes: LaneRange,
        /// Largest batch that the manifest allows.
        max_batch: u16,
        /// Deadline of requests that name none.
        default_deadline: Option<Duration>,
    },
    /// Cannot be served: its load failed, or it was unloaded. Waiting requests are shed; what runs may end.
    Unavailable,
}

/// What became of one attempt at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Which request.
    pub id: RequestId,
    /// Where it was sent.
    pub site: SiteId,
    /// Its payload.
    pub bytes: Bytes,
    /// What the action said that it would cost.
    pub reserved: NanoUsd,
    /// What it read and wrote, or why there is no answer.
    pub result: Result<Tokens, SiteFault>,
    /// Whether any of the payload left the box.
    pub sent: bool,
    /// From the action to the end.
    pub took: Duration,
}

/// What happens to the core.
#[expect(
    clippy::large_enum_variant,
    reason = "an event lives for one call; results in place cost a copy, in a box an allocation per batch"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A request came in; only its header was read.
    Arrived(RequestMeta),
    /// A request for a pipeline came in; its model is the pipeline, which is never said to be ready. It runs nothing: its
    /// stages follow as [`Event::Arrived`] with its id as their parent, as long as it is open.
    ParentArrived {
        /// Its header.
        meta: RequestMeta,
        /// The models that it goes through.
        stages: Stages,
        /// Deadline of requests that name none.
        default_deadline: Option<Duration>,
    },
    /// The driver has the result of a pipeline request or of one that was divided, or cannot make it. Children that are still
    /// open are cancelled.
    Finished {
        /// Which request.
        id: RequestId,
        /// Whether there is one.
        result: Result<(), Fault>,
    },
    /// A payload was decoded, or could not be. Sent once for every [`Action::Prepare`](crate::Action::Prepare), also
    /// when the request was settled meanwhile: the decoder's place is taken until then.
    Prepared {
        /// Which request.
        id: RequestId,
        /// Its cost once decoded.
        result: Result<Cost, Fault>,
        /// How long decoding took, without waiting.
        took: Duration,
    },
    /// A batch ended, one result per member; sent once for every [`Action::RunBatch`](crate::Action::RunBatch), in the
    /// order in which the lane got them, also when members were settled meanwhile. A member without a result counts as
    /// failed with [`Fault::Runtime`].
    BatchDone {
        /// On which lane.
        lane: LaneId,
        /// How long the model ran, without waiting in the host.
        took: Duration,
        /// One result per member.
        results: Results,
    },
    /// The caller does not want the reply any more.
    Cancelled {
        /// Which request.
        id: RequestId,
    },
    /// A client left: everything it waits for is cancelled.
    ClientLeft {
        /// Who.
        client: ClientId,
    },
    /// The daemon ends before this is done, and its caller is cut off: it is dropped with a reason.
    CutOff {
        /// Which request.
        id: RequestId,
    },
    /// A model was loaded, failed, or went away.
    ModelState {
        /// Which model.
        model: ModelId,
        /// Its state from now on.
        state: ModelState,
    },
    /// A model was timed when it was loaded (its golden inputs): a first estimate, before any request ran.
    Measured {
        /// Which model.
        model: ModelId,
        /// Members of the batch that was timed, each of cost 1.
        batch: u16,
        /// How long it ran.
        took: Duration,
    },
    /// The plan that was measured on this device says this of a batch of a model: what its runs are held against.
    Planned {
        /// Which model.
        model: ModelId,
        /// Members of the batch, each of cost 1.
        batch: u16,
        /// How long it ran.
        took: Duration,
    },
    /// Readings of the machine, about once a second.
    Sampled(Box<Sample>),
    /// Somebody reserves the box: nothing is run until nobody does.
    Held(bool),
    /// A model is run on this host from now on. Told before anything else of the model and while nothing of it runs; the
    /// first host until then.
    Placed {
        /// Which model.
        model: ModelId,
        /// Where.
        host: HostId,
    },
    /// What waits for one model waits for another one that gives the same answers, and what fails there is tried again
    /// here; what runs may end. What was decoded is decoded again.
    Moved {
        /// From this one.
        from: ModelId,
        /// To this one.
        to: ModelId,
    },
    /// One request waits for another model, which answers it as well, unless it runs or was decoded already.
    Follow {
        /// Which request.
        id: RequestId,
        /// For this one from now on.
        to: ModelId,
    },
    /// An engine host died: what was on it was reported before by `BatchDone` and `Prepared` with
    /// [`Fault::HostLost`] or [`Fault::Hung`] (from the first of these on nothing more is sent to it; what was not
    /// reported counts as lost now). What it had decoded is gone, and its models count as coming back.
    HostDown {
        /// Which host.
        host: HostId,
    },
    /// An engine host is back; its models follow by `ModelState`. A model that is ready on a host that was down says the
    /// same.
    HostUp {
        /// Which host.
        host: HostId,
    },
    /// An attempt at a site ended; sent once for every [`Action::Spill`](crate::Action::Spill), also when it was called off
    /// or the request was settled meanwhile.
    SiteDone(Trip),
    /// The first piece of a site's answer was given to the caller: the rest comes from that site, or not at all. Another one that
    /// is at the request is called off, none is asked any more, and a fault of this one is the end.
    SiteBegan {
        /// Which request.
        id: RequestId,
        /// Whose answer it is.
        site: SiteId,
    },
    /// A site was asked how it is, and answered or did not.
    SiteProbed {
        /// Which one.
        site: SiteId,
        /// What it said.
        result: Result<(), SiteFault>,
    },
    /// What a site says of itself, or what is known of the way there.
    SiteLoad {
        /// Which one.
        site: SiteId,
        /// It cannot be used at all: it takes nothing, or what says who this box is there is missing.
        off: bool,
        /// How long a request waits there before it is begun with.
        wait: Duration,
    },
    /// What was spent at a site today, before the requests that are open there now: told at the start, and when a day begins.
    Spent {
        /// Where.
        site: SiteId,
        /// So much.
        today: NanoUsd,
    },
    /// An answer of this box was looked at; comes for every [`Action::Check`](crate::Action::Check).
    Checked {
        /// Of which request.
        id: RequestId,
        /// Whether a stronger site should be asked.
        doubtful: bool,
    },
    /// So many requests wait on the disk.
    Deferred {
        /// How many.
        waiting: u64,
    },
    /// What [`Action::TakeUp`](crate::Action::TakeUp) asked for has arrived, so far as there was any.
    TakenUp,
    /// The operator's settings changed.
    Policy(Box<Policy>),
    /// Take nothing new, finish what was accepted.
    Drain,
    /// Take requests again.
    Resume,
    /// Nothing happened but time: sent when `poll_deadline` is reached.
    Tick,
}
