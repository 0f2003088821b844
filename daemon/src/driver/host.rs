//! The life of an engine host as the driver sees it: start it, take what it says, notice its end. Which models it loads is
//! told in [`loading`](super::loading), which hosts there are in [`hosts`](super::hosts).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Event, Fault, HostId, Ids, LaneId, MemberResult, ModelId, ModelState, Mono, RequestId, Results};
use edge_engine::protocol::{FromHost, ProviderIdentity, ProviderSetup, Run, ToHost};
use edge_wire::dto::HostStatus;

use super::Driver;
use super::hosts::Provider;
use super::models::Life;
use super::trace::Step;
use super::upkeep::Upkept;
use crate::lanes::process::Process;
use crate::lanes::sim::Simulator;
use crate::lanes::supervise::Backoff;
use crate::lanes::{Host, HostEvent, SendError};

/// How long a host may take to load the runtime's library.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a host may take from one word about a load to the next. Loading runs every golden input, and gives way to serving: on
/// a box that is never idle it takes many times as long as alone.
const LOAD_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The same while something is compiled, of which a host says nothing until it is done; on a small board TensorRT takes
/// many minutes. Another setup serves meanwhile, and the job can be cancelled.
const BUILD_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Hosts in a row that die while they load the library, after which the library is to blame.
const STILLBORN: u32 = 3;

/// A host whose next start is no farther away is waited for.
const SOON: Duration = Duration::from_millis(500);
/// State of a host without a runtime.
const NO_LIBRARY: &str = "no_library";
/// Nor without the provider in it.
const NO_PROVIDER: &str = "no_provider";
/// State of a host that was up and is not needed, and what is said of it.
const IDLE: (&str, &str) = ("idle", "no model needs it: it is started when one does");
/// How long to wait for the first host to say which providers are compiled into the library.
const FIRST_WORD: Duration = Duration::from_millis(50);

/// Where the host is in its life.
#[derive(Debug)]
enum Phase {
    /// No model wants it.
    Unused,
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
    /// The execution provider that it is for.
    pub provider: String,
    life: Phase,
    backoff: Backoff,
    simulated: bool,
    /// Batches that were sent, in order, so that each can be failed by name when the host ends.
    batches: Vec<(LaneId, Ids)>,
    preparing: Vec<RequestId>,
    /// Tickets of attempts at sites for which it decodes a payload or reads an answer.
    errands: Vec<u64>,
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
    /// Loads that were given up and have not ended, and until when they may go on.
    given_up: Vec<(ModelId, u32, Mono)>,
    /// The next end comes because the daemon wants it: no model is to blame for it, and the next start need not wait.
    replaced: bool,
    /// What it does with its memory and its time.
    pub upkept: Upkept,
    status: HostStatus,
    /// What it last said of the library: its version, and the providers compiled into it.
    pub library: Option<(String, Vec<String>)>,
    /// Which build of its provider it last said it is for, and on what it runs.
    pub identity: Option<ProviderIdentity>,
    starts: u32,
}

impl HostState {
    pub(super) fn new(provider: &str, simulated: bool) -> HostState {
        let status = HostStatus { provider: provider.into(), state: "unused".into(), ..HostStatus::default() };
        HostState {
            provider: provider.into(),
            life: Phase::Unused,
            backoff: Backoff::default(),
            simulated,
            batches: Vec::new(),
            preparing: Vec::new(),
            errands: Vec::new(),
            served: false,
            answer_by: None,
            unfit: None,
            stillborn: 0,
            ending: None,
            given_up: Vec::new(),
            replaced: false,
            upkept: Upkept::default(),
            status,
            library: None,
            identity: None,
            starts: 0,
        }
    }

