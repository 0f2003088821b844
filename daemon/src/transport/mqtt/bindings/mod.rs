//! Bindings at work: which of them a frame is for, what is asked of the models, and what is published of the answers. A state
//! machine: frames, answers and a time in, things to do out.
//!
//! Each binding has its gate ([`crate::binding::gate`]), which decides whose turn it is and in which order answers leave. Here
//! a frame becomes a request ([`frame`]), a reply becomes messages ([`render`]), and what has come round in a circle is found
//! ([`circle`]). Must not know how messages travel, nor when a sender is told that its message was taken.

pub mod circle;
pub mod frame;
mod recall;
mod render;
mod tally;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use edge_core::{Mono, Priority, Zone};
use edge_wire::dto::{BindingStatus, Info};
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::home;
use edge_wire::mqtt::topic::Topics;

use self::circle::Circle;
use self::frame::{Frame, Part};
use self::tally::Tally;
use super::outbox::Letter;
use super::packet::{Inbound, Qos};
use super::session::JobId;
use crate::binding::flat::Memory;
use crate::binding::gate::{Gate, Skipped, Step, Take, Ticket};
use crate::binding::sources;
use crate::binding::sources::fetch::Fetched;
use crate::binding::sources::named::Reader;
use crate::config::bindings::BindingConfig;
use crate::driver::clock::Clock;
use crate::request::{Failure, Reply, Request};
use crate::transport::sparkplug::metrics::bindings::BindingResult;

/// First number of what bindings ask for: far from those of messages.
const FIRST: i64 = i64::MIN / 4;

/// What is to be done.
#[derive(Debug)]
pub enum Todo {
    /// Ask the driver; answered by [`Binder::answered`].
    Submit { number: i64, request: Box<Request> },
    /// Get the frame that a message names; answered by [`Binder::resolved`].
    Resolve { number: i64, reader: Reader, message: Bytes, within: Option<Duration> },
    /// Publish these: one part of what was expected for the job, if there is one.
    Post { job: Option<JobId>, rank: Priority, letters: Vec<Letter> },
    /// No model saw the frame of this job; later one may, if that `passes`.
    Failed { job: JobId, passes: bool },
    /// Tell SCADA hosts of an answer.
    Tell(Box<BindingResult>),
    /// Nothing becomes of one part of this job.
    Over(JobId, Skipped),
}

/// A binding and all that is known of it.
#[derive(Debug)]
struct Bound {
    config: Arc<BindingConfig>,
    gate: Gate<Frame, Answered>,
    flat: Option<Memory>,
    tally: Tally,
    /// If its messages name their frames.
    reader: Option<Reader>,
    /// What the wildcards stood for, of each source: for what is published of it when nothing comes.
    captures: HashMap<Arc<str>, Vec<String>>,
}

/// What was asked for.
#[derive(Debug)]
struct Asked {
    binding: usize,
    ticket: Ticket,
    source: Arc<str>,
    frame: Frame,
    id: String,
}

/// What came of it.
#[derive(Debug)]
struct Answered {
    frame: Frame,
    id: String,
    reply: Reply,
}

/// Of which box they are.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    pub node: &'a str,
    pub prefix: &'a str,
    /// Where the broker is.
    pub zone: Zone,
    /// Start of the ids of requests.
    pub id_prefix: &'a str,
    /// Whether SCADA hosts are told of answers.
    pub has_hosts: bool,
}

/// All bindings of the box.
#[derive(Debug)]
pub struct Binder {
    node: String,
    prefix: String,
    topics: Topics,
    /// Where the broker is, which sees every frame or at least every answer.
    zone: Zone,
    /// Start of the ids of requests.
    id_prefix: String,
    has_hosts: bool,
    all: Vec<Bound>,
    asked: HashMap<i64, Asked>,
    next: i64,
    circle: Circle,
    todo: VecDeque<Todo>,
    /// Largest answer that the broker takes.
    max_reply_bytes: usize,
    changed: bool,
    /// Values of an earlier configuration were taken back.
    is_other: bool,
    /// Topics of values, since this was asked last.
    discovered: Vec<home::Flat>,
    /// By the wall clock, milliseconds since 1970.
    now_ms: i64,
}

impl Binder {
    /// One for these bindings.
    pub fn new(bindings: &[BindingConfig], own: Own<'_>, clock: Clock, most_bytes: u64) -> Binder {
        let Own { node, prefix, zone, id_prefix, has_hosts } = own;
        let bound = |config: &BindingConfig| Bound {
            gate: Gate::new(config.limits),
            flat: config.flat.as_ref().map(|flat| Memory::new(flat.rules.clone(), config.limits.max_sources)),
            config: Arc::new(config.clone()),
            tally: Tally::default(),
            reader: config.reference.clone().map(|allow| Reader::new(allow, clock, most_bytes)),
            captures: HashMap::new(),
        };
        Binder {
            node: node.to_owned(),
            prefix: prefix.to_owned(),
            topics: Topics::new(prefix, node),
            zone,
            id_prefix: id_prefix.to_owned(),
            has_hosts,
            all: bindings.iter().map(bound).collect(),
            asked: HashMap::new(),
            next: FIRST,
            circle: Circle::new(node),
            todo: VecDeque::new(),
            max_reply_bytes: usize::MAX,
            changed: true,
            is_other: false,
            discovered: Vec::new(),
            now_ms: 0,
        }
    }

