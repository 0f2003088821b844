//! Packets of either protocol version in one set of types, so that nothing above the codec asks for the version.

use std::borrow::Cow;

use bytes::Bytes;

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::enum_variant_names, reason = "the words of the protocol")]
pub enum Qos {
    #[default]
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// What the broker sends.
#[derive(Clone, Debug, PartialEq)]
pub enum FromBroker {
    /// The answer to CONNECT; an error says why not.
    Connected(Result<Granted, String>),
    Publish(Box<Inbound>),
    /// A QoS 1 message of ours was taken, or not.
    PubAck(u16, Result<(), NotTaken>),
    /// A QoS 2 message of ours was taken, or not.
    PubRec(u16, Result<(), NotTaken>),
    PubRel(u16),
    PubComp(u16),
    /// One answer per filter.
    SubAck(Vec<Result<(), String>>),
    UnsubAck,
    Pong,
    Disconnect {
        taken_over: bool,
        reason: String,
    },
}

/// Why the broker did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    pub reason: String,
    /// It may take the same message later: a quota that is used up, a fault of its own.
    pub passing: bool,
}

/// What a broker that accepts us allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The broker kept subscriptions and unacknowledged messages of an earlier connection.
    pub session_present: bool,
    /// Messages of ours that may be unacknowledged.
    pub receive_max: u16,
    /// Largest packet of ours.
    pub max_packet: Option<u32>,
    pub max_qos: Qos,
    /// The broker's own choice, in seconds.
    pub keep_alive_s: Option<u16>,
}

/// A message that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    pub topic: String,
    /// A slice of the packet.
    pub payload: Bytes,
    pub qos: Qos,
    /// 0 for QoS 0.
    pub packet_id: u16,
    /// The broker sent it before, or may have.
    pub redelivered: bool,
    /// Kept by the broker from an earlier time.
    pub retained: bool,
    pub properties: Properties,
    /// Size of a packet above the limit; its payload was read and thrown away.
    pub oversized: Option<usize>,
}

/// What MQTT 5 says besides; empty under 3.1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Properties {
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    #[serde(with = "serde_bytes")]
    pub correlation: Option<Vec<u8>>,
    pub expiry_s: Option<u32>,
    pub user: Vec<(String, String)>,
}

/// A message of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    pub retain: bool,
    pub correlation: Option<Bytes>,
    /// Content type, under MQTT 5; an empty one is not said, and the payload is then bytes of any kind.
    pub content_type: Cow<'static, str>,
    /// User properties, under MQTT 5.
    pub user: Vec<(String, String)>,
    /// What a request says besides, under MQTT 5.
    pub request: Option<Box<Asking>>,
}

/// What MQTT 5 carries with a request of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    pub response_topic: String,
    /// After so many seconds the broker need not deliver it any more.
    pub expiry_s: u32,
}

impl Outbound {
    /// Upper bound of the packet's size.
    pub fn packet_bytes(&self) -> usize {
        const HEADERS: usize = 32;
        /// Of each property: its kind and two lengths.
        const AROUND: usize = 5;
        let correlation = self.correlation.as_ref().map_or(0, Bytes::len);
        let request = self.request.as_ref().map_or(0, |request| 2 * AROUND + request.response_topic.len());
        let pair = |(name, value): &(String, String)| AROUND + name.len() + value.len();
        let user = self.user.iter().map(pair).sum::<usize>();
        HEADERS + self.topic.len() + self.payload.len() + correlation + self.content_type.len() + request + user
    }
}

/// What we send once connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    Publish {
        packet_id: u16,
        again: bool,
        message: Outbound,
    },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    /// `retained`: what the broker keeps on these topics is wanted too (always so under 3.1.1).
    Subscribe {
        packet_id: u16,
        filters: Vec<(String, Qos)>,
        retained: bool,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
    /// The same, and the broker speaks the will all the same (MQTT 5; under 3.1.1 nobody can ask for that).
    DisconnectWithWill,
}

impl ToBroker {
    /// Whether nothing may be sent behind it.
    pub fn is_last(&self) -> bool {
        matches!(self, ToBroker::Disconnect | ToBroker::DisconnectWithWill)
    }
}

/// What the broker publishes when we are gone without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    pub retain: bool,
}

/// In which the connections of this daemon differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    pub will: Will,
    /// The broker keeps nothing of us from one connection to the next.
    pub clean: bool,
}

/// How we introduce ourselves.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    pub client_id: String,
    pub keep_alive_s: u16,
    pub username: Option<String>,
    pub password: Option<String>,
    pub manner: Manner,
    /// Messages that we take unacknowledged.
    pub receive_max: u16,
    /// Largest packet that we take.
    pub max_packet: u32,
}
