//! Runs the members of a batch: together where their shapes allow it, one by one where not, and takes the outputs apart
//! again, so that each member gets exactly what it would have got alone.

use std::sync::Arc;

use super::arena::{Options, Usual};
use super::clock;
use super::lane::{in_time, told};
use super::member::{Body, Item, Ready, Reply, Value, feeds, has_room, join};
use super::memfd::{PackError, Packer};
use super::memory::Memory;
use super::model::Model;
use super::post::Post;
use super::session::{Engine, RunError};
use super::trial::Sample;
use crate::fault::{chain, host_error};
use crate::media::{MediaError, Prepared};
use crate::protocol::{ErrorKind, HostError, Measured, MemberDone, Output, TensorData, Want};
use crate::tensor::{Answer, Feed};

/// What one member is answered with.
type Answered = Result<Output, HostError>;

/// Shape and elements of an output, as they travel.
pub type Shaped = (Vec<i64>, Vec<u8>);

/// A session with what it needs to run members.
pub struct Runner {
    model: Arc<Model>,
    engine: Engine,
    options: Arc<Options>,
    usual: Usual,
    /// Every run gives back what the runtime keeps.
    gives_back: bool,
}

impl Runner {
    /// Runs `engine` for `model`.
    pub fn new(model: Arc<Model>, engine: Engine, options: Arc<Options>) -> Runner {
        Runner { model, engine, options, usual: Usual::default(), gives_back: false }
    }

    /// From now on every run gives back what the runtime keeps, or only one that is far larger than others.
    pub fn give_back(&mut self, always: bool) {
        self.gives_back = always;
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
        let lost = || Err(host_error(ErrorKind::Runtime, "the member was not run"));
        let mut done: Vec<MemberDone> = slots.iter().map(|slot| MemberDone { id: slot.0, result: lost() }).collect();
        let mut settle = |at: usize, result: Answered| {
            if let Some(member) = done.get_mut(at) {
                member.result = result;
            }
        };
        let mut groups: Vec<Vec<Item>> = Vec::new();
        for (at, (id, slot)) in slots.into_iter().enumerate() {
            let item = |values, reply, start_before| Item { at, id, values, reply, start_before };
            match slot {
                Err(error) => settle(at, Err(error)),
                Ok(Ready { body: Body::Values(values, want), start_before }) => {
                    self.group(&mut groups, item(values, Reply::Tensors(want), start_before));
                }
                Ok(Ready { body: Body::Prepared(prepared), start_before }) => match self.value(&prepared) {
                    Some(value) => {
                        let reply = Reply::Document(prepared.frame());
                        self.group(&mut groups, item(vec![value], reply, start_before));
                    }
                    None => {
                        let wanted = post.begin([id]);
                        let result = if wanted { self.run_whole(&prepared, start_before, packer) } else { Err(told()) };
                        settle(at, if post.end() { result.map_err(|_| told()) } else { result });
                    }
                },
            }
        }
        for group in groups {
            self.run_group(group, post, packer).into_iter().for_each(|(at, result)| settle(at, result));
        }
        done
    }

    /// Finds a group for a member, or opens one.
    fn group(&self, groups: &mut Vec<Vec<Item>>, item: Item) {
        let joins = |group: &&mut Vec<Item>| has_room(group, &item, self.model.max_rows);
        match groups.iter_mut().find(joins).filter(|_| self.model.batched) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }

    /// The one input of a prepared payload; `None` if it takes more than one run, or none.
    fn value(&self, prepared: &Prepared) -> Option<Value> {
        let filled = self.model.recipe.as_ref()?.fill(prepared)?;
        Some(Value { shape: filled.shape, memory: Memory::Aligned(filled.bytes) })
    }

    fn run_group(&mut self, mut group: Vec<Item>, post: &Post, packer: &mut Packer) -> Vec<(usize, Answered)> {
        let now = clock::now_ns();
        let mut done = Vec::new();
        let wanted = |item: &Item| if post.is_wanted(item.id) { Ok(()) } else { Err(told()) };
        group.retain(|item| match wanted(item).and_then(|()| in_time(item.start_before, now)) {
            Ok(()) => true,
            Err(error) => {
                done.push((item.at, Err(error)));
                false
            }
        });
        if group.is_empty() {
            return done;
        }
        let wanted = post.begin(group.iter().map(|item| item.id));
        let result = if wanted { self.run_items(&group, packer) } else { Err(told()) };
        let stopped = post.end() || !wanted;
        match result {
            Ok(outputs) => done.extend(group.iter().map(|item| item.at).zip(outputs)),
            Err(mut error) => {
                if stopped {
                    error = told();
                } else if group.len() > 1 {
                    // Any of them may be the cause; alone each will show.
                    error.kind = ErrorKind::Runtime;
                }
                done.extend(group.iter().map(|item| (item.at, Err(error.clone()))));
            }
        }
        done
    }

