//! What the fleet's lists want of this box is done: each model for itself, so that one that fails keeps no other one waiting. When
//! the turn of this box has come is the core's to say; what other boxes report comes by the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::Mono;
use edge_core::rollout::{Attempt, Here, PLACES, Reports, Rollout, Step, Wait, next, place};
use edge_wire::dto::{FleetModel, FleetReport, FleetStatus, Problem};
use edge_wire::error::ErrorCode;

use super::super::jobs::{JobId, JobState};
use super::super::{Driver, clock};
use crate::fleet::source::{Desired, Order, is_believed};
use crate::handle::Activate;
use crate::pull::{Ask, Wish};
use crate::request::Failure;

/// Who it was, in the history.
pub(super) const FLEET: &str = "fleet";
/// Boxes whose failures are kept of one model, and models that no list here names for which that is done: their lists may come yet.
const MOST_BOXES: usize = 512;
const MOST_STRANGERS: usize = 32;
/// So long after the broker let this box listen, what it keeps of the others has come.
const SETTLED: Duration = Duration::from_secs(5);

/// What is known of the fleet.
#[derive(Default)]
pub(super) struct Fleet {
    desired: Desired,
    tries: BTreeMap<String, Try>,
    /// By model and node, of boxes where a version failed: which, and in which wave they are, counted from 1.
    failures: BTreeMap<String, BTreeMap<String, (String, u32)>>,
    /// Since when reports come in.
    hears: Option<Mono>,
    /// The lists are being read.
    looking: bool,
    /// It is to be done once more: what is read may have changed since.
    again: bool,
    /// How often they were read.
    looks: u64,
    looked: Mono,
    shown: Vec<FleetModel>,
}

/// Attempts at one version.
#[derive(Clone, Debug)]
struct Try {
    version: String,
    job: Option<JobId>,
    /// Failed ones, in a row.
    times: u32,
    at: Mono,
    why: String,
    /// The last one that failed did so before anything had come.
    fetching: bool,
}

impl Fleet {
    /// Why a version must not serve.
    pub(super) fn is_revoked(&self, name: &str, version: &str) -> Option<&str> {
        // The table is small, and asked seldom.
        self.desired.revoked.get(&(name.to_owned(), version.to_owned())).map(String::as_str)
    }

    /// A pull has ended before anything had come: that says nothing of the version.
    pub(super) fn not_fetched(&mut self, job: JobId) {
        if let Some(attempt) = self.tries.values_mut().find(|attempt| attempt.job == Some(job)) {
            attempt.fetching = true;
        }
    }

    fn attempt(&self, name: &str) -> Attempt {
        match self.tries.get(name) {
            Some(Try { job: Some(_), .. }) => Attempt::Running,
            Some(Try { at, times: times @ 1.., .. }) => Attempt::Failed { times: *times, at: *at },
            Some(_) | None => Attempt::None,
        }
    }

    /// On how many boxes of waves before this one a version failed.
    fn failed(&self, name: &str, version: &str, wave: usize) -> u32 {
        let earlier = |of: u32| usize::try_from(of).is_ok_and(|of| of >= 1 && of - 1 < wave);
        let of_model = self.failures.get(name).into_iter().flat_map(BTreeMap::values);
        let failed = of_model.filter(|(failed, of)| failed == version && earlier(*of)).count();
        u32::try_from(failed).unwrap_or(u32::MAX)
    }
}

impl Driver {
    /// What this box knew when the daemon started.
    pub(super) fn take_known_orders(&mut self) {
        if let Some(puller) = &mut self.outside.pull {
            self.versions.fleet.desired = std::mem::take(&mut puller.desired);
        }
    }

    /// Has the lists read anew.
    pub(super) fn look_at_lists(&mut self) {
        if self.versions.fleet.looking {
            return;
        }
        self.versions.fleet.looked = self.now;
        self.versions.fleet.looking = self.outside.pull.as_ref().is_some_and(|pull| pull.ask(Ask::Look).is_ok());
    }

