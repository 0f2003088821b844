//! The engine host's life as the driver sees it: start it, take what it says, notice its end. Which models it loads is
//! told in [`loading`](super::loading).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Event, Fault, Ids, LaneId, MemberResult, ModelId, ModelState, Mono, RequestId, Results};
use edge_engine::protocol::{DeviceOptions, FromHost, ProviderSetup, Run, ToHost};
use edge_wire::dto::EngineStatus;

use super::Driver;
use super::models::Life;
use super::trace::Step;
use crate::lanes::process::Process;
use crate::lanes::sim::Simulator;
use crate::lanes::supervise::Backoff;
use crate::lanes::{Host, HostEvent, SendError};

/// How long a host may take to load the runtime's library.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a host may take from one word about a load to the next. Loading runs every golden input.
const LOAD_PATIENCE: Duration = Duration::from_secs(180);
/// Hosts in a row that die while they load the library, after which the library is to blame.
const STILLBORN: u32 = 3;

/// Where the host is in its life.
#[derive(Debug)]
enum Phase {
    /// Not running; to be started then.
    Down(Mono),
    /// Started, not ready for models.
    Starting(Host),
    Up(Host),
    /// Cannot be started at all.
    Hopeless,
}

/// The host and what is on it.
#[derive(Debug)]
pub(super) struct HostState {
    life: Phase,
    backoff: Backoff,
    simulated: bool,
    /// Batches that were sent, in order, so that each can be failed by name when the host ends.
    batches: Vec<(LaneId, Ids)>,
    preparing: Vec<RequestId>,
    /// A batch came back from this host.
    served: bool,
    /// When a host that has not started, or not loaded what it was asked for, counts as hung.
    answer_by: Option<Mono>,
    /// Why the host said that it cannot start.
    unfit: Option<String>,
    /// Hosts in a row that died before they could use the library.
    stillborn: u32,
    /// Why the next end comes, when the daemon itself asked for it.
    ending: Option<Fault>,
    status: EngineStatus,
    starts: u32,
}

impl HostState {
    pub(super) fn new(simulated: bool) -> HostState {
        HostState {
            life: Phase::Down(Mono::default()),
            backoff: Backoff::default(),
            simulated,
            batches: Vec::new(),
            preparing: Vec::new(),
            served: false,
            answer_by: None,
            unfit: None,
            stillborn: 0,
            ending: None,
            status: EngineStatus { state: "down".into(), ..EngineStatus::default() },
            starts: 0,
        }
    }

