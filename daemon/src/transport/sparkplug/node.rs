//! The edge node: what is said to the broker, and in which order.
//!
//! Decides when there are births, deaths and data, which numbers they carry, and what a host's word or command leads to. Gets
//! events with the time, gives [`Packet`]s while there is room for them, and [`Action`]s. Must not know sockets, files or the
//! driver.
//!
//! ```text
//!            connected           subscribed, the host is there
//!   Down ───────────────► Joining ───────────────────────────────► Born ◄─┐ rebirth
//!    ▲                      │ subscribed, it is not                 │ │  └──┘
//!    │                      ▼                     it is there      │ │
//!    │ lost              Waiting ─────────────────────────────────► │ │
//!    │                      │ not here, and there is another server │ │ the host left, or we stop
//!    └──── Leaving ◄────────┴───────────────────────────────────────┴─┘
//! ```
//!
//! A sequence number is given to a message when it is handed over and not before, so that none is given to one that is never
//! sent. Data of QoS 0 is acknowledged by nobody: results count as told once the broker has answered a question that was put
//! behind them ([`Packet::Fence`]), and until then they are kept, to be told again as history should the connection end.

mod data;
mod session;
#[cfg(test)]
mod tests;
mod written;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edge_core::Mono;

use self::session::Session;
use super::commands::{Command, Refusal};
use super::history::Kept;
use super::host::{Heard, PrimaryHost};
use super::metrics::bindings::Update;
use super::metrics::{BDSEQ, Device, Kind, Metric, Permits, Picture, Value};
use super::payload::{self, Naming, Payload};
use super::store::ChunkId;
use super::topic::{Inbound, Topics};

/// Pause between two births of the whole node. All requests within it are answered by the birth at its end, so that a host that
/// asks a hundred times costs two births and waits a second at most.
pub const REBIRTH_PAUSE: Duration = Duration::from_secs(1);
/// How long the primary host is waited for on one of several servers.
pub const HOST_WAIT: Duration = Duration::from_secs(30);
/// How long after a result the broker is asked whether it came.
pub const FENCE_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two portions of history.
pub const HISTORY_PAUSE: Duration = Duration::from_millis(250);
/// Results that may be told and not known to have come.
const MOST_UNPROVEN: usize = 1024;
/// Results that wait for room in the connection. The oldest beyond them is kept as history.
const MOST_UPDATES: usize = 1024;
/// Longest word on the last command, bytes.
const MOST_OUTCOME: usize = 256;

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    /// Milliseconds since 1970, UTC.
    pub wall_ms: u64,
}

/// What the operator set.
#[derive(Clone, Debug)]
pub struct Plan {
    pub topics: Topics,
    pub permits: Permits,
    pub primary_host: Option<String>,
    /// How many servers there are to go to.
    pub servers: usize,
    /// Results of earlier times that are told in a second.
    pub history_per_second: u32,
}

/// What goes to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// With QoS 1; what the broker keeps on these topics is wanted too.
    Subscribe(Vec<String>),
    /// A birth, data, or the death of a device: QoS 0, not retained.
    Publish { topic: String, payload: Vec<u8> },
    /// The node's own death before it leaves: QoS 1, not retained.
    Death(Will),
    /// A question without a consequence whose answer shows that the broker has read everything before it.
    Fence,
    /// The last one; the broker is to speak the will too.
    Disconnect,
}

/// What the broker says when we are gone: QoS 1, not retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Carry this out, and tell the [`Node::outcome`].
    Command(Command),
    /// A host wrote what it may not; for the log.
    Refused(Refusal),
    /// For the log: the host's word was not what it should be.
    Doubt(String),
    /// Put into the store.
    Keep(Vec<u8>),
    /// Give the oldest chunks of the store, at most so many, by [`Node::fetched`].
    Fetch(usize),
    /// Remove all chunks up to this one from the store.
    Remove(ChunkId),
}

/// Where the node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection.
    Down,
    /// Connected; the subscriptions are not answered.
    Joining,
    /// The primary host is not there.
    Waiting {
        since: Mono,
    },
    Born,
    /// The death is said.
    Leaving {
        to_next: bool,
    },
}

