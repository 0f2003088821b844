//! The engine host and its models come and go; what they leave behind.

use crate::action::Action;
use crate::estimate::prepare::blocks;
use crate::event::ModelState;
use crate::id::{LaneId, ModelId};
use crate::queue::Slot;
use crate::request::Work;
use crate::scheduler::model::{Lane, Model, State};
use crate::scheduler::table::Stage;
use crate::scheduler::{Decoding, Host, Scheduler};
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Outcome, Reason};

/// A batch counts as hung after this many times its estimate (and the policy's bound).
const HANG_TIMES: u64 = 20;

impl Scheduler {
    pub(super) fn model_state(&mut self, now: Mono, id: ModelId, state: ModelState) {
        let index = self.models.iter().position(|model| model.id == id).unwrap_or_else(|| {
            self.models.push(Model::new(id));
            self.models.len() - 1
        });
        let was = self.models[index].state;
        match state {
            ModelState::Loading => {
                if !matches!(was, State::Coming { .. }) {
                    self.models[index].state = State::Coming { since: now, host_died: false };
                    self.models[index].retire_lanes();
                    self.forget_decoded(index);
                }
            }
            ModelState::Ready { lanes, max_batch, default_deadline } => {
                if self.host == Host::Down {
                    // Nothing can be ready on a host that is down. One that is about to end may have said so before.
                    self.host_up(now);
                } else if let (Host::Up, State::Coming { since, host_died: true }) = (self.host, was) {
                    self.restart.learn_ready(Span::between(since, now));
                }
                let model = &mut self.models[index];
                model.state = State::Ready;
                model.max_batch = max_batch;
                model.default_deadline = default_deadline;
                model.set_lanes(lanes);
            }
            ModelState::Unavailable => {
                self.models[index].state = State::Absent;
                self.models[index].retire_lanes();
                self.shed_waiting(index);
            }
        }
    }

    /// Drops all that waits for a model that will not be served. What runs may end.
    fn shed_waiting(&mut self, index: usize) {
        for slot in self.table.places() {
            if self.table.get(slot).is_some_and(|live| live.model == index && live.waits()) {
                self.drop_live(slot, Outcome::Shed(Reason::ModelUnavailable));
            }
        }
    }

    pub(super) fn host_up(&mut self, now: Mono) {
        self.host = Host::Up;
        if let Some(died) = self.died.take() {
            self.restart.learn_up(Span::between(died, now));
        }
        // Their loads begin now; the pause before the start is no part of them.
        for model in &mut self.models {
            if let State::Coming { since, .. } = &mut model.state {
                *since = now;
            }
        }
    }

    pub(super) fn host_down(&mut self, now: Mono) {
        self.host = Host::Down;
        self.died = Some(now);
        for index in 0..self.models.len() {
            let model = &mut self.models[index];
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
        while let Some(decoding) = self.decoding.last() {
            self.prepared(now, decoding.id, Err(Fault::HostLost), Span::ZERO.duration());
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

    fn decode_again(&mut self, slot: Slot) {
        self.leave_line(slot);
        self.table.change(slot, |live| live.stage = Stage::Undecoded);
        self.enter_line(slot);
    }

    /// When the first thing on the host that has begun will count as hung.
    pub(super) fn hang_deadline(&self) -> Option<Mono> {
        if self.host != Host::Up {
            return None;
        }
        let lanes = self.models.iter().flat_map(|model| &model.lanes);
        let batches = lanes.filter_map(|lane| self.lane_hangs(lane));
        batches.chain(self.decoding.iter().map(|decoding| self.decoding_hangs(decoding))).min()
    }

    /// Asks for the end of a host on which something does not answer.
    pub(super) fn end_hung_host(&mut self, now: Mono) {
        if self.hang_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let lane = self.hung_lane(now);
        self.host = Host::Ending;
        self.push(Action::RestartHost { lane });
    }

    fn hung_lane(&self, now: Mono) -> LaneId {
        let lanes = || self.models.iter().flat_map(|model| &model.lanes);
        let hung = lanes().find(|lane| self.lane_hangs(lane).is_some_and(|deadline| deadline <= now));
        // A payload is decoded on no lane: any lane of its model, or any at all, stands for the host.
        let stuck = || self.decoding.iter().find(|decoding| self.decoding_hangs(decoding) <= now);
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
