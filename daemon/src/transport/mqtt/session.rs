//! The life of a request between broker, journal, driver and reply, as a pure state machine: events and a time in,
//! actions and packets out.
//!
//! Decides when a request is acknowledged (when its reply was accepted by the broker, or when it is safe in the
//! journal), what is journaled and when, what a redelivery means, and what is given up at which bound. Must not know
//! what a request says, who runs it, or how packets travel.
//!
//! ```text
//! arrived ──► Recalling ──► Securing ──► Running ──► Keeping ──► Sending ──► done
//!             is there a    journaled    with the    the reply    until the
//!             reply to it?  before it    driver      is stored    broker has it
//!             (redelivery)  runs (it may             (named
//!                           have killed              requests)
//!                           a daemon)
//! ```

mod job;
mod journaling;
mod steps;
mod terms;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use edge_core::{Mono, Priority};

use self::job::{Job, Journaled, Phase};
pub use self::terms::{Action, Arrival, JobId, Limits, Noted, Numbers, Taken, Why};
use super::acks::Acks;
use super::outbox::{self, Letter, Outbox};
use super::packet::{Granted, Outbound, Qos, ToBroker};
use super::window::{Answer, Window};
use crate::ledger::Key;

/// Requests from the journal of a former daemon that are open at once.
const RESTORED_AT_ONCE: usize = 32;
/// Shortest pause before a request that the journal had no room for is offered to it again.
const RETRY_WRITE: Duration = Duration::from_millis(20);

/// A message whose acknowledgement did not leave before the connection was lost.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    job: JobId,
    bytes: usize,
}

/// The session.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    /// The last daemon crashed, so that what the broker sends again may have been the reason.
    suspicious: bool,
    next_job: i64,
    jobs: HashMap<JobId, Job>,
    by_key: HashMap<Key, JobId>,
    /// Jobs of QoS 0, which no acknowledgement holds back.
    unowed: usize,
    /// Payload bytes of requests that are not answered.
    open_bytes: u64,
    acks: Acks,
    window: Window,
    outbox: Outbox,
    unsent: HashMap<u16, Unsent>,
    /// QoS 2 messages that were taken and that the broker has not released yet.
    unreleased: HashSet<u16>,
    /// Subscriptions and the like, before all else.
    control: VecDeque<ToBroker>,
    completions: VecDeque<u16>,
    due: VecDeque<(Mono, JobId)>,
    /// Requests of a former daemon that wait for their turn.
    parked: VecDeque<JobId>,
    restored: usize,
    rows: u64,
    row_bytes: u64,
    actions: VecDeque<Action>,
    numbers: Numbers,
    /// Last told.
    now: Mono,
    connected: bool,
    stopping: bool,
    /// A subscription is not answered.
    subscribing_since: Option<Mono>,
}

impl Session {
    /// A session that numbers its requests from `first_job` on.
    pub fn new(limits: Limits, first_job: i64, suspicious: bool) -> Session {
        Session {
            limits,
            suspicious,
            next_job: first_job,
            jobs: HashMap::new(),
            by_key: HashMap::new(),
            unowed: 0,
            open_bytes: 0,
            acks: Acks::default(),
            window: Window::default(),
            outbox: Outbox::new(limits.outbox),
            unsent: HashMap::new(),
            unreleased: HashSet::new(),
            control: VecDeque::new(),
            completions: VecDeque::new(),
            due: VecDeque::new(),
            parked: VecDeque::new(),
            restored: 0,
            rows: 0,
            row_bytes: 0,
            actions: VecDeque::new(),
            numbers: Numbers::default(),
            now: Mono::default(),
            connected: false,
            stopping: false,
            subscribing_since: None,
        }
    }

    /// The broker accepted the connection.
    pub fn connected(&mut self, now: Mono, granted: Granted) {
        self.connected = true;
        if !granted.session_present {
            self.unsent.clear();
            self.unreleased.clear();
            // What the broker sends from now on was never with a daemon that crashed.
            self.suspicious = false;
        }
        self.window.connected(now, granted);
        self.outbox.connected();
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        // What a crash left unacknowledged has come again by now, or is among what this daemon knows.
        self.suspicious &= !self.connected;
        self.subscribing_since = None;
        self.connected = false;
        self.window.lost();
        self.outbox.lost();
        self.control.clear();
        self.completions.clear();
        for owed in self.acks.clear() {
            self.unsent.insert(owed.packet_id, Unsent { job: owed.job, bytes: owed.bytes });
        }
        for job in self.jobs.values_mut() {
            job.acks.clear();
        }
    }

    /// A message with a request came in.
    pub fn arrived(&mut self, now: Mono, arrival: Arrival) -> Taken {
        let owed_something = arrival.qos != Qos::AtMostOnce;
        if self.stopping && owed_something {
            return Taken::Left(Why::Stopping);
        }
        if arrival.qos == Qos::ExactlyOnce && self.unreleased.contains(&arrival.packet_id) {
            // Taken before; the broker missed our word for it.
            self.owe_settled(&arrival);
            return Taken::Known;
        }
        if let Some(known) = self.find_known(&arrival) {
            self.attach(now, known, &arrival);
            return Taken::Known;
        }
        if let Some(why) = self.no_room(arrival.qos, arrival.bytes).filter(|_| !arrival.refused) {
            return Taken::Left(why);
        }
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.begin(now, job, arrival);
        Taken::New(job)
    }

