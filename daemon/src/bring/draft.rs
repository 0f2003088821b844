//! `models new`: a bundle drafted from an ONNX file.

use std::path::{Path, PathBuf};

use edge_engine::bundle::{self, Task};
use edge_engine::family::{self, Family, Line, Why, Wish, text};
use edge_engine::graph::{Graph, Port, Size};
use edge_wire::bring::{Assumed, Drafted, GraphFacts, PortFacts};

use super::goldens::{fill, seal, write};
use super::manifest::{self, Head};
use super::{BringError, file, room};

/// The ONNX file within a bundle.
const MODEL: &str = "model.onnx";
/// Most labels in a file of them.
const MOST_LABELS: usize = 100_000;
/// Largest file of labels.
const MOST_LABEL_BYTES: u64 = 8 << 20;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Asked {
    pub model: PathBuf,
    pub task: Option<Task>,
    pub samples: Option<PathBuf>,
    pub labels: Option<PathBuf>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub licence: Option<String>,
    pub out: Option<PathBuf>,
    /// The ONNX Runtime to use; found otherwise.
    pub library: Option<PathBuf>,
}

/// Drafts a bundle. The directory is there when everything has worked, or not at all; without a runtime on this machine it
/// is there without golden inputs, and the remarks say so.
pub async fn new(asked: &Asked) -> Result<Drafted, BringError> {
    let graph = Graph::read(&asked.model)?;
    let wish = Wish { task: asked.task, labels: asked.labels.as_deref().map(labels).transpose()? };
    let family = family::recognise(&graph, &wish)
        .map_err(|why| BringError::Usage(format!("{}: {why}", asked.model.display())))?;
    let name = name(asked)?;
    let out = asked.out.clone().unwrap_or_else(|| PathBuf::from(&name));
    if out.symlink_metadata().is_ok() {
        return Err(BringError::Usage(format!("{} is there already: name another with --out", out.display())));
    }
    let staged = out.with_file_name(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir_all(&staged).map_err(file("make", &staged))?;
    let drafted = match stage(asked, &graph, &family, &name, &staged).await {
        Ok(drafted) => drafted,
        Err(error) => {
            std::fs::remove_dir_all(&staged).map_err(file("remove", &staged))?;
            return Err(error);
        }
    };
    std::fs::rename(&staged, &out).map_err(file("rename the new bundle to", &out))?;
    Ok(Drafted { dir: out.display().to_string(), ..drafted })
}

async fn stage(asked: &Asked, graph: &Graph, family: &Family, name: &str, dir: &Path) -> Result<Drafted, BringError> {
    copy(&asked.model, graph, dir)?;
    for extra in &family.files {
        write(&dir.join(&extra.path), extra.content.as_bytes())?;
    }
    let version = asked.version.clone().unwrap_or_else(|| "1.0.0".into());
    let source = asked.model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let head = manifest::head(&Head {
        name,
        version: &version,
        licence: licence(asked, graph),
        source: &source,
        file: MODEL,
        int8: graph.uses("QuantizeLinear"),
        batched: is_batched(graph),
        family,
    });
    seal(dir, &head, &[])?;
    let opened = bundle::open(dir)?;
    let mut drafted = Drafted {
        dir: dir.display().to_string(),
        name: name.into(),
        version,
        task: family.task.as_str().into(),
        family: family.name.clone(),
        graph: facts(graph, &asked.model),
        assumed: assumptions(family, &licence(asked, graph)),
        remarks: family.remarks.clone(),
        ..Drafted::default()
    };
    match room(asked.library.as_deref()).await {
        Ok(mut room) => {
            fill(&mut room, dir, &head, opened.manifest(), asked.samples.as_deref(), &mut drafted).await?;
        }
        Err(BringError::Library(error)) => drafted.remarks.push(format!(
            "the model did not run, and there are no golden inputs: {error}; install ONNX Runtime, then \
             `edgectl models goldens`"
        )),
        Err(error) => return Err(error),
    }
    Ok(drafted)
}

/// The graph, and the files that hold its weights, at the same places beside it.
fn copy(model: &Path, graph: &Graph, dir: &Path) -> Result<(), BringError> {
    let put = |from: &Path, to: &Path| {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(file("make", parent))?;
        }
        std::fs::copy(from, to).map_err(file("copy", from)).map(drop)
    };
    put(model, &dir.join(MODEL))?;
    let beside = model.parent().unwrap_or(Path::new("."));
    for place in &graph.external {
        if !bundle::is_inside(place) || place == MODEL {
            return Err(BringError::Usage(format!(
                "{} keeps weights in {place:?}, which is not a file beside it",
                model.display()
            )));
        }
        put(&beside.join(place), &dir.join(place))?;
    }
    Ok(())
}

