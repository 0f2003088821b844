//! Recorded event logs replay to identical actions, in milliseconds.
//!
//! `EDGE_RECORD=1 cargo test -p edge-core --test replay` writes them anew, after a rule was changed on purpose; the
//! difference then shows what the change does. A log from the field is put beside them and never recorded anew.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{encoded, meta, ms, small_policy};
use edge_core::fallback::{Failure, Fallbacks, Step as Next};
use edge_core::policy::Routing;
use edge_core::sim::{FakeModel, Step, World, text};
use edge_core::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs")
}

/// Events of a log with the actions that followed, as text.
fn parse(log: &str) -> Result<Vec<(Mono, Event, Vec<String>)>, String> {
    let mut steps: Vec<(Mono, Event, Vec<String>)> = Vec::new();
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.starts_with('>'), steps.last_mut()) {
            (true, Some(step)) => step.2.push(line.to_owned()),
            (true, None) => return Err(format!("an action before the first event: {line}")),
            (false, _) => text::read(line).map(|(at, event)| steps.push((at, event, Vec::new())))?,
        }
    }
    Ok(steps)
}

/// The first difference between a log and what the core does today.
fn replay(log: &str) -> Result<usize, String> {
    let mut steps = parse(log)?.into_iter();
    let Some((_, Event::Policy(policy), _)) = steps.next() else { return Err("no policy at the start".into()) };
    let mut core = Scheduler::new(*policy);
    let mut count = 0;
    for (at, event, expected) in steps {
        let line = text::event(at, &event);
        core.handle(at, event);
        let actions: Vec<String> = std::iter::from_fn(|| core.poll_action()).map(|act| text::action(&act)).collect();
        if actions != expected {
            return Err(format!("after {line}\nthe log has {expected:#?}\nbut now it is {actions:#?}"));
        }
        count += 1;
    }
    Ok(count)
}

/// The worlds that were recorded.
fn recorded() -> [(&'static str, World); 5] {
    [
        ("flood_of_one_client", flood()),
        ("poison_among_innocents", poison()),
        ("drain_with_payloads", drain()),
        ("pipelines_among_others", pipelines()),
        ("chunks_among_others", chunks()),
    ]
}

/// A client asks for far more than can be done; another asks now and then.
fn flood() -> World {
    let mut world = World::new(Policy { max_waiting: 12, ..small_policy() });
    world.load(0, FakeModel { fixed: ms(2), ..FakeModel::new(0, 1, ms(4)) });
    for id in 0..40 {
        let deadline = Some(ms(60).from(world.now()));
        world.arrive(RequestMeta { deadline, ..meta(id, if id % 10 == 9 { 2 } else { 1 }, 0) });
        world.run_for(ms(1));
    }
    world.run_out();
    world
}

/// A request kills the host twice; those around it are done.
fn poison() -> World {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel::new(0, 2, ms(10)));
    world.load(1, FakeModel { decode: ms(5), ..FakeModel::new(8, 1, ms(20)) });
    world.poison.insert(RequestId(3));
    for id in 1..=8 {
        let request = meta(id, 1, u16::from(id % 3 == 0 && id != 3));
        world.arrive(if id % 3 == 0 && id != 3 { encoded(request) } else { request });
    }
    world.run_out();
    world
}

/// Payloads in every state when a drain begins; one is cancelled, the model goes away, and comes back.
fn drain() -> World {
    let mut world = World::new(Policy { default_deadline: Duration::from_millis(200), ..small_policy() });
    world.load(0, FakeModel { decode: ms(15), cost: Cost::new(3), ..FakeModel::new(0, 1, ms(10)) });
    world.arrive(encoded(meta(1, 1, 0)));
    world.run_out();
    (2..=7).for_each(|id| world.arrive(encoded(RequestMeta { origin: Origin::Broker, ..meta(id, 2, 0) })));
    world.run_for(ms(40));
    world.tell(Event::Drain);
    world.tell(Event::Cancelled { id: RequestId(3) });
    world.arrive(meta(8, 3, 0));
    world.run_for(ms(30));
    world.unload(0);
    world.run_out();
    world.tell(Event::Resume);
    world.load(0, FakeModel::new(1, 1, ms(10)));
    world.arrive(RequestMeta { class: ClassClaim::Unknown, ..meta(9, 3, 0) });
    world.run_out();
    world
}

/// Pipeline requests beside others: one is answered, one is cancelled, one has a stage that fails, the host dies once.
fn pipelines() -> World {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { decode: ms(5), ..FakeModel::new(0, 1, ms(12)) });
    world.load(1, FakeModel { decode: ms(1), ..FakeModel::new(8, 2, ms(3)) });
    let stages = [(ModelId(0), 1), (ModelId(1), 4)];
    for id in 1..=5 {
        world.arrive_in_stages(encoded(meta(id, 1, 7)), &stages);
        world.arrive(meta(10 + id, 2, 1));
        world.run_for(ms(4));
    }
    world.tell(Event::Cancelled { id: RequestId(2) });
    world.run_for(ms(20));
    world.kill_host();
    world.tell(Event::Finished { id: RequestId(3), result: Err(Fault::Runtime) });
    world.run_out();
    world.arrive_in_stages(encoded(meta(6, 1, 7)), &stages);
    world.run_out();
    world
}

