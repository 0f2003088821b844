//! The one loop: takes events from transports and the engine host, reads the clock, feeds the core, carries out its
//! actions. Owns everything that a request has besides its metadata: payload, reply channel, story.
//!
//! It contains no policy. What it decides itself is only what needs the payload's header or the model's description
//! ([`resolve`]); the rest is the core's.

mod book;
mod builds;
mod bundles;
mod carry;
mod chunks;
pub mod clock;
pub mod counts;
pub mod duplicates;
mod entry;
mod heat;
mod host;
mod hosts;
mod intake;
pub mod jobs;
mod loading;
mod lost;
mod memory;
mod messages;
pub mod models;
pub mod parts;
mod pipeline;
mod recovery;
mod reload;
pub mod resolve;
mod results;
mod runtime;
mod scratch;
mod settle;
mod setups;
mod shares;
pub mod sites;
mod status;
pub mod trace;
mod tuning;
mod upkeep;
mod versions;
pub mod words;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{ClientId, Event, HostId, Mono, RequestId, Scheduler};
use edge_wire::dto::{Counters, HttpStatus, MqttStatus, Status};
use edge_wire::sparkplug::SparkplugStatus;
use tokio::sync::{mpsc, watch};

pub use self::book::FILE as LEDGER;
use self::clock::Clock;
use self::duplicates::{Duplicates, Key};
use self::entry::Entry;
use self::hosts::Hosts;
use self::jobs::Jobs;
use self::models::Models;
use self::pipeline::table::Pipelines;
pub use self::reload::ReadConfig;
use self::reload::Reloading;
use self::shares::Shares;
use self::trace::Ring;
use crate::cache::{Answer, Keeper};
use crate::config::{Config, MqttConfig};
use crate::handle::Message;
use crate::request::{Caller, Failure};
use crate::store::Found;

/// Messages that wait for the driver.
pub const INBOX: usize = 4096;
/// A change of state is published after this pause, so that many changes make one message.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);

/// What the driver says to the rest of the daemon, besides replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// Every model was tried once.
    Warm,
    /// A drain has nothing left to wait for.
    Drained,
}

/// Things from outside that the driver uses. All of them can be replaced in tests.
pub struct Outside {
    pub inbox: mpsc::Receiver<Message>,
    /// Bundles, one by one as they were checked; closed after the last one.
    pub bundles: mpsc::Receiver<Found>,
    pub status: watch::Sender<Arc<Status>>,
    pub milestones: mpsc::Sender<Milestone>,
    /// Where the ONNX Runtime library is, or what was tried to find it; `None` under the simulator.
    pub library: Option<Result<(PathBuf, String), String>>,
    /// The program to start engine hosts with.
    pub program: PathBuf,
    /// What providers compiled; `None` under the simulator, and where nothing can be kept.
    pub cache: Option<Keeper>,
    /// Bundles that are installed and removed; `None` under the simulator, and where that cannot be done.
    pub store: Option<crate::store::keeper::Keeper>,
    /// Bundles that are fetched from elsewhere; `None` under the simulator, and where that cannot be done.
    pub pull: Option<crate::pull::Puller>,
    /// What sends requests to other sites; `None` where it cannot be started.
    pub uplink: Option<crate::uplink::Uplink>,
    /// The way to other boxes by the broker; `None` without one.
    pub siblings: Option<mpsc::Sender<sites::siblings::Ask>>,
    /// Where requests wait that cannot be served now.
    pub spool: Option<(crate::ledger::spool::Spool, mpsc::Receiver<crate::ledger::spool::Report>)>,
    /// What is written down of requests.
    pub records: Option<(crate::ledger::records::Records, mpsc::Receiver<crate::ledger::records::Report>)>,
    /// Reads the configuration again.
    pub reload: ReadConfig,
    /// Readings for the status, given the process id of the engine host (0 for none). Never waits for a sensor.
    pub sampler: Box<dyn FnMut(u32) -> crate::telemetry::Sample + Send>,
    /// Each sample of the machine, about one a second, for the governor.
    pub samples: Option<watch::Receiver<Arc<crate::telemetry::sensed::Sensed>>>,
    /// Why the power mode that the operator named is not set.
    pub power_mode_fault: Option<String>,
    /// Meters what the box takes; `None` without a rail that can be read, and under the simulator.
    pub power: Option<crate::telemetry::rail::Meter>,
    /// Where the machine is that temperatures and power are read of, if that is only a copy.
    pub copied_machine: Option<PathBuf>,
    /// What a graphics card has left of its own memory, bytes, by its number; `None` if nobody knows.
    pub device_free: Box<dyn Fn(u32) -> Option<u64> + Send>,
    /// Memory that models may still take, bytes; `None` if nobody knows. Waits for nothing.
    pub available_bytes: fn() -> Option<u64>,
    /// Pinged while the loop turns.
    pub watchdog: Option<(Duration, Box<dyn FnMut() + Send>)>,
    /// The graphics processor that ONNX Runtime could use here with the right build; `None` without one.
    pub graphics: Option<String>,
    /// Facts of the machine that do not change.
    pub platform: edge_wire::dto::Platform,
}

