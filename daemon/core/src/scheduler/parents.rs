//! Requests that run nothing themselves: a parent and its children, which are requests for the stages of a pipeline, or for
//! chunks of its rows (`divided`).
//!
//! ```text
//!   ParentArrived ─► admitted on the sum of its stages ─► Accept ─► gathers ─── Finished ──► Settle(Done or Failed)
//!                                                                   ▲     │
//!                                       Arrived{parent}, done ──────┘     └ a child failed, or it was cancelled, left,
//!                                                                           expired, cut off ─► its children: Settle(
//!                                                                           Cancelled) ─► Settle(the same reason)
//! ```
//!
//! The parent holds the place, the bytes and the work that its caller is charged with, from its admission to its end; its
//! children hold none of these, so that an accepted parent always gets its children in, however full the box is. They
//! take turns, decoders and lanes like any other request of the same caller, by the parent's priority and deadline. What
//! a stage's result leads to is not known here: the driver sends the next children, and says when there is a result.

use core::time::Duration;

use crate::action::Action;
use crate::admit::{Standing, admit_stage};
use crate::chunks::Size;
use crate::classify;
use crate::estimate::Demand;
use crate::estimate::fan_out::Asked;
use crate::estimate::prepare::blocks;
use crate::id::RequestId;
use crate::queue::{Key, Slot};
use crate::request::{Here, RequestMeta, Terms};
use crate::scheduler::Scheduler;
use crate::scheduler::arrive::OwnWork;
use crate::scheduler::table::{Live, Role, Stage};
use crate::site::Sites;
use crate::stages::Stages;
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Outcome, Reason, Refusal, RefusalCode, Verdict};

/// What is known of a parent beside what is known of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    /// Children that are not settled.
    pub open: u64,
    pub parts: Parts,
    /// Its place in the table.
    pub slot: Option<Slot>,
}

/// What its children are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parts {
    /// Requests for these models, and how much it has asked of each.
    Stages { stages: Stages, asked: [Asked; Stages::CAPACITY] },
    /// Chunks of its rows.
    Rows(Left),
}

/// Rows that a divided request has still before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Of no chunk that has come yet.
    pub unasked: u32,
    /// How they are divided.
    pub size: Size,
    /// Most that may run at once.
    pub most: u32,
    /// Not done.
    pub undone: u32,
}

impl Parent {
    fn unasked(&self) -> u64 {
        match self.parts {
            Parts::Rows(left) => u64::from(left.unasked),
            Parts::Stages { .. } => 0,
        }
    }
}

/// The parents, by their places.
#[derive(Debug, Default)]
pub(super) struct Parents {
    places: Vec<Option<Parent>>,
    free: Vec<usize>,
    /// Rows of all of them that have come in no chunk yet.
    unasked: u64,
}

impl Parents {
    pub fn insert(&mut self, parent: Parent) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.unasked += parent.unasked();
        if let Some(at) = self.places.get_mut(place) {
            *at = Some(parent);
        }
        place
    }

    fn remove(&mut self, place: usize) -> Option<Parent> {
        let parent = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        self.unasked = self.unasked.saturating_sub(parent.unasked());
        Some(parent)
    }

    /// So many rows of one of them have come in a chunk; `false` if it has not as many.
    pub fn ask(&mut self, place: usize, rows: u32) -> bool {
        let Some(parent) = self.places.get_mut(place).and_then(Option::as_mut) else { return false };
        let Parts::Rows(left) = &mut parent.parts else { return false };
        let Some(unasked) = left.unasked.checked_sub(rows) else { return false };
        left.unasked = unasked;
        parent.open += 1;
        self.unasked = self.unasked.saturating_sub(u64::from(rows));
        true
    }

    /// Those of which rows have come in no chunk yet.
    pub fn unasked(&self) -> impl Iterator<Item = (Slot, Left)> {
        let places = if self.unasked == 0 { Default::default() } else { self.places.as_slice() };
        places.iter().flatten().filter_map(|parent| match parent.parts {
            Parts::Rows(left) if left.unasked > 0 => Some((parent.slot?, left)),
            Parts::Rows(_) | Parts::Stages { .. } => None,
        })
    }

    pub fn get(&self, place: usize) -> Option<&Parent> {
        self.places.get(place)?.as_ref()
    }

    pub fn get_mut(&mut self, place: usize) -> Option<&mut Parent> {
        self.places.get_mut(place)?.as_mut()
    }
}

