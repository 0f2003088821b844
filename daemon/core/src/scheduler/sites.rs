//! What is known of each site: whether it passes, how long it takes, what was spent there. Decides nothing about a request.

use core::time::Duration;

use crate::action::{Action, Change};
use crate::breaker::{self, Breaker, Gate};
use crate::classify;
use crate::estimate::latency::Latency;
use crate::event::Trip;
use crate::id::{ModelId, SiteId};
use crate::queue::Slot;
use crate::request::Zone;
use crate::scheduler::Scheduler;
use crate::scheduler::heat::meta_of;
use crate::site::{Country, NanoUsd, Retention, Site, Sites, Tokens, Training};
use crate::spill::{ANSWER_TOKENS, SiteSeen, charged};
use crate::units::{Bytes, Mono, Ratio, Span};
use crate::verdict::SiteFault;

/// An answer lost so much of the time that there was, counts as this slow.
const LATE: u32 = 950;

/// Payload sizes that latencies tell apart: the largest of each class, and for what is larger the last.
const SIZES: [u64; 4] = [4 << 10, 64 << 10, 1 << 20, 4 << 20];
/// What is read of latencies holds for so long if nothing is observed: they fade by half in ten minutes.
const FRESH: Span = Span::from_millis(10_000);

/// Quantiles of a site, read once for many decisions. Each is the usual time and the one that nearly all keep to.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    at: Mono,
    sizes: [(Span, Span); SIZES.len()],
    first: (Span, Span),
    each: (Span, Span),
}

impl Known {
    fn of(latency: &Latency, now: Mono, sure: Ratio) -> Known {
        let permille = u32::try_from(sure.of(1000)).unwrap_or(1000);
        let both = |read: &dyn Fn(u32) -> Span| (read(500), read(permille));
        Known {
            at: now,
            sizes: SIZES.map(|bytes| both(&|permille| latency.quantile(now, bytes, permille))),
            first: both(&|permille| latency.first_token(now, permille)),
            each: both(&|permille| latency.per_token(now, permille)),
        }
    }

    /// The time of an answer to a payload, or of one of so many tokens.
    fn time(&self, bytes: Bytes, tokens: u32) -> (Span, Span) {
        let class = SIZES.iter().position(|most| bytes.0 <= *most).unwrap_or(SIZES.len() - 1);
        match tokens.checked_sub(1).map(u64::from) {
            None => self.sizes[class],
            Some(more) => (self.first.0.plus(self.each.0.times(more)), self.first.1.plus(self.each.1.times(more))),
        }
    }
}

/// One site as it was seen.
#[derive(Clone, Debug)]
pub(super) struct SiteState {
    /// As the policy described it last.
    was: Site,
    pub breaker: Breaker,
    pub latency: Latency,
    known: Known,
    /// Requests that are open there.
    pub open: u16,
    /// Spent there today by what has ended, and what those that are open are expected to cost.
    spent: NanoUsd,
    reserved: NanoUsd,
    /// Attempts that began before then were at another site that had this place in the policy.
    since: Mono,
    /// What the outside was told of its gate.
    told: bool,
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
            was: *site,
            breaker: Breaker::default(),
            latency: Latency::new(site.zone),
            known: Known::default(),
            open: 0,
            spent: NanoUsd::default(),
            reserved: NanoUsd::default(),
            since: now,
            told: true,
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

    /// Spent there today, with what open requests are expected to cost.
    pub fn spent(&self) -> NanoUsd {
        self.spent.plus(self.reserved)
    }

    fn seen(&self, now: Mono, site: &Site, bytes: Bytes, tokens: Tokens) -> SiteSeen {
        let answer = if tokens.input > 0 { answer_of(tokens, self.answer) } else { 0 };
        let (likely, sure) = self.known.time(bytes, answer);
        let cold = if self.done == 0 { site.cold_start } else { Span::ZERO };
        let beside = self.wait.plus(cold);
        SiteSeen {
            off: self.off,
            tripped: !self.passes(now),
            open: self.open,
            spent: self.spent(),
            likely: likely.plus(beside),
            sure: sure.plus(beside),
            answer_tokens: self.answer,
        }
    }

    /// One attempt more.
    pub fn began(&mut self, reserved: NanoUsd) {
        self.open = self.open.saturating_add(1);
        self.reserved = self.reserved.plus(reserved);
    }