    /// The next event of a running host; waits for ever without one. Safe to cancel.
    pub(super) async fn next(&mut self) -> HostEvent {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.next().await,
            Phase::Down(_) | Phase::Hopeless => std::future::pending().await,
        }
    }

    /// When something is due: the next start, or the end of the patience with a start or a load.
    pub(super) fn next_due(&self) -> Option<Mono> {
        match self.life {
            Phase::Down(at) => Some(at),
            Phase::Starting(_) | Phase::Up(_) => self.answer_by,
            Phase::Hopeless => None,
        }
    }

    /// Whether this is not the first host.
    pub(super) fn is_restarted(&self) -> bool {
        self.starts > 1
    }

    /// Whether models can be loaded.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.life, Phase::Up(_))
    }

    /// Whether the last host could not start. It is tried again, but nobody need wait for it.
    pub(super) fn is_unfit(&self) -> bool {
        self.unfit.is_some()
    }

    /// A load was asked for, or another one ended: the next word of the host is due.
    pub(super) fn expect_load(&mut self, now: Mono) {
        self.answer_by = Some(now.after(LOAD_PATIENCE));
    }

    /// Nothing is being loaded.
    pub(super) fn expect_nothing(&mut self) {
        self.answer_by = None;
    }

    /// No host will come up without a change of the machine.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.life, Phase::Hopeless)
    }

    /// Why it is not up.
    pub(super) fn why_down(&self) -> Option<String> {
        match &self.life {
            Phase::Up(_) => None,
            Phase::Starting(_) => Some("the engine host is starting".into()),
            Phase::Down(_) | Phase::Hopeless => Some(self.status.reason.clone()),
        }
    }

    pub(super) fn status(&self) -> EngineStatus {
        self.status.clone()
    }

    /// Sends to a running host. An error concerns this message alone.
    pub(super) fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) -> Result<(), SendError> {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.send(message, fds),
            Phase::Down(_) | Phase::Hopeless => Err(SendError::NoHost),
        }
    }

    /// Gives a lane a batch. An error concerns this batch alone.
    pub(super) fn run(&mut self, lane: LaneId, ids: &Ids, batch: Run, fds: &[Arc<OwnedFd>]) -> Result<(), SendError> {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.run(lane.0, batch, fds)?,
            Phase::Down(_) | Phase::Hopeless => return Err(SendError::NoHost),
        }
        self.batches.push((lane, *ids));
        Ok(())
    }

    /// Takes the channels of a model's lanes.
    pub(super) fn lanes(&mut self, first: u16, channels: Vec<OwnedFd>) {
        if let Phase::Starting(host) | Phase::Up(host) = &mut self.life {
            host.lanes(first, channels);
        }
    }

    pub(super) fn sent_prepare(&mut self, id: RequestId) {
        self.preparing.push(id);
    }

    /// It said what became of a preparation.
    pub(super) fn has_prepared(&mut self, id: RequestId) {
        self.preparing.retain(|waiting| *waiting != id);
    }

    /// It said what became of a lane's batch.
    pub(super) fn has_run(&mut self, lane: LaneId) {
        if let Some(at) = self.batches.iter().position(|(busy, _)| *busy == lane) {
            self.batches.remove(at);
        }
        self.served = true;
    }

    /// Ends the host; what was on it fails with `fault`.
    pub(super) fn end(&mut self, fault: Fault) {
        if let Phase::Starting(host) | Phase::Up(host) = &mut self.life {
            self.ending = Some(fault);
            host.kill();
        }
    }
}

fn cpu() -> ProviderSetup {
    ProviderSetup { name: "cpu".into(), plugin: None, options: DeviceOptions::default() }
}

impl Driver {
    /// Starts a host, or notes why that is impossible.
    pub(super) fn start_host(&mut self) {
        let library = match &self.outside.library {
            None => {
                let mut simulator = Simulator::start();
                simulator.send(&ToHost::Start { library: "simulated".into(), provider: cpu() });
                self.host.life = Phase::Starting(Host::Simulated(simulator));
                self.host.status.found_by = "simulated".into();
                return;
            }
            Some(Ok((path, found_by))) => {
                self.host.status.library = path.display().to_string();
                self.host.status.found_by = found_by.clone();
                path.clone()
            }
            Some(Err(why)) => {
                self.host.status.state = "no_library".into();
                self.host.status.reason = why.clone();
                self.host.life = Phase::Hopeless;
                self.fail_all_models(&format!("no engine: {}", why.clone()));
                return;
            }
        };
        self.host.status.state = "starting".into();
        self.host.backoff.started(self.now);
        self.host.answer_by = Some(self.now.after(START_PATIENCE));
        self.host.served = false;
        let started = Process::spawn(&self.outside.program).map_err(|error| super::chain(&error)).and_then(|process| {
            let mut host = Host::Process(process);
            host.send(&ToHost::Start { library, provider: cpu() }, Vec::new()).map_err(|error| super::chain(&error))?;
            Ok(host)
        });
        match started {
            Ok(host) => {
                self.host.status.pid = host.pid();
                if self.host.starts > 0 {
                    self.host.status.restarts += 1;
                }
                self.host.starts += 1;
                self.host.life = Phase::Starting(host);
            }
            Err(why) => self.host_ended(&why),
        }
        self.touch();
    }

