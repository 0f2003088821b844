//! A received message to a request, or to the refusal that it gets: pure.
//!
//! Decides where the reply goes, how big a message may be, and which of the three forms a payload has. The meaning of
//! models, options and tensors is the driver's.

use std::sync::Arc;

use bytes::Bytes;
use edge_core::Zone;
use edge_engine::protocol::Want;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::body::{self, Body, BodyError, Data, Envelope, Input, Tensor};
use edge_wire::mqtt::topic::Topics;

use super::packet::{Inbound, Properties, Qos};
use crate::binding::look;
use crate::ledger::Key;
use crate::request::{Blob, CHAT, Caller, Failure, Options, Payload, Request, TensorIn};
use crate::transport::options::{MAX_DEADLINE_MS, Parser, Value, sender};

/// The user property that marks a binary tensor request.
const HEADER_LENGTH: &str = "inference_header_content_length";
/// The user property by which a sender says who it is: the broker does not tell.
const CLIENT: &str = "client";
/// A sender's id is given back if it is not longer than this.
const MAX_ID_BYTES: usize = 512;

/// What the operator said that concerns a single message.
#[derive(Clone, Debug)]
pub struct Rules {
    pub topics: Topics,
    pub reply_allow: Vec<String>,
    pub max_request_bytes: u64,
    /// Where the broker is, which has seen every message.
    pub zone: Zone,
}

/// Where a reply goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub topic: Arc<str>,
    pub qos: Qos,
    pub correlation: Option<Bytes>,
}

/// What was asked.
#[derive(Debug)]
pub struct Asked {
    /// As in the topic.
    pub model: String,
    /// The sender's own id.
    pub id: Option<String>,
    pub target: Target,
    pub request: Result<Request, Failure>,
}

impl Asked {
    /// By what the reply is known; only for a request that has an id and is taken.
    pub fn key(&self) -> Option<Key> {
        let request = self.request.as_ref().ok()?;
        let request_id = request.options.request_id.clone()?;
        Some(Key { reply_topic: self.target.topic.as_ref().into(), request_id, model: self.model.clone() })
    }

    /// Whether it may wait.
    pub fn is_deferrable(&self) -> bool {
        self.request.as_ref().is_ok_and(|request| request.options.deferrable)
    }
}

/// Reads a message for `model`.
pub fn read(message: &Inbound, model: &str, rules: &Rules) -> Asked {
    asked(message, model, rules, content(message, rules))
}

/// Reads no more of a message than whom to tell that it is refused.
pub fn refuse(message: &Inbound, model: &str, rules: &Rules, failure: Failure) -> Asked {
    asked(message, model, rules, Err(failure))
}

fn asked(message: &Inbound, model: &str, rules: &Rules, content: Result<Content, Failure>) -> Asked {
    let correlation = message.properties.correlation.as_ref().map(|data| Bytes::copy_from_slice(data));
    let default = || rules.topics.result(model);
    let (content, envelope) = match content {
        Ok(Content { id, options, payload, reply_to }) => {
            // One that is refused for an option or a picture is told so under its own id all the same.
            let id = options.as_ref().map_or(id, |options| options.request_id.clone());
            (options.map(|options| (options, payload)), Envelope { id, reply_to })
        }
        Err(failure) => (Err(failure), salvage(message)),
    };
    let wanted = message.properties.response_topic.clone().or(envelope.reply_to);
    let (topic, content) = match wanted {
        None => (default(), content),
        Some(topic) => match rules.topics.check_reply_topic(&topic, &rules.reply_allow) {
            Ok(()) => (topic, content),
            Err(why) => {
                let text = format!("reply topic \"{}\": {why}", topic.chars().take(128).collect::<String>());
                (default(), Err(Failure::new(ErrorCode::NotAuthorized, text)))
            }
        },
    };
    let target = Target { topic: topic.into(), qos: message.qos, correlation };
    let request =
        content.and_then(|(options, payload)| request(model, options, payload, (&target, &message.topic), rules.zone));
    Asked { model: model.to_owned(), id: envelope.id, target, request }
}

/// What a message holds, apart from where its reply goes.
struct Content {
    /// As given, not checked.
    id: Option<String>,
    options: Result<Options, Failure>,
    payload: Payload,
    reply_to: Option<String>,
}

