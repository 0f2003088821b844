//! Decides whether a local answer is to be doubted, so that a stronger site may be asked: by how sure the model was (`scores`), or,
//! of a language model, by how its answer ended and what it looks like (`chat`, `repeats`, `schema`). Must not know
//! whether there is a stronger site, a budget, or time.

pub mod chat;
pub mod repeats;
pub mod schema;
pub mod scores;

use serde_json::Value;

use chat::{Told, Wanted};
use scores::Scores;

/// What an answer has to be like; what is `None` or false is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Checks {
    /// The lowest score of anything in it is at least this, 0 to 1.
    pub min_score: Option<f64>,
    /// The first class is ahead of the second by at least this, 0 to 1; an anomaly's score is this far from its threshold.
    pub min_margin: Option<f64>,
    /// Something has to be found: a list of boxes, lines, regions or segments may not be empty.
    pub something: bool,
    /// Nothing may have been left out for the limits of the model.
    pub complete: bool,
    /// It may not have ended at the limit of its length, nor be empty.
    pub finished: bool,
    /// At most this share of its groups of four words stood before in it, 0 to 1.
    pub max_repetition: Option<f64>,
    /// It has to be the JSON that the request asked for.
    pub format: bool,
    /// The mean of the natural logarithms of its tokens' probabilities is at least this, 0 or less.
    pub min_mean_log_probability: Option<f64>,
}

/// Why an answer is doubted.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt {
    LowScore {
        score: f64,
        least: f64,
    },
    SmallMargin {
        margin: f64,
        least: f64,
    },
    NothingFound,
    LeftOut,
    Truncated,
    Empty,
    Repeats {
        share: f64,
        most: f64,
    },
    BadSchema {
        fault: String,
    },
    LowConfidence {
        mean_log_probability: f64,
        least: f64,
    },
    /// It is not the document that it should be.
    NotJson {
        fault: String,
    },
}

impl Doubt {
    /// The word used on every surface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Doubt::LowScore { .. } => "low_score",
            Doubt::SmallMargin { .. } => "small_margin",
            Doubt::NothingFound => "nothing_found",
            Doubt::LeftOut => "left_out",
            Doubt::Truncated => "truncated",
            Doubt::Empty => "empty",
            Doubt::Repeats { .. } => "repeats",
            Doubt::BadSchema { .. } => "bad_schema",
            Doubt::LowConfidence { .. } => "low_confidence",
            Doubt::NotJson { .. } => "not_json",
        }
    }

    /// What was measured and what was asked for, where those are numbers.
    pub const fn numbers(&self) -> Option<(f64, f64)> {
        match self {
            Doubt::LowScore { score: seen, least: asked }
            | Doubt::SmallMargin { margin: seen, least: asked }
            | Doubt::Repeats { share: seen, most: asked }
            | Doubt::LowConfidence { mean_log_probability: seen, least: asked } => Some((*seen, *asked)),
            Doubt::NothingFound
            | Doubt::LeftOut
            | Doubt::Truncated
            | Doubt::Empty
            | Doubt::BadSchema { .. }
            | Doubt::NotJson { .. } => None,
        }
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doubt::LowScore { score, least } => write!(out, "the lowest score is {score:.3}, below {least:.3}"),
            Doubt::SmallMargin { margin, least } => write!(out, "the margin is {margin:.3}, below {least:.3}"),
            Doubt::NothingFound => out.write_str("nothing was found"),
            Doubt::LeftOut => out.write_str("something was left out of the answer"),
            Doubt::Truncated => out.write_str("the answer ended at the limit of its length"),
            Doubt::Empty => out.write_str("the answer is empty"),
            Doubt::Repeats { share, most } => write!(out, "{share:.3} of it stood before, above {most:.3}"),
            Doubt::BadSchema { fault } => write!(out, "not what was asked for: {fault}"),
            Doubt::LowConfidence { mean_log_probability, least } => {
                write!(out, "the mean log probability is {mean_log_probability:.3}, below {least:.3}")
            }
            Doubt::NotJson { fault } => write!(out, "the answer cannot be read: {fault}"),
        }
    }
}

/// Why the answer of a task (the JSON document of a bundle) is to be doubted; `None` if it passes. What the document does not tell
/// cannot fail.
pub fn of_document(document: &str, checks: &Checks) -> Option<Doubt> {
    match serde_json::from_str(document) {
        Ok(document) => of_scores(&scores::scores(&document), checks),
        Err(fault) => Some(Doubt::NotJson { fault: fault.to_string() }),
    }
}

/// Why the answer of a language model is to be doubted; `None` if it passes.
pub fn of_chat(answer: &[u8], wanted: &Wanted, checks: &Checks) -> Option<Doubt> {
    match serde_json::from_slice::<Value>(answer) {
        Ok(answer) => of_told(&chat::read(&answer, wanted), checks),
        Err(fault) => Some(Doubt::NotJson { fault: fault.to_string() }),
    }
}

