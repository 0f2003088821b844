//! `edgectl hold --why TEXT [-- COMMAND]`: holds the device until a signal comes, or the command ends.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use edge_wire::dto::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::process::{Child, Command};

use crate::cli::{Common, HoldArgs};
use crate::client::{CHANGE_LIMIT, Client};
use crate::clock::Stopwatch;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json, units};
use crate::screen::{Signals, Told};

/// How often it is looked whether the daemon is still the one that gave the hold.
const LOOK: Duration = Duration::from_secs(1);

pub async fn run(common: &Common, args: &HoldArgs) -> Result<Answer, Failure> {
    let mut signals = Signals::that_end().map_err(|error| Failure::local(format!("listen to signals: {error}")))?;
    let client = super::connect(common).await?;
    let mut held = Held::take(client, common, &args.why).await?;
    let watch = Stopwatch::start();
    if args.command.is_empty() {
        out::complain(&human::holding(&held.status().await?, &args.why));
        held.until_ended(&mut signals).await;
        return Ok(released(common, &args.why, watch, Exit::Done));
    }
    held.until_quiet(common.timeout.unwrap_or(CHANGE_LIMIT), &mut signals).await?;
    let exit = held.running(&args.command, &mut signals).await?;
    // Its output is the answer.
    let answer = Answer::done(String::new()).ending(exit);
    Ok(answer.noting(human::released(&args.why, watch.elapsed())))
}

fn released(common: &Common, why: &str, watch: Stopwatch, exit: Exit) -> Answer {
    let text = if common.json { json::held(why, watch.elapsed()) } else { human::released(why, watch.elapsed()) };
    Answer::done(text).ending(exit)
}

/// The device while it is ours.
struct Held<'a> {
    client: Client,
    common: &'a Common,
    why: &'a str,
    /// Closing it lets the device go.
    hold: Option<OwnedFd>,
    /// The daemon's connection that gave it.
    by: Option<String>,
}

impl<'a> Held<'a> {
    async fn take(client: Client, common: &'a Common, why: &'a str) -> Result<Held<'a>, Failure> {
        let hold = client.hold(why).await?;
        let by = client.connection_of_daemon().await?;
        Ok(Held { client, common, why, hold: Some(hold), by })
    }

    async fn status(&self) -> Result<Status, Failure> {
        self.client.status().await
    }

    /// Takes the device again if the daemon that gave it is gone; says so, and goes on trying.
    async fn keep(&mut self) {
        if self.hold.is_some() && self.client.connection_of_daemon().await.is_ok_and(|by| by.is_some() && by == self.by)
        {
            return;
        }
        if self.hold.take().is_some() {
            out::complain("edgectl: edged went away, and the device is not held; it will be again when edged is back");
        }
        // The bus may have gone, too.
        if let Ok(client) = super::connect(self.common).await
            && let Ok(again) = Held::take(client, self.common, self.why).await
        {
            *self = again;
            out::complain("edgectl: edged is back, and the device is held again");
        }
    }

    /// Returns when a signal came, or when nobody is there any more to end it.
    async fn until_ended(&mut self, signals: &mut Signals) {
        while !is_abandoned() {
            tokio::select! {
                _ = signals.next() => return,
                () = tokio::time::sleep(LOOK) => self.keep().await,
            }
        }
    }

    /// Waits until nothing runs on the device any more.
    async fn until_quiet(&self, limit: Duration, signals: &mut Signals) -> Result<(), Failure> {
        let quiet = async {
            while self.status().await?.running > 0 {
                tokio::time::sleep(super::INTERVAL).await;
            }
            Ok(())
        };
        tokio::select! {
            done = tokio::time::timeout(limit, quiet) => done.unwrap_or_else(|_| Err(Failure::Unfinished {
                what: format!("requests still run {} after the device was reserved", units::duration(limit)),
                remedy: "`edgectl status` shows what runs; a longer --timeout waits longer".into(),
            })),
            _ = signals.next() => Err(Failure::local("ended before the device was quiet; nothing was run")),
        }
    }

    /// Runs the command to its end. What ends this command ends that one: a terminal tells both, the rest is passed on.
    async fn running(&mut self, command: &[std::ffi::OsString], signals: &mut Signals) -> Result<Exit, Failure> {
        let [program, words @ ..] = command else { return Ok(Exit::Done) };
        let shown = program.to_string_lossy();
        let spawned = Command::new(program).args(words).spawn();
        let mut child = spawned.map_err(|error| Failure::usage(format!("run {shown}: {error}")))?;
        loop {
            tokio::select! {
                ended = child.wait() => {
                    let ended = ended.map_err(|error| Failure::local(format!("wait for {shown}: {error}")))?;
                    return Ok(exit_of(ended));
                }
                told = signals.next() => if told == Told::Terminate { pass_on(&child) },
                () = tokio::time::sleep(LOOK) => self.keep().await,
            }
        }
    }
}

/// The command gets to end in its own time, while the device is still held.
fn pass_on(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        out::complain(&format!("edgectl: pass the signal on to the command: {error}"));
    }
}

/// As a shell tells it: the code, or 128 and the number of the signal.
fn exit_of(ended: ExitStatus) -> Exit {
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Exit::Of(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Whoever read the output has gone, as when an ssh connection without a terminal ends: nobody can end the hold any more.
fn is_abandoned() -> bool {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let mut ends = [PollFd::new(&stdout, PollFlags::empty()), PollFd::new(&stderr, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut ends, Some(&at_once)).is_ok() && ends.iter().any(|end| end.revents().intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_is_that_of_the_command_as_a_shell_tells_it() {
        assert_eq!(exit_of(ExitStatus::from_raw(0)).code(), 0);
        assert_eq!(exit_of(ExitStatus::from_raw(7 << 8)).code(), 7);
        assert_eq!(exit_of(ExitStatus::from_raw(15)).code(), 143);
    }
}
