//! What was learnt from outcomes, its file, and the score of a text. Must not know how it was learnt.
//!
//! The file: 8 bytes that say what it is, the body (postcard), and the SHA-256 of all before it. Nothing of a file is
//! believed before the sum is right and each number within its range.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::features::{BUCKETS, PLAIN, Reader, Sketch, WIDTH};
use super::fit::logistic;

/// What a file begins with; the last byte is the version of the format.
const MAGIC: [u8; 8] = *b"EDQUAL\0\x01";
/// Bytes of the sum at the end.
const SUM: usize = 32;
/// Largest file that is read: twice what the most tasks need.
pub const MAX_BYTES: usize = 1 << 20;
/// Kinds of task that one model tells apart.
pub const MAX_TASKS: usize = 4096;
/// Bytes of the name of a task.
pub const MAX_NAME: usize = 128;
/// A bit for each hash of a word.
pub(super) const WORD_BITS: usize = 1 << 16;

/// Why a file is not taken.
#[derive(Debug, Error, PartialEq)]
pub enum ModelError {
    #[error("quality model: {found} bytes; a file has {least} to {MAX_BYTES}", least = MAGIC.len() + SUM)]
    Size { found: usize },
    #[error("quality model: begins with {found:02x?}, not with {MAGIC:02x?}: another kind of file, or another version")]
    Magic { found: [u8; 8] },
    #[error("quality model: the SHA-256 at its end is not that of its content: damaged, or cut off")]
    Sum,
    #[error("quality model: the body is not readable")]
    Body(#[source] postcard::Error),
    #[error("quality model: {bytes} bytes behind the body")]
    Rest { bytes: usize },
    #[error("quality model: {field} is {found}; takes {range}")]
    Field { field: String, found: String, range: String },
}

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    pub about: About,
    /// Whether only the stronger site answers right.
    pub helps: Head,
    /// Whether only the model of this box answers right.
    pub harms: Head,
    /// Mean and spread of each plain property where it was learnt.
    pub plain: [Spread; PLAIN],
    pub known: Known,
    /// By name.
    pub tasks: Vec<TaskGain>,
    /// Absent: nothing may stay local by this model's word.
    pub guarantee: Option<Guarantee>,
}

/// Whence a model comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The day on which it was learnt, as it was passed in.
    pub date: String,
    /// The table of outcomes, by name.
    pub source: String,
    /// Rows that weights come from.
    pub trained: u32,
    /// Rows that the threshold comes from; none of them is among the others.
    pub held_out: u32,
    /// Quality of the model of this box and of the stronger site over all of them, 0 to 1.
    pub weak: f32,
    pub strong: f32,
    /// By cross-validation: area under the gain curve; share kept local at 95% of the strong quality.
    pub apgr: f32,
    pub kept: f32,
}

/// Weights in 255 steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// One step.
    pub step: f32,
    pub bias: f32,
    /// Buckets, then plain properties.
    pub weights: Vec<i8>,
}

/// Where a property lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f32,
    /// Standard deviation; never 0.
    pub deviation: f32,
}

/// Which texts are like those it was learnt from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// A bit for each hash of a word that was seen.
    pub words: Vec<u8>,
    /// Share of its words that a text must have in common with them.
    pub floor: f32,
    /// Longest text, bytes.
    pub longest: u32,
}

/// What the stronger site gains in a kind of task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskGain {
    pub name: String,
    pub rows: u32,
    /// Mean gain in quality over its rows.
    pub measured: f32,
    /// The same, drawn towards the gain over all tasks as far as its rows are few.
    pub shrunk: f32,
    /// What the task adds to the logarithms of the odds.
    pub helps: f32,
    pub harms: f32,
}

/// A threshold on the expected gain, and what is promised of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guarantee {
    /// A text whose expected gain is at most this may stay local.
    pub threshold: f32,
    /// Bound on the mean loss over all requests: those that left count as 0.
    pub target_loss: f32,
    /// At least this probable, over the draw of the held-out rows.
    pub confidence: f32,
    /// Among the held-out rows: share kept local, mean loss.
    pub kept: f32,
    pub loss: f32,
}

/// What is expected of sending a text to the stronger site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    Known(Expected),
    /// Take the safe side.
    Unknown(Unfamiliar),
}

/// Probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Only the stronger site answers right.
    pub helps: f32,
    /// Only the model of this box does.
    pub harms: f32,
}

impl Expected {
    /// Expected gain in quality by the stronger site, -1 to 1. Requests are ranked by it.
    pub fn gain(self) -> f32 {
        self.helps - self.harms
    }
}

