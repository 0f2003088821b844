//! Encoded payloads: what they become before a model, and what its outputs mean. Knows bundles and tensors, nothing of
//! the runtime, the daemon or the clock. One file per kind; this one joins them as a bundle's manifest says.

mod activation;
mod anomaly;
pub mod boxes;
pub mod classes;
mod crop;
pub mod ctc;
pub mod embedding;
pub mod file_type;
mod frame;
#[cfg(test)]
mod given;
pub mod half;
pub mod jpeg;
pub mod line;
mod numbers;
pub mod objects;
pub mod picture;
mod planes;
mod regions;
pub mod resample;
pub mod scene;
mod segmentation;
pub mod speech;
#[cfg(test)]
mod tests;
mod upright;
pub mod wav;

use crate::bundle::{Bundle, CtcRecipe, InputRecipe, Manifest, OutputRecipe};
use crate::protocol::{Datatype, ErrorKind, HostError, PIXELS, Part, TensorSpec};
use crate::tensor::{Aligned, Answer, Feed};

use self::anomaly::Anomaly;
use self::boxes::Boxes;
use self::classes::Classes;
use self::crop::{Pixels, cut};
use self::ctc::Ctc;
use self::embedding::Embedding;
use self::file_type::FileType;
pub use self::frame::Frame;
use self::line::{Line, Lines};
use self::numbers::widened;
use self::objects::Objects;
use self::picture::{Picture, Pictures};
use self::planes::in_range;
use self::scene::{Scene, Scenes};
use self::segmentation::Segmentation;
use self::speech::{Sound, Speech};

/// Why a payload cannot be prepared, outputs cannot be understood, or a recipe does not fit its model.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("payload: {0}")]
    Invalid(String),
    #[error("payload: {0}")]
    TooLarge(String),
    #[error("content type {given}: accepted are {}", accepted.join(", "))]
    ContentType { given: String, accepted: Vec<String> },
    #[error("{key}: {what}")]
    Recipe { key: &'static str, what: String },
    #[error("{0}")]
    Output(String),
}

impl MediaError {
    /// As the daemon is told.
    pub fn into_host_error(self) -> HostError {
        let kind = match self {
            MediaError::Invalid(_) | MediaError::ContentType { .. } => ErrorKind::InvalidInput,
            MediaError::TooLarge(_) => ErrorKind::TooLarge,
            MediaError::Recipe { .. } | MediaError::Output(_) => ErrorKind::Runtime,
        };
        crate::fault::host_error(kind, self.to_string())
    }
}

/// What a payload became; kept until its request runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Prepared {
    /// A picture of one line at its final size.
    Line(Line),
    /// A picture of any shape at the model's one size.
    Picture(Picture),
    /// A picture of any size at its final size.
    Scene(Scene),
    /// Bytes of a file, or padding, one per place.
    Places(Vec<u16>),
    /// One channel of sound at the model's rate.
    Sound(Sound),
    /// The answer is known without the model: a JSON document.
    Answer(String),
}

impl Prepared {
    /// Size in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Prepared::Line(line) => line.rgb.len(),
            Prepared::Picture(picture) => picture.rgb.len(),
            Prepared::Scene(scene) => scene.rgb.len(),
            Prepared::Places(places) => places.len() * 2,
            Prepared::Sound(sound) => sound.samples.len() * 4,
            Prepared::Answer(text) => text.len(),
        }
    }

    /// Where a picture lies in its tensor, if its answer needs to know.
    pub fn frame(&self) -> Option<Frame> {
        match self {
            Prepared::Scene(scene) => Some(scene.frame),
            Prepared::Picture(picture) => Some(picture.frame),
            Prepared::Line(_) | Prepared::Places(_) | Prepared::Sound(_) | Prepared::Answer(_) => None,
        }
    }
}

