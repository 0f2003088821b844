//! The body of a request in JSON: read once, straight into bytes, every fault named by its field.
//!
//! Decides syntax: which fields there are, of which kind, how deep, how often, and that binary parts fill the packet
//! exactly. Must not know the meaning of an option or what a model takes.

pub(crate) mod answer;
mod envelope;
mod input;
mod strict;
mod value;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use envelope::{Envelope, envelope};
pub use value::Value;

/// Levels of nesting that a body may have.
pub const MAX_DEPTH: usize = 64;
/// Keys that the outermost object may have.
const MAX_KEYS: usize = 256;

/// A request body.
#[derive(Debug, PartialEq)]
pub struct Body<'a> {
    /// `reply_to`, not checked.
    pub reply_to: Option<String>,
    /// Every key that is neither an input nor `reply_to`, in order, known or not; `id` under the name `request_id`,
    /// as a text, unless it is null.
    pub options: Vec<(Cow<'a, str>, Value<'a>)>,
    /// What is to be inferred from.
    pub input: Input<'a>,
}

/// What a body brings.
#[derive(Debug, PartialEq)]
pub enum Input<'a> {
    /// `inputs`.
    Tensors(Vec<Tensor>),
    /// `image` or `bytes`, decoded, with the `content_type` that was given with it.
    Encoded {
        /// As given.
        content_type: Option<String>,
        /// Whether it was called `image`.
        image: bool,
        /// The decoded bytes.
        data: Vec<u8>,
    },
    /// `text`.
    Text(String),
    /// `messages`, as the JSON text of the array.
    Messages(&'a str),
}

/// One input tensor.
#[derive(Debug, PartialEq, Eq)]
pub struct Tensor {
    /// As written.
    pub name: String,
    /// As written.
    pub datatype: String,
    /// As written; not checked against the data.
    pub shape: Vec<i64>,
    /// Little-endian elements.
    pub data: Data,
}

/// Where the elements of a tensor are.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// Read from JSON.
    Owned(Vec<u8>),
    /// In the payload that was parsed.
    Range(Range<usize>),
}

/// What is wrong with a body, with the field's name and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError(String);

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for BodyError {}

/// Reads a JSON body.
pub fn parse(payload: &[u8]) -> Result<Body<'_>, BodyError> {
    read(payload, None)
}

/// Reads the Open Inference Protocol's binary form: `header_len` bytes of JSON, then the raw bytes of every input that
/// has `parameters.binary_data_size`, in order. Ranges are relative to `payload`.
pub fn parse_binary(payload: &[u8], header_len: usize) -> Result<Body<'_>, BodyError> {
    let Some((header, raw)) = payload.split_at_checked(header_len) else {
        return Err(BodyError(format!(
            "inference_header_content_length: {header_len}, but the payload has {} bytes",
            payload.len()
        )));
    };
    read(header, Some(Raw { start: header_len, len: raw.len() }))
}

/// The binary part behind a header.
#[derive(Clone, Copy)]
struct Raw {
    start: usize,
    len: usize,
}

/// Where the reader is, so that a fault of the JSON reader itself can be named too.
#[derive(Default)]
pub(super) struct Place {
    key: Cell<&'static str>,
    input: Cell<Option<usize>>,
    part: Cell<&'static str>,
    element: Cell<Option<usize>>,
}

impl Place {
    pub(super) fn enter_element(&self, index: usize) {
        self.element.set(Some(index));
    }

    pub(super) fn leave_element(&self) {
        self.element.set(None);
    }

    fn enter(&self, key: &'static str) {
        self.key.set(key);
        self.input.set(None);
        self.part.set("");
        self.element.set(None);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key.get())?;
        if let Some(input) = self.input.get() {
            write!(out, "[{input}]")?;
        }
        if !self.part.get().is_empty() {
            write!(out, ".{}", self.part.get())?;
        }
        if let Some(element) = self.element.get() {
            write!(out, "[{element}]")?;
        }
        Ok(())
    }
}

