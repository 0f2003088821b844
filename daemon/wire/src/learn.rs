//! What was learnt of a table of outcomes. The record crosses from the daemon's binary to `edgectl route learn`, and to its
//! `--json`.

use serde::{Deserialize, Serialize};

/// A quality model, how good it is, and what is promised of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learnt {
    /// The table.
    pub table: String,
    /// The file that was written; empty if none was, as nothing could be promised of it.
    pub path: String,
    /// Its size; 0 if none was written.
    pub bytes: u64,
    /// The day that the file has on it.
    pub date: String,
    /// What the rows were divided by.
    pub seed: u64,
    /// Rows of the table.
    pub rows_read: u32,
    /// Those that the weights come from.
    pub rows_trained: u32,
    /// Those that the threshold comes from; none of them is among the others.
    pub rows_held_out: u32,
    /// Those that the curve comes from: of `rows_trained`, each scored by a model that had not seen it.
    pub rows_tested: u32,
    /// Mean quality of the answers of the box, 0 to 1.
    pub weak_quality: f32,
    /// Mean quality of the answers of the site, 0 to 1.
    pub strong_quality: f32,
    /// Area under the gain curve, 0.5 is chance; null if the site gains nothing.
    pub apgr: Option<f64>,
    /// Share that could stay local at 95% of the strong quality; null if the site gains nothing.
    pub kept_local: Option<f64>,
    /// Bound that was asked for on the mean loss over all requests.
    pub target_loss: f32,
    /// How sure it was to be.
    pub confidence: f32,
    /// The threshold and what is promised of it; null if none can be.
    pub guarantee: Option<Guarantee>,
    /// What the site gains in each kind of task, by name.
    pub tasks: Vec<TaskGain>,
    /// What to put into the configuration to use it; empty if no file was written.
    pub settings: Vec<Setting>,
    /// What else there is to say.
    pub remarks: Vec<String>,
}

/// A threshold that keeps what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guarantee {
    /// A text whose expected gain is at most this may stay local.
    pub threshold: f32,
    /// Share of the held-out rows that stay local.
    pub kept_local: f32,
    /// What the held-out rows lose on average, 0 to 1.
    pub loss_held_out: f32,
    /// Probability of so little loss if the promise did not hold.
    pub p_value: f64,
}

/// What the site gains in a kind of task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskGain {
    /// Its name in the table.
    pub task: String,
    /// Rows of it that the weights come from.
    pub rows: u32,
    /// Mean gain in quality over them.
    pub gain_measured: f32,
    /// The same, drawn towards the mean over all tasks where rows are few.
    pub gain: f32,
}

/// A line of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// Table and name, for example `routing.difficulty_model`.
    pub key: String,
    /// As it stands in the file.
    pub value: String,
}
