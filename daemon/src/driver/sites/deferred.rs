//! Requests that wait on the disk until something can serve them: put there, brought back, answered. The order among them and what
//! may wait is the spool's and the core's; here is what travels between.
//!
//! ```text
//!   Settle(Deferred) ─► put ─► Stored ─► waits ◄── back ── Settle(Deferred) again
//!                        │                │ TakeUp
//!                     Refused             ▼
//!                        ▼              taken ─► fetched ─► arrives again, under a new number ─► settled ─► kept ─► reply
//!                     a named no
//! ```
//!
//! A reply goes out when it is on the disk, so that whoever asks again after a crash gets the same bytes.

use std::collections::HashMap;
use std::time::Duration;

use edge_core::{Event, Mono, Reason, Sites};
use edge_wire::dto::{Info, Problem};
use edge_wire::error::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::stored;
use crate::driver::book::now;
use crate::driver::entry::{Entry, MAX_WAITERS};
use crate::driver::trace::Step;
use crate::driver::{Driver, answer, clock, resolve};
use crate::handle::ReplySender;
use crate::ledger::spool::{Key, Recalled, Report, Spool, Waiting, Wish};
use crate::request::{Caller, Failure, Reply, Request};

/// How often what has expired is looked for at least: a clock that is set may bring it nearer.
const SWEEP: Duration = Duration::from_secs(5);
/// And at most.
const SWEEP_LEAST: Duration = Duration::from_millis(10);

/// What the driver has of them.
#[derive(Default)]
pub struct Deferred {
    /// `None` where nothing can wait on a disk.
    spool: Option<(Spool, mpsc::Receiver<Report>)>,
    next_mark: u64,
    /// On their way to the disk.
    putting: HashMap<u64, Box<Entry>>,
    /// On the disk, with whoever of this life waits for them.
    waiting: HashMap<i64, Callers>,
    /// Rows that are being fetched.
    fetching: HashMap<i64, Waiting>,
    /// Asked whether they were answered before; they go on when that is known.
    asking: HashMap<u64, (Request, ReplySender)>,
    /// Who has given something up that may be on the disk, and is told whether it was there.
    giving_up: HashMap<u64, oneshot::Sender<bool>>,
    /// Rows on which a place failed, in this life.
    resting: HashMap<i64, Rest>,
    /// Answered; the reply goes out when it is on the disk.
    replying: HashMap<i64, (Reply, Callers)>,
    /// The order to take is under way.
    taking: bool,
    rows: u64,
    next_sweep: Mono,
    fault: String,
    /// What can be done about it; empty where nothing better is known than to make room.
    remedy: &'static str,
    lost: crate::driver::lost::Lost,
}

/// Name of the file in the state directory.
pub const FILE: &str = "spool.db";
/// What may be gone with an unreadable spool.
const LOSS: &str =
    "deferrable requests that waited in it are not served, and those that were answered before are not known any more";

/// Who waits for a reply.
#[derive(Debug, Default)]
pub(in crate::driver) struct Callers {
    pub senders: Vec<ReplySender>,
    /// Of its first arrival.
    pub received: Option<(Mono, String)>,
    pub steps: Vec<(Mono, Step)>,
}

/// How a row fared that was tried, by the configuration of that time: a reload may have put right what failed.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    judged_by: u64,
    /// How often a place failed on it.
    times: u32,
    /// It is not taken up before.
    until: Mono,
    /// Sites that would say again what they said.
    rejected: Sites,
}

impl Callers {
    fn send(self, reply: &Reply) {
        self.senders.into_iter().for_each(|sender| sender.send(reply.clone()));
    }
}

impl Deferred {
    /// Requests that are being put on the disk.
    pub(super) fn on_their_way(&self) -> u64 {
        u64::try_from(self.putting.len()).unwrap_or(u64::MAX)
    }

    pub fn new(spool: Option<(Spool, mpsc::Receiver<Report>)>) -> Deferred {
        Deferred { spool, ..Deferred::default() }
    }

