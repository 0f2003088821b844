//! Replies to messages: pure but for reading a reply's tensors out of their memory files.

use std::os::fd::AsFd;

use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::reply::{self, Answer, TensorView};

use super::ingress::Target;
use super::packet::Outbound;
use crate::ledger::replies::Stored;
use crate::request::{Blob, Failure, Output, Reply, TensorOut};

/// The content type of everything that the box says.
pub const JSON: &str = "application/json";

/// The reply to a request whose sender calls it `id`, of at most `max_bytes`.
pub fn encode(id: Option<&str>, reply: &Reply, max_bytes: usize) -> Stored {
    let encoded = match &reply.result {
        Ok(output) => match answer(id, output, &reply.info) {
            Ok(encoded) => encoded,
            Err(error) => {
                let text = format!("read the outputs: {error}");
                return encode_failure(id, &Failure::new(ErrorCode::Internal, text), &reply.info);
            }
        },
        Err(failure) => return encode_failure(id, failure, &reply.info),
    };
    if encoded.json.len() > max_bytes {
        let text = format!("outputs: {} bytes as JSON: the broker takes {max_bytes}", encoded.json.len());
        return encode_failure(id, &Failure::new(ErrorCode::TooLarge, text), &reply.info);
    }
    stored(encoded, false)
}

/// The message that carries a stored reply.
pub fn message(target: &Target, stored: &Stored) -> Outbound {
    Outbound {
        topic: target.topic.as_ref().into(),
        payload: stored.body.clone(),
        qos: target.qos,
        retain: false,
        correlation: target.correlation.clone(),
        content_type: JSON.into(),
        ..Outbound::default()
    }
}

/// A stored reply for somebody who asks again.
pub fn as_duplicate(stored: &Stored) -> Stored {
    let info_at = usize::try_from(stored.info_at).unwrap_or(usize::MAX);
    Stored { body: reply::as_duplicate(&stored.body, info_at).into(), ..stored.clone() }
}

fn encode_failure(id: Option<&str>, failure: &Failure, info: &Info) -> Stored {
    let answer =
        Answer::Failure { code: failure.code, message: &failure.message, retry_after_ms: failure.retry_after_ms };
    stored(reply::encode(id, answer, info), may_pass(failure.code))
}

fn stored(encoded: reply::Encoded, passing: bool) -> Stored {
    Stored { info_at: u32::try_from(encoded.info_at).unwrap_or(u32::MAX), body: encoded.json.into(), passing }
}

/// Whether the same request may be served when it comes again.
fn may_pass(code: ErrorCode) -> bool {
    match code {
        ErrorCode::Overloaded
        | ErrorCode::Unavailable
        | ErrorCode::UnknownModel
        | ErrorCode::DeadlineExceeded
        | ErrorCode::Cancelled
        | ErrorCode::NotAuthorized => true,
        ErrorCode::InvalidInput | ErrorCode::TooLarge | ErrorCode::Confined | ErrorCode::Internal => false,
    }
}

fn answer(id: Option<&str>, output: &Output, info: &Info) -> std::io::Result<reply::Encoded> {
    let tensors = match output {
        Output::Document(document) => return Ok(reply::encode(id, Answer::Document(document), info)),
        Output::Tensors(tensors) => tensors,
    };
    let copies = tensors.iter().map(|tensor| read_out(&tensor.data)).collect::<std::io::Result<Vec<_>>>()?;
    let views: Vec<TensorView<'_>> = tensors.iter().zip(&copies).map(|(tensor, copy)| view(tensor, copy)).collect();
    Ok(reply::encode(id, Answer::Tensors(&views), info))
}

fn view<'a>(tensor: &'a TensorOut, copy: &'a Option<Vec<u8>>) -> TensorView<'a> {
    let data = match (&tensor.data, copy) {
        (_, Some(copy)) => copy,
        (Blob::Inline(bytes), None) => bytes.as_ref(),
        (Blob::Sealed { .. } | Blob::Unsealed { .. }, None) => &[],
    };
    TensorView { name: &tensor.name, datatype: tensor.datatype.as_str(), shape: &tensor.shape, data }
}

/// The bytes of a tensor that is not in memory.
fn read_out(blob: &Blob) -> std::io::Result<Option<Vec<u8>>> {
    let (fd, offset, len) = match blob {
        Blob::Inline(_) => return Ok(None),
        Blob::Sealed { fd, offset, len } => (fd, *offset, *len),
        Blob::Unsealed { fd, max_len } => (fd, 0, *max_len),
    };
    let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(fd.as_fd(), rest, offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edge_engine::protocol::Datatype;
    use serde_json::{Value, json};

    use super::*;

    fn reply(result: Result<Output, Failure>) -> Reply {
        Reply { result, info: Info { request_id: "r".into(), ..Info::default() } }
    }

    fn tensor(data: Blob) -> TensorOut {
        TensorOut { name: "y".into(), datatype: Datatype::Uint8, shape: vec![2], data }
    }

    fn value(stored: &Stored) -> Value {
        serde_json::from_slice(&stored.body).unwrap()
    }

    #[test]
    fn tensors_are_read_from_memory_and_from_memory_files() {
        let fd = Arc::new(edge_engine::memfile::sealed(b"..\x05\x06").unwrap());
        let sealed = tensor(Blob::Sealed { fd: fd.clone(), offset: 2, len: 2 });
        let inline = tensor(Blob::Inline(bytes::Bytes::from_static(b"\x07\x08")));
        let stored = encode(Some("a"), &reply(Ok(Output::Tensors(vec![sealed, inline]))), 1000);
        let outputs = &value(&stored)["outputs"];
        assert_eq!((&outputs[0]["data"], &outputs[1]["data"]), (&json!([5, 6]), &json!([7, 8])));
        let short = tensor(Blob::Sealed { fd, offset: 2, len: 3 });
        let stored = encode(Some("a"), &reply(Ok(Output::Tensors(vec![short]))), 1000);
        assert_eq!(value(&stored)["error"]["code"], "internal");
    }

    #[test]
    fn a_reply_above_the_brokers_limit_is_a_failure_that_says_so() {
        let document = Output::Document(format!("\"{}\"", "x".repeat(2000)));
        let stored = encode(Some("a"), &reply(Ok(document)), 1000);
        assert_eq!((&value(&stored)["error"]["code"], &value(&stored)["id"]), (&json!("too_large"), &json!("a")));
        assert!(stored.body.len() < 1000);
    }

    #[test]
    fn failures_that_may_pass_are_marked_and_a_duplicate_says_that_it_is_one() {
        for (code, passing) in [(ErrorCode::Overloaded, true), (ErrorCode::InvalidInput, false)] {
            assert_eq!(encode(None, &reply(Err(Failure::new(code, "x"))), 1000).passing, passing);
        }
        let stored = encode(Some("a"), &reply(Ok(Output::Document("{}".into()))), 1000);
        assert_eq!(value(&as_duplicate(&stored))["info"]["duplicate"], true);
        assert!(!stored.passing);
    }
}
