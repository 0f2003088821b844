//! Writes plans and engines of this box into one file, for boxes like it. Reads what is sealed and nothing else; a file that
//! is not what was sealed ends the export. Takes as long as reading it all: not for the loop's thread.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use edge_engine::bundle::FileEntry;

use super::head::{EngineEntry, FORMAT, Facts, Head, PlanEntry};
use super::seal;
use crate::plans;
use crate::store::archive::{ArchiveError, Hashed, Packing, Promise as _};
use crate::store::install::Watched;

/// What is to be exported, and of which box.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Names of models, or `NAME:VERSION`; all if there are none.
    pub models: Vec<String>,
    pub cache_dir: PathBuf,
    pub node: String,
    pub machine: Facts,
    /// RFC 3339.
    pub made_at: String,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("to: takes a regular file that may be written")]
    NoFile,
    #[error("nothing is kept of {0}: `edgectl models cache` and `edgectl models plan` show what there is")]
    Nothing(String),
    #[error("{what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("write the export")]
    Write(#[source] io::Error),
    #[error("{name}: its file {file} is not the one that was sealed: it goes when it is loaded, export again then")]
    Changed { name: String, file: String },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("describe the export")]
    Json(#[from] serde_json::Error),
    #[error("cancelled")]
    Cancelled,
}

/// Where a file of the export is read from, and what it is of.
struct Source {
    name: String,
    path: PathBuf,
}

/// Writes the export into `to`; what was exported and what was left out, one line each.
pub fn export(to: OwnedFd, asked: &Asked, watched: &Watched) -> Result<Vec<String>, ExportError> {
    let mut file = File::from(to);
    if !file.metadata().map_err(ExportError::Write)?.is_file() {
        return Err(ExportError::NoFile);
    }
    let mut lines = Vec::new();
    let mut sources = Vec::new();
    let mut head = Head {
        format: FORMAT,
        made_at: asked.made_at.clone(),
        node: asked.node.clone(),
        machine: asked.machine.clone(),
        plans: Vec::new(),
        engines: Vec::new(),
        files: Vec::new(),
    };
    add_plans(asked, &mut head, &mut sources, &mut lines)?;
    add_engines(asked, &mut head, &mut sources, &mut lines)?;
    if head.files.is_empty() {
        let of = if asked.models.is_empty() { "any model".to_owned() } else { asked.models.join(", ") };
        return Err(ExportError::Nothing(of));
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(ExportError::Write)?;
    write(file, &head, &sources, watched)?;
    Ok(lines)
}

/// Whether it was asked for a model.
fn is_asked(asked: &Asked, name: &str, version: Option<&str>) -> bool {
    let fits = |wanted: &String| match wanted.split_once(':') {
        Some((of, number)) => of == name && version.is_none_or(|version| version == number),
        None => wanted == name,
    };
    asked.models.is_empty() || asked.models.iter().any(fits)
}

fn add_plans(
    asked: &Asked,
    head: &mut Head,
    sources: &mut Vec<Source>,
    lines: &mut Vec<String>,
) -> Result<(), ExportError> {
    for path in listed(&plans::dir(&asked.cache_dir))? {
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let plan = match plans::read_file(&path) {
            Ok(Some(plan)) => plan,
            Ok(None) => continue,
            Err(error) => {
                lines.push(format!("left out: {}", crate::driver::chain(&error)));
                continue;
            }
        };
        if !is_asked(asked, &plan.model, Some(&plan.version)) {
            continue;
        }
        let entry = PlanEntry {
            path: format!("plans/{}.json", head.plans.len()),
            model: plan.model,
            version: plan.version,
            key: plan.key,
        };
        let failed = |source| ExportError::File { what: "read", path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let sha256 = edge_engine::bundle::digest(&mut file).map_err(failed)?;
        head.files.push(FileEntry { path: entry.path.clone(), bytes, sha256 });
        lines.push(format!("exported: {}", entry.name()));
        sources.push(Source { name: entry.name(), path });
        head.plans.push(entry);
    }
    Ok(())
}

fn add_engines(
    asked: &Asked,
    head: &mut Head,
    sources: &mut Vec<Source>,
    lines: &mut Vec<String>,
) -> Result<(), ExportError> {
    for dir in listed(&asked.cache_dir.join("engines"))? {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // `<model>-<64 digits>`.
        let Some((model, _)) = name.rsplit_once('-').filter(|(model, _)| is_asked(asked, model, None)) else {
            continue;
        };
        let (key, files) = match seal::sealed(&dir) {
            Ok((key, files)) if key.entry(model) == name && !files.is_empty() => (key, files),
            Ok(_) => {
                lines.push(format!("left out: {name}: it is not what its key says"));
                continue;
            }
            Err(fault) => {
                lines.push(format!("left out: {name}: {}", crate::driver::chain(&fault)));
                continue;
            }
        };
        let entry = EngineEntry { model: model.to_owned(), key, dir: format!("engines/{}", head.engines.len()) };
        lines.push(format!("exported: {}", entry.name()));
        for seal::Sealed { name, bytes, sha256 } in files {
            sources.push(Source { name: entry.name(), path: dir.join(&name) });
            head.files.push(FileEntry { path: format!("{}/{name}", entry.dir), bytes, sha256 });
        }
        head.engines.push(entry);
    }
    Ok(())
}

/// What is in a directory, in name order; nothing if there is none.
fn listed(dir: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |source| ExportError::File { what: "read", path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn write(file: File, head: &Head, sources: &[Source], watched: &Watched) -> Result<(), ExportError> {
    let total = head.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add).max(1);
    let mut packing = Packing::begin(BufWriter::new(file))?;
    let text = serde_json::to_vec_pretty(head)?;
    packing.add(Head::FILE, text.len() as u64, text.as_slice()).map_err(ExportError::Write)?;
    let mut done = 0u64;
    for (promised, source) in head.files.iter().zip(sources) {
        let failed = |error| ExportError::File { what: "read", path: source.path.clone(), source: error };
        let changed = || ExportError::Changed { name: source.name.clone(), file: promised.path.clone() };
        let mut from = File::open(&source.path).map_err(failed)?;
        if from.metadata().map_err(failed)?.len() != promised.bytes {
            return Err(changed());
        }
        let mut hashed = Hashed::new(&mut from);
        let added = packing.add(&promised.path, promised.bytes, (&mut hashed).take(promised.bytes));
        added.map_err(ExportError::Write)?;
        if hashed.digest() != promised.sha256 {
            return Err(changed());
        }
        done = done.saturating_add(promised.bytes);
        watched.is_at(done, total);
        if watched.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
    }
    let mut out = packing.finish()?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(ExportError::Write)
}
