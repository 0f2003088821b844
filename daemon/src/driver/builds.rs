//! Loads on providers that compile: what was compiled before is looked for first, what is compiled is kept, and who waits
//! for it sees a job, which can be given up. The disk is the keeper's ([`crate::cache`]); which setup serves meanwhile is
//! decided as for every other load.

use std::time::Duration;

use edge_core::recovery::Blame;
use edge_core::{Event, ModelId, ModelState};
use edge_engine::protocol::{LoadPhase, compiles};
use edge_wire::dto::Problem;

use super::Driver;
use super::jobs::{JobId, Operation};
use super::models::{Life, Model, SLOW_LOAD};
use crate::cache::key::Asked;
use crate::cache::shelf::Place;
use crate::cache::{Answer, Ask, Holder, LoadId, Opened};

/// Reason of a setup whose load was given up.
pub(super) const CANCELLED: &str = "cancelled by the operator; `edgectl models load` tries again";
/// How long a host may go on with a load that was given up, before it is ended and another one started.
pub(super) const GIVE_UP_WITHIN: Duration = Duration::from_secs(5);
/// How long what was compiled before may be looked for: hashing takes about a second for a gigabyte.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// What is said of a keeper that does not answer.
pub(super) const STUCK: &str = "it does not answer: is its disk stuck?";
/// Phase of a load that is not with its host yet.
const WAITING: &str = "waiting";
/// Phase of a load that found what was compiled before.
const LOADING: &str = "loading";

/// How a load stands with what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is looked for.
    #[default]
    Off,
    /// The keeper was asked where what was compiled before is.
    Opening,
    /// It compiles in this place.
    Building(Place),
    /// It failed there with this message, by whose fault: the keeper was asked whether that was for want of room.
    Failing(String, Blame),
    /// It is loaded from the entry of this name.
    Entry(String),
    /// It is loaded, and nothing is kept of it.
    Nothing,
}

/// What a setup that is compiled has besides what every setup has.
#[derive(Clone, Debug, Default)]
pub struct Build {
    pub job: Option<JobId>,
    pub kept: Kept,
    phase: Option<LoadPhase>,
    /// The last load found no room to write.
    uncached: bool,
    /// The provider did not take what was compiled before when it was loaded last.
    refused: bool,
    /// As shown: `hit`, `built`, `none` or nothing.
    pub word: &'static str,
    expected: Option<Duration>,
}

impl Driver {
    /// A load begins: its host is asked at once, or when it is known where what was compiled is.
    pub(super) fn begin_load(&mut self, id: ModelId) {
        let Some(asked) = self.cache_question(id) else {
            if let Some(model) = self.models.get_mut(id) {
                model.build.kept = Kept::Off;
                model.build.word = if compiles(&model.setup.provider) { "none" } else { "" };
            }
            return self.tell_load(id, None);
        };
        let Some(model) = self.models.get_mut(id) else { return };
        let load = LoadId { holder: Holder::Setup(id), load: model.load };
        (model.build.kept, model.build.phase, model.build.word) = (Kept::Opening, None, "");
        self.show_phase(id);
        if !self.ask_cache(Ask::Open { id: load, asked: Box::new(asked) }) {
            self.load_without_cache(id, STUCK.into());
        }
    }

    /// What the keeper is asked; nothing where nothing is compiled, or what it depends on is not known.
    fn cache_question(&self, id: ModelId) -> Option<Asked> {
        let model = self.models.get(id).filter(|model| compiles(&model.setup.provider) && !model.build.uncached)?;
        let host = self.hosts.get(model.host)?;
        let identity = host.identity.clone().filter(|identity| !identity.digest.is_empty())?;
        let runtime = host.library.as_ref()?.0.clone();
        self.outside.cache.as_ref()?;
        Some(Asked {
            name: model.found.name.clone(),
            bundle: model.found.dir.clone(),
            weights: model.found.weights(),
            setup: model.setup.clone(),
            runtime,
            identity,
            options: self.config.engine.device.clone(),
        })
    }

    /// Asks the keeper; whether it takes the question.
    pub(super) fn ask_cache(&self, ask: Ask) -> bool {
        self.outside.cache.as_ref().is_some_and(|cache| cache.ask(ask).is_ok())
    }

    /// What is asked from outside: the answer goes there.
    pub(super) fn relay_to_cache(&self, ask: Ask) {
        let asked = match &self.outside.cache {
            Some(cache) => cache.ask(ask),
            None => Err(ask),
        };
        let why = || "nothing is kept: this is a simulator, or the disk of the cache is stuck".to_owned();
        match asked {
            Err(Ask::List { done }) => super::answer(done, Err(why())),
            Err(Ask::Clear { done, .. }) => super::answer(done, Err(why())),
            Ok(()) | Err(_) => {}
        }
    }

