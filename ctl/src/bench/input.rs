//! What every request of a run carries: a payload as it lies in a file, or made-up tensors. Both go as sealed memfds, which
//! are made once and sent again and again.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_wire::dto::{ModelStatus, TensorInfo};
use edge_wire::error::ErrorCode;

use super::pattern;
use super::shape::{self, Asked};
use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::payload;

/// Where the requests of a run come from.
#[derive(Debug)]
pub enum Input {
    Encoded(Encoded),
    Tensors(Tensors),
}

/// A payload that the box decodes.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub file: PathBuf,
    /// It was found in the bundle, and not named on the command line.
    pub is_golden: bool,
    pub content_type: String,
    pub bytes: u64,
    fd: Arc<OwnedFd>,
}

/// Tensors of the model's shapes, filled with the pattern.
#[derive(Clone, Debug)]
pub struct Tensors {
    model: String,
    pub inputs: Vec<TensorInfo>,
    asked: Vec<Asked>,
}

/// What one request carries.
#[derive(Debug)]
pub struct Work {
    pub body: Body,
    /// Items in it: rows of tensors, or the one payload.
    pub items: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub enum Body {
    Encoded { content_type: String, fd: Arc<OwnedFd> },
    Tensors(Vec<Part>),
}

/// One tensor.
#[derive(Debug)]
pub struct Part {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<u64>,
    pub fd: OwnedFd,
    /// In bytes.
    pub length: u64,
}

/// More files than a bundle has golden inputs.
const MOST_FILES: usize = 1000;

/// Chooses as the command line says. Where it leaves the choice, a payload goes if the model takes one; if none is found,
/// tensors go instead, and the text that comes along says so.
pub fn choose(args: &BenchArgs, model: &ModelStatus) -> Result<(Input, Option<String>), Failure> {
    let tensors = || Tensors::of(model, &args.shape).map(Input::Tensors);
    if let Some(file) = &args.file {
        return Ok((Input::Encoded(named(file, args.content_type.as_deref(), model)?), None));
    }
    let means_tensors = args.tensors || !args.shape.is_empty() || !args.batch.is_empty();
    if !args.encoded && (means_tensors || model.content_types.is_empty()) {
        return Ok((tensors()?, None));
    }
    match golden(model) {
        Ok(found) => Ok((Input::Encoded(found), None)),
        Err(why) if args.encoded => Err(Failure::usage(format!("{why}; name a payload with --file FILE"))),
        Err(why) => {
            let instead = tensors().map_err(|failure| {
                Failure::usage(format!("{why}, and no tensors: {}; name a payload with --file FILE", failure.message()))
            })?;
            Ok((instead, Some(format!("{why}: tensors are sent instead; --file FILE sends a payload"))))
        }
    }
}

impl Input {
    /// The request with this many rows; `None` for as many as payload or shapes have.
    pub fn work(&self, rows: Option<u64>) -> Result<Work, Failure> {
        match self {
            Input::Encoded(payload) => {
                let body = Body::Encoded { content_type: payload.content_type.clone(), fd: Arc::clone(&payload.fd) };
                Ok(Work { body, items: 1, bytes: payload.bytes })
            }
            Input::Tensors(tensors) => tensors.work(rows),
        }
    }

    /// Checks that there are requests with this many rows, without making one.
    pub fn check(&self, rows: Option<u64>) -> Result<(), Failure> {
        match self {
            Input::Encoded(_) => Ok(()),
            Input::Tensors(tensors) => tensors.sizes(rows).map(drop),
        }
    }
}

impl Tensors {
    fn of(model: &ModelStatus, asked: &[Asked]) -> Result<Tensors, Failure> {
        let name = &model.name;
        if model.inputs.is_empty() {
            let why = if model.reason.is_empty() { String::new() } else { format!(", {}", model.reason) };
            let what = format!("edged tells no inputs of {name}, which is {}{why}", model.state);
            return Err(Failure::refused(ErrorCode::Unavailable, what));
        }
        for (place, one) in asked.iter().enumerate() {
            if model.inputs.iter().all(|input| input.name != one.name) {
                let inputs: Vec<&str> = model.inputs.iter().map(|input| input.name.as_str()).collect();
                let text = format!("{name}: --shape names {}; its inputs are {}", one.name, inputs.join(", "));
                return Err(Failure::usage(text));
            }
            if asked[..place].iter().any(|before| before.name == one.name) {
                return Err(Failure::usage(format!("{name}: --shape names {} twice", one.name)));
            }
        }
        Ok(Tensors { model: name.clone(), inputs: model.inputs.clone(), asked: asked.to_vec() })
    }

