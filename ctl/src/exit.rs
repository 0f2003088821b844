//! The exit codes of the command: a closed set that scripts depend on.

use std::process::ExitCode;

/// How a run of `edgectl` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// The daemon said no, or the answer could not be given; code and reason were printed.
    Refused,
    /// The command line, or a file named on it, cannot be used.
    Usage,
    /// The daemon, its bus or the box named by `--host` cannot be reached.
    Unreachable,
    /// The caller may not do this.
    NotAuthorised,
    /// The deadline passed before there was an answer.
    Deadline,
    /// The daemon serves, but not everything is as it should be.
    Degraded,
}

impl Exit {
    /// Every exit, with its code and its meaning in the manual.
    pub const ALL: [(Exit, u8, &'static str); 7] = [
        (Exit::Done, 0, "done"),
        (Exit::Refused, 1, "the daemon said no, or its answer could not be written; the reason is printed"),
        (Exit::Usage, 2, "the command line, or a file named on it, cannot be used"),
        (Exit::Unreachable, 3, "the daemon, its bus or the box named by --host cannot be reached"),
        (Exit::NotAuthorised, 4, "the caller may not do this"),
        (Exit::Deadline, 5, "the deadline passed before there was an answer"),
        (Exit::Degraded, 6, "something is not as it should be (status --check, doctor)"),
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::NotAuthorised => 4,
            Exit::Deadline => 5,
            Exit::Degraded => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_code_once_and_in_order() {
        for (place, (exit, code, _)) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code), place);
            assert_eq!(exit.code(), code);
        }
    }
}
