//! Runs the members of a batch: together where their shapes allow it, one by one where not, and takes the outputs apart
//! again, so that each member gets exactly what it would have got alone.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ort::session::RunOptions;

use super::clock;
use super::lane::{in_time, told};
use super::memfd::{PackError, Packer};
use super::memory::Memory;
use super::model::Model;
use super::post::Post;
use super::session::{Engine, RunError};
use crate::fault::{chain, host_error};
use crate::media::{MediaError, Prepared};
use crate::protocol::{ErrorKind, HostError, MemberDone, Output, TensorData, Want};
use crate::tensor::{Aligned, Answer, Feed};

/// One input of one member.
struct Value {
    shape: Vec<i64>,
    memory: Memory,
}

/// Shape and elements of an output, as they travel.
pub type Shaped = (Vec<i64>, Vec<u8>);

/// How a member wants to be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Tensors(Want),
    Document,
}

/// A member whose bytes are at hand.
pub struct Ready {
    body: Body,
    start_before: u64,
}

enum Body {
    /// One value per input, in the graph's order.
    Values(Vec<Value>, Want),
    Prepared(Prepared),
}

impl Ready {
    /// A member that was prepared before.
    pub fn prepared(prepared: Prepared, start_before: u64) -> Result<Ready, HostError> {
        Ok(Ready { body: Body::Prepared(prepared), start_before })
    }

    /// A member that brings tensors: finds, checks and aligns their bytes.
    pub fn tensors(
        model: &Model,
        tensors: Vec<TensorData>,
        fds: &[OwnedFd],
        want: Want,
        start_before: u64,
    ) -> Result<Ready, HostError> {
        let mut places: Vec<Option<Value>> = model.inputs.iter().map(|_| None).collect();
        for tensor in tensors {
            let name = model.inputs.get(usize::from(tensor.index)).map_or("of unknown index", |place| &place.spec.name);
            let memory = Memory::of(tensor.data, fds, model.payload_bytes)
                .map_err(|error| error.into_host_error(&format!("input {name}")))?;
            model.check(tensor.index, &tensor.shape, &memory)?;
            let size = model.inputs.get(usize::from(tensor.index)).map_or(1, |place| place.spec.datatype.size());
            let value = Value { shape: tensor.shape, memory: memory.aligned(size.max(1)) };
            if let Some(place) = places.get_mut(usize::from(tensor.index)) {
                *place = Some(value);
            }
        }
        let missing = places.iter().zip(&model.inputs).find(|(place, _)| place.is_none());
        if let Some((_, place)) = missing {
            return Err(host_error(ErrorKind::InvalidInput, format!("input {} is missing", place.spec.name)));
        }
        let values = places.into_iter().flatten().collect();
        Ok(Ready { body: Body::Values(values, want), start_before })
    }
}

/// A member on its way through a group.
struct Item {
    /// Place in the batch.
    at: usize,
    id: u64,
    values: Vec<Value>,
    reply: Reply,
    start_before: u64,
}

impl Item {
    fn rows(&self) -> usize {
        let first = self.values.first().and_then(|value| value.shape.first());
        first.and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1)
    }

    /// Whether both can be one run: all shapes alike but for dimension 0, and that one alike in all inputs.
    fn joins(&self, other: &Item) -> bool {
        let even = |item: &Item| item.values.iter().all(|value| value.shape.first() == item.values[0].shape.first());
        self.values.len() == other.values.len()
            && even(self)
            && even(other)
            && self.values.iter().zip(&other.values).all(|(a, b)| a.shape.get(1..) == b.shape.get(1..))
    }
}

/// A session with what it needs to run members.
pub struct Runner {
    model: Arc<Model>,
    engine: Engine,
    options: Arc<RunOptions>,
}

impl Runner {
    /// Runs `engine` for `model`.
    pub fn new(model: Arc<Model>, engine: Engine, options: Arc<RunOptions>) -> Runner {
        Runner { model, engine, options }
    }

