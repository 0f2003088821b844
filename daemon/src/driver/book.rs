//! What is written down of requests: departures before they leave, what was spent, what was served, what was decided. The files and
//! their threads are the ledger's; this has what waits for them.

use std::collections::HashMap;

use edge_core::{Event, NanoUsd, SiteId};
use edge_wire::dto::Problem;
use edge_wire::sites::{AuditEntry, Replay, UsageRow};
use tokio::sync::{mpsc, oneshot};

use super::Driver;
use super::clock;
use crate::handle::{AuditFilter, UsageFilter};
use crate::ledger::audit::{self, AuditQuery, Departure};
use crate::ledger::decisions::{Decision, DecisionQuery, Sampler};
use crate::ledger::records::{Answer, Query, Records, Report};
use crate::ledger::spent::{Reservation, Spent};
use crate::ledger::time::Now;
use crate::ledger::usage::{Key, Sample, Usage, UsageQuery};
use crate::request::Failure;

/// Name of the file in the state directory.
pub const FILE: &str = "ledger.db";
/// Decisions that are kept of one second; of more a weighted sample.
const DECISIONS_PER_SECOND: u32 = 20;
/// How often what is old is let go.
const TICK: std::time::Duration = std::time::Duration::from_secs(60);

/// What the driver has of the ledger.
pub(super) struct Book {
    /// `None` where no file can be kept at all.
    records: Option<(Records, mpsc::Receiver<Report>)>,
    /// `None` until the file is open.
    spent: Option<Spent>,
    usage: Usage,
    decisions: Sampler,
    asked: HashMap<u64, Asked>,
    next_mark: u64,
    next_tick: edge_core::Mono,
    /// Why nothing can be written; empty if it can.
    fault: String,
    /// What can be done about it, where that is known.
    remedy: &'static str,
    lost: super::lost::Lost,
}

/// What can be done where nothing better is known.
const MAKE_ROOM: &str =
    "make room on the disk of the state directory, and look whether it is writable; it is tried again by itself";
/// What may be gone with an unreadable ledger.
const LOSS: &str = "what was noted of departures, usage and decisions until then is not shown any more, and what was spent today \
                    counts from 0";

/// Who waits for an answer.
pub(super) enum Asked {
    Audit(oneshot::Sender<Result<Vec<AuditEntry>, Failure>>),
    Usage(oneshot::Sender<Result<Vec<UsageRow>, Failure>>, String),
    Replay(Box<super::sites::Replaying>, oneshot::Sender<Result<Replay, Failure>>),
}

impl Book {
    pub(super) fn new(records: Option<(Records, mpsc::Receiver<Report>)>) -> Book {
        Book {
            records,
            spent: None,
            usage: Usage::default(),
            decisions: Sampler::new(DECISIONS_PER_SECOND),
            asked: HashMap::new(),
            next_mark: 0,
            next_tick: edge_core::Mono::default(),
            fault: String::new(),
            remedy: MAKE_ROOM,
            lost: super::lost::Lost::default(),
        }
    }

