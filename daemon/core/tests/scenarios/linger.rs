//! A free lane waits for one more request only where that pays, and only as long as every deadline holds.

use super::*;

/// A model on two lanes of which batches of one and two were measured; `fixed` ms of a run do not depend on the batch.
fn measured(fixed: u64, each: u64) -> World {
    let mut world = World::new(Policy { lanes: 2, ..small_policy() });
    world.load(0, FakeModel { fixed: ms(fixed), ..model(each) });
    for batch in [1, 2] {
        let took = Duration::from_millis(fixed + each * u64::from(batch));
        (0..3).for_each(|_| world.tell(Event::Measured { model: ModelId(0), batch, took }));
    }
    world
}

/// When each batch was sent, in milliseconds, and its members.
fn sent(world: &World) -> Vec<(u64, Vec<u64>)> {
    let runs = world.log().iter().flat_map(|step| step.actions.iter().map(move |action| (step.at, action)));
    runs.filter_map(|(at, action)| match action {
        Action::RunBatch { ids, .. } => Some((
            Span::between(Mono::default(), at).as_nanos() / 1_000_000,
            ids.as_slice().iter().map(|id| id.0).collect(),
        )),
        _ => None,
    })
    .collect()
}

/// One request every five milliseconds, with these deadlines.
fn stream(world: &mut World, deadlines: &[u64]) {
    for (id, deadline) in (1..).zip(deadlines) {
        world.arrive(due(id, 1, *deadline));
        world.run_for(ms(5));
    }
    world.run_out();
}

#[test]
fn where_one_more_costs_little_a_free_lane_waits_for_it_and_both_run_together() {
    let mut world = measured(16, 1);
    stream(&mut world, &[500; 3]);
    // The first one finds nobody to wait for; the second one is worth a wait of two gaps, and the third comes within one.
    assert_eq!(sent(&world), [(0, vec![1]), (10, vec![2, 3])]);
}

#[test]
fn if_nobody_comes_it_runs_when_two_gaps_have_passed() {
    let mut world = measured(16, 1);
    stream(&mut world, &[500; 2]);
    assert_eq!(sent(&world), [(0, vec![1]), (15, vec![2])]);
}

#[test]
fn a_deadline_that_would_not_hold_is_not_waited_with() {
    // Two gaps and a run of two end at 15 + 18 ms.
    for (deadline, at) in [(32, 5), (33, 10)] {
        let mut world = measured(16, 1);
        stream(&mut world, &[500, deadline, 500]);
        assert_eq!(sent(&world)[1].0, at, "deadline {deadline}: {:?}", sent(&world));
        assert!((1..=3).all(|id| world.outcome(id) == Some(Outcome::Done)));
    }
}

#[test]
fn where_a_batch_costs_as_much_as_its_members_no_lane_ever_waits() {
    let mut world = measured(0, 17);
    stream(&mut world, &[500; 2]);
    assert_eq!(sent(&world), [(0, vec![1]), (5, vec![2])]);
}
