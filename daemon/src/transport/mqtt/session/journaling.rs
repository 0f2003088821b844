//! The session's dealings with the journal: what is put into it and when, what a failure of it means, and what a former
//! daemon left in it.

use edge_core::Mono;

use super::job::{Job, Journaled, Phase};
use super::{Action, JobId, Noted, RESTORED_AT_ONCE, Session};
use crate::ledger::Key;

impl Session {
    /// Requests from now on are numbered from `first_job` on, if they were not beyond it already.
    pub fn number_from(&mut self, first_job: i64) {
        self.next_job = self.next_job.max(first_job);
    }

    /// A request that a former daemon left in the journal. Best before anything arrives: what the broker sends again is
    /// known by then.
    pub fn restore(&mut self, now: Mono, job: JobId, key: Option<Key>, bytes: usize, deaths: u8) {
        let mut restored = Job::new(now, bytes, key, deaths);
        (restored.journal, restored.restored, restored.phase) = (Journaled::Safe, true, Phase::Parked);
        self.rows += 1;
        self.row_bytes += bytes as u64;
        if let Some(key) = &restored.key {
            restored.leads = !self.by_key.contains_key(key);
            self.by_key.entry(key.clone()).or_insert(job);
        }
        self.jobs.insert(job, restored);
        self.next_job = self.next_job.max(job.0 + 1);
        self.parked.push_back(job);
        self.unpark(now);
    }

    /// The request is safe in the journal.
    pub fn written(&mut self, job: JobId) {
        // One that was answered meanwhile was removed as well.
        let Some(open) = self.jobs.get_mut(&job) else { return };
        open.journal = Journaled::Safe;
        for ack in std::mem::take(&mut open.acks) {
            self.acks.settle(ack);
        }
        self.actions.push_back(Action::Note { job, step: Noted::Journaled });
        self.run_if_secured(job);
    }

    /// The request could not be written to the journal: it is acknowledged when it is answered.
    pub fn write_failed(&mut self, job: JobId) {
        self.numbers.unjournaled += 1;
        if let Some(open) = self.jobs.get_mut(&job) {
            open.journal = Journaled::Failed;
            let bytes = open.bytes;
            self.forget_row(bytes);
            self.run_if_secured(job);
        }
    }

    /// No write that is under way will be answered any more.
    pub fn writes_failed(&mut self) {
        let writing = self.jobs.iter().filter(|(_, open)| open.journal == Journaled::Writing);
        let mut writing: Vec<JobId> = writing.map(|(job, _)| *job).collect();
        writing.sort_unstable();
        for job in writing {
            self.write_failed(job);
        }
    }

    /// Counts a request that the journal did not take, once.
    pub(super) fn count_unjournaled(&mut self, job: JobId) {
        if let Some(open) = self.jobs.get_mut(&job)
            && !std::mem::replace(&mut open.unjournaled, true)
        {
            self.numbers.unjournaled += 1;
        }
    }

    pub(super) fn run_if_secured(&mut self, job: JobId) {
        if let Some(open) = self.jobs.get_mut(&job)
            && open.phase == Phase::Securing
        {
            open.phase = Phase::Running;
            self.actions.push_back(Action::Run { job, deaths: open.deaths });
        }
    }

    /// `false` if the journal has no room, or replies already wait in such numbers that more must not be promised.
    pub(super) fn write(&mut self, job: JobId, deaths: u8) -> bool {
        let Some(open) = self.jobs.get_mut(&job) else { return false };
        let bytes = open.bytes as u64;
        let room = self.rows < self.limits.journal_rows && self.row_bytes + bytes <= self.limits.journal_bytes;
        if !room || self.window.waiting() >= self.limits.replies_waiting {
            return false;
        }
        open.journal = Journaled::Writing;
        self.rows += 1;
        self.row_bytes += bytes;
        self.actions.push_back(Action::Write { job, deaths });
        true
    }

    pub(super) fn forget_row(&mut self, bytes: usize) {
        self.rows = self.rows.saturating_sub(1);
        self.row_bytes = self.row_bytes.saturating_sub(bytes as u64);
    }

    /// Lets requests of a former daemon go on, a few at a time: their payloads come from the disk.
    pub(super) fn unpark(&mut self, now: Mono) {
        while self.restored < RESTORED_AT_ONCE
            && let Some(job) = self.parked.pop_front()
        {
            let Some(open) = self.jobs.get_mut(&job) else { continue };
            self.restored += 1;
            match open.key.clone() {
                Some(key) => {
                    open.phase = Phase::Recalling;
                    self.actions.push_back(Action::Recall { job, key });
                }
                None => self.start(now, job),
            }
        }
    }
}
