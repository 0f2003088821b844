//! Graphs as their exporters make them, by their shapes, and what is made of them.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::Datatype;

/// `name TYPE d,d,d`: a number, or a name for what is open.
fn port(words: &str, made_by: &str) -> Port {
    let [name, datatype, sizes] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
    let size = |size: &str| size.parse().map_or_else(|_| Size::Open(size.into()), Size::Fixed);
    Port {
        name: name.into(),
        datatype: Datatype::from_name(datatype),
        sizes: sizes.split(',').map(size).collect(),
        made_by: made_by.into(),
    }
}

#[derive(Default)]
struct Made<'a> {
    inputs: &'a [&'a str],
    outputs: &'a [&'a str],
    made_by: &'a str,
    uses: &'a [&'a str],
    metadata: &'a [(&'a str, &'a str)],
}

impl Made<'_> {
    fn graph(&self) -> Graph {
        Graph {
            inputs: self.inputs.iter().map(|words| port(words, "")).collect(),
            outputs: self.outputs.iter().map(|words| port(words, self.made_by)).collect(),
            operators: self.uses.iter().map(|name| ((String::new(), (*name).to_owned()), 1)).collect(),
            metadata: self.metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Graph::default()
        }
    }

    fn family(&self, wish: &Wish) -> Family {
        recognise(&self.graph(), wish).unwrap()
    }
}

fn labels(count: usize) -> Wish {
    Wish { task: None, labels: Some((0..count).map(|at| format!("l{at}")).collect()) }
}

/// All lines by their keys.
fn lines(family: &Family) -> BTreeMap<&str, String> {
    let all = family.input.iter().map(|line| (line.key, line)).chain(family.output.iter().map(|line| (line.key, line)));
    let mut lines: BTreeMap<&str, String> = all.map(|(key, line)| (key, line.value.clone())).collect();
    // Of the two kinds and tensors, those of the head are the ones to look at.
    lines.extend(family.head.iter().map(|line| (line.key, line.value.clone())));
    lines
}

fn check(made: Made<'_>, wish: &Wish, name: &str, expected: &[(&str, &str)]) -> Family {
    let family = made.family(wish);
    assert!(family.name.contains(name), "{} instead of {name}", family.name);
    let lines = lines(&family);
    for (key, value) in expected {
        assert_eq!(lines.get(key).map(String::as_str), Some(*value), "{key} of {name}: {lines:#?}");
    }
    family
}

const SQUARE: &[&str] = &["images FP32 1,3,640,640"];

#[test]
fn the_heads_of_yolo_are_told_from_their_shapes() {
    let none = Wish::default();
    let letterbox = [("fit", "\"letterbox\""), ("pad", "114"), ("channels", "\"rgb\""), ("std", "[1.0, 1.0, 1.0]")];
    let v8 = Made { inputs: SQUARE, outputs: &["output0 FP32 1,84,8400"], ..Made::default() };
    let family = check(v8, &none, "v8 to v11", &letterbox);
    assert_eq!((family.task, family.closed), (Task::ObjectDetection, None));
    let head = [("kind", "\"yolo\""), ("objectness", "false"), ("planes", "true"), ("tensor", "\"output0\"")];
    let v8 = Made { inputs: SQUARE, outputs: &["output0 FP32 1,84,8400"], ..Made::default() };
    check(v8, &none, "with 80 labels", &head);

    let v5 = Made { inputs: SQUARE, outputs: &["output FP32 1,25200,85"], ..Made::default() };
    check(v5, &none, "v5, v7", &[("objectness", "true"), ("planes", "false")]);
    // The number of labels decides where the shape leaves two readings.
    let one = Made { inputs: SQUARE, outputs: &["output0 FP32 1,5,8400"], ..Made::default() };
    check(one, &labels(1), "v8 to v11", &[("objectness", "false")]);
    let anchors = Made { inputs: SQUARE, outputs: &["o FP32 batch,anchors,7"], ..Made::default() };
    check(anchors, &labels(3), "with 3 labels", &[("objectness", "false"), ("planes", "false")]);
}

#[test]
fn yolox_is_told_by_its_cells_and_by_what_the_graph_computes() {
    let none = Wish::default();
    let bytes = [("at", "\"corner\""), ("channels", "\"bgr\""), ("std", "[0.00392157, 0.00392157, 0.00392157]")];
    let raw = Made { inputs: SQUARE, outputs: &["output FP32 1,8400,85"], made_by: "Transpose", ..Made::default() };
    let family = check(raw, &none, "YOLOX", &bytes);
    assert_eq!(lines(&family).get("strides").map(String::as_str), Some("[8, 16, 32]"));
    let inputs = &["images FP32 1,3,416,416"];
    let small = Made { inputs, outputs: &["output FP32 1,3549,6"], made_by: "Transpose", ..Made::default() };
    check(small, &none, "with one label", &[("kind", "\"yolox\"")]);
    let decoded = Made {
        inputs: SQUARE,
        outputs: &["output FP32 1,8400,85"],
        made_by: "Concat",
        uses: &["Exp"],
        ..Made::default()
    };
    check(decoded, &none, "rectangles", &[("kind", "\"yolo\""), ("objectness", "true"), ("planes", "false")]);
}

