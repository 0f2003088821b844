//! What is known of one site: whether it passes, how long it takes, what was spent there. Decides nothing, and must not know
//! other sites.

use super::places::Places;
use crate::breaker::{self, Breaker, Gate, State};
use crate::estimate::chance::Chance;
use crate::estimate::doubts::{Doubts, Miss};
use crate::estimate::latency::{CLASSES, Latency, PROMPTS, SIZES};
use crate::event::Trip;
use crate::id::RequestId;
use crate::site::{NanoUsd, Site, Tokens};
use crate::spill::{SiteSeen, charged};
use crate::units::{Bytes, Mono, Ratio, Span};
use crate::verdict::SiteFault;

/// While fewer answers were seen of a site, and none stayed away, it is judged by the median of what is believed of it: by the tail of
/// a belief it would not be in time for a usual deadline, would not be tried, and nothing would ever be learnt. Behind a dozen
/// the median is the site's own.
const TRIED: u64 = 12;
/// Tokens of an answer, while none was seen of the site, however many are allowed: a sentence. Were it a page, by what is believed of a zone
/// no site would be in time for a usual deadline, none would be tried, and nothing would ever be learnt. Money is set aside for more.
const TRIED_TOKENS: u32 = 16;

/// An answer lost so much of the time that there was, counts as this slow.
const LATE: u32 = 950;

/// What is read of latencies holds for so long if nothing is observed: they fade by half in ten minutes.
pub(super) const FRESH: Span = Span::from_millis(10_000);

/// Quantiles of a site, read once for many decisions. Each is the usual time and the one that nearly all keep to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub at: Mono,
    sizes: [(Span, Span); CLASSES],
    first: [(Span, Span); CLASSES],
    each: (Span, Span),
}

impl Known {
    pub fn of(latency: &Latency, now: Mono, sure: Ratio) -> Known {
        let permille = u32::try_from(sure.of(1000)).unwrap_or(1000);
        let both = |read: &dyn Fn(u32) -> Span| (read(500), read(permille));
        Known {
            at: now,
            sizes: SIZES.map(|bytes| both(&|permille| latency.quantile(now, bytes, permille))),
            first: PROMPTS.map(|prompt| both(&|permille| latency.first_token(now, tokens(prompt), permille))),
            each: both(&|permille| latency.per_token(now, permille)),
        }
    }

    /// The time of an answer to a payload, or of one of `answer` tokens to a prompt.
    fn time(&self, bytes: Bytes, prompt: u32, answer: u32) -> (Span, Span) {
        let class = |sizes: &[u64; CLASSES], size| sizes.iter().position(|most| size <= *most).unwrap_or(CLASSES - 1);
        let Some(more) = answer.checked_sub(1).map(u64::from) else { return self.sizes[class(&SIZES, bytes.0)] };
        let first = self.first[class(&PROMPTS, prompt.into())];
        (first.0.plus(self.each.0.times(more)), first.1.plus(self.each.1.times(more)))
    }
}

fn tokens(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One site as it was seen.
#[derive(Clone, Debug)]
pub(in crate::scheduler) struct SiteState {
    /// As the policy described it last.
    pub(super) was: Site,
    pub breaker: Breaker,
    pub latency: Latency,
    /// Answers that did not come, of which nobody knows yet what they say.
    doubts: Doubts,
    pub(super) known: Known,
    /// What is open there, and who waits for it.
    pub places: Places,
    /// Spent there today by what has ended, and what those that are open are expected to cost.
    pub(super) spent: NanoUsd,
    pub(super) reserved: NanoUsd,
    /// Attempts that began before then were at another site that had this place in the policy.
    since: Mono,
    /// What the outside was told of its gate.
    pub(super) told: bool,
    /// It cannot be used, whatever its breaker says.
    pub off: bool,
    /// How long a request waits there before it is begun with, by its own word.
    pub(super) wait: Span,
    /// Tokens of its answers.
    answer: Option<u32>,
    /// The probe that is under way.
    pub(super) probing: Option<Probe>,
    /// When it was last heard of, or asked.
    pub(super) heard: Mono,
    /// When a probe let it pass again: what began before says nothing of it.
    back: Mono,
    pub last_fault: Option<SiteFault>,
    pub done: u64,
    pub failed: u64,
    /// It did not answer once, or not as it should, and not for the request's own fault.
    failed_itself: bool,
}

/// A question how a site is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    /// Its breaker is tripped, and this decides.
    Decides(Mono),
    /// Nothing was heard of it for long.
    Asks,
}

