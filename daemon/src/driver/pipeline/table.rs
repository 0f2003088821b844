//! The pipelines of the box: bundles without a model of their own. Says whether one can be served, by what is known of the
//! models that are its stages; changes nothing of them.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{ModelId, Stages};
use edge_engine::bundle::{Pipeline, Stage};
use edge_wire::dto::{ModelStatus, ProviderInfo};

use crate::driver::models::{Bundle, Life, Model, Models, order};
use crate::store::Found;

/// Most pipelines of one box.
const MAX_PIPELINES: usize = 64;
/// What a picture may come as.
pub const CONTENT_TYPES: [&str; 2] = ["image/jpeg", "image/png"];

/// One pipeline.
#[derive(Debug)]
pub struct Served {
    /// Its number among those of models, which it shares with none.
    pub id: ModelId,
    pub found: Arc<Found>,
    pub spec: Arc<Pipeline>,
    /// Unloaded on request.
    pub unloaded: bool,
    /// Why it must not serve, if the fleet's list says so.
    pub revoked: Option<String>,
    pub done: u64,
    /// From the start of the first stage to the answer, as it usually is, microseconds; 0 before the first one.
    pub usual_us: u64,
}

/// All of them. One keeps its number for the life of the daemon.
#[derive(Debug, Default)]
pub struct Pipelines {
    list: Vec<Served>,
}

/// Why a pipeline cannot take a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It will not without a change of what is installed.
    Fault(String),
    /// It will when somebody does something about a stage, or room comes free: nobody knows when.
    Stage(String),
    /// It will in a moment.
    Loading(String),
}

impl Missing {
    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Missing::Fault(why) | Missing::Stage(why) | Missing::Loading(why) => why,
        }
    }
}

impl Pipelines {
    /// Adds one. `false` if the same name and version is there already, or the table is full.
    pub fn add(&mut self, found: Found, spec: Pipeline) -> bool {
        let same = |served: &Served| served.found.name == found.name && served.found.version == found.version;
        if self.list.iter().any(same) || self.list.len() >= MAX_PIPELINES {
            return false;
        }
        // From the top, where no setup gets: it has no lanes that would need a number.
        let id = ModelId(u16::MAX - u16::try_from(self.list.len()).unwrap_or(0));
        let (found, spec) = (Arc::new(found), Arc::new(spec));
        self.list.push(Served { id, found, spec, unloaded: false, revoked: None, done: 0, usual_us: 0 });
        true
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Served> {
        self.list.iter()
    }

    /// What `name` and `version` mean: without a version the newest.
    pub fn find(&self, name: &str, version: Option<&str>) -> Option<&Served> {
        let meant = |served: &&Served| {
            served.found.name == name && version.is_none_or(|version| version == served.found.version)
        };
        // One that may serve, if there is any.
        self.list.iter().filter(meant).max_by_key(|served| (served.revoked.is_none(), order(&served.found.version)))
    }

    /// What the fleet's list says of them, by name and version.
    pub fn obey(&mut self, revoked: impl Fn(&str, &str) -> Option<String>) {
        for served in &mut self.list {
            served.revoked = revoked(&served.found.name, &served.found.version);
        }
    }

    /// The one of this number.
    pub fn get(&self, id: ModelId) -> Option<&Served> {
        self.list.iter().find(|served| served.id == id)
    }

    /// The one of this number, to change.
    pub fn get_mut(&mut self, id: ModelId) -> Option<&mut Served> {
        self.list.iter_mut().find(|served| served.id == id)
    }
}

/// The bundle that plays a stage: as a request by that name would find it, among the versions that the stage takes.
fn bundle_of<'a>(models: &'a Models, stage: &Stage) -> Result<&'a Bundle, String> {
    let of_name = || models.bundles().iter().filter(|bundle| !bundle.gone && bundle.found.name == stage.model);
    let active = models.find(&stage.model, None).ok().filter(|bundle| stage.takes(&bundle.found.version));
    if let Some(active) = active {
        return Ok(active);
    }
    let fitting = of_name().filter(|bundle| stage.takes(&bundle.found.version));
    let rank = |bundle: &&Bundle| (models.spec(bundle.shown()).is_some(), order(&bundle.found.version));
    fitting.max_by_key(rank).ok_or_else(|| {
        let versions: Vec<&str> = of_name().map(|bundle| bundle.found.version.as_str()).collect();
        match (&stage.version, versions.is_empty()) {
            (Some(wanted), false) => {
                format!("stage {}: version {wanted} is not installed: there is {}", stage.model, versions.join(", "))
            }
            (None, _) | (Some(_), true) => format!("stage {}: not installed", stage.model),
        }
    })
}

