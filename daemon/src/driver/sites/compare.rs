//! Answers of this box that are compared with a stronger site's: a small random sample of those that a learnt model let stay. It
//! tells whether the guarantee that was certified still holds; when it does not, the learnt model is asked no more until another is
//! put there. Only answers that can be told to be the same are compared. What was found is [`super::evidence`]'s.

use std::collections::BTreeMap;

use edge_core::request::Difficulty;
use edge_core::{Here, Outcome, Priority, Ratio, RequestId};
use serde_json::Value;

use crate::driver::Driver;
use crate::driver::entry::{Entry, Place};
use crate::handle::ReplySender;
use crate::request::{Options, Output, Request};

/// Longest text of a chat that is compared word for word, characters: what is longer is never the same twice.
const SHORT: usize = 80;

/// What this box answered, for a request that asks a stronger site the same.
#[derive(Clone, Debug)]
pub struct Compared {
    said: Gist,
    /// The share of answers that are compared.
    rate: Ratio,
    /// By which learnt model it was let stay.
    life: u64,
}

/// What of an answer is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Gist {
    Label(String),
    /// Words in lower case with a space between them.
    Words(String),
    /// The same of each line.
    Lines(Vec<String>),
    /// How often each label is there.
    Labels(BTreeMap<String, u32>),
}

impl Driver {
    /// A request has its answer: if it is of the sample, a stronger site is asked for it, too.
    pub(in crate::driver) fn compare(&mut self, id: RequestId, entry: &Entry, outcome: Outcome) {
        let travel = &entry.travel;
        if travel.sample == Ratio::ZERO || travel.terms.stronger.is_empty() || entry.travel.compared.is_some() {
            return;
        }
        let Some(guarantee) = self.looking.guarantee() else { return };
        // What another learnt model said of it tells nothing of this one.
        if travel.rated_by != self.evidence.life() {
            return;
        }
        let Some(recheck) = self.evidence.of(travel.sample, &guarantee).filter(|recheck| recheck.samples(id.0)) else {
            return;
        };
        match (outcome, travel.terms.difficulty) {
            (Outcome::Spilled(_), Difficulty::Hard) => {
                let standing = recheck.left();
                self.evidence.note(standing);
            }
            (Outcome::Done, Difficulty::Easy) if matches!(entry.place, Place::Single) => {
                if let Some(said) = entry.result.as_ref().and_then(gist) {
                    self.ask_again(entry, said);
                }
            }
            _ => {}
        }
    }

    /// Asks a stronger site for an answer that is there already. Its class and its rules are those of the request.
    fn ask_again(&mut self, entry: &Entry, said: Gist) {
        let options = Options {
            data_class: entry.options.data_class.clone(),
            task: entry.options.task.clone(),
            priority: Priority::Low,
            hops: entry.options.hops,
            client: entry.options.client.clone(),
            ..Options::default()
        };
        let request = Request {
            caller: entry.story.caller.clone(),
            topic: entry.topic.clone(),
            model: entry.info.model.clone(),
            options,
            payload: entry.payload.clone(),
            want: entry.want,
            deaths: 0,
            reached: entry.reached,
            stream: None,
        };
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let mut info = self.new_info(id, &request);
        let Ok(mut checked) = self.check(&request, &mut info) else { return };
        checked.here = Here::Elsewhere;
        self.accept(id, request, checked, info, false, ReplySender::Nobody);
        if let Some(again) = self.entries.get_mut(&id) {
            let travel = &entry.travel;
            again.travel.compared = Some(Compared { said, rate: travel.sample, life: travel.rated_by });
        }
    }

    /// The stronger site has answered, or not.
    pub(in crate::driver) fn compared(&mut self, entry: &Entry) {
        let Some(Compared { said, rate, life }) = &entry.travel.compared else { return };
        let (Some(other), Some(guarantee)) = (entry.result.as_ref().and_then(gist), self.looking.guarantee()) else {
            return;
        };
        if *life != self.evidence.life() {
            return;
        }
        let loss = if other == *said { Ratio::ZERO } else { Ratio::ONE };
        if let Some(recheck) = self.evidence.of(*rate, &guarantee) {
            let standing = recheck.stayed(loss);
            self.evidence.note(standing);
        }
    }
}

