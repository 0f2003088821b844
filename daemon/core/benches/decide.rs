//! What one decision costs: time and allocations, beside what is promised.
//!
//! A decision is one event with its actions: an arrival that is accepted and sent to a lane, a batch that ends and
//! settles its members, a refusal. The driver here (`Pump`) is counted in; it does next to nothing.
#![expect(unsafe_code, reason = "counting allocations takes an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use edge_core::estimate::latency::Latency;
use edge_core::estimate::works::Works;
use edge_core::sim::Pump;
use edge_core::wait::{Allowance, Running, Scene, Speed, place};
use edge_core::{
    Bytes, ClientId, Country, DataClass, Demands, Difficulty, Event, Here, ModelId, Mono, NanoUsd, Objective, Policy,
    Price, Ratio, RequestId, RequestMeta, Retention, Site, SiteId, Sites, Span, Terms, Tokens, Training, Trip, Work,
    Zone,
};

/// Promised for a decision among sites, with every layer on.
const PROMISED_ROUTE: Duration = Duration::from_micros(5);
/// Promised for one decision.
const PROMISED: Duration = Duration::from_micros(2);
/// Repetitions of a measurement; the median counts.
const ROUNDS: usize = 31;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `alloc` above with this layout, so from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// One row of the table.
struct Row {
    what: &'static str,
    median: Duration,
    worst: Duration,
    allocations: u64,
    promised: Option<Duration>,
}

/// Times `timed` (which makes `decisions`) after `prepare`, over and over.
fn measure(
    what: &'static str,
    decisions: u32,
    pump: &mut Pump,
    mut prepare: impl FnMut(&mut Pump),
    mut timed: impl FnMut(&mut Pump),
) -> Row {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut allocations = 0;
    for round in 0..ROUNDS + 5 {
        prepare(pump);
        let before = ALLOCATIONS.load(Relaxed);
        let began = clock();
        timed(pump);
        let took = began.elapsed();
        // The first rounds warm up caches and tables.
        if round >= 5 {
            allocations += ALLOCATIONS.load(Relaxed) - before;
            times.push(took / decisions);
        }
    }
    times.sort();
    let promised = (decisions > 0).then_some(PROMISED);
    Row { what, median: times[ROUNDS / 2], worst: times[ROUNDS - 1], allocations, promised }
}

fn policy() -> Policy {
    Policy { max_waiting: 2048, max_waiting_bytes: Bytes(1 << 40), client_share: Ratio::ONE, ..Policy::default() }
}

fn arrive(pump: &mut Pump, client: u32, work: Work) {
    let meta = pump.meta(client);
    let deadline = Some(Span::from_millis(60_000).from(pump.now()));
    pump.tell(Event::Arrived(RequestMeta { deadline, work, ..meta }));
}

/// Arrival, batch, end, settlement: 2 decisions a request, on an idle box.
fn cycle() -> Row {
    let mut pump = Pump::new(policy(), 2, 16);
    measure(
        "request cycle on an idle box (2 decisions)",
        2000,
        &mut pump,
        |_| {},
        |pump| {
            for _ in 0..1000 {
                arrive(pump, 1, Work::Tensors);
                pump.wait(Span::from_millis(10));
                pump.finish(0, Duration::from_millis(10), Ok(()));
            }
        },
    )
}

/// The same with decoding: 3 decisions a request.
fn encoded_cycle() -> Row {
    let mut pump = Pump::new(policy(), 2, 16);
    measure(
        "encoded request cycle (3 decisions)",
        3000,
        &mut pump,
        |_| {},
        |pump| {
            for _ in 0..1000 {
                arrive(pump, 1, Work::Encoded);
                pump.decoded(Duration::from_millis(1));
                pump.wait(Span::from_millis(10));
                pump.finish(0, Duration::from_millis(10), Ok(()));
            }
        },
    )
}

/// The same with 1,000 requests waiting all the time.
fn busy_cycle() -> Row {
    let mut pump = loaded(1000);
    measure(
        "request cycle behind 1,000 waiting (2 decisions)",
        2000,
        &mut pump,
        |_| {},
        |pump| {
            for _ in 0..1000 {
                arrive(pump, 7, Work::Tensors);
                pump.wait(Span::from_millis(10));
                black_box(pump.finish(0, Duration::from_millis(10), Ok(())));
            }
        },
    )
}

/// Arrivals behind `waiting` others, of which nothing can start.
fn arrival(what: &'static str, waiting: usize) -> Row {
    let mut pump = loaded(waiting);
    let leave = |pump: &mut Pump| pump.tell(Event::ClientLeft { client: ClientId(99) });
    measure(what, 64, &mut pump, leave, |pump| (0..64).for_each(|_| arrive(pump, 99, Work::Tensors)))
}

