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
    /// Ended with Ctrl-C; what was known until then was printed. The number is what a shell gives for that signal.
    Interrupted,
    /// The code of the command that was run, whatever that means.
    Of(u8),
}

impl Exit {
    /// Every exit of this command itself, with its code and its meaning in the manual.
    pub const ALL: [(Exit, u8, &'static str); 8] = [
        (Exit::Done, 0, "done"),
        (Exit::Refused, 1, "the daemon said no, or its answer could not be written; the reason is printed"),
        (Exit::Usage, 2, "the command line, or a file named on it, cannot be used"),
        (Exit::Unreachable, 3, "the daemon, its bus or the box named by --host cannot be reached"),
        (Exit::NotAuthorised, 4, "the caller may not do this"),
        (Exit::Deadline, 5, "the deadline passed before there was an answer"),
        (Exit::Degraded, 6, "something is not as it should be (status --check, doctor)"),
        (Exit::Interrupted, 130, "ended with Ctrl-C (bench prints what it measured until then)"),
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
            Exit::Interrupted => 130,
            Exit::Of(code) => code,
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
        let codes = Exit::ALL.map(|(exit, code, _)| {
            assert_eq!(exit.code(), code);
            code
        });
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130]);
    }
}