/// The same, of what was read already.
pub fn of_scores(scores: &Scores, checks: &Checks) -> Option<Doubt> {
    if checks.something && scores.things == Some(0) {
        return Some(Doubt::NothingFound);
    }
    if let Some((score, least)) = below(scores.lowest, checks.min_score) {
        return Some(Doubt::LowScore { score, least });
    }
    if let Some((margin, least)) = below(scores.margin, checks.min_margin) {
        return Some(Doubt::SmallMargin { margin, least });
    }
    (checks.complete && scores.left_out).then_some(Doubt::LeftOut)
}

/// The same, of what was read already.
pub fn of_told(told: &Told, checks: &Checks) -> Option<Doubt> {
    if checks.finished && told.truncated {
        return Some(Doubt::Truncated);
    }
    if checks.finished && told.empty {
        return Some(Doubt::Empty);
    }
    if let Some(fault) = told.schema_fault.as_ref().filter(|_| checks.format) {
        return Some(Doubt::BadSchema { fault: fault.clone() });
    }
    if let (Some(share), Some(most)) = (told.repetition, checks.max_repetition)
        && share > most
    {
        return Some(Doubt::Repeats { share, most });
    }
    let (mean_log_probability, least) = below(told.mean_log_probability, checks.min_mean_log_probability)?;
    Some(Doubt::LowConfidence { mean_log_probability, least })
}

/// The number and its bound, if it is below.
fn below(number: Option<f64>, least: Option<f64>) -> Option<(f64, f64)> {
    number.zip(least).filter(|(number, least)| number < least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Checks = Checks {
        min_score: Some(0.5),
        min_margin: Some(0.2),
        something: true,
        complete: true,
        finished: true,
        max_repetition: Some(0.3),
        format: true,
        min_mean_log_probability: Some(-1.0),
    };

    #[test]
    fn each_check_raises_its_doubt_and_none_when_it_is_off() {
        for (document, word) in [
            (r#"{"label":"a","score":0.9,"labels":[{"score":0.9},{"score":0.05}]}"#, None),
            (r#"{"label":"a","score":0.4,"labels":[{"score":0.4},{"score":0.05}]}"#, Some("low_score")),
            (r#"{"label":"a","score":0.55,"labels":[{"score":0.55},{"score":0.45}]}"#, Some("small_margin")),
            (r#"{"objects":[{"score":0.9},{"score":0.3}]}"#, Some("low_score")),
            (r#"{"objects":[]}"#, Some("nothing_found")),
            (r#"{"lines":[{"score":0.9,"box_score":0.9}],"left_out":2}"#, Some("left_out")),
            (r#"{"score":0.55,"threshold":0.5,"regions":[]}"#, Some("nothing_found")),
            (r#"{"embedding":[0.1]}"#, None),
            ("{", Some("not_json")),
        ] {
            assert_eq!(of_document(document, &ALL).map(|doubt| doubt.as_str()), word, "{document}");
            let off = of_document(document, &Checks::default()).map(|doubt| doubt.as_str());
            assert_eq!(off, word.filter(|word| *word == "not_json"), "{document}");
        }
    }

    #[test]
    fn an_anomaly_near_its_threshold_is_in_doubt_and_one_far_from_it_is_not() {
        let checks = Checks { min_margin: Some(0.1), min_score: Some(0.5), ..Checks::default() };
        let near = of_document(r#"{"score":0.45,"threshold":0.5,"anomalous":false,"regions":[]}"#, &checks).unwrap();
        assert_eq!(near.as_str(), "small_margin");
        let (seen, asked) = near.numbers().unwrap();
        assert!((seen - 0.05).abs() < 1e-9 && asked == 0.1);
        assert_eq!(of_document(r#"{"score":0.02,"threshold":0.5,"regions":[]}"#, &checks), None);
    }

    #[test]
    fn answers_of_language_models_are_doubted_for_what_they_show() {
        let choice = |finish: &str, content: &str, logprob: f64| {
            serde_json::json!({"choices": [{"finish_reason": finish, "message": {"content": content},
                "logprobs": {"content": [{"token": "x", "logprob": logprob}]}}]})
            .to_string()
        };
        let looped = "and so on and so forth ".repeat(20);
        for (answer, wanted, word) in [
            (choice("stop", "A short answer.", -0.2), Wanted::Text, None),
            (choice("length", "A short", -0.2), Wanted::Text, Some("truncated")),
            (choice("stop", "", -0.2), Wanted::Text, Some("empty")),
            (choice("stop", &looped, -0.2), Wanted::Text, Some("repeats")),
            (choice("stop", "no JSON", -0.2), Wanted::Object, Some("bad_schema")),
            (choice("stop", "Perhaps.", -2.5), Wanted::Text, Some("low_confidence")),
        ] {
            let doubt = of_chat(answer.as_bytes(), &wanted, &ALL);
            assert_eq!(doubt.as_ref().map(Doubt::as_str), word, "{answer}");
            assert_eq!(of_chat(answer.as_bytes(), &wanted, &Checks::default()), None);
            assert!(doubt.is_none_or(|doubt| !doubt.to_string().is_empty()));
        }
    }
}
