//! A member of a batch: finds, checks and aligns what it brings, and says which members can run as one.

use std::os::fd::OwnedFd;

use super::buffers::Buffers;
use super::memory::{Given, Memory, MemoryError};
use super::model::{Model, Place};
use crate::fault::{chain, host_error};
use crate::media::{Frame, Prepared};
use crate::protocol::{Datatype, ErrorKind, HostError, TensorData, Want};
use crate::tensor::{Aligned, Feed};

/// One input: of a member, or of a run.
pub struct Value<M = Memory> {
    pub shape: Vec<i64>,
    pub memory: M,
}

/// One input of a member, whose bytes need not have been fetched.
pub type Argument<'f> = Value<Given<'f>>;

impl Value {
    /// A copy of these bytes.
    pub fn of(shape: &[i64], bytes: &[u8]) -> Value {
        Value { shape: shape.to_vec(), memory: Memory::Aligned(Aligned::copy_of(bytes)) }
    }

    /// The same once more.
    pub fn copy(&self) -> Value {
        Value::of(&self.shape, &self.memory)
    }
}

impl Argument<'_> {
    /// As a member brings it.
    pub fn here(value: Value) -> Self {
        Value { shape: value.shape, memory: Given::Here(value.memory) }
    }
}

/// What a member brings.
pub enum Body<'f> {
    /// One value per input, in the graph's order.
    Values(Vec<Argument<'f>>, Want),
    /// What was prepared of an encoded payload.
    Prepared(Prepared),
}

/// A member that was checked.
pub struct Ready<'f> {
    pub body: Body<'f>,
    pub start_before: u64,
}

/// The values of a member that brings tensors, checked against the model.
pub fn values<'f>(
    model: &Model,
    tensors: Vec<TensorData>,
    fds: &'f [OwnedFd],
    buffers: &mut Buffers,
) -> Result<Vec<Argument<'f>>, HostError> {
    let mut places: Vec<Option<Argument<'f>>> = model.inputs.iter().map(|_| None).collect();
    let mut room = model.payload_bytes;
    for tensor in tensors {
        let index = usize::from(tensor.index);
        let input = model.inputs.get(index).map(|place| &place.spec);
        let name = || format!("input {}", input.map_or("of unknown index", |spec| &spec.name));
        let mut given = Given::of(tensor.data, fds, room).map_err(|error| error.into_host_error(&name()))?;
        room -= given.len() as u64;
        model.check_size(tensor.index, &tensor.shape, given.len())?;
        // Of most types all bytes are elements; of these they are looked at.
        if input.is_some_and(|spec| matches!(spec.datatype, Datatype::Bytes | Datatype::Bool)) {
            let memory = given.fetch(buffers).map_err(|error| error.into_host_error(&name()))?;
            model.check_elements(tensor.index, &tensor.shape, &memory)?;
            given = Given::Here(memory);
        }
        if let Some(place) = places.get_mut(index) {
            *place = Some(Value { shape: tensor.shape, memory: given });
        }
    }
    let missing = places.iter().zip(&model.inputs).find(|(place, _)| place.is_none());
    match missing {
        Some((_, place)) => Err(host_error(ErrorKind::InvalidInput, format!("input {} is missing", place.spec.name))),
        None => Ok(places.into_iter().flatten().collect()),
    }
}

/// The values as a session takes them.
pub fn feeds<'a>(model: &Model, values: &'a [Value]) -> Vec<Feed<'a>> {
    let feed = |(value, place): (&'a Value, &Place)| Feed {
        datatype: place.spec.datatype,
        shape: &value.shape,
        bytes: &value.memory,
    };
    values.iter().zip(&model.inputs).map(feed).collect()
}

/// How a member wants to be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Tensors(Want),
    /// A document; for a picture, where that lies in its tensor.
    Document(Option<Frame>),
}

/// A member on its way through a group that runs as one.
pub struct Item<'f> {
    /// Place in the batch.
    pub at: usize,
    pub id: u64,
    pub values: Vec<Argument<'f>>,
    pub reply: Reply,
    pub start_before: u64,
}

impl Item<'_> {
    /// Size of dimension 0.
    pub fn rows(&self) -> usize {
        let first = self.values.first().and_then(|value| value.shape.first());
        first.and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1)
    }

    /// Whether both can be one run: all shapes alike but for dimension 0, and that one alike in all inputs of each.
    pub fn joins(&self, other: &Item<'_>) -> bool {
        self.values.len() == other.values.len()
            && self.is_even()
            && other.is_even()
            && self.values.iter().zip(&other.values).all(|(a, b)| a.shape.get(1..) == b.shape.get(1..))
    }

    fn is_even(&self) -> bool {
        let first = self.values.first().and_then(|value| value.shape.first());
        self.values.iter().all(|value| value.shape.first() == first)
    }
}

