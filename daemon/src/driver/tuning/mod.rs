//! Measures models on this box: starts an engine host of its own for it, which gives way to all others, carries out the
//! steps that the core's [`Tuner`] asks for, keeps the plan that comes of them and lets the model be served by it. When to
//! measure, what and how often is the core's to say.
//!
//! The host that measures serves nobody: what crashes there fails one trial, and its memory goes back to the system with it.

mod adopt;
mod table;
mod trial;

use std::collections::VecDeque;

use edge_core::tune::{Conditions, Tuner, Way};
use edge_core::{ModelId, Mono};
use edge_engine::protocol::{Measured, ProviderIdentity, Setup};
use edge_wire::dto::Problem;
use edge_wire::error::ErrorCode;
use edge_wire::plan::Plan;

use self::table::Report;
use super::jobs::{JobId, Operation};
use super::models::Life;
use super::{Driver, State};
use crate::cache::shelf::Place;
use crate::cache::{Ask, Holder};
use crate::config::Tune;
use crate::lanes::{Host, HostEvent};
use crate::request::Failure;
use crate::telemetry::rail::Taken;

/// Models that were asked to be measured and wait for their turn.
const MOST_WAITING: usize = 64;
/// Above this temperature the box is not heated for nothing: the hot-surface alert of Jetson Orin modules is at 70 °C.
const HOT_CELSIUS: f64 = 65.0;
/// What the host that measures was asked and has not answered.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// It was started, to load this way then.
    Start(usize),
    /// Not the host but the keeper was asked what was compiled before of this way.
    Open(usize),
    Load(usize),
    /// So many lanes are at work; the longest time so far, or why one could not.
    Run {
        left: u16,
        longest: Result<Measured, String>,
        /// What the meter had when it began.
        power: Option<Taken>,
    },
}

/// What is kept of what the provider compiles for the way that is loaded.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    /// It compiles here.
    Building(Place),
    /// It is loaded from the entry of this name.
    Entry(String),
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
    /// The runtime's version, and which build of the provider it is, once the host said so.
    identity: Option<(String, ProviderIdentity)>,
    kept: Kept,
    asked: Asked,
    /// Number of the load of its first way; no other measurement has loads of these numbers.
    first_load: u32,
    /// When to go on, or when patience ends.
    due: Mono,
}

impl Measuring {
    /// Number of the load of a way.
    fn load_of(&self, way: usize) -> u32 {
        self.first_load.wrapping_add(u32::try_from(way).unwrap_or(u32::MAX))
    }

    /// The way of a load of this number; `None` if it is not one of this measurement.
    fn way_of(&self, load: u32) -> Option<usize> {
        let way = usize::try_from(load.wrapping_sub(self.first_load)).ok()?;
        (way < self.setups.len()).then_some(way)
    }
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
    /// Number of the next load. Never used twice: the keeper may answer for a measurement that was given up.
    next_load: u32,
    /// A plan on its way to the disk, and for whom.
    writing: Option<tokio::task::JoinHandle<Result<(), String>>>,
    /// Why the last plan could not be kept.
    unkept: Option<String>,
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
        if let Some(job) = self.job_of_tuning(bundle) {
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
                let how = match self.config.models.tune {
                    Tune::Idle => "edged measures it when nobody asks for anything, `edgectl models tune` now",
                    Tune::OnRequest => "`edgectl models tune` measures it",
                };
                Err(Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {why}; {how}")))
            }
        }
    }

    /// The job by which a bundle is measured, or waits for it.
    fn job_of_tuning(&self, bundle: usize) -> Option<JobId> {
        let under_way = self.tuning.now.as_ref().filter(|measuring| measuring.bundle == bundle);
        let waiting = self.tuning.waiting.iter().find(|(waiting, _)| *waiting == bundle);
        under_way.map(|measuring| measuring.job).or(waiting.map(|(_, job)| *job))
    }

    /// Gives up the measuring of a model.
    pub(super) fn cancel_tune(&mut self, job: JobId) {
        self.tuning.waiting.retain(|(_, waiting)| *waiting != job);
        if let Some(mut measuring) = self.tuning.now.take_if(|measuring| measuring.job == job) {
            self.tuning.tried.push(measuring.bundle);
            self.give_back(std::mem::take(&mut measuring.kept));
        }
        self.jobs.cancelled(self.now, job);
        // Nothing else would wake the model that waits behind it.
        if self.tuning.now.is_none() {
            self.go_on();
        }
        self.touch();
    }

    /// What was compiled, or being compiled, for a way is not used by the host that measures any more.
    fn give_back(&self, kept: Kept) {
        match kept {
            Kept::Building(place) => {
                self.ask_cache(Ask::GiveBack { place });
            }
            Kept::Nothing | Kept::Entry(_) => {}
        }
        self.ask_cache(Ask::Release { holder: Holder::Trial });
    }

    fn conditions(&self) -> Conditions {
        let open = !self.entries.is_empty() || self.state != State::Serving;
        Conditions { busy: self.tuning.busy, open, hot: self.tuning.hot }
    }

    /// A plan that will be lost at the next start.
    pub(super) fn plan_problem(&self) -> Option<Problem> {
        let dir = self.config.cache.dir.display();
        self.tuning.unkept.as_ref().map(|why| Problem {
            subject: "cache".into(),
            what: format!("a plan could not be kept: {why}"),
            remedy: format!(
                "make room in {dir} for the user edged, then `edgectl models tune` again; else the model is measured \
                 again after each start"
            ),
        })
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
        let next = self.models.bundles().iter().enumerate().find(|(at, bundle)| {
            !bundle.gone && bundle.plan.is_none() && !self.tuning.tried.contains(at) && ready(bundle.shown())
        });
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
            Asked::Open(way) => {
                self.cache_fault(super::builds::STUCK.into());
                self.send_trial(way, None);
            }
            Asked::Start(_) | Asked::Load(_) | Asked::Run { .. } => {
                self.trial_lost("it did not answer in time");
            }
        }
    }

    /// Takes what happened to the measuring.
    pub(super) fn on_tune(&mut self, event: TuneEvent) {
        self.now = self.clock.now();
        match event {
            TuneEvent::Written(Ok(())) => {
                self.tuning.unkept = None;
                self.touch();
            }
            TuneEvent::Written(Err(why)) => {
                self.touch();
                self.tuning.unkept = Some(why.clone());
                tracing::warn!(%why, "a plan is used and could not be kept: the model will be measured again after a restart");
            }
            TuneEvent::Host(HostEvent::Gone(why)) => self.trial_lost(&why),
            TuneEvent::Host(HostEvent::Message(message, fds)) => self.on_trial_message(message, fds),
        }
    }
}

/// Whether a reading says that the box is warm.
pub(super) fn is_hot(readings: &[edge_wire::dto::ReadingInfo]) -> bool {
    let temperatures = readings.iter().filter(|reading| reading.name.starts_with("temperature_c"));
    temperatures.filter_map(|reading| reading.value).any(|celsius| celsius >= HOT_CELSIUS)
}
