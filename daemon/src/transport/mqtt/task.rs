//! The transport's one task: carries out what the session decides, between the link, the driver, the journal, the kept
//! replies and the status.
//!
//! It contains no rule about acknowledgement, order or bounds; those are the session's. Nothing in it waits: what finds
//! no room stays where its bound is, and the loop comes back to it.

mod begin;
mod bindings;
mod connection;
mod discovery;
mod held;
mod home;
mod journal;
pub mod outbox;
mod requests;
mod siblings;
mod sources;
pub mod speak;
mod stages;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;
use edge_wire::dto::{FleetReport, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use self::bindings::Resolved;
use self::connection::{receive, room};
use self::held::Held;
use self::home::Home;
use self::outbox::Shelf;
use self::requests::Open;
use self::siblings::Siblings;
use self::sources::Sources;
use self::speak::Speaker;
use super::bindings::Binder;
use super::brokers::Brokers;
use super::former::Former;
use super::heard::{Heard, Memo};
use super::ingress::Rules;
use super::link::{self, Link};
use super::packet::{FromBroker, Manner, Qos, Will};
use super::peers::encode::Encoded;
use super::reconnect::End;
use super::session::{Action, JobId, Session};
use crate::config::MqttConfig;
use crate::driver::clock::Clock;
use crate::driver::sites::siblings::Ask;
use crate::handle::{Handle, Note, Numbered};
use crate::ledger::journal::{self as journal_file, Found, Journal};
use crate::ledger::replies::Replies;
use crate::transport::sparkplug::News;

/// Events of one kind that are taken before the others get a turn.
const BURST: usize = 64;
/// Notes for the traces that are told together, and how long the first of them waits for company.
const NOTES: usize = 64;
const NOTES_PAUSE: Duration = Duration::from_millis(100);
/// First number of requests that come while the journal is not open: they can never be in it, and the numbers of what is
/// in it are not known.
const UNKEPT: i64 = i64::MIN / 2;
/// How long the last words may take, once nothing else is left.
const GOODBYE: Duration = Duration::from_secs(1);

/// A broker that answers pings and acknowledges nothing for so many keep-alives is left.
const STALLED_KEEP_ALIVES: u32 = 2;

/// Asks the task to end within a time.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub limit: Duration,
}

/// What the ledger gave at start.
pub struct Ledger {
    pub journal: Option<Journal>,
    pub replies: Option<Replies>,
    pub journal_reports: mpsc::Receiver<journal_file::Report>,
    /// What a former daemon left, until it is handed to the session; `None` while the journal is not open.
    pub found: Option<Found>,
    pub shelf: Shelf,
    pub former: Former,
    pub memo: Memo,
    /// Sources of earlier lives, until the bindings have them.
    pub heard: Vec<Heard>,
}

/// Why the loop turns.
enum Wake {
    Packet(Option<FromBroker>),
    /// The link takes packets again.
    Room,
    /// The link told something of itself.
    Told,
    Answer(Numbered),
    /// The outbox's disk.
    Shelf(crate::ledger::outbox::Report),
    /// `None`: its thread has ended.
    Journal(Option<journal_file::Report>),
    Status {
        driver_is_gone: bool,
    },
    Ask(Ask),
    /// Something that was looked at beside the connection.
    Seen(Result<home::Seen, JoinError>),
    /// A request to another box was put together.
    Written(Result<(u64, Result<Encoded, String>), JoinError>),
    /// A source of a binding has a frame.
    Given(crate::binding::sources::Frame),
    /// A frame that a message names was read.
    Resolved(Result<Resolved, JoinError>),
    Time,
    Stop(Option<Stop>),
}

/// Where the daemon's end is.
enum Stage {
    /// The models are not warm yet: what the broker keeps is better off there.
    Waiting,
    Serving,
    /// Nothing new is taken; ends at this time at the latest.
    Stopping(Mono),
    /// All is answered: the last words are on their way.
    Leaving(Mono),
}

