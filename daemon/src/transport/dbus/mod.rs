//! D-Bus: the interfaces of the contract on the bus and on private connections.
//!
//! Read in this order: [`serve`] (connecting), [`objects`] (what is put up), [`inference`] and [`call`] (the hot path:
//! [`arguments`], [`intake`], [`descriptor`], [`stream`], [`reply`]), [`submit`], [`peers`], then the rest of the interfaces
//! ([`control`], [`models`], [`jobs`], [`telemetry`]), and who may do what ([`client`], [`authorize`]).
//!
//! Bounds: calls open per caller, objects of `Submit` per caller, private connections per user (all from the limits of
//! the configuration), descriptors of all callers together ([`service`]).

pub mod arguments;
pub mod authorize;
pub mod bus;
pub mod call;
pub mod client;
pub mod control;
pub mod credentials;
pub mod descriptor;
pub mod door;
pub mod error;
pub mod generate;
pub mod groups;
pub mod inference;
pub mod intake;
pub mod jobs;
pub mod methods;
pub mod models;
pub mod objects;
pub mod peers;
pub mod reactor;
pub mod reply;
pub mod routing;
pub mod service;
pub mod socket;
pub mod stream;
pub mod submit;
pub mod telemetry;

pub use authorize::{Access, Authority, Identity, Via};
pub use bus::{Bus, BusError, serve, serve_at};
pub use service::Service;
