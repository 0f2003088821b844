//! The answers of the core: closed sets, each with the one word that every surface uses.

use core::time::Duration;

use crate::id::SiteId;
use crate::spill::Bar;

/// Route's answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Served by this box.
    Local(Reason),
    /// Sent to another site.
    Spill(SiteId, Reason),
    /// Served by this box, whose answer is looked at: if it is doubtful, a stronger site is asked.
    Speculate(Reason),
    /// Put on the disk until something can serve it.
    Defer(Reason),
    /// Not acceptable now, or at all.
    Refuse(Refusal),
}

impl Verdict {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Local(_) => "local",
            Verdict::Spill(..) => "spill",
            Verdict::Speculate(_) => "speculate",
            Verdict::Defer(_) => "defer",
            Verdict::Refuse(_) => "refuse",
        }
    }

    /// Why, in one word.
    pub const fn reason(self) -> &'static str {
        match self {
            Verdict::Local(reason)
            | Verdict::Spill(_, reason)
            | Verdict::Speculate(reason)
            | Verdict::Defer(reason) => reason.as_str(),
            Verdict::Refuse(refusal) => refusal.reason.as_str(),
        }
    }
}

/// Why a verdict is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The predicted wait and service fit the deadline.
    Feasible,
    /// The request may wait as long as it takes.
    Deferrable,
    /// The model has not run yet, or not for so long that what is known of it is no reason to refuse.
    Unmeasured,
    /// All places for waiting requests are taken.
    QueueFull,
    /// All room for waiting payloads is taken.
    BytesFull,
    /// This client already holds its share of what can wait.
    ClientShare,
    /// The work ahead would take longer than the deadline allows.
    PredictedWait,
    /// Even an idle box would be too late.
    DeadlineTooShort,
    /// The deadline had passed on arrival.
    DeadlinePast,
    /// The model is not loaded and will not be soon.
    ModelUnavailable,
    /// The engine host is down for longer than the deadline allows.
    HostDown,
    /// The box is draining.
    Draining,
    /// The request was alive at two crashes.
    DiedTwice,
    /// The pipeline request has as many requests for its stages open as one may have.
    FanOut,
    /// The pipeline request that this one is a stage of has ended.
    NoParent,
    /// The work ahead would take longer than the deadline allows, because heat or power holds the box back.
    Throttled,
    /// Nothing runs until the box is cooler.
    TooHot,
    /// Somebody reserves the box.
    Held,
    /// Its model lives on other sites only.
    OnlyThere,
    /// The prompt is longer than the model of this box can read.
    ContextOverflow,
    /// Another place is expected to be faster, and the operator seeks speed.
    Faster,
    /// A stronger site is worth asking, by what was learnt.
    Difficult,
    /// The answer of this box is doubtful.
    Doubtful,
    /// It waited for this box as long as it could, and is sent while another site can still be in time.
    WaitedTooLong,
    /// The runtime failed on it here.
    EngineFault,
    /// There is no room for it, or for its model, in memory.
    OutOfMemory,
    /// The site that it was sent to did not serve it.
    SiteDown,
    /// The site that would be taken has spent its budget.
    BudgetSpent,
    /// The first site is late, so a second one is asked.
    Hedged,
    /// The answer of this box is compared with another site's.
    Compared,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 30] = [
        Reason::Feasible,
        Reason::Deferrable,
        Reason::Unmeasured,
        Reason::QueueFull,
        Reason::BytesFull,
        Reason::ClientShare,
        Reason::PredictedWait,
        Reason::DeadlineTooShort,
        Reason::DeadlinePast,
        Reason::ModelUnavailable,
        Reason::HostDown,
        Reason::Draining,
        Reason::DiedTwice,
        Reason::FanOut,
        Reason::NoParent,
        Reason::Throttled,
        Reason::TooHot,
        Reason::Held,
        Reason::OnlyThere,
        Reason::ContextOverflow,
        Reason::Faster,
        Reason::Difficult,
        Reason::Doubtful,
        Reason::WaitedTooLong,
        Reason::EngineFault,
        Reason::OutOfMemory,
        Reason::SiteDown,
        Reason::BudgetSpent,
        Reason::Hedged,
        Reason::Compared,
    ];

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Feasible => "feasible",
            Reason::Deferrable => "deferrable",
            Reason::Unmeasured => "unmeasured",
            Reason::QueueFull => "queue_full",
            Reason::BytesFull => "bytes_full",
            Reason::ClientShare => "client_share",
            Reason::PredictedWait => "predicted_wait",
            Reason::DeadlineTooShort => "deadline_too_short",
            Reason::DeadlinePast => "deadline_past",
            Reason::ModelUnavailable => "model_unavailable",
            Reason::HostDown => "host_down",
            Reason::Draining => "draining",
            Reason::DiedTwice => "died_twice",
            Reason::FanOut => "fan_out",
            Reason::NoParent => "no_parent",
            Reason::Throttled => "throttled",
            Reason::TooHot => "too_hot",
            Reason::Held => "held",
            Reason::OnlyThere => "only_there",
            Reason::ContextOverflow => "context_overflow",
            Reason::Faster => "faster",
            Reason::Difficult => "difficult",
            Reason::Doubtful => "doubtful",
            Reason::WaitedTooLong => "waited_too_long",
            Reason::EngineFault => "engine_fault",
            Reason::OutOfMemory => "out_of_memory",
            Reason::SiteDown => "site_down",
            Reason::BudgetSpent => "budget_spent",
            Reason::Hedged => "hedged",
            Reason::Compared => "compared",
        }
    }
}

