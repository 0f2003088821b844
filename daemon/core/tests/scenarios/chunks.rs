//! Requests that bring many rows: they run in chunks, and whoever comes meanwhile waits for one chunk.

use super::*;

/// 200 rows of a caller, as a request of low priority.
fn large(id: u64, client: u32, rows: u32) -> RequestMeta {
    let deadline = Some(at(60_000));
    RequestMeta { cost: Cost::new(rows), most_rows: Some(16), priority: Priority::Low, deadline, ..meta(id, client, 0) }
}

fn high(id: u64, client: u32) -> RequestMeta {
    RequestMeta { priority: Priority::High, ..meta(id, client, 0) }
}

/// Rows of the chunks of a request that were done, and how many chunks it had.
fn chunks(world: &World, of: u64) -> (u32, usize) {
    let own: Vec<&RequestMeta> = world.arrived().filter(|meta| meta.parent == Some(RequestId(of))).collect();
    let done = own.iter().filter(|meta| world.outcome(meta.id.0) == Some(Outcome::Done));
    (done.map(|meta| meta.cost.units()).sum(), own.len())
}

/// The rows that were run for a request at most at once.
fn largest_run(world: &World) -> u32 {
    let rows: std::collections::BTreeMap<u64, u32> =
        world.arrived().map(|meta| (meta.id.0, meta.cost.units())).collect();
    batches(world).iter().map(|ids| ids.iter().map(|id| rows[id]).sum()).max().unwrap_or(0)
}

#[test]
fn two_hundred_rows_run_in_chunks_on_all_lanes_and_none_is_lost() {
    let mut world = world(1);
    world.arrive(large(1, 1, 200));
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done));
    // Sixteen rows at most, evenly: thirteen chunks on two lanes.
    assert_eq!(chunks(&world, 1), (200, 13));
    assert_eq!((largest_run(&world), world.ended(1)), (16, Some(at(3 * 16 + 4 * 15 - 1))));
    let seen = world.core().snapshot();
    assert_eq!((seen.waiting, seen.running, seen.stages, seen.models[0].done), (0, 0, 0, 1));
}

#[test]
fn what_is_high_waits_for_one_chunk_at_most_behind_two_hundred_rows() {
    for (each, lanes) in [(1, 1), (1, 2), (3, 1), (3, 2), (35, 1), (35, 2)] {
        let mut world = world_with(Policy { lanes, ..small_policy() }, each);
        world.load(0, FakeModel::new(0, lanes, ms(each)));
        // A size that was never measured is tried for up to twice as long.
        for _ in 0..3 {
            world.tell(Event::Measured { model: ModelId(0), batch: 2, took: Duration::from_millis(2 * each) });
        }
        world.arrive(large(1, 1, 200));
        for id in 0..50 {
            world.run_for(ms(2 * each + 17));
            world.arrive(high(100 + id, 2));
            let came = world.now();
            world.run_for(ms(20.max(each) + each));
            let ended = world.ended(100 + id);
            assert!(ended.is_some(), "{each} ms a row on {lanes} lanes: high came at {came:?} and still waits");
            assert_eq!(world.outcome(100 + id), Some(Outcome::Done));
        }
        world.run_out();
        assert_eq!((world.outcome(1), chunks(&world, 1).0), (Some(Outcome::Done), 200), "{each} ms on {lanes} lanes");
    }
}

#[test]
fn another_caller_of_the_same_priority_gets_its_turn_between_the_chunks() {
    let mut world = world(2);
    world.arrive(large(1, 1, 400));
    world.run_for(ms(30));
    for id in 0..20 {
        world.arrive(RequestMeta { priority: Priority::Low, ..meta(100 + id, 2, 0) });
        let came = world.now();
        world.run_for(ms(45));
        // What runs, one chunk more, and its own run.
        assert!(world.ended(100 + id).is_some_and(|end| Span::between(came, end) <= ms(42)), "request {id}");
    }
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done));
}

#[test]
fn two_callers_with_many_rows_are_done_side_by_side() {
    let mut world = world(2);
    world.arrive(large(1, 1, 300));
    world.arrive(large(2, 2, 300));
    world.run_out();
    let ends = [1, 2].map(|id| world.ended(id).expect("ended"));
    assert!(Span::between(ends[0], ends[1]) <= ms(60), "{ends:?}");
}

#[test]
fn what_fits_into_a_chunk_or_cannot_be_divided_runs_as_one() {
    let mut world = world(1);
    world.arrive(large(1, 1, 16));
    world.arrive(RequestMeta { most_rows: None, ..large(2, 1, 200) });
    world.run_out();
    assert_eq!(batches(&world), [vec![1], vec![2]]);
    assert_eq!(count(&world, |action| matches!(action, Action::Divide { .. })), 0);
}

