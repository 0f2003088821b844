//! The fake engine hosts: what is decoded and run, what fails, hangs and dies.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use super::{Happening, World};
use crate::event::Event;
use crate::id::{HostId, LaneId, ModelId, RequestId};
use crate::members::{Ids, MemberResult, Results};
use crate::request::Work;
use crate::units::{Cost, Mono, Span};
use crate::verdict::Fault;

/// Time until a run that was told to stop has ended.
const STOPPING: Span = Span::from_nanos(1000);

/// Whether a host is dead, and how often it died.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FakeHost {
    pub down: bool,
    pub life: u64,
}

/// The batches on a lane: the first one runs.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeLane {
    pub batches: VecDeque<(ModelId, Ids)>,
    pub began: Mono,
}

impl World {
    pub(super) fn begin_decoding(&mut self, id: RequestId, model: ModelId) {
        let after = self.models.get(&model).map_or(Span::ZERO, |fake| fake.decode);
        self.decoding.insert(id, model);
        if !self.endless.contains(&id) {
            self.plan(self.host_of(model), after, Happening::Decoded { id, model });
        }
    }

    pub(super) fn begin_batch(&mut self, lane: LaneId) {
        let Some(place) = self.lanes.get_mut(&lane) else { return };
        place.began = self.now;
        let Some((model, ids)) = place.batches.front().copied() else { return };
        let (took, host) = (self.run_time(model, &ids), self.host_of(model));
        let has = |set: &BTreeSet<RequestId>| ids.as_slice().iter().any(|id| set.contains(id));
        if self.is_vain(&ids) {
            self.plan(host, STOPPING, Happening::Ran { lane });
        } else if has(&self.poison) {
            self.plan(host, took.part(2), Happening::Crash);
        } else if !has(&self.endless) {
            self.plan(host, took, Happening::Ran { lane });
        }
    }

    fn run_time(&self, model: ModelId, ids: &Ids) -> Span {
        let Some(fake) = self.models.get(&model) else { return Span::from_millis(1) };
        let cost = |id: &RequestId| {
            let cost = self.requests.get(id).map_or(Cost::ONE, |meta| match meta.work {
                Work::Encoded => fake.cost,
                Work::Tensors => meta.cost,
            });
            u64::from(cost.units())
        };
        fake.fixed.plus(fake.each.times(ids.as_slice().iter().map(cost).sum()))
    }

    pub(super) fn end_batch(&mut self, lane: LaneId, fault: Option<Fault>) {
        let Some(place) = self.lanes.get_mut(&lane) else { return };
        let Some((model, ids)) = place.batches.pop_front() else { return };
        let took = Span::between(place.began, self.now);
        let more = !place.batches.is_empty();
        let faulty = ids.as_slice().iter().any(|id| self.faulty.contains(id));
        let stopped = self.is_vain(&ids).then_some(Fault::Stopped);
        let fault = fault.or(stopped).or(faulty.then_some(Fault::Runtime));
        let mut results = Results::new();
        for id in ids.as_slice() {
            self.unwanted.remove(id);
            results.push(MemberResult { id: *id, result: fault.map_or(Ok(()), Err) });
        }
        if more && self.is_up(self.host_of(model)) {
            self.begin_batch(lane);
        }
        self.feed(Event::BatchDone { lane, took: took.duration(), results });
    }

    /// Stops a run that nobody wants any more.
    pub(super) fn abort(&mut self, id: RequestId) {
        self.unwanted.insert(id);
        let vain = |place: &FakeLane| {
            place.batches.front().is_some_and(|(_, ids)| ids.as_slice().contains(&id) && self.is_vain(ids))
        };
        let Some((lane, place)) = self.lanes.iter().find(|(_, place)| vain(place)) else { return };
        let (lane, model) = (*lane, place.batches.front().map_or(ModelId(0), |(model, _)| *model));
        self.planned.retain(|Reverse(planned)| planned.what != Happening::Ran { lane });
        self.plan(self.host_of(model), STOPPING, Happening::Ran { lane });
    }

    fn is_vain(&self, ids: &Ids) -> bool {
        ids.as_slice().iter().all(|id| self.unwanted.contains(id))
    }

    pub(super) fn end_host(&mut self, host: HostId, hung: Option<LaneId>) {
        if !self.is_up(host) {
            return;
        }
        let place = self.hosts.entry(host).or_default();
        (place.down, place.life) = (true, place.life + 1);
        let on_host = |place: &FakeLane| place.batches.front().is_some_and(|(model, _)| self.host_of(*model) == host);
        let lanes: Vec<LaneId> = self.lanes.iter().filter(|(_, place)| on_host(place)).map(|(lane, _)| *lane).collect();
        for lane in lanes {
            let fault = if hung == Some(lane) { Fault::Hung } else { Fault::HostLost };
            while self.lanes.get(&lane).is_some_and(|place| !place.batches.is_empty()) {
                self.end_batch(lane, Some(fault));
            }
        }
        let lost: Vec<RequestId> =
            self.decoding.iter().filter(|(_, model)| self.host_of(**model) == host).map(|(id, _)| *id).collect();
        for id in lost {
            self.decoding.remove(&id);
            self.feed(Event::Prepared { id, result: Err(Fault::HostLost), took: Span::ZERO.duration() });
        }
        self.feed(Event::HostDown { host });
        self.plan(host, self.restart, Happening::Back);
    }
}
