//! An engine host as a child process: `edged engine-host`, with one end of a socketpair as its standard input.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use edge_engine::channel::{self, ChannelError, Receiver};
use edge_engine::protocol::{FromHost, ToHost, ToLane};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::{HostEvent, SendError, SpawnError};
use crate::watched::watched;

/// Messages that wait for a full socket. The core bounds what runs at once far below this; beyond it the host does not
/// read any more and is treated as gone.
const MAX_WAITING: usize = 4096;
/// A killed child ends at once, save one stuck in a driver; the reason of an end is worth this much, not more.
const REASON_WITHIN: Duration = Duration::from_millis(200);
/// How a child ended whose waiting thread is gone.
const UNSEEN: &str = "nobody saw how";

/// One child.
#[derive(Debug)]
pub struct Process {
    socket: AsyncFd<OwnedFd>,
    receiver: Receiver,
    waiting: VecDeque<(Vec<u8>, Vec<Arc<OwnedFd>>)>,
    lanes: HashMap<u16, OwnedFd>,
    /// There while the socket is full: a duplicate that is watched for room.
    full: Option<AsyncFd<OwnedFd>>,
    pid: u32,
    /// Filled by the thread that waits for the child.
    exit: oneshot::Receiver<String>,
    /// What came out of `exit`: it gives its value once, and may not be asked again.
    ended: Option<String>,
    /// How long the reason of an end is still waited for; kept here because [`Process::next`] may be cancelled.
    patience: Option<Pin<Box<Sleep>>>,
    broken: Option<String>,
}

impl Process {
    /// Starts `program engine-host`.
    pub fn spawn(program: &Path) -> Result<Process, SpawnError> {
        let tried = format!("{} engine-host", program.display());
        let fail = |source| SpawnError { tried: tried.clone(), source };
        let (ours, theirs) = channel::pair().map_err(fail)?;
        let mut child = Command::new(program)
            .arg("engine-host")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            // One arena per thread would keep tens of megabytes that nobody uses.
            .env("MALLOC_ARENA_MAX", "2")
            // The runtime would keep a database of its own use in the home directory, with an identifier of the box, and
            // try to send it; telemetry that is off in its interface does not stop that.
            .env("ORT_DISABLE_TELEMETRY", "1")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .spawn()
            .map_err(fail)?;
        let (pid, (sender, exit)) = (child.id(), oneshot::channel());
        // Waiting may take long (a driver tears down its device), so it has a thread of its own.
        std::thread::Builder::new()
            .name("host-reaper".into())
            .stack_size(64 << 10)
            .spawn(move || {
                let how = match child.wait() {
                    Ok(status) => status.to_string(),
                    Err(error) => format!("wait for the engine host: {error}"),
                };
                // Nobody listens once the daemon has moved on; the child is reaped all the same.
                let _ = sender.send(how);
            })
            .map_err(fail)?;
        let socket = watched(ours, Interest::READABLE).map_err(fail)?;
        Ok(Process {
            socket,
            receiver: Receiver::default(),
            waiting: VecDeque::new(),
            lanes: HashMap::new(),
            full: None,
            pid,
            exit,
            ended: None,
            patience: None,
            broken: None,
        })
    }

