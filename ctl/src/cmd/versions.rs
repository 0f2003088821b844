//! `edgectl models install`, `pull`, `activate`, `rollback`, `remove` and `history`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_wire::bring::Written;
use edge_wire::dto::{JobStatus, Status};
use edge_wire::history::HistoryEntry;
use zbus::Variant;

use crate::cli::{ActivateArgs, Common, HistoryArgs, HowArgs, InstallArgs, PullArgs, RemoveArgs, RollbackArgs};
use crate::client::{Client, Options};
use crate::edged::{BUNDLE, Words};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

use super::jobs;
use super::models::find;

/// How often it is asked whether the lists were read, and the pause before it is asked again: longer than a server may take.
const LOOKS: u32 = 600;
const BETWEEN: Duration = Duration::from_millis(250);

pub async fn install(client: &Client, common: &Common, args: &InstallArgs) -> Result<Answer, Failure> {
    let archive = archive(&args.path).await?;
    let mut options = how(&args.how);
    options.insert("activate", Variant::from(!args.no_activate));
    let id = client.install(archive.file, &options).await?;
    // Who has the descriptor needs the name no more.
    drop(archive.packed);
    followed(client, common, id, args.no_wait).await
}

pub async fn pull(client: &Client, common: &Common, args: &PullArgs) -> Result<Answer, Failure> {
    let mut options = how(&args.how);
    options.insert("activate", Variant::from(!args.no_activate));
    let id = client.pull(&args.url, &options).await?;
    followed(client, common, id, args.no_wait).await
}

/// A change to one version is asked for by its whole name.
fn named_whole(name: &str) -> Result<(), Failure> {
    match name.split_once(':') {
        Some((model, version)) if !model.is_empty() && !version.is_empty() => Ok(()),
        _ => Err(Failure::usage(format!("{name}: takes NAME:VERSION; `edgectl models list` shows them"))),
    }
}

pub async fn activate(
    client: &Client,
    common: &Common,
    status: &Status,
    args: &ActivateArgs,
) -> Result<Answer, Failure> {
    named_whole(&args.name)?;
    let model = find(status, &args.name)?;
    let id = client.activate(&model.name, &model.version, &how(&args.how)).await?;
    followed(client, common, id, args.no_wait).await
}

pub async fn rollback(
    client: &Client,
    common: &Common,
    status: &Status,
    args: &RollbackArgs,
) -> Result<Answer, Failure> {
    let model = find(status, &args.name)?;
    let id = client.rollback(&model.name, &model.version).await?;
    followed(client, common, id, false).await
}

pub async fn remove(client: &Client, common: &Common, status: &Status, args: &RemoveArgs) -> Result<Answer, Failure> {
    named_whole(&args.name)?;
    let model = find(status, &args.name)?;
    client.remove(&model.name, &model.version, args.force).await?;
    let label = format!("{}:{}", model.name, model.version);
    Ok(Answer::done(if common.json { json::record(&label) } else { format!("{label} is removed\n") }))
}

/// Has the lists read anew, and says what came of it.
pub async fn sync(client: &Client, common: &Common) -> Result<Answer, Failure> {
    let look = client.sync().await?;
    for _ in 0..LOOKS {
        let status = client.status().await?;
        if status.fleet.looks < look {
            tokio::time::sleep(BETWEEN).await;
            continue;
        }
        let wrong = status.problems.iter().any(human::versions::is_of_lists);
        let text = if common.json { json::record(&status.fleet) } else { human::versions::fleet(&status) };
        return Ok(Answer::done(text).ending(if wrong { Exit::Refused } else { Exit::Done }));
    }
    Err(Failure::local(
        "the lists were not read within 150 s: `edgectl models fleet` shows what is known, `edgectl status` what is wrong",
    ))
}

pub async fn history(client: &Client, common: &Common, args: &HistoryArgs) -> Result<Answer, Failure> {
    let mut history: Vec<HistoryEntry> = client.history().await?;
    if let Some(name) = &args.name {
        history.retain(|entry| entry.model == *name || entry.model.split(':').next() == Some(name));
    }
    Ok(Answer::done(if common.json { json::record(&history) } else { human::versions::history(&history) }))
}

/// Waits for a job, and says what came of it.
async fn followed(client: &Client, common: &Common, id: u64, no_wait: bool) -> Result<Answer, Failure> {
    if no_wait {
        let text = if common.json { json::record(&id) } else { format!("job {id}\n") };
        return Ok(Answer::done(text));
    }
    let job = jobs::follow(client, id).await?;
    let exit = if job.state == "done" { Exit::Done } else { Exit::Refused };
    let text = match common.json {
        true => json::record(&job),
        false => told(client, &job).await?,
    };
    Ok(Answer::done(text).ending(exit))
}

/// What became of a model, in a few lines.
async fn told(client: &Client, job: &JobStatus) -> Result<String, Failure> {
    if job.state != "done" {
        return Ok(human::jobs::one(job));
    }
    let status = client.status().await?;
    Ok(match find(&status, &job.model) {
        Ok(model) => human::versions::settled(model),
        Err(_) => human::jobs::one(job),
    })
}

fn how(args: &HowArgs) -> Options<'static> {
    let flags = [("pause", args.pause), ("force", args.force)];
    flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| (name, Variant::from(true))).collect()
}

/// An archive to send, and the file that was made for it, if there is one.
struct Archive {
    file: OwnedFd,
    packed: Option<Packed>,
}

/// A file that goes away with this value.
struct Packed(PathBuf);

impl Drop for Packed {
    fn drop(&mut self) {
        // In the directory for temporary files, which the system clears.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The archive at `path`, or one that is packed from the directory there.
async fn archive(path: &Path) -> Result<Archive, Failure> {
    let open = |path: &Path| {
        let file = std::fs::File::open(path);
        file.map(OwnedFd::from).map_err(|error| Failure::usage(format!("open {}: {error}", path.display())))
    };
    if !path.is_dir() {
        return Ok(Archive { file: open(path)?, packed: None });
    }
    let packed = Packed(std::env::temp_dir().join(format!("edgectl-{}.edgemodel", std::process::id())));
    let mut words = Words::new(BUNDLE, "pack", path.as_os_str());
    words.option("--out", Some(&packed.0));
    let _: (Written, bool) = words.ask().await?;
    Ok(Archive { file: open(&packed.0)?, packed: Some(packed) })
}
