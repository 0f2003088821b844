//! The threads that load models: as many as there are cores, started when there is something to load and gone after it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lane::Lane;
use super::load::{self, Loaded, NewLane};
use super::load_memory::LoadMemory;
use super::outbox::Outbox;
use super::registry::{LaneEntry, Registry, end};
use super::session::Runtime;
use super::store::Store;
use super::threads::give_way;
use super::trial::References;
use crate::fault::{chain, cut, panicked};
use crate::protocol::{FromHost, LoadFault, LoadModel};

#[derive(Default)]
struct Waiting {
    /// At most one per model id: what was unloaded before its turn gives way to the next load.
    requests: VecDeque<LoadModel>,
    threads: usize,
}

#[derive(Clone)]
pub struct Loaders {
    waiting: Arc<Mutex<Waiting>>,
    runtime: Arc<Runtime>,
    registry: Arc<Registry>,
    store: Arc<Store>,
    outbox: Outbox,
    references: Arc<References>,
    memory: Arc<LoadMemory>,
}

impl Loaders {
    /// No thread yet.
    pub fn new(runtime: Arc<Runtime>, registry: Arc<Registry>, store: Arc<Store>, outbox: Outbox) -> Loaders {
        let (waiting, references, memory) = (Arc::default(), Arc::default(), Arc::default());
        Loaders { waiting, runtime, registry, store, outbox, references, memory }
    }

    /// Loads a model when a core is free for it; in the order of the requests.
    pub fn submit(&self, request: LoadModel) {
        let (model, load) = (request.model, request.load);
        if !self.registry.begin(model, load) {
            return self.failed(model, load, LoadFault::Provider, "the model is loaded, or being loaded");
        }
        let most = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let mut waiting = self.lock();
        for given_up in waiting.requests.iter().filter(|other| other.model == model) {
            self.outbox.send(&FromHost::Abandoned { model, load: given_up.load }, &[]);
        }
        waiting.requests.retain(|other| other.model != model);
        waiting.requests.push_back(request);
        if waiting.threads >= most {
            return;
        }
        let loaders = self.clone();
        match std::thread::Builder::new().name("load".into()).spawn(move || loaders.work()) {
            Ok(_) => waiting.threads += 1,
            Err(error) if waiting.threads == 0 => {
                waiting.requests.pop_back();
                drop(waiting);
                self.abandon(model, load, LoadFault::Provider, &format!("start a thread: {error}"));
            }
            Err(_) => {}
        }
    }

    fn work(&self) {
        loop {
            let mut waiting = self.lock();
            let Some(request) = waiting.requests.pop_front() else {
                waiting.threads -= 1;
                return;
            };
            drop(waiting);
            self.load(&request);
        }
    }

    fn load(&self, request: &LoadModel) {
        let (model, load) = (request.model, request.load);
        let progress = |phase| {
            if self.registry.awaits(model, load) {
                self.outbox.send(&FromHost::Progress { model, load, phase }, &[]);
            }
        };
        // Other providers have threads of their own, which would give way with it for good.
        if request.setup.provider == "cpu"
            && let Err(error) = give_way()
        {
            self.outbox.note(format!("loading takes its full share of the processor: {error}"));
        }
        let memory = self.memory.begin(request);
        let result = catch_unwind(AssertUnwindSafe(|| load::load(&self.runtime, &self.references, request, progress)));
        // Loading leaves large holes in the heap.
        // SAFETY: the call only gives unused memory back to the system.
        unsafe { libc::malloc_trim(0) };
        let memory_bytes = self.memory.end(memory);
        let result = match result {
            Ok(Ok(mut loaded)) => {
                loaded.said.memory_bytes = memory_bytes;
                self.serve(request, loaded).map_err(|message| (LoadFault::Provider, message))
            }
            Ok(Err(error)) => Err((error.fault(), chain(&error))),
            Err(panic) => Err((LoadFault::Provider, panicked(panic.as_ref()))),
        };
        match result {
            Ok((said, channels)) => {
                let fds: Vec<_> = channels.iter().map(AsFd::as_fd).collect();
                self.outbox.send(&said, &fds);
            }
            Err((fault, message)) => self.abandon(request.model, request.load, fault, &message),
        }
    }

    /// Starts the lanes; gives what is said of the model, and the daemon's ends of their channels.
    fn serve(&self, request: &LoadModel, loaded: Loaded) -> Result<(FromHost, Vec<OwnedFd>), String> {
        let (mut lanes, mut channels) = (Vec::new(), Vec::new());
        for (number, NewLane { runner, post, channel }) in (request.first_lane..).zip(loaded.lanes) {
            channels.push(channel);
            let (store, outbox) = (self.store.clone(), self.outbox.clone());
            let (sample, bundle) = (loaded.sample.clone(), loaded.bundle.clone());
            let lane = Lane { number, runner, post: post.clone(), store, outbox, sample, bundle };
            let thread = self.runtime.starter.spawn(&format!("lane-{number}"), move || lane.serve());
            match thread {
                Ok(thread) => lanes.push(LaneEntry { post, thread }),
                Err(error) => {
                    end(lanes, || {});
                    return Err(format!("start a thread: {error}"));
                }
            }
        }
        match self.registry.complete(loaded.model, request.load, request.first_lane, lanes) {
            Ok(()) => Ok((FromHost::Loaded(loaded.said), channels)),
            Err(lanes) => {
                end(lanes, || {});
                Err("its lanes belong to another model".into())
            }
        }
    }

    /// Gives up a load, and says why; of one that was unloaded meanwhile, that it has ended now.
    fn abandon(&self, model: u16, load: u32, fault: LoadFault, message: &str) {
        if self.registry.abandon(model, load) {
            self.failed(model, load, fault, message);
        } else {
            self.outbox.send(&FromHost::Abandoned { model, load }, &[]);
        }
    }

    fn failed(&self, model: u16, load: u32, fault: LoadFault, message: &str) {
        self.outbox.send(&FromHost::LoadFailed { model, load, fault, message: cut(message.into()) }, &[]);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