/// The name that was given, or one made of the file's.
fn name(asked: &Asked) -> Result<String, BringError> {
    if let Some(name) = &asked.name {
        return Ok(name.clone());
    }
    let stem = asked.model.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let plain = |character: char| if character.is_ascii_alphanumeric() || character == '_' { character } else { '-' };
    let name: String = stem.chars().map(plain).collect::<String>().trim_matches(['-', '_']).chars().take(64).collect();
    match name.is_empty() {
        true => Err(BringError::Usage(format!("{} gives no name: give one with --name", asked.model.display()))),
        false => Ok(name),
    }
}

/// One label a line; blank lines at the end are none.
fn labels(path: &Path) -> Result<Vec<String>, BringError> {
    let text = bundle::read_text(path, MOST_LABEL_BYTES).map_err(file("read the labels in", path))?;
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if let Some(blank) = labels.iter().position(String::is_empty) {
        return Err(BringError::Usage(format!("{}: line {} has no label", path.display(), blank + 1)));
    }
    match (1..=MOST_LABELS).contains(&labels.len()) {
        true => Ok(labels),
        false => Err(BringError::Usage(format!("{}: 1 to {MOST_LABELS} labels, one a line", path.display()))),
    }
}

fn licence(asked: &Asked, graph: &Graph) -> Line {
    let line = |value: &str, why| Line { key: "licence", value: text(value), why };
    let said = graph.metadata.get("license").or_else(|| graph.metadata.get("licence"));
    match (&asked.licence, said) {
        (Some(given), _) => line(given, Why::Found("as it was given")),
        // As exporters of Ultralytics write it.
        (None, Some(said)) if said.contains("AGPL-3.0") => line("AGPL-3.0-only", Why::Found("in the model's metadata")),
        (None, Some(said)) if said.len() <= 40 && !said.contains(' ') => {
            line(said, Why::Found("in the model's metadata"))
        }
        _ => line("NOASSERTION", Why::Assumed("nobody knows: say which with --licence, as an SPDX expression")),
    }
}

/// Whether the first dimension of everything is open under one name: then it is the batch.
fn is_batched(graph: &Graph) -> bool {
    let first = |port: &Port| match port.sizes.first() {
        Some(Size::Open(name)) if !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    let mut all = graph.inputs.iter().chain(&graph.outputs).map(first);
    let Some(Some(name)) = all.next() else { return false };
    all.all(|other| other.as_ref() == Some(&name))
}

fn facts(graph: &Graph, path: &Path) -> GraphFacts {
    let port = |port: &Port| PortFacts {
        name: port.name.clone(),
        datatype: port.datatype.map(|datatype| datatype.as_str().to_owned()).unwrap_or_default(),
        shape: port.sizes.iter().map(size).collect(),
    };
    let mut operators: Vec<(String, u32)> = graph
        .operators
        .iter()
        .map(|((domain, name), count)| match domain.as_str() {
            "" => (name.clone(), *count),
            domain => (format!("{domain}.{name}"), *count),
        })
        .collect();
    operators.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    GraphFacts {
        file: path.display().to_string(),
        bytes: graph.bytes,
        opset: graph.opset(),
        ir_version: graph.ir_version,
        producer: graph.producer.clone(),
        inputs: graph.inputs.iter().map(port).collect(),
        outputs: graph.outputs.iter().map(port).collect(),
        operators,
        external: graph.external.iter().cloned().collect(),
        metadata: graph.metadata.keys().cloned().collect(),
    }
}

fn size(size: &Size) -> String {
    match size {
        Size::Fixed(size) => size.to_string(),
        Size::Open(name) if name.is_empty() => "?".into(),
        Size::Open(name) => name.clone(),
    }
}

fn assumptions(family: &Family, licence: &Line) -> Vec<Assumed> {
    let of = |section: &'static str, lines: &[Line]| {
        let one = |line: &Line| match &line.why {
            Why::Assumed(why) => {
                Some(Assumed { key: format!("{section}{}", line.key), value: line.value.clone(), why: (*why).into() })
            }
            Why::Found(_) => None,
        };
        lines.iter().filter_map(one).collect::<Vec<_>>()
    };
    let licence = of("", std::slice::from_ref(licence));
    let parts = [of("input.", &family.input), of("output.", &family.output), of("output.head.", &family.head), licence];
    parts.into_iter().flatten().collect()
}
