//! The daemon's end of the engine hosts: start one, speak with it, notice its end. What follows from its end is decided
//! by [`supervise`] and the core.

pub mod process;
pub mod sim;
pub mod supervise;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use edge_engine::protocol::{FromHost, Run, ToHost, ToLane};

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

/// Why a message was not sent, when only its own request is concerned. A channel that breaks is told by
/// [`HostEvent::Gone`].
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("no engine host runs")]
    NoHost,
    #[error("the engine host has no lane {0}")]
    NoLane(u16),
    #[error(transparent)]
    Message(#[from] edge_engine::channel::ChannelError),
}

/// A running host: a child process, or the simulator that speaks the same messages.
#[derive(Debug)]
pub enum Host {
    Process(process::Process),
    Simulated(sim::Simulator),
}

impl Host {
    /// Queues one message; bounded by what the core lets run at once.
    pub fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) -> Result<(), SendError> {
        match self {
            Host::Process(process) => process.send(message, fds),
            Host::Simulated(simulator) => {
                simulator.send(message);
                Ok(())
            }
        }
    }

    /// Gives a lane a batch.
    pub fn run(&mut self, lane: u16, batch: Run, fds: &[Arc<OwnedFd>]) -> Result<(), SendError> {
        match self {
            Host::Process(process) => process.run(lane, &ToLane::Run(batch), fds),
            Host::Simulated(simulator) => simulator.run(lane, batch),
        }
    }

    /// Lets a lane run its sample, so many times as one batch.
    pub fn measure(&mut self, lane: u16, batch: u16) -> Result<(), SendError> {
        match self {
            Host::Process(process) => process.run(lane, &ToLane::Measure { batch }, &[]),
            Host::Simulated(_) => Err(SendError::NoLane(lane)),
        }
    }

    /// Lets a lane run the golden inputs of its model once more.
    pub fn check(&mut self, lane: u16) -> Result<(), SendError> {
        match self {
            Host::Process(process) => process.run(lane, &ToLane::Check, &[]),
            Host::Simulated(_) => Err(SendError::NoLane(lane)),
        }
    }

    /// Takes the channels of a model's lanes, which are numbered from `first` on.
    pub fn lanes(&mut self, first: u16, channels: Vec<OwnedFd>) {
        match self {
            Host::Process(process) => process.lanes(first, channels),
            Host::Simulated(_) => {}
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