    /// Sends, or keeps the message until the socket takes it. An error concerns this message alone.
    pub fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) -> Result<(), SendError> {
        let packet = postcard::to_stdvec(message).map_err(ChannelError::Codec)?;
        if !self.waiting.is_empty() {
            channel::check(&packet, fds.len())?;
            self.keep(packet, fds);
            return Ok(());
        }
        match send_now(self.socket.get_ref(), &packet, &fds) {
            Err(ChannelError::Full) => self.keep(packet, fds),
            sent => self.sent(sent)?,
        }
        Ok(())
    }

    /// Gives a lane a batch; there is always room in its channel for as many as the core lets wait there. An error
    /// concerns this batch alone.
    pub fn run(&mut self, lane: u16, asked: &ToLane, fds: &[Arc<OwnedFd>]) -> Result<(), SendError> {
        let packet = postcard::to_stdvec(asked).map_err(ChannelError::Codec)?;
        let channel = self.lanes.get(&lane).ok_or(SendError::NoLane(lane))?;
        let sent = send_now(channel, &packet, fds);
        Ok(self.sent(sent)?)
    }

    /// Takes the channels of a model's lanes. Channels of the same numbers that it had before are closed.
    pub fn lanes(&mut self, first: u16, channels: Vec<OwnedFd>) {
        self.lanes.extend((first..).zip(channels));
    }

    /// A message that can be sent to no host is its own fault; all else breaks the channel.
    fn sent(&mut self, sent: Result<(), ChannelError>) -> Result<(), ChannelError> {
        match sent {
            Err(error @ (ChannelError::Codec(_) | ChannelError::TooLarge(_) | ChannelError::TooManyFds(_))) => {
                return Err(error);
            }
            Err(error) => self.fail(&error),
            Ok(()) => {}
        }
        Ok(())
    }

    fn keep(&mut self, packet: Vec<u8>, fds: Vec<Arc<OwnedFd>>) {
        if self.waiting.len() >= MAX_WAITING {
            self.broken = Some("the engine host does not read its messages".into());
            return;
        }
        self.waiting.push_back((packet, fds));
        if self.full.is_none() {
            self.watch();
        }
    }

    fn fail(&mut self, error: &ChannelError) {
        self.broken = Some(error.to_string());
    }

    /// The next message or the end. Safe to cancel.
    pub async fn next(&mut self) -> HostEvent {
        loop {
            if let Some(why) = self.broken.clone() {
                return self.gone(&why).await;
            }
            tokio::select! {
                biased;
                guard = self.socket.readable() => match guard {
                    Ok(mut guard) => match self.receiver.receive::<FromHost>(guard.get_inner()) {
                        Ok((message, fds)) => return HostEvent::Message(message, fds),
                        Err(ChannelError::Full) => guard.clear_ready(),
                        Err(error) => self.broken = Some(error.to_string()),
                    },
                    Err(error) => self.broken = Some(error.to_string()),
                },
                room = room(&self.full) => {
                    self.full = None;
                    match room {
                        Ok(()) => self.flush(),
                        Err(error) => self.broken = Some(error.to_string()),
                    }
                }
            }
        }
    }

    /// Sends what was kept, as far as the socket takes it.
    fn flush(&mut self) {
        while let Some((packet, fds)) = self.waiting.front() {
            match send_now(self.socket.get_ref(), packet, fds) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(ChannelError::Full) => return self.watch(),
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Watches for room in the socket. It is watched for that only while it is full, because it becomes writable again
    /// each time the host has read a message, and waking up for that would cost more than sending did.
    fn watch(&mut self) {
        let duplicate = self.socket.get_ref().try_clone();
        match duplicate.and_then(|fd| watched(fd, Interest::WRITABLE)) {
            Ok(full) => self.full = Some(full),
            Err(error) => self.broken = Some(format!("watch the engine host channel: {error}")),
        }
    }

    /// The channel is broken: ends the child, and says how it ended if that is known soon.
    async fn gone(&mut self, why: &str) -> HostEvent {
        self.kill();
        if self.ended.is_none() {
            let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(REASON_WITHIN)));
            tokio::select! {
                biased;
                how = &mut self.exit => self.ended = Some(how.unwrap_or_else(|_| UNSEEN.into())),
                () = patience => {}
            }
        }
        HostEvent::Gone(match &self.ended {
            Some(how) => format!("the engine host ended: {how}"),
            None => format!("the engine host is gone: {why}"),
        })
    }

    /// Ends the child; its memory returns to the system with it. Its end is told soon, also if it is stuck in a driver and
    /// does not end.
    pub fn kill(&mut self) {
        self.broken.get_or_insert_with(|| "ended by the daemon".into());
        if self.is_reaped() {
            return;
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw)
            && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        {
            tracing::warn!(pid = self.pid, %error, "end the engine host");
        }
    }

    /// Whether the child was waited for, so that its pid may be somebody else's by now.
    fn is_reaped(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = match self.exit.try_recv() {
                Ok(how) => Some(how),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(UNSEEN.into()),
            };
        }
        self.ended.is_some()
    }

    /// Process id of the child.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns when a full socket has room; never if it is not full.
async fn room(full: &Option<AsyncFd<OwnedFd>>) -> std::io::Result<()> {
    match full {
        Some(full) => full.writable().await.map(drop),
        None => std::future::pending().await,
    }
}

fn send_now(socket: &OwnedFd, packet: &[u8], fds: &[Arc<OwnedFd>]) -> Result<(), ChannelError> {
    let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    channel::send_packet(socket, packet, &borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that is no engine host, and ends as soon as it is started.
    fn ending_child() -> Process {
        Process::spawn(Path::new("/bin/false")).unwrap()
    }

    #[tokio::test]
    async fn the_end_is_told_whoever_notices_it_first() {
        // Before the channel is looked at, the end was noticed (by `kill`), or not.
        for noticed_before in [true, false] {
            let mut process = ending_child();
            while noticed_before && !process.is_reaped() {
                tokio::task::yield_now().await;
            }
            let HostEvent::Gone(why) = process.next().await else { panic!("a child that says nothing spoke") };
            assert_eq!(why, "the engine host ended: exit status: 1");
        }
    }

    #[tokio::test]
    async fn waiting_for_the_end_can_be_cancelled_at_any_point() {
        let mut process = ending_child();
        let why = loop {
            tokio::select! {
                biased;
                event = process.next() => break event,
                () = tokio::task::yield_now() => {}
            }
        };
        assert!(matches!(why, HostEvent::Gone(_)), "{why:?}");
        // And asking again is no fault.
        assert!(matches!(process.next().await, HostEvent::Gone(_)));
        process.kill();
    }
}
