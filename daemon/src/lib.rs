//! `edged` as a library: read `config` (what the operator said), `request` and `handle` (all that a transport may hold),
//! `driver` (the one loop and the only clock), `lanes` (the daemon's end of the engine host), `store` (bundles on disk),
//! `cache` (what providers compiled), `pull` (bundles fetched from elsewhere), `uplink` (requests sent to other sites), `http`
//! (what both have in common), `inspect` (what is in a payload and in an answer: pure functions), `difficulty` (whether a
//! stronger site would answer a text better), `binding` (which frames are asked for, and where their answers go), `runtimes` (ONNX
//! Runtimes from wheels), `ledger`
//! (what must survive), `transport` (bus and broker), `telemetry`, `service` (the init system).

pub mod binding;
pub mod bring;
pub mod cache;
pub mod config;
pub mod difficulty;
pub mod driver;
pub mod fleet;
pub mod handle;
pub mod http;
pub mod inspect;
pub mod lanes;
pub mod ledger;
pub mod plans;
pub mod pull;
pub mod request;
pub mod run;
pub mod runtimes;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod uplink;
pub mod watched;
pub mod whole;
