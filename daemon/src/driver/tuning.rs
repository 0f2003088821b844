//! Measures models on this box: starts an engine host of its own for it, which gives way to all others, carries out the
//! steps that the core's [`Tuner`] asks for, keeps the plan that comes of them and lets the model be served by it. When to
//! measure, what and how often is the core's to say.
//!
//! The host that measures serves nobody: what crashes there fails one trial, and its memory goes back to the system with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edge_core::tune::{Conditions, Run, Step, Tuner, Way};
use edge_core::{Event, ModelId, Mono};
use edge_engine::protocol::{FromHost, HostError, LoadModel, Measured, Setup, ToHost};
use edge_wire::error::ErrorCode;
use edge_wire::plan::Plan;

use super::host::NoStart;
use super::jobs::{JobId, Operation};
use super::models::{Kind, Life};
use super::trials::{self, Report};
use super::{Driver, State, clock};
use crate::config::Tune;
use crate::lanes::{Host, HostEvent};
use crate::plans;
use crate::request::Failure;

/// How long the start of the host that measures may take.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a setup may take to load: a provider may compile it, when nobody else needs the box.
const LOAD_PATIENCE: Duration = Duration::from_secs(900);
/// How long one run may take.
const RUN_PATIENCE: Duration = Duration::from_secs(60);
/// Models that were asked to be measured and wait for their turn.
const MOST_WAITING: usize = 64;
/// Above this temperature the box is not heated for nothing: the hot-surface alert of Jetson Orin modules is at 70 °C.
const HOT_CELSIUS: f64 = 65.0;
/// Number of the model in the host that measures.
const MODEL: u16 = 0;

/// What the host that measures was asked and has not answered.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// It was started, to load this way then.
    Start(usize),
    Load(usize),
    /// So many lanes are at work; the longest time so far, or why one could not.
    Run {
        left: u16,
        longest: Result<Measured, String>,
    },
}

/// One model under measurement.
#[derive(Debug)]
struct Measuring {
    bundle: usize,
    job: JobId,
    began: Mono,
    tuner: Tuner,
    setups: Vec<Setup>,
    ways: Vec<Way>,
    reports: Vec<Report>,
    encoded: bool,
    /// The host, and its provider.
    host: Option<(String, Host)>,
    asked: Asked,
    /// When to go on, or when patience ends.
    due: Mono,
}

/// The measuring of models.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    now: Option<Box<Measuring>>,
    /// Bundles that were asked for, with their jobs.
    waiting: VecDeque<(usize, JobId)>,
    /// Bundles that were measured in this life of the daemon, or could not be: not again by itself.
    tried: Vec<usize>,
    /// When a request last came or was answered.
    busy: Option<Mono>,
    /// The box is too warm.
    pub hot: bool,
    /// A plan on its way to the disk, and for whom.
    writing: Option<tokio::task::JoinHandle<Result<(), String>>>,
}

