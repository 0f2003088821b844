//! Labels with scores: `{"label", "score", "labels": [{"label", "score"}, ...]}`, the best first.

use serde::Serialize;

use super::activation::Scores;
use super::numbers::Elements;
use super::{MediaError, floats, json};
use crate::bundle::ClassesRecipe;
use crate::protocol::TensorSpec;

#[derive(Serialize)]
struct Document<'a> {
    label: &'a str,
    score: f32,
    labels: Vec<Label<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Label<'a> {
    label: &'a str,
    score: f32,
}

/// Reads `[N, labels]`.
pub struct Classes(ClassesRecipe);

impl Classes {
    /// Holds the labels against the output.
    pub fn new(recipe: ClassesRecipe, output: &TensorSpec) -> Result<Classes, MediaError> {
        let width = output.shape.last().copied().unwrap_or(0);
        let fits = width == -1 || usize::try_from(width) == Ok(recipe.labels.len());
        if !Elements::are_floats(output.datatype) || output.shape.len() != 2 || !fits {
            let what = format!(
                "{} labels do not fit the output {} of {:?}",
                recipe.labels.len(),
                output.datatype.as_str(),
                output.shape
            );
            return Err(MediaError::Recipe { key: "output.labels", what });
        }
        Ok(Classes(recipe))
    }

    /// The document of one row of scores.
    pub fn document(&self, row: &[u8]) -> Result<String, MediaError> {
        let scores = Scores::of(floats(row), self.0.activation).into_inner();
        if scores.len() != self.0.labels.len() {
            let (found, wanted) = (scores.len(), self.0.labels.len());
            return Err(MediaError::Output(format!("{found} scores for {wanted} labels")));
        }
        let mut labels: Vec<Label<'_>> =
            self.0.labels.iter().zip(scores).map(|(label, score)| Label { label, score }).collect();
        labels.sort_by(|a, b| b.score.total_cmp(&a.score));
        labels.truncate(usize::from(self.0.top));
        let best = labels.first().copied().ok_or_else(|| MediaError::Output("no labels".into()))?;
        json(&Document { label: best.label, score: best.score, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Datatype;

    fn recipe(labels: Vec<String>, top: u16) -> ClassesRecipe {
        ClassesRecipe { tensor: "y".into(), labels, top, activation: crate::bundle::Activation::None }
    }

    fn classes(top: u16) -> Classes {
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 3] };
        Classes::new(recipe(labels, top), &output).unwrap()
    }

    fn row(scores: &[f32]) -> Vec<u8> {
        scores.iter().flat_map(|score| score.to_ne_bytes()).collect()
    }

    #[test]
    fn the_best_labels_come_first() {
        let document = classes(2).document(&row(&[0.25, 0.5, 0.125])).unwrap();
        let expected = r#"{"label":"b","score":0.5,"labels":[{"label":"b","score":0.5},{"label":"a","score":0.25}]}"#;
        assert_eq!(document, expected);
    }

    #[test]
    fn scores_are_made_of_what_the_model_gives() {
        let Classes(mut recipe) = classes(1);
        recipe.activation = crate::bundle::Activation::Softmax;
        let document = Classes(recipe).document(&row(&[1.0, 1.0, 1.0])).unwrap();
        assert!(document.starts_with(r#"{"label":"a","score":0.333"#), "{document}");
    }

    #[test]
    fn a_row_of_another_width_is_an_error() {
        assert!(classes(1).document(&row(&[0.5, 0.5])).is_err());
        assert!(classes(1).document(&[]).is_err());
    }

    #[test]
    fn labels_that_do_not_fit_the_graph_are_refused() {
        for (datatype, shape) in
            [(Datatype::Fp32, vec![-1, 4]), (Datatype::Int64, vec![-1, 3]), (Datatype::Fp32, vec![3])]
        {
            let output = TensorSpec { name: "y".into(), datatype, shape };
            let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
            assert!(Classes::new(recipe(labels, 1), &output).is_err());
        }
    }
}
