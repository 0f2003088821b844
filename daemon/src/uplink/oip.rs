//! The Open Inference Protocol v2: tensors as a JSON header with raw bytes behind it, or all in JSON, and the answer in either form.
//! Checks that what goes out fits its shape, and that what comes back is what was asked for. Decides nothing else.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use edge_engine::protocol::{Datatype, TensorSpec};
use edge_wire::oip::{self, Data, Element, Tensor};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use super::error::UplinkError;
use super::exchange::{self, Question};
use super::meter::Meter;
use super::said::Quoted;
use super::site::{Protocol, Reach};
use super::{Answer, Content, Order, blob};
use crate::request::{Blob, TensorIn, TensorOut};

/// How long the JSON is, where raw tensors follow it.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// JSON of more bytes is written and read beside the thread, so that other orders do not wait for it.
const BESIDE: usize = 1 << 20;

/// One input, with its bytes at hand.
#[derive(Debug)]
pub struct Input {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    pub data: Bytes,
    /// Content type of an encoded payload.
    pub content_type: Option<String>,
}

/// Sends tensors or an encoded payload; gives what came.
pub(super) async fn infer(reach: &Reach, meter: &Arc<Meter>, order: Order) -> Result<Answer, UplinkError> {
    let Protocol::Oip { binary } = reach.protocol else {
        return Err(reach.unfit("it speaks openai, which has no tensors"));
    };
    let (inputs, wanted, encoded) = inputs(reach, order.content).await?;
    let outputs = wanted.clone();
    let size = inputs.iter().map(|input| input.data.len()).sum();
    let asked = beside(if binary { 0 } else { size }, move || question(binary, &inputs, &outputs)).await;
    let asked = asked.and_then(|asked| asked).map_err(|why| reach.unfit(why))?;
    let mut segments = vec!["v2", "models", &order.model];
    if let Some(version) = &order.version {
        segments.extend(["versions", version]);
    }
    segments.push("infer");
    let question = Question {
        method: Method::POST,
        url: reach.below(&segments)?,
        content_type: Some(if binary { "application/octet-stream" } else { "application/json" }),
        header: asked.header_len.map(|len| (HEADER_LENGTH, HeaderValue::from(len))),
        body: asked.body,
    };
    let answer = exchange::ask(reach, meter, question).await?;
    let header_len = match answer.headers().get(HEADER_LENGTH) {
        None => None,
        Some(value) => {
            let len = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
            Some(len.ok_or_else(|| reach.garbage("Inference-Header-Content-Length takes a number of bytes"))?)
        }
    };
    let payload = exchange::whole(reach, meter, answer, order.max_answer_bytes).await?;
    let json = header_len.unwrap_or(payload.len());
    let read = beside(json, move || read(&payload, header_len, &wanted)).await;
    let tensors = read.and_then(|read| read).map_err(|why| reach.garbage(why))?;
    Ok(if encoded { document(tensors) } else { Answer::Tensors(tensors) })
}

/// Runs it here where it is short, else on another thread.
async fn beside<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    if size <= BESIDE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// The inputs with their bytes, what is wanted, and whether it is an encoded payload.
async fn inputs(reach: &Reach, content: Content) -> Result<(Vec<Input>, Vec<TensorSpec>, bool), UplinkError> {
    match content {
        Content::Tensors { inputs, outputs } => {
            let mut ready = Vec::with_capacity(inputs.len());
            for TensorIn { name, datatype, shape, data } in inputs {
                let named = |why: String| reach.unfit(format!("input {}: {why}", Quoted(&name)));
                let known = Datatype::from_name(&datatype).ok_or_else(|| {
                    named(format!("{} is no datatype: takes {}", Quoted(&datatype), Element::names()))
                })?;
                let data = blob::bytes(data).map_err(named)?;
                ready.push(Input { name, datatype: known, shape, data, content_type: None });
            }
            Ok((ready, outputs, false))
        }
        Content::Encoded { input, content_type, data } => {
            let data = blob::bytes(data).map_err(|why| reach.unfit(format!("payload: {why}")))?;
            let len = u32::try_from(data.len()).map_err(|_| reach.unfit("payload: more than 4 GiB"))?;
            let mut element = Vec::with_capacity(data.len() + 4);
            element.extend_from_slice(&len.to_le_bytes());
            element.extend_from_slice(&data);
            let one = Input {
                name: input,
                datatype: Datatype::Bytes,
                shape: vec![1],
                data: element.into(),
                content_type: Some(content_type),
            };
            Ok((vec![one], Vec::new(), true))
        }
        Content::Chat { .. } | Content::Completion { .. } => Err(reach.unfit("it speaks oip, which has no chats")),
    }
}

