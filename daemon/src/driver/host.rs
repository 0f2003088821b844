//! The engine host's life as the driver sees it: start it, give it the models, take what it says, notice its end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use edge_core::{Cost, Event, Fault, LaneId, MemberResult, ModelId, ModelState, Mono, RequestId, Results};
use edge_engine::protocol::{
    Data, ErrorKind, FromHost, HostError, LoadModel, LoadedModel, MemberDone, Output as HostOutput, ToHost,
};
use edge_wire::dto::EngineStatus;
use edge_wire::error::ErrorCode;

use super::Driver;
use super::models::{Life, Model};
use super::trace::Step;
use crate::lanes::process::Process;
use crate::lanes::sim::Simulator;
use crate::lanes::supervise::{AfterLoadDeath, Backoff, after_load_death};
use crate::lanes::{Host, HostEvent};
use crate::request::{Blob, Failure, Output, TensorOut};

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
    batches: Vec<(LaneId, Vec<RequestId>)>,
    preparing: Vec<RequestId>,
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

    /// When the next start is due.
    pub(super) fn next_start(&self) -> Option<Mono> {
        match self.life {
            Phase::Down(at) => Some(at),
            Phase::Starting(_) | Phase::Up(_) | Phase::Hopeless => None,
        }
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

    /// Sends to a running host; `false` if there is none.
    pub(super) fn send(&mut self, message: &ToHost, fds: Vec<Arc<OwnedFd>>) -> bool {
        match &mut self.life {
            Phase::Starting(host) | Phase::Up(host) => {
                host.send(message, fds);
                true
            }
            Phase::Down(_) | Phase::Hopeless => false,
        }
    }

    pub(super) fn sent_batch(&mut self, lane: LaneId, ids: Vec<RequestId>) {
        self.batches.push((lane, ids));
    }

    pub(super) fn sent_prepare(&mut self, id: RequestId) {
        self.preparing.push(id);
    }

    /// Ends the host; what was on it fails with `fault`.
    pub(super) fn end(&mut self, fault: Fault) {
        if let Phase::Starting(host) | Phase::Up(host) = &mut self.life {
            self.ending = Some(fault);
            host.kill();
        }
    }
}

impl Driver {
    /// Starts a host, or notes why that is impossible.
    pub(super) fn start_host(&mut self) {
        let library = match &self.outside.library {
            None => {
                let mut host = Host::Simulated(Simulator::start());
                host.send(&ToHost::Start { library: "simulated".into() }, Vec::new());
                self.host.life = Phase::Starting(host);
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
        match Process::spawn(&self.outside.program) {
            Ok(process) => {
                let mut host = Host::Process(process);
                host.send(&ToHost::Start { library }, Vec::new());
                self.host.status.pid = host.pid();
                if self.host.starts > 0 {
                    self.host.status.restarts += 1;
                }
                self.host.starts += 1;
                self.host.life = Phase::Starting(host);
            }
            Err(error) => self.host_ended(&super::chain(&error)),
        }
        self.touch();
    }

    fn fail_all_models(&mut self, why: &str) {
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
                tracing::error!(%message, "the engine host cannot start");
                self.host.status.state = "down".into();
                self.host.status.reason = message.clone();
                self.host.end(Fault::HostLost);
                self.host.life = Phase::Hopeless;
                self.fail_all_models(&message);
            }
            FromHost::Loaded(loaded) => {
                if self.awaits_load(ModelId(loaded.model), loaded.load) {
                    self.model_loaded(loaded);
                }
            }
            FromHost::LoadFailed { model, load, message } => {
                let id = ModelId(model);
                if self.awaits_load(id, load) {
                    self.model_failed(id, message);
                }
            }
            FromHost::Unloaded { model } => tracing::info!(model, "unloaded"),
            FromHost::Prepared { id, result, took_ns } => self.prepared(RequestId(id), result, took_ns),
            FromHost::Ran { lane, took_ns, members } => self.ran(LaneId(lane), took_ns, members, fds),
            FromHost::Note { message } => tracing::warn!(%message, "engine host"),
        }
    }

