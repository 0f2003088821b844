//! Why the command has no answer: one closed set, each with its exit code, its word and what to do about it.

use edge_wire::dto::Info;
use edge_wire::error::{ErrorCode, Refused};
use thiserror::Error;

use crate::exit::Exit;
use crate::render::units;

/// A run without an answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// The daemon said no.
    #[error("{}: {}", refused.code, refused.message)]
    Refused {
        refused: Refused,
        /// What the daemon knows about the request all the same.
        info: Option<Box<Info>>,
    },
    /// The bus itself keeps the caller from talking to the daemon.
    #[error("{what}")]
    Forbidden { what: String },
    /// Nobody there to answer.
    #[error("{what}")]
    Unreachable {
        what: String,
        /// What a technician can do.
        remedy: String,
    },
    /// The daemon answers, and what was waited for did not come in time.
    #[error("{what}")]
    Unfinished {
        what: String,
        /// What a technician can do.
        remedy: String,
    },
    /// The daemon answers in a way that this command does not understand.
    #[error("{what}")]
    Mismatch { what: String },
    /// Work on this machine, which no daemon was asked about, could not be done.
    #[error("{what}")]
    Local { what: String },
    /// The command line, or a file named on it.
    #[error("{what}")]
    Usage { what: String },
}

impl Failure {
    /// A fault of the command line or of a file named on it.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure::Usage { what: what.into() }
    }

    /// Work on this machine that could not be done.
    pub fn local(what: impl Into<String>) -> Failure {
        Failure::Local { what: what.into() }
    }

    /// A "no" of the daemon.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure::Refused { refused: Refused { code, message: message.into(), retry_after_ms: None }, info: None }
    }

    /// Nobody there.
    pub fn unreachable(what: impl Into<String>, remedy: impl Into<String>) -> Failure {
        Failure::Unreachable { what: what.into(), remedy: remedy.into() }
    }

    /// The word in `--json`: the daemon's own code where it gave one.
    pub fn word(&self) -> &'static str {
        match self {
            Failure::Refused { refused, .. } => refused.code.as_str(),
            Failure::Forbidden { .. } => ErrorCode::NotAuthorized.as_str(),
            Failure::Unreachable { .. } => "unreachable",
            Failure::Unfinished { .. } => "unfinished",
            Failure::Mismatch { .. } => "interface_mismatch",
            Failure::Local { .. } => "not_done",
            Failure::Usage { .. } => "usage",
        }
    }

    /// The message without its code.
    pub fn message(&self) -> String {
        match self {
            Failure::Refused { refused, .. } => refused.message.clone(),
            other => other.to_string(),
        }
    }

    /// What a technician can do, if there is something to say.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Failure::Unreachable { remedy, .. } | Failure::Unfinished { remedy, .. } => Some(remedy.clone()),
            Failure::Forbidden { .. } => {
                Some("inference needs group `edge`; `edgectl doctor` says what is missing".into())
            }
            Failure::Mismatch { .. } => Some("update the older of edged and edgectl".into()),
            Failure::Refused { refused: Refused { code: ErrorCode::NotAuthorized, .. }, .. } => {
                Some("inference needs group `edge`, changes need an administrator; see `edgectl doctor`".into())
            }
            Failure::Refused { refused: Refused { retry_after_ms: Some(ms), .. }, .. } => {
                Some(format!("again in {}", units::span(*ms)))
            }
            Failure::Refused { .. } | Failure::Local { .. } | Failure::Usage { .. } => None,
        }
    }

    /// The exit that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Refused { refused, .. } => exit_of(refused.code),
            Failure::Forbidden { .. } => Exit::NotAuthorised,
            Failure::Unreachable { .. } => Exit::Unreachable,
            Failure::Unfinished { .. } | Failure::Mismatch { .. } | Failure::Local { .. } => Exit::Refused,
            Failure::Usage { .. } => Exit::Usage,
        }
    }
}

/// The exit of each of the daemon's codes.
pub fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::NotAuthorized => Exit::NotAuthorised,
        ErrorCode::DeadlineExceeded => Exit::Deadline,
        ErrorCode::UnknownModel
        | ErrorCode::InvalidInput
        | ErrorCode::TooLarge
        | ErrorCode::Overloaded
        | ErrorCode::Confined
        | ErrorCode::Unavailable
        | ErrorCode::Cancelled
        | ErrorCode::Internal => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_right_and_a_passed_deadline_have_exits_of_their_own() {
        for (code, ..) in ErrorCode::ALL {
            let expected = match code {
                ErrorCode::NotAuthorized => Exit::NotAuthorised,
                ErrorCode::DeadlineExceeded => Exit::Deadline,
                _ => Exit::Refused,
            };
            assert_eq!(Failure::refused(code, "x").exit(), expected, "{code}");
        }
    }

    #[test]
    fn a_refusal_prints_its_code_before_its_message() {
        let failure = Failure::refused(ErrorCode::TooLarge, "payload of 80 MiB; at most 64 MiB");
        assert_eq!(failure.to_string(), "too_large: payload of 80 MiB; at most 64 MiB");
        assert_eq!(failure.message(), "payload of 80 MiB; at most 64 MiB");
    }
}