    /// The same for somebody who asks for it: the number of the look that will have seen what is there now.
    pub(in super::super) fn sync(&mut self) -> Result<u64, Failure> {
        let fleet = &mut self.versions.fleet;
        if fleet.looking {
            fleet.again = true;
            return Ok(fleet.looks + 2);
        }
        self.look_at_lists();
        match self.versions.fleet.looking {
            true => Ok(self.versions.fleet.looks + 1),
            false => Err(Failure::new(
                ErrorCode::Unavailable,
                "the lists cannot be read: the thread of pulls does not run; see the log",
            )),
        }
    }

    /// A look has ended.
    pub(super) fn looked(&mut self) {
        let fleet = &mut self.versions.fleet;
        fleet.looks += 1;
        fleet.looking = false;
        if std::mem::take(&mut fleet.again) {
            self.look_at_lists();
        }
        self.touch();
    }

    /// The lists were read.
    pub(super) fn take_orders(&mut self, desired: Desired) {
        let fleet = &mut self.versions.fleet;
        if desired != fleet.desired {
            tracing::info!(
                models = desired.wanted.len(),
                revoked = desired.revoked.len(),
                serial = desired.serial,
                "what this box is to have"
            );
            for problem in &desired.problems {
                tracing::error!(subject = %problem.subject, what = %problem.what, "fleet");
            }
        }
        fleet.desired = desired;
        self.obey_all();
        self.converge();
        self.touch();
    }