/// Arrivals of one more caller behind 1,000 requests of as many callers as are told apart.
fn crowded_arrival() -> Row {
    let mut pump = loaded(1);
    (0..1000).for_each(|client| arrive(&mut pump, client, Work::Tensors));
    let leave = |pump: &mut Pump| pump.tell(Event::ClientLeft { client: ClientId(2000) });
    let what = "accepted arrival, 1,000 of 64 callers waiting";
    measure(what, 64, &mut pump, leave, |pump| (0..64).for_each(|_| arrive(pump, 2000, Work::Tensors)))
}

/// Requests of 64 callers in turn, with 1,000 waiting all the time.
fn crowded_cycle() -> Row {
    let mut pump = loaded(1);
    (0..1000).for_each(|client| arrive(&mut pump, client, Work::Tensors));
    measure(
        "request cycle behind 1,000 of 64 callers (2 decisions)",
        2000,
        &mut pump,
        |_| {},
        |pump| {
            for client in 0..1000 {
                arrive(pump, client, Work::Tensors);
                pump.wait(Span::from_millis(10));
                black_box(pump.finish(0, Duration::from_millis(10), Ok(())));
            }
        },
    )
}

/// Refusals while 1,000 wait.
fn refusal() -> Row {
    let mut pump = loaded(1000);
    pump.tell(Event::Policy(Box::new(Policy { max_waiting: 1000, ..policy() })));
    measure(
        "refused arrival, 1,000 waiting",
        64,
        &mut pump,
        |_| {},
        |pump| {
            (0..64).for_each(|_| arrive(pump, 99, Work::Tensors));
        },
    )
}

/// 64 requests wait for a model; they leave in two batches of 32, and the first of them is settled.
fn plan() -> Row {
    let mut pump = Pump::new(Policy { max_batch: 32, lanes: 1, ..policy() }, 1, 32);
    let fill = |pump: &mut Pump| {
        while pump.finish(0, Duration::from_millis(10), Ok(())) {
            pump.wait(Span::from_millis(10));
        }
        (0..65).for_each(|_| arrive(pump, 1, Work::Tensors));
    };
    // The same time for one as for 32: larger batches pay.
    (0..40).for_each(|_| fill(&mut pump));
    measure("batch plan of 64 requests (3 events, 33 settled)", 1, &mut pump, fill, |pump| {
        pump.finish(0, Duration::from_millis(10), Ok(()));
        pump.finish(0, Duration::from_millis(10), Ok(()));
    })
}

/// Where a call goes that finds all of 16 slots taken: how long it waits, or that it leaves.
fn wait(what: &'static str, ahead: usize) -> Row {
    let now = Span::from_millis(1_000_000).from(Mono::default());
    let (mut works, mut site) = (Works::new(Span::from_millis(5_000)), Latency::new(Zone::Cloud));
    for number in 1..2_000_u64 {
        works.learn(
            now,
            number % 4_000,
            Span::from_millis(number * 11 % 20_000),
            Span::from_millis(number * 13 % 25_000),
        );
        site.learn_first(now, 1, Span::from_millis(number * 7 % 2_000));
    }
    let run = |slot: u64| Running { size: slot * 100, known: Span::ZERO, had: Span::from_millis(slot * 900) };
    let running: [Running; 16] = std::array::from_fn(|slot| run(slot as u64));
    let known = Span::from_millis(300);
    let deadline = Span::from_millis(2_000).from(now);
    let scene = Scene { now, deadline, known, ahead, free: 0, running: &running, works: &works, speed: Speed::FULL };
    let allowed = Allowance::new(10).allowed();
    let decide = |_: &mut Pump| {
        (0..1_000).for_each(|_| {
            black_box(place(black_box(&scene), |time| site.first_token_beyond(now, 1, time), allowed));
        });
    };
    measure(what, 1_000, &mut Pump::new(policy(), 1, 1), |_| {}, decide)
}

