//! Carries out what the core decided: sends work to the host, and gives every request its one reply.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{
    Action, Change, DataClass, Event, Fault, Ids, LaneId, MemberResult, ModelId, Mono, Outcome, Reason, Refusal,
    RefusalCode, RequestId, Results, Verdict, Zone,
};
use edge_engine::protocol::{
    Data, ErrorKind, HostError, INLINE_BYTES, INLINE_TOTAL, Input, Member, Run, TensorData, ToHost,
};
use edge_wire::error::ErrorCode;

use super::duplicates::MAX_REPLY_BYTES;
use super::entry::{Entry, Place};
use super::intake::essence;
use super::models::Bundle;
use super::scratch::{Filled, Scratch};
use super::sites::Callers;
use super::trace::Step;
use super::{Driver, State, clock};
use crate::lanes::SendError;
use crate::request::{Blob, Failure, Output, Payload, Reply, TensorOut};

impl Driver {
    /// Carries out every action that the core has.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Accept { id, verdict, class, deadline, predicted } => {
                    self.accepted(id, verdict, class, deadline, predicted)
                }
                Action::Divide { id, size } => self.divide(id, size),
                Action::Prepare { id, model } => self.prepare(id, model),
                Action::RunBatch { lane, model, ids } => self.run_batch(lane, model, &ids),
                Action::Forget { id } => self.tell_holder(id, &ToHost::Forget { id: id.0 }),
                Action::Abort { id } => self.tell_holder(id, &ToHost::Discard { id: id.0 }),
                Action::Spill { id, site, reason, reserved } => self.spill(id, site, reason, reserved),
                Action::CallOff { id, site } => self.call_off(id, site),
                Action::Stay { id, reason } => self.stay(id, reason),
                Action::Check { id } => self.check_answer(id),
                Action::Probe { site } => self.probe_site(site),
                Action::TakeUp { most } => self.take_up(most),
                Action::Settle { id, outcome } => self.settle(id, outcome),
                Action::RestartHost { host, lane } => {
                    tracing::error!(lane = lane.0, "a lane does not answer: the engine host is restarted");
                    if let Some(host) = self.hosts.get_mut(host) {
                        host.end(Fault::Hung);
                    }
                }
                Action::Announce(change) => self.announce(change),
            }
        }
    }

    fn accepted(
        &mut self,
        id: RequestId,
        verdict: Verdict,
        class: DataClass,
        deadline: Mono,
        predicted: Option<Duration>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.accepted = Some(self.now);
        entry.deadline = deadline;
        if entry.place.is_child() {
            return;
        }
        self.counters.accepted += 1;
        entry.info.verdict = verdict.as_str().into();
        entry.info.reason = verdict.reason().into();
        entry.info.data_class = class.as_str().into();
        let predicted_us = predicted.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        entry.story.steps.push((
            self.now,
            Step::Accepted {
                verdict: verdict.as_str(),
                reason: verdict.reason(),
                predicted_us,
                class: class.as_str(),
                deadline,
            },
        ));
        entry.travel.class = class;
        if entry.reached > class.farthest() {
            // The operator chose the broker, so this is said and not refused.
            let (class, zone) = (class.as_str(), entry.reached.as_str());
            entry.info.warnings.push(super::words::beyond(class, zone));
            entry.story.steps.push((self.now, Step::Beyond { class, zone }));
        }
        self.advance(id);
    }

    /// Tells the host that holds something of a request to drop it.
    fn tell_holder(&mut self, id: RequestId, message: &ToHost) {
        let host = self.entries.get(&id).and_then(|entry| self.models.get(entry.setup)).map(|model| model.host);
        if let Some(host) = host.and_then(|host| self.hosts.get_mut(host)) {
            // Without a host there is nothing to stop.
            let _told = host.send(message, Vec::new());
        }
    }

    fn prepare(&mut self, id: RequestId, model: ModelId) {
        let has_room = self.has_room_for_a_picture();
        let bundle = self.models.bundle_of(model).map(Bundle::root);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.follow(bundle);
        entry.setup = model;
        let (part, keep) = (entry.place.part(), entry.place.keeps() && has_room);
        let Payload::Encoded { content_type, data } = &entry.payload else { return };
        let mut fds = Vec::new();
        let payload = match to_data(data, INLINE_TOTAL, &mut fds, &mut self.scratch, &mut entry.sent) {
            Ok(payload) => payload,
            Err(error) => return self.cannot_prepare(id, &error),
        };
        // Parameters such as `;charset=utf-8` do not change what it is, and may be long.
        let content_type = essence(content_type).to_owned();
        let message = ToHost::Prepare { id: id.0, model: model.0, content_type, payload, part, keep };
        entry.story.steps.push((self.now, Step::Preparing));
        let host = self.models.get(model).and_then(|model| self.hosts.get_mut(model.host));
        let sent = host.ok_or(SendError::NoHost).and_then(|host| {
            host.send(&message, fds)?;
            host.sent_prepare(id);
            Ok(())
        });
        if let Err(error) = sent {
            self.cannot_prepare(id, &error);
        }
    }

    fn cannot_prepare(&mut self, id: RequestId, error: &dyn std::error::Error) {
        self.cannot_send(&[id], error);
        self.core.handle(self.now, Event::Prepared { id, result: Err(Fault::Runtime), took: Duration::ZERO });
    }

    /// Notes why work did not get to the host: the machine is out of memory or descriptors, or a message is too large.
    fn cannot_send(&mut self, ids: &[RequestId], error: &dyn std::error::Error) {
        let message = format!("hand it to the engine host: {}", super::chain(error));
        tracing::error!(why = %message, "a request cannot run");
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.error = Some(HostError { kind: ErrorKind::Runtime, message: message.clone() });
            }
        }
    }

    fn run_batch(&mut self, lane: LaneId, model: ModelId, ids: &Ids) {
        let batch = u32::try_from(ids.as_slice().len()).unwrap_or(u32::MAX);
        let (mut fds, mut members) = (Vec::new(), Vec::with_capacity(ids.as_slice().len()));
        let mut room = INLINE_TOTAL;
        let (session, of) = self.models.get(model).map_or((0, 0), |setup| setup.session(model, lane));
        let bundle = self.models.bundle_of(model).map(Bundle::root);
        for id in ids.as_slice() {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.follow(bundle);
            entry.started = Some(self.now);
            (entry.batch, entry.setup) = (batch, model);
            entry.story.steps.push((self.now, Step::Running { session, of, batch }));
            match member(*id, entry, &mut fds, &mut room, &mut self.scratch) {
                Ok(member) => members.push(member),
                // A member that the host does not answer for counts as failed.
                Err(error) => self.cannot_send(&[*id], &error),
            }
        }
        let host = self.models.get(model).and_then(|model| self.hosts.get_mut(model.host));
        let sent = host.ok_or(SendError::NoHost).and_then(|host| host.run(lane, ids, Run { members }, &fds));
        if let Err(error) = sent {
            self.cannot_send(ids.as_slice(), &error);
            let mut results = Results::new();
            for id in ids.as_slice() {
                results.push(MemberResult { id: *id, result: Err(Fault::Runtime) });
            }
            self.core.handle(self.now, Event::BatchDone { lane, took: Duration::ZERO, results });
        }
    }

    fn settle(&mut self, id: RequestId, outcome: Outcome) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        self.tuning.disturb(self.now);
        if let Outcome::Deferred(reason) = outcome {
            return self.put_off(entry, reason);
        }
        if let (Outcome::Shed(reason), Some(_)) = (outcome, entry.row) {
            // It is on the disk: what this daemon has no time for is the next one's.
            return self.put_off(entry, reason);
        }
        if outcome == Outcome::Done {
            // The host has answered, so it reads nothing of this any more.
            self.scratch.give_back(entry.sent.drain(..));
        }
        if outcome == Outcome::Failed(Fault::Site) && entry.travel.said.is_empty() {
            entry.travel.said = self.why_no_site(&entry.info.model);
        }
        match entry.place {
            Place::Child(child) => return self.stage_settled(child, entry, outcome),
            Place::Chunk(chunk) => return self.chunk_settled(chunk, entry, outcome),
            Place::Single | Place::Parent(_) | Place::Divided(_) => {}
        }
        self.release_client(&entry.story.caller);
        self.shares.close(&entry.share);
        self.count(outcome);
        self.compare(id, &entry, outcome);
        self.compared(&entry);
        let mut result = match (outcome, entry.result.take()) {
            (Outcome::Done | Outcome::Spilled(_), Some(output)) => Ok(output),
            (Outcome::Done, None) => Err(super::internal("the engine host gave no output")),
            (Outcome::Spilled(_), None) => Err(super::internal("the site gave no output")),
            (other, _) => Err(failure(other, &entry, self.now)),
        };
        self.finish_info(&mut entry, outcome, result.is_ok());
        self.finish_travel(&mut entry, outcome);
        self.count_usage(&entry, result.is_ok());
        self.count_settled(&entry, outcome, result.as_ref().err());
        self.finish_pipeline(&mut entry, result.as_mut().err());
        self.finish_divided(&mut entry, result.is_ok());
        self.finish_story(&mut entry, outcome, result.as_ref().err());
        let reply = Reply { result, info: entry.info.clone() };
        if let Some(key) = self.key(&entry) {
            let (kept, bytes) = worth_keeping(&reply);
            self.duplicates.settle(self.now, key, kept, bytes);
        }
        if let Some(row) = entry.row {
            self.stories.keep(entry.story);
            let senders = entry.waiters;
            return self.answer_taken(row, reply, Callers { senders, ..Callers::default() });
        }
        for waiter in entry.waiters {
            let mut again = reply.clone();
            again.info.duplicate = true;
            waiter.send(again);
        }
        self.stories.keep(entry.story);
        // A caller that is gone does not want its reply.
        entry.reply.send(reply);
    }

    fn finish_info(&mut self, entry: &mut Entry, outcome: Outcome, ok: bool) {
        let received = entry.story.received;
        let start = entry.started.unwrap_or(self.now);
        entry.info.completed_at = clock::rfc3339(clock::wall());
        entry.info.queue_us = micros(start.since(entry.accepted.unwrap_or(received)));
        entry.info.compute_us = micros(entry.compute);
        entry.info.total_us = micros(self.now.since(received));
        entry.info.batch = entry.batch;
        if let Outcome::Refused(refusal) = outcome {
            entry.info.verdict = "refuse".into();
            entry.info.reason = refusal.reason.as_str().into();
        }
        if let Some(model) = self.models.get(entry.setup)
            && ok
        {
            entry.info.provider.clone_from(&model.provider);
            entry.info.variant.clone_from(&model.setup.variant);
            if matches!(entry.place, Place::Single) {
                // Another version may have taken over while it waited.
                entry.info.version.clone_from(&model.found.version);
            }
            let bundle = model.bundle;
            if let Some(bundle) = self.models.bundle_mut(bundle) {
                bundle.done += 1;
            }
            entry.info.site.clone_from(&self.config.node);
            entry.info.zone = entry.reached.max(Zone::Device).as_str().into();
        }
    }

    fn finish_story(&mut self, entry: &mut Entry, outcome: Outcome, failure: Option<&Failure>) {
        if let (Outcome::Refused(refusal), Some(failure)) = (outcome, failure) {
            entry
                .story
                .steps
                .push((self.now, Step::Refused { code: failure.code.as_str(), reason: refusal.reason.as_str() }));
        }
        entry.story.steps.push((self.now, Step::Settled { outcome: outcome.as_str() }));
        entry.story.outcome = outcome.as_str();
        if let Some(failure) = failure {
            entry.story.code = failure.code.as_str();
            entry.story.message = failure.message.clone();
        }
        entry.story.info = Some(entry.info.clone());
        let info = &entry.info;
        entry.span.record("verdict", info.verdict.as_str());
        entry.span.record("reason", info.reason.as_str());
        let code = entry.story.code;
        tracing::debug!(parent: &entry.span, outcome = outcome.as_str(), code, total_us = info.total_us, "settled");
    }

    fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &mut self.counters.done,
            Outcome::Spilled(_) => {
                self.counters.spilled += 1;
                &mut self.counters.done
            }
            Outcome::Deferred(_) => &mut self.counters.deferred,
            Outcome::Failed(_) => &mut self.counters.failed,
            Outcome::Refused(_) => &mut self.counters.refused,
            Outcome::Expired => &mut self.counters.expired,
            Outcome::Cancelled => &mut self.counters.cancelled,
            Outcome::Shed(_) => &mut self.counters.shed,
        };
        *counter += 1;
    }

    fn announce(&mut self, change: Change) {
        let state = match change {
            Change::Draining => State::Draining,
            Change::Drained => State::Drained,
            Change::Serving => State::Serving,
            Change::Regime { from, to, .. } => return self.enter_regime(from, to),
            Change::Site { site, passing } => return self.site_changed(site, passing),
        };
        tracing::info!(?change, "state");
        self.state = state;
        // Said as soon as what is to be kept is on the disk.
        self.drained_unsaid = change == Change::Drained;
        // Whoever asked for it looks at the state next.
        self.publish();
    }
}

