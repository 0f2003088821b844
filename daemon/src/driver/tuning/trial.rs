//! Carries out the steps of a measurement: starts the host, loads what is to be tried, asks for runs and takes what they gave.

use std::path::PathBuf;
use std::time::Duration;

use edge_core::Mono;
use edge_core::tune::{Energy, Run, Step, Tuner, Way};
use edge_engine::protocol::{FromHost, HostError, LoadModel, LoadedModel, Measured, Setup, ToHost, compiles};

use super::super::builds::OPEN_WITHIN;
use super::super::host::NoStart;
use super::super::{Driver, chain};
use super::table::{self, Report};
use super::{Asked, Kept, Measuring};
use crate::cache::key;
use crate::cache::{Ask, Holder, LoadId, Opened};
use crate::telemetry::rail::Meter;

/// How long the start of the host that measures may take.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a setup may take to load: a provider may compile it, when nobody else needs the box.
const LOAD_PATIENCE: Duration = Duration::from_secs(900);
/// How long one run may take.
const RUN_PATIENCE: Duration = Duration::from_secs(60);
/// Number of the model in the host that measures.
const MODEL: u16 = 0;

impl Driver {
    pub(super) fn on_trial_message(&mut self, message: FromHost, fds: Vec<std::os::fd::OwnedFd>) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        match message {
            FromHost::Started { version, identity, .. } => {
                if let Asked::Start(way) = measuring.asked {
                    measuring.identity = Some((version, identity));
                    self.load_trial(way);
                }
            }
            FromHost::StartFailed { message } => self.trial_lost(&message),
            FromHost::Loaded(loaded) => {
                let way = measuring.way_of(loaded.load).filter(|way| measuring.asked == Asked::Load(*way));
                if let (Some(way), Some((_, host))) = (way, &mut measuring.host) {
                    host.lanes(0, fds);
                    self.trial_loaded(way, loaded);
                }
            }
            FromHost::LoadFailed { load, message, .. } => {
                let way = measuring.way_of(load).filter(|way| measuring.asked == Asked::Load(*way));
                if let Some(way) = way {
                    self.trial_failed(way, message);
                }
            }
            FromHost::Measured { result, .. } => self.lane_measured(result),
            FromHost::Note { message } => tracing::debug!(note = %message, "engine host that measures"),
            FromHost::Progress { .. }
            | FromHost::Abandoned { .. }
            | FromHost::Checked { .. }
            | FromHost::Unloaded { .. }
            | FromHost::Prepared { .. }
            | FromHost::Filled { .. }
            | FromHost::Interpreted { .. }
            | FromHost::Ran { .. } => {}
        }
    }

    fn trial_loaded(&mut self, way: usize, loaded: LoadedModel) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        if let Some(setup) = measuring.setups.get(way) {
            let host = self.hosts.of(&setup.provider);
            if let Some(host) = self.hosts.get_mut(host) {
                host.was_tried(None);
            }
        }
        measuring.encoded |= !loaded.content_types.is_empty();
        measuring.asked = Asked::Nothing;
        let good = measuring.reports.get_mut(way).is_some_and(|report| {
            report.trial = loaded.trial.map(|trial| *trial);
            report.is_good()
        });
        measuring.tuner.loaded(good);
        match std::mem::take(&mut measuring.kept) {
            Kept::Building(place) if good => {
                let id = LoadId { holder: Holder::Trial, load: loaded.load };
                self.ask_cache(Ask::Keep { id, place, took: Duration::from_millis(loaded.load_ms.into()) });
            }
            Kept::Building(place) => {
                self.ask_cache(Ask::GiveBack { place });
            }
            Kept::Entry(name) => {
                measuring.kept = Kept::Entry(name.clone());
                self.ask_cache(Ask::Used { id: LoadId { holder: Holder::Trial, load: loaded.load }, name });
            }
            Kept::Nothing => {}
        }
        self.go_on();
    }

    fn trial_failed(&mut self, way: usize, message: String) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        match std::mem::take(&mut measuring.kept) {
            Kept::Entry(name) => {
                tracing::warn!(entry = %name, why = %message, "a compiled engine does not load: compiled again to be measured");
                self.ask_cache(Ask::Remove { name });
                return self.send_trial(way, None);
            }
            kept => self.give_back(kept),
        }
        self.trial_refused(way, message);
        self.go_on();
    }

    fn lane_measured(&mut self, result: Result<Measured, HostError>) {
        let now = self.now;
        let metered = self.outside.power.as_ref().map(Meter::taken);
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let Asked::Run { left, longest, power } = &mut measuring.asked else { return };
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
                energy: power.zip(metered).map(|(from, to)| Energy {
                    microjoules: to.energy_uj.saturating_sub(from.energy_uj),
                    over: to.over.saturating_sub(from.over),
                }),
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
    pub(super) fn trial_lost(&mut self, why: &str) {
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let way = match measuring.asked {
            Asked::Start(way) | Asked::Open(way) | Asked::Load(way) => Some(way),
            Asked::Nothing | Asked::Run { .. } => measuring.tuner.holds(),
        };
        let loading = matches!(measuring.asked, Asked::Load(_));
        let kept = std::mem::take(&mut measuring.kept);
        // A host that cannot even start is no better for the next setup of its provider.
        let at_start = matches!(measuring.asked, Asked::Start(_));
        let provider = way.and_then(|way| measuring.setups.get(way)).map(|setup| setup.provider.clone());
        if let Some(report) = way.and_then(|way| measuring.reports.get_mut(way)) {
            report.fault = Some(why.to_owned());
        }
        tracing::warn!(provider, why, "a trial was lost");
        (measuring.host, measuring.identity, measuring.asked) = (None, None, Asked::Nothing);
        measuring.tuner.lost();
        // What it was given may be to blame.
        if let (true, Kept::Entry(name)) = (loading, &kept) {
            self.ask_cache(Ask::Remove { name: name.clone() });
        }
        self.give_back(kept);
        if at_start {
            self.skip_provider(&provider.unwrap_or_default(), why);
        }
        self.go_on();
    }

    /// No setup of a provider can be tried.
    fn skip_provider(&mut self, provider: &str, why: &str) {
        let host = self.hosts.of(provider);
        if let Some(host) = self.hosts.get_mut(host) {
            host.was_tried(Some(why));
        }
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
    pub(super) fn go_on(&mut self) {
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
                    let power = self.outside.power.as_ref().map(Meter::taken);
                    measuring.asked = Asked::Run { left: lanes, longest: Ok(Measured::default()), power };
                    measuring.due = now.after(RUN_PATIENCE);
                    let sent = match &mut measuring.host {
                        Some((_, host)) => (0..lanes).try_for_each(|lane| host.measure(lane, batch)),
                        None => Err(crate::lanes::SendError::NoHost),
                    };
                    if let Err(error) = sent {
                        self.trial_lost(&chain(&error));
                    }
                }
                Some(Step::Unload(_)) => {
                    if let Some((_, host)) = &mut measuring.host
                        && let Err(error) = host.send(&ToHost::Unload { model: MODEL }, Vec::new())
                    {
                        tracing::debug!(%error, "forget a trial");
                    }
                    let kept = std::mem::take(&mut measuring.kept);
                    self.give_back(kept);
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
        let setups = table::setups(&manifest, cores);
        let max_batch = self.config.policy.max_batch.min(found.max_batch.max(1));
        let ways: Vec<Way> =
            setups.iter().map(|setup| Way { instances: setup.instances, threads: setup.threads, max_batch }).collect();
        let first_load = self.tuning.next_load;
        self.tuning.next_load = first_load.wrapping_add(u32::try_from(setups.len()).unwrap_or(u32::MAX));
        self.tuning.now = Some(Box::new(Measuring {
            bundle,
            job,
            began: self.now,
            tuner: Tuner::new(ways.clone(), cores),
            reports: setups.iter().map(|setup| Report::of(setup, &found.losses)).collect(),
            setups,
            ways,
            encoded: false,
            host: None,
            identity: None,
            kept: Kept::Nothing,
            asked: Asked::Nothing,
            first_load,
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
        (measuring.host, measuring.identity) = (None, None);
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

    /// Loads a way if there is room for it; where its provider compiles, what was compiled before is looked for first.
    fn load_trial(&mut self, way: usize) {
        let Some(measuring) = self.tuning.now.as_ref() else { return };
        let Some(setup) = measuring.setups.get(way).cloned() else { return };
        let root = self.models.bundle(measuring.bundle).map(|bundle| bundle.root()).unwrap_or_default();
        if let Err(why) = self.room_for_trial(root, &setup.variant) {
            return self.trial_refused(way, why);
        }
        let id = LoadId { holder: Holder::Trial, load: measuring.load_of(way) };
        let asked = self.trial_question(&setup);
        if let Some(asked) = asked
            && self.ask_cache(Ask::Open { id, asked: Box::new(asked) })
            && let Some(measuring) = self.tuning.now.as_mut()
        {
            (measuring.asked, measuring.due) = (Asked::Open(way), self.now.after(OPEN_WITHIN));
            return;
        }
        self.send_trial(way, None);
    }

    /// What the keeper is asked; nothing where nothing is compiled, or what it depends on is not known.
    fn trial_question(&self, setup: &Setup) -> Option<key::Asked> {
        let measuring = self.tuning.now.as_ref().filter(|_| compiles(&setup.provider))?;
        let (runtime, identity) = measuring.identity.clone().filter(|(_, identity)| !identity.digest.is_empty())?;
        let found = &self.models.bundle(measuring.bundle)?.found;
        Some(key::Asked {
            name: found.name.clone(),
            bundle: found.dir.clone(),
            weights: found.weights(),
            setup: setup.clone(),
            runtime,
            identity,
            options: self.config.engine.device.clone(),
        })
    }

    /// The keeper says where a way finds what was compiled for it, or where it may compile.
    pub(in crate::driver) fn trial_opened(&mut self, load: u32, opened: Result<Opened, String>) {
        let measuring = self.tuning.now.as_mut().and_then(|measuring| {
            let way = measuring.way_of(load).filter(|way| measuring.asked == Asked::Open(*way))?;
            Some((measuring, way))
        });
        match (measuring, opened) {
            (None, Ok(Opened { place: Some(place), .. })) => {
                self.ask_cache(Ask::GiveBack { place });
            }
            (None, _) => {}
            (Some((_, way)), Err(why)) => {
                self.cache_fault(why);
                self.send_trial(way, None);
            }
            (Some((measuring, way)), Ok(opened)) => {
                measuring.kept = match (opened.hit, opened.place) {
                    (Some(name), _) => Kept::Entry(name),
                    (None, Some(place)) => Kept::Building(place),
                    (None, None) => Kept::Nothing,
                };
                self.send_trial(way, Some(opened.dir));
            }
        }
    }

    /// Asks the host for a way.
    pub(super) fn send_trial(&mut self, way: usize, cache_dir: Option<PathBuf>) {
        let now = self.now;
        let Some(measuring) = self.tuning.now.as_mut() else { return };
        let found = self.models.bundle(measuring.bundle);
        let found = found.map(|bundle| (bundle.found.dir.clone(), bundle.found.part_dirs()));
        let (Some(setup), Some((bundle, parts))) = (measuring.setups.get(way).cloned(), found) else { return };
        (measuring.asked, measuring.due) = (Asked::Load(way), now.after(LOAD_PATIENCE));
        let load = LoadModel {
            model: MODEL,
            load: measuring.load_of(way),
            bundle,
            parts,
            first_lane: 0,
            setup,
            check_goldens: true,
            trial: true,
            cache_dir,
        };
        let sent = match &mut measuring.host {
            Some((_, host)) => host.send(&ToHost::Load(load), Vec::new()),
            None => Err(crate::lanes::SendError::NoHost),
        };
        if let Err(error) = sent {
            self.trial_lost(&chain(&error));
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
}

/// A setup in words.
fn words(setup: &Setup) -> String {
    let (sessions, threads) = (setup.instances, setup.threads);
    let precision = setup.precision.as_str();
    format!("{} on {} ({precision}, {sessions} x {threads} threads)", setup.variant, setup.provider)
}