    /// What the file's thread says next; waits for ever without one. Safe to cancel.
    pub(super) async fn next(&mut self) -> Report {
        match &mut self.records {
            Some((_, reports)) => match reports.recv().await {
                Some(report) => report,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    pub(super) fn due(&self) -> Option<edge_core::Mono> {
        self.records.is_some().then_some(self.next_tick)
    }

    fn records(&self) -> Result<&Records, String> {
        self.records.as_ref().map(|(records, _)| records).ok_or_else(|| "this daemon keeps no ledger".into())
    }

    /// A request is about to leave; [`Driver::on_record`] goes on with `mark` when that is on disk.
    pub(super) fn intend(&self, mark: u64, row: Departure) -> Result<(), String> {
        self.records()?.intend(mark, row).map_err(|_| "more departures wait for the disk than may".into())
    }

    /// What came of it.
    pub(super) fn outcome(&self, ticket: audit::Ticket, outcome: audit::Outcome) {
        if let Ok(records) = self.records()
            && records.outcome(ticket, outcome).is_err()
        {
            tracing::warn!("the outcome of a request that left could not be noted: the ledger is behind");
        }
    }

    /// Money set aside at a site.
    pub(super) fn reserve(&mut self, site: &str, amount: NanoUsd) -> Option<Reservation> {
        let spent = self.spent.as_mut()?;
        let (reservation, entry) = spent.reserve(now(), site, micro(amount));
        self.note_spent(entry);
        Some(reservation)
    }

    /// What became of it.
    pub(super) fn settle(&mut self, reservation: &Reservation, amount: NanoUsd) {
        if let Some(spent) = self.spent.as_mut() {
            let entry = spent.settle(now(), reservation, micro(amount));
            self.note_spent(entry);
        }
    }

    fn note_spent(&self, entry: crate::ledger::spent::Entry) {
        if let Ok(records) = self.records()
            && records.spend(entry).is_err()
        {
            tracing::warn!("what was spent could not be noted: the ledger is behind");
        }
    }

    /// A request was settled.
    pub(super) fn count(&mut self, key: Key<'_>, sample: &Sample) {
        let over = self.usage.add(now().wall_ms, key, sample);
        self.note_usage(over);
    }

    fn note_usage(&self, rows: Vec<crate::ledger::usage::UsageRow>) {
        if let Ok(records) = self.records()
            && records.usage(rows).is_err()
        {
            tracing::warn!("a minute of usage could not be noted: the ledger is behind");
        }
    }

    /// Whether a decision is to be recorded, and for how many it stands.
    pub(super) fn wants_decision(&mut self) -> Option<u32> {
        self.records.as_ref()?;
        self.decisions.keep(now().boot_ms)
    }

    pub(super) fn decided(&self, model: &str, weight: u32, record: Vec<u8>) {
        let decision = Decision { at_ms: now().wall_ms, model: model.to_owned(), weight, record: record.into() };
        if let Ok(records) = self.records() {
            // One that finds no room is one of many.
            let _behind = records.decision(decision);
        }
    }

    fn ask(&mut self, query: Query, asked: Asked) {
        self.next_mark += 1;
        let mark = self.next_mark;
        let sent = self.records().and_then(|records| {
            records.ask(mark, query).map_err(|_| "more is asked of the ledger than may be".to_owned())
        });
        match sent {
            Ok(()) => drop(self.asked.insert(mark, asked)),
            Err(why) => asked.fail(&why),
        }
    }

    /// What is not as it should be.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        let fault = (!self.fault.is_empty()).then(|| Problem {
            subject: "ledger".into(),
            what: format!("cannot be written: {}", self.fault),
            remedy: self.remedy.into(),
        });
        fault.into_iter().chain(self.lost.problem("ledger", LOSS))
    }

    /// What can be done so that it can be written again.
    pub(super) fn remedy(&self) -> &'static str {
        self.remedy
    }
}

impl Asked {
    fn fail(self, why: &str) {
        let failure = Failure::new(edge_wire::error::ErrorCode::Unavailable, format!("the ledger: {why}"));
        match self {
            Asked::Audit(done) => super::answer(done, Err(failure)),
            Asked::Usage(done, _) => super::answer(done, Err(failure)),
            Asked::Replay(_, done) => super::answer(done, Err(failure)),
        }
    }
}

impl Driver {
    /// The ledger's thread said something.
    pub(super) fn on_record(&mut self, report: Report) {
        self.now = self.clock.now();
        // What goes on with every request changes nothing of the state.
        let is_news = !matches!(report, Report::Intended { .. } | Report::Answered { .. });
        match report {
            Report::Opened(found) => {
                self.book.fault.clear();
                if let Some((path, why)) = &found.moved {
                    tracing::error!(path = %path.display(), %why, "the ledger could not be read and was moved aside");
                }
                self.book.lost.opened(&self.config.state_dir.join(FILE), found.moved);
                // One that was moved aside while it was used: what is known here is newer.
                if self.book.spent.is_none() {
                    self.book.spent = Some(Spent::start(found.spent, now()));
                }
                self.tell_spent();
            }
            Report::Shut(shut) => (self.book.fault, self.book.remedy) = (shut.what, shut.remedy),
            Report::Intended { mark, ticket } => self.intended(mark, Ok(ticket)),
            Report::NotIntended { mark, why } => self.intended(mark, Err(why)),
            Report::Answered { mark, answer } => self.ledger_answered(mark, answer),
            Report::Failing(why) => {
                tracing::error!(%why, "the ledger cannot be written");
                (self.book.fault, self.book.remedy) = (why, MAKE_ROOM);
            }
            Report::Works { lost } => {
                tracing::info!(lost, "the ledger can be written again");
                self.book.fault.clear();
                self.sites.audit_fault.clear();
            }
        }
        if is_news {
            self.touch();
        }
    }

