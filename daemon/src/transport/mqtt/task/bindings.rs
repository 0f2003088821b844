//! Frames of bindings: from the broker and from other sources to the driver, and what is published of the answers.
//!
//! A message whose every frame counts is acknowledged when its results are with the broker or on the disk; one of which only
//! the newest counts, at once.

use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;
use edge_wire::dto::Problem;
use edge_wire::error::ErrorCode;

use super::requests::{Open, arrival};
use super::{Stage, Task};
use crate::binding::gate::Skipped;
use crate::binding::sources::Fate;
use crate::binding::sources::fetch::Fetched;
use crate::binding::sources::named::{NamedError, Reader};
use crate::driver::chain;
use crate::request::{Failure, Reply};
use crate::transport::mqtt::bindings::frame::{self, Part};
use crate::transport::mqtt::bindings::{self, Binder, Todo};
use crate::transport::mqtt::packet::{Inbound, Qos};
use crate::transport::mqtt::session::{Arrival, JobId, Taken, Why};
use crate::transport::sparkplug::News;
use crate::transport::sparkplug::metrics::bindings::BindingResult;

/// A frame that was the first to run at so many deaths may be what kills. More than for requests, as it may have been answered each
/// time, and only the word of that not yet on the disk: a box whose power fails again and again must not make it out to be deadly.
const MAX_DEATHS: u8 = 5;
/// Counters are told this often.
const PAUSE: Duration = Duration::from_secs(1);

/// What was found of a frame that a message names, by the number of what was asked.
pub(super) type Resolved = (i64, Result<Fetched, Failure>);

impl Task {
    /// A message that may be for bindings; `false` if it is for none.
    pub(super) fn on_bound(&mut self, now: Mono, message: &Inbound) -> bool {
        if message.retained {
            let old = self.binder.old(&message.topic);
            if old {
                self.discard(now, message);
            }
            return old;
        }
        if self.holds_back(message) {
            return true;
        }
        let parts = self.binder.parts(now, (self.wall)(), message, self.rules.max_request_bytes);
        if parts.is_empty() {
            return false;
        }
        self.speaker.count_received();
        let (kept, others): (Vec<Part>, Vec<Part>) =
            parts.into_iter().partition(|part| message.qos != Qos::AtMostOnce && bindings::is_kept(part.take));
        if kept.is_empty() {
            self.discard(now, message);
        } else {
            self.keep_frames(now, message, kept);
        }
        if !self.is_stopping() {
            others.into_iter().for_each(|part| self.binder.arrived(now, part, None));
        }
        true
    }

    /// Keeps a frame back, with all that is behind it, until as many others are acknowledged as have to be. A broker may send more
    /// at once than it was asked for: under 3.1.1 it is not asked, and mosquitto 2.0 does so with what it kept over a restart.
    fn holds_back(&mut self, message: &Inbound) -> bool {
        let is_full = || self.session.no_room(message.qos, message.payload.len()).is_some();
        let is_owed = message.qos != Qos::AtMostOnce;
        let holds = is_owed && is_full() && self.binder.keeps(&message.topic) && !self.is_stopping();
        if holds {
            self.held.hold(message.clone());
        }
        holds
    }

    /// Goes on with what was kept back; `false` if there is nothing, or still no room.
    pub(super) fn take_held(&mut self, now: Mono) -> bool {
        let before = self.held.len();
        if let Some(packet) = self.held.pop() {
            self.handle_packet(now, packet);
        }
        self.held.len() < before
    }

    fn keep_frames(&mut self, now: Mono, message: &Inbound, parts: Vec<Part>) {
        match self.session.arrived(now, arrival(message)) {
            Taken::New(job) => {
                self.session.expect(job, u32::try_from(parts.len()).unwrap_or(u32::MAX));
                let received_ms = parts.first().map_or_else(|| self.now_ms(), |part| frame::ms(part.frame.at));
                let open = Open { message: Some(Box::new(message.clone())), ..Open::bound(now, received_ms, parts) };
                self.open.insert(job, open);
                self.frames_in_order.push_back(job);
            }
            Taken::Known | Taken::Left(Why::Stopping) => {}
            Taken::Left(why @ (Why::Full | Why::Heavy)) => {
                tracing::warn!(topic = %message.topic, ?why, "no room for a frame that the broker keeps");
                self.binder.crowded(&parts);
                let refused = Arrival { refused: true, ..arrival(message) };
                if let Taken::New(job) = self.session.arrived(now, refused) {
                    self.session.discard(job);
                }
            }
        }
    }

