//! No allocation on the decision path, once everything has been used for the first time.
#![expect(unsafe_code, reason = "counting allocations takes an allocator")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::{ms, small_policy};
use edge_core::breaker::{Breaker, Failure, Gate};
use edge_core::estimate::latency::Latency;
use edge_core::estimate::works::Works;
use edge_core::sim::{Dice, Pump};
use edge_core::wait::{Allowance, Place, Running, Scene, Speed, place};
use edge_core::*;

thread_local! {
    /// Allocations of this thread; other tests run on other threads.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // At the end of a thread the counter may be gone already.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `alloc` above with this layout, so from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`, and the caller's promise about `size` is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One thing happens: most often a request comes or a batch ends, sometimes something goes wrong.
fn happen(pump: &mut Pump, dice: &mut Dice) {
    pump.wait(Span::from_nanos(dice.below(400_000)));
    let client = u32::try_from(dice.below(1 << 20)).unwrap_or(0);
    match dice.below(100) {
        0..55 => {
            let meta = pump.meta(client % [3, 1 << 20][client as usize % 2]);
            let deadline = Some(ms(5 + dice.below(300)).from(pump.now()));
            let work = [Work::Tensors, Work::Encoded][client as usize % 2];
            let priority = [Priority::High, Priority::Normal, Priority::Low][client as usize % 3];
            // Some of many rows.
            let (cost, most_rows) = if client % 40 == 0 { (Cost::new(100), Some(64)) } else { (meta.cost, None) };
            pump.tell(Event::Arrived(RequestMeta { deadline, work, priority, cost, most_rows, ..meta }));
        }
        55..80 => {
            let lane = u16::try_from(dice.below(2)).unwrap_or(0);
            pump.finish(lane, Duration::from_micros(900 + dice.below(200)), Ok(()));
        }
        80..92 => {
            pump.decoded(Duration::from_micros(300));
        }
        92..94 => {
            pump.finish(0, Duration::from_micros(500), Err(Fault::Runtime));
        }
        94..96 => {
            let id = RequestId(pump.meta(0).id.0.saturating_sub(dice.below(30)));
            pump.tell(Event::Cancelled { id });
        }
        96 => pump.tell(Event::ClientLeft { client: ClientId(client % 3) }),
        97 => pump.tell(Event::Drain),
        98 => pump.tell(Event::Resume),
        _ => pump.tell(Event::Tick),
    }
}

#[test]
fn a_hundred_thousand_decisions_allocate_nothing() {
    let mut pump = Pump::new(Policy { max_waiting: 512, ..small_policy() }, 2, 16);
    let mut dice = Dice::new(7);
    // Long enough for every table to have had its largest size.
    (0..40_000).for_each(|_| happen(&mut pump, &mut dice));
    let before = COUNT.get();
    (0..100_000).for_each(|_| happen(&mut pump, &mut dice));
    assert_eq!(COUNT.get() - before, 0, "allocations");
    let counts = pump.counts;
    assert!(counts.done > 10_000 && counts.refused > 1_000 && counts.lost > 1_000, "{counts:?}");
    assert!(counts.members > counts.batches, "batches of several: {counts:?}");
    assert!(counts.chunks > 100, "chunks: {counts:?}");
}

#[test]
fn a_full_queue_that_is_shed_at_once_allocates_nothing_beyond_what_was_reserved() {
    let policy = Policy { max_waiting: 1024, client_share: Ratio::ONE, ..small_policy() };
    let mut pump = Pump::new(Policy { max_waiting_bytes: Bytes(1 << 30), ..policy }, 2, 16);
    let before = COUNT.get();
    for round in 0..3 {
        for _ in 0..1100 {
            let meta = pump.meta(round);
            pump.tell(Event::Arrived(RequestMeta { deferrable: true, ..meta }));
        }
        pump.tell(Event::ClientLeft { client: ClientId(round) });
        pump.finish(0, Duration::from_millis(1), Err(Fault::Stopped));
        pump.finish(1, Duration::from_millis(1), Err(Fault::Stopped));
    }
    assert_eq!(COUNT.get() - before, 0, "allocations");
    assert!(pump.counts.lost >= 3 * 1026, "{:?}", pump.counts);
}

#[test]
fn sites_and_waiting_are_learnt_and_decided_without_an_allocation() {
    let mut works = Works::new(ms(5_000));
    let (mut site, mut breaker, mut allowance) = (Latency::new(Zone::Cloud), Breaker::default(), Allowance::new(10));
    let (mut dice, mut stayed) = (Dice::new(3), 0);
    let before = COUNT.get();
    for (number, ahead) in (0..20_000).zip((0..70).cycle()) {
        let now = ms(number * 40).from(Mono::default());
        works.learn(now, dice.below(5_000), ms(dice.below(9_000)), ms(dice.below(9_000)));
        site.learn(now, dice.below(2_000_000), ms(dice.below(900)));
        site.learn_first(now, 1, ms(dice.below(2_000)));
        match breaker.may_pass(now, number) {
            Gate::Probe { since } => breaker.probed(now, since, Ok(()), number),
            Gate::Yes if dice.below(3) == 0 => breaker.failed(now, Failure::Server, number),
            Gate::Yes => breaker.succeeded(now),
            Gate::No { .. } => {}
        }
        let running: [Running; 16] =
            std::array::from_fn(|_| Running { size: dice.below(5_000), known: Span::ZERO, had: ms(dice.below(9_000)) });
        let deadline = ms(2_000).from(now);
        let (known, speed) = (ms(dice.below(900)), Speed::permille(900));
        let scene = Scene { now, deadline, known, ahead, free: 0, running: &running, works: &works, speed };
        let (place, risk) = place(&scene, |time| site.first_token_beyond(now, 1, time), allowance.allowed());
        allowance.placed(risk);
        stayed += u32::from(place != Place::Away);
    }
    assert_eq!(COUNT.get() - before, 0, "allocations");
    assert!((500..19_000).contains(&stayed), "{stayed}");
}

#[test]
fn an_enormous_bound_costs_no_memory_before_it_is_used() {
    let before = COUNT.get();
    let core = Scheduler::new(Policy { max_waiting: usize::MAX, ..small_policy() });
    assert!(COUNT.get() - before < 20);
    assert_eq!(core.snapshot().waiting, 0);
}

/// Eight sites of all zones, each with a price and a budget; those on the device have few places.
fn eight_sites() -> Policy {
    let zones = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];
    let price = Some(Price { request: NanoUsd(5), ..Price::default() });
    let site = |at: usize| Site {
        price,
        budget: Some(NanoUsd(u64::MAX)),
        may_hedge: true,
        max_open: if at.is_multiple_of(4) { 2 } else { 64 },
        ..Site::in_zone(zones[at % 4])
    };
    Policy { max_waiting: 512, unlabelled: DataClass::Public, sites: (0..8).map(site).collect(), ..small_policy() }
}

