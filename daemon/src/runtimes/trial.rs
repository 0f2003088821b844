//! A runtime tried in engine hosts that serve nobody: whether it loads, and which of its providers register. What is foreign runs
//! there, as the user of the service where there is one, never in this process.

use std::path::Path;

use edge_engine::protocol::{DeviceOptions, ProviderSetup};
use edge_wire::runtime::ProviderTrial;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::bring::{Room, RoomError};
use crate::config::users;
use crate::driver::chain;

/// The user that the service runs as.
const USER: &str = "edged";
/// The program that becomes another user. It is a part of the base system.
const BECOME: &str = "runuser";
/// The built-in providers that the daemon uses, besides the CPU's, which every runtime has.
const BUILT_IN: [&str; 2] = ["cuda", "tensorrt"];

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Of the runtime, as it says itself.
    pub version: String,
    /// All that are compiled into it.
    pub providers: Vec<ProviderTrial>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error("find the program to start engine hosts with")]
    Program(#[source] std::io::Error),
    #[error("run {BECOME}, which tries the runtime as the user {USER}")]
    Become(#[source] std::io::Error),
    #[error("{0}")]
    Said(String),
    #[error("read what the trial said")]
    Answer(#[source] serde_json::Error),
}

/// Tries the library, as the user of the service if this is root and there is one.
pub async fn tried(library: &Path, device: &DeviceOptions) -> Result<Tried, TrialError> {
    if !rustix::process::geteuid().is_root() || users::id(USER).is_none() {
        return tried_here(library, device).await;
    }
    let program = std::env::current_exe().map_err(TrialError::Program)?;
    let mut command = Command::new(BECOME);
    command.args(["-u", USER, "--"]).arg(program).args(["runtime", "try"]).arg(library).kill_on_drop(true);
    command.args(["--device", &device.device.unwrap_or(0).to_string()]);
    let done = command.output().await.map_err(TrialError::Become)?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(TrialError::Said(if said.is_empty() { done.status.to_string() } else { said }));
    }
    serde_json::from_slice(&done.stdout).map_err(TrialError::Answer)
}

/// Tries the library as whoever this is.
pub async fn tried_here(library: &Path, device: &DeviceOptions) -> Result<Tried, TrialError> {
    let program = std::env::current_exe().map_err(TrialError::Program)?;
    let room = Room::start(&program, library).await?;
    let (version, compiled) = (room.runtime.clone(), room.providers.clone());
    drop(room);
    let mut providers = Vec::new();
    for name in compiled {
        let why = match BUILT_IN.contains(&name.as_str()) {
            true => {
                let setup = ProviderSetup { name: name.clone(), plugin: None, options: device.clone() };
                Room::start_for(&program, library, setup).await.err().map(|error| told(&error)).unwrap_or_default()
            }
            false => String::new(),
        };
        providers.push(ProviderTrial { name, registers: why.is_empty(), why });
    }
    Ok(Tried { version, providers })
}

/// Why a provider does not register: what its host said, without what was tried, which is clear here.
fn told(error: &RoomError) -> String {
    match error {
        RoomError::Start { message, .. } => message.clone(),
        other => chain(other),
    }
}