    /// Filters to subscribe to, each once, with the highest QoS at which frames are wanted: where only the newest counts, one
    /// that the broker need not repeat.
    pub fn filters(&self) -> Vec<(String, Qos)> {
        let mut filters: BTreeMap<&str, Qos> = BTreeMap::new();
        for bound in &self.all {
            let wanted = if is_kept(bound.config.limits.take) { Qos::ExactlyOnce } else { Qos::AtMostOnce };
            if let Some(filter) = bound.config.filter() {
                let qos = filters.entry(filter.as_str()).or_default();
                *qos = (*qos).max(wanted);
            }
        }
        filters.into_iter().map(|(filter, qos)| (filter.to_owned(), qos)).collect()
    }

    /// Most that may be asked for at once.
    pub fn most_open(&self) -> usize {
        self.all.iter().map(|bound| bound.config.limits.max_open).sum()
    }

    /// The time by the wall clock, and the largest answer that the broker takes.
    pub fn look_up(&mut self, now_ms: i64, max_reply_bytes: usize) {
        (self.now_ms, self.max_reply_bytes) = (now_ms, max_reply_bytes);
    }

    /// The frames that a message is, one for each binding that it is for.
    pub fn parts(&mut self, now: Mono, at: SystemTime, message: &Inbound, most_bytes: u64) -> Vec<Part> {
        let mut parts = Vec::new();
        for (binding, bound) in self.all.iter_mut().enumerate() {
            let Some(captures) = bound.config.filter().and_then(|filter| filter.captures(&message.topic)) else {
                continue;
            };
            bound.tally.received += 1;
            self.changed = true;
            let Some(path) = self.circle.path(message, &bound.config.name) else {
                bound.tally.circular += 1;
                continue;
            };
            let source = bound.config.source(&captures, &self.node, &self.prefix);
            let frame = frame::of_message(now, at, message, &captures, path, most_bytes);
            parts.push(Part { binding, source, take: bound.config.limits.take, frame });
        }
        parts
    }

    /// Whether messages of this topic are acknowledged only when what became of them is safe.
    pub fn keeps(&self, topic: &str) -> bool {
        let is_of = |bound: &Bound| bound.config.filter().is_some_and(|filter| filter.matches(topic));
        self.all.iter().any(|bound| is_kept(bound.config.limits.take) && is_of(bound))
    }

    /// A message that the broker kept from an earlier time is no frame of now.
    pub fn old(&mut self, topic: &str) -> bool {
        let mut found = false;
        for bound in &mut self.all {
            if bound.config.filter().is_some_and(|filter| filter.matches(topic)) {
                bound.tally.retained += 1;
                found = true;
            }
        }
        found
    }

    /// A frame is there; with a `job` it is one part of it.
    pub fn arrived(&mut self, now: Mono, part: Part, job: Option<JobId>) {
        let Some(bound) = self.all.get_mut(part.binding) else { return };
        let (frame, is_kept) = (Frame { job, ..part.frame }, job.is_some());
        match is_kept {
            true => bound.gate.kept(now, &part.source, frame),
            false => bound.gate.arrived(now, &part.source, frame),
        }
        self.turn(now, part.binding);
    }

    /// A number for what is given by a source that is no topic.
    pub fn next_job(&mut self) -> JobId {
        self.next += 1;
        JobId(self.next - 1)
    }

    /// A frame of such a source.
    pub fn given(&mut self, now: Mono, given: sources::Frame, job: Option<JobId>) {
        let Some(binding) = self.all.iter().position(|bound| bound.config.name == *given.binding) else { return };
        let Some(bound) = self.all.get_mut(binding) else { return };
        bound.tally.received += 1;
        let captures: Vec<&str> = given.captures.iter().map(String::as_str).collect();
        let path = self.circle.start(&bound.config.name);
        let frame = frame::of_source(now, given.at, &captures, given.payload, given.content_type, path);
        let part = Part { binding, source: given.source, take: bound.config.limits.take, frame };
        self.arrived(now, part, job);
    }

    /// Whether this was asked for here.
    pub fn has_asked(&self, number: i64) -> bool {
        self.asked.contains_key(&number)
    }

    /// The broker keeps frames for which there is no room.
    pub fn crowded(&mut self, parts: &[Part]) {
        for part in parts {
            if let Some(bound) = self.all.get_mut(part.binding) {
                bound.tally.crowded += 1;
            }
        }
        self.changed = true;
    }

    /// The driver answered.
    pub fn answered(&mut self, now: Mono, number: i64, reply: Reply) {
        let Some(Asked { binding, ticket, frame, id, .. }) = self.asked.remove(&number) else { return };
        if let Some(bound) = self.all.get_mut(binding) {
            bound.gate.answered(now, ticket, Answered { frame, id, reply });
        }
        self.turn(now, binding);
    }

