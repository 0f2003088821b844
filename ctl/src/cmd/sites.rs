//! `edgectl sites`.

use crate::cli::Common;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common) -> Result<Answer, Failure> {
    let routing = super::connect(common).await?.routing().await?;
    Ok(Answer::done(if common.json { json::record(&routing) } else { human::sites::sites(&routing) }))
}