    /// The next event of a running host; waits for ever without one. Safe to cancel.
    pub(super) async fn next(&mut self) -> HostEvent {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.next().await,
            Phase::Unused | Phase::Down(_) | Phase::Hopeless => std::future::pending().await,
        }
    }

    /// When something is due: the next start, or the end of the patience with a start or a load.
    pub(super) fn next_due(&self) -> Option<Mono> {
        match self.life {
            Phase::Down(at) => Some(at),
            Phase::Starting(_) | Phase::Up(_) => {
                let given_up = self.given_up.iter().map(|(_, _, by)| *by);
                given_up.chain(self.answer_by).min()
            }
            Phase::Unused | Phase::Hopeless => None,
        }
    }

    /// A model wants it: it is started at once if it was not before.
    pub(super) fn want(&mut self, now: Mono) {
        if matches!(self.life, Phase::Unused) {
            self.life = Phase::Down(now);
            self.status.state = "down".into();
        }
    }

    /// Whether it is on its way up with nothing against it: it will be there about as soon as another one could stand in.
    pub(super) fn is_coming(&self, now: Mono) -> bool {
        let soon = match self.life {
            Phase::Down(at) => at <= now.after(SOON),
            Phase::Starting(_) => true,
            Phase::Unused | Phase::Up(_) | Phase::Hopeless => false,
        };
        soon && self.unfit.is_none()
    }

    /// No model wants it any more: it is not started again for nothing.
    fn rest(&mut self) {
        self.life = Phase::Unused;
        self.unfit = None;
        let (state, reason) = if self.has_started() { IDLE } else { ("unused", "") };
        (self.status.state, self.status.reason) = (state.into(), reason.into());
    }

    /// What is to be said of a host that is up.
    pub(super) fn remark(&mut self, text: String) {
        if self.is_up() {
            self.status.reason = text;
        }
    }

    /// Something is under way there.
    pub(super) fn is_at_work(&self) -> bool {
        let is_idle = self.batches.is_empty() && self.preparing.is_empty() && self.errands.is_empty();
        !(is_idle && self.given_up.is_empty())
    }

    /// Ends a host in good order: what is on it runs once more, and the next one is started as soon as a model wants it.
    pub(super) fn replace(&mut self) {
        self.replaced = true;
        self.end(Fault::HostLost);
    }

    /// The library is another one: what kept this host from starting may be gone, so it is not waited any longer. Whether a
    /// provider is a part of the library shows when the first host is up ([`HostState::release`]).
    pub(super) fn retry(&mut self, now: Mono) {
        let no_library = matches!(self.life, Phase::Hopeless) && self.status.state == NO_LIBRARY;
        if no_library || matches!(self.life, Phase::Down(_)) {
            self.life = Phase::Down(now);
            (self.unfit, self.stillborn) = (None, 0);
            self.status.state = "down".into();
        }
        // With another library it may be able to.
        self.was_tried(None);
    }

    /// The library turns out to have the provider of this host, which could not be started without: it may be wanted again.
    /// Whether it was one.
    fn release(&mut self, providers: &[String]) -> bool {
        let lacked = matches!(self.life, Phase::Hopeless) && self.status.state == NO_PROVIDER;
        let released = lacked && providers.contains(&self.provider);
        if released {
            self.life = Phase::Unused;
            (self.status.state, self.status.reason) = ("unused".into(), String::new());
        }
        released
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
    pub(super) fn expect_load(&mut self, now: Mono, compiles: bool) {
        self.answer_by = Some(now.after(if compiles { BUILD_PATIENCE } else { LOAD_PATIENCE }));
    }

    /// A load was given up: the host has until then to end it.
    pub(super) fn expect_end_of(&mut self, model: ModelId, load: u32, by: Mono) {
        self.given_up.push((model, load, by));
    }

    /// A load that was given up has ended.
    fn has_ended(&mut self, model: ModelId, load: u32) {
        self.given_up.retain(|(given_up, number, _)| (*given_up, *number) != (model, load));
    }

    /// Nothing is being loaded.
    pub(super) fn expect_nothing(&mut self) {
        self.answer_by = None;
    }

    /// No host will come up without a change of the machine.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.life, Phase::Hopeless)
    }

    /// Why nothing can ever be loaded on it, as far as it is known.
    pub(super) fn why_hopeless(&self) -> Option<String> {
        let why = self.is_hopeless().then(|| self.status.reason.clone())?;
        Some(if self.status.state == NO_LIBRARY { format!("no engine: {why}") } else { why })
    }

    /// Why it is not up.
    pub(super) fn why_down(&self) -> Option<String> {
        match &self.life {
            Phase::Up(_) => None,
            Phase::Starting(_) => Some("the engine host is starting".into()),
            Phase::Down(_) if self.status.reason.is_empty() => Some("the engine host is starting".into()),
            Phase::Unused if self.has_started() => Some(IDLE.1.into()),
            Phase::Unused => Some("no model wanted its engine host so far".into()),
            Phase::Down(_) | Phase::Hopeless => Some(self.status.reason.clone()),
        }
    }

    /// Whether it served at some time.
    pub(super) fn has_started(&self) -> bool {
        self.library.is_some()
    }

    pub(super) fn status(&self) -> HostStatus {
        self.status.clone()
    }

    /// Whether a host of this provider could start when it was measured, or why not; said of one that no model has wanted.
    pub(super) fn was_tried(&mut self, why_not: Option<&str>) {
        if matches!(self.life, Phase::Unused) {
            self.status.reason = why_not.unwrap_or_default().to_owned();
        }
    }

    /// Sends to a running host. An error concerns this message alone.
    pub(super) fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) -> Result<(), SendError> {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.send(message, fds),
            Phase::Unused | Phase::Down(_) | Phase::Hopeless => Err(SendError::NoHost),
        }
    }

    /// Gives a lane a batch. An error concerns this batch alone.
    pub(super) fn run(&mut self, lane: LaneId, ids: &Ids, batch: Run, fds: &[Arc<OwnedFd>]) -> Result<(), SendError> {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.run(lane.0, batch, fds)?,
            Phase::Unused | Phase::Down(_) | Phase::Hopeless => return Err(SendError::NoHost),
        }
        self.batches.push((lane, *ids));
        self.upkept.works();
        Ok(())
    }

    /// Lets a lane run the golden inputs of its model once more.
    pub(super) fn check(&mut self, lane: LaneId) -> Result<(), SendError> {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => host.check(lane.0),
            Phase::Unused | Phase::Down(_) | Phase::Hopeless => Err(SendError::NoHost),
        }
    }

    /// Whether a batch is on this lane.
    pub(super) fn is_busy(&self, lane: LaneId) -> bool {
        self.batches.iter().any(|(busy, _)| *busy == lane)
    }

    /// Takes the channels of a model's lanes.
    pub(super) fn lanes(&mut self, first: u16, channels: Vec<OwnedFd>) {
        if let Phase::Starting(host) | Phase::Up(host) = &mut self.life {
            host.lanes(first, channels);
        }
    }

    pub(super) fn sent_prepare(&mut self, id: RequestId) {
        self.preparing.push(id);
        self.upkept.works();
    }

    /// It said what became of a preparation.
    pub(super) fn has_prepared(&mut self, id: RequestId) {
        self.preparing.retain(|waiting| *waiting != id);
    }

    /// It does something for an attempt at a site.
    pub(super) fn sent_errand(&mut self, ticket: u64) {
        self.errands.push(ticket);
        self.upkept.works();
    }

    /// It said what became of that.
    pub(super) fn has_done_errand(&mut self, ticket: u64) {
        self.errands.retain(|waiting| *waiting != ticket);
    }

    /// Batches that it runs now.
    pub(super) fn running(&self) -> usize {
        self.batches.len()
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

/// Why a host is not started.
pub(super) enum NoStart {
    /// Nothing but another configuration or another library helps.
    Hopeless(&'static str, String),
    /// It may be a passing thing: it is tried again, more and more rarely.
    Unfit(String),
    /// Not yet.
    Wait,
}

impl Driver {
    /// Starts a host, or notes why that is impossible.
    pub(super) fn start_host(&mut self, id: HostId) {
        let started = self.provider_of(id).and_then(|provider| self.spawn_host(provider, false));
        let now = self.now;
        let Some(state) = self.hosts.get_mut(id) else { return };
        match started {
            Ok((host, plugin)) => {
                state.backoff.started(now);
                state.answer_by = Some(now.after(START_PATIENCE));
                state.served = false;
                state.status.state = "starting".into();
                state.status.plugin = plugin;
                state.status.pid = host.pid();
                state.status.restarts = state.starts;
                state.starts += 1;
                state.life = Phase::Starting(host);
            }
            Err(NoStart::Wait) => state.life = Phase::Down(now.after(FIRST_WORD)),
            Err(NoStart::Hopeless(word, why)) => {
                tracing::error!(provider = %state.provider, %why, "no engine host can be started");
                (state.status.state, state.status.reason) = (word.into(), why);
                state.life = Phase::Hopeless;
                self.fail_models_of(id);
            }
            Err(NoStart::Unfit(why)) => {
                state.unfit = Some(why.clone());
                self.host_ended(id, &why);
            }
        }
        self.touch();
    }

    /// The provider that a host has to register.
    pub(super) fn provider_of(&self, id: HostId) -> Result<ProviderSetup, NoStart> {
        let name = self.hosts.get(id).map(|host| host.provider.clone()).unwrap_or_default();
        let options = self.config.engine.device.clone();
        let Some(kind) = Provider::of(&name) else {
            return Ok(ProviderSetup { name, plugin: None, options });
        };
        match kind {
            Provider::Plugin => {
                let found = edge_engine::library::find_plugin(&self.config.engine.providers_dir, &name);
                let plugin = found.map_err(|error| NoStart::Unfit(super::chain(&error)))?;
                Ok(ProviderSetup { name, plugin: Some(plugin), options })
            }
            Provider::BuiltIn => match self.hosts.library() {
                Some((_, have)) if have.contains(&name) => Ok(ProviderSetup { name, plugin: None, options }),
                Some((version, have)) => {
                    let have = have.join(", ");
                    let why = format!("provider {name} is not part of this ONNX Runtime {version}, which has {have}");
                    Err(NoStart::Hopeless(NO_PROVIDER, why))
                }
                None => match self.hosts.first().filter(|first| first.is_hopeless()).and_then(HostState::why_down) {
                    Some(why) => Err(NoStart::Hopeless(NO_LIBRARY, why)),
                    None => Err(NoStart::Wait),
                },
            },
        }
    }

    /// A host for a provider, and its library; in the `background` it gives way to all others.
    pub(super) fn spawn_host(&self, provider: ProviderSetup, background: bool) -> Result<(Host, String), NoStart> {
        let library = match &self.outside.library {
            None => {
                let mut simulator = Simulator::start();
                simulator.send(&ToHost::Start { library: "simulated".into(), provider, background: false });
                return Ok((Host::Simulated(simulator), String::new()));
            }
            Some(Ok((path, _))) => path.clone(),
            Some(Err(why)) => return Err(NoStart::Hopeless(NO_LIBRARY, why.clone())),
        };
        let plugin = provider.plugin.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let process = Process::spawn(&self.outside.program).map_err(|error| NoStart::Unfit(super::chain(&error)))?;
        let mut host = Host::Process(process);
        let told = host.send(&ToHost::Start { library, provider, background }, Vec::new());
        told.map_err(|error| NoStart::Unfit(super::chain(&error)))?;
        Ok((host, plugin))
    }

    /// No setup on this host can be served, if it is hopeless.
    pub(super) fn fail_models_of(&mut self, host: HostId) {
        let Some(why) = self.hosts.get(host).and_then(HostState::why_hopeless) else { return };
        let of_host = |model: &super::models::Model| {
            model.host == host && matches!(model.life, Life::Standby | Life::Found | Life::Loading | Life::Ready)
        };
        let ids: Vec<ModelId> = self.models.iter().filter(|(_, model)| of_host(model)).map(|(id, _)| id).collect();
        for id in ids {
            if let Some(model) = self.models.get_mut(id) {
                model.life = Life::Failed(why.clone());
            }
            // Another setup may take over what waits for it.
            self.choose_setups();
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        }
        self.check_warm();
        self.touch();
    }

    /// Takes one event of a host.
    pub(super) fn on_host(&mut self, host: HostId, event: HostEvent) {
        self.now = self.clock.now();
        match event {
            HostEvent::Gone(why) => self.host_ended(host, &why),
            HostEvent::Message(message, fds) => self.on_host_message(host, message, fds),
        }
    }

    fn on_host_message(&mut self, host: HostId, message: FromHost, fds: Vec<OwnedFd>) {
        match message {
            FromHost::Started { version, providers, identity, own_bytes } => {
                if let Some(state) = self.hosts.get_mut(host) {
                    state.upkept = Upkept::new(self.now, own_bytes);
                }
                self.host_started(host, version, providers, identity);
            }
            FromHost::StartFailed { message } => {
                // It may be a passing thing (a library that is being replaced), so it is tried again, more and more rarely.
                if let Some(state) = self.hosts.get_mut(host) {
                    state.unfit = Some(message);
                    state.end(Fault::HostLost);
                }
            }
            FromHost::Loaded(loaded) => {
                if let Some(state) = self.hosts.get_mut(host) {
                    state.has_ended(ModelId(loaded.model), loaded.load);
                }
                self.model_loaded(loaded, fds);
            }
            FromHost::LoadFailed { model, load, fault, message } => {
                let id = ModelId(model);
                if self.awaits_load(id, load) {
                    self.load_failed(id, message, super::recovery::blame(fault));
                } else if let Some(state) = self.hosts.get_mut(host) {
                    state.has_ended(id, load);
                }
            }
            FromHost::Progress { model, load, phase } => self.load_progress(ModelId(model), load, phase),
            FromHost::Abandoned { model, load } => {
                if let Some(state) = self.hosts.get_mut(host) {
                    state.has_ended(ModelId(model), load);
                }
            }
            FromHost::Unloaded { model, before_bytes, after_bytes } => {
                self.note_unloaded(host, ModelId(model), before_bytes, after_bytes);
            }
            FromHost::Prepared { id, result, took_ns, picture } => {
                self.prepared(host, RequestId(id), result, took_ns, (picture, fds))
            }
            FromHost::Filled { ticket, result } => self.filled(host, ticket, result, fds),
            FromHost::Interpreted { ticket, result } => self.interpreted(host, ticket, result, &fds),
            FromHost::Ran { lane, took_ns, members } => self.ran(host, LaneId(lane), took_ns, members, fds),
            FromHost::Checked { lane, result } => self.goldens_checked(LaneId(lane), result),
            FromHost::Measured { lane, .. } => tracing::warn!(lane, "a lane that serves was measured"),
            FromHost::Note { message } => tracing::warn!(note = %message, host = host.0, "engine host"),
        }
    }

    fn host_started(&mut self, id: HostId, version: String, providers: Vec<String>, identity: ProviderIdentity) {
        let Some(state) = self.hosts.get_mut(id) else { return };
        let life = std::mem::replace(&mut state.life, Phase::Hopeless);
        state.life = match life {
            Phase::Starting(host) | Phase::Up(host) => Phase::Up(host),
            other @ (Phase::Unused | Phase::Down(_) | Phase::Hopeless) => other,
        };
        (state.unfit, state.stillborn) = (None, 0);
        tracing::info!(provider = %state.provider, %version, pid = state.status.pid, "engine host up");
        state.answer_by = None;
        state.status.state = if state.simulated { "simulated" } else { "up" }.into();
        state.status.reason.clear();
        let before = state.library.replace((version.clone(), providers.clone()));
        let other = before.filter(|(before, _)| *before != version);
        state.status.provider_version.clone_from(&identity.version);
        state.status.device.clone_from(&identity.device);
        state.identity = Some(identity);
        self.core.handle(self.now, Event::HostUp { host: id });
        if let Some((before, _)) = other {
            // It was replaced on the disk, and nobody said so.
            tracing::warn!(%before, %version, "an engine host came back with another ONNX Runtime");
            self.runtime_changed(id, &before, &version);
        }
        self.release_hosts(&providers);
        self.drop_foreign_plans();
        self.adopt_found();
        self.choose_setups();
        self.load_next(id);
        self.touch();
    }

    /// Providers that the library before did not have can be wanted again.
    fn release_hosts(&mut self, providers: &[String]) {
        for at in 0..self.hosts.iter().count() {
            let id = HostId(u8::try_from(at).unwrap_or(u8::MAX));
            if self.hosts.get_mut(id).is_some_and(|state| state.release(providers)) {
                self.runtime_changed(id, "", "");
            }
        }
    }

    /// A host is gone: fail what was on it by name, and plan the next start.
    fn host_ended(&mut self, id: HostId, why: &str) {
        let now = self.now;
        let Some(state) = self.hosts.get_mut(id) else { return };
        let fault = state.ending.take().unwrap_or(Fault::HostLost);
        if matches!(state.life, Phase::Starting(_)) {
            state.stillborn += 1;
            if state.stillborn >= STILLBORN {
                let times = state.stillborn;
                let dying = || format!("{times} engine hosts in a row died while they loaded it: {why}");
                state.unfit.get_or_insert_with(dying);
            }
        }
        let why = state.unfit.clone().unwrap_or_else(|| why.to_owned());
        state.given_up.clear();
        let replaced = std::mem::take(&mut state.replaced);
        // That is no fault of its own; whoever had it replaced says why.
        let why = if replaced { String::new() } else { why };
        // One that cannot even be started is tried again and again; that is told once.
        if !replaced && (state.status.state != "down" || state.status.reason != why) {
            tracing::error!(%why, provider = %state.provider, fault = fault.as_str(), "engine host ended");
        }
        state.status.state = if replaced { "starting" } else { "down" }.into();
        state.status.reason = why;
        state.status.pid = 0;
        state.answer_by = None;
        state.life = Phase::Down(if replaced { now } else { state.backoff.ended(now, state.served) });
        let (batches, preparing) = (std::mem::take(&mut state.batches), std::mem::take(&mut state.preparing));
        let errands = std::mem::take(&mut state.errands);
        let busy = !batches.is_empty() || !preparing.is_empty();
        for (lane, ids) in batches {
            let mut results = Results::new();
            for id in ids.as_slice() {
                self.fault_step(*id, fault);
                results.push(MemberResult { id: *id, result: Err(fault) });
            }
            self.core.handle(now, Event::BatchDone { lane, took: Duration::ZERO, results });
        }
        for request in preparing {
            self.fault_step(request, fault);
            self.core.handle(now, Event::Prepared { id: request, result: Err(fault), took: Duration::ZERO });
        }
        for ticket in errands {
            self.errand_lost(ticket);
        }
        self.core.handle(now, Event::HostDown { host: id });
        self.models_after_end(id, busy || replaced);
        self.choose_setups();
        self.check_warm();
        self.touch();
    }

    /// A host is due: it is started, or ended because it did not answer.
    pub(super) fn host_due(&mut self, id: HostId) {
        let Some(state) = self.hosts.get_mut(id) else { return };
        let now = self.now;
        if state.is_up() && state.given_up.iter().any(|(_, _, by)| *by <= now) {
            tracing::warn!(provider = %state.provider, "a load that was given up does not end: its engine host is replaced");
            state.given_up.clear();
            state.replace();
        } else if state.answer_by.take().is_some() {
            tracing::error!(provider = %state.provider, "an engine host does not answer while it starts or loads: it is ended");
            state.end(Fault::Hung);
        } else if id == HostId(0) || self.models.iter().any(|(_, model)| model.host == id && model.wants_host()) {
            self.start_host(id);
        } else {
            state.rest();
        }
    }

    fn fault_step(&mut self, id: RequestId, fault: Fault) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.story.steps.push((self.now, Step::Faulted { fault: fault.as_str() }));
        }
    }
}
