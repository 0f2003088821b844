//! One open request: what the driver keeps for it while the core decides.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{DataClass, ModelId, Mono, NanoUsd, Ratio, Terms, Tokens, Zone};
use edge_engine::protocol::{HostError, Part, Want};
use edge_wire::dto::Info;

use super::chunks::{Chunk, Divided};
use super::pipeline::{Child, Gathering};
use super::resolve::Resolved;
use super::scratch::Filled;
use super::shares::ShareKey;
use super::sites::{Callers, Compared, Found};
use super::trace::Story;
use crate::config::rules::Check;
use crate::handle::ReplySender;
use crate::request::{Options, Output, Payload};
use crate::uplink;

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
    /// The topic on which it came; empty for what came over the bus.
    pub topic: Arc<str>,
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
    /// What is known of it and other sites.
    pub travel: Travel,
    /// Where the pieces of a streamed answer go.
    pub stream: Option<uplink::Pieces>,
    /// As they were given.
    pub options: Options,
    /// Its row on the disk, if it waited there.
    pub row: Option<i64>,
}

/// What is known of a request and other sites.
#[derive(Debug)]
pub struct Travel {
    /// Effective class.
    pub class: DataClass,
    /// Where it may be served.
    pub terms: Terms,
    /// Which rules and detectors these are by, as they are counted over reloads.
    pub judged_by: u64,
    /// What the caller said of its class, as written.
    pub claimed: String,
    /// Names of the operator's rules that spoke of it.
    pub rules: Vec<Arc<str>>,
    /// Places that were taken out of it before it may leave.
    pub redacted: u32,
    /// Its payload without that; what leaves, if anything does.
    pub clean: Option<Payload>,
    /// Attempts at sites so far.
    pub attempts: u32,
    /// What each site said that did not serve it.
    pub said: Vec<String>,
    /// What it cost so far.
    pub cost: NanoUsd,
    /// Where it is served and why, if that is not what it was accepted with.
    pub last: Option<(&'static str, &'static str)>,
    /// The site whose answer is its own, and where that was.
    pub served: Option<(Arc<str>, Zone)>,
    /// A place failed on it, and it may be by its own fault.
    pub failed: bool,
    /// Bytes that were sent to sites for it.
    pub sent_bytes: u64,
    /// What was read and written for its answer.
    pub tokens: Tokens,
    /// When its answer is doubtful, by a rule.
    pub check: Option<Check>,
    /// Why it is, if it is.
    pub doubt: Option<&'static str>,
    /// How often such answers are compared with a stronger site's.
    pub sample: Ratio,
    /// Its model makes one tensor of its payload, so that a server of tensors can run it.
    pub fills: bool,
    /// Freest class that its payload allows.
    pub cap: Option<DataClass>,
    /// Which learnt model rated it, as the evidence counts them.
    pub rated_by: u64,
    /// It asks a stronger site for what this box answered so.
    pub compared: Option<Compared>,
    /// What was found out about it.
    pub found: Found,
}

impl Default for Travel {
    fn default() -> Travel {
        Travel {
            judged_by: 0,
            fills: false,
            // The strictest until the core has said.
            class: DataClass::Regulated,
            terms: Terms::default(),
            claimed: String::new(),
            rules: Vec::new(),
            redacted: 0,
            clean: None,
            attempts: 0,
            said: Vec::new(),
            cost: NanoUsd::default(),
            failed: false,
            sent_bytes: 0,
            served: None,
            last: None,
            tokens: Tokens::default(),
            check: None,
            doubt: None,
            sample: Ratio::ZERO,
            cap: None,
            rated_by: 0,
            compared: None,
            found: Found::default(),
        }
    }
}

impl Travel {
    /// What the sites said that did not serve it, as one line.
    pub fn told(&self) -> String {
        self.said.join("; ")
    }
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
            topic: parent.topic.clone(),
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
            travel: Travel::default(),
            stream: None,
            options: Options::default(),
            row: None,
        }
    }

    /// It waited on the disk, and these wait for it.
    pub fn taken_up(&mut self, row: i64, callers: Callers) {
        self.row = Some(row);
        self.waiters = callers.senders;
        if let Some((received, at)) = callers.received {
            (self.story.received, self.story.received_at) = (received, at.clone());
            self.info.received_at = at;
        }
        self.story.steps.splice(0..0, callers.steps);
    }
}

/// Adds a name that is not there yet.
pub fn once(list: &mut Vec<String>, name: String) {
    if !name.is_empty() && !list.contains(&name) {
        list.push(name);
    }
}