    /// Whether reports of other boxes come in has changed, perhaps; a new connection is a contact at which the lists are read.
    pub(in super::super) fn hear_fleet(&mut self) {
        let fleet = &mut self.versions.fleet;
        match (self.mqtt.hears_fleet, fleet.hears) {
            // What the broker keeps may have come before this.
            (true, None) => fleet.hears = Some(self.now),
            (false, Some(_)) => {
                // It is told again, but for what is not so any more by then.
                fleet.failures.clear();
                fleet.hears = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Other boxes report.
    pub(in super::super) fn take_reports(&mut self, reports: Vec<FleetReport>) {
        for FleetReport { node, model, version, phase, wave } in reports {
            let fleet = &mut self.versions.fleet;
            let boxes = fleet.failures.get(&model).map_or(0, BTreeMap::len);
            let known = fleet.desired.wanted.iter().any(|order| order.wanted.name == model);
            let room = boxes > 0 || known || fleet.failures.len() < MOST_STRANGERS;
            let of_model = fleet.failures.get(&model);
            match FleetModel::is_failure(&phase) {
                // Beyond the bound there are failures enough.
                true if room && (boxes < MOST_BOXES || of_model.is_some_and(|of| of.contains_key(&node))) => {
                    fleet.failures.entry(model).or_default().insert(node, (version, wave));
                }
                true => tracing::debug!(%node, %model, "no room for a report of another box"),
                false => {
                    if let Some(of_model) = fleet.failures.get_mut(&model) {
                        of_model.remove(&node);
                        if of_model.is_empty() {
                            fleet.failures.remove(&model);
                        }
                    }
                }
            }
        }
    }

    /// Every model goes one step, if it is its turn.
    pub(in super::super) fn converge(&mut self) {
        if self.now.since(self.versions.fleet.looked) >= self.config.fleet.every {
            self.look_at_lists();
        }
        // Before all bundles were read nobody knows what is missing.
        if self.bundles_open {
            return;
        }
        self.end_attempts();
        self.give_up_unwanted();
        let orders = std::mem::take(&mut self.versions.fleet.desired.wanted);
        let shown: Vec<FleetModel> = orders.iter().map(|order| self.converge_one(order)).collect();
        self.versions.fleet.desired.wanted = orders;
        if shown != self.versions.fleet.shown {
            self.versions.fleet.shown = shown;
            self.touch();
        }
    }

    /// What became of jobs that have ended.
    fn end_attempts(&mut self) {
        let (jobs, now) = (&self.jobs, self.now);
        for attempt in self.versions.fleet.tries.values_mut() {
            let Some(id) = attempt.job.filter(|id| !jobs.is_running(*id)) else { continue };
            attempt.job = None;
            match jobs.get(id).map(|job| &job.state) {
                Some(JobState::Failed(why)) => attempt.why.clone_from(why),
                Some(JobState::Cancelled) => attempt.why = "it was cancelled".into(),
                Some(JobState::Done | JobState::Running) | None => {
                    (attempt.times, attempt.why) = (0, String::new());
                    continue;
                }
            }
            (attempt.times, attempt.at) = (attempt.times.saturating_add(1), now);
        }
    }

    /// What no list wants any more is not fetched on.
    fn give_up_unwanted(&mut self) {
        let fleet = &mut self.versions.fleet;
        let wanted = |name: &String, version: &String| {
            fleet.desired.wanted.iter().any(|order| order.wanted.name == *name && order.wanted.version == *version)
        };
        let unwanted = fleet.tries.iter().filter(|(name, attempt)| !wanted(name, &attempt.version));
        let unwanted: Vec<String> = unwanted.map(|(name, _)| name.clone()).collect();
        for name in unwanted {
            let job = self.versions.fleet.tries.remove(&name).and_then(|attempt| attempt.job);
            if let Some(job) = job.filter(|job| self.jobs.is_running(*job)) {
                // One that has come is installed all the same, and does no harm.
                self.cancel_pull(job);
            }
        }
    }

    fn converge_one(&mut self, order: &Order) -> FleetModel {
        let (name, version) = (&order.wanted.name, &order.wanted.version);
        let rollout = &order.wanted.rollout;
        let at = place(&self.config.node);
        let wave = rollout.wave(at);
        let since = order.since(wave, clock::wall());
        let (here, reports) = (self.at_hand(order), self.reports(order, wave));
        let step = next(rollout, at, &here, reports, since, self.now);
        let step = match step {
            Step::Pull => self.try_pull(order),
            Step::Activate => self.try_activate(order),
            step => step,
        };
        let reason = self.reason(order, step, wave);
        let phase = self.phase(name, step);
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let waves = number(rollout.waves.len());
        let wave = wave.map_or(0, |wave| number(wave + 1));
        FleetModel { name: name.clone(), version: version.clone(), phase: phase.into(), reason, wave, waves }
    }

    fn at_hand(&self, order: &Order) -> Here {
        let (name, version) = (order.wanted.name.as_str(), order.wanted.version.as_str());
        let record = self.versions.records.get(name);
        let place = self.models.place(name, version);
        let pipeline = self.pipelines.find(name, None).is_some_and(|served| served.found.version == version);
        let serves = self.models.find(name, None).is_ok_and(|bundle| bundle.found.version == version);
        let part = self.part_called(name).is_some_and(|part| part.version == version);
        let revoked = self.versions.fleet.is_revoked(name, version).is_some();
        Here {
            active: (serves || pipeline || part) && !revoked,
            on_probation: self.versions.on_probation.get(name).is_some_and(|watched| Some(watched.bundle) == place),
            installed: place.is_some()
                || self.pipelines.find(name, Some(version)).is_some()
                || self.parts.find(name, version).is_some(),
            has_source: order.wanted.url.is_some(),
            bad: record.is_some_and(|record| record.bad.contains_key(version)),
            revoked,
            aside: record.and_then(|record| record.aside.as_deref()) == Some(version),
            attempt: self.versions.fleet.attempt(name),
        }
    }

    fn reports(&self, order: &Order, wave: Option<usize>) -> Reports {
        if self.config.mqtt.is_none() {
            return Reports::Nobody;
        }
        let fleet = &self.versions.fleet;
        match fleet.hears {
            Some(since) if self.now.since(since) >= SETTLED => {
                let failed = fleet.failed(&order.wanted.name, &order.wanted.version, wave.unwrap_or_default());
                Reports::Known { failed }
            }
            Some(_) | None => Reports::Unknown,
        }
    }

    fn try_pull(&mut self, order: &Order) -> Step {
        let Some(url) = order.wanted.url.clone() else { return Step::Wait(Wait::NoSource) };
        if self.pulls_of(FLEET) >= self.config.pull.max_waiting.saturating_add(1).div_ceil(2) {
            // Whoever stands at the box finds a place, however long the list is.
            let text = "as many bundles of the list are being pulled as may be at once";
            let busy = Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Overloaded, text) };
            return self.tried(order, Err(busy));
        }
        let wish = Wish { url, activate: Some(true), pause: false, force: false, who: FLEET.into() };
        let begun = self.pull(wish);
        self.tried(order, begun)
    }

    fn try_activate(&mut self, order: &Order) -> Step {
        let label = format!("{}:{}", order.wanted.name, order.wanted.version);
        let begun = self.activate(&label, Activate::default(), FLEET.into());
        self.tried(order, begun)
    }

    fn tried(&mut self, order: &Order, begun: Result<u64, Failure>) -> Step {
        let (name, version) = (order.wanted.name.clone(), order.wanted.version.clone());
        let fresh = Try { version, job: None, times: 0, at: self.now, why: String::new(), fetching: false };
        let attempt = self.versions.fleet.tries.entry(name).or_insert(fresh);
        attempt.fetching = false;
        match begun {
            Ok(job) => attempt.job = Some(JobId(job)),
            // Busy: it is tried again in a moment, and that says nothing of the version.
            Err(failure) if failure.retry_after_ms.is_some() => attempt.why = failure.message,
            Err(failure) => {
                (attempt.times, attempt.at) = (attempt.times.saturating_add(1), self.now);
                attempt.why = failure.message;
            }
        }
        Step::Working
    }

    /// What a job of the fleet brought is not what was wanted, or must not serve.
    pub(super) fn unwanted(&self, job: JobId, label: &str) -> Option<String> {
        let (name, version) = label.split_once(':')?;
        if let Some(why) = self.versions.fleet.is_revoked(name, version) {
            return Some(format!("{label} {}", super::revoke::words(why)));
        }
        let of_job = |(_, attempt): &(&String, &Try)| attempt.job == Some(job);
        let (wanted, attempt) = self.versions.fleet.tries.iter().find(of_job)?;
        let wanted = format!("{wanted}:{}", attempt.version);
        (wanted != label)
            .then(|| format!("there lies {label} where the list says that {wanted} is: it is not activated"))
    }

    /// The version that is put aside when an activation has ended.
    pub(super) fn aside_of(&self, at: usize, before: Option<String>) -> Option<String> {
        let Some(activation) = self.versions.activations.get(at) else { return before };
        let wanted = self.versions.fleet.desired.wanted.iter().find(|order| order.wanted.name == activation.name);
        let Some(wanted) = wanted.map(|order| order.wanted.version.clone()) else { return before };
        let to = self.models.bundle(activation.to).map(|bundle| bundle.found.version.clone());
        // Where it is not there yet nothing is put in its place.
        let is_there = self.models.place(&activation.name, &wanted).is_some();
        let by_hand = is_there && activation.who != FLEET && activation.who != super::ITSELF;
        if by_hand && to.is_some_and(|to| to != wanted) { Some(wanted) } else { before }
    }

    fn phase(&self, name: &str, step: Step) -> &'static str {
        let last = self.versions.fleet.tries.get(name).filter(|attempt| attempt.times > 0);
        match step {
            Step::Done => "done",
            Step::Probation => "probation",
            Step::Revoked => "revoked",
            Step::TakenBack => "taken_back",
            Step::Aside => "held",
            Step::Wait(Wait::Aborted { .. }) => "aborted",
            Step::Wait(Wait::NoSource) => "unreachable",
            Step::Wait(Wait::Retry { .. }) => match last {
                Some(Try { fetching: true, .. }) => "unreachable",
                Some(_) | None => "failed",
            },
            Step::Wait(_) => "waiting",
            Step::Working | Step::Pull | Step::Activate => "working",
        }
    }

