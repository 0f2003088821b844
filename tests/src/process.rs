//! Child processes that never outlive their handle, with their output in a log file.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::clock::eventually_blocking;

/// Whether a process ends with the one that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Killed with its handle, and by the kernel if the thread that started it dies first.
    WithParent,
    /// Lives on in a session of its own; somebody stops it by its pid.
    Detached,
}

/// A running child and its process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    life: Life,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` in a process group of its own; stdout and stderr go to `<dir>/<name>.log`.
    pub fn spawn(name: &str, mut command: Command, dir: &Path, life: Life) -> Result<Process> {
        let log = dir.join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log);
        let out = open().with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let enter = move || enter_life(life);
        // SAFETY: between fork and exec only two system calls are made, which are async-signal-safe.
        unsafe { command.pre_exec(enter) };
        let child = command.spawn().with_context(|| format!("start {name}: {command:?}"))?;
        Ok(Process { name: name.into(), child, log, life, exit: None })
    }

    /// Process id, and id of the group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_pid(self.pid(), signal).with_context(|| format!("signal {}", self.name))
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().with_context(|| format!("wait for {}", self.name))?;
        }
        Ok(self.exit)
    }

    /// Waits for the end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually_blocking(&what, limit, || self.exited())
    }

    /// Kills the process alone with SIGKILL, as a crash would, and waits for its end.
    pub fn crash(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait(crate::clock::PATIENCE).map(drop)
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of what it wrote, under a heading.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log();
        let all: Vec<&str> = text.lines().collect();
        let tail = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
        format!(
            "--- {} (pid {}): last {} of {} lines\n{}\n",
            self.name,
            self.pid(),
            tail.len(),
            all.len(),
            tail.join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.life == Life::Detached {
            return;
        }
        if let Some(group) = pid(self.pid()) {
            // The group may be gone already, which is what is wanted.
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

fn enter_life(life: Life) -> io::Result<()> {
    match life {
        Life::WithParent => {
            rustix::process::setpgid(None, None)?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        }
        Life::Detached => {
            rustix::process::setsid()?;
        }
    }
    Ok(())
}

fn pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Sends a signal to any process.
pub fn signal_pid(to: u32, signal: Signal) -> Result<()> {
    let to = pid(to).with_context(|| format!("{to} is no process id"))?;
    kill_process(to, signal).with_context(|| format!("kill {to:?}"))
}

/// Sends a signal to a whole process group; a group that is gone is no fault.
pub fn signal_group(group: u32, signal: Signal) -> Result<()> {
    let group = pid(group).with_context(|| format!("{group} is no process group"))?;
    match kill_process_group(group, signal) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(fault) => Err(fault).with_context(|| format!("kill group {group:?}")),
    }
}

/// Whether a process is there and no zombie.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// One line about how a process ended.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".into(),
    }
}

/// Whether every thread of a process is stopped: the signal that stops it takes its time.
pub fn is_stopped(pid: u32) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}
