//! The daemon's end of the child: start it, ask it, end it. Decides only whether an answer is one: a line of bounded length,
//! in time, and nothing after it. Knows no device and no library.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use edge_core::Mono;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Answer, Plan};
use crate::driver::clock::Clock;

/// The longest answer: sixteen devices need a quarter of it.
const LONGEST: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// It did not come.
    Late(Duration),
    /// The child is gone, or its pipe is.
    Gone(String),
    /// It is none.
    Nonsense(String),
}

/// One child. It ends with this.
#[derive(Debug)]
pub struct Link {
    child: Child,
    asked: ChildStdin,
    answers: ChildStdout,
}

impl Link {
    /// Starts one; a `careful` one keeps to the C interface of the library.
    pub fn start(plan: &Plan, careful: bool) -> Result<Link, String> {
        let mut command = Command::new(&plan.program);
        command.arg("--root").arg(&plan.root).arg("probe-hailo");
        if let Some(library) = &plan.library {
            command.arg("--library").arg(library);
        }
        if careful {
            command.arg("--c-only");
        }
        command
            .current_dir("/")
            // Else the library writes a log file into the directory that it is started in.
            .env("HAILORT_LOGGER_PATH", "NONE")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let tried = format!("start {} probe-hailo", plan.program.display());
        let mut child = command.spawn().map_err(|error| format!("{tried}: {error}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(asked), Some(answers)) => Ok(Link { child, asked, answers }),
            _ => Err(format!("{tried}: no pipes")),
        }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks for a reading and waits for it.
    pub fn ask(&mut self, within: Duration, clock: &Clock) -> Result<Answer, Trouble> {
        let until = clock.now().after(within);
        // A child that does not read has room for this in its pipe, as it is never asked twice without an answer.
        self.asked.write_all(b"read\n").map_err(|error| Trouble::Gone(format!("ask: {error}")))?;
        let mut line = Vec::new();
        loop {
            self.wait(until, within, clock)?;
            let mut piece = [0u8; 4096];
            let length = match self.answers.read(&mut piece) {
                Ok(0) => return Err(Trouble::Gone("it closed its end".into())),
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Gone(format!("read: {error}"))),
            };
            line.extend_from_slice(&piece[..length]);
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                return parse(&line[..end], line.len() - end - 1);
            }
            if line.len() > LONGEST {
                return Err(Trouble::Nonsense(format!("more than {LONGEST} bytes without an end")));
            }
        }
    }

    /// Until there is something to read.
    fn wait(&self, until: Mono, within: Duration, clock: &Clock) -> Result<(), Trouble> {
        loop {
            let left = until.since(clock.now());
            if left.is_zero() {
                return Err(Trouble::Late(within));
            }
            let timeout = Timespec::try_from(left).map_err(|_| Trouble::Late(within))?;
            match rustix::event::poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(Trouble::Gone(format!("poll: {errno}"))),
            }
        }
    }

    /// Ends it. What happened, in words.
    pub fn end(mut self, trouble: &Trouble) -> String {
        match trouble {
            Trouble::Late(within) => {
                format!("libhailort did not answer within {} ms; its process was ended", within.as_millis())
            }
            Trouble::Nonsense(why) => format!("the process that reads libhailort answered nonsense: {why}"),
            // One that closed its pipe by ending keeps the status that it ended with; one that lives on must not.
            Trouble::Gone(why) => match self.child.kill().and_then(|()| self.child.wait()) {
                Ok(status) => format!("the process that reads libhailort ended ({status}): {why}"),
                Err(error) => format!("the process that reads libhailort is gone: {why}; end it: {error}"),
            },
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // One that has ended already is only reaped. There is nobody left to tell an error of either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &[u8], after: usize) -> Result<Answer, Trouble> {
    if after > 0 {
        return Err(Trouble::Nonsense(format!("{after} bytes after its answer")));
    }
    serde_json::from_slice(line).map_err(|error| Trouble::Nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_of_its_own_form() {
        assert_eq!(parse(b"{}", 0).unwrap(), Answer::default());
        for (line, after) in [(b"{}".as_slice(), 1), (b"", 0), (b"[warning] hot", 0), (b"{\"x\":1}", 0), (b"\xff", 0)] {
            assert!(matches!(parse(line, after), Err(Trouble::Nonsense(_))), "{line:?}");
        }
    }
}
