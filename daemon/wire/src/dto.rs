//! Plain records that cross the bus, the broker and the command's `--json`. Units are in the field names.
//!
//! A field that is missing means its empty value and one that is unknown is skipped, so that either side may be newer.

mod models;
mod mqtt;

use serde::{Deserialize, Serialize};

pub use self::models::{EngineStatus, HostStatus, ModelStatus, ProviderInfo, SetupStatus, TensorInfo};
pub use self::mqtt::{BindingStatus, BrokerStatus, CertificateStatus, MqttStatus, MqttTls, OutboxStatus};

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

/// The local HTTP server, with `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpStatus {
    /// Path of the socket that takes connections; empty if none does.
    pub socket: String,
    /// Address of the port of this box that takes connections; empty if none does.
    pub address: String,
    /// What could not be opened, and what is known of why.
    pub problems: Vec<Problem>,
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
    /// The local HTTP server.
    pub http: HttpStatus,
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
