//! Requests that wait for a place at a site that is full.

use super::*;

/// The site on the premises has one place and takes 100 ms, and is known to; the cloud takes 20 ms.
fn one_place(sites: &[Site]) -> World {
    let mut world = world_of(policy(sites), 10);
    world.site(0, FakeSite::new(sites[0].zone, ms(100)));
    warm(&mut world, 0, 100);
    for id in 500..520 {
        let deadline = world.now().as_nanos() / 1_000_000 + 5_000;
        world.arrive(only_there(id, deadline));
        world.run_for(ms(150));
        assert_eq!(world.outcome(id), spilled(0));
    }
    world
}

fn near() -> Site {
    Site { max_open: 1, ..premises() }
}

/// As [`only_there`], due so many ms from now.
fn soon(world: &World, id: u64, slack: u64) -> RequestMeta {
    only_there(id, world.now().as_nanos() / 1_000_000 + slack)
}

fn waiting(world: &World) -> (u16, usize) {
    let site = &world.core().snapshot().sites[0];
    (site.open, site.waiting)
}

#[test]
fn a_request_waits_for_a_place_nearby_rather_than_going_far() {
    let mut world = one_place(&[near(), cloud()]);
    world.arrive(soon(&world, 1, 2_000));
    world.arrive(soon(&world, 2, 2_000));
    assert_eq!(verdict(&world, 2), Some(Verdict::Spill(SiteId(0), Reason::OnlyThere)));
    assert_eq!((spills(&world, 2), waiting(&world)), (vec![], (1, 1)));
    world.run_for(ms(300));
    assert_eq!((world.outcome(1), world.outcome(2)), (spilled(0), spilled(0)));
    assert_eq!((spills(&world, 2), waiting(&world)), (vec![(0, Reason::OnlyThere)], (0, 0)));
    assert_eq!(world.away.most_open[&SiteId(0)], 1);
}

#[test]
fn one_whose_deadline_is_near_goes_far_at_once() {
    let mut world = one_place(&[near(), cloud()]);
    world.arrive(soon(&world, 1, 2_000));
    world.arrive(soon(&world, 2, 120));
    assert_eq!(spills(&world, 2), [(1, Reason::OnlyThere)]);
}

#[test]
fn a_place_that_does_not_become_free_is_not_waited_for_too_long() {
    let mut world = one_place(&[near(), cloud()]);
    does(&mut world, 0, Does::Nothing);
    world.arrive(soon(&world, 1, 60_000));
    let before = counted(&world, Failure::QueueFull, Some(Next::Site));
    world.arrive(soon(&world, 2, 1_000));
    assert_eq!(spills(&world, 2), []);
    world.run_for(ms(990));
    assert_eq!((spills(&world, 2), world.outcome(2)), (vec![(1, Reason::WaitedTooLong)], spilled(1)));
    assert_eq!(counted(&world, Failure::QueueFull, Some(Next::Site)), before + 2, "once on arrival, once when it left");
}

#[test]
fn the_line_is_as_long_as_there_are_places_and_the_most_urgent_is_first() {
    let mut world = one_place(&[Site { max_open: 2, ..premises() }, cloud()]);
    (1..=2).for_each(|id| world.arrive(soon(&world, id, 3_000)));
    world.arrive(soon(&world, 3, 3_000));
    world.arrive(RequestMeta { priority: Priority::High, ..soon(&world, 4, 3_000) });
    assert_eq!(waiting(&world), (2, 2));
    world.arrive(soon(&world, 5, 3_000));
    assert_eq!(spills(&world, 5), [(1, Reason::OnlyThere)], "the line is full");
    world.run_for(ms(1_000));
    assert!((1..=4).all(|id| world.outcome(id) == spilled(0)));
    assert!(world.ended(4) <= world.ended(3), "{:?} {:?}", world.ended(4), world.ended(3));
    assert_eq!(world.away.most_open[&SiteId(0)], 2);
}

#[test]
fn whoever_leaves_the_line_is_never_sent_and_the_next_one_gets_the_place() {
    let mut world = one_place(&[Site { max_open: 2, ..premises() }]);
    (1..=4).for_each(|id| world.arrive(soon(&world, id, 3_000)));
    assert_eq!(waiting(&world), (2, 2));
    world.tell(Event::Cancelled { id: RequestId(3) });
    assert_eq!((world.outcome(3), waiting(&world)), (Some(Outcome::Cancelled), (2, 1)));
    world.run_for(ms(1_000));
    assert_eq!((spills(&world, 3), world.outcome(4)), (vec![], spilled(0)));
}

