//! What the governor allows, and who holds the box.

use edge_core::governor::{Cause, Clue, Doubt, Regime, Sample, ZoneId, ZoneSample};
use edge_core::sim::World;
use edge_core::units::{Celsius, Kelvin, Watts};
use edge_core::*;
use std::time::Duration;

use crate::common::{at, due, model, ms, small_policy};

fn zone(temp: f64) -> Sample {
    let celsius = |value| Celsius::new(value).unwrap();
    let zone = ZoneSample {
        id: ZoneId(0),
        temp: Celsius::new(temp),
        trip: celsius(99.0),
        hysteresis: Kelvin::new(5.0).unwrap(),
        critical: Some(celsius(104.5)),
    };
    Sample { zones: vec![zone], ..Sample::default() }
}

fn tell(world: &mut World, sample: Sample) {
    world.tell(Event::Sampled(Box::new(sample)));
}

fn refused(world: &World, id: u64) -> Option<Reason> {
    match world.outcome(id)? {
        Outcome::Refused(refusal) => Some(refusal.reason),
        Outcome::Shed(reason) => Some(reason),
        Outcome::Done
        | Outcome::Spilled(_)
        | Outcome::Deferred(_)
        | Outcome::Failed(_)
        | Outcome::Expired
        | Outcome::Cancelled => None,
    }
}

#[test]
fn a_box_that_is_held_runs_nothing_new_and_tells_who_waits() {
    let mut world = World::new(small_policy());
    world.load(0, model(100));
    (1..=4).for_each(|id| world.arrive(due(id, 1, 10_000)));
    world.tell(Event::Held(true));
    assert_eq!(refused(&world, 3), Some(Reason::Held), "it waited");
    world.arrive(due(5, 1, 10_000));
    assert_eq!(refused(&world, 5), Some(Reason::Held));
    world.arrive(RequestMeta { deferrable: true, ..due(6, 2, 20_000) });
    world.run_for(ms(1000));
    assert_eq!((world.outcome(1), world.outcome(2)), (Some(Outcome::Done), Some(Outcome::Done)), "they ran already");
    assert_eq!(world.outcome(6), None, "it may wait");
    world.tell(Event::Held(false));
    world.arrive(due(7, 1, 10_000));
    world.run_for(ms(1000));
    assert_eq!((world.outcome(6), world.outcome(7)), (Some(Outcome::Done), Some(Outcome::Done)));
}

#[test]
fn what_waits_is_routed_again_at_once_when_the_capacity_falls() {
    let mut world = World::new(small_policy());
    world.load(0, model(1000));
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: ms(1000).duration() });
    tell(&mut world, zone(50.0));
    (1..=8).for_each(|id| world.arrive(due(id, u32::try_from(id).unwrap(), 6000)));
    assert!((1..=8).all(|id| world.outcome(id).is_none()), "two lanes are done with eight in four seconds");
    // Near what is aimed at, before anything was learnt: a part of the time.
    world.run_until(at(1100));
    tell(&mut world, zone(94.0));
    world.run_until(at(2100));
    tell(&mut world, zone(94.0));
    let gone: Vec<u64> = (1..=8).filter(|id| refused(&world, *id).is_some()).collect();
    assert!(!gone.is_empty() && gone.iter().all(|id| *id > 4), "{gone:?}");
    assert!(
        gone.iter().all(|id| matches!(refused(&world, *id), Some(Reason::Throttled | Reason::TooHot))),
        "{gone:?} {:?}",
        refused(&world, gone[0])
    );
    assert!(world.ended(gone[0]).is_some_and(|ended| ended <= at(2100)), "they were told at once");
    world.run_out();
    assert!((1..=4).all(|id| world.outcome(id) == Some(Outcome::Done)), "{gone:?}");
}

#[test]
fn nothing_runs_beyond_the_trip_until_it_is_cooler() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    tell(&mut world, zone(101.0));
    world.arrive(due(1, 1, 500));
    assert_eq!(refused(&world, 1), Some(Reason::TooHot));
    for second in 1..70_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, zone(101.0 - f64::from(second) / 2.0));
    }
    world.arrive(due(2, 1, 71_000));
    world.run_for(ms(500));
    assert_eq!(world.outcome(2), Some(Outcome::Done));
    let regimes = world.announced().iter().filter_map(|change| match change {
        Change::Regime { from, to, cause } => Some((*from, *to, *cause)),
        Change::Draining | Change::Drained | Change::Serving | Change::Site { .. } => None,
    });
    let regimes: Vec<_> = regimes.collect();
    assert_eq!(regimes[0], (Regime::Boot, Regime::Critical, Cause::TooHot(ZoneId(0))));
    assert_eq!(regimes.last().map(|(_, to, _)| *to), Some(Regime::Nominal), "{regimes:?}");
}

#[test]
fn a_model_that_is_late_without_heat_makes_the_box_slow_with_the_likely_cause() {
    let mut world = World::new(small_policy());
    world.load(0, model(40));
    world.tell(Event::Planned { model: ModelId(0), batch: 1, took: ms(20).duration() });
    for id in 1..=20_u64 {
        world.run_until(at(id * 1000));
        world.arrive(due(id, 1, id * 1000 + 500));
        world.run_for(ms(100));
        tell(&mut world, Sample { clue: Some(Clue::NpuClock), ..zone(45.0) });
    }
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.regime.regime, snapshot.regime.cause), (Regime::Slow, Cause::Late(Some(Clue::NpuClock))));
    assert!(snapshot.models[0].late.is_some_and(|factor| (1.9..2.1).contains(&factor)), "{snapshot:?}");
    // As planned again.
    world.unload(0);
    world.load(1, model(20));
    world.tell(Event::Planned { model: ModelId(1), batch: 1, took: ms(20).duration() });
    for second in 21..=120 {
        world.run_until(at(second * 1000));
        tell(&mut world, zone(45.0));
    }
    assert_eq!(world.core().snapshot().regime.regime, Regime::Nominal);
}