#[test]
fn graphs_that_suppress_by_themselves_are_told() {
    let rows = Made { inputs: SQUARE, outputs: &["output0 FP32 1,300,6"], ..Made::default() };
    let columns = r#"["left", "top", "right", "bottom", "score", "class"]"#;
    check(rows, &labels(80), "keeps one", &[("kind", "\"rows\""), ("columns", columns), ("overlap", "1.0")]);
    let flat = Made { inputs: SQUARE, outputs: &["output FP32 n,7"], uses: &["NonMaxSuppression"], ..Made::default() };
    let columns = r#"["other", "left", "top", "right", "bottom", "class", "score"]"#;
    check(flat, &labels(80), "YOLOv7", &[("columns", columns)]);
    let outputs = &["num_dets INT32 1,1", "det_boxes FP32 1,100,4", "det_scores FP32 1,100", "det_classes INT32 1,100"];
    let lists = Made { inputs: SQUARE, outputs, ..Made::default() };
    let expected =
        [("kind", "\"lists\""), ("count", "\"num_dets\""), ("classes", "\"det_classes\""), ("unit", "false")];
    check(lists, &labels(3), "with lists", &expected);
    let outputs = &[
        "detection_boxes FP32 1,100,4",
        "detection_classes FP32 1,100",
        "detection_scores FP32 1,100",
        "num_detections FP32 1",
    ];
    let inputs = &["image_tensor UINT8 1,h,w,3"];
    let tensorflow = Made { inputs, outputs, ..Made::default() };
    let expected = [("layout", "\"nhwc\""), ("unit", "true"), ("first_label", "1"), ("fit", "\"stretch\"")];
    let family = check(tensorflow, &labels(90), "with lists", &expected);
    assert!(!lines(&family).contains_key("mean"), "bytes are taken as they are");
    assert_eq!(family.closed, Some(("image_tensor".into(), vec![1, 640, 640, 3])));
    // Without names nobody knows how many there are.
    let rows = Made { inputs: SQUARE, outputs: &["output0 FP32 1,300,6"], ..Made::default() };
    let wish = Wish { task: Some(Task::ObjectDetection), labels: None };
    assert!(recognise(&rows.graph(), &wish).unwrap_err().contains("give them with --labels"));
}

#[test]
fn queries_are_told_and_their_class_for_nothing() {
    let outputs = &["pred_logits FP32 1,300,80", "pred_boxes FP32 1,300,4"];
    let detr = Made { inputs: SQUARE, outputs, ..Made::default() };
    let expected = [("boxes", "\"pred_boxes\""), ("scores", "\"pred_logits\""), ("activation", "\"sigmoid\"")];
    check(detr, &Wish::default(), "queries", &expected);
    let outputs = &["pred_logits FP32 1,100,92", "pred_boxes FP32 1,100,4"];
    let detr = Made { inputs: SQUARE, outputs, ..Made::default() };
    let expected = [("activation", "\"softmax\""), ("mean", "[0.485, 0.456, 0.406]")];
    check(detr, &labels(91), "with 91 labels", &expected);
}

