//! `edgectl drain [--wait]`.

use std::time::Duration;

use edge_wire::dto::Status;

use crate::cli::{Common, DrainArgs};
use crate::client::{Change, Client};
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json, units};

/// Waiting ends here unless `--timeout` says otherwise: longer than the daemon's own limit for a drain.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

pub async fn run(common: &Common, args: &DrainArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    let mut status = super::change(&client, Change::Drain, super::is_draining).await?;
    if args.wait {
        status = wait(&client, common.timeout.unwrap_or(WAIT_LIMIT)).await?;
    }
    Ok(Answer::done(if common.json { json::flow(&status) } else { human::flow(&status) }))
}

/// A daemon that answers and is not done is told apart from one that does not answer.
async fn wait(client: &Client, limit: Duration) -> Result<Status, Failure> {
    if let Ok(drained) = tokio::time::timeout(limit, until_drained(client)).await {
        return drained;
    }
    let status = client.status().await?;
    let left = units::count((status.waiting + status.running).into(), "request");
    Err(Failure::Unfinished {
        what: format!("edged is not drained after {}: {left} left", units::duration(limit)),
        remedy: "`edgectl status` shows what still runs; a longer --timeout waits longer".into(),
    })
}

async fn until_drained(client: &Client) -> Result<Status, Failure> {
    let mut shown = None;
    loop {
        let status = client.status().await?;
        if status.state == "drained" {
            return Ok(status);
        }
        let left = status.waiting + status.running;
        if shown.replace(left) != Some(left) {
            out::progress(&format!("edgectl: {} left", units::count(left.into(), "request")));
        }
        tokio::time::sleep(super::INTERVAL).await;
    }
}
