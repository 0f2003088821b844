//! Whether the daemon serves with another runtime: pure, from its status before and now.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use edge_wire::dto::{ModelStatus, Problem, Status};

/// The runtime that is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// That of this name, in this directory.
    Installed { id: String, dir: PathBuf },
    /// Whatever is found where none below this directory is current.
    Package { shelf: PathBuf },
}

/// What has to be again as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Processes that have the other library.
    pids: BTreeSet<u32>,
    /// Models that were ready.
    ready: Vec<String>,
    /// Ways to run them that were.
    setups: Vec<Setup>,
    /// What was said of the library already.
    said: Vec<String>,
    /// The library, which is told of with its path in front.
    library: String,
    /// Whether it was the library itself that kept the daemon from serving.
    pub broken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setup {
    model: String,
    variant: String,
    provider: String,
}

/// What a look at the daemon shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not yet, because of this.
    Waits(String),
    /// It serves, with these models, and this should be known.
    Serves { models: Vec<String>, remarks: Vec<String> },
    /// It will not.
    Failed(String),
}

impl Target {
    /// Whether this is the library of it.
    pub fn is(&self, library: &str) -> bool {
        match self {
            Target::Installed { dir, .. } => Path::new(library).starts_with(dir),
            Target::Package { shelf } => !library.is_empty() && !Path::new(library).starts_with(shelf),
        }
    }

    /// Its name; empty for the package's.
    pub fn id(&self) -> &str {
        match self {
            Target::Installed { id, .. } => id,
            Target::Package { .. } => "",
        }
    }

    /// What it is called in a sentence.
    pub fn named(&self) -> String {
        match self {
            Target::Installed { id, .. } => format!("the runtime {id}"),
            Target::Package { .. } => "the package's runtime".into(),
        }
    }
}

impl Before {
    /// From the status before the switch to `target`.
    pub fn of(status: &Status, target: &Target) -> Before {
        // Processes that have the right library already need not end.
        let has_it = target.is(&status.engine.library);
        let pids = status.engine.hosts.iter().map(|host| host.pid).filter(|&pid| pid != 0 && !has_it).collect();
        let ready = status.models.iter().filter(|model| model.state == "ready");
        let setups = ready.clone().flat_map(|model| {
            let ready = model.setups.iter().filter(|setup| setup.state == "ready");
            ready.map(|setup| Setup {
                model: label(model),
                variant: setup.variant.clone(),
                provider: setup.provider.clone(),
            })
        });
        let said: Vec<String> = of_library(status).map(|problem| problem.what.clone()).collect();
        let library = status.engine.library.clone();
        let broken = status.engine.state == "no_library" || said.iter().any(|what| is_of(&library, what));
        Before { pids, setups: setups.collect(), ready: ready.map(label).collect(), said, library, broken }
    }

    /// The same models, looked at from another state of the daemon.
    pub fn again(&self, status: &Status, target: &Target) -> Before {
        let Before { pids, said, library, .. } = Before::of(status, target);
        Before { pids, said, library, ..self.clone() }
    }

    /// What the status shows now.
    pub fn look(&self, target: &Target, now: &Status) -> Seen {
        let engine = &now.engine;
        if !target.is(&engine.library) {
            // What was wrong with the library of before is no news of this one.
            let is_news = |what: &String| !self.said.contains(what) && !is_of(&self.library, what);
            let refused = of_library(now).find(|problem| is_news(&problem.what));
            return match refused {
                Some(problem) => Seen::Failed(problem.what.clone()),
                None => Seen::Waits(format!("edged still uses {}", engine.library)),
            };
        }
        if engine.state == "no_library" {
            return Seen::Failed(engine.reason.clone());
        }
        if engine.hosts.iter().any(|host| self.pids.contains(&host.pid)) {
            return Seen::Waits("an engine host still has the library before".into());
        }
        if let Some(failed) = self.failed(now) {
            return Seen::Failed(failed);
        }
        if engine.state != "up" {
            return Seen::Waits(format!("the engine is {} {}", engine.state, engine.reason).trim_end().to_owned());
        }
        match now.models.iter().find(|model| self.is_awaited(model, now)) {
            Some(model) => {
                Seen::Waits(format!("{} is {} {}", label(model), model.state, model.reason).trim_end().into())
            }
            None => Seen::Serves { models: self.ready.clone(), remarks: self.remarks(now) },
        }
    }

