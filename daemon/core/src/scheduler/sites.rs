//! What is known of each site: whether it passes, how long it takes, what was spent there. Decides nothing about a request.

mod places;
mod state;

use core::time::Duration;

use crate::action::{Action, Change};
use crate::breaker::{Gate, State};
use crate::classify;
use crate::event::Trip;
use crate::fallback::Failure;
use crate::id::{ModelId, SiteId};
use crate::queue::Slot;
use crate::scheduler::Scheduler;
use crate::scheduler::heat::meta_of;
use crate::site::{NanoUsd, Site, Sites, Tokens};
use crate::spill::SiteSeen;
use crate::units::{Bytes, Mono, Span};
use crate::verdict::{Fault, Outcome, SiteFault};
use state::{FRESH, Known, Probe};

pub(super) use places::Waiting;
pub(super) use state::SiteState;

fn first_places(count: usize) -> Sites {
    (0..32_u8).map(SiteId).take(count).collect()
}

impl Scheduler {
    pub(super) fn site_state(&self, site: SiteId) -> Option<&SiteState> {
        self.sites.get(usize::from(site.0))
    }

    /// What is seen of a site for a request of this size.
    pub(super) fn site_seen(&self, now: Mono, site: SiteId, bytes: Bytes, tokens: Tokens) -> SiteSeen {
        let place = usize::from(site.0);
        match (self.sites.get(place), self.policy.sites.get(place)) {
            (Some(state), Some(site)) => state.seen(now, site, bytes, tokens),
            (None, _) | (_, None) => SiteSeen {
                off: true,
                tripped: true,
                open: 0,
                spent: NanoUsd(0),
                likely: Span::MAX,
                sure: Span::MAX,
                answer_tokens: None,
            },
        }
    }

    /// The sites of the policy have a state each; one that is another one now starts anew. What is open at one that is gone is
    /// counted on, and no request that came before goes to a place that has another site now: its terms speak of the old one. What
    /// is said of the same site (its zone, what it promises) is asked for each time that a request may leave, and need not be here.
    /// `before`: how many there were.
    pub(super) fn set_sites(&mut self, before: usize) {
        let now = self.clock;
        let mut other = Sites::ALL.without(first_places(before));
        for (place, site) in self.policy.sites.iter().enumerate() {
            match self.sites.get_mut(place) {
                Some(state) => {
                    if state.was.identity != site.identity {
                        other = other.with(SiteId(u8::try_from(place).unwrap_or(u8::MAX)));
                    }
                    if (state.was.identity, state.was.zone) != (site.identity, site.zone) {
                        state.forget(site, now);
                    }
                    // Whoever reloads may have repaired what tripped it: it is asked now, and not at the end of its pause.
                    state.breaker.renewed(now);
                    state.places.make_room(site.max_open);
                    state.was = *site;
                }
                None => self.sites.push(SiteState::new(site, now)),
            }
        }
        (0..self.sites.len()).for_each(|place| self.read_latency(now, place));
        self.bar(other);
        self.send_on(now, other);
    }

    fn read_latency(&mut self, now: Mono, place: usize) {
        if let Some(state) = self.sites.get_mut(place) {
            state.known = Known::of(&state.latency, now, self.policy.routing.sure);
        }
    }

    /// One site of which nothing was read for long is read again; one a step, so that no step takes long.
    pub(super) fn refresh_latency(&mut self, now: Mono) {
        let sites = self.sites.iter().take(self.policy.sites.len()).enumerate();
        let oldest = sites.min_by_key(|(_, state)| state.known.at).map(|(place, state)| (place, state.known.at));
        if let Some((place, _)) = oldest.filter(|(_, read)| Span::between(*read, now) >= FRESH) {
            self.read_latency(now, place);
        }
    }

    /// No request that is here goes to these sites, and each has no freer class than the policy lets it have now.
    fn bar(&mut self, other: Sites) {
        for slot in self.table.places() {
            let Some(live) = self.table.get(slot) else { continue };
            let class = classify::class(&meta_of(live, ModelId(0)), &self.policy);
            self.table.change(slot, |live| {
                live.terms.capable = live.terms.capable.without(other);
                live.effective = live.effective.min(class);
            });
        }
    }

    /// Requests at sites reach their deadline without an answer.
    pub(super) fn note_expired(&mut self, now: Mono, slot: Slot) {
        let at = self.table.get(slot).map_or([None; 2], |live| live.travel.at);
        for site in at.into_iter().flatten() {
            let jitter = self.jitter(site);
            self.change_site(site, |state, _| {
                state.latency.learn_failed(now);
                state.failed(now, SiteFault::Timeout, jitter);
            });
        }
    }

