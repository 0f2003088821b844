//! How far data may go.

use super::*;

/// Where a request with these words would have to go, if it may.
fn sent(policy: Policy, meta: RequestMeta) -> (Option<Bar>, usize) {
    let mut world = world_of(policy, 10);
    let id = meta.id.0;
    world.arrive(with_terms(meta, |terms| terms.here = Here::NoModel));
    world.run_out();
    let away = match world.outcome(id) {
        Some(Outcome::Refused(refusal)) => {
            assert_eq!(refusal.code == RefusalCode::Confined, refusal.away.is_some_and(Bar::confines));
            refusal.away
        }
        _ => None,
    };
    (away, world.away.sent().len())
}

#[test]
fn a_class_reaches_as_far_as_its_zone_and_no_farther() {
    use ClassClaim::{Claimed, Unknown, Unlabelled};
    use DataClass::{Internal, Public, Regulated};
    // Claim, default, ceiling of the source, ceiling by rules: the farthest zone that is reached.
    for (claim, unlabelled, source, rules, reach) in [
        (Claimed(Regulated), Public, Public, Public, Zone::Device),
        (Claimed(Internal), Public, Public, Public, Zone::Premises),
        (Claimed(Public), Regulated, Public, Public, Zone::Cloud),
        (Unlabelled, Regulated, Public, Public, Zone::Device),
        (Unlabelled, Internal, Public, Public, Zone::Premises),
        (Unlabelled, Public, Internal, Public, Zone::Premises),
        (Unknown, Public, Public, Public, Zone::Device),
        (Claimed(Public), Public, Internal, Public, Zone::Premises),
        (Claimed(Public), Public, Public, Internal, Zone::Premises),
        (Claimed(Public), Public, Public, Regulated, Zone::Device),
        (Claimed(Public), Public, Regulated, Internal, Zone::Device),
    ] {
        for origin in [Origin::Bus, Origin::Broker] {
            for zone in [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud] {
                let base = policy(&[Site::in_zone(zone)]);
                let policy = match origin {
                    Origin::Bus => Policy { unlabelled, bus_ceiling: source, ..base },
                    Origin::Broker => Policy { unlabelled, broker_ceiling: source, ..base },
                };
                let meta = RequestMeta { class: claim, origin, ..to_any(1, 5000) };
                let told = sent(policy, with_terms(meta, |terms| terms.ceiling = rules));
                let expected = if zone <= reach { (None, 1) } else { (Some(Bar::Class), 0) };
                assert_eq!(
                    told, expected,
                    "{claim:?} over {origin:?} to {zone:?}, default {unlabelled:?}, {source:?}, {rules:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_rule_demands_of_a_site_it_must_promise() {
    let country = |word| Country::new(word);
    let mut union = [None; Demands::COUNTRIES];
    union[0] = country("EU");
    let silent = cloud();
    let strict = Site {
        jurisdiction: country("FR"),
        retention: Retention::None,
        training: Training::No,
        ..Site::in_zone(Zone::Cloud)
    };
    let abroad = Site { jurisdiction: country("US"), ..strict };
    let keeps = Site { retention: Retention::Days(30), ..strict };
    let learns = Site { training: Training::Yes, ..strict };
    let none = Demands::default();
    let place = Demands { jurisdictions: union, ..none };
    let brief = Demands { retention_days: Some(7), ..none };
    let untrained = Demands { no_training: true, ..none };
    use edge_core::site::Unmet;
    for (demands, site, expected) in [
        (none, silent, None),
        (place, silent, Some(Unmet::Jurisdiction)),
        (place, abroad, Some(Unmet::Jurisdiction)),
        (place, strict, None),
        (brief, silent, Some(Unmet::Retention)),
        (brief, keeps, Some(Unmet::Retention)),
        (brief, strict, None),
        (untrained, silent, Some(Unmet::Training)),
        (untrained, learns, Some(Unmet::Training)),
        (untrained, strict, None),
    ] {
        let (bar, count) = sent(policy(&[site]), with_terms(to_any(1, 5000), |terms| terms.demands = demands));
        assert_eq!(
            (bar, count),
            (expected.map(Bar::Unmet), usize::from(expected.is_none())),
            "{demands:?} of {site:?}"
        );
    }
}

#[test]
fn a_rule_keeps_a_request_from_a_site_and_another_one_gets_it() {
    let mut world = world_of(policy(&[premises(), cloud()]), 10);
    world.arrive(with_terms(only_there(1, 5000), |terms| terms.allowed = Sites::from_bits(2)));
    world.arrive(with_terms(only_there(2, 5000), |terms| terms.allowed = Sites::NONE));
    assert_eq!(spills(&world, 1), [(1, Reason::OnlyThere)]);
    let refusal = refusal(&world, 2);
    assert_eq!((refusal.code, refusal.away), (RefusalCode::Confined, Some(Bar::Rule)));
}

#[test]
fn a_busy_box_says_so_and_not_that_data_are_confined() {
    let mut world = world_of(policy(&[cloud()]), 1000);
    fill(&mut world);
    world.arrive(RequestMeta { class: ClassClaim::Claimed(DataClass::Regulated), ..to_any(1, 2500) });
    let refusal = refusal(&world, 1);
    assert_eq!((refusal.code, refusal.away), (RefusalCode::Overloaded, Some(Bar::Class)));
    assert!(refusal.retry_after.is_some());
}
