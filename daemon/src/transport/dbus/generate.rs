//! `Generate`: a chat whose answer comes piece by piece through a pipe, one JSON document a line.
//!
//! The call is answered with the pipe as soon as there is a first piece, or with the "no" if none comes; what goes wrong later is
//! told by a last line with `error`. An answer that comes whole is one piece. A reader that is slow slows down its own answer only; one that closes the pipe gives the
//! request up.

use std::sync::Arc;

use edge_wire::dto::Info;
use serde_json::{Map, Value, json};
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

/// What each line is.
const CHUNK: &str = "chat.completion.chunk";
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
        let said = reply.and_then(|Reply { result, info }| Ok((answer(&result?)?, info)));
        let (fields, info) = match said {
            Ok(said) => said,
            Err(failure) => return call.finish::<zbus::OwnedFd>(Err(failure)).await,
        };
        let (mut writer, reader) = match pipe_pair() {
            Ok(pair) => pair,
            Err(failure) => return call.finish::<zbus::OwnedFd>(Err(failure)).await,
        };
        call.finish(Ok(reader)).await;
        let told = async {
            if let Some(piece) = piece(&fields) {
                line(&mut writer, piece.to_string().as_bytes()).await?;
            }
            line(&mut writer, closing(&fields, &info).to_string().as_bytes()).await
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
    let no = |failure: Failure| json!({ "code": failure.code.as_str(), "message": failure.message });
    match reply {
        Ok(Reply { result, info }) => match result.and_then(|output| answer(&output)) {
            Ok(fields) => closing(&fields, &info),
            Err(failure) => json!({ "error": no(failure), "info": info }),
        },
        Err(_) => json!({ "error": no(internal("the daemon gave no reply to this request")) }),
    }
}

/// The fields of an answer: a whole `chat.completion`, or what is left to tell of one that went piece by piece.
fn answer(output: &Output) -> Result<Map<String, Value>, Failure> {
    let fields = match output {
        Output::Document(text) => serde_json::from_str::<Map<String, Value>>(text).ok(),
        Output::Tensors(_) => None,
    };
    let is_answer = |fields: &Map<String, Value>| fields.contains_key("usage") || fields.contains_key("choices");
    fields.filter(is_answer).ok_or_else(|| internal("the answer is no chat.completion"))
}

/// A whole answer as one piece of a stream, as it would be if the site could stream; `None` if there is nothing in it.
fn piece(whole: &Map<String, Value>) -> Option<Value> {
    let choices = whole.get("choices").and_then(Value::as_array).filter(|choices| !choices.is_empty())?;
    let mut piece = Map::new();
    piece.insert("object".into(), CHUNK.into());
    for name in ["id", "created", "model", "system_fingerprint"] {
        piece.extend(whole.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    piece.insert("choices".into(), choices.iter().enumerate().map(choice).collect());
    Some(piece.into())
}

/// A choice of a whole answer as one of a piece: what it says is all that it adds.
fn choice((at, whole): (usize, &Value)) -> Value {
    let mut delta = whole.get("message").cloned().unwrap_or_else(|| json!({}));
    // In a stream each call says which one it goes on with.
    let calls = delta.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
    for (at, call) in calls.enumerate() {
        if let Some(call) = call.as_object_mut() {
            call.entry("index").or_insert_with(|| at.into());
        }
    }
    let index = whole.get("index").cloned().unwrap_or_else(|| at.into());
    let mut choice = json!({ "index": index, "delta": delta, "finish_reason": whole.get("finish_reason") });
    if let (Some(choice), Some(logprobs)) = (choice.as_object_mut(), whole.get("logprobs")) {
        choice.insert("logprobs".into(), logprobs.clone());
    }
    choice
}

/// The last line: it adds nothing to the answer. `usage` is null if the site does not tell it.
fn closing(fields: &Map<String, Value>, info: &Info) -> Value {
    json!({ "object": CHUNK, "choices": [], "usage": fields.get("usage"), "info": info })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(document: &str) -> Reply {
        let info = Info { site: "llm".into(), ..Info::default() };
        Reply { result: Ok(Output::Document(document.into())), info }
    }

    #[test]
    fn a_whole_answer_is_one_piece_of_a_stream() {
        let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let whole = json!({
            "id": "a", "object": "chat.completion", "created": 1, "model": "m", "info": { "site": "evil" }, "error": null,
            "choices": [
                { "index": 0, "message": { "role": "assistant", "content": "whole" }, "finish_reason": "stop", "logprobs": null },
                { "message": { "role": "assistant", "tool_calls": [call] }, "finish_reason": "tool_calls" },
            ],
            "usage": { "prompt_tokens": 3, "completion_tokens": 2 },
        });
        let Reply { result, info } = reply(&whole.to_string());
        let fields = answer(&result.unwrap()).unwrap();
        let mut call = call;
        call["index"] = json!(0);
        assert_eq!(
            piece(&fields).unwrap(),
            json!({
                "id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [
                    { "index": 0, "delta": { "role": "assistant", "content": "whole" }, "finish_reason": "stop", "logprobs": null },
                    { "index": 1, "delta": { "role": "assistant", "tool_calls": [call] }, "finish_reason": "tool_calls" },
                ],
            })
        );
        let last = closing(&fields, &info);
        assert_eq!((&last["usage"]["prompt_tokens"], &last["info"]["site"]), (&json!(3), &json!("llm")));
    }

    #[test]
    fn the_last_line_is_a_chunk_with_usage_and_info_whatever_came_before() {
        // A stream that had nothing but its end, and one whose site tells no usage.
        for (document, usage) in
            [(r#"{"usage":null}"#, Value::Null), (r#"{"usage":{"prompt_tokens":1}}"#, json!({ "prompt_tokens": 1 }))]
        {
            let last = last_line(Ok(reply(document)));
            assert_eq!((&last["object"], &last["choices"]), (&json!("chat.completion.chunk"), &json!([])));
            assert_eq!((&last["usage"], &last["info"]["site"]), (&usage, &json!("llm")));
            let fields = answer(&Output::Document(document.into())).unwrap();
            assert_eq!(piece(&fields), None, "nothing is told before it");
        }
        let last = last_line(Ok(reply(r#"{"labels":[]}"#)));
        assert_eq!(last["error"]["code"], "internal", "what is no chat is told by name");
    }
}