    /// Why, in words that do not change with every second.
    fn reason(&self, order: &Order, step: Step, wave: Option<usize>) -> String {
        let Order { wanted, begins } = order;
        let (name, version) = (wanted.name.as_str(), wanted.version.as_str());
        let attempt = self.versions.fleet.tries.get(name);
        let why = || attempt.map(|attempt| attempt.why.clone()).unwrap_or_default();
        match step {
            Step::Done | Step::Probation | Step::Pull | Step::Activate => String::new(),
            Step::Working => match attempt.and_then(|attempt| attempt.job) {
                Some(job) => format!("job {}", job.0),
                None => why(),
            },
            Step::Revoked => super::revoke::words(self.versions.fleet.is_revoked(name, version).unwrap_or_default()),
            Step::TakenBack => {
                let record = self.versions.records.get(name);
                record.and_then(|record| record.bad.get(version).cloned()).unwrap_or_default()
            }
            Step::Aside => format!(
                "somebody put another version in its place: `edgectl models activate {name}:{version}` ends that"
            ),
            Step::Wait(Wait::Begin) if !is_believed(clock::wall()) => {
                "the clock of this box has lost the time: set it (`timedatectl`)".into()
            }
            Step::Wait(Wait::Begin) => match begins {
                Some(begins) => format!("its rollout begins at {}", humantime::format_rfc3339_seconds(*begins)),
                None => "nobody knows when its rollout began: see the problems".into(),
            },
            Step::Wait(Wait::BeyondWaves) => format!(
                "the rollout goes to {} % of the fleet so far",
                wanted.rollout.waves.last().copied().unwrap_or_default()
            ),
            Step::Wait(Wait::Aborted { failed }) => {
                format!(
                    "{failed} boxes of earlier waves say that it failed there; `max_failed` is {}",
                    wanted.rollout.max_failed
                )
            }
            Step::Wait(Wait::Hold { .. }) => match begins.and_then(|begins| turn(begins, &wanted.rollout, wave)) {
                Some(turn) => format!("the wave of this box begins at {turn}"),
                None => "the wave of this box has not begun".into(),
            },
            Step::Wait(Wait::Reports) => {
                "without the broker nobody knows how it fares on the boxes of earlier waves".into()
            }
            Step::Wait(Wait::Retry { .. }) => why(),
            Step::Wait(Wait::NoSource) => "it is not installed, and the list has no url for it".into(),
        }
    }

