//! What status prints of the core: plain data, taken at one instant, decided nothing from.

use core::time::Duration;

use crate::governor::{Capacity, Input, State, ZoneView};
use crate::id::ModelId;
use crate::units::Bytes;

/// The core's state in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Accepted requests that wait for a lane, those being decoded included; of a pipeline the parent, all the time.
    pub waiting: usize,
    /// Their payloads.
    pub waiting_bytes: Bytes,
    /// Payloads that the host decodes now.
    pub preparing: usize,
    /// Requests given to lanes.
    pub running: usize,
    /// Requests for stages and chunks that wait; they hold no place of their own.
    pub stages: usize,
    /// Live service rate: lanes' worth of estimated work that is really done per unit of time, while work waits.
    pub service_rate: f64,
    /// Nothing new is taken.
    pub draining: bool,
    /// What the governor lets run.
    pub capacity: Capacity,
    /// In which regime the box is, and why.
    pub regime: State,
    /// Share of the lanes' time that could be used for ever; `None` until it is known.
    pub sustainable: Option<f64>,
    /// Share of the lanes' time that was used over the last ten seconds.
    pub used: f64,
    /// What heats, and how much of it there is now: watts, or the share of the lanes' time.
    pub input: Input,
    /// See `input`.
    pub level: f64,
    /// The thermometers that have a trip.
    pub zones: Vec<ZoneView>,
    /// Somebody reserves the box.
    pub held: bool,
    /// One entry per model that was ever named, in the order of their first mention.
    pub models: Vec<ModelSnapshot>,
}

/// One model in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSnapshot {
    /// Which model.
    pub model: ModelId,
    /// Requests that wait for it.
    pub waiting: usize,
    /// Requests given to its lanes.
    pub running: usize,
    /// Estimated run of one request of cost 1 alone; `None` if it never ran.
    pub service: Option<Duration>,
    /// The batch size that pays best, as far as measured.
    pub batch: usize,
    /// Requests done since the start.
    pub done: u64,
    /// How many times as long as its plan says its runs take, where that is late.
    pub late: Option<f64>,
}
