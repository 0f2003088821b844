//! Reads the replies that come over MQTT: JSON, or JSON with binary tensors behind it.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::answer::{No, Outcome, Tensor, Yes};
use crate::client::mqtt::Incoming;

/// User property that says how long the JSON before binary tensors is (Open Inference Protocol, binary extension).
pub const HEADER_LENGTH: &str = "inference_header_content_length";

/// The id that a reply names; a message that is no reply, such as a request on a topic of all, names none.
pub fn id_of(message: &Incoming) -> Option<String> {
    let (header, _) = split(message).ok()?;
    header["ok"].as_bool()?;
    header["id"].as_str().map(str::to_owned)
}

/// What a reply says.
pub fn read(message: &Incoming) -> Result<Outcome> {
    let (header, tail) = split(message)?;
    match header["ok"].as_bool() {
        Some(true) => yes(&header, tail).map(Ok),
        Some(false) => Ok(Err(no(&header)?)),
        None => bail!("a reply without ok: {header}"),
    }
}

fn split(message: &Incoming) -> Result<(Value, &[u8])> {
    let length = match message.property(HEADER_LENGTH) {
        Some(text) => text.parse().with_context(|| format!("{HEADER_LENGTH} {text:?}"))?,
        None => message.payload.len(),
    };
    let (header, tail) = message.payload.split_at_checked(length).context("the header is longer than the reply")?;
    let header = serde_json::from_slice(header).with_context(|| format!("JSON on {}", message.topic))?;
    Ok((header, tail))
}

fn no(header: &Value) -> Result<No> {
    let error = &header["error"];
    let text =
        |key: &str| error[key].as_str().with_context(|| format!("no error.{key} in {header}")).map(str::to_owned);
    Ok(No { code: text("code")?, message: text("message")? })
}

fn yes(header: &Value, mut tail: &[u8]) -> Result<Yes> {
    let mut outputs = Vec::new();
    for output in header["outputs"].as_array().map(Vec::as_slice).unwrap_or_default() {
        match output["parameters"]["binary_data_size"].as_u64() {
            Some(size) => {
                let (data, rest) = tail.split_at_checked(usize::try_from(size)?).context("binary data is short")?;
                tail = rest;
                outputs.push(binary(output, data)?);
            }
            None => outputs.push(Tensor::from_json(output)?),
        }
    }
    Ok(Yes { outputs, document: header["result"].clone(), info: header["info"].clone() })
}

fn binary(output: &Value, data: &[u8]) -> Result<Tensor> {
    let mut filled = output.as_object().cloned().unwrap_or_else(Map::new);
    filled.insert("data".into(), Value::Array(Vec::new()));
    let shell = Tensor::from_json(&Value::Object(filled))?;
    Ok(Tensor { data: data.to_vec(), ..shell })
}

/// A request body with binary tensors, and the length of the JSON header before them. Without an id: it can come as a
/// property.
pub fn binary_body(inputs: &[Tensor]) -> Result<(Vec<u8>, usize)> {
    let described: Vec<Value> = inputs
        .iter()
        .map(|tensor| {
            serde_json::json!({
                "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
                "parameters": {"binary_data_size": tensor.data.len()},
            })
        })
        .collect();
    let mut body = serde_json::to_vec(&serde_json::json!({"inputs": described}))?;
    let header = body.len();
    inputs.iter().for_each(|tensor| body.extend_from_slice(&tensor.data));
    Ok((body, header))
}
