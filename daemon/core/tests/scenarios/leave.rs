//! Cancellation, clients that leave, drain.

use super::*;

#[test]
fn a_request_can_be_cancelled_in_every_state() {
    let mut world = World::new(Policy { lanes: 1, preparing: 1, ..small_policy() });
    world.load(0, FakeModel { decode: ms(10), ..FakeModel::new(0, 1, ms(100)) });
    world.arrive(encoded(due(1, 1, 5000)));
    world.arrive(encoded(due(2, 1, 5000)));
    world.arrive(due(3, 1, 5000));
    world.arrive(due(4, 1, 5000));
    // 1 is being decoded, 2 waits for that, 3 runs, 4 is queued.
    let cancel = |world: &mut World, id| {
        let before = aborts(world);
        world.tell(Event::Cancelled { id: RequestId(id) });
        assert_eq!(world.outcome(id), Some(Outcome::Cancelled), "request {id}");
        aborts(world) - before
    };
    assert_eq!(cancel(&mut world, 2), 0, "the host does not know it");
    assert_eq!(cancel(&mut world, 1), 1, "it is being decoded");
    assert_eq!(cancel(&mut world, 4), 0, "the host does not know it");
    assert_eq!(cancel(&mut world, 3), 1, "it runs");
    world.arrive(due(5, 1, 5000));
    world.arrive(encoded(due(6, 1, 5000)));
    world.run_until(at(50));
    assert_eq!(cancel(&mut world, 6), 1, "it was decoded and is queued");
    world.run_out();
    assert_eq!(world.outcome(5), Some(Outcome::Done));
    for (id, ends) in world.settlements() {
        assert_eq!(ends.len(), 1, "{id:?} settled {ends:?}");
    }
}

#[test]
fn a_client_that_leaves_takes_its_requests_along_and_nobody_elses() {
    let mut world = world(20);
    for id in 0..20 {
        world.arrive(due(id, (id % 2) as u32, 5000));
    }
    world.run_for(ms(25));
    world.tell(Event::ClientLeft { client: ClientId(1) });
    world.run_out();
    for id in 2..20 {
        let expected = if id % 2 == 0 { Outcome::Done } else { Outcome::Cancelled };
        let ran_before = world.ended(id).unwrap() <= at(20);
        assert!(ran_before || world.outcome(id) == Some(expected), "request {id}: {:?}", world.outcome(id));
    }
    assert_eq!(world.core().snapshot().waiting, 0);
}

#[test]
fn a_cancelled_payload_keeps_its_place_in_the_decoder_until_the_host_is_done() {
    let mut world = World::new(Policy { preparing: 1, ..small_policy() });
    world.load(0, FakeModel { decode: ms(10), ..model(10) });
    world.arrive(encoded(due(1, 1, 5000)));
    world.tell(Event::Cancelled { id: RequestId(1) });
    world.arrive(encoded(due(2, 1, 5000)));
    let prepares = |world: &World| count(world, |action| matches!(action, Action::Prepare { .. }));
    assert_eq!(prepares(&world), 1);
    world.run_until(at(10));
    assert_eq!(prepares(&world), 2);
}

#[test]
fn a_drain_refuses_what_is_new_finishes_what_was_accepted_and_ends_with_resume() {
    let mut world = world(10);
    (1..=5).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.tell(Event::Drain);
    world.tell(Event::Drain);
    world.arrive(meta(6, 1, 0));
    assert_eq!((refusal(&world, 6).code, refusal(&world, 6).reason), (RefusalCode::Unavailable, Reason::Draining));
    assert!(world.core().snapshot().draining);
    world.run_out();
    (1..=5).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Done)));
    assert_eq!(world.announced(), [Change::Draining, Change::Drained]);
    world.tell(Event::Resume);
    world.tell(Event::Resume);
    world.arrive(meta(7, 1, 0));
    world.run_out();
    assert_eq!(world.outcome(7), Some(Outcome::Done));
    assert_eq!(world.announced(), [Change::Draining, Change::Drained, Change::Serving]);
}

#[test]
fn what_a_drain_has_no_time_for_is_dropped_with_its_reason_wherever_it_is() {
    let mut world = world(10);
    (1..=5).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.tell(Event::Drain);
    (0..=5).for_each(|id| world.tell(Event::CutOff { id: RequestId(id) }));
    (1..=5).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Shed(Reason::Draining))));
    assert_eq!(world.announced(), [Change::Draining, Change::Drained]);
    world.run_out();
    assert_eq!(world.core().snapshot().running, 0);
}

#[test]
fn an_idle_box_is_drained_at_once() {
    let mut world = world(10);
    world.tell(Event::Drain);
    assert_eq!(world.announced(), [Change::Draining, Change::Drained]);
}

#[test]
fn whoever_asks_a_drained_box_to_drain_is_told_that_it_is() {
    let mut world = world(10);
    world.tell(Event::Drain);
    world.tell(Event::Drain);
    assert_eq!(world.announced(), [Change::Draining, Change::Drained, Change::Drained]);
}
