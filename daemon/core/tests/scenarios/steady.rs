//! Where it costs a model much to run another size than before, sizes change seldom; where it does not, all that waits runs.

use super::*;

/// Many clients ask again as soon as they are answered; the sizes of the last batches.
fn sizes(change: u64) -> Vec<usize> {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel { fixed: ms(2), change: ms(change), max_batch: 8, ..FakeModel::new(0, 1, ms(1)) });
    for (batch, took) in [(1, 3), (2, 4), (4, 6), (8, 10)] {
        (0..3)
            .for_each(|_| world.tell(Event::Measured { model: ModelId(0), batch, took: Duration::from_millis(took) }));
    }
    let mut id = 0;
    let mut dice = Dice::new(3);
    for _ in 0..400 {
        // Between three and eight come while a batch runs.
        for _ in 0..3 + dice.below(6) {
            id += 1;
            world.arrive(meta(id, 1, 0));
        }
        world.run_for(ms(10));
    }
    let all = batches(&world);
    world.run_out();
    all[all.len() - 100..].iter().map(Vec::len).collect()
}

#[test]
fn sizes_are_few_where_a_change_is_costly_and_all_that_waits_runs_where_it_is_not() {
    let changes = |sizes: &[usize]| sizes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let (costly, free) = (sizes(3), sizes(0));
    assert!(costly.iter().all(|size| size.is_power_of_two()), "{costly:?}");
    assert!(free.iter().any(|size| !size.is_power_of_two()), "{free:?}");
    assert!(changes(&costly) < changes(&free), "{costly:?} {free:?}");
}