#[test]
fn classifiers_are_told_and_whether_their_numbers_are_scores() {
    let none = Wish::default();
    let crop = [("fit", "\"crop\""), ("mean", "[0.485, 0.456, 0.406]"), ("activation", "\"softmax\""), ("top", "5")];
    let logits = Made { inputs: &["x FP32 N,3,h,w"], outputs: &["y FP32 N,1000"], made_by: "Gemm", ..Made::default() };
    let family = check(logits, &none, "1000 labels", &crop);
    assert_eq!(family.closed, Some(("x".into(), vec![-1, 3, 224, 224])));
    assert!(family.remarks.is_empty());
    let metadata = [("task", "classify"), ("names", "{0: 'good', 1: 'bad'}"), ("imgsz", "[320, 256]")];
    let own = Made {
        inputs: &["images FP32 1,3,h,w"],
        outputs: &["output0 FP32 1,2"],
        made_by: "Softmax",
        metadata: &metadata,
        ..Made::default()
    };
    let expected = [
        ("labels", r#"["good", "bad"]"#),
        ("activation", "\"none\""),
        ("width", "256"),
        ("height", "320"),
        ("mean", "[0.0, 0.0, 0.0]"),
    ];
    check(own, &none, "2 labels", &expected);
    let embedding = Made { inputs: &["x FP32 1,3,112,112"], outputs: &["y FP32 1,512"], ..Made::default() };
    assert!(embedding.family(&none).remarks[0].contains("embedding"));
    let faces = Made { inputs: &["data FP32 N,3,112,112"], outputs: &["embedding FP32 N,512"], ..Made::default() };
    let expected =
        [("kind", "\"embedding\""), ("normalise", "true"), ("mean", "[0.5, 0.5, 0.5]"), ("fit", "\"stretch\"")];
    let family = check(faces, &none, "embeddings of 512 numbers", &expected);
    assert_eq!(family.task, Task::Embedding);
    // Names that do not fit are told, not passed over.
    let wish = Wish { task: Some(Task::Classification), ..labels(3) };
    let two = Made { inputs: &["x FP32 1,3,9,9"], outputs: &["y FP32 1,2"], ..Made::default() };
    let said = recognise(&two.graph(), &wish).unwrap_err();
    assert!(said.contains("3 labels are given, and the model has 2 classes"), "{said}");
}

#[test]
fn what_fits_nothing_takes_tensors_and_says_why() {
    let two = Made { inputs: &["a FP32 n,4", "b FP32 n,4"], outputs: &["c FP32 n,4"], ..Made::default() };
    let family = two.family(&Wish::default());
    assert_eq!((family.task, family.input.len()), (Task::Tensors, 0));
    assert!(family.remarks.iter().any(|remark| remark.contains("2 inputs")), "{:?}", family.remarks);
    let pose =
        Made { inputs: SQUARE, outputs: &["o FP32 1,56,8400"], metadata: &[("task", "pose")], ..Made::default() };
    let wish = Wish { task: Some(Task::ObjectDetection), labels: None };
    assert!(recognise(&pose.graph(), &wish).unwrap_err().contains("its task is pose"));
}

#[test]
fn outlines_maps_text_and_sounds_are_told() {
    let none = Wish::default();
    let outputs = &["output0 FP32 1,116,8400", "output1 FP32 1,32,160,160"];
    let outlines = Made { inputs: SQUARE, outputs, ..Made::default() };
    let family = check(outlines, &none, "outlines", &[("kind", "\"yolo\""), ("planes", "true")]);
    assert_eq!((family.task, family.masks[0].value.as_str()), (Task::InstanceSegmentation, "\"output1\""));
    assert!(family.name.ends_with("with 80 labels"), "{}", family.name);

    let outputs = &["out FP32 N,21,520,520", "aux FP32 N,21,520,520"];
    let map = Made { inputs: &["x FP32 N,3,520,520"], outputs, made_by: "Resize", ..Made::default() };
    let expected = [("tensor", "\"out\""), ("activation", "\"softmax\""), ("background", "\"background\"")];
    assert_eq!(check(map, &none, "segmentation model with 21 labels", &expected).task, Task::Segmentation);
    let whole = Made { inputs: SQUARE, outputs: &["y INT64 1,640,640"], ..Made::default() };
    assert_eq!(check(whole, &labels(5), "with 5 labels", &[("tensor", "\"y\"")]).task, Task::Segmentation);

    let outputs = &["anomaly_map FP32 N,1,256,256", "pred_score FP32 N"];
    let anomaly = Made { inputs: &["input FP32 N,3,256,256"], outputs, ..Made::default() };
    let expected = [("map", "\"anomaly_map\""), ("score", "\"pred_score\""), ("threshold", "0.5")];
    assert_eq!(check(anomaly, &none, "anomaly", &expected).task, Task::Anomaly);

    let metadata = [("character", "a\nb")];
    let line =
        Made { inputs: &["x FP32 N,3,48,W"], outputs: &["y FP32 N,T,6625"], metadata: &metadata, ..Made::default() };
    let expected = [("height", "48"), ("dictionary_key", "\"character\""), ("kind", "\"ctc\"")];
    assert_eq!(check(line, &none, "reads a line", &expected).task, Task::TextRecognition);
    let line = Made { inputs: &["x FP32 N,3,48,W"], outputs: &["y FP32 N,T,5"], ..Made::default() };
    let family = check(line, &labels(3), "reads a line", &[("dictionary", "\"dictionary.txt\"")]);
    assert_eq!(family.files[0].content, "l0\nl1\nl2\n");

    let inputs = &["input FP32 B,S", "state FP32 2,B,128", "sr INT64 1"];
    let speech = Made { inputs, outputs: &["output FP32 B,1", "stateN FP32 2,B,128"], ..Made::default() };
    let expected = [("signal", "\"input\""), ("state_shape", "[2, 1, 128]"), ("probability", "\"output\"")];
    assert_eq!(check(speech, &none, "speaks", &expected).task, Task::SpeechSegments);
}

#[test]
fn a_detector_that_leaves_its_sizes_open_is_no_reader_of_text() {
    let names = "{0: 'face', 1: 'hand'}";
    let made = Made {
        inputs: &["images FP32 batch,3,height,width"],
        outputs: &["output0 FP32 batch,6,anchors"],
        metadata: &[("task", "detect"), ("names", names), ("stride", "32"), ("imgsz", "[320, 320]")],
        ..Made::default()
    };
    // Names given by hand must not make a dictionary of them.
    for wish in [Wish::default(), labels(2)] {
        let family = made.graph();
        let family = recognise(&family, &wish).unwrap();
        assert_eq!(family.task, Task::ObjectDetection, "{}", family.name);
        assert!(family.closed.is_some(), "a size is chosen");
    }
}
