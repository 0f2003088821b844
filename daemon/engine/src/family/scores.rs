//! Models that give one score for each label of a picture.

use super::picture::{Habits, Scale, Tensor};
use super::{Family, Line, Seen, assumed, fixed, found, text};
use crate::bundle::Task;
use crate::graph::Port;
use crate::protocol::Datatype;

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
        name: format!("a classifier with {classes} labels"),
        task: Task::Classification,
        input: tensor.lines(seen, &habits),
        output: vec![
            found("kind", text("classes"), "the output has one number for each label"),
            found("tensor", text(&output.name), "the graph's one output"),
            seen.labels(classes)?,
            assumed("top", classes.min(5).to_string(), "how many labels an answer lists"),
            activation(output),
        ],
        head: Vec::new(),
        closed: tensor.closed(seen, &habits),
        remarks,
    })
}

fn classes(output: &Port) -> Result<usize, String> {
    let not = |what: &str| Err(format!("its output {} {what}", output.name));
    if output.datatype != Some(Datatype::Fp32) {
        return not("is not FP32, as scores are");
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
