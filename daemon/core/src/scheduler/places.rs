//! Requests that wait for a place at a site that is full, as a local server of a language model with few slots is most of the
//! time: who waits, until when, and who gets the place. By [`wait`](crate::wait); nothing is sent but by `away`.

use crate::estimate::chance::Chance;
use crate::fallback::{Failure, Step, of_bar};
use crate::id::SiteId;
use crate::queue::{Key, Slot};
use crate::scheduler::Scheduler;
use crate::scheduler::away::ask_of;
use crate::scheduler::chances::later;
use crate::scheduler::sites::Waiting;
use crate::scheduler::table::Live;
use crate::site::{Sites, Tokens};
use crate::spill::{Ask, Bar, Offer, SiteSeen, best, judge, worth_waiting};
use crate::units::{Bytes, Mono, Span};
use crate::verdict::{Fault, Outcome, Reason, Verdict};
use crate::wait::{Place, in_time, place};

/// Where nothing else may serve a request, it waits for a place if it gets one in time more likely than not.
const LIKELY: Chance = Chance::permille(500);

impl Scheduler {
    /// Whether a request waits for a place at the site of `full` or takes what it may have at once, and what that risks.
    pub(super) fn place_at(
        &self,
        now: Mono,
        key: Key,
        (bytes, tokens): (Bytes, Tokens),
        full: Offer,
        at_once: Option<Offer>,
        allowed: Chance,
    ) -> (Place, Chance) {
        let (Some(state), Some(site)) = (self.site_state(full.site), self.policy.sites.get(usize::from(full.site.0)))
        else {
            return (Place::Away, Chance::NONE);
        };
        let (ahead, others) = (state.places.ahead_of(key), state.places.others(key));
        if others >= usize::from(site.max_open) {
            // As many wait as there are places: the line is bounded, too.
            return (Place::Away, Chance::NONE);
        }
        let other = at_once
            .and_then(|offer| Some((self.site_state(offer.site)?, self.policy.sites.get(usize::from(offer.site.0))?)));
        state.places.ask((now, key.deadline), (ahead, full.sure), site.max_open, |scene| match other {
            Some((state, site)) => place(scene, |time| state.late(now, site, bytes, tokens, time), allowed),
            None if in_time(scene) >= LIKELY => (Place::Here { leave_at: key.deadline }, Chance::NONE),
            None => (Place::Away, Chance::NONE),
        })
    }

    /// How long a request of this verdict would wait for a place at most, if the site is full.
    pub(super) fn wait_of(&self, now: Mono, key: Key, ask: &Ask<'_>, verdict: Verdict) -> Option<Span> {
        let Verdict::Spill(to, _) = verdict else { return None };
        let (full, place, _) = self.weigh(now, key, ask)?;
        match place {
            Place::Here { leave_at } if full.site == to => Some(Span::between(now, leave_at)),
            Place::Here { .. } | Place::Away => None,
        }
    }

    /// The full site that is worth waiting for, whether it is waited for, and what that risks.
    fn weigh(&self, now: Mono, key: Key, ask: &Ask<'_>) -> Option<(Offer, Place, Chance)> {
        let mut sites = self.sites.iter().zip(&self.policy.sites);
        if !sites.any(|(state, site)| state.places.open() >= site.max_open) {
            return None;
        }
        let (bytes, tokens) = (ask.bytes, ask.terms.tokens);
        let site = |id| self.site_seen(now, id, bytes, tokens);
        let at_once = best(&self.policy.sites, Sites::ALL, &site, ask).ok();
        let full = worth_waiting(&self.policy.sites, Sites::ALL, &site, ask, at_once)?;
        let (place, risk) = self.place_at(now, key, (bytes, tokens), full, at_once, self.allowance.allowed());
        Some((full, place, risk))
    }

    /// The site that a request goes to next, or waits for.
    pub(super) fn next_site(&self, now: Mono, live: &Live) -> Option<SiteId> {
        let at_once = self.offer(now, live, Sites::ALL);
        let full = if live.deferrable { None } else { self.weigh(now, live.key, &ask_of(now, live)) };
        match full {
            Some((full, Place::Here { .. }, _)) => Some(full.site),
            Some((_, Place::Away, _)) | None => at_once.ok().map(|offer| offer.site),
        }
    }

    /// Sends a request to a site, or has it wait for a place there; `false` if it can do neither.
    pub(super) fn leave_for(&mut self, now: Mono, slot: Slot, to: SiteId, reason: Reason) -> bool {
        let Some(live) = self.table.get(slot) else { return false };
        let weighed = if live.deferrable { None } else { self.weigh(now, live.key, &ask_of(now, live)) };
        let is_full = self.is_full(to);
        if let Some((full, place, risk)) = weighed {
            self.allowance.placed(risk);
            if let Place::Here { leave_at } = place
                && full.site == to
                && is_full
            {
                self.wait_for(now, slot, to, reason, leave_at);
                return true;
            }
        }
        !is_full && self.send(now, slot, to, reason)
    }

    fn is_full(&self, site: SiteId) -> bool {
        let most = self.policy.sites.get(usize::from(site.0)).map(|site| site.max_open);
        self.site_state(site).zip(most).is_some_and(|(state, most)| state.places.open() >= most)
    }