#[test]
fn one_that_was_never_measured_is_taken_row_by_row() {
    let mut world = World::new(small_policy());
    world.load(0, model(4));
    world.arrive(large(1, 1, 40));
    world.run_out();
    assert_eq!((world.outcome(1), chunks(&world, 1)), (Some(Outcome::Done), (40, 40)));
    // What they taught holds for the next one: five rows are 20 ms.
    world.arrive(large(2, 1, 40));
    world.run_out();
    assert_eq!(chunks(&world, 2), (40, 8));
}

#[test]
fn the_rest_is_divided_anew_when_the_first_chunks_have_taught_more() {
    let mut world = World::new(small_policy());
    world.load(0, model(2));
    world.arrive(large(1, 1, 1000));
    world.run_out();
    // 64 of one row are open when the first of them is done.
    let (rows, count) = chunks(&world, 1);
    assert!(rows == 1000 && (64 + 94..64 + 130).contains(&count), "{count} chunks");
    // It turns out to be ten times as slow: no longer more than a chunk at once.
    world.load(0, model(20));
    world.arrive(RequestMeta { deadline: Some(at(400_000)), ..large(2, 1, 2000) });
    world.run_out();
    let own = world.arrived().filter(|meta| meta.parent == Some(RequestId(2)));
    let sizes: Vec<u32> = own.map(|meta| meta.cost.units()).collect();
    assert_eq!((world.outcome(2), sizes.iter().sum::<u32>()), (Some(Outcome::Done), 2000));
    assert_eq!((sizes.first(), sizes.last()), (Some(&10), Some(&1)), "{sizes:?}");
}

#[test]
fn it_is_admitted_on_all_its_rows_on_all_lanes() {
    let mut world = world(10);
    world.tell(Event::Measured { model: ModelId(0), batch: 2, took: Duration::from_millis(20) });
    // Two rows in a chunk: 1000 ms on two lanes.
    world.arrive(RequestMeta { deadline: Some(at(999)), ..large(1, 1, 200) });
    assert_eq!(refusal(&world, 1).reason, Reason::DeadlineTooShort);
    assert_eq!(refusal(&world, 1).predicted, Some(Duration::from_millis(1000)));
    world.arrive(RequestMeta { deadline: Some(at(2500)), ..large(2, 1, 200) });
    // Its caller holds all of it: another one as large would have to wait for it.
    world.arrive(RequestMeta { deadline: Some(at(1500)), ..large(3, 1, 200) });
    assert!(
        matches!(refusal(&world, 3).reason, Reason::PredictedWait | Reason::ClientShare),
        "{:?}",
        refusal(&world, 3)
    );
    world.run_out();
    assert_eq!((world.outcome(2), world.ended(2)), (Some(Outcome::Done), Some(at(1000))));
}

#[test]
fn what_single_rows_take_does_not_keep_many_away_for_ever() {
    let mut world = world(5);
    // What a run takes is nearly all of it, not what a row takes; only single rows come, and keep the estimate current.
    world.load(0, FakeModel::new(0, 2, Span::from_nanos(10_000)));
    let single = Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(5) };
    for _ in 0..8 {
        world.tell(single.clone());
    }
    world.arrive(RequestMeta { deadline: Some(at(1000)), ..large(1, 1, 2000) });
    world.run_out();
    assert_eq!((world.outcome(1), chunks(&world, 1).0), (Some(Outcome::Done), 2000));
}

#[test]
fn work_that_was_not_asked_for_yet_is_ahead_of_others_too() {
    // 64 chunks of one row are open at the same time, a second's work; all are 17.5 s on two lanes.
    let mut world = world_with(Policy { client_share: Ratio::ONE, ..small_policy() }, 35);
    let until = |deadline, meta| RequestMeta { deadline: Some(at(deadline)), ..meta };
    world.arrive(until(20_000, large(1, 1, 1000)));
    world.arrive(until(26_000, large(2, 1, 500)));
    assert_eq!(refusal(&world, 2).reason, Reason::PredictedWait);
    world.arrive(until(27_000, large(3, 1, 500)));
    world.run_out();
    assert_eq!([1, 3].map(|id| world.outcome(id)), [Some(Outcome::Done); 2]);
}