fn pick(dice: &mut Dice, of: u64) -> usize {
    usize::try_from(dice.below(of)).unwrap_or(0)
}

/// Terms with every layer on.
fn all_layers(dice: &mut Dice) -> Terms {
    let difficulties = [Difficulty::Easy, Difficulty::Hard, Difficulty::Unknown, Difficulty::Unrated];
    Terms {
        capable: Sites::ALL,
        may_hedge: true,
        stronger: Sites::from_bits(0b1010_1010),
        difficulty: difficulties[pick(dice, 4)],
        checked: dice.below(2) == 0,
        objective: [Objective::CheapestWithinSlo, Objective::FastestWithinBudget][pick(dice, 2)],
        here: if dice.below(4) == 0 { Here::NoModel } else { Here::Yes },
        ..Terms::default()
    }
}

#[test]
fn decisions_with_eight_sites_and_every_layer_on_allocate_nothing() {
    let mut pump = Pump::new(eight_sites(), 2, 16);
    let mut dice = Dice::new(11);
    let mut happen = |pump: &mut Pump| {
        pump.wait(Span::from_nanos(dice.below(2_000_000)));
        match dice.below(10) {
            0..5 => {
                let meta = pump.meta(u32::try_from(dice.below(5)).unwrap_or(0));
                let deadline = Some(ms(30 + dice.below(3000)).from(pump.now()));
                pump.tell(Event::Arrived(RequestMeta { deadline, terms: all_layers(&mut dice), ..meta }));
            }
            5 => {
                let lane = u16::try_from(dice.below(2)).unwrap_or(0);
                pump.finish(lane, Duration::from_millis(4), Ok(()));
            }
            6 => {
                pump.answered(Err([SiteFault::Reset, SiteFault::Busy(None)][pick(&mut dice, 2)]));
            }
            7..9 => {
                pump.answered(Ok(Tokens::default()));
                pump.answered(Ok(Tokens::default()));
            }
            _ => pump.tell(Event::Tick),
        }
    };
    let mut waited = 0;
    for _ in 0..40_000 {
        happen(&mut pump);
        waited += pump.core.snapshot().sites.iter().filter(|site| site.waiting > 0).count();
    }
    assert!(waited > 300, "places at full sites are waited for: {waited}");
    let (before, counts) = (COUNT.get(), pump.counts);
    (0..100_000).for_each(|_| happen(&mut pump));
    assert_eq!(COUNT.get() - before, 0, "allocations");
    let spilled = pump.counts.spilled - counts.spilled;
    let attempts = pump.counts.attempts - counts.attempts;
    assert!(spilled > 5_000 && attempts > spilled && pump.counts.done > 1_000, "{:?}", pump.counts);
}
