//! Decides where a request is served: here, at another site, later, or not at all. Pure, and the only place that puts the
//! layers together; each of them is a function of its own. Must not know queues, lanes or other requests.
//!
//! ```text
//!   never again ─► admission here ─yes─► worth a stronger site? faster elsewhere? to be looked at? ─► here
//!                        │ no
//!                        ▼
//!                  the operator's table of what is tried next ─► a site (spill, or a wait for a place at one that is full)
//!                                                              ─► the disk ─► no, with both reasons
//! ```

use crate::admit::{Seen, Standing, admit, refuse};
use crate::fallback::{Failure, Step, of_bar};
use crate::id::SiteId;
use crate::policy::Policy;
use crate::request::{DataClass, Difficulty, Here, Objective, RequestMeta};
use crate::site::Sites;
use crate::spill::{Ask, Bar, Offer, SiteSeen, best, is_left, worth_waiting};
use crate::units::{Mono, Span};
use crate::verdict::{Reason, Refusal, RefusalCode, Verdict};
use crate::wait::Place;

/// A request that was alive at so many crashes is never run again.
pub const DEATHS: u8 = 2;

/// What is seen of the other sites.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// By its place in the policy, for a request of this one's size.
    pub site: &'a dyn Fn(SiteId) -> SiteSeen,
    /// Whether the request waits for a place at a site that is full, or takes what it may have at once.
    pub wait: &'a dyn Fn(Offer, Option<Offer>) -> Place,
    /// Sites that were asked already.
    pub tried: Sites,
    /// Requests that wait on the disk.
    pub deferred: u64,
}

/// Where the request is served, and why; `class` and `deadline` are the effective ones.
pub fn route(
    meta: &RequestMeta,
    class: DataClass,
    deadline: Mono,
    now: Mono,
    seen: &Seen,
    around: Around<'_>,
    policy: &Policy,
) -> Verdict {
    if meta.deaths >= DEATHS {
        return refuse(RefusalCode::Internal, Reason::DiedTwice, seen);
    }
    if deadline <= now {
        return refuse(RefusalCode::DeadlineExceeded, Reason::DeadlinePast, seen);
    }
    if seen.draining {
        return refuse(RefusalCode::Unavailable, Reason::Draining, seen);
    }
    let ask =
        Ask { class, terms: &meta.terms, bytes: meta.bytes, slack: Span::between(now, deadline), tried: around.tried };
    let local = Local {
        verdict: here(meta, deadline, now, seen, policy),
        predicted: seen.predicted(),
        wait: seen.until_served(),
        barred: seen.barred,
    };
    onward(&local, meta.deferrable, &ask, around, policy)
}

/// What this box by itself says of a request.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Its answer.
    pub verdict: Verdict,
    /// Predicted time until completion.
    pub predicted: Option<Span>,
    /// Predicted time until a lane begins with it.
    pub wait: Span,
    /// Why nothing at all is run now, if so.
    pub barred: Option<Reason>,
}

/// Where a request is served, given what this box says: all layers but admission. For decisions that were recorded, too.
pub fn onward(local: &Local, deferrable: bool, ask: &Ask<'_>, around: Around<'_>, policy: &Policy) -> Verdict {
    match local.verdict {
        Verdict::Refuse(refusal) => away(deferrable, refusal, ask, around, policy),
        Verdict::Local(_) | Verdict::Spill(..) | Verdict::Speculate(_) | Verdict::Defer(_) => {
            preferred(local, ask, around, policy)
        }
    }
}

/// Whether this box serves it.
pub fn here(meta: &RequestMeta, deadline: Mono, now: Mono, seen: &Seen, policy: &Policy) -> Verdict {
    match (meta.terms.here, seen.model) {
        (Here::NoModel, _) => refuse(RefusalCode::Unavailable, Reason::OnlyThere, seen),
        (Here::Elsewhere, _) => refuse(RefusalCode::Unavailable, Reason::Compared, seen),
        (Here::Context, _) => refuse(RefusalCode::Unavailable, Reason::ContextOverflow, seen),
        (Here::Yes, Standing::Absent) => refuse(RefusalCode::Unavailable, Reason::ModelUnavailable, seen),
        (Here::Yes, Standing::Coming { .. } | Standing::Ready) => admit(meta, deadline, now, seen, policy),
    }
}

/// This box could serve it: whether another place is still to be preferred.
fn preferred(here: &Local, ask: &Ask<'_>, around: Around<'_>, policy: &Policy) -> Verdict {
    let (terms, local) = (ask.terms, here.verdict);
    let stronger = || best(&policy.sites, terms.stronger, around.site, ask);
    match terms.difficulty {
        Difficulty::Unrated | Difficulty::Easy => {}
        Difficulty::Hard | Difficulty::Unknown => match stronger() {
            Ok(offer) => return Verdict::Spill(offer.site, Reason::Difficult),
            Err(bar) => return instead(local, bar, ask, around, policy),
        },
    }
    if terms.objective == Objective::FastestWithinBudget
        && let Some(predicted) = here.predicted
        && let Ok(offer) = best(&policy.sites, Sites::ALL, around.site, ask)
        && offer.likely < predicted
    {
        return Verdict::Spill(offer.site, Reason::Faster);
    }
    if let (Verdict::Local(Reason::Deferrable), Some(reason)) = (local, here.barred) {
        return patient(local, reason, ask, around, policy);
    }
    match local {
        Verdict::Local(reason) if terms.checked && !terms.stronger.is_empty() => Verdict::Speculate(reason),
        Verdict::Local(reason) if waits_on_disk(reason, here, around, policy) => Verdict::Defer(reason),
        Verdict::Local(_) | Verdict::Spill(..) | Verdict::Speculate(_) | Verdict::Defer(_) | Verdict::Refuse(_) => {
            local
        }
    }
}

