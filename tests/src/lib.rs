//! The whole system under test: a private bus, a local broker, the real binaries, and clients that know the contract only.
//!
//! Read in this order: [`stack`] starts everything, [`client`] talks to it, [`answer`] is what comes back, [`runner`]
//! runs named trials against one stack, [`soak`] mixed load for as long as one likes; [`golden`], [`media`], [`memfd`]
//! and [`usage`] make inputs and measure processes.

pub mod answer;
pub mod broker;
pub mod bundle;
pub mod bus;
pub mod client;
pub mod clock;
pub mod crowd;
pub mod daemon;
pub mod demo;
pub mod desk;
pub mod disk;
pub mod faulty;
pub mod golden;
pub mod kills;
pub mod measure;
pub mod media;
pub mod memfd;
pub mod origin;
pub mod peers;
pub mod places;
pub mod process;
pub mod provider;
pub mod recorded;
pub mod runner;
pub mod secrets;
pub mod soak;
pub mod sparkplug;
pub mod spin;
pub mod stack;
pub mod tamper;
pub mod usage;
pub mod versions;
pub mod wall;
pub mod wheels;
