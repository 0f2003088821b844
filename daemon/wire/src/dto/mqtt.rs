//! The link to the broker, and what goes over it.

use serde::{Deserialize, Serialize};

use super::Problem;

/// The link to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MqttStatus {
    /// `off`, `connecting`, `connected` or `taken_over`.
    pub state: String,
    /// Why, when it is not connected.
    pub reason: String,
    /// Host and port.
    pub broker: String,
    /// `5` or `3.1.1`.
    pub protocol: String,
    /// Client id.
    pub client_id: String,
    /// Zone that the broker counts as.
    pub zone: String,
    /// Requests received.
    pub received: u64,
    /// Replies that wait for the broker.
    pub replies_waiting: u32,
    /// Requests in the journal.
    pub journaled: u32,
    /// Connections made since start.
    pub connects: u64,
    /// Replies of QoS 0 that found no room while the broker was slow or away.
    #[serde(default)]
    pub replies_dropped: u64,
    /// Replies that the broker refused.
    #[serde(default)]
    pub replies_refused: u64,
    /// Requests that the journal had no room for; they were acknowledged only when answered.
    #[serde(default)]
    pub unjournaled: u64,
    /// What is not as it should be with the journal or the subscriptions.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Whether reports of other boxes of the fleet come in.
    pub hears_fleet: bool,
    /// Results and events that wait for the broker.
    pub outbox: OutboxStatus,
    /// In the order of the configuration.
    pub bindings: Vec<BindingStatus>,
    /// The list of brokers, in the order in which they are tried; the first is the one that is gone back to.
    pub brokers: Vec<BrokerStatus>,
    /// Since when it is connected (RFC 3339, UTC); empty while it is not.
    pub connected_since: String,
    /// Why the last connection ended, or was not made; stays when there is another one.
    pub last_error: String,
    /// When that was (RFC 3339, UTC).
    pub last_error_at: String,
    /// Keep-alive that holds, which the broker may have chosen. A link that is dead is noticed within this time.
    pub keep_alive_s: u32,
    /// Round trip of the last ping.
    pub ping_us: Option<u64>,
    /// TLS of this connection; absent without.
    pub tls: Option<MqttTls>,
    /// Certificates of the connection, and how long they hold.
    pub certificates: Vec<CertificateStatus>,
}

impl MqttStatus {
    /// Whether it is connected to the first broker of the list, or tries to.
    pub fn is_preferred(&self) -> bool {
        self.brokers.first().is_none_or(|first| first.address == self.broker)
    }
}

/// One broker of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerStatus {
    /// Host and port.
    pub address: String,
    /// Why the last attempt there failed, or the last connection ended; empty if it is connected now or was not tried.
    pub fault: String,
}

/// TLS of the connection to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MqttTls {
    /// `1.2` or `1.3`.
    pub version: String,
    /// Cipher suite, by its registered name.
    pub cipher: String,
    /// The broker's key, in the form of `mqtt.tls.pin`.
    pub pin: String,
}

/// How long a certificate holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateStatus {
    /// Whose: `broker`, `client` or `authority`.
    pub of: String,
    /// The file that it was read from; empty for the broker's.
    pub file: String,
    /// Its end (RFC 3339, UTC).
    pub not_after: String,
    /// The same in seconds since 1970.
    pub not_after_s: i64,
}

/// A binding: a source of frames, a model, and topics for what it answers; and what it did since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BindingStatus {
    /// Name.
    pub name: String,
    /// In words: from where, to which model, to which topics.
    pub words: String,
    /// The model that its frames are given to.
    pub model: String,
    /// Frames that came.
    pub received: u64,
    /// Frames that the model was asked about.
    pub submitted: u64,
    /// Frames that it answered.
    pub done: u64,
    /// Frames that it could not answer.
    pub failed: u64,
    /// Frames that were not asked about, as a newer one of their source came first.
    pub skipped: u64,
    /// Frames for which there was no room.
    pub overloaded: u64,
    /// Messages that had come through this binding before, or were this box's own.
    pub circular: u64,
    /// Messages that the broker kept from an earlier time.
    pub retained: u64,
    /// Frames that wait for their turn.
    pub waiting: u64,
    /// Frames that are with the model.
    pub open: u64,
    /// Sources that are known.
    pub sources: u64,
    /// When the last frame was answered; RFC 3339, UTC; empty if none was.
    pub last_at: String,
    /// From its receipt to its answer.
    pub last_age_us: u64,
    /// Code of the last failure; empty if there was none.
    pub last_error_code: String,
    /// What it said.
    pub last_error: String,
    /// What is wrong with its source now; empty if nothing is, and where it is a topic.
    pub problem: String,
}

/// Results and events for subscribers, and what became of them since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxStatus {
    /// They wait for the broker.
    pub waiting: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Of those that wait, the ones on disk.
    pub stored: u64,
    /// The broker took them.
    pub sent: u64,
    /// Of these, sent more than two seconds after they were made, and marked historical.
    pub late: u64,
    /// Given up because the outbox was full.
    pub dropped: u64,
    /// Given up because they were too old.
    pub expired: u64,
    /// Not sent, as a newer one of the same topic came before the broker was there.
    pub replaced: u64,
    /// The broker refused them.
    pub refused: u64,
    /// They could not be read from the disk.
    pub unreadable: u64,
    /// Of QoS 0, made while there was no broker.
    pub unsent: u64,
}