/// A stronger site is worth asking and cannot be: what the operator's table says, and never without a word.
fn instead(local: Verdict, bar: Option<Bar>, ask: &Ask<'_>, around: Around<'_>, policy: &Policy) -> Verdict {
    let (Some(bar), Verdict::Local(reason)) = (bar, local) else { return local };
    if bar.confines() || bar == Bar::NotServed {
        // Nobody wants it to go there.
        return local;
    }
    let failure = of_bar(bar);
    for step in policy.routing.fallbacks.after(failure) {
        match step {
            Step::Here => return Verdict::Local(failure.reason()),
            Step::Wait
                if reason == Reason::Deferrable
                    && around.deferred < policy.routing.max_deferred
                    && is_left(&policy.sites, ask.terms.stronger, ask) =>
            {
                return Verdict::Defer(failure.reason());
            }
            Step::Site | Step::Wait => {}
        }
    }
    let (code, reason) = (RefusalCode::Unavailable, failure.reason());
    Verdict::Refuse(Refusal { code, reason, retry_after: None, predicted: None, away: Some(bar) })
}

/// Nothing is run here for now, and the request may wait: what the operator's table says of heat, so that it is served by whoever
/// may have it, and waits for this box otherwise.
fn patient(local: Verdict, reason: Reason, ask: &Ask<'_>, around: Around<'_>, policy: &Policy) -> Verdict {
    for step in policy.routing.fallbacks.after(Failure::Heat) {
        match step {
            Step::Site => {
                if let Ok(offer) = best(&policy.sites, Sites::ALL, around.site, ask) {
                    return Verdict::Spill(offer.site, reason);
                }
            }
            Step::Here => return local,
            Step::Wait if around.deferred < policy.routing.max_deferred => return Verdict::Defer(reason),
            Step::Wait => {}
        }
    }
    local
}

/// A request that may wait is kept on the disk, not in memory, if it would wait long.
fn waits_on_disk(reason: Reason, here: &Local, around: Around<'_>, policy: &Policy) -> bool {
    reason == Reason::Deferrable
        && around.deferred < policy.routing.max_deferred
        && here.wait > Span::of(policy.routing.defer_after)
}

/// This box does not serve it: what the operator's table says is tried next.
fn away(deferrable: bool, refusal: Refusal, ask: &Ask<'_>, around: Around<'_>, policy: &Policy) -> Verdict {
    let compared = refusal.reason == Reason::Compared;
    let failure = if compared { Some(Failure::QueueFull) } else { Failure::of_reason(refusal.reason) };
    let Some(failure) = failure else { return Verdict::Refuse(refusal) };
    let offer = best(&policy.sites, Sites::ALL, around.site, ask);
    let (failure, reason) = match offer {
        Err(Some(Bar::Budget)) => (Failure::BudgetSpent, Reason::BudgetSpent),
        Ok(_) | Err(_) => (failure, refusal.reason),
    };
    for step in policy.routing.fallbacks.after(failure) {
        match step {
            Step::Site => {
                let full = if deferrable { None } else { waits_for(ask, around, policy, offer.ok()) };
                if let Some(offer) = full.or(offer.ok()) {
                    return Verdict::Spill(offer.site, refusal.reason);
                }
            }
            Step::Wait
                if deferrable
                    && around.deferred < policy.routing.max_deferred
                    && refusal.reason != Reason::DeadlineTooShort
                    && (ask.terms.here == Here::Yes || is_left(&policy.sites, Sites::ALL, ask)) =>
            {
                return Verdict::Defer(reason);
            }
            // It was asked just now.
            Step::Here | Step::Wait => {}
        }
    }
    let away = offer.err().flatten();
    // A box that is only busy will serve it: waiting is the remedy, not another class.
    let is_confined = away.is_some_and(Bar::confines) && refusal.code != RefusalCode::Overloaded;
    let code = if is_confined { RefusalCode::Confined } else { refusal.code };
    Verdict::Refuse(Refusal { code, away, ..refusal })
}

/// The full site for a place at which the request waits, if that is better than what it may have at once. What may wait for
/// long does so on the disk, where a crash does not reach it.
fn waits_for(ask: &Ask<'_>, around: Around<'_>, policy: &Policy, at_once: Option<Offer>) -> Option<Offer> {
    let full = worth_waiting(&policy.sites, Sites::ALL, around.site, ask, at_once)?;
    match (around.wait)(full, at_once) {
        Place::Here { .. } => Some(full),
        Place::Away => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::tests::{idle, meta, policy};
    use crate::units::Span;

    fn routed(meta: &RequestMeta, slack: u64, seen: &Seen) -> Verdict {
        let now = Mono::from_nanos(1_000);
        let site = |_| crate::spill::tests::seen(1);
        let wait = |_, _| Place::Away;
        let around = Around { site: &site, wait: &wait, tried: Sites::NONE, deferred: 0 };
        route(meta, DataClass::Public, Span::from_millis(slack).from(now), now, seen, around, &policy())
    }

    fn check(meta: &RequestMeta, slack: u64, seen: &Seen, code: RefusalCode, reason: Reason) {
        match routed(meta, slack, seen) {
            Verdict::Refuse(refusal) => assert_eq!((refusal.code, refusal.reason), (code, reason)),
            verdict @ (Verdict::Local(_) | Verdict::Spill(..) | Verdict::Speculate(_) | Verdict::Defer(_)) => {
                panic!("{verdict:?}")
            }
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
        assert_eq!(routed(&meta(), 100, &idle()), Verdict::Local(Reason::Feasible));
    }
}
