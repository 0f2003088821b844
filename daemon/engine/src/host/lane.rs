//! A lane: the one thread that runs one session. It takes a batch off its channel, resolves what its members bring, runs
//! them in groups of equal shape, and answers the daemon itself.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::clock;
use super::golden;
use super::member::{Body, Ready};
use super::memfd::Packer;
use super::outbox::Outbox;
use super::post::Post;
use super::runner::Runner;
use super::store::Store;
use super::trial::Sample;
use crate::bundle::Bundle;
use crate::channel::{ChannelError, Receiver};
use crate::fault::{chain, host_error, panicked};
use crate::protocol::{ErrorKind, FromHost, HostError, Input, Member, MemberDone, Output, Run, ToLane};

/// Everything that a lane's thread owns or shares.
pub struct Lane {
    pub number: u16,
    pub runner: Runner,
    pub post: Arc<Post>,
    pub store: Arc<Store>,
    pub outbox: Outbox,
    /// What is run to measure it.
    pub sample: Option<Arc<Sample>>,
    /// What it was loaded from.
    pub bundle: Arc<Bundle>,
}

/// A member that can run, or what it is answered with.
type Slot<'f> = (u64, Result<Ready<'f>, HostError>);

impl Lane {
    /// Serves batches until its channel is closed.
    pub fn serve(mut self) {
        let mut receiver = Receiver::default();
        loop {
            if self.runner.may_prepare() && self.post.is_quiet() {
                self.runner.prepare();
            }
            match receiver.receive::<ToLane>(self.post.channel()) {
                Ok((ToLane::Run(Run { members }), fds)) => self.batch(members, fds),
                Ok((ToLane::Measure { batch }, _)) => self.measure(batch),
                Ok((ToLane::Check, _)) => self.check(),
                Err(ChannelError::Closed) => return,
                // The daemon sees a lane that does not answer, and ends the host.
                Err(error) => return self.outbox.note(format!("read from lane {}: {}", self.number, chain(&error))),
            }
        }
    }

    fn batch(&mut self, members: Vec<Member>, fds: Vec<OwnedFd>) {
        let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        let start = clock::now_ns();
        let mut packer = Packer::default();
        let members = catch_unwind(AssertUnwindSafe(|| self.run(members, fds, start, &mut packer)));
        let members = members.unwrap_or_else(|panic| failed(&ids, &panicked(panic.as_ref())));
        self.post.close_batch();
        let took_ns = clock::since_ns(start);
        self.outbox.send(&FromHost::Ran { lane: self.number, took_ns, members }, &packer.fds());
    }

    fn measure(&mut self, batch: u16) {
        let Lane { runner, sample, .. } = self;
        let result = catch_unwind(AssertUnwindSafe(|| match sample {
            Some(sample) => runner.measure(sample, batch),
            None => Err(host_error(ErrorKind::Runtime, "it was not loaded to be measured")),
        }));
        let result = result.unwrap_or_else(|panic| Err(host_error(ErrorKind::Runtime, panicked(panic.as_ref()))));
        self.outbox.send(&FromHost::Measured { lane: self.number, result }, &[]);
    }

    /// The golden inputs once more, read from the disk again.
    fn check(&mut self) {
        let Lane { runner, bundle, .. } = self;
        let checked = catch_unwind(AssertUnwindSafe(|| golden::check(runner, bundle)));
        let result = match checked {
            Ok(Ok(checked)) => Ok(checked.passed),
            Ok(Err(error)) => Err(host_error(ErrorKind::Runtime, chain(&error))),
            Err(panic) => Err(host_error(ErrorKind::Runtime, panicked(panic.as_ref()))),
        };
        self.outbox.send(&FromHost::Checked { lane: self.number, result }, &[]);
    }

    fn run(&mut self, members: Vec<Member>, fds: Vec<OwnedFd>, now: u64, packer: &mut Packer) -> Vec<MemberDone> {
        let stopped = self.post.take(&members);
        let slots: Vec<Slot<'_>> = members
            .into_iter()
            .map(|member| {
                let discarded = stopped.contains(&member.id);
                (member.id, if discarded { Err(told()) } else { self.ready(member, &fds, now) })
            })
            .collect();
        self.runner.run(slots, &self.post, packer)
    }

    /// What a member brings, unless it is too late for it.
    fn ready<'f>(&mut self, member: Member, fds: &'f [OwnedFd], now: u64) -> Result<Ready<'f>, HostError> {
        let start_before = member.start_before;
        let body = match member.input {
            Input::Prepared => {
                // Taken out even if it is too late: nobody asks for it again.
                let prepared = self.store.take(member.id);
                in_time(start_before, now)?;
                Body::Prepared(prepared?)
            }
            Input::Tensors { tensors, want } => {
                in_time(start_before, now)?;
                Body::Values(self.runner.values(tensors, fds)?, want)
            }
        };
        Ok(Ready { body, start_before })
    }
}

/// Whether there is still a point in running.
pub fn in_time(start_before: u64, now: u64) -> Result<(), HostError> {
    if now <= start_before {
        return Ok(());
    }
    let late = (now - start_before) / 1_000;
    Err(host_error(ErrorKind::Late, format!("{late} us too late to be started")))
}

/// The answer of a request that was told to stop.
pub fn told() -> HostError {
    host_error(ErrorKind::Stopped, "stopped on request")
}

fn failed(ids: &[u64], message: &str) -> Vec<MemberDone> {
    let error: Result<Output, HostError> = Err(host_error(ErrorKind::Runtime, message));
    ids.iter().map(|id| MemberDone { id: *id, result: error.clone() }).collect()
}