/// What of an answer is compared; `None` if it cannot be. The documents are those of `docs/json.md`. How sure a recipe is and where on a
/// picture something lies is left out: two models never say the same of that.
fn gist(output: &Output) -> Option<Gist> {
    let Output::Document(text) = output else { return None };
    let document: Value = serde_json::from_str(text).ok()?;
    if let Some(label) = document.get("label").and_then(Value::as_str) {
        return Some(Gist::Label(label.to_owned()));
    }
    if let Some(text) = document.get("text").and_then(Value::as_str) {
        return Some(Gist::Words(folded(text)));
    }
    if let Some(lines) = document.get("lines").and_then(Value::as_array) {
        let texts = lines.iter().map(|line| Some(folded(line.get("text")?.as_str()?)));
        return texts.collect::<Option<_>>().map(Gist::Lines);
    }
    if let Some(objects) = document.get("objects").and_then(Value::as_array) {
        let mut counts = BTreeMap::new();
        for object in objects {
            *counts.entry(object.get("label")?.as_str()?.to_owned()).or_insert(0) += 1;
        }
        return Some(Gist::Labels(counts));
    }
    let said = folded(document.pointer("/choices/0/message/content")?.as_str()?);
    (said.chars().count() <= SHORT && !said.is_empty()).then(|| Gist::Words(said.trim_end_matches('.').to_owned()))
}

fn folded(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(document: &Value) -> Option<Gist> {
        gist(&Output::Document(document.to_string()))
    }

    fn chat(said: &str) -> Value {
        json!({ "choices": [{ "message": { "content": said } }] })
    }

    fn lines(texts: &[&str]) -> Value {
        let line = |text: &&str| json!({ "text": text, "score": 0.9, "box": [[0, 0], [9, 0], [9, 9], [0, 9]], "direction": 0 });
        json!({ "lines": texts.iter().map(line).collect::<Vec<_>>(), "width": 9, "height": 9 })
    }

    fn objects(labels: &[&str], score: f64) -> Value {
        let object = |label: &&str| json!({ "label": label, "score": score, "box": [0.0, 0.0, score, 9.0] });
        json!({ "width": 9, "height": 9, "objects": labels.iter().map(object).collect::<Vec<_>>() })
    }

    #[test]
    fn answers_are_the_same_where_what_they_say_is() {
        let label = |label: &str, score: f64| json!({ "label": label, "score": score });
        let text = |text: &str, confidence: f64| json!({ "text": text, "confidence": confidence });
        for (one, other, same) in [
            (label("scratch", 0.9), label("scratch", 0.4), true),
            (label("scratch", 0.9), label("Scratch", 0.9), false),
            (text(" SN  0093-X7", 0.9), text("sn 0093-x7 ", 0.5), true),
            (text("SN 0093-X7", 0.9), text("SN 0098-X7", 0.9), false),
            (text("", 0.0), text(" ", 0.1), true),
            (lines(&["HP-300", "400 V"]), lines(&["hp-300", "400  v"]), true),
            (lines(&["HP-300", "400 V"]), lines(&["400 V", "HP-300"]), false),
            (lines(&["HP-300", "400 V"]), lines(&["HP-300"]), false),
            (lines(&["HP-300 400 V"]), lines(&["HP-300", "400 V"]), false),
            (lines(&[]), lines(&[]), true),
            (objects(&["bolt", "nut", "bolt"], 0.9), objects(&["nut", "bolt", "bolt"], 0.4), true),
            (objects(&["bolt", "bolt"], 0.9), objects(&["bolt"], 0.9), false),
            (objects(&["bolt"], 0.9), objects(&["nut"], 0.9), false),
            (objects(&[], 0.0), objects(&[], 0.0), true),
            (chat(" Answer:\n B. "), chat("answer: B"), true),
            (chat("B"), chat("C"), false),
            (label("b", 1.0), text("b", 1.0), false),
        ] {
            let (left, right) = (of(&one), of(&other));
            assert!(left.is_some() && right.is_some(), "{one} {other}");
            assert_eq!(left == right, same, "{one} {other}");
        }
    }

    #[test]
    fn what_has_no_sameness_is_not_compared() {
        for document in [
            chat(&"word ".repeat(40)),
            chat(""),
            json!([]),
            json!({ "label": null, "matches": [] }),
            json!({ "boxes": [{ "polygon": [], "score": 1.0 }] }),
            json!({ "segments": [], "speech_ms": 0 }),
            json!({ "lines": [{ "score": 1.0 }] }),
            json!({ "objects": [{ "label": 1 }] }),
        ] {
            assert_eq!(of(&document), None, "{document}");
        }
        assert_eq!(gist(&Output::Document("{".into())), None);
        assert_eq!(gist(&Output::Tensors(Vec::new())), None);
    }
}