fn member(
    id: RequestId,
    entry: &mut Entry,
    fds: &mut Vec<Arc<OwnedFd>>,
    room: &mut usize,
    scratch: &mut Scratch,
) -> std::io::Result<Member> {
    let input = match &entry.payload {
        Payload::Encoded { .. } => Input::Prepared,
        Payload::Tensors(given) => {
            let mut tensors = Vec::with_capacity(entry.resolved.len());
            for pair in &entry.resolved {
                let Some(tensor) = given.get(pair.given) else { continue };
                let data = to_data(&tensor.data, INLINE_BYTES.min(*room), fds, scratch, &mut entry.sent)?;
                if let Data::Inline(bytes) = &data {
                    *room -= bytes.len();
                }
                tensors.push(TensorData { index: pair.input, shape: tensor.shape.clone(), data });
            }
            Input::Tensors { tensors, want: entry.want }
        }
    };
    Ok(Member { id: id.0, input, start_before: entry.deadline.as_nanos() })
}

/// A payload as the host takes it: in the packet up to `inline` bytes, else in a descriptor. A sealed memfd passes on as
/// it is.
pub(super) fn to_data(
    blob: &Blob,
    inline: usize,
    fds: &mut Vec<Arc<OwnedFd>>,
    scratch: &mut Scratch,
    sent: &mut Vec<Filled>,
) -> std::io::Result<Data> {
    let mut add = |fd: Arc<OwnedFd>| {
        let same = |known: &Arc<OwnedFd>| Arc::ptr_eq(known, &fd);
        let at = fds.iter().position(same).unwrap_or_else(|| {
            fds.push(fd.clone());
            fds.len() - 1
        });
        u16::try_from(at).map_err(std::io::Error::other)
    };
    match blob {
        Blob::Inline(bytes) if bytes.len() <= inline => Ok(Data::Inline(bytes.to_vec())),
        Blob::Inline(bytes) => {
            let file = scratch.fill(bytes)?;
            let data = Data::Unsealed { fd: add(file.descriptor())?, max_len: file.len() };
            sent.push(file);
            Ok(data)
        }
        Blob::Sealed { fd, offset, len } => Ok(Data::Sealed { fd: add(fd.clone())?, offset: *offset, len: *len }),
        Blob::Unsealed { fd, max_len } => Ok(Data::Unsealed { fd: add(fd.clone())?, max_len: *max_len }),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A reply that would be given again, with its size. What may pass (overload, a deadline) is not kept: asking again with
/// the same id then means trying again. Outputs in descriptors are copied out, since no descriptor is given out twice.
fn worth_keeping(reply: &Reply) -> (Option<Reply>, usize) {
    const FIXED: usize = 512;
    match &reply.result {
        Ok(Output::Document(text)) => (Some(reply.clone()), FIXED + text.len()),
        Ok(Output::Tensors(tensors)) => {
            let copies = tensors.iter().map(|tensor| Some(TensorOut { data: copied(&tensor.data)?, ..tensor.clone() }));
            match copies.collect::<Option<Vec<_>>>() {
                Some(copies) => {
                    let bytes: u64 = copies.iter().map(|tensor| tensor.data.len()).sum();
                    let kept = Reply { result: Ok(Output::Tensors(copies)), info: reply.info.clone() };
                    (Some(kept), FIXED + usize::try_from(bytes).unwrap_or(usize::MAX - FIXED))
                }
                None => (None, 0),
            }
        }
        Err(failure) => match failure.code {
            ErrorCode::InvalidInput | ErrorCode::TooLarge | ErrorCode::Internal => (Some(reply.clone()), FIXED),
            ErrorCode::UnknownModel
            | ErrorCode::DeadlineExceeded
            | ErrorCode::Overloaded
            | ErrorCode::Confined
            | ErrorCode::Unavailable
            | ErrorCode::NotAuthorized
            | ErrorCode::Cancelled => (None, 0),
        },
    }
}

/// Bytes of an output in memory; `None` if they are too many to keep, or cannot be read.
fn copied(data: &Blob) -> Option<Blob> {
    match data {
        Blob::Inline(bytes) => Some(Blob::Inline(bytes.clone())),
        Blob::Sealed { fd, offset, len } if *len <= MAX_REPLY_BYTES as u64 => {
            super::results::read_all(fd, *offset, *len).ok().map(|bytes| Blob::Inline(bytes.into()))
        }
        Blob::Sealed { .. } | Blob::Unsealed { .. } => None,
    }
}

/// The one table from outcomes to what callers are told.
pub(super) fn failure(outcome: Outcome, entry: &Entry, now: Mono) -> Failure {
    let text = entry.error.as_ref().map(|error| error.message.as_str());
    match outcome {
        Outcome::Done | Outcome::Spilled(_) | Outcome::Deferred(_) => super::internal("done"),
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Expired => Failure::new(
            ErrorCode::DeadlineExceeded,
            format!(
                "deadline_ms: {} {:.1} ms after receipt, before {}",
                if now < entry.deadline { "could not be met any more" } else { "passed" },
                now.since(entry.story.received).as_secs_f64() * 1e3,
                match (&entry.place, entry.awaited()) {
                    (Place::Parent(_), _) => "all its stages had run".to_owned(),
                    (Place::Divided(_), _) => "all its chunks had run".to_owned(),
                    (Place::Single | Place::Child(_) | Place::Chunk(_), awaited) => before(entry, awaited),
                }
            ),
        ),
        Outcome::Cancelled => Failure::new(ErrorCode::Cancelled, "cancelled by the caller"),
        Outcome::Shed(Reason::Draining) => {
            Failure::new(ErrorCode::Unavailable, "the daemon is stopping, and there was no time left for this request")
        }
        Outcome::Shed(reason) => shed(reason),
        Outcome::Failed(fault) => match fault {
            Fault::InvalidInput => Failure::invalid(text.unwrap_or("payload: not what the model takes")),
            Fault::TooLarge => Failure::new(ErrorCode::TooLarge, text.unwrap_or("payload: too large once decoded")),
            Fault::Full => Failure {
                retry_after_ms: Some(100),
                ..Failure::new(ErrorCode::Overloaded, text.unwrap_or("the engine host has no room to decode it"))
            },
            Fault::Runtime => super::internal(format!("the runtime failed: {}", text.unwrap_or("no reason given"))),
            Fault::HostLost => {
                super::internal("the engine host ended twice while this request was on it; it is not run again")
            }
            Fault::Hung => {
                super::internal("the engine host did not answer while this request was on it; it is not run again")
            }
            Fault::Site => {
                Failure::new(ErrorCode::Unavailable, format!("no other site served it: {}", entry.travel.told()))
            }
            Fault::Confined => Failure::new(
                ErrorCode::Confined,
                "the site that it waited for may not have its data any more since the configuration was read again, and no \
                 other place can serve it",
            ),
            Fault::Late => Failure::new(
                ErrorCode::DeadlineExceeded,
                format!("deadline_ms: passed before {}", before(entry, entry.awaited())),
            ),
            Fault::Stopped => Failure::new(ErrorCode::Cancelled, "stopped"),
        },
    }
}

/// What a request had not come to when its time was over.
fn before(entry: &Entry, awaited: Option<&str>) -> String {
    if let Some(site) = awaited {
        return format!("site {site} answered");
    }
    // The last word on where it is served; without one, what it was accepted with.
    let verdict = entry.travel.last.map_or(entry.info.verdict.as_str(), |(verdict, _)| verdict);
    match (verdict, entry.travel.attempts) {
        ("spill", 0) => "a site had a place for it".into(),
        ("spill", _) => match super::sites::back::asked_last(&entry.story.steps) {
            Some(site) => format!("site {site} answered"),
            None => "another site answered".into(),
        },
        (_, _) => "the model ran".into(),
    }
}

/// When to ask again after the box dropped what it had taken in: by then it may have room.
const SHED_AGAIN: Duration = Duration::from_secs(1);

/// It was accepted, and the box serves it no longer: the same code as if it had come only now.
fn shed(reason: Reason) -> Failure {
    let message = format!("accepted, then dropped: {}", super::words::explain(reason));
    let is_passing = matches!(
        reason,
        Reason::QueueFull
            | Reason::BytesFull
            | Reason::ClientShare
            | Reason::PredictedWait
            | Reason::Throttled
            | Reason::TooHot
            | Reason::Held
    );
    if !is_passing {
        return Failure::new(ErrorCode::Unavailable, message);
    }
    let retry_after_ms = u64::try_from(SHED_AGAIN.as_millis()).ok();
    Failure { retry_after_ms, ..Failure::new(ErrorCode::Overloaded, message) }
}

/// When to ask again for a model that is being loaded.
const LOADING_AGAIN: Duration = Duration::from_millis(500);

fn refused(refusal: Refusal) -> Failure {
    let code = match refusal.code {
        RefusalCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        RefusalCode::Overloaded => ErrorCode::Overloaded,
        RefusalCode::Unavailable => ErrorCode::Unavailable,
        RefusalCode::Confined => ErrorCode::Confined,
        RefusalCode::Internal => ErrorCode::Internal,
    };
    let mut message = super::words::explain(refusal.reason).to_owned();
    if let Some(predicted) = refusal.predicted.filter(|_| refusal.code == RefusalCode::DeadlineExceeded) {
        message.push_str(&format!("; predicted {:.1} ms until completion", predicted.as_secs_f64() * 1e3));
    }
    if let Some(bar) = refusal.away {
        message.push_str("; ");
        message.push_str(super::words::barred(bar));
    }
    // It is being loaded, and that takes longer than the deadline allows.
    let loading = (refusal.reason == Reason::ModelUnavailable).then_some(LOADING_AGAIN);
    let retry_after = refusal.retry_after.or(loading);
    let retry_after_ms = retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
    Failure { code, message, retry_after_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_for_load_may_be_asked_again_and_what_cannot_be_served_is_not() {
        for (reason, code, part) in [
            (Reason::Held, ErrorCode::Overloaded, "somebody holds the device"),
            (Reason::TooHot, ErrorCode::Overloaded, "until the box is cooler"),
            (Reason::PredictedWait, ErrorCode::Overloaded, "takes longer"),
            (Reason::ModelUnavailable, ErrorCode::Unavailable, "cannot be served now"),
            (Reason::HostDown, ErrorCode::Unavailable, "being restarted"),
        ] {
            let told = shed(reason);
            assert_eq!((told.code, told.retry_after_ms.is_some()), (code, code == ErrorCode::Overloaded), "{reason:?}");
            assert!(told.message.starts_with("accepted, then dropped: ") && told.message.contains(part), "{told:?}");
        }
    }
}
