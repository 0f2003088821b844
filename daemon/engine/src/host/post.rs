//! What a lane and the reader of the host's channel share: which request runs alone, so that `Discard` can stop it, and
//! which were discarded before the lane got to them.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;
use rustix::net::Shutdown;

use crate::protocol::Member;

/// Discarded requests that are remembered. A lane has at most two batches waiting; what was discarded after it had run
/// is never asked for again and makes room in its turn.
const REMEMBERED: usize = 128;

#[derive(Default)]
struct State {
    /// The request that runs alone now.
    alone: Option<u64>,
    /// It was told to stop.
    told: bool,
    discarded: VecDeque<u64>,
}

/// Shared by the reader thread and the lane's thread.
pub struct Post {
    state: Mutex<State>,
    options: Arc<RunOptions>,
    /// The lane's end of its channel.
    channel: OwnedFd,
}

impl Post {
    /// For the lane that runs with `options` and reads `channel`.
    pub fn new(options: Arc<RunOptions>, channel: OwnedFd) -> Post {
        Post { state: Mutex::default(), options, channel }
    }

    /// The channel on which the lane is asked.
    pub fn channel(&self) -> &OwnedFd {
        &self.channel
    }

    /// The lane has taken a batch: says which of its members were discarded meanwhile. From now on a single one can be
    /// stopped, even before the runtime has it.
    pub fn take(&self, members: &[Member]) -> Vec<u64> {
        let mut state = self.lock();
        state.alone = if let [member] = members { Some(member.id) } else { None };
        state.told = false;
        if state.discarded.is_empty() {
            return Vec::new();
        }
        let stopped: Vec<u64> =
            members.iter().map(|member| member.id).filter(|id| state.discarded.contains(id)).collect();
        state.discarded.retain(|id| !stopped.contains(id));
        stopped
    }

    /// No more batches; what waits is still run.
    pub fn close(&self) {
        // The daemon may have closed its end before.
        let _ = rustix::net::shutdown(&self.channel, Shutdown::Both);
    }

    /// The lane is about to run `id` alone.
    pub fn begin(&self, id: u64) {
        let mut state = self.lock();
        if state.alone != Some(id) {
            state.alone = Some(id);
            state.told = false;
        }
    }

    /// What ran alone has ended; whether it was told to stop. The options can be used again.
    pub fn end(&self) -> bool {
        let mut state = self.lock();
        state.alone = None;
        if state.told {
            // Options that have stopped a run stop every later run with them too.
            let _ = self.options.unterminate();
        }
        std::mem::take(&mut state.told)
    }

    /// Stops `id` if it runs alone here, or when the lane gets to it.
    pub fn discard(&self, id: u64) {
        let mut state = self.lock();
        if state.alone == Some(id) {
            state.told = true;
            let _ = self.options.terminate();
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
