//! The laws of the core, on random event logs. Each test bears the name of its invariant.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../common/mod.rs"]
mod common;
mod heat;
mod ledger;
mod nonsense;
mod worlds;
mod zones;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::at;
use edge_core::sim::World;
use edge_core::*;
use ledger::Ledger;
use nonsense::{nonsense, with_sites};
use proptest::prelude::*;
use worlds::{Odd, Op, op, play, policy};

/// Plays `ops` and accounts for every step.
fn audited(ops: &[Op]) -> (World, Ledger) {
    let ledger = Rc::new(RefCell::new(Ledger::new(policy())));
    let observed = Rc::clone(&ledger);
    let world = play(ops, move |core, step| {
        if let Err(what) = observed.borrow_mut().check(core, step) {
            panic!("{what}, in:\n{}", step.text());
        }
    });
    let ledger = ledger.replace(Ledger::default());
    (world, ledger)
}

fn class() -> impl Strategy<Value = DataClass> {
    prop_oneof![Just(DataClass::Regulated), Just(DataClass::Internal), Just(DataClass::Public)]
}

fn claim() -> impl Strategy<Value = ClassClaim> {
    prop_oneof![Just(ClassClaim::Unlabelled), Just(ClassClaim::Unknown), class().prop_map(ClassClaim::Claimed)]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(Origin::Bus), Just(Origin::Broker)]
}

