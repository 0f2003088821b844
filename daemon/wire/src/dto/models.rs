//! Models, and the processes that run them.

use serde::{Deserialize, Serialize};

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
    /// How it was found: `config`, `ORT_DYLIB_PATH`, `installed` (by `edgectl runtime install`), `/usr/lib/edged/onnxruntime`, `python`.
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