impl Scheduler {
    /// A pipeline request comes in: it is held against the sum of its stages.
    pub(super) fn parent_arrived(
        &mut self,
        now: Mono,
        meta: &RequestMeta,
        stages: Stages,
        default_deadline: Option<Duration>,
    ) {
        self.expire(now);
        if self.table.find(meta.id).is_some() {
            return;
        }
        let model = self.model_index(meta.model);
        let deadline = classify::deadline(meta, now, default_deadline, &self.policy);
        let key = Key { priority: meta.priority, share: meta.share, deadline, sequence: self.sequence };
        let (own, work) = self.work_in_stages(now, model, meta, stages, Span::between(now, deadline));
        let first = stages.as_slice().first().and_then(|id| self.position(*id));
        let seen = self.seen_with(now, meta, key, first, own);
        let seen = crate::admit::Seen { model: self.standing_of(now, stages), lane_free: false, ..seen };
        let class = classify::class(meta, &self.policy);
        let verdict = self.decide(now, meta, class, key, &seen, Sites::NONE);
        self.count_verdict(verdict);
        let predicted = seen.predicted().map(Span::duration);
        let accept = Action::Accept { id: meta.id, verdict, class, deadline, predicted };
        match verdict {
            Verdict::Refuse(refusal) => self.push_settle(meta.id, Outcome::Refused(refusal)),
            Verdict::Defer(reason) => self.defer(meta.id, reason),
            Verdict::Spill(site, reason) => {
                self.push(accept);
                // Another site does all of it; its stages are nobody's business here any more.
                let whole = RequestMeta { terms: Terms { here: Here::NoModel, ..meta.terms }, ..meta.clone() };
                self.accept_away(now, &whole, class, key, (site, reason));
            }
            Verdict::Local(_) | Verdict::Speculate(_) => {
                self.push(accept);
                self.sequence += 1;
                self.accept_parent(meta, key, model, Parts::Stages { stages, asked: Default::default() }, work);
            }
        }
    }

    /// Takes a parent in, which is charged with `work`.
    pub(super) fn accept_parent(&mut self, meta: &RequestMeta, key: Key, model: usize, parts: Parts, work: Demand) {
        let place = self.parents.insert(Parent { open: 0, parts, slot: None });
        let mut live = Live::new(meta, model, key);
        (live.role, live.stage, live.deaths, live.priced) = (Role::Parent(place), Stage::Gathering, meta.deaths, work);
        let slot = self.table.insert(live);
        if let Some(parent) = self.parents.get_mut(place) {
            parent.slot = Some(slot);
        }
        self.dues.insert(&mut self.due, slot, key.by_deadline(), 0);
    }

    /// A request for a stage or a chunk: by whom, until when and how urgently is the parent's.
    pub(super) fn child_arrived(&mut self, now: Mono, meta: &RequestMeta, of: RequestId) {
        let parent = self.table.find(of).and_then(|slot| self.table.get(slot)).filter(|live| live.is_parent());
        let Some(parent) = parent.cloned() else {
            return self.push_settle(meta.id, Outcome::Refused(refused(RefusalCode::Internal, Reason::NoParent)));
        };
        let meta = RequestMeta {
            client: parent.client,
            share: parent.key.share,
            priority: parent.key.priority,
            deadline: Some(parent.key.deadline),
            deaths: parent.deaths,
            // It goes where its parent is.
            terms: Terms::default(),
            ..meta.clone()
        };
        let key = Key { sequence: self.sequence, ..parent.key };
        if self.parent_of(&parent).is_none_or(|parent| parent.open >= u64::from(self.policy.fan_out)) {
            return self.refuse_child(&meta, of, refused(RefusalCode::Overloaded, Reason::FanOut));
        }
        if self.is_divided(&parent) {
            return self.chunk_arrived(&meta, key, &parent);
        }
        let model = self.position(meta.model);
        let seen = self.seen(now, &meta, key, model);
        let verdict = admit_stage(Span::between(now, key.deadline), &seen);
        match (verdict, model) {
            (verdict @ (Verdict::Local(_) | Verdict::Speculate(_)), Some(model)) => {
                let class = classify::class(&meta, &self.policy);
                let (deadline, predicted) = (key.deadline, seen.predicted().map(Span::duration));
                self.push(Action::Accept { id: meta.id, verdict, class, deadline, predicted });
                self.count_child(&parent, &meta, model);
                self.accept(&meta, key, model, Role::Child(of));
            }
            (Verdict::Refuse(refusal), _) => self.refuse_child(&meta, of, refusal),
            // What has no model stands nowhere, and is refused for it; a stage is sent nowhere by itself.
            (Verdict::Local(_) | Verdict::Speculate(_), None) | (Verdict::Spill(..) | Verdict::Defer(_), _) => {}
        }
    }

