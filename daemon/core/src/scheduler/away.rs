//! Requests that leave this box: where they are sent, what comes back, and what is called off.
//!
//! ```text
//!   waits here ──── its last chance elsewhere comes ────► Away ─── an answer ──► Settle(Spilled)
//!       ▲  │ failed, shed, too hot ──► the table of what ──►│  ▲
//!       │  ▼                           is tried next        │  │ late: a second site (hedge)
//!      Here ◄──────────────────────────── no answer ────────┘──┘
//!             (once a piece of an answer was given, no answer is the end)
//! ```
//!
//! Nothing leaves but by [`Scheduler::send`], which asks once more whether the data may go there.

use crate::action::Action;
use crate::admit::Seen;
use crate::estimate::Demand;
use crate::event::Trip;
use crate::fallback::{Failure, Step};
use crate::id::{RequestId, SiteId};
use crate::queue::{Key, Slot};
use crate::request::{DataClass, RequestMeta};
use crate::route::{Around, route};
use crate::scheduler::Scheduler;
use crate::scheduler::table::{Live, Role, Stage};
use crate::site::Sites;
use crate::spill::{Ask, Bar, Offer, best, confinement, cost};
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Outcome, Reason, SiteFault, Verdict};

/// A request that is here, as a site is judged for it.
pub(super) fn ask_of(now: Mono, live: &Live) -> Ask<'_> {
    Ask {
        class: live.effective,
        terms: &live.terms,
        bytes: live.bytes,
        slack: Span::between(now, live.key.deadline),
        tried: live.travel.tried,
    }
}

impl Scheduler {
    /// Where a request is served, by all that is seen now.
    pub(super) fn decide(
        &self,
        now: Mono,
        meta: &RequestMeta,
        class: DataClass,
        key: Key,
        seen: &Seen,
        tried: Sites,
    ) -> Verdict {
        let (bytes, tokens) = (meta.bytes, meta.terms.tokens);
        let site = |id| self.site_seen(now, id, bytes, tokens);
        let wait = |full, at_once| self.place_at(now, key, (bytes, tokens), full, at_once, self.allowance.allowed()).0;
        let around = Around { site: &site, wait: &wait, tried, deferred: self.deferred };
        route(meta, class, key.deadline, now, seen, around, &self.policy)
    }

    /// The best site for a request that is here, among those that were not asked.
    pub(super) fn offer(&self, now: Mono, live: &Live, among: Sites) -> Result<Offer, Option<Bar>> {
        // What has begun in parts here ends here.
        if self.policy.sites.is_empty() || live.terms.capable.is_empty() || live.role != Role::Single {
            return Err(None);
        }
        let site = |id| self.site_seen(now, id, live.bytes, live.terms.tokens);
        best(&self.policy.sites, among, &site, &ask_of(now, live))
    }

    /// Takes a request in that goes to a site at once.
    pub(super) fn accept_away(
        &mut self,
        now: Mono,
        meta: &RequestMeta,
        class: DataClass,
        key: Key,
        to: (SiteId, Reason),
    ) {
        self.sequence += 1;
        let model = self.model_index(meta.model);
        let mut live = Live::new(meta, model, key);
        (live.stage, live.effective, live.deaths) = (Stage::Away, class, meta.deaths);
        (live.units, live.alone) = (self.units_of(model, meta), meta.deaths > 0);
        let slot = self.table.insert(live);
        self.dues.insert(&mut self.due, slot, key.by_deadline(), 0);
        if !self.leave_for(now, slot, to.0, to.1) {
            // Route never chooses what data may not reach; were it wrong, nothing leaves.
            self.settle(slot, Outcome::Failed(Fault::Site));
        }
    }

    /// Sends a request to a site, from wherever it is; `false` if its data may not go there, or it is at two already.
    pub(super) fn send(&mut self, now: Mono, slot: Slot, to: SiteId, reason: Reason) -> bool {
        let (Some(live), Some(site)) = (self.table.get(slot), self.policy.sites.get(usize::from(to.0))) else {
            return false;
        };
        let free = live.travel.at.iter().position(Option::is_none);
        let (Some(free), None) = (free, confinement(live.effective, &live.terms, to, site)) else { return false };
        let id = live.id;
        let hedges = live.terms.may_hedge && site.may_hedge && !live.travel.is_out();
        let seen = self.site_seen(now, to, live.bytes, live.terms.tokens);
        let reserved = cost(site, live.terms.tokens, seen.answer_tokens).unwrap_or_default();
        let hedge = seen.sure.from(now);
        let (deadline, size) = (live.key.deadline, (live.bytes, live.terms.tokens.input));
        self.depart(slot);
        self.table.change(slot, |live| {
            live.travel.at[free] = Some(to);
            live.travel.tried = live.travel.tried.with(to);
        });
        self.look_at(slot, Some(hedge).filter(|hedge| hedges && *hedge < deadline));
        if let Some(state) = self.sites.get_mut(usize::from(to.0)) {
            state.began(now, id, size, reserved);
        }
        self.push(Action::Spill { id, site: to, reason, reserved });
        true
    }

    /// A request is at this box no longer.
    pub(super) fn depart(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let (id, on_host, waits, model) = (live.id, live.on_host(), live.waits(), live.model);
        self.models[model].running -= usize::from(live.stage == Stage::Running);
        if on_host {
            self.push(Action::Forget { id });
        }
        if waits {
            self.leave_line(slot);
        }
        self.table.change(slot, |live| live.stage = Stage::Away);
    }

