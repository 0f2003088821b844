//! Deadlines that pass, estimates that are wrong.

use super::*;

#[test]
fn what_misses_its_deadline_while_it_waits_is_dropped_at_that_very_time() {
    let mut world = World::new(small_policy());
    world.load(0, model(100));
    (1..=4).for_each(|id| world.arrive(due(id, 1, 50)));
    world.run_until(at(49));
    assert_eq!(world.outcome(3), None);
    world.run_out();
    for id in 1..=4 {
        assert_eq!((world.outcome(id), world.ended(id)), (Some(Outcome::Expired), Some(at(50))), "request {id}");
    }
    assert_eq!(batches(&world), [vec![1], vec![2]]);
    assert_eq!(aborts(&world), 2, "work on what has no value any more is stopped");
}

#[test]
fn a_request_that_cannot_be_in_time_any_more_is_dropped_when_its_turn_comes() {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel::new(0, 1, ms(40)));
    // Unmeasured, so all are taken.
    (1..=3).for_each(|id| world.arrive(due(id, 1, 100 + id)));
    world.run_out();
    assert_eq!(world.outcome(2), Some(Outcome::Done));
    assert_eq!((world.outcome(3), world.ended(3)), (Some(Outcome::Expired), Some(at(80))));
}

#[test]
fn a_wrong_estimate_does_not_shut_a_model_out_for_ever() {
    let mut world = world(10);
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_secs(60) });
    world.arrive(due(1, 1, 1000));
    assert_eq!(refusal(&world, 1).reason, Reason::DeadlineTooShort);
    let mut served = 0;
    for id in 2..1000 {
        world.run_for(ms(1000));
        let deadline = Some(ms(500).from(world.now()));
        world.arrive(RequestMeta { deadline, ..meta(id, 1, 0) });
        world.run_for(ms(500));
        served += usize::from(world.outcome(id) == Some(Outcome::Done));
    }
    assert!(served > 300, "{served} of 998");
}

#[test]
fn an_old_estimate_still_predicts_but_does_not_refuse() {
    let mut world = world(50);
    world.run_until(at(60_000));
    world.arrive(due(1, 1, 60_100));
    world.arrive(RequestMeta { model: ModelId(0), ..due(2, 2, 60_020) });
    let accepted = world.log().iter().flat_map(|step| &step.actions).filter_map(|action| match action {
        Action::Accept { verdict, predicted, .. } => Some((verdict.reason(), *predicted)),
        _ => None,
    });
    let accepted: Vec<_> = accepted.collect();
    assert_eq!(accepted, [("feasible", Some(Duration::from_millis(50))), ("unmeasured", None)]);
}

#[test]
fn a_model_slower_than_every_deadline_stops_being_tried() {
    let mut world = World::new(small_policy());
    world.load(0, model(500));
    for id in 0..50 {
        world.arrive(RequestMeta { deadline: Some(ms(100).from(world.now())), ..meta(id, 1, 0) });
        world.run_for(ms(150));
    }
    let runs = batches(&world).len();
    assert!(runs <= 2, "{runs} of 50 ran in vain");
    assert_eq!(refusal(&world, 49).reason, Reason::DeadlineTooShort);
}

#[test]
fn a_small_payload_that_decoded_slowly_does_not_refuse_a_large_one() {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { decode: ms(100), ..model(10) });
    world.arrive(RequestMeta { bytes: Bytes(3_000), ..encoded(due(1, 1, 5000)) });
    world.run_out();
    world.load(0, FakeModel { decode: ms(20), ..model(10) });
    let soon = |world: &World, slack| Some(ms(slack).from(world.now()));
    let photograph = RequestMeta { bytes: Bytes(500_000), ..encoded(meta(2, 1, 0)) };
    world.arrive(RequestMeta { deadline: soon(&world, 60), ..photograph.clone() });
    world.run_out();
    assert_eq!(world.outcome(2), Some(Outcome::Done));
    // Now that size is known too, and so is a deadline that is too short for it.
    world.arrive(RequestMeta { deadline: soon(&world, 25), id: RequestId(3), ..photograph });
    assert_eq!(refusal(&world, 3).reason, Reason::DeadlineTooShort);
}

#[test]
fn a_size_that_was_once_slow_to_decode_is_not_shut_out_for_ever() {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { decode: ms(2000), ..model(10) });
    world.arrive(encoded(due(1, 1, 5000)));
    world.run_out();
    world.load(0, FakeModel { decode: ms(5), ..model(10) });
    let soon = |world: &World, id| RequestMeta { deadline: Some(ms(100).from(world.now())), ..encoded(meta(id, 1, 0)) };
    world.arrive(soon(&world, 2));
    assert_eq!(refusal(&world, 2).reason, Reason::DeadlineTooShort);
    world.run_for(ms(11_000));
    world.arrive(soon(&world, 3));
    world.run_out();
    assert_eq!(world.outcome(3), Some(Outcome::Done));
}
