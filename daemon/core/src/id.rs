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

/// One engine thread with the session it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u16);

/// Who asks: a connection of the bus, a private peer, a source on the broker. Shares are kept per client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);
