//! Decides where a request is served. Today that is here or nowhere; the answer travels as a [`Verdict`] so that other
//! places can be added without touching whoever reads it. Must not know queues, lanes or other requests.

use crate::admit::{Seen, Standing, admit, refuse};
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::units::Mono;
use crate::verdict::{Reason, RefusalCode, Verdict};

/// A request that was alive at so many crashes is never run again.
pub const DEATHS: u8 = 2;

/// Where the request is served, and why; `deadline` is the effective one.
pub fn route(meta: &RequestMeta, deadline: Mono, now: Mono, seen: &Seen, policy: &Policy) -> Verdict {
    if meta.deaths >= DEATHS {
        return refuse(RefusalCode::Internal, Reason::DiedTwice, seen);
    }
    if deadline <= now {
        return refuse(RefusalCode::DeadlineExceeded, Reason::DeadlinePast, seen);
    }
    if seen.draining {
        return refuse(RefusalCode::Unavailable, Reason::Draining, seen);
    }
    match seen.model {
        Standing::Absent => refuse(RefusalCode::Unavailable, Reason::ModelUnavailable, seen),
        Standing::Coming { .. } | Standing::Ready => admit(meta, deadline, now, seen, policy),
    }
}