/// Requests of many rows beside others: one is answered, one is cancelled, the host dies once, one comes before it was measured.
fn chunks() -> World {
    let mut world = World::new(small_policy());
    world.load(0, FakeModel { fixed: ms(2), ..FakeModel::new(0, 2, ms(1)) });
    let rows = |id, rows| RequestMeta { cost: Cost::new(rows), most_rows: Some(16), ..meta(id, 1, 0) };
    world.arrive(rows(1, 5));
    world.run_out();
    world.arrive(rows(2, 100));
    world.arrive(rows(3, 40));
    world.run_for(ms(5));
    world.arrive(RequestMeta { priority: Priority::High, ..meta(10, 2, 0) });
    world.arrive(meta(11, 3, 0));
    world.run_for(ms(20));
    world.tell(Event::Cancelled { id: RequestId(3) });
    world.kill_host();
    world.run_out();
    world
}

fn write(world: &World) -> String {
    world.log().iter().map(|step| step.text() + "\n").collect()
}

#[test]
fn recorded_logs_replay_to_identical_actions() {
    if std::env::var_os("EDGE_RECORD").is_some() {
        for (name, world) in recorded() {
            fs::write(folder().join(name).with_extension("log"), write(&world)).unwrap();
        }
    }
    let mut logs = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let steps = replay(&fs::read_to_string(&path).unwrap());
        assert!(steps.as_ref().is_ok_and(|steps| *steps > 10), "{}: {}", path.display(), steps.unwrap_err());
        logs += 1;
    }
    assert!(logs >= 5, "{logs} logs");
}

#[test]
fn a_log_comes_back_from_its_text() {
    for (name, world) in recorded() {
        let steps = parse(&write(&world)).unwrap();
        let events: Vec<(Mono, Event)> = steps.into_iter().map(|(at, event, _)| (at, event)).collect();
        let expected: Vec<(Mono, Event)> = world.log().iter().map(|step| (step.at, step.event.clone())).collect();
        assert_eq!(events, expected, "{name}");
    }
}

#[test]
fn every_event_comes_back_from_its_text() {
    let mut results = Results::new();
    use Fault::{Full, HostLost, Hung, InvalidInput, Late, Runtime, TooLarge};
    for (id, fault) in (1..).zip([HostLost, Hung, Runtime, InvalidInput, TooLarge, Full, Late]) {
        assert!(results.push(MemberResult { id: RequestId(id), result: Err(fault) }));
    }
    let (id, took) = (RequestId(7), Duration::from_nanos(12_345));
    let full = RequestMeta {
        parent: Some(RequestId(3)),
        deadline: Some(Mono::MAX),
        class: ClassClaim::Claimed(DataClass::Internal),
        priority: Priority::Low,
        deferrable: true,
        origin: Origin::Broker,
        work: Work::Encoded,
        cost: Cost::new(5),
        most_rows: Some(16),
        deaths: 1,
        ..meta(7, 8, 9)
    };
    let default_deadline = Some(Duration::from_secs(2));
    let lanes = LaneRange { first: LaneId(4), count: 2 };
    let model = ModelId(3);
    for event in [
        Event::Arrived(full.clone()),
        Event::Arrived(meta(1, 2, 3)),
        Event::ParentArrived {
            meta: full.clone(),
            stages: Stages::new(&[ModelId(3), ModelId(4)]).unwrap(),
            default_deadline,
        },
        Event::ParentArrived { meta: meta(1, 2, 3), stages: Stages::default(), default_deadline: None },
        Event::Finished { id, result: Ok(()) },
        Event::Finished { id, result: Err(Full) },
        Event::Prepared { id, result: Ok(Cost::new(9)), took },
        Event::Prepared { id, result: Err(Fault::Stopped), took },
        Event::BatchDone { lane: LaneId(4), took, results },
        Event::BatchDone { lane: LaneId(4), took, results: Results::new() },
        Event::Cancelled { id },
        Event::CutOff { id },
        Event::ClientLeft { client: ClientId(5) },
        Event::ModelState { model, state: ModelState::Loading },
        Event::ModelState { model, state: ModelState::Unavailable },
        Event::ModelState { model, state: ModelState::Ready { lanes, max_batch: 8, default_deadline } },
        Event::Measured { model, batch: 4, took },
        Event::Placed { model, host: HostId(2) },
        Event::Moved { from: model, to: ModelId(3) },
        Event::Follow { id, to: ModelId(3) },
        Event::HostDown { host: HostId(1) },
        Event::HostUp { host: HostId(0) },
        Event::Policy(Box::new(Policy { client_share: Ratio::new(0.3).unwrap(), ..Policy::default() })),
        Event::Arrived(RequestMeta { terms: particular_terms(), ..meta(1, 2, 3) }),
        Event::Policy(Box::new(Policy {
            sites: particular_sites(),
            routing: particular_routing(),
            ..Policy::default()
        })),
        Event::SiteDone(trip(Ok(Tokens { input: 12, output: 34 }), true)),
        Event::SiteDone(trip(Err(SiteFault::Busy(Some(took))), true)),
        Event::SiteDone(trip(Err(SiteFault::Connect), false)),
        Event::SiteBegan { id, site: SiteId(3) },
        Event::SiteProbed { site: SiteId(3), result: Ok(()) },
        Event::SiteProbed { site: SiteId(3), result: Err(SiteFault::Credential) },
        Event::SiteLoad { site: SiteId(3), off: true, wait: took },
        Event::Spent { site: SiteId(3), today: NanoUsd(77) },
        Event::Checked { id, doubtful: true },
        Event::Deferred { waiting: 5 },
        Event::TakenUp,
        Event::Drain,
        Event::Resume,
        Event::Tick,
    ] {
        let line = text::event(Mono::from_nanos(99), &event);
        assert_eq!(text::read(&line), Ok((Mono::from_nanos(99), event)), "{line}");
    }
}

