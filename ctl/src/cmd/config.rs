//! `edgectl config check`: the verdict is the daemon binary's, never a second opinion.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Common, ConfigCommand};
use crate::client::Client;
use crate::diagnose::ConfigVerdict;
use crate::edged;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::json;

/// A check works without a daemon, so one that does not answer soon is done without.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn run(common: &Common, command: &ConfigCommand) -> Result<Answer, Failure> {
    let ConfigCommand::Check(args) = command;
    let file = match &args.config {
        Some(file) if !file.exists() => {
            return Err(Failure::usage(format!("{}: there is no such file", file.display())));
        }
        Some(file) => Some(file.clone()),
        None => of_the_daemon(common).await?,
    };
    let (valid, said) = match edged::check_config(file.as_deref()).await {
        ConfigVerdict::Valid(said) => (true, said),
        ConfigVerdict::Invalid(said) => (false, said),
        ConfigVerdict::Unknown(why) => {
            return Err(Failure::unreachable(why, "install edged, or run `edged --check-config` where it is"));
        }
    };
    let text = if common.json { json::verdict(valid, &said) } else { format!("{said}\n") };
    Ok(Answer::done(text).ending(if valid { Exit::Done } else { Exit::Refused }))
}

/// The file that the running daemon was given, if there is one and it was given any.
async fn of_the_daemon(common: &Common) -> Result<Option<PathBuf>, Failure> {
    let bus = super::bus(common)?;
    let ask = async {
        let client = Client::connect(bus, Some(common.timeout.unwrap_or(PATIENCE))).await.ok()?;
        client.status().await.ok()
    };
    Ok(ask.await.and_then(|status| edged::given(&status.config_files)))
}
