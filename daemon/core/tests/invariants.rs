//! The laws of the core, on random event logs. Each test bears the name of its invariant.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may panic")]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::{at, meta, ms};
use edge_core::sim::{FakeModel, Step, World};
use edge_core::*;
use proptest::prelude::*;

/// One thing that a test does to the world.
#[derive(Clone, Debug)]
enum Op {
    Wait(u64),
    Arrive {
        client: u32,
        model: u16,
        slack: Option<u64>,
        priority: Priority,
        work: Work,
        bytes: u64,
        rows: u32,
        odd: Odd,
    },
    Cancel(usize),
    Leave(u32),
    Kill,
    Drain,
    Resume,
    Unload(u16),
    Load(u16),
    Policy {
        max_waiting: usize,
        lanes: u16,
        preparing: u16,
        max_batch: u16,
    },
    Ready {
        model: u16,
        first: u16,
        count: u16,
    },
    Loading(u16),
}

/// What is special about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    Ordinary,
    Deferrable,
    DiedOnce,
    DiedTwice,
    Poison,
    Endless,
    Faulty,
    BadPayload,
}

fn op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![1 => Just(Priority::High), 4 => Just(Priority::Normal), 1 => Just(Priority::Low)];
    let work = prop_oneof![Just(Work::Tensors), Just(Work::Encoded)];
    let odd = prop_oneof![
        24 => Just(Odd::Ordinary), 2 => Just(Odd::Deferrable), 1 => Just(Odd::DiedOnce), 1 => Just(Odd::DiedTwice),
        1 => Just(Odd::Poison), 1 => Just(Odd::Endless), 2 => Just(Odd::Faulty), 1 => Just(Odd::BadPayload),
    ];
    let slack = prop_oneof![1 => Just(None), 1 => (0..5_u64).prop_map(Some), 8 => (5..800_u64).prop_map(Some)];
    let model = prop_oneof![8 => Just(0), 4 => Just(1), 2 => Just(2), 1 => Just(3)];
    let rows = prop_oneof![4 => Just(1), 1 => 2..12_u32];
    let arrive = (0..4_u32, model, slack, priority, work, 0..300_000_u64, rows, odd).prop_map(
        |(client, model, slack, priority, work, bytes, rows, odd)| Op::Arrive {
            client,
            model,
            slack,
            priority,
            work,
            bytes,
            rows,
            odd,
        },
    );
    prop_oneof![
        60 => arrive,
        12 => (0..60_u64).prop_map(Op::Wait),
        6 => any::<prop::sample::Index>().prop_map(|index| Op::Cancel(index.index(1000))),
        2 => (0..4_u32).prop_map(Op::Leave),
        1 => Just(Op::Kill),
        1 => Just(Op::Drain),
        8 => Just(Op::Resume),
        1 => (0..3_u16).prop_map(Op::Unload),
        4 => (0..3_u16).prop_map(Op::Load),
        1 => (1..40_usize, 1..5_u16, 1..4_u16, 1..20_u16).prop_map(|(max_waiting, lanes, preparing, max_batch)| {
            Op::Policy { max_waiting, lanes, preparing, max_batch }
        }),
        1 => (0..3_u16, 0..3_u16, 1..3_u16).prop_map(|(model, first, count)| {
            Op::Ready { model, first: model * 8 + first, count }
        }),
        1 => (0..3_u16).prop_map(Op::Loading),
    ]
}

fn policy() -> Policy {
    Policy {
        max_waiting: 24,
        max_waiting_bytes: Bytes(3 << 20),
        default_deadline: Duration::from_millis(400),
        hang_after: Duration::from_millis(300),
        ..Policy::default()
    }
}

fn fake(model: u16) -> FakeModel {
    // One that gains by batches, one that does not, one that is slow; each with lanes of its own.
    let (fixed, each, count) = [(4, 1, 2), (0, 10, 2), (0, 80, 1)][usize::from(model.min(2))];
    FakeModel { fixed: ms(fixed), cost: Cost::new(2), ..FakeModel::new(model * 8, count, ms(each)) }
}