impl Tuning {
    /// A request came, or was answered.
    pub(super) fn disturb(&mut self, now: Mono) {
        self.busy = Some(now);
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Mono> {
        self.now.as_ref().map(|measuring| measuring.due)
    }

    /// The next event of the host that measures; waits for ever without one. Safe to cancel.
    pub(super) async fn next(&mut self) -> TuneEvent {
        let host = self.now.as_mut().and_then(|measuring| measuring.host.as_mut());
        let host = async {
            match host {
                Some((_, host)) => host.next().await,
                None => std::future::pending().await,
            }
        };
        let writing = async {
            match &mut self.writing {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        let written = tokio::select! {
            event = host => return TuneEvent::Host(event),
            written = writing => written,
        };
        self.writing = None;
        TuneEvent::Written(written.unwrap_or_else(|error| Err(format!("write the plan: {error}"))))
    }
}

/// What happens to the measuring.
#[derive(Debug)]
pub(super) enum TuneEvent {
    Host(HostEvent),
    Written(Result<(), String>),
}

impl Driver {
    /// Measures a model as soon as the box is quiet; the job by which that can be watched.
    pub(super) fn tune(&mut self, name: &str) -> Result<u64, Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        self.no_pipeline(name, version)?;
        let root = self.models.find(name, version)?.root();
        let Some(model) = self.models.get(root) else { return Err(super::internal("model table")) };
        let (bundle, label) = (model.bundle, model.label());
        let unavailable = |why: &str| Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {why}"));
        match &self.outside.library {
            None => return Err(unavailable("the engine is simulated, and there is nothing to measure")),
            Some(Err(why)) => return Err(unavailable(why)),
            Some(Ok(_)) => {}
        }
        if let Some(fault) = &model.found.fault {
            return Err(unavailable(fault));
        }
        let under_way = self.tuning.now.as_ref().filter(|measuring| measuring.bundle == bundle);
        let waiting = self.tuning.waiting.iter().find(|(waiting, _)| *waiting == bundle);
        if let Some(job) = under_way.map(|measuring| measuring.job).or(waiting.map(|(_, job)| *job)) {
            return Ok(job.0);
        }
        if self.tuning.waiting.len() >= MOST_WAITING {
            let text = format!("{MOST_WAITING} models wait to be measured: takes no more");
            return Err(Failure { retry_after_ms: Some(60_000), ..Failure::new(ErrorCode::Overloaded, text) });
        }
        let job = self.jobs.begin(self.now, Operation::Tune, label, String::new(), None);
        self.tuning.waiting.push_back((bundle, job));
        self.jobs.phase(job, "waiting for its turn", None);
        self.go_on();
        Ok(job.0)
    }

    /// A pipeline runs nothing itself.
    fn no_pipeline(&self, name: &str, version: Option<&str>) -> Result<(), Failure> {
        match self.pipelines.find(name, version) {
            None => Ok(()),
            Some(_) => {
                let text = format!("model `{name}`: it goes through other models, each of which has a plan of its own");
                Err(Failure::new(ErrorCode::Unavailable, text))
            }
        }
    }

    /// The plan of a model.
    pub(super) fn plan_of(&self, name: &str) -> Result<Plan, Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        self.no_pipeline(name, version)?;
        let bundle = self.models.find(name, version)?;
        let label = format!("{}:{}", bundle.found.name, bundle.found.version);
        match &bundle.plan {
            Some(plan) => Ok(Plan { objective: self.config.models.objective.as_str().into(), ..Plan::clone(plan) }),
            None => {
                let why = bundle
                    .no_plan
                    .as_ref()
                    .map_or_else(|| "it was not measured yet".to_owned(), |why| format!("its plan is not used, {why}"));
                Err(Failure::new(
                    ErrorCode::Unavailable,
                    format!("model `{label}`: {why}; `edgectl models tune` measures it"),
                ))
            }
        }
    }

    /// Gives up the measuring of a model.
    pub(super) fn cancel_tune(&mut self, job: JobId) {
        self.tuning.waiting.retain(|(_, waiting)| *waiting != job);
        if let Some(measuring) = self.tuning.now.take_if(|measuring| measuring.job == job) {
            self.tuning.tried.push(measuring.bundle);
        }
        self.jobs.cancelled(self.now, job);
        self.touch();
    }

    fn conditions(&self) -> Conditions {
        let open = !self.entries.is_empty() || self.state != State::Serving;
        Conditions { busy: self.tuning.busy, open, hot: self.tuning.hot }
    }

    /// Looks for a model that was not measured yet, if the box has nothing else to do.
    pub(super) fn tune_when_idle(&mut self) {
        let idle = self.config.models.tune == Tune::Idle
            && self.warm
            && self.tuning.now.is_none()
            && self.tuning.waiting.is_empty();
        if !idle || self.conditions().quiet_from(self.now).is_some() || !matches!(self.outside.library, Some(Ok(_))) {
            return;
        }
        // Since the start nothing came: it is left alone for as long as after a request.
        if self.tuning.busy.is_none() {
            return self.tuning.disturb(self.now);
        }
        let ready = |id: ModelId| self.models.get(id).is_some_and(|model| model.life == Life::Ready);
        let next = self
            .models
            .bundles()
            .iter()
            .enumerate()
            .find(|(at, bundle)| bundle.plan.is_none() && !self.tuning.tried.contains(at) && ready(bundle.shown()));
        let Some((_, bundle)) = next else { return };
        let label = format!("{}:{}", bundle.found.name, bundle.found.version);
        if let Err(failure) = self.tune(&label) {
            tracing::warn!(model = %label, why = %failure.message, "cannot be measured");
        }
    }

    /// Goes on with what is measured, if something is due.
    pub(super) fn tune_due(&mut self) {
        let Some(measuring) = self.tuning.now.as_ref().filter(|measuring| measuring.due <= self.now) else { return };
        match measuring.asked {
            Asked::Nothing => self.go_on(),
            Asked::Start(_) | Asked::Load(_) | Asked::Run { .. } => {
                self.trial_lost("it did not answer in time");
            }
        }
    }

    /// Takes what happened to the measuring.
    pub(super) fn on_tune(&mut self, event: TuneEvent) {
        self.now = self.clock.now();
        match event {
            TuneEvent::Written(Ok(())) => {}
            TuneEvent::Written(Err(why)) => {
                tracing::warn!(%why, "a plan is used and could not be kept: the model will be measured again after a restart");
            }
            TuneEvent::Host(HostEvent::Gone(why)) => self.trial_lost(&why),
            TuneEvent::Host(HostEvent::Message(message, fds)) => self.on_trial_message(message, fds),
        }
    }

    fn on_trial_message(&mut self, message: FromHost, fds: Vec<std::os::fd::OwnedFd>) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        match message {
            FromHost::Started { .. } => {
                if let Asked::Start(way) = measuring.asked {
                    self.load_trial(way);
                }
            }
            FromHost::StartFailed { message } => self.trial_lost(&message),
            FromHost::Loaded(loaded) => {
                let Asked::Load(way) = measuring.asked else { return };
                if loaded.load != number(way) {
                    return;
                }
                if let Some((_, host)) = &mut measuring.host {
                    host.lanes(0, fds);
                }
                measuring.encoded |= !loaded.content_types.is_empty();
                measuring.asked = Asked::Nothing;
                let good = measuring.reports.get_mut(way).is_some_and(|report| {
                    report.trial = loaded.trial.map(|trial| *trial);
                    report.is_good()
                });
                measuring.tuner.loaded(good);
                self.go_on();
            }
            FromHost::LoadFailed { load, message, .. } => {
                let Asked::Load(way) = measuring.asked else { return };
                if load != number(way) {
                    return;
                }
                if let Some(report) = measuring.reports.get_mut(way) {
                    report.fault = Some(message);
                }
                measuring.asked = Asked::Nothing;
                measuring.tuner.loaded(false);
                self.go_on();
            }
            FromHost::Measured { result, .. } => self.lane_measured(result),
            FromHost::Note { message } => tracing::debug!(note = %message, "engine host that measures"),
            FromHost::Progress { .. }
            | FromHost::Abandoned { .. }
            | FromHost::Unloaded { .. }
            | FromHost::Prepared { .. }
            | FromHost::Ran { .. } => {}
        }
    }

