use proptest::prelude::*;

use super::*;

const LOST: Failure = Failure::Unreachable;
/// Makes every pause as long as it may be for the first times.
const LONGEST: u64 = 750_000_000;

fn at(millis: u64) -> Mono {
    Mono::from_nanos(millis * 1_000_000)
}

fn tripped() -> Breaker {
    let mut breaker = Breaker::default();
    (0..3).for_each(|_| breaker.failed(at(0), LOST, LONGEST));
    breaker
}

#[test]
fn the_diagram_names_every_state() {
    let diagram: String = include_str!("../breaker.rs").lines().filter(|line| line.starts_with("//!")).collect();
    let states = [State::Passing, State::Tripped { until: at(0), times: 1 }, State::Probing { since: at(0), times: 1 }];
    for state in states {
        let name = format!("{state:?}");
        let name = name.split_whitespace().next().unwrap();
        assert!(diagram.contains(name), "{name}");
    }
}

#[test]
fn a_site_trips_after_failures_in_a_row_of_enough_weight() {
    let cases = [
        (Failure::Unreachable, 3),
        (Failure::TimedOut, 5),
        (Failure::Server, 5),
        (Failure::Garbage, 5),
        (Failure::Credential, 1),
    ];
    for (failure, count) in cases {
        let mut breaker = Breaker::default();
        for _ in 1..count {
            breaker.failed(at(0), failure, 0);
            assert_eq!(breaker.look(at(0)), Gate::Yes, "{failure:?}");
        }
        // One success in between, and it starts anew.
        breaker.succeeded(at(0));
        for _ in 1..count {
            breaker.failed(at(0), failure, 0);
            assert_eq!(breaker.state(), State::Passing, "{failure:?}");
        }
        breaker.failed(at(0), failure, 0);
        assert!(matches!(breaker.state(), State::Tripped { times: 1, .. }), "{failure:?}");
        assert_eq!(breaker.cause(), Some(failure));
    }
}

#[test]
fn a_site_that_fails_half_the_time_trips_by_its_rate_and_not_below_the_least_count() {
    let mut breaker = Breaker::default();
    for answer in 1..=20 {
        assert_eq!(breaker.state(), State::Passing, "{answer}");
        if answer % 2 == 0 { breaker.failed(at(answer), Failure::Server, 0) } else { breaker.succeeded(at(answer)) }
    }
    assert!(matches!(breaker.state(), State::Tripped { .. }));
    // One in three is borne.
    let mut breaker = Breaker::default();
    for answer in 1..=300 {
        if answer % 3 == 0 { breaker.failed(at(answer), Failure::Server, 0) } else { breaker.succeeded(at(answer)) }
    }
    assert_eq!(breaker.state(), State::Passing);
    // What is older than the window does not count.
    let mut breaker = Breaker::default();
    for answer in 1..=40_u64 {
        let now = at(answer * 4_000);
        if answer % 2 == 0 { breaker.failed(now, Failure::Server, 0) } else { breaker.succeeded(now) }
    }
    assert_eq!(breaker.state(), State::Passing);
}

#[test]
fn a_busy_site_is_held_for_as_long_as_it_says_and_has_not_failed() {
    let ms = Span::from_millis;
    let cases = [
        (None, 1_000),
        (Some(ms(5_000)), 5_000),
        (Some(ms(0)), 100),
        (Some(ms(86_400_000)), 600_000),
        (Some(Span::MAX), 600_000),
    ];
    for (retry_after, held) in cases {
        let mut breaker = Breaker::default();
        (0..50).for_each(|_| breaker.failed(at(0), Failure::Busy { retry_after }, 0));
        assert_eq!(breaker.state(), State::Passing);
        assert_eq!(breaker.may_pass(at(held - 1), 0), Gate::No { until: at(held) });
        assert_eq!(breaker.held(at(held - 1)), Some(at(held)));
        assert_eq!(breaker.may_pass(at(held), 0), Gate::Yes);
        assert_eq!((breaker.held(at(held)), breaker.cause()), (None, None));
    }
}

#[test]
fn one_probe_at_a_time_and_its_success_closes() {
    let mut breaker = tripped();
    assert_eq!(breaker.may_pass(at(999), 0), Gate::No { until: at(1_000) });
    assert_eq!(breaker.may_pass(at(1_000), 0), Gate::Probe { since: at(1_000) });
    assert_eq!(breaker.may_pass(at(1_001), 0), Gate::No { until: at(31_000) });
    // Answers to what was sent before say nothing.
    breaker.succeeded(at(1_001));
    breaker.failed(at(1_001), LOST, 0);
    breaker.probed(at(1_001), at(7), Ok(()), 0);
    assert_eq!(breaker.state(), State::Probing { since: at(1_000), times: 1 });
    breaker.probed(at(1_002), at(1_000), Ok(()), 0);
    assert_eq!(breaker.may_pass(at(1_002), 0), Gate::Yes);
    assert_eq!(breaker.cause(), None);
}

#[test]
fn each_failed_probe_doubles_the_bound_of_the_pause_up_to_the_longest() {
    let mut breaker = tripped();
    let mut now = at(1_000);
    for bound in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(breaker.may_pass(now, 0), Gate::Probe { since: now });
        let jitter = Span::from_millis(bound - 250).as_nanos();
        breaker.probed(now, now, Err(Failure::Server), jitter);
        let until = Span::from_millis(bound).from(now);
        assert_eq!(breaker.look(now), Gate::No { until });
        now = until;
    }
}

