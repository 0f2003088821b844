//! The stable form: the records of edge-wire as they are, one JSON document and a line end.

use std::path::Path;

use edge_wire::dto::{Counters, Info, ModelStatus, ReadingInfo, Status};
use edge_wire::governor::GovernorStatus;
use edge_wire::hardware::Hardware;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::support::Manifest;
use crate::top::View;
use crate::top::rates::Rates;

/// Any record.
pub fn record<T: Serialize>(record: &T) -> String {
    // A record of strings and numbers always has a JSON form; should one ever not, its error is the best answer left.
    serde_json::to_string_pretty(record).unwrap_or_else(|error| Value::from(error.to_string()).to_string()) + "\n"
}

/// `{"result", "info"}` of an inference; `simulated` only where no model ran.
pub fn inferred(result: &Value, info: &Info, simulated: bool) -> String {
    #[derive(Serialize)]
    struct Inferred<'a> {
        result: &'a Value,
        info: &'a Info,
        #[serde(skip_serializing_if = "Option::is_none")]
        simulated: Option<bool>,
    }
    record(&Inferred { result, info, simulated: simulated.then_some(true) })
}

/// Whether requests are taken, and what is under way: the answer of drain, resume and reload.
pub fn flow(status: &Status) -> String {
    #[derive(Serialize)]
    struct Flow<'a> {
        state: &'a str,
        reason: &'a str,
        waiting: u32,
        running: u32,
        config_pending: &'a [String],
    }
    record(&Flow {
        state: &status.state,
        reason: &status.reason,
        waiting: status.waiting,
        running: status.running,
        config_pending: &status.config_pending,
    })
}

/// A support bundle: where it is, and what it says of itself.
pub fn bundled(path: &Path, bytes: usize, manifest: &Manifest) -> String {
    #[derive(Serialize)]
    struct Bundled<'a> {
        file: String,
        bytes: usize,
        manifest: &'a Manifest,
    }
    record(&Bundled { file: path.display().to_string(), bytes, manifest })
}

/// One look of `top`: what the machine tells, what the governor does, what waits, and how fast it goes.
pub fn top(view: &View) -> String {
    #[derive(Serialize)]
    struct Top<'a> {
        node: &'a str,
        state: &'a str,
        reason: &'a str,
        simulated: bool,
        uptime_ms: u64,
        waiting: u32,
        running: u32,
        counters: &'a Counters,
        rates: Option<&'a Rates>,
        hardware: &'a Hardware,
        governor: &'a GovernorStatus,
        readings: &'a [ReadingInfo],
        models: Vec<Model<'a>>,
    }
    #[derive(Serialize)]
    struct Model<'a> {
        name: &'a str,
        version: &'a str,
        state: &'a str,
        service_us: u64,
        waiting: u32,
        done: u64,
    }
    let status = &view.status;
    let models = status.models.iter().map(|one| {
        let ModelStatus { name, version, state, service_us, waiting, done, .. } = one;
        Model { name, version, state, service_us: *service_us, waiting: *waiting, done: *done }
    });
    record(&Top {
        node: &status.node,
        state: &status.state,
        reason: &status.reason,
        simulated: status.simulated,
        uptime_ms: status.uptime_ms,
        waiting: status.waiting,
        running: status.running,
        counters: &status.counters,
        rates: view.rates.as_ref(),
        hardware: &status.hardware,
        governor: &status.governor,
        readings: &status.readings,
        models: models.collect(),
    })
}

/// How long the device was held, and what for.
pub fn held(why: &str, after: std::time::Duration) -> String {
    #[derive(Serialize)]
    struct Held<'a> {
        why: &'a str,
        held_ms: u64,
    }
    record(&Held { why, held_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) })
}

/// What clearing the cache did, and how many entries in use it left.
pub fn cleared(removed: u32, bytes: u64, in_use: usize) -> String {
    #[derive(Serialize)]
    struct Cleared {
        removed: u32,
        bytes: u64,
        in_use: usize,
    }
    record(&Cleared { removed, bytes, in_use })
}

/// The verdict on a configuration, one message per line that was said.
pub fn verdict(valid: bool, said: &str) -> String {
    #[derive(Serialize)]
    struct Verdict<'a> {
        valid: bool,
        messages: Vec<&'a str>,
    }
    record(&Verdict { valid, messages: said.lines().collect() })
}

/// Completions of one shell.
pub fn script(shell: &str, script: &str) -> String {
    #[derive(Serialize)]
    struct Script<'a> {
        shell: &'a str,
        script: &'a str,
    }
    record(&Script { shell, script })
}

/// `{"error": {"code", "message", "retry_after_ms"}, "info"}`; the last two only where they are known.
pub fn failure(failure: &Failure) -> String {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: Error<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        info: Option<&'a Info>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    }
    let (info, retry_after_ms) = match failure {
        Failure::Refused { info, refused } => (info.as_deref(), refused.retry_after_ms),
        _ => (None, None),
    };
    record(&Failed { error: Error { code: failure.word(), message: failure.message(), retry_after_ms }, info })
}
