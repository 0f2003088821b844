//! `edgectl jobs`, `edgectl jobs cancel ID` and `edgectl jobs watch ID`.

use std::time::Duration;

use edge_wire::dto::{JobStatus, Status};
use edge_wire::error::ErrorCode;

use crate::cli::{Common, JobArgs, JobsArgs, JobsCommand};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json};

/// How often a watched job is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub async fn run(common: &Common, args: &JobsArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    match &args.command {
        None => {
            let jobs = client.status().await?.jobs;
            Ok(Answer::done(if common.json { json::record(&jobs) } else { human::jobs::list(&jobs) }))
        }
        Some(JobsCommand::Cancel(args)) => cancel(&client, common, args).await,
        Some(JobsCommand::Watch(args)) => watch(&client, common, args).await,
    }
}

async fn cancel(client: &Client, common: &Common, args: &JobArgs) -> Result<Answer, Failure> {
    // A job that is not there has no object: its absence would be told in the words of the bus.
    find(&client.status().await?, args.id)?;
    client.cancel_job(args.id).await?;
    let mut job = find(&client.status().await?, args.id)?;
    let seen = async {
        while is_running(&job) {
            tokio::time::sleep(super::INTERVAL).await;
            job = find(&client.status().await?, args.id)?;
        }
        Ok(())
    };
    tokio::time::timeout(super::PUBLISHED_WITHIN, seen).await.unwrap_or(Ok(()))?;
    Ok(Answer::done(told(common, &job)))
}

/// Waits until a job has ended, and shows on a terminal how far it is.
pub async fn follow(client: &Client, id: u64) -> Result<JobStatus, Failure> {
    let mut job = find(&client.status().await?, id)?;
    while is_running(&job) {
        out::line(&human::jobs::progress(&job));
        tokio::time::sleep(LOOK).await;
        job = find(&client.status().await?, id)?;
    }
    out::end_line();
    Ok(job)
}

async fn watch(client: &Client, common: &Common, args: &JobArgs) -> Result<Answer, Failure> {
    let job = follow(client, args.id).await?;
    let exit = if job.state == "done" { Exit::Done } else { Exit::Refused };
    Ok(Answer::done(told(common, &job)).ending(exit))
}

/// What became of a job.
pub fn told(common: &Common, job: &JobStatus) -> String {
    if common.json { json::record(job) } else { human::jobs::one(job) }
}

fn is_running(job: &JobStatus) -> bool {
    job.state == "running"
}

/// The job of this number.
fn find(status: &Status, id: u64) -> Result<JobStatus, Failure> {
    status.jobs.iter().find(|job| job.id == id).cloned().ok_or_else(|| {
        let ids: Vec<String> = status.jobs.iter().map(|job| job.id.to_string()).collect();
        let there = if ids.is_empty() { "there are none".into() } else { format!("there are {}", ids.join(", ")) };
        Failure::refused(ErrorCode::InvalidInput, format!("no job {id}; {there}"))
    })
}
