use super::*;

const IDLE: Conditions = Conditions { busy: None, open: false, hot: false };

/// A run that nobody disturbed.
fn run(took: Duration) -> Option<Run> {
    Some(Run { took, waited: Duration::ZERO, computed: took, energy: None })
}

fn ms(ms: u64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

/// A box on which a batch of `batch` items on `lanes` sessions of way `way` takes `cost` milliseconds.
fn measure(ways: &[Way], cost: impl Fn(usize, u16, u16) -> u64) -> (Vec<Point>, Vec<Step>) {
    let (mut tuner, mut steps) = (Tuner::new(ways.to_vec(), 2), Vec::new());
    loop {
        let step = tuner.next(ms(0), &IDLE).unwrap();
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        match step {
            Step::Load(_) => tuner.loaded(true),
            Step::Measure { way, lanes, batch } => {
                assert_eq!(tuner.next(ms(0), &IDLE), None, "one run at a time");
                tuner.measured(ms(0), run(Duration::from_millis(cost(way, lanes, batch))));
            }
            Step::Unload(_) => {}
            Step::Wait(_) => panic!("the box is idle"),
            Step::Done => return (tuner.points().to_vec(), steps),
        }
    }
}

fn batches(points: &[Point], way: usize, lanes: u16) -> Vec<u16> {
    points.iter().filter(|point| (point.way, point.lanes) == (way, lanes)).map(|point| point.batch).collect()
}

#[test]
fn every_way_is_loaded_measured_with_one_and_all_sessions_and_let_go() {
    let ways = [Way { instances: 2, threads: 1, max_batch: 4 }, Way { instances: 1, threads: 1, max_batch: 1 }];
    let (points, steps) = measure(&ways, |_, _, batch| u64::from(batch) * 5);
    assert_eq!(batches(&points, 0, 1), [1, 2, 4]);
    assert_eq!(batches(&points, 0, 2), [1, 2, 4]);
    assert_eq!(batches(&points, 1, 1), [1]);
    assert_eq!(steps.first(), Some(&Step::Load(0)));
    assert_eq!(steps[steps.len() - 2..], [Step::Unload(1), Step::Done]);
    assert!(points.iter().all(|point| point.took == Duration::from_millis(u64::from(point.batch) * 5)));
}

#[test]
fn larger_batches_are_tried_until_two_in_a_row_were_in_vain() {
    let ways = [Way { instances: 1, threads: 1, max_batch: 64 }];
    // Each item costs more in a larger batch.
    let (points, _) = measure(&ways, |_, _, batch| u64::from(batch) * (10 + u64::from(batch)));
    assert_eq!(batches(&points, 0, 1), [1, 2, 4]);
    // Two are dearer, from four on it pays.
    let (points, _) = measure(&ways, |_, _, batch| if batch == 2 { 25 } else { 9 + u64::from(batch) });
    assert_eq!(batches(&points, 0, 1), [1, 2, 4, 8, 16, 32, 64]);
}

#[test]
fn a_way_that_is_far_slower_is_not_measured_to_the_end() {
    let ways = [Way { instances: 1, threads: 1, max_batch: 8 }; 2];
    let (points, _) = measure(&ways, |way, _, batch| u64::from(batch) * if way == 0 { 10 } else { 100 });
    assert_eq!((batches(&points, 0, 1), batches(&points, 1, 1)), (vec![1, 2, 4], vec![1]));
}

#[test]
fn a_model_of_30_ms_is_measured_within_a_minute() {
    // Eight ways of a model whose items cost the same in every batch: the longest that there is, as each step pays as
    // little as it may.
    let ways = [Way { instances: 2, threads: 1, max_batch: 16 }; 8];
    let (mut tuner, mut spent) = (Tuner::new(ways.to_vec(), 2), 0);
    loop {
        match tuner.next(ms(0), &IDLE).unwrap() {
            Step::Load(_) => tuner.loaded(true),
            Step::Measure { batch, .. } => {
                spent += u64::from(batch) * 30;
                tuner.measured(ms(0), run(Duration::from_millis(u64::from(batch) * 30)));
            }
            Step::Unload(_) => {}
            Step::Wait(_) => panic!("the box is idle"),
            Step::Done => break,
        }
    }
    assert!(spent <= 60_000, "{spent} ms");
}

#[test]
fn nothing_begins_before_the_box_was_left_alone_for_ten_seconds() {
    let mut tuner = Tuner::new(vec![Way { instances: 1, threads: 1, max_batch: 1 }], 2);
    let busy = |at| Conditions { busy: Some(ms(at)), ..IDLE };
    assert_eq!(tuner.next(ms(5_000), &busy(4_000)), Some(Step::Wait(ms(14_000))));
    assert_eq!(tuner.next(ms(14_000), &Conditions { open: true, ..busy(4_000) }), Some(Step::Wait(ms(15_000))));
    assert_eq!(tuner.next(ms(14_000), &Conditions { hot: true, ..busy(4_000) }), Some(Step::Wait(ms(15_000))));
    assert_eq!(tuner.next(ms(14_000), &busy(4_000)), Some(Step::Load(0)));
    tuner.loaded(true);
    // A request came while it was loaded.
    assert_eq!(tuner.next(ms(15_000), &busy(14_500)), Some(Step::Wait(ms(24_500))));
    assert_eq!(tuner.next(ms(24_500), &busy(14_500)), Some(Step::Measure { way: 0, lanes: 1, batch: 1 }));
    // And while it was measured: that run is the only one that it meets.
    assert_eq!(tuner.next(ms(24_600), &busy(24_550)), None);
    tuner.measured(ms(0), run(Duration::from_millis(1)));
    assert_eq!(tuner.next(ms(24_700), &busy(24_550)), Some(Step::Wait(ms(34_550))));
}

#[test]
fn what_cannot_be_loaded_or_run_is_passed_over() {
    let ways = [Way { instances: 2, threads: 1, max_batch: 8 }; 3];
    let mut tuner = Tuner::new(ways.to_vec(), 2);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(0)));
    tuner.loaded(false);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Unload(0)));
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(1)));
    tuner.loaded(true);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Measure { way: 1, lanes: 1, batch: 1 }));
    tuner.measured(ms(0), None);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Measure { way: 1, lanes: 2, batch: 1 }));
    tuner.measured(ms(0), None);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Unload(1)));
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(2)));
    // The engine host died.
    tuner.lost();
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Done));
    assert_eq!((tuner.points(), tuner.progress(), tuner.holds()), (&[][..], (3, 3), None));
}

