//! The whole core against thermal machines with throttling hardware of their own, in virtual time: each plant, at each ambient
//! temperature, under each load, for two hours. See `sim::plant`.

use edge_core::sim::heated::{Trial, missed_ahead, run};
use edge_core::sim::plant::{Kind, Parameters, Plant, Trouble};

/// Seeds of each place in the table; the first one draws nothing.
const SEEDS: u64 = 3;
const TWO_HOURS: u64 = 7200;

#[test]
fn a_box_sheds_before_it_throttles_and_does_what_it_can_keep() {
    println!(
        "| plant | ambient | load | optimum | governor | of it | in time | throttled | without | of it | in time | throttled |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut faults = Vec::new();
    for kind in Kind::ALL {
        for ambient in [25.0, 45.0, 60.0] {
            for load in [0.6, 1.0, 1.5] {
                for seed in 0..SEEDS {
                    let optimum = Parameters::draw(kind, ambient, seed).optimum(load);
                    let with = run(Trial::new(kind, ambient, load, seed, true), TWO_HOURS, |_, _, _| ());
                    let without = run(Trial::new(kind, ambient, load, seed, false), TWO_HOURS, |_, _, _| ());
                    let (share, plain) = (with.work / optimum, without.work / optimum);
                    let line = format!(
                        "| {} {seed} | {ambient} C | {:.0}% | {:.3} | {:.3} | {share:.3} | {:.2}% | {} | {:.3} | {plain:.3} | {:.2}% | {} |",
                        kind.as_str(),
                        load * 100.0,
                        optimum,
                        with.work,
                        with.in_time() * 100.0,
                        with.throttled,
                        without.work,
                        without.in_time() * 100.0,
                        without.throttled,
                    );
                    println!("{line} {} shed {} expired", with.shed, with.admitted - with.on_time - with.shed);
                    if with.throttled > 0 || share < 0.97 || with.in_time() < 0.99 {
                        faults.push(line);
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The largest duty that a box in this state could run for a minute without passing the target: what one would allow who
/// knew all.
fn possible(plant: &Plant, target: f64) -> f64 {
    let fits = |duty: f64| {
        let mut plant = plant.clone();
        plant.trouble = None;
        (0..60).all(|_| {
            plant.pass(1.0, duty);
            plant.temp() <= target
        })
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..10 {
        let duty = (low + high) / 2.0;
        if fits(duty) { low = duty } else { high = duty }
    }
    low
}

#[test]
fn what_fails_throttles_nothing_and_the_capacity_is_back_within_a_minute() {
    let troubles = [
        ("a fan that fails", Trouble::FanFailed),
        ("air 15 K warmer", Trouble::Warmer(15.0)),
        ("a thermometer that stands still", Trouble::Frozen),
        ("one that jumps up", Trouble::Off(20.0)),
        ("one that jumps down", Trouble::Off(-20.0)),
        ("a zone that goes away", Trouble::Gone),
    ];
    let mut faults = Vec::new();
    for kind in Kind::ALL {
        for (name, trouble) in troubles {
            for (ambient, began) in [(25.0, 1800), (45.0, 700), (45.0, 1800)] {
                for seed in 0..SEEDS {
                    let ends = began + 600;
                    let mut trial = Trial::new(kind, ambient, 1.5, seed, true);
                    trial.trouble = Some((trouble, began, ends));
                    let target = trial.plant.parameters.trip - 0.7;
                    let mut best: f64 = 0.0;
                    let result = run(trial, ends + 60, |second, plant, core| {
                        if second >= ends {
                            best = best.max(core.snapshot().capacity.duty.get() / possible(plant, target).max(0.02));
                        }
                    });
                    let line = format!(
                        "{}, {name}, {ambient} C, at {began} s, seed {seed}: throttled {}, a minute later {best:.2} of what was possible, in time {:.4}",
                        kind.as_str(),
                        result.throttled,
                        result.in_time()
                    );
                    println!("{line}");
                    if result.throttled > 0 || best < 0.85 {
                        faults.push(line);
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_minute_ahead_is_known_after_ten_within_a_kelvin_and_a_half() {
    for kind in Kind::ALL {
        let mut worst: f64 = 0.0;
        for ambient in [25.0, 45.0, 60.0] {
            for load in [0.3, 0.6, 1.5] {
                for seed in 0..SEEDS {
                    worst = worst.max(missed_ahead(Trial::new(kind, ambient, load, seed, true)));
                }
            }
        }
        println!("{}: within {worst:.2} K", kind.as_str());
        assert!(worst <= 1.5, "{}: {worst}", kind.as_str());
    }
}