/// A "no" before anything ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The contract's code for it.
    pub code: RefusalCode,
    /// Which rule said no.
    pub reason: Reason,
    /// With [`RefusalCode::Overloaded`]: when the same request would be taken, by the present estimate.
    pub retry_after: Option<Duration>,
    /// What was predicted until completion, when a prediction was made.
    pub predicted: Option<Duration>,
    /// What barred the site that came nearest to being taken; `None` if no site serves such requests.
    pub away: Option<Bar>,
}

/// The contract's codes that the core can decide. The shell adds those that need no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// Cannot be answered before its deadline, even by an idle box.
    DeadlineExceeded,
    /// Could be served at a lower load.
    Overloaded,
    /// The model or its host cannot serve now.
    Unavailable,
    /// May not leave the device, and the device cannot serve it.
    Confined,
    /// Will not be tried again.
    Internal,
}

/// Why a piece of work failed. The text that belongs to it stays in the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The engine host died with this request on it.
    HostLost,
    /// The engine host was ended because it did not answer.
    Hung,
    /// The runtime reported an error.
    Runtime,
    /// The payload or a tensor is not what the model takes.
    InvalidInput,
    /// The payload is larger than the model's limit once decoded.
    TooLarge,
    /// The engine host has no room to keep what it decodes; there will be when others have run.
    Full,
    /// The deadline passed in the engine host before the model ran.
    Late,
    /// The work was ended on request.
    Stopped,
    /// No site that was asked gave an answer.
    Site,
    /// It waited for a place at a site that may not have its data any more, and no other place may or can serve it.
    Confined,
}

impl Fault {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::HostLost => "host_lost",
            Fault::Hung => "hung",
            Fault::Runtime => "runtime_error",
            Fault::InvalidInput => "invalid_input",
            Fault::TooLarge => "too_large",
            Fault::Full => "full",
            Fault::Late => "late",
            Fault::Stopped => "stopped",
            Fault::Site => "site_fault",
            Fault::Confined => "confined",
        }
    }
}

/// The final state of a request. Every request that arrives gets exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The model ran and its results are with the driver.
    Done,
    /// This site answered, and its answer is with the driver.
    Spilled(SiteId),
    /// It is not served now: it is to be put on the disk, and comes again when something can serve it.
    Deferred(Reason),
    /// The work failed for good.
    Failed(Fault),
    /// Refused on arrival; nothing ran.
    Refused(Refusal),
    /// The deadline passed before the model was done, or cannot be met any more.
    Expired,
    /// The caller cancelled it, or left.
    Cancelled,
    /// Accepted, then dropped because the box can no longer serve it (its model went away, or a drain ran out of time).
    Shed(Reason),
}