/// What is counted since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Births of the node.
    pub births: u64,
    /// Requests for one.
    pub rebirths_asked: u64,
    pub commands_accepted: u64,
    pub commands_refused: u64,
    /// Results that were told as history.
    pub history_told: u64,
    /// Results that could not be told any more: their device or metric is gone.
    pub history_lost: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Node {
    plan: Plan,
    host: Option<PrimaryHost>,
    /// The number of the last connection; none before the first one ever.
    bdseq: Option<u8>,
    server: usize,
    phase: Phase,
    session: Session,
    /// The node's own metrics as last shown, and with those of this machine.
    shown: Vec<Metric>,
    node: Vec<Metric>,
    /// Devices as they are: those of models, and those of bindings with the results that were told or kept.
    devices: BTreeMap<String, Shown>,
    /// Results that are not told yet, the oldest first.
    updates: VecDeque<Update>,
    /// Chunks in the store.
    stored: usize,
    counts: Counts,
    last_command: String,
    /// Why the last word of the host was not followed; empty if it was.
    doubt: String,
    refused_filters: Vec<String>,
    actions: VecDeque<Action>,
}

/// A device as it is.
#[derive(Clone, Debug)]
struct Shown {
    /// The model that it is; `None` for a binding.
    model: Option<String>,
    metrics: Vec<Metric>,
}

impl Node {
    /// One that is not connected; `bdseq` is the number of the last connection before, if there was one.
    pub fn new(plan: Plan, bdseq: Option<u8>) -> Node {
        let mut node = Node {
            host: plan.primary_host.clone().map(PrimaryHost::new),
            plan,
            bdseq,
            server: 0,
            phase: Phase::Down,
            session: Session::default(),
            shown: Vec::new(),
            node: Vec::new(),
            devices: BTreeMap::new(),
            updates: VecDeque::new(),
            stored: 0,
            counts: Counts::default(),
            last_command: String::new(),
            doubt: String::new(),
            refused_filters: Vec::new(),
            actions: VecDeque::new(),
        };
        node.refresh();
        node
    }

    /// A connection is about to be made: its number goes up, and the will carries it.
    pub fn hello(&mut self, now: Now) -> Will {
        self.bdseq = Some(self.bdseq.map_or(0, |last| last.wrapping_add(1)));
        self.death(now)
    }

    /// The number of this connection, to be remembered before it is made.
    pub fn bdseq(&self) -> Option<u8> {
        self.bdseq
    }