impl SiteState {
    pub(super) fn new(site: &Site, now: Mono) -> SiteState {
        SiteState {
            was: *site,
            breaker: Breaker::default(),
            latency: Latency::new(site.zone),
            doubts: Doubts::default(),
            known: Known::default(),
            places: Places::new(site.max_open),
            spent: NanoUsd::default(),
            reserved: NanoUsd::default(),
            since: now,
            told: true,
            off: false,
            wait: Span::ZERO,
            answer: None,
            probing: None,
            heard: now,
            back: now,
            last_fault: None,
            done: 0,
            failed: 0,
            failed_itself: false,
        }
    }

    pub(super) fn passes(&self, now: Mono) -> bool {
        self.breaker.look(now) == Gate::Yes
    }

    /// Another site has this place in the policy now. What is open at the old one is counted on.
    pub(super) fn forget(&mut self, site: &Site, now: Mono) {
        let (mut places, reserved, told) = (self.places.clone(), self.reserved, self.told);
        places.forget();
        *self = SiteState { places, reserved, told, ..SiteState::new(site, now) };
    }

    /// Whether a place there may be waited for.
    pub fn is_well(&self, now: Mono) -> bool {
        !self.off && self.passes(now) && self.was.max_open > 0
    }

    /// Spent there today, with what open requests are expected to cost.
    pub fn spent(&self) -> NanoUsd {
        self.spent.plus(self.reserved)
    }

    pub(super) fn seen(&self, now: Mono, site: &Site, bytes: Bytes, tokens: Tokens) -> SiteSeen {
        let answer = if tokens.input > 0 { answer_of(tokens, self.answer) } else { 0 };
        let (likely, known) = self.known.time(bytes, tokens.input, answer);
        let sure = if self.done < TRIED && !self.failed_itself { likely } else { known };
        let cold = if self.done == 0 { site.cold_start } else { Span::ZERO };
        let beside = self.wait.plus(cold);
        SiteSeen {
            off: self.off,
            tripped: !self.passes(now),
            open: self.places.open(),
            spent: self.spent(),
            likely: likely.plus(beside),
            sure: sure.plus(beside),
            answer_tokens: self.answer,
        }
    }

    /// The chance that an answer takes longer than `time`.
    pub fn late(&self, now: Mono, site: &Site, bytes: Bytes, tokens: Tokens, time: Span) -> Chance {
        let cold = if self.done == 0 { site.cold_start } else { Span::ZERO };
        let time = time.minus(self.wait).minus(cold);
        if tokens.input == 0 {
            return self.latency.beyond(now, bytes.0, time);
        }
        let more = u64::from(answer_of(tokens, self.answer).saturating_sub(1));
        self.latency.first_token_beyond(now, tokens.input, time.minus(self.known.each.0.times(more)))
    }

    /// One attempt more.
    pub fn began(&mut self, now: Mono, id: RequestId, (bytes, prompt): (Bytes, u32), reserved: NanoUsd) {
        self.places.began(now, id, (bytes.0, prompt));
        self.reserved = self.reserved.plus(reserved);
    }

