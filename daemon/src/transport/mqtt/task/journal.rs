//! Between the session and the ledger: what goes to disk, what comes back, and what a former daemon left.

use edge_core::Mono;
use edge_wire::dto::Problem;
use edge_wire::error::ErrorCode;
use serde::{Deserialize, Serialize};

use super::requests::Open;
use super::{Stage, Task};
use crate::ledger::Key;
use crate::ledger::journal::{Found, Left, NotTaken, Report, Row};
use crate::ledger::replies;
use crate::request::Failure;
use crate::transport::mqtt::egress;
use crate::transport::mqtt::ingress::{self, Target};
use crate::transport::mqtt::packet::{Inbound, Properties, Qos};
use crate::transport::mqtt::session::JobId;
use crate::transport::mqtt::{DISK_LIMIT, no_journal, silent};

/// First byte of a head: the version of its form.
const HEAD_VERSION: u8 = 4;
/// Those before, each of which lacks one more of the last fields.
const HEADS_BEFORE: [u8; 2] = [3, 2];

/// What the journal keeps of a request besides its payload.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    topic: String,
    model: String,
    qos: u8,
    properties: Properties,
    /// Where the reply goes; found out once, as the patterns may change before the next start.
    reply_topic: String,
    id: Option<String>,
    /// The id that its reply carries, also if the sender gave none.
    known_as: String,
    /// It may wait on the disk of those that are put off, which counts its deaths itself: a crash while it only waits is none.
    patient: bool,
    /// It is for bindings.
    bound: bool,
}

impl Task {
    /// Takes up what a former daemon left in the journal.
    pub(super) fn restore(&mut self, now: Mono, found: Found) {
        self.session.number_from(first_number(&found));
        let Found { left, crashed, moved } = found;
        if let Some((aside, why)) = moved {
            tracing::error!(%why, aside = %aside.display(), "the journal was unreadable");
            self.speaker.set_problem(Problem {
                // A subject of its own: it stays true when the new journal works.
                subject: "lost requests".into(),
                what: format!("the journal was unreadable ({why}); it lies in {}", aside.display()),
                remedy: "requests that were in it are lost to this box; remove the file when it has been looked into"
                    .into(),
            });
        }
        if !left.is_empty() {
            tracing::info!(requests = left.len(), crashed, "taking up the journal");
        }
        let mut unreadable = 0;
        for row in left {
            let job = JobId(row.id);
            let Some(head) = read_head(&row.head) else {
                tracing::error!(row = row.id, "a request in the journal cannot be read and is let go");
                unreadable += 1;
                self.remove(job);
                continue;
            };
            let key = head.id.clone().map(|request_id| Key {
                reply_topic: head.reply_topic.clone(),
                request_id,
                model: head.model.clone(),
            });
            let bytes = usize::try_from(row.payload_len).unwrap_or(usize::MAX);
            let deaths = row.deaths;
            if head.bound {
                self.frames_in_order.push_back(job);
            }
            self.open.insert(job, open_left(now, row, head));
            self.session.restore(now, job, key, bytes, deaths);
        }
        self.first_left = self.frames_in_order.front().copied();
        if unreadable > 0 {
            self.speaker.set_problem(Problem {
                subject: "lost requests".into(),
                what: format!("{unreadable} requests of a former daemon could not be read and were let go unanswered"),
                remedy: "stop edged with `systemctl stop`, which answers what is open, before it is downgraded".into(),
            });
        }
    }

    /// Reads the payload of a request that was left.
    pub(super) fn fetch(&mut self, now: Mono, job: JobId) {
        let asked = self.ledger.journal.as_ref().map_or(Err(NotTaken::Gone), |journal| journal.fetch(job.0));
        match (asked, self.open.get_mut(&job)) {
            (Ok(()), Some(open)) => open.fetching = true,
            (Ok(()), None) => {}
            (Err(_), _) => self.unreadable(now, job),
        }
    }

    /// Puts a request into the journal.
    pub(super) fn write(&mut self, now: Mono, job: JobId, deaths: u8) {
        let row = self.open.get_mut(&job).and_then(|open| {
            let message = open.message.take()?;
            row(job, open, *message, deaths)
        });
        let written = match (row, &self.ledger.journal) {
            (Some(row), Some(journal)) if row.id >= 0 => journal.write(row).is_ok(),
            _ => false,
        };
        if !written {
            return self.session.write_failed(job);
        }
        self.writing += 1;
        self.journal_spoke.get_or_insert(now);
    }

    /// Says so when the disk of the journal owes an answer for long.
    pub(super) fn look_at_journal(&mut self, now: Mono) {
        if self.journal_due().is_some_and(|due| due <= now) {
            self.speaker.set_problem(no_journal(&silent(DISK_LIMIT)));
            // The next time when it has spoken.
            self.journal_spoke = None;
        }
    }

    /// When the disk of the journal has owed an answer for too long.
    pub(super) fn journal_due(&self) -> Option<Mono> {
        self.journal_spoke.filter(|_| self.writing > 0).map(|since| since.after(DISK_LIMIT))
    }

