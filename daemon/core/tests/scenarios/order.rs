//! What runs first, and what runs together.

use super::*;

#[test]
fn the_most_urgent_request_runs_first_whatever_its_model() {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel::new(0, 1, ms(10)));
    world.load(1, FakeModel::new(8, 1, ms(10)));
    world.arrive(due(1, 1, 1000));
    for (id, model, deadline, priority) in [
        (2, 0, 900, Priority::Normal),
        (3, 1, 500, Priority::Normal),
        (4, 1, 800, Priority::Normal),
        (5, 0, 950, Priority::High),
        (6, 1, 400, Priority::Low),
        (7, 0, 900, Priority::Normal),
    ] {
        world.arrive(RequestMeta { model: ModelId(model), priority, ..due(id, 1, deadline) });
    }
    world.run_out();
    assert_eq!(batches(&world), [vec![1], vec![5], vec![3], vec![4], vec![2], vec![7], vec![6]]);
}

#[test]
fn a_model_that_gains_by_batches_is_batched_and_one_that_does_not_is_not() {
    for (fixed, each, largest) in [(4, 1, 16), (0, 9, 2)] {
        let mut world = World::new(small_policy());
        world.load(0, FakeModel { fixed: ms(fixed), ..FakeModel::new(0, 1, ms(each)) });
        for id in 0..2000 {
            world.arrive(RequestMeta { deadline: Some(ms(5000).from(world.now())), ..meta(id, (id % 7) as u32, 0) });
            if world.core().snapshot().waiting > 40 {
                world.run_for(ms(20));
            }
        }
        world.run_out();
        let sizes: Vec<usize> = batches(&world).iter().map(Vec::len).collect();
        assert_eq!(sizes.iter().max(), Some(&largest), "fixed {fixed} ms, {each} ms each");
        let full = sizes.iter().filter(|size| **size == largest).count();
        assert!(if largest > 2 { full > 80 } else { full < 20 }, "{full} batches of {largest}");
    }
}

#[test]
fn a_batch_is_smaller_when_its_bulk_would_make_a_member_late() {
    let mut world = World::new(Policy { max_chunk: Duration::from_millis(100), ..small_policy() });
    world.load(0, FakeModel { fixed: ms(20), max_batch: 8, ..FakeModel::new(0, 1, ms(10)) });
    // Learns that batches pay, up to eight: 100 ms.
    for round in 0..12 {
        let now = world.now();
        (0..17).for_each(|id| {
            world.arrive(RequestMeta { deadline: Some(ms(3000).from(now)), ..meta(round * 100 + id, id as u32, 0) })
        });
        world.run_out();
    }
    assert_eq!(batches(&world).last().map(Vec::len), Some(8));
    // One runs; behind it wait eight, one of which has 70 ms left when its turn comes.
    let now = world.now();
    let slack = |span| Some(ms(span).from(now));
    world.arrive(RequestMeta { deadline: slack(3000), ..meta(5000, 50, 0) });
    world.run_for(ms(1));
    world.arrive(RequestMeta { deadline: slack(100), ..meta(5001, 51, 0) });
    (2..9).for_each(|id| world.arrive(RequestMeta { deadline: slack(3000), ..meta(5000 + id, 50 + id as u32, 0) }));
    world.run_out();
    assert_eq!(world.outcome(5001), Some(Outcome::Done));
    let batches = batches(&world);
    let its = batches.iter().find(|ids| ids.contains(&5001)).map(Vec::len).unwrap();
    assert!((1..8).contains(&its), "with {its} members");
}

#[test]
fn a_fast_model_gets_its_next_batch_ahead_and_a_slow_one_does_not() {
    for (each, sent) in [(1, 2), (30, 1)] {
        let mut world = World::new(Policy { lanes: 1, ..small_policy() });
        world.load(0, FakeModel::new(0, 1, ms(each)));
        world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(each) });
        (1..=4).for_each(|id| world.arrive(meta(id, 1, 0)));
        assert_eq!(batches(&world).len(), sent, "{each} ms each");
    }
}

#[test]
fn a_fast_model_does_not_keep_its_lane_from_a_more_urgent_one() {
    let mut world = World::new(Policy { lanes: 1, max_waiting: 1000, ..small_policy() });
    world.load(0, FakeModel::new(0, 1, ms(1)));
    world.load(1, FakeModel::new(8, 1, ms(1)));
    (0..2).for_each(|model| {
        world.tell(Event::Measured { model: ModelId(model), batch: 1, took: Duration::from_millis(1) });
    });
    (1..=300).for_each(|id| world.arrive(due(id, 1, 1000)));
    world.arrive(RequestMeta { model: ModelId(1), ..due(999, 2, 20) });
    world.run_out();
    assert_eq!(world.outcome(999), Some(Outcome::Done));
    assert!(world.ended(999).unwrap() <= at(5), "{:?}", world.ended(999));
}
