//! Every knob that a decision reads, as one validated value.

use core::time::Duration;

use crate::fallback::Fallbacks;
use crate::request::DataClass;
use crate::site::Site;
use crate::units::{Bytes, Kelvin, Ratio, Watts};

/// The operator's settings. Built by the daemon's config, replaced whole by [`Event::Policy`](crate::Event::Policy).
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Deadline of a request that names none and whose model has none of its own.
    pub default_deadline: Duration,
    /// The longest deadline a request may ask for; longer ones are cut to it.
    pub max_deadline: Duration,
    /// Places for requests that wait, all models together.
    pub max_waiting: usize,
    /// Room for payloads that wait, all models together.
    pub max_waiting_bytes: Bytes,
    /// Share of places, bytes and predicted wait that one caller may hold.
    pub client_share: Ratio,
    /// Sessions that may run at the same time, all models together.
    pub lanes: u16,
    /// Payloads that may be decoded at the same time.
    pub preparing: u16,
    /// Requests for stages or chunks of one request that may be open at the same time.
    pub fan_out: u16,
    /// Share of the lanes' and decoders' time that each lower priority gets while it waits behind higher ones.
    pub lower_share: Ratio,
    /// How long a batch of several requests, or a chunk of several rows of one, may be expected to run, so that nobody waits longer
    /// for a lane to become free.
    pub max_chunk: Duration,
    /// Largest batch, whatever a manifest says. At most [`Ids::CAPACITY`](crate::Ids::CAPACITY).
    pub max_batch: u16,
    /// Class of a request that names none.
    pub unlabelled: DataClass,
    /// Freest class that a caller on the bus may claim.
    pub bus_ceiling: DataClass,
    /// Freest class that a source on the broker may claim.
    pub broker_ceiling: DataClass,
    /// A batch that runs longer than this, and longer than twenty times its estimate, counts as hung.
    pub hang_after: Duration,
    /// What a restart of an engine host is assumed to take until one was measured.
    pub restart_estimate: Duration,
    /// What the governor keeps to.
    pub governor: Limits,
    /// Other places that can serve, at most [`Sites::MOST`](crate::site::Sites::MOST); a [`SiteId`](crate::SiteId) is a place in
    /// this list.
    pub sites: Vec<Site>,
    /// What is done when something does not serve.
    pub routing: Routing,
}

/// How places are compared, and what is done when one of them does not serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// A site counts as in time if this share of its answers would be.
    pub sure: Ratio,
    /// For each failure what is tried next.
    pub fallbacks: Fallbacks,
    /// A request that may be deferred and would wait longer than this waits on the disk.
    pub defer_after: Duration,
    /// Requests that may wait on the disk; 0 if there is none to wait on.
    pub max_deferred: u64,
    /// How long they may wait there: their longest deadline, where that is later than [`Policy::max_deadline`].
    pub max_wait: Duration,
    /// A site that nothing was sent to for so long is asked how it is.
    pub probe_every: Duration,
    /// A number that differs from box to box, so that boxes that lost a site together do not come back together.
    pub seed: u64,
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            sure: Ratio::NEARLY_ALL,
            fallbacks: Fallbacks::default(),
            defer_after: Duration::from_secs(2),
            max_deferred: 0,
            max_wait: Duration::ZERO,
            probe_every: Duration::from_secs(30),
            seed: 0,
        }
    }
}

/// What the governor keeps to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Distance from a trip that is kept, beyond what a prediction may be wrong by.
    pub margin: Kelvin,
    /// Power that the box may take, if the operator says.
    pub max_power: Option<Watts>,
    /// A model is slow when its runs take this many times as long as planned.
    pub slow_factor: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { margin: Kelvin::MARGIN, max_power: None, slow_factor: 1.5 }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            default_deadline: Duration::from_secs(5),
            max_deadline: Duration::from_secs(600),
            max_waiting: 1024,
            max_waiting_bytes: Bytes(256 << 20),
            client_share: Ratio::HALF,
            lanes: 2,
            preparing: 2,
            fan_out: 64,
            lower_share: Ratio::TENTH,
            max_chunk: Duration::from_millis(20),
            max_batch: 16,
            unlabelled: DataClass::Regulated,
            bus_ceiling: DataClass::Public,
            broker_ceiling: DataClass::Public,
            hang_after: Duration::from_secs(20),
            restart_estimate: Duration::from_millis(500),
            governor: Limits::default(),
            sites: Vec::new(),
            routing: Routing::default(),
        }
    }
}
