//! A request comes in: what admission sees of the box, and what becomes of an accepted one.

use crate::action::Action;
use crate::admit::{Seen, Standing};
use crate::classify;
use crate::estimate::Demand;
use crate::estimate::prepare::blocks;
use crate::queue::{Key, Slot};
use crate::request::{RequestMeta, Work};
use crate::scheduler::divided::work_of_rows;
use crate::scheduler::model::{Line, Model, State};
use crate::scheduler::parents::Parts;
use crate::scheduler::table::{Live, Role, Stage};
use crate::scheduler::{Gate, Host, Scheduler};
use crate::site::Sites;
use crate::units::{Mono, Span};
use crate::verdict::{Outcome, Reason, Verdict};

impl Scheduler {
    pub(super) fn arrived(&mut self, now: Mono, meta: &RequestMeta) {
        // What is over by now holds no place against the newcomer.
        self.expire(now);
        if self.table.find(meta.id).is_some() {
            // The driver never uses an id twice. Had it, the first request keeps it and is settled once.
            return;
        }
        if let Some(parent) = meta.parent {
            return self.child_arrived(now, meta, parent);
        }
        let model = self.models.iter().position(|model| model.id == meta.model);
        let of_model = model.and_then(|index| self.models[index].default_deadline);
        let deadline = classify::deadline(meta, now, of_model, &self.policy);
        let key = Key { priority: meta.priority, share: meta.share, deadline, sequence: self.sequence };
        let size = model.and_then(|index| self.size_of_chunks(index, meta));
        let seen = match (model, size) {
            (Some(index), Some(size)) => self.seen_in_chunks(now, meta, key, index, size),
            _ => self.seen(now, meta, key, model),
        };
        let class = classify::class(meta, &self.policy);
        let verdict = self.decide(now, meta, class, key, &seen, Sites::NONE);
        self.count_verdict(verdict);
        let predicted = seen.predicted().map(Span::duration);
        let accept = Action::Accept { id: meta.id, verdict, class, deadline, predicted };
        match (verdict, model) {
            (Verdict::Refuse(refusal), _) => self.push_settle(meta.id, Outcome::Refused(refusal)),
            (Verdict::Defer(reason), _) => self.defer(meta.id, reason),
            (Verdict::Spill(site, reason), _) => {
                self.push(accept);
                self.accept_away(now, meta, class, key, (site, reason));
            }
            (Verdict::Local(_) | Verdict::Speculate(_), Some(model)) => {
                self.push(accept);
                match size {
                    Some(size) => self.divide(meta, key, model, size),
                    None => self.accept(meta, key, model, Role::Single),
                }
                if let Some(slot) = self.table.find(meta.id) {
                    self.table.change(slot, |live| live.effective = class);
                    self.watch(now, slot);
                }
            }
            // Route refuses what has no model.
            (Verdict::Local(_) | Verdict::Speculate(_), None) => {}
        }
    }

    pub(super) fn accept(&mut self, meta: &RequestMeta, key: Key, model: usize, role: Role) {
        self.sequence += 1;
        let mut live = Live::new(meta, model, key);
        (live.deaths, live.role) = (meta.deaths, role);
        // Alive at a crash, by the journal: the next crash must not take others along.
        live.alone = meta.deaths > 0;
        live.units = self.units_of(model, meta);
        live.priced = self.price(&live);
        let slot = self.table.insert(live);
        self.dues.insert(&mut self.due, slot, key.by_deadline(), 0);
        self.enter_line(slot);
    }

    /// What a request costs, or is expected to.
    pub(super) fn units_of(&self, model: usize, meta: &RequestMeta) -> u64 {
        match meta.work {
            Work::Encoded => self.models[model].prepare.expected_cost(blocks(meta.bytes)),
            Work::Tensors => u64::from(meta.cost.units()),
        }
    }

    /// Estimated work of a request that waits.
    pub(super) fn price(&self, live: &Live) -> Demand {
        let model = &self.models[live.model];
        match self.parent_of(live).map(|parent| parent.parts) {
            // By the stages that it was admitted on.
            Some(Parts::Stages { .. }) => return live.priced,
            Some(Parts::Rows(left)) => return work_of_rows(model, left.undone),
            None => {}
        }
        let undecoded = live.stage == Stage::Undecoded;
        Demand {
            prepare: if undecoded { model.prepare.guess(blocks(live.bytes)) } else { Span::ZERO },
            run: model.times.work(model.usual, live.units),
        }
    }

    /// Puts a waiting request into the line that its stage belongs to.
    pub(super) fn enter_line(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let Some((line, units)) = place_of(live) else { return };
        let model = &mut self.models[live.model];
        model.decoded += usize::from(live.stage == Stage::Queued && live.work == Work::Encoded);
        // Chunks come as those before them end, which says nothing of callers.
        if line == Line::Run && !matches!(live.role, Role::Chunk(_)) {
            model.arrivals.learn(self.clock);
        }
        model.enter(&mut self.lines, line, slot, live.key, units);
    }

    /// Takes a waiting request out of its line.
    pub(super) fn leave_line(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let Some((line, _)) = place_of(live) else { return };
        let model = &mut self.models[live.model];
        model.decoded -= usize::from(live.stage == Stage::Queued && live.work == Work::Encoded);
        model.leave(&mut self.lines, line, live.key);
    }

    /// The batch size at which a backlog of a model is worked off, after something that it follows from has changed.
    pub(super) fn find_usual_batch(&mut self, index: usize) {
        let model = &mut self.models[index];
        model.usual = model.size.usual(&model.times, model.most(self.policy.max_batch.min(self.capacity.batch)));
    }

