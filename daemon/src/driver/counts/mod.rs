//! What became of requests since the start, by model: counted when each is settled, read by whoever scrapes `/metrics`.
//!
//! A label is a name that this box knows, or a word of a closed set. What a caller wrote never becomes one: requests for a model that
//! is not known are counted without a model.

mod durations;

use std::collections::BTreeMap;

use edge_core::{Origin, Outcome};

pub use self::durations::Durations;
use super::Driver;
use super::entry::Entry;
use crate::request::{Failure, Request};

/// Models that are counted apart; those beyond are counted without a model, like those that are not known. No box has so many.
const MOST_MODELS: usize = 256;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// Where it came in: `bus` or `broker`.
    pub transport: &'static str,
    /// `local`, `spill`, `speculate`, `defer` or `refuse`.
    pub verdict: &'static str,
    /// `done`, `failed`, `refused`, ...
    pub outcome: &'static str,
    /// The error code; empty for one with a result.
    pub code: &'static str,
}

/// Of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfModel {
    pub endings: BTreeMap<Ending, u64>,
    /// From acceptance to the start of the model; of those that ran here.
    pub queue: Durations,
    /// In the model; of those that ran here.
    pub compute: Durations,
    /// From receipt to reply; of those with a result.
    pub total: Durations,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Bytes sent to other sites.
    pub sent_bytes: u64,
    /// Of the power rail while it ran; 0 where none can be read.
    pub energy_mj: f64,
    /// What other sites asked for it.
    pub cost_usd: f64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By name; the empty one is for models that are not known.
    pub models: BTreeMap<String, OfModel>,
    /// Refusals by their reason.
    pub refusals: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// What is counted of a model.
    fn of(&mut self, model: &str) -> Option<&mut OfModel> {
        let is_new = !self.models.contains_key(model);
        let name = if is_new && self.models.len() >= MOST_MODELS { "" } else { model };
        if !self.models.contains_key(name) {
            self.models.insert(name.to_owned(), OfModel::default());
        }
        self.models.get_mut(name)
    }

    /// One request of `model` ended so; the model's numbers, for what else is known of it.
    fn end(&mut self, model: &str, ending: Ending) -> Option<&mut OfModel> {
        let of = self.of(model)?;
        *of.endings.entry(ending).or_default() += 1;
        Some(of)
    }

    fn refuse(&mut self, reason: &'static str) {
        *self.refusals.entry(reason).or_default() += 1;
    }
}

/// The word of a verdict, as one that outlives its request.
fn verdict(word: &str) -> &'static str {
    const WORDS: [&str; 5] = ["local", "spill", "speculate", "defer", "refuse"];
    WORDS.into_iter().find(|known| *known == word).unwrap_or_default()
}

impl Driver {
    /// A request was settled, and all is known of it that will be.
    pub(super) fn count_settled(&mut self, entry: &Entry, outcome: Outcome, failure: Option<&Failure>) {
        let (info, travel) = (&entry.info, &entry.travel);
        if let Outcome::Refused(refusal) = outcome {
            self.counts.refuse(refusal.reason.as_str());
        }
        let ending = Ending {
            transport: entry.story.caller.origin().as_str(),
            verdict: verdict(&info.verdict),
            outcome: outcome.as_str(),
            code: failure.map_or("", |failure| failure.code.as_str()),
        };
        let Some(of) = self.counts.end(&info.model, ending) else { return };
        of.input_tokens += u64::from(travel.tokens.input);
        of.output_tokens += u64::from(travel.tokens.output);
        of.sent_bytes += travel.sent_bytes;
        of.energy_mj += info.energy_mj;
        of.cost_usd += info.cost_usd;
        if failure.is_none() {
            of.total.add(info.total_us);
        }
        if failure.is_none() && outcome == Outcome::Done {
            of.queue.add(info.queue_us);
            of.compute.add(info.compute_us);
        }
    }

    /// A request was refused before the core was asked.
    pub(super) fn count_refused(&mut self, origin: Origin, model: &str, code: &'static str) {
        self.counts.refuse(code);
        let ending = Ending { transport: origin.as_str(), verdict: "refuse", outcome: "refused", code };
        let model = if self.knows_model(model) { model } else { "" };
        self.counts.end(model, ending);
    }

    /// Whether a name is that of a model here or at another site.
    fn knows_model(&self, name: &str) -> bool {
        self.models.bundles().iter().any(|bundle| bundle.found.name == name)
            || self.pipelines.iter().any(|served| served.found.name == name)
            || self.sites.iter().any(|(_, known)| known.config.models.contains_key(name))
    }
}

/// The name of a model without the version that a caller may have put behind it.
pub(super) fn name_of(request: &Request) -> &str {
    request.model.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Ending = Ending { transport: "bus", verdict: "local", outcome: "done", code: "" };

    #[test]
    fn what_ends_alike_is_one_number_and_every_word_is_one_of_a_closed_set() {
        let mut counts = Counts::default();
        for model in ["a", "b", "a"] {
            counts.end(model, DONE).unwrap().total.add(1);
        }
        counts.end("a", Ending { outcome: "refused", code: "overloaded", ..DONE });
        assert_eq!(counts.models["a"].endings[&DONE], 2);
        assert_eq!((counts.models["a"].endings.len(), counts.models["a"].total.count()), (2, 2));
        for (word, known) in [("spill", "spill"), ("Local", ""), ("", ""), ("evil\"label", "")] {
            assert_eq!(verdict(word), known);
        }
    }

    #[test]
    fn beyond_the_bound_models_are_counted_together() {
        let mut counts = Counts::default();
        for model in 0..MOST_MODELS + 50 {
            counts.end(&format!("m{model}"), DONE);
        }
        assert!(counts.models.len() <= MOST_MODELS + 1);
        let sum: u64 = counts.models.values().flat_map(|of| of.endings.values()).sum();
        assert_eq!(sum, u64::try_from(MOST_MODELS + 50).unwrap());
        assert!(counts.models[""].endings[&DONE] >= 50);
    }
}
