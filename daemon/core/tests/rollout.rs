//! Laws of rollouts, on fleets of any names and any terms.

use std::time::Duration;

use edge_core::Mono;
use edge_core::rollout::{Attempt, Here, PLACES, Reports, Rollout, Step, Wait, next, place};
use proptest::prelude::*;

fn rollouts() -> impl Strategy<Value = Rollout> {
    let waves = prop::collection::btree_set(1_u8..=100, 1..6);
    (waves, 0_u64..100_000, 0_u32..5).prop_map(|(waves, hold, max_failed)| Rollout {
        waves: waves.into_iter().collect(),
        hold: Duration::from_secs(hold),
        max_failed,
    })
}

fn heres() -> impl Strategy<Value = Here> {
    let attempt = prop_oneof![
        Just(Attempt::None),
        Just(Attempt::Running),
        (1_u32..100, 0_u64..1 << 40).prop_map(|(times, at)| Attempt::Failed { times, at: Mono::from_nanos(at) }),
    ];
    (any::<[bool; 7]>(), attempt).prop_map(|(flags, attempt)| {
        let [active, on_probation, installed, has_source, bad, revoked, aside] = flags;
        Here { active, on_probation, installed, has_source, bad, revoked, aside, attempt }
    })
}

fn reports() -> impl Strategy<Value = Reports> {
    prop_oneof![Just(Reports::Nobody), Just(Reports::Unknown), (0_u32..10).prop_map(|failed| Reports::Known { failed })]
}

proptest! {
    #[test]
    fn nothing_begins_before_its_turn_or_after_an_abort_or_against_a_ban(
        rollout in rollouts(), at in 0..PLACES, here in heres(), reports in reports(),
        since in prop::option::of(0_u64..1_000_000), now in 1_u64 << 40..1 << 50,
    ) {
        let since = since.map(Duration::from_secs);
        let step = next(&rollout, at, &here, reports, since, Mono::from_nanos(now));
        if !matches!(step, Step::Pull | Step::Activate) {
            return Ok(());
        }
        prop_assert!(!here.bad && !here.revoked && !here.aside && !here.active && here.attempt != Attempt::Running);
        let wave = rollout.wave(at);
        prop_assert!(wave.is_some() && since.is_some());
        let (wave, since) = (u32::try_from(wave.unwrap_or_default()).unwrap(), since.unwrap_or_default());
        prop_assert!(since >= rollout.hold * wave);
        if let (1.., Reports::Known { failed }) = (wave, reports) {
            prop_assert!(failed <= rollout.max_failed);
        }
        prop_assert!(wave == 0 || reports != Reports::Unknown);
    }

    #[test]
    fn a_box_that_waits_for_time_alone_begins_when_that_is_over(
        rollout in rollouts(), at in 0..PLACES, since in 0_u64..1_000_000, now in 1_u64 << 40..1 << 50,
    ) {
        let here = Here { has_source: true, ..Here::default() };
        let (since, now) = (Duration::from_secs(since), Mono::from_nanos(now));
        let ask = |since, now| next(&rollout, at, &here, Reports::Known { failed: 0 }, Some(since), now);
        if let Step::Wait(Wait::Hold { left }) = ask(since, now) {
            prop_assert_eq!(ask(since + left, now.after(left)), Step::Pull);
            prop_assert_ne!(ask(since + left - Duration::from_nanos(1), now.after(left)), Step::Pull);
        }
    }

    #[test]
    fn every_name_has_one_place_and_an_earlier_place_never_a_later_wave(
        rollout in rollouts(), one in ".{0,40}", other in 0..PLACES,
    ) {
        let one = place(&one);
        prop_assert!(one < PLACES);
        let rank = |at| rollout.wave(at).unwrap_or(usize::MAX);
        prop_assert!(rank(one.min(other)) <= rank(one.max(other)));
    }
}