    /// What the spool says next; waits for ever without one. Safe to cancel.
    pub async fn next(&mut self) -> Report {
        match &mut self.spool {
            Some((_, reports)) => match reports.recv().await {
                Some(report) => report,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    pub fn due(&self) -> Option<Mono> {
        self.spool.is_some().then_some(self.next_sweep)
    }

    pub fn is_there(&self) -> bool {
        self.spool.is_some()
    }

    /// The request of the same caller and id that was put off after the disk was asked whether it knows it: it is on its way
    /// there. Run beside it, this one could get another answer.
    fn put_since(&mut self, of: &Key) -> Option<&mut Entry> {
        let is_same = |entry: &&mut Box<Entry>| {
            entry.info.request_id == of.request_id
                && entry.info.model == of.model
                && stored::caller(&entry.story.caller) == of.caller
        };
        self.putting.values_mut().find(is_same).map(|entry| &mut **entry)
    }

    /// Something expires then.
    fn sweep_by(&mut self, due: Mono) {
        self.next_sweep = self.next_sweep.min(due);
    }

    fn mark(&mut self) -> u64 {
        self.next_mark += 1;
        self.next_mark
    }

    /// Gives an order; what the thread does not take now is said.
    fn order(&self, order: impl FnOnce(&Spool) -> Result<(), crate::ledger::journal::NotTaken>) -> bool {
        let given = self.spool.as_ref().map(|(spool, _)| order(spool));
        if !matches!(given, Some(Ok(()))) {
            tracing::warn!("the spool takes no order now");
        }
        matches!(given, Some(Ok(())))
    }

    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let remedy = if self.remedy.is_empty() { "make room on the disk of the state directory" } else { self.remedy };
        let fault = (!self.fault.is_empty()).then(|| Problem {
            subject: "spool".into(),
            what: format!("nothing can be put off to the disk: {}", self.fault),
            remedy: format!("{remedy}; requests are served all the same"),
        });
        fault.into_iter().chain(self.lost.problem("spool", LOSS))
    }
}

impl Driver {
    /// The core wants a request to wait on the disk.
    pub(in crate::driver) fn put_off(&mut self, mut entry: Entry, reason: Reason) {
        self.counters.deferred += 1;
        entry.story.steps.push((self.now, Step::PutOff { reason: reason.as_str() }));
        self.release_client(&entry.story.caller.clone());
        self.shares.close(&entry.share);
        self.scratch.give_back(entry.sent.drain(..));
        if let Some(key) = self.key(&entry) {
            self.duplicates.settle(self.now, key, None, 0);
        }
        if let Some(row) = entry.row {
            self.rest_row(row, &entry);
            return self.back_to_disk(row, entry.deadline, callers(entry));
        }
        match stored::deferred(&entry, self.class_now(&entry), self.now) {
            Ok(row) => {
                let mark = self.deferred.mark();
                if self.deferred.order(|spool| spool.put(mark, now(), row)) {
                    self.deferred.putting.insert(mark, Box::new(entry));
                } else {
                    self.refuse_deferred(entry, "the disk is behind with what came before it", Some(1000));
                }
            }
            Err(why) => self.refuse_deferred(entry, &why, None),
        }
    }

    /// What a place failed on rests before it is taken up again, and what a site rejected is not sent there again.
    fn rest_row(&mut self, row: i64, entry: &Entry) {
        let life = self.looking.life();
        let failed = entry.travel.failed || entry.error.is_some();
        // Of an older configuration the numbers may mean other sites by now.
        let is_of_now = entry.travel.judged_by == life;
        let rejected = if is_of_now { entry.travel.terms.rejected } else { Sites::NONE };
        if !failed && rejected.is_empty() {
            return;
        }
        let known = self.deferred.resting.get(&row).filter(|known| known.judged_by == life).copied();
        let mut rest = Rest { judged_by: life, rejected, ..known.unwrap_or_default() };
        if failed {
            rest.times = rest.times.saturating_add(1);
            let number = row.unsigned_abs() ^ self.config.policy.routing.seed;
            let jitter = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            rest.until = self.now.after(edge_core::rest::rest(rest.times, jitter).duration());
        }
        self.deferred.resting.insert(row, rest);
    }

    /// A request that was taken up goes back as it was; `due`: when it expires.
    pub(in crate::driver) fn back_to_disk(&mut self, row: i64, due: Mono, callers: Callers) {
        self.deferred.sweep_by(due);
        self.deferred.order(|spool| spool.back(row));
        self.deferred.waiting.entry(row).or_default().join(callers);
        self.count_rows(self.deferred.rows + 1);
    }

    fn refuse_deferred(&mut self, mut entry: Entry, why: &str, retry_after_ms: Option<u64>) {
        self.counters.refused += 1;
        let message = format!("it cannot be served now, and cannot be put off: {why}");
        let failure = Failure { retry_after_ms, ..Failure::new(ErrorCode::Overloaded, message) };
        entry.info.verdict = "refuse".into();
        entry.info.reason = "not_deferred".into();
        entry.info.completed_at = clock::rfc3339(clock::wall());
        let reply = Reply { result: Err(failure), info: entry.info.clone() };
        entry.story.outcome = "refused";
        self.stories.keep(entry.story);
        entry.waiters.into_iter().chain([entry.reply]).for_each(|sender| sender.send(reply.clone()));
        // The core has counted it as one that waits there.
        self.count_rows(self.deferred.rows);
    }

    /// The core has room.
    pub(in crate::driver) fn take_up(&mut self, most: u16) {
        let mark = self.deferred.mark();
        let life = self.looking.life();
        let rests = self.deferred.resting.iter().filter(|(_, rest)| rest.judged_by == life && rest.until > self.now);
        let wish = Wish { except: rests.map(|(row, _)| *row).collect(), ..Wish::default() };
        self.deferred.taking = self.deferred.order(|spool| spool.take(mark, now(), usize::from(most), wish));
        if !self.deferred.taking {
            self.core.handle(self.now, Event::TakenUp);
        }
    }

    /// The spool said something.
    pub(in crate::driver) fn on_spool(&mut self, report: Report) {
        self.now = self.clock.now();
        match report {
            Report::Opened(found) => {
                self.deferred.fault.clear();
                if let Some((path, why)) = &found.moved {
                    tracing::error!(path = %path.display(), %why, "the spool could not be read and was moved aside");
                }
                self.deferred.lost.opened(&self.config.state_dir.join(FILE), found.moved);
                if found.level.rows > 0 {
                    tracing::info!(requests = found.level.rows, "requests wait on the disk from before");
                }
                for row in found.dead {
                    self.answer_row(&row, died_twice());
                }
                self.count_level(found.level.rows);
            }
            Report::Shut(shut) => (self.deferred.fault, self.deferred.remedy) = (shut.what, shut.remedy),
            Report::Stored { mark, id } => {
                if let Some(entry) = self.deferred.putting.remove(&mark) {
                    self.rest_row(id, &entry);
                    if entry.options.deadline_ms.is_some() {
                        self.deferred.sweep_by(entry.deadline);
                    }
                    self.deferred.waiting.entry(id).or_default().join(callers(*entry));
                    self.count_rows(self.deferred.rows + 1);
                }
            }
            Report::Same { mark, id } => {
                if let Some(entry) = self.deferred.putting.remove(&mark) {
                    self.join_row(id, callers(*entry));
                    self.count_rows(self.deferred.rows);
                }
            }
            Report::Repeated { mark, reply } => {
                if let Some(entry) = self.deferred.putting.remove(&mark) {
                    callers(*entry).send(&stored::reply(&reply));
                    self.count_rows(self.deferred.rows);
                }
            }
            Report::Refused { mark, refusal } => {
                if let Some(entry) = self.deferred.putting.remove(&mark) {
                    self.refuse_deferred(*entry, &refusal.to_string(), refusal.retry_after_ms());
                }
            }
            Report::Taken { rows, .. } => self.taken(rows),
            Report::Fetched { id, payload } => self.fetched(id, payload),
            Report::Kept { id } => {
                if let Some((reply, callers)) = self.deferred.replying.remove(&id) {
                    callers.send(&reply);
                }
            }
            Report::KeptBefore { id, reply } => {
                if let Some((_, callers)) = self.deferred.replying.remove(&id) {
                    callers.send(&stored::reply(&reply));
                }
            }
            Report::NotKept { id, why } => {
                if let Some((mut reply, callers)) = self.deferred.replying.remove(&id) {
                    reply.info.warnings.push(format!("this answer is not on the disk yet: {why}"));
                    callers.send(&reply);
                }
            }
            Report::Recalled { mark, found } => self.recalled(mark, found),
            Report::Named { mark, rows } => self.give_up(mark, rows),
            Report::Swept { expired, next_ms, level } => {
                for row in expired {
                    self.counters.expired += 1;
                    self.answer_row(&row, expired_there());
                }
                self.count_level(level.rows);
                if let Some(next_ms) = next_ms {
                    let next = Duration::from_millis(u64::try_from(next_ms).unwrap_or(0)).max(SWEEP_LEAST);
                    self.deferred.sweep_by(self.now.after(next));
                }
            }
            Report::Failing(why) => {
                tracing::error!(%why, "the spool cannot be written");
                (self.deferred.fault, self.deferred.remedy) = (why, "");
            }
            Report::Works => self.deferred.fault.clear(),
        }
        self.touch();
    }

    /// So many wait there; those on their way count, too.
    fn count_rows(&mut self, rows: u64) {
        self.deferred.rows = rows;
        let waiting = rows.saturating_add(self.deferred.on_their_way());
        self.core.handle(self.now, Event::Deferred { waiting });
    }

    /// By what the file has: what is served now, and what is answered, is in it until that is written down.
    fn count_level(&mut self, rows: u64) {
        let served = self.entries.values().filter(|entry| entry.row.is_some()).count();
        let at_work = u64::try_from(served + self.deferred.replying.len()).unwrap_or(u64::MAX);
        self.count_rows(rows.saturating_sub(at_work));
    }

    /// A caller gives up what it has under an id: what is asked of the disk, and what waits there. `hit`: it had something else under
    /// it, too. Whoever asked is told when the disk has said what is there; what was there is gone from it before its own callers
    /// are told.
    pub(in crate::driver) fn cancel_deferred(
        &mut self,
        caller: &Caller,
        request_id: &str,
        mut hit: bool,
        found: oneshot::Sender<bool>,
    ) {
        let of = stored::caller(caller);
        let is_its =
            |request: &Request| stored::caller(&request.caller) == of && row_id(request).as_str() == request_id;
        let asking = self.deferred.asking.extract_if(|_, (request, _)| is_its(request));
        for (request, reply) in asking.map(|(_, asking)| asking).collect::<Vec<_>>() {
            let failure = given_up();
            let info = Info {
                request_id: request_id.to_owned(),
                model: request.model,
                verdict: "refuse".into(),
                reason: failure.code.as_str().into(),
                completed_at: clock::rfc3339(clock::wall()),
                ..Info::default()
            };
            self.counters.cancelled += 1;
            hit = true;
            reply.send(Reply { result: Err(failure), info });
        }
        let mark = self.deferred.mark();
        let there = self.deferred.is_there()
            && self.deferred.order(|spool| spool.named(mark, now(), of, request_id.to_owned()));
        if there && !hit {
            self.deferred.giving_up.insert(mark, found);
        } else {
            answer(found, hit);
        }
    }

    fn give_up(&mut self, mark: u64, rows: Result<Vec<Waiting>, String>) {
        let rows = rows.unwrap_or_else(|why| {
            tracing::warn!(%why, "what waits on the disk cannot be given up");
            Vec::new()
        });
        let mut hit = false;
        for row in rows {
            hit |= self.give_up_row(&row);
        }
        if let Some(found) = self.deferred.giving_up.remove(&mark) {
            answer(found, hit);
        }
        self.taken_up_if_done();
    }

    /// `false` if it has an answer already.
    fn give_up_row(&mut self, row: &Waiting) -> bool {
        if self.deferred.replying.contains_key(&row.id) {
            return false;
        }
        if let Some((id, _)) = self.entries.iter().find(|(_, entry)| entry.row == Some(row.id)) {
            // It was taken up meanwhile.
            self.core.handle(self.now, Event::Cancelled { id: *id });
            return true;
        }
        self.counters.cancelled += 1;
        self.deferred.fetching.remove(&row.id);
        self.count_rows(self.deferred.rows.saturating_sub(1));
        self.answer_row(row, given_up());
        true
    }

    fn taken(&mut self, rows: Result<Vec<Waiting>, String>) {
        match rows {
            Ok(rows) => {
                for row in rows {
                    let id = row.id;
                    if self.deferred.replying.contains_key(&id) {
                        // It was given up since.
                        continue;
                    }
                    if self.deferred.order(|spool| spool.fetch(id)) {
                        self.deferred.fetching.insert(id, row);
                    } else {
                        self.deferred.order(|spool| spool.back(id));
                    }
                }
            }
            Err(why) => self.deferred.fault = why,
        }
        self.taken_up_if_done();
    }

    fn taken_up_if_done(&mut self) {
        if self.deferred.taking && self.deferred.fetching.is_empty() {
            self.deferred.taking = false;
            self.core.handle(self.now, Event::TakenUp);
        }
    }

    fn fetched(&mut self, id: i64, payload: Result<Option<bytes::Bytes>, String>) {
        let Some(row) = self.deferred.fetching.remove(&id) else { return };
        match payload.map(|payload| payload.map(|payload| stored::request(&row, payload))) {
            Ok(Some(Ok(mut request))) => {
                let rest = self.deferred.resting.get(&id).filter(|rest| rest.judged_by == self.looking.life());
                request.options.rejected = rest.map_or(Sites::NONE, |rest| rest.rejected);
                let callers = self.deferred.waiting.remove(&id).unwrap_or_default();
                self.count_rows(self.deferred.rows.saturating_sub(1));
                self.deferred.order(|spool| spool.alive(id));
                self.submit_again(request, id, callers);
            }
            Ok(Some(Err(why))) => {
                self.count_rows(self.deferred.rows.saturating_sub(1));
                self.answer_row(&row, Failure::new(ErrorCode::Internal, format!("read it from the disk: {why}")));
            }
            Ok(None) => {}
            Err(why) => {
                self.deferred.fault = why;
                self.deferred.order(|spool| spool.back(id));
            }
        }
        self.act();
        self.taken_up_if_done();
    }

    /// A row is answered without being served.
    fn answer_row(&mut self, row: &Waiting, failure: Failure) {
        let callers = self.deferred.waiting.remove(&row.id).unwrap_or_default();
        let received = || {
            let since_1970 = Duration::from_millis(u64::try_from(row.received_ms).unwrap_or(0));
            clock::rfc3339(std::time::UNIX_EPOCH + since_1970)
        };
        let info = Info {
            request_id: row.key.request_id.clone(),
            model: row.key.model.clone(),
            verdict: "refuse".into(),
            reason: failure.code.as_str().into(),
            data_class: stored::class(row).map(|class| class.as_str().to_owned()).unwrap_or_default(),
            received_at: callers.received.as_ref().map_or_else(received, |(_, at)| at.clone()),
            completed_at: clock::rfc3339(clock::wall()),
            ..Info::default()
        };
        self.answer_taken(row.id, Reply { result: Err(failure), info }, callers);
    }

    /// A request that was taken up has its answer.
    pub(in crate::driver) fn answer_taken(&mut self, row: i64, reply: Reply, callers: Callers) {
        self.deferred.resting.remove(&row);
        // Of what was given up nothing is kept: asked again, it is a new request.
        let is_kept = !matches!(&reply.result, Err(failure) if failure.code == ErrorCode::Cancelled);
        let bytes = if is_kept { stored::bytes(&reply) } else { None };
        if is_kept && bytes.is_none() {
            tracing::warn!(row, "an answer cannot be kept: asked again, it is made again");
        }
        if self.deferred.order(|spool| spool.answered(row, now(), bytes)) {
            self.deferred.replying.insert(row, (reply, callers));
        } else {
            let mut reply = reply;
            reply.info.warnings.push("this answer is not on the disk: the disk is behind".into());
            callers.send(&reply);
        }
    }

    /// A request that may be put off and has an id may have been answered before, in another life. It goes on when that
    /// is known. Gives it back if nobody needs to be asked.
    pub(in crate::driver) fn ask_spool(
        &mut self,
        request: Request,
        reply: ReplySender,
    ) -> Option<(Request, ReplySender)> {
        // Also while nothing can be written: what was answered before can be read.
        if !request.options.deferrable || !self.deferred.is_there() {
            return Some((request, reply));
        }
        let Some(of) = self.key_on_disk(&request) else { return Some((request, reply)) };
        let mark = self.deferred.mark();
        if !self.deferred.order(|spool| spool.recall(mark, now(), of)) {
            return Some((request, reply));
        }
        self.deferred.asking.insert(mark, (request, reply));
        None
    }

    /// What a request would be known by on the disk; `None` if nobody would know it again, or it is for no model.
    fn key_on_disk(&self, request: &Request) -> Option<Key> {
        // One by the broker that names none has the id that the journal knows it by.
        let request_id = row_id(request);
        if request_id.is_empty() {
            return None;
        }
        let (name, _) = resolve::model_name(&request.model, request.options.version.as_deref()).ok()?;
        let mut info = Info { model: name.to_owned(), ..Info::default() };
        if name.is_empty() {
            // By its task: what is said of it else is found out when it goes on.
            let _found = self.check(request, &mut info);
        }
        let (caller, model) = (stored::caller(&request.caller), info.model);
        (!model.is_empty()).then_some(Key { caller, request_id, model })
    }

    fn recalled(&mut self, mark: u64, found: Result<Recalled, String>) {
        let Some((request, reply)) = self.deferred.asking.remove(&mark) else { return };
        let of = self.key_on_disk(&request);
        match found {
            Ok(Recalled::Answered(bytes)) => {
                self.counters.duplicates += 1;
                let mut again = stored::reply(&bytes);
                again.info.duplicate = true;
                reply.send(again);
            }
            Ok(Recalled::Waits(row)) => {
                self.counters.duplicates += 1;
                if self.callers_of(row) < MAX_WAITERS {
                    self.join_row(row, Callers { senders: vec![reply], ..Callers::default() });
                } else {
                    too_often(request, reply);
                }
            }
            Ok(Recalled::Unknown) | Err(_) => match of.and_then(|of| self.deferred.put_since(&of)) {
                Some(first) if first.waiters.len() < MAX_WAITERS => {
                    self.counters.duplicates += 1;
                    first.story.steps.push((self.now, Step::Duplicate));
                    first.waiters.push(reply);
                }
                Some(_) => too_often(request, reply),
                None => {
                    self.submit_known(request, reply);
                    self.act();
                }
            },
        }
    }

    /// Whoever asks for a row waits for the one answer that it gets, however far that is: it waits on the disk, is being fetched, is
    /// served, or its answer is on its way to the disk.
    fn join_row(&mut self, row: i64, callers: Callers) {
        if let Some((_, waiting)) = self.deferred.replying.get_mut(&row) {
            waiting.join(callers);
        } else if let Some(entry) = self.entries.values_mut().find(|entry| entry.row == Some(row)) {
            entry.story.steps.push((self.now, Step::Duplicate));
            entry.waiters.extend(callers.senders);
        } else {
            self.deferred.waiting.entry(row).or_default().join(callers);
        }
    }

    /// How many wait for a row.
    fn callers_of(&self, row: i64) -> usize {
        if let Some((_, waiting)) = self.deferred.replying.get(&row) {
            return waiting.senders.len();
        }
        let served = self.entries.values().find(|entry| entry.row == Some(row)).map(|entry| entry.waiters.len());
        served.unwrap_or_else(|| self.deferred.waiting.get(&row).map_or(0, |waiting| waiting.senders.len()))
    }

    /// Now and then: what has expired is answered.
    pub(in crate::driver) fn sweep_deferred(&mut self) {
        if self.deferred.is_there() && self.deferred.next_sweep <= self.now {
            self.deferred.next_sweep = self.now.after(SWEEP);
            self.deferred.order(|spool| spool.sweep(now()));
            if self.deferred.lost.look() {
                self.touch();
            }
        }
    }
}

impl Callers {
    fn join(&mut self, other: Callers) {
        self.senders.extend(other.senders);
        self.received = self.received.take().or(other.received);
        self.steps.extend(other.steps);
    }
}

fn callers(entry: Entry) -> Callers {
    let received = Some((entry.story.received, entry.story.received_at));
    Callers { senders: entry.waiters.into_iter().chain([entry.reply]).collect(), received, steps: entry.story.steps }
}

/// What it would be known by on the disk; empty if nobody would know it again.
fn row_id(request: &Request) -> String {
    let options = &request.options;
    options.request_id.as_ref().or(options.made_up_id.as_ref()).cloned().unwrap_or_default()
}

fn too_often(request: Request, reply: ReplySender) {
    let text = format!("request_id: asked more than {MAX_WAITERS} times while it is open");
    let failure = Failure { retry_after_ms: Some(1000), ..Failure::new(ErrorCode::Overloaded, text) };
    let info = Info { request_id: row_id(&request), model: request.model, ..Info::default() };
    reply.send(Reply { result: Err(failure), info });
}

fn given_up() -> Failure {
    Failure::new(ErrorCode::Cancelled, "cancelled by the caller")
}

fn died_twice() -> Failure {
    Failure::new(ErrorCode::Internal, "this request was alive at two crashes and is not run again")
}

fn expired_there() -> Failure {
    Failure::new(
        ErrorCode::DeadlineExceeded,
        "deadline_ms: passed while it waited on the disk for something that can serve it",
    )
}