    /// What a message named was read, or could not be.
    pub fn resolved(&mut self, now: Mono, number: i64, found: Result<Fetched, Failure>) {
        let Some(asked) = self.asked.get_mut(&number) else { return };
        match found {
            Ok(Fetched { bytes, content_type }) => {
                (asked.frame.payload, asked.frame.said) = (bytes, content_type);
                self.submit(now, number);
            }
            Err(failure) => self.fail(now, number, failure),
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: Mono) {
        for binding in 0..self.all.len() {
            self.turn(now, binding);
            let stale = self.all.get_mut(binding).and_then(|bound| bound.flat.as_mut()).map(|flat| flat.woke(now));
            for told in stale.into_iter().flatten() {
                self.publish_stale(binding, told);
            }
        }
    }

    /// When to call [`tick`](Binder::tick) next.
    pub fn next_tick(&self) -> Option<Mono> {
        let due = |bound: &Bound| [bound.gate.next_tick(), bound.flat.as_ref().and_then(Memory::next_tick)];
        self.all.iter().flat_map(due).flatten().min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Todo> {
        self.todo.pop_front()
    }

    /// Whether something was asked for and is not answered.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Topics on which values are published, of sources that were not heard of before this was asked last.
    pub fn take_discovered(&mut self) -> Vec<home::Flat> {
        std::mem::take(&mut self.discovered)
    }

    /// Whether anything happened since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What each of them did.
    pub fn status(&self) -> Vec<BindingStatus> {
        self.all
            .iter()
            .map(|bound| bound.tally.status(&bound.config, &bound.gate, (&self.node, &self.prefix)))
            .collect()
    }

    /// Takes what the gate of a binding has.
    fn turn(&mut self, now: Mono, binding: usize) {
        self.changed = true;
        while let Some(step) = self.all.get_mut(binding).and_then(|bound| bound.gate.poll(now)) {
            match step {
                Step::Submit { ticket, source, frame } => self.ask(now, binding, ticket, source, frame),
                Step::Release { source, result, .. } => self.release(now, binding, &source, result),
                Step::Skip { frame, why, .. } => self.skip(frame, why),
            }
        }
    }

    fn skip(&mut self, frame: Frame, why: Skipped) {
        let Some(job) = frame.job else { return };
        self.todo.push_back(Todo::Over(job, why));
    }

    fn ask(&mut self, now: Mono, binding: usize, ticket: Ticket, source: Arc<str>, frame: Frame) {
        let Some(bound) = self.all.get(binding) else { return };
        let number = self.next;
        self.next += 1;
        // What a sender keeps has the same id when it is taken up again by a later life.
        let id = match frame.job.filter(|job| job.0 >= 0) {
            Some(job) => format!("m{:x}-{}-{}", frame::ms(frame.at), bound.config.name, job.0),
            None => format!("{}-{}-{}", self.id_prefix, bound.config.name, number - FIRST),
        };
        let (reader, message) = (bound.reader.clone(), frame.payload.clone());
        let fault = frame.fault.clone();
        let within = bound.config.deadline.map(|deadline| deadline.saturating_sub(now.since(frame.received)));
        self.asked.insert(number, Asked { binding, ticket, source, frame, id });
        match (fault, reader) {
            (Some(fault), _) => self.fail(now, number, fault),
            (None, Some(reader)) => self.todo.push_back(Todo::Resolve { number, reader, message, within }),
            (None, None) => self.submit(now, number),
        }
    }

    fn submit(&mut self, now: Mono, number: i64) {
        let Some(asked) = self.asked.get(&number) else { return };
        let Some(bound) = self.all.get(asked.binding) else { return };
        let reply_topic = self.result_topic(&bound.config, &asked.frame.captures(), &asked.source);
        match frame::request(now, &bound.config, &asked.frame, &asked.id, reply_topic.unwrap_or_default(), self.zone) {
            Ok(request) => self.todo.push_back(Todo::Submit { number, request: Box::new(request) }),
            Err(failure) => self.fail(now, number, failure),
        }
    }

    /// Answers what was asked for with a failure of the transport's own.
    pub fn fail(&mut self, now: Mono, number: i64, failure: Failure) {
        let Some(asked) = self.asked.get(&number) else { return };
        let Some(bound) = self.all.get(asked.binding) else { return };
        let at = |time| crate::driver::clock::rfc3339(time);
        let info = Info {
            request_id: asked.id.clone(),
            model: bound.config.model.clone(),
            verdict: "refuse".into(),
            reason: failure.code.as_str().into(),
            received_at: at(asked.frame.at),
            completed_at: at(asked.frame.at),
            ..Info::default()
        };
        self.answered(now, number, Reply { result: Err(failure), info });
    }

    /// Why a request of a frame that was alive at too many crashes is not run again.
    pub fn too_deadly(deaths: u8) -> Failure {
        Failure::new(ErrorCode::Internal, format!("the frame was under way at {deaths} crashes and is not run again"))
    }
}

/// Whether a frame is kept until its results are safe.
pub fn is_kept(take: Take) -> bool {
    match take {
        Take::Every => true,
        Take::Newest => false,
    }
}
