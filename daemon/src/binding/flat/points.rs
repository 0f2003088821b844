//! How one value is written.
//!
//! Plain values are what every client of a PLC or SCADA system turns into its own types without a script: numbers as digits
//! with a point and never with an exponent, texts as they are, and yes and no as `true` and `false`. Those two words are what
//! Ignition, Kepware and Node-RED read as Boolean, and one comparison of strings in Structured Text; `1` and `0` would become
//! integers in most of them. A text that is empty becomes `-`: an empty message would take away what the broker keeps on that
//! topic, and tells a reader nothing.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Facts, Field, Quality};

/// A plain text that is empty.
const NOTHING: &str = "-";

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The value alone.
    Plain,
    /// `{"value", "time", "quality"}`, and `"reason"` where there is one.
    Json,
}

/// A value for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub field: Field,
    pub payload: String,
}

/// All that the fields are written from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub facts: Facts,
    pub is_ok: bool,
    pub quality: Quality,
    /// Code of what failed; empty if nothing did.
    pub reason: String,
    pub at: SystemTime,
}

impl State {
    /// What is compared to see whether a field has changed; `None` if there is nothing to write. The time is nothing that
    /// changes by itself.
    pub fn value(&self, field: Field) -> Option<Value> {
        match field {
            Field::Class => self.facts.class.clone().map(Value::String),
            Field::Score => self.facts.score.map(|score| json!(rounded(score))),
            Field::Count => self.facts.count.map(|count| json!(count)),
            Field::Text => self.facts.text.clone().map(Value::String),
            Field::Ok => Some(json!(self.is_ok)),
            Field::Time => Some(Value::String(time(self.at))),
            Field::Quality => Some(json!(self.quality.as_str())),
            Field::Reason => Some(json!(self.reason)),
        }
    }

    pub fn point(&self, field: Field, format: Format) -> Option<Point> {
        Some(self.with(self.value(field)?, field, format))
    }

    /// This value of a field, with what is known of its worth.
    pub fn with(&self, value: Value, field: Field, format: Format) -> Point {
        let payload = match format {
            Format::Plain => plain(&value),
            Format::Json => {
                let mut all = json!({ "value": value, "time": time(self.at), "quality": self.quality.as_str() });
                if let (false, Some(all)) = (self.reason.is_empty(), all.as_object_mut()) {
                    all.insert("reason".into(), json!(self.reason));
                }
                all.to_string()
            }
        };
        Point { field, payload }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => NOTHING.into(),
        Value::String(text) => text.clone(),
        // Display of a float never has an exponent.
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() && !number.is_i64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// To a millionth, so that noise behind the digits that matter is no change.
fn rounded(score: f64) -> f64 {
    (score * 1e6).round() / 1e6
}

/// RFC 3339 in UTC with milliseconds.
fn time(at: SystemTime) -> String {
    // Before 1970 there is nothing to tell.
    humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string()
}
