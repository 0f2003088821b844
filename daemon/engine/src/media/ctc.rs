//! Text of one line: `{"text", "confidence"}`. Greedy decoding: the best entry of each step, repeats and blanks dropped;
//! the confidence is the mean of what is left, 0 for no text.

use serde::Serialize;

use super::numbers::Elements;
use super::{MediaError, floats, json, largest};
use crate::protocol::TensorSpec;

#[derive(Serialize)]
struct Document {
    text: String,
    confidence: f64,
}

/// Reads `[N, T, entries]`.
pub struct Ctc {
    /// Entry 0 is the blank; the last one is the space.
    entries: Vec<String>,
}

impl Ctc {
    /// Takes a dictionary: one entry a line, between the blank and the space.
    pub fn new(text: &str, output: &TensorSpec) -> Result<Ctc, MediaError> {
        let wrong = |what: String| MediaError::Recipe { key: "output.dictionary", what };
        let lines = text.lines().map(str::to_owned);
        let entries: Vec<String> =
            std::iter::once(String::new()).chain(lines).chain(std::iter::once(" ".to_owned())).collect();
        let width = output.shape.last().copied().unwrap_or(0);
        let fits = width == -1 || usize::try_from(width) == Ok(entries.len());
        if !Elements::are_floats(output.datatype) || output.shape.len() != 3 || !fits {
            return Err(wrong(format!(
                "{} entries do not fit the output {} of {:?}",
                entries.len(),
                output.datatype.as_str(),
                output.shape
            )));
        }
        Ok(Ctc { entries })
    }

    /// The document of one row: T steps of one probability per entry.
    pub fn document(&self, row: &[u8]) -> Result<String, MediaError> {
        let step = self.entries.len() * 4;
        if !row.len().is_multiple_of(step) {
            return Err(MediaError::Output(format!("{} bytes are no whole steps of {step}", row.len())));
        }
        let (mut text, mut sum, mut kept, mut before) = (String::new(), 0f64, 0u32, None);
        for step in row.chunks_exact(step) {
            let Some((entry, probability)) = best(step) else { continue };
            if entry != 0 && before != Some(entry) {
                text.push_str(self.entries.get(entry).map_or("", String::as_str));
                sum += f64::from(probability);
                kept += 1;
            }
            before = Some(entry);
        }
        let confidence = if kept == 0 { 0.0 } else { sum / f64::from(kept) };
        json(&Document { text, confidence })
    }
}

/// The largest number of a step and the first place that has it. Two passes: the first one is done many at a time.
fn best(step: &[u8]) -> Option<(usize, f32)> {
    let most = floats(step).fold(f32::NEG_INFINITY, f32::max);
    let at = floats(step).position(|number| number == most);
    at.map(|at| (at, most)).or_else(|| largest(floats(step)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Datatype;

    fn ctc() -> Ctc {
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, -1, 5] };
        Ctc::new("a\nb\nc", &output).unwrap()
    }

    /// One step per (entry, probability).
    fn row(steps: &[(usize, f32)]) -> Vec<u8> {
        let step = |(entry, probability): &(usize, f32)| {
            let mut numbers = [0f32; 5];
            numbers[*entry] = *probability;
            numbers.map(f32::to_ne_bytes).concat()
        };
        steps.iter().flat_map(step).collect()
    }

    #[test]
    fn repeats_and_blanks_are_dropped() {
        let cases: [(&[(usize, f32)], &str); 5] = [
            (&[(0, 1.0), (1, 0.5), (1, 0.75), (0, 1.0), (1, 1.0)], r#"{"text":"aa","confidence":0.75}"#),
            (&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (1, 1.0)], r#"{"text":"abc a","confidence":1.0}"#),
            (&[(0, 1.0)], r#"{"text":"","confidence":0.0}"#),
            (&[], r#"{"text":"","confidence":0.0}"#),
            (&[(2, f32::NAN)], r#"{"text":"","confidence":0.0}"#),
        ];
        for (steps, expected) in cases {
            assert_eq!(ctc().document(&row(steps)).unwrap(), expected, "{steps:?}");
        }
    }

    #[test]
    fn half_a_step_is_an_error() {
        assert!(ctc().document(&[0; 30]).is_err());
    }

    #[test]
    fn a_dictionary_that_does_not_fit_is_refused() {
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, -1, 6] };
        for dictionary in ["", "a\nb\nc", "a\nb\nc\nd\ne"] {
            assert!(Ctc::new(dictionary, &output).is_err(), "{dictionary}");
        }
    }
}