#[test]
fn where_nothing_else_may_have_it_it_waits_if_that_is_likely_to_help_and_is_refused_otherwise() {
    for (slack, waits) in [(2_000, true), (60, false)] {
        let mut world = one_place(&[near()]);
        world.arrive(soon(&world, 1, 2_000));
        world.arrive(soon(&world, 2, slack));
        if waits {
            world.run_for(ms(500));
            assert_eq!(world.outcome(2), spilled(0));
        } else {
            assert_eq!(spills(&world, 2), []);
            assert!(refusal(&world, 2).away.is_some(), "{:?}", refusal(&world, 2));
        }
    }
}

#[test]
fn internal_data_wait_nearby_to_the_end_and_never_go_farther() {
    let mut world = one_place(&[near(), cloud()]);
    does(&mut world, 0, Does::Nothing);
    world.arrive(soon(&world, 1, 60_000));
    world.arrive(RequestMeta { class: ClassClaim::Claimed(DataClass::Internal), ..soon(&world, 2, 1_000) });
    assert_eq!(waiting(&world), (1, 1));
    world.run_for(ms(1_100));
    assert_eq!((spills(&world, 2), world.outcome(2)), (vec![], Some(Outcome::Expired)));
    assert_eq!(waiting(&world), (1, 0));
}

#[test]
fn who_waits_for_a_site_that_goes_away_goes_where_the_table_says() {
    let off = Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO };
    let mut world = one_place(&[near(), cloud()]);
    (1..=2).for_each(|id| world.arrive(soon(&world, id, 2_000)));
    world.tell(off);
    assert_eq!((spills(&world, 2), waiting(&world).1), (vec![(1, Reason::SiteDown)], 0));
    assert_eq!(counted(&world, Failure::SiteDown, Some(Next::Site)), 1);
    world.run_out();
    assert_eq!(world.outcome(2), spilled(1));
}

#[test]
fn who_waits_for_a_site_that_a_reload_takes_away_is_not_lost() {
    let mut world = one_place(&[near(), cloud()]);
    (1..=2).for_each(|id| world.arrive(soon(&world, id, 2_000)));
    assert_eq!(waiting(&world), (1, 1));
    world.tell(Event::Policy(Box::new(policy(&[]))));
    assert_eq!(world.outcome(2), Some(Outcome::Failed(Fault::Site)));
    world.run_out();
    assert_eq!(world.outcome(1), spilled(0), "what is open is still heard");
}

#[test]
fn how_one_ends_that_waited_says_what_barred_it_at_its_turn() {
    let internal = |meta: RequestMeta| RequestMeta { class: ClassClaim::Claimed(DataClass::Internal), ..meta };
    let mut moved = one_place(&[near()]);
    (1..=2).for_each(|id| moved.arrive(internal(soon(&moved, id, 2_000))));
    assert_eq!(waiting(&moved), (1, 1));
    moved.tell(Event::Policy(Box::new(policy(&[Site { zone: Zone::Cloud, ..near() }]))));
    moved.run_out();
    assert_eq!((spills(&moved, 2), moved.outcome(2)), (vec![], Some(Outcome::Failed(Fault::Confined))));
    // The place becomes free when too little is left of the deadline.
    let mut late = one_place(&[near()]);
    does(&mut late, 0, Does::Nothing);
    late.arrive(soon(&late, 1, 300));
    late.arrive(soon(&late, 2, 350));
    assert_eq!(waiting(&late), (1, 1));
    late.run_for(ms(320));
    assert_eq!((spills(&late, 2), late.outcome(2)), (vec![], Some(Outcome::Expired)));
}

#[test]
fn what_may_wait_for_long_does_not_do_so_in_memory() {
    let mut world = one_place(&[near()]);
    world.arrive(soon(&world, 1, 2_000));
    world.arrive(RequestMeta { deferrable: true, ..soon(&world, 2, 500_000) });
    assert_eq!(world.outcome(2), Some(Outcome::Deferred(Reason::OnlyThere)));
    world.run_out();
    assert_eq!(world.answer(2), spilled(0));
}

#[test]
fn who_waits_for_a_site_that_is_another_one_now_goes_on_at_once() {
    let hole = Site { max_open: 0, ..cloud() };
    for next in [hole, Site { identity: 7, ..near() }] {
        let mut world = one_place(&[near(), cloud()]);
        (1..=2).for_each(|id| world.arrive(soon(&world, id, 10_000)));
        assert_eq!(waiting(&world), (1, 1));
        world.tell(Event::Policy(Box::new(policy(&[next, cloud()]))));
        assert_eq!((spills(&world, 2), waiting(&world).1), (vec![(1, Reason::SiteDown)], 0), "{next:?}");
    }
}