/// A world in which `ops` were done and everything was played to its end, seen by `observer`.
fn play(ops: &[Op], observer: impl FnMut(&Scheduler, &Step) + 'static) -> World {
    let mut world = World::new(policy());
    world.observe(observer);
    for model in 0..3 {
        world.load(model, fake(model));
    }
    for (index, op) in ops.iter().enumerate() {
        act(&mut world, u64::try_from(index).unwrap(), op);
    }
    world.run_out();
    world
}

fn act(world: &mut World, id: u64, op: &Op) {
    match op {
        Op::Wait(span) => world.run_for(ms(*span)),
        Op::Arrive { client, model, slack, priority, work, bytes, rows, odd } => {
            let set = match odd {
                Odd::Poison => Some(&mut world.poison),
                Odd::Endless => Some(&mut world.endless),
                Odd::Faulty => Some(&mut world.faulty),
                Odd::Ordinary | Odd::Deferrable | Odd::DiedOnce | Odd::DiedTwice | Odd::BadPayload => None,
            };
            set.map(|set| set.insert(RequestId(id)));
            let deadline = slack.map(|slack| ms(slack).from(world.now()));
            let deaths = match odd {
                Odd::DiedOnce => 1,
                Odd::DiedTwice => 2,
                _ => 0,
            };
            let deferrable = *odd == Odd::Deferrable;
            let (priority, work, bytes, cost) = (*priority, *work, Bytes(*bytes), Cost::new(*rows));
            world.arrive(RequestMeta {
                deadline,
                priority,
                work,
                bytes,
                deaths,
                deferrable,
                cost,
                ..meta(id, *client, *model)
            });
            if *odd == Odd::BadPayload {
                let result = Err(Fault::InvalidInput);
                world.tell(Event::Prepared { id: RequestId(id), result, took: Duration::from_millis(1) });
            }
        }
        Op::Cancel(pick) => {
            let ids: Vec<RequestId> = world.arrived().map(|meta| meta.id).collect();
            if let Some(id) = ids.get(pick % ids.len().max(1)) {
                world.tell(Event::Cancelled { id: *id });
            }
        }
        Op::Leave(client) => world.tell(Event::ClientLeft { client: ClientId(*client) }),
        Op::Kill => world.kill_host(),
        Op::Drain => world.tell(Event::Drain),
        Op::Resume => world.tell(Event::Resume),
        Op::Unload(model) => world.unload(*model),
        Op::Load(model) => world.load(*model, fake(*model)),
        Op::Policy { max_waiting, lanes, preparing, max_batch } => {
            let (max_waiting, lanes) = (*max_waiting, *lanes);
            let (preparing, max_batch) = (*preparing, *max_batch);
            world.tell(Event::Policy(Box::new(Policy { max_waiting, lanes, preparing, max_batch, ..policy() })));
        }
        Op::Ready { model, first, count } => {
            let lanes = LaneRange { first: LaneId(*first), count: *count };
            world.load(*model, FakeModel { lanes, ..fake(*model) });
        }
        Op::Loading(model) => {
            let (model, state) = (ModelId(*model), ModelState::Loading);
            world.tell(Event::ModelState { model, state });
        }
    }
}

/// What an outside observer can know of the core from its events and actions.
#[derive(Debug, Default)]
struct Ledger {
    policy: Option<Policy>,
    /// Accepted and not settled.
    live: BTreeSet<RequestId>,
    settled: BTreeSet<RequestId>,
    lanes: BTreeMap<LaneId, Vec<Ids>>,
    decoding: BTreeSet<RequestId>,
    running: BTreeSet<RequestId>,
    deaths: BTreeMap<RequestId, u8>,
    rows: BTreeMap<RequestId, u32>,
    /// Died once, or failed in company: to be run alone.
    suspects: BTreeSet<RequestId>,
    host_gone: bool,
    waiting_at_most: usize,
}

