//! What a lane and the reader of the host's channel share: which requests run now, so that `Discard` can stop a run that
//! nobody wants any more, and which were discarded before the lane got to them.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::Shutdown;

use super::arena::Options;
use crate::protocol::Member;

/// Discarded requests that are remembered. A lane has at most two batches waiting; what was discarded after it had run
/// is never asked for again and makes room in its turn.
const REMEMBERED: usize = 128;

#[derive(Default)]
struct State {
    /// The batch that the lane has taken: its members, and whether each is still wanted.
    batch: Vec<(u64, bool)>,
    /// Those of them that run now; none before the first run.
    run: Vec<u64>,
    /// The run was told to stop.
    told: bool,
    discarded: VecDeque<u64>,
}

impl State {
    fn is_wanted(&self, id: u64) -> bool {
        !self.batch.contains(&(id, false))
    }

    /// Whether all that runs, or is about to, is for nobody.
    fn is_vain(&self) -> bool {
        let mut batch = self.batch.iter().filter(|(id, _)| self.run.is_empty() || self.run.contains(id));
        batch.all(|(_, wanted)| !wanted)
    }
}

/// Shared by the reader thread and the lane's thread.
pub struct Post {
    state: Mutex<State>,
    options: Arc<Options>,
    /// The lane's end of its channel.
    channel: OwnedFd,
}

impl Post {
    /// For the lane that runs with `options` and reads `channel`.
    pub fn new(options: Arc<Options>, channel: OwnedFd) -> Post {
        Post { state: Mutex::default(), options, channel }
    }

    /// The channel on which the lane is asked.
    pub fn channel(&self) -> &OwnedFd {
        &self.channel
    }

    /// Whether nothing waits on the channel: neither a batch nor its end.
    pub fn is_quiet(&self) -> bool {
        let mut channel = [PollFd::new(&self.channel, PollFlags::IN)];
        let at_once = Timespec::default();
        matches!(rustix::event::poll(&mut channel, Some(&at_once)), Ok(0))
    }

    /// The lane has taken a batch: says which of its members were discarded meanwhile. From now on it is stopped when
    /// nobody wants any of it, even before the runtime has it.
    pub fn take(&self, members: &[Member]) -> Vec<u64> {
        let mut state = self.lock();
        let stopped: Vec<u64> =
            members.iter().map(|member| member.id).filter(|id| state.discarded.contains(id)).collect();
        state.batch.clear();
        state.batch.extend(members.iter().map(|member| (member.id, !stopped.contains(&member.id))));
        state.run.clear();
        state.told = false;
        state.discarded.retain(|id| !stopped.contains(id));
        stopped
    }

    /// No more batches; what waits is still run.
    pub fn close(&self) {
        // The daemon may have closed its end before.
        let _ = rustix::net::shutdown(&self.channel, Shutdown::Both);
    }

    /// Whether somebody still waits for this member of the batch.
    pub fn is_wanted(&self, id: u64) -> bool {
        self.lock().is_wanted(id)
    }

    /// The lane is about to run these members of the batch together; false if nobody wants any of them.
    pub fn begin(&self, ids: impl IntoIterator<Item = u64>) -> bool {
        let mut state = self.lock();
        state.run.clear();
        state.run.extend(ids);
        !state.is_vain()
    }

    /// What ran has ended; whether it was told to stop. The options can be used again.
    pub fn end(&self) -> bool {
        let mut state = self.lock();
        state.run.clear();
        if state.told {
            // Options that have stopped a run stop every later run with them too.
            self.options.unterminate();
        }
        std::mem::take(&mut state.told)
    }

    /// The lane has answered for its batch; what is discarded of it from now on comes too late.
    pub fn close_batch(&self) {
        self.end();
        self.lock().batch.clear();
    }

    /// `id` is not wanted any more: stops what runs here if nobody else wants it, or lets the lane pass it over when it
    /// gets to it.
    pub fn discard(&self, id: u64) {
        let mut state = self.lock();
        if let Some(member) = state.batch.iter_mut().find(|member| member.0 == id) {
            member.1 = false;
            if !state.told && state.is_vain() {
                state.told = true;
                self.options.terminate();
            }
            return;
        }
        if state.discarded.len() >= REMEMBERED {
            state.discarded.pop_front();
        }
        state.discarded.push_back(id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
