//! The verbs, one per file: ask the client, hand the record to a renderer, name the exit. None of them prints.

mod audit;
mod bench;
mod bindings;
mod bring;
mod carry;
mod completions;
mod config;
pub mod doctor;
mod drain;
mod gen_docs;
mod governor;
mod hold;
mod infer;
mod jobs;
mod learn;
mod load;
mod models;
mod plan;
mod reload;
mod resume;
mod route;
mod runtime;
mod sites;
mod status;
mod support;
mod top;
mod trace;
mod usage;
mod versions;

use std::time::Duration;

use edge_wire::dto::Status;
use zbus::Variant;

use crate::cli::{Bus, Cli, Command, Common, DataClass, Priority};
use crate::client::{Change, Client, Options};
use crate::failure::Failure;
use crate::out::Answer;

/// Runs the verb of this command line.
pub async fn run(cli: &Cli) -> Result<Answer, Failure> {
    let common = &cli.common;
    match &cli.command {
        Command::Status(args) => status::run(common, args).await,
        Command::Top(args) => top::run(common, args).await,
        Command::Models(command) => models::run(common, command).await,
        Command::Jobs(args) => jobs::run(common, args).await,
        Command::Infer(args) => infer::run(common, args).await,
        Command::Bench(args) => bench::run(common, args).await,
        Command::Doctor(args) => doctor::run(common, args).await,
        Command::Governor(args) => governor::run(common, args).await,
        Command::Sites => sites::run(common).await,
        Command::Bindings => bindings::run(common).await,
        Command::Route(command) => route::run(common, command).await,
        Command::Audit(args) => audit::run(common, args).await,
        Command::Usage(args) => usage::run(common, args).await,
        Command::Hold(args) => hold::run(common, args).await,
        Command::Drain(args) => drain::run(common, args).await,
        Command::Resume => resume::run(common).await,
        Command::Reload => reload::run(common).await,
        Command::Trace(args) => trace::run(common, args).await,
        Command::Runtime(command) => runtime::run(common, command).await,
        Command::SupportBundle(args) => support::run(common, args).await,
        Command::Config(command) => config::run(common, command).await,
        Command::Completions(args) => completions::run(common, args),
        Command::Gen(args) => gen_docs::run(args),
    }
}

/// A client on the bus that this command line and environment name.
pub async fn connect(common: &Common) -> Result<Client, Failure> {
    Client::connect(bus(common)?, common.timeout).await
}

/// The option, else the environment, else the system bus.
fn bus(common: &Common) -> Result<Bus, Failure> {
    use edge_wire::names::BUS_ENV;
    match (common.bus, std::env::var(BUS_ENV)) {
        (Some(bus), _) => Ok(bus),
        (None, Ok(word)) => {
            bus_named(&word).ok_or_else(|| Failure::usage(format!("{BUS_ENV} is {word:?}; it takes system or session")))
        }
        (None, Err(_)) => Ok(Bus::System),
    }
}

fn bus_named(word: &str) -> Option<Bus> {
    match word {
        "" => Some(Bus::System),
        _ => [Bus::System, Bus::Session].into_iter().find(|bus| bus.as_str() == word),
    }
}

/// How much longer than the deadline an answer is waited for: the daemon's own "too late" should still arrive.
const GRACE: Duration = Duration::from_secs(5);
/// Longer than the longest deadline that a daemon gives a request by itself, unless its operator raised that.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(605);

/// How long the answer to a request is waited for.
fn patience(deadline: Option<Duration>) -> Duration {
    deadline.map_or(WITHOUT_DEADLINE, |deadline| deadline.saturating_add(GRACE))
}

/// The options of a request that were asked for.
fn options(deadline: Option<Duration>, data_class: Option<DataClass>, priority: Option<Priority>) -> Options<'static> {
    let deadline = deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    let named = [
        ("deadline_ms", deadline.map(Variant::from)),
        ("data_class", data_class.map(|class| Variant::from(class.as_str()))),
        ("priority", priority.map(|priority| Variant::from(priority.as_str()))),
    ];
    named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The daemon publishes its state a few times a second; asking more often would show nothing new.
const INTERVAL: Duration = Duration::from_millis(100);
/// Longer than the daemon takes to publish a change.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(2);

/// Makes a change and returns the state that shows it, or after a short time whatever state there is.
async fn change(client: &Client, change: Change, shows: fn(&str) -> bool) -> Result<Status, Failure> {
    client.change(change).await?;
    let mut status = client.status().await?;
    let seen = async {
        while !shows(&status.state) {
            tokio::time::sleep(INTERVAL).await;
            status = client.status().await?;
        }
        Ok(())
    };
    tokio::time::timeout(PUBLISHED_WITHIN, seen).await.unwrap_or(Ok(()))?;
    Ok(status)
}

/// Requests are not taken.
fn is_draining(state: &str) -> bool {
    matches!(state, "draining" | "drained")
}