/// Whether an item can be one run with these: its shapes are theirs, and all together have at most `most` rows.
pub fn has_room(group: &[Item<'_>], item: &Item<'_>, most: i64) -> bool {
    let rows: usize = group.iter().map(Item::rows).sum();
    let within = i64::try_from(rows + item.rows()).is_ok_and(|rows| rows <= most);
    within && group.first().is_some_and(|first| first.joins(item))
}

/// The values of a group as one run takes them: those of a single item in place where they can be, those of several one
/// after the other along dimension 0. The items have none afterwards.
pub fn join(model: &Model, group: &mut [Item<'_>], buffers: &mut Buffers) -> Result<Vec<Value>, HostError> {
    if let [item] = group {
        return fetch(model, std::mem::take(&mut item.values), buffers);
    }
    let joined = model.inputs.iter().enumerate().map(|(at, place)| one_after_the_other(group, at, place, buffers));
    let joined = joined.collect();
    group.iter_mut().for_each(|item| item.values.clear());
    joined
}

/// The values of one member as a run takes them.
pub fn fetch(model: &Model, values: Vec<Argument<'_>>, buffers: &mut Buffers) -> Result<Vec<Value>, HostError> {
    values.into_iter().zip(&model.inputs).map(|(value, place)| in_place(value, place, buffers)).collect()
}

fn in_place(value: Argument<'_>, place: &Place, buffers: &mut Buffers) -> Result<Value, HostError> {
    let memory = value.memory.fetch(buffers).map_err(|error| unread(&error, place))?;
    Ok(Value { shape: value.shape, memory: memory.aligned(place.spec.datatype.size()) })
}

fn one_after_the_other(
    group: &[Item<'_>],
    at: usize,
    place: &Place,
    buffers: &mut Buffers,
) -> Result<Value, HostError> {
    let parts = || group.iter().filter_map(|item| item.values.get(at));
    let mut shape = parts().next().map(|value| value.shape.clone()).unwrap_or_default();
    if let Some(rows) = shape.first_mut() {
        *rows = parts().filter_map(|value| value.shape.first()).sum();
    }
    let mut all = buffers.take(parts().map(|value| value.memory.len()).sum());
    let mut rest = all.as_mut_slice();
    for part in parts() {
        let (place_of_part, after) = rest.split_at_mut(part.memory.len());
        part.memory.copy_to(place_of_part).map_err(|error| unread(&error, place))?;
        rest = after;
    }
    Ok(Value { shape, memory: Memory::Aligned(all) })
}

fn unread(error: &MemoryError, place: &Place) -> HostError {
    host_error(ErrorKind::Runtime, format!("input {}: {}", place.spec.name, chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(shapes: &[&[i64]]) -> Item<'static> {
        let value = |shape: &&[i64]| {
            let elements = usize::try_from(shape.iter().product::<i64>()).unwrap();
            let rows = u8::try_from(shape[0]).unwrap();
            Value { shape: shape.to_vec(), memory: Given::Here(Memory::Owned(vec![rows; elements])) }
        };
        let values = shapes.iter().map(value).collect();
        Item { at: 0, id: 0, values, reply: Reply::Document(None), start_before: 0 }
    }

    /// The shapes of one request's inputs.
    type Shapes = &'static [&'static [i64]];

    #[test]
    fn members_join_only_if_nothing_but_their_rows_differs() {
        let cases: [(Shapes, Shapes, bool); 6] = [
            (&[&[1, 4]], &[&[1, 4]], true),
            (&[&[1, 4]], &[&[3, 4]], true),
            (&[&[1, 4]], &[&[1, 5]], false),
            (&[&[1, 4], &[1, 2]], &[&[2, 4], &[2, 2]], true),
            (&[&[1, 4], &[1, 2]], &[&[2, 4], &[1, 2]], false),
            (&[&[1, 4]], &[&[1, 4], &[1, 4]], false),
        ];
        for (a, b, joins) in cases {
            assert_eq!(item(a).joins(&item(b)), joins, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_group_takes_no_more_rows_than_the_profile() {
        let group = [item(&[&[1, 4]]), item(&[&[2, 4]])];
        for (shape, most, fits) in [([1, 4], 4, true), ([2, 4], 4, false), ([2, 4], 5, true), ([1, 5], 9, false)] {
            assert_eq!(has_room(&group, &item(&[&shape]), most), fits, "{shape:?} {most}");
        }
        assert!(has_room(&group, &item(&[&[200, 4]]), i64::MAX));
    }

    #[test]
    fn joined_values_lie_one_after_the_other() {
        let model = Model::of_bytes(2);
        let mut buffers = Buffers::default();
        let mut group = [item(&[&[1, 2], &[1, 1]]), item(&[&[2, 2], &[2, 1]])];
        let joined = join(&model, &mut group, &mut buffers).unwrap();
        assert_eq!((joined[0].shape.as_slice(), &*joined[0].memory), (&[3i64, 2][..], &[1u8, 1, 2, 2, 2, 2][..]));
        assert_eq!((joined[1].shape.as_slice(), &*joined[1].memory), (&[3i64, 1][..], &[1u8, 2, 2][..]));
        let alone = join(&model, &mut [item(&[&[2, 2], &[2, 1]])], &mut buffers).unwrap();
        assert_eq!((alone[0].shape.as_slice(), &*alone[0].memory), (&[2i64, 2][..], &[2u8, 2, 2, 2][..]));
    }
}