/// The driver.
pub struct Driver {
    config: Config,
    outside: Outside,
    clock: Clock,
    now: Mono,
    started: Mono,
    core: Scheduler,
    entries: HashMap<RequestId, Entry>,
    next_id: u64,
    clients: HashMap<Caller, (ClientId, u32)>,
    shares: Shares,
    next_client: u32,
    duplicates: Duplicates,
    models: Models,
    pipelines: Pipelines,
    parts: parts::Parts,
    /// Bytes of decoded pictures that are kept for their lines.
    pictures: u64,
    scratch: scratch::Scratch,
    /// Outputs of chunks that are put in their places.
    copies: chunks::copies::Copies,
    hosts: Hosts,
    heat: heat::Heat,
    sites: sites::Sites,
    deferred: sites::Deferred,
    book: book::Book,
    looking: sites::Looking,
    evidence: sites::Evidence,
    jobs: Jobs,
    memory: memory::Memory,
    recovery: recovery::Recovery,
    tuning: tuning::Tuning,
    carrying: carry::Carrying,
    versions: versions::Versions,
    stories: Ring,
    counters: Counters,
    counts: counts::Counts,
    mqtt: MqttStatus,
    sparkplug: SparkplugStatus,
    http: HttpStatus,
    reloading: Reloading,
    runtime: runtime::RuntimeFile,
    /// Why what providers compile is not kept.
    cache_fault: Option<String>,
    state: State,
    bundles_open: bool,
    warm: bool,
    /// All is settled, and nobody was told yet.
    drained_unsaid: bool,
    dirty_since: Option<Mono>,
    next_sample: Mono,
    next_ping: Option<Mono>,
    /// Start of the made-up ids: differs from one life of the daemon to the next.
    id_prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    Draining,
    Drained,
}

impl Driver {
    /// A driver that has started nothing yet.
    pub fn new(config: Config, mut outside: Outside, clock: Clock) -> Driver {
        let now = clock.now();
        let since_epoch = clock::wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        let off = || MqttStatus { state: "off".into(), ..MqttStatus::default() };
        let mqtt = config.mqtt.as_ref().map_or_else(off, MqttConfig::first_status);
        let sparkplug = match &config.sparkplug {
            Some(sparkplug) => sparkplug.first_status(),
            None => SparkplugStatus { state: "off".into(), ..SparkplugStatus::default() },
        };
        let runtime = runtime::RuntimeFile::new(outside.library.as_ref());
        Driver {
            core: Scheduler::new(config.policy.clone()),
            hosts: Hosts::new(outside.library.is_none()),
            heat: heat::Heat::new(outside.samples.take()),
            sites: sites::Sites::new(outside.uplink.take(), sites::siblings::Siblings::new(outside.siblings.take())),
            deferred: sites::Deferred::new(outside.spool.take()),
            book: book::Book::new(outside.records.take()),
            looking: sites::Looking::new(),
            evidence: sites::Evidence::new(&config.state_dir),
            id_prefix: format!("r{:x}", since_epoch.as_millis()),
            next_ping: outside.watchdog.as_ref().map(|_| now),
            config,
            outside,
            clock,
            now,
            started: now,
            entries: HashMap::new(),
            next_id: 1,
            clients: HashMap::new(),
            shares: Shares::default(),
            next_client: 1,
            duplicates: Duplicates::default(),
            models: Models::default(),
            pipelines: Pipelines::default(),
            parts: parts::Parts::default(),
            pictures: 0,
            scratch: scratch::Scratch::default(),
            copies: chunks::copies::Copies::default(),
            jobs: Jobs::default(),
            memory: memory::Memory::default(),
            recovery: recovery::Recovery::default(),
            tuning: tuning::Tuning::default(),
            carrying: carry::Carrying::default(),
            versions: versions::Versions::default(),
            stories: Ring::default(),
            counters: Counters::default(),
            counts: counts::Counts::default(),
            mqtt,
            sparkplug,
            http: HttpStatus::default(),
            reloading: Reloading::default(),
            runtime,
            cache_fault: None,
            state: State::Serving,
            bundles_open: true,
            warm: false,
            drained_unsaid: false,
            dirty_since: Some(now),
            next_sample: now,
        }
    }

