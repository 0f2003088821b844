//! Runs the members of a batch: together where their shapes allow it, one by one where not, and takes the outputs apart
//! again, so that each member gets exactly what it would have got alone.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::arena::{Options, Usual};
use super::buffers::Buffers;
use super::clock;
use super::lane::{in_time, told};
use super::member::{self, Argument, Body, Item, Ready, Reply, Value, feeds, has_room};
use super::memfd::{PackError, Packer};
use super::memory::Memory;
use super::model::Model;
use super::outputs::{Outputs, Shape};
use super::post::Post;
use super::session::{Engine, Place, RunError};
use super::spare::Spare;
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
    outputs: Outputs,
    buffers: Buffers,
    spare: Spare,
    /// Every run gives back what the runtime keeps.
    gives_back: bool,
}

impl Runner {
    /// Runs `engine` for `model`.
    pub fn new(model: Arc<Model>, engine: Engine, options: Arc<Options>) -> Runner {
        let (usual, outputs, buffers) = (Usual::default(), Outputs::default(), Buffers::default());
        Runner { model, engine, options, usual, outputs, buffers, spare: Spare::default(), gives_back: false }
    }

    /// From now on every run gives back what the runtime keeps, or only one that is far larger than others.
    pub fn give_back(&mut self, always: bool) {
        self.gives_back = always;
    }

    /// Whether [`Runner::prepare`] has something to do.
    pub fn may_prepare(&self) -> bool {
        self.spare.is_wanted() && !self.gives_back
    }

    /// Makes what the next request will need, while there is none.
    pub fn prepare(&mut self) {
        self.spare.prepare();
    }

