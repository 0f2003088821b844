//! What the core does in the situations that a box meets.
#![expect(clippy::panic, clippy::cast_possible_truncation, reason = "a test may panic; clients are small numbers")]

mod common;

use std::time::Duration;

use common::{at, due, encoded, meta, model, ms, small_policy};
use edge_core::sim::{Arrivals, Dice, FakeModel, World};
use edge_core::*;

/// A world with model 0, which takes `each` ms per member on two lanes, and was timed when it was loaded.
fn world(each: u64) -> World {
    world_with(small_policy(), each)
}

fn world_with(policy: Policy, each: u64) -> World {
    let mut world = World::new(policy);
    world.load(0, model(each));
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(each) });
    world
}

fn refusal(world: &World, id: u64) -> Refusal {
    match world.outcome(id) {
        Some(Outcome::Refused(refusal)) => refusal,
        other => panic!("request {id} was not refused: {other:?}"),
    }
}

/// The batches that were sent, in order.
fn batches(world: &World) -> Vec<Vec<u64>> {
    let actions = world.log().iter().flat_map(|step| &step.actions);
    let runs = actions.filter_map(|action| match action {
        Action::RunBatch { ids, .. } => Some(ids.as_slice().iter().map(|id| id.0).collect()),
        _ => None,
    });
    runs.collect()
}

fn count(world: &World, wanted: impl Fn(&Action) -> bool) -> usize {
    world.log().iter().flat_map(|step| &step.actions).filter(|action| wanted(action)).count()
}

fn aborts(world: &World) -> usize {
    count(world, |action| matches!(action, Action::Abort { .. }))
}

// Order and batches

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
    // The fourth batch goes to the earliest deadline, whatever its priority.
    assert_eq!(batches(&world), [vec![1], vec![5], vec![3], vec![6], vec![4], vec![2], vec![7]]);
}

#[test]
fn a_model_that_gains_by_batches_is_batched_and_one_that_does_not_is_not() {
    for (fixed, each, largest) in [(8, 1, 16), (0, 9, 2)] {
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
    let mut world = World::new(small_policy());
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

// Deadlines

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

// Admission under load

#[test]
fn a_flood_is_refused_by_name_and_what_was_promised_is_kept() {
    let mut world = world_with(Policy { max_waiting: 1000, ..small_policy() }, 10);
    for id in 0..2000 {
        world.arrive(RequestMeta { deadline: Some(ms(300).from(world.now())), ..meta(id, (id % 10) as u32, 0) });
        world.run_for(ms(1));
    }
    world.run_out();
    let outcomes: Vec<Outcome> = (0..2000).filter_map(|id| world.outcome(id)).collect();
    let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
    let expired = outcomes.iter().filter(|outcome| **outcome == Outcome::Expired).count();
    // Two lanes do 200 a second; the flood lasts two seconds and 300 ms of work may wait at its end.
    assert!((400..=470).contains(&done), "{done} done");
    assert!(expired * 50 < done, "{expired} expired after they were accepted");
    let retry = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Refused(refusal) => {
            assert_eq!((refusal.code, refusal.reason), (RefusalCode::Overloaded, Reason::PredictedWait));
            refusal.retry_after
        }
        _ => None,
    });
    assert!(retry.max().unwrap() < Duration::from_millis(100));
}

#[test]
fn a_flood_of_one_client_does_not_starve_a_second_one() {
    for (each, work) in [(2, Work::Tensors), (10, Work::Tensors), (10, Work::Encoded), (40, Work::Encoded)] {
        let mut world = world_with(Policy { max_waiting: 1024, ..small_policy() }, each);
        let slack = 1000;
        // Ten thousand at once, then more as fast as they come back.
        (0..10_000).for_each(|id| world.arrive(RequestMeta { work, ..due(id, 1, slack) }));
        let mut waits = Vec::new();
        for round in 0..25 {
            let mine = 20_000 + round;
            let deadline = Some(ms(slack).from(world.now()));
            world.arrive(RequestMeta { deadline, work, ..meta(mine, 2, 0) });
            let began = world.now();
            while world.outcome(mine).is_none() {
                let id = 100_000 + u64::try_from(world.log().len()).unwrap();
                let deadline = Some(ms(slack).from(world.now()));
                world.arrive(RequestMeta { deadline, work, ..meta(id, 1, 0) });
                world.run_for(Span::from_nanos(500_000));
            }
            assert_eq!(world.outcome(mine), Some(Outcome::Done), "round {round} of {each} ms {work:?}");
            waits.push(Span::between(began, world.ended(mine).unwrap()));
        }
        assert!(waits.iter().max() < Some(&ms(slack)), "{:?}", waits.iter().max());
        world.run_out();
    }
}

