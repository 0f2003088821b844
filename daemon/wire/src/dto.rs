//! Plain records that cross the bus, the broker and the command's `--json`. Units are in the field names.
//!
//! A field that is missing means its empty value and one that is unknown is skipped, so that either side may be newer.

use serde::{Deserialize, Serialize};

/// What came with a reply: who served it, where, why, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The caller's own id, or one made up by the daemon.
    pub request_id: String,
    /// Logical model name; empty if none was recognised.
    pub model: String,
    /// Version that served.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Variant of the bundle that served.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `local`, `spill`, `speculate` or `refuse`.
    pub verdict: String,
    /// Why, in one word.
    pub reason: String,
    /// Name of the site that served.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// The farthest zone that its data was in: the site's, or that of the broker by which it came.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Effective data class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_class: String,
    /// The execution provider that really ran it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// RFC 3339, UTC.
    pub received_at: String,
    /// RFC 3339, UTC.
    pub completed_at: String,
    /// From acceptance to the start of the model, decoding included.
    pub queue_us: u64,
    /// In the model.
    pub compute_us: u64,
    /// From receipt to reply.
    pub total_us: u64,
    /// Requests that ran together with this one, itself included; 0 if it did not run.
    pub batch: u32,
    /// What it cost elsewhere; 0 on this box.
    pub cost_usd: f64,
    /// What this box took for it in the model, millijoules: its share of the power rail while it ran. Missing (0) where no
    /// rail can be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub energy_mj: f64,
    /// A reply given before to the same caller and id.
    #[serde(skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// What was ignored or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// One tensor of a model as requests see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Open Inference Protocol v2 datatype.
    pub datatype: String,
    /// -1 where any size of at least one is taken.
    pub shape: Vec<i64>,
}

/// An execution provider and how much of the model it really runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderInfo {
    /// Short name, for example `cpu`.
    pub name: String,
    /// Share of the graph's nodes that it placed, 0 to 1.
    pub share: f64,
}

/// One model of the box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelStatus {
    /// Logical name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// The manifest's one line about it.
    pub description: String,
    /// The bundle's task, which shapes the result document; of a part its kind: `adapter`, `tokenizer`, `labels`, `weights`.
    pub task: String,
    /// SPDX licence expression.
    pub licence: String,
    /// `standby`, `found`, `loading`, `ready`, `failed` or `unloaded`; on `standby` it was let go to save memory, and a request
    /// loads it again. Of a pipeline `ready` or `unavailable`, as its stages are.
    pub state: String,
    /// Why it is not ready; empty otherwise.
    pub reason: String,
    /// Variant in use.
    pub variant: String,
    /// Providers that really run it, the largest share first.
    pub providers: Vec<ProviderInfo>,
    /// Every way to run it that is allowed, the most wanted first.
    pub setups: Vec<SetupStatus>,
    /// Inputs.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// Encoded payloads that it takes.
    pub content_types: Vec<String>,
    /// Sessions that serve it.
    pub instances: u32,
    /// Largest batch.
    pub max_batch: u32,
    /// Deadline of requests that name none.
    pub default_deadline_ms: u64,
    /// Golden inputs that gave their expected answer at load.
    pub goldens_passed: u32,
    /// Time to load.
    pub load_ms: u32,
    /// Learnt service time of one request of cost 1; 0 if it has not run.
    pub service_us: u64,
    /// Requests that wait for it.
    pub waiting: u32,
    /// Requests done since start.
    pub done: u64,
    /// Where the bundle is.
    pub path: String,
    /// Requests that name no version are given to this one.
    pub active: bool,
    /// When its bundle was put there; RFC 3339, UTC.
    pub installed_at: String,
    /// Number of the key that signed it; empty if nobody did.
    pub signed_by: String,
    /// How far its probation is; empty if it is on none.
    pub probation: String,
    /// Why it was taken back on this box; empty if it was not.
    pub bad: String,
    /// The parts that it is used with, each `name:version`.
    pub parts: Vec<String>,
    /// Of a part: the models that are used with it, each `name:version`.
    pub used_by: Vec<String>,
}

/// One way to run a model: a variant on an execution provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetupStatus {
    /// The manifest's variant.
    pub variant: String,
    /// The execution provider.
    pub provider: String,
    /// `exact` or `reduced`.
    pub precision: String,
    /// Threads of one session.
    pub threads: u32,
    /// Sessions side by side.
    pub instances: u32,
    /// `standby`, `found`, `loading`, `ready`, `failed` or `unloaded`.
    pub state: String,
    /// Why it failed, or is not loaded; empty otherwise.
    pub reason: String,
    /// Requests are given to this one.
    pub serving: bool,
    /// Which kinds of requests: `encoded`, `tensors`.
    pub serves: Vec<String>,
    /// Share of the graph's nodes that the provider took when it was last loaded, 0..=1; 0 before.
    pub share: f64,
    /// Time of its last load; 0 before.
    pub load_ms: u32,
    /// Memory that it took when it was last loaded, bytes; 0 before. Measured in its engine host: by how much that grew from
    /// before the load until after the golden answers. What grew while several were loaded at once is shared among them by
    /// the size of their files.
    pub memory_bytes: u64,
    /// What it took of a graphics card's own memory; 0 before, where there is none, and where nobody tells.
    pub device_bytes: u64,
    /// Whether its last load found what the provider compiled before: `hit`, `built` (it was compiled, and kept), `none` (it
    /// was compiled, and not kept); empty before, and where the provider compiles nothing.
    pub cache: String,
    /// Times that it failed since it was last well for ten minutes, while it is not loaded.
    pub failures: u32,
    /// When it is tried again by itself, from now; 0 if not.
    pub retry_in_ms: u64,
}

