//! A driver that keeps nothing on the heap, to count what the core allocates and to time it.

use core::time::Duration;

use crate::action::Action;
use crate::event::{Event, LaneRange, ModelState, Trip};
use crate::id::{LaneId, ModelId, RequestId, SiteId};
use crate::members::{Ids, MemberResult, Results};
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::scheduler::Scheduler;
use crate::sim::arrivals::meta;
use crate::site::{NanoUsd, Tokens};
use crate::units::{Bytes, Cost, Mono, Span};
use crate::verdict::{Fault, Outcome, SiteFault};

/// Lanes that it can drive.
const LANES: usize = 8;
/// Attempts at sites that it keeps.
const AWAY: usize = 16;

/// What came of the actions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests accepted.
    pub accepted: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests done.
    pub done: u64,
    /// Requests that other sites answered.
    pub spilled: u64,
    /// Attempts at sites.
    pub attempts: u64,
    /// Requests that ended in any other way.
    pub lost: u64,
    /// Batches sent.
    pub batches: u64,
    /// Members of these.
    pub members: u64,
    /// Chunks that were accepted.
    pub chunks: u64,
}

/// A core and the work that it has given away.
#[derive(Debug)]
pub struct Pump {
    /// The core.
    pub core: Scheduler,
    /// What came of it.
    pub counts: Counts,
    now: Mono,
    next: u64,
    lanes: [[Option<Ids>; 2]; LANES],
    decoding: [Option<RequestId>; LANES],
    /// A request that was just divided, and the rows of its first chunk.
    divided: Option<(RequestId, u32)>,
    /// Attempts at sites that have not ended.
    away: [Option<(RequestId, SiteId, NanoUsd, Mono)>; AWAY],
    /// A site that is asked how it is, and an answer that is to be looked at.
    probing: Option<SiteId>,
    checking: Option<RequestId>,
}

impl Pump {
    /// A core with this policy and one model on `lanes` lanes (at most eight).
    pub fn new(policy: Policy, lanes: u16, max_batch: u16) -> Pump {
        let mut pump = Pump {
            core: Scheduler::new(policy),
            counts: Counts::default(),
            now: Mono::from_nanos(1),
            next: 0,
            lanes: [[None; 2]; LANES],
            decoding: [None; LANES],
            divided: None,
            away: [None; AWAY],
            probing: None,
            checking: None,
        };
        let lanes = LaneRange { first: LaneId(0), count: lanes };
        let state = ModelState::Ready { lanes, max_batch, default_deadline: None };
        pump.tell(Event::ModelState { model: ModelId(0), state });
        pump
    }

    /// Lets `span` pass.
    pub fn wait(&mut self, span: Span) {
        self.now = span.from(self.now);
    }

    /// The time.
    pub fn now(&self) -> Mono {
        self.now
    }

    /// A header for model 0 under the next id.
    pub fn meta(&mut self, client: u32) -> RequestMeta {
        self.next += 1;
        meta(self.next, client, 0)
    }

    /// Hands an event in and takes the actions.
    pub fn tell(&mut self, event: Event) {
        self.core.handle(self.now, event);
        while let Some(action) = self.core.poll_action() {
            self.take(&action);
        }
        if let Some(site) = self.probing.take() {
            self.tell(Event::SiteProbed { site, result: Ok(()) });
        }
        if let Some(id) = self.checking.take() {
            self.tell(Event::Checked { id, doubtful: false });
        }
        if let Some((parent, rows)) = self.divided.take() {
            let meta = RequestMeta { parent: Some(parent), cost: Cost::new(rows), ..self.meta(0) };
            let accepted = self.counts.accepted;
            self.tell(Event::Arrived(meta));
            self.counts.chunks += self.counts.accepted - accepted;
        }
    }

    /// The first batch on this lane ends, all members with `result`; whether there was one.
    pub fn finish(&mut self, lane: u16, took: Duration, result: Result<(), Fault>) -> bool {
        let Some(place) = self.lanes.get_mut(usize::from(lane)) else { return false };
        let Some(ids) = place[0].take() else { return false };
        place[0] = place[1].take();
        let mut results = Results::new();
        for id in ids.as_slice() {
            results.push(MemberResult { id: *id, result });
        }
        self.tell(Event::BatchDone { lane: LaneId(lane), took, results });
        true
    }

    /// Some payload is decoded; whether there was one.
    pub fn decoded(&mut self, took: Duration) -> bool {
        let Some(id) = self.decoding.iter_mut().find_map(Option::take) else { return false };
        self.tell(Event::Prepared { id, result: Ok(Cost::ONE), took });
        true
    }

    /// The oldest attempt at a site ends; whether there was one.
    pub fn answered(&mut self, result: Result<Tokens, SiteFault>) -> bool {
        let oldest = self.away.iter_mut().filter(|place| place.is_some()).min_by_key(|place| place.map(|it| it.3));
        let Some((id, site, reserved, began)) = oldest.and_then(Option::take) else { return false };
        let took = Span::between(began, self.now).duration();
        self.tell(Event::SiteDone(Trip { id, site, bytes: Bytes(1000), reserved, result, sent: true, took }));
        true
    }

    fn take(&mut self, action: &Action) {
        match action {
            Action::Accept { .. } => self.counts.accepted += 1,
            Action::Settle { outcome: Outcome::Refused(_), .. } => self.counts.refused += 1,
            Action::Settle { outcome: Outcome::Done, .. } => self.counts.done += 1,
            Action::Settle { outcome: Outcome::Spilled(_), .. } => self.counts.spilled += 1,
            Action::Settle { .. } => self.counts.lost += 1,
            Action::Prepare { id, .. } => {
                if let Some(place) = self.decoding.iter_mut().find(|place| place.is_none()) {
                    *place = Some(*id);
                }
            }
            Action::RunBatch { lane, ids, .. } => {
                self.counts.batches += 1;
                self.counts.members += u64::try_from(ids.as_slice().len()).unwrap_or(0);
                if let Some(place) = self.lanes.get_mut(usize::from(lane.0)) {
                    let free = usize::from(place[0].is_some());
                    place[free] = Some(*ids);
                }
            }
            // A driver would ask for all of its chunks.
            Action::Divide { id, size } => self.divided = Some((*id, size.rows())),
            Action::Spill { id, site, reserved, .. } => {
                self.counts.attempts += 1;
                if let Some(place) = self.away.iter_mut().find(|place| place.is_none()) {
                    *place = Some((*id, *site, *reserved, self.now));
                }
            }
            Action::Probe { site } => self.probing = Some(*site),
            Action::Check { id } => self.checking = Some(*id),
            Action::Abort { .. }
            | Action::Forget { .. }
            | Action::RestartHost { .. }
            | Action::CallOff { .. }
            | Action::Stay { .. }
            | Action::TakeUp { .. }
            | Action::Announce(_) => {}
        }
    }
}
