//! Requests and replies as they lie on the disk. Says what is written and reads it again; decides nothing.

use bytes::{Bytes, BytesMut};
use edge_core::{DataClass, Mono, Priority, Zone};
use edge_engine::protocol::{Datatype, Want};
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::driver::book::now;
use crate::driver::entry::Entry;
use crate::driver::results::read_all;
use crate::ledger::spool::{Deferred, Key, Rank, Waiting};
use crate::request::{Blob, Caller, Failure, Options, Output, Payload, Reply, Request, TensorIn, TensorOut};

/// A request without its payload.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    model: String,
    version: Option<String>,
    data_class: Option<String>,
    priority: u8,
    caller: By,
    client: Option<String>,
    /// How its tensors are wanted: in memory files.
    sealed: bool,
    reached: u8,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
enum By {
    Bus {
        name: String,
        uid: u32,
    },
    Peer {
        name: String,
        uid: u32,
        connection: u64,
    },
    /// As written before the topic was kept on which a request came.
    Broker {
        reply_topic: String,
    },
    Topic {
        reply_topic: String,
        topic: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Content {
    Tensors(Vec<Part>),
    Encoded { content_type: String },
}

/// A tensor whose bytes follow those of the one before.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    len: u64,
}

/// A reply.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// As JSON.
    info: String,
    result: Said,
}

#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Document(String),
    Tensors(Vec<(String, Datatype, Vec<i64>, Vec<u8>)>),
    No { code: String, message: String },
}

const ZONES: [Zone; 4] = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];

/// A request as it is put on the disk, at `at` and as data of `class`.
pub fn deferred(entry: &Entry, class: DataClass, at: Mono) -> Result<Deferred, String> {
    let (content, payload) = content(&entry.payload)?;
    let caller = &entry.story.caller;
    let options = &entry.options;
    let head = Head {
        model: entry.info.model.clone(),
        version: entry.pinned.then(|| entry.info.version.clone()).filter(|version| !version.is_empty()),
        data_class: options.data_class.clone(),
        priority: Priority::ALL
            .iter()
            .position(|it| *it == options.priority)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(1),
        caller: match caller {
            Caller::Bus { name, uid } => By::Bus { name: name.to_string(), uid: *uid },
            Caller::Peer { name, uid, connection } => {
                By::Peer { name: name.to_string(), uid: *uid, connection: *connection }
            }
            Caller::Broker { reply_topic } => {
                By::Topic { reply_topic: reply_topic.to_string(), topic: entry.topic.to_string() }
            }
        },
        client: options.client.clone(),
        sealed: entry.want == Want::Sealed,
        reached: ZONES.iter().position(|zone| *zone == entry.reached).and_then(|at| u8::try_from(at).ok()).unwrap_or(0),
        content,
    };
    let head = postcard::to_stdvec(&head).map_err(|error| format!("write it down: {error}"))?;
    let left = i64::try_from(entry.deadline.since(at).as_millis()).unwrap_or(i64::MAX);
    let waited = i64::try_from(at.since(entry.story.received).as_millis()).unwrap_or(i64::MAX);
    Ok(Deferred {
        received_ms: now().wall_ms.saturating_sub(waited),
        deadline_ms: entry.options.deadline_ms.map(|_| now().wall_ms.saturating_add(left)),
        rank: match options.priority {
            Priority::High => Rank::High,
            Priority::Normal => Rank::Normal,
            Priority::Low => Rank::Low,
        },
        class: class.as_str().into(),
        key: Key {
            caller: self::caller(caller),
            request_id: entry.info.request_id.clone(),
            model: entry.info.model.clone(),
        },
        head,
        payload,
    })
}

/// The class that a row was put on the disk with; `None` where the file does not tell. A word that is no class is taken for the
/// strictest, as everywhere.
pub fn class(row: &Waiting) -> Option<DataClass> {
    (!row.class.is_empty()).then(|| DataClass::from_word(&row.class).unwrap_or(DataClass::Regulated))
}

/// Whose requests count as one caller's over restarts: a user of the bus, a reply topic.
pub fn caller(caller: &Caller) -> String {
    match caller {
        Caller::Bus { uid, .. } | Caller::Peer { uid, .. } => format!("uid {uid}"),
        Caller::Broker { reply_topic } => format!("mqtt {reply_topic}"),
    }
}

fn content(payload: &Payload) -> Result<(Content, Bytes), String> {
    match payload {
        Payload::Encoded { content_type, data } => {
            Ok((Content::Encoded { content_type: content_type.clone() }, bytes_of(data)?))
        }
        Payload::Tensors(given) => {
            let mut all = BytesMut::new();
            let mut parts = Vec::with_capacity(given.len());
            for tensor in given {
                let data = bytes_of(&tensor.data)?;
                all.extend_from_slice(&data);
                let (name, datatype, shape) = (tensor.name.clone(), tensor.datatype.clone(), tensor.shape.clone());
                parts.push(Part { name, datatype, shape, len: data.len() as u64 });
            }
            Ok((Content::Tensors(parts), all.freeze()))
        }
    }
}

