//! What a request is like, for `route explain`: from a file of keys, from settings on the command line, from a payload.
//!
//! Decides which keys there are and what each takes. What becomes of such a request is the daemon's to say.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::Value;
use zbus::Variant;

use crate::client::Options;

/// The longest deadline that a daemon takes: a week.
const MAX_DEADLINE_MS: u64 = 7 * 24 * 3_600_000;

/// What a key takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Text,
    Word(&'static [&'static str]),
    Whole(u64, u64),
    /// On the bus it is a 32-bit number.
    Tokens,
    Truth,
}

const KEYS: [(&str, Takes); 12] = [
    ("model", Takes::Text),
    ("version", Takes::Text),
    ("deadline_ms", Takes::Whole(1, MAX_DEADLINE_MS)),
    ("data_class", Takes::Word(&["regulated", "internal", "public"])),
    ("priority", Takes::Word(&["high", "normal", "low"])),
    ("deferrable", Takes::Truth),
    // TOML has no larger number.
    ("bytes", Takes::Whole(0, i64::MAX.unsigned_abs())),
    ("content_type", Takes::Text),
    ("input_tokens", Takes::Tokens),
    ("output_tokens", Takes::Tokens),
    ("text", Takes::Text),
    ("source", Takes::Text),
];

impl Takes {
    fn told(self) -> String {
        match self {
            Takes::Text => "text".into(),
            Takes::Word(words) => format!("one of {}", words.join(", ")),
            Takes::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Takes::Tokens => Takes::Whole(0, u32::MAX.into()).told(),
            Takes::Truth => "true or false".into(),
        }
    }

    /// The value in the bus's type, if this takes it.
    fn read(self, value: &Value) -> Option<Given> {
        match (self, value) {
            (Takes::Text, Value::String(text)) => Some(Given::Text(text.clone())),
            (Takes::Word(words), Value::String(word)) => {
                words.contains(&word.as_str()).then(|| Given::Text(word.clone()))
            }
            (Takes::Whole(least, most), Value::Integer(number)) => {
                u64::try_from(*number).ok().filter(|number| (least..=most).contains(number)).map(Given::Whole)
            }
            (Takes::Tokens, Value::Integer(number)) => u32::try_from(*number).ok().map(Given::Tokens),
            (Takes::Truth, Value::Boolean(truth)) => Some(Given::Truth(*truth)),
            _ => None,
        }
    }

    /// A word of the command line as a value of a file.
    fn parse(self, word: &str) -> Option<Given> {
        let value = match self {
            Takes::Text | Takes::Word(_) => Value::String(word.to_owned()),
            Takes::Whole(..) | Takes::Tokens => Value::Integer(word.parse().ok()?),
            Takes::Truth => Value::Boolean(word.parse().ok()?),
        };
        self.read(&value)
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Text(String),
    Whole(u64),
    Tokens(u32),
    Truth(bool),
}

/// One key with its value.
pub type Setting = (&'static str, Given);

/// What is known of a request; a key that is absent is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile(BTreeMap<&'static str, Given>);

impl Profile {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// Every fault, one a line, without the name of the file.
    pub fn read(text: &str) -> Result<Profile, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
            let line = line.map_or(String::new(), |line| format!("line {line}: "));
            format!("{line}{}", error.message())
        })?;
        let (mut profile, mut faults) = (Profile::default(), Vec::new());
        for (key, value) in &table {
            match known(key).map(|(name, takes)| (name, takes, takes.read(value))) {
                Some((name, _, Some(given))) => profile.set((name, given)),
                Some((name, takes, None)) => faults.push(format!("{name}: {value} given: takes {}", takes.told())),
                None => faults.push(unknown(key)),
            }
        }
        if faults.is_empty() { Ok(profile) } else { Err(faults.join("\n")) }
    }

    /// Sets a key, over what it was.
    pub fn set(&mut self, (key, given): Setting) {
        self.0.insert(key, given);
    }

    /// Sets a text.
    pub fn text(&mut self, key: &'static str, text: impl Into<String>) {
        self.set((key, Given::Text(text.into())));
    }

    /// Takes the model out; the rest are options.
    pub fn take_model(&mut self) -> Option<String> {
        match self.0.remove("model") {
            Some(Given::Text(model)) => Some(model),
            _ => None,
        }
    }

    /// As the bus has it.
    pub fn options(&self) -> Options<'_> {
        let value = |given: &'_ Given| match given {
            Given::Text(text) => Variant::from(text.clone()),
            Given::Whole(number) => Variant::from(*number),
            Given::Tokens(number) => Variant::from(*number),
            Given::Truth(truth) => Variant::from(*truth),
        };
        self.0.iter().map(|(key, given)| (*key, value(given))).collect()
    }
}