/// What serves a stage now, if it is installed.
pub fn serving(models: &Models, stage: &Stage) -> Option<ModelId> {
    bundle_of(models, stage).ok().map(|bundle| bundle.shown())
}

/// The task that a model must have for a role.
fn task(role: &str) -> &'static str {
    match role {
        "boxes" => "text-detection",
        "direction" => "classification",
        _ => "text-recognition",
    }
}

impl Served {
    /// `name:version`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.found.name, self.found.version)
    }

    /// The models of its stages if requests can be taken: those that wait for a stage that is about to be back are.
    pub fn stages(&self, models: &Models) -> Result<Stages, Missing> {
        let mut ids = Vec::new();
        for model in self.models(models)? {
            let (id, model) = model;
            let known = models.spec(id).is_some();
            match &model.life {
                Life::Failed(why) => return Err(stage_is(model, &format!("not served: {why}"))),
                Life::Unloaded => return Err(stage_is(model, "unloaded by the operator")),
                Life::Standby | Life::Found | Life::Loading | Life::Ready if known => ids.push(id),
                Life::Standby | Life::Found | Life::Loading | Life::Ready => {
                    return Err(loading(model));
                }
            }
        }
        Stages::new(&ids).ok_or_else(|| Missing::Fault("more stages than the daemon knows".into()))
    }

    /// The first stage that is not ready, if any.
    fn missing(&self, models: &Models) -> Option<Missing> {
        let stages = match self.models(models) {
            Ok(stages) => stages,
            Err(missing) => return Some(missing),
        };
        stages.into_iter().find_map(|(_, model)| match &model.life {
            Life::Ready => None,
            // A request loads it again.
            Life::Standby if !model.rest.is_empty() => None,
            Life::Failed(why) => Some(stage_is(model, &format!("not served: {why}"))),
            Life::Unloaded => Some(stage_is(model, "unloaded by the operator")),
            Life::Standby | Life::Found | Life::Loading => Some(loading(model)),
        })
    }

    /// What plays its stages, in order.
    fn models<'a>(&self, models: &'a Models) -> Result<Vec<(ModelId, &'a Model)>, Missing> {
        if let Some(fault) = &self.found.fault {
            return Err(Missing::Fault(fault.clone()));
        }
        if let Some(why) = &self.revoked {
            return Err(Missing::Fault(crate::driver::versions::revoke::words(why)));
        }
        let of = |(role, stage): (&'static str, &Stage)| {
            let bundle = bundle_of(models, stage).map_err(Missing::Fault)?;
            let (has, takes) = (&bundle.found.task, task(role));
            let model = models.get(bundle.shown()).ok_or_else(|| Missing::Fault("model table".into()))?;
            if !has.is_empty() && has != takes {
                let why = format!("stage {}: its task is {has}: pipeline.{role} takes {takes}", model.label());
                return Err(Missing::Fault(why));
            }
            Ok((bundle.shown(), model))
        };
        self.spec.stages().map(of).collect()
    }

    /// One more request was answered, this long after its first stage began.
    pub fn answered(&mut self, took: Duration) {
        /// The newest one weighs an eighth.
        const OLD: u64 = 7;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.usual_us =
            if self.done == 0 { took } else { (self.usual_us.saturating_mul(OLD).saturating_add(took)) / (OLD + 1) };
        self.done += 1;
    }

    /// What is wrong with it that somebody has to put right here, not at a stage.
    pub fn fault(&self, models: &Models) -> Option<String> {
        match self.missing(models)? {
            Missing::Fault(why) => Some(why),
            Missing::Stage(_) | Missing::Loading(_) => None,
        }
    }

    /// As it crosses the bus; load figures are the caller's to fill in.
    pub fn status(&self, models: &Models, policy_deadline: Duration) -> ModelStatus {
        let missing = self.missing(models);
        let (state, reason) = match (&self.found.fault, self.unloaded, &missing) {
            (Some(why), _, _) => ("failed", why.clone()),
            (None, true, _) => ("unloaded", String::new()),
            (None, false, Some(missing)) => ("unavailable", missing.why().to_owned()),
            (None, false, None) => ("ready", String::new()),
        };
        let mut providers: Vec<ProviderInfo> = Vec::new();
        let stages = self.models(models).unwrap_or_default();
        for (_, model) in stages.iter().filter(|(_, model)| model.life == Life::Ready) {
            if !providers.iter().any(|known| known.name == model.provider) {
                providers.push(ProviderInfo { name: model.provider.clone(), share: 1.0 });
            }
        }
        let goldens = stages.iter().filter_map(|(_, model)| model.loaded.as_ref()).map(|loaded| loaded.goldens_passed);
        let deadline = self.found.default_deadline.unwrap_or(policy_deadline);
        ModelStatus {
            name: self.found.name.clone(),
            version: self.found.version.clone(),
            description: self.found.description.clone(),
            task: self.found.task.clone(),
            licence: self.found.licence.clone(),
            state: state.into(),
            reason,
            providers,
            content_types: CONTENT_TYPES.map(Into::into).into(),
            max_batch: 1,
            default_deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            goldens_passed: goldens.map(u32::from).sum(),
            service_us: self.usual_us,
            done: self.done,
            path: self.found.dir.display().to_string(),
            ..ModelStatus::default()
        }
    }
}