    /// For the outside.
    pub(in super::super) fn fleet_status(&self) -> FleetStatus {
        let fleet = &self.versions.fleet;
        FleetStatus {
            place_percent: f64::from(place(&self.config.node)) * 100.0 / f64::from(PLACES),
            channel: self.config.fleet.channel.clone().unwrap_or_default(),
            serial: fleet.desired.serial.unwrap_or_default(),
            models: fleet.shown.clone(),
            revoked: fleet.desired.revoked.keys().map(|(name, version)| format!("{name}:{version}")).collect(),
            looks: fleet.looks,
        }
    }

    /// What a technician has to know.
    pub(super) fn fleet_problems(&self) -> Vec<Problem> {
        let mut problems = self.versions.fleet.desired.problems.clone();
        let told = |model: &&FleetModel| {
            FleetModel::is_failure(&model.phase) || matches!(model.phase.as_str(), "unreachable" | "aborted")
        };
        problems.extend(self.versions.fleet.shown.iter().filter(told).map(|model| Problem {
            subject: format!("fleet {}:{}", model.name, model.version),
            what: format!("{}: {}", model.phase.replace('_', " "), model.reason),
            remedy: "what served before serves on; `edgectl models fleet` shows all, `edgectl models history` what was tried".into(),
        }));
        let banned = |bundle: &&super::super::models::Bundle| !bundle.gone && bundle.revoked.is_some();
        for bundle in self.models.bundles().iter().filter(banned) {
            let name = &bundle.found.name;
            if self.models.find(name, None).is_err() {
                let why = super::revoke::words(bundle.revoked.as_deref().unwrap_or_default());
                problems.push(Problem {
                    subject: format!("model {name}:{}", bundle.found.version),
                    what: format!("it {why}, and there is no other version"),
                    remedy: format!("install another version of {name}"),
                });
            }
        }
        problems
    }
}

/// When the turn of a wave comes.
fn turn(begins: std::time::SystemTime, rollout: &Rollout, wave: Option<usize>) -> Option<String> {
    let holds = rollout.hold.saturating_mul(u32::try_from(wave?).ok()?);
    Some(humantime::format_rfc3339_seconds(begins.checked_add(holds)?).to_string())
}
