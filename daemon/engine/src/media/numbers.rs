//! One picture's part of an output as numbers, whatever the element type that the graph gives them in. Knows shapes and
//! elements, not what they mean.

use std::borrow::Cow;

use super::{MediaError, find, half};
use crate::protocol::{Datatype, TensorSpec};
use crate::tensor::Answer;

/// What the elements of an output may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// FP32 or FP16.
    Floats,
    /// The same, or whole numbers that stand for places and counts: INT64, INT32.
    FloatsOrPlaces,
    /// The same, or UINT8.
    FloatsOrClasses,
}

impl Elements {
    /// Whether a type has numbers with a fraction that are read.
    pub fn are_floats(datatype: Datatype) -> bool {
        Elements::Floats.accepts(datatype)
    }

    fn accepts(self, datatype: Datatype) -> bool {
        match datatype {
            Datatype::Fp32 | Datatype::Fp16 => true,
            Datatype::Int32 | Datatype::Int64 => self != Elements::Floats,
            Datatype::Uint8 => self == Elements::FloatsOrClasses,
            _ => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Elements::Floats => "FP32 or FP16",
            Elements::FloatsOrPlaces => "FP32, FP16, INT64 or INT32",
            Elements::FloatsOrClasses => "FP32, FP16, INT64, INT32 or UINT8",
        }
    }
}

/// Finds the output `name` and holds it against what its recipe needs, as far as the graph says it: the elements, and one of
/// these shapes (-1 for any size). Returns its place.
pub fn place(
    key: &'static str,
    name: &str,
    specs: &[TensorSpec],
    elements: Elements,
    wanted: &[&[i64]],
) -> Result<usize, MediaError> {
    let (at, spec) = find(key, specs, name)?;
    let alike = |(have, wanted): (&i64, &i64)| *have == *wanted || *have < 0 || *wanted < 0;
    let fits = |wanted: &&[i64]| spec.shape.len() == wanted.len() && spec.shape.iter().zip(*wanted).all(alike);
    if wanted.iter().any(fits) && elements.accepts(spec.datatype) {
        return Ok(at);
    }
    let shapes: Vec<String> = wanted.iter().map(|wanted| format!("{wanted:?}")).collect();
    let what = format!(
        "the output {} is {} of {:?}; the recipe and its labels need {} of {}",
        spec.name,
        spec.datatype.as_str(),
        spec.shape,
        elements.words(),
        shapes.join(" or ")
    );
    Err(MediaError::Recipe { key, what })
}

/// Elements of fixed size with their type; FP16 becomes FP32.
pub fn widened(datatype: Datatype, bytes: Cow<'_, [u8]>) -> (Datatype, Cow<'_, [u8]>) {
    match datatype {
        Datatype::Fp16 => (Datatype::Fp32, Cow::Owned(half::widen(&bytes))),
        other => (other, bytes),
    }
}

/// One row of an output.
pub struct Numbers<'a> {
    datatype: Datatype,
    /// Without the dimension of the batch.
    shape: Vec<i64>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Numbers<'a> {
    /// Row `row` of the output at `place`.
    pub fn of(answers: &'a [Answer<'_>], place: Option<&usize>, row: usize) -> Result<Numbers<'a>, MediaError> {
        let answer = answer(answers, place)?;
        let missing = || MediaError::Output(format!("the output has no row {row}"));
        let bytes = answer.rows(row, 1).ok_or_else(missing)?;
        Ok(Numbers::new(answer.datatype, answer.shape.iter().skip(1).copied().collect(), bytes))
    }

    /// The same of an output that may come without the dimension of the batch, as all rows of one picture.
    pub fn of_all(answers: &'a [Answer<'_>], place: Option<&usize>, row: usize) -> Result<Numbers<'a>, MediaError> {
        let answer = answer(answers, place)?;
        if answer.shape.len() == 2 && row == 0 && answer.shape.first() != Some(&1) {
            return Ok(Numbers::new(answer.datatype, answer.shape.clone(), answer.all()));
        }
        Numbers::of(answers, place, row)
    }

    fn new(datatype: Datatype, shape: Vec<i64>, bytes: Cow<'a, [u8]>) -> Numbers<'a> {
        let (datatype, bytes) = widened(datatype, bytes);
        Numbers { datatype, shape, bytes }
    }

    /// Number of dimensions, without that of the batch.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Size of a dimension, counted without that of the batch; 0 if there is none.
    pub fn size(&self, at: usize) -> usize {
        self.shape.get(at).and_then(|size| usize::try_from(*size).ok()).unwrap_or(0)
    }

    /// Size of the last dimension.
    pub fn width(&self) -> usize {
        self.size(self.shape.len().saturating_sub(1))
    }

    /// Whether they are numbers with a fraction, no places or classes.
    pub fn is_floats(&self) -> bool {
        self.datatype == Datatype::Fp32
    }

    /// All of them, if they are numbers with a fraction.
    pub fn floats(&self) -> Result<&[[u8; 4]], MediaError> {
        match self.datatype {
            Datatype::Fp32 => Ok(self.bytes.as_chunks::<4>().0),
            other => Err(MediaError::Output(format!("an output is {}, expected is FP32 or FP16", other.as_str()))),
        }
    }

    /// One number, of whatever type.
    pub fn number(&self, at: usize) -> Option<f32> {
        let eight = || self.bytes.as_chunks::<8>().0.get(at);
        let four = || self.bytes.as_chunks::<4>().0.get(at);
        #[expect(clippy::cast_precision_loss, reason = "numbers of labels and things are small")]
        match self.datatype {
            Datatype::Fp32 => four().map(|bytes| f32::from_ne_bytes(*bytes)),
            Datatype::Int32 => four().map(|bytes| i32::from_ne_bytes(*bytes) as f32),
            Datatype::Int64 => eight().map(|bytes| i64::from_ne_bytes(*bytes) as f32),
            _ => None,
        }
    }

    /// All of them as places of labels; none for what is negative, and for numbers with a fraction.
    pub fn classes(&self) -> Vec<Option<u32>> {
        match self.datatype {
            Datatype::Uint8 => self.bytes.iter().map(|byte| Some(u32::from(*byte))).collect(),
            Datatype::Int32 => {
                self.bytes.as_chunks().0.iter().map(|four| u32::try_from(i32::from_ne_bytes(*four)).ok()).collect()
            }
            Datatype::Int64 => {
                self.bytes.as_chunks().0.iter().map(|eight| u32::try_from(i64::from_ne_bytes(*eight)).ok()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn answer<'a, 'b>(answers: &'a [Answer<'b>], place: Option<&usize>) -> Result<&'a Answer<'b>, MediaError> {
    let lost = || MediaError::Output("an output is missing".into());
    place.and_then(|at| answers.get(*at)).ok_or_else(lost)
}