#[test]
fn what_ends_it_ends_its_chunks() {
    type End = fn(&mut World);
    let ends: [(End, Outcome); 5] = [
        (|world| world.tell(Event::Cancelled { id: RequestId(1) }), Outcome::Cancelled),
        (|world| world.tell(Event::ClientLeft { client: ClientId(1) }), Outcome::Cancelled),
        (|world| world.tell(Event::CutOff { id: RequestId(1) }), Outcome::Shed(Reason::Draining)),
        (|world| world.unload(0), Outcome::Shed(Reason::ModelUnavailable)),
        (
            |world| world.tell(Event::Finished { id: RequestId(1), result: Err(Fault::Runtime) }),
            Outcome::Failed(Fault::Runtime),
        ),
    ];
    for (end, outcome) in ends {
        let mut world = world(2);
        world.arrive(large(1, 1, 200));
        world.run_for(ms(50));
        end(&mut world);
        assert_eq!(world.outcome(1), Some(outcome));
        world.run_for(ms(25));
        let seen = world.core().snapshot();
        assert_eq!((seen.waiting, seen.running, seen.stages), (0, 0, 0), "{outcome:?}");
        assert!(world.settlements().values().all(|ends| ends.len() == 1), "{outcome:?}");
        // The lanes are free for others at once.
        if outcome != Outcome::Shed(Reason::ModelUnavailable) {
            world.arrive(due(2, 2, 1000));
            world.run_for(ms(2));
            assert_eq!(world.outcome(2), Some(Outcome::Done), "{outcome:?}");
        }
    }
}

#[test]
fn a_deadline_that_turns_out_too_short_ends_it_between_chunks() {
    let mut world = world(2);
    // The model has become five times slower.
    world.load(0, model(10));
    world.arrive(RequestMeta { deadline: Some(at(300)), ..large(1, 1, 200) });
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Expired));
    assert!(world.ended(1).is_some_and(|end| end <= at(300)) && chunks(&world, 1).0 > 0);
    assert!(world.settlements().values().all(|ends| ends.len() == 1));
}

#[test]
fn a_dying_host_costs_what_was_on_it_one_retry_and_a_second_death_the_whole() {
    let mut world = world(2);
    world.arrive(large(1, 1, 200));
    world.run_for(ms(50));
    world.kill_host();
    world.run_out();
    assert_eq!((world.outcome(1), chunks(&world, 1).0), (Some(Outcome::Done), 200));
    world.poison.insert(RequestId(2));
    world.arrive(RequestMeta { deadline: Some(at(90_000)), ..large(2, 1, 200) });
    world.run_out();
    assert_eq!(world.outcome(2), Some(Outcome::Failed(Fault::HostLost)));
    assert!(world.settlements().values().all(|ends| ends.len() == 1));
}

#[test]
fn a_request_that_lived_through_a_crash_runs_its_chunks_alone() {
    let mut world = world(2);
    world.arrive(RequestMeta { deaths: 1, ..large(1, 1, 40) });
    (2..=20).for_each(|id| world.arrive(due(id, 2, 2000)));
    world.run_out();
    assert_eq!((world.outcome(1), chunks(&world, 1).0), (Some(Outcome::Done), 40));
    let own: Vec<u64> =
        world.arrived().filter(|meta| meta.parent == Some(RequestId(1))).map(|meta| meta.id.0).collect();
    let in_company = |ids: &&Vec<u64>| ids.len() > 1 && ids.iter().any(|id| own.contains(id));
    assert_eq!(batches(&world).iter().find(in_company), None);
}

#[test]
fn it_goes_on_where_the_model_has_moved_to() {
    let mut world = world(2);
    world.load(1, FakeModel::new(8, 2, ms(1)));
    world.arrive(large(1, 1, 2000));
    world.run_for(ms(50));
    world.tell(Event::Moved { from: ModelId(0), to: ModelId(1) });
    world.tell(Event::ModelState { model: ModelId(0), state: ModelState::Unavailable });
    world.run_out();
    assert_eq!((world.outcome(1), chunks(&world, 1).0), (Some(Outcome::Done), 2000));
}

#[test]
fn more_chunks_than_the_policy_allows_and_more_rows_than_there_are_end_it() {
    for (rows, count) in [(1, 4), (12, 1)] {
        let mut core = Scheduler::new(Policy { fan_out: 3, ..small_policy() });
        let lanes = LaneRange { first: LaneId(0), count: 1 };
        let state = ModelState::Ready { lanes, max_batch: 4, default_deadline: None };
        core.handle(at(1), Event::ModelState { model: ModelId(0), state });
        core.handle(at(1), Event::Arrived(large(1, 1, 10)));
        for id in 0..count {
            let chunk = RequestMeta { parent: Some(RequestId(1)), ..large(10 + id, 1, rows) };
            core.handle(at(2), Event::Arrived(chunk));
        }
        let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
        let last = Action::Settle { id: RequestId(1), outcome: Outcome::Shed(Reason::FanOut) };
        assert!(actions.contains(&last), "{actions:?}");
    }
}
