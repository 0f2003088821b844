//! Requests that may wait do so on the disk, and come back when something can serve them.

use super::*;

fn deferrable(meta: RequestMeta) -> RequestMeta {
    RequestMeta { deferrable: true, ..meta }
}

fn take_ups(world: &World) -> usize {
    count(world, |action| matches!(action, Action::TakeUp { .. }))
}

/// A request for a model that lives on sites only, with half an hour of time.
fn patient(id: u64) -> RequestMeta {
    deferrable(only_there(id, 500_000))
}

#[test]
fn what_waits_comes_back_when_the_site_is_back_the_most_urgent_first() {
    let mut world = world_of(policy(&[Site { max_open: 1, ..cloud() }]), 10);
    world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    for (id, priority, deadline) in [
        (1, Priority::Low, 300_000),
        (2, Priority::Normal, 500_000),
        (3, Priority::Normal, 400_000),
        (4, Priority::High, 500_000),
    ] {
        world.arrive(RequestMeta { priority, deadline: Some(at(deadline)), ..patient(id) });
        assert_eq!(world.outcome(id), Some(Outcome::Deferred(Reason::OnlyThere)));
    }
    assert_eq!(world.core().snapshot().deferred, 4);
    world.run_for(ms(5000));
    world.tell(Event::SiteLoad { site: SiteId(0), off: false, wait: Duration::ZERO });
    world.run_out();
    let ends: Vec<Mono> = [4, 3, 2, 1].map(|id| world.ended(world.away.known_as(RequestId(id)).0).unwrap()).to_vec();
    assert!(ends.is_sorted(), "{ends:?}");
    assert!((1..=4).all(|id| world.answer(id) == spilled(0)));
    assert_eq!(world.core().snapshot().deferred, 0);
}

#[test]
fn a_long_queue_puts_aside_what_may_wait_and_runs_it_when_there_is_room() {
    let base = policy(&[]);
    let routing = Routing { defer_after: Duration::from_millis(500), ..base.routing };
    let mut world = world_of(Policy { routing, ..base }, 100);
    for id in 1..=40 {
        world.arrive(deferrable(due(id, u32::try_from(id).unwrap(), 500_000)));
    }
    let held = world.core().snapshot();
    assert!(held.waiting <= 12 && held.deferred >= 20, "{} {}", held.waiting, held.deferred);
    world.run_out();
    assert!((1..=40).all(|id| world.answer(id) == Some(Outcome::Done)));
    assert!(world.now() < at(20_000), "the lanes did not run dry: {:?}", world.now());
}

#[test]
fn nobody_is_asked_in_vain_over_and_over() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    (1..=5).for_each(|id| world.arrive(patient(id)));
    world.run_for(ms(300_000));
    // One, two, four, eight, sixteen seconds, and half a minute from then on.
    assert!((10..=16).contains(&take_ups(&world)), "{}", take_ups(&world));
    assert_eq!(world.core().snapshot().deferred, 5);
}

#[test]
fn while_nothing_runs_here_what_may_wait_goes_to_a_site_that_may_have_it_and_else_to_the_disk() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.tell(Event::Held(true));
    let class = ClassClaim::Claimed(DataClass::Regulated);
    world.arrive(deferrable(to_any(1, 500_000)));
    world.arrive(RequestMeta { class, ..deferrable(to_any(2, 500_000)) });
    assert_eq!(world.outcome(2), Some(Outcome::Deferred(Reason::Held)));
    world.run_for(ms(1_000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![(0, Reason::Held)], spilled(0)));
    world.tell(Event::Held(false));
    world.run_out();
    assert_eq!((world.answer(2), world.away.sent().len()), (Some(Outcome::Done), 1));
}

#[test]
fn a_site_that_answers_others_is_no_reason_to_read_the_disk_all_the_time() {
    let sites = [Site { budget: Some(NanoUsd(0)), price: Some(Price::default()), ..cloud() }, cloud()];
    let mut world = world_of(policy(&sites), 10);
    warm(&mut world, 1, 100);
    let only_first = |meta| with_terms(meta, |terms| terms.capable = Sites::NONE.with(SiteId(0)));
    (1..=3).for_each(|id| world.arrive(only_first(patient(id))));
    for id in 100..200 {
        world.arrive(with_terms(only_there(id, 5_000), |terms| terms.capable = Sites::NONE.with(SiteId(1))));
        world.run_for(ms(50));
    }
    // Five seconds: once a second at most.
    assert!((1..=6).contains(&take_ups(&world)), "{}", take_ups(&world));
    assert_eq!(world.core().snapshot().deferred, 3);
}

