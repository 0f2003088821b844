//! `edgectl bindings`.

use crate::cli::Common;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common) -> Result<Answer, Failure> {
    let status = super::connect(common).await?.status().await?;
    let bindings = &status.mqtt.bindings;
    Ok(Answer::done(if common.json { json::record(bindings) } else { human::bindings::list(bindings) }))
}
