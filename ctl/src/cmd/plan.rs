//! `edgectl models plan [NAME]` and `edgectl models tune NAME`.

use edge_wire::dto::Status;
use edge_wire::error::ErrorCode;
use edge_wire::plan::Plan;

use crate::cli::{Common, PlanArgs, TuneArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

use super::jobs;
use super::models::find;

pub async fn show(client: &Client, common: &Common, status: &Status, args: &PlanArgs) -> Result<Answer, Failure> {
    if let Some(name) = &args.name {
        let model = find(status, name)?;
        let plan = client.plan(&model.name, &model.version).await?;
        return Ok(Answer::done(told(common, &plan)));
    }
    let (mut plans, mut texts): (Vec<Plan>, Vec<String>) = (Vec::new(), Vec::new());
    for model in &status.models {
        match client.plan(&model.name, &model.version).await {
            Ok(plan) => {
                texts.push(human::plan::show(&plan));
                plans.push(plan);
            }
            // That one of them was not measured is no reason not to show the others.
            Err(Failure::Refused { refused, .. }) if refused.code == ErrorCode::Unavailable => {
                texts.push(format!("{}\n", refused.message));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(Answer::done(if common.json { json::record(&plans) } else { texts.join("\n") }))
}

pub async fn tune(client: &Client, common: &Common, status: &Status, args: &TuneArgs) -> Result<Answer, Failure> {
    let model = find(status, &args.name)?;
    let id = client.tune(&model.name, &model.version).await?;
    if args.no_wait {
        let text = if common.json { json::record(&id) } else { format!("job {id}\n") };
        return Ok(Answer::done(text));
    }
    let job = jobs::follow(client, id).await?;
    if job.state != "done" {
        return Ok(Answer::done(jobs::told(common, &job)).ending(Exit::Refused));
    }
    Ok(Answer::done(told(common, &client.plan(&model.name, &model.version).await?)))
}

fn told(common: &Common, plan: &Plan) -> String {
    if common.json { json::record(plan) } else { human::plan::show(plan) }
}