    fn load_without_cache(&mut self, id: ModelId, why: String) {
        self.cache_fault(why);
        if let Some(model) = self.models.get_mut(id) {
            (model.build.kept, model.build.word) = (Kept::Off, "none");
        }
        self.begin_build(id);
        self.tell_load(id, None);
    }

    pub(super) fn cache_fault(&mut self, why: String) {
        if self.cache_fault.as_ref() != Some(&why) {
            tracing::warn!(%why, "what is compiled is not kept");
        }
        self.cache_fault = Some(why);
        self.touch();
    }

    /// What is wrong with the cache.
    pub(super) fn cache_problem(&self) -> Option<Problem> {
        let dir = self.config.cache.dir.display();
        self.cache_fault.as_ref().map(|why| Problem {
            subject: "cache".into(),
            what: format!("what providers compile is not kept: {why}"),
            remedy: format!(
                "make room in {dir} for the user edged, or set `cache.dir`; until then each start compiles again"
            ),
        })
    }

    /// Takes what the keeper says.
    pub(super) fn on_cache(&mut self, answer: Answer) {
        self.now = self.clock.now();
        match answer {
            Answer::Opened { id: LoadId { holder: Holder::Setup(id), load }, opened } => {
                self.cache_opened(id, load, opened);
            }
            Answer::Kept { id: LoadId { holder: Holder::Setup(id), load }, kept } => self.cache_kept(id, load, kept),
            Answer::Failed { id: LoadId { holder: Holder::Setup(id), load }, room } => {
                self.cache_failed(id, load, room);
            }
            Answer::Refused { id, name } => self.cache_refused(id, &name),
            Answer::Opened { id: LoadId { holder: Holder::Trial, load }, opened } => self.trial_opened(load, opened),
            Answer::Kept { id: LoadId { holder: Holder::Trial, .. }, kept } => match kept {
                Ok(_) => self.cache_fault = None,
                Err(why) => self.cache_fault(why),
            },
            Answer::Staged { job, dir } => self.staged(job, dir),
            Answer::TakenIn { job, taken } => self.taken_in(job, *taken),
            // Of a trial that is not asked.
            Answer::Failed { id: LoadId { holder: Holder::Trial, .. }, .. } => {}
        }
    }

    fn cache_opened(&mut self, id: ModelId, load: u32, opened: Result<Opened, String>) {
        let asked = self.models.get(id).is_some_and(|model| model.build.kept == Kept::Opening);
        let awaited = asked && self.awaits_load(id, load);
        let opened = match opened {
            Ok(Opened { place: Some(place), .. }) if !awaited => {
                self.ask_cache(Ask::GiveBack { place });
                return;
            }
            _ if !awaited => return,
            Ok(opened) => opened,
            Err(why) => return self.load_without_cache(id, why),
        };
        let Some(model) = self.models.get_mut(id) else { return };
        model.build.expected = opened.expected;
        model.build.kept = match (opened.hit, opened.place) {
            (Some(name), _) => Kept::Entry(name),
            (None, Some(place)) => Kept::Building(place),
            (None, None) => Kept::Off,
        };
        if matches!(model.build.kept, Kept::Building(_)) {
            self.begin_build(id);
        }
        self.tell_load(id, Some(opened.dir));
    }

    fn cache_kept(&mut self, id: ModelId, load: u32, kept: Result<Option<String>, String>) {
        let current = self.models.get(id).is_some_and(|model| model.life == Life::Ready && model.load == load);
        match kept {
            Ok(None) => {
                self.cache_fault = None;
                if let Some(model) = self.models.get_mut(id).filter(|_| current) {
                    tracing::info!(model = %model.label(), way = %model.way(), "the provider left nothing to keep");
                    (model.build.kept, model.build.word) = (Kept::Nothing, "none");
                }
            }
            Ok(Some(name)) => {
                self.cache_fault = None;
                if let Some(model) = self.models.get_mut(id).filter(|_| current) {
                    tracing::info!(model = %model.label(), entry = %name, "what was compiled is kept");
                    (model.build.kept, model.build.word) = (Kept::Entry(name), "built");
                } else {
                    // Unloaded meanwhile.
                    self.ask_cache(Ask::Release { holder: Holder::Setup(id) });
                }
            }
            Err(why) => {
                if let Some(model) = self.models.get_mut(id).filter(|_| current) {
                    (model.build.kept, model.build.word) = (Kept::Nothing, "none");
                }
                self.cache_fault(why);
            }
        }
        self.touch();
    }

