//! What the core does in the situations that a box meets.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic; clients are small numbers"
)]

mod chunks;
#[path = "../common/mod.rs"]
mod common;
mod deadlines;
mod fair;
mod heat;
mod host;
mod leave;
mod linger;
mod load;
mod moved;
mod order;
mod parents;
mod policy;
mod sites;

use std::time::Duration;

use common::{at, due, encoded, meta, model, ms, small_policy};
use edge_core::sim::{Arrivals, Dice, FakeModel, World};
use edge_core::*;

/// A world with model 0, which takes `each` ms per member on two lanes, and was timed when it was loaded.
fn world(each: u64) -> World {
    world_with(small_policy(), each)
}

fn world_with(policy: Policy, each: u64) -> World {
    let mut world = World::new(policy);
    world.load(0, model(each));
    world.tell(Event::Measured { model: ModelId(0), batch: 1, took: Duration::from_millis(each) });
    world
}

fn refusal(world: &World, id: u64) -> Refusal {
    match world.outcome(id) {
        Some(Outcome::Refused(refusal)) => refusal,
        other => panic!("request {id} was not refused: {other:?}"),
    }
}

/// The batches that were sent, in order.
fn batches(world: &World) -> Vec<Vec<u64>> {
    let actions = world.log().iter().flat_map(|step| &step.actions);
    let runs = actions.filter_map(|action| match action {
        Action::RunBatch { ids, .. } => Some(ids.as_slice().iter().map(|id| id.0).collect()),
        _ => None,
    });
    runs.collect()
}

fn count(world: &World, wanted: impl Fn(&Action) -> bool) -> usize {
    world.log().iter().flat_map(|step| &step.actions).filter(|action| wanted(action)).count()
}

fn aborts(world: &World) -> usize {
    count(world, |action| matches!(action, Action::Abort { .. }))
}
