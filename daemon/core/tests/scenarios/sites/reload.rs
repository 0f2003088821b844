//! The policy changes while requests wait or are away.

use super::*;

fn reload(world: &mut World, policy: Policy) {
    world.tell(Event::Policy(Box::new(policy)));
}

/// A request waits behind lanes that hang, and could leave at the end.
fn waiting(policy: Policy, meta: RequestMeta) -> World {
    let mut world = world_of(policy, 100);
    world.endless.extend([RequestId(100), RequestId(101)]);
    (100..102).for_each(|id| world.arrive(due(id, 100, 5000)));
    world.arrive(meta);
    world
}

#[test]
fn a_list_that_is_shorter_loses_nothing_that_is_away() {
    let mut world = world_of(policy(&[cloud(), cloud()]), 10);
    world.arrive(with_terms(only_there(1, 1000), |terms| terms.capable = Sites::from_bits(2)));
    reload(&mut world, policy(&[cloud()]));
    world.arrive(with_terms(only_there(2, 1000), |terms| terms.capable = Sites::from_bits(2)));
    assert_eq!(refusal(&world, 2).away, None);
    world.run_out();
    assert_eq!(world.outcome(1), spilled(1), "what is there may end");
    assert_eq!(world.core().snapshot().sites.len(), 1);
}

#[test]
fn what_is_open_at_a_site_is_still_open_when_it_comes_back_into_the_list() {
    let site = Site { max_open: 1, ..cloud() };
    let mut world = world_of(policy(&[site]), 10);
    does(&mut world, 0, Does::Nothing);
    world.arrive(only_there(1, 1000));
    reload(&mut world, policy(&[]));
    reload(&mut world, policy(&[site]));
    world.arrive(only_there(2, 1000));
    assert_eq!(refusal(&world, 2).away, Some(Bar::Full));
    world.run_out();
    world.arrive(only_there(3, 2000));
    assert_eq!(spills(&world, 3).len(), 1, "{:?}", world.core().snapshot().sites);
}

#[test]
fn a_site_in_the_place_of_another_learns_nothing_from_it_and_gets_nothing_that_was_meant_for_it() {
    let [old, new] = [(1, premises()), (2, cloud())].map(|(identity, site)| Site { identity, ..site });
    let mut world =
        waiting(policy(&[old]), RequestMeta { class: ClassClaim::Claimed(DataClass::Public), ..to_any(1, 1000) });
    world.arrive(only_there(2, 1000));
    world.run_for(ms(1));
    reload(&mut world, policy(&[new]));
    world.run_until(at(2000));
    assert_eq!(world.outcome(2), spilled(0));
    let site = &world.core().snapshot().sites[0];
    assert_eq!((site.done, site.open), (0, 0), "the answer was of the other one");
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
}

