//! What a file of exported plans and engines says of itself, and for which boxes its entries are: `cache.json`, which stands
//! first in it and promises every other file. Pure: texts and facts in, faults out.

use std::collections::{BTreeMap, BTreeSet};

use edge_engine::bundle::{FileEntry, is_inside, is_name};
use edge_engine::protocol::ProviderIdentity;
use edge_wire::plan::Plan;
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::seal;
use crate::plans;
use crate::store::archive::Promise;

/// Grows when what is written means something else.
pub const FORMAT: u32 = 1;
/// Most entries and files of one export: a box has some hundred.
const MOST: usize = 4096;
/// Largest file.
const MOST_BYTES: u64 = 8 << 30;
/// What must be the same for an engine, whatever its provider.
const OF_ENGINES: [&str; 6] = ["architecture", "processor", FEATURES, "graphics", "driver", "board software"];
/// The fact whose value is a list of words.
const FEATURES: &str = "processor features";

/// Facts of a box, as names and values.
pub type Facts = plans::Key;

/// `cache.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    /// RFC 3339.
    pub made_at: String,
    /// Name of the box that it is of.
    pub node: String,
    /// What that box is.
    pub machine: Facts,
    pub plans: Vec<PlanEntry>,
    pub engines: Vec<EngineEntry>,
    /// Every file that follows.
    pub files: Vec<FileEntry>,
}

/// A measured plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    pub model: String,
    pub version: String,
    /// What it holds for.
    pub key: plans::Key,
    /// Its file.
    pub path: String,
}

/// What a provider compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEntry {
    pub model: String,
    /// What it is good for.
    pub key: Key,
    /// The directory of its files.
    pub dir: String,
}

/// Why a text is no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error("it is not of the form that edged writes")]
    Json(#[from] serde_json::Error),
    #[error("it has format {0}, this version knows {FORMAT}")]
    Format(u32),
    #[error("{0}")]
    Values(String),
}

impl Promise for Head {
    const FILE: &'static str = "cache.json";
    const SIGNATURE: &'static str = "cache.json.minisig";
    const HOW: &'static str = "make it with `edgectl models cache export`";
    type Fault = HeadError;

    fn parse(text: &str) -> Result<Head, HeadError> {
        #[derive(Deserialize)]
        struct Formatted {
            format: u32,
        }
        let Formatted { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(HeadError::Format(format));
        }
        let head: Head = serde_json::from_str(text)?;
        head.fault().map_or(Ok(()), |fault| Err(HeadError::Values(fault)))?;
        Ok(head)
    }

    fn files(&self) -> &[FileEntry] {
        &self.files
    }
}

impl Head {
    /// What is wrong with its values.
    fn fault(&self) -> Option<String> {
        if self.plans.len() + self.engines.len() > MOST || self.files.len() > MOST {
            return Some(format!("takes at most {MOST} entries, and as many files"));
        }
        let named = self.plans.iter().map(|plan| &plan.model).chain(self.engines.iter().map(|engine| &engine.model));
        if let Some(name) = named.into_iter().find(|name| !is_name(name)) {
            return Some(format!("model: {name:?} is no name of a model"));
        }
        let mut seen = BTreeSet::new();
        let places = self.plans.iter().map(|plan| &plan.path).chain(self.engines.iter().map(|engine| &engine.dir));
        if let Some(place) = places.into_iter().find(|place| !is_inside(place) || !seen.insert(*place)) {
            return Some(format!("{place:?}: must be a place inside of the file that no other entry has"));
        }
        let mut seen = BTreeSet::new();
        self.files.iter().find_map(|file| {
            let FileEntry { path, bytes, sha256 } = file;
            let hex = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let why = match () {
                () if !is_inside(path) => "must be a relative path without \"..\"",
                () if !seen.insert(path.to_lowercase()) => "stands there twice",
                () if !hex => "must have a sha256 of 64 characters of [0-9a-f]",
                () if *bytes > MOST_BYTES => "is larger than 8 GiB",
                () if !self.is_owned(path) => "is of none of its plans and engines",
                () => return None,
            };
            Some(format!("file {path:?} {why}"))
        })
    }

    /// Whether a file is a plan's, or of an engine and not what the box writes there itself.
    fn is_owned(&self, path: &str) -> bool {
        let of_engine = |engine: &EngineEntry| {
            let own = path.strip_prefix(engine.dir.as_str()).and_then(|rest| rest.strip_prefix('/'));
            own.is_some_and(|name| name != seal::KEY && name != seal::SEAL)
        };
        self.plans.iter().any(|plan| plan.path == path) || self.engines.iter().any(of_engine)
    }

    /// The files of an engine, each with its name below the engine's directory.
    pub fn files_of<'a>(&'a self, engine: &'a EngineEntry) -> impl Iterator<Item = (&'a str, &'a FileEntry)> {
        self.files
            .iter()
            .filter_map(|file| Some((file.path.strip_prefix(engine.dir.as_str())?.strip_prefix('/')?, file)))
    }
}