    /// A child that cannot be taken ends its parent.
    pub(super) fn refuse_child(&mut self, meta: &RequestMeta, of: RequestId, refusal: Refusal) {
        self.push_settle(meta.id, Outcome::Refused(refusal));
        self.end_parent(of, Outcome::Refused(refusal));
    }

    fn count_child(&mut self, parent: &Live, meta: &RequestMeta, model: usize) {
        let Role::Parent(place) = parent.role else { return };
        let is_stage = |id: &crate::id::ModelId| {
            let stage = self.position(*id);
            // A stage that another setup took over meanwhile is still that stage.
            stage == Some(model) || stage.and_then(|index| self.models[index].heir) == Some(model)
        };
        let Some(Parts::Stages { stages, .. }) = self.parents.get(place).map(|parent| parent.parts) else { return };
        let at = stages.as_slice().iter().position(is_stage);
        let Some(parent) = self.parents.get_mut(place) else { return };
        parent.open += 1;
        if let Parts::Stages { asked, .. } = &mut parent.parts
            && let Some(asked) = at.and_then(|at| asked.get_mut(at))
        {
            asked.count += 1;
            asked.bytes = asked.bytes.saturating_add(meta.bytes.0);
        }
    }

    /// The driver has the result of a parent, or cannot make it.
    pub(super) fn finished(&mut self, now: Mono, id: RequestId, result: Result<(), Fault>) {
        let Some(slot) = self.table.find(id) else { return };
        let Some(live) = self.table.get(slot).filter(|live| live.is_parent()) else { return };
        let (model, parent) = (live.model, self.parent_of(live).copied());
        if let (Ok(()), Some(parent)) = (result, parent) {
            if let Parts::Stages { stages, asked } = parent.parts {
                let asked = asked.get(..stages.as_slice().len()).unwrap_or_default();
                self.models[model].fan_out.learn(now, asked);
            }
            self.models[model].done += 1;
        }
        self.drop_live(slot, result.map_or_else(Outcome::Failed, |()| Outcome::Done));
    }

    /// A child has ended: one that was not done ends its parent by the same reason.
    pub(super) fn child_settled(&mut self, of: RequestId, rows: usize, outcome: Outcome) {
        let Some(slot) = self.table.find(of) else { return };
        if let Some(Role::Parent(place)) = self.table.get(slot).map(|live| live.role)
            && let Some(parent) = self.parents.get_mut(place)
        {
            parent.open = parent.open.saturating_sub(1);
        }
        if outcome == Outcome::Done {
            self.chunk_done(slot, rows);
        } else {
            self.end_parent(of, outcome);
        }
    }

    fn end_parent(&mut self, id: RequestId, child: Outcome) {
        if let Some(slot) = self.table.find(id) {
            self.drop_live(slot, of_child(child));
        }
    }

    /// Ends what is left of the children of a parent that has left the table.
    pub(super) fn drop_children(&mut self, id: RequestId, place: usize) {
        let mut open = self.parents.remove(place).map_or(0, |parent| parent.open);
        for slot in self.table.places() {
            if open == 0 {
                return;
            }
            if self.table.get(slot).is_some_and(|live| live.role.parent() == Some(id)) {
                self.drop_live(slot, Outcome::Cancelled);
                open -= 1;
            }
        }
    }

