//! Decides at the door: is there room, can the deadline be met behind the work that is due before, and does the client
//! stay within its share? Must not know queues, lanes or other requests: it reads one [`Seen`].
//!
//! ```text
//!                  decoding due before it     running due before it, waiting or on a lane
//!   wait  =  max ( ────────────────────── ,   ───────────────────────────────────────────  )  +  rest of a restart
//!                   live rate of decoders             live rate of lanes
//!
//!   taken if  wait + own preparation + own service  <=  time until the deadline
//! ```
//!
//! A request of tensors waits for lanes only. One that is decoded meanwhile loses nothing by it, so its preparation
//! counts where it is longer than the wait for a lane.

use crate::estimate::Demand;
use crate::estimate::rate::{Rate, Rates};
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::units::{Bytes, Mono, Span};
use crate::verdict::{Reason, Refusal, RefusalCode, Verdict};

/// When to try again if nothing tells how long a place takes to become free.
const RETRY_UNKNOWN: Span = Span::from_millis(100);
/// When to try again while nothing is run: about as long as a box takes to cool down.
const RETRY_BARRED: Span = Span::from_millis(10_000);
/// Shortest advice: callers count in whole milliseconds.
const RETRY_SHORTEST: Span = Span::from_millis(1);

/// Whether and when a model can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not known, not loaded, and nobody is loading it.
    Absent,
    /// Being loaded, expected after this time.
    Coming {
        /// Expected time until it is ready.
        ready_in: Span,
        /// Whether it waits for the engine host.
        host_down: bool,
    },
    /// Loaded.
    Ready,
}

/// What one client holds of the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Places of waiting requests.
    pub places: u64,
    /// Their payloads.
    pub bytes: Bytes,
    /// Estimated work of them.
    pub work: Demand,
}

/// All that the decision about one request reads, taken at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Nothing new is taken.
    pub draining: bool,
    /// Its model.
    pub model: Standing,
    /// Places taken, all clients.
    pub waiting: u64,
    /// Room taken by payloads that wait, all clients.
    pub waiting_bytes: Bytes,
    /// What its client holds of these.
    pub client: Held,
    /// Work due before it, of all models.
    pub ahead: Demand,
    /// Of that, runs of its own model.
    pub ahead_own: Span,
    /// Lanes of its model.
    pub lanes: u64,
    /// Lanes that work ahead of it on other models leaves to its own.
    pub lanes_spare: u64,
    /// One of these is free, the policy lets it run, and nothing that waits is before it.
    pub lane_free: bool,
    /// Live service rates, as far as the governor lets them be used.
    pub rates: Rates,
    /// And without it.
    pub full: Rates,
    /// Lane time in `ahead` that was used before the governor let it come in.
    pub owed: Span,
    /// Why nothing at all is run now.
    pub barred: Option<Reason>,
    /// Its own preparation, as far as known; `None` if it needs none.
    pub prepare: Option<Span>,
    /// Its own run on an idle box; `None` if the model is not measured.
    pub service: Option<Span>,
    /// What its run takes at least, measured or not.
    pub at_least: Span,
}

impl Seen {
    /// The same if no heat held the box back.
    fn unhindered(&self) -> Seen {
        let ahead = Demand { run: self.ahead.run.minus(self.owed), ..self.ahead };
        Seen { rates: self.full, ahead, ahead_own: self.ahead_own.minus(self.owed), owed: Span::ZERO, ..*self }
    }

    /// Predicted time until it is decoded and a lane gets to it.
    fn wait(&self) -> Span {
        let decoders = match self.prepare {
            None => Span::ZERO,
            Some(own) => self.rates.prepare.time_for(self.ahead.prepare, u64::MAX).plus(own),
        };
        let lanes = self.wait_for_lane();
        match self.model {
            Standing::Absent | Standing::Ready => lanes.max(decoders),
            Standing::Coming { ready_in, .. } => lanes.max(decoders).plus(ready_in),
        }
    }

    fn wait_for_lane(&self) -> Span {
        if self.lane_free {
            return Span::ZERO;
        }
        self.wait_at(self.rates.run)
    }

