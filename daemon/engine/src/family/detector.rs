//! Detectors: what the numbers of their outputs mean, told from the shapes.
//!
//! The counts are those of the published architectures: a tensor of w x h pixels has `(w/s) * (h/s)` cells of each stride s
//! of 8, 16 and 32 (64 for the large ones). YOLOX and YOLOv8 to v11 have one anchor a cell, YOLOv5 and v7 three.

use super::picture::{Habits, Scale, Tensor};
use super::{Family, Line, Seen, assumed, counted, fixed, found, is_float, text};
use crate::bundle::Task;
use crate::graph::{Graph, Port, Size};

/// Most rows of a graph that suppresses inside.
const MOST_ROWS: usize = 1000;
/// More labels than any detector has: then the numbers mean something else.
const MOST_CLASSES: usize = 2000;
/// Side of the tensor where the graph leaves it open.
const SIDE: i64 = 640;

const YOLO: Habits = Habits {
    fit: "letterbox",
    corner: false,
    pad: 114,
    bgr: false,
    scale: Scale::Unit,
    side: SIDE,
    of: "as YOLO detectors have it",
};
const YOLOX: Habits = Habits { corner: true, bgr: true, scale: Scale::Bytes, of: "as YOLOX detectors have it", ..YOLO };
const QUERIES: Habits = Habits { fit: "stretch", of: "as RT-DETR has it; others take out ImageNet's mean", ..YOLO };
const DETR: Habits = Habits { fit: "stretch", scale: Scale::ImageNet, side: 800, of: "as DETR has it", ..YOLO };
const LISTS: Habits = Habits { fit: "stretch", of: "as detectors with lists have it", ..YOLO };

/// A head that was recognised.
struct Head {
    name: String,
    lines: Vec<Line>,
    habits: &'static Habits,
    classes: Classes,
    /// The graph has suppressed by itself.
    suppressed: bool,
    /// The output of prototypes, of which outlines are made.
    masks: Option<String>,
}

/// How many classes a head has.
enum Classes {
    Known(usize),
    /// The outputs do not say, and neither does anybody else.
    Named,
}

/// A picture in, things out.
pub fn recognise(seen: &Seen<'_>) -> Result<Family, String> {
    if matches!(seen.says, "pose" | "obb" | "classify") {
        return Err(format!("its metadata says that its task is {}, not detect", seen.says));
    }
    let tensor = Tensor::of(seen)?;
    let head = head(seen, tensor.pixels(seen, &YOLO))?;
    let classes = match head.classes {
        Classes::Known(classes) => classes,
        Classes::Named => seen.label_count().ok_or(
            "its outputs do not tell how many labels there are, and no names are known: give them with --labels",
        )?,
    };
    let mut output = vec![
        found("kind", text("objects"), "the outputs have rectangles"),
        seen.labels(classes)?,
        assumed("threshold", "0.25".into(), "lower finds more, and more that is nothing"),
    ];
    output.push(match head.suppressed {
        true => found("overlap", "1.0".into(), "the graph keeps one of several rectangles by itself"),
        false => assumed("overlap", "0.45".into(), "of two things of one label that overlap by more, the surer stays"),
    });
    let task = if head.masks.is_some() { Task::InstanceSegmentation } else { Task::ObjectDetection };
    let masks = |name: String| {
        vec![
            found("tensor", text(&name), "the output with four dimensions: prototypes"),
            assumed("threshold", "0.5".into(), "a cell that is surer belongs to the thing"),
        ]
    };
    Ok(Family {
        task,
        input: tensor.lines(seen, head.habits),
        output,
        head: head.lines,
        masks: head.masks.map(masks).unwrap_or_default(),
        closed: tensor.closed(seen, head.habits),
        ..Family::named(format!("{} with {}", head.name, counted(classes)))
    })
}

fn head(seen: &Seen<'_>, pixels: [i64; 2]) -> Result<Head, String> {
    let outputs = &seen.graph.outputs;
    match outputs.as_slice() {
        [one] if is_float(one) => match one.sizes.as_slice() {
            [_, a, b] => rows(one, a, b).map_or_else(|| grid(seen, one, ([a, b], 0), pixels), Ok),
            [_, columns] if seen.graph.uses("NonMaxSuppression") => flat_rows(one, columns),
            _ => Err(format!("its output {} has not the dimensions of a detector's", one.name)),
        },
        [first, second] => match (first.sizes.as_slice(), second.sizes.as_slice()) {
            ([_, a, b], [_, prototypes, _, _]) if is_float(first) && is_float(second) => {
                outlines(seen, (first, [a, b]), (second, prototypes), pixels)
            }
            _ => queries(seen, first, second),
        },
        three_or_more if three_or_more.len() <= 4 => lists(seen.graph),
        others => Err(format!("its {} outputs are not those of a detector that is known", others.len())),
    }
}

