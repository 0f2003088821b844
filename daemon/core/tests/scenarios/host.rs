//! The host dies, hangs and comes back; models come and go.

use super::*;

#[test]
fn what_was_alive_at_a_death_runs_once_more_and_the_rest_is_not_touched() {
    let mut world = world(20);
    (1..=6).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.run_for(ms(5));
    world.kill_host();
    assert_eq!(batches(&world).len(), 2, "nothing is sent to a dead host");
    world.run_out();
    (1..=6).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Done), "request {id}"));
    let runs = |id: &u64| batches(&world).iter().filter(|ids| ids.contains(id)).count();
    assert_eq!((1..=6).map(|id| runs(&id)).collect::<Vec<_>>(), [2, 2, 1, 1, 1, 1]);
}

#[test]
fn a_request_that_kills_the_host_twice_fails_and_takes_no_innocent_with_it() {
    let mut world = World::new(Policy { max_waiting: 200, ..small_policy() });
    // Gains by batches, so that the poison has company.
    world.load(0, FakeModel { fixed: ms(10), ..FakeModel::new(0, 2, ms(1)) });
    (0..100).for_each(|id| world.arrive(due(id, (id % 5) as u32, 60_000)));
    world.run_out();
    world.poison.insert(RequestId(150));
    let base = world.now();
    (101..200).for_each(|id| {
        world.arrive(RequestMeta { deadline: Some(ms(30_000).from(base)), ..meta(id, (id % 5) as u32, 0) })
    });
    world.run_out();
    for id in 101..200 {
        let expected = if id == 150 { Outcome::Failed(Fault::HostLost) } else { Outcome::Done };
        assert_eq!(world.outcome(id), Some(expected), "request {id}");
    }
    let with_poison: Vec<Vec<u64>> = batches(&world).into_iter().filter(|ids| ids.contains(&150)).collect();
    assert_eq!(with_poison.len(), 2);
    assert!(with_poison[0].len() > 1, "the first time in company");
    assert_eq!(with_poison[1], [150], "the second time alone");
}

#[test]
fn a_request_of_the_journal_that_was_alive_at_a_crash_runs_alone() {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { fixed: ms(10), ..FakeModel::new(0, 2, ms(1)) });
    (0..60).for_each(|id| world.arrive(due(id, (id % 5) as u32, 60_000)));
    (60..64).for_each(|id| world.arrive(RequestMeta { deaths: 1, ..due(id, 6, 60_000) }));
    world.run_out();
    let suspects = batches(&world).into_iter().filter(|ids| ids.iter().any(|id| *id >= 60));
    assert!(suspects.map(|ids| ids.len()).all(|len| len == 1));
    assert_eq!(world.outcome(63), Some(Outcome::Done));
}

#[test]
fn what_was_decoded_is_decoded_again_after_a_death_and_that_is_no_death() {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel { decode: ms(5), ..FakeModel::new(0, 1, ms(50)) });
    (1..=3).for_each(|id| world.arrive(encoded(due(id, 1, 5000))));
    world.run_until(at(30));
    world.kill_host();
    world.run_out();
    (1..=3).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Done), "request {id}"));
    let prepared = |wanted| count(&world, |action| matches!(action, Action::Prepare { id, .. } if id.0 == wanted));
    assert_eq!([prepared(1), prepared(2), prepared(3)], [2, 2, 2]);
}

#[test]
fn a_payload_that_kills_the_decoder_twice_fails() {
    let mut world = world(10);
    world.arrive(encoded(due(1, 1, 5000)));
    world.kill_host();
    world.run_for(ms(301));
    world.kill_host();
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::HostLost)));
}

#[test]
fn while_the_host_is_down_requests_wait_if_it_will_be_back_in_time() {
    let mut world = world(10);
    world.kill_host();
    world.arrive(due(1, 1, 400));
    assert_eq!(refusal(&world, 1).reason, Reason::HostDown, "500 ms are assumed");
    world.arrive(due(2, 1, 600));
    world.run_out();
    assert_eq!(world.outcome(2), Some(Outcome::Done));
    // The restart took 300 ms: the next one is expected to.
    let now = world.now();
    world.kill_host();
    world.arrive(RequestMeta { deadline: Some(ms(400).from(now)), ..meta(3, 1, 0) });
    world.run_out();
    assert_eq!(world.outcome(3), Some(Outcome::Done));
}

#[test]
fn pauses_between_starts_do_not_count_as_the_time_that_a_start_takes() {
    let mut world = world(10);
    for restart in [300, 30_000] {
        world.restart = ms(restart);
        world.kill_host();
        world.run_out();
    }
    let now = world.now();
    world.kill_host();
    world.arrive(RequestMeta { deadline: Some(ms(400).from(now)), ..meta(1, 1, 0) });
    assert_eq!(world.outcome(1), None, "a start takes 300 ms");
}