fn stage_is(model: &Model, what: &str) -> Missing {
    Missing::Stage(format!("stage {}: {what}", model.label()))
}

fn loading(model: &Model) -> Missing {
    Missing::Loading(format!("stage {}: still loading", model.label()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_core::HostId;
    use edge_engine::protocol::{LoadedModel, Precision, Setup};

    fn stage(model: &str, version: Option<&str>) -> Stage {
        Stage { model: model.into(), version: version.map(Into::into), min_score: 0.5 }
    }

    fn spec(text: Stage) -> Pipeline {
        Pipeline { boxes: stage("boxes", None), direction: None, text, max_lines: 9, fan_out: 4 }
    }

    fn served(spec: Pipeline) -> Pipelines {
        let mut pipelines = Pipelines::default();
        let found = Found { name: "reader".into(), version: "1.0.0".into(), ..Found::default() };
        assert!(pipelines.add(found.clone(), spec.clone()));
        assert!(!pipelines.add(found, spec), "the same name and version");
        pipelines
    }

    /// A table of models by name, version and task.
    fn models(list: &[(&str, &str, &str)]) -> Models {
        let mut models = Models::default();
        for (name, version, task) in list {
            let (variant, provider) = ("fp32".into(), "cpu".into());
            let setup = Setup { variant, provider, precision: Precision::Exact, threads: 1, instances: 1 };
            let (name, version, task) = ((*name).into(), (*version).into(), (*task).into());
            let found = Found { name, version, task, setups: vec![setup], ..Found::default() };
            models.add(found, &["cpu".into()], |_| HostId(0)).unwrap();
        }
        models
    }

    fn ready(models: &mut Models, id: u16) {
        models.get_mut(ModelId(id)).unwrap().set_loaded(LoadedModel::default());
    }

    const GOOD: [(&str, &str, &str); 2] = [("boxes", "1.0.0", "text-detection"), ("text", "1.4.0", "text-recognition")];

    #[test]
    fn it_is_unavailable_and_names_the_stage_until_all_are_ready() {
        let pipelines = served(spec(stage("text", Some("1"))));
        let it = pipelines.find("reader", None).unwrap();
        let said = |models: &Models| {
            let status = it.status(models, Duration::from_secs(1));
            (status.state, status.reason, it.fault(models).is_some())
        };
        let unavailable = |why: &str, fault| ("unavailable".to_owned(), why.to_owned(), fault);
        assert_eq!(said(&models(&[])), unavailable("stage boxes: not installed", true));
        assert_eq!(said(&models(&GOOD[..1])), unavailable("stage text: not installed", true));
        let other = [GOOD[0], ("text", "2.0.0", "text-recognition")];
        let why = "stage text: version 1 is not installed: there is 2.0.0";
        assert_eq!(said(&models(&other)), unavailable(why, true));
        let other = [GOOD[0], ("text", "1.0.0", "classification")];
        let why = "stage text:1.0.0: its task is classification: pipeline.text takes text-recognition";
        assert_eq!(said(&models(&other)), unavailable(why, true));

        let mut models = models(&GOOD);
        assert_eq!(said(&models), unavailable("stage boxes:1.0.0: still loading", false));
        ready(&mut models, 0);
        assert_eq!(said(&models), unavailable("stage text:1.4.0: still loading", false));
        ready(&mut models, 1);
        assert_eq!(said(&models), ("ready".to_owned(), String::new(), false));
        models.get_mut(ModelId(1)).unwrap().life = Life::Unloaded;
        assert_eq!(said(&models), unavailable("stage text:1.4.0: unloaded by the operator", false));
        models.get_mut(ModelId(1)).unwrap().life = Life::Failed("no such file".into());
        assert_eq!(said(&models), unavailable("stage text:1.4.0: not served: no such file", false));
    }

    #[test]
    fn requests_are_taken_while_a_stage_that_served_before_is_coming_back() {
        let pipelines = served(spec(stage("text", None)));
        let it = pipelines.find("reader", Some("1.0.0")).unwrap();
        let mut models = models(&GOOD);
        assert!(it.stages(&models).is_err());
        ready(&mut models, 0);
        ready(&mut models, 1);
        let stages = Stages::new(&[ModelId(0), ModelId(1)]).unwrap();
        assert_eq!(it.stages(&models), Ok(stages));
        models.get_mut(ModelId(0)).unwrap().life = Life::Loading;
        assert_eq!(it.stages(&models), Ok(stages));
        models.get_mut(ModelId(0)).unwrap().life = Life::Unloaded;
        assert!(it.stages(&models).is_err());
    }

    #[test]
    fn a_stage_is_played_by_the_newest_ready_version_that_it_takes() {
        let task = "text-recognition";
        let mut models =
            models(&[("t", "1.9.0", task), ("t", "1.10.0", task), ("t", "2.0.0", task), ("t", "1.11.0", task)]);
        (0..3).for_each(|id| ready(&mut models, id));
        for (version, expected) in [
            (None, Some(2)),
            (Some("1"), Some(1)),
            (Some("1.9"), Some(0)),
            (Some("1.11.0"), Some(3)),
            (Some("3"), None),
        ] {
            assert_eq!(serving(&models, &stage("t", version)), expected.map(ModelId), "{version:?}");
        }
    }

    #[test]
    fn how_long_it_usually_takes_follows_what_it_took() {
        let mut pipelines = served(spec(stage("text", None)));
        let id = pipelines.find("reader", None).unwrap().id;
        let it = pipelines.get_mut(id).unwrap();
        assert_eq!(it.status(&models(&GOOD), Duration::ZERO).service_us, 0);
        it.answered(Duration::from_micros(800));
        it.answered(Duration::from_micros(1600));
        let status = it.status(&models(&GOOD), Duration::ZERO);
        assert_eq!((status.service_us, status.done), (900, 2));
    }

    #[test]
    fn numbers_are_those_of_no_setup() {
        let mut pipelines = Pipelines::default();
        for at in 0..MAX_PIPELINES + 1 {
            let found = Found { name: format!("p{at}"), version: "1.0.0".into(), ..Found::default() };
            assert_eq!(pipelines.add(found, spec(stage("t", None))), at < MAX_PIPELINES);
        }
        let least = pipelines.iter().map(|served| served.id.0).min().unwrap();
        assert!(usize::from(least) > crate::driver::models::MAX_MODELS);
    }
}