impl Ledger {
    /// Accounts for one step; says what is wrong with it.
    fn check(&mut self, core: &Scheduler, step: &Step) -> Result<(), String> {
        self.before(step);
        for action in &step.actions {
            self.action(action)?;
        }
        self.after(core, step)
    }

    fn before(&mut self, step: &Step) {
        match &step.event {
            Event::Arrived(meta) => {
                self.deaths.insert(meta.id, meta.deaths);
                self.rows.insert(meta.id, if meta.work == Work::Tensors { meta.cost.units() } else { 1 });
                if meta.deaths > 0 {
                    self.suspects.insert(meta.id);
                }
            }
            Event::Policy(policy) => self.policy = Some((**policy).clone()),
            Event::BatchDone { lane, results, .. } => {
                let batches = self.lanes.entry(*lane).or_default();
                let batch = if batches.is_empty() { Ids::new() } else { batches.remove(0) };
                for item in results.as_slice() {
                    self.running.remove(&item.id);
                    let died = matches!(item.result, Err(Fault::HostLost | Fault::Hung));
                    self.host_gone |= died;
                    *self.deaths.entry(item.id).or_default() += u8::from(died);
                    if died || (item.result == Err(Fault::Runtime) && batch.as_slice().len() > 1) {
                        self.suspects.insert(item.id);
                    }
                }
            }
            Event::Prepared { id, result, .. } => {
                let was = self.decoding.remove(id);
                let died = was && matches!(result, Err(Fault::HostLost | Fault::Hung));
                self.host_gone |= died;
                *self.deaths.entry(*id).or_default() += u8::from(died);
                if died {
                    self.suspects.insert(*id);
                }
            }
            Event::HostDown => self.host_gone = true,
            Event::ModelState { state: ModelState::Ready { .. }, .. } | Event::HostUp => self.host_gone = false,
            _ => {}
        }
    }

