//! Events without rhyme or reason.

use std::time::Duration;

use edge_core::policy::Routing;
use edge_core::*;
use proptest::prelude::*;

use crate::common::{at, meta};
use crate::worlds::policy;

/// Events that no sane driver would send: results of unknown batches, unknown ids, lanes and models.
pub fn nonsense() -> impl Strategy<Value = Event> {
    let id = || (0..40_u64).prop_map(RequestId);
    let fault = prop_oneof![
        Just(Fault::HostLost),
        Just(Fault::Hung),
        Just(Fault::Runtime),
        Just(Fault::InvalidInput),
        Just(Fault::TooLarge),
        Just(Fault::Full),
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
    let cost = prop_oneof![(0..u32::MAX).prop_map(|units| Ok(Cost::new(units))), fault.clone().prop_map(Err)];
    let state = prop_oneof![
        Just(ModelState::Loading),
        Just(ModelState::Unavailable),
        (0..6_u16, 0..4_u16, 0..40_u16).prop_map(|(first, count, max_batch)| ModelState::Ready {
            lanes: LaneRange { first: LaneId(first), count },
            max_batch,
            default_deadline: None
        }),
    ];
    let arrival = (0..40_u64, 0..4_u32, 0..4_u16, 0..3000_u64, any::<bool>(), 0..40_u8, any::<u64>()).prop_map(
        |(id, client, model, deadline, encoded, rows, bytes)| {
            let deaths = (rows / 10).min(rows % 4);
            let work = if encoded { Work::Encoded } else { Work::Tensors };
            let deadline = (deadline > 100).then(|| at(deadline));
            let (cost, most_rows) = (Cost::new(rows.into()), (bytes % 2 == 0).then_some(u32::from(rows) / 4));
            let bytes = Bytes(bytes >> 44);
            let terms = Terms {
                capable: if rows % 3 == 0 { Sites::NONE } else { Sites::ALL },
                stronger: if rows % 2 == 0 { Sites::NONE } else { Sites::ALL },
                checked: rows % 5 == 0,
                may_hedge: client == 1,
                here: if rows == 7 { Here::NoModel } else { Here::Yes },
                ..Terms::default()
            };
            let (deferrable, arrival) = (client == 2, meta(id, client, model));
            Event::Arrived(RequestMeta { deadline, work, deaths, bytes, cost, most_rows, deferrable, terms, ..arrival })
        },
    );
    let child = (0..40_u64, 0..40_u64, 0..4_u16, any::<bool>()).prop_map(|(id, parent, model, encoded)| {
        let work = if encoded { Work::Encoded } else { Work::Tensors };
        Event::Arrived(RequestMeta { parent: Some(RequestId(parent)), work, ..meta(id, 1, model) })
    });
    let stages = prop::collection::vec((0..5_u16).prop_map(ModelId), 0..5);
    let parent =
        (0..40_u64, 0..4_u32, 0..5_u16, 0..3000_u64, stages).prop_map(|(id, client, model, deadline, stages)| {
            let deadline = (deadline > 100).then(|| at(deadline));
            let meta = RequestMeta { deadline, ..meta(id, client, model) };
            Event::ParentArrived { meta, stages: Stages::new(&stages).unwrap_or_default(), default_deadline: None }
        });
    let finished = (id(), prop::option::of(fault.clone()))
        .prop_map(|(id, fault)| Event::Finished { id, result: fault.map_or(Ok(()), Err) });
    let absurd = (0..5_usize, 0..3_u16, 0..3_u16, 0..40_u16, 0.0..1.0_f64).prop_map(
        |(max_waiting, lanes, preparing, max_batch, share)| {
            let client_share = Ratio::new(share).unwrap();
            let sites = sites().into_iter().take(max_waiting).collect();
            let policy = Policy { sites, ..with_sites() };
            Event::Policy(Box::new(Policy { max_waiting, lanes, preparing, max_batch, client_share, ..policy }))
        },
    );
    prop_oneof![
        12 => arrival,
        4 => parent,
        8 => child,
        1 => finished,
        6 => (id(), cost, took()).prop_map(|(id, result, took)| Event::Prepared { id, result, took }),
        8 => ((0..8_u16).prop_map(LaneId), took(), results)
            .prop_map(|(lane, took, results)| Event::BatchDone { lane, took, results }),
        3 => id().prop_map(|id| Event::Cancelled { id }),
        1 => id().prop_map(|id| Event::CutOff { id }),
        1 => (0..4_u32).prop_map(|client| Event::ClientLeft { client: ClientId(client) }),
        1 => (model(), host()).prop_map(|(model, host)| Event::Placed { model, host }),
        2 => (model(), model()).prop_map(|(from, to)| Event::Moved { from, to }),
        2 => (id(), model()).prop_map(|(id, to)| Event::Follow { id, to }),
        4 => (model(), state).prop_map(|(model, state)| Event::ModelState { model, state }),
        1 => (model(), took())
            .prop_map(|(model, took)| Event::Measured { model, batch: 0, took }),
        1 => host().prop_map(|host| Event::HostDown { host }),
        2 => host().prop_map(|host| Event::HostUp { host }),
        1 => absurd,
        6 => away(),
        1 => Just(Event::Drain),
        1 => Just(Event::Resume),
        2 => Just(Event::Tick),
    ]
}

/// What no site and no disk would say.
fn away() -> impl Strategy<Value = Event> {
    let id = || (0..40_u64).prop_map(RequestId);
    let site = || (0..6_u8).prop_map(SiteId);
    let fault = || (0..SiteFault::ALL.len()).prop_map(|at| SiteFault::ALL[at]);
    let result = || prop_oneof![Just(Ok(Tokens { input: 3, output: 5 })), fault().prop_map(Err)];
    let done = (id(), site(), result(), any::<bool>(), any::<u64>()).prop_map(|(id, site, result, sent, number)| {
        let (bytes, reserved) = (Bytes(number >> 40), NanoUsd(number >> 50));
        Event::SiteDone(Trip { id, site, bytes, reserved, result, sent, took: Duration::from_millis(number % 5000) })
    });
    let asked = (site(), result()).prop_map(|(site, result)| Event::SiteProbed { site, result: result.map(drop) });
    let load = (site(), any::<bool>(), 0..900_u64).prop_map(|(site, off, wait)| Event::SiteLoad {
        site,
        off,
        wait: Duration::from_millis(wait),
    });
    prop_oneof![
        6 => done,
        2 => (id(), site()).prop_map(|(id, site)| Event::SiteBegan { id, site }),
        1 => asked,
        1 => load,
        1 => (site(), any::<u64>()).prop_map(|(site, today)| Event::Spent { site, today: NanoUsd(today) }),
        3 => (id(), any::<bool>()).prop_map(|(id, doubtful)| Event::Checked { id, doubtful }),
        1 => any::<u64>().prop_map(|waiting| Event::Deferred { waiting }),
        1 => Just(Event::TakenUp),
    ]
}

fn sites() -> [Site; 3] {
    let priced = Some(Price { request: NanoUsd(3), ..Price::default() });
    let near = Site { may_hedge: true, price: priced, budget: Some(NanoUsd(50)), ..Site::in_zone(Zone::Device) };
    [near, Site { max_open: 2, ..near }, Site { may_hedge: true, ..Site::in_zone(Zone::Cloud) }]
}

/// A policy with sites, to which every request may go.
pub fn with_sites() -> Policy {
    let routing = Routing { max_deferred: 5, ..Routing::default() };
    Policy { sites: sites().to_vec(), unlabelled: DataClass::Public, routing, ..policy() }
}

fn model() -> impl Strategy<Value = ModelId> {
    (0..4_u16).prop_map(ModelId)
}

fn host() -> impl Strategy<Value = HostId> {
    (0..3_u8).prop_map(HostId)
}