#[test]
fn a_flood_of_high_priority_does_not_starve_the_ordinary() {
    for work in [Work::Tensors, Work::Encoded] {
        let mut world = world_with(Policy { max_waiting: 1024, ..small_policy() }, 10);
        let (slack, priority) = (1000, Priority::High);
        let (mut rounds, mut mine) = (0, 1_000_000);
        for id in 0..4000 {
            let deadline = Some(ms(slack).from(world.now()));
            world.arrive(RequestMeta { deadline, work, priority, ..meta(id, 1, 0) });
            if id == 100 || world.outcome(mine).is_some() {
                mine += 1;
                rounds += 1;
                world.arrive(RequestMeta { deadline, work, ..meta(mine, 2, 0) });
            }
            world.run_for(ms(2));
            let outcome = world.outcome(mine);
            assert!(outcome.is_none_or(|outcome| outcome == Outcome::Done), "{work:?} {mine}: {outcome:?}");
        }
        assert!(rounds > 10, "{rounds} rounds of {work:?}");
    }
}

#[test]
fn a_backlog_with_late_deadlines_does_not_refuse_an_early_one() {
    let mut world = world_with(Policy { client_share: Ratio::ONE, max_waiting: 1000, ..small_policy() }, 20);
    (0..400).for_each(|id| world.arrive(due(id, 1, 60_000)));
    world.arrive(due(1000, 2, 100));
    world.run_out();
    assert_eq!(world.outcome(1000), Some(Outcome::Done));
    assert!(world.ended(1000).unwrap() <= at(60));
}

#[test]
fn photographs_are_refused_before_they_are_decoded() {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { decode: ms(50), ..model(5) });
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(5) });
    world.arrive(encoded(due(0, 1, 10_000)));
    world.run_out();
    let now = world.now();
    for id in 1..=500 {
        let deadline = Some(ms(500).from(now));
        world.arrive(encoded(RequestMeta { deadline, ..meta(id, (id % 5) as u32, 0) }));
    }
    let decoded = count(&world, |action| matches!(action, Action::Prepare { .. }));
    let refused = (1..=500).filter(|id| world.outcome(*id).is_some()).count();
    assert_eq!(decoded, 3, "one before the flood, and two at once");
    assert!((470..=490).contains(&refused), "{refused} refused");
    world.run_out();
    let expired = (1..=500).filter(|id| world.outcome(*id) == Some(Outcome::Expired)).count();
    assert!(expired <= 1, "{expired} were promised too much");
}

#[test]
fn payloads_that_are_not_decoded_yet_count_although_a_lane_is_free() {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { decode: ms(1), ..model(30) });
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(30) });
    let now = world.now();
    for id in 0..60 {
        let deadline = Some(ms(300).from(now));
        world.arrive(encoded(RequestMeta { deadline, ..meta(id, (id % 6) as u32, 0) }));
    }
    let accepted = (0..60).filter(|id| world.outcome(*id).is_none()).count();
    // 300 ms on two lanes are twenty of them.
    assert!((17..=20).contains(&accepted), "{accepted} accepted");
    world.run_out();
    let expired = (0..60).filter(|id| world.outcome(*id) == Some(Outcome::Expired)).count();
    assert!(expired <= 1, "{expired} were promised too much");
}

#[test]
fn only_so_much_is_decoded_ahead_of_the_lanes() {
    let mut world = World::new(Policy { max_waiting_bytes: Bytes(1 << 30), ..small_policy() });
    world.load(0, FakeModel { decode: ms(1), ..model(200) });
    (0..30).for_each(|id| world.arrive(encoded(due(id, 1, 20_000))));
    world.run_until(at(100));
    let decoded = count(&world, |action| matches!(action, Action::Prepare { .. }));
    assert!((4..=8).contains(&decoded), "{decoded} decoded while two run");
}

