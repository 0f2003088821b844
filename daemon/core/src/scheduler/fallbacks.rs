//! What follows when a place does not serve a request, by the operator's table: another site, this box, the disk, or no. Each step
//! that was taken is counted.

use crate::action::Action;
use crate::fallback::{Failure, Step};
use crate::queue::Slot;
use crate::request::Here;
use crate::route::{DEATHS, here};
use crate::scheduler::Scheduler;
use crate::scheduler::away::ask_of;
use crate::scheduler::heat::meta_of;
use crate::scheduler::table::{Role, Stage};
use crate::site::Sites;
use crate::spill::{Bar, is_left};
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Outcome, Reason, Refusal, Verdict};

impl Scheduler {
    /// A place does not serve a request: what the operator's table says is tried, and if nothing can be, it ends by `outcome`.
    pub(super) fn fall_back(&mut self, now: Mono, slot: Slot, failure: Failure, outcome: Outcome) {
        if self.table.get(slot).is_some_and(|live| live.role != Role::Single || live.deaths >= DEATHS) {
            return self.drop_live(slot, outcome);
        }
        for step in self.policy.routing.fallbacks.after(failure) {
            let Some(live) = self.table.get(slot) else { return };
            let taken = match step {
                Step::Site => match self.next_site(now, live) {
                    Some(site) => self.leave_for(now, slot, site, failure.reason()),
                    None => false,
                },
                Step::Here => self.stay(now, slot, failure),
                // On the disk it would only be later, or for nothing.
                Step::Wait => {
                    outcome != Outcome::Expired && self.is_worth_it(now, slot) && self.put_off(slot, failure.reason())
                }
            };
            if taken {
                return self.taken.count(failure, Some(step));
            }
        }
        self.taken.count(failure, None);
        self.drop_live(slot, outcome);
    }

    /// A request that was away is served here after all, if it can be in time.
    fn stay(&mut self, now: Mono, slot: Slot, failure: Failure) -> bool {
        let Some(live) = self.table.get(slot) else { return false };
        if live.stage != Stage::Away || live.role != Role::Single || live.travel.failed_here {
            return false;
        }
        let (id, key, tried, alone) = (live.id, live.key, live.travel.tried, live.alone);
        if self.decoding.iter().any(|decoding| decoding.id == id) {
            // The host is still at it, for nobody.
            return false;
        }
        // Another model may have taken over meanwhile.
        let model = self.models[live.model].heir.unwrap_or(live.model);
        let meta = meta_of(live, self.models[model].id);
        let size = self.size_of_chunks(model, &meta);
        let seen = match size {
            Some(size) => self.seen_in_chunks(now, &meta, key, model, size),
            None => self.seen(now, &meta, key, Some(model)),
        };
        if !matches!(here(&meta, key.deadline, now, &seen, &self.policy), Verdict::Local(_)) {
            return false;
        }
        let is_long = seen.barred.is_some() || seen.until_served() > Span::of(self.policy.routing.defer_after);
        if is_long && self.may_put_off(slot) && self.policy.routing.fallbacks.after(failure).any(|it| it == Step::Wait)
        {
            // On the disk a crash does not reach it.
            return false;
        }
        let (effective, reason) = (live.effective, failure.reason());
        // It comes in as if it had just arrived, but for what it was told already.
        self.look_at(slot, None);
        self.dues.remove(&mut self.due, key.by_deadline());
        let removed = self.table.remove(slot);
        debug_assert!(removed.is_some());
        self.push(Action::Stay { id, reason });
        match size {
            Some(size) => self.divide(&meta, key, model, size),
            None => self.accept(&meta, key, model, Role::Single),
        }
        if let Some(slot) = self.table.find(id) {
            let is_single = self.table.get(slot).is_some_and(|live| live.role == Role::Single);
            if alone && is_single {
                self.leave_line(slot);
            }
            self.table.change(slot, |live| {
                live.effective = effective;
                live.travel.tried = tried;
                live.alone |= alone;
            });
            if alone && is_single {
                self.enter_line(slot);
            }
        }
        true
    }

    /// A request that may wait is put on the disk.
    fn put_off(&mut self, slot: Slot, reason: Reason) -> bool {
        let may = self.may_put_off(slot);
        if may {
            self.count_deferred();
            self.drop_live(slot, Outcome::Deferred(reason));
        }
        may
    }

    /// Whether waiting can help a request: this box may serve it yet, or another site.
    fn is_worth_it(&self, now: Mono, slot: Slot) -> bool {
        self.table.get(slot).is_some_and(|live| {
            let here = live.terms.here == Here::Yes && !live.travel.failed_here;
            here || is_left(&self.policy.sites, Sites::ALL, &ask_of(now, live))
        })
    }

    /// Whether a request can wait on the disk.
    pub(super) fn may_put_off(&self, slot: Slot) -> bool {
        let single = self.table.get(slot).is_some_and(|live| live.deferrable && live.role == Role::Single);
        single && self.deferred < self.policy.routing.max_deferred
    }

    /// What the box could not serve for a reason is tried elsewhere before it ends.
    pub(super) fn shed(&mut self, now: Mono, slot: Slot, reason: Reason) {
        match Failure::of_reason(reason) {
            Some(failure) => self.fall_back(now, slot, failure, Outcome::Shed(reason)),
            None => self.drop_live(slot, Outcome::Shed(reason)),
        }
    }

    /// This box cannot be in time with a request any more; another place may.
    pub(super) fn too_late_here(&mut self, now: Mono, slot: Slot) {
        self.fall_back(now, slot, Failure::QueueFull, Outcome::Expired);
    }

    /// Work on a request has failed here for good.
    pub(super) fn failed_here(&mut self, now: Mono, slot: Slot, fault: Fault, outcome: Outcome) {
        match Failure::of_fault(fault) {
            Some(failure) if self.table.get(slot).is_some_and(|live| live.role == Role::Single) => {
                let was = self.table.get(slot).map(|live| (live.model, live.stage == Stage::Running));
                if let Some((model, true)) = was {
                    self.models[model].running -= 1;
                }
                // Nothing on the host is at it any more.
                self.table.change(slot, |live| {
                    live.travel.failed_here = true;
                    live.stage = Stage::Away;
                });
                self.fall_back(now, slot, failure, outcome);
            }
            Some(_) | None => self.settle(slot, outcome),
        }
    }

    /// A verdict that follows the operator's table is counted there.
    pub(super) fn count_verdict(&mut self, verdict: Verdict) {
        if let Verdict::Refuse(Refusal { away: Some(Bar::Budget), .. }) = verdict {
            return self.taken.count(Failure::BudgetSpent, None);
        }
        let (reason, step) = match verdict {
            Verdict::Spill(_, reason) => (reason, Some(Step::Site)),
            Verdict::Defer(reason) => (reason, Some(Step::Wait)),
            Verdict::Local(reason) | Verdict::Speculate(reason) => (reason, Some(Step::Here)),
            Verdict::Refuse(refusal) => (refusal.reason, None),
        };
        if let Some(failure) = Failure::of_reason(reason) {
            self.taken.count(failure, step);
        }
    }
}
