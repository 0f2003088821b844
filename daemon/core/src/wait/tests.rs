use proptest::prelude::*;

use super::*;

const NOW: Mono = Mono::from_nanos(7_000_000_000);

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

/// A site whose answers take evenly from nothing to 2.02 s: a chance of 1% of more than 2 s.
fn even(time: Span) -> Chance {
    Chance::of(ms(2_020).minus(time).as_nanos() >> 8, ms(2_020).as_nanos() >> 8)
}

/// All that ended had 10 s of unknown work.
fn tens() -> Works {
    let mut works = Works::new(ms(5_000));
    (0..500).for_each(|_| works.learn(NOW, 100, ms(10_000), ms(10_000)));
    works
}

/// Half a second of its own known work, two seconds of slack, all slots taken.
fn scene<'a>(works: &'a Works, running: &'a [Running]) -> Scene<'a> {
    let deadline = ms(2_000).from(NOW);
    Scene { now: NOW, deadline, known: ms(500), ahead: 0, free: 0, running, works, speed: Speed::FULL }
}

fn run(had: u64) -> Running {
    Running { size: 100, known: Span::ZERO, had: ms(had) }
}

fn some(permille: u32) -> Chance {
    Chance::permille(permille)
}

#[test]
fn a_free_slot_is_taken_as_long_as_its_own_work_is_in_time() {
    let works = tens();
    let idle = Scene { free: 2, ahead: 1, ..scene(&works, &[]) };
    let here = Place::Here { leave_at: ms(1_500).from(NOW) };
    assert_eq!(place(&idle, even, Chance::NONE), (here, Chance::NONE));
    let cases = [(500, 1_000), (2_000, 1_000), (2_001, 1_000), (500, 585), (1_200, 585), (500, 200), (1, 0)];
    let fits = cases.map(|(known, speed)| {
        let scene = Scene { known: ms(known), speed: Speed::permille(speed), ..idle };
        place(&scene, even, Chance::NONE).0 != Place::Away
    });
    assert_eq!(fits, [true, true, false, true, false, false, true]);
}

#[test]
fn a_slot_that_is_about_to_be_free_is_waited_for_and_one_that_is_not_is_not() {
    let works = tens();
    let judge = |running: &[Running]| place(&scene(&works, running), even, some(10));
    let (there, risk) = judge(&[run(9_600)]);
    // Buckets at 10 s are an eighth wide: the end comes within 0.7 s of then.
    assert!(matches!(there, Place::Here { leave_at } if leave_at > ms(700).from(NOW)), "{there:?}");
    assert!(risk <= some(10));
    assert_eq!(judge(&[run(1_000)]).0, Place::Away);
    assert_eq!(judge(&[Running { known: ms(1_600), ..run(0) }]).0, Place::Away, "its prompt is not read yet");
    // Two ends are needed.
    let (one_soon, both_soon) = ([run(9_600), run(1_000)], [run(9_600), run(9_700)]);
    let two = Scene { ahead: 1, ..scene(&works, &one_soon) };
    assert_eq!(place(&two, even, some(10)).0, Place::Away);
    let two = Scene { running: &both_soon, ..two };
    assert_ne!(place(&two, even, some(10)).0, Place::Away);
}

#[test]
fn a_hot_box_waits_for_less() {
    let works = tens();
    let running = [run(8_900)];
    let at = |speed| {
        let scene = Scene { known: ms(100), speed: Speed::permille(speed), ..scene(&works, &running) };
        in_time(&scene)
    };
    assert!(at(1_000) > some(900), "{:?}", at(1_000));
    assert!(at(800) < at(1_000) && at(500) < at(800) && at(500) < some(250), "{:?} {:?}", at(800), at(500));
}

#[test]
fn looked_at_again_it_stays_only_if_that_is_no_worse_than_leaving() {
    let works = tens();
    // 1.3 s have passed; leaving is late with a chance of two thirds.
    for (had, stays) in [(9_990, true), (5_000, false)] {
        let running = [run(had)];
        let later = Scene { now: ms(1_300).from(NOW), known: ms(100), ..scene(&works, &running) };
        let (there, risk) = place(&later, even, Chance::NONE);
        assert_eq!(there != Place::Away, stays, "{had}");
        assert!(risk <= even(ms(700)));
    }
}

#[test]
fn a_long_line_of_short_work_is_waited_in() {
    let mut works = Works::new(ms(5_000));
    (0..500).for_each(|_| works.learn(NOW, 100, ms(50), ms(50)));
    let running = [run(20); 16];
    let ahead = |ahead| place(&Scene { ahead, known: ms(50), ..scene(&works, &running) }, even, some(10)).0;
    assert_ne!(ahead(64), Place::Away, "16 slots end 64 runs of 50 ms in 0.2 s");
    assert_eq!(ahead(1_000), Place::Away, "and 1,000 in 3 s");
}

