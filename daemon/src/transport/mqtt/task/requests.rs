//! Messages from the broker to requests at the driver, and their replies back.

use edge_core::Mono;
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::retained;
use edge_wire::mqtt::topic::{self, Meaning};
use tokio::sync::oneshot;

use super::Task;
use super::discovery::Heard;
use crate::driver::clock;
use crate::handle::{Deed, Message, Note, Numbered, Refused};
use crate::ledger::replies::Stored;
use crate::request::{Caller, Failure, Reply, Request};
use crate::transport::mqtt::bindings::frame::Part;
use crate::transport::mqtt::egress;
use crate::transport::mqtt::ingress::{self, Asked, Target};
use crate::transport::mqtt::packet::{Inbound, Qos};
use crate::transport::mqtt::session::{Arrival, JobId, Noted, Taken, Why};

/// When a sender whose request was refused for lack of room may try again.
const RETRY_MS: u64 = 500;
/// Deaths at which a request is not run again.
const MAX_DEATHS: u8 = 2;

/// What the task keeps for a request while the session decides.
pub struct Open {
    pub(super) model: String,
    /// The sender's own id.
    pub(super) id: Option<String>,
    /// The id by which the driver knows it: the sender's, or one that was made up.
    pub(super) known_as: String,
    pub(super) target: Target,
    /// Until it is handed to the driver.
    pub(super) request: Option<Request>,
    /// Until it is in the journal.
    pub(super) message: Option<Box<Inbound>>,
    pub(super) received_ms: i64,
    pub(super) received: Mono,
    /// Handed to the driver.
    pub(super) submitted: bool,
    /// Asked to be cancelled before the driver had it.
    pub(super) cancelled: bool,
    /// Wall clock; `None` if it may wait for ever.
    pub(super) deadline_ms: Option<i64>,
    pub(super) redelivered: bool,
    /// Left by a former daemon: its payload is on disk.
    pub(super) left: bool,
    /// Daemons that died while it was open.
    pub(super) deaths: u8,
    /// It may be put off, and is found again on the disk by its id.
    pub(super) patient: bool,
    /// The journal was asked for its payload.
    pub(super) fetching: bool,
    /// The reply, while it is being stored.
    pub(super) stored: Option<Stored>,
    /// It is for bindings and answered to nobody.
    pub(super) is_bound: bool,
    /// The frames that it is, until they are handed to them.
    pub(super) parts: Option<Vec<Part>>,
}

impl Open {
    /// A message of which bindings have frames.
    pub(super) fn bound(now: Mono, received_ms: i64, parts: Vec<Part>) -> Open {
        Open {
            model: String::new(),
            id: None,
            known_as: String::new(),
            target: Target { topic: "".into(), qos: Qos::AtMostOnce, correlation: None },
            request: None,
            message: None,
            received_ms,
            received: now,
            submitted: false,
            cancelled: false,
            deadline_ms: None,
            redelivered: false,
            left: false,
            deaths: 0,
            patient: false,
            fetching: false,
            stored: None,
            is_bound: true,
            parts: Some(parts),
        }
    }
}

impl Task {
    /// A message came in.
    pub(super) fn on_message(&mut self, now: Mono, message: Box<Inbound>) {
        let model = match self.rules.topics.parse(&message.topic) {
            _ if self.on_discovery(&message) => None,
            _ if message.retained && self.rules.topics.is_model(&message.topic) => {
                let status = self.status.borrow().clone();
                if !message.payload.is_empty() {
                    self.speaker.found_record(&message.topic, &status, &mut self.session);
                }
                None
            }
            Some(Meaning::Fleet { node, model }) => {
                self.on_fleet(node, model, &message.payload);
                None
            }
            Some(Meaning::Spoke { node, of }) => {
                self.on_spoken(now, node, of, &message);
                None
            }
            // A retained request is a leftover of the broker, delivered again at every subscription.
            _ if message.retained => {
                if self.on_bound(now, &message) {
                    return;
                }
                None
            }
            Some(Meaning::Cancel { request_id }) => {
                self.cancel(now, request_id);
                None
            }
            Some(Meaning::Peer { name }) => {
                self.on_peer(now, name, &message);
                None
            }
            Some(Meaning::Infer { model, group }) if group.is_none() || group == self.config.group.as_deref() => {
                Some(model.to_owned())
            }
            _ if self.on_bound(now, &message) => return,
            _ => self.of_former_subscription(&message.topic),
        };
        match model {
            Some(model) => self.on_request(now, message, &model),
            None => self.discard(now, &message),
        }
    }