    fn action(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Accept { id, .. } => {
                require(self.live.insert(*id), "accepted while live")?;
                require(!self.settled.contains(id), "accepted after it was settled")
            }
            Action::Prepare { id } => {
                require(self.live.contains(id), "prepared while not live")?;
                require(!self.host_gone, "prepared on a dead host")?;
                require(self.decoding.insert(*id), "prepared twice")
            }
            Action::RunBatch { lane, ids, .. } => self.batch(*lane, ids),
            Action::Abort { id } => require(self.live.contains(id), "aborted while not live"),
            Action::Settle { id, outcome } => {
                let accepted = self.live.remove(id);
                let refused = matches!(outcome, Outcome::Refused(_));
                require(accepted != refused, "settled without being live, or refused after being accepted")?;
                require(self.settled.insert(*id), "settled twice")?;
                self.running.remove(id);
                Ok(())
            }
            Action::RestartHost { .. } => require(!self.host_gone, "a dead host was ended"),
            Action::Announce(_) => Ok(()),
        }
    }

    fn batch(&mut self, lane: LaneId, ids: &Ids) -> Result<(), String> {
        let (policy, len) = (self.policy.clone().unwrap_or_default(), ids.as_slice().len());
        require(!self.host_gone, "a batch was sent to a dead host")?;
        require(len >= 1 && len <= usize::from(policy.max_batch), "size of a batch")?;
        let rows: u32 = ids.as_slice().iter().map(|id| self.rows[id]).sum();
        require(len == 1 || rows <= u32::from(policy.max_batch), "rows of a batch")?;
        let lanes = self.lanes.entry(lane).or_default();
        lanes.push(*ids);
        require(lanes.len() <= 2, "three batches on a lane")?;
        for id in ids.as_slice() {
            require(self.live.contains(id), "a batch with a request that is not live")?;
            require(self.running.insert(*id), "run while running")?;
            require(self.deaths.get(id).is_none_or(|deaths| *deaths < 2), "run after two deaths")?;
            require(len == 1 || !self.suspects.contains(id), "a suspect was run in company")?;
        }
        Ok(())
    }

    fn after(&mut self, core: &Scheduler, step: &Step) -> Result<(), String> {
        let policy = self.policy.clone().unwrap_or_default();
        let busy = self.lanes.values().filter(|batches| !batches.is_empty()).count();
        let shrunk = matches!(step.event, Event::Policy(_));
        let seen = core.snapshot();
        // A batch more may run only if the policy was narrowed meanwhile.
        let started = step.actions.iter().any(|action| matches!(action, Action::RunBatch { .. }));
        require(!started || shrunk || busy <= usize::from(policy.lanes) + self.ahead(step), "too many lanes run")?;
        let prepares = step.actions.iter().any(|action| matches!(action, Action::Prepare { .. }));
        require(!prepares || seen.preparing <= usize::from(policy.preparing), "too many payloads are decoded")?;
        // Places are taken by arrivals only; retries come back to wait without asking.
        let accepts = step.actions.iter().any(|action| matches!(action, Action::Accept { .. }));
        require(!accepts || seen.waiting <= policy.max_waiting, "too many requests wait")?;
        require(!accepts || seen.waiting_bytes <= policy.max_waiting_bytes, "too many bytes wait")?;
        require(seen.waiting + seen.running == self.live.len(), "the snapshot does not count what is live")?;
        let of_models: usize = seen.models.iter().map(|model| model.running).sum();
        require(of_models == seen.running, "running requests do not add up over the models")?;
        self.waiting_at_most = self.waiting_at_most.max(seen.waiting);
        let next = core.poll_deadline();
        require(next.is_some() || self.live.is_empty(), "a live request without a wake-up")?;
        require(next.is_none_or(|next| next > step.at), "a wake-up in the past")
    }

    /// Lanes that ran when this step began and only took a batch more.
    fn ahead(&self, step: &Step) -> usize {
        let ahead = |action: &&Action| match action {
            Action::RunBatch { lane, .. } => self.lanes.get(lane).is_some_and(|batches| batches.len() > 1),
            _ => false,
        };
        if step.actions.iter().filter(|action| matches!(action, Action::RunBatch { .. })).all(|action| ahead(&action)) {
            usize::MAX / 2
        } else {
            0
        }
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Plays `ops` and accounts for every step.
fn audited(ops: &[Op]) -> (World, Ledger) {
    let ledger = Rc::new(RefCell::new(Ledger { policy: Some(policy()), ..Ledger::default() }));
    let observed = Rc::clone(&ledger);
    let world = play(ops, move |core, step| {
        if let Err(what) = observed.borrow_mut().check(core, step) {
            panic!("{what}, in:\n{}", step.text());
        }
    });
    let ledger = ledger.replace(Ledger::default());
    (world, ledger)
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
    fn invariant_8_transports_are_interchangeable(ops in ops()) {
        fn through(ops: &[Op], origin: Origin) -> Vec<Vec<Action>> {
            let mut core = Scheduler::new(policy());
            play(ops, |_, _| {}).log().iter().skip(1).map(|step| {
                let event = match &step.event {
                    Event::Arrived(meta) => Event::Arrived(RequestMeta { origin, ..meta.clone() }),
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

/// Events that no sane driver would send: results of unknown batches, unknown ids, lanes and models.
fn nonsense() -> impl Strategy<Value = Event> {
    let id = || (0..40_u64).prop_map(RequestId);
    let fault = prop_oneof![
        Just(Fault::HostLost),
        Just(Fault::Hung),
        Just(Fault::Runtime),
        Just(Fault::InvalidInput),
        Just(Fault::TooLarge),
        Just(Fault::Late),
        Just(Fault::Stopped)
    ];
    let took = || (0..50_u64).prop_map(Duration::from_millis);
    let item = (0..40_u64, prop::option::of(fault.clone()));
    let results = prop::collection::vec(item, 0..6).prop_map(|items| {
        let mut results = Results::new();
        for (id, fault) in items {
            results.push(MemberResult { id: RequestId(id), result: fault.map_or(Ok(()), Err) });
        }
        results
    });
    let cost = prop_oneof![(0..u32::MAX).prop_map(|units| Ok(Cost::new(units))), fault.prop_map(Err)];
    let state = prop_oneof![
        Just(ModelState::Loading),
        Just(ModelState::Unavailable),
        (0..6_u16, 0..4_u16, 0..40_u16).prop_map(|(first, count, max_batch)| ModelState::Ready {
            lanes: LaneRange { first: LaneId(first), count },
            max_batch,
            default_deadline: None
        }),
    ];
    let arrival = (0..40_u64, 0..4_u32, 0..4_u16, 0..3000_u64, any::<bool>(), 0..4_u8, any::<u64>()).prop_map(
        |(id, client, model, deadline, encoded, deaths, bytes)| {
            let work = if encoded { Work::Encoded } else { Work::Tensors };
            let deadline = (deadline > 100).then(|| at(deadline));
            Event::Arrived(RequestMeta { deadline, work, deaths, bytes: Bytes(bytes >> 44), ..meta(id, client, model) })
        },
    );
    let absurd = (0..5_usize, 0..3_u16, 0..3_u16, 0..40_u16, 0.0..1.0_f64).prop_map(
        |(max_waiting, lanes, preparing, max_batch, share)| {
            let client_share = Ratio::new(share).unwrap();
            Event::Policy(Box::new(Policy { max_waiting, lanes, preparing, max_batch, client_share, ..policy() }))
        },
    );
    prop_oneof![
        12 => arrival,
        6 => (id(), cost, took()).prop_map(|(id, result, took)| Event::Prepared { id, result, took }),
        8 => ((0..8_u16).prop_map(LaneId), took(), results)
            .prop_map(|(lane, took, results)| Event::BatchDone { lane, took, results }),
        3 => id().prop_map(|id| Event::Cancelled { id }),
        1 => (0..4_u32).prop_map(|client| Event::ClientLeft { client: ClientId(client) }),
        4 => ((0..4_u16).prop_map(ModelId), state).prop_map(|(model, state)| Event::ModelState { model, state }),
        1 => ((0..4_u16).prop_map(ModelId), took())
            .prop_map(|(model, took)| Event::Measured { model, batch: 0, took }),
        1 => Just(Event::HostDown),
        2 => Just(Event::HostUp),
        1 => absurd,
        1 => Just(Event::Drain),
        1 => Just(Event::Resume),
        2 => Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn invariant_1_holds_whatever_the_driver_says(events in prop::collection::vec((0..20_u64, nonsense()), 1..300)) {
        let mut core = Scheduler::new(policy());
        let (mut now, mut live, mut arrivals, mut refused, mut ended) = (0, BTreeSet::new(), 0, 0, 0);
        let last = (1_000_000, Event::Tick);
        // The time passes first: an id may be used again by then, but not before.
        let steps = events.into_iter().chain([last]).flat_map(|(pause, event)| [(pause, Event::Tick), (0, event)]);
        for (pause, event) in steps {
            now += pause;
            if let Event::Arrived(meta) = &event && !live.contains(&meta.id) {
                arrivals += 1;
            }
            core.handle(at(now), event);
            while let Some(action) = core.poll_action() {
                match action {
                    Action::Accept { id, .. } => prop_assert!(live.insert(id)),
                    Action::Settle { outcome: Outcome::Refused(_), .. } => refused += 1,
                    Action::Settle { id, .. } => {
                        prop_assert!(live.remove(&id), "settled while not live: {id:?}");
                        ended += 1;
                    }
                    Action::RunBatch { ids, .. } => {
                        prop_assert!(ids.as_slice().iter().all(|id| live.contains(id)), "ran what is not live");
                    }
                    Action::Prepare { id } | Action::Abort { id } => prop_assert!(live.contains(&id)),
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
