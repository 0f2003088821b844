//! A request as another box takes it by the broker. Where both are connected by MQTT 5, tensors travel as raw bytes behind a JSON
//! header, payloads as they are, and options as user properties; else one JSON body holds all of it.
//!
//! Pure. Decides the form and the names: the id by which the other box knows the request, and the topic on which it answers. Both
//! follow from the request alone, so that the same one sent again, after a crash for example, is a duplicate there. The name holds
//! the content, too: two requests that only share an id never get each other's answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use edge_core::Priority;
use edge_wire::mqtt::topic::Topics;
use edge_wire::oip::{self, Element};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::Out;
use crate::config::MqttProtocol;
use crate::driver::sites::siblings::Order;
use crate::request::{CHAT, Payload};
use crate::transport::mqtt::egress::JSON;
use crate::transport::mqtt::packet::{Asking, Outbound, Qos};
use crate::transport::options::{MAX_DEADLINE_MS, MAX_REQUEST_ID_CHARS};
use crate::uplink::blob;

/// The word that says how far a request came already: one that another box handed on is not handed on again.
const HOPS: &str = "1";
/// Characters of a digest that stand for it in a topic or an id: 128 bits.
const SHORT: usize = 32;

/// Who sends.
#[derive(Clone, Debug)]
pub struct Sender {
    pub topics: Topics,
    pub node: String,
    /// What both ends have.
    pub protocol: MqttProtocol,
}

/// A payload with its bytes at hand.
#[derive(Debug)]
pub enum Content {
    Tensors(Vec<Part>),
    Encoded { content_type: String, data: Bytes },
}

/// One tensor.
#[derive(Debug)]
pub struct Part {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<i64>,
    pub data: Bytes,
}

/// A request, ready to be published.
#[derive(Debug)]
pub struct Encoded {
    pub message: Outbound,
    pub out: Out,
}

impl Content {
    /// Reads the bytes of a payload, wherever they are; the error names what cannot be had.
    pub fn of(payload: Payload) -> Result<Content, String> {
        match payload {
            Payload::Encoded { content_type, data } => {
                let data = blob::bytes(data).map_err(|why| format!("payload: {why}"))?;
                Ok(Content::Encoded { content_type, data })
            }
            Payload::Tensors(given) => {
                let mut parts = Vec::with_capacity(given.len());
                for tensor in given {
                    let data = blob::bytes(tensor.data).map_err(|why| format!("input {}: {why}", tensor.name))?;
                    parts.push(Part { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, data });
                }
                Ok(Content::Tensors(parts))
            }
        }
    }

    /// Bytes, all parts together.
    pub fn len(&self) -> usize {
        match self {
            Content::Encoded { data, .. } => data.len(),
            Content::Tensors(parts) => parts.iter().map(|part| part.data.len()).sum(),
        }
    }
}

/// Puts a request together; `correlation` comes back with its answer. The error says why it cannot be said.
pub fn encode(order: &Order, content: &Content, sender: &Sender, correlation: String) -> Result<Encoded, String> {
    let form = match (sender.protocol, content) {
        (MqttProtocol::V5, Content::Tensors(parts)) => binary(parts),
        (MqttProtocol::V5, Content::Encoded { content_type, data }) if !is_json(content_type) => {
            Form { content_type: content_type.clone().into(), header: None, body: Body::Whole(data.clone()) }
        }
        (MqttProtocol::V5 | MqttProtocol::V311, Content::Encoded { content_type, data }) => {
            Form::json(encoded_json(content_type, data))
        }
        (MqttProtocol::V311, Content::Tensors(parts)) => Form::json(tensors_json(parts)?),
    };
    let name = name(order, &form);
    let request_id = request_id(&sender.node, &order.request_id);
    let response_topic = sender.topics.peer(&name);
    let mut options = vec![
        ("request_id", request_id.clone()),
        ("deadline_ms", deadline_ms(order).to_string()),
        ("data_class", order.class.as_str().to_owned()),
        ("hops", HOPS.to_owned()),
    ];
    if order.priority != Priority::Normal {
        options.push(("priority", order.priority.as_str().to_owned()));
    }
    let (payload, request, user) = match sender.protocol {
        MqttProtocol::V5 => {
            options.push(("client", sender.node.clone()));
            options.extend(form.header.map(|len| ("inference_header_content_length", len.to_string())));
            let user = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let expiry_s = u32::try_from(deadline_ms(order).div_ceil(1000)).unwrap_or(u32::MAX);
            (form.body.end(), Some(Box::new(Asking { response_topic, expiry_s })), user)
        }
        MqttProtocol::V311 => (form.body.end_with(&options, &response_topic), None, Vec::new()),
    };
    let out = Out { request_id, name, bytes: payload.len() as u64, digest: Sha256::digest(&payload).into() };
    let message = Outbound {
        topic: sender.topics.infer_at(&order.node, &order.model),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        correlation: (sender.protocol == MqttProtocol::V5).then(|| correlation.into()),
        content_type: form.content_type,
        user,
        request,
    };
    Ok(Encoded { message, out })
}