    /// Whether a message is of the discovery by Home Assistant.
    fn on_discovery(&mut self, message: &Inbound) -> bool {
        match self.speaker.discovery.hear(message) {
            Heard::Nothing => return false,
            Heard::Birth => self.speaker.born(),
            Heard::Found => {
                let status = self.status.borrow().clone();
                self.speaker.found_entity(&message.topic, &status, &mut self.session);
            }
        }
        true
    }

    /// A box says what it does about a version that the fleet is to have.
    fn on_fleet(&mut self, node: &str, model: &str, payload: &[u8]) {
        /// Reports that wait for the driver: far more than there is room for in its inbox.
        const MOST: usize = 16_384;
        if self.rules.topics.fleet(model) == self.rules.topics.fleet_of(node, model) {
            let status = self.status.borrow().clone();
            if !payload.is_empty() {
                self.speaker.found_fleet(model, &status, &mut self.session);
            }
            return;
        }
        match retained::fleet_report(node, model, payload) {
            Some(report) if self.reports.len() < MOST => self.reports.push(report),
            Some(_) => tracing::error!(%node, %model, "no room for a report of another box"),
            None => tracing::warn!(%node, %model, "what another box says of a rollout is none of its records"),
        }
    }

    /// A request by way of a subscription that the broker still has from an earlier configuration (another group, another
    /// prefix): it is served, since whoever sent it waits, and the subscription ends.
    fn of_former_subscription(&mut self, topic: &str) -> Option<String> {
        /// More than anybody configured; beyond it nothing is remembered.
        const MOST: usize = 64;
        let former = topic::former(topic)?;
        if self.former.len() < MOST && self.former.insert(former.filter.clone()) {
            tracing::warn!(filter = %former.filter, "a subscription of an earlier configuration is ended");
            self.session.unsubscribe(vec![former.filter]);
        }
        Some(former.model.to_owned())
    }

    pub(super) fn discard(&mut self, now: Mono, message: &Inbound) {
        if message.retained {
            tracing::debug!(topic = %message.topic, "retained message ignored");
        }
        if message.qos == Qos::AtMostOnce {
            return;
        }
        if let Taken::New(job) = self.session.arrived(now, Arrival { refused: true, ..arrival(message) }) {
            self.session.discard(job);
        }
    }

    fn on_request(&mut self, now: Mono, message: Box<Inbound>, model: &str) {
        self.speaker.count_received();
        // What there is no room for is not decoded. One that may be known already is looked at closer.
        let no_room = self.session.no_room(message.qos, message.payload.len()).filter(|_| !message.redelivered);
        let asked = match no_room {
            Some(why) => ingress::refuse(&message, model, &self.rules, crowded(why)),
            None => ingress::read(&message, model, &self.rules),
        };
        let key = asked.key();
        let arrival = Arrival {
            maybe_answered: key.as_ref().is_some_and(|key| self.may_be_answered(key)),
            deferrable: asked.is_deferrable(),
            refused: asked.request.is_err(),
            key,
            ..arrival(&message)
        };
        match self.session.arrived(now, arrival.clone()) {
            Taken::Known | Taken::Left(Why::Stopping) => {}
            Taken::New(job) => self.take(now, job, asked, message),
            Taken::Left(why) => {
                let refused = Arrival { refused: true, key: None, ..arrival };
                if let Taken::New(job) = self.session.arrived(now, refused) {
                    self.take(now, job, Asked { request: Err(crowded(why)), ..asked }, message);
                }
            }
        }
    }

