//! The node against a broker and a host that are only values. Rows of docs/sparkplug-conformance.md name these tests.

mod births;
mod commands;
mod data;
mod hosts;
mod results;

use super::*;
use crate::transport::sparkplug::metrics::Quality;
use crate::transport::sparkplug::metrics::bindings::{BindingResult, Bindings, Field};
use crate::transport::sparkplug::payload::metric::Value as Sent;

const ALL: Permits = Permits { drain: true, activate: true };

/// One message that was published.
#[derive(Clone, Debug)]
struct Message {
    topic: String,
    payload: Payload,
}

impl Message {
    /// `NBIRTH`, `DDATA` and so on.
    fn kind(&self) -> &str {
        self.topic.split('/').nth(2).unwrap()
    }

    fn metric(&self, name: &str) -> &payload::Metric {
        let found = self.payload.metrics.iter().find(|metric| metric.name.as_deref() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.topic))
    }

    fn bdseq(&self) -> u64 {
        let Some(Sent::Long(number)) = self.metric(BDSEQ).value else { panic!("no number") };
        number
    }
}

/// A node with a broker that takes everything at once.
struct Line {
    node: Node,
    now: Now,
    /// Everything since it was looked at last.
    packets: Vec<Packet>,
    actions: Vec<Action>,
    bindings: Bindings,
}

/// 2026-11-28T00:00:00Z.
const EPOCH_MS: u64 = 1_795_824_000_000;

impl Line {
    fn new(primary_host: Option<&str>, servers: usize) -> Line {
        Line::with(primary_host, servers, None)
    }

    fn with(primary_host: Option<&str>, servers: usize, bdseq: Option<u8>) -> Line {
        let plan = Plan {
            topics: Topics::new("plant", "box"),
            permits: ALL,
            primary_host: primary_host.map(str::to_owned),
            servers,
            history_per_second: 40,
        };
        let mut node = Node::new(plan, bdseq);
        node.show(picture(&[("model-a", "1.0.0")], 0));
        let now = Now { mono: Mono::from_nanos(1_000_000_000), wall_ms: EPOCH_MS };
        Line { node, now, packets: Vec::new(), actions: Vec::new(), bindings: Bindings::default() }
    }

    /// One that is born, with nothing left to look at.
    fn born() -> Line {
        let mut line = Line::new(None, 1);
        line.connect();
        line.take();
        line
    }

    /// Connects, and answers the subscriptions. Gives the will.
    fn connect(&mut self) -> Will {
        let will = self.node.hello(self.now);
        self.node.connected();
        self.poll();
        let filters = self.filters();
        self.node.subscribed(self.now, &vec![Ok(()); filters.len()]);
        self.poll();
        will
    }

    fn filters(&self) -> Vec<String> {
        let found = self.packets.iter().find_map(|packet| match packet {
            Packet::Subscribe(filters) => Some(filters.clone()),
            _ => None,
        });
        found.expect("it subscribes")
    }

    fn poll(&mut self) {
        loop {
            let before = (self.packets.len(), self.actions.len());
            self.packets.extend(std::iter::from_fn(|| self.node.poll_packet(self.now)));
            self.actions.extend(std::iter::from_fn(|| self.node.poll_action()));
            if before == (self.packets.len(), self.actions.len()) {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.after(time);
        self.now.wall_ms += u64::try_from(time.as_millis()).unwrap();
        self.node.tick(self.now);
        self.poll();
    }

    fn hear(&mut self, online: bool, timestamp: u64) {
        let word = format!(r#"{{"online": {online}, "timestamp": {timestamp}}}"#);
        self.node.received(self.now, "spBv1.0/STATE/scada1", word.as_bytes(), true);
        self.poll();
    }

    fn show(&mut self, picture: Picture) {
        self.node.show(picture);
        self.poll();
    }

    fn answer(&mut self, binding: &str, class: &str) {
        let result = BindingResult {
            binding: binding.into(),
            fields: vec![("class".into(), Field::Text(class.into()))],
            quality: Quality::Good,
            reason: String::new(),
            at_ms: self.now.wall_ms,
            results: 1,
            errors: 0,
        };
        if let Some(update) = self.bindings.declare(binding) {
            self.node.declare(update);
        }
        let update = self.bindings.take(&result).unwrap();
        self.node.result(update);
        self.poll();
    }

    fn write(&mut self, topic: &str, name: &str, value: Sent) {
        let metric = payload::Metric { name: Some(name.into()), value: Some(value), ..Default::default() };
        self.write_metric(topic, metric);
    }

    fn write_metric(&mut self, topic: &str, metric: payload::Metric) {
        let payload = Payload { timestamp: Some(self.now.wall_ms), metrics: vec![metric], seq: None };
        self.node.received(self.now, topic, &payload.write(), false);
        self.poll();
    }

    fn ask_rebirth(&mut self) {
        self.write(NCMD, REBIRTH, Sent::Boolean(true));
    }

    /// What was published since, births and data and deaths.
    fn take(&mut self) -> Vec<Message> {
        let packets = std::mem::take(&mut self.packets);
        let message = |packet| match packet {
            Packet::Publish { topic, payload } | Packet::Death(Will { topic, payload }) => {
                Some(Message { payload: Payload::read(&payload).unwrap(), topic })
            }
            Packet::Subscribe(_) | Packet::Fence | Packet::Disconnect => None,
        };
        packets.into_iter().filter_map(message).collect()
    }

    fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// What was to be kept since.
    fn take_kept(&mut self) -> Vec<Vec<u8>> {
        let kept = self.take_actions().into_iter().filter_map(|action| match action {
            Action::Keep(chunk) => Some(chunk),
            _ => None,
        });
        kept.collect()
    }
}

use crate::transport::sparkplug::metrics::REBIRTH;

const NCMD: &str = "spBv1.0/plant/NCMD/box";

fn picture(models: &[(&str, &str)], done: u64) -> Picture {
    let device = |version: &str| Device {
        model: "a".into(),
        metrics: vec![
            Metric::text("Device Control/Activate", version),
            Metric::text("Version", version),
            Metric::count("Requests/Done", done),
        ],
    };
    Picture {
        node: vec![
            Metric::flag("Node Control/Drain", false),
            Metric::text("Health/State", "serving"),
            Metric::number("Thermal/Headroom_C", None, 0.5),
        ],
        devices: models.iter().map(|(id, version)| ((*id).to_owned(), device(version))).collect(),
    }
}

fn will(will: &Will) -> Message {
    Message { topic: will.topic.clone(), payload: Payload::read(&will.payload).unwrap() }
}

fn kinds(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::kind).collect()
}

fn seqs(messages: &[Message]) -> Vec<Option<u64>> {
    messages.iter().map(|message| message.payload.seq).collect()
}
