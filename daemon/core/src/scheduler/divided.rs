//! Requests that bring more rows than one chunk may have: a parent, whose children are chunks of its rows.
//!
//! ```text
//!   Arrived ─► admitted on all its rows ─► Accept, Divide ─► gathers ─── Finished ──► Settle
//!                                                            ▲     │
//!                                Arrived{parent}, done ──────┘     └ as any other parent (`parents`)
//! ```
//!
//! Chunks wait, take turns, run on whatever lanes are free and are tried again like any request of their caller. Nothing is
//! asked of them at the door: their parent was admitted with all of them, and holds room and share until it ends.

use crate::action::Action;
use crate::admit::Seen;
use crate::chunks::Size;
use crate::classify;
use crate::estimate::Demand;
use crate::queue::{Key, Load, Slot};
use crate::request::{Priority, RequestMeta, Work};
use crate::scheduler::Scheduler;
use crate::scheduler::arrive::OwnWork;
use crate::scheduler::model::{Model, State};
use crate::scheduler::parents::{Left, Parts, refused};
use crate::scheduler::table::{Live, Role};
use crate::units::{Mono, Span};
use crate::verdict::{Reason, RefusalCode, Verdict};

impl Scheduler {
    /// How a request for a model is divided; none if it runs as one.
    pub(super) fn size_of_chunks(&self, model: usize, meta: &RequestMeta) -> Option<Size> {
        let most = meta.most_rows.filter(|_| meta.work == Work::Tensors)?;
        let rows = meta.cost.units();
        Some(self.size_of(model, most, rows)).filter(|size| size.count(rows) > 1)
    }

    fn size_of(&self, model: usize, most: u32, rows: u32) -> Size {
        Size::of(&self.models[model].times, most, Span::of(self.policy.max_chunk), rows)
    }

    /// All that the decision about a request that is divided reads: its chunks run side by side on the lanes that there are.
    pub(super) fn seen_in_chunks(&self, now: Mono, meta: &RequestMeta, key: Key, index: usize, size: Size) -> Seen {
        let (model, slack) = (&self.models[index], Span::between(now, key.deadline));
        let rows = meta.cost.units();
        let lanes = u64::try_from(model.usable_lanes()).unwrap_or(u64::MAX).min(u64::from(self.policy.lanes));
        let beside = lanes.min(u64::from(size.count(rows))).max(1);
        let (each, units) = (usize::try_from(size.rows()).unwrap_or(usize::MAX), u64::from(rows));
        let part = |work: Option<Span>| work.map(|work| work.part(beside));
        // What is old, or only known of other sizes, may promise, but not refuse.
        let old = part(model.times.guess(each, units)).filter(|service| *service <= slack);
        let service = part(model.times.current_of_size(now, each, units)).or(old);
        let own =
            OwnWork { prepare: None, service, at_least: model.times.at_least_of_size(now, each, units).part(beside) };
        Seen { lane_free: false, ..self.seen_with(now, meta, key, Some(index), own) }
    }

    /// Takes a request in that runs in chunks.
    pub(super) fn divide(&mut self, meta: &RequestMeta, key: Key, model: usize, size: Size) {
        self.push(Action::Divide { id: meta.id, size });
        self.sequence += 1;
        let (rows, most) = (meta.cost.units(), meta.most_rows.unwrap_or(u32::MAX));
        let left = Left { unasked: rows, undone: rows, size, most };
        let work = work_of_rows(&self.models[model], left.undone);
        self.accept_parent(meta, key, model, Parts::Rows(left), work);
    }

    /// Whether the children of a request are chunks of it.
    pub(super) fn is_divided(&self, live: &Live) -> bool {
        self.parent_of(live).is_some_and(|parent| matches!(parent.parts, Parts::Rows(_)))
    }

    /// A chunk comes in, with what is its parent's filled in.
    pub(super) fn chunk_arrived(&mut self, meta: &RequestMeta, key: Key, of: &Live) {
        let (rows, model) = (meta.cost.units(), of.model);
        if self.models[model].state == State::Absent {
            return self.refuse_child(meta, of.id, refused(RefusalCode::Unavailable, Reason::ModelUnavailable));
        }
        let Role::Parent(place) = of.role else { return };
        if meta.work != Work::Tensors || !self.parents.ask(place, rows) {
            // More than its parent has.
            return self.refuse_child(meta, of.id, refused(RefusalCode::Internal, Reason::FanOut));
        }
        let class = classify::class(meta, &self.policy);
        let verdict = Verdict::Local(Reason::Feasible);
        self.push(Action::Accept { id: meta.id, verdict, class, deadline: key.deadline, predicted: None });
        self.accept(meta, key, model, Role::Chunk(of.id));
    }

    /// A child with these rows is done; of a divided request less is left then, and what is known by now may divide the rest in
    /// another way.
    pub(super) fn chunk_done(&mut self, parent: Slot, rows: usize) {
        let Some(live) = self.table.get(parent) else { return };
        let (id, model, Role::Parent(place)) = (live.id, live.model, live.role) else { return };
        let Some(Parts::Rows(left)) = self.parents.get(place).map(|parent| parent.parts) else { return };
        let size = self.size_of(model, left.most, left.unasked);
        let (times, chunk) = (&self.models[model].times, Span::of(self.policy.max_chunk));
        let anew = size.replaces(left.size, left.unasked, times, chunk);
        if anew {
            self.push(Action::Divide { id, size });
        }
        if let Some(Parts::Rows(left)) = self.parents.get_mut(place).map(|parent| &mut parent.parts) {
            left.undone = left.undone.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
            left.size = if anew { size } else { left.size };
        }
        self.reprice(parent);
    }

    /// Rows of divided requests for a model that have come in no chunk yet, as what waits in a line, of the requests that are
    /// `wanted`.
    pub(super) fn unasked(&self, model: usize, wanted: impl Fn(Key) -> bool) -> Load {
        self.parents.unasked().fold(Load::default(), |sum, (slot, left)| {
            let of = self.table.get(slot).filter(|live| live.model == model && wanted(live.key));
            let (units, count) = (u64::from(left.unasked), u64::from(left.size.count(left.unasked)));
            if of.is_some() { sum.plus(Load { count, units }) } else { sum }
        })
    }

    /// Whether the next request to run has as many rows as a batch may have, so that nothing can join it.
    pub(super) fn is_filled(&self, model: &Model, most: usize) -> bool {
        let next = Priority::ALL.into_iter().find_map(|priority| model.run.next(priority));
        next.and_then(|(_, slot)| self.table.get(slot)).is_some_and(|live| live.rows() >= most)
    }
}

/// What so many rows take of a model.
pub(super) fn work_of_rows(model: &Model, rows: u32) -> Demand {
    Demand { prepare: Span::ZERO, run: model.times.work(model.usual, u64::from(rows)) }
}