    /// Runs the items of a group as one, and gives each its part.
    fn run_items(&mut self, group: &[Item], packer: &mut Packer) -> Result<Vec<Answered>, HostError> {
        let Runner { model, engine, options, usual, gives_back } = self;
        let Some(first) = group.first() else { return Ok(Vec::new()) };
        let joined = if group.len() > 1 { Some(join(group)) } else { None };
        let feeds = feeds(model, joined.as_ref().unwrap_or(&first.values));
        let shares: Vec<usize> = group.iter().map(Item::rows).collect();
        let options = options.get(*gives_back || usual.gives_back(size(&feeds)));
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
    fn run_whole(&mut self, prepared: &Prepared, start_before: u64, packer: &mut Packer) -> Answered {
        in_time(start_before, clock::now_ns())?;
        let document = self.document(prepared)?;
        packer.pack(document.as_bytes(), Want::Inline).map(Output::Document).map_err(|error| pack_error(&error))
    }

    /// The document of one prepared payload.
    pub fn document(&mut self, prepared: &Prepared) -> Result<String, HostError> {
        let Runner { model, engine, options, usual, gives_back } = self;
        let Some(recipe) = &model.recipe else {
            return Err(host_error(ErrorKind::InvalidInput, "the model takes tensors only"));
        };
        let run = |feeds: &[Feed<'_>], take: &mut dyn FnMut(&[Answer<'_>])| {
            for (index, feed) in (0..).zip(feeds) {
                model.check_shape(index, feed.shape)?;
            }
            let options = options.get(*gives_back || usual.gives_back(size(feeds)));
            engine.run(feeds, options, |answers| take(answers)).map_err(|error| run_error(&error))
        };
        let inputs: Vec<_> = model.inputs.iter().map(|place| place.spec.clone()).collect();
        recipe.document(prepared, &inputs, run)
    }

    /// Runs `sample` so many times as one batch; with what it takes to join, to divide and to interpret.
    pub fn measure(&mut self, sample: &Sample, batch: u16) -> Result<Measured, HostError> {
        let (waited, cpu) = (clock::waited_ns(), clock::cpu_ns());
        let start = clock::now_ns();
        let measured = || Measured {
            took_ns: clock::since_ns(start),
            cpu_ns: clock::cpu_ns().saturating_sub(cpu),
            waited_ns: clock::waited_ns().saturating_sub(waited),
        };
        let mut group = Vec::with_capacity(usize::from(batch));
        for at in 0..usize::from(batch.max(1)) {
            let (values, reply) = match sample {
                Sample::Tensors(values) => (values.iter().map(Value::copy).collect(), Reply::Tensors(Want::Sealed)),
                Sample::Prepared(prepared) => match self.value(prepared) {
                    Some(value) => (vec![value], Reply::Document(prepared.frame())),
                    None if batch > 1 => {
                        return Err(host_error(ErrorKind::InvalidInput, "its requests take several runs each"));
                    }
                    None => return self.document(prepared).map(|_| measured()),
                },
            };
            group.push(Item { at, id: 0, values, reply, start_before: u64::MAX });
        }
        for answered in self.run_items(&group, &mut Packer::default())? {
            answered?;
        }
        Ok(measured())
    }

    /// The values of the first runs, at most `most`, that a prepared payload takes.
    pub fn inputs(&mut self, prepared: &Prepared, most: usize) -> Result<Vec<Vec<Value>>, HostError> {
        let Runner { model, engine, options, .. } = self;
        let Some(recipe) = &model.recipe else { return Ok(Vec::new()) };
        let mut seen: Vec<Vec<Value>> = Vec::new();
        let run = |feeds: &[Feed<'_>], take: &mut dyn FnMut(&[Answer<'_>])| {
            if seen.len() < most {
                let value = |feed: &Feed<'_>| Value::of(feed.shape, feed.bytes);
                seen.push(feeds.iter().map(value).collect());
            }
            engine.run(feeds, options.get(false), |answers| take(answers)).map_err(|error| run_error(&error))
        };
        let inputs: Vec<_> = model.inputs.iter().map(|place| place.spec.clone()).collect();
        recipe.document(prepared, &inputs, run)?;
        Ok(seen)
    }

    /// One run on plain tensors, for goldens: the outputs as they travel, with their shapes.
    pub fn tensors(&mut self, values: &[Value]) -> Result<Vec<Shaped>, HostError> {
        let take = |answers: &[Answer<'_>]| {
            answers.iter().map(|answer| (answer.shape.clone(), answer.all().into_owned())).collect()
        };
        let feeds = feeds(&self.model, values);
        self.engine.run(&feeds, self.options.get(self.gives_back), take).map_err(|error| run_error(&error))
    }
}

/// Bytes of the inputs of a run.
fn size(feeds: &[Feed<'_>]) -> u64 {
    feeds.iter().map(|feed| u64::try_from(feed.bytes.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}

/// One member's part of the outputs: `rows` is (first, number), or `None` for all there is.
fn answer(
    model: &Model,
    reply: Reply,
    answers: &[Answer<'_>],
    rows: Option<(usize, usize)>,
    packer: &mut Packer,
) -> Answered {
    match reply {
        Reply::Document(frame) => {
            let recipe = model.recipe.as_ref().ok_or_else(|| host_error(ErrorKind::Runtime, "the recipe is gone"))?;
            let row = rows.map_or(0, |rows| rows.0);
            let document = recipe.interpret(answers, row, frame).map_err(MediaError::into_host_error)?;
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