    /// An attempt ended; `wanted` as long as somebody waited for its answer.
    fn ended(&mut self, now: Mono, site: Option<&Site>, trip: &Trip, wanted: bool, jitter: u64) {
        self.open = self.open.saturating_sub(1);
        self.reserved = self.reserved.minus(trip.reserved);
        let took = Span::of(trip.took);
        let began = now.as_nanos().saturating_sub(took.as_nanos());
        let Some(site) = site.filter(|_| began >= self.since.as_nanos()) else { return };
        self.spent = self.spent.plus(charged(site, trip));
        self.heard = now;
        match trip.result {
            Ok(tokens) => {
                self.done = self.done.saturating_add(1);
                self.last_fault = None;
                self.breaker.succeeded(now);
                self.learn(now, trip.bytes, tokens, took);
            }
            Err(SiteFault::Unaudited | SiteFault::Unfit) => {}
            // That nobody waits any more is no fault of its, but it takes at least so long.
            Err(SiteFault::CalledOff | SiteFault::Timeout) if !wanted => {
                self.latency.learn_at_least(now, trip.bytes.0, took, LATE);
            }
            Err(SiteFault::CalledOff) => {}
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
        if tokens.output > 0 {
            // Only the whole is known: both parts have taken longer or shorter than believed by the same factor.
            let (first, more) = (self.latency.first_token(now, 500), tokens.output - 1);
            let believed = first.plus(self.latency.per_token(now, 500).times(u64::from(more)));
            let first = share(took, first, believed);
            self.latency.learn_first(now, first);
            self.latency.learn_tokens(now, more, took.minus(first));
        }
        self.latency.learn(now, bytes.0, took);
        if tokens.output > 0 {
            let before = self.answer.unwrap_or(tokens.output);
            self.answer = Some((before / 8).saturating_mul(7).saturating_add(tokens.output / 8).max(1));
        }
    }
}

/// As much of `whole` as `part` is of `all`.
fn share(whole: Span, part: Span, all: Span) -> Span {
    let nanos = u128::from(whole.as_nanos()) * u128::from(part.as_nanos()) / u128::from(all.as_nanos().max(1));
    u64::try_from(nanos).map_or(whole, Span::from_nanos).min(whole)
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

/// What a request is let go to a site by.
fn promises(site: &Site) -> (Zone, Option<Country>, Retention, Training) {
    (site.zone, site.jurisdiction, site.retention, site.training)
}

/// Tokens that an answer is expected to have: what was asked for at most, or what its answers have.
fn answer_of(tokens: Tokens, seen: Option<u32>) -> u32 {
    match (tokens.output, seen) {
        (0, None) => ANSWER_TOKENS,
        (0, Some(usual)) => usual.max(1),
        (most, usual) => most.min(usual.unwrap_or(most)).max(1),
    }
}

fn first_places(count: usize) -> Sites {
    (0..32_u8).map(SiteId).take(count).collect()
}

impl Scheduler {
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
    /// counted on, and no request that came before goes to a place that has another site now: its terms speak of the old one.
    /// `before`: how many there were.
    pub(super) fn set_sites(&mut self, before: usize) {
        let now = self.clock;
        let mut other = Sites::ALL.without(first_places(before));
        for (place, site) in self.policy.sites.iter().enumerate() {
            match self.sites.get_mut(place) {
                Some(state) => {
                    let (open, reserved) = (state.open, state.reserved);
                    if promises(&state.was) != promises(site) {
                        other = other.with(SiteId(u8::try_from(place).unwrap_or(u8::MAX)));
                    }
                    if state.was.zone != site.zone {
                        *state = SiteState { open, reserved, ..SiteState::new(site, now) };
                    }
                    state.was = *site;
                }
                None => self.sites.push(SiteState::new(site, now)),
            }
        }
        (0..self.sites.len()).for_each(|place| self.read_latency(now, place));
        self.bar(other);
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
                state.failed = state.failed.saturating_add(1);
                state.last_fault = Some(SiteFault::Timeout);
                state.latency.learn_failed(now);
                state.breaker.failed(now, breaker::Failure::TimedOut, jitter);
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
                let site = SiteId(u8::try_from(place).unwrap_or(u8::MAX));
                self.push(Action::Announce(Change::Site { site, passing }));
                if passing {
                    self.take_up_soon(now);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_once_is_what_would_be_read_each_time() {
        let mut latency = Latency::new(Zone::Cloud);
        let now = Mono::from_nanos(1_000_000);
        for (at, bytes) in (0..200).zip([10, 5_000, 100_000, 2 << 20, 1 << 30].into_iter().cycle()) {
            latency.learn(now, bytes, Span::from_millis(20 + at + bytes / 10_000));
        }
        latency.learn_first(now, Span::from_millis(70));
        latency.learn_tokens(now, 20, Span::from_millis(300));
        let known = Known::of(&latency, now, Ratio::NEARLY_ALL);
        for bytes in [0, 1, 4096, 4097, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 4 << 20, 5 << 20, u64::MAX] {
            let told = known.time(Bytes(bytes), 0);
            assert_eq!(told, (latency.quantile(now, bytes, 500), latency.quantile(now, bytes, 950)), "{bytes}");
        }
        for tokens in [1, 2, 300] {
            let told = known.time(Bytes(0), tokens);
            assert_eq!(told, (latency.streamed(now, tokens, 500), latency.streamed(now, tokens, 950)), "{tokens}");
        }
    }

    #[test]
    fn an_answer_has_the_tokens_that_were_asked_for_or_that_answers_have() {
        for (output, seen, expected) in
            [(0, None, ANSWER_TOKENS), (0, Some(40), 40), (10, Some(40), 10), (100, Some(40), 40), (100, None, 100)]
        {
            assert_eq!(answer_of(Tokens { input: 5, output }, seen), expected, "{output} {seen:?}");
        }
    }
}
