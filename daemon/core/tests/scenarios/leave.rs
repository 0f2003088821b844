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

/// A world whose model runs four together for 24 ms, on one lane, and has just begun with four; some of them never end.
fn four_together(endless: Vec<u64>) -> World {
    let policy = Policy { lanes: 1, max_chunk: Duration::from_millis(100), ..small_policy() };
    let mut world = World::new(Policy { max_batch: 4, ..policy });
    world.load(0, FakeModel { fixed: ms(20), ..FakeModel::new(0, 1, ms(1)) });
    (1000..1060).for_each(|id| world.arrive(due(id, (id % 4) as u32, 5000)));
    world.run_until(at(2000));
    world.endless.extend(endless.into_iter().map(RequestId));
    world.arrive(due(1, 1, 3000));
    (2..=5).for_each(|id| world.arrive(due(id, 1, 2080)));
    world.run_until(at(2025));
    assert_eq!(batches(&world).last(), Some(&vec![2, 3, 4, 5]));
    world
}

#[test]
fn a_batch_that_nobody_wants_any_more_is_stopped_and_frees_its_lane() {
    let mut world = four_together(Vec::new());
    let cancel = |world: &mut World, id| world.tell(Event::Cancelled { id: RequestId(id) });
    world.arrive(due(7, 2, 4000));
    (2..=4).for_each(|id| cancel(&mut world, id));
    world.run_until(at(2026));
    assert_eq!(batches(&world).last(), Some(&vec![2, 3, 4, 5]), "somebody still wants it");
    cancel(&mut world, 5);
    // What comes now waits for a lane that is about to be free.
    world.arrive(RequestMeta { priority: Priority::High, ..due(8, 2, 2060) });
    world.run_until(at(2027));
    assert_eq!(batches(&world).last(), Some(&vec![8]));
    world.run_out();
    assert_eq!((world.outcome(8), world.outcome(7)), (Some(Outcome::Done), Some(Outcome::Done)));
}

#[test]
fn a_batch_whose_deadlines_have_all_passed_is_stopped() {
    let mut world = four_together((2..=5).collect());
    world.arrive(due(7, 2, 4000));
    world.run_until(at(2079));
    assert_eq!(world.outcome(5), None, "it never ends by itself");
    world.run_until(at(2081));
    (2..=5).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Expired)));
    assert_eq!(batches(&world).last(), Some(&vec![7]));
    world.run_out();
    assert_eq!(world.outcome(7), Some(Outcome::Done));
}
