//! What status prints: plain data, cheap to copy.

use core::time::Duration;

use crate::id::ModelId;

/// The load of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelLoad {
    /// Which model.
    pub model: ModelId,
    /// Requests that wait for it, decoding included.
    pub waiting: usize,
    /// Requests that run.
    pub running: usize,
    /// Learnt service time of one request of cost 1 alone; `None` before the first.
    pub service: Option<Duration>,
}

/// The state of the scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that run.
    pub running: usize,
    /// Per model.
    pub models: Vec<ModelLoad>,
}