    fn wait_at(&self, rate: Rate) -> Span {
        let all = rate.time_for(self.ahead.run, u64::MAX);
        // Other models' work does not delay it on a lane that they cannot take.
        let beside = rate.time_for(self.ahead_own, self.lanes_spare);
        let shared = if self.lanes_spare > 0 { all.min(beside) } else { all };
        shared.max(rate.time_for(self.ahead_own, self.lanes.max(1)))
    }

    /// Time that it takes by itself on an idle box, as far as known.
    fn own(&self) -> Span {
        self.prepare().plus(self.run())
    }

    fn prepare(&self) -> Span {
        self.prepare.unwrap_or(Span::ZERO)
    }

    fn run(&self) -> Span {
        self.service.unwrap_or(self.at_least)
    }

    /// Predicted time until completion as far as known.
    fn end(&self) -> Span {
        self.wait().plus(self.run())
    }

    /// Predicted time until a lane begins with it.
    pub fn until_served(&self) -> Span {
        self.wait()
    }

    /// Predicted time until completion; `None` if the model is not measured.
    pub fn predicted(&self) -> Option<Span> {
        self.service.map(|_| self.end())
    }

    /// About how long it takes until a request like this one makes room.
    fn turnover(&self) -> Span {
        let like = Demand { prepare: self.prepare(), run: self.run() };
        if self.service.is_none() { RETRY_UNKNOWN } else { self.rates.time_for(like) }
    }
}

/// Feasibility on an idle box, room, share and wait, in this order. The model is loaded or coming, and the deadline is
/// after `now`.
pub fn admit(meta: &RequestMeta, deadline: Mono, now: Mono, seen: &Seen, policy: &Policy) -> Verdict {
    let slack = Span::between(now, deadline);
    if seen.own() > slack {
        return refuse(RefusalCode::DeadlineExceeded, Reason::DeadlineTooShort, seen);
    }
    if let Standing::Coming { ready_in, host_down } = seen.model
        && !meta.deferrable
        && ready_in.plus(seen.own()) > slack
    {
        let reason = if host_down { Reason::HostDown } else { Reason::ModelUnavailable };
        return refuse(RefusalCode::Unavailable, reason, seen);
    }
    if let Some(reason) = seen.barred.filter(|_| !meta.deferrable) {
        return overloaded(reason, RETRY_BARRED, seen);
    }
    if let Some(reason) = no_room(meta, seen, policy) {
        return overloaded(reason, seen.turnover(), seen);
    }
    let share = Span::from_nanos(policy.client_share.of(slack.as_nanos()));
    let held = seen.rates.time_for(seen.client.work);
    if held > share {
        return overloaded(Reason::ClientShare, held.minus(share), seen);
    }
    if meta.deferrable {
        return Verdict::Local(Reason::Deferrable);
    }
    if seen.end() > slack {
        let full = seen.unhindered();
        let reason = if full.end() > slack { Reason::PredictedWait } else { Reason::Throttled };
        return overloaded(reason, seen.end().minus(slack), seen);
    }
    Verdict::Local(if seen.service.is_some() { Reason::Feasible } else { Reason::Unmeasured })
}

/// Whether a stage of an accepted pipeline request can still be served within `slack`. Its parent was admitted with it, and
/// holds room and share: what counts is whether the model is there, and whether even an idle box would be too late.
pub fn admit_stage(slack: Span, seen: &Seen) -> Verdict {
    match seen.model {
        Standing::Absent => refuse(RefusalCode::Unavailable, Reason::ModelUnavailable, seen),
        Standing::Coming { ready_in, host_down } if ready_in.plus(seen.own()) > slack => {
            let reason = if host_down { Reason::HostDown } else { Reason::ModelUnavailable };
            refuse(RefusalCode::Unavailable, reason, seen)
        }
        Standing::Coming { .. } | Standing::Ready if seen.own() > slack => {
            refuse(RefusalCode::DeadlineExceeded, Reason::DeadlineTooShort, seen)
        }
        Standing::Coming { .. } | Standing::Ready => {
            Verdict::Local(if seen.service.is_some() { Reason::Feasible } else { Reason::Unmeasured })
        }
    }
}

