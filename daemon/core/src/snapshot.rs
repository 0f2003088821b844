//! What status prints of the core: plain data, taken at one instant, decided nothing from.

use core::time::Duration;

use crate::breaker;
use crate::fallback::Taken;
use crate::governor::{Capacity, Input, State, ZoneView};
use crate::id::{ModelId, SiteId};
use crate::request::DataClass;
use crate::site::NanoUsd;
use crate::spill::{Bar, Offer, SiteSeen};
use crate::units::Bytes;
use crate::verdict::{SiteFault, Verdict};

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
    /// One entry per site of the policy.
    pub sites: Vec<SiteSnapshot>,
    /// What was tried when something did not serve.
    pub fallbacks: Taken,
    /// Requests that wait on the disk.
    pub deferred: u64,
    /// Requests that other sites are at.
    pub away: usize,
    /// How long a request that came now would wait behind all that waits and runs, by the rate at which that is done. At most an
    /// hour, which also stands for ever. A caller whose turn is next waits less.
    pub wait: Duration,
}

/// One site in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSnapshot {
    /// Which one.
    pub site: SiteId,
    /// Its breaker.
    pub breaker: breaker::State,
    /// It cannot be used, whatever its breaker says.
    pub off: bool,
    /// Requests that are open there.
    pub open: u16,
    /// Requests that wait here for a place there.
    pub waiting: usize,
    /// Spent there today, with what open requests are expected to cost.
    pub spent: NanoUsd,
    /// Time until its answer to a small request is here: of half of them, and of 95 in a hundred.
    pub likely: Duration,
    /// See `likely`.
    pub sure: Duration,
    /// Answers that this rests on, old ones for less than one.
    pub observed: u32,
    /// How many of a thousand requests fail.
    pub failed_permille: u32,
    /// Answers since the start.
    pub done: u64,
    /// Attempts without an answer since the start.
    pub failed: u64,
    /// Why the last attempt or probe failed, if the one after it did not succeed.
    pub last_fault: Option<SiteFault>,
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

/// What would become of a request, and all that this was decided by.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// What this box by itself would say.
    pub here: Verdict,
    /// Its effective class.
    pub class: DataClass,
    /// Time until its deadline.
    pub slack: Duration,
    /// Predicted time until a lane begins with it.
    pub wait: Duration,
    /// Its run on an idle box; `None` if the model was not measured.
    pub service: Option<Duration>,
    /// Predicted time until completion here.
    pub predicted: Option<Duration>,
    /// It would wait so long at most for a place at the site of the verdict, which is full.
    pub waits: Option<Duration>,
    /// What was asked of each site of the policy, in its order.
    pub sites: Vec<Judged>,
}

/// One site as it was judged for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Which one.
    pub site: SiteId,
    /// What was seen of it.
    pub seen: SiteSeen,
    /// What the request is expected to cost there; `None` if it has no price.
    pub cost: Option<NanoUsd>,
    /// What it would do, or what bars it.
    pub answer: Result<Offer, Bar>,
}