    fn lane_measured(&mut self, result: Result<Measured, HostError>) {
        let now = self.now;
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let Asked::Run { left, longest } = &mut measuring.asked else { return };
        *left = left.saturating_sub(1);
        match (result, &mut *longest) {
            (Ok(run), Ok(most)) => {
                most.took_ns = most.took_ns.max(run.took_ns);
                most.waited_ns = most.waited_ns.max(run.waited_ns);
                most.cpu_ns = most.cpu_ns.max(run.cpu_ns);
            }
            (Err(error), longest) => *longest = Err(error.message),
            (Ok(_), Err(_)) => {}
        }
        if *left > 0 {
            return;
        }
        let took = match longest {
            Ok(run) => Some(Run {
                took: Duration::from_nanos(run.took_ns),
                waited: Duration::from_nanos(run.waited_ns),
                computed: Duration::from_nanos(run.cpu_ns),
            }),
            Err(why) => {
                tracing::debug!(%why, "a batch could not be measured");
                None
            }
        };
        measuring.asked = Asked::Nothing;
        measuring.tuner.measured(now, took);
        self.go_on();
    }

    /// The host that measures is gone, or does not answer: the trial that was under way failed.
    fn trial_lost(&mut self, why: &str) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let way = match measuring.asked {
            Asked::Start(way) | Asked::Load(way) => Some(way),
            Asked::Nothing | Asked::Run { .. } => measuring.tuner.holds(),
        };
        // A host that cannot even start is no better for the next setup of its provider.
        let at_start = matches!(measuring.asked, Asked::Start(_));
        let provider = way.and_then(|way| measuring.setups.get(way)).map(|setup| setup.provider.clone());
        if let Some(report) = way.and_then(|way| measuring.reports.get_mut(way)) {
            report.fault = Some(why.to_owned());
        }
        tracing::warn!(provider, why, "a trial was lost");
        (measuring.host, measuring.asked) = (None, Asked::Nothing);
        measuring.tuner.lost();
        if at_start {
            self.skip_provider(&provider.unwrap_or_default(), why);
        }
        self.go_on();
    }

    /// No setup of a provider can be tried.
    fn skip_provider(&mut self, provider: &str, why: &str) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        while let (at, of) = measuring.tuner.progress()
            && at < of
            && measuring.setups.get(at).is_some_and(|setup| setup.provider == provider)
        {
            if let Some(report) = measuring.reports.get_mut(at) {
                report.fault = Some(why.to_owned());
            }
            measuring.tuner.skip();
        }
    }

    /// Carries out steps until one has to be waited for.
    fn go_on(&mut self) {
        if self.tuning.now.is_none() && !self.begin_next() {
            return;
        }
        let conditions = self.conditions();
        loop {
            let now = self.now;
            let Some(measuring) = self.tuning.now.as_mut().filter(|measuring| measuring.asked == Asked::Nothing) else {
                return;
            };
            let (done, all) = measuring.tuner.progress();
            let percent = u8::try_from(done * 100 / all.max(1)).ok();
            match measuring.tuner.next(now, &conditions) {
                None => return,
                Some(Step::Wait(until)) => {
                    measuring.due = until;
                    let phase =
                        if conditions.hot { "waiting for the box to cool down" } else { "waiting for a quiet box" };
                    self.jobs.phase(measuring.job, phase, percent);
                    return;
                }
                Some(Step::Load(way)) => {
                    let setup = measuring.setups.get(way);
                    let phase = setup.map_or_else(String::new, |setup| format!("loading {}", words(setup)));
                    self.jobs.phase(measuring.job, &phase, percent);
                    self.host_for(way);
                }
                Some(Step::Measure { way, lanes, batch }) => {
                    let setup = measuring.setups.get(way);
                    let phase = setup.map_or_else(String::new, |setup| format!("measuring {}", words(setup)));
                    self.jobs.phase(measuring.job, &phase, percent);
                    measuring.asked = Asked::Run { left: lanes, longest: Ok(Measured::default()) };
                    measuring.due = now.after(RUN_PATIENCE);
                    let sent = match &mut measuring.host {
                        Some((_, host)) => (0..lanes).try_for_each(|lane| host.measure(lane, batch)),
                        None => Err(crate::lanes::SendError::NoHost),
                    };
                    if let Err(error) = sent {
                        self.trial_lost(&super::chain(&error));
                    }
                }
                Some(Step::Unload(_)) => {
                    if let Some((_, host)) = &mut measuring.host
                        && let Err(error) = host.send(&ToHost::Unload { model: MODEL }, Vec::new())
                    {
                        tracing::debug!(%error, "forget a trial");
                    }
                }
                Some(Step::Done) => {
                    if let Some(measuring) = self.tuning.now.take() {
                        self.measured(*measuring);
                    }
                    if !self.begin_next() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the next model that waits to be measured; `false` if there is none.
    fn begin_next(&mut self) -> bool {
        let Some((bundle, job)) = self.tuning.waiting.pop_front() else { return false };
        let Some(found) = self.models.bundle(bundle).map(|bundle| bundle.found.clone()) else { return false };
        let allowed = &self.config.engine.providers;
        let manifest: Vec<Setup> =
            found.setups.iter().filter(|setup| allowed.contains(&setup.provider)).cloned().collect();
        let cores = u16::try_from(self.outside.platform.cores).unwrap_or(u16::MAX);
        let setups = trials::setups(&manifest, cores);
        let max_batch = self.config.policy.max_batch.min(found.max_batch.max(1));
        let ways: Vec<Way> = setups.iter().map(|setup| Way { instances: setup.instances, max_batch }).collect();
        self.tuning.now = Some(Box::new(Measuring {
            bundle,
            job,
            began: self.now,
            tuner: Tuner::new(ways.clone(), cores),
            reports: vec![Report::default(); setups.len()],
            setups,
            ways,
            encoded: false,
            host: None,
            asked: Asked::Nothing,
            due: Mono::MAX,
        }));
        true
    }

    /// Sees to a host of the provider that this way needs, then loads it.
    fn host_for(&mut self, way: usize) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let provider = measuring.setups.get(way).map(|setup| setup.provider.clone()).unwrap_or_default();
        if measuring.host.as_ref().is_some_and(|(of, _)| *of == provider) {
            return self.load_trial(way);
        }
        measuring.host = None;
        measuring.asked = Asked::Start(way);
        measuring.due = self.now.after(START_PATIENCE);
        let host = self.hosts.of(&provider);
        let started = self.provider_of(host).and_then(|setup| self.spawn_host(setup, true));
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        match started {
            Ok((host, _)) => measuring.host = Some((provider, host)),
            Err(NoStart::Hopeless(_, why) | NoStart::Unfit(why)) => self.trial_lost(&why),
            Err(NoStart::Wait) => self.trial_lost("nothing is known of the library yet"),
        }
    }

    fn load_trial(&mut self, way: usize) {
        let now = self.now;
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let found = self.models.bundle(measuring.bundle).map(|bundle| bundle.found.dir.clone());
        let (Some(setup), Some(bundle)) = (measuring.setups.get(way).cloned(), found) else { return };
        let bundle_index = measuring.bundle;
        let root = self.models.bundle(bundle_index).map(|bundle| bundle.root()).unwrap_or_default();
        if let Err(why) = self.room_for_trial(root, &setup.variant) {
            return self.trial_refused(way, why);
        }
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        (measuring.asked, measuring.due) = (Asked::Load(way), now.after(LOAD_PATIENCE));
        let load = LoadModel {
            model: MODEL,
            load: number(way),
            bundle,
            first_lane: 0,
            setup,
            check_goldens: true,
            trial: true,
            // What was tried and not chosen is not worth its room.
            cache_dir: None,
        };
        let sent = match &mut measuring.host {
            Some((_, host)) => host.send(&ToHost::Load(load), Vec::new()),
            None => Err(crate::lanes::SendError::NoHost),
        };
        if let Err(error) = sent {
            self.trial_lost(&super::chain(&error));
        }
    }

    /// A way is not even loaded.
    fn trial_refused(&mut self, way: usize, why: String) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        if let Some(report) = measuring.reports.get_mut(way) {
            report.fault = Some(why);
        }
        measuring.asked = Asked::Nothing;
        measuring.tuner.loaded(false);
        // At once: another one may need less.
        measuring.due = self.now;
    }

    /// Every way was tried: the plan is made, kept and served by.
    fn measured(&mut self, measuring: Measuring) {
        let Measuring { bundle, job, began, tuner, setups, ways, reports, encoded, .. } = measuring;
        self.tuning.tried.push(bundle);
        let Some(found) = self.models.bundle(bundle).map(|bundle| bundle.found.clone()) else { return };
        let took = self.now.since(began);
        let plan = Plan {
            model: found.name.clone(),
            version: found.version.clone(),
            made_at: clock::rfc3339(clock::wall()),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            key: self.plan_key(&found),
            ..Plan::default()
        };
        let disturbed = tuner.is_disturbed();
        let mut plan = trials::plan(
            &trials::Found { setups: &setups, reports: &reports, ways: &ways, points: tuner.points(), encoded },
            plan,
        );
        if disturbed {
            let text =
                "other programs kept the processors busy: the figures may be too slow, measure again when they rest";
            plan.remarks.push(text.into());
        }
        if tuner.points().is_empty() {
            let mut reasons: Vec<&str> = plan.ways.iter().map(|way| way.reason.as_str()).collect();
            reasons.retain(|reason| !reason.is_empty());
            reasons.dedup();
            let why = if reasons.is_empty() { "no way to run it is allowed".into() } else { reasons.join("; ") };
            self.jobs.finish(self.now, job, Err(format!("nothing could be measured: {why}")));
            return;
        }
        let (dir, kept) = (self.config.cache.dir.clone(), plan.clone());
        let write = move || plans::write(&dir, &kept).map_err(|error| super::chain(&error));
        self.tuning.writing = Some(tokio::task::spawn_blocking(write));
        self.adopt(bundle, plan);
        self.jobs.finish(self.now, job, Ok(()));
        self.choose_setups();
        self.touch();
    }

    /// A model is served by its plan from now on.
    fn adopt(&mut self, index: usize, plan: Plan) {
        let plan = Arc::new(plan);
        let objective = self.config.models.objective;
        for kind in Kind::ALL {
            let first = trials::chosen(&plan, kind, objective.as_str()).and_then(|(setup, _)| {
                let host = self.hosts.of(&setup.provider);
                let before = self.models.bundle(index).map_or(0, |bundle| bundle.ids().count());
                let id = self.models.ensure(index, &setup, host)?;
                if self.models.bundle(index).is_some_and(|bundle| bundle.ids().count() > before) {
                    self.core.handle(self.now, Event::Placed { model: id, host });
                }
                Some(id)
            });
            self.models.prefer(index, kind, first, |setup| trials::allows(&plan, kind, setup));
        }
        if let Some(bundle) = self.models.bundle_mut(index) {
            tracing::info!(model = %bundle.found.name, version = %bundle.found.version, objective = objective.as_str(), "served by its plan");
            (bundle.plan, bundle.no_plan) = (Some(plan), None);
        }
    }

    /// Tells the core what was measured of a setup that was just loaded.
    pub(super) fn tell_curve(&mut self, id: ModelId) {
        let Some(setup) = self.models.get(id).map(|model| model.setup.clone()) else { return };
        let Some(plan) = self.models.bundle_of(id).and_then(|bundle| bundle.plan.clone()) else { return };
        for (batch, took) in trials::curve(&plan, &setup) {
            // As often as a size is measured before it is compared.
            for _ in 0..edge_core::estimate::batch_size::TRIED {
                self.core.handle(self.now, Event::Measured { model: id, batch, took });
            }
        }
    }

    /// What a plan of this model holds for.
    fn plan_key(&self, found: &crate::store::Found) -> plans::Key {
        let platform = &self.outside.platform;
        let version = self.hosts.library().map(|(version, _)| version.to_owned()).unwrap_or_default();
        let mut key = vec![
            ("model".to_owned(), found.digest.clone()),
            ("device".to_owned(), format!("{}, {} cores, {}", platform.machine, platform.cores, platform.architecture)),
            ("processor".to_owned(), crate::telemetry::processor_name().unwrap_or_default()),
            ("runtime".to_owned(), version),
            ("driver".to_owned(), crate::telemetry::gpu_driver()),
        ];
        for provider in &self.config.engine.providers {
            if found.setups.iter().any(|setup| setup.provider == *provider) {
                key.push((format!("provider {provider}"), self.provider_identity(provider)));
            }
        }
        key
    }

    /// What tells one build of a provider from another.
    fn provider_identity(&self, provider: &str) -> String {
        match super::hosts::Provider::of(provider) {
            Some(super::hosts::Provider::Plugin) => {
                let dir = &self.config.engine.providers_dir;
                edge_engine::library::find_plugin(dir, provider)
                    .map_or_else(|_| "not there".into(), |path| identity(&path))
            }
            Some(super::hosts::Provider::BuiltIn) => match self.hosts.library() {
                Some((_, have)) if have.iter().any(|name| name == provider) => "built in".into(),
                Some(_) | None => "not there".into(),
            },
            None => "built in".into(),
        }
    }

    /// Whether it is not known yet whether the plan that was found for a bundle holds: that takes the library's version.
    pub(super) fn awaits_plan(&self, index: usize) -> bool {
        let known = self.hosts.library().is_some()
            || self.hosts.first().is_none_or(|first| first.is_hopeless() || first.is_unfit());
        let found = self
            .models
            .bundle(index)
            .is_some_and(|bundle| bundle.found.plan.is_some() && bundle.plan.is_none() && bundle.no_plan.is_none());
        found && !known && self.outside.library.is_some()
    }

    /// Takes over the plans that were found and hold for this box.
    pub(super) fn adopt_found(&mut self) {
        if self.hosts.library().is_none() || self.outside.library.is_none() {
            return;
        }
        for index in 0..self.models.bundles().len() {
            let Some(bundle) =
                self.models.bundle(index).filter(|bundle| bundle.plan.is_none() && bundle.no_plan.is_none())
            else {
                continue;
            };
            let found = bundle.found.clone();
            match &found.plan {
                None => {}
                Some(Ok(plan)) => match plans::differs(&plan.key, &self.plan_key(&found)) {
                    None => self.adopt(index, Plan::clone(plan)),
                    Some(why) => self.no_plan(index, format!("it is of another box or build: {why}")),
                },
                Some(Err(why)) => self.no_plan(index, why.clone()),
            }
        }
    }

    /// Serves by the plans that there are for another objective.
    pub(super) fn adopt_again(&mut self) {
        for index in 0..self.models.bundles().len() {
            if let Some(plan) = self.models.bundle(index).and_then(|bundle| bundle.plan.clone()) {
                self.adopt(index, Plan::clone(&plan));
            }
        }
        self.choose_setups();
    }

    fn no_plan(&mut self, index: usize, why: String) {
        if let Some(bundle) = self.models.bundle_mut(index) {
            tracing::warn!(model = %bundle.found.name, version = %bundle.found.version, %why, "a plan is not used");
            bundle.no_plan = Some(why);
        }
    }
}

/// Number of the load of a way.
fn number(way: usize) -> u32 {
    u32::try_from(way).unwrap_or(u32::MAX).saturating_add(1)
}

/// A setup in words.
fn words(setup: &Setup) -> String {
    let (sessions, threads) = (setup.instances, setup.threads);
    let precision = setup.precision.as_str();
    format!("{} on {} ({precision}, {sessions} x {threads} threads)", setup.variant, setup.provider)
}

/// What tells one version of a library from another, without reading all of it.
fn identity(path: &std::path::Path) -> String {
    let known = || {
        let meta = std::fs::metadata(path)?;
        let changed = meta.modified()?.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok::<_, std::io::Error>(format!("{}, {} bytes, of {}", path.display(), meta.len(), changed.as_secs()))
    };
    known().unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

/// Whether a reading says that the box is warm.
pub(super) fn is_hot(readings: &[edge_wire::dto::ReadingInfo]) -> bool {
    let temperatures = readings.iter().filter(|reading| reading.name.starts_with("temperature_c"));
    temperatures.filter_map(|reading| reading.value).any(|celsius| celsius >= HOT_CELSIUS)
}
