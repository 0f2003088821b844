//! MQTT, 5 or 3.1.1, one connection.
//!
//! Read [`packet`] (what travels), [`codec`] (bytes), [`link`] with [`dial`], [`tls`], [`certificate`] and [`vigil`] (one
//! connection, how it is secured, when it is dead, and what is [`told`] of it), [`brokers`] with [`reconnect`] (when there is another, and where), [`session`] with [`acks`], [`window`] and [`outbox`] (the
//! rules: order, journal, redelivery, bounds, what waits for the broker),
//! [`ingress`] and [`egress`] (messages to requests, replies to messages), [`peers`] (requests of ours to other boxes), [`task`] (the one loop that ties them),
//! [`supervise`] (which starts it again should it fail).
//!
//! rumqttc gives the packets. Its event loop is not used: after a reconnect with a kept session it answers the second
//! half of a QoS 2 delivery with an error and reconnects, for ever; it ends the connection at a packet above its limit,
//! which under 3.1.1 the broker then delivers again, for ever; and it chooses packet ids out of our sight, so that
//! neither retransmission nor the release of what a former daemon left can be done right.

mod acks;
mod bindings;
mod brokers;
mod certificate;
mod codec;
mod dial;
mod egress;
mod former;
mod heard;
mod ingress;
pub(super) mod link;
pub mod outbox;
pub(super) mod packet;
mod peers;
pub(super) mod reconnect;
mod refusals;
mod session;
pub(super) mod supervise;
mod task;
mod tls;
mod told;
mod vigil;
mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_wire::dto::Problem;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use self::former::Former;
use self::heard::Memo;
use self::task::outbox::Shelf;
use self::task::{Ledger, Stop, Task, speak};
use crate::config::MqttConfig;
use crate::config::bindings::BindingConfig;
use crate::driver::chain;
use crate::driver::clock::Clock;
use crate::driver::sites::siblings::Ask;
use crate::handle::{Handle, Message};
use crate::ledger::journal::{Journal, Report, Shut};
use crate::ledger::replies::Replies;
use crate::transport::sparkplug::News;

/// How long the disk of the journal may take before it is said that it does not answer.
const DISK_LIMIT: Duration = Duration::from_secs(5);
/// Reports of the journal's thread that wait for the loop.
const REPORTS: usize = 256;

/// What the transport needs.
#[derive(Clone)]
pub struct Setup {
    pub config: MqttConfig,
    pub bindings: Vec<BindingConfig>,
    pub node: String,
    pub handle: Handle,
    pub clock: Clock,
    pub wall: fn() -> SystemTime,
    /// For the journal; on disk.
    pub state_dir: PathBuf,
    /// For replies that may have to be given again; in memory.
    pub runtime_dir: PathBuf,
    pub telemetry_interval: Duration,
    /// What the driver asks of other boxes. One life of the transport has them at a time.
    pub orders: Arc<Mutex<mpsc::Receiver<Ask>>>,
    /// Answers of bindings, for the edge node of SCADA hosts.
    pub news: Option<mpsc::Sender<News>>,
}

/// The running transport.
#[derive(Debug)]
pub struct Mqtt {
    stop: watch::Sender<Option<Stop>>,
    task: JoinHandle<()>,
}

/// Starts the transport. Never fails and never waits: without a broker, a journal or a runtime directory it says so in
/// the status and goes on with what there is. It connects when the status leaves `starting`.
pub fn spawn(setup: Setup) -> Mqtt {
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(async move {
        let (told, handle) = (setup.clone(), setup.handle.clone());
        let attempt = {
            let stopped = stopped.clone();
            move |faults| live(setup.clone(), stopped.clone(), faults)
        };
        supervise::supervise(stopped, attempt, |why, pause| {
            tracing::error!(%why, retry_in = ?pause, "the broker transport failed");
            let status = speak::failed(&told.config, why);
            if !handle.offer(Message::Mqtt(Box::new(status))) {
                tracing::warn!("no room to tell the driver");
            }
        })
        .await;
    });
    Mqtt { stop, task }
}

/// One life of the transport, after so many that ended by a fault.
async fn live(setup: Setup, stopped: watch::Receiver<Option<Stop>>, faults: u32) {
    let filters = setup.bindings.iter().filter_map(|binding| Some(binding.filter()?.as_str().to_owned())).collect();
    let (ledger, problems) = open(&setup.state_dir, setup.runtime_dir.clone(), filters).await;
    let orders = Arc::clone(&setup.orders).lock_owned().await;
    let mut task = Task::new(setup, ledger, orders);
    for problem in problems.into_iter().chain((faults > 0).then(|| failed_before(faults))) {
        tracing::error!(subject = %problem.subject, what = %problem.what, "mqtt");
        task.report_problem(problem);
    }
    let Ledger { journal, shelf, .. } = task.run(stopped).await;
    let close = move || {
        if let Some(journal) = journal {
            journal.close();
        }
        shelf.close();
    };
    let closed = tokio::time::timeout(DISK_LIMIT, tokio::task::spawn_blocking(close)).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::error!("the journal was not closed: its disk does not answer; answered requests may be run again");
    }
}