#[test]
fn a_model_that_was_loaded_on_a_host_about_to_end_kills_no_innocent() {
    let policy = Policy { hang_after: Duration::from_millis(500), ..small_policy() };
    let mut core = Scheduler::new(policy);
    let ready = |model: u16| {
        let lanes = LaneRange { first: LaneId(model * 8), count: 1 };
        let state = ModelState::Ready { lanes, max_batch: 1, default_deadline: None };
        Event::ModelState { model: ModelId(model), state }
    };
    let mut tell = |at, event| {
        core.handle(at, event);
        std::iter::from_fn(|| core.poll_action()).collect::<Vec<_>>()
    };
    tell(at(0), ready(0));
    tell(at(0), Event::Arrived(due(1, 1, 60_000)));
    assert_eq!(tell(at(500), Event::Tick), [Action::RestartHost { host: HostId(0), lane: LaneId(0) }]);
    // It was in the socket before the host was killed.
    tell(at(501), ready(1));
    let ran = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::RunBatch { .. }));
    assert!(!ran(&tell(at(502), Event::Arrived(RequestMeta { model: ModelId(1), ..due(2, 1, 60_000) }))));
    assert!(!ran(&tell(at(503), Event::HostDown { host: HostId(0) })));
    assert!(!ran(&tell(at(600), Event::HostUp { host: HostId(0) })));
    assert!(ran(&tell(at(700), ready(1))));
}

#[test]
fn a_hung_host_is_ended_once_and_the_request_runs_again() {
    let policy = Policy { hang_after: Duration::from_millis(500), ..small_policy() };
    let mut world = world_with(policy, 10);
    world.endless.insert(RequestId(1));
    world.arrive(due(1, 1, 3000));
    world.arrive(due(2, 1, 3000));
    world.run_until(at(400));
    world.endless.clear();
    world.run_out();
    let restarts = count(&world, |action| matches!(action, Action::RestartHost { .. }));
    assert_eq!((restarts, world.outcome(1), world.outcome(2)), (1, Some(Outcome::Done), Some(Outcome::Done)));
    assert_eq!(world.ended(1), Some(at(500 + 300 + 10)));
}

#[test]
fn a_decoder_that_hangs_is_ended_too() {
    let policy = Policy { hang_after: Duration::from_millis(500), ..small_policy() };
    let mut world = world_with(policy, 10);
    world.endless.insert(RequestId(1));
    world.arrive(encoded(due(1, 1, 30_000)));
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::HostLost)));
    assert_eq!(count(&world, |action| matches!(action, Action::RestartHost { .. })), 2);
}

#[test]
fn a_slow_model_is_not_hung_before_twenty_times_its_estimate() {
    let policy = Policy { hang_after: Duration::from_millis(500), ..small_policy() };
    let mut world = world_with(policy, 100);
    world.endless.insert(RequestId(1));
    world.arrive(due(1, 1, 60_000));
    world.run_until(at(1999));
    assert_eq!(count(&world, |action| matches!(action, Action::RestartHost { .. })), 0);
    world.run_until(at(2000));
    assert_eq!(count(&world, |action| matches!(action, Action::RestartHost { .. })), 1);
}

#[test]
fn a_runtime_error_in_company_is_tried_again_alone() {
    let mut world = World::new(Policy { lanes: 1, ..small_policy() });
    world.load(0, FakeModel { fixed: ms(10), ..FakeModel::new(0, 1, ms(1)) });
    (0..60).for_each(|id| world.arrive(due(id, (id % 5) as u32, 60_000)));
    world.faulty.insert(RequestId(40));
    world.run_out();
    assert_eq!(world.outcome(40), Some(Outcome::Failed(Fault::Runtime)));
    assert!((0..60).filter(|id| *id != 40).all(|id| world.outcome(id) == Some(Outcome::Done)));
    assert_eq!(batches(&world).iter().filter(|ids| ids.contains(&40)).count(), 2);
}

#[test]
fn a_model_that_becomes_unavailable_sheds_what_waits() {
    let mut world = world(50);
    (1..=5).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.unload(0);
    for id in 3..=5 {
        assert_eq!(world.outcome(id), Some(Outcome::Shed(Reason::ModelUnavailable)), "request {id}");
    }
    world.arrive(meta(6, 1, 0));
    assert_eq!(refusal(&world, 6).reason, Reason::ModelUnavailable);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done), "what runs may end");
}

#[test]
fn a_model_that_moves_to_other_lanes_finishes_on_the_old_ones() {
    let mut world = world(50);
    (1..=4).for_each(|id| world.arrive(due(id, 1, 5000)));
    world.load(0, FakeModel::new(10, 2, ms(50)));
    world.run_out();
    (1..=4).for_each(|id| assert_eq!(world.outcome(id), Some(Outcome::Done), "request {id}"));
    let lanes: Vec<u16> = world
        .log()
        .iter()
        .flat_map(|step| &step.actions)
        .filter_map(|action| if let Action::RunBatch { lane, .. } = action { Some(lane.0) } else { None })
        .collect();
    assert_eq!(lanes, [0, 1, 10, 11]);
}
