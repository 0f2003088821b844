//! The task's end of other boxes: orders out, answers in, and what the boxes say of themselves. Carries out; what an answer is, and
//! when one has taken too long, is decided in `peers`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;
use edge_wire::mqtt::topic::Spoken;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::{JoinError, JoinSet};

use super::Task;
use crate::config::MqttProtocol;
use crate::driver::clock::Clock;
use crate::driver::sites::siblings::{Ask, Heard, Order};
use crate::handle::{Handle, Message};
use crate::transport::mqtt::egress::JSON;
use crate::transport::mqtt::packet::{Inbound, Outbound, Qos};
use crate::transport::mqtt::peers::Peers;
use crate::transport::mqtt::peers::company::Company;
use crate::transport::mqtt::peers::decode::{Asked, decode};
use crate::transport::mqtt::peers::encode::{Content, Encoded, Sender, encode};
use crate::uplink::{Answer, Done, UplinkError};

/// Payloads of more bytes are put together beside the loop: as JSON they take milliseconds.
const BESIDE: usize = 64 << 10;
/// Why a box that has left answers nothing.
const LEFT: &str = "it has left the broker";
/// When the driver had no room, it is told again after this.
const TELL_AGAIN: Duration = Duration::from_millis(20);

/// What comes of putting a request together.
type Written = (u64, Result<Encoded, String>);

/// The state of all of that.
pub struct Siblings {
    pub(super) orders: OwnedMutexGuard<mpsc::Receiver<Ask>>,
    /// Requests that are being put together.
    pub(super) writing: JoinSet<Written>,
    sender: Sender,
    peers: Peers,
    company: Company,
    /// Answers were asked for on this connection.
    subscribed: bool,
    /// Why the broker does not let answers through.
    deaf: Option<String>,
    untold: VecDeque<Done>,
    unheard: BTreeMap<String, Heard>,
    tell_at: Option<Mono>,
    handle: Handle,
    clock: Clock,
}

impl Siblings {
    pub fn new(
        orders: OwnedMutexGuard<mpsc::Receiver<Ask>>,
        sender: Sender,
        life: String,
        handle: Handle,
        clock: Clock,
    ) -> Siblings {
        Siblings {
            orders,
            writing: JoinSet::new(),
            sender,
            peers: Peers::new(life),
            company: Company::default(),
            subscribed: false,
            deaf: None,
            untold: VecDeque::new(),
            unheard: BTreeMap::new(),
            tell_at: None,
            handle,
            clock,
        }
    }

    /// Whether no answer of another box is waited for.
    pub fn is_idle(&self) -> bool {
        self.peers.is_empty()
    }

    /// When something is due.
    pub fn next_due(&self) -> Option<Mono> {
        [self.peers.next_due(), self.tell_at].into_iter().flatten().min()
    }

    /// The broker does not let answers through.
    pub fn refused(&mut self, filter: &str, why: &str) {
        if filter == self.sender.topics.peer_filter() {
            self.deaf = Some(why.to_owned());
        }
    }

    fn end(&mut self, now: Mono, ticket: u64, withdrawn: bool, received: usize, result: Result<Answer, UplinkError>) {
        if let Some(done) = self.peers.end(now, ticket, withdrawn, received, result) {
            if let Err(error) = &done.result {
                tracing::debug!(%error, "a request to another box has ended");
            }
            self.untold.push_back(done);
        }
    }

    /// Hands the driver what it has not been told; without room there it waits here: of answers as many as there were orders, of
    /// each box one word. That goes first, so that what comes back from a box that has left is not sent there once more.
    pub fn tell(&mut self, now: Mono) {
        self.tell_at = None;
        while let Some((node, heard)) = self.unheard.pop_first() {
            if !self.handle.offer(Message::SiblingHeard(heard.clone())) {
                self.unheard.insert(node, heard);
                return self.tell_at = Some(now.after(TELL_AGAIN));
            }
        }
        while let Some(done) = self.untold.pop_front() {
            let Err(done) = self.handle.offer_back(Message::SiblingDone(Box::new(done))) else { continue };
            if let Message::SiblingDone(done) = done {
                self.untold.push_front(*done);
            }
            return self.tell_at = Some(now.after(TELL_AGAIN));
        }
    }
}