    /// A model, or a way to run one, that was well and failed.
    fn failed(&self, now: &Status) -> Option<String> {
        let mut was_ready = now.models.iter().filter(|model| self.ready.contains(&label(model)));
        was_ready.find_map(|model| {
            if model.state == "failed" {
                return Some(format!("{} fails with it: {}", label(model), model.reason));
            }
            let mut failed = model.setups.iter().filter(|setup| setup.state == "failed");
            let lost = failed.find(|setup| self.had(model, &setup.variant, &setup.provider))?;
            Some(format!("{} fails with it on {}: {}", label(model), lost.provider, lost.reason))
        })
    }

    fn had(&self, model: &ModelStatus, variant: &str, provider: &str) -> bool {
        let is_it =
            |setup: &Setup| setup.model == label(model) && setup.variant == variant && setup.provider == provider;
        self.setups.iter().any(is_it)
    }

    /// Whether it has to come back and is not there yet. What is being compiled goes on as a job, with a stand-in.
    fn is_awaited(&self, model: &ModelStatus, now: &Status) -> bool {
        if !self.ready.contains(&label(model)) || model.state == "standby" {
            return false;
        }
        let compiled = || now.jobs.iter().any(|job| job.state == "running" && job.model == label(model));
        let mut under_way = model.setups.iter().filter(|setup| matches!(setup.state.as_str(), "found" | "loading"));
        model.state != "ready" || (under_way.next().is_some() && !compiled())
    }

    fn remarks(&self, now: &Status) -> Vec<String> {
        let mut remarks = Vec::new();
        for name in &self.ready {
            let Some(model) = now.models.iter().find(|model| label(model) == *name) else {
                remarks.push(format!("{name} is not there any more"));
                continue;
            };
            if model.state == "standby" {
                remarks.push(format!("{name} was let go to save memory; its next load shows whether it answers right"));
            }
            for setup in model.setups.iter().filter(|setup| setup.state == "failed") {
                remarks.push(format!("{name} does not run on {}: {}", setup.provider, setup.reason));
            }
        }
        let compiled = now.jobs.iter().filter(|job| job.state == "running" && job.operation == "build");
        remarks.extend(compiled.map(|job| {
            format!("{} is still being compiled, {}: `edgectl jobs watch {}`", job.model, job.detail, job.id)
        }));
        remarks
    }
}

/// Whether it is said of the library at this path.
fn is_of(library: &str, what: &str) -> bool {
    !library.is_empty() && what.starts_with(library)
}

fn of_library(status: &Status) -> impl Iterator<Item = &Problem> {
    status.problems.iter().filter(|problem| problem.subject == "library")
}