/// An engine host: the process of one execution provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    /// The execution provider that it is for.
    pub provider: String,
    /// `unused`, `idle` (it was up, and no model needs it), `starting`, `up`, `down`, `no_provider`, `no_library` or `simulated`.
    pub state: String,
    /// Why, when it is not up.
    pub reason: String,
    /// The provider's own library, if it comes as one.
    pub plugin: String,
    /// Version of the provider, or the beginning of its library's digest; empty where it is a part of ONNX Runtime.
    pub provider_version: String,
    /// Name of the processor or graphics processor that it runs on, once known.
    pub device: String,
    /// Process id; 0 when down.
    pub pid: u32,
    /// Times it was started again.
    pub restarts: u32,
}

/// The engine hosts. The fields beside `hosts` are those of the first one, which runs the CPU provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineStatus {
    /// `starting`, `up`, `down`, `no_library` or `simulated`.
    pub state: String,
    /// Why, when it is not up.
    pub reason: String,
    /// Path of the ONNX Runtime library.
    pub library: String,
    /// How it was found: `config`, `ORT_DYLIB_PATH`, `/usr/lib/edged/onnxruntime`, `python`.
    pub found_by: String,
    /// Its version.
    pub version: String,
    /// Providers compiled into it.
    pub providers: Vec<String>,
    /// Process id; 0 when down.
    pub pid: u32,
    /// Times it was started again.
    pub restarts: u32,
    /// Resident memory.
    pub rss_bytes: u64,
    /// One for each execution provider that a model may use.
    pub hosts: Vec<HostStatus>,
}

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

/// Sums since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Requests that came in.
    pub arrived: u64,
    /// Accepted.
    pub accepted: u64,
    /// Answered with a result.
    pub done: u64,
    /// Failed after acceptance.
    pub failed: u64,
    /// Refused.
    pub refused: u64,
    /// Deadline passed after acceptance.
    pub expired: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Shed after acceptance.
    pub shed: u64,
    /// Answered from a stored reply.
    pub duplicates: u64,
    /// Of those that were done, by another site.
    pub spilled: u64,
    /// Put on the disk for later; each counts as accepted again when it comes back.
    pub deferred: u64,
}

/// Something that is not as it should be, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// What it is about: `library`, `engine`, `broker`, `model text-line`, `journal` ...
    pub subject: String,
    /// What is wrong, with what was tried.
    pub what: String,
    /// What a technician can do.
    pub remedy: String,
}

/// A probe's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadingInfo {
    /// For example `cpu_load_percent`, `memory_available_bytes`.
    pub name: String,
    /// The value; `None` if absent.
    pub value: Option<f64>,
    /// `unsupported`, `not_yet` or `failed: why` when there is no value.
    pub absent: String,
    /// How old it is.
    pub age_ms: u64,
}

/// What a provider compiled for one model, as it is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheEntry {
    /// Name of the model.
    pub model: String,
    /// The manifest's variant.
    pub variant: String,
    /// The execution provider.
    pub provider: String,
    /// The device that it was compiled for.
    pub device: String,
    /// Its directory.
    pub path: String,
    /// Size of its files.
    pub bytes: u64,
    /// RFC 3339, UTC; empty if nobody remembers.
    pub built_at: String,
    /// How long that load took; 0 if nobody remembers.
    pub took_ms: u64,
    /// RFC 3339, UTC; empty if nobody remembers.
    pub last_used: String,
    /// A model was loaded from it.
    pub in_use: bool,
}

/// Long work of the daemon: one job that runs, or that ended lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    /// Its number, the last part of the path of its object.
    pub id: u64,
    /// `build`, `tune`, `install`, `pull`, `activate`, `rollback`, `export` or `import`.
    pub operation: String,
    /// `name:version`.
    pub model: String,
    /// What of the model, for example `fp32 on openvino`; may be empty.
    pub detail: String,
    /// What it does now, or did last.
    pub phase: String,
    /// How far it is; -1 where nobody knows.
    pub percent: i32,
    /// Since it began; of an ended one, how long it took.
    pub elapsed_ms: u64,
    /// How long the last one like it took; 0 where there was none.
    pub expected_ms: u64,
    /// `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// What it did, one line each; empty where there is nothing to tell.
    pub notes: Vec<String>,
    /// Why it failed; empty otherwise.
    pub last_error: String,
}