/// A decoded picture that is handed out for its parts: red, green, blue, row by row.
pub struct Kept {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// The tensor of a prepared payload.
pub struct Filled {
    pub shape: Vec<i64>,
    pub bytes: Aligned,
}

enum Input {
    Image(Box<Lines>),
    Picture(Box<Pictures>),
    Scene(Box<Scenes>),
    FileBytes,
    Sound,
}

enum Output {
    Anomaly(Box<Anomaly>),
    Boxes(Boxes),
    Classes(Classes),
    Ctc(Ctc),
    Embedding(Box<Embedding>),
    FileType(Box<FileType>),
    Objects(Box<Objects>),
    Segmentation(Box<Segmentation>),
    Speech(Box<Speech>),
}

/// The recipes of one model.
pub struct Recipe {
    input: Input,
    output: Output,
    /// Index of the output that an answer is made of.
    answer: usize,
}

impl Recipe {
    /// The recipes of a bundle, if it has any, held against the graph's inputs and outputs. `metadata` looks up a text
    /// in the model file.
    pub fn load(
        bundle: &Bundle,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
        metadata: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Recipe>, MediaError> {
        let manifest = bundle.manifest();
        let (Some(input), Some(output)) = (&manifest.input, &manifest.output) else { return Ok(None) };
        let recipe = match (input, output) {
            (InputRecipe::Image(image), output) => {
                let datatype = float_input(inputs, &image.tensor)?;
                in_range(&image.mean, &image.std, datatype)?;
                let image = Lines::new(image.clone(), pixels(manifest), datatype);
                let (output, answer) = match output {
                    OutputRecipe::Ctc(recipe) => {
                        let (answer, spec) = find("output.tensor", outputs, &recipe.tensor)?;
                        let dictionary = dictionary(bundle, recipe, metadata)?;
                        (Output::Ctc(Ctc::new(&dictionary, spec)?), answer)
                    }
                    output => of_any_picture(bundle, output, outputs)?,
                };
                Recipe { input: Input::Image(Box::new(image)), output, answer }
            }
            (InputRecipe::Picture(picture), output) => {
                let datatype = picture_input(inputs, &picture.tensor)?;
                in_range(&picture.mean, &picture.std, datatype)?;
                let pictures = Pictures::new(picture.clone(), pixels(manifest), datatype);
                let (output, answer) = match output {
                    OutputRecipe::Objects(recipe) => {
                        (Output::Objects(Box::new(Objects::new(recipe.clone(), outputs)?)), 0)
                    }
                    OutputRecipe::Segmentation(recipe) => {
                        (Output::Segmentation(Box::new(Segmentation::new(recipe.clone(), outputs)?)), 0)
                    }
                    OutputRecipe::Anomaly(recipe) => {
                        (Output::Anomaly(Box::new(Anomaly::new(recipe.clone(), outputs)?)), 0)
                    }
                    output => of_any_picture(bundle, output, outputs)?,
                };
                Recipe { input: Input::Picture(Box::new(pictures)), output, answer }
            }
            (InputRecipe::Scene(scene), OutputRecipe::Boxes(boxes)) => {
                let datatype = float_input(inputs, &scene.tensor)?;
                in_range(&scene.mean, &scene.std, datatype)?;
                let (answer, spec) = find("output.tensor", outputs, &boxes.tensor)?;
                let scenes = Scenes::new(scene.clone(), pixels(manifest), datatype);
                let output = Output::Boxes(Boxes::new(boxes.clone(), spec)?);
                Recipe { input: Input::Scene(Box::new(scenes)), output, answer }
            }
            (InputRecipe::FileBytes(places), OutputRecipe::FileType(labels)) => {
                only_input(inputs, &places.tensor, Datatype::Int32)?;
                let (answer, spec) = find("output.tensor", outputs, &labels.tensor)?;
                let file = FileType::load(bundle, &places.config, labels, spec)?;
                Recipe { input: Input::FileBytes, output: Output::FileType(Box::new(file)), answer }
            }
            (InputRecipe::Sound(sound), OutputRecipe::Speech(speech)) => {
                let seconds = manifest.limits.seconds.unwrap_or(u32::MAX);
                let speech = Speech::new(sound.clone(), speech.clone(), seconds, inputs, outputs)?;
                Recipe { input: Input::Sound, output: Output::Speech(Box::new(speech)), answer: 0 }
            }
            _ => return Err(unfit()),
        };
        Ok(Some(recipe))
    }

    /// Content types that [`Recipe::prepare`] takes.
    pub fn content_types(&self) -> Vec<String> {
        let types: &[&str] = match self.input {
            Input::Image(_) | Input::Picture(_) | Input::Scene(_) => &["image/jpeg", "image/png"],
            Input::FileBytes => {
                &["application/octet-stream", "text/plain", "image/jpeg", "image/png", "audio/wav", "application/json"]
            }
            Input::Sound => &["audio/wav", "audio/x-wav", "audio/vnd.wave"],
        };
        types.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Decodes a payload. Returns its cost too, in units of the model's smallest request. Never panics, whatever the
    /// bytes.
    pub fn prepare(&self, content_type: &str, payload: &[u8]) -> Result<(Prepared, u32), MediaError> {
        let accepted = self.content_types();
        let plain = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !accepted.contains(&plain) {
            return Err(MediaError::ContentType { given: content_type.to_owned(), accepted });
        }
        if plain.starts_with("text/")
            && let Err(fault) = std::str::from_utf8(payload)
        {
            return Err(MediaError::Invalid(format!("{plain}: invalid UTF-8 at byte {}", fault.valid_up_to())));
        }
        match (&self.input, &self.output) {
            (Input::Image(images), _) => {
                let picture = images.decode(&plain, payload)?;
                let cost = images.cost(&picture);
                Ok((Prepared::Line(picture), cost))
            }
            (Input::Picture(pictures), _) => Ok((Prepared::Picture(pictures.decode(&plain, payload)?), 1)),
            (Input::Scene(scenes), _) => {
                let scene = scenes.decode(&plain, payload)?;
                let cost = scenes.cost(&scene);
                Ok((Prepared::Scene(scene), cost))
            }
            (Input::FileBytes, Output::FileType(file)) => Ok((file.prepare(payload)?, 1)),
            (Input::Sound, Output::Speech(speech)) => {
                let sound = speech.prepare(payload)?;
                let cost = speech.windows(&sound);
                Ok((Prepared::Sound(sound), cost))
            }
            _ => Err(unfit()),
        }
    }

    /// Decodes a picture of any size, and hands out the picture itself for its parts.
    pub fn prepare_and_keep(&self, content_type: &str, payload: &[u8]) -> Result<(Prepared, u32, Kept), MediaError> {
        let Input::Scene(scenes) = &self.input else { return Err(no_parts("keep")) };
        let plain = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let accepted = self.content_types();
        if !accepted.contains(&plain) {
            return Err(MediaError::ContentType { given: content_type.to_owned(), accepted });
        }
        let (scene, kept) = scenes.decode_and_keep(&plain, payload)?;
        let cost = scenes.cost(&scene);
        let kept = Kept { width: kept.width(), height: kept.height(), rgb: kept.into_raw() };
        Ok((Prepared::Scene(scene), cost, kept))
    }

    /// Prepares one line of a picture, which comes decoded or in its file.
    pub fn prepare_part(&self, content_type: &str, payload: &[u8], part: &Part) -> Result<(Prepared, u32), MediaError> {
        let Input::Image(images) = &self.input else { return Err(no_parts("part")) };
        let decoded;
        let pixels = if content_type == PIXELS {
            let [width, height] = part.pixels;
            Pixels::new(payload, width, height)
        } else {
            decoded = upright::read_whole(content_type, payload, images.max_pixels())?;
            Pixels::new(decoded.as_raw(), decoded.width(), decoded.height())
        };
        let pixels = pixels.ok_or_else(|| MediaError::Invalid(format!("no picture of {:?} pixels", part.pixels)))?;
        let [wide, high] = pixels.size();
        let [x, y] =
            [f64::from(wide) / f64::from(part.picture[0].max(1)), f64::from(high) / f64::from(part.picture[1].max(1))];
        let corners = part.corners.map(|corner| [f64::from(corner[0]) * x, f64::from(corner[1]) * y]);
        let picture = images.take(&cut(pixels, corners, part.upside_down))?;
        let cost = images.cost(&picture);
        Ok((Prepared::Line(picture), cost))
    }

    /// The shape that [`Recipe::fill`] will give, where it gives one.
    pub fn shape(&self, prepared: &Prepared) -> Option<Vec<i64>> {
        match (&self.input, prepared) {
            (Input::Image(images), Prepared::Line(line)) => Some(images.shape(line)),
            (Input::Picture(pictures), Prepared::Picture(_)) => Some(pictures.shape()),
            (Input::Scene(scenes), Prepared::Scene(scene)) => Some(scenes.shape(scene)),
            (Input::FileBytes, Prepared::Places(places)) => Some(vec![1, i64::try_from(places.len()).ok()?]),
            _ => None,
        }
    }

    /// The input tensor of a prepared payload; `None` if it needs more than one run, or none.
    pub fn fill(&self, prepared: &Prepared) -> Option<Filled> {
        match (&self.input, prepared) {
            (Input::Image(images), Prepared::Line(line)) => Some(images.fill(line)),
            (Input::Picture(pictures), Prepared::Picture(picture)) => Some(pictures.fill(picture)),
            (Input::Scene(scenes), Prepared::Scene(scene)) => Some(scenes.fill(scene)),
            (Input::FileBytes, Prepared::Places(places)) => Some(Filled {
                shape: self.shape(prepared)?,
                bytes: Aligned::from_i32(places.iter().map(|place| i32::from(*place))),
            }),
            _ => None,
        }
    }

    /// The document of one row of the outputs; `frame` is that of what was prepared.
    pub fn interpret(&self, answers: &[Answer<'_>], row: usize, frame: Option<Frame>) -> Result<String, MediaError> {
        // These read several outputs, or know their shapes.
        match &self.output {
            Output::Objects(objects) => return objects.document(answers, row, frame.ok_or_else(unfit)?),
            Output::Segmentation(areas) => return areas.document(answers, row, frame.ok_or_else(unfit)?),
            Output::Anomaly(anomaly) => return anomaly.document(answers, row, frame.ok_or_else(unfit)?),
            Output::Embedding(embedding) => return embedding.document(answers, row),
            Output::Boxes(_) | Output::Classes(_) | Output::Ctc(_) | Output::FileType(_) | Output::Speech(_) => {}
        }
        let answer = answers.get(self.answer).ok_or_else(|| MediaError::Output("the output is missing".into()))?;
        let lost = || MediaError::Output(format!("the output has no row {row}"));
        let (_, row) = widened(answer.datatype, answer.rows(row, 1).ok_or_else(lost)?);
        match &self.output {
            Output::Boxes(boxes) => boxes.document(&row, &answer.shape, frame.ok_or_else(unfit)?),
            Output::Classes(classes) => classes.document(&row),
            Output::Ctc(ctc) => ctc.document(&row),
            Output::FileType(file) => file.document(&row),
            Output::Anomaly(_)
            | Output::Embedding(_)
            | Output::Objects(_)
            | Output::Segmentation(_)
            | Output::Speech(_) => Err(unfit()),
        }
    }

    /// The document of a prepared payload, with as many runs of the model as it takes.
    pub fn document(
        &self,
        prepared: &Prepared,
        inputs: &[TensorSpec],
        mut run: impl FnMut(&[Feed<'_>], &mut dyn FnMut(&[Answer<'_>])) -> Result<(), HostError>,
    ) -> Result<String, HostError> {
        match (prepared, &self.output) {
            (Prepared::Answer(document), _) => return Ok(document.clone()),
            (Prepared::Sound(sound), Output::Speech(speech)) => return speech.document(sound, run),
            _ => {}
        }
        let filled = self.fill(prepared).ok_or_else(|| unfit().into_host_error())?;
        let datatype = inputs.first().map_or(Datatype::Fp32, |spec| spec.datatype);
        let feed = Feed { datatype, shape: &filled.shape, bytes: filled.bytes.as_slice() };
        let mut document = Err(unfit());
        run(&[feed], &mut |answers| document = self.interpret(answers, 0, prepared.frame()))?;
        document.map_err(MediaError::into_host_error)
    }
}

fn no_parts(key: &'static str) -> MediaError {
    MediaError::Recipe { key, what: "the model takes no picture of this kind".into() }
}

/// The dictionary of a recipe, from the bundle or from the model's metadata.
fn dictionary(
    bundle: &Bundle,
    recipe: &CtcRecipe,
    metadata: impl Fn(&str) -> Option<String>,
) -> Result<String, MediaError> {
    let wrong = |key, what: String| MediaError::Recipe { key, what };
    match (&recipe.dictionary, &recipe.dictionary_key) {
        (Some(file), _) => {
            let bytes = bundle.read(file).map_err(|error| wrong("output.dictionary", crate::fault::chain(&error)))?;
            String::from_utf8(bytes).map_err(|error| wrong("output.dictionary", format!("{file} is no text: {error}")))
        }
        (None, key) => {
            let key = key.as_deref().unwrap_or_default();
            metadata(key).ok_or_else(|| wrong("output.dictionary_key", format!("the model's metadata has no {key}")))
        }
    }
}

fn unfit() -> MediaError {
    MediaError::Recipe { key: "input", what: "the recipe does not fit what was prepared".into() }
}

/// The tensor called `name`, with its place.
fn find<'a>(key: &'static str, specs: &'a [TensorSpec], name: &str) -> Result<(usize, &'a TensorSpec), MediaError> {
    specs.iter().enumerate().find(|(_, spec)| spec.name == name).ok_or_else(|| {
        let have: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        MediaError::Recipe { key, what: format!("the graph has no {name}; it has {}", have.join(", ")) }
    })
}

/// A model that is fed by one recipe has one input.
fn only_input(inputs: &[TensorSpec], name: &str, datatype: Datatype) -> Result<(), MediaError> {
    let (_, spec) = find("input.tensor", inputs, name)?;
    let what = match (inputs.len(), spec.datatype == datatype) {
        (1, true) => return Ok(()),
        (1, false) => format!("{name} is {}, the recipe gives {}", spec.datatype.as_str(), datatype.as_str()),
        (count, _) => format!("the graph has {count} inputs, the recipe gives one"),
    };
    Err(MediaError::Recipe { key: "input.tensor", what })
}

/// The element type of the one input that takes numbers: FP32 or FP16.
fn float_input(inputs: &[TensorSpec], name: &str) -> Result<Datatype, MediaError> {
    let (_, spec) = find("input.tensor", inputs, name)?;
    let datatype = if spec.datatype == Datatype::Fp16 { Datatype::Fp16 } else { Datatype::Fp32 };
    only_input(inputs, name, datatype)?;
    Ok(datatype)
}

/// The element type of the one input that takes a picture: numbers, or bytes as they are.
fn picture_input(inputs: &[TensorSpec], name: &str) -> Result<Datatype, MediaError> {
    let (_, spec) = find("input.tensor", inputs, name)?;
    if spec.datatype != Datatype::Uint8 {
        return float_input(inputs, name);
    }
    only_input(inputs, name, Datatype::Uint8)?;
    Ok(Datatype::Uint8)
}

/// Most pixels of a picture.
fn pixels(manifest: &Manifest) -> u64 {
    manifest.limits.pixels.unwrap_or(u64::MAX)
}

/// Outputs that need not know where in the tensor the picture lies; with the place of the one that is read by row.
fn of_any_picture(
    bundle: &Bundle,
    output: &OutputRecipe,
    outputs: &[TensorSpec],
) -> Result<(Output, usize), MediaError> {
    match output {
        OutputRecipe::Classes(recipe) => {
            let (answer, spec) = find("output.tensor", outputs, &recipe.tensor)?;
            Ok((Output::Classes(Classes::new(recipe.clone(), spec)?), answer))
        }
        OutputRecipe::Embedding(recipe) => {
            Ok((Output::Embedding(Box::new(Embedding::load(bundle, recipe.clone(), outputs)?)), 0))
        }
        OutputRecipe::Anomaly(_)
        | OutputRecipe::Boxes(_)
        | OutputRecipe::Ctc(_)
        | OutputRecipe::FileType(_)
        | OutputRecipe::Objects(_)
        | OutputRecipe::Segmentation(_)
        | OutputRecipe::Speech(_) => Err(unfit()),
    }
}

/// The numbers of an FP32 row.
fn floats(row: &[u8]) -> impl ExactSizeIterator<Item = f32> + Clone + '_ {
    row.as_chunks::<4>().0.iter().map(|four| f32::from_ne_bytes(*four))
}

/// Place and value of the largest number; `None` if there are none.
fn largest(numbers: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    numbers.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// A document as JSON.
fn json(document: &impl serde::Serialize) -> Result<String, MediaError> {
    serde_json::to_string(document).map_err(|error| MediaError::Output(format!("write JSON: {error}")))
}