    fn wait_for(&mut self, now: Mono, slot: Slot, site: SiteId, reason: Reason, leave_at: Mono) {
        self.depart(slot);
        let Some(live) = self.table.get(slot) else { return };
        let waiting = Waiting { id: live.id, key: live.key, reason };
        let look = if leave_at < live.key.deadline { Some(leave_at) } else { later(now, leave_at) };
        self.table.change(slot, |live| live.travel.waits_for = Some(site));
        self.look_at(slot, look);
        if let Some(state) = self.sites.get_mut(usize::from(site.0)) {
            state.places.wait(waiting);
        }
    }

    /// A request does not wait for a place any more, if it did.
    pub(super) fn wait_no_longer(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let (id, Some(site)) = (live.id, live.travel.waits_for) else { return };
        if let Some(state) = self.sites.get_mut(usize::from(site.0)) {
            state.places.leave(id);
        }
        self.table.change(slot, |live| live.travel.waits_for = None);
        self.look_at(slot, None);
    }

    /// Places that are free go to those that wait for them, and who waits for a site that is not well any more goes on.
    pub(super) fn give_places(&mut self, now: Mono) {
        for place in 0..self.sites.len() {
            let Ok(site) = u8::try_from(place).map(SiteId) else { return };
            while let Some(first) = self.sites.get(place).and_then(|state| state.places.waiting().first().copied()) {
                let is_well =
                    place < self.policy.sites.len() && self.site_state(site).is_some_and(|it| it.is_well(now));
                if is_well && self.is_full(site) {
                    break;
                }
                let Some(slot) = self.table.find(first.id) else {
                    if let Some(state) = self.sites.get_mut(place) {
                        state.places.leave(first.id);
                    }
                    continue;
                };
                self.wait_no_longer(slot);
                self.take_place(now, slot, site, first.reason);
            }
        }
    }

    /// Other sites have these places now, or none: whoever waits for one goes on.
    pub(super) fn send_on(&mut self, now: Mono, sites: Sites) {
        for place in 0..self.sites.len() {
            let Some(site) = u8::try_from(place).ok().map(SiteId).filter(|site| sites.has(*site)) else { continue };
            while let Some(first) = self.sites.get(place).and_then(|state| state.places.waiting().first().copied()) {
                let Some(slot) = self.table.find(first.id) else { break };
                self.wait_no_longer(slot);
                self.take_place(now, slot, site, first.reason);
            }
        }
    }

    /// The turn of one that waited has come, or its site is not well any more.
    fn take_place(&mut self, now: Mono, slot: Slot, site: SiteId, reason: Reason) {
        let Some(live) = self.table.get(slot) else { return };
        let Err(bar) = self.judged_if_free(now, live, site) else {
            if !self.send(now, slot, site, reason) {
                self.fall_back(now, slot, Failure::SiteDown, Outcome::Failed(Fault::Site));
            }
            return;
        };
        self.fall_back(now, slot, bar.map_or(Failure::SiteDown, of_bar), ends_by(bar));
    }

    /// What a site would do for a request that waits if it had a place; `Err(None)`: it is not there any more.
    fn judged_if_free(&self, now: Mono, live: &Live, id: SiteId) -> Result<Offer, Option<Bar>> {
        let site = self.policy.sites.get(usize::from(id.0)).ok_or(None)?;
        let seen = self.site_seen(now, id, live.bytes, live.terms.tokens);
        judge(id, site, &SiteSeen { open: 0, ..seen }, &ask_of(now, live)).map_err(Some)
    }

    /// The time has come at which a request that waits for a place is looked at again: it stays exactly if that is no worse
    /// than leaving now.
    pub(super) fn look_at_place(&mut self, now: Mono, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let Some(site) = live.travel.waits_for else { return };
        let (key, size) = (live.key, (live.bytes, live.terms.tokens));
        let Ok(at_once) = self.offer(now, live, Sites::ALL) else {
            return self.look_at(slot, later(now, key.deadline));
        };
        if let Ok(full) = self.judged_if_free(now, live, site)
            && let (Place::Here { leave_at }, _) = self.place_at(now, key, size, full, Some(at_once), Chance::NONE)
            && leave_at > now
        {
            return self.look_at(slot, Some(leave_at).filter(|at| *at < key.deadline));
        }
        self.wait_no_longer(slot);
        if self.send(now, slot, at_once.site, Reason::WaitedTooLong) {
            self.taken.count(Failure::QueueFull, Some(Step::Site));
        } else {
            self.fall_back(now, slot, Failure::QueueFull, Outcome::Failed(Fault::Site));
        }
    }
}

/// How a request ends that waited for a site which must not have it now, if nothing else can serve it.
fn ends_by(bar: Option<Bar>) -> Outcome {
    match bar {
        Some(Bar::TooSlow) => Outcome::Expired,
        // When it began to wait the site might have it: what has changed since is where that lies, or what it promises.
        Some(bar) if bar.confines() => Outcome::Failed(Fault::Confined),
        Some(_) | None => Outcome::Failed(Fault::Site),
    }
}
