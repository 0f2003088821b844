//! The box in front of a lane: a batch or two may wait in it. It also knows what runs, so that `Discard` can stop it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;

use crate::protocol::Member;

/// Batches that may wait. The daemon keeps one ahead of the one that runs; when it hears that a batch has ended it sends
/// the next, and the lane may not have taken the one in between out of the box yet.
const PLACES: usize = 2;

/// One batch with the descriptors that came beside it.
pub struct Work {
    pub members: Vec<Member>,
    pub fds: Vec<OwnedFd>,
    /// Members that were discarded while the batch waited.
    pub stopped: Vec<u64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    /// The request that runs alone now.
    alone: Option<u64>,
    /// It was told to stop.
    told: bool,
    closed: bool,
}

/// Shared by the reader thread, which puts work in, and the lane's thread, which takes it out.
pub struct Post {
    state: Mutex<State>,
    arrived: Condvar,
    options: Arc<RunOptions>,
}

impl Post {
    /// An empty box for the lane that runs with `options`.
    pub fn new(options: Arc<RunOptions>) -> Post {
        Post { state: Mutex::default(), arrived: Condvar::new(), options }
    }

    /// Puts a batch in; gives it back if the box is full.
    pub fn put(&self, work: Work) -> Result<(), Work> {
        let mut state = self.lock();
        if state.waiting.len() >= PLACES || state.closed {
            return Err(work);
        }
        state.waiting.push_back(work);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a batch; `None` once the box is closed and empty.
    pub fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                // From now on a single request can be stopped, even before the runtime has it.
                state.alone = if let [member] = &work.members[..] { Some(member.id) } else { None };
                state.told = false;
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more batches.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
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

    /// Stops `id` if it waits here or runs alone here.
    pub fn discard(&self, id: u64) {
        let mut state = self.lock();
        if state.alone == Some(id) {
            state.told = true;
            let _ = self.options.terminate();
        }
        let holds = |work: &&mut Work| work.members.iter().any(|member| member.id == id);
        if let Some(work) = state.waiting.iter_mut().find(holds) {
            work.stopped.push(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
