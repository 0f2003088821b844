//! `edgectl resume`.

use crate::cli::Common;
use crate::client::Change;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    let status = super::change(&client, Change::Resume, |state| !super::is_draining(state)).await?;
    Ok(Answer::done(if common.json { json::flow(&status) } else { human::flow(&status) }))
}
