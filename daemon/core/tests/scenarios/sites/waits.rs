//! A request that waits here leaves at its last chance elsewhere, and when heat takes the box away from it.

use edge_core::governor::{Sample, ZoneId, ZoneSample};
use edge_core::units::{Celsius, Kelvin};

use super::*;

/// A box whose lanes hang, on which a request waits that was promised to be in time.
fn hanging() -> World {
    let mut world = world_of(policy(&[cloud()]), 100);
    world.endless.extend([RequestId(100), RequestId(101)]);
    (100..102).for_each(|id| world.arrive(due(id, 100, 5000)));
    world
}

#[test]
fn a_request_that_waits_in_vain_leaves_when_a_site_can_just_be_in_time() {
    let mut world = hanging();
    world.arrive(to_any(1, 1000));
    assert!(matches!(verdict(&world, 1), Some(Verdict::Local(_))));
    world.run_until(at(970));
    assert_eq!(spills(&world, 1), []);
    world.run_until(at(1000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![(0, Reason::WaitedTooLong)], spilled(0)));
    assert_eq!(counted(&world, Failure::QueueFull, Some(Next::Site)), 1);
}

#[test]
fn a_payload_that_was_decoded_is_forgotten_here_when_it_leaves() {
    let mut world = hanging();
    world.arrive(encoded(to_any(1, 1000)));
    world.run_until(at(1000));
    assert_eq!(world.outcome(1), spilled(0));
    assert_eq!(count(&world, |action| matches!(action, Action::Forget { .. })), 1);
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.waiting, snapshot.away, snapshot.preparing), (0, 0, 0));
}

#[test]
fn it_stays_where_the_operator_lets_no_request_leave_a_full_queue() {
    let mut world = world_of(with_steps(&[cloud()], Failure::QueueFull, [None; 3]), 100);
    world.endless.extend([RequestId(100), RequestId(101)]);
    (100..102).for_each(|id| world.arrive(due(id, 100, 5000)));
    world.arrive(to_any(1, 1000));
    world.run_until(at(1500));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
}

#[test]
fn a_request_that_the_box_is_about_to_run_stays() {
    let mut world = world_of(policy(&[cloud()]), 100);
    (100..106).for_each(|id| world.arrive(due(id, u32::try_from(id).unwrap(), 60_000)));
    world.arrive(to_any(1, 1000));
    world.run_out();
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Done)));
}

#[test]
fn a_site_that_was_not_well_at_first_is_looked_at_again() {
    let mut world = hanging();
    world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    world.arrive(to_any(1, 1000));
    world.run_until(at(600));
    world.tell(Event::SiteLoad { site: SiteId(0), off: false, wait: Duration::ZERO });
    world.run_until(at(1000));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![(0, Reason::WaitedTooLong)], spilled(0)));
}

#[test]
fn regulated_data_wait_here_to_the_end() {
    let mut world = hanging();
    world.arrive(RequestMeta { class: ClassClaim::Claimed(DataClass::Regulated), ..to_any(1, 1000) });
    world.run_until(at(1500));
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![], Some(Outcome::Expired)));
}

#[test]
fn what_waits_leaves_at_once_when_somebody_takes_the_box() {
    let mut world = world_of(policy(&[cloud()]), 100);
    (1..=4).for_each(|id| world.arrive(to_any(id, 10_000)));
    world.arrive(due(5, 5, 10_000));
    world.tell(Event::Held(true));
    world.run_for(ms(50));
    assert!((3..=4).all(|id| spills(&world, id) == [(0, Reason::Held)] && world.outcome(id) == spilled(0)));
    assert_eq!(world.outcome(5), Some(Outcome::Shed(Reason::Held)), "nobody else serves it");
    assert_eq!(counted(&world, Failure::Heat, Some(Next::Site)), 2);
}

#[test]
fn what_waits_leaves_when_it_is_too_hot() {
    let mut world = world_of(policy(&[cloud()]), 100);
    (1..=4).for_each(|id| world.arrive(to_any(id, 10_000)));
    let celsius = |value| Celsius::new(value).unwrap();
    let zone = ZoneSample {
        id: ZoneId(0),
        temp: Celsius::new(101.0),
        trip: celsius(99.0),
        hysteresis: Kelvin::new(5.0).unwrap(),
        critical: Some(celsius(104.5)),
    };
    world.tell(Event::Sampled(Box::new(Sample { zones: vec![zone], ..Sample::default() })));
    assert!((3..=4).all(|id| spills(&world, id) == [(0, Reason::TooHot)]));
}

#[test]
fn a_drain_sheds_nothing_that_heat_finds_waiting() {
    let mut world = world_of(small_policy(), 100);
    (1..=4).for_each(|id| world.arrive(RequestMeta { deferrable: true, ..due(id, id as u32, 10_000) }));
    world.tell(Event::Drain);
    world.tell(Event::Held(true));
    world.tell(Event::Held(false));
    world.run_out();
    assert!((1..=4).all(|id| world.outcome(id) == Some(Outcome::Done)));
}
