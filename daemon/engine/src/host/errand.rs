//! What is done for a server that runs the same model elsewhere: a payload is decoded to the tensor that the server takes, and its
//! outputs are told as the bundle's task has them. Runs nothing, and keeps nothing.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::buffers::Buffers;
use super::memfd::Packer;
use super::memory::{Given, Memory};
use super::model::Model;
use super::outbox::Outbox;
use crate::fault::{chain, host_error, panicked};
use crate::media::{Frame, MediaError, Recipe};
use crate::protocol::{Data, Datatype, ErrorKind, Filled, FromHost, HostError, TensorData, TensorSpec, Want};
use crate::tensor::{Answer, AnswerData, elements, strings};

/// One of them.
pub struct Errand {
    pub ticket: u64,
    pub model: Option<Arc<Model>>,
    pub what: What,
    pub fds: Vec<OwnedFd>,
}

pub enum What {
    Fill { content_type: String, payload: Data },
    Interpret { outputs: Vec<TensorData>, frame: Option<Frame> },
}

impl What {
    /// How a "no" is told.
    pub fn refusal(&self, ticket: u64) -> impl FnOnce(HostError) -> FromHost + use<> {
        let fills = matches!(self, What::Fill { .. });
        move |error| match fills {
            true => FromHost::Filled { ticket, result: Err(error) },
            false => FromHost::Interpreted { ticket, result: Err(error) },
        }
    }
}

/// Does it, and tells the daemon.
pub fn run(errand: Errand, outbox: &Outbox) {
    let refusal = errand.what.refusal(errand.ticket);
    let mut packer = Packer::default();
    let said = catch_unwind(AssertUnwindSafe(|| done(errand, &mut packer)));
    match said.unwrap_or_else(|panic| Err(host_error(ErrorKind::Runtime, panicked(panic.as_ref())))) {
        Ok(said) => outbox.send(&said, &packer.fds()),
        Err(error) => outbox.send(&refusal(error), &[]),
    }
}

fn done(errand: Errand, packer: &mut Packer) -> Result<FromHost, HostError> {
    let Errand { ticket, model, what, fds } = errand;
    let model = model.ok_or_else(|| host_error(ErrorKind::Runtime, "the model is not loaded"))?;
    let recipe = model.recipe.as_ref();
    let recipe = recipe.ok_or_else(|| host_error(ErrorKind::InvalidInput, "the model takes tensors only"))?;
    Ok(match what {
        What::Fill { content_type, payload } => {
            let payload = Given::of(payload, &fds, model.payload_bytes);
            let payload = payload.and_then(|given| given.fetch(&mut Buffers::default()));
            let payload = payload.map_err(|error| error.into_host_error("payload"))?;
            FromHost::Filled { ticket, result: Ok(filled(&model, recipe, (&content_type, &payload), packer)?) }
        }
        What::Interpret { outputs, frame } => {
            let document = document(&model, recipe, (outputs, frame), &fds)?;
            let data = packer.pack(document.as_bytes(), Want::Inline);
            FromHost::Interpreted {
                ticket,
                result: data.map_err(|error| host_error(ErrorKind::Runtime, chain(&error))),
            }
        }
    })
}

fn filled(
    model: &Model,
    recipe: &Recipe,
    (content_type, payload): (&str, &[u8]),
    packer: &mut Packer,
) -> Result<Filled, HostError> {
    let (prepared, _) = recipe.prepare(content_type, payload).map_err(MediaError::into_host_error)?;
    let several = "this payload takes no run of the model, or several: no server elsewhere can serve it";
    let filled = recipe.fill(&prepared).ok_or_else(|| host_error(ErrorKind::Runtime, several))?;
    model.check_shape(0, &filled.shape)?;
    let data = packer.pack(filled.bytes.as_slice(), Want::Sealed);
    let data = data.map_err(|error| host_error(ErrorKind::Runtime, chain(&error)))?;
    Ok(Filled { tensor: TensorData { index: 0, shape: filled.shape, data }, frame: prepared.frame() })
}

/// What outputs mean that come from elsewhere: nothing of them is believed.
fn document(
    model: &Model,
    recipe: &Recipe,
    (outputs, frame): (Vec<TensorData>, Option<Frame>),
    fds: &[OwnedFd],
) -> Result<String, HostError> {
    let given = outputs.len();
    if given != model.outputs.len() {
        return Err(bad(format!("{given} outputs, the model has {}", model.outputs.len())));
    }
    let mut read: Vec<(&TensorSpec, Vec<i64>, Memory)> = Vec::with_capacity(given);
    for (spec, (index, output)) in model.outputs.iter().zip(outputs.into_iter().enumerate()) {
        if usize::from(output.index) != index {
            return Err(bad(format!("output {}: number {} stands at its place", spec.name, output.index)));
        }
        let bytes = Given::of(output.data, fds, u64::MAX).and_then(|given| given.fetch(&mut Buffers::default()));
        read.push((spec, output.shape, bytes.map_err(|error| error.into_host_error(&spec.name))?));
    }
    let answers = read.iter().map(|(spec, shape, bytes)| answer(model, spec, shape, bytes));
    let answers: Vec<Answer<'_>> = answers.collect::<Result<_, _>>()?;
    recipe.interpret(&answers, 0, frame).map_err(MediaError::into_host_error)
}

fn answer<'a>(model: &Model, spec: &TensorSpec, shape: &[i64], bytes: &'a [u8]) -> Result<Answer<'a>, HostError> {
    let (name, wanted) = (&spec.name, &spec.shape);
    let fits = |(size, wanted): (&i64, &i64)| *size >= 0 && (*wanted < 0 || size == wanted);
    if shape.len() != wanted.len() || !shape.iter().zip(wanted).all(fits) {
        return Err(bad(format!("output {name}: shape {shape:?} does not fit the model's {wanted:?}")));
    }
    if model.batched && shape.first() != Some(&1) {
        return Err(bad(format!("output {name}: shape {shape:?} is of another number of items than one")));
    }
    let count = elements(shape).ok_or_else(|| bad(format!("output {name}: shape {shape:?} has no size")))?;
    let data = match spec.datatype {
        Datatype::Bytes => {
            AnswerData::Strings(strings(bytes, count).map_err(|why| bad(format!("output {name}: {why}")))?)
        }
        datatype if count.checked_mul(datatype.size()) == Some(bytes.len()) => AnswerData::Plain(bytes),
        _ => return Err(bad(format!("output {name}: {} bytes do not fit the shape {shape:?}", bytes.len()))),
    };
    Ok(Answer { datatype: spec.datatype, shape: shape.to_vec(), data })
}

fn bad(message: String) -> HostError {
    host_error(ErrorKind::InvalidInput, message)
}