/// What a box does about a version that its fleet is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetModel {
    /// Logical name.
    pub name: String,
    /// The version that it is to have.
    pub version: String,
    /// `waiting`, `working`, `probation`, `done`; `unreachable` if it could not be fetched, `failed` if it was and cannot be served,
    /// `taken_back` if it was watched and breached, `aborted` if it failed on boxes of earlier waves, `held` if somebody on the
    /// box put another version in its place, `revoked` if the list forbids what it asks for.
    pub phase: String,
    /// Why, or until when; may be empty.
    pub reason: String,
    /// Wave of this box, counted from 1; 0 beyond the last one.
    pub wave: u32,
    /// How many there are.
    pub waves: u32,
}

impl FleetModel {
    /// Whether a phase says that a version is no good.
    #[must_use]
    pub fn is_failure(phase: &str) -> bool {
        matches!(phase, "failed" | "taken_back")
    }
}

/// What this box is to have, by lists for many boxes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetStatus {
    /// Where the box stands in its fleet, by its node name: percent, 0 to below 100.
    pub place_percent: f64,
    /// The channel that it follows; empty for none.
    pub channel: String,
    /// Serial of the list that was fetched last; 0 for none.
    pub serial: u64,
    /// Every version that it is to have.
    pub models: Vec<FleetModel>,
    /// Versions that must not serve, as `name:version`.
    pub revoked: Vec<String>,
    /// How often the lists were read to their end since the daemon started.
    pub looks: u64,
}

/// What another box says of a version that its fleet is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetReport {
    /// Node name of the box.
    pub node: String,
    /// Name of the model.
    pub model: String,
    /// The version.
    pub version: String,
    /// As in [`FleetModel`]; empty if it says nothing any more.
    pub phase: String,
    /// Wave of that box, counted from 1.
    pub wave: u32,
}

/// Everything that `edgectl status` shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `starting`, `serving`, `degraded`, `draining` or `drained`.
    pub state: String,
    /// Why, in one line.
    pub reason: String,
    /// Package version.
    pub version: String,
    /// Version of the bus interfaces.
    pub interface: u32,
    /// Node name.
    pub node: String,
    /// Board or machine, operating system, cores, memory.
    pub platform: Platform,
    /// Simulated hardware or engine.
    pub simulated: bool,
    /// Since start.
    pub uptime_ms: u64,
    /// Process id.
    pub pid: u32,
    /// Resident memory of the daemon without its engine host.
    pub rss_bytes: u64,
    /// The engine host.
    pub engine: EngineStatus,
    /// The broker.
    pub mqtt: MqttStatus,
    /// The edge node for SCADA hosts.
    pub sparkplug: crate::sparkplug::SparkplugStatus,
    /// Every model found.
    pub models: Vec<ModelStatus>,
    /// Long work that runs or ended lately, in the order in which it began.
    pub jobs: Vec<JobStatus>,
    /// What the box is to have by lists for many boxes.
    pub fleet: FleetStatus,
    /// Sums since start.
    pub counters: Counters,
    /// Requests that wait now.
    pub waiting: u32,
    /// Requests that run now.
    pub running: u32,
    /// Readings.
    pub readings: Vec<ReadingInfo>,
    /// What the machine tells of itself.
    pub hardware: crate::hardware::Hardware,
    /// What may run, and why.
    pub governor: crate::governor::GovernorStatus,
    /// Other places, and where requests go.
    pub routing: crate::sites::RoutingStatus,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
    /// Configuration files read.
    pub config_files: Vec<String>,
    /// Keys whose values in the files were changed, and hold from the next start only.
    #[serde(default)]
    pub config_pending: Vec<String>,
}

/// What machine this is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// Board model, or the processor's name.
    pub machine: String,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// Operating system, for example `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Logical processors.
    pub cores: u32,
    /// Memory in all.
    pub memory_bytes: u64,
}

/// One step in the life of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceStep {
    /// Microseconds since receipt.
    pub at_us: u64,
    /// `received`, `accepted`, `divided`, `refused`, `preparing`, `prepared`, `running`, `ran`, `journaled`, `settled`, `replied` ...
    pub step: String,
    /// Numbers and reasons that belong to it.
    pub detail: String,
}

/// What happened to one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// The id that the caller knows.
    pub request_id: String,
    /// Who asked, for example `bus :1.42 (uid 1000)` or `mqtt edge/box/result/text-line`.
    pub caller: String,
    /// Model and version.
    pub model: String,
    /// `done`, `failed`, `refused`, ... or `open`.
    pub outcome: String,
    /// Error code, if there was one.
    pub code: String,
    /// Error message, if there was one.
    pub message: String,
    /// RFC 3339, UTC.
    pub received_at: String,
    /// The steps in order.
    pub steps: Vec<TraceStep>,
    /// The reply's info, once settled.
    pub info: Option<Info>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_or_newer_daemon_is_read() {
        let status: Status =
            serde_json::from_str(r#"{"state": "serving", "models": [{"name": "a", "new": 1}]}"#).unwrap();
        let model = ModelStatus { name: "a".into(), ..ModelStatus::default() };
        assert_eq!(status, Status { state: "serving".into(), models: vec![model], ..Status::default() });
    }
}