#[test]
fn a_disturbed_run_is_made_again_after_a_while_until_it_is_clear_that_others_never_rest() {
    let mut tuner = Tuner::new(vec![Way { instances: 1, threads: 1, max_batch: 1 }], 2);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(0)));
    tuner.loaded(true);
    let disturbed = || {
        Some(Run {
            took: Duration::from_millis(100),
            waited: Duration::from_millis(11),
            computed: Duration::from_millis(100),
            energy: None,
        })
    };
    let (mut now, mut runs) = (0, 0);
    let measure = Some(Step::Measure { way: 0, lanes: 1, batch: 1 });
    assert_eq!(tuner.next(ms(0), &IDLE), measure);
    tuner.measured(ms(0), disturbed());
    while !tuner.is_disturbed() {
        assert_eq!(tuner.next(ms(now), &IDLE), measure);
        tuner.measured(ms(now), disturbed());
        runs += 1;
        assert_eq!(tuner.next(ms(now), &IDLE), Some(Step::Wait(ms(now + 250))));
        now += 250;
    }
    assert_eq!((runs, tuner.points().len()), (60, 0));
    while let Some(Step::Measure { .. }) = tuner.next(ms(now), &IDLE) {
        tuner.measured(ms(now), disturbed());
    }
    assert_eq!(tuner.points()[0].took, Duration::from_millis(100), "now they count");
}

