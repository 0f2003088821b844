//! What was measured of a model on this box, and which way to run it is kept: the record that crosses the bus, that
//! `edgectl models plan` shows and that lies in the cache.

use serde::{Deserialize, Serialize};

/// The plan of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Logical name.
    pub model: String,
    /// Semantic version.
    pub version: String,
    /// When the measurement ended; RFC 3339, UTC.
    pub made_at: String,
    /// How long it took, waiting for a quiet box included.
    pub took_ms: u64,
    /// What it holds for: model, device, runtime, driver, providers. A plan of another key is not used.
    pub key: Vec<(String, String)>,
    /// Every way to run it that was tried, in the order of the trials.
    pub ways: Vec<PlanWay>,
    /// The best way for each kind of request and each objective.
    pub choices: Vec<PlanChoice>,
    /// What there is to say of it: why a kind of request has no choice.
    pub remarks: Vec<String>,
    /// The objective by which this box serves: `latency`, `throughput` or `efficiency`.
    pub objective: String,
}

/// One way to run the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanWay {
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
    /// Good for encoded requests: the golden answers hold.
    pub encoded: bool,
    /// Good for tensor requests: every output is close enough to the reference's.
    pub tensors: bool,
    /// Largest difference from the reference, as a share of max(1, largest absolute reference value); `None` if unknown.
    pub difference: Option<f64>,
    /// Why it is not good for something, or could not be tried.
    pub reason: String,
    /// What was measured, the single run first.
    pub points: Vec<PlanPoint>,
}

/// So many sessions at work, each with batches of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanPoint {
    /// Sessions at work.
    pub sessions: u32,
    /// Items in each one's batch.
    pub batch: u32,
    /// Median time of a run.
    pub p50_us: u64,
    /// Items per second of all sessions together.
    pub per_second: f64,
    /// What the box takes for one item, millijoules; `None` without a rail that can be read.
    pub energy_mj: Option<f64>,
}

/// The best way for one kind of request and one objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanChoice {
    /// `encoded` or `tensors`.
    pub requests: String,
    /// `latency`, `throughput` or `efficiency`.
    pub objective: String,
    /// Place in [`Plan::ways`].
    pub way: u32,
    /// Sessions that are loaded.
    pub instances: u32,
    /// The batch at which it does most.
    pub batch: u32,
    /// Time of one request alone.
    pub p50_us: u64,
    /// Items per second at that batch.
    pub per_second: f64,
    /// What the box takes for one item at that batch, millijoules; `None` without a rail that can be read.
    pub energy_mj: Option<f64>,
}
