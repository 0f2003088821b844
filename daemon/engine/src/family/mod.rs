//! What kind of model a graph is, told from its inputs, outputs, operators and metadata: the task, and the recipes that
//! serve it. Each line of the recipes says whether it was found in the graph or assumed, because a person has to look at
//! what was assumed. Pure: knows no file and no runtime.
//!
//! Terms: an *assumption* is what most models of the family have and the graph does not say; a *wish* is what the person
//! said on the command line, which wins.

mod detector;
mod labels;
mod picture;
mod regions;
mod scores;
mod sound;
#[cfg(test)]
mod tests;
mod text;

use crate::bundle::Task;
use crate::graph::{Graph, Port, Size};
use crate::protocol::Datatype;

pub use labels::from_metadata as labels_in;

/// What the person who brings the model says of it.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What it does.
    pub task: Option<Task>,
    /// Its labels, in the order of its classes.
    pub labels: Option<Vec<String>>,
}

/// Why a line of a manifest is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The graph, or the person, says so.
    Found(&'static str),
    /// Most models of the family have it; somebody has to look.
    Assumed(&'static str),
}

/// One line of a manifest: `key = value`, the value as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub key: &'static str,
    pub value: String,
    pub why: Why,
}

/// A graph whose kind is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// In words, for example "a YOLO detector whose output has the scores of its labels alone (v8 to v11)".
    pub name: String,
    pub task: Task,
    /// `[input]`; empty for tensors.
    pub input: Vec<Line>,
    /// `[output]`.
    pub output: Vec<Line>,
    /// `[output.head]`, of a detector.
    pub head: Vec<Line>,
    /// `[output.masks]`, of a detector with outlines.
    pub masks: Vec<Line>,
    /// Files that the bundle needs besides the graph.
    pub files: Vec<Extra>,
    /// Sizes that the graph leaves open and the recipe fills: input and its shape.
    pub closed: Option<(String, Vec<i64>)>,
    /// What a person should know besides.
    pub remarks: Vec<String>,
}

/// A file that a bundle needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    pub path: String,
    pub content: String,
}

impl Family {
    fn named(name: String) -> Family {
        Family { name, ..Family::default() }
    }
}

/// What kind of model it is. An error says what is in the way of the task that was wished for.
pub fn recognise(graph: &Graph, wish: &Wish) -> Result<Family, String> {
    let seen = Seen::new(graph, wish);
    match wish.task {
        Some(Task::Tensors) => Ok(tensors(graph, Vec::new())),
        Some(Task::ObjectDetection | Task::InstanceSegmentation) => detector::recognise(&seen),
        Some(Task::Classification) => scores::classification(&seen),
        Some(Task::Embedding) => scores::embedding(&seen),
        Some(Task::Segmentation) => regions::segmentation(&seen),
        Some(Task::Anomaly) => regions::anomaly(&seen),
        Some(Task::TextRecognition) => text::ctc(&seen, wish),
        Some(Task::SpeechSegments) => sound::speech(&seen),
        Some(other @ (Task::TextDetection | Task::TextReading | Task::FileType)) => Err(format!(
            "models of the task {} are not drafted: write its model.toml by hand, after one of those that come with edged",
            other.as_str()
        )),
        None => Ok(best(&seen, wish)),
    }
}

/// Whether a graph is of a family, and if not, why.
type Attempt = fn(&Seen<'_>, &Wish) -> Result<Family, String>;

/// The first family that fits; tensors if none does.
fn best(seen: &Seen<'_>, wish: &Wish) -> Family {
    let attempts: [Attempt; 7] = [
        |seen, _| if regions::says_anomaly(seen) { regions::anomaly(seen) } else { Err(String::new()) },
        |seen, _| sound::speech(seen),
        text::ctc,
        |seen, _| detector::recognise(seen),
        |seen, _| regions::segmentation(seen),
        |seen, _| if scores::says_embedding(seen) { scores::embedding(seen) } else { Err(String::new()) },
        |seen, _| scores::classification(seen),
    ];
    let mut why_not = Vec::new();
    for attempt in attempts {
        match attempt(seen, wish) {
            Ok(family) => return family,
            Err(why) => why_not.push(why),
        }
    }
    // What is said of pictures is of interest only for what could be one.
    why_not.retain(|why| !why.is_empty());
    why_not.dedup();
    why_not.sort_by_key(String::len);
    let told = why_not.into_iter().take(1).map(|why| format!("no family was recognised: {why}"));
    tensors(seen.graph, told.collect())
}

fn tensors(graph: &Graph, remarks: Vec<String>) -> Family {
    let words = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>().join(", ");
    let (takes, gives) = (words(&graph.inputs), words(&graph.outputs));
    let name = format!("a model that takes tensors ({takes}) and gives tensors ({gives})");
    Family { task: Task::Tensors, remarks, ..Family::named(name) }
}

/// A graph with what the families look for.
struct Seen<'a> {
    graph: &'a Graph,
    /// From the person, or from the graph's metadata.
    labels: Option<(Vec<String>, &'static str)>,
    /// What the exporter says that it does, for example `detect`.
    says: &'a str,
}

impl<'a> Seen<'a> {
    fn new(graph: &'a Graph, wish: &Wish) -> Seen<'a> {
        let given = wish.labels.clone().map(|labels| (labels, "given"));
        let found = || labels::from_metadata(&graph.metadata).map(|labels| (labels, "in the model's metadata"));
        Seen {
            graph,
            labels: given.or_else(found),
            says: graph.metadata.get("task").map(String::as_str).unwrap_or_default(),
        }
    }

    fn label_count(&self) -> Option<usize> {
        self.labels.as_ref().map(|labels| labels.0.len())
    }

    /// `labels = [...]` for so many classes.
    fn labels(&self, classes: usize) -> Result<Line, String> {
        match &self.labels {
            Some((labels, why)) if labels.len() == classes => {
                Ok(Line { key: "labels", value: texts(labels), why: Why::Found(why) })
            }
            Some((labels, why)) => {
                Err(format!("{} labels are {why}, and the model has {classes} classes", labels.len()))
            }
            None => {
                let numbered: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
                let why = "numbers, as no names are known: give them with --labels";
                Ok(Line { key: "labels", value: texts(&numbered), why: Why::Assumed(why) })
            }
        }
    }
}

fn found(key: &'static str, value: String, why: &'static str) -> Line {
    Line { key, value, why: Why::Found(why) }
}

fn assumed(key: &'static str, value: String, why: &'static str) -> Line {
    Line { key, value, why: Why::Assumed(why) }
}

/// A text as TOML.
pub fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn texts(texts: &[String]) -> String {
    let list: Vec<String> = texts.iter().map(|one| text(one)).collect();
    format!("[{}]", list.join(", "))
}

/// A size as a number that counts things; `None` where it is open.
fn fixed(size: &Size) -> Option<usize> {
    match size {
        Size::Fixed(size) => usize::try_from(*size).ok(),
        Size::Open(_) => None,
    }
}

/// Whether recipes can read it as numbers with a fraction.
fn is_float(port: &Port) -> bool {
    matches!(port.datatype, Some(Datatype::Fp32 | Datatype::Fp16))
}

/// So many labels, in words.
fn counted(labels: usize) -> String {
    if labels == 1 { "one label".into() } else { format!("{labels} labels") }
}