    /// An attempt ended; `wanted` as long as somebody waited for its answer.
    pub(super) fn ended(&mut self, now: Mono, site: Option<&Site>, trip: &Trip, wanted: bool, jitter: u64) {
        let took = Span::of(trip.took);
        let began = now.as_nanos().saturating_sub(took.as_nanos());
        let is_its = began >= self.since.as_nanos();
        let prompt = self.places.ended(now, trip.id, is_its && trip.result.is_ok());
        self.reserved = self.reserved.minus(trip.reserved);
        let Some(site) = site.filter(|_| is_its) else { return };
        self.spent = self.spent.plus(charged(site, trip));
        self.heard = now;
        match trip.result {
            Ok(tokens) => {
                self.done = self.done.saturating_add(1);
                self.last_fault = None;
                self.breaker.succeeded(now);
                self.learn(now, trip.bytes, prompt, tokens, took);
                let missed = self.doubts.answered();
                self.learn_missed(now, missed);
            }
            Err(SiteFault::Unaudited | SiteFault::Unfit | SiteFault::Invalid | SiteFault::Oversized) => {}
            // That nobody waits any more is no fault of its, but it takes at least so long.
            Err(SiteFault::CalledOff | SiteFault::Timeout) if !wanted => self.missed((trip.bytes, prompt), took, began),
            Err(SiteFault::CalledOff) => {}
            Err(fault) => {
                // A "no" to one request is an answer: the site is no worse for others.
                if failure(fault).is_some() {
                    self.latency.learn_failed(now);
                }
                if fault == SiteFault::Timeout {
                    self.missed((trip.bytes, prompt), took, began);
                }
                self.failed(now, fault, jitter);
            }
        }
    }

    /// It failed once more.
    pub(super) fn failed(&mut self, now: Mono, fault: SiteFault, jitter: u64) {
        self.failed = self.failed.saturating_add(1);
        self.last_fault = Some(fault);
        // Without one the site is well: it looked at the request.
        let Some(failure) = failure(fault) else { return self.breaker.succeeded(now) };
        self.failed_itself = true;
        let passed = self.breaker.state() == State::Passing;
        self.breaker.failed(now, failure, jitter);
        if passed && self.breaker.state() != State::Passing {
            let missed = self.doubts.tripped();
            self.learn_missed(now, missed);
        }
    }

    /// A probe was answered, or not.
    pub(super) fn probed(&mut self, now: Mono, result: Result<(), SiteFault>, jitter: u64) {
        self.heard = now;
        self.last_fault = result.err();
        match (self.probing.take(), result.err().and_then(failure)) {
            (Some(Probe::Decides(since)), failed) => {
                self.breaker.probed(now, since, failed.map_or(Ok(()), Err), jitter);
                if self.breaker.state() == State::Passing {
                    self.back = now;
                }
            }
            (Some(Probe::Asks), Some(failure)) => self.breaker.failed(now, failure, jitter),
            (Some(Probe::Asks), None) => self.breaker.succeeded(now),
            (None, _) => {}
        }
    }

    /// No answer came. Of a site that is tripped, or was when this began, that says nothing.
    fn missed(&mut self, (bytes, prompt): (Bytes, u32), waited: Span, began: u64) {
        if self.breaker.state() == State::Passing && began >= self.back.as_nanos() {
            self.doubts.missed(Miss { bytes: bytes.0, prompt, waited });
        }
    }

    fn learn_missed(&mut self, now: Mono, missed: impl Iterator<Item = Miss>) {
        missed.for_each(|miss| self.latency.learn_at_least(now, (miss.bytes, miss.prompt), miss.waited, LATE));
    }

