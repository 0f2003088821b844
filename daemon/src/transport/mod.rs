//! The ways in: each transport bounds, authorises, parses its own syntax and turns what it got into a
//! [`Request`](crate::request::Request). None of them decides anything about a model, a deadline or a place.

pub mod convert;
pub mod dbus;
pub mod http;
pub mod mqtt;
pub mod options;
pub mod sparkplug;
