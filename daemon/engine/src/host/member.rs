//! A member of a batch: finds, checks and aligns what it brings, and says which members can run as one.

use std::os::fd::OwnedFd;

use super::memory::Memory;
use super::model::Model;
use crate::fault::host_error;
use crate::media::{Frame, Prepared};
use crate::protocol::{ErrorKind, HostError, TensorData, Want};
use crate::tensor::{Aligned, Feed};

/// One input of one member.
pub struct Value {
    pub shape: Vec<i64>,
    pub memory: Memory,
}

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

/// What a member brings.
pub enum Body {
    /// One value per input, in the graph's order.
    Values(Vec<Value>, Want),
    /// What was prepared of an encoded payload.
    Prepared(Prepared),
}

/// A member whose bytes are at hand.
pub struct Ready {
    pub body: Body,
    pub start_before: u64,
}

/// The values of a member that brings tensors, checked against the model.
pub fn values(model: &Model, tensors: Vec<TensorData>, fds: &[OwnedFd]) -> Result<Vec<Value>, HostError> {
    let mut places: Vec<Option<Value>> = model.inputs.iter().map(|_| None).collect();
    let mut room = model.payload_bytes;
    for tensor in tensors {
        let index = usize::from(tensor.index);
        let name = model.inputs.get(index).map_or("of unknown index", |place| &place.spec.name);
        let memory =
            Memory::of(tensor.data, fds, room).map_err(|error| error.into_host_error(&format!("input {name}")))?;
        room -= memory.len() as u64;
        model.check(tensor.index, &tensor.shape, &memory)?;
        let size = model.inputs.get(index).map_or(1, |place| place.spec.datatype.size());
        let value = Value { shape: tensor.shape, memory: memory.aligned(size.max(1)) };
        if let Some(place) = places.get_mut(index) {
            *place = Some(value);
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
    let feed = |(value, place): (&'a Value, &super::model::Place)| Feed {
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
pub struct Item {
    /// Place in the batch.
    pub at: usize,
    pub id: u64,
    pub values: Vec<Value>,
    pub reply: Reply,
    pub start_before: u64,
}

impl Item {
    /// Size of dimension 0.
    pub fn rows(&self) -> usize {
        let first = self.values.first().and_then(|value| value.shape.first());
        first.and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1)
    }

    /// Whether both can be one run: all shapes alike but for dimension 0, and that one alike in all inputs of each.
    pub fn joins(&self, other: &Item) -> bool {
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
pub fn has_room(group: &[Item], item: &Item, most: i64) -> bool {
    let rows: usize = group.iter().map(Item::rows).sum();
    let within = i64::try_from(rows + item.rows()).is_ok_and(|rows| rows <= most);
    within && group.first().is_some_and(|first| first.joins(item))
}

/// All values of a group, one after the other along dimension 0.
pub fn join(group: &[Item]) -> Vec<Value> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn item(shapes: &[&[i64]]) -> Item {
        let value = |shape: &&[i64]| {
            let elements = usize::try_from(shape.iter().product::<i64>()).unwrap();
            let rows = u8::try_from(shape[0]).unwrap();
            Value { shape: shape.to_vec(), memory: Memory::Owned(vec![rows; elements]) }
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
        let joined = join(&[item(&[&[1, 2], &[1, 1]]), item(&[&[2, 2], &[2, 1]])]);
        assert_eq!((joined[0].shape.as_slice(), &*joined[0].memory), (&[3i64, 2][..], &[1u8, 1, 2, 2, 2, 2][..]));
        assert_eq!((joined[1].shape.as_slice(), &*joined[1].memory), (&[3i64, 1][..], &[1u8, 2, 2][..]));
    }
}