    /// What was found to [`Action::Recall`]: the message to send again, or nothing.
    pub fn recalled(&mut self, now: Mono, job: JobId, found: Option<Outbound>) {
        match found {
            Some(message) => self.send(job, message),
            None => self.start(now, job),
        }
    }

    /// The reply to a request. `keep` if the same caller may ask for it again.
    pub fn replied(&mut self, now: Mono, job: JobId, message: Outbound, keep: bool) {
        let Some(open) = self.jobs.get_mut(&job) else { return };
        match &open.key {
            Some(key) if keep && open.leads => {
                let key = key.clone();
                open.phase = Phase::Keeping;
                open.reply = Some(message);
                self.actions.push_back(Action::Keep { job, key });
            }
            _ => self.send(job, message),
        }
        self.tick(now);
    }

    /// Messages for subscribers: one part of what is expected for `job`, or of no request.
    pub fn post(&mut self, now: Mono, rank: Priority, letters: Vec<Letter>, job: Option<JobId>) {
        self.outbox.post(now, rank, letters, job);
    }

    /// A request is not answered to whoever sent it: it is over when so many parts of results for subscribers were posted, and
    /// the broker or the disk has them all.
    pub fn expect(&mut self, job: JobId, parts: u32) {
        self.outbox.expect(job, parts);
    }

    /// Nothing becomes of one part of what is expected for `job`.
    pub fn part_over(&mut self, job: JobId) {
        self.outbox.part_over(job);
    }

    /// The messages that wait for the broker, for what the disk says of them.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// The reply is stored.
    pub fn kept(&mut self, job: JobId) {
        if let Some(message) = self.jobs.get_mut(&job).and_then(|open| open.reply.take()) {
            self.send(job, message);
        }
    }

    /// PUBACK.
    pub fn puback(&mut self, now: Mono, packet_id: u16, answer: Answer) {
        let done = self.window.puback(now, packet_id, answer);
        self.finish(now, done);
    }

    /// PUBREC.
    pub fn pubrec(&mut self, now: Mono, packet_id: u16, answer: Answer) {
        let done = self.window.pubrec(now, packet_id, answer);
        self.finish(now, done);
    }

    /// PUBCOMP.
    pub fn pubcomp(&mut self, now: Mono, packet_id: u16) {
        let done = self.window.pubcomp(now, packet_id);
        self.finish(now, done);
    }

    /// PUBREL: the broker will not send this one again. An unknown one is from before our time, and is completed too.
    pub fn pubrel(&mut self, packet_id: u16) {
        self.unreleased.remove(&packet_id);
        self.completions.push_back(packet_id);
    }

    /// A message of the box about itself.
    pub fn publish_status(&mut self, message: Outbound) {
        self.window.push_status(message);
    }

    /// A request to another box. Its answer, and how long it is waited for, is somebody else's matter.
    pub fn order(&mut self, ticket: u64, message: Outbound) {
        self.window.push_order(ticket, message);
    }

    /// The topic of a message that the broker has not acknowledged.
    pub fn topic_of(&self, packet_id: u16) -> Option<&str> {
        self.window.topic_of(packet_id)
    }

    /// Takes a request to another box back; `false` if it is out.
    pub fn withdraw(&mut self, ticket: u64) -> bool {
        self.window.withdraw(ticket)
    }

    /// Subscribes to filters on this connection. The answer must come before the connection counts as stalled.
    pub fn subscribe(&mut self, now: Mono, filters: Vec<(String, Qos)>, retained: bool) {
        self.subscribing_since.get_or_insert(now);
        let packet_id = self.window.subscription_id();
        self.control.push_back(ToBroker::Subscribe { packet_id, filters, retained });
    }

    /// All subscriptions that were asked for are answered.
    pub fn subscribed(&mut self) {
        self.subscribing_since = None;
    }

    /// Ends subscriptions.
    pub fn unsubscribe(&mut self, filters: Vec<String>) {
        let packet_id = self.window.subscription_id();
        self.control.push_back(ToBroker::Unsubscribe { packet_id, filters });
    }

    /// A message that carried no request, or needs no answer: it is acknowledged in its turn.
    pub fn discard(&mut self, job: JobId) {
        self.settle(job, None);
        self.unpark(self.now);
    }