/// Reads `KEY=VALUE`.
pub fn setting(text: &str) -> Result<Setting, String> {
    let (key, word) = text.split_once('=').ok_or("takes KEY=VALUE, for example deadline_ms=500")?;
    let (name, takes) = known(key).ok_or_else(|| unknown(key))?;
    let given = takes.parse(word).ok_or_else(|| format!("{name}: takes {}", takes.told()))?;
    Ok((name, given))
}

/// The model that the body of a chat or completion in the form of OpenAI names; `None` if it is no such body.
pub fn model_of_chat(body: &str) -> Option<String> {
    let body: Json = serde_json::from_str(body).ok()?;
    let is_one = body.get("messages").is_some_and(Json::is_array) || body.get("prompt").is_some();
    body.get("model").and_then(Json::as_str).filter(|_| is_one).map(str::to_owned)
}

fn known(key: &str) -> Option<(&'static str, Takes)> {
    KEYS.into_iter().find(|(name, _)| *name == key)
}

fn unknown(key: &str) -> String {
    let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
    format!("{key}: no such key: takes {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_becomes_options_in_the_types_of_the_bus() {
        let text = "model = \"chat:1.0.0\"\ndeadline_ms = 500\ndata_class = \"internal\"\ndeferrable = true\nbytes = 110000\n\
                    input_tokens = 4000\ntext = \"hello\"";
        let mut profile = Profile::read(text).unwrap();
        assert_eq!(profile.take_model().as_deref(), Some("chat:1.0.0"));
        let mut told: Vec<String> =
            profile.options().iter().map(|(key, value)| format!("{key} {} {value}", value.value_signature())).collect();
        told.sort();
        let expected = [
            "bytes t uint64 110000",
            "data_class s \"internal\"",
            "deadline_ms t uint64 500",
            "deferrable b true",
            "input_tokens u uint32 4000",
            "text s \"hello\"",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn every_fault_of_a_file_is_named_with_what_its_key_takes() {
        let text = "colour = 1\ndeadline_ms = 0\ninput_tokens = 4294967296\npriority = \"urgent\"\ndeferrable = \"yes\"\nbytes = -1\n\
                    data_class = 3\nmodel = \"chat\"";
        let faults = Profile::read(text).unwrap_err();
        let mut faults: Vec<&str> = faults.lines().collect();
        faults.sort_unstable();
        assert_eq!(faults.len(), 7, "{faults:#?}");
        for (fault, part) in faults.iter().zip([
            "bytes: -1 given: takes a whole number from 0",
            "colour: no such key: takes model, version",
            "data_class: 3 given: takes one of regulated, internal, public",
            "deadline_ms: 0 given: takes a whole number from 1 to 604800000",
            "deferrable: \"yes\" given: takes true or false",
            "input_tokens: 4294967296 given: takes a whole number from 0 to 4294967295",
            "priority: \"urgent\" given: takes one of high, normal, low",
        ]) {
            assert!(fault.starts_with(part), "{fault}");
        }
        let syntax = Profile::read("model = \"chat\"\nbytes = \n").unwrap_err();
        assert!(syntax.starts_with("line 2: "), "{syntax}");
    }

    #[test]
    fn the_examples_of_the_manual_are_profiles_that_name_a_model() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/route");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let mut profile = Profile::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(profile.take_model().is_some(), "{}", path.display());
            seen += 1;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn a_setting_is_read_by_what_its_key_takes() {
        let cases = [
            ("deadline_ms=500", Ok(("deadline_ms", Given::Whole(500)))),
            ("output_tokens=7", Ok(("output_tokens", Given::Tokens(7)))),
            ("deferrable=false", Ok(("deferrable", Given::Truth(false)))),
            ("text=a=b", Ok(("text", Given::Text("a=b".into())))),
            ("text=7", Ok(("text", Given::Text("7".into())))),
            ("bytes=1e3", Err("bytes: takes a whole number from 0")),
            ("deadline_ms=0", Err("deadline_ms: takes a whole number from 1 to 604800000")),
            ("data_class=secret", Err("data_class: takes one of regulated")),
            ("colour=red", Err("colour: no such key")),
            ("deferrable", Err("takes KEY=VALUE")),
        ];
        for (text, expected) in cases {
            match (setting(text), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{text}"),
                (Err(fault), Err(part)) => assert!(fault.starts_with(part), "{fault}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn only_a_chat_names_its_model() {
        let cases = [
            (r#"{"model": "chat", "messages": []}"#, Some("chat")),
            (r#"{"model": "chat", "prompt": "say"}"#, Some("chat")),
            (r#"{"messages": []}"#, None),
            (r#"{"model": "chat"}"#, None),
            (r#"{"model": 7, "messages": []}"#, None),
            ("[]", None),
            ("not JSON", None),
        ];
        for (body, expected) in cases {
            assert_eq!(model_of_chat(body).as_deref(), expected, "{body}");
        }
    }
}