#[test]
fn who_risks_nothing_leaves_more_for_others_and_nobody_risks_more_than_a_tenth() {
    let mut account = Allowance::new(10);
    assert_eq!(account.allowed().get(), 327, "half of the promise to begin with");
    (0..10_000).for_each(|_| account.placed(Chance::NONE));
    assert_eq!(account.allowed(), some(100));
    // Under overload each risks 1% by leaving at once: nothing more is allowed.
    (0..10_000).for_each(|_| account.placed(some(10)));
    assert_eq!(account.allowed(), Chance::NONE);
    // When a fifth of the requests wait, each may risk five times the income.
    for number in 0..1_000 {
        account.placed(if number % 5 == 0 { account.allowed() } else { Chance::NONE });
    }
    assert!((20..=30).contains(&(account.allowed().get() * 1000 / Chance::SURE.get())), "{:?}", account.allowed());
}

fn running() -> impl Strategy<Value = Vec<Running>> {
    let run = (0..5_000_u64, 0..2_000_u64, 0..20_000_u64).prop_map(|(size, known, had)| Running {
        size,
        known: ms(known.saturating_sub(1_000)),
        had: ms(had),
    });
    proptest::collection::vec(run, 1..17)
}

fn learnt() -> impl Strategy<Value = Works> {
    proptest::collection::vec((0..5_000_u64, 0..20_000_u64), 0..100).prop_map(|ends| {
        let mut works = Works::new(ms(5_000));
        ends.iter().for_each(|(size, end)| works.learn(NOW, *size, ms(*end), ms(*end)));
        works
    })
}

proptest! {
    #[test]
    fn no_request_risks_more_than_it_is_allowed_or_than_leaving_at_once(
        works in learnt(), running in running(), ahead in 0..70_usize, known in 0..3_000_u64, slack in 0..4_000_u64,
        allowed in 0..200_u32, speed in 0..1_500_u32,
    ) {
        let deadline = ms(slack).from(NOW);
        let (known, speed) = (ms(known), Speed::permille(speed));
        let scene = Scene { deadline, known, ahead, speed, ..scene(&works, &running) };
        let (there, risk) = place(&scene, even, some(allowed));
        prop_assert!(risk <= some(allowed).max(even(ms(slack))));
        match there {
            Place::Here { leave_at } => {
                prop_assert!(leave_at > NOW && speed.time(known).from(leave_at) <= deadline, "{leave_at:?}");
            }
            Place::Away => prop_assert_eq!(risk, even(ms(slack))),
        }
    }

    #[test]
    fn who_has_more_ahead_or_a_slower_box_is_in_time_less_often(
        works in learnt(), running in running(), ahead in 0..16_usize, known in 0..1_000_u64, speed in 1..1_000_u32,
    ) {
        let ahead = ahead % running.len();
        let near = Scene { known: ms(known), speed: Speed::permille(speed), ahead, ..scene(&works, &running) };
        if ahead > 0 {
            let fewer = Scene { ahead: ahead - 1, ..near };
            prop_assert!(in_time(&near) <= rounded(in_time(&fewer)));
        }
        let faster = Scene { speed: Speed::permille(speed + 100), ..near };
        prop_assert!(in_time(&near) <= rounded(in_time(&faster)));
    }

    #[test]
    fn the_number_of_ends_is_counted_as_if_all_ways_were_listed(works in learnt(), running in running(), needed in 1..=EXACT) {
        let running = &running[..running.len().min(9)];
        let needed = needed.min(running.len());
        let near = Scene { ahead: needed - 1, ..scene(&works, running) };
        let ends: Vec<f64> = running.iter().map(|run| {
            let more = ms(1_500).minus(run.known);
            if more == Span::ZERO { 0.0 } else { f64::from(works.within(run.size, run.had, more).get()) / 65_536.0 }
        }).collect();
        let enough: f64 = (0..1_u32 << ends.len()).filter(|ways| ways.count_ones() as usize >= needed).map(|ways| {
            ends.iter().enumerate().map(|(slot, end)| if ways >> slot & 1 == 1 { *end } else { 1.0 - end }).product::<f64>()
        }).sum();
        let told = f64::from(in_time(&near).get()) / 65_536.0;
        prop_assert!((told - enough).abs() < 0.01, "{told} for {enough}");
    }
}

/// Products of whole numbers are cut: by less than one in 65,536 each.
fn rounded(chance: Chance) -> Chance {
    chance.or(Chance::of(200, 65_536))
}
