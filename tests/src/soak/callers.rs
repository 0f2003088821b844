//! Callers on D-Bus, on the bus and on private connections: one call under way each, without a pause longer than the
//! pace. A call that ends with the daemon is lost; the next one is made on a new connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::World;
use super::jobs::{Job, Payload};
use crate::answer::Outcome;
use crate::client::bus::BusClient;
use crate::clock::{pace, within};

/// No more than one call of one caller in this time.
const PACE: Duration = Duration::from_millis(40);
/// Longer than any deadline.
const LIMIT: Duration = Duration::from_secs(90);

/// Asks until the world ends; the numbers of its jobs are `first` and every `stride`th after it.
pub async fn ask_on_and_on(world: Arc<World>, peer: bool, first: usize, stride: usize) {
    let mut ticks = pace(PACE);
    let mut client = None;
    let mut number = first;
    while !world.is_over() {
        ticks.tick().await;
        number += stride;
        let job = &world.jobs[number % world.jobs.len()];
        let began = world.lives();
        let way = way(peer, job, number / world.jobs.len());
        match within("an answer", LIMIT, once(&world, peer, &mut client, job, way)).await {
            Ok(Ok(Some(outcome))) => world.judge(way, job, &outcome),
            Ok(Ok(None)) => {}
            Ok(Err(fault)) | Err(fault) => {
                client = None;
                world.lost(way, began, &fault);
            }
        }
    }
}

fn way(peer: bool, job: &Job, turn: usize) -> &'static str {
    match (&job.payload, peer) {
        (_, true) => "Connect",
        (Payload::Encoded { .. }, false) => "InferEncoded",
        (_, false) if turn.is_multiple_of(2) => "InferFd",
        (_, false) => "Infer",
    }
}

async fn once(
    world: &World,
    peer: bool,
    client: &mut Option<BusClient>,
    job: &Job,
    way: &str,
) -> Result<Option<Outcome>> {
    let client = match client {
        Some(client) => client,
        None => client.insert(connect(world, peer).await?),
    };
    let outcome = match &job.payload {
        Payload::Tensors(inputs) if way == "InferFd" => client.infer_sealed(job.model, inputs, &job.options).await?,
        Payload::Tensors(inputs) => client.infer(job.model, inputs, &job.options).await?,
        Payload::Encoded { kind, bytes } => client.infer_bytes(job.model, kind, bytes, &job.options).await?,
        Payload::Body(_) => return Ok(None),
    };
    Ok(Some(outcome))
}

async fn connect(world: &World, peer: bool) -> Result<BusClient> {
    let client = BusClient::on_bus(&world.bus_address).await?;
    if peer { client.peer().await } else { Ok(client) }
}