    /// An attempt ended.
    pub(super) fn site_done(&mut self, now: Mono, trip: &Trip) {
        let slot = self.table.find(trip.id);
        let at = slot.and_then(|slot| self.table.get(slot)).map(|live| live.travel.at);
        let place = at.and_then(|at| at.iter().position(|at| *at == Some(trip.site)));
        self.learn_trip(now, trip, place.is_some());
        let (Some(slot), Some(place)) = (slot, place) else { return };
        self.table.change(slot, |live| live.travel.at[place] = None);
        match trip.result {
            Ok(_) => {
                self.settle(slot, Outcome::Spilled(trip.site));
                self.may_take_up(now);
            }
            Err(fault) => {
                if fault.is_for_good() {
                    self.table.change(slot, |live| live.terms.rejected = live.terms.rejected.with(trip.site));
                }
                self.ask_again(slot, trip, fault);
                self.not_served_there(now, slot, fault);
            }
        }
    }

    /// A caller has the first piece of a site's answer.
    pub(super) fn site_began(&mut self, id: RequestId, site: SiteId) {
        let Some(slot) = self.table.find(id) else { return };
        let Some(live) = self.table.get(slot).filter(|live| live.travel.at.contains(&Some(site))) else { return };
        let others = live.travel.at.into_iter().flatten().filter(|at| *at != site);
        for site in others {
            self.push(Action::CallOff { id, site });
        }
        self.look_at(slot, None);
        self.table.change(slot, |live| {
            live.travel.at = [Some(site), None];
            live.travel.begun = true;
            // The whole answer of this box does not fit behind it.
            live.travel.answered_here = false;
        });
    }

    /// A connection that was kept and broke before anything of the request was sent says nothing of the site: it may be asked
    /// once more. What may have been served is not sent to the same site again.
    fn ask_again(&mut self, slot: Slot, trip: &Trip, fault: SiteFault) {
        if fault == SiteFault::Reset && !trip.sent && self.table.get(slot).is_some_and(|live| !live.travel.asked_again)
        {
            self.table.change(slot, |live| {
                live.travel.asked_again = true;
                live.travel.tried = live.travel.tried.without(Sites::NONE.with(trip.site));
            });
        }
    }

    fn not_served_there(&mut self, now: Mono, slot: Slot, fault: SiteFault) {
        let Some(live) = self.table.get(slot) else { return };
        if live.travel.is_out() {
            // Another site is at it.
            return;
        }
        if live.travel.answered_here {
            self.taken.count(Failure::SiteDown, Some(Step::Here));
            return self.give_own(slot, Outcome::Done);
        }
        // Whoever else is asked would find the same.
        for (bad, why) in [(SiteFault::Invalid, Fault::InvalidInput), (SiteFault::Oversized, Fault::TooLarge)] {
            if fault == bad {
                return self.drop_live(slot, Outcome::Failed(why));
            }
        }
        let outcome = if fault == SiteFault::Timeout && live.key.deadline <= now {
            Outcome::Expired
        } else {
            Outcome::Failed(Fault::Site)
        };
        if live.travel.begun {
            // Nobody else's answer fits behind the pieces that the caller has.
            self.taken.count(Failure::SiteDown, None);
            return self.drop_live(slot, outcome);
        }
        self.fall_back(now, slot, Failure::SiteDown, outcome);
    }

    /// A request ends; if this box has an answer already, by that one: one that is only doubted is better than none.
    pub(super) fn give_own(&mut self, slot: Slot, otherwise: Outcome) {
        let Some(live) = self.table.get(slot) else { return };
        if !live.travel.answered_here {
            return self.drop_live(slot, otherwise);
        }
        let (id, is_away) = (live.id, live.stage == Stage::Away);
        if is_away {
            let live = live.clone();
            self.call_off(&live);
            self.table.change(slot, |live| live.travel.at = [None; 2]);
            self.push(Action::Stay { id, reason: Reason::SiteDown });
        }
        self.settle(slot, Outcome::Done);
    }

    /// An answer of this box is to be looked at before it is given.
    pub(super) fn check(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let (id, model) = (live.id, live.model);
        self.models[model].running -= usize::from(live.stage == Stage::Running);
        self.table.change(slot, |live| {
            live.stage = Stage::Checking;
            live.travel.answered_here = true;
            // It keeps its place until it is looked at, and waits for no work.
            live.priced = Demand::default();
        });
        self.look_at(slot, None);
        self.push(Action::Check { id });
    }

    /// Whether the answer of this box to a request is to be looked at.
    pub(super) fn is_checked(&self, live: &Live) -> bool {
        live.role == Role::Single && live.terms.checked && !live.terms.stronger.is_empty()
    }

    pub(super) fn checked(&mut self, now: Mono, id: RequestId, doubtful: bool) {
        let Some(slot) = self.table.find(id) else { return };
        let Some(live) = self.table.get(slot).filter(|live| live.stage == Stage::Checking) else { return };
        if doubtful {
            if let Ok(offer) = self.offer(now, live, live.terms.stronger)
                && self.send(now, slot, offer.site, Reason::Doubtful)
            {
                return;
            }
            self.push(Action::Stay { id, reason: Reason::Doubtful });
        }
        self.settle(slot, Outcome::Done);
    }

    /// What is wanted of sites for a request that has ended is not wanted any more.
    pub(super) fn call_off(&mut self, live: &Live) {
        for site in live.travel.at.into_iter().flatten() {
            self.push(Action::CallOff { id: live.id, site });
        }
    }
}
