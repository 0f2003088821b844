//! From the driver's reply to the message that goes out: outputs inline or as sealed memfds, a document, or a "no".

use edge_wire::dict::InfoDict;
use edge_wire::error::ErrorCode;
use serde::Serialize;
use zbus::message::{Header, Message};
use zbus::{Connection, Fd, Type};

use super::error::internal;
use super::methods::Method;
use super::{arguments, descriptor};
use crate::request::{Blob, Failure, Output, Reply, TensorOut};
use crate::transport::convert::shape_out;

/// `(ssatay)`, borrowed.
#[derive(Serialize, Type)]
struct Inline<'r> {
    name: &'r str,
    datatype: &'r str,
    shape: Vec<u64>,
    #[serde(with = "serde_bytes")]
    data: &'r [u8],
}

/// `(ssathtt)`, borrowed.
#[derive(Serialize, Type)]
struct Sealed<'r> {
    name: &'r str,
    datatype: &'r str,
    shape: Vec<u64>,
    fd: Fd<'r>,
    offset: u64,
    length: u64,
}

/// The answer to a call of `method`, or why there is none.
pub fn build(
    method: Method,
    reply: Reply,
    max_inline: u64,
    call: &Header<'_>,
    connection: &Connection,
) -> Result<Message, Failure> {
    let info = InfoDict::from(&reply.info);
    let answer = Answer { call, connection };
    let duplicate = reply.info.duplicate;
    match (method, reply.result?) {
        (Method::Infer, Output::Tensors(tensors)) => inline(&answer, &tensors, &info, max_inline),
        (Method::InferFd, Output::Tensors(tensors)) => sealed(&answer, &tensors, &info),
        (Method::InferEncoded, Output::Document(json)) => answer.with(&(json, info)),
        (_, Output::Tensors(_)) => Err(other_kind(duplicate, "the model gave tensors where a document was due")),
        (_, Output::Document(_)) => Err(other_kind(duplicate, "the model gave a document where tensors were due")),
    }
}

/// An output of the wrong kind: for somebody who asked otherwise under the same id, or through a fault of ours.
pub fn other_kind(duplicate: bool, fault: &str) -> Failure {
    match duplicate {
        true => Failure::invalid(
            "request_id: this id was given to a request of another kind (tensors, or a payload) before: takes one of its own",
        ),
        false => internal(fault),
    }
}

fn inline(
    answer: &Answer<'_>,
    tensors: &[TensorOut],
    info: &InfoDict<'_>,
    max_inline: u64,
) -> Result<Message, Failure> {
    let bytes = tensors.iter().fold(0u64, |sum, tensor| sum.saturating_add(tensor.data.len()));
    if bytes > max_inline {
        let message = format!("the outputs have {bytes} bytes, a message takes at most {max_inline}; use InferFd");
        return Err(Failure::new(ErrorCode::TooLarge, message));
    }
    let data: Vec<_> =
        tensors.iter().map(|tensor| descriptor::read(&tensor.name, &tensor.data)).collect::<Result<_, _>>()?;
    let outputs = tensors.iter().zip(&data).map(|(tensor, data)| {
        let shape = shape_out(&tensor.name, &tensor.shape)?;
        Ok(Inline { name: &tensor.name, datatype: tensor.datatype.as_str(), shape, data })
    });
    answer.with(&(outputs.collect::<Result<Vec<_>, Failure>>()?, info))
}

fn sealed(answer: &Answer<'_>, tensors: &[TensorOut], info: &InfoDict<'_>) -> Result<Message, Failure> {
    if tensors.len() > usize::try_from(arguments::MAX_FDS).unwrap_or(0) {
        let (many, most) = (tensors.len(), arguments::MAX_FDS);
        return Err(Failure::new(
            ErrorCode::TooLarge,
            format!("{many} outputs, at most {most} descriptors a message; use Infer"),
        ));
    }
    let outputs = tensors.iter().map(|tensor| {
        let (fd, offset) = match &tensor.data {
            Blob::Sealed { fd, offset, .. } => (Fd::from(&**fd), *offset),
            Blob::Inline(bytes) => (Fd::from(descriptor::sealed(bytes)?), 0),
            Blob::Unsealed { .. } => return Err(internal(format!("output {} is not sealed", tensor.name))),
        };
        let shape = shape_out(&tensor.name, &tensor.shape)?;
        let (name, datatype) = (&*tensor.name, tensor.datatype.as_str());
        Ok(Sealed { name, datatype, shape, fd, offset, length: tensor.data.len() })
    });
    answer.with(&(outputs.collect::<Result<Vec<_>, Failure>>()?, info))
}

struct Answer<'r> {
    call: &'r Header<'r>,
    connection: &'r Connection,
}

impl Answer<'_> {
    fn with<B: Serialize + Type>(&self, body: &B) -> Result<Message, Failure> {
        let mut builder = Message::method_return(self.call);
        if let Some(name) = self.connection.unique_name() {
            builder = builder.sender(name);
        }
        builder.build(body).map_err(|error| internal(format!("write the reply: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_used_for_another_kind_of_request_is_the_callers_mistake() {
        assert_eq!(other_kind(true, "x").code, ErrorCode::InvalidInput);
        assert_eq!(other_kind(false, "x").code, ErrorCode::Internal);
    }
}
