//! Clients that go away in the middle: of a call, of the handshake of a private connection, of waiting for a reply.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::World;
use super::jobs::{Job, Payload};
use crate::client::bus::BusClient;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::routes::tensor_body;
use crate::clock::{PATIENCE, pace, within};
use crate::spin;

/// One comes and goes in this time.
const PACE: Duration = Duration::from_millis(400);
/// How long a caller stays after it has asked: too short for an answer.
const STAY: Duration = Duration::from_millis(20);

/// Comes and goes until the world ends.
pub async fn leave_on_and_on(world: Arc<World>) {
    let Some(job) = world.jobs.iter().find(|job| job.model == spin::MODEL) else { return };
    let mut ticks = pace(PACE);
    let mut number = 0;
    while !world.is_over() {
        ticks.tick().await;
        number += 1;
        let began = world.lives();
        if let Ok(Err(fault)) | Err(fault) = within("a client that leaves", PATIENCE, leave(&world, job, number)).await
        {
            world.lost(super::LEAVING, began, &fault);
        }
    }
}

async fn leave(world: &World, job: &Job, number: u32) -> Result<()> {
    let Payload::Tensors(inputs) = &job.payload else { return Ok(()) };
    match number % 8 {
        0 => {
            let device = Device::connect(world.mqtt_port, Protocol::V5).await?;
            let mut body = tensor_body(inputs, &job.options)?;
            (body["id"], body["reply_to"]) = (json!(device.fresh_id()), json!(device.reply_topic));
            let (topic, payload) = (request_topic(job.model), body.to_string().into());
            device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
            device.acknowledged(1).await
        }
        1 | 4 => BusClient::on_bus(&world.bus_address).await?.peer_stream().await.map(drop),
        peer => {
            let mut client = BusClient::on_bus(&world.bus_address).await?;
            if peer % 2 == 0 {
                client = client.peer().await?;
            }
            // Its end is not waited for: the connection is closed under it.
            let asked = within("", STAY, client.infer(job.model, inputs, &job.options)).await;
            client.connection.close().await?;
            if let Ok(Err(fault)) = asked { Err(fault) } else { Ok(()) }
        }
    }
}
