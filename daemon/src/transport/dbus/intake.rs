//! From the arguments of a call to the parts of a request: sizes and descriptors are checked here, meanings are not.

use bytes::Bytes;
use edge_core::Zone;
use edge_engine::protocol::Want;
use edge_wire::error::ErrorCode;
use zbus::Message;

use super::arguments::{self, Chat, Encoded, Infer, InferFd};
use super::descriptor;
use crate::config::LimitsConfig;
use crate::request::{Blob, CHAT, Caller, Failure, Options, Payload, Request, TensorIn};
use crate::transport::convert::shape_in;

/// Model, payload, options, and how outputs are wanted.
#[derive(Debug)]
pub struct Parts {
    model: String,
    payload: Payload,
    options: Options,
    want: Want,
}

impl Parts {
    /// The request of `caller`.
    pub fn request(self, caller: Caller) -> Request {
        let Parts { model, payload, options, want } = self;
        let topic = "".into();
        Request { caller, topic, model, options, payload, want, deaths: 0, reached: Zone::Device, stream: None }
    }
}

/// Tensors inside the message: their bytes stay where they are, and keep the message alive.
pub fn inline((model, inputs, given): Infer<'_>, message: &Message, limits: &LimitsConfig) -> Result<Parts, Failure> {
    /// The message as the owner of the bytes in it.
    struct Owner(Message);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.data().bytes()
        }
    }
    let bytes: u64 = inputs.0.iter().map(|input| input.data.len() as u64).sum();
    if bytes > limits.max_inline_bytes {
        return Err(arguments::too_large_inline(bytes, limits.max_inline_bytes));
    }
    let packet = Bytes::from_owner(Owner(message.clone()));
    let tensor = |input: arguments::InlineTensor<'_>| {
        Ok(TensorIn {
            name: input.name.to_owned(),
            datatype: input.datatype.to_owned(),
            shape: shape_in(input.name, &input.shape.0)?,
            data: Blob::Inline(packet.slice_ref(input.data)),
        })
    };
    let tensors = inputs.0.into_iter().map(tensor).collect::<Result<_, Failure>>()?;
    Ok(Parts { model: model.to_owned(), payload: Payload::Tensors(tensors), options: given.0?, want: Want::Inline })
}

/// Tensors in sealed memfds.
pub fn sealed((model, inputs, given): InferFd<'_>, limits: &LimitsConfig) -> Result<Parts, Failure> {
    let most = limits.max_payload_bytes;
    let bytes = inputs.0.iter().fold(0u64, |sum, input| sum.saturating_add(input.length));
    let tensor = |input: arguments::FdTensor<'_>| {
        Ok(TensorIn {
            name: input.name.to_owned(),
            datatype: input.datatype.to_owned(),
            shape: shape_in(input.name, &input.shape.0)?,
            data: descriptor::tensor(input.name, input.fd.into(), input.offset, input.length)?,
        })
    };
    let tensors = inputs.0.into_iter().map(tensor).collect::<Result<_, Failure>>()?;
    if bytes > most {
        let message = format!("the inputs have {bytes} bytes; they take at most {most} together");
        return Err(Failure::new(ErrorCode::TooLarge, message));
    }
    Ok(Parts { model: model.to_owned(), payload: Payload::Tensors(tensors), options: given.0?, want: Want::Sealed })
}

/// A chat, by the body that chat completions have.
pub fn chat((model, body, given): Chat<'_>, limits: &LimitsConfig) -> Result<Parts, Failure> {
    let bytes = body.len() as u64;
    if bytes > limits.max_inline_bytes {
        return Err(arguments::too_large_inline(bytes, limits.max_inline_bytes));
    }
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(fields)) if fields.get("messages").is_some_and(serde_json::Value::is_array) => {}
        Ok(_) => return Err(Failure::invalid("request: takes an object with `messages`, a list")),
        Err(error) => return Err(Failure::invalid(format!("request: no JSON: {error}"))),
    }
    let data = Blob::Inline(Bytes::copy_from_slice(body.as_bytes()));
    let payload = Payload::Encoded { content_type: CHAT.into(), data };
    Ok(Parts { model: model.to_owned(), payload, options: given.0?, want: Want::Inline })
}

/// One encoded payload.
pub fn encoded((model, content_type, fd, given): Encoded<'_>, limits: &LimitsConfig) -> Result<Parts, Failure> {
    let data = descriptor::payload(fd.into(), limits.max_payload_bytes)?;
    let payload = Payload::Encoded { content_type: content_type.to_owned(), data };
    Ok(Parts { model: model.to_owned(), payload, options: given.0?, want: Want::Inline })
}