/// Why nothing can be said of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unfamiliar {
    /// Its task was not among those learnt from.
    Task,
    /// It has no words.
    Empty,
    /// It is more than twice as long as any of those, bytes.
    Long { bytes: usize, most: usize },
    /// It shares too few words with them.
    Words { share: f32, floor: f32 },
}

impl Learnt {
    /// What is expected of a text. `task` is the kind of task where the caller or the model's entry says it.
    pub fn score(&self, reader: &mut Reader, text: &str, task: Option<&str>) -> Score {
        let at = task.map(|task| self.tasks.binary_search_by(|known| known.name.as_str().cmp(task)));
        let task = match at {
            Some(Ok(at)) => self.tasks.get(at),
            Some(Err(_)) => return Score::Unknown(Unfamiliar::Task),
            None => None,
        };
        let sketch = reader.read(text);
        match self.known.unfamiliar(sketch) {
            Some(why) => Score::Unknown(why),
            None => Score::Known(self.expected(sketch, task)),
        }
    }

    fn expected(&self, sketch: &Sketch, task: Option<&TaskGain>) -> Expected {
        let (mut helps, mut harms) = (0.0, 0.0);
        for (bucket, value) in &sketch.pieces {
            helps += self.helps.at(usize::from(*bucket)) * value;
            harms += self.harms.at(usize::from(*bucket)) * value;
        }
        for (at, (value, spread)) in sketch.plain.iter().zip(&self.plain).enumerate() {
            let value = spread.of(*value);
            helps += self.helps.at(BUCKETS + at) * value;
            harms += self.harms.at(BUCKETS + at) * value;
        }
        let (task_helps, task_harms) = task.map_or((0.0, 0.0), |task| (task.helps, task.harms));
        let helps = helps * self.helps.step + self.helps.bias + task_helps;
        let harms = harms * self.harms.step + self.harms.bias + task_harms;
        #[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
        let chance = |sum: f32| logistic(f64::from(sum)) as f32;
        Expected { helps: chance(helps), harms: chance(harms) }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// A number out of its range.
    pub fn write(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        let body = postcard::to_stdvec(self).map_err(ModelError::Body)?;
        let mut out = [MAGIC.as_slice(), &body].concat();
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        Ok(out)
    }

    /// What the bytes of a file say.
    ///
    /// # Errors
    /// Anything that [`Learnt::write`] would not have written, by name.
    pub fn read(bytes: &[u8]) -> Result<Learnt, ModelError> {
        if bytes.len() < MAGIC.len() + SUM || bytes.len() > MAX_BYTES {
            return Err(ModelError::Size { found: bytes.len() });
        }
        let (content, sum) = bytes.split_at(bytes.len() - SUM);
        match content.split_first_chunk::<8>() {
            Some((magic, _)) if *magic == MAGIC => {}
            Some((magic, _)) => return Err(ModelError::Magic { found: *magic }),
            None => return Err(ModelError::Size { found: bytes.len() }),
        }
        if Sha256::digest(content).as_slice() != sum {
            return Err(ModelError::Sum);
        }
        let body = content.get(MAGIC.len()..).unwrap_or_default();
        let (learnt, rest): (Learnt, &[u8]) = postcard::take_from_bytes(body).map_err(ModelError::Body)?;
        if !rest.is_empty() {
            return Err(ModelError::Rest { bytes: rest.len() });
        }
        learnt.check()?;
        Ok(learnt)
    }

    /// Whether each number is within its range.
    fn check(&self) -> Result<(), ModelError> {
        for (name, head) in [("helps", &self.helps), ("harms", &self.harms)] {
            within(|| format!("{name}.step"), head.step, 0.0, 100.0)?;
            within(|| format!("{name}.bias"), head.bias, -100.0, 100.0)?;
            sized(&format!("{name}.weights"), head.weights.len(), WIDTH)?;
        }
        for (at, spread) in self.plain.iter().enumerate() {
            within(|| format!("plain[{at}].mean"), spread.mean, -1e6, 1e6)?;
            within(|| format!("plain[{at}].deviation"), spread.deviation, 1e-6, 1e6)?;
        }
        sized("known.words", self.known.words.len(), WORD_BITS / 8)?;
        within(|| "known.floor".into(), self.known.floor, 0.0, 1.0)?;
        for (name, value) in [("weak", self.about.weak), ("strong", self.about.strong), ("kept", self.about.kept)] {
            within(|| format!("about.{name}"), value, 0.0, 1.0)?;
        }
        within(|| "about.apgr".into(), self.about.apgr, -1e6, 1e6)?;
        for (name, text) in [("date", &self.about.date), ("source", &self.about.source)] {
            short(&format!("about.{name}"), text)?;
        }
        self.check_tasks()?;
        let Some(guarantee) = &self.guarantee else { return Ok(()) };
        within(|| "guarantee.threshold".into(), guarantee.threshold, -1.0, 1.0)?;
        let shares = [
            ("target_loss", guarantee.target_loss),
            ("confidence", guarantee.confidence),
            ("kept", guarantee.kept),
            ("loss", guarantee.loss),
        ];
        shares.into_iter().try_for_each(|(name, value)| within(|| format!("guarantee.{name}"), value, 0.0, 1.0))
    }

    fn check_tasks(&self) -> Result<(), ModelError> {
        if self.tasks.len() > MAX_TASKS {
            return Err(field("tasks", self.tasks.len(), format!("at most {MAX_TASKS}")));
        }
        if let Some(pair) = self.tasks.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            return Err(field(
                "tasks",
                format!("{:?} before {:?}", pair[0].name, pair[1].name),
                "names in order".into(),
            ));
        }
        for task in &self.tasks {
            short("the name of a task", &task.name)?;
            let gains = [("measured", task.measured, 1.0), ("shrunk", task.shrunk, 1.0)];
            for (name, value, most) in
                gains.into_iter().chain([("helps", task.helps, 100.0), ("harms", task.harms, 100.0)])
            {
                within(|| format!("tasks[{:?}].{name}", task.name), value, -most, most)?;
            }
        }
        Ok(())
    }
}