    fn wrote(&mut self, now: Mono) {
        self.writing = self.writing.saturating_sub(1);
        self.journal_spoke = (self.writing > 0).then_some(now);
    }

    /// Takes a request out of the journal.
    pub(super) fn remove(&mut self, job: JobId) {
        let removed = self.ledger.journal.as_ref().map_or(Ok(()), |journal| journal.remove(job.0));
        if let Err(why) = removed {
            // After a crash it would be answered a second time, which the protocol allows.
            tracing::warn!(row = job.0, ?why, "the journal cannot forget an answered request");
        }
    }

    /// The journal's thread spoke, perhaps more than once.
    pub(super) fn on_journal(&mut self, first: Report) {
        let now = self.clock.now();
        let mut next = Some(first);
        while let Some(report) = next {
            match report {
                Report::Opened(found) => {
                    tracing::info!("the journal is open now");
                    self.speaker.clear_problem("journal");
                    match self.stage {
                        // Taken up when the models are warm.
                        Stage::Waiting => self.ledger.found = Some(found),
                        Stage::Serving => self.restore(now, found),
                        // Too late: the next daemon takes it up.
                        Stage::Stopping(_) | Stage::Leaving(_) => {}
                    }
                }
                Report::Shut(shut) => {
                    let problem = no_journal(&shut);
                    tracing::error!(subject = %problem.subject, what = %problem.what, "mqtt");
                    self.speaker.set_problem(problem);
                }
                Report::Written(id) => {
                    self.wrote(now);
                    self.speaker.clear_problem("journal");
                    self.session.written(JobId(id));
                }
                Report::Failed(id, why) => {
                    self.wrote(now);
                    tracing::debug!(row = id, %why, "not written to the journal");
                    self.session.write_failed(JobId(id));
                }
                Report::Failing(why) => self.speaker.set_problem(Problem {
                    subject: "journal".into(),
                    what: format!("the journal cannot be written: {why}"),
                    remedy:
                        "make room on the disk of the state directory; until then requests are acknowledged only when \
                             they are answered, and answered ones may be answered again after a restart"
                            .into(),
                }),
                Report::Works => self.speaker.clear_problem("journal"),
                Report::Fetched(id, payload) => self.fetched(now, JobId(id), payload),
            }
            next = self.ledger.journal_reports.try_recv().ok();
        }
    }

    /// The journal's thread has ended: nothing that was asked of it is answered any more.
    pub(super) fn on_journal_gone(&mut self) {
        let now = self.clock.now();
        tracing::error!("the thread of the journal has ended");
        self.speaker.set_problem(Problem {
            subject: "journal".into(),
            what: "the thread that writes the journal has ended".into(),
            remedy: "restart edged, and report the log before this; until then requests are acknowledged only when \
                     they are answered"
                .into(),
        });
        self.session.writes_failed();
        let fetching: Vec<JobId> = self.open.iter().filter(|(_, open)| open.fetching).map(|(job, _)| *job).collect();
        for job in fetching {
            self.unreadable(now, job);
        }
    }

    fn fetched(&mut self, now: Mono, job: JobId, payload: Option<bytes::Bytes>) {
        let Some(payload) = payload else { return self.unreadable(now, job) };
        let now_ms = self.now_ms();
        let Some(open) = self.open.get_mut(&job) else { return };
        open.fetching = false;
        let Some(message) = open.message.take() else { return };
        let message = Inbound { payload, ..*message };
        if open.is_bound {
            return self.fetched_bound(now, job, &message);
        }
        match ingress::read(&message, &open.model, &self.rules).request {
            Ok(mut request) => {
                if let Some(deadline) = open.deadline_ms {
                    request.options.deadline_ms = Some(left_ms(open.received_ms, deadline, now_ms));
                }
                request.options.made_up_id = Some(open.known_as.clone());
                let deaths = open.deaths;
                open.request = Some(request);
                self.run_job(now, job, deaths);
            }
            Err(failure) => self.fail(now, job, failure),
        }
    }

    fn unreadable(&mut self, now: Mono, job: JobId) {
        self.fail(now, job, Failure::new(ErrorCode::Internal, "the request cannot be read from the journal"));
    }

    /// Whether a former daemon may have answered this.
    pub(super) fn may_be_answered(&self, key: &Key) -> bool {
        self.ledger.replies.as_ref().is_some_and(|replies| replies.may_know(key))
    }

    /// Looks for a stored reply.
    pub(super) fn recall(&mut self, now: Mono, job: JobId, key: &Key) {
        let now_ms = self.now_ms();
        let found = self.ledger.replies.as_ref().map_or(Ok(None), |replies| replies.recall(now_ms, key));
        let found = found.unwrap_or_else(|error| {
            tracing::error!(%error, "read a kept reply");
            None
        });
        let message = self.open.get(&job).and_then(|open| again(open, found?));
        self.session.recalled(now, job, message);
    }

