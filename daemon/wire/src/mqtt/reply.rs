//! Replies as JSON.
//!
//! `info` comes last and is never empty, so that a stored reply can be marked as a duplicate without reading it again.

use serde::Serialize;

use super::tensor::{self, Element};
use crate::dto::Info;
use crate::error::ErrorCode;

/// What goes into `info` of a stored reply that is given again.
const DUPLICATE: &[u8] = b"\"duplicate\":true,";

/// A reply as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// UTF-8 JSON.
    pub json: Vec<u8>,
    /// Where the content of `info` begins.
    pub info_at: usize,
}

/// One output tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Name.
    pub name: &'a str,
    /// Open Inference Protocol v2 datatype.
    pub datatype: &'a str,
    /// Shape.
    pub shape: &'a [i64],
    /// Little-endian elements.
    pub data: &'a [u8],
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// Output tensors.
    Tensors(&'a [TensorView<'a>]),
    /// The JSON document of the bundle's task.
    Document(&'a str),
    /// A "no".
    Failure {
        /// Its code.
        code: ErrorCode,
        /// Names the field and the accepted range.
        message: &'a str,
        /// With `overloaded`.
        retry_after_ms: Option<u64>,
    },
}

/// The answer to the request that its caller calls `id`; `null` if that is not known.
pub fn encode(id: Option<&str>, answer: Answer<'_>, info: &Info) -> Encoded {
    let mut json = Vec::with_capacity(estimate(answer));
    json.extend_from_slice(b"{\"id\":");
    put(&mut json, &id);
    match answer {
        Answer::Tensors(tensors) => {
            json.extend_from_slice(b",\"ok\":true,\"outputs\":[");
            for (index, tensor) in tensors.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                put_tensor(&mut json, tensor);
            }
            json.push(b']');
        }
        Answer::Document(document) => {
            json.extend_from_slice(b",\"ok\":true,\"result\":");
            json.extend_from_slice(document.as_bytes());
        }
        Answer::Failure { code, message, retry_after_ms } => {
            json.extend_from_slice(b",\"ok\":false,\"error\":");
            put(&mut json, &Failure { code, message, retry_after_ms });
        }
    }
    json.extend_from_slice(b",\"info\":");
    let info_at = json.len() + 1;
    put(&mut json, info);
    json.push(b'}');
    Encoded { json, info_at }
}

/// The stored reply once more, with `info.duplicate`.
pub fn as_duplicate(json: &[u8], info_at: usize) -> Vec<u8> {
    let Some((head, tail)) = json.split_at_checked(info_at) else { return json.to_vec() };
    [head, DUPLICATE, tail].concat()
}

#[derive(Serialize)]
struct Failure<'a> {
    code: ErrorCode,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

fn put_tensor(json: &mut Vec<u8>, tensor: &TensorView<'_>) {
    json.extend_from_slice(b"{\"name\":");
    put(json, &tensor.name);
    json.extend_from_slice(b",\"datatype\":");
    put(json, &tensor.datatype);
    json.extend_from_slice(b",\"shape\":");
    put(json, &tensor.shape);
    json.extend_from_slice(b",\"data\":");
    tensor::write_data(json, Element::from_name(tensor.datatype), tensor.data);
    json.push(b'}');
}

fn put(json: &mut Vec<u8>, value: &impl Serialize) {
    // Plain records into a vector: neither side can fail.
    drop(serde_json::to_writer(json, value));
}

/// Room that most replies fit in, so that large ones are not copied while they grow.
fn estimate(answer: Answer<'_>) -> usize {
    const AROUND: usize = 1024;
    match answer {
        Answer::Tensors(tensors) => AROUND + tensors.iter().map(|tensor| tensor.data.len() * 3 + 128).sum::<usize>(),
        Answer::Document(document) => AROUND + document.len(),
        Answer::Failure { message, .. } => AROUND + message.len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn info() -> Info {
        Info { request_id: "r1".into(), model: "m".into(), ..Info::default() }
    }

    fn value(encoded: &Encoded) -> Value {
        serde_json::from_slice(&encoded.json).unwrap()
    }

    #[test]
    fn tensors_documents_and_failures_have_the_contracts_shape() {
        let data: Vec<u8> = [0.25_f32, -1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = TensorView { name: "y", datatype: "FP32", shape: &[1, 2], data: &data };
        let reply = value(&encode(Some("a\"b"), Answer::Tensors(&[tensor]), &info()));
        assert_eq!(reply["id"], "a\"b");
        assert_eq!(reply["ok"], true);
        assert_eq!(reply["outputs"], json!([{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.25, -1.0]}]));
        assert_eq!(reply["info"]["request_id"], "r1");

        let reply = value(&encode(None, Answer::Document("{\"text\":\"LOT 7\"}"), &info()));
        assert_eq!((&reply["id"], &reply["result"]["text"]), (&Value::Null, &json!("LOT 7")));

        let failure = Answer::Failure { code: ErrorCode::Overloaded, message: "later", retry_after_ms: Some(40) };
        let reply = value(&encode(Some("x"), failure, &info()));
        assert_eq!(reply["ok"], false);
        assert_eq!(reply["error"], json!({"code": "overloaded", "message": "later", "retry_after_ms": 40}));
        let failure = Answer::Failure { code: ErrorCode::Internal, message: "no", retry_after_ms: None };
        assert!(value(&encode(Some("x"), failure, &info()))["error"].get("retry_after_ms").is_none());
    }

    #[test]
    fn a_stored_reply_is_marked_as_a_duplicate_and_otherwise_unchanged() {
        let encoded = encode(Some("x"), Answer::Document("{\"info\":{}}"), &info());
        let again: Value = serde_json::from_slice(&as_duplicate(&encoded.json, encoded.info_at)).unwrap();
        let mut expected = value(&encoded);
        expected["info"]["duplicate"] = json!(true);
        assert_eq!(again, expected);
        assert_eq!(as_duplicate(b"{}", 9), b"{}");
    }
}
