use std::path::Path;

use proptest::prelude::*;

use super::*;

const ADD: &str = include_str!("../../../../onnx-models/test/add/model.toml");
const LINE: &str = include_str!("../../../../onnx-models/text-line/model.toml");
const THINGS: &str = include_str!("../../../../onnx-models/test/things/model.toml");
const SHAPES: &str = include_str!("../../../../onnx-models/test/shapes/model.toml");
const AREAS: &str = include_str!("../../../../onnx-models/test/areas/model.toml");
const SPOTS: &str = include_str!("../../../../onnx-models/test/spots/model.toml");
const LIKENESS: &str = include_str!("../../../../onnx-models/test/likeness/model.toml");
const BOXES: &str = include_str!("../../../../onnx-models/text-boxes/model.toml");
const READER: &str = include_str!("../../../../onnx-models/label-reader/model.toml");
const SPEECH: &str = include_str!("../../../../onnx-models/speech/model.toml");

/// The end of a variant, and a good profile for it.
const PROFILE: &str = "instances = 2\n[[variant.profile]]\ntensor = \"x\"\nmin = [1, 3, 48, 320]\n\
                       opt = [1, 3, 48, 640]\nmax = [8, 3, 48, 1600]\n";

fn models() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models"))
}

fn fault(text: &str) -> String {
    match Manifest::parse(text) {
        Ok(_) => String::new(),
        Err(error) => crate::fault::chain(&error),
    }
}

#[test]
fn every_manifest_of_the_repository_is_good() {
    let real = [
        "text-line",
        "text-direction",
        "text-boxes",
        "label-reader",
        "file-type",
        "speech",
        "table-lines",
        "character-boxes",
        "part-type",
        "surface-flaws",
    ];
    for name in real.into_iter().chain([
        "test/add",
        "test/echo-types",
        "test/spin",
        "test/shapes",
        "test/areas",
        "test/spots",
        "test/likeness",
        "test/named",
        "test/known",
        "test/toned",
        "test/tone",
        "test/base",
    ]) {
        open(&models().join(name)).unwrap();
    }
}

#[test]
fn pipes_are_named_and_not_waited_for() {
    let pipe = |dir: &Path, name: &str| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, dir.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let dir = tempfile::tempdir().unwrap();
    pipe(dir.path(), MANIFEST);
    let said = crate::fault::chain(&open(dir.path()).unwrap_err());
    assert!(said.contains("model.toml") && said.contains("not a regular file"), "{said}");
    std::fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    std::fs::write(dir.path().join(MANIFEST), ADD).unwrap();
    let bundle = open(dir.path()).unwrap();
    for entry in &bundle.manifest().file {
        std::fs::create_dir_all(dir.path().join(&entry.path).parent().unwrap()).unwrap();
        pipe(dir.path(), &entry.path);
    }
    let said = crate::fault::chain(&verify(&bundle).unwrap_err());
    assert!(said.contains("not a regular file"), "{said}");
}

#[test]
fn a_syntax_fault_says_where_in_one_line() {
    assert_eq!(fault("name = \"x\"\nversion 3\n"), "not TOML: line 2, column 9: key with no value, expected `=`");
}