    /// Stores a reply before it goes out; if that fails, it goes out all the same.
    pub(super) fn keep(&mut self, job: JobId, key: &Key) {
        let at_ms = self.now_ms();
        let stored = self.open.get_mut(&job).and_then(|open| open.stored.take());
        if let (Some(stored), Some(replies)) = (stored, &mut self.ledger.replies)
            && let Err(error) = replies.keep(at_ms, key, &stored)
        {
            tracing::error!(%error, "keep a reply");
            self.speaker.set_problem(Problem {
                subject: "replies".into(),
                what: format!("replies cannot be kept: {error}"),
                remedy: "make room in the runtime directory; until then a request that the broker repeats after a \
                         crash is run again"
                    .into(),
            });
        }
        self.session.kept(job);
    }
}

/// Time that is left by the wall clock, which may have been set since the receipt: never more than there was at first, and 0 if the
/// deadline has passed.
fn left_ms(received_ms: i64, deadline_ms: i64, now_ms: i64) -> u64 {
    let left = deadline_ms.saturating_sub(now_ms).min(deadline_ms.saturating_sub(received_ms));
    u64::try_from(left).unwrap_or(0)
}

/// The message that answers `open` with a stored reply; none if it deserves a new try.
fn again(open: &Open, stored: replies::Stored) -> Option<crate::transport::mqtt::packet::Outbound> {
    if open.redelivered || open.left {
        return Some(egress::message(&open.target, &stored));
    }
    (!stored.passing).then(|| egress::message(&open.target, &egress::as_duplicate(&stored)))
}

/// Numbers of what is left are not given again, also of rows that turn out to be unreadable.
pub(super) fn first_number(found: &Found) -> i64 {
    found.left.iter().map(|row| row.id).max().unwrap_or(0).saturating_add(1)
}

fn write_head(head: &Head) -> Option<Vec<u8>> {
    postcard::to_extend(head, vec![HEAD_VERSION]).ok()
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    match bytes.split_first()? {
        (&HEAD_VERSION, head) => postcard::from_bytes(head).ok(),
        (version, head) => {
            let lacking = HEADS_BEFORE.iter().position(|before| before == version)? + 1;
            postcard::from_bytes(&[head, &vec![0; lacking]].concat()).ok()
        }
    }
}

fn row(job: JobId, open: &Open, message: Inbound, deaths: u8) -> Option<Row> {
    let head = Head {
        topic: message.topic,
        model: open.model.clone(),
        qos: match message.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        },
        properties: message.properties,
        reply_topic: open.target.topic.as_ref().into(),
        id: open.id.clone(),
        known_as: open.known_as.clone(),
        patient: open.patient,
        bound: open.is_bound,
    };
    Some(Row {
        id: job.0,
        received_ms: open.received_ms,
        deadline_ms: open.deadline_ms,
        deaths,
        head: write_head(&head)?,
        payload: message.payload,
    })
}

fn open_left(now: Mono, row: Left, head: Head) -> Open {
    let qos = match head.qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let correlation = head.properties.correlation.as_ref().map(|data| bytes::Bytes::copy_from_slice(data));
    Open {
        model: head.model,
        known_as: head.known_as,
        id: head.id,
        target: Target { topic: head.reply_topic.into(), qos, correlation },
        request: None,
        message: Some(Box::new(Inbound { topic: head.topic, qos, properties: head.properties, ..Inbound::default() })),
        received_ms: row.received_ms,
        received: now,
        submitted: false,
        cancelled: false,
        deadline_ms: row.deadline_ms,
        redelivered: true,
        left: true,
        deaths: row.deaths,
        patient: head.patient,
        fetching: false,
        stored: None,
        is_bound: head.bound,
        parts: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_only_in_the_form_that_it_was_written_in() {
        let head = Head {
            topic: "edge/box/infer/m".into(),
            model: "m".into(),
            qos: 1,
            properties: Properties::default(),
            reply_topic: "edge/r".into(),
            id: Some("a".into()),
            known_as: "a".into(),
            patient: true,
            bound: false,
        };
        let bytes = write_head(&head).unwrap();
        assert_eq!(read_head(&bytes).as_ref(), Some(&head));
        let before = [&[3], &bytes[1..bytes.len() - 1]].concat();
        assert_eq!(read_head(&before).as_ref(), Some(&head), "as the version before wrote it");
        let first = [&[2], &bytes[1..bytes.len() - 2]].concat();
        assert_eq!(read_head(&first), Some(Head { patient: false, ..head }), "as the first version wrote it");
        assert_eq!(read_head(&[&[HEAD_VERSION + 1], &bytes[1..]].concat()), None);
        assert_eq!((read_head(&bytes[..3]), read_head(&[])), (None, None));
    }

    #[test]
    fn a_clock_that_was_set_leaves_no_more_time_than_there_was() {
        let (received, deadline) = (1_000_000, 1_060_000);
        for (now, left) in
            [(1_000_000, 60_000), (1_050_000, 10_000), (1_060_000, 0), (1_000_000_000, 0), (-5_000, 60_000)]
        {
            assert_eq!(left_ms(received, deadline, now), left, "{now}");
        }
    }
}
