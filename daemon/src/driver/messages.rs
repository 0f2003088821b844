//! What transports ask, one message after the other: each goes to whoever carries it out, and the answer back. Must not know
//! what becomes of it.

use edge_core::{Event, Origin, RequestId};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::jobs::{JobId, JobState, Operation};
use super::trace::{Step, Story};
use super::{Driver, answer};
use crate::cache::Ask;
use crate::handle::{Deed, Message, Note};
use crate::request::{Caller, Failure};

/// Messages taken before the host and the timers get a turn.
const BURST: usize = 64;

impl Driver {
    pub(super) fn on_messages(&mut self, first: Message) {
        self.now = self.clock.now();
        self.on_message(first);
        for _ in 1..BURST {
            match self.outside.inbox.try_recv() {
                Ok(message) => self.on_message(message),
                Err(_) => return,
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Submit { request, reply } => {
                self.submit(*request, reply);
                self.act();
            }
            Message::Cancel { caller, request_id, found } => self.cancel(&caller, &request_id, found),
            Message::ClientLeft { caller } => {
                if let Some((client, _)) = self.clients.get(&caller) {
                    self.core.handle(self.now, Event::ClientLeft { client: *client });
                }
            }
            Message::Drain => self.core.handle(self.now, Event::Drain),
            Message::CutOff { done } => {
                self.cut_off();
                answer(done, ());
            }
            Message::Resume => self.core.handle(self.now, Event::Resume),
            Message::Reload { done } => self.reload(done),
            Message::Hold { why, done } => {
                let result = self.hold(&why);
                answer(done, result);
            }
            Message::Release { id } => self.release_hold(id),
            Message::Governor { done } => {
                let report = Box::new(self.governor_report());
                answer(done, report);
            }
            Message::Load { model, done } => {
                let result = self.load(&model);
                answer(done, result);
            }
            Message::Unload { model, done } => {
                let result = self.unload(&model);
                answer(done, result);
            }
            Message::Install { from, activate, how, who, done } => {
                let result = self.install(from, activate, how, who);
                answer(done, result);
            }
            Message::Pull { wish, done } => {
                let result = self.pull(*wish);
                answer(done, result);
            }
            Message::Activate { model, how, who, done } => {
                let result = self.activate(&model, how, who);
                answer(done, result);
            }
            Message::Rollback { model, who, done } => {
                let result = self.rollback(&model, who);
                answer(done, result);
            }
            Message::Remove { model, force, who, done } => self.remove(&model, force, who, done),
            Message::History { done } => self.history(done),
            Message::Tune { model, done } => {
                let result = self.tune(&model);
                answer(done, result);
            }
            Message::Plan { model, done } => {
                let result = self.plan_of(&model).map(Box::new);
                answer(done, result);
            }
            Message::CancelJob { id, done } => {
                let result = self.cancel_job(JobId(id));
                answer(done, result);
            }
            Message::Cache { done } => self.relay_to_cache(Ask::List { done }),
            Message::ClearCache { model, done } => self.relay_to_cache(Ask::Clear { model, done }),
            Message::ExportCache { models, to, who, done } => {
                let result = self.export_cache(models, to, who);
                answer(done, result);
            }
            Message::ImportCache { from, who, done } => {
                let result = self.import_cache(from, who);
                answer(done, result);
            }
            Message::Status { done } => {
                self.publish();
                answer(done, self.outside.status.borrow().clone());
            }
            Message::Scrape { done } => {
                let scrape = Box::new(self.scrape());
                answer(done, scrape);
            }
            Message::Trace { request_id, found } => {
                let open = || {
                    let asked = self.entries.values().filter(|entry| !entry.place.is_child());
                    asked.map(|entry| &entry.story).find(|story| story.request_id == request_id)
                };
                let trace = open().or_else(|| self.stories.find(&request_id)).map(Story::to_trace);
                answer(found, trace);
            }
            Message::Notes(notes) => notes.into_iter().for_each(|note| self.note(note)),
            Message::Refused(refused) => self.refused_outside(*refused),
            Message::Sync { done } => {
                let result = self.sync();
                answer(done, result);
            }
            Message::Reports(reports) => self.take_reports(reports),
            Message::Explain { profile, done } => {
                let result = self.explain(&profile);
                answer(done, result);
            }
            Message::Audit { filter, done } => self.audit(filter, done),
            Message::Usage { filter, done } => self.usage(filter, done),
            Message::Replay { policy, since, done } => self.replay(&policy, since.as_deref(), done),
            Message::SiblingDone(done) => {
                self.sibling_done(*done);
                self.act();
            }
            Message::SiblingHeard(heard) => self.heard_of(&heard),
            Message::Mqtt(status) => {
                self.mqtt = *status;
                self.hear_fleet();
                self.touch();
            }
            Message::Sparkplug(status) => {
                self.sparkplug = *status;
                self.touch();
            }
            Message::Http(status) => {
                self.http = *status;
                self.touch();
            }
        }
    }

    /// What happens after the reply is of a settled request; only a journaled one may still be open.
    fn note(&mut self, Note { request_id, at, deed }: Note) {
        let open = match deed {
            Deed::Journaled => self.entries.values_mut().find(|entry| entry.story.request_id == request_id),
            Deed::Replied(_) | Deed::ReplyRefused(_) => None,
        };
        match open {
            Some(entry) if entry.story.steps.len() < 64 => entry.story.steps.push((at, Step::Done(deed))),
            Some(_) => {}
            None => self.stories.note(&request_id, at, Step::Done(deed)),
        }
    }

    fn cut_off(&mut self) {
        let of_callers = self.entries.iter().filter(|(_, entry)| !entry.place.is_child());
        let on_bus = of_callers.filter(|(_, entry)| entry.story.caller.origin() == Origin::Bus);
        let mut ids: Vec<RequestId> = on_bus.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            self.core.handle(self.now, Event::CutOff { id });
        }
        self.act();
    }

    /// Gives up what a caller has open under an id, wherever it is. What may wait on the disk is its user's, whatever connection it
    /// came on.
    fn cancel(&mut self, caller: &Caller, request_id: &str, found: oneshot::Sender<bool>) {
        let is_its = |entry: &Entry| {
            let asked = &entry.story;
            let same = asked.caller == *caller || entry.options.deferrable && asked.caller.is_user_of(caller);
            same && asked.request_id == request_id && !entry.place.is_child()
        };
        let its = self.entries.iter().filter(|(_, entry)| is_its(entry));
        let mut ids: Vec<RequestId> = its.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in &ids {
            self.core.handle(self.now, Event::Cancelled { id: *id });
        }
        self.cancel_deferred(caller, request_id, !ids.is_empty(), found);
    }

    /// Gives up a job on request.
    fn cancel_job(&mut self, id: JobId) -> Result<(), Failure> {
        let running = self.jobs.running_ids();
        let takes = || match running.as_slice() {
            [] => "none runs".to_owned(),
            ids => format!("takes {}", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
        };
        let Some(job) = self.jobs.get(id) else {
            return Err(Failure::invalid(format!("job: no job {}: {}", id.0, takes())));
        };
        if job.state != JobState::Running {
            let state = job.state.as_str();
            return Err(Failure::invalid(format!("job: job {} has ended already ({state}): {}", id.0, takes())));
        }
        match job.operation {
            Operation::Build => self.cancel_build(id),
            Operation::Tune => self.cancel_tune(id),
            Operation::Export | Operation::Import => self.cancel_carrying(),
            Operation::Install | Operation::Pull | Operation::Activate | Operation::Rollback => self.cancel_change(id),
        }
        Ok(())
    }
}