    /// The model that it runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Runs a batch; one answer per member, in order.
    pub fn run(
        &mut self,
        slots: Vec<(u64, Result<Ready, HostError>)>,
        post: &Post,
        packer: &mut Packer,
    ) -> Vec<MemberDone> {
        let ids: Vec<u64> = slots.iter().map(|slot| slot.0).collect();
        let mut results: Vec<Option<Result<Output, HostError>>> = ids.iter().map(|_| None).collect();
        let mut groups: Vec<Vec<Item>> = Vec::new();
        for (at, (id, slot)) in slots.into_iter().enumerate() {
            let result = match slot {
                Err(error) => Err(error),
                Ok(Ready { body: Body::Values(values, want), start_before }) => {
                    self.join(&mut groups, Item { at, id, values, reply: Reply::Tensors(want), start_before });
                    continue;
                }
                Ok(Ready { body: Body::Prepared(prepared), start_before }) => match self.place(prepared) {
                    Placed::Values(values) => {
                        self.join(&mut groups, Item { at, id, values, reply: Reply::Document, start_before });
                        continue;
                    }
                    Placed::Whole(prepared) => {
                        post.begin(id);
                        let result = self.run_whole(&prepared, start_before, packer);
                        if post.end() { Err(told()) } else { result }
                    }
                    Placed::Failed(error) => Err(error),
                },
            };
            if let Some(place) = results.get_mut(at) {
                *place = Some(result);
            }
        }
        for group in groups {
            for (at, result) in self.run_group(group, post, packer) {
                if let Some(place) = results.get_mut(at) {
                    *place = Some(result);
                }
            }
        }
        let lost = || Err(host_error(ErrorKind::Runtime, "the member was not run"));
        ids.into_iter()
            .zip(results)
            .map(|(id, result)| MemberDone { id, result: result.unwrap_or_else(lost) })
            .collect()
    }

    /// Finds a group for a member, or opens one.
    fn join(&self, groups: &mut Vec<Vec<Item>>, item: Item) {
        let free =
            groups.iter_mut().find(|group| self.model.batched && group.first().is_some_and(|first| first.joins(&item)));
        match free {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }

    fn place(&self, prepared: Prepared) -> Placed {
        let Some(recipe) = &self.model.recipe else {
            return Placed::Failed(host_error(ErrorKind::InvalidInput, "the model takes tensors only"));
        };
        match recipe.fill(&prepared) {
            Some(filled) if self.model.inputs.len() == 1 => {
                let value = Value { shape: filled.shape, memory: Memory::Aligned(filled.bytes) };
                Placed::Values(vec![value])
            }
            _ => Placed::Whole(prepared),
        }
    }

    fn run_group(
        &mut self,
        mut group: Vec<Item>,
        post: &Post,
        packer: &mut Packer,
    ) -> Vec<(usize, Result<Output, HostError>)> {
        let now = clock::now_ns();
        let mut done = Vec::new();
        group.retain(|item| match in_time(item.start_before, now) {
            Ok(()) => true,
            Err(error) => {
                done.push((item.at, Err(error)));
                false
            }
        });
        if let [item] = &group[..] {
            post.begin(item.id);
        }
        let result = self.run_items(&group, packer);
        let stopped = post.end();
        match result {
            Ok(outputs) => done.extend(group.iter().map(|item| item.at).zip(outputs)),
            Err(error) => {
                let error = if stopped { told() } else { error };
                done.extend(group.iter().map(|item| (item.at, Err(error.clone()))));
            }
        }
        done
    }

    /// Runs the items of a group as one, and gives each its part.
    fn run_items(&mut self, group: &[Item], packer: &mut Packer) -> Result<Vec<Result<Output, HostError>>, HostError> {
        let Runner { model, engine, options } = self;
        let Some(first) = group.first() else { return Ok(Vec::new()) };
        let joined = if group.len() > 1 { Some(join_values(group)) } else { None };
        let values = joined.as_ref().unwrap_or(&first.values);
        let feeds: Vec<Feed<'_>> = values
            .iter()
            .zip(&model.inputs)
            .map(|(value, place)| Feed { datatype: place.spec.datatype, shape: &value.shape, bytes: &value.memory })
            .collect();
        let shares: Vec<usize> = group.iter().map(Item::rows).collect();
        let outputs = engine.run(&feeds, options, |answers| {
            let total = i64::try_from(shares.iter().sum::<usize>()).unwrap_or(-1);
            let odd = answers.iter().position(|answer| group.len() > 1 && answer.shape.first() != Some(&total));
            let mut from = 0;
            let part = |(item, rows): (&Item, &usize)| {
                let first = from;
                from += rows;
                match odd {
                    Some(index) => Err(indivisible(model, index)),
                    None => answer(model, item.reply, answers, (group.len() > 1).then_some((first, *rows)), packer),
                }
            };
            group.iter().zip(&shares).map(part).collect()
        });
        outputs.map_err(|error| run_error(&error))
    }

    /// A member that is more than one run, or none.
    fn run_whole(&mut self, prepared: &Prepared, start_before: u64, packer: &mut Packer) -> Result<Output, HostError> {
        in_time(start_before, clock::now_ns())?;
        let document = self.document(prepared)?;
        packer.pack(document.as_bytes(), Want::Inline).map(Output::Document).map_err(|error| pack_error(&error))
    }

    /// The document of one prepared payload.
    pub fn document(&mut self, prepared: &Prepared) -> Result<String, HostError> {
        let Runner { model, engine, options } = self;
        let Some(recipe) = &model.recipe else {
            return Err(host_error(ErrorKind::InvalidInput, "the model takes tensors only"));
        };
        let run = |feeds: &[Feed<'_>], take: &mut dyn FnMut(&[Answer<'_>])| {
            engine.run(feeds, options, |answers| take(answers)).map_err(|error| run_error(&error))
        };
        let inputs: Vec<_> = model.inputs.iter().map(|place| place.spec.clone()).collect();
        recipe.document(prepared, &inputs, run)
    }

