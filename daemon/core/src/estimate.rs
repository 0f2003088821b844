//! Decides how long things will take, from how long they took: running a batch, preparing a payload, restarting the
//! host. Must not know requests, queues or deadlines.
//!
//! All means are exponentially weighted, of whole nanoseconds: the same completions give the same estimates on every
//! machine. Unknown is `None`, never zero.

pub mod batch_size;
pub mod mean;
pub mod prepare;
pub mod rate;
pub mod restart;
pub mod service;