/// What is posted.
#[derive(Debug)]
pub struct Asked {
    /// Length of the JSON, where raw tensors follow it.
    pub header_len: Option<usize>,
    pub body: Vec<Bytes>,
}

/// The body of a request for these inputs; the error names the input.
pub fn question(binary: bool, inputs: &[Input], outputs: &[TensorSpec]) -> Result<Asked, String> {
    let room = if binary { 0 } else { inputs.iter().map(|input| input.data.len() * 3).sum() };
    let mut json = Vec::with_capacity(256 + 128 * (inputs.len() + outputs.len()) + room);
    json.extend_from_slice(b"{\"inputs\":[");
    for (index, input) in inputs.iter().enumerate() {
        let named = |why: String| format!("input {}: {why}", Quoted(&input.name));
        fits(input.datatype, &input.shape, &input.data).map_err(named)?;
        if index > 0 {
            json.push(b',');
        }
        write_input(&mut json, binary, input).map_err(named)?;
    }
    json.push(b']');
    write_wanted(&mut json, binary, outputs);
    json.push(b'}');
    let header_len = binary.then_some(json.len());
    let mut body = vec![Bytes::from(json)];
    if binary {
        body.extend(inputs.iter().map(|input| input.data.clone()));
    }
    Ok(Asked { header_len, body })
}

fn write_input(json: &mut Vec<u8>, binary: bool, input: &Input) -> Result<(), String> {
    json.extend_from_slice(b"{\"name\":");
    put(json, &input.name);
    json.extend_from_slice(b",\"datatype\":");
    put(json, &input.datatype.as_str());
    json.extend_from_slice(b",\"shape\":");
    put(json, &input.shape);
    let size = binary.then_some(input.data.len());
    if size.is_some() || input.content_type.is_some() {
        json.extend_from_slice(b",\"parameters\":{");
        if let Some(content_type) = &input.content_type {
            json.extend_from_slice(b"\"content_type\":");
            put(json, content_type);
            json.extend_from_slice(if size.is_some() { b"," } else { b"" });
        }
        if let Some(size) = size {
            json.extend_from_slice(b"\"binary_data_size\":");
            put(json, &size);
        }
        json.push(b'}');
    }
    if !binary {
        has_json_form(input.datatype, &input.data)?;
        json.extend_from_slice(b",\"data\":");
        oip::write_data(json, Element::from_name(input.datatype.as_str()), &input.data);
    }
    json.push(b'}');
    Ok(())
}

fn write_wanted(json: &mut Vec<u8>, binary: bool, outputs: &[TensorSpec]) {
    if outputs.is_empty() {
        if binary {
            json.extend_from_slice(b",\"parameters\":{\"binary_data_output\":true}");
        }
        return;
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (index, output) in outputs.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(b"{\"name\":");
        put(json, &output.name);
        json.extend_from_slice(if binary { b",\"parameters\":{\"binary_data\":true}}" } else { b"}" });
    }
    json.push(b']');
}

fn put(json: &mut Vec<u8>, value: &impl serde::Serialize) {
    // A text, a number or a list of numbers into a vector: neither side can fail.
    drop(serde_json::to_writer(json, value));
}

/// Why these elements cannot be said in JSON, if they cannot.
fn has_json_form(datatype: Datatype, data: &[u8]) -> Result<(), String> {
    let says = "has no JSON form: the site's `binary` would have to be true";
    let finite = match datatype {
        Datatype::Fp16 | Datatype::Bf16 => return Err(format!("{} {says}", datatype.as_str())),
        Datatype::Fp32 => data.as_chunks::<4>().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite()),
        Datatype::Fp64 => data.as_chunks::<8>().0.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite()),
        Datatype::Bytes => {
            let text = texts(data, |text| std::str::from_utf8(text).is_ok()).is_some_and(|texts| texts.all);
            return if text { Ok(()) } else { Err(format!("an element that is no UTF-8 {says}")) };
        }
        _ => true,
    };
    if finite { Ok(()) } else { Err(format!("an element that is infinite or not a number {says}")) }
}

/// Whether so many bytes are such a shape of that datatype.
fn fits(datatype: Datatype, shape: &[i64], data: &[u8]) -> Result<(), String> {
    let elements = shape.iter().try_fold(1_u64, |all, size| all.checked_mul(u64::try_from(*size).ok()?));
    let elements = elements.ok_or_else(|| format!("shape {shape:?} is none"))?;
    let name = datatype.as_str();
    if datatype == Datatype::Bytes {
        return match texts(data, |_| true) {
            Some(found) if found.count == elements => Ok(()),
            Some(found) => Err(format!("{} elements of {name}, but shape {shape:?} has {elements}", found.count)),
            None => Err(format!("the lengths of its elements of {name} do not fill its {} bytes", data.len())),
        };
    }
    match elements.checked_mul(datatype.size() as u64) {
        Some(bytes) if bytes == data.len() as u64 => Ok(()),
        _ => Err(format!("{} bytes, but shape {shape:?} of {name} has {elements} elements", data.len())),
    }
}

