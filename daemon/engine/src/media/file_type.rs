//! The type of a file's content, by Magika's rules: which bytes the model sees, and when its answer is not believed.
//! The document is `{"label", "mime_type", "group", "description", "extensions", "is_text", "score", "model_label",
//! "overwrite_reason"}`; the last is `none`, `low_confidence` or `overwrite_map`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::numbers::Elements;
use super::{MediaError, Prepared, floats, json, largest};
use crate::bundle::{Bundle, FileTypeRecipe};
use crate::protocol::TensorSpec;

/// Magika's own configuration file. Keys that do not matter here are passed over.
#[derive(Debug, Deserialize)]
struct Config {
    beg_size: usize,
    mid_size: usize,
    end_size: usize,
    use_inputs_at_offsets: bool,
    medium_confidence_threshold: f32,
    min_file_size_for_dl: usize,
    padding_token: u16,
    block_size: usize,
    target_labels_space: Vec<String>,
    thresholds: HashMap<String, f32>,
    overwrite_map: HashMap<String, String>,
}

/// What Magika knows of a label.
#[derive(Debug, Deserialize)]
struct Known {
    mime_type: Option<String>,
    group: Option<String>,
    description: Option<String>,
    extensions: Vec<String>,
    is_text: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    label: &'a str,
    mime_type: &'a str,
    group: &'a str,
    description: &'a str,
    extensions: &'a [String],
    is_text: bool,
    score: f32,
    model_label: &'a str,
    overwrite_reason: &'static str,
}

/// Prepares files and reads `[N, labels]`.
pub struct FileType {
    config: Config,
    known: HashMap<String, Known>,
}

impl FileType {
    /// Reads the configuration and the label table out of the bundle.
    pub fn load(
        bundle: &Bundle,
        places: &str,
        recipe: &FileTypeRecipe,
        output: &TensorSpec,
    ) -> Result<FileType, MediaError> {
        let wrong = |key, what: String| MediaError::Recipe { key, what };
        if places != recipe.config {
            return Err(wrong("output.config", "input and output must name the same configuration".into()));
        }
        let read = |key, name: &str| bundle.read(name).map_err(|error| wrong(key, crate::fault::chain(&error)));
        let config: Config = serde_json::from_slice(&read("output.config", &recipe.config)?)
            .map_err(|error| wrong("output.config", error.to_string()))?;
        let known: HashMap<String, Known> =
            serde_json::from_slice(&read("output.content_types", &recipe.content_types)?)
                .map_err(|error| wrong("output.content_types", error.to_string()))?;
        if let Err(what) = config.check(output) {
            return Err(wrong("output.config", what));
        }
        let special = ["empty", "txt", "undefined", "unknown"].map(str::to_owned);
        let named = config.target_labels_space.iter().chain(config.overwrite_map.values()).chain(&special);
        if let Some(label) = named.into_iter().find(|label| !known.contains_key(*label)) {
            return Err(wrong("output.content_types", format!("the label {label} is missing")));
        }
        Ok(FileType { config, known })
    }

    /// The bytes that the model sees: the beginning and the end, without white space at the outside, padded. A file
    /// with too few bytes for the model has its answer already.
    pub fn prepare(&self, payload: &[u8]) -> Result<Prepared, MediaError> {
        let Config { beg_size, end_size, block_size, padding_token, min_file_size_for_dl, .. } = self.config;
        if payload.is_empty() {
            return self.known_answer("empty").map(Prepared::Answer);
        }
        let block = block_size.min(payload.len());
        let (first, last) = (&payload[..block], &payload[payload.len() - block..]);
        let from = first.iter().position(|byte| !is_space(*byte)).unwrap_or(block);
        let head = &first[from..];
        let enough = payload.len() >= min_file_size_for_dl && head.len() >= min_file_size_for_dl;
        if !enough {
            let text = if payload.len() < min_file_size_for_dl { payload } else { first };
            let label = if str::from_utf8(text).is_ok() { "txt" } else { "unknown" };
            return self.known_answer(label).map(Prepared::Answer);
        }
        let to = last.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
        let tail = &last[..to];
        let head = &head[..head.len().min(beg_size)];
        let tail = &tail[tail.len() - tail.len().min(end_size)..];
        let padding = |count: usize| std::iter::repeat_n(padding_token, count);
        let bytes = |bytes: &[u8]| bytes.iter().map(|byte| u16::from(*byte)).collect::<Vec<_>>();
        let places = bytes(head).into_iter().chain(padding(beg_size - head.len()));
        let places = places.chain(padding(end_size - tail.len())).chain(bytes(tail));
        Ok(Prepared::Places(places.collect()))
    }