#[test]
fn who_has_nearly_all_processors_waits_for_its_own_threads() {
    for (waited, computed, disturbed) in [(11, 100, true), (11, 149, true), (11, 151, false), (10, 50, false)] {
        let millis = Duration::from_millis;
        let run = Run { took: millis(100), waited: millis(waited), computed: millis(computed), energy: None };
        assert_eq!(run.is_disturbed(2), disturbed, "waited {waited}, computed {computed}");
    }
}

#[test]
fn threads_of_a_short_run_wait_for_each_other_and_others_for_a_slice() {
    for (took, waited, disturbed) in [(2_000, 1_995, false), (1_000, 3_000, false), (4_500, 3_100, true)] {
        let micros = Duration::from_micros;
        let run = Run { took: micros(took), waited: micros(waited), computed: micros(took), energy: None };
        assert_eq!(run.is_disturbed(2), disturbed, "took {took}, waited {waited}");
    }
}

#[test]
fn energy_of_an_item_is_the_mean_power_of_its_sessions_times_its_share_of_a_run() {
    let mut tuner = Tuner::new(vec![Way { instances: 2, threads: 1, max_batch: 2 }], 4);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(0)));
    tuner.loaded(true);
    let (mut now, mut runs) = (0, 0);
    // Readings come every tenth of a second: most of these runs see none, and some see one.
    let mut read_at = 0;
    while let Some(Step::Measure { lanes, batch, .. }) = tuner.next(ms(now), &IDLE) {
        let took = 20 * u64::from(batch);
        now += took;
        runs += 1;
        let read = now / 100 * 100;
        let over = Duration::from_millis(read - read_at);
        // One session takes 8 W, both take 12 W.
        let microjoules = if lanes == 1 { 8 } else { 12 } * 1_000 * (read - read_at);
        read_at = read;
        let (took, waited) = (Duration::from_millis(took), Duration::ZERO);
        let energy = Some(Energy { microjoules, over });
        tuner.measured(ms(now), Some(Run { took, waited, computed: took, energy }));
    }
    assert!(runs > 36, "each point is measured for {METERED_TIME:?} at least");
    let per_item: Vec<_> =
        tuner.points().iter().map(|point| (point.lanes, point.batch, point.item_uj().unwrap())).collect();
    let expected = [(1, 1, 160_000), (1, 2, 160_000), (2, 1, 120_000), (2, 2, 120_000)];
    assert_eq!(per_item.len(), expected.len());
    for ((lanes, batch, found), (_, _, wanted)) in per_item.into_iter().zip(expected) {
        assert!(found.abs_diff(wanted) * 100 <= wanted * 15, "{lanes} {batch}: {found} uJ, expected {wanted}");
    }
}

#[test]
fn what_was_metered_for_too_short_a_time_is_not_believed() {
    let energy = |ms: u64| Energy { microjoules: 5_000 * ms, over: Duration::from_millis(ms) };
    assert_eq!([299, 300].map(|ms| energy(ms).power_mw()), [None, Some(5_000)]);
    let mut tuner = Tuner::new(vec![Way { instances: 1, threads: 1, max_batch: 1 }], 2);
    assert_eq!(tuner.next(ms(0), &IDLE), Some(Step::Load(0)));
    tuner.loaded(true);
    let mut runs = 0;
    while let Some(Step::Measure { .. }) = tuner.next(ms(0), &IDLE) {
        let took = Duration::from_micros(20);
        tuner.measured(
            ms(0),
            Some(Run { took, waited: Duration::ZERO, computed: took, energy: Some(Energy::default()) }),
        );
        runs += 1;
    }
    assert_eq!((runs, tuner.points()[0].power_mw), (401, None));
    let point = Point { way: 0, lanes: 1, batch: 4, took: Duration::from_millis(40), power_mw: None };
    assert_eq!(point.item_uj(), None);
    assert_eq!(Point { power_mw: Some(6_000), ..point }.item_uj(), Some(60_000));
}