    /// The place in the list of the server that is to be connected to.
    pub fn server(&self) -> usize {
        self.server
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The last command that was accepted, with what became of it; or the last refusal.
    pub fn last_command(&self) -> &str {
        &self.last_command
    }

    /// Whether the primary host is there, as far as it is known.
    pub fn host_online(&self) -> Option<bool> {
        self.host.as_ref().and_then(PrimaryHost::online)
    }

    /// Why the last word of the host was not followed; empty if it was.
    pub fn doubt(&self) -> &str {
        &self.doubt
    }

    /// Subscriptions that the broker refused.
    pub fn refused_filters(&self) -> &[String] {
        &self.refused_filters
    }

    /// The broker accepted the connection.
    pub fn connected(&mut self) {
        self.session = Session::default();
        self.refused_filters.clear();
        self.phase = Phase::Joining;
        let mut filters = vec![self.plan.topics.node_commands(), self.plan.topics.device_commands()];
        if let Some(host) = &mut self.host {
            host.connected();
            filters.push(host.topic());
        }
        self.session.filters.clone_from(&filters);
        self.session.urgent.push_back(Packet::Subscribe(filters));
    }

    /// The broker answered the subscriptions.
    pub fn subscribed(&mut self, now: Now, answers: &[Result<(), String>]) {
        if self.phase != Phase::Joining {
            return;
        }
        let refused = self.session.filters.iter().zip(answers);
        let refused = refused.filter_map(|(filter, answer)| Some(format!("{filter}: {}", answer.as_ref().err()?)));
        self.refused_filters = refused.collect();
        match &self.host {
            Some(host) if host.online() != Some(true) => {
                self.phase = Phase::Waiting { since: now.mono };
                self.go_on_without_host(now);
            }
            _ => self.begin_births(now),
        }
    }

    /// Something came on a topic that was subscribed to.
    pub fn received(&mut self, now: Now, topic: &str, payload: &[u8], retained: bool) {
        let topics = self.plan.topics.clone();
        match topics.parse(topic) {
            Some(Inbound::State(id)) => self.hear(now, id, payload),
            Some(Inbound::NodeCommand) => self.command(now, None, payload, retained),
            Some(Inbound::DeviceCommand(device)) => self.command(now, Some(device), payload, retained),
            None => {}
        }
    }

    fn hear(&mut self, now: Now, id: &str, payload: &[u8]) {
        let server = self.server;
        let Some(host) = self.host.as_mut().filter(|host| host.id == id) else { return };
        let heard = host.hear(server, payload);
        self.doubt.clear();
        match heard {
            Heard::Online if matches!(self.phase, Phase::Waiting { .. }) => self.begin_births(now),
            Heard::Offline if self.phase == Phase::Born => self.leave(now, true),
            Heard::Offline => self.go_on_without_host(now),
            Heard::Online => {}
            Heard::Old { online, timestamp, newest } => {
                let word = if online { "online" } else { "offline" };
                self.doubt = format!("{id} said {word} with the time {timestamp}, before {newest}; it is not followed");
            }
            Heard::Unreadable(why) => self.doubt = format!("{id} said something that cannot be read: {why}"),
        }
        if !self.doubt.is_empty() {
            self.actions.push_back(Action::Doubt(self.doubt.clone()));
        }
    }

    /// The host said that it is not there: where there are other servers, it may be on one of those.
    fn go_on_without_host(&mut self, now: Now) {
        if self.plan.servers > 1 && matches!(self.phase, Phase::Waiting { .. }) && self.host_online() == Some(false) {
            self.leave(now, true);
        }
    }

    /// All births are asked for: at once, or when the pause since the last ones is over. No data goes out before.
    fn ask_birth(&mut self, now: Now) {
        let soonest = self.session.born_at.map_or(now.mono, |at| at.after(REBIRTH_PAUSE));
        self.session.birth_due.get_or_insert(soonest.max(now.mono));
    }

    fn begin_births(&mut self, now: Now) {
        self.phase = Phase::Born;
        self.counts.births = self.counts.births.saturating_add(1);
        self.session.begin_births(now.mono, self.devices.keys());
    }

    /// We stop: the death is said, and the connection ended.
    pub fn stop(&mut self, now: Now) {
        match self.phase {
            Phase::Joining | Phase::Waiting { .. } | Phase::Born => self.leave(now, false),
            Phase::Down | Phase::Leaving { .. } => {}
        }
    }

    fn leave(&mut self, now: Now, to_next: bool) {
        self.phase = Phase::Leaving { to_next };
        self.keep_untold();
        let death = self.death(now);
        self.session.urgent = VecDeque::from([Packet::Death(death), Packet::Disconnect]);
    }

    /// The connection ended, or none came about. What it is not known to have brought is kept.
    pub fn lost(&mut self) {
        let goes_on = match self.phase {
            Phase::Down | Phase::Joining | Phase::Waiting { .. } => true,
            Phase::Leaving { to_next } => to_next,
            Phase::Born => false,
        };
        if goes_on {
            self.server = (self.server + 1) % self.plan.servers.max(1);
        }
        self.phase = Phase::Down;
        self.keep_untold();
        self.session = Session::default();
    }

    /// Keeps what is not known to have come, then what was not told at all.
    fn keep_untold(&mut self) {
        for kept in std::mem::take(&mut self.session.unproven) {
            self.keep(&kept);
        }
        while let Some(update) = self.updates.pop_front() {
            self.keep_update(update);
        }
    }

    /// The death of the node: its number and nothing else, in the order of nothing.
    fn death(&self, now: Now) -> Will {
        let metrics = vec![payload::metric(&self.bdseq_metric(), Naming::Name, now.wall_ms)];
        let payload = Payload { timestamp: Some(now.wall_ms), metrics, seq: None };
        Will { topic: self.plan.topics.death(None), payload: payload.write() }
    }

    fn bdseq_metric(&self) -> Metric {
        let value = self.bdseq.map(|number| Value::Int(number.into()));
        Metric { name: BDSEQ.into(), kind: Kind::Int64, value, quality: None, at_ms: None }
    }

    /// What is due by the clock.
    pub fn tick(&mut self, now: Now) {
        if let Phase::Waiting { since } = self.phase
            && self.plan.servers > 1
            && now.mono.since(since) >= HOST_WAIT
        {
            self.leave(now, true);
        }
    }

    /// When to look again.
    pub fn poll_deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Waiting { since } if self.plan.servers > 1 => Some(since.after(HOST_WAIT)),
            Phase::Born => self.session.next_due(self.stored),
            Phase::Down | Phase::Joining | Phase::Waiting { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the node has of its own beside what it was shown.
    fn refresh(&mut self) {
        self.node.clone_from(&self.shown);
        self.node.extend([
            Metric::count("Commands/Accepted", self.counts.commands_accepted),
            Metric::count("Commands/Refused", self.counts.commands_refused),
            Metric::text("Commands/Last", &self.last_command),
        ]);
        self.session.dirty = true;
    }
}