    fn take(&mut self, now: Mono, job: JobId, asked: Asked, message: Box<Inbound>) {
        let received_ms = self.now_ms();
        let known_as = asked.id.clone().unwrap_or_else(|| format!("{}-{}", self.id_prefix, job.0));
        let (request, failure) = match asked.request {
            Ok(mut request) => {
                request.options.made_up_id = Some(known_as.clone());
                (Some(request), None)
            }
            Err(failure) => (None, Some(failure)),
        };
        let options = request.as_ref().map(|request| &request.options);
        let open = Open {
            patient: options.is_some_and(|options| options.deferrable),
            deadline_ms: request.as_ref().and_then(|request| self.deadline_ms(received_ms, request)),
            known_as,
            model: asked.model,
            id: asked.id,
            target: asked.target,
            request,
            redelivered: message.redelivered,
            // Only what may be journaled is kept as it came.
            message: (failure.is_none() && message.qos != Qos::AtMostOnce).then_some(message),
            received_ms,
            received: now,
            submitted: false,
            cancelled: false,
            left: false,
            deaths: 0,
            fetching: false,
            stored: None,
            is_bound: false,
            parts: None,
        };
        self.open.insert(job, open);
        if let Some(failure) = failure {
            self.fail(now, job, failure);
        }
    }

    /// When the answer loses its value: what the sender said, else what applies to the model; a deferrable one that
    /// names no deadline may wait for ever.
    fn deadline_ms(&self, received_ms: i64, request: &Request) -> Option<i64> {
        let default = || {
            let status = self.status.borrow();
            let model = status.models.iter().find(|model| model.name == request.model);
            model.map(|model| model.default_deadline_ms).filter(|ms| *ms > 0 && !request.options.deferrable)
        };
        let relative = request.options.deadline_ms.or_else(default)?;
        Some(received_ms.saturating_add(i64::try_from(relative).unwrap_or(i64::MAX)))
    }