impl Outcome {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Done | Outcome::Spilled(_) => "done",
            Outcome::Deferred(_) => "deferred",
            Outcome::Failed(_) => "failed",
            Outcome::Refused(_) => "refused",
            Outcome::Expired => "expired",
            Outcome::Cancelled => "cancelled",
            Outcome::Shed(_) => "shed",
        }
    }
}

/// Why a site gave no answer. What is safe to try again follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteFault {
    /// It was not reached: nothing of the request was sent.
    Connect,
    /// It is not who it should be, or does not take who we are at the level of the connection: nothing was sent.
    Tls,
    /// What says who this box is there is missing, cannot be read, or is not taken.
    Credential,
    /// It did not answer in time.
    Timeout,
    /// The connection broke while it was at it.
    Reset,
    /// It has too much to do; it says when to come again, or does not.
    Busy(Option<Duration>),
    /// It says that it failed.
    Server,
    /// It says that the request is wrong.
    Rejected,
    /// It has no such model, or nothing where it was asked: who runs it may put it there.
    Missing,
    /// What it said is no answer.
    Garbage,
    /// Its answer is larger than what is taken.
    TooLarge,
    /// It pointed elsewhere, which is never followed.
    Redirected,
    /// It was called off.
    CalledOff,
    /// What leaves the device could not be noted, so nothing was sent.
    Unaudited,
    /// It cannot be said as the site takes it, so that nothing was sent; or what it said cannot be read here, which is not its fault.
    Unfit,
    /// The payload is not what the model takes, wherever that runs; nothing was sent.
    Invalid,
    /// The same, as there is more in it than the model may be given.
    Oversized,
}

impl SiteFault {
    /// Whether it is the request: the site would say so again whenever it is asked for it.
    pub const fn is_for_good(self) -> bool {
        matches!(self, SiteFault::Rejected | SiteFault::TooLarge)
    }

    /// Whether it may be the request, however well the site is for others: it is not sent there again at once.
    pub const fn may_be_of_request(self) -> bool {
        match self {
            SiteFault::Reset
            | SiteFault::Server
            | SiteFault::Rejected
            | SiteFault::Missing
            | SiteFault::Garbage
            | SiteFault::TooLarge
            | SiteFault::Redirected
            | SiteFault::Unfit
            | SiteFault::Invalid
            | SiteFault::Oversized => true,
            SiteFault::Connect
            | SiteFault::Tls
            | SiteFault::Credential
            | SiteFault::Timeout
            | SiteFault::Busy(_)
            | SiteFault::CalledOff
            | SiteFault::Unaudited => false,
        }
    }

    /// All of them, `Busy` without a time.
    pub const ALL: [SiteFault; 17] = [
        SiteFault::Connect,
        SiteFault::Tls,
        SiteFault::Credential,
        SiteFault::Timeout,
        SiteFault::Reset,
        SiteFault::Busy(None),
        SiteFault::Server,
        SiteFault::Rejected,
        SiteFault::Missing,
        SiteFault::Garbage,
        SiteFault::TooLarge,
        SiteFault::Redirected,
        SiteFault::CalledOff,
        SiteFault::Unaudited,
        SiteFault::Unfit,
        SiteFault::Invalid,
        SiteFault::Oversized,
    ];

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            SiteFault::Connect => "connect",
            SiteFault::Tls => "tls",
            SiteFault::Credential => "credential",
            SiteFault::Timeout => "timeout",
            SiteFault::Reset => "reset",
            SiteFault::Busy(_) => "busy",
            SiteFault::Server => "server",
            SiteFault::Rejected => "rejected",
            SiteFault::Missing => "missing",
            SiteFault::Garbage => "garbage",
            SiteFault::TooLarge => "too_large",
            SiteFault::Redirected => "redirected",
            SiteFault::CalledOff => "called_off",
            SiteFault::Unaudited => "unaudited",
            SiteFault::Unfit => "unfit",
            SiteFault::Invalid => "invalid",
            SiteFault::Oversized => "oversized",
        }
    }
}