#[test]
fn a_fault_is_told_with_its_key_and_the_accepted_range() {
    let cases = [
        (ADD, "name = \"add\"", "name = \"Add\"", "name: must be 1..=64 characters of [a-z0-9_-]"),
        (ADD, "1.0.0", "1.0", "version: must be a semantic version"),
        (ADD, "deadline_ms = 5000", "deadline_ms = 0", "deadline_ms: must be 1..=600000"),
        (ADD, "threads = 1", "threads = 0", "variant[0].threads: must be 1..=64"),
        (ADD, "threads = 1", "threads = 1\nloss = 0.1", "variant[0].loss: must be absent or 0 in the first variant"),
        (ADD, "task = ", "max_loss = 1.5\ntask = ", "max_loss: must be 0..=1"),
        (ADD, "task = ", "max_loss = nan\ntask = ", "max_loss: must be 0..=1"),
        (ADD, "threads = 1", "threads = -1", "invalid value: integer `-1`, expected u16"),
        (ADD, "instances = 1", "instances = 17", "variant[0].instances: must be 1..=16"),
        (ADD, "[\"cpu\"]", "[]", "variant[0].providers: must be 1..=5 of"),
        (ADD, "[\"cpu\"]", "[\"cpu\", \"cpu\"]", "variant[0].providers: must be 1..=5 of"),
        (ADD, "[\"cpu\"]", "[\"abacus\"]", "variant[0].providers: must be 1..=5 of"),
        (ADD, "max = 8", "max = 33", "batching.max: must be 1..=32"),
        (ADD, "task = \"tensors\"", "task = \"classification\"", "task: must be \"text-recognition\" with input image"),
        (ADD, "task = \"tensors\"", "task = \"guessing\"", "unknown variant `guessing`"),
        (ADD, "payload_bytes = 16777216", "payload_bytes = 0", "limits.payload_bytes: must be 1..=1073741824"),
        (ADD, "tolerance = 0.000001", "tolerance = 1.5", "golden[0].tolerance: must be 0..=1"),
        (ADD, "file = \"model.onnx\"", "file = \"other.onnx\"", "variant[0].file: must be listed as a [[file]]"),
        (ADD, "path = \"model.onnx\"", "path = \"../model.onnx\"", "file[2].path: must be a relative path inside"),
        (ADD, "sha256 = \"", "sha256 = \"x", "file[0].sha256: must be 64 characters"),
        (ADD, "[limits]", "[limits]\ncolour = 1", "unknown field `colour`"),
        (ADD, "[limits]", "[tensor]\n[limits]", "invalid type: map, expected a sequence"),
        (LINE, "pixels = 40000000", "", "limits.pixels: must be 1..=268435456, and present for an image"),
        (LINE, "min_width = 320", "min_width = 5000", "input.min_width: must be 1..=max_width"),
        (
            LINE,
            "max_width = 3200",
            "max_width = 3200\nwidth_step = 96",
            "input.width_step: must be 1..=512, and min_width",
        ),
        (LINE, "std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "input.std: must be numbers above 0"),
        (LINE, "channels = \"bgr\"", "channels = \"grb\"", "unknown variant `grb`"),
        (LINE, "when_wider = \"refuse\"", "when_wider = \"refuse\"\nzoom = 2", "unknown field `zoom`"),
        (LINE, "shape = [-1, 3, 48, -1]", "shape = [-1, 3, 48, 0]", "tensor[0].shape: must be -1 or at least 1"),
        (LINE, "max = [16, 3, 48, 3200]", "max = [16, 3]", "tensor[0].max: must be absent, or as long as shape"),
        (BOXES, "pixels = 40000000", "", "limits.pixels: must be 1..=268435456, and present for an image, a picture"),
        (BOXES, "kind = \"boxes\"\ntensor", "kind = \"boxes\"\ntenor", "unknown field `tenor`"),
        (BOXES, "task = \"text-detection\"", "task = \"text-recognition\"", "\"text-detection\" with scene and boxes"),
        (BOXES, "multiple = [1, 1, 32, 32]", "multiple = [1, 2, 32, 32]", "tensor[0].multiple: must be absent, or as"),
        (BOXES, "multiple = [1, 1, 32, 32]", "multiple = [1, 1, 32]", "tensor[0].multiple: must be absent, or as long"),
        (BOXES, "multiple = [1, 1, 32, 32]", "multiple = [1, 1, 0, 32]", "tensor[0].multiple: must be absent, or as"),
        (BOXES, "multiple = [1, 1, 32, 32]", "multiple = [1, 1, 1281, 32]", "tensor[0].multiple: must be absent, or"),
        (BOXES, "step = 32", "step = 0", "input.step: must be 1..=512"),
        (BOXES, "min_side = 320", "min_side = 300", "input.min_side: must be 1..=max_side, a multiple of step"),
        (BOXES, "min_side = 320", "min_side = 1312", "input.min_side: must be 1..=max_side, a multiple of step"),
        (BOXES, "max_side = 1280", "max_side = 1300", "input.max_side: must be 1..=8192, a multiple of step"),
        (BOXES, "max_side = 1280", "max_side = 8224", "input.max_side: must be 1..=8192, a multiple of step"),
        (
            BOXES,
            "max_pixels = 921600",
            "max_pixels = 102399",
            "input.max_pixels: must be min_side x min_side..=16777216",
        ),
        (BOXES, "max_pixels = 921600", "max_pixels = 16777217", "input.max_pixels: must be min_side x min_side..="),
        (BOXES, "mean = [0.5, 0.5, 0.5]", "mean = [0.5, nan, 0.5]", "input.mean: must be finite numbers"),
        (BOXES, "std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "input.std: must be numbers above 0"),
        (BOXES, "\nthreshold = 0.3", "\nthreshold = 1.3", "output.threshold: must be 0..=1"),
        (BOXES, "min_size = 3", "min_size = 0", "output.min_size: must be 1..=1000"),
        (BOXES, "box_threshold = 0.5", "box_threshold = -0.1", "output.box_threshold: must be 0..=1"),
        (BOXES, "unclip_ratio = 1.6", "unclip_ratio = nan", "output.unclip_ratio: must be 0..=10"),
        (BOXES, "max_candidates = 1000", "max_candidates = 10001", "output.max_candidates: must be 1..=10000"),
        (BOXES, "max_boxes = 500", "max_boxes = 1001", "output.max_boxes: must be 1..=2000, at most max_candidates"),
        (READER, "task = \"text-reading\"", "task = \"text-recognition\"", "\"text-reading\" with a pipeline"),
        (READER, "[pipeline]", "[batching]\nmax = 1\n[pipeline]", "batching: must be absent in a pipeline"),
        (READER, "max_lines = 200", "max_lines = 0", "pipeline.max_lines: must be 1..=1000"),
        (READER, "max_lines = 200", "max_lines = 1001", "pipeline.max_lines: must be 1..=1000"),
        (READER, "fan_out = 16", "fan_out = 65", "pipeline.fan_out: must be 1..=64"),
        (READER, "fan_out = 16", "fan_out = 16\ndepth = 2", "unknown field `depth`"),
        (
            READER,
            "model = \"text-boxes\"",
            "model = \"label-reader\"",
            "pipeline.boxes.model: must be the name of another",
        ),
        (READER, "model = \"text-line\"", "model = \"Text\"", "pipeline.text.model: must be the name of another model"),
        (
            READER,
            "model = \"text-line\"\nversion = \"1\"",
            "model = \"text-line\"\nversion = \"1.\"",
            "pipeline.text.version",
        ),
        (READER, "min_score = 0.9", "min_score = 1.1", "pipeline.direction.min_score: must be 0..=1"),
        (READER, "content_type = \"image/jpeg\"", "", "golden[0].content_type: must be present in a pipeline"),
        (READER, "[pipeline.text]", "[pipeline.texts]", "unknown field `texts`"),
        (THINGS, "width = 64", "width = 0", "input.width: must be 1..=8192"),
        (THINGS, "height = 64", "height = 9000", "input.height: must be 1..=8192"),
        (THINGS, "fit = \"letterbox\"", "fit = \"squash\"", "unknown variant `squash`"),
        (THINGS, "fit = \"letterbox\"", "fit = \"stretch\"\npad = 3", "input.pad: must be absent unless fit is"),
        (THINGS, "fit = \"letterbox\"", "fit = \"crop\"\nat = \"corner\"", "input.at: must be absent unless fit is"),
        (
            THINGS,
            "fit = \"letterbox\"",
            "fit = \"crop\"\nshorter_side = 63",
            "input.shorter_side: must be absent unless",
        ),
        (THINGS, "channels = \"rgb\"", "channels = \"rgb\"\nstd = [1, 0, 1]", "input.std: must be numbers above 0"),
        (THINGS, "labels = [\"red\", \"green\"]", "labels = []", "output.labels: must be 1..=100000 labels"),
        (THINGS, "threshold = 0.6", "threshold = 1.6", "output.threshold: must be 0..=1"),
        (THINGS, "threshold = 0.6", "threshold = 0.6\noverlap = -1", "output.overlap: must be 0..=1"),
        (THINGS, "threshold = 0.6", "threshold = 0.6\nmax_objects = 0", "output.max_objects: must be 1..=10000"),
        (
            THINGS,
            "threshold = 0.6",
            "threshold = 0.6\nthresholds = { blue = 0.5 }",
            "output.thresholds: must be labels of output.labels",
        ),
        (THINGS, "planes = true", "planes = true\nanchors = 3", "unknown field `anchors`"),
        (THINGS, "kind = \"yolo\"", "kind = \"guess\"", "unknown variant `guess`"),
        (
            THINGS,
            "kind = \"yolo\"\ntensor = \"output0\"\nobjectness = false\nplanes = true",
            "kind = \"yolox\"\ntensor = \"output0\"\nstrides = []",
            "output.head.strides: must be 1..=8 numbers",
        ),
        (
            THINGS,
            "kind = \"yolo\"\ntensor = \"output0\"\nobjectness = false\nplanes = true",
            "kind = \"rows\"\ntensor = \"output0\"\ncolumns = [\"left\", \"top\", \"x\", \"y\", \"class\", \"score\"]",
            "output.head.columns: must be",
        ),
        (ADD, "[[variant]]", "[[tensor]]", "unknown field"),
        (SPEECH, "seconds = 600", "", "limits.seconds: must be 1..=86400, and present for a sound"),
        (SPEECH, "threshold = 0.5\n", "threshold = 1.5\n", "output.threshold: must be 0..=1"),
        (SPEECH, "neg_threshold = 0.35", "neg_threshold = 0.6", "output.neg_threshold: must be 0..=threshold"),
        (SPEECH, "window = 512", "window = 0", "input.window: must be 1..=65536"),
        (SPEECH, "[2, 1, 128]", "[2, 1, 4294967296000]", "input.state_shape: must be sizes of at least 1"),
    ];
    for (text, from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        let said = fault(&text.replacen(from, to, 1));
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn a_fault_in_a_recipe_with_outlines_or_embeddings_is_told_with_its_key() {
    let seg = "kind = \"segmentation\"";
    let cases = [
        (SHAPES, "task = \"instance-segmentation\"", "task = \"object-detection\"", "objects that have masks"),
        (THINGS, "task = \"object-detection\"", "task = \"instance-segmentation\"", "task: must be"),
        (
            SHAPES,
            "tensor = \"output1\"",
            "tensor = \"output1\"\nthreshold = 1.5",
            "output.masks.threshold: must be 0..=1",
        ),
        (SHAPES, "tolerance = 0.4", "tolerance = -1", "output.masks.tolerance: must be 0..=100"),
        (SHAPES, "tolerance = 0.4", "max_parts = 17", "output.masks.max_parts: must be 1..=16"),
        (SHAPES, "tolerance = 0.4", "max_points = 7", "output.masks.max_points: must be 8..=200000"),
        (SHAPES, "tolerance = 0.4", "max_points = 200001", "output.masks.max_points: must be 8..=200000"),
        (SHAPES, "tolerance = 0.4", "smooth = true", "unknown field `smooth`"),
        (
            SHAPES,
            "kind = \"yolo\"\ntensor = \"output0\"\nobjectness = false\nplanes = true",
            "kind = \"yolox\"\ntensor = \"output0\"\nstrides = [8]",
            "output.masks: must be absent unless output.head.kind is \"yolo\"",
        ),
        (AREAS, "task = \"segmentation\"", "task = \"classification\"", "task: must be"),
        (AREAS, "labels = [\"rest\", \"red\", \"green\", \"blue\"]", "labels = []", "output.labels: must be 1..=10000"),
        (AREAS, "background = \"rest\"", "background = \"none\"", "output.background: must be absent, or one of"),
        (AREAS, seg, "kind = \"segmentation\"\nthreshold = -0.1", "output.threshold: must be 0..=1"),
        (AREAS, seg, "kind = \"segmentation\"\nactivation = \"relu\"", "unknown variant `relu`"),
        (AREAS, seg, "kind = \"segmentation\"\nlayout = \"chw\"", "unknown variant `chw`"),
        (
            AREAS,
            "labels = [\"rest\", \"red\", \"green\", \"blue\"]\nbackground = \"rest\"",
            "labels = [\"red\"]\nactivation = \"softmax\"",
            "output.activation: must be \"none\" or \"sigmoid\" with one label",
        ),
        (AREAS, "tolerance = 0.5", "tolerance = nan", "output.outlines.tolerance: must be 0..=100"),
        (AREAS, "min_area = 0.01", "min_area = 1.1", "output.outlines.min_area: must be 0..=1"),
        (AREAS, "min_area = 0.01", "max_regions = 0", "output.outlines.max_regions: must be 1..=10000"),
        (AREAS, "min_area = 0.01", "max_points = 0", "output.outlines.max_points: must be 8..=200000"),
        (SPOTS, "map = \"anomaly_map\"", "", "output.map: must be present, or output.score is"),
        (SPOTS, "max = 8", "max = 0", "output.max: must be a number above output.min"),
        (SPOTS, "max = 8", "max = inf", "output.max: must be a number above output.min"),
        (SPOTS, "threshold = 0.5", "threshold = 2", "output.threshold: must be 0..=1"),
        (SPOTS, "threshold = 0.5", "threshold = 0.5\npixel_threshold = 2", "output.pixel_threshold: must be 0..=1"),
        (SPOTS, "threshold = 0.5", "threshold = 0.5\nquantile = 1.01", "output.quantile: must be 0..=1"),
        (
            SPOTS,
            "threshold = 0.5",
            "threshold = 0.5\nscore = \"s\"\nquantile = 0.5",
            "output.quantile: must be 0..=1, and absent with output.score",
        ),
        (
            SPOTS,
            "map = \"anomaly_map\"",
            "score = \"s\"\npixel_threshold = 0.5",
            "output.pixel_threshold: must be 0..=1, and absent without output.map",
        ),
        (LIKENESS, "normalise = true", "top = 0", "output.top: must be 1..=1000"),
        (LIKENESS, "threshold = 0.4", "threshold = -1.5", "output.threshold: must be -1..=1"),
        (
            LIKENESS,
            "enrolled = \"enrolled.jsonl\"",
            "enrolled = \"other\"",
            "output.enrolled: must be listed as a [[file]]",
        ),
        (LIKENESS, "normalise = true", "normalize = true", "unknown field `normalize`"),
        (
            LIKENESS,
            "path = \"enrolled.jsonl\"\nbytes = ",
            "path = \"enrolled.jsonl\"\nbytes = 600000000 # ",
            "output.enrolled: must be a file of at most 536870912 bytes",
        ),
        (LIKENESS, "task = \"embedding\"", "task = \"anomaly\"", "task: must be"),
    ];
    for (text, from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        let said = fault(&text.replacen(from, to, 1));
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn what_a_variant_lost_is_a_share() {
    let other = |loss: &str| {
        let start = ADD.find("[[variant]]").unwrap();
        let table = ADD[start..].split("\n\n").next().unwrap();
        let name = table.lines().find(|line| line.starts_with("name")).unwrap();
        let table = table.replace(name, &format!("name = \"int8\"\nloss = {loss}"));
        format!("max_loss = 0.02\n{ADD}\n{table}\n")
    };
    let manifest = Manifest::parse(&other("0.015")).unwrap();
    assert_eq!((manifest.max_loss, manifest.variant[0].loss, manifest.variant[1].loss), (0.02, None, Some(0.015)));
    assert_eq!(Manifest::parse(ADD).unwrap().max_loss, 0.0);
    for loss in ["-0.1", "1.01", "nan", "inf"] {
        let said = fault(&other(loss));
        assert!(said.contains("variant[1].loss: must be 0..=1"), "{loss}: {said}");
    }
}

#[test]
fn a_profile_lies_within_the_tensor_table_and_is_in_order() {
    let cases = [
        ("", "", ""),
        ("\"x\"", "\"a:b\"", "variant[0].profile[0].tensor: must be an input"),
        (
            "[[variant.profile]]",
            "[[variant.profile]]\ntensor = \"x\"\nmin = [1]\nopt = [1]\nmax = [1]\n[[variant.profile]]",
            "variant[0].profile[1].tensor: must be an input that no other",
        ),
        ("[8, 3", "[8, 3, 1", "variant[0].profile[0]: must be min, opt and max of the same 1..=8 places"),
        ("[1, 3, 48, 320]", "[0, 3, 48, 320]", "in each place 1 <= min <= opt <= max"),
        ("opt = [1, ", "opt = [9, ", "in each place 1 <= min <= opt <= max"),
        ("1600]", "3201]", "variant[0].profile[0]: must be within shape and max of the tensor table"),
        ("[8, 3, 48", "[8, 3, 49", "variant[0].profile[0]: must be within shape and max of the tensor table"),
        ("opt", "best", "unknown field `best`"),
    ];
    for (from, to, expected) in cases {
        assert!(PROFILE.contains(from), "{from}");
        let said = fault(&LINE.replacen("instances = 2\n", &PROFILE.replacen(from, to, 1), 1));
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{to}: {said}");
    }
}

#[test]
fn the_step_of_a_scene_is_32_unless_the_manifest_says_otherwise() {
    let step = |text: &str| match Manifest::parse(text).unwrap().input {
        Some(InputRecipe::Scene(recipe)) => recipe.step,
        other => panic!("{other:?}"),
    };
    assert_eq!(step(&BOXES.replace("step = 32\n", "")), 32);
    assert_eq!(step(&BOXES.replace("step = 32\n", "step = 64\n")), 64);
}

#[test]
fn all_faults_are_told_at_once() {
    let said = fault(&ADD.replace("1.0.0", "one").replace("threads = 1", "threads = 99").replace("max = 8", "max = 0"));
    assert_eq!(said.matches("must be").count(), 3, "{said}");
}

/// A copy of the bundle `add`.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("golden")).unwrap();
    for name in ["model.toml", "model.onnx", "golden/one.json", "golden/one.expected.json"] {
        std::fs::copy(models().join("test/add").join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn verified(path: &Path) -> String {
    match open(path).and_then(|bundle| verify(&bundle)) {
        Ok(()) => "good".into(),
        Err(error) => crate::fault::chain(&error),
    }
}

#[test]
fn a_bundle_whose_files_are_not_as_promised_is_refused() {
    assert_eq!(verified(&models().join("test/add")), "good");
    assert!(verified(&models().join("test/wrong-sha256")).contains("the manifest promises 0000"));

    let bundle = copy();
    assert_eq!(verified(bundle.path()), "good");
    let model = bundle.path().join("model.onnx");
    let content = std::fs::read(&model).unwrap();
    std::fs::write(&model, &content[1..]).unwrap();
    assert!(verified(bundle.path()).contains("has 103 bytes, the manifest promises 104"));
    std::fs::remove_file(&model).unwrap();
    assert!(verified(bundle.path()).contains("model.onnx: No such file"));
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), &content).unwrap();
    std::os::unix::fs::symlink(outside.path(), &model).unwrap();
    assert!(verified(bundle.path()).contains("leads out of its bundle"));
    assert!(verified(Path::new("/nowhere")).contains("open bundle manifest /nowhere/model.toml"));
}

#[test]
fn an_endless_manifest_is_not_read_to_its_end() {
    let bundle = copy();
    std::fs::write(bundle.path().join(MANIFEST), "#".repeat(2 << 20)).unwrap();
    assert!(verified(bundle.path()).contains("is larger than 1048576 bytes"));
}

#[test]
fn every_provider_of_every_variant_is_a_way_to_run_the_model_in_order_of_wish() {
    let text = ADD.replacen(
        "[[variant]]",
        "[[variant]]\nname = \"gpu\"\nfile = \"model.onnx\"\nproviders = [\"cuda\", \"cpu\"]\nthreads = 1\n\
         instances = 1\n\n[[variant]]",
        1,
    );
    let manifest = Manifest::parse(&text).unwrap();
    let setups = manifest.variant.iter().flat_map(Variant::setups).map(|setup| (setup.variant, setup.provider));
    let expected = [("gpu", "cuda"), ("gpu", "cpu"), ("only", "cpu")];
    assert_eq!(setups.collect::<Vec<_>>(), expected.map(|(variant, provider)| (variant.into(), provider.into())));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,400}") {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn no_change_to_a_manifest_makes_the_parser_panic(at in 0..2000usize, cut in 0..40usize, with in "(?s).{0,8}") {
        for text in [ADD, LINE, BOXES, SPEECH, SHAPES, AREAS, SPOTS, LIKENESS] {
            let head: String = text.chars().take(at).collect();
            let tail: String = text.chars().skip(at + cut).collect();
            let _ = Manifest::parse(&format!("{head}{with}{tail}"));
        }
    }
}

const TONED: &str = include_str!("../../../../onnx-models/test/toned/model.toml");
const TONE: &str = include_str!("../../../../onnx-models/test/tone/model.toml");
const NAMED: &str = include_str!("../../../../onnx-models/test/named/model.toml");

#[test]
fn a_part_has_files_and_nothing_of_a_model() {
    let tone = Manifest::parse(TONE).unwrap();
    assert_eq!((tone.kind, tone.base.len(), tone.is_part()), (Some(PartKind::Adapter), 1, true));
    let hex = "a".repeat(64);
    for (text, expected) in [
        (TONE.replace("kind = \"adapter\"", "kind = \"spice\""), "unknown variant `spice`"),
        (format!("deadline_ms = 5\n{TONE}"), "deadline_ms: must be absent in a part"),
        (format!("task = \"tensors\"\n{TONE}"), "task: must be absent in a part"),
        (TONE.replace("base = [\"07", "base = [\"X7"), "base: must be in an adapter 1..=64 sha256"),
        (TONE.replace(".onnx_adapter", ".bin"), "file: must be 1 file *.onnx_adapter in an adapter"),
        (format!("{TONE}[batching]\nmax = 1\n"), "batching: must be absent in a part"),
        (TONE.replace("kind = \"adapter\"", "kind = \"weights\""), "base: must be in an adapter"),
        (ADD.replace("deadline_ms", &format!("base = [\"{hex}\"]\ndeadline_ms")), "elsewhere absent"),
    ] {
        let said = fault(&text);
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn what_a_model_needs_has_a_name_a_range_and_is_used_by_its_recipes() {
    assert_eq!(Manifest::parse(TONED).unwrap().needs.len(), 2);
    for (text, expected) in [
        (TONED.replace("version = \"^1.0\"", "version = \"soon\""), "needs[0].version: must be a range of versions"),
        (TONED.replace("name = \"tone\"", "name = \"toned\""), "needs[1].name: must be the name of another bundle"),
        (TONED.replace("name = \"tone\"", "name = \"base\""), "needs[0].name: must be the name of another bundle"),
        (TONED.replace("kind = \"adapter\"", "kind = \"weights\""), "needs: must be at most one of the kind weights"),
        (NAMED.replace("part:known/", "part:other/"), "output.enrolled: must be a file of its own, or part:NAME/FILE"),
        (
            NAMED.replace("part:known/", "part:known/../"),
            "output.enrolled: must be a file of its own, or part:NAME/FILE",
        ),
        (NAMED.replace("kind = \"labels\"", "kind = \"weights\""), "output.enrolled: must be a file of its own"),
        (
            TONED.replace("file = \"model.onnx\"", "file = \"part:base/w.bin\""),
            "variant[0].file: must be a file of its own",
        ),
        (
            ADD.replace("deadline_ms", "min_runtime = \"new\"\ndeadline_ms"),
            "min_runtime: must be absent, or one to three",
        ),
    ] {
        let said = fault(&text);
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}
