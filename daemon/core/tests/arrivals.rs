//! Real arrivals at boxes that are busy, too busy, and hot: how many calls are in time, and how many leave for the cloud.

use edge_core::sim::Dice;
use edge_core::sim::slots::{Call, Machine, Rule, Score, calls, plane};
use edge_core::{Mono, Span};

/// The first token is promised within this.
const PROMISE: Span = Span::from_millis(2_000);
/// Four slots of a small box, sixteen of a large one.
const SMALL: Machine = Machine { slots: 4, prefill: 600, decode: 20, slow: None };
const LARGE: Machine = Machine { slots: 16, prefill: 3_000, decode: 40, slow: None };
/// What one in a hundred may be.
const TIMED: Rule = Rule::TimedSpill(10);

fn recorded() -> Vec<Call> {
    calls(include_bytes!("data/azure-llm-2023-conv.bin"))
}

fn minutes(minutes: u64) -> Mono {
    Span::from_millis(minutes * 60_000).from(Mono::default())
}

/// The large box, hot for half an hour.
fn hot() -> Machine {
    Machine { slow: Some((minutes(10), minutes(40), 585)), ..LARGE }
}

/// The rule, and one that knows how long each answer will be, on the same calls.
fn both(all: &[Call], machine: Machine, load: u32, seed: u64) -> (Score, Score) {
    let calls = machine.load(all, load, seed);
    (TIMED.play(&calls, machine, PROMISE, seed), Rule::Clairvoyant.play(&calls, machine, PROMISE, seed))
}

fn check(what: &str, machine: Machine, load: u32) {
    let all = recorded();
    for seed in 1..=10 {
        let (found, known) = both(&all, machine, load, seed);
        assert!(found.slo() >= 99.0, "{what}, {seed}: {}% in time", found.slo());
        let more = found.share() - known.share();
        let ratio = found.share() / known.share();
        assert!(ratio <= 1.3 && more <= 3.0, "{what}, {seed}: {}% away, {ratio} times", found.share());
    }
}

#[test]
fn the_trace_is_whole() {
    let all = recorded();
    assert_eq!(all.len(), 19_366);
    assert_eq!(all[0], Call { at: Mono::default(), prompt: 374, answer: 44 });
    assert!(all.is_sorted_by_key(|call| call.at));
    let last = all.last().unwrap();
    assert_eq!(Span::between(Mono::default(), last.at).as_nanos() / 1_000_000_000, 3_501);
}

#[test]
fn a_small_box_at_three_fifths_keeps_the_promise_with_little_more_cloud_than_with_known_answers() {
    check("small", SMALL, 600);
}

#[test]
fn a_large_box_at_nine_tenths_keeps_the_promise_with_little_more_cloud_than_with_known_answers() {
    check("large", LARGE, 900);
}

#[test]
fn a_box_that_heat_slows_down_for_half_an_hour_keeps_the_promise_with_little_more_cloud_than_with_known_answers() {
    check("hot", hot(), 600);
}

#[test]
fn at_any_load_the_promise_is_kept_and_the_cloud_has_at_most_half_more_or_five_points_more() {
    let all = recorded();
    for machine in [SMALL, LARGE, hot()] {
        for load in [300, 500, 700, 1_000, 1_300] {
            let (mut found, mut known) = (Vec::new(), Vec::new());
            for seed in 11..=13 {
                let (one, other) = both(&all, machine, load, seed);
                found.push(one);
                known.push(other);
            }
            let mean = |of: &[Score], by: fn(&Score) -> f64| of.iter().map(by).sum::<f64>() / 3.0;
            let (slo, share) = (mean(&found, Score::slo), mean(&found, Score::share));
            assert!(slo >= 99.0, "{machine:?} at {load}: {slo}");
            let least = mean(&known, Score::share);
            assert!(share <= least * 1.5 || share <= least + 1.0, "{machine:?} at {load}: {share} for {least}");
            assert!(share <= least + 5.0, "{machine:?} at {load}: {share} for {least}");
        }
    }
}

#[test]
fn the_promise_is_kept_where_the_size_of_a_prompt_tells_nothing_and_where_calls_come_in_bursts() {
    let recorded = recorded();
    let mut shuffled = recorded.clone();
    let mut dice = Dice::new(9);
    for last in (1..shuffled.len()).rev() {
        let other = usize::try_from(dice.below(last as u64 + 1)).unwrap();
        (shuffled[last].answer, shuffled[other].answer) = (shuffled[other].answer, shuffled[last].answer);
    }
    // All calls of ten seconds come in two and a half.
    let mut bursts = recorded;
    for call in &mut bursts {
        let (tens, rest) = (call.at.as_nanos() / 10_000_000_000, call.at.as_nanos() % 10_000_000_000);
        call.at = Mono::from_nanos(tens * 10_000_000_000 + rest / 4);
    }
    for (what, all, most) in [("shuffled", shuffled, 1.5), ("bursts", bursts, 1.6)] {
        for (machine, load) in [(SMALL, 600), (LARGE, 900), (hot(), 600)] {
            let (found, known) = both(&all, machine, load, 2);
            assert!(found.slo() >= 99.0, "{what} {machine:?}: {}", found.slo());
            let ratio = found.share() / known.share();
            assert!(ratio <= most, "{what} {machine:?}: {} for {}", found.share(), known.share());
        }
    }
}

#[test]
fn rules_that_see_less_miss_the_promise_or_use_more_of_the_cloud() {
    let all = recorded();
    let calls = LARGE.load(&all, 900, 1);
    let play = |rule: Rule| rule.play(&calls, LARGE, PROMISE, 1);
    let (timed, on_arrival) = (play(TIMED), play(Rule::PredictedWait(990)));
    assert!(play(Rule::QueueLength(16)).slo() < 80.0);
    assert!(on_arrival.slo() >= 99.0 && on_arrival.away > timed.away + timed.away / 20, "{on_arrival:?} {timed:?}");
    assert!(timed.left > 0, "some wait, and leave in time");
    let calls = SMALL.load(&all, 600, 1);
    assert!(Rule::QueueLength(1).play(&calls, SMALL, PROMISE, 1).slo() < 80.0);
    // Who knows the future uses the cloud less than who knows the lengths.
    assert!(play(Rule::Hindsight).away < play(Rule::Clairvoyant).away);
}

#[test]
fn the_same_calls_give_the_same_scores_and_no_call_is_lost() {
    let all = recorded();
    let calls = hot().load(&all, 700, 5);
    let (first, second) = (plane(&calls, hot(), PROMISE, 5), plane(&calls, hot(), PROMISE, 5));
    assert_eq!(first, second);
    for (rule, score) in first {
        assert_eq!(score.calls as usize, calls.len());
        assert!(score.in_time <= score.calls && score.away <= score.calls && score.left <= score.away, "{rule:?}");
    }
}
