//! What a technician mails when something is wrong: one file with all that this box tells of edged, without secrets. In reading
//! order: this (what a bundle is), `gather` (where it comes from; the only part that looks at the box), `redact` (secrets),
//! `names` (names of places), `config` (what is learnt of both from the configuration), `archive` (the file).

pub mod archive;
pub mod config;
pub mod gather;
pub mod names;
pub mod redact;
mod words;

use serde::Serialize;
use serde_json::Value;

use self::names::Names;
use self::redact::Secrets;

/// Largest part, bytes; of a longer text the end is kept, where the news are.
const PART: usize = 8 << 20;
/// A part that is shorter is not cut any further.
const WHOLE: usize = 64 << 10;

/// What a part holds.
#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    Document(Value),
    /// A configuration file.
    Config(String),
}

/// A part that was found.
#[derive(Clone, Debug)]
pub struct Part {
    pub file: String,
    /// What it is, in a few words.
    pub what: String,
    pub content: Content,
}

/// A part that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub file: String,
    pub why: String,
}

/// All that was found, as it is: nobody but [`redacted`] may write that down.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub parts: Vec<Part>,
    pub missing: Vec<Missing>,
}

/// A part as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    pub file: String,
    pub what: String,
    pub bytes: Vec<u8>,
}

/// What the bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    pub format: u32,
    /// RFC 3339, UTC.
    pub made_at: String,
    /// Version of this command.
    pub edgectl: String,
    /// Name of the box, unless it is hidden.
    pub node: String,
    pub names_hidden: bool,
    /// What was done to its content, in sentences.
    pub redaction: Vec<String>,
    pub parts: Vec<Listed>,
    pub missing: Vec<Missing>,
}

/// A part in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub file: String,
    pub what: String,
    pub bytes: u64,
}

impl Found {
    /// Notes a text.
    pub fn text(&mut self, file: &str, what: &str, text: Result<String, String>) {
        self.put(file, what, text.map(Content::Text));
    }

    /// Notes a record.
    pub fn record<T: Serialize>(&mut self, file: &str, what: &str, record: Result<T, String>) {
        let document = record.and_then(|record| serde_json::to_value(record).map_err(|error| error.to_string()));
        self.put(file, what, document.map(Content::Document));
    }

    /// Notes a part, or why there is none.
    pub fn put(&mut self, file: &str, what: &str, content: Result<Content, String>) {
        match content {
            Ok(content) => self.parts.push(Part { file: file.into(), what: what.into(), content }),
            Err(why) => self.missing.push(Missing { file: file.into(), why }),
        }
    }

    /// What is secret in it, and which names there are.
    pub fn learn(&self) -> (Secrets, Names) {
        let (mut secrets, mut names) = (Secrets::default(), Names::default());
        for part in &self.parts {
            match &part.content {
                Content::Config(text) => config::learn(text, &mut secrets, &mut names),
                Content::Document(document) => config::learn_document(document, &mut secrets, &mut names),
                Content::Text(text) => secrets.learn_environment(text),
            }
        }
        (secrets, names)
    }
}

/// Everything without secrets, and without names if `hide` is asked for. What a secret is still in then is left out.
pub fn redacted(found: Found, secrets: &Secrets, names: Option<&Names>) -> (Vec<Clean>, Vec<Missing>) {
    let hide = |text: String| names.map_or(text.clone(), |names| names.hide(&text));
    let mut clean = Vec::new();
    let mut missing: Vec<Missing> = Vec::new();
    for part in found.parts {
        let text = match part.content {
            Content::Text(text) => hide(secrets.text(&text)),
            Content::Config(text) => hide(config::told(&text, secrets)),
            Content::Document(document) => {
                let document = secrets.json(document);
                let document = names.map_or(document.clone(), |names| names.hide_json(document));
                serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
            }
        };
        let file = hide(part.file);
        if secrets.are_in(text.as_bytes()) {
            let why = "a secret of the configuration was still in it, so it was left out".to_owned();
            missing.push(Missing { file, why });
            continue;
        }
        clean.push(Clean { file, what: part.what, bytes: end_of(text, PART).into_bytes() });
    }
    let told = |one: Missing| Missing { file: hide(one.file), why: hide(secrets.text(&one.why)) };
    missing.extend(found.missing.into_iter().map(told));
    (clean, missing)
}

/// The end of a text, from the beginning of a line, with a word that it is no more than that.
fn end_of(text: String, most: usize) -> String {
    let Some(begin) = text.len().checked_sub(most).filter(|&begin| begin > 0) else { return text };
    let begin = (begin..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let rest = text.get(begin..).unwrap_or_default();
    let rest = rest.split_once('\n').map_or(rest, |(_, rest)| rest);
    format!("(the beginning is left out: {} bytes in all)\n{rest}", text.len())
}

/// Cuts the largest part to half of it; whether there was one that can be cut.
pub fn cut(parts: &mut [Clean]) -> bool {
    let largest = parts.iter_mut().max_by_key(|part| part.bytes.len());
    let Some(part) = largest.filter(|part| part.bytes.len() > WHOLE) else { return false };
    let text = String::from_utf8_lossy(&part.bytes).into_owned();
    let half = text.len() / 2;
    part.bytes = end_of(text, half).into_bytes();
    true
}

/// What was done to what is in it.
pub fn sentences(names_hidden: bool) -> Vec<String> {
    let names = match names_hidden {
        true => "names of boxes, hosts, topics and users, and addresses, are replaced by words, the same everywhere",
        false => "names of boxes, hosts and topics are in it; --hide-names replaces them",
    };
    let all = [
        "passwords, tokens, keys, users of addresses and what follows their `?` are replaced by <removed>, comments of the configuration left out",
        "files that hold secrets are not read",
        names,
        "requests, answers and pictures are not in it: edged does not log them, and files of its state are only listed",
    ];
    all.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests;