/// `[N, rows, 6]`: one row for each thing.
fn rows(output: &Port, a: &Size, b: &Size) -> Option<Head> {
    let few = fixed(a).is_none_or(|rows| rows <= MOST_ROWS);
    (fixed(b) == Some(6) && few).then(|| Head {
        name: "a detector that keeps one of several rectangles by itself (YOLOv10 and others)".into(),
        lines: vec![
            found("kind", text("rows"), "the output has few rows of six numbers"),
            found("tensor", text(&output.name), "the graph's one output"),
            assumed("columns", r#"["left", "top", "right", "bottom", "score", "class"]"#.into(), "as YOLOv10 has it"),
        ],
        habits: &YOLO,
        classes: Classes::Named,
        suppressed: true,
        masks: None,
    })
}

/// `[things, 7]` or `[things, 6]`, of all pictures together.
fn flat_rows(output: &Port, columns: &Size) -> Result<Head, String> {
    let columns = match fixed(columns) {
        Some(7) => r#"["other", "left", "top", "right", "bottom", "class", "score"]"#,
        Some(6) => r#"["left", "top", "right", "bottom", "score", "class"]"#,
        _ => return Err(format!("its output {} has rows of neither six nor seven numbers", output.name)),
    };
    Ok(Head {
        name: "a detector that keeps one of several rectangles by itself (YOLOv7 and others)".into(),
        lines: vec![
            found("kind", text("rows"), "the output has rows, and the graph suppresses"),
            found("tensor", text(&output.name), "the graph's one output"),
            assumed("columns", columns.into(), "as YOLOv7 has it"),
        ],
        habits: &YOLO,
        classes: Classes::Named,
        suppressed: true,
        masks: None,
    })
}

/// Anchors with numbers, and prototypes of masks: the last numbers of an anchor say how much of each.
fn outlines(
    seen: &Seen<'_>,
    (output, sizes): (&Port, [&Size; 2]),
    (prototypes, count): (&Port, &Size),
    pixels: [i64; 2],
) -> Result<Head, String> {
    let count = fixed(count)
        .ok_or_else(|| format!("its output {} leaves open how many prototypes there are", prototypes.name))?;
    let head = grid(seen, output, (sizes, count), pixels)?;
    let name = head.name.replace("detector", "detector with outlines");
    Ok(Head { name, masks: Some(prototypes.name.clone()), ..head })
}

/// Anchors with numbers, in one of two orders; so many numbers at their end are of masks.
fn grid(
    seen: &Seen<'_>,
    output: &Port,
    (sizes, of_masks): ([&Size; 2], usize),
    pixels: [i64; 2],
) -> Result<Head, String> {
    let (planes, numbers, anchors) = match sizes.map(fixed) {
        [Some(a), Some(b)] if a < b => (true, a, Some(b)),
        [Some(a), Some(b)] => (false, b, Some(a)),
        [Some(a), None] => (true, a, None),
        [None, Some(b)] => (false, b, None),
        [None, None] => return Err(format!("its output {} leaves open how many numbers an anchor has", output.name)),
    };
    let too_few = || format!("its output {} has too few numbers for a detector", output.name);
    let numbers = numbers.checked_sub(of_masks).ok_or_else(too_few)?;
    let cells = |strides: &[i64]| strides.iter().map(|stride| (pixels[0] / stride) * (pixels[1] / stride)).sum::<i64>();
    let is = |times: i64| {
        let count = anchors.and_then(|anchors| i64::try_from(anchors).ok());
        count.is_some_and(|count| {
            [&[8, 16, 32][..], &[8, 16, 32, 64]].iter().any(|strides| times * cells(strides) == count)
        })
    };
    let objectness = match seen.label_count() {
        Some(labels) if numbers == labels + 4 => false,
        Some(labels) if numbers == labels + 5 => true,
        Some(labels) => {
            return Err(format!(
                "its output {} has {numbers} numbers for each anchor, which fit neither {labels} labels nor {labels} and a score",
                output.name
            ));
        }
        None => !planes,
    };
    let classes =
        numbers.checked_sub(4 + usize::from(objectness)).filter(|classes| (1..=MOST_CLASSES).contains(classes));
    let classes = classes.ok_or_else(|| format!("its output {} has too few numbers for a detector", output.name))?;
    let classes = Classes::Known(classes);
    let undecoded = !planes && objectness && is(1) && output.made_by == "Transpose" && !seen.graph.uses("Exp");
    if undecoded {
        return Ok(Head {
            name: "a YOLOX detector, cells of grids".into(),
            lines: vec![
                found("kind", text("yolox"), "as many anchors as cells, and the graph computes no rectangles"),
                found("tensor", text(&output.name), "the graph's one output"),
                assumed("strides", "[8, 16, 32]".into(), "as YOLOX has it"),
            ],
            habits: &YOLOX,
            classes,
            suppressed: false,
            masks: None,
        });
    }
    let (kind, habits) = match (planes, objectness) {
        (false, true) if is(1) => ("a YOLOX or YOLOv6 detector, rectangles", &YOLOX),
        (_, true) => ("a YOLO detector with a score of there being anything (v5, v7)", &YOLO),
        (_, false) => ("a YOLO detector with the scores of its labels alone (v8 to v11)", &YOLO),
    };
    let told = if seen.labels.is_some() { "the number of labels" } else { "the order of the output's dimensions" };
    Ok(Head {
        name: kind.into(),
        lines: vec![
            found("kind", text("yolo"), "anchors with a rectangle and scores"),
            found("tensor", text(&output.name), "the graph's one output"),
            match seen.labels.is_some() {
                true => found("objectness", objectness.to_string(), told),
                false => assumed("objectness", objectness.to_string(), told),
            },
            found("planes", planes.to_string(), "the order of the output's dimensions"),
        ],
        habits,
        classes,
        suppressed: false,
        masks: None,
    })
}

/// `[N, queries, 4]` and `[N, queries, classes]`.
fn queries(seen: &Seen<'_>, first: &Port, second: &Port) -> Result<Head, String> {
    let middle = |port: &Port| match port.sizes.as_slice() {
        [_, queries, numbers] => Some((queries.clone(), fixed(numbers)?)),
        _ => None,
    };
    let unknown = || Err("its two outputs are not the rectangles and scores of queries".to_owned());
    let (Some((first_queries, a)), Some((second_queries, b))) = (middle(first), middle(second)) else {
        return unknown();
    };
    let by_name =
        |port: &Port| ["box", "loc", "coord"].iter().any(|word| port.name.to_ascii_lowercase().contains(word));
    let (boxes, scores, classes) = match (a, b) {
        (4, 4) if by_name(second) => (second, first, a),
        (4, _) => (first, second, b),
        (_, 4) => (second, first, a),
        _ => return unknown(),
    };
    if fixed(&first_queries) != fixed(&second_queries) {
        return unknown();
    }
    // One more than there are labels: the class for nothing, which goes with softmax.
    let nothing = seen.label_count() == Some(classes - 1);
    let activation = match (scores.made_by.as_str(), nothing) {
        ("Sigmoid" | "Softmax", _) => found("activation", text("none"), "the graph makes scores by itself"),
        (_, true) => found("activation", text("softmax"), "one class more than labels: that for nothing"),
        (_, false) => {
            assumed("activation", text("sigmoid"), "as RT-DETR has it; DETR has softmax and a class for nothing")
        }
    };
    Ok(Head {
        name: if nothing { "a DETR detector" } else { "a detector with queries (RT-DETR and others)" }.into(),
        lines: vec![
            found("kind", text("detr"), "rectangles and scores of queries"),
            found("boxes", text(&boxes.name), "the output with four numbers for each query"),
            found("scores", text(&scores.name), "the other output"),
            activation,
        ],
        habits: if nothing { &DETR } else { &QUERIES },
        classes: Classes::Known(classes - usize::from(nothing)),
        suppressed: true,
        masks: None,
    })
}

/// Rectangles, classes and scores in outputs of their own, told by their names.
fn lists(graph: &Graph) -> Result<Head, String> {
    let named = |words: &[&str]| {
        let fits = |port: &&Port| words.iter().any(|word| port.name.to_ascii_lowercase().contains(word));
        graph.outputs.iter().find(fits)
    };
    let (boxes, classes, scores) = (named(&["box"]), named(&["class", "label"]), named(&["score", "conf"]));
    let (Some(boxes), Some(classes), Some(scores)) = (boxes, classes, scores) else {
        return Err("its outputs are not called boxes, classes (or labels) and scores".into());
    };
    if boxes.sizes.len() != 3 {
        return Err(format!("its output {} has not three dimensions, [N, things, 4]", boxes.name));
    }
    let tensorflow = boxes.name.contains("detection_boxes");
    let mut lines = vec![
        found("kind", text("lists"), "rectangles, classes and scores in outputs of their own"),
        found("boxes", text(&boxes.name), "by its name"),
        found("classes", text(&classes.name), "by its name"),
        found("scores", text(&scores.name), "by its name"),
    ];
    lines.extend(named(&["num", "count"]).map(|count| found("count", text(&count.name), "by its name")));
    lines.extend(match tensorflow {
        true => [
            assumed("columns", r#"["top", "left", "bottom", "right"]"#.into(), "as TensorFlow's detectors have it"),
            assumed("unit", "true".into(), "as TensorFlow's detectors have it"),
            assumed("first_label", "1".into(), "as TensorFlow's detectors have it"),
        ],
        false => [
            assumed("columns", r#"["left", "top", "right", "bottom"]"#.into(), "as TensorRT's suppression has it"),
            assumed("unit", "false".into(), "as TensorRT's suppression has it"),
            assumed("first_label", "0".into(), "as TensorRT's suppression has it"),
        ],
    });
    Ok(Head {
        name: "a detector that keeps one of several rectangles by itself, with lists".into(),
        lines,
        habits: if tensorflow { &LISTS } else { &YOLO },
        classes: Classes::Named,
        suppressed: true,
        masks: None,
    })
}