/// A body without its options.
struct Form {
    content_type: Cow<'static, str>,
    /// Length of the JSON before raw tensors.
    header: Option<usize>,
    body: Body,
}

enum Body {
    Whole(Bytes),
    /// A JSON object without its last brace.
    Open(Vec<u8>),
}

impl Form {
    fn json(open: Vec<u8>) -> Form {
        Form { content_type: JSON.into(), header: None, body: Body::Open(open) }
    }
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Body::Whole(bytes) => bytes,
            Body::Open(json) => json,
        }
    }

    fn end(self) -> Bytes {
        match self {
            Body::Whole(bytes) => bytes,
            Body::Open(mut json) => {
                json.push(b'}');
                json.into()
            }
        }
    }

    fn end_with(self, options: &[(&str, String)], reply_to: &str) -> Bytes {
        let Body::Open(mut json) = self else { return self.end() };
        for (name, value) in options {
            // The body's word for the id is another one; numbers are numbers.
            let name = if *name == "request_id" { "id" } else { name };
            json.push(b',');
            put(&mut json, &name);
            json.push(b':');
            match *name {
                _ if name == "deadline_ms" || name == "hops" => json.extend_from_slice(value.as_bytes()),
                _ => put(&mut json, value),
            }
        }
        json.extend_from_slice(b",\"reply_to\":");
        put(&mut json, &reply_to);
        json.push(b'}');
        json.into()
    }
}

/// Raw tensors behind a JSON header.
fn binary(parts: &[Part]) -> Form {
    let room: usize = parts.iter().map(|part| part.data.len() + 160).sum();
    let mut body = Vec::with_capacity(room + 32);
    body.extend_from_slice(b"{\"inputs\":[");
    for (index, part) in parts.iter().enumerate() {
        begin_input(&mut body, index, part);
        body.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
        put(&mut body, &part.data.len());
        body.extend_from_slice(b"}}");
    }
    body.extend_from_slice(b"]}");
    let header = Some(body.len());
    parts.iter().for_each(|part| body.extend_from_slice(&part.data));
    Form { content_type: "application/octet-stream".into(), header, body: Body::Whole(body.into()) }
}

/// Tensors as lists of numbers.
fn tensors_json(parts: &[Part]) -> Result<Vec<u8>, String> {
    let room: usize = parts.iter().map(|part| part.data.len() * 3 + 160).sum();
    let mut body = Vec::with_capacity(room + 512);
    body.extend_from_slice(b"{\"inputs\":[");
    for (index, part) in parts.iter().enumerate() {
        begin_input(&mut body, index, part);
        body.extend_from_slice(b",\"data\":");
        let at = body.len();
        let element = Element::from_name(&part.datatype);
        let is_text = element == Some(Element::Bytes);
        if is_text && !are_texts(&part.data) {
            return Err(format!(
                "input {}: an element is no UTF-8, which JSON has no form for; MQTT 5 does",
                part.name
            ));
        }
        oip::write_data(&mut body, element, &part.data);
        // Of numbers only what JSON lacks is written with letters: `null`.
        let written = body.get(at..).unwrap_or_default();
        if !is_text && element != Some(Element::Bool) && written.contains(&b'n') {
            return Err(format!(
                "input {}: an element is infinite or not a number, which JSON has no form for; MQTT 5 does",
                part.name
            ));
        }
        body.push(b'}');
    }
    body.push(b']');
    Ok(body)
}

