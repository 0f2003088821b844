//! The engine host of `edged`: sessions, media and bundles, in a child process without a network.
//!
//! Read [`bundle`] (what a model is on disk), [`protocol`] and [`channel`] (what daemon and host say to each other; big
//! tensors cross as sealed memfds), [`media`] (encoded payloads in, documents out), [`host`] (the child's main). This is
//! the only crate that links ONNX Runtime, and it does so only in the child; [`library`] finds the runtime for the
//! daemon by looking at files.

pub mod bundle;
pub mod channel;
pub mod elements;
pub mod family;
mod fault;
pub mod graph;
pub mod host;
pub mod library;
pub mod media;
pub mod memfile;
pub mod protocol;
pub mod tensor;