    /// One run on plain tensors, for goldens: the outputs as they travel, with their shapes.
    pub fn tensors(&mut self, ready: Ready) -> Result<Vec<Shaped>, HostError> {
        let Runner { model, engine, options } = self;
        let Body::Values(values, _) = ready.body else {
            return Err(host_error(ErrorKind::InvalidInput, "no tensors"));
        };
        let feeds: Vec<Feed<'_>> = values
            .iter()
            .zip(&model.inputs)
            .map(|(value, place)| Feed { datatype: place.spec.datatype, shape: &value.shape, bytes: &value.memory })
            .collect();
        let take = |answers: &[Answer<'_>]| {
            answers.iter().map(|answer| (answer.shape.clone(), answer.all().into_owned())).collect()
        };
        engine.run(&feeds, options, take).map_err(|error| run_error(&error))
    }
}

/// How a prepared payload is run.
enum Placed {
    /// As one value per input; can be part of a batch.
    Values(Vec<Value>),
    /// By its recipe, alone.
    Whole(Prepared),
    Failed(HostError),
}

/// All values of a group, one after the other along dimension 0.
fn join_values(group: &[Item]) -> Vec<Value> {
    let inputs = group.first().map_or(0, |item| item.values.len());
    let joined = |at: usize| {
        let parts = group.iter().filter_map(move |item| item.values.get(at));
        let mut shape = parts.clone().next().map(|value| value.shape.clone()).unwrap_or_default();
        if let Some(rows) = shape.first_mut() {
            *rows = parts.clone().filter_map(|value| value.shape.first()).sum();
        }
        Value { shape, memory: Memory::Aligned(Aligned::concat(parts.map(|value| &*value.memory))) }
    };
    (0..inputs).map(joined).collect()
}

/// One member's part of the outputs: `rows` is (first, number), or `None` for all there is.
fn answer(
    model: &Model,
    reply: Reply,
    answers: &[Answer<'_>],
    rows: Option<(usize, usize)>,
    packer: &mut Packer,
) -> Result<Output, HostError> {
    match reply {
        Reply::Document => {
            let recipe = model.recipe.as_ref().ok_or_else(|| host_error(ErrorKind::Runtime, "the recipe is gone"))?;
            let document =
                recipe.interpret(answers, rows.map_or(0, |rows| rows.0)).map_err(MediaError::into_host_error)?;
            packer.pack(document.as_bytes(), Want::Inline).map(Output::Document).map_err(|error| pack_error(&error))
        }
        Reply::Tensors(want) => {
            let tensor = |(index, answer): (usize, &Answer<'_>)| {
                let cut = || indivisible(model, index);
                let (shape, bytes) = match rows {
                    None => (answer.shape.clone(), answer.all()),
                    Some((first, rows)) => {
                        let mut shape = answer.shape.clone();
                        *shape.first_mut().ok_or_else(cut)? = i64::try_from(rows).unwrap_or(0);
                        (shape, answer.rows(first, rows).ok_or_else(cut)?)
                    }
                };
                let data = packer.pack(&bytes, want).map_err(|error| pack_error(&error))?;
                Ok(TensorData { index: u16::try_from(index).unwrap_or(u16::MAX), shape, data })
            };
            answers.iter().enumerate().map(tensor).collect::<Result<_, _>>().map(Output::Tensors)
        }
    }
}

fn indivisible(model: &Model, index: usize) -> HostError {
    let name = model.outputs.get(index).map_or("?", |spec| &spec.name);
    host_error(ErrorKind::Runtime, format!("output {name} cannot be divided among the batch"))
}

fn pack_error(error: &PackError) -> HostError {
    host_error(ErrorKind::Runtime, chain(error))
}

/// A runtime that does not take the arguments is the request's fault; all else is the runtime's.
fn run_error(error: &RunError) -> HostError {
    let kind = match error {
        RunError::Runtime(error) if error.code() != ort::ErrorCode::InvalidArgument => ErrorKind::Runtime,
        _ => ErrorKind::InvalidInput,
    };
    host_error(kind, chain(error))
}