/// All source files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn invariant_2_the_core_names_nothing_that_blocks_or_tells_the_time_and_a_refusal_is_a_value() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 20, "{files:?}");
    let banned = [
        "time::Instant",
        "SystemTime",
        "std::thread",
        "std::sync",
        "std::fs",
        "std::io",
        "std::net",
        "print!",
        "println!",
    ];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let named: Vec<&str> = banned.into_iter().filter(|word| text.contains(word)).collect();
        assert!(named.is_empty(), "{} names {named:?}", file.display());
    }
    // Neither call that takes anything in can fail: a "no" is an action like any other.
    let handle: fn(&mut Scheduler, Mono, Event) = Scheduler::handle;
    let mut core = Scheduler::new(policy());
    handle(&mut core, at(1), Event::Arrived(common::meta(1, 1, 9)));
    let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
    assert!(matches!(actions[..], [Action::Settle { outcome: Outcome::Refused(_), .. }]), "{actions:?}");
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn invariant_1_every_accepted_request_is_settled_exactly_once(ops in ops()) {
        let (world, ledger) = audited(&ops);
        prop_assert!(ledger.live.is_empty(), "never settled: {:?}", ledger.live);
        for meta in world.arrived() {
            let ends = world.settlements().get(&meta.id).map_or(0, Vec::len);
            prop_assert_eq!(ends, 1, "request {} ended {} times", meta.id.0, ends);
        }
    }

    #[test]
    fn invariant_3_every_queue_has_a_bound_and_a_named_refusal(
        clients in 1..5_u32,
        requests in prop::collection::vec((0..5_u32, 0..400_000_u64, any::<bool>()), 100..300),
    ) {
        let ops: Vec<Op> = requests.into_iter().map(|(client, bytes, encoded)| Op::Arrive {
            client: client % clients,
            model: 1,
            slack: Some(100_000),
            priority: Priority::Normal,
            work: if encoded { Work::Encoded } else { Work::Tensors },
            bytes,
            rows: 1,
            odd: Odd::Ordinary,
        }).collect();
        let (world, ledger) = audited(&ops);
        prop_assert!(ledger.waiting_at_most <= policy().max_waiting);
        let refusals: BTreeSet<&str> = world.settlements().values().flatten().filter_map(|(_, outcome)| match outcome {
            Outcome::Refused(refusal) => Some(refusal.reason.as_str()),
            _ => None,
        }).collect();
        let named = ["queue_full", "bytes_full", "client_share"];
        prop_assert!(!refusals.is_empty() && refusals.iter().all(|reason| named.contains(reason)), "{refusals:?}");
    }

    #[test]
    fn invariant_4_no_batch_starts_with_a_request_that_cannot_meet_its_deadline(ops in ops()) {
        let mut requests = BTreeMap::new();
        let mut deadlines = BTreeMap::new();
        play(&ops, move |core, step| {
            if let Event::Arrived(meta) = &step.event {
                // Rows and units; the fake models give every payload a cost of two.
                let rows = meta.cost.units();
                let size = if meta.work == Work::Encoded { (1, 2) } else { (rows as usize, u64::from(rows)) };
                requests.insert(meta.id, size);
            }
            for action in &step.actions {
                match action {
                    Action::Accept { id, deadline, .. } => {
                        deadlines.insert(*id, *deadline);
                    }
                    Action::RunBatch { model, ids, .. } => {
                        let (rows, units) = ids.as_slice().iter().fold((0, 0), |(rows, units), id| {
                            (rows + requests[id].0, units + requests[id].1)
                        });
                        let took = core.estimate(step.at, *model, rows, units);
                        let end = step.at.after(took.unwrap_or_default());
                        let late = ids.as_slice().iter().find(|id| deadlines[id] < end || deadlines[id] <= step.at);
                        assert_eq!(late, None, "would be late by:\n{}", step.text());
                    }
                    _ => {}
                }
            }
        });
    }

    #[test]
    fn invariant_6_no_request_leaves_a_box_that_knows_no_other_place(
        ops in ops(),
        claims in prop::collection::vec((claim(), origin()), 1..40),
        classes in (class(), class(), class()),
    ) {
        let (unlabelled, bus_ceiling, broker_ceiling) = classes;
        let with_classes = |policy: Policy| Policy { unlabelled, bus_ceiling, broker_ceiling, ..policy };
        let mut core = Scheduler::new(with_classes(policy()));
        let mut claims = claims.into_iter().cycle();
        let mut allowed = BTreeMap::new();
        for step in play(&ops, |_, _| {}).log().iter().skip(1) {
            let mut relabel = |meta: RequestMeta| {
                let (class, origin) = claims.next().unwrap();
                let claimed = match class {
                    ClassClaim::Unlabelled => unlabelled,
                    ClassClaim::Unknown => DataClass::Regulated,
                    ClassClaim::Claimed(class) => class,
                };
                let ceiling = if origin == Origin::Bus { bus_ceiling } else { broker_ceiling };
                allowed.entry(meta.id).or_insert((claimed, ceiling));
                RequestMeta { class, origin, ..meta }
            };
            let event = match step.event.clone() {
                Event::Arrived(meta) => Event::Arrived(relabel(meta)),
                Event::ParentArrived { meta, stages, default_deadline } => {
                    Event::ParentArrived { meta: relabel(meta), stages, default_deadline }
                }
                Event::Policy(policy) => Event::Policy(Box::new(with_classes(*policy))),
                event => event,
            };
            core.handle(step.at, event);
            while let Some(action) = core.poll_action() {
                match action {
                    Action::Accept { id, verdict, class, .. } => {
                        let (claimed, ceiling) = allowed[&id];
                        prop_assert!(matches!(verdict, Verdict::Local(_)), "{verdict:?}");
                        prop_assert!(class <= claimed && class <= ceiling, "{class:?} of {claimed:?} under {ceiling:?}");
                    }
                    // Nothing else is done with a request of a box that knows no other place.
                    Action::Spill { .. } | Action::CallOff { .. } | Action::Stay { .. } | Action::Check { .. } => {
                        prop_assert!(false, "{action:?}");
                    }
                    Action::Probe { .. } | Action::TakeUp { .. } => prop_assert!(false, "{action:?}"),
                    Action::Divide { .. } | Action::Prepare { .. } | Action::RunBatch { .. } | Action::Forget { .. } => {}
                    Action::Abort { .. } | Action::Settle { .. } => {}
                    Action::RestartHost { .. } | Action::Announce(_) => {}
                }
            }
        }
    }

    #[test]
    fn invariant_8_transports_are_interchangeable(ops in ops()) {
        fn through(ops: &[Op], origin: Origin) -> Vec<Vec<Action>> {
            let mut core = Scheduler::new(policy());
            play(ops, |_, _| {}).log().iter().skip(1).map(|step| {
                let event = match &step.event {
                    Event::Arrived(meta) => Event::Arrived(RequestMeta { origin, ..meta.clone() }),
                    Event::ParentArrived { meta, stages, default_deadline } => Event::ParentArrived {
                        meta: RequestMeta { origin, ..meta.clone() },
                        stages: *stages,
                        default_deadline: *default_deadline,
                    },
                    event => event.clone(),
                };
                core.handle(step.at, event);
                std::iter::from_fn(|| core.poll_action()).collect()
            }).collect()
        }
        prop_assert_eq!(through(&ops, Origin::Bus), through(&ops, Origin::Broker));
    }

    #[test]
    fn invariant_9_the_same_events_give_the_same_actions(ops in ops()) {
        let world = play(&ops, |_, _| {});
        let mut core = Scheduler::new(policy());
        for step in &world.log()[1..] {
            core.handle(step.at, step.event.clone());
            let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
            prop_assert_eq!(&actions, &step.actions, "at {:?}: {:?}", step.at, step.event);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn invariant_1_holds_whatever_the_driver_says(events in prop::collection::vec((0..20_u64, nonsense()), 1..300)) {
        let mut core = Scheduler::new(with_sites());
        let (mut now, mut live, mut arrivals, mut refused, mut ended) = (0, BTreeSet::new(), 0, 0, 0);
        let last = (1_000_000, Event::Tick);
        // The time passes first: an id may be used again by then, but not before.
        let steps = events.into_iter().chain([last]).flat_map(|(pause, event)| [(pause, Event::Tick), (0, event)]);
        for (pause, event) in steps {
            now += pause;
            if let Event::Arrived(meta) | Event::ParentArrived { meta, .. } = &event && !live.contains(&meta.id) {
                arrivals += 1;
            }
            core.handle(at(now), event);
            while let Some(action) = core.poll_action() {
                match action {
                    Action::Accept { id, .. } => prop_assert!(live.insert(id)),
                    Action::Settle { outcome: Outcome::Refused(_), .. } => refused += 1,
                    Action::Settle { id, outcome: Outcome::Deferred(_) } if !live.contains(&id) => refused += 1,
                    Action::Settle { id, .. } => {
                        prop_assert!(live.remove(&id), "settled while not live: {id:?}");
                        ended += 1;
                    }
                    Action::RunBatch { ids, .. } => {
                        prop_assert!(ids.as_slice().iter().all(|id| live.contains(id)), "ran what is not live");
                    }
                    Action::Divide { id, .. } | Action::Prepare { id, .. } | Action::Forget { id } | Action::Abort { id } => {
                        prop_assert!(live.contains(&id));
                    }
                    Action::Spill { id, .. } | Action::Stay { id, .. } | Action::Check { id } => {
                        prop_assert!(live.contains(&id));
                    }
                    Action::CallOff { .. } | Action::Probe { .. } | Action::TakeUp { .. } => {}
                    Action::RestartHost { .. } | Action::Announce(_) => {}
                }
            }
        }
        prop_assert!(live.is_empty(), "never settled: {live:?}");
        prop_assert_eq!(arrivals, refused + ended);
        let seen = core.snapshot();
        prop_assert_eq!((seen.waiting, seen.running, seen.waiting_bytes), (0, 0, Bytes(0)));
    }
}
