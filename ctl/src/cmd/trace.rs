//! `edgectl trace REQUEST_ID`.

use crate::cli::{Common, TraceArgs};
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common, args: &TraceArgs) -> Result<Answer, Failure> {
    let trace = super::connect(common).await?.trace(&args.request_id).await?;
    Ok(Answer::done(if common.json { json::record(&trace) } else { human::trace::trace(&trace) }))
}