    /// The model that it runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The values of a member that brings tensors, checked.
    pub fn values<'f>(&mut self, tensors: Vec<TensorData>, fds: &'f [OwnedFd]) -> Result<Vec<Argument<'f>>, HostError> {
        member::values(&self.model, tensors, fds, &mut self.buffers)
    }

    /// Runs a batch; one answer per member, in order.
    pub fn run(
        &mut self,
        slots: Vec<(u64, Result<Ready<'_>, HostError>)>,
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
        let mut groups: Vec<Vec<Item<'_>>> = Vec::new();
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
                        self.group(&mut groups, item(vec![Argument::here(value)], reply, start_before));
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
    fn group<'f>(&self, groups: &mut Vec<Vec<Item<'f>>>, item: Item<'f>) {
        let joins = |group: &&mut Vec<Item<'f>>| has_room(group, &item, self.model.max_rows);
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

    fn run_group(&mut self, mut group: Vec<Item<'_>>, post: &Post, packer: &mut Packer) -> Vec<(usize, Answered)> {
        let now = clock::now_ns();
        let mut done = Vec::new();
        let wanted = |item: &Item<'_>| if post.is_wanted(item.id) { Ok(()) } else { Err(told()) };
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
        let result = if wanted { self.run_items(&mut group, packer) } else { Err(told()) };
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
    fn run_items(&mut self, group: &mut [Item<'_>], packer: &mut Packer) -> Result<Vec<Answered>, HostError> {
        let shares: Vec<usize> = group.iter().map(Item::rows).collect();
        let values = member::join(&self.model, group, &mut self.buffers)?;
        let result = match group {
            [Item { reply: Reply::Tensors(want), .. }] => self.run_alone(&values, *want, packer).map(|one| vec![one]),
            _ => self.run_together(&values, group, &shares, packer),
        };
        for value in values {
            if let Memory::Aligned(bytes) = value.memory {
                self.buffers.give_back(bytes);
            }
        }
        result.map_err(|error| run_error(&error))
    }

    fn run_together(
        &mut self,
        values: &[Value],
        group: &[Item<'_>],
        shares: &[usize],
        packer: &mut Packer,
    ) -> Result<Vec<Answered>, RunError> {
        let Runner { model, engine, options, usual, gives_back, .. } = self;
        let feeds = feeds(model, values);
        let options = options.get(*gives_back || usual.gives_back(size(&feeds)));
        engine.run(&feeds, options, |answers| {
            let total = i64::try_from(shares.iter().sum::<usize>()).unwrap_or(-1);
            let odd = answers.iter().position(|answer| group.len() > 1 && answer.shape.first() != Some(&total));
            let mut from = 0;
            let part = |(item, rows): (&Item<'_>, &usize)| {
                let first = from;
                from += rows;
                match odd {
                    Some(index) => Err(indivisible(model, index)),
                    None => answer(model, item.reply, answers, (first, *rows), packer),
                }
            };
            group.iter().zip(shares).map(part).collect()
        })
    }

    /// Runs one member that is answered with tensors. Large outputs whose shapes are known from the runs before are
    /// written by the runtime where the caller reads them.
    fn run_alone(&mut self, values: &[Value], want: Want, packer: &mut Packer) -> Result<Answered, RunError> {
        let Runner { model, engine, options, usual, outputs, spare, gives_back, .. } = self;
        let feeds = feeds(model, values);
        let options = options.get(*gives_back || usual.gives_back(size(&feeds)));
        let mut places = match places(outputs.expected(&feeds).unwrap_or_default(), spare, packer) {
            Ok(places) => places,
            Err(error) => return Ok(Err(pack_error(&error))),
        };
        if places.iter().any(Option::is_some) {
            let bound: Vec<bool> = places.iter().map(Option::is_some).collect();
            let loose = |at: usize| !bound.get(at).copied().unwrap_or(false);
            let written = engine.run_into(&feeds, options, &mut places, |answers| parts(answers, want, loose, packer));
            match written {
                Ok(parts) => return Ok(parts.and_then(|parts| adopt(parts, places, packer))),
                // Most likely an output that is not as expected, which no runtime tells by a code of its own. If it is
                // something else, it fails again. It is done once for these shapes, because they are not believed again.
                Err(_) => outputs.varies(&feeds),
            }
        }
        engine.run(&feeds, options, |answers| {
            outputs.learn(&feeds, answers);
            let parts = parts(answers, want, |_| true, packer)?;
            Ok(Output::Tensors(parts.into_iter().flatten().collect()))
        })
    }

    /// A member that is more than one run, or none.
    fn run_whole(&mut self, prepared: &Prepared, start_before: u64, packer: &mut Packer) -> Answered {
        in_time(start_before, clock::now_ns())?;
        let document = self.document(prepared)?;
        packer.pack(document.as_bytes(), Want::Inline).map(Output::Document).map_err(|error| pack_error(&error))
    }

    /// The document of one prepared payload.
    pub fn document(&mut self, prepared: &Prepared) -> Result<String, HostError> {
        let Runner { model, engine, options, usual, gives_back, .. } = self;
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
            let values = values.into_iter().map(Argument::here).collect();
            group.push(Item { at, id: 0, values, reply, start_before: u64::MAX });
        }
        for answered in self.run_items(&mut group, &mut Packer::default())? {
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

/// One member's part of the outputs: so many rows from the first one on.
fn answer(
    model: &Model,
    reply: Reply,
    answers: &[Answer<'_>],
    (first, rows): (usize, usize),
    packer: &mut Packer,
) -> Answered {
    match reply {
        Reply::Document(frame) => {
            let recipe = model.recipe.as_ref().ok_or_else(|| host_error(ErrorKind::Runtime, "the recipe is gone"))?;
            let document = recipe.interpret(answers, first, frame).map_err(MediaError::into_host_error)?;
            packer.pack(document.as_bytes(), Want::Inline).map(Output::Document).map_err(|error| pack_error(&error))
        }
        Reply::Tensors(want) => {
            let tensor = |(index, answer): (usize, &Answer<'_>)| {
                let cut = || indivisible(model, index);
                let mut shape = answer.shape.clone();
                *shape.first_mut().ok_or_else(cut)? = i64::try_from(rows).unwrap_or(0);
                packed(index, shape, &answer.rows(first, rows).ok_or_else(cut)?, want, packer)
            };
            answers.iter().enumerate().map(tensor).collect::<Result<_, _>>().map(Output::Tensors)
        }
    }
}

fn packed(
    index: usize,
    shape: Vec<i64>,
    bytes: &[u8],
    want: Want,
    packer: &mut Packer,
) -> Result<TensorData, HostError> {
    let data = packer.pack(bytes, want).map_err(|error| pack_error(&error))?;
    Ok(TensorData { index: u16::try_from(index).unwrap_or(u16::MAX), shape, data })
}

/// From this size on an output is written by the runtime where the caller reads it: what is smaller is copied in less time
/// than a mapping takes.
const IN_PLACE: usize = 256 << 10;

/// Memory for the large ones of the outputs that are expected.
fn places(expected: &[Shape], spare: &mut Spare, packer: &Packer) -> Result<Vec<Option<Place>>, PackError> {
    let mut place = |shape: &Shape| {
        let len = shape.bytes();
        if len < IN_PLACE || !packer.has_room(expected.len()) {
            return Ok(None);
        }
        let fresh = spare.take(len).map_err(|source| PackError::Memfd { len, source })?;
        Ok(Some(Place { fresh, shape: shape.clone() }))
    };
    expected.iter().map(&mut place).collect()
}

/// The outputs that are to be packed; `None` for the others.
fn parts(
    answers: &[Answer<'_>],
    want: Want,
    is_loose: impl Fn(usize) -> bool,
    packer: &mut Packer,
) -> Result<Vec<Option<TensorData>>, HostError> {
    let part = |(index, answer): (usize, &Answer<'_>)| {
        let mut pack = || packed(index, answer.shape.clone(), &answer.all(), want, packer);
        is_loose(index).then(&mut pack).transpose()
    };
    answers.iter().enumerate().map(part).collect()
}

/// Puts the outputs that were written in place where they are missing.
fn adopt(parts: Vec<Option<TensorData>>, places: Vec<Option<Place>>, packer: &mut Packer) -> Answered {
    let missing = || host_error(ErrorKind::Runtime, "an output was neither packed nor written in place");
    let tensor = |(index, (part, place)): (usize, (Option<TensorData>, Option<Place>))| match (part, place) {
        (Some(part), _) => Ok(part),
        (None, Some(Place { fresh, shape })) => {
            let data = packer.adopt(fresh, shape.bytes()).map_err(|error| pack_error(&error))?;
            Ok(TensorData { index: u16::try_from(index).unwrap_or(u16::MAX), shape: shape.sizes, data })
        }
        (None, None) => Err(missing()),
    };
    let all = parts.into_iter().zip(places).enumerate();
    all.map(tensor).collect::<Result<_, _>>().map(Output::Tensors)
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
