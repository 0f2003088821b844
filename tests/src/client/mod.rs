//! Clients written against the contract alone, as somebody else would write them.

pub mod bus;
pub mod mqtt;
pub mod peer;
pub mod reply;
pub mod routes;
