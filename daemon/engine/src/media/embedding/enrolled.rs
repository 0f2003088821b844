//! A set of embeddings whose labels are known, and an exact search in it. The file has a line for each,
//! `{"label": "...", "embedding": [...]}`: what `edgectl infer` prints, with a label. Knows numbers, nothing of models.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Match;

/// Most numbers of all embeddings together: 64 MiB, or 32,768 of 512.
const MOST_NUMBERS: usize = 1 << 24;
/// Most embeddings: each is looked at for each request.
const MOST_ROWS: usize = 1 << 20;
/// Numbers that are added up side by side: what the widest registers hold, and independent of each other.
const LANES: usize = 16;

/// Embeddings of one width, scaled to the length 1.
#[derive(Debug)]
pub struct Enrolled {
    width: usize,
    /// Each label once.
    labels: Vec<String>,
    /// The place of its label, for each embedding.
    places: Vec<usize>,
    /// One embedding after the other.
    numbers: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    label: String,
    embedding: Vec<f32>,
}

impl Enrolled {
    /// Reads a file. What is wrong is told with the number of its line.
    pub fn parse(content: &[u8]) -> Result<Enrolled, String> {
        let mut enrolled = Enrolled { width: 0, labels: Vec::new(), places: Vec::new(), numbers: Vec::new() };
        let mut known = BTreeMap::new();
        for (number, line) in (1u32..).zip(content.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            enrolled.add(line, &mut known).map_err(|what| format!("line {number}: {what}"))?;
        }
        if enrolled.places.is_empty() {
            return Err("no lines; at least one {\"label\": \"...\", \"embedding\": [...]} is accepted".into());
        }
        Ok(enrolled)
    }

    fn add(&mut self, line: &[u8], known: &mut BTreeMap<String, usize>) -> Result<(), String> {
        let Line { label, embedding } = serde_json::from_slice(line)
            .map_err(|error| format!("{error}; {{\"label\": \"...\", \"embedding\": [...]}} is accepted"))?;
        if label.trim().is_empty() || label.len() > 200 || label.chars().any(char::is_control) {
            return Err("label: must be 1..=200 bytes without control characters".into());
        }
        if self.places.is_empty() {
            self.width = embedding.len();
        }
        if embedding.len() != self.width || embedding.is_empty() {
            return Err(format!("embedding: {} numbers, the first line has {}", embedding.len(), self.width));
        }
        if self.places.len() >= MOST_ROWS || self.numbers.len() + self.width > MOST_NUMBERS {
            return Err(format!("too many: at most {MOST_ROWS} lines and {MOST_NUMBERS} numbers in all are accepted"));
        }
        let Some(unit) = unit(&embedding) else {
            return Err("embedding: must be finite numbers that are not all 0".into());
        };
        self.numbers.extend(unit);
        let place = *known.entry(label).or_insert_with_key(|label| {
            self.labels.push(label.clone());
            self.labels.len() - 1
        });
        self.places.push(place);
        Ok(())
    }

    /// Numbers of each embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The labels whose embeddings are most like `unit`, which has the length 1, the most alike first; at most `most`, none
    /// that is less alike than `threshold`. Each label once, by the most alike of its embeddings.
    pub fn nearest(&self, unit: &[f32], most: usize, threshold: f32) -> Vec<Match<'_>> {
        let mut best = vec![f32::NEG_INFINITY; self.labels.len()];
        for (row, place) in self.numbers.chunks_exact(self.width.max(1)).zip(&self.places) {
            let similarity = product(row, unit).clamp(-1.0, 1.0);
            if let Some(best) = best.get_mut(*place) {
                *best = best.max(similarity);
            }
        }
        let labels = self.labels.iter().zip(best).filter(|(_, similarity)| *similarity >= threshold);
        let mut found: Vec<Match<'_>> = labels.map(|(label, similarity)| Match { label, similarity }).collect();
        let order = |a: &Match<'_>, b: &Match<'_>| b.similarity.total_cmp(&a.similarity).then(a.label.cmp(b.label));
        if found.len() > most {
            found.select_nth_unstable_by(most, order);
            found.truncate(most);
        }
        found.sort_by(order);
        found
    }
}

/// Scaled to the length 1; none of what has no length.
pub fn unit(numbers: &[f32]) -> Option<Vec<f32>> {
    let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
    let scaled = |number: &f32| (f64::from(*number) / length) as f32;
    (length.is_finite() && length > 0.0).then(|| numbers.iter().map(scaled).collect())
}

/// The sum of the products, in lanes that do not wait for each other.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
