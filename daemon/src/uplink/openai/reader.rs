//! Reads answers: a stream of chunks, cut anywhere, or a whole document. Tells a stream that came to its end from one that broke
//! off. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::super::said::{Quoted, sentence};
use super::super::sse::{self, Splitter};
use super::super::{Chat, Usage};
use super::on_one_line;

/// What ends a stream.
const DONE: &[u8] = b"[DONE]";
/// What the chunks of a chat call themselves, and those of a completion.
pub const OF_CHAT: &str = "chat.completion.chunk";
pub const OF_COMPLETION: &str = "text_completion";
/// Fields that stand for this box in what callers get: what became of the request. A site that has them would be taken for it.
const OURS: [&str; 2] = ["info", "error"];
/// Choices that one answer may have.
const MOST_CHOICES: usize = 128;

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is not the protocol.
    Garbage(String),
    /// The site says itself that it failed.
    Failed(String),
}

/// The part of chunks and documents that is looked at.
#[derive(Deserialize)]
struct Document {
    choices: Option<Vec<Choice>>,
    usage: Option<Told>,
    object: Option<Value>,
    /// `null` if it is there and says nothing.
    #[serde(default, deserialize_with = "given")]
    error: Option<Value>,
    #[serde(default, deserialize_with = "is_there")]
    info: bool,
}

fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl Document {
    fn failed(&self) -> Option<&Value> {
        self.error.as_ref().filter(|error| !error.is_null())
    }

    /// Whether it may be passed on as a chunk as it came.
    fn is_chunk(&self, object: &str) -> bool {
        self.error.is_none() && !self.info && self.object.as_ref().is_some_and(|name| name == object)
    }
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl From<Told> for Usage {
    fn from(told: Told) -> Usage {
        let Told { prompt_tokens, completion_tokens } = told;
        Usage { input_tokens: prompt_tokens.unwrap_or(0), output_tokens: completion_tokens.unwrap_or(0) }
    }
}

/// Reads a whole answer.
pub fn whole(body: &Bytes) -> Result<Chat, Broken> {
    let document = parse(body)?;
    let Some(first) = document.choices.as_ref().and_then(|choices| choices.first()) else {
        return Err(Broken::Garbage("there are no `choices` in the answer".into()));
    };
    let finish = first.finish_reason.clone();
    Ok(Chat { body: Some(body.clone()), chunks: 0, usage: document.usage.map(Usage::from), finish })
}

/// A document without an error in it.
fn parse(json: &[u8]) -> Result<Document, Broken> {
    let document: Document = serde_json::from_slice(json).map_err(|error| Broken::Garbage(format!("JSON: {error}")))?;
    match document.failed() {
        // With status 200, nothing else says that it failed.
        Some(error) => {
            let said = sentence(error).unwrap_or_else(|| error.to_string());
            Err(Broken::Garbage(format!("it says that all is well (200), and then: {}", Quoted(&said))))
        }
        None => Ok(document),
    }
}

/// Reads a stream.
#[derive(Debug)]
pub struct Reader {
    /// What its chunks call themselves.
    object: &'static str,
    splitter: Splitter,
    /// Which choices have come, and whether each has ended.
    choices: BTreeMap<u64, bool>,
    chat: Chat,
    done: bool,
}

impl Reader {
    /// Of a stream whose chunks are passed on as [`OF_CHAT`] or [`OF_COMPLETION`].
    pub fn new(object: &'static str) -> Reader {
        Reader { object, splitter: Splitter::default(), choices: BTreeMap::new(), chat: Chat::default(), done: false }
    }

    /// Takes the next bytes; chunks that are whole by them go into `out`, also those before a fault.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Bytes>) -> Result<(), Broken> {
        let mut events = Vec::new();
        let pushed = self.splitter.push(bytes, &mut events);
        for event in events {
            if !self.done {
                self.event(event, out)?;
            }
        }
        pushed.map_err(|error| Broken::Garbage(error.to_string()))
    }

    /// Nothing more will come: whether the last word is there, though perhaps not the line end behind it.
    pub fn has_last_word(&mut self) -> bool {
        self.done || self.splitter.rest().is_some_and(|rest| rest.data == DONE)
    }

    /// Nothing more will come. A stream that did not end is an error.
    pub fn end(&mut self) -> Result<(), Broken> {
        let rest = self.splitter.rest();
        if self.done || rest.as_ref().is_some_and(|rest| rest.data == DONE) {
            self.done = true;
            return Ok(());
        }
        if rest.is_some() {
            return Err(Broken::Garbage("the stream broke off within a chunk".into()));
        }
        // Some servers end it without a word; then the last chunks say that all choices have ended.
        if self.choices.is_empty() || self.choices.values().any(|ended| !ended) {
            let chunks = self.chat.chunks;
            return Err(Broken::Garbage(format!("the stream broke off after {chunks} chunks, without [DONE]")));
        }
        self.done = true;
        Ok(())
    }

    /// Whether it came to its end.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What is known at the end.
    pub fn told(self) -> Chat {
        self.chat
    }

    fn event(&mut self, event: sse::Event, out: &mut Vec<Bytes>) -> Result<(), Broken> {
        if event.data == DONE {
            self.done = true;
            return Ok(());
        }
        if event.data.is_empty() {
            return Ok(());
        }
        let document: Result<Document, _> = serde_json::from_slice(&event.data);
        let document = match document {
            Ok(document) if event.name == "error" || document.failed().is_some() => return Err(failed(&event.data)),
            Ok(document) => document,
            Err(_) if event.name == "error" => return Err(failed(&event.data)),
            Err(error) => return Err(Broken::Garbage(format!("chunk {}: JSON: {error}", self.chat.chunks))),
        };
        let data = match document.is_chunk(self.object) {
            true => event.data,
            false => as_chunk(&event.data, self.object)
                .map_err(|error| Broken::Garbage(format!("chunk {}: JSON: {error}", self.chat.chunks)))?,
        };
        self.note(document)?;
        self.chat.chunks += 1;
        out.push(on_one_line(data));
        Ok(())
    }

    fn note(&mut self, document: Document) -> Result<(), Broken> {
        let Some(choices) = document.choices else {
            return Err(Broken::Garbage(format!("chunk {}: there are no `choices` in it", self.chat.chunks)));
        };
        for choice in choices {
            let ended = self.choices.entry(choice.index).or_default();
            *ended |= choice.finish_reason.is_some();
            if choice.index == 0 && choice.finish_reason.is_some() {
                self.chat.finish = choice.finish_reason;
            }
        }
        if self.choices.len() > MOST_CHOICES {
            return Err(Broken::Garbage(format!("more than {MOST_CHOICES} choices")));
        }
        if let Some(told) = document.usage {
            self.chat.usage = Some(told.into());
        }
        Ok(())
    }
}

