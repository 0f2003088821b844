//! Engine hosts and their models come and go; what they leave behind.

use crate::action::Action;
use crate::estimate::prepare::blocks;
use crate::event::ModelState;
use crate::id::{HostId, LaneId, ModelId};
use crate::queue::Slot;
use crate::request::Work;
use crate::scheduler::model::{Lane, Model, State};
use crate::scheduler::table::Stage;
use crate::scheduler::{Decoding, EngineHost, Host, Scheduler};
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Reason};

/// A batch counts as hung after this many times its estimate (and the policy's bound).
const HANG_TIMES: u64 = 20;

impl Scheduler {
    pub(super) fn model_state(&mut self, now: Mono, id: ModelId, state: ModelState) {
        let index = self.model_index(id);
        let (was, host) = (self.models[index].state, self.models[index].host);
        match state {
            ModelState::Loading => {
                if !matches!(was, State::Coming { .. }) {
                    self.models[index].state = State::Coming { since: now, host_died: false };
                    self.models[index].retire_lanes();
                    self.forget_decoded(index);
                }
            }
            ModelState::Ready { lanes, max_batch, default_deadline } => {
                let place = &mut self.hosts[host];
                if place.life == Host::Down {
                    // Nothing can be ready on a host that is down. One that is about to end may have said so before.
                    self.up(now, host);
                } else if let (Host::Up, State::Coming { since, host_died: true }) = (place.life, was) {
                    place.restart.learn_ready(Span::between(since, now));
                }
                let model = &mut self.models[index];
                model.state = State::Ready;
                model.max_batch = max_batch;
                model.default_deadline = default_deadline;
                model.set_lanes(lanes);
                self.find_usual_batch(index);
            }
            ModelState::Unavailable => {
                self.models[index].state = State::Absent;
                self.models[index].retire_lanes();
                // What waited for one that was taken over from waits elsewhere, but for what is being decoded: it follows.
                if self.models[index].heir.is_none() {
                    self.shed_waiting(index);
                }
            }
        }
    }

    /// The place of a model, made if it is new.
    pub(super) fn model_index(&mut self, id: ModelId) -> usize {
        self.models.iter().position(|model| model.id == id).unwrap_or_else(|| {
            self.add_model(id);
            self.models.len() - 1
        })
    }

    pub(super) fn placed(&mut self, model: ModelId, host: HostId) {
        let (index, host) = (self.model_index(model), self.host_index(host));
        let model = &mut self.models[index];
        if model.lanes.is_empty() && !self.decoding.iter().any(|decoding| decoding.model == index) {
            model.host = host;
        }
    }

    fn host_index(&mut self, host: HostId) -> usize {
        let index = usize::from(host.0);
        if index >= self.hosts.len() {
            self.hosts.resize(index + 1, EngineHost::default());
        }
        index
    }

    /// A model that was not named before. Allocates.
    fn add_model(&mut self, id: ModelId) {
        self.models.push(Model::new(id));
        self.contested.add_model();
        self.decoders.add_model();
    }

    /// Drops all that waits for a model that will not be served. What runs may end.
    fn shed_waiting(&mut self, index: usize) {
        for slot in self.table.places() {
            if self.table.get(slot).is_some_and(|live| live.model == index && live.waits()) {
                self.shed(self.clock, slot, Reason::ModelUnavailable);
            }
        }
    }

    pub(super) fn host_up(&mut self, now: Mono, host: HostId) {
        let host = self.host_index(host);
        self.up(now, host);
    }

    fn up(&mut self, now: Mono, host: usize) {
        let place = &mut self.hosts[host];
        place.life = Host::Up;
        if let Some(died) = place.died.take() {
            place.restart.learn_up(Span::between(died, now));
        }
        // Their loads begin now; the pause before the start is no part of them.
        for model in self.models.iter_mut().filter(|model| model.host == host) {
            if let State::Coming { since, .. } = &mut model.state {
                *since = now;
            }
        }
    }

