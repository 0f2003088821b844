//! What the box says: of itself to the broker (state, models, telemetry), and of the link to the driver.
//!
//! Decides how often: retained topics on change and at most once a second, counters at most once a second, nothing at
//! all while nothing changes; but how much the box can take every ten seconds at least, where other boxes may want to know.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use edge_core::{Mono, Priority};
use edge_wire::dto::{BindingStatus, CertificateStatus, MqttStatus, OutboxStatus, Problem, Status};
use edge_wire::mqtt::events::{self, Event};
use edge_wire::mqtt::retained;
use edge_wire::mqtt::topic::Topics;

use super::discovery::Discovery;
use crate::config::{FIRST_ATTEMPT, MqttConfig};
use crate::driver::clock;
use crate::handle::{Handle, Message};
use crate::transport::mqtt::egress::JSON;
use crate::transport::mqtt::outbox::{Letter, Level};
use crate::transport::mqtt::packet::{Granted, Outbound, Qos};
use crate::transport::mqtt::refusals::Refusals;
use crate::transport::mqtt::session::Session;
use crate::transport::mqtt::told::Told;

/// Pause between two publications of the same kind, and between two reports of counters.
const PAUSE: Duration = Duration::from_secs(1);
/// What other boxes rely on is said again after this, so that silence tells them something.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After this, a connection no longer carries the memory of a contested client id.
const FORGIVEN: Duration = Duration::from_secs(60);

/// A certificate that ends within so many seconds (14 days) is about to end.
pub const SOON: i64 = 14 * 24 * 3600;

/// The link's state between a fault of the transport and its next start.
pub fn failed(config: &MqttConfig, why: &str) -> MqttStatus {
    MqttStatus { reason: format!("the transport failed and is started again: {why}"), ..config.first_status() }
}

/// What the speaker knows and has said.
pub struct Speaker {
    topics: Topics,
    telemetry_interval: Duration,
    in_group: bool,
    max_packet_bytes: u64,
    now_status: MqttStatus,
    /// What the driver was told last, and when.
    told: Option<(MqttStatus, Mono)>,
    problems: Vec<Problem>,
    /// Topics that the broker refused.
    pub refusals: Refusals,
    wall: fn() -> SystemTime,
    /// The broker of the list that is connected, or tried.
    at: usize,
    /// Addresses of the list.
    addresses: Vec<String>,
    granted: Option<Granted>,
    /// Subscribed: requests can come.
    connected: bool,
    contested: bool,
    connected_at: Option<Mono>,
    /// What Home Assistant is told.
    pub(super) discovery: Discovery,
    /// Retained topics of this connection and what they hold.
    published: HashMap<String, String>,
    looked: Option<Mono>,
    /// What was looked at for changes last, and when that is due again.
    watched: Option<Arc<Status>>,
    watch_at: Mono,
    telemetry_at: Option<Mono>,
}

impl Speaker {
    pub fn new(config: &MqttConfig, topics: Topics, telemetry_interval: Duration, wall: fn() -> SystemTime) -> Speaker {
        let now_status = config.first_status();
        let addresses = now_status.brokers.iter().map(|broker| broker.address.clone()).collect();
        Speaker {
            telemetry_interval,
            in_group: config.group.is_some(),
            max_packet_bytes: config.max_packet_bytes,
            now_status,
            told: None,
            problems: Vec::new(),
            refusals: Refusals::new(&topics, config),
            wall,
            at: 0,
            addresses,
            granted: None,
            connected: false,
            contested: false,
            connected_at: None,
            discovery: Discovery::new(config.home_assistant.clone(), topics.node()),
            published: HashMap::new(),
            looked: None,
            watched: None,
            watch_at: Mono::default(),
            telemetry_at: None,
            topics,
        }
    }

    /// The broker that is connected, or tried.
    pub fn broker(&self) -> &str {
        self.addresses.get(self.at).map_or(&self.now_status.broker, |address| address)
    }

    /// This broker of the list is tried next.
    pub fn trying(&mut self, at: usize) {
        self.at = at;
    }

    /// What is known of the connection.
    pub fn told(&mut self, told: &Told) {
        let Told { tls, certificates, keep_alive_s, ping_us, files: _ } = told;
        self.now_status.tls.clone_from(tls);
        self.now_status.certificates.clone_from(certificates);
        (self.now_status.keep_alive_s, self.now_status.ping_us) = (*keep_alive_s, *ping_us);
        self.watch_certificates();
    }

