//! One open request: what the driver keeps for it while the core decides.

use std::time::Duration;

use edge_core::{ModelId, Mono, Zone};
use edge_engine::protocol::{HostError, Want};
use edge_wire::dto::Info;

use super::pipeline::Place;
use super::resolve::Resolved;
use super::scratch::Filled;
use super::shares::ShareKey;
use super::trace::Story;
use crate::handle::ReplySender;
use crate::request::{Output, Payload};

/// Callers that wait for the same request besides its first one, at most.
pub const MAX_WAITERS: usize = 16;

/// An open request.
#[derive(Debug)]
pub struct Entry {
    /// One span for the life of the request, with its verdict and reason.
    pub span: tracing::Span,
    pub story: Story,
    /// Whose turns it takes.
    pub share: ShareKey,
    /// Number of the bundle that it is for.
    pub model: ModelId,
    /// The setup that it was last given to.
    pub setup: ModelId,
    /// The caller gave the id, so that the reply is kept for duplicates.
    pub named: bool,
    pub payload: Payload,
    /// Memory files of ours with what the host was sent of the payload.
    pub sent: Vec<Filled>,
    /// For tensors: which of them goes to which input.
    pub resolved: Vec<Resolved>,
    pub want: Want,
    /// The farthest zone that its bytes came through.
    pub reached: Zone,
    pub reply: ReplySender,
    /// The same caller asked again with the same id meanwhile.
    pub waiters: Vec<ReplySender>,
    pub info: Info,
    pub deadline: Mono,
    pub accepted: Option<Mono>,
    pub started: Option<Mono>,
    pub compute: Duration,
    pub batch: u32,
    pub result: Option<Output>,
    pub error: Option<HostError>,
    /// What it is in a pipeline.
    pub place: Place,
}