/// However the task ends, the driver is told of what was under way.
impl Drop for Siblings {
    fn drop(&mut self) {
        let now = self.clock.now();
        for ticket in self.peers.tickets() {
            let why = self.peers.get(ticket).map(|flight| flight.lost("the broker transport ended"));
            if let Some(why) = why {
                self.end(now, ticket, false, 0, Err(why));
            }
        }
        self.tell(now);
    }
}

impl Task {
    /// The driver asks something of another box.
    pub(super) fn on_ask(&mut self, ask: Ask) {
        let now = self.clock.now();
        match ask {
            Ask::Order(order) => self.on_order(now, order),
            Ask::Cancel { ticket } => {
                let Some(flight) = self.siblings.peers.get(ticket) else { return };
                let given_up = UplinkError::Cancelled { site: flight.site.clone() };
                self.give_up(now, ticket, given_up);
            }
        }
    }

    fn on_order(&mut self, now: Mono, order: Order) {
        let (ticket, site) = (order.ticket, order.site.clone());
        if let Err(why) = self.siblings.peers.begin(now, &order) {
            return self.siblings.end(now, ticket, false, 0, Err(why));
        }
        // The core and the configuration see to that; were they wrong, the broker does not see it all the same.
        if self.config.zone > order.class.farthest() {
            let (zone, class) = (self.config.zone.as_str(), order.class.as_str());
            tracing::error!(%site, zone, class, "a request was to go by a broker that is farther than its class allows");
            let why = format!("the broker is in the zone {zone}, where data of class {class} may not go");
            return self.siblings.end(now, ticket, false, 0, Err(UplinkError::Unfit { site, why }));
        }
        let cause = match &self.siblings.deaf {
            _ if !self.speaker.is_connected() => "there is no connection to the broker".to_owned(),
            Some(why) => format!("the broker does not let its answers through: {why}"),
            None if self.siblings.company.has_left(&order.node) => LEFT.to_owned(),
            None => {
                let correlation = self.siblings.peers.correlation(ticket);
                let mut sender = self.siblings.sender.clone();
                if !self.siblings.company.has_five(&order.node) {
                    sender.protocol = MqttProtocol::V311;
                }
                self.siblings.writing.spawn(write(order, sender, correlation));
                return;
            }
        };
        let at = self.speaker.broker().to_owned();
        self.siblings.end(now, ticket, false, 0, Err(UplinkError::Connect { site, at, cause }));
    }

    /// A request was put together: it goes out, if it is still wanted.
    pub(super) fn on_written(&mut self, written: Result<Written, JoinError>) {
        let now = self.clock.now();
        let (ticket, result) = match written {
            Ok(written) => written,
            // Its order ends by its budget.
            Err(error) => return tracing::error!(%error, "a request to another box could not be put together"),
        };
        let Some(flight) = self.siblings.peers.get(ticket) else { return };
        let site = flight.site.clone();
        let unfit = |why| UplinkError::Unfit { site, why };
        let Encoded { message, out } = match result {
            Ok(encoded) => encoded,
            Err(why) => return self.siblings.end(now, ticket, false, 0, Err(unfit(why))),
        };
        let (bytes, most) = (message.packet_bytes(), self.speaker.max_reply_bytes());
        if bytes > most {
            let why = format!("{bytes} bytes with what goes around it: the broker takes {most}");
            return self.siblings.end(now, ticket, false, 0, Err(unfit(why)));
        }
        self.siblings.peers.sent(ticket, out);
        self.session.order(ticket, message);
    }

    /// Another box answered.
    pub(super) fn on_peer(&mut self, now: Mono, name: &str, message: &Inbound) {
        let correlation = message.properties.correlation.as_deref();
        let Some(ticket) = self.siblings.peers.whose(name, correlation) else {
            return tracing::debug!(topic = %message.topic, "an answer of another box that nobody waits for");
        };
        let Some(flight) = self.siblings.peers.get(ticket) else { return };
        let Some(request_id) = flight.request_id() else { return };
        let asked = Asked {
            site: &flight.site,
            request_id,
            outputs: &flight.outputs,
            budget: flight.budget(),
            max_bytes: self.config.max_packet_bytes,
        };
        let result = decode(message, &asked);
        self.siblings.end(now, ticket, false, message.payload.len(), result);
    }

