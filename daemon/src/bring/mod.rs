//! Bundles before they are served: drafted from a graph, answered, checked, measured, quantised, packed, signed. This is the other
//! half of `edgectl models new|check|goldens|eval|quantize|pack|sign|keygen`: it needs manifests, graphs and the engine host, which the command
//! does not link. `edged bundle ...` prints one JSON record ([`edge_wire::bring`]) and ends; no daemon runs.

mod check;
pub mod cli;
mod draft;
mod eval;
mod goldens;
mod manifest;
mod measure;
mod prepare;
mod quantize;
pub(crate) mod room;
mod samples;
mod sign;
mod tensors;

use std::path::{Path, PathBuf};

use edge_engine::bundle::{BundleError, ManifestError};
use edge_engine::graph::GraphError;
use edge_engine::library::{LibraryError, Places};

pub use room::{Room, RoomError};

/// Why a bundle could not be made, or changed.
#[derive(Debug, thiserror::Error)]
pub enum BringError {
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the drafted manifest")]
    Draft(#[source] ManifestError),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Usage(String),
    #[error("{what}")]
    Key {
        what: String,
        #[source]
        source: minisign::PError,
    },
    #[error("find the program to start engine hosts with")]
    Program(#[source] std::io::Error),
    #[error(transparent)]
    Archive(#[from] crate::store::archive::ArchiveError),
    #[error("{what}: {said}")]
    Tool { what: String, said: String },
    #[error("write the answer")]
    Json(#[from] serde_json::Error),
}

/// What was tried with a file.
fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BringError {
    let path = path.to_owned();
    move |source| BringError::File { what, path, source }
}

/// An engine host with the runtime of this machine.
async fn room(library: Option<&Path>) -> Result<Room, BringError> {
    let places = Places { config: library, installed: Path::new(edge_engine::library::INSTALLED) };
    let found = edge_engine::library::find(places, &|name| std::env::var_os(name))?;
    let program = std::env::current_exe().map_err(BringError::Program)?;
    Ok(Room::start(&program, &found.path).await?)
}