/// A chunk under its right name, without what only this box says. The rest of it stays to the digit.
fn as_chunk(data: &[u8], object: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(data)?;
    for name in OURS {
        fields.remove(name);
    }
    fields.insert("object".into(), to_raw_value(object)?);
    serde_json::to_vec(&fields)
}

/// The site says in the midst that it failed.
fn failed(data: &[u8]) -> Broken {
    let text = String::from_utf8_lossy(data);
    let said = serde_json::from_str::<Value>(&text).ok().and_then(|value| sentence(&value));
    Broken::Failed(Quoted(&said.unwrap_or_else(|| text.into_owned())).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str, finish: &str) -> String {
        format!(
            r#"{{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#
        )
    }

    const USAGE: &str =
        r#"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

    /// Everything that comes of a stream.
    fn read(parts: &[&[u8]]) -> (Vec<String>, Result<Chat, Broken>) {
        let (mut reader, mut out) = (Reader::new(OF_CHAT), Vec::new());
        let mut result = Ok(());
        for part in parts {
            result = result.and_then(|()| reader.push(part, &mut out));
        }
        let result = result.and_then(|()| reader.end()).map(|()| reader.told());
        (out.iter().map(|json| String::from_utf8(json.to_vec()).unwrap()).collect(), result)
    }

    fn stream(end: &str) -> (String, Vec<String>) {
        let chunks = vec![chunk("L\u{e9}", "null"), chunk("OT", "\"stop\""), USAGE.to_owned()];
        let lines: String = chunks.iter().map(|chunk| format!(": ping\r\n\r\ndata: {chunk}\r\n\r\n")).collect();
        (lines + end, chunks)
    }

    #[test]
    fn a_stream_gives_its_chunks_as_they_came_and_its_usage_at_the_end() {
        for end in ["data: [DONE]\n\n", "data: [DONE]", "data: [DONE]\n\nbehind it\n\n", ""] {
            let (text, chunks) = stream(end);
            let (came, told) = read(&[text.as_bytes()]);
            assert_eq!(came, chunks);
            let usage = Some(Usage { input_tokens: 3, output_tokens: 2 });
            assert_eq!(told, Ok(Chat { body: None, chunks: 3, usage, finish: Some("stop".into()) }), "{end:?}");
        }
    }

    #[test]
    fn cut_at_any_byte_it_is_whole_or_an_error_and_what_came_is_the_beginning() {
        let (text, chunks) = stream("data: [DONE]\n\n");
        // From where the second chunk has come, all choices have ended.
        let finished = text.find("\"stop\"").unwrap();
        for cut in 0..=text.len() {
            let (came, told) = read(&[&text.as_bytes()[..cut]]);
            assert_eq!(came, chunks[..came.len()], "cut at {cut}");
            assert!(told.is_err() || cut > finished, "cut at {cut}: {told:?}");
            let (parts, same) = read(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
            assert!(parts == chunks && same.is_ok(), "split at {cut}");
        }
        assert!(read(&[&text.as_bytes()[..text.len()]]).1.is_ok());
    }

    #[test]
    fn an_error_in_the_midst_is_the_sites_and_what_came_before_is_kept() {
        let first = format!("data: {}\n\n", chunk("a", "null"));
        for (rest, broken) in [
            ("data: {\"error\":{\"message\":\"out of memory\"}}\n\n", Broken::Failed("out of memory".into())),
            ("event: error\ndata: it is gone\n\n", Broken::Failed("it is gone".into())),
            ("event: error\ndata: {\"message\":\"x\"}\n\n", Broken::Failed("x".into())),
            ("data: {\"choices\":7}\n\n", Broken::Garbage(String::new())),
            ("data: {}\n\n", Broken::Garbage("chunk 1: there are no `choices` in it".into())),
            ("data: {\"choi\n\n", Broken::Garbage(String::new())),
            ("", Broken::Garbage("the stream broke off after 1 chunks, without [DONE]".into())),
            ("data: {\"cho", Broken::Garbage("the stream broke off within a chunk".into())),
        ] {
            let (came, told) = read(&[first.as_bytes(), rest.as_bytes()]);
            assert_eq!(came, [chunk("a", "null")]);
            match (told, broken) {
                (Err(Broken::Garbage(_)), Broken::Garbage(any)) if any.is_empty() => {}
                (told, broken) => assert_eq!(told, Err(broken)),
            }
        }
    }

    #[test]
    fn with_several_choices_all_have_to_end() {
        let of = |index: u64, finish: &str| {
            format!("data: {{\"choices\":[{{\"index\":{index},\"finish_reason\":{finish}}}]}}\n\n")
        };
        let one = of(0, "\"stop\"") + &of(1, "null");
        assert!(read(&[one.as_bytes()]).1.is_err());
        assert!(read(&[(one + &of(1, "\"length\"")).as_bytes()]).1.is_ok());
        let many: String = (0..200).map(|index| of(index, "null")).collect();
        assert_eq!(read(&[many.as_bytes()]).1, Err(Broken::Garbage("more than 128 choices".into())));
    }

    #[test]
    fn data_on_several_lines_become_one_line() {
        let text = "data: {\"object\":\"chat.completion.chunk\",\"choices\":\ndata: []}\n\ndata: [DONE]\n\n";
        let (came, told) = read(&[text.as_bytes()]);
        assert_eq!(came, ["{\"object\":\"chat.completion.chunk\",\"choices\": []}"]);
        assert!(told.is_ok());
    }

    #[test]
    fn each_chunk_has_its_name_and_none_speaks_for_this_box() {
        let delta = r#""choices":[{"index":0,"delta":{"content":"1"},"logprobs":{"value":-0.10}}]"#;
        let rest = format!(r#"{{{delta},"object":"chat.completion.chunk"}}"#);
        for (came, passed) in [
            (format!(r#"{{{delta}}}"#), &rest),
            (format!(r#"{{"object":"chat.completion",{delta}}}"#), &rest),
            (format!(r#"{{"object":7,{delta}}}"#), &rest),
            (format!(r#"{{"object":"chat.completion.chunk",{delta},"error":null}}"#), &rest),
            (format!(r#"{{"object":"chat.completion.chunk",{delta},"info":null}}"#), &rest),
            (format!(r#"{{"\u0069nfo":{{"site":"evil"}},"object":"chat.completion.chunk",{delta}}}"#), &rest),
            (format!("{{\"info\":\ndata: 1,{delta}}}"), &rest),
            (rest.clone(), &rest),
        ] {
            let (chunks, told) = read(&[format!("data: {came}\n\ndata: [DONE]\n\n").as_bytes()]);
            assert!(told.is_ok_and(|chat| chat.chunks == 1), "{came}");
            assert_eq!(chunks, std::slice::from_ref(passed), "{came}");
        }
        let mut reader = Reader::new(OF_COMPLETION);
        let mut out = Vec::new();
        reader.push(b"data: {\"object\":\"text_completion\",\"choices\":[]}\n\n", &mut out).unwrap();
        assert_eq!(out, ["{\"object\":\"text_completion\",\"choices\":[]}"], "a completion is no chat");
    }

    #[test]
    fn a_whole_answer_has_choices_and_no_error() {
        let body = Bytes::from(chunk("a", "\"length\""));
        let chat = whole(&body).unwrap();
        assert_eq!((chat.body, chat.finish.as_deref(), chat.usage), (Some(body), Some("length"), None));
        for (body, says) in [
            (r#"{"error":{"message":"no GPU"}}"#, "(200), and then: no GPU"),
            (r#"{"choices":[]}"#, "no `choices`"),
            ("<html>", "JSON: expected value"),
            (r#"{"choices":[{"ind"#, "JSON: EOF"),
        ] {
            let Err(Broken::Garbage(said)) = whole(&Bytes::from(body)) else { panic!("{body}") };
            assert!(said.contains(says), "{said}");
        }
    }
}
