//! What is asked of the driver: commands of hosts, and what was served lately. Nothing here is waited for by the loop.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use edge_core::Mono;
use edge_wire::sites::UsageRow;
use tokio::task::JoinSet;

use crate::driver::clock;
use crate::handle::{Activate, Handle, Message, UsageFilter};
use crate::request::Failure;
use crate::transport::sparkplug::commands::Command;
use crate::transport::sparkplug::metrics::status::Served;

/// Commands that may be under way at once.
const MOST: usize = 8;
/// How often the books are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Over how long what was served is summed up.
const SPAN: Duration = Duration::from_secs(300);

/// What the driver answered.
pub enum Told {
    /// What became of a command, in words.
    Outcome(String),
    /// What was served lately, by model.
    Served(BTreeMap<String, Served>),
}

/// What is under way.
pub struct Orders {
    handle: Handle,
    /// As the history of the box names who did it.
    who: String,
    wall: fn() -> SystemTime,
    commands: usize,
    under_way: JoinSet<Told>,
    looked: Option<Mono>,
    /// What was served when it was looked at last.
    pub served: BTreeMap<String, Served>,
}

impl Orders {
    pub fn new(handle: Handle, who: String, wall: fn() -> SystemTime) -> Orders {
        Orders { handle, who, wall, commands: 0, under_way: JoinSet::new(), looked: None, served: BTreeMap::new() }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts a command. Words if it cannot be started.
    pub fn carry_out(&mut self, command: Command) -> Option<String> {
        let words = command.words();
        if self.commands >= MOST {
            return Some(format!("{words}: refused: {MOST} commands are under way"));
        }
        self.commands += 1;
        let (handle, who) = (self.handle.clone(), self.who.clone());
        self.under_way.spawn(async move {
            let result = match command {
                Command::Drain(true) => handle.send(Message::Drain).await.map(|()| "done".to_owned()),
                Command::Drain(false) => handle.send(Message::Resume).await.map(|()| "done".to_owned()),
                Command::Activate { model, version } => activate(&handle, format!("{model}:{version}"), who).await,
                // The node answers these itself.
                Command::Rebirth => Ok("done".to_owned()),
            };
            Told::Outcome(match result {
                Ok(what) => format!("{words}: {what}"),
                Err(failure) => format!("{words}: refused: {}", failure.message),
            })
        });
        None
    }

    /// Asks what was served lately, now and then.
    pub fn look_at_usage(&mut self, now: Mono) {
        if self.looked.is_some_and(|at| now.since(at) < LOOK) {
            return;
        }
        self.looked = Some(now);
        let since = (self.wall)().checked_sub(SPAN).map(clock::rfc3339);
        let filter = UsageFilter { since, until: None, step: "all".into() };
        let handle = self.handle.clone();
        self.under_way.spawn(async move {
            let rows = match handle.ask(|done| Message::Usage { filter, done }).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(failure)) | Err(failure) => {
                    tracing::debug!(why = %failure.message, "what was served lately is not known");
                    Vec::new()
                }
            };
            Told::Served(summed(&rows))
        });
    }

    /// The next answer; `None` while nothing is under way.
    pub async fn next(&mut self) -> Option<Told> {
        let told = match self.under_way.join_next().await? {
            Ok(told) => told,
            Err(error) => Told::Outcome(format!("failed: {error}")),
        };
        if matches!(told, Told::Outcome(_)) {
            self.commands = self.commands.saturating_sub(1);
        }
        Some(told)
    }
}

async fn activate(handle: &Handle, model: String, who: String) -> Result<String, Failure> {
    let how = Activate::default();
    let job = handle.ask(|done| Message::Activate { model, how, who, done }).await??;
    Ok(format!("started, job {job}"))
}

/// Rows of one model under several verdicts as one: the middle of the most frequent, the slowest end of all.
fn summed(rows: &[UsageRow]) -> BTreeMap<String, Served> {
    let mut served: BTreeMap<String, (Served, u64)> = BTreeMap::new();
    for row in rows {
        let (sum, most) = served.entry(row.model.clone()).or_default();
        sum.count = sum.count.saturating_add(row.count);
        sum.failed = sum.failed.saturating_add(row.failed);
        sum.p99_ms = sum.p99_ms.max(row.p99_ms);
        if row.count >= *most {
            (*most, sum.p50_ms) = (row.count, row.p50_ms);
        }
    }
    served.into_iter().map(|(model, (sum, _))| (model, sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_model_are_summed_up() {
        let row = |count, failed, p50_ms, p99_ms| UsageRow {
            model: "m".into(),
            count,
            failed,
            p50_ms,
            p99_ms,
            ..UsageRow::default()
        };
        let served = summed(&[row(10, 1, 5.0, 20.0), row(2, 2, 90.0, 90.0)]);
        assert_eq!(served["m"], Served { count: 12, failed: 3, p50_ms: 5.0, p99_ms: 90.0 });
    }
}
