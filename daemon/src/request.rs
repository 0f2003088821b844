//! A request and its reply as every transport brings and takes them: one meaning, whatever the protocol.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use edge_core::{DataClass, Origin, Priority, Sites, Zone};
use edge_engine::protocol::{Datatype, Want};
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use tokio::sync::mpsc;

use crate::uplink::Chunk;

/// Who asks. Equality decides duplicates and who may cancel; whose requests take turns together is decided in
/// `driver/shares.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A connection of the bus, by its unique name.
    Bus { name: Arc<str>, uid: u32 },
    /// A private peer connection, handed out by `Connect` to `name`.
    Peer { name: Arc<str>, uid: u32, connection: u64 },
    /// A source on the broker: MQTT does not tell who published, so the reply topic stands for it.
    Broker { reply_topic: Arc<str> },
}

impl Caller {
    /// Where it came in.
    pub fn origin(&self) -> Origin {
        match self {
            Caller::Bus { .. } | Caller::Peer { .. } => Origin::Bus,
            Caller::Broker { .. } => Origin::Broker,
        }
    }
}

impl Caller {
    /// Whether both are one user of the bus, or the same source on the broker: whose requests on the disk are its own, over
    /// connections and restarts.
    pub fn is_user_of(&self, other: &Caller) -> bool {
        match (self, other) {
            (
                Caller::Bus { uid, .. } | Caller::Peer { uid, .. },
                Caller::Bus { uid: of, .. } | Caller::Peer { uid: of, .. },
            ) => uid == of,
            (Caller::Broker { reply_topic }, Caller::Broker { reply_topic: of }) => reply_topic == of,
            (Caller::Broker { .. }, _) | (_, Caller::Broker { .. }) => false,
        }
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Caller::Bus { name, uid } => write!(out, "bus {name} (uid {uid})"),
            Caller::Peer { name, uid, connection } => write!(out, "peer {connection} of {name} (uid {uid})"),
            Caller::Broker { reply_topic } => write!(out, "mqtt {reply_topic}"),
        }
    }
}

/// Bytes of a tensor or payload, wherever they are.
#[derive(Clone, Debug)]
pub enum Blob {
    /// In memory; a slice of the received packet, which is not copied to take it apart.
    Inline(Bytes),
    /// In a sealed memfd (SHRINK, GROW and WRITE; checked by the transport), within its size.
    Sealed { fd: Arc<OwnedFd>, offset: u64, len: u64 },
    /// In a descriptor of any other kind, at most `max_len` bytes, which the engine host reads. What may change is not looked into and
    /// goes nowhere else: the transport copies files, pipes and sockets into sealed memfds.
    Unsealed { fd: Arc<OwnedFd>, max_len: u64 },
}

impl Blob {
    /// Size in bytes; for an unsealed descriptor the bound.
    pub fn len(&self) -> u64 {
        match self {
            Blob::Inline(bytes) => bytes.len() as u64,
            Blob::Sealed { len, .. } => *len,
            Blob::Unsealed { max_len, .. } => *max_len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One named tensor as the caller gave it; not yet checked against the model.
#[derive(Clone, Debug)]
pub struct TensorIn {
    pub name: String,
    /// As written by the caller; an unknown word is the driver's to refuse.
    pub datatype: String,
    pub shape: Vec<i64>,
    pub data: Blob,
}

/// What is to be inferred from.
#[derive(Clone, Debug)]
pub enum Payload {
    Tensors(Vec<TensorIn>),
    Encoded { content_type: String, data: Blob },
}

/// The options that every transport takes, after parsing; see [`crate::handle`] for who checks what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub version: Option<String>,
    pub task: Option<String>,
    /// Relative to receipt. 0, which no caller can give: it has passed, and only an answer that is there or on its way is given.
    pub deadline_ms: Option<u64>,
    /// As written; an unknown word is `regulated` and warned about by the driver.
    pub data_class: Option<String>,
    pub priority: Priority,
    pub deferrable: bool,
    pub request_id: Option<String>,
    /// Over how many boxes it came here: one that another box handed on is served on this device or not at all.
    pub hops: u8,
    /// Who sends it, where the transport cannot tell and asks for it.
    pub client: Option<String>,
    /// What it is called if the caller gave no id: a transport that may have to answer it again after a crash says so.
    pub made_up_id: Option<String>,
    /// Of one that waited on the disk: the class that it was put there with. It gets no freer, whatever was reloaded since.
    pub put_off_as: Option<DataClass>,
    /// Sites that said of it before it waited there what they would say again.
    pub rejected: Sites,
    /// Said so far: unknown options and the like.
    pub warnings: Vec<String>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub caller: Caller,
    /// The topic on which it came; empty for what came over the bus. Rules have ceilings by it.
    pub topic: Arc<str>,
    /// `name` or `name:version`.
    pub model: String,
    pub options: Options,
    pub payload: Payload,
    /// How tensor outputs are wanted.
    pub want: Want,
    /// How often it was alive when a daemon died (from the journal); 0 for a fresh one.
    pub deaths: u8,
    /// The farthest zone that its bytes have been in already: the broker's, or the device itself.
    pub reached: Zone,
    /// Where the pieces of its answer go, if it is wanted piece by piece.
    pub stream: Option<mpsc::Sender<Chunk>>,
}

/// The content type of a chat: the body of chat completions.
pub const CHAT: &str = "application/json";
/// What one is told whose deadline passed by the wall clock before a daemon could look at it again.
pub const PASSED: &str = "the deadline passed while the daemon was down";

/// One output tensor.
#[derive(Clone, Debug)]
pub struct TensorOut {
    pub name: Arc<str>,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    pub data: Blob,
}

/// What the model said.
#[derive(Clone, Debug)]
pub enum Output {
    Tensors(Vec<TensorOut>),
    /// The JSON document of the bundle's task.
    Document(String),
}

/// A "no", with its code and a message that names the field and the accepted range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    pub message: String,
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure without a time to retry.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), retry_after_ms: None }
    }

    /// `invalid_input` with this message.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(ErrorCode::InvalidInput, message)
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub result: Result<Output, Failure>,
    pub info: Info,
}
