//! Random things to do to a simulated world.

use std::time::Duration;

use edge_core::sim::{FakeModel, Step, World};
use edge_core::*;
use proptest::prelude::*;

use crate::common::{meta, ms};

/// One thing that a test does to the world.
#[derive(Clone, Debug)]
pub enum Op {
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
    /// A request for a pipeline, with the number of requests for each stage.
    Pipeline {
        client: u32,
        slack: Option<u64>,
        priority: Priority,
        stages: Vec<(u16, u16)>,
        odd: Odd,
    },
    Cancel(usize),
    Leave(u32),
    Kill(u8),
    Move(u16, u16),
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
pub enum Odd {
    Ordinary,
    Deferrable,
    DiedOnce,
    DiedTwice,
    Poison,
    Endless,
    Faulty,
    BadPayload,
}

pub fn op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![1 => Just(Priority::High), 4 => Just(Priority::Normal), 1 => Just(Priority::Low)];
    let work = prop_oneof![Just(Work::Tensors), Just(Work::Encoded)];
    let odd = prop_oneof![
        24 => Just(Odd::Ordinary), 2 => Just(Odd::Deferrable), 1 => Just(Odd::DiedOnce), 1 => Just(Odd::DiedTwice),
        1 => Just(Odd::Poison), 1 => Just(Odd::Endless), 2 => Just(Odd::Faulty), 1 => Just(Odd::BadPayload),
    ];
    let slack = prop_oneof![1 => Just(None), 1 => (0..5_u64).prop_map(Some), 8 => (5..800_u64).prop_map(Some)];
    let model = prop_oneof![8 => Just(0), 4 => Just(1), 2 => Just(2), 1 => Just(3)];
    let rows = prop_oneof![8 => Just(1), 2 => 2..12_u32, 1 => 12..200_u32];
    let stage = (prop_oneof![6 => Just(0_u16), 4 => Just(1), 1 => Just(2), 1 => Just(3)], 0..7_u16);
    let stages = prop::collection::vec(stage, 0..4);
    let pipeline = (0..4_u32, slack.clone(), priority.clone(), stages, odd.clone())
        .prop_map(|(client, slack, priority, stages, odd)| Op::Pipeline { client, slack, priority, stages, odd });
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
        15 => pipeline,
        12 => (0..60_u64).prop_map(Op::Wait),
        6 => any::<prop::sample::Index>().prop_map(|index| Op::Cancel(index.index(1000))),
        2 => (0..4_u32).prop_map(Op::Leave),
        1 => (0..2_u8).prop_map(Op::Kill),
        2 => (0..3_u16, 0..3_u16).prop_map(|(from, to)| Op::Move(from, to)),
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

/// A model that runs nowhere: it has stages.
const PIPELINE: u16 = 7;

pub fn policy() -> Policy {
    Policy {
        max_waiting: 24,
        fan_out: 6,
        max_waiting_bytes: Bytes(3 << 20),
        default_deadline: Duration::from_millis(400),
        hang_after: Duration::from_millis(300),
        ..Policy::default()
    }
}

fn fake(model: u16) -> FakeModel {
    // One that gains by batches, one that does not, one that is slow; each with lanes of its own, the last on a host of its
    // own.
    let (fixed, each, count, host) = [(4, 1, 2, 0), (0, 10, 2, 0), (0, 80, 1, 1)][usize::from(model.min(2))];
    FakeModel { host: HostId(host), fixed: ms(fixed), cost: Cost::new(2), ..FakeModel::new(model * 8, count, ms(each)) }
}

/// A world in which `ops` were done and everything was played to its end, seen by `observer`.
pub fn play(ops: &[Op], observer: impl FnMut(&Scheduler, &Step) + 'static) -> World {
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
            // Of tensors with many rows some cannot be divided.
            let most_rows = (rows % 5 != 0).then_some(3 + rows / 2);
            world.arrive(RequestMeta {
                deadline,
                priority,
                work,
                bytes,
                deaths,
                deferrable,
                cost,
                most_rows,
                ..meta(id, *client, *model)
            });
            if *odd == Odd::BadPayload {
                let result = Err(Fault::InvalidInput);
                world.tell(Event::Prepared { id: RequestId(id), result, took: Duration::from_millis(1) });
            }
        }
        Op::Pipeline { client, slack, priority, stages, odd } => {
            let deadline = slack.map(|slack| ms(slack).from(world.now()));
            let deaths = match odd {
                Odd::DiedOnce => 1,
                Odd::DiedTwice => 2,
                _ => 0,
            };
            let (priority, deferrable, work) = (*priority, *odd == Odd::Deferrable, Work::Encoded);
            let stages: Vec<(ModelId, u16)> = stages.iter().map(|(model, count)| (ModelId(*model), *count)).collect();
            let parent = meta(id, *client, PIPELINE);
            world.arrive_in_stages(RequestMeta { deadline, priority, deferrable, work, deaths, ..parent }, &stages);
            if *odd == Odd::Faulty {
                world.tell(Event::Finished { id: RequestId(id), result: Err(Fault::Runtime) });
            }
        }
        Op::Cancel(pick) => {
            let ids: Vec<RequestId> = world.arrived().map(|meta| meta.id).collect();
            if let Some(id) = ids.get(pick % ids.len().max(1)) {
                world.tell(Event::Cancelled { id: *id });
            }
        }
        Op::Leave(client) => world.tell(Event::ClientLeft { client: ClientId(*client) }),
        Op::Kill(host) => world.kill(HostId(*host)),
        Op::Move(from, to) => world.tell(Event::Moved { from: ModelId(*from), to: ModelId(*to) }),
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