fn request(
    model: &str,
    options: Options,
    payload: Payload,
    (target, topic): (&Target, &str),
    reached: Zone,
) -> Result<Request, Failure> {
    let by_task = model.is_empty() && options.task.is_some();
    let valid = !model.is_empty() && model.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !valid && !by_task {
        let shown: String = model.chars().take(64).collect();
        let text = format!("model: \"{shown}\" in the topic: takes a name of a-z, 0-9, _ and -");
        return Err(Failure::new(ErrorCode::UnknownModel, text));
    }
    Ok(Request {
        caller: Caller::Broker { reply_topic: target.topic.clone() },
        topic: topic.into(),
        model: model.to_owned(),
        options,
        payload,
        want: Want::Inline,
        deaths: 0,
        reached,
        stream: None,
    })
}

fn content(message: &Inbound, rules: &Rules) -> Result<Content, Failure> {
    let limit = rules.max_request_bytes;
    let bytes = message.oversized.unwrap_or(message.payload.len());
    if message.oversized.is_some() || u64::try_from(bytes).unwrap_or(u64::MAX) > limit {
        return Err(too_large(bytes, limit));
    }
    let properties = &message.properties;
    let content_type = properties.content_type.as_deref().map(essence).unwrap_or_default();
    if let Some(len) = header_length(properties)? {
        let head = message.payload.get(..len).unwrap_or(&message.payload);
        let body = body::parse_binary(&message.payload, len).map_err(|fault| unread(&fault, head))?;
        return from_body(message, body);
    }
    if content_type.is_empty() || content_type == "application/json" {
        let body = body::parse(&message.payload).map_err(|fault| unread(&fault, &message.payload))?;
        return from_body(message, body);
    }
    if content_type.starts_with("text/")
        && let Err(fault) = std::str::from_utf8(&message.payload)
    {
        let fault = format!("payload: invalid UTF-8 at byte {}", fault.valid_up_to());
        return Err(Failure::invalid(format!("{fault}{}", mistake(&message.payload).unwrap_or_default())));
    }
    let data = Blob::Inline(message.payload.clone());
    let payload = Payload::Encoded { content_type, data };
    Ok(Content { id: property_id(properties), options: options(properties, &[]), payload, reply_to: None })
}

/// Why a message is not read.
pub fn too_large(bytes: usize, limit: u64) -> Failure {
    let text = format!("payload: {bytes} bytes: takes up to {limit} (`mqtt.max_request_kib`)");
    Failure::new(ErrorCode::TooLarge, text)
}

/// The input in a JSON body, without its options.
pub fn json_payload(bytes: &Bytes) -> Result<Payload, Failure> {
    let body = body::parse(bytes).map_err(|fault| unread(&fault, bytes))?;
    payload(bytes, body.input)
}

/// Why a text is not read, and what its sender probably did.
fn unread(fault: &BodyError, text: &[u8]) -> Failure {
    Failure::invalid(format!("{fault}{}", mistake(text).unwrap_or_default()))
}

/// Mistakes that are common where a controller puts a message together byte by byte.
fn mistake(text: &[u8]) -> Option<String> {
    let zeros = text.iter().rev().take_while(|byte| **byte == 0).count();
    if text.is_empty() {
        return Some("; the message is empty".into());
    }
    if let kind @ ("image/jpeg" | "image/png" | "audio/wav") = look::looks_like(text) {
        return Some(format!(
            "; the message begins like {kind}, not like JSON: say so by the content type of MQTT 5, or let a [[binding]] take it"
        ));
    }
    if zeros > 0 {
        return Some(format!(
            "; the message ends with {zeros} bytes of zero: send the length of the text, not of its buffer"
        ));
    }
    let at = std::str::from_utf8(text).err()?.valid_up_to();
    let byte = text.get(at)?;
    Some(format!("; 0x{byte:02x} begins no letter there: letters beyond ASCII go as UTF-8, not as Latin-1"))
}

/// The type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn header_length(properties: &Properties) -> Result<Option<usize>, Failure> {
    let Some((_, value)) = properties.user.iter().find(|(name, _)| name == HEADER_LENGTH) else { return Ok(None) };
    let shown: String = value.chars().take(64).collect();
    let wrong =
        || Failure::invalid(format!("{HEADER_LENGTH}: \"{shown}\": takes the number of bytes of the JSON header"));
    value.parse().map(Some).map_err(|_| wrong())
}

fn from_body(message: &Inbound, body: Body<'_>) -> Result<Content, Failure> {
    let options = options(&message.properties, &body.options);
    let id = property_id(&message.properties).or_else(|| body_id(&body)).filter(|id| id.len() <= MAX_ID_BYTES);
    let (payload, options) = match payload(&message.payload, body.input) {
        Ok(payload) => (payload, options),
        Err(failure) => (Payload::Tensors(Vec::new()), Err(failure)),
    };
    Ok(Content { id, options, payload, reply_to: body.reply_to })
}