    /// The document of one row of scores.
    pub fn document(&self, row: &[u8]) -> Result<String, MediaError> {
        let labels = &self.config.target_labels_space;
        let scores = floats(row);
        if scores.len() != labels.len() {
            return Err(MediaError::Output(format!("{} scores for {} labels", scores.len(), labels.len())));
        }
        let (at, score) = largest(scores).ok_or_else(|| MediaError::Output("no scores".into()))?;
        let model_label = labels.get(at).map_or("", String::as_str);
        let (label, reason) = self.decide(model_label, score);
        self.write(label, score, model_label, reason)
    }

    /// The label to be given out for the model's label, and why it differs.
    fn decide<'a>(&'a self, model_label: &'a str, score: f32) -> (&'a str, &'static str) {
        let config = &self.config;
        let mapped = config.overwrite_map.get(model_label).map_or(model_label, String::as_str);
        let threshold = config.thresholds.get(model_label).copied().unwrap_or(config.medium_confidence_threshold);
        if score >= threshold {
            return (mapped, if mapped == model_label { "none" } else { "overwrite_map" });
        }
        let plain = if self.known.get(mapped).is_some_and(|known| known.is_text) { "txt" } else { "unknown" };
        (plain, if plain == model_label { "none" } else { "low_confidence" })
    }

    fn known_answer(&self, label: &str) -> Result<String, MediaError> {
        self.write(label, 1.0, "undefined", "none")
    }

    fn write(
        &self,
        label: &str,
        score: f32,
        model_label: &str,
        overwrite_reason: &'static str,
    ) -> Result<String, MediaError> {
        let known = self.known.get(label).ok_or_else(|| MediaError::Output(format!("label {label} is unknown")))?;
        let mime_type = if known.is_text { "text/plain" } else { "application/octet-stream" };
        json(&Document {
            label,
            mime_type: known.mime_type.as_deref().unwrap_or(mime_type),
            group: known.group.as_deref().unwrap_or("unknown"),
            description: known.description.as_deref().unwrap_or(label),
            extensions: &known.extensions,
            is_text: known.is_text,
            score,
            model_label,
            overwrite_reason,
        })
    }
}

impl Config {
    fn check(&self, output: &TensorSpec) -> Result<(), String> {
        let width = output.shape.last().copied().unwrap_or(0);
        let labels = self.target_labels_space.len();
        if !Elements::are_floats(output.datatype) || output.shape.len() != 2 || usize::try_from(width) != Ok(labels) {
            return Err(format!("{labels} labels do not fit the output of {:?}", output.shape));
        }
        let sizes = [self.beg_size, self.end_size, self.min_file_size_for_dl];
        if self.mid_size != 0 || self.use_inputs_at_offsets {
            return Err("bytes from the middle or from offsets are not supported".into());
        }
        if self.block_size > 1 << 20 || sizes.iter().any(|size| *size == 0 || *size > self.block_size) {
            return Err("beg_size, end_size and min_file_size_for_dl must be 1..=block_size".into());
        }
        Ok(())
    }
}

