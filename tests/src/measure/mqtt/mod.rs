//! What is promised of MQTT, each on a stack of its own. Read [`picture`] (what the way of a picture costs beyond the model),
//! [`cameras`] (how old an answered frame is when too many come), [`worker`] (against a worker that somebody wrote by hand),
//! [`outbox`] (what waits for the broker: how fast, and what it costs the disk), [`link`] (a link that is dead and does not say
//! so).

pub mod cameras;
pub mod link;
pub mod outbox;
pub mod picture;
pub mod worker;

use anyhow::{Context, Result};
use serde_json::Value;

use super::table::Table;
use crate::client::mqtt::{Device, Outgoing};

/// All rows, or those of the part whose name this is.
pub async fn rows(table: &mut Table, only: &str) -> Result<()> {
    let wants = |part: &str| only.is_empty() || only == part;
    if wants("picture") {
        picture::rows(table).await.context("pictures")?;
    }
    if wants("cameras") {
        cameras::rows(table).await.context("cameras")?;
    }
    if wants("worker") {
        worker::rows(table).await.context("the hand-written worker")?;
    }
    if wants("outbox") {
        outbox::rows(table).await.context("the outbox")?;
    }
    if wants("link") {
        link::rows(table).await.context("a dead link")?;
    }
    Ok(())
}

/// Publishes a frame with QoS 1.
async fn publish(device: &Device, topic: String, payload: &bytes::Bytes) -> Result<()> {
    device.publish(Outgoing { topic, payload: payload.clone(), qos: 1, ..Outgoing::default() }).await
}

/// A time of the record about an answer, microseconds.
fn info_us(body: &Value, key: &str) -> Result<u64> {
    body["info"][key].as_u64().with_context(|| format!("no {key} in {body}"))
}
