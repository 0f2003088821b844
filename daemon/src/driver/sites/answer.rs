//! An answer of this box is looked at before it is given, where a rule says so. What is doubtful is the rule's to say; what follows, the
//! core's.

use edge_core::{Event, RequestId};

use crate::config::rules::Check;
use crate::driver::Driver;
use crate::driver::trace::Step;
use crate::inspect::answer::{self, Checks, Doubt};
use crate::request::Output;

impl Driver {
    /// The core wants to know whether an answer is doubtful.
    pub(in crate::driver) fn check_answer(&mut self, id: RequestId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let doubt = match (&entry.result, entry.travel.check.as_ref()) {
            (Some(Output::Document(document)), Some(check)) => answer::of_document(document, &checks(check)),
            // Tensors say nothing of how sure a model is.
            (Some(Output::Tensors(_)) | None, _) | (_, None) => None,
        };
        let said = match &doubt {
            Some(doubt) => format!("doubtful, {}: {doubt}", doubt.as_str()),
            None => "nothing is doubtful".into(),
        };
        entry.story.steps.push((self.now, Step::Checked { said }));
        entry.travel.doubt = doubt.as_ref().map(Doubt::as_str);
        self.core.handle(self.now, Event::Checked { id, doubtful: doubt.is_some() });
    }
}

fn checks(check: &Check) -> Checks {
    Checks {
        min_score: check.min_score.map(edge_core::Ratio::get),
        min_margin: check.min_margin.map(edge_core::Ratio::get),
        complete: check.truncation,
        finished: check.truncation,
        max_repetition: check.max_repetition.map(edge_core::Ratio::get),
        format: check.schema,
        // A mean probability per token, as its logarithm.
        min_mean_log_probability: check.min_confidence.map(|least| least.get().ln()),
        ..Checks::default()
    }
}
