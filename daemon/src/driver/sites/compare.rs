//! Answers of this box that are compared with a stronger site's: a small random sample of those that a learnt model let stay. It
//! tells whether the guarantee that was certified still holds; when it does not, the learnt model is asked no more until another is
//! put there. Only answers that can be told to be the same are compared: a label, or a short text.

use edge_core::quality::{Recheck, Standing, Withdrawn};
use edge_core::request::Difficulty;
use edge_core::{Here, Outcome, Priority, Ratio, RequestId};
use serde_json::Value;

use crate::difficulty::model::Guarantee;
use crate::driver::Driver;
use crate::driver::entry::{Entry, Place};
use crate::handle::ReplySender;
use crate::request::{Options, Output, Request};

/// Longest text that is compared word for word, characters: what is longer is never the same twice.
const SHORT: usize = 80;

/// The comparison of one learnt model, for each share that rules name.
#[derive(Debug, Default)]
pub(in crate::driver) struct Comparing {
    /// By the share in thousandths.
    rechecks: Vec<(u64, Recheck)>,
    withdrawn: Option<Withdrawn>,
}

impl Comparing {
    /// The check of a share, made when it is first named.
    fn of(&mut self, rate: Ratio, guarantee: &Guarantee) -> Option<&mut Recheck> {
        let permille = rate.of(1000);
        if !self.rechecks.iter().any(|(known, _)| *known == permille) {
            let target = Ratio::new(f64::from(guarantee.target_loss))?;
            let delta = Ratio::new(1.0 - f64::from(guarantee.confidence))?;
            self.rechecks.push((permille, Recheck::new(rate, target, delta)));
        }
        self.rechecks.iter_mut().find(|(known, _)| *known == permille).map(|(_, recheck)| recheck)
    }

    fn note(&mut self, standing: Standing) {
        if let Standing::Withdrawn(why) = standing
            && self.withdrawn.is_none()
        {
            tracing::error!(
                sampled = why.sampled,
                lost_milli = why.lost_milli,
                "the learnt model is asked no more: texts that stayed here lose more than was certified"
            );
            self.withdrawn = Some(why);
        }
    }

    /// Why the learnt model is asked no more, if so.
    pub fn withdrawn(&self) -> Option<String> {
        let why = self.withdrawn?;
        let (sampled, lost) = (why.sampled, why.lost_milli / 1000);
        Some(format!(
            "of {sampled} answers that were compared about {lost} were worse than the stronger site's, more than was certified"
        ))
    }
}

impl Driver {
    /// A request has its answer: if it is of the sample, a stronger site is asked for it, too.
    pub(in crate::driver) fn compare(&mut self, id: RequestId, entry: &Entry, outcome: Outcome) {
        let travel = &entry.travel;
        if travel.sample == Ratio::ZERO || travel.terms.stronger.is_empty() || entry.travel.compared.is_some() {
            return;
        }
        let Some(guarantee) = self.looking.guarantee() else { return };
        let Some(recheck) = self.comparing.of(travel.sample, &guarantee).filter(|recheck| recheck.samples(id.0)) else {
            return;
        };
        match (outcome, travel.terms.difficulty) {
            (Outcome::Spilled(_), Difficulty::Hard) => {
                let standing = recheck.left();
                self.comparing.note(standing);
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
    fn ask_again(&mut self, entry: &Entry, said: String) {
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
            again.travel.compared = Some((said, entry.travel.sample));
        }
    }

    /// The stronger site has answered, or not.
    pub(in crate::driver) fn compared(&mut self, entry: &Entry) {
        let Some((said, rate)) = &entry.travel.compared else { return };
        let (Some(other), Some(guarantee)) = (entry.result.as_ref().and_then(gist), self.looking.guarantee()) else {
            return;
        };
        let loss = if other == *said { Ratio::ZERO } else { Ratio::ONE };
        if let Some(recheck) = self.comparing.of(*rate, &guarantee) {
            let standing = recheck.stayed(loss);
            self.comparing.note(standing);
        }
    }
}

/// What of an answer is compared; `None` if it cannot be.
fn gist(output: &Output) -> Option<String> {
    let Output::Document(text) = output else { return None };
    let document: Value = serde_json::from_str(text).ok()?;
    if let Some(label) = document.get("label").and_then(Value::as_str) {
        return Some(label.to_owned());
    }
    let said = document.pointer("/choices/0/message/content")?.as_str()?;
    let words: Vec<String> = said.split_whitespace().map(str::to_lowercase).collect();
    let said = words.join(" ");
    (said.chars().count() <= SHORT && !said.is_empty()).then(|| said.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_short_texts_are_compared_and_nothing_else() {
        let gist = |text: &str| gist(&Output::Document(text.into()));
        let chat = |said: &str| serde_json::json!({ "choices": [{ "message": { "content": said } }] }).to_string();
        assert_eq!(gist(r#"{"label":"scratch","score":0.9}"#), Some("scratch".into()));
        assert_eq!(gist(&chat(" Answer:\n B. ")), Some("answer: b".into()));
        assert_eq!(gist(&chat(&"word ".repeat(40))), None);
        assert_eq!((gist(&chat("")), gist("[]"), gist("{")), (None, None, None));
    }
}
