//! The daemon's end of the engine hosts: start one, speak with it, notice its end. What follows from its end is decided
//! by [`supervise`] and the core.

pub mod process;
pub mod sim;
pub mod supervise;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use edge_engine::protocol::{FromHost, ToHost};

/// What comes from a host.
#[derive(Debug)]
pub enum HostEvent {
    Message(FromHost, Vec<OwnedFd>),
    /// It ended, or its channel broke; nothing more comes from it.
    Gone(String),
}

/// Why a host could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start the engine host ({tried})")]
pub struct SpawnError {
    pub tried: String,
    #[source]
    pub source: std::io::Error,
}

/// A running host: a child process, or the simulator that speaks the same messages.
#[derive(Debug)]
pub enum Host {
    Process(process::Process),
    Simulated(sim::Simulator),
}

impl Host {
    /// Queues one message; bounded by what the core lets run at once.
    pub fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) {
        match self {
            Host::Process(process) => process.send(message, fds),
            Host::Simulated(simulator) => simulator.send(message),
        }
    }

    /// The next event. Safe to cancel.
    pub async fn next(&mut self) -> HostEvent {
        match self {
            Host::Process(process) => process.next().await,
            Host::Simulated(simulator) => simulator.next().await,
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        match self {
            Host::Process(process) => process.kill(),
            Host::Simulated(simulator) => simulator.kill(),
        }
    }

    /// Its process id; 0 for the simulator.
    pub fn pid(&self) -> u32 {
        match self {
            Host::Process(process) => process.pid(),
            Host::Simulated(_) => 0,
        }
    }
}