    fn host_started(&mut self, version: String, providers: Vec<String>) {
        let life = std::mem::replace(&mut self.host.life, Phase::Hopeless);
        self.host.life = match life {
            Phase::Starting(host) | Phase::Up(host) => Phase::Up(host),
            other @ (Phase::Down(_) | Phase::Hopeless) => other,
        };
        tracing::info!(library = %self.host.status.library, %version, pid = self.host.status.pid, "engine host up");
        self.host.status.state = if self.host.simulated { "simulated" } else { "up" }.into();
        self.host.status.reason.clear();
        self.host.status.version = version;
        self.host.status.providers = providers;
        self.core.handle(self.now, Event::HostUp);
        self.load_next();
        self.touch();
    }

    /// Asks for the models that are not loaded: those used last first; suspects one at a time, after all others. After a
    /// restart requests wait for what was used last, so nothing competes with that for the cores.
    fn load_next(&mut self) {
        if !matches!(self.host.life, Phase::Up(_)) {
            return;
        }
        let mut found: Vec<(ModelId, u64, bool)> = self
            .models
            .iter()
            .filter(|(_, model)| model.life == Life::Found)
            .map(|(id, model)| (id, model.used, model.suspect))
            .collect();
        found.sort_by_key(|(id, used, _)| (std::cmp::Reverse(*used), *id));
        let is = |life: Life| self.models.iter().any(|(_, model)| model.life == life);
        let first_alone =
            self.host.starts > 1 && !is(Life::Ready) && found.first().is_some_and(|(_, used, _)| *used > 0);
        let most = match (first_alone, is(Life::Loading)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => usize::MAX,
        };
        for (id, _, _) in found.iter().filter(|(_, _, suspect)| !suspect).take(most) {
            self.send_load(*id);
        }
        let busy = self.models.iter().any(|(_, model)| model.life == Life::Loading);
        if let (false, Some((id, _, _))) = (busy, found.first()) {
            self.send_load(*id);
        }
    }

    /// A bundle that was just found.
    pub(super) fn load_found(&mut self, id: ModelId) {
        let Some(model) = self.models.get(id) else { return };
        self.core.handle(self.now, Event::ModelState { model: id, state: model.core_state(id) });
        if model.life == Life::Found && self.host.is_hopeless() {
            let why = self.host.status.reason.clone();
            self.fail_all_models(&format!("no engine: {why}"));
        }
        self.load_next();
    }