    pub(super) fn parent_of(&self, live: &Live) -> Option<&Parent> {
        let Role::Parent(place) = live.role else { return None };
        self.parents.get(place)
    }

    fn position(&self, id: crate::id::ModelId) -> Option<usize> {
        self.models.iter().position(|model| model.id == id)
    }

    /// As ready as the stage that will be ready last.
    fn standing_of(&self, now: Mono, stages: Stages) -> Standing {
        let mut all = if stages.as_slice().is_empty() { Standing::Absent } else { Standing::Ready };
        for stage in stages.as_slice() {
            let stage = self.position(*stage).map_or(Standing::Absent, |index| self.standing(now, &self.models[index]));
            all = match (all, stage) {
                (Standing::Absent, _) | (_, Standing::Absent) => Standing::Absent,
                (Standing::Ready, other) | (other, Standing::Ready) => other,
                (Standing::Coming { ready_in: a, .. }, Standing::Coming { ready_in: b, .. }) => {
                    if a < b {
                        stage
                    } else {
                        all
                    }
                }
            };
        }
        all
    }

    /// What a pipeline request takes on an idle box as far as it may be held against its `slack`, and the work of all its
    /// stages that its caller is charged with.
    fn work_in_stages(
        &self,
        now: Mono,
        pipeline: usize,
        meta: &RequestMeta,
        stages: Stages,
        slack: Span,
    ) -> (OwnWork, Demand) {
        let fan_out = self.models[pipeline].fan_out;
        let (mut all, mut own, mut is_current, mut least) =
            (Demand::default(), Some(Demand::default()), true, Span::ZERO);
        for (at, id) in stages.as_slice().iter().enumerate() {
            let Some(model) = self.position(*id).map(|index| &self.models[index]) else { continue };
            // The first stage gets the payload itself; what the others get was learnt.
            let expected = if at == 0 { Some((1, meta.bytes)) } else { fan_out.expected(at) };
            let (count, bytes) = expected.unwrap_or_default();
            let blocks = blocks(bytes);
            let cost = model.prepare.expected_cost(blocks);
            let (prepare, run) = (model.prepare.guess(blocks), model.times.guess(1, cost));
            let work = model.times.work(model.usual, cost);
            all = all.plus(Demand { prepare: prepare.times(count), run: work.times(count) });
            let beside = |workers: u16| u64::from(workers.max(1)).min(count).max(1);
            let lanes = u16::try_from(model.usable_lanes()).unwrap_or(u16::MAX).min(self.policy.lanes);
            own = own.zip(expected).zip(run).map(|((own, _), run)| {
                let prepare = prepare.times(count).part(beside(self.policy.preparing));
                own.plus(Demand { prepare, run: run.times(count).part(beside(lanes)) })
            });
            let known = model.prepare.is_current(now, blocks) && model.times.current(now, 1, cost).is_some();
            is_current &= count == 0 || known && (at == 0 || fan_out.is_current(now));
            if at == 0 {
                least = model.times.at_least(now, 1, model.prepare.least_cost(now, blocks));
            }
        }
        // What is old, or of another picture long ago, may promise but not refuse.
        let own = own.filter(|own| is_current || own.prepare.plus(own.run) <= slack);
        let (prepare, service) = (own.map(|own| own.prepare), own.map(|own| own.run));
        (OwnWork { prepare: prepare.or(Some(Span::ZERO)), service, at_least: least }, all)
    }
}

pub(super) fn refused(code: RefusalCode, reason: Reason) -> Refusal {
    Refusal { code, reason, retry_after: None, predicted: None, away: None }
}

/// How a parent ends by a child of its own that was not done.
fn of_child(child: Outcome) -> Outcome {
    match child {
        Outcome::Refused(refusal) => match refusal.code {
            RefusalCode::DeadlineExceeded => Outcome::Expired,
            RefusalCode::Overloaded | RefusalCode::Unavailable | RefusalCode::Confined | RefusalCode::Internal => {
                Outcome::Shed(refusal.reason)
            }
        },
        other @ (Outcome::Done
        | Outcome::Spilled(_)
        | Outcome::Deferred(_)
        | Outcome::Failed(_)
        | Outcome::Expired
        | Outcome::Cancelled
        | Outcome::Shed(_)) => other,
    }
}
