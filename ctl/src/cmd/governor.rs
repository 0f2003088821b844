//! `edgectl governor`.

use crate::cli::{Common, GovernorArgs};
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{glyphs, human, json};

pub async fn run(common: &Common, args: &GovernorArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    // A daemon that is too old for this command is told apart from one that has no governor.
    client.status().await?;
    let report = client.governor().await?;
    let text =
        if common.json { json::record(&report) } else { human::governor::report(&report, glyphs::here(args.ascii)) };
    Ok(Answer::done(text))
}
