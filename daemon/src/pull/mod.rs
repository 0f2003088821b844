//! Bundles fetched from a web server or a registry, and the lists of what a fleet is to have, on a thread of its own: the loop
//! never waits for a network, a digest or a disk. What is under way lies in `pulls/` of the state directory, and goes on after a restart of the daemon.
//!
//! Decides nothing of versions: a bundle that has come is handed back as a file, and installed like any other. When something is
//! tried again, and when it may be, is [`edge_core::pull`]'s to say.
//!
//! Read [`address`] (what may be pulled, and from where), [`work`] (one pull from begin to end), [`transfer`] (one answer of a
//! server), [`part`] (what lies on disk), [`registry`] (the protocol of registries), [`client`] (TLS, proxy, credentials),
//! [`gate`] (time of day, metered links).

pub mod address;
pub(crate) mod client;
mod gate;
mod part;
pub mod registry;
mod transfer;
pub(crate) mod trouble;
mod words;
mod work;
mod worker;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::sync::{Semaphore, mpsc};

pub use self::address::Address;
pub use self::client::{is_host, proxy_fault};
pub use self::part::Wish;
use crate::config::{FleetConfig, ModelsConfig, PullConfig};
use crate::driver::clock::Clock;
use crate::fleet::source::{Desired, Places};

/// Asks and events that wait: more than the pulls that may.
const WAITING: usize = 256;

/// What is to be done; the number comes back with what is told of it.
#[derive(Debug)]
pub enum Ask {
    /// Fetch this.
    Pull { id: u64, wish: Box<Wish> },
    /// Give it up.
    Cancel { id: u64 },
    /// It is installed here: its archive is not needed any more, but it is not over.
    Installed { key: String, dir: PathBuf },
    /// It is over: nothing of it stays.
    Forget { key: String },
    /// Read what the fleet is to have.
    Look,
}

/// What is told.
#[derive(Debug)]
pub enum Event {
    /// What a pull does now, and how far it is of 100.
    Phase { id: u64, text: String, percent: Option<u8> },
    /// Which model it is.
    About { id: u64, model: String },
    /// It has ended.
    Ended { id: u64, result: Result<Pulled, Failed> },
    /// What the fleet is to have, as far as it is known on this box; the server is being asked.
    Known(Box<Desired>),
    /// What the fleet is to have, as it was just read.
    Desired(Box<Desired>),
}

/// What a pull has brought.
#[derive(Debug)]
pub enum Pulled {
    /// The archive, whole.
    Archive(OwnedFd),
    /// The very same bundle is in the store already.
    There(PathBuf),
}

/// Why it brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    Cancelled,
    Why(String),
}

/// The driver's end.
#[derive(Debug)]
pub struct Puller {
    asks: mpsc::Sender<Ask>,
    events: mpsc::Receiver<Event>,
    /// What was under way when the daemon ended.
    pub left: Vec<Wish>,
    /// What the fleet is to have, as far as this box knew when the daemon started.
    pub desired: Desired,
}

impl Puller {
    /// Reads what was under way, and starts the thread.
    pub fn start(
        config: &PullConfig,
        models: &ModelsConfig,
        fleet: &FleetConfig,
        state_dir: &std::path::Path,
        clock: Clock,
    ) -> std::io::Result<Puller> {
        let (asks, questions) = mpsc::channel(WAITING);
        let (out, events) = mpsc::channel(WAITING);
        let shelf = part::Shelf::new(state_dir);
        let (left, faults) = shelf.left();
        for fault in faults {
            tracing::error!(%fault, "what was being pulled");
        }
        let fleet = Places::new(fleet, models, state_dir);
        let desired = fleet.known();
        let (config, models) = (config.clone(), models.clone());
        let setup = work::Setup { config, models, shelf, clock, fleet, turn: Semaphore::new(1) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        std::thread::Builder::new()
            .name("pull".into())
            .spawn(move || runtime.block_on(worker::run(setup, questions, out)))?;
        Ok(Puller { asks, events, left, desired })
    }

    /// Asks for something. An error hands it back: too much waits, or the thread is gone.
    pub fn ask(&self, ask: Ask) -> Result<(), Box<Ask>> {
        self.asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask) => Box::new(ask),
        })
    }

    /// The next event; waits for ever when there is none to come. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