    /// The core is told what was spent today: at the start, and when a day begins.
    pub(super) fn tell_spent(&mut self) {
        let Some(spent) = self.book.spent.as_mut() else { return };
        let sites = self.sites.iter().map(|(id, known)| (id, spent.today(now(), &known.name)));
        let told: Vec<(SiteId, u64)> = sites.collect();
        for (site, micro) in told {
            let today = NanoUsd(micro.saturating_mul(1000));
            self.core.handle(self.now, Event::Spent { site, today });
        }
    }

    /// Once a minute.
    pub(super) fn tick_book(&mut self) {
        if self.book.records.is_none() || self.book.next_tick > self.now {
            return;
        }
        self.book.next_tick = self.now.after(TICK);
        let over = self.book.usage.turn(now().wall_ms);
        self.book.note_usage(over);
        if let Ok(records) = self.book.records() {
            // The next minute does it as well.
            let _behind = records.tick(now());
        }
        if self.book.lost.look() {
            self.touch();
        }
        self.look_at_credentials();
        self.tell_spent();
    }

    pub(super) fn audit(&mut self, filter: AuditFilter, done: oneshot::Sender<Result<Vec<AuditEntry>, Failure>>) {
        let since_ms = match time(filter.since.as_deref(), "since") {
            Ok(since) => since,
            Err(failure) => return super::answer(done, Err(failure)),
        };
        let query = AuditQuery {
            since_ms,
            site: filter.site,
            model: filter.model,
            class: filter.class,
            limit: usize::try_from(filter.limit).unwrap_or(usize::MAX),
            ..AuditQuery::default()
        };
        self.book.ask(Query::Audit(query), Asked::Audit(done));
    }

    pub(super) fn usage(&mut self, filter: UsageFilter, done: oneshot::Sender<Result<Vec<UsageRow>, Failure>>) {
        let times =
            time(filter.since.as_deref(), "since").and_then(|from| Ok((from, time(filter.until.as_deref(), "until")?)));
        let (from, until) = match times {
            Ok(times) => times,
            Err(failure) => return super::answer(done, Err(failure)),
        };
        // What was counted since the last minute belongs to it.
        let over = self.book.usage.take();
        self.book.note_usage(over);
        let each_ms = match filter.step.as_str() {
            "minute" => Some(60_000),
            "hour" => Some(3_600_000),
            "day" => Some(86_400_000),
            _ => None,
        };
        let query = UsageQuery {
            from_ms: from.unwrap_or(0),
            to_ms: until.unwrap_or(i64::MAX),
            by_model: true,
            by_site: true,
            by_verdict: true,
            each_ms,
        };
        self.book.ask(Query::Usage(query), Asked::Usage(done, filter.step));
    }

    pub(super) fn replay(&mut self, policy: &str, since: Option<&str>, done: oneshot::Sender<Result<Replay, Failure>>) {
        let from_ms = match time(since, "since") {
            Ok(since) => since,
            Err(failure) => return super::answer(done, Err(failure)),
        };
        match self.begin_replay(policy) {
            Ok(replaying) => {
                let query = DecisionQuery { from_ms, ..DecisionQuery::default() };
                self.book.ask(Query::Decisions(query), Asked::Replay(Box::new(replaying), done));
            }
            Err(failure) => super::answer(done, Err(failure)),
        }
    }