/// The bound that has no room for it, if any.
fn no_room(meta: &RequestMeta, seen: &Seen, policy: &Policy) -> Option<Reason> {
    let places = u64::try_from(policy.max_waiting).unwrap_or(u64::MAX);
    let bytes = policy.max_waiting_bytes.0;
    if seen.waiting >= places {
        return Some(Reason::QueueFull);
    }
    if seen.waiting_bytes.0.saturating_add(meta.bytes.0) > bytes {
        return Some(Reason::BytesFull);
    }
    // A client that holds nothing may always have one request, however small its share.
    let places_of_one = policy.client_share.of(places).max(1);
    let bytes_of_one = policy.client_share.of(bytes);
    let too_many = seen.client.places >= places_of_one;
    let too_large = seen.client.places > 0 && seen.client.bytes.0.saturating_add(meta.bytes.0) > bytes_of_one;
    (too_many || too_large).then_some(Reason::ClientShare)
}

fn overloaded(reason: Reason, retry_after: Span, seen: &Seen) -> Verdict {
    Verdict::Refuse(Refusal {
        code: RefusalCode::Overloaded,
        reason,
        retry_after: Some(retry_after.max(RETRY_SHORTEST).duration()),
        predicted: seen.predicted().map(Span::duration),
        away: None,
    })
}

