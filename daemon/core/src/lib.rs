//! The decisions of `edged`, as a pure state machine.
//!
//! The whole surface is three calls of [`Scheduler`]: [`handle`](Scheduler::handle) takes an event and a time,
//! [`poll_action`](Scheduler::poll_action) gives what is to be done, [`poll_deadline`](Scheduler::poll_deadline)
//! says when to call again. Nothing here blocks, reads a clock, logs, or owns a payload, a thread, a socket or a file.
//!
//! # The way of a request
//!
//! ```text
//!   Arrived ─► classify ─► route ─► admit ──no──► the operator's table ─► a site: Accept, Spill (below)
//!                                     │                               ├─► the disk: Settle(Deferred)
//!                                     │ yes: Accept                   └─► no: Settle(Refused)
//!                    encoded          ▼          tensors
//!              ┌─────────────────────────────────────────┐
//!              ▼                                         ▼
//!        line to decode ─► Prepare ─► Prepared ─► line to run ─► batch ─► RunBatch ─► BatchDone ─► Settle(Done)
//!              ▲                          │              ▲                                │
//!              │                          │ failed       │ tensors                       │ failed
//!              │                          ▼              │                                ▼
//!              └──────── encoded ──── the one retry rule: once more, alone ◄──────────────┘
//!                                         │ else
//!                                         ▼
//!                   the operator's table: a site, the disk, or Settle(Failed)
//!
//!   Spill ─► SiteDone ─ an answer ─► Settle(Spilled)        late: a second Spill (hedge); the first answer wins, the
//!                     └ none ─► the operator's table:                other is called off
//!                               another Spill; Stay, and this box as above; the disk; Settle(Failed)
//!   A caller that has a first piece of a site's answer (SiteBegan) gets the rest from there, or Settle(Failed).
//!
//!   What waits here is sent when its last chance elsewhere has come, or when heat takes the box away from it. An answer of
//!   this box may be looked at (Check, Checked) before Settle(Done): if it is doubtful, a stronger site is asked, and if that
//!   has none, this one is given. What waits on the disk is taken up (TakeUp) when the box is calm, and Arrived again.
//!
//!   At any time: deadline passed ─► Settle(Expired)    Cancelled, ClientLeft ─► Settle(Cancelled)
//!                what is away ─► CallOff before that
//!                model went away ─► Settle(Shed)       what the host holds ─► Abort before that
//! ```
//!
//! A pipeline request runs nothing itself: `ParentArrived` admits it on the sum of its stages, its children come as
//! `Arrived` with its id, and `Finished` settles it. Whatever ends it earlier ends its children. A request of tensors with more
//! rows than one chunk may have is such a parent too: `Divide` follows its `Accept`, and its chunks are its children.
//!
//! # Reading order
//!
//! The words: [`units`], [`id`], [`request`], [`site`], [`policy`], [`verdict`], [`event`], [`action`], [`members`], [`stages`].
//! The rules, each without knowing the others: [`classify`] (how far may the data go, until when has the reply a
//! value), [`route`] (where), [`admit`] (is there room, can it be in time), [`spill`] (may a site have it, and which one gets
//! it), [`breaker`] (may a site be asked now), [`fallback`] (what is tried when a place does not serve), [`rest`] (how long what fails waits on the disk), [`turns`] (whose turn is it), [`pace`] (how much of the lanes' time may be used), [`queue`] and
//! [`fair`] (in which order), [`batch`] (which together), [`chunks`] (in how many pieces), [`linger`] (is one more waited for), [`estimate`] (how long will it take), [`setups`] (by which of
//! the ways to run it is a model served), [`recovery`] (when is one that failed tried again), [`memory`] (is there room for
//! it), [`upkeep`] (when is an engine host ended or replaced), [`tune`] (how are these ways measured, and which is kept), [`probation`] (does a version that
//! was just activated stay), [`pull`] (when and whence is a bundle fetched), [`inbox`] (when is a dropped file taken, and what
//! becomes of it), [`governor`] (how much can the box keep doing, in the heat that it is in), [`rollout`] (when does a box take what its fleet is to have),
//! [`quality`] (how much may stay with a weaker model). The facade that applies them: [`scheduler`].
//! What status prints: [`snapshot`].
//! With the feature `sim` there is a world to run it all in: `sim`.
//!
//! # Invariants
//!
//! Those of the architecture that are the core's to keep; the tests in `tests/invariants.rs` bear their names.
//!
//! 1. Every accepted request is settled exactly once. There is one way out of the table, and every live request has a
//!    deadline that ends it at the latest.
//! 2. The core never blocks, reads a clock, logs, or returns `Result` for a business "no": a refusal is a value.
//! 3. Every queue has a bound from [`Policy`]; at the bound there is a named refusal. Only what comes back from a dead
//!    host to be tried again may exceed the places, by no more than what was on the lanes. What is away is bounded by what
//!    may be open at each site, and each request is at two of them at most.
//! 4. No batch starts with a request whose deadline cannot be met by the current estimate.
//! 6. No byte of a request goes beyond the zone that its class allows, nor to a site that a rule keeps it from or that does
//!    not promise what a rule demands: not by a fault, a retry, a fallback, a hedge or an escalation. Nothing leaves but by one
//!    function, which asks once more at the instant of sending. What waits gets no freer class than any policy since it came
//!    allows it, and nothing that was meant for a site goes to another one that has its place now.
//! 8. Transports are interchangeable: [`Origin`] decides the ceiling of the data class and nothing else.
//! 9. Same events, same actions: no clock, no randomness, no order that depends on a hash, whole numbers in all that is
//!    learnt. Logs of events replay exactly, on every machine.
//!
//! And one of its own: after warm-up no decision allocates, which `tests/allocation.rs` counts.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod action;
pub mod admit;
pub mod batch;
pub mod breaker;
pub mod chunks;
pub mod classify;
pub mod estimate;
pub mod event;
pub mod fair;
pub mod fallback;
pub mod governor;
pub mod id;
pub mod inbox;
pub mod linger;
pub mod members;
pub mod memory;
pub mod pace;
pub mod policy;
pub mod probation;
pub mod pull;
pub mod quality;
pub mod queue;
pub mod recovery;
pub mod request;
pub mod rest;
pub mod rollout;
pub mod route;
pub mod scheduler;
pub mod setups;
#[cfg(feature = "sim")]
pub mod sim;
pub mod site;
pub mod snapshot;
pub mod spill;
pub mod stages;
pub mod tune;
pub mod turns;
pub mod units;
pub mod upkeep;
pub mod verdict;
pub mod wait;

pub use action::{Action, Change};
pub use chunks::{Rows, Size, Why};
pub use event::{Event, LaneRange, ModelState, Trip};
pub use id::{ClientId, HostId, LaneId, ModelId, RequestId, ShareId, SiteId};
pub use members::{Ids, MemberResult, Results};
pub use policy::Policy;
pub use request::{
    ClassClaim, DataClass, Difficulty, Here, Objective, Origin, Priority, RequestMeta, Terms, Work, Zone,
};
pub use scheduler::Scheduler;
pub use site::{Country, Demands, NanoUsd, Price, Retention, Site, Sites, Tokens, Training};
pub use snapshot::{Explanation, ModelSnapshot, SiteSnapshot, Snapshot};
pub use spill::Bar;
pub use stages::Stages;
pub use units::{Bytes, Cost, Mono, Ratio, Span};
pub use verdict::{Fault, Outcome, Reason, Refusal, RefusalCode, SiteFault, Verdict};
