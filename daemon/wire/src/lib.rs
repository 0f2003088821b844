//! What `edged` says to the outside: names, records, error codes, D-Bus proxies and MQTT payloads.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bring;
pub mod dict;
pub mod dto;
pub mod error;
pub mod governor;
pub mod hardware;
pub mod history;
pub mod learn;
pub mod mqtt;
pub mod names;
pub mod oip;
pub mod plan;
pub mod proxy;
pub mod runtime;
pub mod sites;
pub mod sparkplug;
pub mod tensor;
