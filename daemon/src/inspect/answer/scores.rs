//! Reads how sure a model was from the JSON document of its task (the tables of `docs/json.md`): the highest and the lowest score, and
//! the distance between the first and the second class. Must not know which of them is enough.

use serde_json::Value;

/// How sure an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// The highest score of anything found, 0 to 1.
    pub top: Option<f64>,
    /// The lowest one: of the box, line or region that is least sure.
    pub lowest: Option<f64>,
    /// First class less second one; of an anomaly the distance of the score from its threshold; of an embedding that of the two most
    /// similar ones.
    pub margin: Option<f64>,
    /// Things found: boxes, lines, regions, segments. `None` where the task finds no list of things.
    pub things: Option<usize>,
    /// Some were found and left out of the answer.
    pub left_out: bool,
}

/// Lists of things, each with a score of its own.
const LISTS: [&str; 5] = ["objects", "boxes", "lines", "regions", "segments"];

/// What the document says; nothing for tasks without scores.
pub fn scores(document: &Value) -> Scores {
    let mut scores = Scores::default();
    for name in LISTS {
        if let Some(list) = document.get(name).and_then(Value::as_array) {
            scores.things = Some(scores.things.unwrap_or(0) + list.len());
            list.iter().for_each(|thing| things(thing, &mut scores));
        }
    }
    scores.left_out = ["left_out", "polygons_left_out"].iter().any(|name| document.get(name).is_some());
    let whole = ["score", "confidence"].iter().find_map(|name| number(document.get(name)));
    if let Some(threshold) = number(document.get("threshold")) {
        // A score near 0 is as sure as one near 1: what is in doubt lies near the threshold, regions included.
        return Scores { top: None, lowest: None, margin: whole.map(|score| (score - threshold).abs()), ..scores };
    }
    if let Some(score) = whole {
        add(score, &mut scores);
    }
    scores.margin = margin(document.get("labels"), "score").or_else(|| margin(document.get("matches"), "similarity"));
    scores
}

fn things(thing: &Value, scores: &mut Scores) {
    for name in ["score", "box_score"] {
        if let Some(score) = number(thing.get(name)) {
            add(score, scores);
        }
    }
}

fn add(score: f64, scores: &mut Scores) {
    scores.top = Some(scores.top.map_or(score, |top| top.max(score)));
    scores.lowest = Some(scores.lowest.map_or(score, |lowest| lowest.min(score)));
}

/// The list is the best first.
fn margin(list: Option<&Value>, name: &str) -> Option<f64> {
    let [first, second, ..] = list?.as_array()?.as_slice() else { return None };
    Some(number(first.get(name))? - number(second.get(name))?)
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_task_tells_how_sure_it_is_in_its_own_way() {
        for (document, top, lowest, margin, things) in [
            (
                json!({"label": "a", "score": 0.75, "labels": [{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}]}),
                Some(0.75),
                Some(0.75),
                Some(0.5),
                None,
            ),
            (json!({"objects": [{"score": 0.9}, {"score": 0.4}]}), Some(0.9), Some(0.4), None, Some(2)),
            (json!({"objects": []}), None, None, None, Some(0)),
            (json!({"boxes": [{"polygon": [], "score": 0.8}]}), Some(0.8), Some(0.8), None, Some(1)),
            (json!({"lines": [{"text": "x", "score": 0.9, "box_score": 0.5}]}), Some(0.9), Some(0.5), None, Some(1)),
            (json!({"text": "x", "confidence": 0.6}), Some(0.6), Some(0.6), None, None),
            (json!({"regions": [{"area": 0.1}], "coverage": []}), None, None, None, Some(1)),
            (json!({"score": 0.25, "threshold": 0.5, "regions": [{"score": 0.3}]}), None, None, Some(0.25), Some(1)),
            (
                json!({"embedding": [1.0], "matches": [{"similarity": 0.75}, {"similarity": 0.5}]}),
                None,
                None,
                Some(0.25),
                None,
            ),
            (json!({"segments": [], "speech_ms": 0}), None, None, None, Some(0)),
            (json!({"label": "pdf", "score": 0.99}), Some(0.99), Some(0.99), None, None),
            (json!([1, 2]), None, None, None, None),
        ] {
            let expected = Scores { top, lowest, margin, things, left_out: false };
            assert_eq!(scores(&document), expected, "{document}");
        }
        assert!(scores(&json!({"lines": [], "left_out": 3})).left_out);
    }
}