/// The task.
pub struct Task {
    config: MqttConfig,
    rules: Rules,
    handle: Handle,
    clock: Clock,
    wall: fn() -> std::time::SystemTime,
    session: Session,
    open: HashMap<JobId, Open>,
    /// Replies of the driver, by the job's number; there is room for one of each open job.
    answers: mpsc::Receiver<Numbered>,
    answer_to: mpsc::Sender<Numbered>,
    /// Orders to write that the journal has not answered.
    writing: usize,
    /// Since when it owes an answer.
    journal_spoke: Option<Mono>,
    /// For the traces, until there are some or some time has passed.
    notes: Vec<Note>,
    notes_due: Option<Mono>,
    ledger: Ledger,
    status: watch::Receiver<Arc<Status>>,
    speaker: Speaker,
    link: Option<Link>,
    /// Frames for which there is no room yet, with what came behind them.
    held: Held,
    brokers: Brokers,
    home: Home,
    dice: RandomState,
    /// When to connect again.
    next_attempt: Option<Mono>,
    stage: Stage,
    /// Filters of the subscriptions that are not answered yet, in their order.
    subscribing: VecDeque<Vec<String>>,
    /// Filters that the broker refused, and why.
    unsubscribed: Vec<(String, String)>,
    /// Subscriptions of an earlier configuration that were ended.
    former: HashSet<String>,
    /// Whether the group's requests are asked for; not known at the start of a connection, as the broker may keep it.
    in_group: Option<bool>,
    /// Whether the reports of other boxes were asked for.
    in_fleet: bool,
    /// Such reports, until the driver takes them.
    reports: Vec<FleetReport>,
    /// Requests to other boxes, and what those say of themselves.
    siblings: Siblings,
    binder: Binder,
    /// For the edge node.
    news: Option<mpsc::Sender<News>>,
    /// Messages with frames that are not with their bindings yet, in the order in which they came, and those of them that may go
    /// there, with the deaths at which they were open.
    frames_in_order: VecDeque<JobId>,
    /// The first one that a former daemon left, and one that was open at a crash and runs with no other of its kind.
    first_left: Option<JobId>,
    alone: Option<JobId>,
    ready_frames: HashMap<JobId, u8>,
    /// When their counters are told.
    binder_due: Option<Mono>,
    /// Frames that messages name, while they are read.
    resolving: JoinSet<Resolved>,
    /// Of bindings that are fed by no topic.
    sources: Sources,
    /// Start of the ids that are made up here: differs from one life of the daemon to the next.
    id_prefix: String,
}

impl Task {
    /// Tells of something wrong that was found before the task began.
    pub fn report_problem(&mut self, problem: edge_wire::dto::Problem) {
        self.speaker.set_problem(problem);
    }