fn read(json: &[u8], raw: Option<Raw>) -> Result<Body<'_>, BodyError> {
    let text = std::str::from_utf8(json)
        .map_err(|fault| BodyError(format!("body: invalid UTF-8 at byte {}", fault.valid_up_to())))?;
    let place = Place::default();
    let mut from = serde_json::Deserializer::from_str(text);
    let top = BodySeed { place: &place, raw };
    let body = top.deserialize(&mut from).and_then(|body| {
        place.enter("");
        from.end().map(|()| body)
    });
    body.map_err(|fault| {
        let field = place.to_string();
        BodyError(if field.is_empty() { format!("body: {fault}") } else { format!("{field}: {fault}") })
    })
}

struct BodySeed<'p> {
    place: &'p Place,
    raw: Option<Raw>,
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Body<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Body<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Body<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut found = Found::default();
        let mut seen = HashSet::new();
        while let Some(value::Word(key)) = map.next_key()? {
            if seen.len() >= MAX_KEYS {
                return Err(de::Error::custom(format_args!("more than {MAX_KEYS} keys")));
            }
            found.take(key.clone(), &mut map, self.place, self.raw)?;
            self.place.enter("");
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format_args!("key \"{}\" is given twice", value::short(&key))));
            }
        }
        found.finish()
    }
}

/// What was met so far.
#[derive(Default)]
struct Found<'a> {
    reply_to: Option<String>,
    content_type: Option<String>,
    options: Vec<(Cow<'a, str>, Value<'a>)>,
    inputs: Vec<(&'static str, Input<'a>)>,
}

impl<'de> Found<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        map: &mut A,
        place: &Place,
        raw: Option<Raw>,
    ) -> Result<(), A::Error> {
        match key.as_ref() {
            "inputs" => {
                place.enter("inputs");
                let tensors = map.next_value_seed(input::Inputs { side: input::Side::Request, place, raw })?;
                self.inputs.push(("inputs", Input::Tensors(tensors)));
            }
            "image" | "bytes" => {
                let image = key == "image";
                let name = if image { "image" } else { "bytes" };
                place.enter(name);
                let data = map.next_value_seed(value::Base64)?;
                self.inputs.push((name, Input::Encoded { content_type: None, image, data }));
            }
            "text" => {
                place.enter("text");
                self.inputs.push(("text", Input::Text(map.next_value::<value::Word<'_>>()?.0.into_owned())));
            }
            "messages" => {
                place.enter("messages");
                let messages: &RawValue = map.next_value()?;
                strict::check(messages.get(), 1)?;
                if !messages.get().starts_with('[') {
                    return Err(de::Error::custom("takes an array of messages"));
                }
                self.inputs.push(("messages", Input::Messages(messages.get())));
            }
            "reply_to" => {
                place.enter("reply_to");
                self.reply_to = Some(map.next_value::<value::Word<'_>>()?.0.into_owned());
            }
            "content_type" => {
                place.enter("content_type");
                self.content_type = Some(map.next_value::<value::Word<'_>>()?.0.into_owned());
            }
            // The protocol's own way to ask for certain outputs and the like: harmless, and no option of ours.
            "outputs" | "parameters" if raw.is_some() => strict::check(map.next_value::<&RawValue>()?.get(), 1)?,
            "id" => {
                if let Some(id) = value::as_id(value::read(map, 1)?) {
                    self.options.push((Cow::Borrowed("request_id"), id));
                }
            }
            _ => self.options.push((key, value::read(map, 1)?)),
        }
        Ok(())
    }

    fn finish<E: de::Error>(mut self) -> Result<Body<'de>, E> {
        const TAKES: &str = "takes one of `inputs`, `image`, `bytes`, `text`, `messages`";
        let (name, mut input) =
            self.inputs.pop().ok_or_else(|| E::custom(format_args!("nothing to infer from: {TAKES}")))?;
        if let Some((other, _)) = self.inputs.pop() {
            return Err(E::custom(format_args!("both `{other}` and `{name}` are given: {TAKES}")));
        }
        if let Input::Encoded { content_type, .. } = &mut input {
            *content_type = self.content_type.take();
        }
        Ok(Body { reply_to: self.reply_to, options: self.options, input })
    }
}

#[cfg(test)]
mod tests;
