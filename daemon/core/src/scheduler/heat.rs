//! What the box may run now reaches the decisions: the governor's capacity, held by the lanes' pace; what waits is routed
//! again when it falls.

use crate::action::{Action, Change};
use crate::admit::Seen;
use crate::estimate::Demand;
use crate::governor::{Capacity, Regime, Sample};
use crate::id::ModelId;
use crate::queue::{Key, Slot};
use crate::request::RequestMeta;
use crate::scheduler::Scheduler;
use crate::scheduler::model::Model;
use crate::scheduler::table::{Live, Role};
use crate::units::{Bytes, Cost, Mono, Ratio, Span};
use crate::verdict::{Outcome, Verdict};

/// A fall by this share is reason to look at all that waits again.
const FALL: f64 = 0.8;

/// While it holds the lanes back, the governor's share goes down and up with every sample: this much of it is counted on.
const SURE: Ratio = Ratio::FOUR_FIFTHS;

/// Use of the lanes since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    busy: Span,
    at: Mono,
    since: Mono,
}

impl Scheduler {
    /// Time has passed until `now`, with as many lanes busy as there are.
    pub(super) fn account(&mut self, now: Mono) {
        let busy: usize = self.models.iter().map(Model::busy_lanes).sum();
        let passed = Span::between(self.usage.at, now).times(u64::try_from(busy).unwrap_or(u64::MAX));
        self.usage.busy = self.usage.busy.plus(passed);
        self.usage.at = now;
    }

    /// Share of the lanes' time that was used since the last sample.
    #[expect(clippy::cast_precision_loss, reason = "a share; nanoseconds of days are exact enough")]
    fn used(&mut self, now: Mono) -> f64 {
        let all = Span::between(self.usage.since, now).times(u64::from(self.policy.lanes.max(1)));
        let used = if all == Span::ZERO { 0.0 } else { self.usage.busy.as_nanos() as f64 / all.as_nanos() as f64 };
        (self.usage.busy, self.usage.since) = (Span::ZERO, now);
        used
    }

    pub(super) fn sampled(&mut self, now: Mono, sample: &Sample) {
        let used = self.used(now);
        let late = self.models.iter().any(|model| model.late.late(now).is_some());
        // What heat makes slow is no riddle.
        let is_hot = sample.throttled || self.governor.state().regime == Regime::Critical;
        self.governor.set_slow((late && !is_hot).then_some(sample.clue));
        let before = self.governor.state();
        self.governor.sample(now, sample, used, &self.policy);
        let after = self.governor.state();
        if after.regime != before.regime {
            self.push(Action::Announce(Change::Regime { from: before.regime, to: after.regime, cause: after.cause }));
        }
        self.take_capacity(now);
    }

    /// Somebody reserves the box, or nobody does any more.
    pub(super) fn held(&mut self, now: Mono, held: bool) {
        self.is_held = held;
        self.governor.hold(held, &self.policy);
        self.take_capacity(now);
    }

    /// The governor's word holds from now on.
    pub(super) fn take_capacity(&mut self, now: Mono) {
        let (before, capacity) = (self.capacity, self.governor.capacity());
        self.capacity = capacity;
        self.pace.set(now, self.policy.lanes.max(1), capacity.duty, capacity.burst);
        if capacity.batch != before.batch {
            (0..self.models.len()).for_each(|index| self.find_usual_batch(index));
        }
        if before.lanes == 0 && capacity.lanes > 0 {
            self.take_up_soon(now);
        }
        let fell = |reviewed: Capacity| {
            capacity.duty.get() < reviewed.duty.get() * FALL || (capacity.lanes == 0 && reviewed.lanes > 0)
        };
        if fell(self.reviewed) {
            self.reviewed = capacity;
            self.review(now);
        } else if capacity.duty.get() > self.reviewed.duty.get() || capacity.lanes > self.reviewed.lanes {
            self.reviewed = capacity;
        }
    }

