//! Sparkplug B 3.0: this box as an edge node for SCADA hosts, with a device for each model and each binding.
//!
//! Read [`topic`] and [`payload`] (what travels), [`metrics`] (what there is to show), [`host`] (whether the primary host is there),
//! [`commands`] (what hosts may write), [`history`] with [`store`] (results that nobody heard), [`node`] (the rules: births, deaths,
//! numbers, order), `number` (what is remembered between connections), `task` (the loop that ties them to a connection).
//!
//! The connection is one of its own beside that of [`mqtt`](super::mqtt): the specification demands a session that the broker
//! forgets, and a will of its own, where requests need one that lasts.

pub mod commands;
#[cfg(test)]
mod conformance;
pub mod history;
pub mod host;
mod kept;
pub mod metrics;
pub mod node;
mod number;
pub mod payload;
pub mod store;
mod task;
pub mod topic;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_wire::sparkplug::SparkplugStatus;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use self::kept::Kept;
use self::metrics::bindings::BindingResult;
use self::store::Bounds;
use self::task::Task;
use super::mqtt::supervise;
use crate::config::MqttConfig;
use crate::config::sparkplug::SparkplugConfig;
use crate::driver::clock::Clock;
use crate::handle::{Handle, Message};

/// News of bindings that wait for the transport.
pub const NEWS: usize = 256;
/// How long the disk may take at the end.
const DISK_LIMIT: Duration = Duration::from_secs(2);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// News of the bindings.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// There is a binding of this name, which has not answered yet.
    Declared(String),
    Result(Box<BindingResult>),
    /// There is none of this name any more.
    Withdrawn(String),
}

/// What the transport needs.
#[derive(Clone)]
pub struct Setup {
    pub config: SparkplugConfig,
    /// The broker; the client id gets an ending.
    pub mqtt: MqttConfig,
    pub handle: Handle,
    pub clock: Clock,
    pub wall: fn() -> SystemTime,
    /// For the number of the last connection.
    pub state_dir: PathBuf,
    /// News of the bindings. One life of the transport has them at a time.
    pub news: Arc<Mutex<mpsc::Receiver<News>>>,
}

/// The running transport.
#[derive(Debug)]
pub struct Sparkplug {
    stop: watch::Sender<Option<()>>,
    task: JoinHandle<()>,
}

/// Starts the transport. Never fails and never waits; it connects when the status leaves `starting`.
pub fn spawn(setup: Setup) -> Sparkplug {
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(async move {
        let (first, handle) = (setup.config.first_status(), setup.handle.clone());
        let attempt = {
            let stopped = stopped.clone();
            move |_faults| live(setup.clone(), stopped.clone())
        };
        supervise::supervise(stopped, attempt, |why, pause| {
            tracing::error!(%why, retry_in = ?pause, "the Sparkplug transport failed");
            let reason = format!("the transport failed and is started again: {why}");
            let status = SparkplugStatus { reason, ..first.clone() };
            if !handle.offer(Message::Sparkplug(Box::new(status))) {
                tracing::warn!("no room to tell the driver");
            }
        })
        .await;
    });
    Sparkplug { stop, task }
}

/// One life of the transport.
async fn live(setup: Setup, stopped: watch::Receiver<Option<()>>) {
    let news = Arc::clone(&setup.news).lock_owned().await;
    let last = number::read(&setup.state_dir).await;
    let kept = Kept::open(&setup.state_dir.join("sparkplug.db"), Bounds::of(&setup.config)).await;
    let kept = Task::new(setup, news, last, kept).run(stopped).await;
    if tokio::time::timeout(DISK_LIMIT, tokio::task::spawn_blocking(move || kept.close())).await.is_err() {
        tracing::error!("the disk did not take the last results for SCADA hosts in time");
    }
}

impl Sparkplug {
    /// Says the death of the node and disconnects. Call it when everything else has been answered.
    pub async fn stop(self) {
        self.stop.send_replace(Some(()));
        let abort = self.task.abort_handle();
        if tokio::time::timeout(FAREWELL, self.task).await.is_err() {
            tracing::warn!("the broker did not take the last words of the edge node in time; it speaks the will");
            abort.abort();
        }
    }
}