    fn ledger_answered(&mut self, mark: u64, answer: Result<Answer, String>) {
        let Some(asked) = self.book.asked.remove(&mark) else { return };
        match (asked, answer) {
            (Asked::Audit(done), Ok(Answer::Audit(found))) => {
                super::answer(done, Ok(found.rows.iter().map(audit_entry).collect()));
            }
            (Asked::Usage(done, step), Ok(Answer::Usage(found))) => {
                super::answer(done, Ok(found.lines.iter().map(|line| usage_row(line, &step)).collect()));
            }
            (Asked::Replay(mut replaying, done), Ok(Answer::Decisions(found))) => {
                replaying.take(&found.rows);
                match found.next {
                    Some(after) => {
                        let query = DecisionQuery { after: Some(after), ..replaying.query() };
                        self.book.ask(Query::Decisions(query), Asked::Replay(replaying, done));
                    }
                    None => super::answer(done, Ok(replaying.finish(&self.config.node))),
                }
            }
            (asked, Ok(_)) => asked.fail("answered something else"),
            (asked, Err(why)) => asked.fail(&why),
        }
    }
}

fn audit_entry(row: &audit::Audited) -> AuditEntry {
    let (left, ended) = (&row.departure, row.outcome.as_ref());
    let took = ended.map_or(0, |outcome| outcome.ended_ms.saturating_sub(left.at_ms).max(0));
    AuditEntry {
        at: rfc3339(left.at_ms),
        request_id: left.request_id.clone(),
        caller: left.caller.clone(),
        model: left.model.clone(),
        site: left.site.clone(),
        zone: left.zone.clone(),
        protocol: left.protocol.clone(),
        claimed: left.claimed.clone().unwrap_or_default(),
        data_class: left.effective.clone(),
        reason: left.kind.clone(),
        rules: left.rule.clone(),
        redacted: if left.redacted == 0 { String::new() } else { left.redacted.to_string() },
        bytes: left.bytes,
        digest: ended.and_then(|outcome| outcome.sha256).map(|digest| hex(&digest)).unwrap_or_default(),
        attempt: left.attempt,
        outcome: ended.map_or_else(|| "open".into(), |outcome| outcome.word.clone()),
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a request")]
        took_ms: took as f64,
        #[expect(clippy::cast_precision_loss, reason = "millionths of a dollar")]
        cost_usd: ended.and_then(|outcome| outcome.micro_usd).unwrap_or(0) as f64 / 1e6,
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums that people read")]
fn usage_row(line: &crate::ledger::usage::UsageLine, step: &str) -> UsageRow {
    let tally = &line.tally;
    let at = |permille| tally.latency.quantile(permille).map_or(0.0, |us| us as f64 / 1e3);
    UsageRow {
        from: line.start_ms.map(rfc3339).unwrap_or_default(),
        span_s: match step {
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            _ => 0,
        },
        model: line.model.clone().unwrap_or_default(),
        site: line.site.clone().unwrap_or_default(),
        verdict: line.verdict.clone().unwrap_or_default(),
        count: tally.count(),
        failed: tally.failed,
        input_tokens: tally.input_tokens,
        output_tokens: tally.output_tokens,
        sent_bytes: tally.bytes_sent,
        p50_ms: at(500),
        p95_ms: at(950),
        p99_ms: at(990),
        cost_usd: tally.micro_usd as f64 / 1e6,
        energy_j: tally.energy_mj as f64 / 1e3,
    }
}

/// Both clocks.
pub(super) fn now() -> Now {
    let since = clock::wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Now { wall_ms: ms(since), boot_ms: ms(clock::boot_time()) }
}

fn time(word: Option<&str>, option: &str) -> Result<Option<i64>, Failure> {
    let Some(word) = word else { return Ok(None) };
    let read = humantime::parse_rfc3339_weak(word).ok();
    let since = read.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    let ms = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    let text = || format!("option {option}: takes a time like 2026-11-28T10:00:00Z");
    ms.map(Some).ok_or_else(|| Failure::invalid(text()))
}

pub(super) fn rfc3339(ms: i64) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    clock::rfc3339(std::time::SystemTime::UNIX_EPOCH + since)
}

fn micro(amount: NanoUsd) -> u64 {
    amount.0.div_ceil(1000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