    /// All that the decision about this request reads.
    pub(super) fn seen(&self, now: Mono, meta: &RequestMeta, key: Key, model: Option<usize>) -> Seen {
        let own = model.and_then(|index| self.models.get(index));
        let own_work =
            own.map_or(OwnWork::default(), |model| own_work(now, model, meta, Span::between(now, key.deadline)));
        self.seen_with(now, meta, key, model, own_work)
    }

    /// The same, of a request that takes `own_work` itself.
    pub(super) fn seen_with(
        &self,
        now: Mono,
        meta: &RequestMeta,
        key: Key,
        model: Option<usize>,
        own_work: OwnWork,
    ) -> Seen {
        let held = self.table.held();
        let own = model.and_then(|index| self.models.get(index));
        let itself = Demand {
            prepare: own_work.prepare.unwrap_or(Span::ZERO),
            run: own_work.service.unwrap_or(own_work.at_least),
        };
        let ahead = self.ahead(now, key, model, itself);
        // Lane time that was used before it was there has to come in first.
        let owed = self.pace.owed(now);
        Seen {
            draining: self.gate != Gate::Serving,
            model: own.map_or(Standing::Absent, |model| self.standing(now, model)),
            waiting: held.places,
            waiting_bytes: held.bytes,
            client: self.table.held_by(meta.share),
            ahead: Demand { run: ahead.all.run.plus(owed), ..ahead.all },
            ahead_own: ahead.own.plus(owed),
            lanes: u64::try_from(own.map_or(0, Model::usable_lanes)).unwrap_or(u64::MAX),
            lanes_spare: u64::try_from(usize::from(self.max_lanes()).saturating_sub(ahead.lanes_of_others))
                .unwrap_or(0),
            lane_free: own.is_some_and(|model| self.has_free_lane(model)) && ahead.is_first && self.may_begin(now),
            rates: self.rates.at(self.promised()),
            full: self.rates,
            owed,
            barred: self.barred(),
            prepare: own_work.prepare,
            service: own_work.service,
            at_least: own_work.at_least,
        }
    }

    /// How long all that waits and runs will take: what a newcomer would wait behind all of it, whatever its model and turn.
    pub(super) fn newcomer_waits(&self) -> Span {
        let now = self.clock;
        let running = self.models.iter().fold(Span::ZERO, |sum, model| sum.plus(model.remaining(now)));
        let work = self.table.held().work.run.plus(running).plus(self.pace.owed(now));
        self.rates.at(self.promised()).run.time_for(work, u64::MAX)
    }

    /// Why nothing at all is run now.
    fn barred(&self) -> Option<Reason> {
        match self.capacity.lanes {
            0 if self.is_held => Some(Reason::Held),
            0 => Some(Reason::TooHot),
            _ => None,
        }
    }

    fn has_free_lane(&self, model: &Model) -> bool {
        self.serves(model) && model.free_lane().is_some() && !self.is_capped()
    }

    pub(super) fn standing(&self, now: Mono, model: &Model) -> Standing {
        let since = match model.state {
            State::Absent => return Standing::Absent,
            State::Ready if self.serves(model) => return Standing::Ready,
            // The host is about to be ended.
            State::Ready => now,
            State::Coming { since, .. } => since,
        };
        let host = &self.hosts[model.host];
        let (is_up, assumed) = (host.life == Host::Up, Span::of(self.policy.restart_estimate));
        Standing::Coming { ready_in: host.restart.remaining(is_up, since, now, assumed), host_down: !is_up }
    }
}

/// What a request itself takes on an idle box.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnWork {
    pub prepare: Option<Span>,
    pub service: Option<Span>,
    pub at_least: Span,
}

/// What is known now counts whatever follows; what is old, or was never measured for this size, may promise but not
/// refuse: it would never be corrected.
fn own_work(now: Mono, model: &Model, meta: &RequestMeta, slack: Span) -> OwnWork {
    let times = &model.times;
    match meta.work {
        Work::Tensors => {
            let rows = meta.cost.units();
            let (rows, units) = (usize::try_from(rows).unwrap_or(usize::MAX), u64::from(rows));
            let old = times.guess(rows, units).filter(|service| *service <= slack);
            let service = times.current(now, rows, units).or(old);
            OwnWork { prepare: None, service, at_least: times.at_least(now, rows, units) }
        }
        Work::Encoded => {
            let (blocks, decoding) = (blocks(meta.bytes), &model.prepare);
            // The run is as uncertain as the cost that decoding will find.
            let is_known = decoding.is_current(now, blocks);
            let cost = decoding.expected_cost(blocks);
            let (prepare, service) = (decoding.guess(blocks), times.guess(1, cost));
            let promises = prepare.plus(service.unwrap_or(Span::ZERO)) <= slack;
            OwnWork {
                prepare: Some(if is_known || promises { prepare } else { Span::ZERO }),
                service: times.current(now, 1, cost).filter(|_| is_known).or(service.filter(|_| promises)),
                at_least: times.at_least(now, 1, decoding.least_cost(now, blocks)),
            }
        }
    }
}

/// The line of a waiting request, and the units it counts as there.
fn place_of(live: &Live) -> Option<(Line, u64)> {
    match (live.stage, live.alone) {
        (Stage::Undecoded, false) => Some((Line::Decode, blocks(live.bytes))),
        (Stage::Undecoded, true) => Some((Line::DecodeAlone, blocks(live.bytes))),
        (Stage::Queued, false) => Some((Line::Run, live.units)),
        (Stage::Queued, true) => Some((Line::RunAlone, live.units)),
        (Stage::Decoding | Stage::Running | Stage::Gathering | Stage::Away | Stage::Checking, _) => None,
    }
}