    /// Hands a request to the driver.
    pub(super) fn run_job(&mut self, now: Mono, job: JobId, deaths: u8) {
        let now_ms = self.now_ms();
        let Some(open) = self.open.get_mut(&job) else { return };
        if open.is_bound {
            return self.run_bound(now, job, deaths);
        }
        if open.cancelled {
            return self.fail(now, job, Failure::new(ErrorCode::Cancelled, "cancelled by the caller"));
        }
        // Of one that was put off the driver knows whether it only waited.
        if deaths >= MAX_DEATHS && !open.patient {
            let text = format!("the request was open at {deaths} crashes and is not run again");
            return self.fail(now, job, Failure::new(ErrorCode::Internal, text));
        }
        // By the wall clock, which may have been set meanwhile: of one that was put off the spool knows better.
        if open.left && !open.patient && open.deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            let text = crate::request::PASSED;
            return self.fail(now, job, Failure::new(ErrorCode::DeadlineExceeded, text));
        }
        let Some(mut request) = open.request.take() else { return self.fetch(now, job) };
        request.deaths = deaths;
        open.submitted = true;
        if let Err(failure) = self.handle.submit_numbered(request, job.0, &self.answer_to) {
            self.fail(now, job, failure);
        }
    }

    /// The driver answered, and perhaps more of them are ready.
    pub(super) fn on_answer(&mut self, first: Numbered) {
        let now = self.clock.now();
        let mut next = Some(first);
        let mut left = super::BURST;
        while let Some((job, reply)) = next {
            match self.answer_bound(now, job, reply) {
                None => {}
                Some(reply) => self.on_reply(now, job, reply),
            }
            left -= 1;
            next = if left > 0 { self.answers.try_recv().ok() } else { None };
        }
    }

    fn on_reply(&mut self, now: Mono, job: i64, reply: Option<Box<Reply>>) {
        match reply {
            Some(reply) => self.answer(now, JobId(job), &reply),
            None => {
                let text = "the daemon stopped before it was answered";
                self.fail(now, JobId(job), Failure::new(ErrorCode::Unavailable, text));
            }
        }
    }

    pub(super) fn refuse_deferrable(&mut self, now: Mono, job: JobId) {
        self.fail(now, job, overloaded("the journal has no room for a deferrable request"));
    }

    /// Answers with a failure of the transport's own.
    pub(super) fn fail(&mut self, now: Mono, job: JobId, failure: Failure) {
        let Some(open) = self.open.get(&job) else { return };
        if open.is_bound {
            tracing::error!(code = %failure.code, why = %failure.message, "a message for bindings is let go");
            return self.session.discard(job);
        }
        let instant =
            |ms: i64| std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let info = Info {
            request_id: open.known_as.clone(),
            model: open.model.clone(),
            verdict: "refuse".into(),
            reason: failure.code.as_str().into(),
            received_at: clock::rfc3339(instant(open.received_ms)),
            completed_at: clock::rfc3339((self.wall)()),
            ..Info::default()
        };
        // Not the message: it may have a value in it that the request holds.
        tracing::debug!(model = %open.model, topic = %open.target.topic, code = %failure.code, "refused");
        let caller = Caller::Broker { reply_topic: open.target.topic.clone() };
        let refused = Refused { caller, received: open.received, failure: failure.clone(), info: info.clone() };
        if !self.handle.offer(Message::Refused(Box::new(refused))) {
            tracing::debug!("no room to tell the driver of a refusal");
        }
        self.answer(now, job, &Reply { result: Err(failure), info });
    }

    fn answer(&mut self, now: Mono, job: JobId, reply: &Reply) {
        let max_bytes = self.speaker.max_reply_bytes();
        let Some(open) = self.open.get_mut(&job) else { return };
        let stored = egress::encode(Some(&open.known_as), reply, max_bytes);
        let message = egress::message(&open.target, &stored);
        let keep = open.id.is_some() && !reply.info.duplicate;
        open.stored = keep.then_some(stored);
        self.session.replied(now, job, message, keep);
    }

    /// Leaves a note for the request's trace.
    pub(super) fn note(&mut self, now: Mono, job: JobId, step: Noted) {
        let Some(open) = self.open.get_mut(&job) else { return };
        // Each of its frames is a request of its own.
        if open.is_bound {
            return;
        }
        let (deed, request_id) = match step {
            Noted::Journaled => (Deed::Journaled, open.known_as.clone()),
            // It is over: the id is not needed any more.
            Noted::Replied => (Deed::Replied(open.target.topic.clone()), std::mem::take(&mut open.known_as)),
            Noted::ReplyRefused => (Deed::ReplyRefused(open.target.topic.clone()), std::mem::take(&mut open.known_as)),
        };
        self.notes.push(Note { request_id, at: now, deed });
        self.notes_due.get_or_insert(now.after(super::NOTES_PAUSE));
        if self.notes.len() >= super::NOTES {
            self.tell_notes();
        }
    }

    fn cancel(&mut self, now: Mono, request_id: &str) {
        for job in self.session.jobs_called(request_id) {
            let Some(open) = self.open.get_mut(&job) else { continue };
            let caller = Caller::Broker { reply_topic: open.target.topic.clone() };
            if !open.submitted {
                // It waits for the journal, or for its turn after a crash. A former daemon may have put it off: then it is on the
                // disk, and goes from there, too.
                open.cancelled = true;
                let put_off = open.left && open.patient;
                if std::mem::take(&mut open.fetching) {
                    open.message = None;
                    self.run_job(now, job, 0);
                }
                if !put_off {
                    continue;
                }
            }
            // Whether it was found shows in the request's own reply.
            let (found, _) = oneshot::channel();
            if !self.handle.offer(Message::Cancel { caller, request_id: request_id.to_owned(), found }) {
                tracing::warn!(%request_id, "no room for a cancellation");
            }
        }
    }
}

pub(super) fn arrival(message: &Inbound) -> Arrival {
    Arrival {
        packet_id: message.packet_id,
        qos: message.qos,
        redelivered: message.redelivered,
        bytes: message.payload.len(),
        key: None,
        deferrable: false,
        maybe_answered: false,
        refused: false,
    }
}

fn crowded(why: Why) -> Failure {
    overloaded(match why {
        Why::Heavy => "the requests that are open have as many bytes as `mqtt.max_inflight_mib` allows",
        Why::Full | Why::Stopping => "as many requests are open as `mqtt.max_inflight` allows",
    })
}

fn overloaded(message: &str) -> Failure {
    Failure { retry_after_ms: Some(RETRY_MS), ..Failure::new(ErrorCode::Overloaded, message) }
}
