//! The golden inputs of the demo bundles with the answers that were recorded for them.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::places;

/// Models with golden inputs that are encoded payloads.
const MODELS: [&str; 5] = ["text-line", "text-direction", "text-boxes", "file-type", "speech"];

/// A golden input with its content type and answer.
#[derive(Clone, Debug)]
pub struct Golden {
    pub model: &'static str,
    pub file: PathBuf,
    pub kind: &'static str,
    pub expected: Value,
}

/// One of them, by its file name.
pub fn golden(model: &'static str, file: &str) -> Result<Golden> {
    let file = places::repository().join("onnx-models").join(model).join("golden").join(file);
    let expected = PathBuf::from(format!("{}.expected.json", file.display()));
    let expected = std::fs::read(&expected).with_context(|| format!("read {}", expected.display()))?;
    let kind = match file.extension().and_then(OsStr::to_str) {
        _ if model == "file-type" => "application/octet-stream",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("wav") => "audio/wav",
        other => bail!("no content type for {other:?}"),
    };
    Ok(Golden { model, file, kind, expected: serde_json::from_slice(&expected)? })
}

/// All of them.
pub fn goldens() -> Result<Vec<Golden>> {
    let mut all = Vec::new();
    for model in MODELS {
        let dir = places::repository().join("onnx-models").join(model).join("golden");
        for entry in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".expected.json") {
                all.push(golden(model, &name)?);
            }
        }
    }
    Ok(all)
}

/// How far a number may be from the recorded one.
const NUMBER: f64 = 0.05;
/// How far a corner may be, in pixels: the reference cuts off what is behind the point before it grows a box.
const CORNER: f64 = 2.0;

/// Equal but for numbers, which may differ a little; what is found may say more.
pub fn close(found: &Value, wanted: &Value) -> bool {
    close_within(found, wanted, NUMBER)
}

fn close_within(found: &Value, wanted: &Value, most: f64) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => {
            let (found, wanted) = (found.as_f64().unwrap_or(f64::NAN), wanted.as_f64().unwrap_or(f64::NAN));
            (found - wanted).abs() <= most
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| close_within(found, wanted, most))
        }
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            let most = if matches!(key.as_str(), "polygon" | "box") { CORNER } else { most };
            found.get(key).is_some_and(|found| close_within(found, wanted, most))
        }),
        _ => found == wanted,
    }
}
