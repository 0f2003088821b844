//! `edgectl doctor`: gathers facts; what they mean is decided in `diagnose`.

use std::path::{Path, PathBuf};
use std::process::Command;

use edge_wire::names::{CONFIG_FILE, INFER_GROUP};

use crate::check::Report;
use crate::cli::{Bus, Common, ConfigArgs};
use crate::client::Client;
use crate::clock;
use crate::diagnose::unit::Unit;
use crate::diagnose::{self, Caller, Clock, Daemon, Facts, Group};
use crate::edged;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common, args: &ConfigArgs) -> Result<Answer, Failure> {
    let report = report(common, args.config.clone()).await?;
    let text = if common.json { json::record(&report) } else { human::checks::report(&report) };
    Ok(Answer::done(text).ending(report.exit))
}

/// All checks; `config` is the file that the command line names.
pub async fn report(common: &Common, config: Option<PathBuf>) -> Result<Report, Failure> {
    let bus = super::bus(common)?;
    let (daemon, synchronised, unit, passed_on) = match Client::connect(bus, common.timeout).await {
        Ok(client) => {
            let daemon = ask(&client).await;
            let passed_on = match daemon {
                Daemon::Here { .. } => client.may_infer().await,
                // A call to a name that nobody owns would start the service.
                _ => None,
            };
            (daemon, synchronised(&client).await, unit(&client).await, passed_on)
        }
        Err(failure) => (Daemon::NoBus(failure), None, None, None),
    };
    let config = config.or_else(|| config_of(&daemon));
    let facts = Facts {
        bus,
        config: edged::check_config(config.as_deref()).await,
        daemon,
        unit,
        settings: settings(config.as_deref()),
        caller: caller(passed_on),
        clock: Clock { unix_seconds: clock::unix_seconds(), synchronised },
    };
    Ok(diagnose::report(&facts))
}

async fn ask(client: &Client) -> Daemon {
    let owner = match client.owner().await {
        Ok(Some(owner)) => owner,
        Ok(None) => return Daemon::NoOwner,
        Err(failure) => return Daemon::NoBus(failure),
    };
    match client.status().await {
        Ok(status) => Daemon::Here { owner, status: Box::new(status) },
        Err(failure) => Daemon::Silent { owner, failure },
    }
}

/// Only the box's own bus has somebody who knows about its clock.
async fn synchronised(client: &Client) -> Option<bool> {
    match client.bus() {
        Bus::System => client.clock_synchronised().await,
        Bus::Session => None,
    }
}

/// The files that systemd's generator reads as well: those at the one place.
fn settings(config: Option<&Path>) -> Vec<String> {
    let files =
        if config.is_none_or(|path| path == Path::new(CONFIG_FILE)) { edged::config_files(None) } else { Vec::new() };
    files.iter().filter_map(|path| edged::text(path).ok()).collect()
}

/// The daemon of a session is no service.
async fn unit(client: &Client) -> Option<Unit> {
    match client.bus() {
        Bus::System => client.unit().await,
        Bus::Session => None,
    }
}

/// The file that the running daemon was given, when it is not the one that it finds by itself.
fn config_of(daemon: &Daemon) -> Option<PathBuf> {
    let Daemon::Here { status, .. } = daemon else { return None };
    edged::given(&status.config_files)
}

fn caller(passed_on: Option<bool>) -> Caller {
    let uid = rustix::process::getuid().as_raw();
    let groups = rustix::process::getgroups().unwrap_or_default();
    let own = rustix::process::getgid();
    let name = database("passwd", &uid.to_string()).and_then(|line| line.split(':').next().map(str::to_owned));
    Caller {
        uid,
        name: name.unwrap_or_else(|| format!("uid {uid}")),
        groups: groups.into_iter().chain([own]).map(rustix::process::Gid::as_raw).collect(),
        infer_group: database("group", INFER_GROUP).and_then(|line| group(&line)),
        passed_on,
    }
}

/// An entry of the user database, from wherever this box keeps it (files, LDAP): only getent knows.
fn database(table: &str, key: &str) -> Option<String> {
    let output = Command::new("getent").args([table, key]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `edge:x:995:ana,ben`.
fn group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let gid = fields.nth(2)?.parse().ok()?;
    let members =
        fields.next().unwrap_or_default().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some(Group { gid, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_group_database_is_read_with_and_without_members() {
        let members = vec!["ana".to_owned(), "ben".to_owned()];
        assert_eq!(group("edge:x:995:ana,ben"), Some(Group { gid: 995, members }));
        assert_eq!(group("edge:x:995:"), Some(Group { gid: 995, members: vec![] }));
        assert_eq!(group("nonsense"), None);
    }
}
