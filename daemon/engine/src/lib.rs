//! The engine host of `edged`: sessions, media and bundles, in a child process without a network.
//!
//! The daemon speaks to it with the messages of [`protocol`] over the socketpair of [`channel`]; big tensors cross as
//! sealed memfds. [`host`] is the child's main. This is the only crate that links ONNX Runtime.

pub mod channel;
pub mod memfile;
pub mod protocol;
