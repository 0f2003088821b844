//! The child's main: reads what the daemon asks and hands it to the thread that does it. Decides nothing about requests;
//! the daemon's core did.
//!
//! Threads: this one reads the host's channel; up to as many loaders as there are cores, while models load; two that
//! decode payloads, for the models here and for servers elsewhere; one per lane, which owns one session and reads that
//! lane's own channel. All answers go straight from the thread that has them to the host's channel.

mod arena;
mod buffers;
mod clock;
pub mod confine;
mod device;
mod errand;
mod golden;
mod lane;
mod load;
mod load_memory;
mod loaders;
mod member;
mod memfd;
mod memory;
mod model;
mod outbox;
mod outputs;
mod post;
mod prepare;
mod provider;
mod raw;
mod registry;
mod runner;
mod session;
mod spare;
mod store;
mod threads;
mod trial;
mod unsealed;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::channel::{ChannelError, Receiver};
use crate::fault::{chain, cut, host_error, panicked};
use crate::protocol::{ErrorKind, FromHost, LoadFault, LoadModel, ProviderSetup, ToHost};
use errand::{Errand, What};
use loaders::Loaders;
use outbox::Outbox;
use prepare::{Job, Preparers};
use registry::Registry;
use session::Runtime;
use store::Store;

/// Serves the daemon at the other end of `socket` until it closes it. Confines the process for good, so it must be
/// called before any other thread is started. Returns an exit code if the host cannot start; once the runtime is loaded
/// it ends the process itself, without running foreign exit handlers beside threads that are still in foreign code.
pub fn main(socket: OwnedFd) -> i32 {
    let socket = Arc::new(socket);
    let outbox = Outbox::new(socket.clone());
    match confine::confine() {
        Ok(notes) => notes.into_iter().for_each(|note| outbox.note(note)),
        Err(error) => {
            outbox.send(&FromHost::StartFailed { message: cut(chain(&error)) }, &[]);
            return 1;
        }
    }
    let store = Arc::new(Store::default());
    let preparers = match Preparers::start(store.clone(), outbox.clone()) {
        Ok(preparers) => preparers,
        Err(error) => {
            outbox.send(&FromHost::StartFailed { message: cut(format!("start threads: {error}")) }, &[]);
            return 1;
        }
    };
    let registry = Arc::new(Registry::default());
    let mut host = Host { outbox, store, preparers, registry, loaders: None };
    let code = host.serve(&socket);
    leave(code)
}

struct Host {
    outbox: Outbox,
    store: Arc<Store>,
    preparers: Preparers,
    registry: Arc<Registry>,
    /// There once the runtime is.
    loaders: Option<Loaders>,
}

impl Host {
    fn serve(&mut self, socket: &OwnedFd) -> i32 {
        let mut receiver = Receiver::default();
        loop {
            match receiver.receive::<ToHost>(socket.as_fd()) {
                Ok((message, fds)) => self.handle(message, fds),
                Err(ChannelError::Closed) => return 0,
                Err(error) => {
                    self.outbox.note(format!("read from the daemon: {}", chain(&error)));
                    return 1;
                }
            }
        }
    }

    fn handle(&mut self, message: ToHost, fds: Vec<OwnedFd>) {
        match message {
            ToHost::Start { library, provider, background } => {
                if background {
                    self.give_way();
                }
                self.start(&library, provider);
            }
            ToHost::Load(request) => match &self.loaders {
                Some(loaders) => loaders.submit(request),
                None => self.load_failed(&request, "the runtime is not started"),
            },
            ToHost::Unload { model } => self.registry.unload(model, &self.outbox),
            ToHost::Prepare { id, model, content_type, payload, part, keep } => match self.registry.model(model) {
                Some(model) => self.preparers.submit(Job { id, model, content_type, payload, part, keep, fds }),
                None => {
                    let result = Err(host_error(ErrorKind::Runtime, "the model is not loaded"));
                    self.outbox.send(&FromHost::Prepared { id, result, took_ns: 0, picture: None }, &[]);
                }
            },
            ToHost::Fill { ticket, model, content_type, payload } => {
                self.errand(ticket, model, What::Fill { content_type, payload }, fds);
            }
            ToHost::Interpret { ticket, model, outputs, frame } => {
                self.errand(ticket, model, What::Interpret { outputs, frame }, fds);
            }
            ToHost::Forget { id } => self.store.discard(id),
            ToHost::Discard { id } => {
                self.store.discard(id);
                self.registry.discard(id);
            }
        }
    }

    fn errand(&self, ticket: u64, model: u16, what: What, fds: Vec<OwnedFd>) {
        self.preparers.run(Errand { ticket, model: self.registry.model(model), what, fds });
    }

    fn start(&mut self, library: &Path, provider: ProviderSetup) {
        if self.loaders.is_some() {
            return self.outbox.send(&FromHost::StartFailed { message: "started before".into() }, &[]);
        }
        if !provider::on_graphics(&provider.name)
            && let Err(error) = confine::narrow()
        {
            return self.outbox.send(&FromHost::StartFailed { message: cut(chain(&error)) }, &[]);
        }
        let outbox = self.outbox.clone();
        let started = std::panic::catch_unwind(move || Runtime::start(library, provider, outbox));
        let said = match started {
            Ok(Ok(runtime)) => {
                let said = FromHost::Started {
                    version: runtime.version.clone(),
                    providers: runtime.providers.clone(),
                    identity: runtime.identity.clone(),
                    own_bytes: load_memory::own_bytes(),
                };
                self.loaders = Some(Loaders::new(
                    Arc::new(runtime),
                    self.registry.clone(),
                    self.store.clone(),
                    self.outbox.clone(),
                ));
                said
            }
            Ok(Err(error)) => FromHost::StartFailed { message: cut(chain(&error)) },
            Err(panic) => FromHost::StartFailed { message: cut(panicked(panic.as_ref())) },
        };
        self.outbox.send(&said, &[]);
    }

    /// All threads that are started from now on run when nobody else wants to.
    fn give_way(&self) {
        // SAFETY: the call takes three numbers and changes nothing but this thread's weight.
        if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) } != 0 {
            let error = std::io::Error::last_os_error();
            self.outbox.note(format!("give way to other processes: {error}"));
        }
    }

    fn load_failed(&self, request: &LoadModel, message: &str) {
        let (model, load) = (request.model, request.load);
        let fault = LoadFault::Provider;
        self.outbox.send(&FromHost::LoadFailed { model, load, fault, message: message.into() }, &[]);
    }
}

/// Ends the process at once.
fn leave(code: i32) -> ! {
    // SAFETY: nothing of this process must be flushed or cleaned up; the kernel frees what it holds.
    unsafe { libc::_exit(code) }
}
