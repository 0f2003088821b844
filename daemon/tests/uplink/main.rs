//! The uplink against scripted servers on this machine: every answer that a site could give, good or bad, over every way that leads
//! there. Nothing here waits for a time but what is itself about time: budgets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chats;
mod desk;
mod faults;
mod server;
mod tensors;
mod tls;
mod ways;