/// Arrivals that no site is barred from, with every layer on: where each is served is asked of this box and, twice if it is
/// served here, of 8 sites, as it is watched for its last chance elsewhere. The cheapest site has so many `places`; if they are
/// few, they are all taken.
fn route(what: &'static str, here: Here, places: u16) -> Row {
    let zones = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];
    let price = Some(Price { request: NanoUsd(5), input_mtok: NanoUsd(7), output_mtok: NanoUsd(9) });
    let site = |at: usize| Site {
        price,
        budget: Some(NanoUsd(u64::MAX)),
        jurisdiction: Country::new("FR"),
        training: Training::No,
        retention: Retention::None,
        may_hedge: true,
        max_open: if at == 0 { places } else { u16::MAX },
        ..Site::in_zone(zones[at % 4])
    };
    let policy = Policy { unlabelled: DataClass::Public, sites: (0..8).map(site).collect(), ..policy() };
    let mut pump = Pump::new(policy, 2, 16);
    pump.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(1) });
    // Each site is well known, by answers of all sizes of time.
    for id in 0..8000_u64 {
        let site = SiteId(u8::try_from(id % 8).unwrap_or(0));
        let (result, took) = (Ok(Tokens::default()), Duration::from_micros(300 + id * 37 % 90_000));
        let (bytes, reserved) = (Bytes(1000), NanoUsd(0));
        pump.tell(Event::SiteDone(Trip { id: RequestId(1 << 50), site, bytes, reserved, result, sent: true, took }));
    }
    let mut jurisdictions = [None; Demands::COUNTRIES];
    jurisdictions[0] = Country::new("EU");
    let terms = Terms {
        capable: Sites::ALL,
        demands: Demands { jurisdictions, retention_days: Some(0), no_training: true },
        objective: if places < u16::MAX { Objective::CheapestWithinSlo } else { Objective::FastestWithinBudget },
        may_hedge: true,
        here,
        stronger: Sites::ALL,
        difficulty: Difficulty::Easy,
        checked: true,
        ..Terms::default()
    };
    let arrive = move |pump: &mut Pump| {
        let meta = pump.meta(1);
        let deadline = Some(Span::from_millis(60_000).from(pump.now()));
        pump.tell(Event::Arrived(RequestMeta { deadline, terms, ..meta }));
    };
    // All that came before is gone again.
    let leave = |pump: &mut Pump| {
        while pump.answered(Ok(Tokens::default())) {}
        pump.tell(Event::ClientLeft { client: ClientId(1) });
        for lane in [0, 1, 0, 1] {
            pump.finish(lane, Duration::from_millis(1), Ok(()));
        }
        pump.wait(Span::from_millis(100));
        if places < u16::MAX {
            (0..places).for_each(|_| arrive(pump));
        }
    };
    measure(what, 16, &mut pump, leave, move |pump| (0..16).for_each(|_| arrive(pump)))
}

/// A box on which `waiting` requests wait behind a batch that does not end.
fn loaded(waiting: usize) -> Pump {
    let mut pump = Pump::new(policy(), 1, 1);
    pump.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(10) });
    arrive(&mut pump, 7, Work::Tensors);
    // One runs, and one may have been sent ahead.
    while pump.core.snapshot().waiting < waiting {
        arrive(&mut pump, 7, Work::Tensors);
    }
    pump
}

fn main() {
    let mut rows = vec![
        cycle(),
        encoded_cycle(),
        busy_cycle(),
        arrival("accepted arrival, idle queue", 0),
        arrival("accepted arrival, 1,000 waiting", 1000),
        crowded_arrival(),
        crowded_cycle(),
        refusal(),
        plan(),
        wait("wait or leave, 16 slots, nobody ahead", 0),
        wait("wait or leave, 16 slots, 7 ahead", 7),
        wait("wait or leave, 16 slots, 64 ahead", 64),
        route("route with 8 sites, every layer on: served here", Here::Yes, u16::MAX),
        route("route with 8 sites, every layer on: sent to a site", Here::NoModel, u16::MAX),
        route("route with 8 sites, every layer on: waits for one of 16 places", Here::NoModel, 16),
    ];
    let routes = |row: &&mut Row| row.what.starts_with("route with");
    rows.iter_mut().filter(routes).for_each(|row| row.promised = Some(PROMISED_ROUTE));
    // A plan is more than one decision, and so many callers at once are more than a box is promised for.
    let beyond = |row: &&mut Row| row.what.starts_with("batch plan") || row.what.contains("of 64 callers");
    rows.iter_mut().filter(beyond).for_each(|row| row.promised = None);
    println!("| per decision | median ns | worst ns | promised ns | allocations |");
    println!("|---|---|---|---|---|");
    for row in &rows {
        let promised = row.promised.map_or_else(|| "-".into(), |promised| promised.as_nanos().to_string());
        let (median, worst) = (row.median.as_nanos(), row.worst.as_nanos());
        println!("| {} | {median} | {worst} | {promised} | {} |", row.what, row.allocations);
    }
    // The slowest kind of decision, for `edge-bench`, which looks for these words.
    let promised = || rows.iter().filter(|row| row.promised.is_some());
    let on_this_box = || promised().filter(|row| row.promised == Some(PROMISED));
    let slowest = on_this_box().map(|row| row.median).max().unwrap_or_default();
    println!("{:.3} us per decision", slowest.as_secs_f64() * 1e6);
    let among_sites = || promised().filter(|row| row.promised == Some(PROMISED_ROUTE));
    let slowest = among_sites().map(|row| row.median).max().unwrap_or_default();
    println!("{:.3} us per routing decision with 8 sites", slowest.as_secs_f64() * 1e6);
    // Counted over all rounds, and told per round trip of thousands of decisions: anything but zero is a fault.
    println!("{} allocations per decision", promised().map(|row| row.allocations).sum::<u64>());
}
