//! The shortest ways through the facade.

use core::time::Duration;

use super::*;
use crate::event::{LaneRange, ModelState};
use crate::id::{ClientId, LaneId, ModelId, ShareId};
use crate::members::{Ids, MemberResult, Results};
use crate::request::{ClassClaim, Origin, Priority, RequestMeta, Terms, Work};
use crate::units::{Cost, Span};
use crate::verdict::Fault;

fn at(ms: u64) -> Mono {
    Span::from_millis(ms).from(Mono::from_nanos(0))
}

fn meta(id: u64, work: Work) -> RequestMeta {
    RequestMeta {
        id: RequestId(id),
        parent: None,
        client: ClientId(1),
        share: ShareId::new(1),
        model: ModelId(0),
        deadline: None,
        class: ClassClaim::Unlabelled,
        priority: Priority::Normal,
        deferrable: false,
        bytes: Bytes(100),
        origin: Origin::Bus,
        work,
        cost: Cost::ONE,
        most_rows: None,
        deaths: 0,
        terms: Terms::default(),
    }
}

fn ready() -> Scheduler {
    let mut core = Scheduler::new(Policy::default());
    let lanes = LaneRange { first: LaneId(3), count: 1 };
    let state = ModelState::Ready { lanes, max_batch: 8, default_deadline: None };
    core.handle(at(0), Event::ModelState { model: ModelId(0), state });
    core
}

fn done(ids: &[u64], result: Result<(), Fault>) -> Event {
    let mut results = Results::new();
    ids.iter().for_each(|id| assert!(results.push(MemberResult { id: RequestId(*id), result })));
    Event::BatchDone { lane: LaneId(3), took: Duration::from_millis(10), results }
}

fn batch(ids: &[u64]) -> Action {
    let mut batch = Ids::new();
    ids.iter().for_each(|id| assert!(batch.push(RequestId(*id))));
    Action::RunBatch { lane: LaneId(3), model: ModelId(0), ids: batch }
}

fn settle(id: u64, outcome: Outcome) -> Action {
    Action::Settle { id: RequestId(id), outcome }
}

/// All actions but those that accept.
fn actions(core: &mut Scheduler) -> Vec<Action> {
    std::iter::from_fn(|| core.poll_action()).filter(|action| !matches!(action, Action::Accept { .. })).collect()
}

#[test]
fn tensors_run_at_once_and_are_settled_when_done() {
    let mut core = ready();
    core.handle(at(1), Event::Arrived(meta(1, Work::Tensors)));
    assert!(matches!(core.poll_action(), Some(Action::Accept { id: RequestId(1), predicted: None, .. })));
    assert_eq!(actions(&mut core), [batch(&[1])]);
    core.handle(at(11), done(&[1], Ok(())));
    assert_eq!(actions(&mut core), [settle(1, Outcome::Done)]);
    assert_eq!(core.poll_deadline(), None);
}

#[test]
fn a_payload_is_decoded_before_it_runs() {
    let mut core = ready();
    core.handle(at(1), Event::Arrived(meta(1, Work::Encoded)));
    assert_eq!(actions(&mut core), [Action::Prepare { id: RequestId(1), model: ModelId(0) }]);
    let prepared = Event::Prepared { id: RequestId(1), result: Ok(Cost::ONE), took: Duration::from_millis(2) };
    core.handle(at(3), prepared.clone());
    assert_eq!(actions(&mut core), [batch(&[1])]);
    core.handle(at(4), prepared);
    assert_eq!(actions(&mut core), []);
}

#[test]
fn a_cancelled_run_is_aborted_and_settled_once() {
    let mut core = ready();
    core.handle(at(1), Event::Arrived(meta(1, Work::Tensors)));
    actions(&mut core);
    core.handle(at(2), Event::Cancelled { id: RequestId(1) });
    assert_eq!(actions(&mut core), [Action::Abort { id: RequestId(1) }, settle(1, Outcome::Cancelled)]);
    core.handle(at(3), done(&[1], Err(Fault::Stopped)));
    assert_eq!(actions(&mut core), []);
}

#[test]
fn a_second_arrival_under_a_live_id_changes_nothing() {
    let mut core = ready();
    core.handle(at(1), Event::Arrived(meta(1, Work::Tensors)));
    core.handle(at(1), Event::Arrived(meta(1, Work::Tensors)));
    core.handle(at(2), done(&[1], Ok(())));
    assert_eq!(actions(&mut core), [batch(&[1]), settle(1, Outcome::Done)]);
}
