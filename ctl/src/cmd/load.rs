//! `edgectl models load NAME` and `edgectl models unload NAME`.

use std::time::Duration;

use edge_wire::dto::{ModelStatus, Status};

use crate::cli::{Common, ShowArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json, units};

use super::models::find;

/// Waiting ends here unless `--timeout` says otherwise. What compiles for longer is a job, which can be watched.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

pub async fn load(client: &Client, common: &Common, status: &Status, args: &ShowArgs) -> Result<Answer, Failure> {
    let model = find(status, &args.name)?;
    let label = format!("{}:{}", model.name, model.version);
    client.load(&model.name, &model.version).await?;
    let limit = common.timeout.unwrap_or(LOAD_LIMIT);
    let settled = tokio::time::timeout(limit, until_settled(client, &label)).await;
    let status = settled.map_err(|_| Failure::Unfinished {
        what: format!("{label} is still being loaded after {}", units::duration(limit)),
        remedy: format!("it goes on; `edgectl models show {label}` and `edgectl jobs` show how far it is"),
    })??;
    let model = find(&status, &label)?;
    let exit = if model.state == "ready" { Exit::Done } else { Exit::Refused };
    Ok(Answer::done(told(common, model, &status)).ending(exit))
}

pub async fn unload(client: &Client, common: &Common, status: &Status, args: &ShowArgs) -> Result<Answer, Failure> {
    let model = find(status, &args.name)?;
    let label = format!("{}:{}", model.name, model.version);
    client.unload(&model.name, &model.version).await?;
    let status = client.status().await?;
    Ok(Answer::done(told(common, find(&status, &label)?, &status)))
}

/// The state in which nothing of the model is under way any more. A stand-in may serve before that.
async fn until_settled(client: &Client, label: &str) -> Result<Status, Failure> {
    loop {
        let status = client.status().await?;
        let model = find(&status, label)?;
        let under_way = |state: &str| matches!(state, "found" | "loading");
        if !under_way(&model.state) && !model.setups.iter().any(|setup| under_way(&setup.state)) {
            return Ok(status);
        }
        tokio::time::sleep(super::INTERVAL).await;
    }
}

fn told(common: &Common, model: &ModelStatus, status: &Status) -> String {
    if common.json { json::record(model) } else { human::models::show(model, status.simulated) }
}
