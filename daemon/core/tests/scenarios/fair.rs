//! Turns between callers, models and priorities, on a box that has more to do than it can.

use super::*;

/// A caller that keeps offering requests.
#[derive(Clone, Copy)]
struct Source {
    client: u32,
    model: u16,
    /// Between two requests.
    every: Span,
    cost: u32,
    priority: Priority,
    slack: u64,
}

fn source(client: u32, every_us: u64) -> Source {
    let every = Span::from_nanos(every_us * 1000);
    Source { client, model: 0, every, cost: 1, priority: Priority::Normal, slack: 1000 }
}

/// Lets the sources offer for `span`; no request is named twice.
fn offer(world: &mut World, sources: &[Source], span: Span) {
    let end = span.from(world.now());
    let mut next: Vec<Mono> = sources.iter().map(|_| world.now()).collect();
    let mut id = 1_000_000 + world.log().len() as u64;
    while let Some(at) = next.iter().min().copied().filter(|at| *at < end) {
        world.run_until(at);
        for (source, next) in sources.iter().zip(&mut next).filter(|(_, next)| **next <= at) {
            let deadline = Some(ms(source.slack).from(at));
            let (priority, cost) = (source.priority, Cost::new(source.cost));
            world.arrive(RequestMeta { deadline, priority, cost, ..meta(id, source.client, source.model) });
            id += 1;
            *next = source.every.from(at);
        }
    }
    world.run_until(end);
}

/// What was done for each of these clients since `since`, in units of cost; expired requests count for nothing.
fn done(world: &World, since: Mono, clients: &[u32]) -> Vec<u64> {
    let of = |client: &u32| {
        let own = world.arrived().filter(|meta| meta.client == ClientId(*client));
        let ended = own.filter(|meta| {
            let ends = world.settlements().get(&meta.id).and_then(|ends| ends.last());
            ends.is_some_and(|(at, outcome)| *at >= since && *outcome == Outcome::Done)
        });
        ended.map(|meta| u64::from(meta.cost.units())).sum()
    };
    clients.iter().map(of).collect()
}

/// Jain's index of fairness: 1 if all got the same, one over their number if one got all.
fn jain(got: &[u64]) -> f64 {
    let (sum, squares) = got.iter().fold((0.0, 0.0), |(sum, squares), part| {
        let part = *part as f64;
        (sum + part, squares + part * part)
    });
    sum * sum / (got.len() as f64 * squares)
}

#[test]
fn four_callers_get_the_same_although_one_offers_ten_times_as_much() {
    // 200 units a second can be done. Three offer half of that each, one five times all of it.
    let equal = [source(1, 10_000), source(2, 10_000), source(3, 10_000), source(4, 1_000)];
    let costs = equal.map(|source| Source { cost: 1 + source.client, ..source });
    let impatient = equal.map(|source| Source { slack: if source.client == 4 { 250 } else { 900 }, ..source });
    for (what, sources) in
        [("equal requests", equal), ("requests of 2, 3, 4 and 5 units", costs), ("a short deadline", impatient)]
    {
        let mut world = world_with(Policy { max_waiting: 400, ..small_policy() }, 10);
        offer(&mut world, &sources, ms(2000));
        let since = world.now();
        offer(&mut world, &sources, ms(10_000));
        let got = done(&world, since, &[1, 2, 3, 4]);
        println!("Jain's index {:.4} of {got:?} units in 10 s: {what}", jain(&got));
        assert!(jain(&got) >= 0.95, "{what}: {got:?}");
        assert!(got.iter().sum::<u64>() > 1850, "{what}: the lanes were idle: {got:?}");
        let expired = world.settlements().values().flatten().filter(|(_, end)| *end == Outcome::Expired).count();
        assert!(expired * 50 < world.settlements().len(), "{what}: {expired} were promised too much");
    }
}

#[test]
fn a_caller_that_asks_little_is_served_within_a_round_of_the_others() {
    let mut world = world_with(Policy { max_waiting: 400, ..small_policy() }, 10);
    let flood: Vec<Source> = (1..=4).map(|client| source(client, 2_000)).collect();
    let mut sources = flood.clone();
    sources.push(Source { slack: 100, ..source(9, 97_000) });
    offer(&mut world, &flood, ms(1000));
    offer(&mut world, &sources, ms(5000));
    world.run_out();
    let light = world.arrived().filter(|meta| meta.client == ClientId(9));
    let ends: Vec<Outcome> = light.map(|meta| world.outcome(meta.id.0).unwrap()).collect();
    assert!(ends.len() > 50 && ends.iter().all(|end| *end == Outcome::Done), "{ends:?}");
}