    fn learn(&mut self, now: Mono, bytes: Bytes, prompt: u32, tokens: Tokens, took: Span) {
        if tokens.output > 0 {
            // Only the whole is known: both parts have taken longer or shorter than believed by the same factor.
            let (first, more) = (self.latency.first_token(now, prompt, 500), tokens.output - 1);
            let believed = first.plus(self.latency.per_token(now, 500).times(u64::from(more)));
            let first = share(took, first, believed);
            self.latency.learn_first(now, prompt, first);
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
        SiteFault::Rejected
        | SiteFault::Missing
        | SiteFault::TooLarge
        | SiteFault::CalledOff
        | SiteFault::Unaudited
        | SiteFault::Unfit
        | SiteFault::Invalid
        | SiteFault::Oversized => None,
    }
}

/// Tokens that an answer is expected to have: what was asked for at most, or what its answers have.
fn answer_of(tokens: Tokens, seen: Option<u32>) -> u32 {
    match (tokens.output, seen) {
        (0, usual) => usual.unwrap_or(TRIED_TOKENS).max(1),
        (most, usual) => most.min(usual.unwrap_or(TRIED_TOKENS)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Zone;

    #[test]
    fn what_was_read_once_is_what_would_be_read_each_time() {
        let mut latency = Latency::new(Zone::Cloud);
        let now = Mono::from_nanos(1_000_000);
        for (at, bytes) in (0..200).zip([10, 5_000, 100_000, 2 << 20, 1 << 30].into_iter().cycle()) {
            latency.learn(now, bytes, Span::from_millis(20 + at + bytes / 10_000));
        }
        latency.learn_first(now, 100, Span::from_millis(70));
        latency.learn_first(now, 9_000, Span::from_millis(900));
        latency.learn_tokens(now, 20, Span::from_millis(300));
        let known = Known::of(&latency, now, Ratio::NEARLY_ALL);
        for bytes in [0, 1, 4096, 4097, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 4 << 20, 5 << 20, u64::MAX] {
            let told = known.time(Bytes(bytes), 0, 0);
            assert_eq!(told, (latency.quantile(now, bytes, 500), latency.quantile(now, bytes, 950)), "{bytes}");
        }
        for (prompt, tokens) in [(1, 1), (512, 2), (513, 300), (9_000, 7), (500_000, 1)] {
            let told = known.time(Bytes(0), prompt, tokens);
            let streamed = |permille| latency.streamed(now, prompt, tokens, permille);
            assert_eq!(told, (streamed(500), streamed(950)), "{prompt} {tokens}");
        }
    }

    #[test]
    fn a_site_of_which_little_is_known_is_tried_with_a_chat_of_the_usual_deadline() {
        for (zone, output) in [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud].map(|zone| (zone, [0, 20, 200]))
        {
            for chat in output.map(|output| Tokens { input: 40, output }) {
                let site = Site::in_zone(zone);
                let mut state = SiteState::new(&site, Mono::default());
                state.known = Known::of(&state.latency, Mono::default(), Ratio::NEARLY_ALL);
                let seen = |state: &SiteState| state.seen(Mono::default(), &site, Bytes(200), chat);
                assert!(seen(&state).sure <= Span::from_millis(1_500), "{zone:?}: {:?}", seen(&state).sure);
                // Once one stayed away, or enough are known, it has to be sure.
                state.failed(Mono::default(), SiteFault::Server, 0);
                assert!(seen(&state).sure > seen(&state).likely);
                (state.failed_itself, state.done) = (false, TRIED);
                assert!(seen(&state).sure > seen(&state).likely);
            }
        }
    }

    #[test]
    fn what_a_site_refuses_for_its_own_fault_leaves_the_site_as_it_was_for_others() {
        let site = Site::in_zone(Zone::Premises);
        let (begun, now) = (Mono::from_nanos(1_000_000_000), Mono::from_nanos(1_100_000_000));
        for (fault, worse) in [(SiteFault::Rejected, false), (SiteFault::TooLarge, false), (SiteFault::Server, true)] {
            let mut state = SiteState::new(&site, Mono::default());
            let before = state.latency.clone();
            state.began(begun, RequestId(1), (Bytes(10), 0), NanoUsd(0));
            let trip = Trip {
                id: RequestId(1),
                site: crate::id::SiteId(0),
                bytes: Bytes(10),
                reserved: NanoUsd(0),
                result: Err(fault),
                sent: true,
                took: core::time::Duration::from_millis(100),
            };
            state.ended(now, Some(&site), &trip, true, 0);
            assert_eq!((state.latency != before, state.failed), (worse, 1), "{fault:?}");
        }
    }

    #[test]
    fn an_answer_has_the_tokens_that_were_asked_for_or_that_answers_have() {
        for (output, seen, expected) in [
            (0, None, TRIED_TOKENS),
            (0, Some(40), 40),
            (10, Some(40), 10),
            (100, Some(40), 40),
            (100, None, TRIED_TOKENS),
            (5, None, 5),
        ] {
            assert_eq!(answer_of(Tokens { input: 5, output }, seen), expected, "{output} {seen:?}");
        }
    }
}