#[test]
fn what_waits_is_asked_for_at_once_when_what_kept_it_there_is_over() {
    let poor = |budget| Site { budget: Some(NanoUsd(budget)), price: Some(Price::default()), ..cloud() };
    let mut world = world_of(policy(&[poor(0)]), 10);
    world.arrive(patient(1));
    world.run_for(ms(100_000));
    assert_eq!(world.core().snapshot().deferred, 1);
    world.tell(Event::Policy(Box::new(policy(&[poor(1)]))));
    world.run_for(ms(2_000));
    assert_eq!(world.answer(1), spilled(0), "the budget is another one");

    let mut world = world_of(policy(&[]), 10);
    world.tell(Event::Held(true));
    world.arrive(deferrable(due(1, 1, 500_000)));
    world.run_for(ms(100_000));
    world.tell(Event::Held(false));
    world.run_for(ms(100));
    assert_eq!(world.answer(1), Some(Outcome::Done), "the box may run again");
}

#[test]
fn a_site_that_comes_and_goes_serves_all_of_them_in_the_end_and_none_twice() {
    let mut world = world_of(policy(&[Site { max_open: 2, ..cloud() }]), 10);
    world.away.sites.get_mut(&SiteId(0)).unwrap().flaps = Some(ms(700));
    world.run_until(at(710));
    (1..=30).for_each(|id| world.arrive(patient(id)));
    world.run_out();
    assert!(
        (1..=30).all(|id| world.answer(id) == spilled(0)),
        "{:?}",
        (1..=30).map(|id| world.answer(id)).collect::<Vec<_>>()
    );
    assert!((1..=30).all(|id| world.away.sites_of(id).len() == 1), "each reached it once");
}

#[test]
fn the_bound_of_the_disk_holds_and_beyond_it_the_answer_is_no() {
    let base = policy(&[cloud()]);
    let mut world = world_of(Policy { routing: Routing { max_deferred: 3, ..base.routing }, ..base }, 10);
    world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    (1..=5).for_each(|id| world.arrive(patient(id)));
    assert_eq!((world.away.on_disk(), world.outcome(3)), (3, Some(Outcome::Deferred(Reason::OnlyThere))));
    assert_eq!((refusal(&world, 4).reason, refusal(&world, 5).away), (Reason::OnlyThere, Some(Bar::Off)));
}

#[test]
fn many_are_put_aside_in_one_step_and_the_bound_holds_before_the_disk_says_anything() {
    let base = policy(&[]);
    let routing = Routing { max_deferred: 3, defer_after: Duration::from_secs(60), ..base.routing };
    let mut world = world_of(Policy { routing, ..base }, 100);
    (1..=10).for_each(|id| world.arrive(deferrable(due(id, u32::try_from(id).unwrap(), 500_000))));
    world.tell(Event::Held(true));
    let put_off = (1..=10).filter(|id| matches!(world.outcome(*id), Some(Outcome::Deferred(_)))).count();
    assert_eq!(put_off, 3);
    world.tell(Event::Held(false));
    world.run_out();
    assert!((1..=10).all(|id| world.answer(id) == Some(Outcome::Done)));
}

#[test]
fn what_even_an_idle_box_cannot_do_in_time_is_refused_and_not_put_aside() {
    let mut world = world_of(policy(&[]), 100);
    world.arrive(deferrable(due(1, 1, 50)));
    assert_eq!(refusal(&world, 1).reason, Reason::DeadlineTooShort);
    // Nor is what has waited here until it is too late.
    world.endless.extend([RequestId(100), RequestId(101)]);
    (100..102).for_each(|id| world.arrive(due(id, 100, 5000)));
    world.arrive(deferrable(due(2, 2, 1000)));
    world.run_until(at(2000));
    assert_eq!(world.outcome(2), Some(Outcome::Expired));
}

#[test]
fn a_draining_box_takes_nothing_up() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    world.arrive(patient(1));
    world.tell(Event::Drain);
    let before = take_ups(&world);
    world.tell(Event::SiteLoad { site: SiteId(0), off: false, wait: Duration::ZERO });
    world.run_for(ms(100_000));
    assert_eq!((take_ups(&world), world.away.on_disk()), (before, 1));
    world.tell(Event::Resume);
    world.run_out();
    assert_eq!(world.answer(1), spilled(0));
}

