//! All that a transport may hold of the daemon: submit a request, give a command, watch the state.
//!
//! Who checks what: a transport bounds sizes, authorises the caller, checks seals and ranges of descriptors, and parses
//! its own syntax. The driver checks everything that has a meaning (model, names, datatypes, shapes, options' ranges),
//! so that every transport gives the same answers.

use std::sync::Arc;

use edge_wire::dto::{Status, Trace};
use edge_wire::error::ErrorCode;
use tokio::sync::{mpsc, oneshot, watch};

use crate::request::{Caller, Failure, Reply, Request};

/// Where a reply goes. The receiver may be dropped: then nobody wants the reply, but the request runs on.
pub type ReplySender = oneshot::Sender<Reply>;

/// What the driver's inbox takes.
#[derive(Debug)]
pub enum Message {
    Submit {
        request: Box<Request>,
        reply: ReplySender,
    },
    Cancel {
        caller: Caller,
        request_id: String,
        found: oneshot::Sender<bool>,
    },
    ClientLeft {
        caller: Caller,
    },
    Drain,
    Resume,
    /// Read the configuration's policy part again; answers with what is wrong with it.
    Reload {
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Load or unload a model by `name` or `name:version`.
    Load {
        model: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    Unload {
        model: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    /// The state as it is now, not as last published.
    Status {
        done: oneshot::Sender<Arc<Status>>,
    },
    Trace {
        request_id: String,
        found: oneshot::Sender<Option<Trace>>,
    },
    /// A transport's own note for the trace of a request (`journaled`, `replied`).
    Note {
        request_id: String,
        step: &'static str,
        detail: String,
    },
    /// The broker link's state changed.
    Mqtt(Box<edge_wire::dto::MqttStatus>),
}

/// A cheap clone for each transport.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    status: watch::Receiver<Arc<Status>>,
}

impl Handle {
    /// A handle on the driver that reads `inbox` and publishes `status`.
    pub fn new(inbox: mpsc::Sender<Message>, status: watch::Receiver<Arc<Status>>) -> Handle {
        Handle { inbox, status }
    }

    /// Hands a request in; the reply comes through the receiver. A full inbox answers `overloaded` at once.
    pub fn submit(&self, request: Request) -> Result<oneshot::Receiver<Reply>, Failure> {
        let (reply, receiver) = oneshot::channel();
        match self.inbox.try_send(Message::Submit { request: Box::new(request), reply }) {
            Ok(()) => Ok(receiver),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure {
                code: ErrorCode::Overloaded,
                message: "the daemon's inbox is full".into(),
                retry_after_ms: Some(50),
            }),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                Err(Failure::new(ErrorCode::Unavailable, "the daemon is stopping"))
            }
        }
    }

    /// Sends a command; waits for room in the inbox.
    pub async fn send(&self, message: Message) -> Result<(), Failure> {
        self.inbox.send(message).await.map_err(|_| Failure::new(ErrorCode::Unavailable, "the daemon is stopping"))
    }

    /// Sends a command unless the inbox is full; for those who must not wait and can do without.
    pub fn offer(&self, message: Message) -> bool {
        self.inbox.try_send(message).is_ok()
    }

    /// Sends a command and waits for its answer.
    pub async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.send(message(sender)).await?;
        receiver.await.map_err(|_| Failure::new(ErrorCode::Unavailable, "the daemon is stopping"))
    }

    /// The state as last published. Changes at most a few times a second, never once per request.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Wakes whenever the state changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }
}