#[test]
fn a_deadline_that_turns_would_make_late_is_refused_at_the_door() {
    let mut world = world_with(Policy { lanes: 1, client_share: Ratio::ONE, ..small_policy() }, 10);
    // One runs, nine wait.
    (0..10).for_each(|id| world.arrive(due(id, 2, 300)));
    // By deadline alone, all of these would come before those nine, and be in time.
    (20..30).for_each(|id| world.arrive(due(id, 1, 150)));
    let (taken, refused): (Vec<u64>, Vec<u64>) = (20..30).partition(|id| world.outcome(*id).is_none());
    assert!((5..=7).contains(&taken.len()), "{taken:?}");
    refused.iter().for_each(|id| assert_eq!(refusal(&world, *id).reason, Reason::PredictedWait));
    world.arrive(due(100, 3, 60));
    world.run_out();
    for id in (0..10).chain(taken).chain([100]) {
        assert_eq!(world.outcome(id), Some(Outcome::Done), "request {id}");
    }
}

#[test]
fn callers_of_different_models_share_the_lane_that_both_want() {
    let mut world = World::new(Policy { lanes: 1, max_waiting: 400, ..small_policy() });
    for (model, each) in [(0, 4), (1, 40)] {
        world.load(model, FakeModel::new(model * 8, 1, ms(each)));
        world.tell(Event::Measured { model: ModelId(model), batch: 1, took: Duration::from_millis(each) });
    }
    let sources =
        [source(1, 2_000), Source { model: 1, ..source(2, 20_000) }, Source { model: 1, ..source(3, 20_000) }];
    offer(&mut world, &sources, ms(1000));
    let since = world.now();
    offer(&mut world, &sources, ms(10_000));
    let got = done(&world, since, &[1, 2, 3]);
    let time = [got[0] * 4, got[1] * 40, got[2] * 40];
    assert!(jain(&time) >= 0.95, "{time:?} ms");
    assert!(time.iter().sum::<u64>() > 9_500, "{time:?} ms");
}

#[test]
fn what_is_low_gets_its_share_beside_a_flood_of_high_and_no_more() {
    let mut world = world_with(Policy { max_waiting: 400, lanes: 1, ..small_policy() }, 10);
    let of = |client, priority| Source { priority, slack: 5000, ..source(client, 5_000) };
    let sources = [of(1, Priority::High), of(2, Priority::Low)];
    offer(&mut world, &sources, ms(2000));
    let since = world.now();
    offer(&mut world, &sources, ms(20_000));
    let got = done(&world, since, &[1, 2]);
    // A tenth of what high gets.
    assert!((150..=210).contains(&got[1]) && got[0] > 1700, "{got:?} of 2000");
}

/// How long high requests took, sorted, while low ones of the same or another model saturate the box; in us.
fn high_beside_low(each_us: u64, fixed_us: u64, other_model: bool, lanes: u16) -> Vec<u64> {
    let mut world =
        World::new(Policy { lanes, max_waiting: 4000, max_waiting_bytes: Bytes(1 << 30), ..small_policy() });
    let span = |us: u64| Span::from_nanos(us * 1000);
    for model in 0..2 {
        world.load(model, FakeModel { fixed: span(fixed_us), ..FakeModel::new(model * 8, lanes, span(each_us)) });
        let took = Duration::from_micros(fixed_us + each_us);
        world.tell(Event::Measured { model: ModelId(model), batch: 1, took });
    }
    let every = (each_us + fixed_us) / 5;
    let low: Vec<Source> =
        (1..=3).map(|client| Source { priority: Priority::Low, slack: 400, ..source(client, every) }).collect();
    offer(&mut world, &low, ms(1000));
    let high = Source { priority: Priority::High, model: u16::from(other_model), ..source(9, 20_700 + 3 * each_us) };
    let mut both = low.clone();
    both.push(high);
    offer(&mut world, &both, ms(3_000 + each_us / 3));
    world.run_out();
    let own = world.arrived().filter(|meta| meta.client == ClientId(9));
    let took = own.map(|meta| {
        assert_eq!(world.outcome(meta.id.0), Some(Outcome::Done));
        let (Some(deadline), Some(ended)) = (meta.deadline, world.ended(meta.id.0)) else { panic!("{meta:?}") };
        // It arrived a second before its deadline.
        Span::between(deadline, ms(1000).from(ended)).as_nanos() / 1000
    });
    let mut took: Vec<u64> = took.collect();
    took.sort_unstable();
    took
}

#[test]
fn what_is_high_waits_for_one_chunk_at_most_while_low_saturates_the_box() {
    for (each, fixed) in [(1_000, 0), (3_000, 0), (1_000, 4_000), (30_000, 0), (200, 500)] {
        for (other_model, lanes) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
            let took = high_beside_low(each, fixed, other_model, lanes);
            let p99 = took[took.len() * 99 / 100 - 1];
            let own = each + fixed;
            let most = own.max(20_000) + own;
            println!("p99 {p99} us, at most {most}: {own} us alone, other model: {other_model}, {lanes} lanes");
            assert!(p99 <= most, "p99 {p99} us of {took:?}");
        }
    }
}
