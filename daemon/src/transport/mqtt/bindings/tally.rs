//! What a binding did, in numbers. Must not know what is done about them.

use edge_core::Mono;
use edge_wire::dto::BindingStatus;
use edge_wire::error::ErrorCode;

use super::Answered;
use super::frame::Frame;
use crate::binding::gate::Gate;
use crate::binding::words;
use crate::config::bindings::BindingConfig;
use crate::request::Reply;

/// Sums since the start, and how the last frame went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) received: u64,
    /// Had come round in a circle.
    pub(super) circular: u64,
    /// Kept by the broker from an earlier time.
    pub(super) retained: u64,
    /// There was no room for them before they came to the gate.
    pub(super) crowded: u64,
    done: u64,
    failed: u64,
    last_at: String,
    last_age_us: u64,
    /// Of the last failure.
    code: String,
    message: String,
    /// The last frame had none to go to.
    has_no_model: bool,
}

impl Tally {
    /// A frame was answered.
    pub(super) fn answered(&mut self, now: Mono, frame: &Frame, reply: &Reply) {
        self.last_age_us = u64::try_from(now.since(frame.received).as_micros()).unwrap_or(u64::MAX);
        self.last_at.clone_from(&reply.info.completed_at);
        match &reply.result {
            Ok(_) => {
                self.done += 1;
                self.has_no_model = false;
            }
            Err(failure) => {
                self.failed += 1;
                self.has_no_model = failure.code == ErrorCode::UnknownModel;
                self.code = failure.code.as_str().into();
                self.message.clone_from(&failure.message);
            }
        }
    }

    /// Answers of either kind, and failures among them.
    pub(super) fn results(&self) -> (u64, u64) {
        (self.done + self.failed, self.failed)
    }

    /// As status shows it.
    pub(super) fn status(
        &self,
        config: &BindingConfig,
        gate: &Gate<Frame, Answered>,
        own: (&str, &str),
    ) -> BindingStatus {
        let (node, prefix) = own;
        let counts = gate.counts();
        let count = |number: usize| number as u64;
        BindingStatus {
            name: config.name.clone(),
            words: words::sentences(config, node, prefix),
            model: config.model.clone(),
            received: self.received,
            submitted: counts.submitted,
            done: self.done,
            failed: self.failed,
            skipped: counts.skipped,
            overloaded: counts.overloaded + self.crowded,
            circular: self.circular,
            retained: self.retained,
            waiting: count(gate.waiting()),
            open: count(gate.open()),
            sources: count(gate.sources()),
            last_at: self.last_at.clone(),
            last_age_us: self.last_age_us,
            last_error_code: self.code.clone(),
            last_error: self.message.clone(),
            problem: if self.has_no_model { self.message.clone() } else { String::new() },
        }
    }
}