    fn send_load(&mut self, id: ModelId) {
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Loading;
        model.load = model.load.wrapping_add(1);
        let load = LoadModel {
            model: id.0,
            load: model.load,
            bundle: model.found.dir.clone(),
            first_lane: Model::first_lane(id),
            allowed_providers: self.config.engine.providers.clone(),
            instances: None,
            // The same bundle on the same library gave its golden answers in this very life of the daemon.
            check_goldens: model.loaded.is_none(),
        };
        self.host.send(&ToHost::Load(load), Vec::new());
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Loading });
    }

    /// Whether this load was not given up meanwhile: what was said before the host heard of it means nothing now.
    fn awaits_load(&self, id: ModelId, load: u32) -> bool {
        self.models.get(id).is_some_and(|model| model.life == Life::Loading && model.load == load)
    }

    fn model_loaded(&mut self, loaded: LoadedModel) {
        let id = ModelId(loaded.model);
        let service_ns = loaded.service_ns;
        let Some(model) = self.models.get_mut(id) else { return };
        let goldens = model.loaded.as_ref().map_or(loaded.goldens_passed, |before| before.goldens_passed);
        tracing::info!(model = %model.label(), variant = %loaded.variant, load_ms = loaded.load_ms, goldens, "model ready");
        model.suspect = false;
        model.set_loaded(LoadedModel { goldens_passed: goldens, ..loaded });
        let state = model.core_state(id);
        if service_ns > 0 {
            // A first estimate: without one the core has to take whatever comes until the first request is done.
            let took = std::time::Duration::from_nanos(service_ns);
            self.core.handle(self.now, Event::Measured { model: id, batch: 1, took });
        }
        self.core.handle(self.now, Event::ModelState { model: id, state });
        self.after_load();
    }

    fn model_failed(&mut self, id: ModelId, message: String) {
        let Some(model) = self.models.get_mut(id) else { return };
        tracing::error!(model = %model.label(), %message, "model cannot be served");
        model.life = Life::Failed(message);
        model.loaded = None;
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.after_load();
    }

    fn after_load(&mut self) {
        self.load_next();
        self.check_warm();
        self.touch();
    }

    fn prepared(&mut self, id: RequestId, result: Result<u32, HostError>, took_ns: u64) {
        self.host.preparing.retain(|waiting| *waiting != id);
        let took = std::time::Duration::from_nanos(took_ns);
        let result = match result {
            Ok(cost) => Ok(Cost::new(cost)),
            Err(error) => Err(self.note_error(id, error)),
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            let took_us = took_ns / 1000;
            let step = match &result {
                Ok(cost) => Step::Prepared { cost: cost.units(), took_us },
                Err(fault) => Step::Faulted { fault: fault.as_str() },
            };
            entry.story.steps.push((self.now, step));
        }
        self.core.handle(self.now, Event::Prepared { id, result, took });
    }

    fn note_error(&mut self, id: RequestId, error: HostError) -> Fault {
        let fault = match error.kind {
            ErrorKind::InvalidInput => Fault::InvalidInput,
            ErrorKind::TooLarge => Fault::TooLarge,
            ErrorKind::Runtime => Fault::Runtime,
            ErrorKind::Full => Fault::Full,
            ErrorKind::Late => Fault::Late,
            ErrorKind::Stopped => Fault::Stopped,
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.error = Some(error);
        }
        fault
    }

    fn ran(&mut self, lane: LaneId, took_ns: u64, members: Vec<MemberDone>, fds: Vec<OwnedFd>) {
        if let Some(at) = self.host.batches.iter().position(|(busy, _)| *busy == lane) {
            self.host.batches.remove(at);
        }
        let took = std::time::Duration::from_nanos(took_ns);
        let fds: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
        let mut results = Results::new();
        for member in members {
            let id = RequestId(member.id);
            let result = match member.result {
                Ok(output) => self.take_output(id, output, &fds, took),
                Err(error) => Err(self.note_error(id, error)),
            };
            if let (Err(fault), Some(entry)) = (result, self.entries.get_mut(&id)) {
                entry.story.steps.push((self.now, Step::Faulted { fault: fault.as_str() }));
            }
            results.push(MemberResult { id, result });
        }
        self.core.handle(self.now, Event::BatchDone { lane, took, results });
    }

    fn take_output(
        &mut self,
        id: RequestId,
        output: HostOutput,
        fds: &[Arc<OwnedFd>],
        took: std::time::Duration,
    ) -> Result<(), Fault> {
        // Settled meanwhile (cancelled): nobody wants the output.
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        entry.story.steps.push((self.now, Step::Ran { took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }));
        entry.compute = took;
        let converted = match output {
            HostOutput::Document(data) => document(data, fds).map(Output::Document),
            HostOutput::Tensors(tensors) => {
                match self.models.get(entry.model).and_then(|model| Some((model, model.loaded.as_ref()?))) {
                    Some((model, loaded)) => tensors
                        .into_iter()
                        .map(|tensor| {
                            let at = usize::from(tensor.index);
                            let (name, spec) = (model.output_names.get(at)?, loaded.outputs.get(at)?);
                            let data = blob(tensor.data, fds)?;
                            Some(TensorOut { name: name.clone(), datatype: spec.datatype, shape: tensor.shape, data })
                        })
                        .collect::<Option<Vec<_>>>()
                        .map(Output::Tensors)
                        .ok_or_else(|| "an output without its descriptor".to_owned()),
                    None => Err("an output of an unknown model".to_owned()),
                }
            }
        };
        match converted {
            Ok(output) => {
                entry.result = Some(output);
                Ok(())
            }
            Err(message) => {
                entry.error = Some(HostError { kind: ErrorKind::Runtime, message });
                Err(Fault::Runtime)
            }
        }
    }

    /// The host is gone: fail what was on it by name, and plan the next start.
    fn host_ended(&mut self, why: &str) {
        let fault = self.host.ending.take().unwrap_or(Fault::HostLost);
        tracing::error!(%why, fault = fault.as_str(), "engine host ended");
        self.host.status.state = "down".into();
        self.host.status.reason = why.to_owned();
        self.host.status.pid = 0;
        if !self.host.is_hopeless() {
            self.host.life = Phase::Down(self.host.backoff.ended(self.now));
        }
        for (lane, ids) in std::mem::take(&mut self.host.batches) {
            let mut results = Results::new();
            for id in ids {
                self.fault_step(id, fault);
                results.push(MemberResult { id, result: Err(fault) });
            }
            self.core.handle(self.now, Event::BatchDone { lane, took: std::time::Duration::ZERO, results });
        }
        for id in std::mem::take(&mut self.host.preparing) {
            self.fault_step(id, fault);
            self.core.handle(self.now, Event::Prepared { id, result: Err(fault), took: std::time::Duration::ZERO });
        }
        self.core.handle(self.now, Event::HostDown);
        self.models_after_end();
        self.touch();
    }

    fn fault_step(&mut self, id: RequestId, fault: Fault) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.story.steps.push((self.now, Step::Faulted { fault: fault.as_str() }));
        }
    }

    fn models_after_end(&mut self) {
        let loading: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Loading).map(|(id, _)| id).collect();
        for id in &loading {
            let Some(model) = self.models.get_mut(*id) else { continue };
            match after_load_death(loading.len() - 1) {
                AfterLoadDeath::Alone => {
                    model.suspect = true;
                    model.life = Life::Found;
                }
                AfterLoadDeath::GiveUp if model.suspect || model.loaded.is_none() => {
                    self.model_failed(*id, "its load ended the engine host".into());
                }
                AfterLoadDeath::GiveUp => {
                    // It served before: something else may have ended the host. Once more, alone.
                    model.suspect = true;
                    model.life = Life::Found;
                }
            }
        }
        let ready: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Ready).map(|(id, _)| id).collect();
        for id in ready {
            if let Some(model) = self.models.get_mut(id) {
                model.life = Life::Found;
            }
        }
        let found: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Found).map(|(id, _)| id).collect();
        for id in found {
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Loading });
        }
    }

    /// Loads a model on request.
    pub(super) fn load(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        let id = self.models.find(name, version)?;
        let Some(model) = self.models.get_mut(id) else { return Ok(()) };
        if let Some(fault) = &model.found.fault {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{}`: {fault}", model.label())));
        }
        if matches!(model.life, Life::Failed(_) | Life::Unloaded) {
            if let Some(why) = self.host.is_hopeless().then(|| self.host.why_down()).flatten() {
                return Err(Failure::new(ErrorCode::Unavailable, why));
            }
            model.life = Life::Found;
            (model.loaded, model.suspect) = (None, false);
            self.load_next();
            self.touch();
        }
        Ok(())
    }

    /// Unloads a model on request; what waits for it is shed.
    pub(super) fn unload(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        let id = self.models.find(name, version)?;
        let Some(model) = self.models.get_mut(id) else { return Ok(()) };
        if matches!(model.life, Life::Ready | Life::Loading | Life::Found) {
            model.life = Life::Unloaded;
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            self.host.send(&ToHost::Unload { model: id.0 }, Vec::new());
            self.touch();
        }
        Ok(())
    }
}

fn blob(data: Data, fds: &[Arc<OwnedFd>]) -> Option<Blob> {
    match data {
        Data::Inline(bytes) => Some(Blob::Inline(bytes.into())),
        Data::Sealed { fd, offset, len } => Some(Blob::Sealed { fd: fds.get(usize::from(fd))?.clone(), offset, len }),
        Data::Unsealed { .. } => None,
    }
}

fn document(data: Data, fds: &[Arc<OwnedFd>]) -> Result<String, String> {
    let bytes = match data {
        Data::Inline(bytes) => bytes,
        Data::Sealed { fd, offset, len } => {
            let fd = fds.get(usize::from(fd)).ok_or("a document without its descriptor")?;
            read_all(fd, offset, len).map_err(|error| format!("read the document: {error}"))?
        }
        Data::Unsealed { .. } => return Err("an unsealed document".into()),
    };
    String::from_utf8(bytes).map_err(|error| format!("the document: {error}"))
}

pub(super) fn read_all(fd: &OwnedFd, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(fd, rest, offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(bytes)
}
