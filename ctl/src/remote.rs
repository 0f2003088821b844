//! `--host`: the same command line on another box, over ssh.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::exit::Exit;
use crate::failure::Failure;

/// What a command needs of ssh.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// A terminal there.
    pub terminal: bool,
    /// It may end with any code.
    pub any_exit: bool,
}

/// Runs the words of this command line, without `--host`, on `host`; its streams and its exit become ours.
pub fn run(host: &str, needs: &Needs) -> Result<Exit, Failure> {
    if host.is_empty() || host.starts_with('-') {
        return Err(Failure::usage(format!("--host is {host:?}; it takes a box's name, or user@box")));
    }
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let line = quoted(&without_host(&words))?;
    let status = Command::new("ssh")
        .args(needs.terminal.then_some("-t"))
        .args(["--", host])
        .arg(line)
        .status()
        .map_err(|error| Failure::unreachable(format!("run ssh: {error}"), "install the package openssh-client"))?;
    exit_of(status.code(), needs.any_exit, host)
}

/// The exit of the command there. ssh says 255 when it could not connect, the shell 127 when there is no such command.
fn exit_of(code: Option<i32>, any: bool, host: &str) -> Result<Exit, Failure> {
    match code {
        Some(255) => Err(Failure::unreachable(format!("ssh to {host} did not work"), format!("`ssh {host} true`"))),
        Some(127) => Err(Failure::unreachable(format!("there is no edgectl on {host}"), "install edged there")),
        Some(code) if any && (0..=255).contains(&code) => Ok(Exit::Of(u8::try_from(code).unwrap_or(u8::MAX))),
        other => Exit::ALL
            .into_iter()
            .find(|(_, code, _)| Some(i32::from(*code)) == other)
            .map(|(exit, ..)| exit)
            .ok_or_else(|| Failure::unreachable(format!("edgectl on {host} was ended"), format!("`ssh {host} true`"))),
    }
}

/// The words without `--host X` and `--host=X`. Words behind `--` are not options and stay.
fn without_host(words: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_bytes() {
            b"--" => {
                kept.push(word.clone());
                kept.extend(rest.by_ref().cloned());
            }
            b"--host" => drop(rest.next()),
            text if text.starts_with(b"--host=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// One line for the shell there: every word in single quotes, so that no shell finds anything to expand.
fn quoted(words: &[OsString]) -> Result<String, Failure> {
    let mut line = String::from("edgectl");
    for word in words {
        let word = word
            .to_str()
            .ok_or_else(|| Failure::usage(format!("{word:?} is not UTF-8 and cannot be sent to a box")))?;
        line.push_str(&format!(" '{}'", word.replace('\'', r"'\''")));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &str) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert_eq!(quoted(&without_host(&words)).unwrap(), expected);
    }

    #[test]
    fn the_host_is_taken_out_and_every_other_word_arrives_as_it_was() {
        check(&["--host", "root@press-7", "status", "--check"], "edgectl 'status' '--check'");
        check(&["infer", "--host=press-7", "text-line", "-"], "edgectl 'infer' 'text-line' '-'");
        check(&["trace", "--", "--host", "x"], "edgectl 'trace' '--' '--host' 'x'");
    }

    #[test]
    fn no_word_can_become_a_command_there() {
        check(&["trace", "$(reboot); `id` 'x' \"y\" \\"], r#"edgectl 'trace' '$(reboot); `id` '\''x'\'' "y" \'"#);
    }

    #[test]
    fn the_exit_there_is_the_exit_here_and_a_lost_connection_is_unreachable() {
        assert_eq!(exit_of(Some(0), false, "b").unwrap(), Exit::Done);
        assert_eq!(exit_of(Some(6), false, "b").unwrap(), Exit::Degraded);
        assert_eq!(exit_of(Some(101), true, "b").unwrap().code(), 101, "of the command that `hold` runs");
        for code in [Some(255), Some(127), Some(101), None] {
            assert_eq!(exit_of(code, false, "b").unwrap_err().exit(), Exit::Unreachable, "{code:?}");
        }
    }
}
