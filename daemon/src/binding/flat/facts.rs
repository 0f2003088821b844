//! What an answer says in one word and two numbers, whatever its task. Reads the documents by their shape, so that those of
//! pipelines and of other sites are read too.

use serde_json::Value;

/// Longest text or class that is told, characters.
const MOST_TEXT: usize = 1024;

/// What an answer says. What its task does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Label of the best one; empty if nothing was found.
    pub class: Option<String>,
    /// How sure the model is of that, 0 to 1; for lines of text, of the least sure one.
    pub score: Option<f64>,
    /// How many were found, those included that the answer leaves out.
    pub count: Option<u64>,
    /// On one line.
    pub text: Option<String>,
}

impl Facts {
    /// These, after those: what was told before and is not any more is told to be nothing, or a value of an earlier frame would
    /// stand beside those of this one.
    pub fn in_place_of(self, before: &Facts) -> Facts {
        Facts {
            class: self.class.or_else(|| before.class.as_ref().map(|_| String::new())),
            score: self.score.or_else(|| before.score.map(|_| 0.0)),
            count: self.count.or_else(|| before.count.map(|_| 0)),
            text: self.text.or_else(|| before.text.as_ref().map(|_| String::new())),
        }
    }
}

/// What the document of a task says.
pub fn facts(document: &Value) -> Facts {
    let mut facts = if let Some(lines) = list(document, "lines") {
        reading(lines)
    } else if let Some(boxes) = list(document, "boxes") {
        Facts { score: best(boxes, "score"), ..Facts::default() }
    } else if let Some(objects) = list(document, "objects") {
        found(objects)
    } else if let Some(anomalous) = document.get("anomalous").and_then(Value::as_bool) {
        let class = if anomalous { "anomalous" } else { "normal" };
        Facts { class: Some(class.into()), score: number(document, "score"), ..Facts::default() }
    } else if let Some(regions) = list(document, "regions") {
        found(regions)
    } else if let Some(segments) = list(document, "segments") {
        let class = if segments.is_empty() { "silence" } else { "speech" };
        Facts { class: Some(class.into()), ..Facts::default() }
    } else if let Some(matches) = list(document, "matches") {
        let class = text(document, "label").unwrap_or_default();
        let score = matches.first().and_then(|first| number(first, "similarity"));
        Facts { class: Some(class), score, ..Facts::default() }
    } else if let Some(choice) = list(document, "choices").and_then(|choices| choices.first()) {
        let said = choice.get("message").and_then(|message| text(message, "content"));
        Facts { text: said.or_else(|| text(choice, "text")), ..Facts::default() }
    } else {
        // Of one thing: a class, or a line of text.
        let score = number(document, "score").or_else(|| number(document, "confidence"));
        Facts { class: text(document, "label"), score, count: None, text: text(document, "text") }
    };
    facts.count = count(document);
    facts.class = facts.class.map(|class| one_line(&class));
    facts.text = facts.text.map(|text| one_line(&text));
    facts
}

fn reading(lines: &[Value]) -> Facts {
    let words: Vec<String> = lines.iter().filter_map(|line| text(line, "text")).collect();
    let least = lines.iter().filter_map(|line| number(line, "score")).min_by(f64::total_cmp);
    Facts { text: Some(words.join(" ")), score: least, ..Facts::default() }
}

/// The first one is the surest, or the largest.
fn found(things: &[Value]) -> Facts {
    let first = things.first();
    let class = first.and_then(|first| text(first, "label")).unwrap_or_default();
    Facts { class: Some(class), score: first.and_then(|first| number(first, "score")), ..Facts::default() }
}

fn count(document: &Value) -> Option<u64> {
    const LISTS: [&str; 6] = ["lines", "boxes", "objects", "regions", "segments", "matches"];
    let listed = LISTS.iter().find_map(|key| list(document, key))?.len() as u64;
    Some(listed.saturating_add(document.get("left_out").and_then(Value::as_u64).unwrap_or_default()))
}

fn best(things: &[Value], key: &str) -> Option<f64> {
    things.iter().filter_map(|thing| number(thing, key)).max_by(f64::total_cmp)
}

fn list<'a>(document: &'a Value, key: &str) -> Option<&'a [Value]> {
    document.get(key).and_then(Value::as_array).map(Vec::as_slice)
}

fn number(document: &Value, key: &str) -> Option<f64> {
    document.get(key).and_then(Value::as_f64).filter(|number| number.is_finite())
}

fn text(document: &Value, key: &str) -> Option<String> {
    document.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MOST_TEXT).collect()
}