impl Head {
    /// Weights as steps of the largest.
    pub fn of(weights: &[f64], bias: f64) -> Head {
        let largest = weights.iter().fold(0.0_f64, |largest, weight| largest.max(weight.abs()));
        let step = if largest > 0.0 { largest / f64::from(i8::MAX) } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded, and at most 127 steps; a bias needs no more digits"
        )]
        let (weights, step, bias) =
            (weights.iter().map(|weight| (weight / step).round() as i8).collect(), step as f32, bias as f32);
        Head { step, bias, weights }
    }

    fn at(&self, place: usize) -> f32 {
        f32::from(self.weights.get(place).copied().unwrap_or_default())
    }
}

impl Spread {
    /// How far off the mean, in tenths of deviations, three at most: plain properties are to say less than words.
    pub fn of(self, value: f32) -> f32 {
        0.1 * ((value - self.mean) / self.deviation).clamp(-3.0, 3.0)
    }
}

impl Known {
    fn unfamiliar(&self, sketch: &Sketch) -> Option<Unfamiliar> {
        let most = usize::try_from(self.longest).unwrap_or(usize::MAX).saturating_mul(2);
        let share = self.share(sketch);
        match share {
            None => Some(Unfamiliar::Empty),
            Some(_) if sketch.bytes > most => Some(Unfamiliar::Long { bytes: sketch.bytes, most }),
            Some(share) if share < self.floor => Some(Unfamiliar::Words { share, floor: self.floor }),
            Some(_) => None,
        }
    }

    /// Share of a text's words that were seen; `None` if it has none.
    pub fn share(&self, sketch: &Sketch) -> Option<f32> {
        let known = sketch.words.iter().filter(|word| {
            let byte = self.words.get(usize::from(**word >> 3)).copied().unwrap_or_default();
            byte >> (**word & 7) & 1 == 1
        });
        let known = u16::try_from(known.count()).ok()?;
        let all = u16::try_from(sketch.words.len()).ok()?;
        (all > 0).then(|| f32::from(known) / f32::from(all))
    }
}

fn within(name: impl Fn() -> String, value: f32, least: f32, most: f32) -> Result<(), ModelError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(field(&name(), value, format!("{least} to {most}"))) }
}

fn sized(name: &str, found: usize, wanted: usize) -> Result<(), ModelError> {
    if found == wanted { Ok(()) } else { Err(field(name, format!("{found} values"), format!("{wanted}"))) }
}

fn short(name: &str, text: &str) -> Result<(), ModelError> {
    if text.len() <= MAX_NAME {
        Ok(())
    } else {
        Err(field(name, format!("{} bytes", text.len()), format!("at most {MAX_NAME}")))
    }
}

fn field(name: &str, found: impl ToString, range: String) -> ModelError {
    ModelError::Field { field: name.to_owned(), found: found.to_string(), range }
}
