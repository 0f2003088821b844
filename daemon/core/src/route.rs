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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::tests::{idle, meta, policy};
    use crate::units::Span;

    fn check(meta: &RequestMeta, slack: u64, seen: &Seen, code: RefusalCode, reason: Reason) {
        let now = Mono::from_nanos(1_000);
        match route(meta, Span::from_millis(slack).from(now), now, seen, &policy()) {
            Verdict::Refuse(refusal) => assert_eq!((refusal.code, refusal.reason), (code, reason)),
            verdict @ Verdict::Local(_) => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn what_no_waiting_helps_is_refused_in_this_order() {
        let all = Seen { draining: true, model: Standing::Absent, ..idle() };
        let died = RequestMeta { deaths: 2, ..meta() };
        check(&died, 0, &all, RefusalCode::Internal, Reason::DiedTwice);
        check(&meta(), 0, &all, RefusalCode::DeadlineExceeded, Reason::DeadlinePast);
        check(&meta(), 100, &all, RefusalCode::Unavailable, Reason::Draining);
        let absent = Seen { draining: false, ..all };
        check(&meta(), 100, &absent, RefusalCode::Unavailable, Reason::ModelUnavailable);
    }

    #[test]
    fn the_rest_is_for_admission_to_say() {
        let now = Mono::from_nanos(1_000);
        let verdict = route(&meta(), Span::from_millis(100).from(now), now, &idle(), &policy());
        assert_eq!(verdict, Verdict::Local(Reason::Feasible));
    }
}