struct Texts {
    count: u64,
    all: bool,
}

/// Counts the elements of `BYTES`, if their lengths fill the bytes exactly; `all` says whether each is `good`.
fn texts(mut data: &[u8], good: impl Fn(&[u8]) -> bool) -> Option<Texts> {
    let mut found = Texts { count: 0, all: true };
    while !data.is_empty() {
        let (len, rest) = data.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        found.all &= good(text);
        found.count += 1;
        data = rest;
    }
    Some(found)
}

/// Reads an answer: exactly the outputs that were `wanted`, in that order, or all if none was named. The error says what is not
/// as it should be.
pub fn read(payload: &Bytes, header_len: Option<usize>, wanted: &[TensorSpec]) -> Result<Vec<TensorOut>, String> {
    let tensors = match oip::parse(payload, header_len) {
        Ok(oip::Answer::Outputs(tensors)) => tensors,
        Ok(oip::Answer::Error(said)) => {
            return Err(format!("it says that all is well (200), and then: {}", Quoted(&said)));
        }
        Err(fault) => return Err(Quoted(&fault.to_string()).to_string()),
    };
    let mut outputs = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        if outputs.iter().any(|known: &TensorOut| *known.name == *tensor.name) {
            return Err(format!("output {} comes twice", Quoted(&tensor.name)));
        }
        outputs.push(output(payload, tensor)?);
    }
    if wanted.is_empty() { Ok(outputs) } else { in_order(outputs, wanted) }
}

fn output(payload: &Bytes, tensor: Tensor) -> Result<TensorOut, String> {
    let named = |why: String| format!("output {}: {why}", Quoted(&tensor.name));
    let datatype = Datatype::from_name(&tensor.datatype).ok_or_else(|| named("an unknown datatype".into()))?;
    let data = match tensor.data {
        Data::Owned(bytes) => bytes.into(),
        Data::Range(range) => payload.slice(range),
    };
    fits(datatype, &tensor.shape, &data).map_err(named)?;
    Ok(TensorOut { name: tensor.name.into(), datatype, shape: tensor.shape, data: Blob::Inline(data) })
}

fn in_order(mut outputs: Vec<TensorOut>, wanted: &[TensorSpec]) -> Result<Vec<TensorOut>, String> {
    let mut ordered = Vec::with_capacity(wanted.len());
    for spec in wanted {
        let at = outputs.iter().position(|output| *output.name == *spec.name);
        let at = at.ok_or_else(|| format!("output {} is missing: {} came", Quoted(&spec.name), names(&outputs)))?;
        let output = outputs.swap_remove(at);
        if output.datatype != spec.datatype {
            let (is, should) = (output.datatype.as_str(), spec.datatype.as_str());
            return Err(format!("output {}: {is}, and the model gives {should}", Quoted(&spec.name)));
        }
        let same = |(is, should): (&i64, &i64)| *should < 0 || is == should;
        if output.shape.len() != spec.shape.len() || !output.shape.iter().zip(&spec.shape).all(same) {
            let (is, should) = (&output.shape, &spec.shape);
            return Err(format!("output {}: shape {is:?}, and the model gives {should:?}", Quoted(&spec.name)));
        }
        ordered.push(output);
    }
    if outputs.is_empty() { Ok(ordered) } else { Err(format!("{} came, which nobody asked for", names(&outputs))) }
}

fn names(outputs: &[TensorOut]) -> String {
    let mut names = String::new();
    for (index, output) in outputs.iter().enumerate().take(8) {
        let comma = if index > 0 { ", " } else { "" };
        // Into a text, which cannot fail.
        let _ = write!(names, "{comma}{}", Quoted(&output.name));
    }
    if names.is_empty() { "nothing".into() } else { names }
}

/// An encoded payload is answered by a document where the site gives one: a single text that is JSON.
fn document(tensors: Vec<TensorOut>) -> Answer {
    if let [TensorOut { datatype: Datatype::Bytes, data: Blob::Inline(data), .. }] = tensors.as_slice()
        && let Some((len, text)) = data.split_first_chunk::<4>()
        && usize::try_from(u32::from_le_bytes(*len)) == Ok(text.len())
        && let Ok(text) = std::str::from_utf8(text)
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    {
        return Answer::Document(text.to_owned());
    }
    Answer::Tensors(tensors)
}
