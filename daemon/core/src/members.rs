//! The members of a batch and their results, held in place so that passing them on allocates nothing.

use crate::id::RequestId;
use crate::verdict::Fault;

/// Request ids of one batch, held in place so that a decision allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    len: u8,
    ids: [RequestId; Ids::CAPACITY],
}

impl Ids {
    /// Most members of one batch.
    pub const CAPACITY: usize = 32;

    /// No ids.
    pub const fn new() -> Ids {
        Ids { len: 0, ids: [RequestId(0); Ids::CAPACITY] }
    }

    /// Adds one id; `false` if there is no room.
    pub fn push(&mut self, id: RequestId) -> bool {
        match self.ids.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = id;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The ids in order.
    pub fn as_slice(&self) -> &[RequestId] {
        self.ids.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for Ids {
    fn default() -> Ids {
        Ids::new()
    }
}

/// How one member of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberResult {
    /// Which request.
    pub id: RequestId,
    /// Whether the model ran for it.
    pub result: Result<(), Fault>,
}

/// Results of one batch, one per member, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    len: u8,
    items: [MemberResult; Ids::CAPACITY],
}

impl Results {
    /// No results.
    pub const fn new() -> Results {
        Results { len: 0, items: [MemberResult { id: RequestId(0), result: Ok(()) }; Ids::CAPACITY] }
    }

    /// Adds one result; `false` if there is no room.
    pub fn push(&mut self, item: MemberResult) -> bool {
        match self.items.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = item;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The results in order.
    pub fn as_slice(&self) -> &[MemberResult] {
        self.items.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for Results {
    fn default() -> Results {
        Results::new()
    }
}
