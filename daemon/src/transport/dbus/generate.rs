//! `Generate`: a chat whose answer comes piece by piece through a pipe, one JSON document a line.
//!
//! The call is answered with the pipe as soon as there is a first piece, or with the "no" if none comes; what goes wrong later is
//! told by a last line with `error`. A reader that is slow slows down its own answer only; one that closes the pipe gives the
//! request up.

use std::sync::Arc;

use edge_wire::dto::Info;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::call::Call;
use super::client::{Client, Known};
use super::error::internal;
use super::service::Service;
use super::stream;
use crate::request::{Caller, Failure, Output, Reply, Request};
use crate::uplink::Chunk;

/// Pieces that wait for the pipe.
const WAITING: usize = 64;

/// A chat that was handed in, and whose pipe is not given out yet.
pub struct Generation {
    service: Arc<Service>,
    caller: Caller,
    request_id: String,
    chunks: mpsc::Receiver<Chunk>,
    receiver: oneshot::Receiver<Reply>,
}

impl Generation {
    /// Hands the request in. One without an id of its own gets one, so that it can be given up.
    pub fn begin(
        service: &Arc<Service>,
        client: &Arc<Client>,
        known: &Known,
        mut request: Request,
    ) -> Result<Generation, Failure> {
        let number = service.next_number();
        let request_id = request.options.request_id.get_or_insert_with(|| format!("generated-{number}")).clone();
        let (sender, chunks) = mpsc::channel(WAITING);
        request.stream = Some(sender);
        let receiver = stream::submit(service, client, request)?;
        Ok(Generation { service: service.clone(), caller: known.caller.clone(), request_id, chunks, receiver })
    }

    /// Answers the call, and writes until the end.
    pub async fn run(mut self, call: Call) {
        let first = tokio::select! {
            biased;
            chunk = self.chunks.recv() => chunk,
            () = call.client.left() => return,
        };
        let Some(first) = first else {
            // No piece came: it was refused, or answered whole.
            return self.whole(call).await;
        };
        let (mut writer, reader) = match pipe_pair() {
            Ok(pair) => pair,
            Err(failure) => {
                self.give_up().await;
                return call.finish::<zbus::OwnedFd>(Err(failure)).await;
            }
        };
        call.finish(Ok(reader)).await;
        // The call is answered: its place is free for others.
        drop(call);
        let mut next = Some(first);
        while let Some(chunk) = next {
            if line(&mut writer, &chunk.json).await.is_err() {
                return self.give_up().await;
            }
            next = self.chunks.recv().await;
        }
        let last = last_line(self.receiver.await);
        if line(&mut writer, last.to_string().as_bytes()).await.is_err() {
            tracing::debug!(request = %self.request_id, "the reader closed the pipe before its last line");
        }
    }

    /// The reply came without pieces.
    async fn whole(self, call: Call) {
        let reply = self.receiver.await.map_err(|_| internal("the daemon gave no reply to this request"));
        let reply = match reply.and_then(|reply| reply.result.map(|output| (output, reply.info))) {
            Ok(reply) => reply,
            Err(failure) => return call.finish::<zbus::OwnedFd>(Err(failure)).await,
        };
        let (mut writer, reader) = match pipe_pair() {
            Ok(pair) => pair,
            Err(failure) => return call.finish::<zbus::OwnedFd>(Err(failure)).await,
        };
        call.finish(Ok(reader)).await;
        let (output, info) = reply;
        let whole = match &output {
            Output::Document(text) => text.clone(),
            Output::Tensors(_) => "{}".into(),
        };
        let told = async {
            line(&mut writer, whole.as_bytes()).await?;
            line(&mut writer, closing(&info).to_string().as_bytes()).await
        };
        if told.await.is_err() {
            tracing::debug!(request = %self.request_id, "the reader closed the pipe");
        }
    }

    async fn give_up(self) {
        // One that has ended already cannot be given up, and need not.
        let _ended = self.service.cancel(self.caller, self.request_id).await;
    }
}

fn pipe_pair() -> Result<(pipe::Sender, zbus::OwnedFd), Failure> {
    let failed = |error: std::io::Error| internal(format!("make a pipe: {error}"));
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| failed(std::io::Error::from(error)))?;
    // Only our end: the reader's may block, as its owner likes.
    rustix::io::ioctl_fionbio(&writer, true).map_err(|error| failed(std::io::Error::from(error)))?;
    Ok((pipe::Sender::from_owned_fd(writer).map_err(failed)?, reader.into()))
}

async fn line(writer: &mut pipe::Sender, text: &[u8]) -> std::io::Result<()> {
    writer.write_all(text).await?;
    writer.write_all(b"\n").await
}

/// The end of a stream: usage and what is said of the request, or why it broke off.
fn last_line(reply: Result<Reply, oneshot::error::RecvError>) -> Value {
    match reply {
        Ok(Reply { result: Ok(output), info }) => {
            let mut last = closing(&info);
            if let (Output::Document(text), Some(fields)) = (&output, last.as_object_mut())
                && let Ok(Value::Object(said)) = serde_json::from_str(text)
                && let Some(usage) = said.get("usage")
            {
                fields.insert("usage".into(), usage.clone());
            }
            last
        }
        Ok(Reply { result: Err(failure), info }) => {
            json!({ "error": { "code": failure.code.as_str(), "message": failure.message }, "info": info })
        }
        Err(_) => json!({ "error": { "code": "internal", "message": "the daemon gave no reply to this request" } }),
    }
}

fn closing(info: &Info) -> Value {
    json!({ "object": "chat.completion.chunk", "choices": [], "info": info })
}
