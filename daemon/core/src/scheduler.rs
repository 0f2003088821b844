//! The facade: events and a time in, actions and the next deadline out. The only module that knows all the others.

use core::time::Duration;

use crate::id::{ClientId, LaneId, ModelId, RequestId};
use crate::policy::Policy;
use crate::request::{DataClass, RequestMeta};
use crate::units::{Cost, Mono};
use crate::verdict::{Fault, Outcome, Verdict};

/// Request ids of one batch, held in place so that a decision allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    len: u8,
    ids: [RequestId; Ids::CAPACITY],
}

impl Ids {
    /// Most members of one batch.
    pub const CAPACITY: usize = 32;

    /// No ids.
    pub const fn new() -> Ids {
        Ids { len: 0, ids: [RequestId(0); Ids::CAPACITY] }
    }

    /// Adds one id; `false` if there is no room.
    pub fn push(&mut self, id: RequestId) -> bool {
        match self.ids.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = id;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The ids in order.
    pub fn as_slice(&self) -> &[RequestId] {
        self.ids.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for Ids {
    fn default() -> Ids {
        Ids::new()
    }
}

/// How one member of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberResult {
    /// Which request.
    pub id: RequestId,
    /// Whether the model ran for it.
    pub result: Result<(), Fault>,
}

/// Results of one batch, one per member, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    len: u8,
    items: [MemberResult; Ids::CAPACITY],
}

impl Results {
    /// No results.
    pub const fn new() -> Results {
        Results { len: 0, items: [MemberResult { id: RequestId(0), result: Ok(()) }; Ids::CAPACITY] }
    }

    /// Adds one result; `false` if there is no room.
    pub fn push(&mut self, item: MemberResult) -> bool {
        match self.items.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = item;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The results in order.
    pub fn as_slice(&self) -> &[MemberResult] {
        self.items.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for Results {
    fn default() -> Results {
        Results::new()
    }
}

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
    /// Being loaded; requests may wait for it.
    Loading,
    /// Loaded on these lanes.
    Ready {
        /// Its lanes.
        lanes: LaneRange,
        /// Largest batch that the manifest allows.
        max_batch: u16,
        /// Deadline of requests that name none.
        default_deadline: Option<Duration>,
    },
    /// Cannot be served: its load failed, or it was unloaded. Waiting requests are shed.
    Unavailable,
}

/// What happens to the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A request came in; only its header was read.
    Arrived(RequestMeta),
    /// A payload was decoded, or could not be.
    Prepared {
        /// Which request.
        id: RequestId,
        /// Its cost once decoded.
        result: Result<Cost, Fault>,
        /// How long decoding took, without waiting.
        took: Duration,
    },
    /// A batch ended, one result per member.
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
    /// A model was loaded, failed, or went away.
    ModelState {
        /// Which model.
        model: ModelId,
        /// Its state from now on.
        state: ModelState,
    },
    /// The engine host died: what was on it was reported before by `BatchDone` and `Prepared` with
    /// [`Fault::HostLost`] or [`Fault::Hung`]; what it had decoded is gone.
    HostDown,
    /// The engine host is back; its models follow by `ModelState`.
    HostUp,
    /// The operator's settings changed.
    Policy(Box<Policy>),
    /// Take nothing new, finish what was accepted.
    Drain,
    /// Take requests again.
    Resume,
    /// Nothing happened but time: sent when `poll_deadline` is reached.
    Tick,
}

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
    /// Decode the payload.
    Prepare {
        /// Which request.
        id: RequestId,
    },
    /// Run these requests together on this lane.
    RunBatch {
        /// On which lane.
        lane: LaneId,
        /// Of which model.
        model: ModelId,
        /// Its members, at least one.
        ids: Ids,
    },
    /// Drop what the engine host holds for this request, and stop it if it runs alone.
    Abort {
        /// Which request.
        id: RequestId,
    },
    /// The request ended; reply, forget its payload.
    Settle {
        /// Which request.
        id: RequestId,
        /// How it ended.
        outcome: Outcome,
    },
    /// End the engine host: a lane does not answer.
    RestartHost {
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
}

/// The state machine.
#[derive(Debug)]
pub struct Scheduler {
    _policy: Policy,
}

impl Scheduler {
    /// A scheduler without models, with room for everything that `policy` bounds.
    pub fn new(policy: Policy) -> Scheduler {
        Scheduler { _policy: policy }
    }

    /// Takes one event that happened at `now`. Times never go backwards.
    pub fn handle(&mut self, _now: Mono, _event: Event) {}

    /// The next thing to do, if any. Call until `None` after each `handle`.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// Call `handle` with [`Event::Tick`] no later than this.
    pub fn poll_deadline(&self) -> Option<Mono> {
        None
    }

    /// What status prints.
    pub fn snapshot(&self) -> crate::snapshot::Snapshot {
        crate::snapshot::Snapshot::default()
    }
}
