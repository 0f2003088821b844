//! One open request: what the driver keeps for it while the core decides.

use std::time::Duration;

use edge_core::{ModelId, Mono, Zone};
use edge_engine::protocol::{HostError, Part, Want};
use edge_wire::dto::Info;

use super::chunks::{Chunk, Divided};
use super::pipeline::{Child, Gathering};
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
    /// The caller named the version.
    pub pinned: bool,
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
    /// What it is among others.
    pub place: Place,
}

/// Steps of its parts' trouble that the story of a request keeps.
pub const MAX_STEPS: usize = 64;

/// What an open request is among others.
#[derive(Debug)]
pub enum Place {
    /// Nothing: a request by itself.
    Single,
    /// A pipeline request.
    Parent(Box<Gathering>),
    /// A stage of one.
    Child(Child),
    /// A request that runs in chunks.
    Divided(Box<Divided>),
    /// A chunk of one.
    Chunk(Chunk),
}

impl Place {
    /// The part of the picture that is to be prepared.
    pub fn part(&self) -> Option<Part> {
        match self {
            Place::Child(child) => child.part(),
            Place::Single | Place::Parent(_) | Place::Divided(_) | Place::Chunk(_) => None,
        }
    }

    /// Whether the decoded picture is wanted too.
    pub fn keeps(&self) -> bool {
        matches!(self, Place::Child(child) if child.keeps())
    }

    /// Whether no caller asked for it.
    pub fn is_child(&self) -> bool {
        matches!(self, Place::Child(_) | Place::Chunk(_))
    }
}

impl Entry {
    /// It is given to a setup of this bundle: another version may have taken over while it waited.
    pub fn follow(&mut self, bundle: Option<ModelId>) {
        if let (Place::Single, Some(bundle)) = (&self.place, bundle) {
            self.model = bundle;
        }
    }

    /// A request that is a part of `parent`, for the setup `model`. Nobody asks for its story: what is worth telling of it goes into
    /// its parent's.
    pub fn part_of(parent: &Entry, now: Mono, model: ModelId, payload: Payload, place: Place) -> Entry {
        let story = Story {
            request_id: String::new(),
            caller: parent.story.caller.clone(),
            model: String::new(),
            received: now,
            received_at: String::new(),
            steps: Vec::new(),
            outcome: "open",
            code: "",
            message: String::new(),
            info: None,
        };
        Entry {
            span: tracing::Span::none(),
            story,
            share: parent.share.clone(),
            model: parent.model,
            setup: model,
            pinned: true,
            named: false,
            payload,
            sent: Vec::new(),
            resolved: Vec::new(),
            want: Want::Inline,
            reached: parent.reached,
            reply: ReplySender::Nobody,
            waiters: Vec::new(),
            info: Info::default(),
            deadline: parent.deadline,
            accepted: None,
            started: None,
            compute: Duration::ZERO,
            batch: 0,
            result: None,
            error: None,
            place,
        }
    }
}

/// Adds a name that is not there yet.
pub fn once(list: &mut Vec<String>, name: String) {
    if !name.is_empty() && !list.contains(&name) {
        list.push(name);
    }
}
