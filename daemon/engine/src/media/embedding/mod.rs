//! Numbers that are alike for what looks alike, and which of those that are known they are most like: `{"embedding": [...],
//! "matches": [{"label", "similarity"}], "label"}`. Decides what is told; [`enrolled`] knows those that are known.

mod enrolled;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::enrolled::Enrolled;
use super::numbers::{Elements, Numbers, place};
use super::{MediaError, json};
use crate::bundle::{Bundle, EmbeddingRecipe};
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

/// Most numbers of an embedding: what an answer lists.
const MOST_NUMBERS: usize = 16_384;

#[derive(Serialize)]
struct Document<'a> {
    embedding: Vec<f32>,
    /// Of a model with a set of those that are known.
    #[serde(flatten)]
    found: Option<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    matches: Vec<Match<'a>>,
    /// The best; null if there is none.
    label: Option<&'a str>,
}

/// A label with how alike its most alike embedding is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Match<'a> {
    pub label: &'a str,
    /// Cosine of the angle between the two, -1 to 1.
    pub similarity: f32,
}

/// Reads embeddings.
pub struct Embedding {
    recipe: EmbeddingRecipe,
    place: usize,
    enrolled: Option<Enrolled>,
}

impl Embedding {
    /// Holds the recipe against the outputs, and reads the set of those that are known.
    pub fn load(bundle: &Bundle, recipe: EmbeddingRecipe, outputs: &[TensorSpec]) -> Result<Embedding, MediaError> {
        let read = |name: &String| {
            let failed = |what: String| MediaError::Recipe { key: "output.enrolled", what };
            let content = bundle.read(name).map_err(|error| failed(crate::fault::chain(&error)))?;
            Enrolled::parse(&content).map_err(|what| failed(format!("{name}: {what}")))
        };
        let enrolled = recipe.enrolled.as_ref().map(read).transpose()?;
        Embedding::new(recipe, enrolled, outputs)
    }

    fn new(
        recipe: EmbeddingRecipe,
        enrolled: Option<Enrolled>,
        outputs: &[TensorSpec],
    ) -> Result<Embedding, MediaError> {
        let key = "output.tensor";
        let place = place(key, &recipe.tensor, outputs, Elements::Floats, &[&[-1, -1]])?;
        let width = outputs.get(place).and_then(|spec| spec.shape.last()).copied().unwrap_or(-1);
        let width = usize::try_from(width).ok();
        if width.is_some_and(|width| !(1..=MOST_NUMBERS).contains(&width)) {
            let what = format!("the output {} has {width:?} numbers, 1 to {MOST_NUMBERS} are accepted", recipe.tensor);
            return Err(MediaError::Recipe { key, what });
        }
        if let (Some(enrolled), Some(width)) = (&enrolled, width)
            && enrolled.width() != width
        {
            let known = enrolled.width();
            let what = format!("embeddings of {known} numbers; the output {} has {width}", recipe.tensor);
            return Err(MediaError::Recipe { key: "output.enrolled", what });
        }
        Ok(Embedding { recipe, place, enrolled })
    }

    /// The document of one row of the outputs.
    pub fn document(&self, answers: &[Answer<'_>], row: usize) -> Result<String, MediaError> {
        let numbers = Numbers::of(answers, Some(&self.place), row)?;
        let mut embedding: Vec<f32> = numbers.floats()?.iter().map(|number| f32::from_ne_bytes(*number)).collect();
        if !(1..=MOST_NUMBERS).contains(&embedding.len()) {
            let what = format!("an embedding of {} numbers, 1 to {MOST_NUMBERS} are accepted", embedding.len());
            return Err(MediaError::Output(what));
        }
        if let Some(at) = embedding.iter().position(|number| !number.is_finite()) {
            return Err(MediaError::Output(format!("number {at} of the embedding is {}", embedding[at])));
        }
        let scaled = enrolled::unit(&embedding);
        if self.recipe.normalise
            && let Some(scaled) = &scaled
        {
            embedding.clone_from(scaled);
        }
        let found = self.enrolled.as_ref().map(|enrolled| self.found(enrolled, scaled.as_deref())).transpose()?;
        json(&Document { embedding, found })
    }

    /// Those that are known and alike enough; none of an embedding of zeros, which points nowhere.
    fn found<'a>(&self, enrolled: &'a Enrolled, unit: Option<&[f32]>) -> Result<Found<'a>, MediaError> {
        let Some(unit) = unit else { return Ok(Found { matches: Vec::new(), label: None }) };
        if unit.len() != enrolled.width() {
            let (found, known) = (unit.len(), enrolled.width());
            return Err(MediaError::Output(format!(
                "an embedding of {found} numbers, those that are known have {known}"
            )));
        }
        let most = usize::try_from(self.recipe.top).unwrap_or(usize::MAX);
        let matches = enrolled.nearest(unit, most, self.recipe.threshold);
        let label = matches.first().map(|best| best.label);
        Ok(Found { matches, label })
    }
}
