//! Two hosts, and a model that can be run on either.

use super::*;

/// Model 0 on the first host, model 1 on the second one: two ways to run the same.
fn two_ways() -> World {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel { decode: ms(2), ..FakeModel::new(0, 1, ms(20)) });
    world.load(1, FakeModel { decode: ms(2), host: HostId(1), ..FakeModel::new(8, 1, ms(20)) });
    world
}

/// Of which model a request was run, run by run.
fn run_by(world: &World, wanted: u64) -> Vec<u16> {
    let steps = world.log().iter().flat_map(|step| &step.actions);
    let model = |action: &Action| match action {
        Action::RunBatch { model, ids, .. } if ids.as_slice().contains(&RequestId(wanted)) => Some(model.0),
        _ => None,
    };
    steps.filter_map(model).collect()
}

fn all_done(world: &World, ids: std::ops::RangeInclusive<u64>) {
    ids.for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Done), "request {id}"));
}

#[test]
fn the_death_of_one_host_touches_nothing_on_another() {
    let mut world = two_ways();
    world.arrive(due(1, 1, 5000));
    world.arrive(RequestMeta { model: ModelId(1), ..due(2, 1, 5000) });
    world.kill(HostId(1));
    world.run_out();
    all_done(&world, 1..=2);
    assert_eq!((run_by(&world, 1), world.ended(1)), (vec![0], Some(at(20))));
    assert!(world.ended(2) > Some(at(300)), "it waited for its host");
}

#[test]
fn what_waits_moves_and_what_runs_ends_where_it_is() {
    let mut world = two_ways();
    world.arrive(due(1, 1, 5000));
    (2..=3).for_each(|id| world.arrive(due(id, 1, 5000)));
    (4..=5).for_each(|id| world.arrive(encoded(due(id, 1, 5000))));
    world.run_until(at(10));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world.run_out();
    all_done(&world, 1..=5);
    assert_eq!((1..=5).map(|id| run_by(&world, id)).collect::<Vec<_>>(), [[0], [1], [1], [1], [1]]);
    let forgotten = count(&world, |action| matches!(action, Action::Forget { .. }));
    let decoded =
        |model| count(&world, |action| matches!(action, Action::Prepare { model: ModelId(m), .. } if *m == model));
    assert_eq!((forgotten, decoded(0), decoded(1)), (2, 2, 2), "what was decoded is dropped there and decoded here");
}

#[test]
fn a_payload_that_is_being_decoded_follows_when_it_is_decoded() {
    let mut world = two_ways();
    world.arrive(encoded(due(1, 1, 5000)));
    world.run_until(at(1));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world.unload(0);
    world.run_out();
    all_done(&world, 1..=1);
    assert_eq!(run_by(&world, 1), [1]);
}

#[test]
fn what_dies_with_a_host_runs_once_more_where_its_model_has_moved_and_not_a_third_time() {
    let mut world = two_ways();
    world.arrive(due(1, 1, 5000));
    world.run_until(at(5));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world.kill(HostId(0));
    world.run_until(at(10));
    assert_eq!(run_by(&world, 1), [0, 1], "at once, without waiting for the dead host");
    world.kill(HostId(1));
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::HostLost)));
}

#[test]
fn work_that_moved_there_and_back_is_done_once() {
    let mut world = two_ways();
    (1..=6).for_each(|id| world.arrive(encoded(due(id, 1, 5000))));
    for (from, to) in [(0, 1), (1, 0), (0, 1), (1, 0), (0, 0)] {
        world.run_for(ms(3));
        world.tell(Event::Moved { from: ModelId(from), to: ModelId(to) });
    }
    world.run_out();
    all_done(&world, 1..=6);
    (1..=6).for_each(|id| assert_eq!(run_by(&world, id).len(), 1, "request {id}"));
}

/// Request 1 on model 0, whose run will fail, and model 1 that takes over meanwhile.
fn faulty_and_taken_over() -> World {
    let mut world = two_ways();
    world.faulty.insert(RequestId(1));
    world.arrive(due(1, 1, 5000));
    world.run_until(at(5));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world
}

#[test]
fn what_fails_by_the_runtime_runs_once_more_where_its_model_has_moved_and_not_a_third_time() {
    let mut world = faulty_and_taken_over();
    world.run_out();
    assert_eq!((run_by(&world, 1), world.outcome(1)), (vec![0, 1], Some(Outcome::Failed(Fault::Runtime))));

    let mut world = faulty_and_taken_over();
    world.faulty.clear();
    world.run_out();
    assert_eq!(
        (run_by(&world, 1), world.outcome(1)),
        (vec![0], Some(Outcome::Done)),
        "what ends well is not run again"
    );

    let mut world = two_ways();
    world.faulty.insert(RequestId(1));
    world.arrive(due(1, 1, 5000));
    world.run_out();
    assert_eq!((run_by(&world, 1), world.outcome(1)), (vec![0], Some(Outcome::Failed(Fault::Runtime))));
}

#[test]
fn what_was_tried_elsewhere_is_not_tried_again_when_that_host_dies() {
    let mut world = faulty_and_taken_over();
    world.run_until(at(25));
    assert_eq!(run_by(&world, 1), [0, 1]);
    world.kill(HostId(1));
    world.run_out();
    assert_eq!((run_by(&world, 1), world.outcome(1)), (vec![0, 1], Some(Outcome::Failed(Fault::HostLost))));
}

#[test]
fn what_fails_elsewhere_too_late_for_its_deadline_is_not_tried_there() {
    let mut world = two_ways();
    world.faulty.insert(RequestId(1));
    world.tell(Event::Measured { model: ModelId(1), batch: 1, took: Duration::from_millis(20) });
    world.arrive(due(1, 1, 30));
    world.run_until(at(5));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world.run_out();
    assert_eq!((run_by(&world, 1), world.outcome(1)), (vec![0], Some(Outcome::Expired)));
}

#[test]
fn a_request_follows_alone_and_what_was_decoded_or_runs_stays() {
    let mut world = two_ways();
    world.arrive(due(1, 1, 5000));
    (2..=4).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.arrive(encoded(due(5, 1, 5000)));
    world.run_until(at(10));
    for id in [1, 3, 4, 5, 99] {
        world.tell(Event::Follow { id: RequestId(id), to: ModelId(1) });
    }
    world.run_out();
    all_done(&world, 1..=5);
    assert_eq!((1..=5).map(|id| run_by(&world, id)).collect::<Vec<_>>(), [[0], [0], [1], [1], [0]]);
    assert_eq!(count(&world, |action| matches!(action, Action::Forget { .. })), 0);
    // Its own model goes on as before.
    world.arrive(due(6, 1, 5000));
    world.run_out();
    assert_eq!(run_by(&world, 6), [0]);
}