/// A "no" to which waiting is no remedy.
pub(crate) fn refuse(code: RefusalCode, reason: Reason, seen: &Seen) -> Verdict {
    let predicted = seen.predicted().map(Span::duration);
    Verdict::Refuse(Refusal { code, reason, retry_after: None, predicted, away: None })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::id::{ClientId, ModelId, RequestId, ShareId};
    use crate::request::{ClassClaim, Origin, Priority, Terms, Work};
    use crate::units::{Cost, Ratio};

    pub(crate) fn meta() -> RequestMeta {
        RequestMeta {
            id: RequestId(1),
            parent: None,
            client: ClientId(1),
            share: ShareId::new(1),
            model: ModelId(0),
            deadline: None,
            class: ClassClaim::Unlabelled,
            priority: Priority::Normal,
            deferrable: false,
            bytes: Bytes(100),
            origin: Origin::Bus,
            work: Work::Tensors,
            cost: Cost::ONE,
            most_rows: None,
            deaths: 0,
            terms: Terms::default(),
        }
    }

    pub(crate) fn policy() -> Policy {
        Policy {
            max_waiting: 10,
            max_waiting_bytes: Bytes(1000),
            client_share: Ratio::HALF,
            lanes: 2,
            ..Policy::default()
        }
    }

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    fn runs(millis: u64) -> Demand {
        Demand { run: ms(millis), prepare: Span::ZERO }
    }

    /// An idle box whose model takes 10 ms and has two lanes.
    pub(crate) fn idle() -> Seen {
        Seen {
            draining: false,
            model: Standing::Ready,
            waiting: 0,
            waiting_bytes: Bytes(0),
            client: Held::default(),
            ahead: Demand::default(),
            ahead_own: Span::ZERO,
            lanes: 2,
            lanes_spare: 2,
            lane_free: false,
            rates: Rates::new(2, 2),
            full: Rates::new(2, 2),
            owed: Span::ZERO,
            barred: None,
            prepare: None,
            service: Some(ms(10)),
            at_least: ms(10),
        }
    }

    /// The verdict on a request with 100 ms left.
    fn check(name: &str, meta: &RequestMeta, seen: &Seen, expected: Result<Reason, (Reason, Option<Span>)>) {
        let now = Mono::from_nanos(5_000_000);
        let found = match admit(meta, ms(100).from(now), now, seen, &policy()) {
            Verdict::Local(reason) => Ok(reason),
            Verdict::Refuse(refusal) => Err((refusal.reason, refusal.retry_after.map(Span::of))),
            verdict @ (Verdict::Spill(..) | Verdict::Speculate(_) | Verdict::Defer(_)) => panic!("{verdict:?}"),
        };
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn an_idle_box_takes_what_it_can_do_in_time() {
        check("fits", &meta(), &idle(), Ok(Reason::Feasible));
        check("exactly fits", &meta(), &Seen { service: Some(ms(100)), ..idle() }, Ok(Reason::Feasible));
        let late = Err((Reason::DeadlineTooShort, None));
        check("runs too long", &meta(), &Seen { service: Some(ms(101)), ..idle() }, late);
        let seen = Seen { service: Some(ms(60)), prepare: Some(ms(60)), ..idle() };
        check("preparing counts", &meta(), &seen, late);
        check("unmeasured", &meta(), &Seen { service: None, ..idle() }, Ok(Reason::Unmeasured));
        let stopped = Seen { service: None, at_least: ms(101), ..idle() };
        check("unmeasured, but known to be slow", &meta(), &stopped, late);
        let patient = RequestMeta { deferrable: true, ..meta() };
        check("deferrable", &patient, &idle(), Ok(Reason::Deferrable));
        check("deferrable but hopeless", &patient, &Seen { service: Some(ms(101)), ..idle() }, late);
    }

    #[test]
    fn work_ahead_is_divided_by_the_rate_and_held_against_the_deadline() {
        let behind = |all, own| Seen { ahead: runs(all), ahead_own: ms(own), lanes_spare: 0, ..idle() };
        check("180 ms on two lanes", &meta(), &behind(180, 180), Ok(Reason::Feasible));
        check("200 ms on two lanes", &meta(), &behind(200, 0), Err((Reason::PredictedWait, Some(ms(10)))));
        let free = Seen { lane_free: true, ..behind(200, 0) };
        check("a free lane needs no wait", &meta(), &free, Ok(Reason::Feasible));
        let patient = RequestMeta { deferrable: true, ..meta() };
        check("deferrable", &patient, &behind(200, 0), Ok(Reason::Deferrable));
        let narrow = Seen { lanes: 1, ..behind(100, 100) };
        check("its own model has one lane", &meta(), &narrow, Err((Reason::PredictedWait, Some(ms(10)))));
        let beside = Seen { lanes_spare: 1, ..behind(200, 20) };
        check("a lane that others cannot take", &meta(), &beside, Ok(Reason::Feasible));
        let unmeasured = Seen { service: None, ..behind(200, 0) };
        check("known work blocks the unknown", &meta(), &unmeasured, Err((Reason::PredictedWait, Some(ms(10)))));
    }

    #[test]
    fn decoding_goes_on_beside_the_lanes_and_the_slower_of_both_counts() {
        let busy = |decoding, running, own: Option<u64>| Seen {
            ahead: Demand { prepare: ms(decoding), run: ms(running) },
            lanes_spare: 0,
            prepare: own.map(ms),
            ..idle()
        };
        check("lanes are slower", &meta(), &busy(40, 180, Some(10)), Ok(Reason::Feasible));
        check("decoders are slower", &meta(), &busy(160, 40, Some(10)), Ok(Reason::Feasible));
        check("decoders too slow", &meta(), &busy(180, 40, Some(10)), Err((Reason::PredictedWait, Some(ms(10)))));
        let behind = Err((Reason::PredictedWait, Some(ms(1))));
        check("of unknown time, but behind others", &meta(), &busy(182, 40, Some(0)), behind);
        check("tensors do not wait for decoders", &meta(), &busy(10_000, 180, None), Ok(Reason::Feasible));
    }

    #[test]
    fn a_model_that_comes_back_in_time_may_be_waited_for() {
        let coming = |ready_in, host_down| Seen { model: Standing::Coming { ready_in, host_down }, ..idle() };
        check("in time", &meta(), &coming(ms(90), true), Ok(Reason::Feasible));
        check("host too late", &meta(), &coming(ms(91), true), Err((Reason::HostDown, None)));
        check("load too late", &meta(), &coming(ms(91), false), Err((Reason::ModelUnavailable, None)));
        let patient = RequestMeta { deferrable: true, ..meta() };
        check("deferrable", &patient, &coming(ms(91), true), Ok(Reason::Deferrable));
        let behind = Seen { ahead: runs(40), lanes_spare: 0, ..coming(ms(80), true) };
        check("with work ahead", &meta(), &behind, Err((Reason::PredictedWait, Some(ms(10)))));
    }

    #[test]
    fn heat_is_named_where_the_box_would_be_in_time_without_it() {
        let ahead = |all| Seen { ahead: runs(all), ahead_own: ms(all), lanes_spare: 0, ..idle() };
        let throttled = |all, duty| Seen { rates: Rates::new(2, 2).at(Ratio::new(duty).unwrap()), ..ahead(all) };
        check("half of the time is enough", &meta(), &throttled(80, 0.5), Ok(Reason::Feasible));
        check("half is too little", &meta(), &throttled(100, 0.5), Err((Reason::Throttled, Some(ms(10)))));
        check("all would be too", &meta(), &throttled(200, 0.5), Err((Reason::PredictedWait, Some(ms(110)))));
        for reason in [Reason::Held, Reason::TooHot] {
            let barred = Seen { barred: Some(reason), ..idle() };
            check("nothing runs", &meta(), &barred, Err((reason, Some(RETRY_BARRED))));
            let patient = RequestMeta { deferrable: true, ..meta() };
            check("deferrable", &patient, &barred, Ok(Reason::Deferrable));
        }
    }

    #[test]
    fn places_and_bytes_are_bounded_for_all_and_for_one() {
        let turnover = Some(ms(5));
        let with = |waiting, bytes, places, held| Seen {
            waiting,
            waiting_bytes: Bytes(bytes),
            client: Held { places, bytes: Bytes(held), work: Demand::default() },
            ..idle()
        };
        check("last place", &meta(), &with(9, 0, 0, 0), Ok(Reason::Feasible));
        check("no place", &meta(), &with(10, 0, 0, 0), Err((Reason::QueueFull, turnover)));
        check("last bytes", &meta(), &with(1, 900, 0, 0), Ok(Reason::Feasible));
        check("no bytes", &meta(), &with(1, 901, 0, 0), Err((Reason::BytesFull, turnover)));
        check("last place of one", &meta(), &with(4, 0, 4, 0), Ok(Reason::Feasible));
        check("no place of one", &meta(), &with(5, 0, 5, 0), Err((Reason::ClientShare, turnover)));
        check("no bytes of one", &meta(), &with(1, 401, 1, 401), Err((Reason::ClientShare, turnover)));
        let large = RequestMeta { bytes: Bytes(900), ..meta() };
        check("the only one may be large", &large, &with(0, 0, 0, 0), Ok(Reason::Feasible));
        let unmeasured = Seen { service: None, ..with(10, 0, 0, 0) };
        check("unmeasured", &meta(), &unmeasured, Err((Reason::QueueFull, Some(RETRY_UNKNOWN))));
    }

    #[test]
    fn one_client_may_fill_its_share_of_the_time_only() {
        let own = |work| Seen { client: Held { places: 1, bytes: Bytes(0), work: runs(work) }, ..idle() };
        check("100 ms on two lanes", &meta(), &own(100), Ok(Reason::Feasible));
        check("120 ms on two lanes", &meta(), &own(120), Err((Reason::ClientShare, Some(ms(10)))));
        let patient = RequestMeta { deferrable: true, ..meta() };
        check("deferrable is no way around", &patient, &own(120), Err((Reason::ClientShare, Some(ms(10)))));
    }

    #[test]
    fn a_share_too_small_for_one_place_still_allows_one() {
        let policy = Policy { client_share: Ratio::new(0.01).unwrap(), ..policy() };
        let now = Mono::default();
        let verdict = |seen: &Seen| admit(&meta(), ms(100).from(now), now, seen, &policy);
        assert_eq!(verdict(&idle()), Verdict::Local(Reason::Feasible));
        let second = Seen { client: Held { places: 1, ..Held::default() }, ..idle() };
        assert_eq!(verdict(&second).reason(), "client_share");
    }
}
