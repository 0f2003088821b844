//! A private bus, a scripted daemon on it, and transcripts of what the command says.

pub mod bus;
pub mod canned;
pub mod canned_routing;
pub mod daemon;
pub mod fake;
pub mod redact;
pub mod transcript;
