//! Decides how far the data of a request may go and when its reply loses its value, from its header and the policy.
//! Must not know the state of the box: the same header gets the same answer under any load.

use core::time::Duration;

use crate::policy::Policy;
use crate::request::{ClassClaim, DataClass, Origin, RequestMeta, Terms};
use crate::units::Mono;

/// The effective data class: the stricter of the claim (or the policy's default) and the ceiling of the source.
pub fn class(meta: &RequestMeta, policy: &Policy) -> DataClass {
    of_terms(meta.class, meta.origin, &meta.terms, policy)
}

/// The same of a claim, where it came in, and the terms of the request.
pub fn of_terms(claim: ClassClaim, origin: Origin, terms: &Terms, policy: &Policy) -> DataClass {
    let claimed = of_claim(claim, origin, policy).min(terms.ceiling);
    // Only what an explicit rule freed may be freer than the caller said, and not even that beyond the ceilings.
    let freed = terms.freed.map(|to| to.min(ceiling(origin, policy)).min(terms.ceiling));
    freed.map_or(claimed, |freed| freed.max(claimed))
}

fn ceiling(origin: Origin, policy: &Policy) -> DataClass {
    match origin {
        Origin::Bus => policy.bus_ceiling,
        Origin::Broker => policy.broker_ceiling,
    }
}

/// The same without what rules and payload say.
pub fn of_claim(claim: ClassClaim, origin: Origin, policy: &Policy) -> DataClass {
    let claimed = match claim {
        ClassClaim::Unlabelled => policy.unlabelled,
        // A word that nobody knows may have been meant to be strict.
        ClassClaim::Unknown => DataClass::Regulated,
        ClassClaim::Claimed(class) => class,
    };
    claimed.min(ceiling(origin, policy))
}

/// The effective deadline of a request that arrived at `now`: its own, else the longest allowed if it may be deferred,
/// else the model's, else the policy's; never later than the policy allows, which is how long the disk keeps those that
/// may be deferred.
pub fn deadline(meta: &RequestMeta, now: Mono, of_model: Option<Duration>, policy: &Policy) -> Mono {
    let waits_on_disk = meta.deferrable && policy.routing.max_deferred > 0;
    let longest = if waits_on_disk { policy.routing.max_wait } else { Duration::ZERO };
    let latest = now.after(policy.max_deadline.max(longest));
    let asked = match meta.deadline {
        Some(deadline) => deadline,
        None if meta.deferrable => latest,
        None => now.after(of_model.unwrap_or(policy.default_deadline)),
    };
    asked.min(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClientId, ModelId, RequestId, ShareId};
    use crate::policy::Routing;
    use crate::request::{Priority, Work};
    use crate::units::{Bytes, Cost};
    use ClassClaim::{Claimed, Unknown, Unlabelled};
    use DataClass::{Internal, Public, Regulated};

    fn meta(class: ClassClaim, origin: Origin) -> RequestMeta {
        RequestMeta {
            id: RequestId(1),
            parent: None,
            client: ClientId(1),
            share: ShareId::new(1),
            model: ModelId(0),
            deadline: None,
            class,
            priority: Priority::Normal,
            deferrable: false,
            bytes: Bytes(0),
            origin,
            work: Work::Tensors,
            cost: Cost::ONE,
            most_rows: None,
            deaths: 0,
            terms: Terms::default(),
        }
    }

    #[test]
    fn the_stricter_of_claim_and_ceiling_applies() {
        let policy =
            Policy { unlabelled: Internal, bus_ceiling: Public, broker_ceiling: Internal, ..Policy::default() };
        for (claim, origin, expected) in [
            (Unlabelled, Origin::Bus, Internal),
            (Unlabelled, Origin::Broker, Internal),
            (Unknown, Origin::Bus, Regulated),
            (Unknown, Origin::Broker, Regulated),
            (Claimed(Public), Origin::Bus, Public),
            (Claimed(Public), Origin::Broker, Internal),
            (Claimed(Regulated), Origin::Bus, Regulated),
            (Claimed(Regulated), Origin::Broker, Regulated),
        ] {
            assert_eq!(class(&meta(claim, origin), &policy), expected, "{claim:?} over {origin:?}");
        }
    }

    #[test]
    fn what_a_rule_freed_goes_farther_and_never_beyond_a_ceiling() {
        let policy = Policy { broker_ceiling: Internal, ..Policy::default() };
        for (claim, origin, ceiling, freed, expected) in [
            (Claimed(Regulated), Origin::Bus, Public, None, Regulated),
            (Claimed(Regulated), Origin::Bus, Public, Some(Public), Public),
            (Claimed(Public), Origin::Bus, Public, Some(Internal), Public),
            (Claimed(Regulated), Origin::Broker, Public, Some(Public), Internal),
            (Claimed(Regulated), Origin::Bus, Internal, Some(Public), Internal),
        ] {
            let meta = meta(claim, origin);
            let meta = RequestMeta { terms: Terms { ceiling, freed, ..meta.terms }, ..meta };
            assert_eq!(class(&meta, &policy), expected, "{claim:?} {origin:?} {ceiling:?} {freed:?}");
        }
    }

    #[test]
    fn a_ceiling_binds_the_default_too() {
        let policy = Policy { unlabelled: Public, broker_ceiling: Regulated, ..Policy::default() };
        assert_eq!(class(&meta(Unlabelled, Origin::Broker), &policy), Regulated);
    }

    #[test]
    fn the_most_specific_deadline_applies_up_to_the_longest_allowed() {
        let policy = Policy {
            default_deadline: Duration::from_secs(5),
            max_deadline: Duration::from_secs(60),
            ..Policy::default()
        };
        let now = Mono::from_nanos(1_000);
        let at = |secs| now.after(Duration::from_secs(secs));
        let model = Some(Duration::from_secs(2));
        for (own, deferrable, of_model, expected) in [
            (None, false, None, at(5)),
            (None, false, model, at(2)),
            (None, true, model, at(60)),
            (Some(at(1)), false, model, at(1)),
            (Some(at(1)), true, model, at(1)),
            (Some(at(3600)), false, None, at(60)),
            (Some(Mono::MAX), true, None, at(60)),
            (Some(Mono::from_nanos(1)), false, None, Mono::from_nanos(1)),
        ] {
            let meta = RequestMeta { deadline: own, deferrable, ..meta(Unlabelled, Origin::Bus) };
            assert_eq!(deadline(&meta, now, of_model, &policy), expected, "{own:?} {deferrable} {of_model:?}");
        }
    }

    #[test]
    fn what_may_wait_on_the_disk_has_as_long_as_the_disk_keeps_it() {
        let now = Mono::from_nanos(1_000);
        let at = |secs| now.after(Duration::from_secs(secs));
        for (max_deferred, max_wait, own, deferrable, expected) in [
            (10, 3600, None, true, 3600),
            (10, 3600, Some(at(1800)), true, 1800),
            (10, 3600, Some(at(7200)), true, 3600),
            (10, 3600, Some(at(7200)), false, 60),
            (10, 20, None, true, 60),
            (0, 3600, None, true, 60),
        ] {
            let routing = Routing { max_deferred, max_wait: Duration::from_secs(max_wait), ..Routing::default() };
            let policy = Policy { max_deadline: Duration::from_secs(60), routing, ..Policy::default() };
            let meta = RequestMeta { deadline: own, deferrable, ..meta(Unlabelled, Origin::Bus) };
            assert_eq!(
                deadline(&meta, now, None, &policy),
                at(expected),
                "{max_deferred} {max_wait} {own:?} {deferrable}"
            );
        }
    }
}