impl PlanEntry {
    /// What it is, in words.
    pub fn name(&self) -> String {
        format!("plan of {}:{}", self.model, self.version)
    }
}

impl EngineEntry {
    /// What it is, in words.
    pub fn name(&self) -> String {
        format!("engine of {} for {} ({})", self.model, self.key.provider, self.key.variant)
    }
}

/// What this box is, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// What the box is.
    pub machine: Facts,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// First line of the graphics driver's own file, as it stands in the keys of engines.
    pub driver: String,
    /// What engines are told of the device, as it stands in their keys.
    pub options: String,
    /// Which build of each provider is here, of those whose engine host has said so.
    pub providers: BTreeMap<String, ProviderIdentity>,
    /// What any plan must hold for, whatever its model.
    pub plan: plans::Key,
    /// What the plans of installed models must hold for, by model and version.
    pub plans: BTreeMap<(String, String), plans::Key>,
}

impl Here {
    /// Why an engine of the box `machine` is not for this one; `None` if nothing is known against it. A provider that has
    /// not run here yet is compared when the engine is loaded.
    pub fn refuses_engine(&self, key: &Key, machine: &Facts) -> Option<String> {
        let facts = OF_ENGINES.into_iter().find_map(|name| {
            let (theirs, ours) = (value(machine, name), value(&self.machine, name));
            (theirs != ours).then(|| differs(name, theirs, ours))
        });
        let known = self.providers.get(&key.provider);
        let known = |field: fn(&ProviderIdentity) -> &str, theirs: &str, name: &str| {
            let ours = field(known?);
            (ours != theirs).then(|| differs(name, theirs, ours))
        };
        let own = [
            ("ONNX Runtime", key.runtime.as_str(), self.runtime.as_str()),
            ("the graphics driver", &key.driver, &self.driver),
            ("what engines are told of the device", &key.options, &self.options),
        ];
        let own = || own.into_iter().find(|(_, theirs, ours)| theirs != ours);
        facts
            .or_else(|| own().map(|(name, theirs, ours)| differs(name, theirs, ours)))
            .or_else(|| known(|own| &own.device, &key.device, "the device"))
            .or_else(|| known(|own| &own.version, &key.provider_version, &format!("the version of {}", key.provider)))
            .or_else(|| known(|own| &own.digest, &key.provider_sha256, &format!("the library of {}", key.provider)))
    }

    /// Why a plan is not for this box; `None` if nothing is known against it.
    pub fn refuses_plan(&self, plan: &PlanEntry) -> Option<String> {
        let of_model = self.plans.get(&(plan.model.clone(), plan.version.clone()));
        match of_model {
            Some(key) => plans::differs(&plan.key, key),
            // What is of the model and its providers is compared when the model comes.
            None => plans::differs(&of_box(&plan.key, &self.plan), &self.plan),
        }
    }
}

/// The parts of a plan's key that are of the box.
fn of_box(key: &plans::Key, here: &plans::Key) -> plans::Key {
    let graphics = |name: &str| name == "graphics";
    key.iter().filter(|(name, _)| graphics(name) || here.iter().any(|(own, _)| own == name)).cloned().collect()
}

/// Whether a plan that was read is the one that was promised.
pub fn is_of(entry: &PlanEntry, plan: &Plan) -> bool {
    (&plan.model, &plan.version, &plan.key) == (&entry.model, &entry.version, &entry.key)
}

fn value<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.iter().find(|(other, _)| other == name).map_or("none", |(_, value)| value)
}