#[test]
fn regulated_data_wait_for_this_box_however_well_a_site_is() {
    let base = policy(&[cloud()]);
    let routing = Routing { defer_after: Duration::ZERO, ..base.routing };
    let mut world = world_of(Policy { routing, ..base }, 100);
    (100..104).for_each(|id| world.arrive(due(id, 100, 60_000)));
    let class = ClassClaim::Claimed(DataClass::Regulated);
    world.arrive(RequestMeta { class, ..deferrable(to_any(1, 500_000)) });
    assert_eq!(world.outcome(1), Some(Outcome::Deferred(Reason::Deferrable)));
    world.run_out();
    assert_eq!((world.answer(1), world.away.sent().len()), (Some(Outcome::Done), 0));
}

#[test]
fn what_is_open_at_a_site_that_is_gone_and_may_wait_does_so_on_the_disk() {
    let mut world = world_of(policy(&[cloud()]), 10);
    does(&mut world, 0, Does::Nothing);
    world.arrive(patient(1));
    (11..=15).for_each(|id| world.arrive(only_there(id, 50 + id)));
    assert_eq!(spills(&world, 1), [(0, Reason::OnlyThere)]);
    world.run_for(ms(100));
    assert_eq!((world.outcome(1), called_off(&world, 1)), (Some(Outcome::Deferred(Reason::SiteDown)), 1));
    does(&mut world, 0, Does::Answers);
    world.run_out();
    assert_eq!(world.answer(1), spilled(0));
}

#[test]
fn what_a_site_fails_to_serve_waits_on_the_disk_while_nothing_is_run_here() {
    for (held, expected) in [(true, Outcome::Deferred(Reason::SiteDown)), (false, Outcome::Done)] {
        let mut world = world_of(policy(&[cloud()]), 10);
        does(&mut world, 0, Does::Fails(SiteFault::Server, true));
        world.tell(Event::Held(true));
        world.arrive(deferrable(to_any(1, 500_000)));
        assert_eq!(spills(&world, 1), [(0, Reason::Held)]);
        world.tell(Event::Held(held));
        world.run_for(ms(200));
        assert_eq!(world.outcome(1), Some(expected), "held: {held}");
    }
}

#[test]
fn what_every_site_rejects_ends_and_what_may_be_put_right_waits() {
    for (fault, ends) in [
        (SiteFault::Rejected, true),
        (SiteFault::TooLarge, true),
        (SiteFault::Missing, false),
        (SiteFault::Unfit, false),
        (SiteFault::Server, false),
    ] {
        let mut world = world_of(policy(&[cloud(), cloud()]), 10);
        (0..2).for_each(|site| does(&mut world, site, Does::Fails(fault, true)));
        world.arrive(patient(1));
        world.run_for(ms(400));
        let expected = if ends { Outcome::Failed(Fault::Site) } else { Outcome::Deferred(Reason::SiteDown) };
        assert_eq!((world.outcome(1), world.away.sites_of(1)), (Some(expected), vec![0, 1]), "{fault:?}");
        assert_eq!(world.core().snapshot().deferred, u64::from(!ends), "{fault:?}");
    }
}

#[test]
fn what_one_site_rejects_waits_for_another_and_is_not_sent_to_the_first_again() {
    let mut world = world_of(policy(&[cloud(), cloud()]), 10);
    does(&mut world, 0, Does::Fails(SiteFault::Rejected, true));
    world.tell(Event::SiteLoad { site: SiteId(1), off: true, wait: Duration::ZERO });
    world.arrive(patient(1));
    world.run_for(ms(100_000));
    assert!(take_ups(&world) > 3, "it was looked at again");
    assert_eq!((world.away.on_disk(), world.away.sites_of(1)), (1, vec![0]));
    world.tell(Event::SiteLoad { site: SiteId(1), off: false, wait: Duration::ZERO });
    world.run_out();
    assert_eq!((world.answer(1), world.away.sites_of(1)), (spilled(1), vec![0, 1]));

    // One that this box can serve waits for it.
    let mut world = world_of(policy(&[cloud()]), 10);
    does(&mut world, 0, Does::Fails(SiteFault::Rejected, true));
    world.tell(Event::Held(true));
    world.arrive(deferrable(to_any(1, 500_000)));
    world.run_for(ms(100_000));
    assert_eq!((world.away.on_disk(), world.away.sites_of(1)), (1, vec![0]));
    world.tell(Event::Held(false));
    world.run_out();
    assert_eq!((world.answer(1), world.away.sites_of(1)), (Some(Outcome::Done), vec![0]));
}