#[test]
fn admission_learns_that_two_lanes_do_less_than_two_lanes_work() {
    let mut world = world_with(Policy { max_waiting: 1000, ..small_policy() }, 10);
    // Runs take twice as long as they did when the model was timed and ran alone.
    world.load(0, model(20));
    for id in 0..1000 {
        world.arrive(RequestMeta { deadline: Some(ms(400).from(world.now())), ..meta(id, (id % 9) as u32, 0) });
        world.run_for(ms(5));
    }
    let late = (500..1000).filter(|id| world.outcome(*id) == Some(Outcome::Expired)).count();
    let done = (500..1000).filter(|id| world.outcome(*id) == Some(Outcome::Done)).count();
    assert!(late <= 5 && done > 200, "{late} late, {done} done");
}

// Cancellation

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

// Drain

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
fn an_idle_box_is_drained_at_once() {
    let mut world = world(10);
    world.tell(Event::Drain);
    assert_eq!(world.announced(), [Change::Draining, Change::Drained]);
}

// The host dies, hangs and comes back

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
    let prepared = |wanted| count(&world, |action| matches!(action, Action::Prepare { id } if id.0 == wanted));
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

// Policy

#[test]
fn a_new_policy_applies_at_once() {
    let mut world = world_with(Policy { lanes: 1, ..small_policy() }, 50);
    (1..=4).for_each(|id| world.arrive(due(id, 1, 5000)));
    assert_eq!(batches(&world).len(), 1);
    world.tell(Event::Policy(Box::new(small_policy())));
    assert_eq!(batches(&world).len(), 2);
    world.tell(Event::Policy(Box::new(Policy { max_waiting: 2, ..small_policy() })));
    world.arrive(meta(5, 2, 0));
    assert_eq!(refusal(&world, 5).reason, Reason::QueueFull);
    world.run_out();
}

#[test]
fn a_deferrable_request_without_a_deadline_may_wait_for_the_longest() {
    let mut world = world(10);
    world.arrive(RequestMeta { deferrable: true, ..meta(1, 1, 0) });
    let accepted = world.log().iter().flat_map(|step| &step.actions).find_map(|action| match action {
        Action::Accept { verdict, deadline, .. } => Some((verdict.reason(), *deadline)),
        _ => None,
    });
    assert_eq!(accepted, Some(("deferrable", at(600_000))));
    world.run_out();
}

// A day in the life

#[test]
fn mixed_load_at_seventy_percent_is_served_in_time() {
    let mut world = World::new(Policy { max_waiting: 500, ..small_policy() });
    world.load(0, FakeModel { fixed: ms(1), ..FakeModel::new(0, 2, ms(1)) });
    world.load(1, FakeModel { decode: ms(5), ..FakeModel::new(8, 2, ms(30)) });
    let source = |seed, first, client, model, every, slack, work| Arrivals {
        dice: Dice::new(seed),
        every: ms(every),
        slack: ms(slack),
        like: RequestMeta { work, ..meta(first, client, model) },
    };
    // 2 ms every 8 ms, 35 ms every 36 ms: 1.2 of two lanes, decoding included.
    let mut load: Vec<RequestMeta> = source(1, 0, 1, 0, 8, 100, Work::Tensors).take(1000).collect();
    load.extend(source(2, 10_000, 2, 1, 36, 600, Work::Encoded).take(220));
    load.sort_by_key(|meta| meta.deadline.unwrap().as_nanos() - slack_of(meta).as_nanos());
    for meta in load {
        let arrival = meta.deadline.unwrap().as_nanos() - slack_of(&meta).as_nanos();
        world.run_until(Mono::from_nanos(arrival));
        world.arrive(meta);
    }
    world.run_out();
    let outcomes = world.settlements().values().flatten();
    let done = outcomes.filter(|(_, outcome)| *outcome == Outcome::Done).count();
    assert!(done >= 1200, "{done} of 1220 done");
}

fn slack_of(meta: &RequestMeta) -> Span {
    if meta.model == ModelId(0) { ms(100) } else { ms(600) }
}
