//! What the values of recipes must be. Every fault names its key and the accepted range.

use super::manifest::{Manifest, Task};
use super::outline_rules::{anomaly, embedding, masks, segmentation};
use super::recipes::{
    At, BoxesRecipe, ClassesRecipe, Column, Fit, Head, ImageRecipe, InputRecipe, ObjectsRecipe, OutputRecipe,
    PictureRecipe, SceneRecipe, SoundRecipe, SpeechRecipe,
};
use super::rules::Faults;

/// What goes together.
const TASKS: &str = "\"text-recognition\" with input image and output ctc, \"classification\" with image or picture and \
                     classes, \"object-detection\" with picture and objects, \"instance-segmentation\" with picture and \
                     objects that have masks, \"segmentation\" with picture and segmentation, \"anomaly\" with picture \
                     and anomaly, \"embedding\" with image or picture and embedding, \"text-detection\" with scene and \
                     boxes, \"file-type\" with file-bytes and file-type, \"speech-segments\" with sound and speech, \
                     \"text-reading\" with a pipeline, or \"tensors\" with neither";

/// The recipes of a manifest.
pub fn recipes(manifest: &Manifest, faults: &mut Faults) {
    let fits = match (&manifest.input, &manifest.output) {
        _ if manifest.pipeline.is_some() => manifest.task == Task::TextReading,
        (None, None) => manifest.task == Task::Tensors,
        (Some(InputRecipe::Image(_)), Some(OutputRecipe::Ctc(_))) => manifest.task == Task::TextRecognition,
        (Some(InputRecipe::Image(_) | InputRecipe::Picture(_)), Some(OutputRecipe::Classes(_))) => {
            manifest.task == Task::Classification
        }
        (Some(InputRecipe::Picture(_)), Some(OutputRecipe::Objects(recipe))) => match recipe.masks {
            Some(_) => manifest.task == Task::InstanceSegmentation,
            None => manifest.task == Task::ObjectDetection,
        },
        (Some(InputRecipe::Picture(_)), Some(OutputRecipe::Segmentation(_))) => manifest.task == Task::Segmentation,
        (Some(InputRecipe::Picture(_)), Some(OutputRecipe::Anomaly(_))) => manifest.task == Task::Anomaly,
        (Some(InputRecipe::Image(_) | InputRecipe::Picture(_)), Some(OutputRecipe::Embedding(_))) => {
            manifest.task == Task::Embedding
        }
        (Some(InputRecipe::Scene(_)), Some(OutputRecipe::Boxes(_))) => manifest.task == Task::TextDetection,
        (Some(InputRecipe::FileBytes(_)), Some(OutputRecipe::FileType(_))) => manifest.task == Task::FileType,
        (Some(InputRecipe::Sound(_)), Some(OutputRecipe::Speech(_))) => manifest.task == Task::SpeechSegments,
        _ => false,
    };
    faults.unless(fits, "task", TASKS);
    match &manifest.input {
        Some(InputRecipe::Image(recipe)) => image(recipe, faults),
        Some(InputRecipe::Picture(recipe)) => picture(recipe, faults),
        Some(InputRecipe::Scene(recipe)) => scene(recipe, faults),
        Some(InputRecipe::Sound(recipe)) => sound(recipe, faults),
        Some(InputRecipe::FileBytes(_)) | None => {}
    }
    match &manifest.output {
        Some(OutputRecipe::Boxes(recipe)) => boxes(recipe, faults),
        Some(OutputRecipe::Classes(recipe)) => classes(recipe, faults),
        Some(OutputRecipe::Objects(recipe)) => objects(recipe, faults),
        Some(OutputRecipe::Segmentation(recipe)) => segmentation(recipe, faults),
        Some(OutputRecipe::Anomaly(recipe)) => anomaly(recipe, faults),
        Some(OutputRecipe::Embedding(recipe)) => embedding(recipe, &manifest.file, faults),
        Some(OutputRecipe::Speech(recipe)) => speech(recipe, faults),
        Some(OutputRecipe::Ctc(recipe)) => {
            let one = recipe.dictionary.is_some() != recipe.dictionary_key.is_some();
            faults.unless(one, "output.dictionary", "present, or dictionary_key is, and not both");
        }
        Some(OutputRecipe::FileType(_)) | None => {}
    }
}