    /// Routes all that waits again, by the same function that let it in; what cannot be in time any more goes now, while its
    /// caller can still do something else. The order is that of the deadlines, so that whoever stays has those before it
    /// counted. Allocates: a fall is rare.
    fn review(&mut self, now: Mono) {
        let waits = |live: &Live| live.waits() && live.role == Role::Single && !live.on_host();
        let mut waiting: Vec<(Key, Slot)> = self
            .table
            .places()
            .filter_map(|slot| {
                self.table.get(slot).filter(|live| waits(live)).map(|live| (live.key.by_deadline(), slot))
            })
            .collect();
        waiting.sort_unstable_by_key(|(key, _)| *key);
        for (_, slot) in waiting {
            let Some(live) = self.table.get(slot) else { continue };
            let (meta, key, model) = (meta_of(live, self.models[live.model].id), live.key, live.model);
            let itself = live.priced;
            let mut seen = self.seen(now, &meta, key, Some(model));
            without(&mut seen, &meta, itself);
            // It was accepted; whoever drains waits for it.
            seen.draining = false;
            if key.deadline <= now {
                // It expires at the end of this step.
                continue;
            }
            let (class, tried) = (live.effective, live.travel.tried);
            let verdict = self.decide(now, &meta, class, key, &seen, tried);
            match verdict {
                Verdict::Local(_) | Verdict::Speculate(_) => continue,
                Verdict::Refuse(refusal) => self.drop_live(slot, Outcome::Shed(refusal.reason)),
                Verdict::Defer(reason) => {
                    self.count_deferred();
                    self.drop_live(slot, Outcome::Deferred(reason));
                }
                Verdict::Spill(site, reason) => {
                    self.leave_for(now, slot, site, reason);
                }
            }
            self.count_verdict(verdict);
        }
    }

    /// The share of the lanes' time that admission counts on.
    pub(super) fn promised(&self) -> Ratio {
        if self.pace.holds_back() { self.capacity.duty.times(SURE) } else { self.capacity.duty }
    }

    /// Largest batch that policy and governor allow.
    pub(super) fn max_batch(&self) -> u16 {
        self.policy.max_batch.min(self.capacity.batch)
    }

    /// Lanes that may run at the same time.
    pub(super) fn max_lanes(&self) -> u16 {
        self.policy.lanes.max(1).min(self.capacity.lanes)
    }

    /// Whether the pace lets a batch begin now.
    pub(super) fn may_begin(&self, now: Mono) -> bool {
        self.capacity.lanes > 0 && self.pace.is_open(now)
    }

    /// When the pace lets something that waits begin.
    pub(super) fn pace_deadline(&self) -> Option<Mono> {
        if self.capacity.lanes == 0 || !self.pace.holds_back() {
            return None;
        }
        let waits = self.models.iter().any(|model| self.serves(model) && !model.runs_nothing());
        let opens = self.pace.opens(self.clock);
        (waits && opens > self.clock).then_some(opens)
    }
}

/// What was seen counts the request itself, which is to be taken in once.
pub(super) fn without(seen: &mut Seen, meta: &RequestMeta, itself: Demand) {
    let bytes = |all: Bytes| Bytes(all.0.saturating_sub(meta.bytes.0));
    (seen.waiting, seen.waiting_bytes) = (seen.waiting.saturating_sub(1), bytes(seen.waiting_bytes));
    let client = &mut seen.client;
    (client.places, client.bytes) = (client.places.saturating_sub(1), bytes(client.bytes));
    client.work = client.work.minus(itself);
}

/// The header of a waiting request, as far as routing reads it.
pub(super) fn meta_of(live: &Live, model: ModelId) -> RequestMeta {
    RequestMeta {
        id: live.id,
        parent: None,
        client: live.client,
        share: live.key.share,
        model,
        deadline: Some(live.key.deadline),
        class: live.class,
        priority: live.key.priority,
        deferrable: live.deferrable,
        bytes: live.bytes,
        origin: live.origin,
        work: live.work,
        cost: Cost::new(u32::try_from(live.units).unwrap_or(u32::MAX)),
        most_rows: live.most_rows,
        deaths: live.deaths,
        terms: live.terms,
    }
}