/// In what two boxes differ, in words.
fn differs(name: &str, theirs: &str, ours: &str) -> String {
    if name != FEATURES {
        return format!("{name} was {theirs:?}, this box has {ours:?}");
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    let (theirs, ours) = (words(theirs), words(ours));
    let list = |words: Vec<&String>| words.into_iter().take(8).cloned().collect::<Vec<_>>().join(" ");
    let (missing, more) = (list(theirs.difference(&ours).collect()), list(ours.difference(&theirs).collect()));
    match (missing.as_str(), more.as_str()) {
        (_, "") => format!("the processor lacks {missing}, which it was made with"),
        ("", _) => format!("the processor has {more}, which it was not made for"),
        _ => format!("the processor lacks {missing}, which it was made with, and has {more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn machine() -> Facts {
        facts(&[
            ("machine", "Orin"),
            ("architecture", "aarch64"),
            ("processor", "A78"),
            (FEATURES, "asimd fphp"),
            ("driver", "540.4.0"),
            ("board software", "L4T 36.4.3"),
        ])
    }

    fn key() -> Key {
        Key {
            provider: "tensorrt".into(),
            provider_version: "10.3".into(),
            provider_sha256: "d".into(),
            device: "Orin".into(),
            runtime: "1.24.0".into(),
            ..Key::default()
        }
    }

    fn here() -> Here {
        let identity = ProviderIdentity { version: "10.3".into(), digest: "d".into(), device: "Orin".into() };
        Here {
            machine: machine(),
            runtime: "1.24.0".into(),
            providers: [("tensorrt".to_owned(), identity)].into(),
            plan: facts(&[("device", "Orin"), ("runtime", "1.24.0")]),
            plans: [(("m".to_owned(), "1.0.0".to_owned()), facts(&[("model", "x"), ("device", "Orin")]))].into(),
            ..Here::default()
        }
    }

    #[test]
    fn an_engine_of_another_box_is_refused_by_the_name_of_what_differs() {
        type Change = fn(&mut Here);
        let cases: [(Change, Option<&str>); 9] = [
            (|_| {}, None),
            // Of what an engine does not depend on.
            (|here| here.machine[0].1 = "another case".into(), None),
            (
                |here| here.machine[5].1 = "L4T 36.3.0".into(),
                Some("board software was \"L4T 36.4.3\", this box has \"L4T 36.3.0\""),
            ),
            (|here| here.machine[2].1 = "A57".into(), Some("processor was \"A78\", this box has \"A57\"")),
            (|here| here.machine[3].1 = "asimd".into(), Some("the processor lacks fphp, which it was made with")),
            (|here| here.runtime = "1.25.0".into(), Some("ONNX Runtime was \"1.24.0\", this box has \"1.25.0\"")),
            (
                |here| here.providers.get_mut("tensorrt").unwrap().device = "Xavier".into(),
                Some("the device was \"Orin\", this box has \"Xavier\""),
            ),
            (
                |here| here.providers.get_mut("tensorrt").unwrap().version = "10.4".into(),
                Some("the version of tensorrt was \"10.3\", this box has \"10.4\""),
            ),
            // It has not run here: that is compared when the engine is loaded.
            (|here| here.providers.clear(), None),
        ];
        for (change, expected) in cases {
            let mut here = here();
            change(&mut here);
            assert_eq!(here.refuses_engine(&key(), &machine()).as_deref(), expected);
        }
    }

    #[test]
    fn a_plan_is_compared_as_far_as_its_model_is_known() {
        let plan = |model: &str, key: &[(&str, &str)]| PlanEntry {
            model: model.into(),
            version: "1.0.0".into(),
            key: facts(key),
            path: "plans/0.json".into(),
        };
        let said = |plan: &PlanEntry| here().refuses_plan(plan);
        assert_eq!(said(&plan("m", &[("model", "x"), ("device", "Orin")])), None);
        assert_eq!(said(&plan("m", &[("model", "y"), ("device", "Orin")])).as_deref(), Some("model was y, and is x"));
        let foreign = [("model", "y"), ("device", "Orin"), ("runtime", "1.24.0"), ("provider tensorrt", "here")];
        assert_eq!(said(&plan("n", &foreign)), None);
        let foreign = [("model", "y"), ("device", "PC"), ("runtime", "1.24.0")];
        assert_eq!(said(&plan("n", &foreign)).as_deref(), Some("device was PC, and is Orin"));
    }

    #[test]
    fn a_head_that_leads_elsewhere_or_promises_what_it_does_not_name_is_refused() {
        let good = Head {
            format: FORMAT,
            made_at: String::new(),
            node: "press-7".into(),
            machine: machine(),
            plans: vec![PlanEntry {
                model: "m".into(),
                version: "1.0.0".into(),
                key: Vec::new(),
                path: "plans/0.json".into(),
            }],
            engines: vec![EngineEntry { model: "m".into(), key: key(), dir: "engines/0".into() }],
            files: ["plans/0.json", "engines/0/x.blob"]
                .map(|path| FileEntry { path: path.into(), bytes: 1, sha256: "0".repeat(64) })
                .into(),
        };
        let parsed = |head: &Head| Head::parse(&serde_json::to_string(head).unwrap());
        assert_eq!(parsed(&good).unwrap(), good);
        assert_eq!(good.files_of(&good.engines[0]).map(|(name, _)| name).collect::<Vec<_>>(), ["x.blob"]);
        type Spoil = fn(&mut Head);
        let cases: [(Spoil, &str); 10] = [
            (|head| head.format = 2, "it has format 2, this version knows 1"),
            (|head| head.engines[0].model = "../m".into(), "model: \"../m\" is no name of a model"),
            (|head| head.engines[0].dir = "../x".into(), "\"../x\": must be a place inside"),
            (|head| head.plans[0].path = "engines/0".into(), "\"engines/0\": must be a place inside"),
            (|head| head.files[1].path = "engines/0/../../x".into(), "must be a relative path without"),
            (|head| head.files[1].path = "/etc/passwd".into(), "must be a relative path without"),
            (|head| head.files[1].path = "PLANS/0.json".into(), "stands there twice"),
            (|head| head.files[1].sha256 = "x".into(), "must have a sha256"),
            (|head| head.files[1].path = "engines/0/seal.json".into(), "is of none of its plans and engines"),
            (|head| head.files[1].bytes = 9 << 30, "is larger than 8 GiB"),
        ];
        for (spoil, expected) in cases {
            let mut head = good.clone();
            spoil(&mut head);
            let said = parsed(&head).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
        }
        assert!(matches!(Head::parse("{"), Err(HeadError::Json(_))));
    }
}
