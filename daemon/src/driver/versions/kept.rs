//! What is to be on the disk and nobody waits for: records of models that no activation writes, and the history. What cannot be
//! written, since the disk is full for example, is a problem that status shows, and is tried again until it is written.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::Problem;

use super::super::Driver;
use super::Stage;
use crate::store::keeper::Ask;

/// Pause between two attempts: somebody has to make room meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// What is being written, and what could not be.
#[derive(Default)]
pub(super) struct Kept {
    /// Models whose records are being written, by the number of the question.
    writing: BTreeMap<u64, String>,
    /// Models whose records are not on the disk as they hold, and why.
    unwritten: BTreeMap<String, String>,
    /// Why the history cannot be written.
    history: Option<String>,
    again: Mono,
}

impl Driver {
    /// Has the record of a model written as it holds now.
    pub(super) fn keep_record(&mut self, name: &str) {
        let Some(record) = self.versions.records.get(name).cloned() else { return };
        // What an activation writes comes after this one, and must not be overwritten by it.
        let recording =
            |activation: &super::Activation| activation.name == name && activation.stage == Stage::Recording;
        let asked = match self.versions.activations.iter().any(recording) {
            true => Err("another version is just being made the active one".to_owned()),
            false => {
                let ask = |id| Ask::Record { id, name: name.to_owned(), record: Box::new(record) };
                self.ask_store(ask).map_err(|failure| failure.message)
            }
        };
        match asked {
            Ok(id) => drop(self.versions.kept.writing.insert(id, name.to_owned())),
            Err(why) => self.not_kept(name.to_owned(), why),
        }
    }

    /// A record that nobody waits for is on the disk, or not.
    pub(super) fn record_kept(&mut self, id: u64, result: Result<(), String>) {
        let Some(name) = self.versions.kept.writing.remove(&id) else { return };
        match result {
            Ok(()) => drop(self.versions.kept.unwritten.remove(&name)),
            Err(why) => self.not_kept(name, why),
        }
    }

    fn not_kept(&mut self, name: String, why: String) {
        let kept = &mut self.versions.kept;
        if kept.unwritten.get(&name) != Some(&why) {
            tracing::error!(model = %name, %why, "a record of the store could not be written; it is tried again");
        }
        kept.unwritten.insert(name, why);
        kept.again = self.now.after(PAUSE);
    }

    /// The history can be written again, or not any more.
    pub(super) fn history_kept(&mut self, fault: Option<String>) {
        self.versions.kept.history = fault;
        self.versions.kept.again = self.now.after(PAUSE);
    }

    /// When what could not be written is tried again.
    pub(super) fn kept_due(&self) -> Option<Mono> {
        let kept = &self.versions.kept;
        (!kept.unwritten.is_empty() || kept.history.is_some()).then_some(kept.again)
    }

    /// Now and then: what could not be written is tried again.
    pub(super) fn look_after_kept(&mut self) {
        if self.kept_due().is_none_or(|due| due > self.now) {
            return;
        }
        let kept = &mut self.versions.kept;
        kept.again = self.now.after(PAUSE);
        let flush = kept.history.is_some();
        for name in kept.unwritten.keys().cloned().collect::<Vec<_>>() {
            self.keep_record(&name);
        }
        if flush && let Some(store) = &self.outside.store {
            // One that has too much to do is asked after the next pause.
            store.ask(Ask::Flush).ok();
        }
    }

    /// What a technician has to know of it.
    pub(super) fn kept_problems(&self) -> Vec<Problem> {
        let remedy = "make room on the disk of the state directory, or put right what the text says; it is written by itself then";
        let problem = |what: String| Problem { subject: "store".into(), what, remedy: remedy.into() };
        let kept = &self.versions.kept;
        let records = kept.unwritten.iter().map(|(name, why)| {
            problem(format!("which version of {name} is active is not on the disk as it holds: {why}"))
        });
        let history = kept.history.iter().map(|why| problem(format!("the history of models cannot be written: {why}")));
        records.chain(history).collect()
    }
}