    /// Runs until stopped; gives the ledger back to be closed.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Stop>>) -> Ledger {
        let timer = sleep(Duration::ZERO);
        tokio::pin!(timer);
        let (mut armed, mut driver_gone) = (None, false);
        let mut journal_gone = self.ledger.journal.is_none();
        loop {
            let now = self.clock.now();
            self.advance(now);
            self.drive(now);
            while self.take_held(now) {
                self.drive(now);
            }
            if self.is_over(now) {
                break;
            }
            self.speaker.report(now, &self.handle, &self.session);
            self.arm(timer.as_mut(), &mut armed);
            let (wants_room, may_stop) = (self.session.has_packet(), !self.is_stopping());
            let (serving, may_read) = (matches!(self.stage, Stage::Serving), !self.held.is_full());
            let (received, packets, told) = match &mut self.link {
                Some(link) => (Some(&mut link.received), Some(&link.packets), Some(&mut link.told)),
                None => (None, None, None),
            };
            let wake = tokio::select! {
                packet = receive(received), if may_read => Wake::Packet(packet),
                () = room(packets), if wants_room => Wake::Room,
                Some(answer) = self.answers.recv() => Wake::Answer(answer),
                report = self.ledger.journal_reports.recv(), if !journal_gone => Wake::Journal(report),
                Some(report) = self.ledger.shelf.reports.recv() => Wake::Shelf(report),
                changed = self.status.changed(), if !driver_gone => Wake::Status { driver_is_gone: changed.is_err() },
                Some(ask) = self.siblings.orders.recv() => Wake::Ask(ask),
                Some(written) = self.siblings.writing.join_next() => Wake::Written(written),
                Some(frame) = self.sources.frames.recv(), if serving => Wake::Given(frame),
                Some(resolved) = self.resolving.join_next() => Wake::Resolved(resolved),
                Some(seen) = self.home.looking.join_next() => Wake::Seen(seen),
                () = home::news(told) => Wake::Told,
                () = timer.as_mut() => Wake::Time,
                asked = stop.wait_for(Option::is_some), if may_stop => Wake::Stop(asked.ok().and_then(|asked| *asked)),
            };
            match wake {
                Wake::Packet(packet) => self.on_packet(packet).await,
                Wake::Answer(answer) => self.on_answer(answer),
                Wake::Shelf(report) => self.on_shelf(report),
                Wake::Journal(Some(report)) => self.on_journal(report),
                Wake::Journal(None) => {
                    journal_gone = true;
                    self.on_journal_gone();
                }
                Wake::Status { driver_is_gone } => driver_gone |= self.on_status(driver_is_gone),
                Wake::Ask(ask) => self.on_ask(ask),
                Wake::Given(frame) => self.on_given(frame),
                Wake::Resolved(resolved) => self.on_resolved(resolved),
                Wake::Seen(seen) => self.on_seen(seen),
                Wake::Told => self.on_told(),
                Wake::Written(written) => self.on_written(written),
                Wake::Stop(asked) => self.on_stop(asked),
                Wake::Time => armed = None,
                Wake::Room => {}
            }
        }
        self.tell_notes();
        self.leave().await;
        self.ledger
    }

    /// What is due by the clock.
    fn advance(&mut self, now: Mono) {
        self.session.tick(now);
        self.look_at_journal(now);
        if self.notes_due.is_some_and(|due| due <= now) {
            self.tell_notes();
        }
        if matches!(self.stage, Stage::Waiting) && self.is_warm() {
            self.stage = Stage::Serving;
            self.speaker.warm();
            self.binder.recall(now, (self.wall)(), std::mem::take(&mut self.ledger.heard));
            self.speaker.discovery.add(self.binder.take_discovered());
            if let Some(found) = self.ledger.found.take() {
                self.restore(now, found);
            }
            self.next_attempt = Some(now);
        }
        if self.link.is_none() && self.next_attempt.is_some_and(|at| at <= now) {
            self.next_attempt = None;
            let config = self.config.at(self.brokers.at());
            self.speaker.trying(self.brokers.at());
            self.link = Some(link::start(config, self.manner(), self.clock));
        }
        self.look_homeward(now);
        self.tell_reports();
        self.look_at_binder(now);
        self.look_at_siblings(now);
        let status = self.status.borrow().clone();
        if !matches!(self.stage, Stage::Waiting) {
            self.speaker.watch(now, &status, self.wall, &mut self.session);
        }
        if self.speaker.is_connected() {
            self.speaker.speak(now, &status, self.wall, &mut self.session);
        }
    }

    /// The broker keeps what it has for us while we are away, and tells everybody that we are.
    fn manner(&self) -> Manner {
        let payload = Bytes::from_static(edge_wire::mqtt::retained::OFFLINE.as_bytes());
        let will = Will { topic: self.rules.topics.available(), payload, qos: Qos::AtLeastOnce, retain: true };
        Manner { will, clean: false }
    }

    /// Carries out all that the session has.
    fn drive(&mut self, now: Mono) {
        loop {
            let mut acted = self.drive_binder(now);
            while let Some(action) = self.session.poll_action() {
                acted = true;
                self.act(now, action);
            }
            while let Some(link) = &self.link
                && self.session.has_packet()
                && let Ok(permit) = link.packets.try_reserve()
                && let Some(packet) = self.session.poll_packet(now)
            {
                permit.send(packet);
                acted = true;
            }
            if !acted {
                return;
            }
        }
    }

    fn act(&mut self, now: Mono, action: Action) {
        match action {
            Action::Run { job, deaths } => self.run_job(now, job, deaths),
            Action::Refuse(job) => self.refuse_deferrable(now, job),
            Action::Recall { job, key } => self.recall(now, job, &key),
            Action::Keep { job, key } => self.keep(job, &key),
            Action::Write { job, deaths } => self.write(now, job, deaths),
            Action::Remove(job) => self.remove(job),
            Action::Note { job, step } => self.note(now, job, step),
            Action::Forget(job) => {
                self.open.remove(&job);
                self.hand_out(now);
            }
            Action::Posted(job) => self.on_posted(job),
            Action::Outbox(action) => self.act_outbox(action),
            Action::OrderRefused(ticket) => self.on_order_refused(now, ticket),
            Action::Reconnect => {
                if let Some(link) = self.link.take() {
                    link.task.abort();
                }
                let end = End {
                    stood: Some(Duration::ZERO),
                    taken_over: false,
                    refused: false,
                    closed: false,
                    reason: format!(
                        "the broker acknowledged nothing for {} s, two keep-alives",
                        (self.config.keep_alive * STALLED_KEEP_ALIVES).as_secs()
                    ),
                };
                self.ended(now, end);
            }
        }
    }
}
