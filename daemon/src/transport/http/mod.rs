//! HTTP for programs of this box: `/metrics` and whether the box is alive and ready, on a socket and, where the operator opens it, on
//! a port of the loopback. Other protocols for local programs find their routes here later.
//!
//! Read [`route`] (what is meant), [`answer`] (what is said), [`places`] (who may connect), [`socket`], [`patient`] (who does not read
//! is given up), [`kept`] (the loop is asked a few times a second at most), [`metrics`] (what there is to tell), `server` (the loop
//! that ties them).
//!
//! It has a thread of its own, unlike the other transports: anybody on the box may connect, and what strangers do must not take
//! time from the loop ([record 41](../../../../docs/adr/0041-http-has-a-thread-of-its-own.md)).

pub mod answer;
mod kept;
pub mod metrics;
mod patient;
pub mod places;
pub mod route;
mod server;
pub mod socket;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use edge_wire::dto::{HttpStatus, Problem};
use tokio::sync::{oneshot, watch};

use self::server::Server;
use crate::config::HttpConfig;
use crate::driver::clock::Clock;
use crate::handle::{Handle, Message};

/// Subject of its problems.
pub const SUBJECT: &str = "http";
/// How long opening may take before everything else goes on.
const FIRST: Duration = Duration::from_secs(1);
/// How long its end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the transport needs.
pub struct Setup {
    pub config: HttpConfig,
    /// Where the socket is.
    pub runtime_dir: PathBuf,
    pub handle: Handle,
    pub clock: Clock,
}

/// The running transport.
#[derive(Debug)]
pub struct Http {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    /// How often something was told of what is open.
    told: watch::Receiver<usize>,
    /// What is to be opened: socket, port.
    ways: usize,
}

/// Starts the transport, if anything is to be served. What cannot be opened is a problem of the daemon, which serves on.
pub fn spawn(setup: Setup) -> Option<Http> {
    if !setup.config.socket && setup.config.port.is_none() {
        return None;
    }
    let handle = setup.handle.clone();
    start(setup)
        .inspect_err(|error| {
            tracing::error!(%error, "start the thread of HTTP; nothing is served there");
            let problem = Problem {
                subject: SUBJECT.into(),
                what: format!("its thread cannot be started: {error}"),
                remedy: "look at what the machine has left of memory and processes, then restart edged".into(),
            };
            let status = HttpStatus { problems: vec![problem], ..HttpStatus::default() };
            if !handle.offer(Message::Http(Box::new(status))) {
                tracing::warn!("no room to tell the driver");
            }
        })
        .ok()
}

fn start(setup: Setup) -> std::io::Result<Http> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    let (tell, told) = watch::channel(0);
    let ways = usize::from(setup.config.socket) + usize::from(setup.config.port.is_some());
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(Server::new(setup, tell).run(stopped));
        // Connections that are open end here.
        runtime.shutdown_background();
        // Nobody waits after a fault.
        let _waits = end.send(());
    })?;
    Ok(Http { stop, ended, told, ways })
}

impl Http {
    /// Waits until each way in was tried once, and the driver told of it: a daemon that says that it is ready shows what is open.
    pub async fn tried(&mut self) {
        let all = self.told.wait_for(|told| *told >= self.ways);
        if tokio::time::timeout(FIRST, all).await.is_err() {
            tracing::warn!("HTTP has not said in time whether it is open");
        }
    }

    /// Takes no connection any more, and removes the socket.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(FAREWELL, self.ended).await.is_err() {
            tracing::warn!("HTTP did not end in time");
        }
    }
}