    /// A provider was handed what was compiled before, and compiled all the same.
    fn cache_refused(&mut self, LoadId { holder, load }: LoadId, entry: &str) {
        tracing::warn!(%entry, "its provider did not take what was compiled before, and compiled again in its place: it is removed");
        let Holder::Setup(id) = holder else { return };
        if let Some(model) = self.models.get_mut(id).filter(|model| model.life == Life::Ready && model.load == load) {
            (model.build.kept, model.build.word, model.build.refused) = (Kept::Nothing, "none", true);
        }
        self.touch();
    }

    /// Setups whose provider does not take what it compiled itself.
    pub(super) fn refused_problems(&self) -> Vec<Problem> {
        let refused = self.models.iter().filter(|(_, model)| model.life == Life::Ready && model.build.refused);
        let problem = |(_, model): (ModelId, &Model)| Problem {
            subject: format!("model {}", model.label()),
            what: format!("{}: it does not take what it compiled before, so each start compiles again", model.way()),
            remedy: format!(
                "see that all libraries of {} are in `engine.providers_dir` (OpenVINO reads with libopenvino_ir_frontend)",
                model.setup.provider
            ),
        };
        refused.map(problem).collect()
    }

    /// A load that compiled failed: once more without keeping anything if there was no room, else that is how it is.
    fn cache_failed(&mut self, id: ModelId, load: u32, room: Result<(), String>) {
        if !self.awaits_load(id, load) {
            return;
        }
        let Some(model) = self.models.get_mut(id) else { return };
        let Kept::Failing(message, blame) = std::mem::take(&mut model.build.kept) else { return };
        match room {
            Ok(()) => self.model_failed(id, message, blame),
            Err(why) => {
                model.build.uncached = true;
                self.cache_fault(why);
                self.send_load(id);
            }
        }
    }

    /// The host says that a load failed. What was kept, or the disk, may be to blame.
    pub(super) fn load_failed(&mut self, id: ModelId, message: String, blame: Blame) {
        let Some(model) = self.models.get_mut(id) else { return };
        let load = LoadId { holder: Holder::Setup(id), load: model.load };
        match std::mem::take(&mut model.build.kept) {
            Kept::Entry(name) => {
                tracing::warn!(model = %model.label(), entry = %name, why = %message, "a compiled engine does not load: compiled again");
                if self.ask_cache(Ask::Remove { name }) {
                    self.send_load(id);
                } else {
                    self.model_failed(id, message, blame);
                }
            }
            Kept::Building(place) => {
                model.build.kept = Kept::Failing(message.clone(), blame);
                if !self.ask_cache(Ask::Failed { id: load, place }) {
                    self.model_failed(id, message, blame);
                }
            }
            Kept::Off | Kept::Opening | Kept::Failing(..) | Kept::Nothing => self.model_failed(id, message, blame),
        }
    }

    /// A load goes on.
    pub(super) fn load_progress(&mut self, id: ModelId, load: u32, phase: LoadPhase) {
        if !self.awaits_load(id, load) {
            return;
        }
        if let Some(model) = self.models.get_mut(id) {
            model.build.phase = Some(phase);
        }
        self.show_phase(id);
    }

    fn show_phase(&mut self, id: ModelId) {
        let Some(model) = self.models.get(id) else { return };
        let phase = match (model.build.phase, &model.build.kept) {
            (None, _) => WAITING,
            (Some(LoadPhase::Compiling), Kept::Entry(_)) => LOADING,
            (Some(phase), _) => phase.as_str(),
        };
        if let Some(job) = model.build.job {
            self.jobs.phase(job, phase, None);
        }
    }

    /// A load becomes a job, unless it is one.
    fn begin_build(&mut self, id: ModelId) {
        let Some(model) = self.models.get(id).filter(|model| model.build.job.is_none()) else { return };
        let (label, way, expected, since) = (model.label(), model.way(), model.build.expected, model.since);
        let job = self.jobs.begin(since, Operation::Build, label, way, expected);
        if let Some(model) = self.models.get_mut(id) {
            model.build.job = Some(job);
        }
        self.show_phase(id);
    }