fn label(model: &ModelStatus) -> String {
    format!("{}:{}", model.name, model.version)
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::{EngineStatus, HostStatus, JobStatus, SetupStatus};

    use super::*;

    fn target() -> Target {
        Target::Installed { id: "1.33.0-aa".into(), dir: "/rt/1.33.0-aa".into() }
    }

    fn setup(provider: &str, state: &str) -> SetupStatus {
        SetupStatus {
            provider: provider.into(),
            state: state.into(),
            reason: "a reason".into(),
            ..SetupStatus::default()
        }
    }

    fn model(state: &str, setups: &[(&str, &str)]) -> ModelStatus {
        ModelStatus {
            name: "add".into(),
            version: "1.0.0".into(),
            state: state.into(),
            setups: setups.iter().map(|(provider, state)| setup(provider, state)).collect(),
            ..ModelStatus::default()
        }
    }

    fn status(library: &str, pid: u32, models: Vec<ModelStatus>) -> Status {
        let hosts = vec![HostStatus { pid, ..HostStatus::default() }];
        let engine = EngineStatus { state: "up".into(), library: library.into(), hosts, ..EngineStatus::default() };
        Status { engine, models, ..Status::default() }
    }

    fn before_all_was_well() -> Before {
        let mut starting = status("/usr/lib/x.so", 0, vec![]);
        starting.engine.state = "starting".into();
        Before::of(&starting, &target())
    }

    fn before() -> Before {
        Before::of(&status("/usr/lib/x.so", 7, vec![model("ready", &[("cpu", "ready")])]), &target())
    }

    const NEW: &str = "/rt/1.33.0-aa/libonnxruntime.so.1.33.0";

    #[test]
    fn it_serves_when_all_that_was_ready_is_ready_on_hosts_with_the_new_library() {
        let waits = |now: &Status| matches!(before().look(&target(), now), Seen::Waits(_));
        assert!(waits(&status("/usr/lib/x.so", 7, vec![model("ready", &[("cpu", "ready")])])), "not taken over");
        assert!(waits(&status(NEW, 7, vec![model("ready", &[("cpu", "ready")])])), "the old process");
        assert!(waits(&status(NEW, 0, vec![model("found", &[("cpu", "found")])])));
        assert!(waits(&status(NEW, 8, vec![model("ready", &[("cuda", "loading"), ("cpu", "ready")])])));
        let mut starting = status(NEW, 0, vec![model("ready", &[("cpu", "ready")])]);
        starting.engine.state = "starting".into();
        assert!(waits(&starting));
        let now = status(NEW, 8, vec![model("ready", &[("cuda", "ready"), ("cpu", "ready")])]);
        let serves = Seen::Serves { models: vec!["add:1.0.0".into()], remarks: vec![] };
        assert_eq!(before().look(&target(), &now), serves);
    }

    #[test]
    fn what_is_compiled_for_minutes_is_not_waited_for_and_named() {
        let mut now = status(NEW, 8, vec![model("ready", &[("tensorrt", "loading"), ("cpu", "ready")])]);
        let (operation, model, state) = ("build".into(), "add:1.0.0".into(), "running".into());
        now.jobs.push(JobStatus { id: 4, operation, model, state, ..JobStatus::default() });
        let Seen::Serves { remarks, .. } = before().look(&target(), &now) else { panic!("it serves") };
        assert!(remarks[0].contains("edgectl jobs watch 4"), "{remarks:?}");
    }

    #[test]
    fn a_model_that_fails_and_a_library_that_is_not_taken_are_failures() {
        let failed = |now: &Status| match before().look(&target(), now) {
            Seen::Failed(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(failed(&status(NEW, 8, vec![model("failed", &[])])).contains("add:1.0.0 fails"));
        let stands_in = model("ready", &[("cpu", "failed"), ("openvino", "ready")]);
        assert!(failed(&status(NEW, 8, vec![stands_in])).contains("on cpu: a reason"));
        let mut refused = status("/usr/lib/x.so", 7, vec![]);
        refused.problems = vec![Problem { subject: "library".into(), what: "no".into(), remedy: String::new() }];
        assert_eq!(failed(&refused), "no");
        let mut none = status(NEW, 0, vec![]);
        (none.engine.state, none.engine.reason) = ("no_library".into(), "gone".into());
        assert_eq!(failed(&none), "gone");
    }

    #[test]
    fn what_was_wrong_with_the_library_of_before_is_no_fault_of_the_next_one() {
        let problem = |what: &str| Problem { subject: "library".into(), what: what.into(), remedy: String::new() };
        let mut broken = status("/usr/lib/x.so", 0, vec![model("failed", &[])]);
        broken.engine.state = "down".into();
        broken.problems = vec![problem("/usr/lib/x.so: an engine host died")];
        let before = Before::of(&broken, &target());
        assert!(before.broken && !before_all_was_well().broken);
        broken.problems = vec![problem("/usr/lib/x.so: 3 engine hosts in a row died")];
        assert!(matches!(before.look(&target(), &broken), Seen::Waits(_)));
        broken.problems.push(problem("the new one does not load"));
        assert_eq!(before.look(&target(), &broken), Seen::Failed("the new one does not load".into()));
        let now = status(NEW, 8, vec![model("ready", &[])]);
        assert!(matches!(before.look(&target(), &now), Seen::Serves { .. }));
    }

    #[test]
    fn a_provider_that_is_new_and_fails_is_a_remark_alone() {
        let now = status(NEW, 8, vec![model("ready", &[("cuda", "failed"), ("cpu", "ready")])]);
        let Seen::Serves { remarks, .. } = before().look(&target(), &now) else { panic!("it serves") };
        assert_eq!(remarks, ["add:1.0.0 does not run on cuda: a reason"]);
    }

    #[test]
    fn on_the_way_back_processes_with_the_right_library_may_stay() {
        let package = Target::Package { shelf: "/rt".into() };
        let now = status("/usr/lib/x.so", 7, vec![model("ready", &[("cpu", "ready")])]);
        let again = before().again(&now, &package);
        assert!(matches!(again.look(&package, &now), Seen::Serves { .. }));
        assert!(!package.is(NEW) && !package.is("") && target().is(NEW) && !target().is("/rt/1.33.0-aab/x.so"));
    }
}