    /// An attempt has ended: what it teaches about its site.
    pub(super) fn learn_trip(&mut self, now: Mono, trip: &Trip, wanted: bool) {
        let jitter = self.jitter(trip.site);
        self.change_site(trip.site, |state, site| state.ended(now, site, trip, wanted, jitter));
        self.read_latency(now, usize::from(trip.site.0));
    }

    pub(super) fn site_probed(&mut self, now: Mono, site: SiteId, result: Result<(), SiteFault>) {
        let jitter = self.jitter(site);
        self.change_site(site, |state, _| state.probed(now, result, jitter));
    }

    pub(super) fn site_load(&mut self, now: Mono, site: SiteId, off: bool, wait: Duration) {
        self.change_site(site, |state, _| {
            if state.off && !off {
                state.breaker.renewed(now);
            }
            (state.off, state.wait) = (off, Span::of(wait));
        });
    }

    pub(super) fn set_spent(&mut self, site: SiteId, today: NanoUsd) {
        let mut is_less = false;
        self.change_site(site, |state, _| {
            is_less = today < state.spent;
            state.spent = today;
        });
        // A new day.
        if is_less {
            self.take_up_soon(self.clock);
        }
    }

    /// Changes what is known of a site, which may be gone from the policy.
    fn change_site(&mut self, id: SiteId, change: impl FnOnce(&mut SiteState, Option<&Site>)) {
        let place = usize::from(id.0);
        if let Some(state) = self.sites.get_mut(place) {
            change(state, self.policy.sites.get(place));
        }
    }

    /// Tells the outside which gates have opened or shut, by what was heard or by the time.
    pub(super) fn announce_gates(&mut self, now: Mono) {
        for place in 0..self.policy.sites.len() {
            let Some(state) = self.sites.get_mut(place) else { return };
            let passing = state.passes(now);
            if state.told != passing {
                state.told = passing;
                let is_gone = matches!(state.breaker.state(), State::Tripped { .. });
                let site = SiteId(u8::try_from(place).unwrap_or(u8::MAX));
                self.push(Action::Announce(Change::Site { site, passing }));
                if passing {
                    self.take_up_soon(now);
                } else if is_gone {
                    self.recall(now, site);
                }
            }
        }
    }

    /// A site is gone: what is open there and may wait does so on the disk, or goes where it can be served, and not there
    /// until its deadline. What cannot wait is not sent twice: its answer may still come.
    fn recall(&mut self, now: Mono, site: SiteId) {
        for slot in self.table.places() {
            let Some(live) = self.table.get(slot) else { continue };
            let is_only_there = live.travel.at.iter().flatten().all(|at| *at == site) && live.travel.is_out();
            if is_only_there && !live.travel.answered_here && self.may_put_off(slot) {
                let id = live.id;
                self.push(Action::CallOff { id, site });
                self.table.change(slot, |live| live.travel.at = [None; 2]);
                self.fall_back(now, slot, Failure::SiteDown, Outcome::Failed(Fault::Site));
            }
        }
    }

    /// When a site is to be asked how it is.
    pub(super) fn probe_deadline(&self) -> Option<Mono> {
        self.sites.iter().take(self.policy.sites.len()).filter_map(|state| self.probe_of(state)).min()
    }

    fn probe_of(&self, state: &SiteState) -> Option<Mono> {
        if state.probing.is_some() || state.off {
            return None;
        }
        match state.breaker.look(self.clock) {
            Gate::Yes => Some(state.heard.after(self.policy.routing.probe_every)),
            Gate::Probe { .. } => Some(self.clock),
            Gate::No { until } => Some(until),
        }
    }

    /// Asks the sites whose time has come.
    pub(super) fn probe_sites(&mut self, now: Mono) {
        for place in 0..self.policy.sites.len() {
            let site = SiteId(u8::try_from(place).unwrap_or(u8::MAX));
            let jitter = self.jitter(site);
            let Some(state) = self.sites.get(place) else { return };
            if self.probe_of(state).is_none_or(|due| due > now) {
                continue;
            }
            let Some(state) = self.sites.get_mut(place) else { return };
            let probe = match state.breaker.may_pass(now, jitter) {
                Gate::Yes => Probe::Asks,
                Gate::Probe { since } => Probe::Decides(since),
                Gate::No { .. } => continue,
            };
            (state.probing, state.heard) = (Some(probe), now);
            self.push(Action::Probe { site });
        }
    }

    /// A number that differs from one pause to the next.
    fn jitter(&self, site: SiteId) -> u64 {
        let number = self.sequence.wrapping_mul(32).wrapping_add(u64::from(site.0)) ^ self.policy.routing.seed;
        // The high bits of such a product are spread well.
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }
}