    /// Loads that take long become jobs, whether they compile or not: nobody knows that but their provider.
    pub(super) fn slow_loads(&mut self) {
        let now = self.now;
        let stuck = self.models.iter().filter(|(_, model)| {
            model.life == Life::Loading && model.build.kept == Kept::Opening && now.since(model.since) >= OPEN_WITHIN
        });
        let stuck: Vec<ModelId> = stuck.map(|(id, _)| id).collect();
        stuck.into_iter().for_each(|id| self.load_without_cache(id, STUCK.into()));
        let slow = self.models.iter().filter(|(_, model)| {
            model.life == Life::Loading
                && compiles(&model.setup.provider)
                && model.build.job.is_none()
                && now.since(model.since) >= SLOW_LOAD
        });
        let slow: Vec<ModelId> = slow.map(|(id, _)| id).collect();
        slow.into_iter().for_each(|id| self.begin_build(id));
    }

    /// A setup was loaded: what was compiled is kept.
    pub(super) fn build_loaded(&mut self, id: ModelId) {
        let now = self.now;
        let Some(model) = self.models.get_mut(id) else { return };
        (model.build.uncached, model.build.refused) = (false, false);
        if let Some(job) = model.build.job.take() {
            self.jobs.finish(now, job, Ok(()));
        }
        match std::mem::take(&mut model.build.kept) {
            Kept::Building(place) => {
                model.build.kept = Kept::Nothing;
                let took = model.loaded.as_ref().map_or(0, |loaded| loaded.load_ms);
                let id = LoadId { holder: Holder::Setup(id), load: model.load };
                if !self.ask_cache(Ask::Keep { id, place, took: Duration::from_millis(took.into()) }) {
                    self.cache_fault(STUCK.into());
                }
            }
            Kept::Entry(name) => {
                tracing::info!(model = %model.label(), entry = %name, "loaded what was compiled before");
                let id = LoadId { holder: Holder::Setup(id), load: model.load };
                (model.build.kept, model.build.word) = (Kept::Entry(name.clone()), "hit");
                if !self.ask_cache(Ask::Used { id, name }) {
                    self.cache_fault(STUCK.into());
                }
            }
            other => model.build.kept = other,
        }
    }

    /// A load ended without the setup being loaded, for good or until it is tried again; or a loaded one is let go.
    pub(super) fn build_over(&mut self, id: ModelId, how: Over) {
        let now = self.now;
        let Some(model) = self.models.get_mut(id).filter(|model| compiles(&model.setup.provider)) else { return };
        let kept = std::mem::take(&mut model.build.kept);
        let job = if how == Over::Again { None } else { model.build.job.take() };
        match how {
            Over::Again => {}
            Over::Failed(why) => job.into_iter().for_each(|job| self.jobs.finish(now, job, Err(why.clone()))),
            Over::GivenUp => job.into_iter().for_each(|job| self.jobs.cancelled(now, job)),
        }
        if let Kept::Building(place) = kept {
            self.ask_cache(Ask::GiveBack { place });
        }
        self.ask_cache(Ask::Release { holder: Holder::Setup(id) });
    }

    /// A host died with a load that had been handed what was compiled before: that may be to blame, unless something else
    /// explains it.
    pub(super) fn build_killed(&mut self, id: ModelId, explained: bool) {
        if let Some(Kept::Entry(name)) =
            self.models.get(id).filter(|_| !explained).map(|model| model.build.kept.clone())
        {
            self.ask_cache(Ask::Remove { name });
        }
        self.build_over(id, Over::Again);
    }

    /// Gives up the compiling of a model: the next of its setups serves.
    pub(super) fn cancel_build(&mut self, job: JobId) {
        let found = self.models.iter().find(|(_, model)| model.build.job == Some(job)).map(|(id, _)| id);
        let Some(id) = found else {
            // Nothing is left of it but the job.
            return self.jobs.cancelled(self.now, job);
        };
        let by = self.now.after(GIVE_UP_WITHIN);
        let Some(model) = self.models.get_mut(id) else { return };
        let (host, load, with_host) =
            (model.host, model.load, model.life == Life::Loading && model.build.kept != Kept::Opening);
        model.life = Life::Failed(CANCELLED.into());
        model.loaded = None;
        self.recovery.forget(id);
        self.build_over(id, Over::GivenUp);
        if let Some(state) = self.hosts.get_mut(host).filter(|state| with_host && state.is_up()) {
            state.expect_end_of(id, load, by);
        }
        self.tell_unload(id);
        self.choose_setups();
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.after_load(host);
    }
}

/// How a load was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It will be tried again.
    Again,
    /// Why.
    Failed(String),
    GivenUp,
}
