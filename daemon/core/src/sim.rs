//! A world to run the core in: a virtual clock, a fake engine host, seeded arrivals, and logs of what happened.
//!
//! Nothing here is part of the daemon. Tests, benchmarks and replays use it; a fault that was seen in the field becomes a
//! log of events in the format of [`text`], and replays in milliseconds.

pub mod arrivals;
pub mod heated;
pub mod plant;
pub mod pump;
pub mod slots;
pub mod text;
pub mod world;

pub use arrivals::{Arrivals, Dice};
pub use pump::Pump;
pub use world::{Does, FakeModel, FakeSite, Sent, Step, World};