/// White space as Python strips it from bytes.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four bytes from each end, white space stripped in blocks of eight; three labels and the special ones.
    fn files() -> FileType {
        let known = |is_text: bool| Known {
            mime_type: None,
            group: None,
            description: None,
            extensions: vec!["x".into()],
            is_text,
        };
        let names = [("a", true), ("b", false), ("c", true), ("txt", true), ("unknown", false), ("empty", false)];
        let mut table: HashMap<_, _> = names.map(|(name, is_text)| (name.to_owned(), known(is_text))).into();
        table.insert("undefined".into(), known(false));
        let config = Config {
            beg_size: 4,
            mid_size: 0,
            end_size: 4,
            use_inputs_at_offsets: false,
            medium_confidence_threshold: 0.5,
            min_file_size_for_dl: 3,
            padding_token: 256,
            block_size: 8,
            target_labels_space: ["a", "b", "c"].map(str::to_owned).to_vec(),
            thresholds: [("a".to_owned(), 0.9)].into(),
            overwrite_map: [("c".to_owned(), "txt".to_owned())].into(),
        };
        FileType { config, known: table }
    }

    #[test]
    fn the_model_sees_both_ends_without_the_white_space_around_them() {
        let places = |text: &str| text.bytes().map(|byte| if byte == b'_' { 256 } else { u16::from(byte) }).collect();
        let cases: [(&str, &str); 6] = [
            ("abc", "abc__abc"),
            ("abcdefgh", "abcdefgh"),
            ("  abcdefgh\n\n", "abcdefgh"),
            ("abcdefghijklmnop", "abcdmnop"),
            // Only the block at each end is looked at: the end's block is all white space.
            ("abcdefgh        ", "abcd____"),
            ("\t abc", "abc_\t abc"),
        ];
        for (file, expected) in cases {
            let expected: Vec<u16> = match expected.strip_prefix("abc_\t") {
                // Four places from the end: the white space at the front of the end's block stays.
                Some(_) => places("abc_ abc"),
                None => places(expected),
            };
            assert_eq!(files().prepare(file.as_bytes()).unwrap(), Prepared::Places(expected), "{file:?}");
        }
    }

    #[test]
    fn a_file_with_too_few_bytes_is_answered_without_the_model() {
        for (file, label) in [
            (&b""[..], "empty"),
            (b"ab", "txt"),
            (b"\xff\xfe", "unknown"),
            (b"        a", "txt"),
            (b"          ", "txt"),
            (b"       a\xff", "txt"),
            (b"      \xffa", "unknown"),
        ] {
            let Prepared::Answer(document) = files().prepare(file).unwrap() else { panic!("{file:?}") };
            assert!(document.starts_with(&format!("{{\"label\":\"{label}\"")), "{file:?}: {document}");
            assert!(document.ends_with(r#""score":1.0,"model_label":"undefined","overwrite_reason":"none"}"#));
        }
    }

    #[test]
    fn an_answer_is_believed_only_above_its_threshold() {
        let cases = [
            ([0.95, 0.0, 0.0], "a", "a", "none"),
            ([0.85, 0.0, 0.0], "txt", "a", "low_confidence"),
            ([0.0, 0.6, 0.0], "b", "b", "none"),
            ([0.0, 0.4, 0.0], "unknown", "b", "low_confidence"),
            ([0.0, 0.0, 0.6], "txt", "c", "overwrite_map"),
            ([0.0, 0.0, 0.4], "txt", "c", "low_confidence"),
        ];
        for (scores, label, model_label, reason) in cases {
            let row: Vec<u8> = scores.iter().flat_map(|score: &f32| score.to_ne_bytes()).collect();
            let document: serde_json::Value = serde_json::from_str(&files().document(&row).unwrap()).unwrap();
            let found = ["label", "model_label", "overwrite_reason"].map(|key| document[key].as_str().unwrap());
            assert_eq!(found, [label, model_label, reason], "{scores:?}");
        }
    }
}
