//! What is known of each site: whether it passes, how long it takes, what was spent there. Decides nothing about a request.

use core::time::Duration;

use crate::action::{Action, Change};
use crate::breaker::{self, Breaker, Gate};
use crate::estimate::latency::Latency;
use crate::event::Trip;
use crate::id::SiteId;
use crate::scheduler::Scheduler;
use crate::site::{NanoUsd, Site, Tokens};
use crate::spill::{SiteSeen, charged};
use crate::units::{Bytes, Mono, Ratio, Span};
use crate::verdict::SiteFault;

/// An answer lost so much of the time that there was, counts as this slow.
const LATE: u32 = 950;

/// One site as it was seen.
#[derive(Clone, Debug)]
pub(super) struct SiteState {
    zone: crate::request::Zone,
    pub breaker: Breaker,
    pub latency: Latency,
    /// Requests that are open there.
    pub open: u16,
    pub spent: NanoUsd,
    /// It cannot be used, whatever its breaker says.
    pub off: bool,
    /// How long a request waits there before it is begun with, by its own word.
    wait: Span,
    /// Tokens of its answers.
    answer: Option<u32>,
    /// The probe that is under way.
    probing: Option<Probe>,
    /// When it was last heard of, or asked.
    heard: Mono,
    pub last_fault: Option<SiteFault>,
    pub done: u64,
    pub failed: u64,
}

/// A question how a site is.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// Its breaker is tripped, and this decides.
    Decides(Mono),
    /// Nothing was heard of it for long.
    Asks,
}

impl SiteState {
    fn new(site: &Site, now: Mono) -> SiteState {
        SiteState {
            zone: site.zone,
            breaker: Breaker::default(),
            latency: Latency::new(site.zone),
            open: 0,
            spent: NanoUsd::default(),
            off: false,
            wait: Span::ZERO,
            answer: None,
            probing: None,
            heard: now,
            last_fault: None,
            done: 0,
            failed: 0,
        }
    }

    fn passes(&self, now: Mono) -> bool {
        self.breaker.look(now) == Gate::Yes
    }

    fn seen(&self, now: Mono, site: &Site, bytes: Bytes, tokens: Tokens, sure: Ratio) -> SiteSeen {
        let permille = u32::try_from(sure.of(1000)).unwrap_or(1000);
        let time = |permille| {
            let answer = if tokens.input > 0 { tokens.output.max(1).min(self.answer.unwrap_or(u32::MAX)) } else { 0 };
            match answer {
                0 => self.latency.quantile(now, bytes.0, permille),
                answer => self.latency.streamed(now, answer, permille),
            }
        };
        let cold = if self.done == 0 { site.cold_start } else { Span::ZERO };
        let beside = self.wait.plus(cold);
        SiteSeen {
            off: self.off,
            tripped: !self.passes(now),
            open: self.open,
            spent: self.spent,
            likely: time(500).plus(beside),
            sure: time(permille).plus(beside),
            answer_tokens: self.answer,
        }
    }

    /// One attempt more.
    pub fn began(&mut self, reserved: NanoUsd) {
        self.open = self.open.saturating_add(1);
        self.spent = self.spent.plus(reserved);
    }

    /// An attempt ended.
    fn ended(&mut self, now: Mono, site: &Site, trip: &Trip, jitter: u64) {
        self.open = self.open.saturating_sub(1);
        self.spent = self.spent.minus(trip.reserved).plus(charged(site, trip));
        self.heard = now;
        let took = Span::of(trip.took);
        match trip.result {
            Ok(tokens) => {
                self.done = self.done.saturating_add(1);
                self.last_fault = None;
                self.breaker.succeeded(now);
                self.learn(now, trip.bytes, tokens, took);
            }
            Err(SiteFault::CalledOff | SiteFault::Unaudited | SiteFault::Unfit) => {}
            Err(fault) => {
                self.failed = self.failed.saturating_add(1);
                self.last_fault = Some(fault);
                self.latency.learn_failed(now);
                if fault == SiteFault::Timeout {
                    self.latency.learn_at_least(now, trip.bytes.0, took, LATE);
                }
                match failure(fault) {
                    Some(failure) => self.breaker.failed(now, failure, jitter),
                    // The site is well: it looked at the request.
                    None => self.breaker.succeeded(now),
                }
            }
        }
    }

