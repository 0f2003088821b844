//! The steps of a request's life, from its arrival to the last acknowledgement.

use edge_core::Mono;

use super::Session;
use super::job::{Job, Journaled, Phase};
use super::terms::{Action, Arrival, JobId, Noted};
use crate::transport::mqtt::acks::Owed;
use crate::transport::mqtt::outbox::End;
use crate::transport::mqtt::packet::{Outbound, Qos};
use crate::transport::mqtt::window::{Fate, Tag};

impl Session {
    /// The open request that a redelivered message carried before.
    pub(super) fn find_known(&mut self, arrival: &Arrival) -> Option<JobId> {
        if arrival.qos == Qos::AtMostOnce {
            return None;
        }
        if !arrival.redelivered {
            // The broker gave the packet id to another message: the old one expired there.
            self.unsent.remove(&arrival.packet_id);
            return None;
        }
        // The broker kept the session and did not get our word for this packet id, so it is the same message.
        if let Some(unsent) = self.unsent.remove(&arrival.packet_id)
            && unsent.bytes == arrival.bytes
        {
            return Some(unsent.job);
        }
        arrival.key.as_ref().and_then(|key| self.by_key.get(key)).copied()
    }

    pub(super) fn owe_settled(&mut self, arrival: &Arrival) {
        let (packet_id, qos, bytes) = (arrival.packet_id, arrival.qos, arrival.bytes);
        self.acks.push(Owed { packet_id, qos, bytes, job: JobId(-1), settled: true });
    }

    /// A known request is owed one more acknowledgement.
    pub(super) fn attach(&mut self, now: Mono, job: JobId, arrival: &Arrival) {
        let Some(open) = self.jobs.get_mut(&job) else { return self.owe_settled(arrival) };
        let settled = open.journal == Journaled::Safe;
        let (packet_id, qos, bytes) = (arrival.packet_id, arrival.qos, arrival.bytes);
        let ack = self.acks.push(Owed { packet_id, qos, bytes, job, settled });
        if !settled {
            open.acks.push(ack);
            let due = open.received.after(self.limits.journal_after).max(now);
            self.due.push_back((due, job));
        }
    }

    pub(super) fn begin(&mut self, now: Mono, job: JobId, arrival: Arrival) {
        let mut open = Job::new(now, arrival.bytes, arrival.key, 0);
        if arrival.qos == Qos::AtMostOnce {
            open.journal = Journaled::Never;
            self.unowed += 1;
        } else {
            let (packet_id, qos, bytes) = (arrival.packet_id, arrival.qos, arrival.bytes);
            open.acks.push(self.acks.push(Owed { packet_id, qos, bytes, job, settled: false }));
        }
        if !arrival.refused {
            open.weight = arrival.bytes as u64;
            self.open_bytes += open.weight;
        }
        open.deferrable = arrival.deferrable;
        open.suspect = self.suspicious && arrival.redelivered && arrival.qos != Qos::AtMostOnce;
        let recall = match &open.key {
            Some(key) if !arrival.refused => {
                open.leads = !self.by_key.contains_key(key);
                self.by_key.entry(key.clone()).or_insert(job);
                (arrival.redelivered || arrival.maybe_answered).then(|| key.clone())
            }
            _ => None,
        };
        open.phase = if recall.is_some() { Phase::Recalling } else { Phase::Running };
        self.jobs.insert(job, open);
        match recall {
            Some(key) => self.actions.push_back(Action::Recall { job, key }),
            None if arrival.refused => {}
            None => self.start(now, job),
        }
    }

    /// Nothing is known of it: run it, or secure it first.
    pub(super) fn start(&mut self, now: Mono, job: JobId) {
        let Some(open) = self.jobs.get_mut(&job) else { return };
        if open.suspect && open.journal == Journaled::No {
            open.deaths = 1;
            open.phase = Phase::Securing;
            if self.write(job, 1) {
                return;
            }
            self.numbers.unjournaled += 1;
        }
        let Some(open) = self.jobs.get_mut(&job) else { return };
        open.phase = Phase::Running;
        let deaths = open.deaths;
        if open.journal == Journaled::No {
            let (deferrable, due) = (open.deferrable, open.received.after(self.limits.journal_after).max(now));
            match deferrable || self.limits.journal_after.is_zero() {
                true if self.write(job, 0) => {}
                true if deferrable => {
                    self.numbers.unjournaled += 1;
                    return self.actions.push_back(Action::Refuse(job));
                }
                true => self.numbers.unjournaled += 1,
                false => self.due.push_back((due, job)),
            }
        }
        self.actions.push_back(Action::Run { job, deaths });
    }

    pub(super) fn send(&mut self, job: JobId, message: Outbound) {
        let Some(open) = self.jobs.get_mut(&job) else { return };
        open.phase = Phase::Sending;
        if message.qos == Qos::AtMostOnce && self.window.waiting() >= self.limits.replies_waiting {
            self.numbers.dropped += 1;
            return self.settle(job, None);
        }
        self.window.push_reply(job, message);
    }

    pub(super) fn finish(&mut self, now: Mono, done: Option<(Tag, Fate)>) {
        match done {
            Some((Tag::Reply(job), fate)) => {
                if fate == Fate::Refused {
                    self.numbers.refused_by_broker += 1;
                }
                self.settle(job, Some(if fate == Fate::Accepted { Noted::Replied } else { Noted::ReplyRefused }));
                self.unpark(now);
            }
            Some((Tag::Letter(place), fate)) => {
                let end = if fate == Fate::Accepted { End::Accepted } else { End::Refused };
                self.outbox.end(place, end);
            }
            Some((Tag::Order(ticket), Fate::Refused)) => self.actions.push_back(Action::OrderRefused(ticket)),
            Some((Tag::Order(_), Fate::Accepted) | (Tag::Status, _)) | None => {}
        }
    }

    /// The request is over: what was owed for it may be sent, and the journal may forget it.
    pub(super) fn settle(&mut self, job: JobId, step: Option<Noted>) {
        let Some(open) = self.jobs.remove(&job) else { return };
        self.open_bytes = self.open_bytes.saturating_sub(open.weight);
        for ack in &open.acks {
            self.acks.settle(*ack);
        }
        if let Some(key) = open.key.filter(|_| open.leads) {
            self.by_key.remove(&key);
        }
        match open.journal {
            Journaled::Never => self.unowed = self.unowed.saturating_sub(1),
            Journaled::Safe => {
                self.forget_row(open.bytes);
                self.actions.push_back(Action::Remove(job));
            }
            Journaled::Writing => {
                // The orders keep their order: it is written, then removed, whenever the disk answers.
                self.forget_row(open.bytes);
                self.actions.push_back(Action::Remove(job));
            }
            Journaled::No | Journaled::Failed => {}
        }
        // Requests mostly end in the order in which they came, so that no timer is left behind by one that is over.
        while let Some((_, due)) = self.due.front()
            && !self.jobs.contains_key(due)
        {
            self.due.pop_front();
        }
        if open.restored {
            self.restored = self.restored.saturating_sub(1);
        }
        if let Some(step) = step {
            self.actions.push_back(Action::Note { job, step });
        }
        self.actions.push_back(Action::Forget(job));
    }
}
