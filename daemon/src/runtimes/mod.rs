//! ONNX Runtimes from wheels, put beside the package's: this is the other half of `edgectl runtime ...`, which asks the daemon that
//! runs and does not link what reads wheels, libraries and engine hosts. `edged runtime ...` prints one JSON record
//! ([`edge_wire::runtime`]) and ends. In reading order: `wheel` (what is in the file), `elf` (what its libraries say), `here` (what
//! this box has), `fit` (whether the one goes with the other), `trial` (whether it really loads), `shelf` (where it lies),
//! `install` (all of that in turn).

pub mod cli;
mod elf;
mod fit;
mod here;
mod install;
mod shelf;
mod trial;
mod wheel;

use edge_engine::library::OLDEST;

/// Why a runtime was not installed, or the directory of runtimes not changed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Wheel(#[from] wheel::WheelError),
    #[error(transparent)]
    Elf(#[from] elf::ElfError),
    #[error(transparent)]
    Shelf(#[from] shelf::ShelfError),
    #[error("{0}")]
    Fit(String),
    #[error("ONNX Runtime {found} cannot be used: edged needs {}.{} or later, below 2", OLDEST.0, OLDEST.1)]
    Version { found: String },
    #[error("the library in the wheel does not load")]
    Load(#[source] trial::TrialError),
    #[error("none of its providers but the CPU's works here, so it would bring nothing: {0}")]
    Useless(String),
    #[error("write the answer")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Trial(#[from] trial::TrialError),
}