fn begin_input(body: &mut Vec<u8>, index: usize, part: &Part) {
    body.extend_from_slice(if index > 0 { b",{\"name\":" } else { b"{\"name\":" });
    put(body, &part.name);
    body.extend_from_slice(b",\"datatype\":");
    put(body, &part.datatype);
    body.extend_from_slice(b",\"shape\":");
    put(body, &part.shape);
}

/// Whether every element of `BYTES` is text.
fn are_texts(mut data: &[u8]) -> bool {
    while let Some((len, rest)) = data.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        match rest.split_at_checked(len) {
            Some((text, rest)) if std::str::from_utf8(text).is_ok() => data = rest,
            _ => return false,
        }
    }
    data.is_empty()
}

/// An encoded payload in a JSON body, its last brace left out. A chat of nothing but messages has a form of its own; what else is
/// said with it would be lost there, so that such a one travels as bytes.
fn encoded_json(content_type: &str, data: &Bytes) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Chat<'a> {
        #[serde(borrow)]
        messages: &'a RawValue,
    }
    let mut body = Vec::with_capacity(data.len() * 4 / 3 + 512);
    if is_json(content_type)
        && let Ok(Chat { messages }) = serde_json::from_slice(data)
    {
        body.extend_from_slice(b"{\"messages\":");
        body.extend_from_slice(messages.get().as_bytes());
        return body;
    }
    if content_type == "text/plain"
        && let Ok(text) = std::str::from_utf8(data)
    {
        body.extend_from_slice(b"{\"text\":");
        put(&mut body, &text);
        return body;
    }
    let key: &[u8] = if content_type.starts_with("image/") { b"{\"image\":\"" } else { b"{\"bytes\":\"" };
    body.extend_from_slice(key);
    let mut text = String::new();
    STANDARD.encode_string(data, &mut text);
    body.extend_from_slice(text.as_bytes());
    body.extend_from_slice(b"\",\"content_type\":");
    put(&mut body, &content_type);
    body
}

/// Whether a message of this type would be read as a body with options.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.is_empty() || essence.eq_ignore_ascii_case(CHAT)
}

/// The last level of the topic for the answer: by the model, the id and the content.
fn name(order: &Order, form: &Form) -> String {
    let mut hash = Sha256::new();
    for part in [order.model.as_bytes(), order.request_id.as_bytes(), form.content_type.as_bytes(), form.body.bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    short(hash)
}

/// The id by which the other box knows the request: this box's name, then the id here, or what stands for it where that cannot
/// be in a topic or is too long.
fn request_id(node: &str, id: &str) -> String {
    let whole = format!("{node}/{id}");
    let fits = whole.chars().nth(MAX_REQUEST_ID_CHARS).is_none();
    if fits && !id.contains(['+', '#']) && !id.chars().any(char::is_control) {
        return whole;
    }
    format!("{node}/{}", short(Sha256::new().chain_update(id)))
}

fn short(hash: Sha256) -> String {
    let mut text = String::with_capacity(2 * 32);
    for byte in hash.finalize() {
        // Into a text, which cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(SHORT);
    text
}

/// What is left of the deadline, within what the option takes.
fn deadline_ms(order: &Order) -> u64 {
    u64::try_from(order.budget.as_millis()).unwrap_or(u64::MAX).clamp(1, MAX_DEADLINE_MS)
}

fn put(json: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // A text, a number or a list of numbers into a vector: neither side can fail.
    drop(serde_json::to_writer(json, value));
}