    /// The broker does not take a request.
    pub(super) fn on_order_refused(&mut self, now: Mono, ticket: u64) {
        let Some(flight) = self.siblings.peers.get(ticket) else { return };
        let why = UplinkError::Unfit { site: flight.site.clone(), why: "the broker does not take it".into() };
        self.siblings.end(now, ticket, false, 0, Err(why));
    }

    /// Requests whose budget is spent are given up, and the driver is told what it has not been told.
    pub(super) fn look_at_siblings(&mut self, now: Mono) {
        for ticket in self.siblings.peers.overdue(now) {
            if let Some(late) = self.siblings.peers.get(ticket).map(|flight| flight.late()) {
                self.give_up(now, ticket, late);
            }
        }
        self.siblings.tell(now);
    }

    /// The answer is not waited for any more; the other box is told, if it has the request.
    fn give_up(&mut self, now: Mono, ticket: u64, why: UplinkError) {
        let withdrawn = self.session.withdraw(ticket);
        if !withdrawn && let Some((node, request_id)) = self.siblings.peers.to_cancel(ticket) {
            let topic = self.rules.topics.cancel_at(node, request_id);
            self.session.publish_status(cancellation(topic));
        }
        self.siblings.end(now, ticket, withdrawn, 0, Err(why));
    }

    /// The connection is gone: answers cannot come any more.
    pub(super) fn lose_siblings(&mut self, now: Mono, cause: &str) {
        for ticket in self.siblings.peers.tickets() {
            let withdrawn = self.session.withdraw(ticket);
            if let Some(lost) = self.siblings.peers.get(ticket).map(|flight| flight.lost(cause)) {
                self.siblings.end(now, ticket, withdrawn, 0, Err(lost));
            }
        }
        self.siblings.company.forget();
        (self.siblings.subscribed, self.siblings.deaf) = (false, None);
    }

    /// Listens to the boxes that the configuration names as sites, and to the answers that they give.
    pub(super) fn follow_siblings(&mut self, now: Mono) {
        let connected = self.speaker.is_connected() || !self.subscribing.is_empty();
        if !connected || self.is_stopping() {
            return;
        }
        let status = self.status.borrow().clone();
        let (new, gone) = self.siblings.company.follow(status.routing.siblings());
        let topics = self.rules.topics.clone();
        let filters: Vec<String> = gone.iter().flat_map(|node| topics.spoken_by(node)).collect();
        if !filters.is_empty() {
            self.session.unsubscribe(filters);
        }
        if new.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.siblings.subscribed, true) {
            // Not acknowledged, so that answers never wait behind the requests of others that are not acknowledged yet.
            self.ask_for(now, vec![(topics.peer_filter(), Qos::AtMostOnce)], false);
        }
        let filters = new.iter().flat_map(|node| topics.spoken_by(node)).map(|filter| (filter, Qos::AtMostOnce));
        self.ask_for(now, filters.collect(), true);
    }

    /// Another box says how it is. One that has left answers nothing: what is there is given up, rather than waited for until its
    /// time is spent, when no other site could serve it any more.
    pub(super) fn on_spoken(&mut self, now: Mono, node: &str, of: Spoken, message: &Inbound) {
        if let Some(heard) = self.siblings.company.hear(node, of, &message.payload, message.retained) {
            self.siblings.unheard.insert(node.to_owned(), heard);
        }
        if !self.siblings.company.has_left(node) {
            return;
        }
        for ticket in self.siblings.peers.at(node) {
            if let Some(lost) = self.siblings.peers.get(ticket).map(|flight| flight.lost(LEFT)) {
                self.give_up(now, ticket, lost);
            }
        }
    }
}

/// Puts a request together: what is large, beside the loop.
async fn write(order: Order, sender: Sender, correlation: String) -> Written {
    let ticket = order.ticket;
    let content = match Content::of(order.payload.clone()) {
        Ok(content) => content,
        Err(why) => return (ticket, Err(why)),
    };
    let is_large = content.len() > BESIDE;
    let work = move || encode(&order, &content, &sender, correlation);
    if !is_large {
        return (ticket, work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => (ticket, result),
        Err(error) => (ticket, Err(format!("put it together: {error}"))),
    }
}

fn cancellation(topic: String) -> Outbound {
    Outbound {
        topic,
        payload: Bytes::new(),
        qos: Qos::AtLeastOnce,
        retain: false,
        correlation: None,
        content_type: JSON.into(),
        ..Outbound::default()
    }
}