    /// Names those that have ended.
    fn watch_certificates(&mut self) {
        let since = (self.wall)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_s = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        self.problems.retain(|problem| !problem.subject.starts_with(CERTIFICATE));
        let ended = self.now_status.certificates.iter().filter(|certificate| certificate.not_after_s < now_s);
        self.problems.extend(ended.map(ended_certificate));
    }

    /// What failed at a broker of the list.
    pub fn failed_at(&mut self, at: usize, why: &str) {
        if let Some(broker) = self.now_status.brokers.get_mut(at) {
            why.clone_into(&mut broker.fault);
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn count_received(&mut self) {
        self.now_status.received += 1;
    }

    /// The largest reply that the broker takes.
    pub fn max_reply_bytes(&self) -> usize {
        /// Topic, properties and headers of a reply.
        const AROUND: u64 = 1024;
        let broker = self.granted.and_then(|granted| granted.max_packet).map_or(u64::MAX, u64::from);
        usize::try_from(broker.min(self.max_packet_bytes).saturating_sub(AROUND)).unwrap_or(usize::MAX)
    }

    pub fn set_problem(&mut self, problem: Problem) {
        self.clear_problem(&problem.subject);
        self.problems.push(problem);
    }

    pub fn clear_problem(&mut self, subject: &str) {
        self.problems.retain(|problem| problem.subject != subject);
    }

    /// The models are warm: from now on the broker is what is waited for.
    pub fn warm(&mut self) {
        self.now_status.reason = FIRST_ATTEMPT.into();
    }

    /// The broker accepted the connection.
    pub fn accepted(&mut self, granted: Granted) {
        self.granted = Some(granted);
        self.now_status.connects += 1;
        self.refusals.clear();
        self.published.clear();
        self.looked = None;
        self.telemetry_at = None;
        self.connected_at = None;
    }

    /// The subscriptions stand, but for those that were refused.
    pub fn subscribed(&mut self, refused: Vec<String>) {
        if !self.connected {
            self.connected = true;
            self.now_status.broker = self.broker().to_owned();
            self.now_status.connected_since = clock::rfc3339((self.wall)());
            self.failed_at(self.at, "");
        }
        self.now_status.state = "connected".into();
        if !self.contested {
            self.now_status.reason.clear();
        }
        self.clear_problem("subscriptions");
        if !refused.is_empty() {
            self.set_problem(Problem {
                subject: "subscriptions".into(),
                what: format!("the broker refused {}", refused.join(", ")),
                remedy: "allow the box to read these topics in the broker's access rules".into(),
            });
        }
    }

    pub fn lost(&mut self, contested: bool, reason: String) {
        self.connected = false;
        self.now_status.hears_fleet = false;
        self.granted = None;
        self.contested |= contested;
        self.now_status.state = if contested { "taken_over" } else { "connecting" }.into();
        self.forget_link();
        self.now_status.broker = self.broker().to_owned();
        self.failed_at(self.at, &reason);
        self.now_status.last_error.clone_from(&reason);
        self.now_status.last_error_at = clock::rfc3339((self.wall)());
        self.now_status.reason = reason;
    }

    /// What is known of a connection that is gone, apart from the certificates.
    fn forget_link(&mut self) {
        self.now_status.connected_since.clear();
        (self.now_status.tls, self.now_status.ping_us, self.now_status.keep_alive_s) = (None, None, 0);
    }

    /// The connection was left for another one: nothing is wrong.
    pub fn left(&mut self, reason: String) {
        (self.connected, self.granted) = (false, None);
        self.now_status.hears_fleet = false;
        self.now_status.state = "connecting".into();
        self.forget_link();
        self.now_status.reason = reason;
    }

    /// Publishes what has changed and what is due.
    pub fn speak(&mut self, now: Mono, status: &Status, wall: fn() -> SystemTime, session: &mut Session) {
        let since = *self.connected_at.get_or_insert(now);
        if self.contested && now.since(since) >= FORGIVEN {
            self.contested = false;
            self.now_status.reason.clear();
        }
        if self.looked.is_none_or(|looked| now.since(looked) >= PAUSE) {
            self.looked = Some(now);
            self.watch_certificates();
            self.refusals.forget_old(now);
            self.look(status, wall(), session);
        }
        if self.telemetry_at.is_none_or(|at| at <= now) {
            self.telemetry_at = Some(now.after(self.telemetry_interval));
            let text = retained::telemetry(status, &clock::rfc3339(wall()));
            session.publish_status(message(self.topics.telemetry(), text, Qos::AtMostOnce, false));
        }
    }

    /// Says what has changed, with a connection or without.
    pub fn watch(&mut self, now: Mono, status: &Arc<Status>, wall: fn() -> SystemTime, session: &mut Session) {
        if now < self.watch_at || self.watched.as_ref().is_some_and(|watched| Arc::ptr_eq(watched, status)) {
            return;
        }
        self.watch_at = now.after(PAUSE);
        let events = match self.watched.replace(Arc::clone(status)) {
            Some(before) => events::between(&before, status),
            None => vec![events::started(status)],
        };
        let wall = wall();
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (at, made_ms) = (clock::rfc3339(wall), i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let letter = |event: &Event| {
            let text = events::text(event, &status.node, &at);
            Letter { message: message(self.topics.events(), text, Qos::AtLeastOnce, false), newest: false, made_ms }
        };
        let letters: Vec<Letter> = events.iter().map(letter).collect();
        if !letters.is_empty() {
            session.post(now, Priority::High, letters, None);
        }
    }

    /// The box goes, and says so.
    pub fn say_offline(&mut self, session: &mut Session) {
        self.connected = false;
        let text = retained::OFFLINE.to_owned();
        session.publish_status(message(self.topics.available(), text, Qos::AtLeastOnce, true));
    }

    /// When there is something to do again.
    pub fn next_due(&self) -> Option<Mono> {
        let telemetry = self.telemetry_at.filter(|_| self.connected);
        let counters = self.told.as_ref().filter(|(told, _)| *told != self.now_status).map(|(_, at)| at.after(PAUSE));
        let forgiven = self.connected_at.filter(|_| self.contested && self.connected).map(|at| at.after(FORGIVEN));
        [telemetry, counters, forgiven].into_iter().flatten().min()
    }

    /// Tells the driver about the link: at once when its state changes, counters now and then.
    pub fn report(&mut self, now: Mono, handle: &Handle, session: &Session) {
        let numbers = session.numbers();
        self.now_status.replies_waiting = u32::try_from(numbers.replies_waiting).unwrap_or(u32::MAX);
        self.now_status.journaled = u32::try_from(numbers.journaled).unwrap_or(u32::MAX);
        self.now_status.replies_dropped = numbers.dropped;
        self.now_status.replies_refused = numbers.refused_by_broker;
        self.now_status.unjournaled = numbers.unjournaled;
        self.now_status.outbox = outbox(&numbers.outbox);
        if let Some(problem) = self.refusals.news() {
            self.clear_problem(crate::transport::mqtt::refusals::SUBJECT);
            self.problems.extend(problem);
        }
        if self.now_status.problems != self.problems {
            self.now_status.problems.clone_from(&self.problems);
        }
        let due = match &self.told {
            None => true,
            Some((told, at)) => {
                let news = told.state != self.now_status.state
                    || told.reason != self.now_status.reason
                    || told.hears_fleet != self.now_status.hears_fleet
                    || told.problems != self.now_status.problems;
                news || (now.since(*at) >= PAUSE && *told != self.now_status)
            }
        };
        if due && handle.offer(Message::Mqtt(Box::new(self.now_status.clone()))) {
            self.told = Some((self.now_status.clone(), now));
        }
    }

    /// A retained record of a model lies at the broker: it is emptied if there is no such model any more.
    pub fn found_record(&mut self, topic: &str, status: &Status, session: &mut Session) {
        if !retained::shown_models(status).into_iter().any(|model| self.topics.model(&model.name) == topic) {
            session.publish_status(message(topic.to_owned(), String::new(), Qos::AtLeastOnce, true));
        }
    }

    /// Home Assistant is there, or has just come back: what it was told is told again.
    pub fn born(&mut self) {
        self.published.retain(|topic, _| !self.discovery.is_own(topic));
        self.looked = None;
    }

    /// An entity of this box lies at the broker: it is taken back if there is none such any more.
    pub fn found_entity(&mut self, topic: &str, status: &Status, session: &mut Session) {
        if !self.discovery.wanted(status, &self.topics).contains_key(topic) {
            session.publish_status(message(topic.to_owned(), String::new(), Qos::AtLeastOnce, true));
        }
    }

    /// What this box once did about a model lies at the broker: it is emptied if it is not to have that model any more.
    pub fn found_fleet(&mut self, model: &str, status: &Status, session: &mut Session) {
        if !status.fleet.models.iter().any(|wanted| wanted.name == model) {
            session.publish_status(message(self.topics.fleet(model), String::new(), Qos::AtLeastOnce, true));
        }
    }

    /// What the bindings did.
    pub fn set_bindings(&mut self, bindings: Vec<BindingStatus>) {
        const SUBJECT: &str = "binding ";
        self.problems.retain(|problem| !problem.subject.starts_with(SUBJECT));
        let wrong = bindings.iter().filter(|binding| !binding.problem.is_empty());
        self.problems.extend(
            wrong.map(|binding| Problem {
                subject: format!("{SUBJECT}{}", binding.name),
                what: binding.problem.clone(),
                remedy:
                    "correct its source or its model; `edgectl bindings` tells more, and it is tried again by itself"
                        .into(),
            }),
        );
        self.now_status.bindings = bindings;
    }

    /// Whether reports of other boxes come in.
    pub fn hears_fleet(&mut self, hears: bool) {
        self.now_status.hears_fleet = hears;
    }

    /// Publishes every retained topic whose content changed, and empties those of models that are gone.
    fn look(&mut self, status: &Status, wall: SystemTime, session: &mut Session) {
        let mut wanted = vec![
            (self.topics.available(), retained::ONLINE.to_owned()),
            (self.topics.state(), retained::state(status)),
        ];
        for model in retained::shown_models(status) {
            wanted.push((self.topics.model(&model.name), retained::model(model)));
        }
        if self.in_group || status.routing.siblings().next().is_some() {
            let beat = clock::rfc3339(on_the_beat(wall));
            wanted.push((self.topics.capacity(), retained::capacity(status, &beat)));
        }
        for model in &status.fleet.models {
            wanted.push((self.topics.fleet(&model.name), retained::fleet(model)));
        }
        wanted.extend(self.discovery.wanted(status, &self.topics));
        let names: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let gone = self.published.keys().filter(|topic| !names.contains(topic.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        wanted.extend(gone.into_iter().map(|topic| (topic, String::new())));
        for (topic, text) in wanted {
            if self.published.get(&topic) == Some(&text) {
                continue;
            }
            session.publish_status(message(topic.clone(), text.clone(), Qos::AtLeastOnce, true));
            if text.is_empty() {
                self.published.remove(&topic)
            } else {
                self.published.insert(topic, text)
            };
        }
    }
}

fn outbox(level: &Level) -> OutboxStatus {
    OutboxStatus {
        waiting: level.rows,
        waiting_bytes: level.bytes,
        stored: level.stored,
        sent: level.sent,
        late: level.late,
        dropped: level.dropped,
        expired: level.expired,
        replaced: level.replaced,
        refused: level.refused,
        unreadable: level.unreadable,
        unsent: level.unsent,
    }
}

const CERTIFICATE: &str = "certificate of the ";

fn ended_certificate(certificate: &CertificateStatus) -> Problem {
    let CertificateStatus { of, file, not_after, .. } = certificate;
    let (what, remedy) = match of.as_str() {
        "broker" => (
            "the connection that stands goes on, the next one fails unless it was renewed or the key alone is pinned",
            "renew it at the broker; it is looked at again at the next connection".to_owned(),
        ),
        "client" => (
            "the connection that stands goes on, the next one is refused",
            format!("put a renewed certificate into {file}; it is taken within seconds, without a restart"),
        ),
        _ => (
            "what it signed is still taken here, but others may refuse it",
            format!("put the renewed authority into {file}"),
        ),
    };
    Problem { subject: format!("{CERTIFICATE}{of}"), what: format!("it ended at {not_after}: {what}"), remedy }
}

/// The last full beat before this, so that a record with this time differs from the one before by a beat only.
fn on_the_beat(wall: SystemTime) -> SystemTime {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let full = since.as_secs() - since.as_secs() % HEARTBEAT.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(full)
}

fn message(topic: String, text: String, qos: Qos, retain: bool) -> Outbound {
    let content_type = if text.starts_with('{') { JSON } else { "text/plain" }.into();
    Outbound { topic, payload: Bytes::from(text), qos, retain, content_type, ..Outbound::default() }
}