    fn learn(&mut self, now: Mono, bytes: Bytes, tokens: Tokens, took: Span) {
        self.latency.learn(now, bytes.0, took);
        if tokens.output > 0 {
            let before = self.answer.unwrap_or(tokens.output);
            self.answer = Some((before / 8).saturating_mul(7).saturating_add(tokens.output / 8).max(1));
        }
    }
}

/// How a breaker takes a fault; `None` if the fault is not the site's.
fn failure(fault: SiteFault) -> Option<breaker::Failure> {
    use breaker::Failure::{Busy, Credential, Garbage, Server, TimedOut, Unreachable};
    match fault {
        SiteFault::Connect | SiteFault::Tls | SiteFault::Reset => Some(Unreachable),
        SiteFault::Credential => Some(Credential),
        SiteFault::Timeout => Some(TimedOut),
        SiteFault::Busy(after) => Some(Busy { retry_after: after.map(Span::of) }),
        SiteFault::Server => Some(Server),
        SiteFault::Garbage | SiteFault::Redirected => Some(Garbage),
        SiteFault::Rejected | SiteFault::TooLarge | SiteFault::CalledOff | SiteFault::Unaudited | SiteFault::Unfit => {
            None
        }
    }
}

impl Scheduler {
    /// What is seen of a site for a request of this size.
    pub(super) fn site_seen(&self, now: Mono, site: SiteId, bytes: Bytes, tokens: Tokens) -> SiteSeen {
        let place = usize::from(site.0);
        match (self.sites.get(place), self.policy.sites.get(place)) {
            (Some(state), Some(site)) => state.seen(now, site, bytes, tokens, self.policy.routing.sure),
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

    /// The sites of the policy have a state each; one that is another one now starts anew.
    pub(super) fn set_sites(&mut self) {
        let now = self.clock;
        for (place, site) in self.policy.sites.iter().enumerate() {
            match self.sites.get_mut(place) {
                Some(state) if state.zone == site.zone => {}
                Some(state) => {
                    let open = state.open;
                    *state = SiteState { open, ..SiteState::new(site, now) };
                }
                None => self.sites.push(SiteState::new(site, now)),
            }
        }
        self.sites.truncate(self.policy.sites.len());
    }

    /// An attempt has ended: what it teaches about its site.
    pub(super) fn learn_trip(&mut self, now: Mono, trip: &Trip) {
        let jitter = self.jitter(trip.site);
        self.change_site(trip.site, |state, site| state.ended(now, site, trip, jitter));
    }

    pub(super) fn site_probed(&mut self, now: Mono, site: SiteId, result: Result<(), SiteFault>) {
        let jitter = self.jitter(site);
        self.change_site(site, |state, _| {
            state.heard = now;
            let failed = result.err().and_then(failure);
            state.last_fault = result.err();
            match (state.probing.take(), failed) {
                (Some(Probe::Decides(since)), failed) => {
                    state.breaker.probed(now, since, failed.map_or(Ok(()), Err), jitter);
                }
                (Some(Probe::Asks), Some(failure)) => state.breaker.failed(now, failure, jitter),
                (Some(Probe::Asks), None) => state.breaker.succeeded(now),
                (None, _) => {}
            }
        });
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
        self.change_site(site, |state, _| state.spent = today);
    }

    /// Changes what is known of a site, and tells the outside when its gate opened or shut by it.
    fn change_site(&mut self, id: SiteId, change: impl FnOnce(&mut SiteState, &Site)) {
        let (place, now) = (usize::from(id.0), self.clock);
        let (Some(state), Some(site)) = (self.sites.get_mut(place), self.policy.sites.get(place)) else { return };
        let was = state.passes(now);
        change(state, site);
        let passing = state.passes(now);
        if was != passing {
            self.push(Action::Announce(Change::Site { site: id, passing }));
        }
    }

    /// When a site is to be asked how it is.
    pub(super) fn probe_deadline(&self) -> Option<Mono> {
        self.sites.iter().filter_map(|state| self.probe_of(state)).min()
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
        for place in 0..self.sites.len() {
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
