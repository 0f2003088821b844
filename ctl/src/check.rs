//! What `doctor` reports: records that are also its JSON form.

use serde::Serialize;

use crate::exit::Exit;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but somebody should look at it.
    Warn,
    /// Something is not served because of it.
    Fail,
    /// Could not be checked; `what` says why.
    Skip,
}

impl Level {
    /// The word in front of the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
            Level::Skip => "skip",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about, in one or two words.
    pub subject: String,
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

impl Check {
    /// A check that came out well.
    pub fn ok(subject: impl Into<String>, what: impl Into<String>) -> Check {
        Check { subject: subject.into(), level: Level::Ok, what: what.into(), remedy: String::new() }
    }

    /// A check that could not be made.
    pub fn skip(subject: impl Into<String>, what: impl Into<String>) -> Check {
        Check { level: Level::Skip, ..Check::ok(subject, what) }
    }

    /// Something to look at.
    pub fn warn(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { level: Level::Warn, remedy: remedy.into(), ..Check::ok(subject, what) }
    }

    /// Something that is wrong.
    pub fn fail(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { level: Level::Fail, remedy: remedy.into(), ..Check::ok(subject, what) }
    }
}

/// All checks of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the daemon answered.
    pub reachable: bool,
    /// No check failed.
    pub healthy: bool,
    /// In the order in which a technician goes on.
    pub checks: Vec<Check>,
    #[serde(skip)]
    pub exit: Exit,
}
