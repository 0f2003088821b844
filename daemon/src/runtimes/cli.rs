//! `edged runtime ...`: what `edgectl runtime ...` runs. One JSON record on standard output; exit code 0, or 1 with the reason on
//! standard error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use edge_engine::library;
use edge_engine::protocol::DeviceOptions;
use edge_wire::runtime::Runtimes;
use rustix::fs::Mode;
use serde::Serialize;

use super::install::install;
use super::shelf::Shelf;
use super::{RuntimeError, trial};
use crate::config::EngineConfig;
use crate::driver::chain;

/// What is to be done with runtimes.
#[derive(Debug, Subcommand)]
pub enum RuntimeCommand {
    /// Name those that are installed
    List,
    /// Check a wheel and put its libraries beside the others
    Install {
        wheel: PathBuf,
        /// Nothing stays of it
        #[arg(long)]
        only_check: bool,
    },
    /// Make another one the current one; an empty name is the package's
    Switch {
        to: String,
        #[arg(long, default_value = "")]
        previous: String,
    },
    /// Remove one
    Remove { id: String },
    /// Remove all but the current one and the one before
    Prune,
    /// Say which providers of a library register (run as the user of the service)
    Try {
        library: PathBuf,
        #[arg(long, default_value_t = 0)]
        device: u16,
    },
}

impl RuntimeCommand {
    /// Whether it has to know the configuration.
    pub fn needs_config(&self) -> bool {
        !matches!(self, RuntimeCommand::Try { .. })
    }
}

/// Does it, and prints what came of it. Without a configuration the defaults hold.
pub async fn run(command: RuntimeCommand, engine: Option<&EngineConfig>) -> ExitCode {
    // What is written is for everybody to read, above all for the user of the service, whatever the caller's habits.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    match done(command, engine).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn done(command: RuntimeCommand, engine: Option<&EngineConfig>) -> Result<(), RuntimeError> {
    let dir = engine.map_or(library::INSTALLED.as_ref(), |engine| engine.runtimes_dir.as_path());
    let shelf = Shelf::at(dir);
    let device = engine.map(|engine| engine.device.clone()).unwrap_or_default();
    match command {
        RuntimeCommand::List => told(&Runtimes {
            dir: dir.display().to_string(),
            installed: shelf.list(),
            otherwise: library::find_without_installed()
                .map(|found| found.path.display().to_string())
                .unwrap_or_default(),
            configured: engine
                .and_then(|engine| engine.library.as_ref())
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
        }),
        RuntimeCommand::Install { wheel, only_check } => {
            told(&install(&shelf.hold()?, &shelf, &device, &wheel, only_check).await?)
        }
        RuntimeCommand::Switch { to, previous } => told(&shelf.hold()?.switch(&to, &previous)?),
        RuntimeCommand::Remove { id } => told(&shelf.hold()?.remove(&id)?),
        RuntimeCommand::Prune => told(&shelf.hold()?.prune()),
        RuntimeCommand::Try { library, device } => {
            let device = DeviceOptions { device: Some(device), ..DeviceOptions::default() };
            told(&trial::tried_here(&library, &device).await?)
        }
    }
}

fn told(record: &impl Serialize) -> Result<(), RuntimeError> {
    println!("{}", serde_json::to_string(record)?);
    Ok(())
}