#[test]
fn a_flapping_site_keeps_its_long_pauses_and_a_steady_one_does_not() {
    for (passed, times) in [(1_000, 2), (60_000, 1)] {
        let mut breaker = tripped();
        breaker.may_pass(at(1_000), 0);
        breaker.probed(at(1_000), at(1_000), Ok(()), 0);
        (0..3).for_each(|_| breaker.failed(at(1_000 + passed), LOST, 0));
        assert!(matches!(breaker.state(), State::Tripped { times: found, .. } if found == times), "{breaker:?}");
    }
}

#[test]
fn a_lost_probe_is_a_failed_one_and_its_late_answer_changes_nothing() {
    let mut breaker = tripped();
    assert_eq!(breaker.may_pass(at(1_000), 0), Gate::Probe { since: at(1_000) });
    assert_eq!(breaker.may_pass(at(31_000), 0), Gate::No { until: at(31_250) });
    assert_eq!(breaker.cause(), Some(Failure::TimedOut));
    assert_eq!(breaker.may_pass(at(31_250), 0), Gate::Probe { since: at(31_250) });
    breaker.probed(at(31_300), at(1_000), Ok(()), 0);
    assert_eq!(breaker.state(), State::Probing { since: at(31_250), times: 2 });
}

#[test]
fn a_busy_probe_is_sent_again_when_the_site_said_and_the_pause_does_not_grow() {
    let mut breaker = tripped();
    breaker.may_pass(at(1_000), 0);
    let busy = Failure::Busy { retry_after: Some(Span::from_millis(7_000)) };
    breaker.probed(at(1_000), at(1_000), Err(busy), 0);
    assert_eq!(breaker.state(), State::Tripped { until: at(8_000), times: 1 });
}

#[test]
fn a_refused_credential_trips_for_long_and_a_renewed_one_is_tried_at_once() {
    let mut breaker = Breaker::default();
    breaker.failed(at(0), Failure::Credential, 12345);
    assert_eq!(breaker.may_pass(at(1), 0), Gate::No { until: at(300_000) });
    breaker.renewed(at(2));
    assert_eq!(breaker.may_pass(at(2), 0), Gate::Probe { since: at(2) });
    breaker.renewed(at(3));
    assert_eq!(breaker.may_pass(at(3), 0), Gate::No { until: at(30_002) }, "one probe is under way all the same");
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask,
    Succeed,
    Fail(Failure),
    Answer(Result<(), Failure>),
    Renew,
}

fn failure() -> impl Strategy<Value = Failure> {
    let busy = (0..700_000_u64).prop_map(|ms| Failure::Busy { retry_after: Some(Span::from_millis(ms)) });
    prop_oneof![
        Just(Failure::Unreachable),
        Just(Failure::TimedOut),
        Just(Failure::Server),
        Just(Failure::Garbage),
        Just(Failure::Credential),
        busy
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_000_u64).prop_map(Step::Wait),
        1 => (0..100_000_u64).prop_map(Step::Wait),
        6 => Just(Step::Ask),
        2 => Just(Step::Succeed),
        4 => failure().prop_map(Step::Fail),
        2 => prop_oneof![Just(Ok(())), failure().prop_map(Err)].prop_map(Step::Answer),
        1 => Just(Step::Renew),
    ]
}

proptest! {
    #[test]
    fn there_are_never_two_probes_every_trip_ends_and_a_probe_that_succeeds_closes(
        steps in proptest::collection::vec(step(), 1..200),
        jitter in any::<u64>(),
    ) {
        let mut breaker = Breaker::default();
        let mut now = at(5);
        let mut probe: Option<Mono> = None;
        for step in steps {
            match step {
                Step::Wait(ms) => now = Span::from_millis(ms).from(now),
                Step::Ask => {
                    let looked = breaker.look(now);
                    let gate = breaker.may_pass(now, jitter);
                    if let Gate::Probe { since } = gate {
                        let lost = probe.is_none_or(|sent| Span::between(sent, now) >= PROBE_LOST);
                        prop_assert!(lost, "a second probe at {now:?}, the first of {probe:?}");
                        probe = Some(since);
                    }
                    if let Gate::No { until } = gate {
                        prop_assert!(until > now && Span::between(now, until) <= HOLD_MOST);
                    }
                    prop_assert!(looked == gate || Span::between(probe.unwrap_or(now), now) >= PROBE_LOST);
                }
                Step::Succeed => breaker.succeeded(now),
                Step::Fail(failure) => breaker.failed(now, failure, jitter),
                Step::Answer(result) => if let Some(since) = probe.take() {
                    let awaited = breaker.state() == State::Probing { since, times: times(&breaker) };
                    breaker.probed(now, since, result, jitter);
                    if awaited {
                        prop_assert_eq!(breaker.state() == State::Passing, result.is_ok());
                    }
                },
                Step::Renew => breaker.renewed(now),
            }
        }
        // However it stands: after the longest hold and pause it passes or probes, or a lost probe is found out now and
        // tried again after the next pause.
        now = Span::from_millis(700_000).from(now);
        let mut gate = breaker.may_pass(now, jitter);
        if let Gate::No { until } = gate {
            prop_assert!(Span::between(now, until) <= PAUSE_MOST, "{breaker:?}");
            gate = breaker.may_pass(until, jitter);
        }
        prop_assert!(!matches!(gate, Gate::No { .. }), "{breaker:?}");
    }
}

fn times(breaker: &Breaker) -> u8 {
    match breaker.state() {
        State::Passing => 0,
        State::Tripped { times, .. } | State::Probing { times, .. } => times,
    }
}
