//! Models that give a number for each part of a picture: which label it has, or how unlike good pictures it is.

use super::picture::{Habits, Scale, Tensor};
use super::{Family, Line, Seen, Why, assumed, fixed, found, is_float, text, texts};
use crate::bundle::Task;
use crate::graph::{Port, Size};
use crate::protocol::Datatype;

const SEGMENTATION: Habits = Habits {
    fit: "stretch",
    corner: false,
    pad: 0,
    bgr: false,
    scale: Scale::ImageNet,
    side: 512,
    of: "as most segmentation networks have it",
};
const ANOMALY: Habits = Habits { side: 256, of: "as the models of Anomalib have it", ..SEGMENTATION };

/// Scores of labels, or labels, for each part.
pub fn segmentation(seen: &Seen<'_>) -> Result<Family, String> {
    let tensor = Tensor::of(seen)?;
    let output = map(seen, &[])
        .ok_or("none of its outputs is a map of labels, [N, labels, height, width] or [N, height, width]")?;
    let (layout, classes) = match output.sizes.as_slice() {
        [_, _, _] => (None, None),
        [_, a, _, c] if few(c) && !few(a) => (Some("nhwc"), fixed(c)),
        [_, a, ..] => (Some("nchw"), fixed(a)),
        _ => (None, None),
    };
    let known = seen.label_count();
    let classes =
        classes.or(known).ok_or("its output does not tell how many labels there are: give them with --labels")?;
    let labels = labels(seen, classes)?;
    let background = background(&labels, classes);
    let mut output_lines = vec![
        found("kind", text("segmentation"), "the output is a map"),
        found("tensor", text(&output.name), "the output that is a map"),
        Line { key: "labels", ..labels },
    ];
    output_lines.extend(background);
    if let (Some(layout), true) = (layout, classes > 0) {
        output_lines.push(found("layout", text(layout), "where the labels stand in the output"));
        output_lines.push(activation(output, classes));
    }
    Ok(Family {
        task: Task::Segmentation,
        input: tensor.lines(seen, &SEGMENTATION),
        output: output_lines,
        closed: tensor.closed(seen, &SEGMENTATION),
        ..Family::named(format!("a segmentation model with {}", super::counted(classes)))
    })
}

/// A map of how unlike good pictures each part is, a score for the whole, or both.
pub fn anomaly(seen: &Seen<'_>) -> Result<Family, String> {
    let tensor = Tensor::of(seen)?;
    let named = |port: &&Port| port.name.to_ascii_lowercase().contains("score");
    let map = map(seen, &["anomaly", "map", "heat"]);
    let is_score = |port: &&Port| {
        port.sizes.len() <= 2
            && is_float(port)
            && port.sizes.last().is_none_or(|size| fixed(size).is_none_or(|size| size == 1))
    };
    let scores = || seen.graph.outputs.iter().filter(is_score);
    let score = scores().find(named).or_else(|| scores().next());
    if map.is_none() && score.is_none() {
        return Err("none of its outputs is a map of anomalies, or a score".into());
    }
    let mut output = vec![found("kind", text("anomaly"), "a map or a score of the whole")];
    output.extend(map.map(|map| found("map", text(&map.name), "the output that is a map")));
    output.extend(score.map(|score| found("score", text(&score.name), "the output that is one number")));
    let scale = "what the model gives for good and for bad pictures: look at the scores of the samples";
    output.push(assumed("min", "0.0".into(), scale));
    output.push(assumed("max", "1.0".into(), scale));
    output.push(assumed("threshold", "0.5".into(), "a score above it is anomalous"));
    Ok(Family {
        task: Task::Anomaly,
        input: tensor.lines(seen, &ANOMALY),
        output,
        closed: tensor.closed(seen, &ANOMALY),
        ..Family::named("an anomaly model".into())
    })
}

/// Whether a graph's outputs are called as those of anomaly models are.
pub fn says_anomaly(seen: &Seen<'_>) -> bool {
    seen.graph.outputs.iter().any(|port| port.name.to_ascii_lowercase().contains("anomaly"))
}

/// The first output that is a map; one with such a name before others.
fn map<'a>(seen: &Seen<'a>, words: &[&str]) -> Option<&'a Port> {
    let whole = |port: &Port| matches!(port.datatype, Some(Datatype::Int64 | Datatype::Int32 | Datatype::Uint8));
    let is_map = |port: &&Port| match port.sizes.len() {
        4 => is_float(port) || whole(port),
        3 => whole(port),
        _ => false,
    };
    let maps = || seen.graph.outputs.iter().filter(is_map);
    let named = |port: &&Port| words.iter().any(|word| port.name.to_ascii_lowercase().contains(word));
    maps().find(named).or_else(|| maps().next())
}

/// Labels are few, pixels are many.
fn few(size: &Size) -> bool {
    fixed(size).is_some_and(|size| size <= 32)
}

fn labels(seen: &Seen<'_>, classes: usize) -> Result<Line, String> {
    if seen.labels.is_some() || classes < 2 {
        return seen.labels(classes);
    }
    let numbered = |class: usize| if class == 0 { "background".to_owned() } else { format!("class {class}") };
    let names: Vec<String> = (0..classes).map(numbered).collect();
    Ok(assumed("labels", texts(&names), "numbers, as no names are known, and the first one is nothing: --labels"))
}

/// The label that is not told.
fn background(labels: &Line, classes: usize) -> Option<Line> {
    let has = |name: &str| labels.value.contains(&format!("\"{name}\""));
    let name = ["background", "_background_", "Background"].into_iter().find(|name| has(name))?;
    let why = if labels.why == Why::Found("given") { "so called" } else { "it is nothing in particular" };
    (classes > 1).then(|| found("background", text(name), why))
}

fn activation(output: &Port, classes: usize) -> Line {
    match output.made_by.as_str() {
        "Softmax" | "Sigmoid" | "ArgMax" => found("activation", text("none"), "the graph makes scores by itself"),
        _ if classes == 1 => assumed("activation", text("sigmoid"), "one label, and the graph ends without Sigmoid"),
        _ => assumed("activation", text("softmax"), "the graph ends without Softmax"),
    }
}
