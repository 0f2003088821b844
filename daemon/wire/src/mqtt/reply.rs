//! Replies as JSON.
//!
//! `info` comes last and is never empty, so that a stored reply can be marked as a duplicate without reading it again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

/// A reply as somebody reads it who asked.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The id of the request.
    pub id: Option<Cow<'a, str>>,
    /// What was answered.
    pub said: Said<'a>,
}

/// What was answered, as far as it is read here.
#[derive(Debug)]
pub enum Said<'a> {
    /// Tensors: `outputs`, for [`crate::oip::parse`].
    Outputs,
    /// The JSON document of the task, as it came.
    Document(&'a str),
    /// A "no".
    Failure {
        /// Its code; `None` for a word that is not known here.
        code: Option<ErrorCode>,
        /// As it came.
        message: Cow<'a, str>,
        /// With `overloaded`.
        retry_after_ms: Option<u64>,
    },
}

/// Reads a reply, apart from the numbers of tensors; the error says what is not as it should be.
pub fn decode(payload: &[u8]) -> Result<Decoded<'_>, String> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        id: Option<Text<'a>>,
        ok: bool,
        #[serde(borrow)]
        outputs: Option<&'a RawValue>,
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<Fault<'a>>,
    }
    #[derive(Deserialize)]
    struct Fault<'a> {
        #[serde(borrow)]
        code: Text<'a>,
        #[serde(borrow)]
        message: Text<'a>,
        retry_after_ms: Option<u64>,
    }
    let reply: Reply<'_> = serde_json::from_slice(payload).map_err(|fault| fault.to_string())?;
    let said = match (reply.ok, reply.outputs, reply.result, reply.error) {
        (true, Some(_), None, None) => Said::Outputs,
        (true, None, Some(document), None) => Said::Document(document.get()),
        (false, None, None, Some(Fault { code, message, retry_after_ms })) => {
            Said::Failure { code: ErrorCode::from_word(&code.0), message: message.0, retry_after_ms }
        }
        _ => return Err("takes `outputs` or `result` with `ok` true, or `error` with `ok` false".into()),
    };
    Ok(Decoded { id: reply.id.map(|id| id.0), said })
}

/// A text that is copied only where it has escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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

    #[test]
    fn replies_are_read_as_they_are_written() {
        let tensor = TensorView { name: "y", datatype: "UINT8", shape: &[2], data: &[1, 2] };
        let written = encode(Some("a\"b"), Answer::Tensors(&[tensor]), &info()).json;
        let read = decode(&written).unwrap();
        assert_eq!(read.id.as_deref(), Some("a\"b"));
        assert!(matches!(read.said, Said::Outputs));
        assert!(
            matches!(crate::oip::parse(&written, None), Ok(crate::oip::Answer::Outputs(found)) if found.len() == 1)
        );

        let written = encode(None, Answer::Document("{\"text\": [1]}"), &info()).json;
        assert!(matches!(decode(&written).unwrap().said, Said::Document("{\"text\": [1]}")));

        let no = Answer::Failure { code: ErrorCode::Overloaded, message: "la\nter", retry_after_ms: Some(40) };
        let written = encode(Some("x"), no, &info()).json;
        let Said::Failure { code, message, retry_after_ms } = decode(&written).unwrap().said else { panic!() };
        assert_eq!((code, &*message, retry_after_ms), (Some(ErrorCode::Overloaded), "la\nter", Some(40)));
    }

    #[test]
    fn what_is_no_reply_is_said_and_words_of_later_versions_are_no_fault() {
        let later = br#"{"id":"a","ok":false,"error":{"code":"tired","message":"m","more":1},"info":{},"seq":1}"#;
        assert!(matches!(decode(later).unwrap().said, Said::Failure { code: None, .. }));
        for none in [
            &b""[..],
            b"[]",
            b"{}",
            b"{\"ok\":true}",
            b"{\"ok\":false}",
            b"{\"ok\":true,\"result\":{},\"outputs\":[]}",
            b"{\"ok\":true,\"result\":{}} x",
            b"{\"ok\":\"true\",\"result\":{}}",
            b"{\"ok\":true,\"result\":{}",
            b"\xff",
        ] {
            assert!(decode(none).is_err(), "{}", String::from_utf8_lossy(none));
        }
    }
}