/// The bytes of a payload, in memory.
pub fn bytes_of(data: &Blob) -> Result<Bytes, String> {
    match data {
        Blob::Inline(bytes) => Ok(bytes.clone()),
        Blob::Sealed { fd, offset, len } => {
            read_all(fd, *offset, *len).map(Bytes::from).map_err(|error| format!("read its payload: {error}"))
        }
        // Files and pipes were copied when they came in. Another time it may have other bytes.
        Blob::Unsealed { .. } => Err("its payload is in a descriptor that is no file, pipe, socket or memfd".into()),
    }
}

/// The request of a row.
pub fn request(row: &Waiting, payload: Bytes) -> Result<Request, String> {
    let head: Head = postcard::from_bytes(&row.head).map_err(|error| error.to_string())?;
    let mut rest = payload;
    let payload = match head.content {
        Content::Encoded { content_type } => Payload::Encoded { content_type, data: Blob::Inline(rest) },
        Content::Tensors(parts) => {
            let mut tensors = Vec::with_capacity(parts.len());
            for part in parts {
                let len = usize::try_from(part.len).ok().filter(|len| *len <= rest.len()).ok_or("it is cut short")?;
                let data = Blob::Inline(rest.split_to(len));
                tensors.push(TensorIn { name: part.name, datatype: part.datatype, shape: part.shape, data });
            }
            Payload::Tensors(tensors)
        }
    };
    let priority = Priority::ALL.get(usize::from(head.priority)).copied().unwrap_or_default();
    let options = Options {
        version: head.version,
        data_class: head.data_class,
        priority,
        deferrable: true,
        request_id: Some(row.key.request_id.clone()),
        client: head.client,
        // By both clocks, whatever was set meanwhile.
        deadline_ms: Some(u64::try_from(row.left_ms).unwrap_or(0).max(1)),
        put_off_as: class(row),
        ..Options::default()
    };
    let broker = |reply_topic: String| Caller::Broker { reply_topic: reply_topic.into() };
    let (caller, topic) = match head.caller {
        By::Bus { name, uid } => (Caller::Bus { name: name.into(), uid }, String::new()),
        By::Peer { name, uid, connection } => (Caller::Peer { name: name.into(), uid, connection }, String::new()),
        By::Broker { reply_topic } => (broker(reply_topic), String::new()),
        By::Topic { reply_topic, topic } => (broker(reply_topic), topic),
    };
    let topic = topic.into();
    let want = if head.sealed { Want::Sealed } else { Want::Inline };
    let reached = ZONES.get(usize::from(head.reached)).copied().unwrap_or(Zone::Cloud);
    Ok(Request { caller, topic, model: head.model, options, payload, want, deaths: row.deaths, reached, stream: None })
}

/// A reply as it is kept; `None` if it cannot be.
pub fn bytes(reply: &Reply) -> Option<Bytes> {
    let result = match &reply.result {
        Ok(Output::Document(text)) => Said::Document(text.clone()),
        Ok(Output::Tensors(tensors)) => Said::Tensors(tensors.iter().map(tensor).collect::<Option<Vec<_>>>()?),
        Err(failure) => Said::No { code: failure.code.as_str().into(), message: failure.message.clone() },
    };
    let answer = Answer { info: serde_json::to_string(&reply.info).ok()?, result };
    postcard::to_stdvec(&answer).ok().map(Bytes::from)
}

fn tensor(tensor: &TensorOut) -> Option<(String, Datatype, Vec<i64>, Vec<u8>)> {
    let data = bytes_of(&tensor.data).ok()?;
    Some((tensor.name.to_string(), tensor.datatype, tensor.shape.clone(), data.to_vec()))
}

/// A reply that was kept.
pub fn reply(bytes: &Bytes) -> Reply {
    let Ok(answer) = postcard::from_bytes::<Answer>(bytes) else {
        let failure = Failure::new(ErrorCode::Internal, "the answer that was kept cannot be read");
        return Reply { result: Err(failure), info: Info::default() };
    };
    let result = match answer.result {
        Said::Document(text) => Ok(Output::Document(text)),
        Said::Tensors(tensors) => Ok(Output::Tensors(
            tensors
                .into_iter()
                .map(|(name, datatype, shape, data)| TensorOut {
                    name: name.into(),
                    datatype,
                    shape,
                    data: Blob::Inline(data.into()),
                })
                .collect(),
        )),
        Said::No { code, message } => {
            Err(Failure::new(ErrorCode::from_word(&code).unwrap_or(ErrorCode::Internal), message))
        }
    };
    Reply { result, info: serde_json::from_str(&answer.info).unwrap_or_default() }
}
