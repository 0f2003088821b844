//! Decides at the door: is there room, can the deadline be met behind the work that is due before, and does the client
//! stay within its share? Must not know queues, lanes or other requests: it reads one [`Seen`].
//!
//! ```text
//!            work due before it, waiting or running
//!   wait  =  ──────────────────────────────────────  +  rest of a restart        wait + prepare + service <= slack
//!                   live service rate
//! ```

use crate::estimate::rate::Rate;
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::units::{Bytes, Mono, Span};
use crate::verdict::{Reason, Refusal, RefusalCode, Verdict};

/// When to try again if nothing tells how long a place takes to become free.
const RETRY_UNKNOWN: Span = Span::from_millis(100);
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
    /// Estimated time to prepare and run them.
    pub work: Span,
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
    pub ahead: Span,
    /// Of that, work of its own model.
    pub ahead_own: Span,
    /// Lanes of its model.
    pub lanes: u64,
    /// Lanes that work ahead of it on other models leaves to its own.
    pub lanes_spare: u64,
    /// Live service rate.
    pub rate: Rate,
    /// Its own preparation.
    pub prepare: Span,
    /// Its own run on an idle box; `None` if the model is not measured.
    pub service: Option<Span>,
}

impl Seen {
    /// Predicted time until the box gets to it.
    pub fn wait(&self) -> Span {
        let all = self.rate.time_for(self.ahead, u64::MAX);
        // Other models' work does not delay it on a lane that they cannot take.
        let beside = self.rate.time_for(self.ahead_own, self.lanes_spare);
        let shared = if self.lanes_spare > 0 { all.min(beside) } else { all };
        let queue = shared.max(self.rate.time_for(self.ahead_own, self.lanes.max(1)));
        match self.model {
            Standing::Absent | Standing::Ready => queue,
            Standing::Coming { ready_in, .. } => queue.plus(ready_in),
        }
    }

    /// Time that it needs itself, as far as known.
    fn own(&self) -> Span {
        self.prepare.plus(self.service.unwrap_or(Span::ZERO))
    }

    /// Predicted time until completion; `None` if the model is not measured.
    pub fn predicted(&self) -> Option<Span> {
        self.service.map(|_| self.wait().plus(self.own()))
    }

    /// About how long it takes until a request like this one makes room.
    fn turnover(&self) -> Span {
        if self.service.is_none() { RETRY_UNKNOWN } else { self.rate.time_for(self.own(), u64::MAX) }
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
    if let Some(reason) = no_room(meta, seen, policy) {
        return overloaded(reason, seen.turnover(), seen);
    }
    let share = Span::from_nanos(policy.client_share.of(slack.as_nanos()));
    let held = seen.rate.time_for(seen.client.work, u64::MAX);
    if held > share {
        return overloaded(Reason::ClientShare, held.minus(share), seen);
    }
    if meta.deferrable {
        return Verdict::Local(Reason::Deferrable);
    }
    let end = seen.wait().plus(seen.own());
    if end > slack {
        return overloaded(Reason::PredictedWait, end.minus(slack), seen);
    }
    Verdict::Local(if seen.service.is_some() { Reason::Feasible } else { Reason::Unmeasured })
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
    })
}

/// A "no" to which waiting is no remedy.
pub(crate) fn refuse(code: RefusalCode, reason: Reason, seen: &Seen) -> Verdict {
    Verdict::Refuse(Refusal { code, reason, retry_after: None, predicted: seen.predicted().map(Span::duration) })
}