    /// A message is to be handed to its bindings, in its turn.
    pub(super) fn run_bound(&mut self, now: Mono, job: JobId, deaths: u8) {
        if self.open.get(&job).is_some_and(|open| open.parts.is_none()) {
            return self.fetch(now, job);
        }
        self.ready_frames.insert(job, deaths);
        self.hand_out(now);
    }

    /// Hands messages to their bindings in the order in which they came. One that waits for the journal, because it may have
    /// killed a daemon or was left by one, holds back what came after it: else the results of a source would be out of order. After
    /// a crash those that were open run one by one, so that only the first of them can have killed this daemon, if it dies too.
    pub(super) fn hand_out(&mut self, now: Mono) {
        while let Some(job) = self.frames_in_order.front().copied() {
            if self.alone.is_some_and(|alone| self.open.contains_key(&alone)) {
                return;
            }
            let parts = match self.ready_frames.remove(&job) {
                Some(deaths) => self.open.get_mut(&job).and_then(|open| open.parts.take()).map(|parts| (parts, deaths)),
                None if self.open.contains_key(&job) => return,
                None => None,
            };
            self.frames_in_order.pop_front();
            let Some((parts, deaths)) = parts else { continue };
            let is_first = std::mem::take(&mut self.first_left) == Some(job);
            self.alone = (deaths > 0).then_some(job);
            for mut part in parts {
                // The driver has a limit of its own, which is that of requests.
                part.frame.deaths = u8::from(is_first && deaths > 0);
                if is_first && deaths >= MAX_DEATHS {
                    part.frame.fault = Some(Binder::too_deadly(deaths));
                }
                self.binder.arrived(now, part, Some(job));
            }
        }
    }

