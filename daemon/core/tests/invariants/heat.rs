//! The law of telemetry, on random readings: what no sane board would say included.

use std::time::Duration;

use edge_core::governor::{Capacity, Doubt, Governor, Regime, Sample, ZoneId, ZoneSample};
use edge_core::units::{Celsius, Kelvin, Watts};
use edge_core::{Mono, Policy};
use proptest::prelude::*;

/// One sample: milliseconds since the last one, readings of the zones there are, watts, use of the lanes, faults.
type Told = (u64, Vec<(bool, Option<f64>)>, Option<f64>, f64, u8);

fn told() -> impl Strategy<Value = Told> {
    let reading = prop_oneof![
        2 => Just(None),
        4 => (20.0..110.0_f64).prop_map(Some),
        2 => Just(Some(70.0)),
        1 => (-300.0..3000.0_f64).prop_map(Some),
    ];
    let apart = prop_oneof![6 => Just(1000), 1 => 0..5000_u64, 1 => 0..200_000_u64];
    let zones = prop::collection::vec((prop::bool::weighted(0.9), reading), 0..3);
    (apart, zones, prop::option::of(0.0..500.0_f64), -1.0..2.0_f64, 0..20_u8)
}

/// Long silence in between, so that doubt lasts.
fn course() -> impl Strategy<Value = Vec<Told>> {
    let many = (told(), 1..60_usize).prop_map(|(told, times)| vec![told; times]);
    prop::collection::vec(many, 1..20).prop_map(|runs| runs.concat())
}

fn sample(zones: &[(bool, Option<f64>)], power: Option<f64>, fault: u8) -> Sample {
    let zone = |(at, (_, temp)): (u16, &(bool, Option<f64>))| ZoneSample {
        id: ZoneId(at),
        temp: temp.and_then(Celsius::new),
        trip: Celsius::new(95.0).unwrap(),
        hysteresis: Kelvin::new(5.0).unwrap(),
        critical: Celsius::new(100.5),
    };
    Sample {
        slept: Duration::ZERO,
        zones: (0..).zip(zones).filter(|(_, zone)| zone.0).map(zone).collect(),
        power: power.and_then(Watts::new),
        throttled: fault == 1,
        power_capped: fault == 2,
        over_current: u32::from(fault == 3),
        clue: None,
    }
}

/// Whether there are thermometers, and none of them is gone by.
fn is_in_the_dark(governor: &Governor, policy: &Policy) -> bool {
    let views = governor.views(policy.governor.margin);
    let unseen = |doubt| matches!(doubt, Some(Doubt::Missing | Doubt::Frozen | Doubt::Fallen));
    !views.is_empty() && views.iter().all(|view| unseen(view.doubt))
}

fn is_within(capacity: Capacity, policy: &Policy) -> bool {
    let duty = capacity.duty.get();
    let stands = capacity.lanes == 0;
    (0.0..=1.0).contains(&duty)
        && capacity.lanes <= policy.lanes
        && (1..=policy.max_batch).contains(&capacity.batch)
        && stands == (duty == 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn invariant_5_missing_or_old_telemetry_never_raises_capacity(course in course()) {
        let policy = Policy::default();
        let mut governor = Governor::new(&policy);
        let mut millis = 0;
        for (at, (apart, zones, power, used, fault)) in course.iter().enumerate() {
            let (before, regime) = (governor.capacity(), governor.state().regime);
            millis += apart;
            let now = Mono::from_nanos(millis * 1_000_000);
            governor.sample(now, &sample(zones, *power, *fault), *used, &policy);
            let capacity = governor.capacity();
            prop_assert!(is_within(capacity, &policy), "sample {}: {:?}", at, capacity);
            // Critical ends in what was allowed before it, which did not grow either.
            if is_in_the_dark(&governor, &policy) && regime != Regime::Critical {
                prop_assert!(capacity.duty.get() <= before.duty.get(), "sample {}: {:?} after {:?}", at, capacity, before);
                prop_assert!(capacity.lanes <= before.lanes, "sample {}: {:?} after {:?}", at, capacity, before);
            }
        }
    }
}
