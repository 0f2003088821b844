//! What crosses the broker: topics, request bodies, replies and retained records, as text and bytes.
//!
//! Decides the grammar only. Must not know who may send what, what a model takes, or how packets travel; binary data
//! are given as ranges of the caller's buffer, so that nothing large is copied to be taken apart.
//!
//! Read [`topic`] (names), [`body`] (a request in JSON, with or without binary tensors behind it), [`tensor`] (numbers
//! to bytes and back), [`reply`] (answers), [`retained`] (what a box says of itself) and [`events`] (what it says when that
//! changes).

pub mod body;
pub mod events;
pub mod home;
pub mod reply;
pub mod retained;
pub mod tensor;
pub mod topic;
