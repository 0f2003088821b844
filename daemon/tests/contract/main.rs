//! The D-Bus contract: every proxy method against the real interfaces, the introspection against its golden files, and
//! every "no" at the level of the transport. A scripted driver stands behind the handle; most tests run over a socket
//! pair, those that need a bus start one of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod bus;
mod fake;
mod goldens;
mod interfaces;
mod peers;
mod routing;
mod submit;
