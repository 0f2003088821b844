//! More work than can be done, and whom that must not hurt.

use super::*;

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

#[test]
fn what_waits_says_how_long_a_newcomer_would_wait() {
    let mut world = world_with(Policy { max_waiting: 100, ..small_policy() }, 10);
    assert_eq!(world.core().snapshot().wait, Duration::ZERO);
    for id in 0..20 {
        world.arrive(due(id, 1, 10_000));
    }
    // 200 ms of work on two lanes.
    let wait = world.core().snapshot().wait;
    assert!((80..=110).contains(&wait.as_millis()), "{wait:?}");
    world.run_for(ms(50));
    assert!(world.core().snapshot().wait < wait);
    world.run_out();
    assert_eq!(world.core().snapshot().wait, Duration::ZERO);
}