    pub(super) fn fail_all_models(&mut self, why: &str) {
        let ids: Vec<ModelId> = self.models.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(model) = self.models.get_mut(id)
                && matches!(model.life, Life::Found | Life::Loading | Life::Ready)
            {
                model.life = Life::Failed(why.to_owned());
                self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            }
        }
        self.check_warm();
        self.touch();
    }

    /// Takes one event of the host.
    pub(super) fn on_host(&mut self, event: HostEvent) {
        self.now = self.clock.now();
        match event {
            HostEvent::Gone(why) => self.host_ended(&why),
            HostEvent::Message(message, fds) => self.on_host_message(message, fds),
        }
    }

    fn on_host_message(&mut self, message: FromHost, fds: Vec<OwnedFd>) {
        match message {
            FromHost::Started { version, providers } => self.host_started(version, providers),
            FromHost::StartFailed { message } => {
                // It may be a passing thing (a library that is being replaced), so it is tried again, more and more rarely.
                self.host.unfit = Some(message);
                self.host.end(Fault::HostLost);
            }
            FromHost::Loaded(loaded) => self.model_loaded(loaded, fds),
            FromHost::LoadFailed { model, load, message } => {
                let id = ModelId(model);
                if self.awaits_load(id, load) {
                    self.model_failed(id, message);
                }
            }
            FromHost::Unloaded { model } => tracing::info!(model, "unloaded"),
            FromHost::Prepared { id, result, took_ns } => self.prepared(RequestId(id), result, took_ns),
            FromHost::Ran { lane, took_ns, members } => self.ran(LaneId(lane), took_ns, members, fds),
            FromHost::Note { message } => tracing::warn!(note = %message, "engine host"),
        }
    }

    fn host_started(&mut self, version: String, providers: Vec<String>) {
        let life = std::mem::replace(&mut self.host.life, Phase::Hopeless);
        self.host.life = match life {
            Phase::Starting(host) | Phase::Up(host) => Phase::Up(host),
            other @ (Phase::Down(_) | Phase::Hopeless) => other,
        };
        (self.host.unfit, self.host.stillborn) = (None, 0);
        tracing::info!(library = %self.host.status.library, %version, pid = self.host.status.pid, "engine host up");
        self.host.answer_by = None;
        self.host.status.state = if self.host.simulated { "simulated" } else { "up" }.into();
        self.host.status.reason.clear();
        self.host.status.version = version;
        self.host.status.providers = providers;
        self.core.handle(self.now, Event::HostUp);
        self.load_next();
        self.touch();
    }

    /// The host is gone: fail what was on it by name, and plan the next start.
    fn host_ended(&mut self, why: &str) {
        let ending = self.host.ending.take();
        let fault = ending.unwrap_or(Fault::HostLost);
        if matches!(self.host.life, Phase::Starting(_)) {
            self.host.stillborn += 1;
            if self.host.stillborn >= STILLBORN {
                let times = self.host.stillborn;
                let dying = || format!("{times} engine hosts in a row died while they loaded it: {why}");
                self.host.unfit.get_or_insert_with(dying);
            }
        }
        let why = self.host.unfit.as_deref().unwrap_or(why);
        tracing::error!(%why, fault = fault.as_str(), "engine host ended");
        self.host.status.state = "down".into();
        self.host.status.reason = why.to_owned();
        self.host.status.pid = 0;
        self.host.answer_by = None;
        self.host.life = Phase::Down(self.host.backoff.ended(self.now, self.host.served));
        let busy = !self.host.batches.is_empty() || !self.host.preparing.is_empty();
        for (lane, ids) in std::mem::take(&mut self.host.batches) {
            let mut results = Results::new();
            for id in ids.as_slice() {
                self.fault_step(*id, fault);
                results.push(MemberResult { id: *id, result: Err(fault) });
            }
            self.core.handle(self.now, Event::BatchDone { lane, took: Duration::ZERO, results });
        }
        for id in std::mem::take(&mut self.host.preparing) {
            self.fault_step(id, fault);
            self.core.handle(self.now, Event::Prepared { id, result: Err(fault), took: Duration::ZERO });
        }
        self.core.handle(self.now, Event::HostDown);
        self.models_after_end(busy);
        self.check_warm();
        self.touch();
    }

    /// The host is due: it is started, or ended because it did not answer.
    pub(super) fn host_due(&mut self) {
        if self.host.answer_by.take().is_some() {
            tracing::error!("the engine host does not answer while it starts or loads: it is ended");
            self.host.end(Fault::Hung);
        } else {
            self.start_host();
        }
    }

    fn fault_step(&mut self, id: RequestId, fault: Fault) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.story.steps.push((self.now, Step::Faulted { fault: fault.as_str() }));
        }
    }
}
