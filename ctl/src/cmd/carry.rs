//! `edgectl models cache export` and `import`: the daemon reads and writes, into a file that this command opens, so that nobody
//! gets at a file by the daemon that he could not open himself.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use edge_wire::dto::JobStatus;

use crate::cli::{Common, ExportArgs, ImportArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

use super::jobs;

pub async fn export(client: &Client, common: &Common, args: &ExportArgs) -> Result<Answer, Failure> {
    let part = Part::beside(&args.out)?;
    let failed = |what: &str, error: std::io::Error| Failure::local(format!("{what} {}: {error}", args.out.display()));
    let file = File::create_new(&part.0).map_err(|error| failed("make", error))?;
    let models: Vec<&str> = args.models.iter().map(String::as_str).collect();
    let id = client.export_cache(&models, OwnedFd::from(file)).await?;
    let job = jobs::follow(client, id).await?;
    if job.state == "done" {
        std::fs::rename(&part.0, &args.out).map_err(|error| failed("write", error))?;
    }
    Ok(told(common, &job))
}

pub async fn import(client: &Client, common: &Common, args: &ImportArgs) -> Result<Answer, Failure> {
    let path = &args.file;
    let file = File::open(path).map_err(|error| Failure::usage(format!("open {}: {error}", path.display())))?;
    let id = client.import_cache(OwnedFd::from(file)).await?;
    Ok(told(common, &jobs::follow(client, id).await?))
}

fn told(common: &Common, job: &JobStatus) -> Answer {
    let exit = if job.state == "done" { Exit::Done } else { Exit::Refused };
    let text = if common.json { json::record(job) } else { human::jobs::ended(job) };
    Answer::done(text).ending(exit)
}

/// A file that is written beside its place, and goes away with this value unless it was moved there.
struct Part(PathBuf);

impl Part {
    fn beside(out: &Path) -> Result<Part, Failure> {
        let Some(name) = out.file_name() else {
            return Err(Failure::usage(format!("--out {}: takes the name of a file", out.display())));
        };
        if out.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            let what = "is there and is no regular file: takes the name of a new file, or of one to replace";
            return Err(Failure::usage(format!("--out {}: {what}", out.display())));
        }
        Ok(Part(out.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()))))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is not there any more when all went well.
        let _ = std::fs::remove_file(&self.0);
    }
}
