//! Requests that leave this box: sent, answered, called off; what is tried next when a place does not serve; and the
//! instants at which one that waits, or that is away for long, is looked at again.
//!
//! ```text
//!   waits here ──── its last chance elsewhere comes ────► Away ─── an answer ──► Settle(Spilled)
//!       ▲  │ failed, shed, too hot ──► the table of what ──►│  ▲
//!       │  ▼                           is tried next        │  │ late: a second site (hedge)
//!      Here ◄──────────────────────────── no answer ────────┘──┘
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
use crate::route::{Around, here, route};
use crate::scheduler::Scheduler;
use crate::scheduler::heat::meta_of;
use crate::scheduler::table::{Live, Role, Stage};
use crate::site::Sites;
use crate::spill::{Ask, Bar, Offer, best, confinement, cost};
use crate::units::{Mono, Span};
use crate::verdict::{Fault, Outcome, Reason, Refusal, SiteFault, Verdict};

/// What is being decoded is looked at again after this.
const SOON: Span = Span::from_millis(5);

/// When it is looked again for what is not there now: half way to the deadline, as long as there is time.
pub(super) fn later(now: Mono, deadline: Mono) -> Option<Mono> {
    let half = Span::between(now, deadline).part(2);
    (half > SOON).then(|| half.from(now))
}

/// What a site's time for a request is learnt by: tokens of its prompt, or bytes.
fn size_of(live: &Live) -> u64 {
    match live.terms.tokens.input {
        0 => live.bytes.0,
        tokens => tokens.into(),
    }
}

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
        let (deadline, size) = (live.key.deadline, size_of(live));
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
                self.ask_again(slot, trip, fault);
                self.not_served_there(now, slot, fault);
            }
        }
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
        let outcome = if fault == SiteFault::Timeout && live.key.deadline <= now {
            Outcome::Expired
        } else {
            Outcome::Failed(Fault::Site)
        };
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

    /// A place does not serve a request: what the operator's table says is tried, and if nothing can be, it ends by `outcome`.
    pub(super) fn fall_back(&mut self, now: Mono, slot: Slot, failure: Failure, outcome: Outcome) {
        if self.table.get(slot).is_some_and(|live| live.role != Role::Single) {
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
                // On the disk it would only be later.
                Step::Wait => outcome != Outcome::Expired && self.put_off(slot, failure.reason()),
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

    /// Whether a request can wait on the disk.
    pub(super) fn may_put_off(&self, slot: Slot) -> bool {
        let single = self.table.get(slot).is_some_and(|live| live.deferrable && live.role == Role::Single);
        single && self.deferred < self.policy.routing.max_deferred
    }

    /// When a request is looked at again, if at all.
    pub(super) fn look_at(&mut self, slot: Slot, at: Option<Mono>) {
        let Some(live) = self.table.get(slot) else { return };
        let place = |at: Mono| Key { deadline: at, ..live.key.by_deadline() };
        let (before, after) = (live.travel.look.map(place), at.map(place));
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.look_nodes.remove(&mut self.looks, key);
        }
        if let Some(key) = after {
            self.look_nodes.insert(&mut self.looks, slot, key, 0);
        }
        self.table.change(slot, |live| live.travel.look = at);
    }

    /// The last instant at which a request that waits here could still go to a site: it is looked at then.
    pub(super) fn watch(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let chance = self.chance(now, live, self.offer(now, live, Sites::ALL));
        self.look_at(slot, chance);
    }

    /// When a request that waits here is looked at again, by what the sites offer now.
    fn chance(&self, now: Mono, live: &Live, offer: Result<Offer, Option<Bar>>) -> Option<Mono> {
        let deadline = live.key.deadline;
        if !self.policy.routing.fallbacks.after(Failure::QueueFull).any(|step| step == Step::Site) {
            return None;
        }
        match offer {
            Ok(offer) => Some(Mono::from_nanos(deadline.as_nanos().saturating_sub(offer.sure.as_nanos()))),
            Err(Some(Bar::Off | Bar::Tripped | Bar::Full | Bar::Budget)) => {
                // It may be well by then.
                later(now, deadline)
            }
            Err(_) => None,
        }
    }

    /// Those whose instant has come.
    pub(super) fn look(&mut self, now: Mono) {
        while let Some((key, slot)) = self.looks.first() {
            if key.deadline > now {
                return;
            }
            self.look_at(slot, None);
            let Some(live) = self.table.get(slot) else { return };
            match live.stage {
                Stage::Away if live.travel.waits_for.is_some() => self.look_at_place(now, slot),
                Stage::Away => self.hedge(now, slot),
                Stage::Undecoded | Stage::Queued => self.last_chance(now, slot),
                Stage::Decoding => self.look_at(slot, Some(SOON.from(now))),
                Stage::Running | Stage::Gathering | Stage::Checking => {}
            }
        }
    }

    /// The first site is late: a second one is asked, once.
    fn hedge(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        if let Ok(offer) = self.offer(now, live, Sites::ALL)
            && self.policy.sites.get(usize::from(offer.site.0)).is_some_and(|site| site.may_hedge)
        {
            self.send(now, slot, offer.site, Reason::Hedged);
        }
    }

    /// A request has waited until only now another site can still be in time: it goes, unless this box is about to begin
    /// with it and would be in time even if that took twice as long as predicted.
    fn last_chance(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let offer = self.offer(now, live, Sites::ALL);
        // Sites are quicker than they were, or none is well now. If none can be in time any more, the box keeps it.
        let again = self.chance(now, live, offer).filter(|chance| *chance > now);
        let (Ok(offer), None) = (offer, again) else { return self.look_at(slot, again) };
        let (meta, key, model, itself) = (meta_of(live, self.models[live.model].id), live.key, live.model, live.priced);
        let mut seen = self.seen(now, &meta, key, Some(model));
        super::heat::without(&mut seen, &meta, itself);
        // What it waits for has been wrong before: a wait that is as long again as predicted must still do.
        let slack = Span::between(now, key.deadline);
        let late = seen.predicted().is_none_or(|end| end.plus(seen.until_served()) > slack);
        if (late || seen.barred.is_some()) && self.send(now, slot, offer.site, Reason::WaitedTooLong) {
            self.taken.count(Failure::QueueFull, Some(Step::Site));
        }
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
