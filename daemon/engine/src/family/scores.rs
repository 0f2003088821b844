//! Models that give one score for each label of a picture.

use super::picture::{Habits, Scale, Tensor};
use super::{Family, Line, Seen, assumed, counted, fixed, found, is_float, text};
use crate::bundle::Task;
use crate::graph::Port;

/// Networks trained on ImageNet's pictures.
const TRAINED_ON_IMAGENET: Habits = Habits {
    fit: "crop",
    corner: false,
    pad: 0,
    bgr: false,
    scale: Scale::ImageNet,
    side: 224,
    of: "as networks that were trained on ImageNet have it",
};
/// The classifiers of Ultralytics.
const ULTRALYTICS: Habits =
    Habits { scale: Scale::Unit, of: "as classifiers of Ultralytics have it", ..TRAINED_ON_IMAGENET };

/// Networks that tell faces apart.
const FACES: Habits = Habits {
    fit: "stretch",
    scale: Scale::Signed,
    of: "as networks that tell faces apart have it",
    ..TRAINED_ON_IMAGENET
};

/// `[N, labels]` from a picture.
pub fn classification(seen: &Seen<'_>) -> Result<Family, String> {
    let tensor = Tensor::of(seen)?;
    let [output] = seen.graph.outputs.as_slice() else {
        return Err(format!("it has {} outputs, a classifier has one", seen.graph.outputs.len()));
    };
    let classes = classes(output)?;
    let habits = if seen.says == "classify" { ULTRALYTICS } else { TRAINED_ON_IMAGENET };
    let mut remarks = Vec::new();
    if seen.labels.is_none() && classes > 1 && !matches!(classes, 1000 | 1001) && output.made_by != "Softmax" {
        remarks.push(format!(
            "{classes} numbers without names may be an embedding rather than scores of labels: if so, say --task tensors"
        ));
    }
    Ok(Family {
        task: Task::Classification,
        input: tensor.lines(seen, &habits),
        output: vec![
            found("kind", text("classes"), "the output has one number for each label"),
            found("tensor", text(&output.name), "the graph's one output"),
            seen.labels(classes)?,
            assumed("top", classes.min(5).to_string(), "how many labels an answer lists"),
            activation(output),
        ],
        closed: tensor.closed(seen, &habits),
        remarks,
        ..Family::named(format!("a classifier with {}", counted(classes)))
    })
}

/// Whether the output is called as embeddings are, and nothing speaks of labels.
pub fn says_embedding(seen: &Seen<'_>) -> bool {
    let named =
        |name: &str| ["emb", "feat", "fc1", "vector"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    seen.labels.is_none() && seen.graph.outputs.len() == 1 && seen.graph.outputs.iter().any(|port| named(&port.name))
}

/// `[N, numbers]` from a picture: numbers that are alike for what looks alike.
pub fn embedding(seen: &Seen<'_>) -> Result<Family, String> {
    let tensor = Tensor::of(seen)?;
    let [output] = seen.graph.outputs.as_slice() else {
        return Err(format!("it has {} outputs, a model for embeddings has one", seen.graph.outputs.len()));
    };
    let numbers = classes(output)?;
    let habits = if tensor.pixels(seen, &TRAINED_ON_IMAGENET) == [112, 112] { FACES } else { TRAINED_ON_IMAGENET };
    let normal = matches!(output.made_by.as_str(), "LpNormalization" | "Div");
    Ok(Family {
        task: Task::Embedding,
        input: tensor.lines(seen, &habits),
        output: vec![
            found("kind", text("embedding"), "the output is one list of numbers"),
            found("tensor", text(&output.name), "the graph's one output"),
            assumed(
                "normalise",
                (!normal).to_string(),
                "so that the answers of two pictures can be compared by their product",
            ),
        ],
        closed: tensor.closed(seen, &habits),
        remarks: vec![
            "to search among pictures that are known, write their embeddings into a file of the bundle and name it as \
             `enrolled`: README of onnx-models"
                .into(),
        ],
        ..Family::named(format!("a model for embeddings of {numbers} numbers"))
    })
}

fn classes(output: &Port) -> Result<usize, String> {
    let not = |what: &str| Err(format!("its output {} {what}", output.name));
    if !is_float(output) {
        return not("is neither FP32 nor FP16, as scores are");
    }
    match output.sizes.as_slice() {
        [_, classes] => match fixed(classes) {
            Some(classes @ 2..=100_000) => Ok(classes),
            Some(_) => not("has not 2 to 100000 numbers, one for each label"),
            None => not("leaves open how many labels there are"),
        },
        _ => not("has not the two dimensions of scores, pictures and labels"),
    }
}

fn activation(output: &Port) -> Line {
    match output.made_by.as_str() {
        "Softmax" => found("activation", text("none"), "the graph ends with Softmax"),
        "Sigmoid" => found("activation", text("none"), "the graph ends with Sigmoid"),
        _ => assumed("activation", text("softmax"), "the graph ends without Softmax, so its numbers are no scores yet"),
    }
}