    /// Runs until every transport has dropped its handle.
    pub async fn run(mut self) {
        self.take_records();
        self.begin_routing().await;
        // Whatever models there are, the first host says what the library can do.
        self.start_host(HostId(0));
        loop {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                (host, event) = self.hosts.next() => self.on_host(host, event),
                message = self.outside.inbox.recv() => match message {
                    Some(message) => self.on_messages(message),
                    None => return,
                },
                sensed = self.heat.next() => self.on_sensed(sensed),
                came = self.sites.next() => self.on_site(came),
                report = self.book.next() => self.on_record(report),
                report = self.deferred.next() => self.on_spool(report),
                done = self.evidence.next() => self.on_evidence(done),
                copied = self.copies.next() => self.on_copied(copied),
                event = self.tuning.next() => self.on_tune(event),
                carried = self.carrying.next() => self.on_carried(carried),
                answer = next_answer(&mut self.outside.cache) => self.on_cache(answer),
                answer = versions::next_answer(&mut self.outside.store) => self.on_store(answer),
                event = versions::pull::next_event(&mut self.outside.pull) => self.on_pull(event),
                read = self.reloading.read() => self.reloaded(read),
                looked = self.runtime.next() => self.on_runtime(looked),
                found = self.outside.bundles.recv(), if self.bundles_open => self.on_bundle(found),
                () = tokio::time::sleep_until(self.clock.instant(wake)) => self.tick(),
            }
            self.act();
            self.housekeep();
        }
    }

    fn tick(&mut self) {
        self.now = self.clock.now();
        self.core.handle(self.now, Event::Tick);
    }

    fn milestone(&self, milestone: Milestone) {
        if let Err(error) = self.outside.milestones.try_send(milestone) {
            tracing::warn!(?milestone, %error, "nobody takes the milestone");
        }
    }

    /// The status is to be published soon.
    pub(super) fn touch(&mut self) {
        self.dirty_since.get_or_insert(self.now);
    }

    fn next_wake(&self) -> Mono {
        let candidates = [
            self.core.poll_deadline(),
            self.hosts.next_due(),
            self.dirty_since.map(|since| since.after(PUBLISH_PAUSE)),
            Some(self.next_sample),
            self.next_ping,
            self.tuning.due(),
            self.recovery.next_due(),
            self.versions_due(),
            self.silence_due(),
            self.book.due(),
            self.deferred.due(),
            self.evidence.due(),
        ];
        candidates.into_iter().flatten().min().unwrap_or(Mono::MAX)
    }

    fn housekeep(&mut self) {
        if let Some(host) = self.hosts.due(self.now) {
            self.host_due(host);
        }
        if self.next_sample <= self.now {
            self.next_sample = self.now.after(self.config.telemetry_interval);
            // A load may have become a long one.
            self.choose_setups();
            self.slow_loads();
            self.look_after_memory();
            self.try_failed();
            self.look_after_hosts();
            self.sample();
            self.tune_when_idle();
            self.judge_versions();
            self.converge();
        }
        self.tick_book();
        self.sweep_deferred();
        self.note_silence();
        self.look_after_evidence();
        self.look_after_versions();
        self.show_carrying();
        if self.recovery.next_due().is_some_and(|due| due <= self.now) {
            self.try_failed();
        }
        if self.jobs.take_changed() {
            self.touch();
        }
        self.tune_due();
        if self.dirty_since.is_some_and(|since| since.after(PUBLISH_PAUSE) <= self.now) {
            self.publish();
        }
        if let (Some(at), Some((interval, ping))) = (self.next_ping, self.outside.watchdog.as_mut())
            && at <= self.now
        {
            ping();
            self.next_ping = Some(self.now.after(*interval));
        }
    }

    fn client(&mut self, caller: &Caller) -> ClientId {
        if let Some((client, open)) = self.clients.get_mut(caller) {
            *open += 1;
            return *client;
        }
        let client = ClientId(self.next_client);
        self.next_client = self.next_client.wrapping_add(1);
        self.clients.insert(caller.clone(), (client, 1));
        client
    }

    fn release_client(&mut self, caller: &Caller) {
        if let Some((_, open)) = self.clients.get_mut(caller) {
            *open -= 1;
            if *open == 0 {
                self.clients.remove(caller);
            }
        }
    }

    fn key(&self, entry: &Entry) -> Option<Key> {
        let model = self.models.family(entry.model);
        let story = &entry.story;
        entry.named.then(|| Key::of(&story.caller, entry.options.deferrable, &story.request_id, model))
    }
}

/// The next answer of the keeper; waits for ever without one. Safe to cancel.
async fn next_answer(cache: &mut Option<Keeper>) -> Answer {
    match cache {
        Some(cache) => cache.next().await,
        None => std::future::pending().await,
    }
}

/// Answers a command; a caller that is gone does not want the answer.
fn answer<T>(to: tokio::sync::oneshot::Sender<T>, value: T) {
    drop(to.send(value));
}

/// Both clocks, as the files of the ledger know time.
pub fn ledger_time() -> crate::ledger::time::Now {
    book::now()
}

/// A failure of the daemon's own making.
fn internal(message: impl Into<String>) -> Failure {
    Failure::new(edge_wire::error::ErrorCode::Internal, message)
}

/// An error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