fn image(recipe: &ImageRecipe, faults: &mut Faults) {
    faults.unless((1..=4096).contains(&recipe.height), "input.height", "1..=4096");
    faults.unless((1..=65_535).contains(&recipe.max_width), "input.max_width", "1..=65535");
    faults.unless((1..=recipe.max_width).contains(&recipe.min_width), "input.min_width", "1..=max_width");
    let stepped = |width: u32| recipe.width_step > 0 && width.is_multiple_of(recipe.width_step);
    let fits = (1..=512).contains(&recipe.width_step) && stepped(recipe.min_width) && stepped(recipe.max_width);
    faults.unless(fits, "input.width_step", "1..=512, and min_width and max_width multiples of it");
    normalisation(&recipe.mean, &recipe.std, faults);
}

fn picture(recipe: &PictureRecipe, faults: &mut Faults) {
    faults.unless((1..=8192).contains(&recipe.width), "input.width", "1..=8192");
    faults.unless((1..=8192).contains(&recipe.height), "input.height", "1..=8192");
    let covers = recipe.width.max(recipe.height)..=8192;
    let cropped = recipe.shorter_side.is_none_or(|side| recipe.fit == Fit::Crop && covers.contains(&side));
    faults.unless(
        cropped,
        "input.shorter_side",
        "absent unless fit is \"crop\", at least width and height, at most 8192",
    );
    let boxed = recipe.fit == Fit::Letterbox;
    faults.unless(boxed || recipe.at == At::Centre, "input.at", "absent unless fit is \"letterbox\"");
    faults.unless(boxed || recipe.pad == 0, "input.pad", "absent unless fit is \"letterbox\"");
    normalisation(&recipe.mean, &recipe.std, faults);
}

fn scene(recipe: &SceneRecipe, faults: &mut Faults) {
    let SceneRecipe { step, min_side, max_side, max_pixels, .. } = *recipe;
    faults.unless((1..=512).contains(&step), "input.step", "1..=512");
    let stepped = |side: u32| step > 0 && side.is_multiple_of(step);
    let greatest = (1..=8192).contains(&max_side) && stepped(max_side);
    faults.unless(greatest, "input.max_side", "1..=8192, a multiple of step");
    let least = (1..=max_side).contains(&min_side) && stepped(min_side);
    faults.unless(least, "input.min_side", "1..=max_side, a multiple of step");
    // The smallest tensor is what every picture can be brought to.
    let smallest = u64::from(min_side) * u64::from(min_side);
    let bounded = (smallest..=1 << 24).contains(&u64::from(max_pixels));
    faults.unless(bounded, "input.max_pixels", "min_side x min_side..=16777216");
    normalisation(&recipe.mean, &recipe.std, faults);
}

fn normalisation(mean: &[f32; 3], std: &[f32; 3], faults: &mut Faults) {
    faults.unless(mean.iter().all(|mean| mean.is_finite()), "input.mean", "finite numbers");
    let divides = std.iter().all(|std| std.is_finite() && *std > 0.0);
    faults.unless(divides, "input.std", "numbers above 0");
}

fn sound(recipe: &SoundRecipe, faults: &mut Faults) {
    faults.unless((4000..=192_000).contains(&recipe.rate), "input.rate", "4000..=192000");
    faults.unless((1..=65_536).contains(&recipe.window), "input.window", "1..=65536");
    faults.unless(recipe.context <= recipe.window, "input.context", "0..=window");
    let elements = recipe.state_shape.iter().try_fold(1i64, |sum, size| sum.checked_mul(*size));
    let shaped = recipe.state_shape.iter().all(|size| *size >= 1) && elements.is_some_and(|sum| sum <= 1 << 20);
    faults.unless(shaped, "input.state_shape", "sizes of at least 1, at most 1048576 elements in all");
}