fn trip(result: Result<Tokens, SiteFault>, sent: bool) -> Trip {
    let (id, site, took) = (RequestId(7), SiteId(31), Duration::from_millis(5));
    Trip { id, site, bytes: Bytes(1000), reserved: NanoUsd(9), result, sent, took }
}

/// Terms none of which is the default.
fn particular_terms() -> Terms {
    let mut jurisdictions = [None; Demands::COUNTRIES];
    (jurisdictions[0], jurisdictions[1]) = (Country::new("DE"), Country::new("EU"));
    Terms {
        freed: None,
        ceiling: DataClass::Internal,
        capable: Sites::from_bits(5),
        rejected: Sites::from_bits(1),
        allowed: Sites::from_bits(7),
        demands: Demands { jurisdictions, retention_days: Some(0), no_training: true },
        objective: Objective::FastestWithinBudget,
        may_hedge: true,
        tokens: Tokens { input: 100, output: 20 },
        here: Here::Context,
        stronger: Sites::from_bits(4),
        difficulty: Difficulty::Unknown,
        checked: true,
    }
}

/// A site of which everything is said, and one of which nothing is.
fn particular_sites() -> Vec<Site> {
    let price = Price { request: NanoUsd(1), input_mtok: NanoUsd(2), output_mtok: NanoUsd(3) };
    let said = Site {
        jurisdiction: Country::new("FR"),
        retention: Retention::Days(30),
        training: Training::No,
        price: Some(price),
        budget: Some(NanoUsd(0)),
        cold_start: ms(5),
        context: Some(8192),
        max_open: 3,
        may_hedge: true,
        ..Site::in_zone(Zone::Premises)
    };
    vec![said, Site::in_zone(Zone::Cloud), Site { retention: Retention::None, training: Training::Yes, ..said }]
}

fn particular_routing() -> Routing {
    let fallbacks = Fallbacks::default()
        .with(Failure::Heat, [None; 3])
        .with(Failure::SiteDown, [Some(Next::Wait), Some(Next::Here), None]);
    Routing {
        sure: Ratio::FOUR_FIFTHS,
        fallbacks,
        defer_after: Duration::from_millis(7),
        max_deferred: 11,
        max_wait: Duration::from_secs(1234),
        probe_every: Duration::from_secs(3),
        seed: 42,
    }
}

#[test]
fn a_line_from_before_there_were_sites_means_what_it_meant() {
    let line = text::event(at_zero(), &Event::Policy(Box::default()));
    assert!(!line.contains("sites") && !line.contains("fallbacks") && !line.contains("sure"), "{line}");
    let line = text::event(at_zero(), &Event::Arrived(meta(1, 1, 0)));
    assert!(line.ends_with("deaths=0"), "{line}");
}

fn at_zero() -> Mono {
    Mono::default()
}

#[test]
fn a_broken_line_is_named() {
    for (line, part) in [
        ("arrived id=1", "no time"),
        ("5 flew id=1", "no such event"),
        ("5 cancelled", "no id"),
        ("5 cancelled id=x", "id is not x"),
        ("5 prepared id=1 result=late_ took=1", "result is not late_"),
        ("5 model_state model=0 state=lost", "no such state"),
        ("5 site_done id=1 site=0 bytes=1 reserved=0 result=lost sent=true took=1", "result is not lost"),
        ("5 site_probed site=300 result=ok", "site is not 300"),
    ] {
        let error = text::read(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert!(parse("> settle id=1 outcome=done").is_err());
}

#[test]
fn a_step_that_differs_is_found() {
    let mut steps: Vec<Step> = flood().log().to_vec();
    assert!(replay(&steps.iter().map(|step| step.text() + "\n").collect::<String>()).is_ok());
    let last = steps.last_mut().unwrap();
    last.actions.pop();
    assert!(replay(&steps.iter().map(|step| step.text() + "\n").collect::<String>()).is_err());
}