    /// Time passed: requests that have been unsettled for too long go to the journal.
    pub fn tick(&mut self, now: Mono) {
        self.now = now;
        self.window.tick(now);
        self.outbox.tick(now);
        while let Some((due, job)) = self.due.front().copied()
            && due <= now
        {
            self.due.pop_front();
            let wants =
                |open: &Job| open.journal == Journaled::No && !open.acks.is_empty() && open.phase != Phase::Securing;
            if self.jobs.get(&job).is_some_and(wants) && !self.write(job, 0) {
                self.count_unjournaled(job);
                // Room comes when others are answered.
                self.due.push_back((now.after(self.limits.journal_after.max(RETRY_WRITE)), job));
            }
        }
        if self.stalled_since().is_some_and(|since| now.since(since) >= self.limits.stalled_after) {
            self.connected = false;
            self.actions.push_back(Action::Reconnect);
        }
    }

    /// Since when the broker has owed an answer without giving any.
    fn stalled_since(&self) -> Option<Mono> {
        let owed = [self.window.stalled_since(), self.subscribing_since];
        owed.into_iter().flatten().min().filter(|_| self.connected)
    }

    /// When to call [`tick`](Session::tick) next.
    pub fn next_tick(&self) -> Option<Mono> {
        let stalled = self.stalled_since().map(|since| since.after(self.limits.stalled_after));
        let due = self.due.front().map(|(due, _)| *due);
        [due, stalled, self.window.held_until(), self.outbox.next_tick()].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(action) = self.outbox.poll() {
            match action {
                outbox::Action::Safe(job) if self.jobs.contains_key(&job) => {
                    self.settle(job, None);
                    self.unpark(self.now);
                }
                outbox::Action::Safe(job) => self.actions.push_back(Action::Posted(job)),
                other => self.actions.push_back(Action::Outbox(other)),
            }
        }
        self.actions.pop_front()
    }

    /// The next packet for the broker.
    pub fn poll_packet(&mut self, now: Mono) -> Option<ToBroker> {
        if !self.connected {
            return None;
        }
        if let Some(packet) = self.control.pop_front() {
            return Some(packet);
        }
        if let Some(packet_id) = self.completions.pop_front() {
            return Some(ToBroker::PubComp(packet_id));
        }
        if let Some(owed) = self.acks.pop() {
            return Some(match owed.qos {
                Qos::ExactlyOnce => {
                    self.unreleased.insert(owed.packet_id);
                    ToBroker::PubRec(owed.packet_id)
                }
                Qos::AtMostOnce | Qos::AtLeastOnce => ToBroker::PubAck(owed.packet_id),
            });
        }
        loop {
            if self.takes_letters()
                && let Some((place, message)) = self.outbox.next(now)
            {
                self.window.push_letter(place, message);
            }
            let (packet, done) = self.window.next(now)?;
            self.finish(now, done);
            if packet.is_some() {
                return packet;
            }
        }
    }

    /// Whether [`poll_packet`](Session::poll_packet) would give something.
    pub fn has_packet(&self) -> bool {
        let own = !self.control.is_empty() || !self.completions.is_empty();
        let letter = || self.takes_letters() && self.outbox.is_ready();
        self.connected && (own || self.acks.is_ready() || self.window.is_ready() || letter())
    }

    /// Whether messages of the outbox may leave: while the daemon stops, many of them are better off on the disk.
    fn takes_letters(&self) -> bool {
        /// Sent in no time.
        const FEW: u64 = 64;
        let stays = self.stopping && self.outbox.has_disk() && self.outbox.level().rows > FEW;
        self.window.wants_letter() && !stays
    }

    /// Open requests with this id, for a cancellation.
    pub fn jobs_called(&self, request_id: &str) -> Vec<JobId> {
        let called = |job: &Job| job.key.as_ref().is_some_and(|key| key.request_id == request_id);
        self.jobs.iter().filter(|(_, job)| called(job)).map(|(id, _)| *id).collect()
    }

    /// From now on nothing that the broker would keep is taken.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.outbox.stop();
        self.parked.clear();
    }

    /// Whether every request that was taken is answered, the broker has the answers, and what it does not have is on the disk.
    pub fn is_drained(&self) -> bool {
        self.window.is_empty() && self.outbox.is_safe() && self.jobs.values().all(|job| job.phase == Phase::Parked)
    }

    /// Whether every request that was taken has its answer, be it with the broker or not.
    pub fn is_answered(&self) -> bool {
        self.outbox.is_safe() && self.jobs.values().all(|job| matches!(job.phase, Phase::Parked | Phase::Sending))
    }

    /// The numbers now.
    pub fn numbers(&self) -> Numbers {
        let outbox = self.outbox.level();
        Numbers { replies_waiting: self.window.waiting(), journaled: self.rows, outbox, ..self.numbers }
    }

    /// Why a request of this size would not be taken now, apart from one that is known already.
    pub fn no_room(&self, qos: Qos, bytes: usize) -> Option<Why> {
        let full = match qos {
            Qos::AtMostOnce => self.unowed >= self.limits.replies_waiting,
            Qos::AtLeastOnce | Qos::ExactlyOnce => self.acks.len() >= self.limits.inflight,
        };
        let heavy = self.open_bytes > 0 && self.open_bytes + bytes as u64 > self.limits.inflight_bytes;
        if full { Some(Why::Full) } else { heavy.then_some(Why::Heavy) }
    }
}

#[cfg(test)]
mod tests;