fn boxes(recipe: &BoxesRecipe, faults: &mut Faults) {
    faults.unless((0.0..=1.0).contains(&recipe.threshold), "output.threshold", "0..=1");
    faults.unless((0.0..=1.0).contains(&recipe.box_threshold), "output.box_threshold", "0..=1");
    faults.unless((0.0..=10.0).contains(&recipe.unclip_ratio), "output.unclip_ratio", "0..=10");
    // A rectangle without an area has no mean and cannot be grown.
    faults.unless((1..=1000).contains(&recipe.min_size), "output.min_size", "1..=1000");
    faults.unless((1..=10_000).contains(&recipe.max_candidates), "output.max_candidates", "1..=10000");
    let fewer = (1..=recipe.max_candidates.min(2000)).contains(&recipe.max_boxes);
    faults.unless(fewer, "output.max_boxes", "1..=2000, at most max_candidates");
}

fn classes(recipe: &ClassesRecipe, faults: &mut Faults) {
    faults.unless((1..=100_000).contains(&recipe.labels.len()), "output.labels", "1..=100000 labels");
    let top = usize::from(recipe.top);
    faults.unless((1..=recipe.labels.len()).contains(&top), "output.top", "1..=the number of labels");
}

fn objects(recipe: &ObjectsRecipe, faults: &mut Faults) {
    faults.unless((1..=100_000).contains(&recipe.labels.len()), "output.labels", "1..=100000 labels");
    faults.unless((0.0..=1.0).contains(&recipe.threshold), "output.threshold", "0..=1");
    let known = |(label, threshold): (&String, &f32)| recipe.labels.contains(label) && (0.0..=1.0).contains(threshold);
    faults.unless(recipe.thresholds.iter().all(known), "output.thresholds", "labels of output.labels with 0..=1");
    faults.unless((0.0..=1.0).contains(&recipe.overlap), "output.overlap", "0..=1");
    faults.unless((1..=10_000).contains(&recipe.max_objects), "output.max_objects", "1..=10000");
    if let Some(recipe_of_masks) = &recipe.masks {
        masks(recipe_of_masks, &recipe.head, faults);
    }
    match &recipe.head {
        Head::Yolox { strides, .. } => {
            let good = (1..=8).contains(&strides.len()) && strides.iter().all(|stride| (1..=1024).contains(stride));
            faults.unless(good, "output.head.strides", "1..=8 numbers of 1..=1024");
        }
        Head::Rows { columns, .. } => {
            let has = |column| columns.iter().filter(|other| **other == column).count() == 1;
            let scored = has(Column::Score) && has(Column::Class);
            faults.unless(is_rectangle(columns) && scored, "output.head.columns", ROW);
        }
        Head::Lists { columns, .. } => {
            faults.unless(columns.len() == 4 && is_rectangle(columns), "output.head.columns", RECTANGLE);
        }
        Head::Yolo { .. } | Head::Detr { .. } => {}
    }
}

const RECTANGLE: &str = "\"left\", \"top\", \"right\", \"bottom\" in any order, or \"x\", \"y\", \"width\", \"height\"";
const ROW: &str = "\"class\", \"score\" and \"left\", \"top\", \"right\", \"bottom\" (or \"x\", \"y\", \"width\", \
                   \"height\"), each once, and \"other\" for what is not needed";

/// Whether these numbers, each once, make a rectangle in one way.
fn is_rectangle(columns: &[Column]) -> bool {
    let all = |wanted: [Column; 4]| wanted.iter().all(|one| columns.iter().filter(|other| *other == one).count() == 1);
    let none = |wanted: [Column; 4]| !columns.iter().any(|column| wanted.contains(column));
    let sides = [Column::Left, Column::Top, Column::Right, Column::Bottom];
    let middle = [Column::X, Column::Y, Column::Width, Column::Height];
    (all(sides) && none(middle)) || (all(middle) && none(sides))
}

fn speech(recipe: &SpeechRecipe, faults: &mut Faults) {
    faults.unless((0.0..=1.0).contains(&recipe.threshold), "output.threshold", "0..=1");
    let below = (0.0..=recipe.threshold).contains(&recipe.neg_threshold);
    faults.unless(below, "output.neg_threshold", "0..=threshold");
    for (key, value) in [
        ("output.min_speech_ms", recipe.min_speech_ms),
        ("output.min_silence_ms", recipe.min_silence_ms),
        ("output.pad_ms", recipe.pad_ms),
    ] {
        faults.unless(value <= 60_000, key, "0..=60000");
    }
}
