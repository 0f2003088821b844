//! Devices on the broker: every request has an id and QoS 1, and its answer comes, whatever dies in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::World;
use super::jobs::{Job, Payload};
use crate::answer::options;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::reply::{self, HEADER_LENGTH, binary_body};
use crate::client::routes::{body_of, properties, tensor_body};
use crate::clock::{Stopwatch, pace};

/// No more than one request of one device in this time.
const PACE: Duration = Duration::from_millis(50);
/// Requests of one device without an answer.
const MOST_OPEN: usize = 16;
/// How long the last answers may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Asks until the world ends, then waits for the answers that are missing.
pub async fn ask_on_and_on(world: Arc<World>, protocol: Protocol, first: usize, stride: usize) -> Result<()> {
    let device = Device::connect(world.mqtt_port, protocol).await?;
    let mut ledger = Ledger { way: way(protocol), world: &world, open: HashMap::new(), done: HashMap::new() };
    let mut ticks = pace(PACE);
    let mut number = first;
    while !world.is_over() {
        ticks.tick().await;
        ledger.collect(&device);
        if ledger.open.len() < MOST_OPEN {
            number += stride;
            let place = number % world.jobs.len();
            let id = device.fresh_id();
            if let Some(message) = message(&world, &device, &world.jobs[place], &id, number / world.jobs.len())? {
                ledger.asked(id, place);
                device.publish(message).await?;
            }
        }
    }
    let watch = Stopwatch::start();
    while !ledger.open.is_empty() && watch.elapsed() < LIMIT {
        ticks.tick().await;
        ledger.collect(&device);
    }
    for (id, place) in &ledger.open {
        world.fault(format!("{id} ({}) by {} was never answered", world.jobs[*place].what, ledger.way));
    }
    Ok(())
}

fn way(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V5 => "MQTT 5",
        Protocol::V311 => "MQTT 3.1.1",
    }
}

/// What one device asked; values are places of jobs.
struct Ledger<'w> {
    way: &'static str,
    world: &'w World,
    open: HashMap<String, usize>,
    done: HashMap<String, usize>,
}

impl Ledger<'_> {
    fn asked(&mut self, id: String, place: usize) {
        self.open.insert(id, place);
        self.world.open.fetch_add(1, Ordering::Relaxed);
    }

    fn collect(&mut self, device: &Device) {
        for message in device.take_all(|message| message.topic == device.reply_topic) {
            let id = reply::id_of(&message).unwrap_or_default();
            let first = self.open.remove(&id);
            let Some(place) = first.or_else(|| self.done.get(&id).copied()) else {
                self.world.fault(format!("{} answers {id:?}, which nobody asked", self.way));
                continue;
            };
            let job = &self.world.jobs[place];
            match reply::read(&message) {
                // QoS 1 may bring an answer twice: it has to be right again, but counts once.
                Ok(outcome) if first.is_some() => self.world.judge(self.way, job, &outcome),
                Ok(outcome) => {
                    if let super::Verdict::Wrong(why) = job.judge(&outcome) {
                        self.world.fault(format!("{id} ({}) by {} again: {why}", job.what, self.way));
                    }
                }
                Err(fault) => self.world.fault(format!("{id} by {}: {fault:#}", self.way)),
            }
            if first.is_some() {
                self.done.insert(id, place);
                self.world.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// The request as one of the forms in which it can travel; `None` if it cannot.
fn message(world: &World, device: &Device, job: &Job, id: &str, turn: usize) -> Result<Option<Outgoing>> {
    let mut given = job.options.clone();
    given.insert("request_id".into(), id.into());
    let by_properties = world.properties && device.protocol == Protocol::V5 && turn.is_multiple_of(2);
    let topic = request_topic(job.model);
    let plain = |mut body: Value| {
        body["reply_to"] = json!(device.reply_topic);
        Outgoing { topic: topic.clone(), payload: body.to_string().into(), qos: 1, ..Outgoing::default() }
    };
    let rich = |kind: &str, payload: Vec<u8>, more: Vec<(String, String)>| Outgoing {
        topic: topic.clone(),
        payload: payload.into(),
        qos: 1,
        content_type: Some(kind.into()),
        response_topic: Some(device.reply_topic.clone()),
        user: properties(&given).into_iter().chain(more).collect(),
        ..Outgoing::default()
    };
    Ok(match &job.payload {
        // The test client writes and reads not every type in JSON.
        Payload::Tensors(_) if job.model == "echo-types" => None,
        Payload::Tensors(inputs) if by_properties => {
            let (body, header) = binary_body(inputs)?;
            Some(rich("application/octet-stream", body, vec![(HEADER_LENGTH.into(), header.to_string())]))
        }
        Payload::Tensors(inputs) => Some(plain(tensor_body(inputs, &given)?)),
        Payload::Encoded { kind, bytes } if by_properties => Some(rich(kind, bytes.clone(), Vec::new())),
        Payload::Encoded { kind, bytes } => {
            let mut body = body_of(&given);
            (body["bytes"], body["content_type"]) = (STANDARD.encode(bytes).into(), json!(kind));
            Some(plain(body))
        }
        Payload::Body(body) => {
            // First of all, so that it is found before the fault.
            let mut whole = body_of(&options(json!({"request_id": id})));
            whole
                .as_object_mut()
                .into_iter()
                .for_each(|whole| whole.extend(body.as_object().cloned().unwrap_or_default()));
            Some(plain(whole))
        }
    })
}