    /// A message that a former daemon left was read from the journal.
    pub(super) fn fetched_bound(&mut self, now: Mono, job: JobId, message: &Inbound) {
        let Some(open) = self.open.get(&job) else { return };
        let came = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(open.received_ms).unwrap_or_default());
        let parts = self.binder.parts(now, came, message, self.rules.max_request_bytes);
        let parts: Vec<Part> = parts.into_iter().filter(|part| bindings::is_kept(part.take)).collect();
        let Some(open) = self.open.get_mut(&job) else { return };
        if parts.is_empty() {
            tracing::warn!(topic = %message.topic, "no binding is for a message that a former daemon left");
            return self.session.discard(job);
        }
        self.session.expect(job, u32::try_from(parts.len()).unwrap_or(u32::MAX));
        open.parts = Some(parts);
        let deaths = open.deaths;
        self.run_bound(now, job, deaths);
    }

    /// An answer of the driver; gives it back if no binding asked for it.
    pub(super) fn answer_bound(
        &mut self,
        now: Mono,
        number: i64,
        reply: Option<Box<Reply>>,
    ) -> Option<Option<Box<Reply>>> {
        if !self.binder.has_asked(number) {
            return Some(reply);
        }
        match reply {
            Some(reply) => self.binder.answered(now, number, *reply),
            None => {
                let text = "the daemon stopped before it was answered";
                self.binder.fail(now, number, Failure::new(ErrorCode::Unavailable, text));
            }
        }
        None
    }

    /// Carries out what the bindings want; `false` if that was nothing.
    pub(super) fn drive_binder(&mut self, now: Mono) -> bool {
        let mut acted = false;
        self.hand_out(now);
        self.binder.look_up(self.now_ms(), self.speaker.max_reply_bytes());
        while let Some(todo) = self.binder.poll() {
            acted = true;
            match todo {
                Todo::Submit { number, request } => {
                    if let Err(failure) = self.handle.submit_numbered(*request, number, &self.answer_to) {
                        self.binder.fail(now, number, failure);
                    }
                }
                Todo::Resolve { number, reader, message, within } => self.resolve(number, reader, message, within),
                Todo::Post { job, rank, letters } => {
                    // It is answered, and the next of those that run alone may follow.
                    self.alone = self.alone.filter(|alone| Some(*alone) != job);
                    self.session.post(now, rank, letters, job);
                }
                Todo::Failed { job, passes } => self.sources.failed(job, passes),
                Todo::Tell(result) => self.tell_hosts(*result),
                Todo::Over(job, why) => {
                    self.sources.tell(job, fate(why));
                    self.session.part_over(job);
                }
            }
        }
        acted
    }

    /// Hands an answer to the edge node, if there is one. It keeps what no host hears; but it has no room for a flood.
    fn tell_hosts(&mut self, result: BindingResult) {
        if let Some(news) = &self.news
            && news.try_send(News::Result(Box::new(result))).is_err()
        {
            tracing::warn!("no room for an answer of a binding among what SCADA hosts are told");
        }
    }

    /// What is due by the clock.
    pub(super) fn look_at_binder(&mut self, now: Mono) {
        if matches!(self.stage, Stage::Waiting) {
            return;
        }
        if self.binder.next_tick().is_some_and(|due| due <= now) {
            self.binder.tick(now);
        }
        if self.binder_due.is_some_and(|due| due <= now) {
            self.binder_due = None;
            let mut status = self.binder.status();
            for binding in &mut status {
                let of_source = self.sources.problem_of(&binding.name);
                if !of_source.is_empty() {
                    binding.problem = of_source;
                }
            }
            self.speaker.set_bindings(status);
            self.tell_backlog();
            self.speaker.discovery.add(self.binder.take_discovered());
            if !self.ledger.memo.is_busy()
                && let Some(heard) = self.binder.take_heard()
            {
                self.ledger.memo.write(heard);
            }
        }
        if self.binder.take_changed() {
            self.binder_due.get_or_insert(now.after(PAUSE));
        }
    }

    /// Frames for which there is no room are with the broker, and so is what came behind them.
    fn tell_backlog(&mut self) {
        const SUBJECT: &str = "frames";
        self.speaker.clear_problem(SUBJECT);
        if self.held.len() > 0 {
            self.speaker.set_problem(Problem {
                subject: SUBJECT.into(),
                what: "frames come faster than they are answered: more than `mqtt.max_inflight_mib` or `mqtt.max_inflight` \
                       allow are with the broker, and requests behind them wait, too"
                    .into(),
                remedy: "let these bindings take the newest frame, send frames with QoS 0, or take a faster model; \
                         `edgectl bindings` tells which"
                    .into(),
            });
        }
    }

    /// When there is something to do again.
    pub(super) fn next_of_binder(&self) -> Option<Mono> {
        [self.binder.next_tick(), self.binder_due].into_iter().flatten().min()
    }

    fn resolve(&mut self, number: i64, reader: Reader, message: Bytes, within: Option<Duration>) {
        self.resolving.spawn(async move {
            let failed = |error: NamedError| Failure::new(error.code(), format!("reference: {}", chain(&error)));
            let read = async { reader.read(&message).await.map_err(failed) };
            let found = match within {
                Some(within) => tokio::time::timeout(within, read).await.unwrap_or_else(|_| {
                    let text = "reference: the frame had not been given at the deadline of the binding";
                    Err(Failure::new(ErrorCode::DeadlineExceeded, text))
                }),
                None => read.await,
            };
            (number, found)
        });
    }

    pub(super) fn on_resolved(&mut self, resolved: Result<Resolved, tokio::task::JoinError>) {
        match resolved {
            Ok((number, found)) => self.binder.resolved(self.clock.now(), number, found),
            // A panic there is one of this task.
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        }
    }
}

/// A source that keeps what there was no room for gives it again; what a newer frame replaced is not wanted again.
fn fate(why: Skipped) -> Fate {
    match why {
        Skipped::Newer => Fate::Settled,
        Skipped::Overloaded => Fate::Dropped,
    }
}
