//! The decisions of `edged`, as a pure state machine.
//!
//! The whole surface is three calls of [`Scheduler`]: [`handle`](Scheduler::handle) takes an event and a time,
//! [`poll_action`](Scheduler::poll_action) gives what is to be done, [`poll_deadline`](Scheduler::poll_deadline)
//! says when to call again. Nothing here blocks, reads a clock, logs, or owns a payload, a thread, a socket or a file.
//!
//! Read in this order: [`units`], [`id`], [`request`], [`policy`], [`verdict`] (the words), then
//! [`classify`], [`route`], [`admit`], [`queue`], [`batch`], [`estimate`] (the rules), then [`scheduler`] (the facade).
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod action;
pub mod admit;
pub mod batch;
pub mod classify;
pub mod estimate;
pub mod event;
pub mod id;
pub mod members;
pub mod policy;
pub mod queue;
pub mod request;
pub mod route;
pub mod scheduler;
#[cfg(feature = "sim")]
pub mod sim;
pub mod snapshot;
pub mod units;
pub mod verdict;

pub use action::{Action, Change};
pub use event::{Event, LaneRange, ModelState};
pub use id::{ClientId, LaneId, ModelId, RequestId};
pub use members::{Ids, MemberResult, Results};
pub use policy::Policy;
pub use request::{ClassClaim, DataClass, Origin, Priority, RequestMeta, Work, Zone};
pub use scheduler::Scheduler;
pub use snapshot::{ModelSnapshot, Snapshot};
pub use units::{Bytes, Cost, Mono, Ratio, Span};
pub use verdict::{Fault, Outcome, Reason, Refusal, RefusalCode, Verdict};