fn payload(packet: &Bytes, input: Input<'_>) -> Result<Payload, Failure> {
    Ok(match input {
        Input::Tensors(tensors) => {
            Payload::Tensors(tensors.into_iter().map(|tensor| tensor_in(packet, tensor)).collect())
        }
        Input::Encoded { content_type, image, data } => {
            let content_type = match (content_type, image) {
                (Some(given), _) => essence(&given),
                (None, true) => image_type(&data)?,
                (None, false) => "application/octet-stream".into(),
            };
            Payload::Encoded { content_type, data: Blob::Inline(data.into()) }
        }
        Input::Text(text) => {
            Payload::Encoded { content_type: "text/plain".into(), data: Blob::Inline(text.into_bytes().into()) }
        }
        Input::Messages(messages) => {
            let data = Blob::Inline(format!("{{\"messages\":{messages}}}").into_bytes().into());
            Payload::Encoded { content_type: CHAT.into(), data }
        }
    })
}

fn tensor_in(packet: &Bytes, tensor: Tensor) -> TensorIn {
    let data = match tensor.data {
        Data::Owned(bytes) => bytes.into(),
        Data::Range(range) => packet.slice(range),
    };
    TensorIn { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, data: Blob::Inline(data) }
}

/// The two image types that the contract knows, by their first bytes.
fn image_type(data: &[u8]) -> Result<String, Failure> {
    if data.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Ok("image/jpeg".into())
    } else if data.starts_with(b"\x89PNG") {
        Ok("image/png".into())
    } else {
        Err(Failure::invalid("image: neither JPEG nor PNG by its first bytes; `content_type` names another type"))
    }
}

/// Options of the message's properties, then those of the body that the properties do not name.
fn options(properties: &Properties, body: &[(std::borrow::Cow<'_, str>, body::Value<'_>)]) -> Result<Options, Failure> {
    let mut parser = Parser::default();
    for (name, value) in properties.user.iter().filter(|(name, _)| name != HEADER_LENGTH && name != CLIENT) {
        parser.take(name, Value::Untyped(value))?;
    }
    for (name, value) in body {
        if properties.user.iter().any(|(named, _)| named == name) {
            continue;
        }
        parser.take(
            name,
            match value {
                body::Value::Int(number) => Value::Int(*number),
                body::Value::Text(text) => Value::Text(text),
                body::Value::Bool(value) => Value::Bool(*value),
                body::Value::Other(kind) => Value::Other(kind),
            },
        )?;
    }
    let mut options = parser.finish();
    options.client = client(properties)?;
    if let (None, Some(seconds)) = (options.deadline_ms, properties.expiry_s) {
        options.deadline_ms = Some((u64::from(seconds) * 1000).clamp(1, MAX_DEADLINE_MS));
    }
    Ok(options)
}

/// Who the sender says that it is.
fn client(properties: &Properties) -> Result<Option<String>, Failure> {
    let mut given = properties.user.iter().filter(|(name, _)| name == CLIENT).map(|(_, value)| value);
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Failure::invalid("option client is given twice")),
        (Some(client), None) => sender(Value::Untyped(client)).map(Some),
    }
}

/// Whom to tell about a message that is not read. All of a JSON body is skimmed, since the names may come after the
/// picture; that takes a small part of what reading it would.
fn salvage(message: &Inbound) -> Envelope {
    let json = message.properties.content_type.as_deref().is_none_or(|given| essence(given) == "application/json");
    let header = header_length(&message.properties).ok().flatten();
    let mut envelope = match header {
        Some(len) => body::envelope(message.payload.get(..len).unwrap_or(&message.payload)),
        None if json => body::envelope(&message.payload),
        None => Envelope::default(),
    };
    envelope.id = property_id(&message.properties).or(envelope.id).filter(|id| id.len() <= MAX_ID_BYTES);
    envelope
}

fn body_id(body: &Body<'_>) -> Option<String> {
    body.options.iter().find_map(|(name, value)| match value {
        body::Value::Text(text) if name == "request_id" => Some(text.clone().into_owned()),
        body::Value::Text(_) | body::Value::Int(_) | body::Value::Bool(_) | body::Value::Other(_) => None,
    })
}

fn property_id(properties: &Properties) -> Option<String> {
    properties.user.iter().find(|(name, _)| name == "request_id").map(|(_, id)| id.clone())
}

#[cfg(test)]
mod tests;
