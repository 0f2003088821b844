//! What can go wrong with an order, in words for a technician and in kinds for the core. Judges nothing: whether it is tried
//! again, or counted against the site, is not decided here.

use std::sync::Arc;
use std::time::Duration;

/// How far an order had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All connections that the site may have were in use.
    Waiting,
    /// There was no connection yet.
    Connecting,
    /// The request was on its way.
    Sending,
    /// The site had all of it and said nothing yet.
    Answer,
    /// The answer was on its way.
    Reading,
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting for one of the site's connections",
            Phase::Connecting => "connecting",
            Phase::Sending => "sending the request",
            Phase::Answer => "waiting for the answer",
            Phase::Reading => "reading the answer",
        }
    }
}

/// The kinds of trouble, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No connection.
    Connect,
    /// A connection, but no TLS.
    Tls,
    /// No credential to show, or one that is not taken.
    Credential,
    /// The budget was spent.
    Timeout,
    /// The connection broke.
    Reset,
    /// The site has too much to do.
    Busy,
    /// The site failed.
    Server,
    /// The site does not take this request.
    Rejected,
    /// What came is not the protocol.
    Garbage,
    /// The answer is larger than may be.
    TooLarge,
    /// The site sends on to elsewhere.
    Redirected,
    /// Somebody gave it up.
    Cancelled,
    /// The request cannot be said in the site's protocol, or its bytes cannot be had. No fault of the site; nothing was sent.
    Unfit,
}

impl Kind {
    /// The word for it on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Connect => "connect",
            Kind::Tls => "tls",
            Kind::Credential => "credential",
            Kind::Timeout => "timeout",
            Kind::Reset => "reset",
            Kind::Busy => "busy",
            Kind::Server => "server",
            Kind::Rejected => "rejected",
            Kind::Garbage => "garbage",
            Kind::TooLarge => "too_large",
            Kind::Redirected => "redirected",
            Kind::Cancelled => "cancelled",
            Kind::Unfit => "unfit",
        }
    }
}

/// Why an order brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UplinkError {
    #[error("no connection to site {site} at {at}: {cause}")]
    Connect { site: Arc<str>, at: String, cause: String },
    #[error("no TLS with site {site} at {at}: {cause}")]
    Tls { site: Arc<str>, at: String, cause: String },
    #[error("credential for site {site}: {cause}")]
    Credential { site: Arc<str>, cause: String },
    #[error("site {site}: {} ms were over while {}", .budget.as_millis(), .phase.words())]
    Timeout { site: Arc<str>, budget: Duration, phase: Phase },
    #[error("the connection to site {site} broke while {}: {cause}", .phase.words())]
    Reset { site: Arc<str>, phase: Phase, cause: String },
    #[error("site {site} has too much to do ({status}){}", of(.message))]
    Busy { site: Arc<str>, status: u16, message: String, retry_after: Option<Duration> },
    #[error("site {site} failed ({status}){}", of(.message))]
    Server { site: Arc<str>, status: u16, message: String },
    #[error("site {site} does not take the request ({status}){}", of(.message))]
    Rejected { site: Arc<str>, status: u16, message: String },
    #[error("site {site} answered what is not its protocol: {why}")]
    Garbage { site: Arc<str>, why: String },
    #[error("site {site} answers with {}, and at most {most} bytes are taken", told(*.bytes))]
    TooLarge { site: Arc<str>, bytes: Option<u64>, most: u64 },
    #[error("site {site} sends on to {to} ({status}), and that is never followed: set its `url` to where it is")]
    Redirected { site: Arc<str>, status: u16, to: String },
    #[error("the request to site {site} was given up")]
    Cancelled { site: Arc<str> },
    #[error("the request cannot go to site {site}: {why}")]
    Unfit { site: Arc<str>, why: String },
}

impl UplinkError {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            UplinkError::Connect { .. } => Kind::Connect,
            UplinkError::Tls { .. } => Kind::Tls,
            UplinkError::Credential { .. } => Kind::Credential,
            UplinkError::Timeout { .. } => Kind::Timeout,
            UplinkError::Reset { .. } => Kind::Reset,
            UplinkError::Busy { .. } => Kind::Busy,
            UplinkError::Server { .. } => Kind::Server,
            UplinkError::Rejected { .. } => Kind::Rejected,
            UplinkError::Garbage { .. } => Kind::Garbage,
            UplinkError::TooLarge { .. } => Kind::TooLarge,
            UplinkError::Redirected { .. } => Kind::Redirected,
            UplinkError::Cancelled { .. } => Kind::Cancelled,
            UplinkError::Unfit { .. } => Kind::Unfit,
        }
    }

    /// When the site would like to be asked again, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        if let UplinkError::Busy { retry_after, .. } = self { *retry_after } else { None }
    }
}

fn of(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn told(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes"))
}