    /// The shape of each input and the bytes that it takes.
    fn sizes(&self, rows: Option<u64>) -> Result<Vec<(Vec<u64>, usize)>, Failure> {
        let fault = |text: String| Failure::usage(format!("{}: {text}", self.model));
        let mut left = payload::STREAM_LIMIT;
        let one = |input: &TensorInfo| {
            let asked = self.asked.iter().find(|asked| asked.name == input.name);
            let shape = shape::complete(input, asked, rows).map_err(fault)?;
            let element = pattern::element(&input.datatype)
                .ok_or_else(|| fault(format!("input {} holds {}, which is not made up", input.name, input.datatype)))?;
            let count = shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size));
            let bytes = count.and_then(|count| count.checked_mul(u64::try_from(element.size).ok()?));
            let bytes = bytes.filter(|bytes| *bytes <= left);
            let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
                fault(format!("tensors of more than {} MiB are not made up", payload::STREAM_LIMIT >> 20))
            })?;
            left -= u64::try_from(bytes).unwrap_or(left);
            Ok((shape, bytes))
        };
        self.inputs.iter().map(one).collect()
    }

    /// The shape of each input, with -1 in the place that each step fills with its batch.
    pub fn shapes(&self, is_batched: bool) -> Result<Vec<TensorInfo>, Failure> {
        let sizes = self.sizes(is_batched.then_some(1))?;
        let described = self.inputs.iter().zip(sizes).map(|(input, (sizes, _))| {
            let mut shape: Vec<i64> = sizes.iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect();
            if let (true, Some(first)) = (is_batched, shape.first_mut()) {
                *first = -1;
            }
            TensorInfo { shape, ..input.clone() }
        });
        Ok(described.collect())
    }

    fn work(&self, rows: Option<u64>) -> Result<Work, Failure> {
        let sizes = self.sizes(rows)?;
        let shapes: Vec<Vec<u64>> = sizes.iter().map(|(shape, _)| shape.clone()).collect();
        let items = shape::items(&self.inputs, &shapes);
        let parts: Result<Vec<Part>, Failure> =
            self.inputs.iter().zip(sizes).map(|(input, (shape, bytes))| part(input, shape, bytes)).collect();
        let parts = parts?;
        let bytes = parts.iter().map(|part| part.length).sum();
        Ok(Work { body: Body::Tensors(parts), items, bytes })
    }
}

/// One tensor of this shape, of so many bytes in all.
fn part(input: &TensorInfo, shape: Vec<u64>, bytes: usize) -> Result<Part, Failure> {
    let content = pattern::element(&input.datatype).map(|element| pattern::fill(element, bytes / element.size));
    let content = content.unwrap_or_default();
    let fd = payload::memfd(content.as_slice())
        .map_err(|error| Failure::usage(format!("make {bytes} bytes of tensors: {error}")))?;
    let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
    Ok(Part { name: input.name.clone(), datatype: input.datatype.clone(), shape, fd: fd.into(), length })
}

/// The file of the command line.
fn named(file: &Path, content_type: Option<&str>, model: &ModelStatus) -> Result<Encoded, Failure> {
    let payload = payload::copied(file)?;
    let content_type = payload::choose(content_type, payload.content_type, &model.content_types).to_owned();
    encoded(file, false, content_type, payload.fd)
}

/// The largest golden input that the model takes as a payload, the first by name of equal ones; else why there is none. Small ones
/// may be there for what is empty in them.
fn golden(model: &ModelStatus) -> Result<Encoded, String> {
    let bundle = Path::new(&model.path);
    if !bundle.is_absolute() {
        return Err("edged does not say where the bundle is".into());
    }
    let dir = bundle.join("golden");
    let cannot = |error: std::io::Error| format!("read {}: {error}", dir.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(&dir).map_err(cannot)?.take(MOST_FILES).collect();
    let mut files: Vec<PathBuf> = entries.map_err(cannot)?.iter().map(fs::DirEntry::path).collect();
    files.retain(|file| file.is_file() && !file.to_string_lossy().ends_with(".expected.json"));
    files.sort_by_cached_key(|file| (std::cmp::Reverse(file.metadata().map_or(0, |about| about.len())), file.clone()));
    for file in files {
        let payload = payload::copied(&file).map_err(|failure| failure.to_string())?;
        let content_type = payload::choose(None, payload.content_type, &model.content_types).to_owned();
        if model.content_types.contains(&content_type) {
            return encoded(&file, true, content_type, payload.fd).map_err(|failure| failure.to_string());
        }
    }
    Err(format!("{} holds no payload that the model takes", dir.display()))
}

fn encoded(file: &Path, is_golden: bool, content_type: String, fd: OwnedFd) -> Result<Encoded, Failure> {
    let fd = File::from(fd);
    let bytes = fd.metadata().map_err(|error| Failure::usage(format!("read {}: {error}", file.display())))?.len();
    Ok(Encoded { file: file.into(), is_golden, content_type, bytes, fd: Arc::new(fd.into()) })
}