    pub(super) fn host_down(&mut self, now: Mono, host: HostId) {
        let host = self.host_index(host);
        self.hosts[host].life = Host::Down;
        self.hosts[host].died = Some(now);
        for index in 0..self.models.len() {
            let model = &mut self.models[index];
            if model.host != host {
                continue;
            }
            if model.state == State::Ready {
                model.state = State::Coming { since: now, host_died: true };
            }
            // Most often the driver has reported all of this before; what it has not died with the host.
            while let Some(lane) = self.models[index].lanes.pop() {
                for batch in [lane.running, lane.next].into_iter().flatten() {
                    self.end_batch(index, &batch, |_, _| Err(Fault::HostLost));
                }
            }
            self.forget_decoded(index);
        }
        while let Some(id) = self.decoding_of(host).last().map(|decoding| decoding.id) {
            self.prepared(now, id, Err(Fault::HostLost), Span::ZERO.duration());
        }
    }

    /// What the host had decoded for a model is gone, or was decoded for another version: it is decoded again.
    fn forget_decoded(&mut self, index: usize) {
        if self.models[index].decoded == 0 {
            return;
        }
        for slot in self.table.places() {
            if self.table.get(slot).is_some_and(|live| live.model == index && is_decoded(live.stage, live.work)) {
                self.decode_again(slot);
            }
        }
    }

    pub(super) fn decode_again(&mut self, slot: Slot) {
        self.leave_line(slot);
        self.table.change(slot, |live| live.stage = Stage::Undecoded);
        self.enter_line(slot);
    }

    /// When the first thing that has begun will count as hung.
    pub(super) fn hang_deadline(&self) -> Option<Mono> {
        (0..self.hosts.len()).filter_map(|host| self.host_hangs(host)).min()
    }

    /// When the first thing on a host that has begun will count as hung.
    fn host_hangs(&self, host: usize) -> Option<Mono> {
        if self.hosts[host].life != Host::Up {
            return None;
        }
        let batches = self.lanes_of(host).filter_map(|lane| self.lane_hangs(lane));
        batches.chain(self.decoding_of(host).map(|decoding| self.decoding_hangs(decoding))).min()
    }

    /// Asks for the end of the hosts on which something does not answer.
    pub(super) fn end_hung_hosts(&mut self, now: Mono) {
        for host in 0..self.hosts.len() {
            if self.host_hangs(host).is_some_and(|deadline| deadline <= now) {
                let lane = self.hung_lane(now, host);
                self.hosts[host].life = Host::Ending;
                self.push(Action::RestartHost { host: HostId(u8::try_from(host).unwrap_or(u8::MAX)), lane });
            }
        }
    }

    fn lanes_of(&self, host: usize) -> impl Iterator<Item = &Lane> {
        self.models.iter().filter(move |model| model.host == host).flat_map(|model| &model.lanes)
    }

    fn decoding_of(&self, host: usize) -> impl Iterator<Item = &Decoding> {
        self.decoding.iter().filter(move |decoding| self.models[decoding.model].host == host)
    }

    fn hung_lane(&self, now: Mono, host: usize) -> LaneId {
        let lanes = || self.lanes_of(host);
        let hung = lanes().find(|lane| self.lane_hangs(lane).is_some_and(|deadline| deadline <= now));
        // A payload is decoded on no lane: any lane of its model, or any at all, stands for the host.
        let stuck = || self.decoding_of(host).find(|decoding| self.decoding_hangs(decoding) <= now);
        let of_model = |decoding: &Decoding| self.models[decoding.model].lanes.first();
        let found = hung.or_else(|| stuck().and_then(of_model)).or_else(|| lanes().next());
        found.map_or(LaneId(0), |lane| lane.id)
    }

    fn lane_hangs(&self, lane: &Lane) -> Option<Mono> {
        let batch = lane.running?;
        Some(self.patience(batch.estimate.unwrap_or(Span::ZERO)).from(batch.started))
    }

    fn decoding_hangs(&self, decoding: &Decoding) -> Mono {
        let expected = self.models[decoding.model].prepare.guess(blocks(decoding.bytes));
        self.patience(expected).from(decoding.started)
    }

    fn patience(&self, expected: Span) -> Span {
        Span::of(self.policy.hang_after).max(expected.times(HANG_TIMES))
    }
}

fn is_decoded(stage: Stage, work: Work) -> bool {
    stage == Stage::Queued && work == Work::Encoded
}
