//! `edgectl bench`: how fast the box answers. Reading order: [`plan`] (which steps), [`input`] (what is sent; [`shape`] and
//! [`pattern`] make tensors), [`caller`] (one request), [`load`] (many at the same time), [`tally`] (what came of them),
//! [`percentile`] and [`report`] (the numbers), [`run`] (the steps in turn).
//!
//! A *step* is one number of clients with one batch for some seconds. A client asks again as soon as it has its answer, over
//! a connection of its own, so that to the daemon each is a caller of its own. A *row* is one item of a tensor request along
//! its outermost dimension; the rows of a request are its batch.

pub mod caller;
pub mod input;
pub mod load;
pub mod pattern;
pub mod percentile;
pub mod plan;
pub mod report;
pub mod run;
pub mod shape;
pub mod tally;
