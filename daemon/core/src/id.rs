//! Names of things as small numbers: what the core sees instead of strings and handles.

/// One request, from its arrival to its settlement. Given by the driver, never reused while the daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One way in which a model (a bundle's name and version) is run: on one host, with lanes of its own. A model that can be
/// run in several ways has a number for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u16);

/// One engine host: the child process of one execution provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u8);

/// One other place that can serve: its place in the policy's list of sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u8);

/// One engine thread with the session it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u16);

/// Who asks: a connection of the bus, a private peer, a source on the broker. Who may cancel, and what ends when it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// Who takes turns: one or several clients that count as one caller. Whoever gives them numbers keeps them apart as long as
/// no more than [`ShareId::COUNT`] callers have requests open; beyond that some of them share a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId(u8);

impl ShareId {
    /// How many there are: as many as fit into one word that says which of them wait.
    pub const COUNT: usize = 64;

    /// The share of this number; numbers from [`ShareId::COUNT`] on begin again at 0.
    pub const fn new(number: u32) -> ShareId {
        // The mask leaves six bits.
        ShareId((number & 63).to_le_bytes()[0])
    }

    /// Its number, below [`ShareId::COUNT`].
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// Where it is in a table of all shares.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}