#[test]
fn a_list_that_is_longer_gives_waiting_requests_nothing_that_nobody_checked_for_them() {
    let mut world = waiting(policy(&[]), to_any(1, 1000));
    reload(&mut world, policy(&[cloud()]));
    world.site(0, FakeSite::new(Zone::Cloud, ms(20)));
    world.run_until(at(2000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
    world.arrive(only_there(2, 5000));
    world.run_for(ms(100));
    assert_eq!(world.outcome(2), spilled(0));
}

#[test]
fn a_stricter_ceiling_holds_for_what_waits_and_a_freer_one_does_not() {
    let claim = |class| RequestMeta { class: ClassClaim::Claimed(class), ..to_any(1, 1000) };
    let mut world = waiting(policy(&[cloud()]), claim(DataClass::Public));
    reload(&mut world, Policy { bus_ceiling: DataClass::Internal, ..policy(&[cloud()]) });
    reload(&mut world, policy(&[cloud()]));
    world.run_until(at(2000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
    let closed = Policy { bus_ceiling: DataClass::Internal, ..policy(&[cloud()]) };
    let mut world = waiting(closed, claim(DataClass::Public));
    reload(&mut world, policy(&[cloud()]));
    world.run_until(at(2000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
}

#[test]
fn a_site_that_promises_less_than_it_did_gets_nothing_that_waits_and_demands_more() {
    let strict = Site { retention: Retention::None, ..cloud() };
    let demand = Demands { retention_days: Some(0), ..Demands::default() };
    for (demands, sent) in [(demand, false), (Demands::default(), true)] {
        let meta = with_terms(to_any(1, 60_000), |terms| terms.demands = demands);
        let mut world = waiting(policy(&[strict]), meta);
        reload(&mut world, policy(&[Site { retention: Retention::Days(30), ..cloud() }]));
        world.tell(Event::Held(true));
        world.run_for(ms(500));
        assert_eq!(!spills(&world, 1).is_empty(), sent, "{demands:?}");
    }
}

#[test]
fn what_may_not_go_as_far_as_a_site_lies_now_stays() {
    for (class, sent) in [(DataClass::Internal, false), (DataClass::Public, true)] {
        let meta = RequestMeta { class: ClassClaim::Claimed(class), ..to_any(1, 60_000) };
        let mut world = waiting(policy(&[premises()]), meta);
        reload(&mut world, policy(&[cloud()]));
        world.site(0, FakeSite::new(Zone::Cloud, ms(20)));
        world.tell(Event::Held(true));
        world.run_for(ms(500));
        assert_eq!(!spills(&world, 1).is_empty(), sent, "{class:?}");
    }
}

#[test]
fn what_is_known_of_a_site_outlives_a_reload() {
    let mut world = world_of(policy(&[cloud()]), 10);
    let before = world.core().snapshot().sites[0].clone();
    let routing = Routing { probe_every: Duration::from_secs(5), ..policy(&[]).routing };
    reload(&mut world, Policy { routing, ..policy(&[Site { max_open: 3, ..cloud() }]) });
    assert_eq!(world.core().snapshot().sites[0], before);
}

#[test]
fn another_server_under_the_same_promises_gets_nothing_that_was_meant_for_the_old_one() {
    let [old, new] = [1, 2].map(|identity| Site { identity, ..premises() });
    for (next, sent) in [(old, true), (new, false)] {
        let mut world = waiting(policy(&[old]), to_any(1, 60_000));
        reload(&mut world, policy(&[next]));
        world.tell(Event::Held(true));
        world.run_for(ms(500));
        assert_eq!(!spills(&world, 1).is_empty(), sent, "{next:?}");
    }
}

#[test]
fn another_server_is_not_blamed_for_what_the_old_one_did() {
    let [old, new] = [1, 2].map(|identity| Site { identity, ..premises() });
    let mut world = world_of(policy(&[old]), 10);
    does(&mut world, 0, Does::Fails(SiteFault::Connect, false));
    (1..=5).for_each(|id| world.arrive(only_there(id, 60_000)));
    world.run_for(ms(100));
    assert_ne!(world.core().snapshot().sites[0].breaker, edge_core::breaker::State::Passing);
    does(&mut world, 0, Does::Answers);
    reload(&mut world, policy(&[new]));
    let site = &world.core().snapshot().sites[0];
    assert_eq!((site.breaker, site.failed), (edge_core::breaker::State::Passing, 0));
    let now = world.now().as_nanos() / 1_000_000;
    world.arrive(only_there(9, now + 5_000));
    world.run_for(ms(200));
    assert_eq!(world.outcome(9), spilled(0));
}

#[test]
fn a_tripped_site_is_asked_at_once_after_a_reload_as_somebody_may_have_repaired_it() {
    let mut world = world_of(policy(&[premises()]), 10);
    does(&mut world, 0, Does::Fails(SiteFault::Credential, true));
    world.arrive(only_there(1, 60_000));
    world.run_for(ms(100));
    does(&mut world, 0, Does::Answers);
    reload(&mut world, policy(&[premises()]));
    world.run_for(ms(50));
    assert_eq!(world.core().snapshot().sites[0].breaker, edge_core::breaker::State::Passing);
}