#[test]
fn a_machine_without_thermometers_is_blind_and_loses_nothing() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    tell(&mut world, Sample::default());
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.regime.regime, snapshot.regime.cause), (Regime::Blind, Cause::NoThermometer));
    assert_eq!((snapshot.capacity.duty, snapshot.capacity.lanes), (Ratio::ONE, small_policy().lanes));
    world.arrive(due(1, 1, 500));
    world.run_for(ms(100));
    assert_eq!(world.outcome(1), Some(Outcome::Done));
}

#[test]
fn an_hour_of_sleep_is_no_fault_of_the_thermometer() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    for second in 1..=30_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, zone(60.0 + f64::from(second)));
    }
    world.run_until(at(31_000));
    tell(&mut world, Sample { slept: Duration::from_secs(3600), ..zone(25.0) });
    let snapshot = world.core().snapshot();
    assert!(snapshot.zones[0].doubt.is_none() && (snapshot.zones[0].temp - 25.0).abs() < 0.5, "{:?}", snapshot.zones);
    assert_eq!(snapshot.regime.regime, Regime::Nominal);
    world.run_until(at(32_000));
    tell(&mut world, zone(90.0));
    assert_eq!(world.core().snapshot().zones[0].temp, 90.0, "heat is believed at once");
}

#[test]
fn silence_of_all_thermometers_is_blind_and_only_lowers_what_may_run() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    for second in 1..=20_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, zone(90.0 + f64::from(second % 2) / 2.0));
    }
    let mut before = world.core().snapshot().capacity.duty;
    for second in 21..=200_u64 {
        world.run_until(at(second * 1000));
        tell(&mut world, Sample { zones: Vec::new(), ..Sample::default() });
        let now = world.core().snapshot().capacity.duty;
        assert!(now <= before, "{now:?} after {before:?} at {second} s");
        before = now;
    }
    let snapshot = world.core().snapshot();
    assert_eq!(
        (snapshot.regime.regime, snapshot.regime.cause),
        (Regime::Critical, Cause::TooHot(ZoneId(0))),
        "by its age"
    );
    for second in 201..=240 {
        world.run_until(at(second * 1000));
        tell(&mut world, zone(80.0));
    }
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.regime.regime, snapshot.capacity.duty), (Regime::Nominal, Ratio::ONE));
}

#[test]
fn one_thermometer_that_goes_away_costs_nothing_while_others_are_cool() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    let both = |first: Option<f64>, second: f64| {
        let mut sample = zone(second);
        let first = first.map(|temp| ZoneSample { id: ZoneId(1), ..zone(temp).zones[0] });
        sample.zones.extend(first);
        sample
    };
    for second in 1..=30_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, both(Some(55.0 + f64::from(second % 2)), 52.0 + f64::from(second % 3)));
    }
    for second in 31..=900_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, both(None, 52.0 + f64::from(second % 3)));
    }
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.regime.regime, snapshot.capacity.duty), (Regime::Nominal, Ratio::ONE));
    let gone = snapshot.zones.iter().find(|zone| zone.id == ZoneId(1)).map(|zone| (zone.doubt, zone.temp <= 75.0));
    assert_eq!(gone, Some((Some(Doubt::Missing), true)), "{:?}", snapshot.zones);
}

#[test]
fn a_spike_that_came_with_the_load_is_forgotten_when_all_others_are_cool() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    let both = |temp: f64| {
        let mut sample = zone(temp);
        sample.zones.push(ZoneSample { id: ZoneId(1), ..zone(temp).zones[0] });
        sample
    };
    let power = |watts, sample: Sample| Sample { power: Watts::new(watts), ..sample };
    for second in 1..=120_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, power(8.0, both(50.0 + f64::from(second % 9))));
    }
    world.run_until(at(121_000));
    tell(&mut world, power(16.0, both(112.0)));
    world.run_until(at(122_000));
    tell(&mut world, power(16.0, both(112.5)));
    for second in 123..=400_u32 {
        world.run_until(at(u64::from(second) * 1000));
        tell(&mut world, power(8.0, both(54.0 + f64::from(second % 2))));
    }
    let snapshot = world.core().snapshot();
    assert_eq!(snapshot.regime.regime, Regime::Nominal, "{:?}", snapshot.zones);
}

#[test]
fn over_current_acts_at_once_and_a_surface_that_is_hot_does_not() {
    let mut world = World::new(small_policy());
    world.load(0, model(10));
    tell(&mut world, zone(72.0));
    assert_eq!(world.core().snapshot().capacity.duty, Ratio::ONE);
    world.run_until(at(1000));
    tell(&mut world, Sample { over_current: 3, ..zone(50.0) });
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.regime.regime, snapshot.regime.cause), (Regime::Throttled, Cause::OverCurrent));
    assert!(snapshot.capacity.duty.get() < 0.2, "next to nothing was used: {:?}", snapshot.capacity);
    assert!(snapshot.capacity.batch < small_policy().max_batch, "{:?}", snapshot.capacity);
}