fn failed_before(faults: u32) -> Problem {
    Problem {
        subject: "transport".into(),
        what: format!("the broker transport failed {faults} times since the daemon started, and was started again"),
        remedy: "this is a fault of edged: report it with the log around \"the broker transport failed\"".into(),
    }
}

impl Mqtt {
    /// Ends in good order, within about `limit`: takes nothing new that the broker would keep, waits until what was
    /// taken is answered and the broker has the answers, says `offline` and disconnects. Call it together with the
    /// driver's drain, which gives the answers.
    pub async fn stop(self, limit: Duration) {
        self.stop.send_replace(Some(Stop { limit }));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the broker transport did not end in good order");
        }
    }
}

/// Waits for the first word of the journal, so that what it holds is known before the broker sends anything again; but
/// not for ever.
async fn open(state_dir: &Path, replies_dir: PathBuf, filters: Vec<String>) -> (Ledger, Vec<Problem>) {
    let mut problems = Vec::new();
    let (journal_sender, mut journal_reports) = mpsc::channel(REPORTS);
    let journal = Journal::start(&state_dir.join("journal.db"), journal_sender).map_err(|error| {
        problems.push(no_journal(&Shut { what: chain(&error), remedy: error.remedy() }));
    });
    let found = match tokio::time::timeout(DISK_LIMIT, journal_reports.recv()).await {
        Ok(Some(Report::Opened(found))) => Some(found),
        Ok(Some(Report::Shut(shut))) => {
            problems.push(no_journal(&shut));
            None
        }
        Ok(_) => None,
        Err(_) => {
            problems.push(no_journal(&silent(DISK_LIMIT)));
            None
        }
    };
    let replies = match tokio::task::spawn_blocking(move || Replies::open(&replies_dir)).await {
        Ok(Ok(replies)) => Some(replies),
        Ok(Err(error)) => {
            problems.push(Problem {
                subject: "replies".into(),
                what: chain(&error),
                remedy:
                    "make the runtime directory writable for the daemon; until then a request that the broker repeats \
                         after a crash is run again"
                        .into(),
            });
            None
        }
        // A panic there is one of this life.
        Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
    };
    let file = state_dir.join("subscriptions");
    let former = tokio::task::spawn_blocking(move || Former::open(&file, filters.into_iter())).await;
    let former = former.map_err(std::io::Error::other).and_then(|former| former).unwrap_or_else(|error| {
        problems.push(Problem {
            subject: "subscriptions".into(),
            what: format!("it cannot be noted which topics bindings are subscribed to: {error}"),
            remedy: "make the state directory writable for the daemon; until then a binding that is taken out of the \
                     configuration leaves its subscription with the broker"
                .into(),
        });
        Former::default()
    });
    let file = state_dir.join("sources.json");
    let opened = tokio::task::spawn_blocking(move || Memo::open(&file)).await;
    let (memo, heard) = opened.unwrap_or_else(|error| (Memo::default(), Err(std::io::Error::other(error))));
    let heard = heard.unwrap_or_else(|error| {
        problems.push(Problem {
            subject: "sources".into(),
            what: format!("it cannot be read of which sources there are values with the broker: {error}"),
            remedy: "look at sources.json or sources.corrupt in the state directory and remove it; values of sources that have \
                     ended with an earlier daemon do not go stale"
                .into(),
        });
        Vec::new()
    });
    let (shelf, no_shelf) = Shelf::start(&state_dir.join("outbox.db"));
    problems.extend(no_shelf);
    (Ledger { journal: journal.ok(), replies, journal_reports, found, shelf, former, memo, heard }, problems)
}

/// The disk of the journal has said nothing for this long.
fn silent(limit: Duration) -> Shut {
    Shut {
        what: format!("the disk of the journal has not answered for {} s", limit.as_secs()),
        remedy: "look at the disk of the state directory and the kernel's log",
    }
}

fn no_journal(shut: &Shut) -> Problem {
    Problem {
        subject: "journal".into(),
        what: shut.what.clone(),
        remedy: format!(
            "{}; it is tried again every few seconds; until then what is in it waits, and requests are acknowledged only \
             when they are answered",
            shut.remedy
        ),
    }
}
