//! Messages of ours on their way to the broker: they wait here until it has taken them, over reconnects.
//!
//! Decides what is sent next, under which packet id, and what is sent again. Replies keep their order, and so do messages of the
//! outbox, which take turns with them; what the box says of itself and requests to other boxes go before both and are given up
//! with the connection. Packet ids of
//! QoS 2 come from a small range of their own: a broker that kept the session of a daemon that died may hold one of
//! ours half-received, and would take a new message under that id for the old one; the first connection of a daemon
//! therefore releases the whole range before any of it is used.

mod answers;

use std::collections::{HashMap, HashSet, VecDeque};

use edge_core::Mono;

use super::outbox::Place;
use super::packet::{Granted, Outbound, Qos, ToBroker};
use super::session::JobId;

/// Messages of ours that may be unacknowledged, whatever the broker allows.
const WIDTH: usize = 64;
/// Packet ids 1 to this are for QoS 2, the others for QoS 1 and subscriptions.
const LAST_QOS2_ID: u16 = 32;

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Reply(JobId),
    /// Of the outbox.
    Letter(Place),
    /// A request to another box, by its ticket. Nobody waits for it over a reconnect.
    Order(u64),
    /// What the box says of itself; put together anew for each connection.
    Status,
}

/// What the broker said to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// Not now.
    NotNow,
    Never,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it; for QoS 0, the connection does.
    Accepted,
    /// The broker will not take it, or it is larger than it takes.
    Refused,
}

#[derive(Debug)]
struct Flying {
    tag: Tag,
    message: Outbound,
    /// The broker has it and was told so (QoS 2): only its last word is missing.
    released: bool,
    /// Place in the order of what is kept.
    order: u64,
    /// Since when the broker has not taken it.
    refused_since: Option<Mono>,
}

impl Flying {
    /// Whether it outlives the connection.
    fn is_kept(&self) -> bool {
        matches!(self.tag, Tag::Reply(_) | Tag::Letter(_))
    }
}

/// A message that waits for its turn.
#[derive(Debug)]
struct Waiting {
    tag: Tag,
    message: Outbound,
    order: u64,
    refused_since: Option<Mono>,
}

/// Messages on their way.
#[derive(Debug, Default)]
pub struct Window {
    granted: Option<Granted>,
    /// Whether this daemon was connected before.
    known: bool,
    /// Sent before all else: repetitions, and the second half of QoS 2.
    again: VecDeque<ToBroker>,
    status: VecDeque<Outbound>,
    orders: VecDeque<(u64, Outbound)>,
    replies: VecDeque<Waiting>,
    /// Few: the outbox keeps the others.
    letters: VecDeque<Waiting>,
    /// Whose turn it is.
    letter_next: bool,
    /// Until then neither is sent, as the broker would not take one.
    held_until: Option<Mono>,
    /// Pauses in a row; after one, a single message is offered before the others follow.
    holds: u32,
    flying: HashMap<u16, Flying>,
    next_order: u64,
    next_id: u16,
    /// QoS 2 ids that a former daemon may have left behind, until the broker says otherwise.
    haunted: HashSet<u16>,
    /// When the broker last acknowledged anything, or something was sent with nothing before it.
    progress: Mono,
}

/// A packet to send, a reply whose fate is known, or both.
pub type Step = (Option<ToBroker>, Option<(Tag, Fate)>);

impl Window {
    /// Replies that wait for the broker, sent or not.
    pub fn waiting(&self) -> usize {
        self.replies.len() + self.flying.values().filter(|flying| matches!(flying.tag, Tag::Reply(_))).count()
    }

    /// Whether one more message of the outbox can leave soon.
    pub fn wants_letter(&self) -> bool {
        self.granted.is_some_and(|granted| self.has_window(Qos::AtLeastOnce, granted))
            && self.letters.is_empty()
            && self.held_until.is_none()
            && !self.is_probing()
    }

    /// Whether nothing is left that the broker should have.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
            && self.letters.is_empty()
            && self.status.is_empty()
            && self.orders.is_empty()
            && self.flying.is_empty()
    }

    /// Since when the broker has owed an acknowledgement without giving any.
    pub fn stalled_since(&self) -> Option<Mono> {
        (self.granted.is_some() && !self.flying.is_empty()).then_some(self.progress)
    }

    /// The topic of a message that the broker has not acknowledged.
    pub fn topic_of(&self, packet_id: u16) -> Option<&str> {
        self.flying.get(&packet_id).map(|flying| flying.message.topic.as_str())
    }

    /// Adds a reply.
    pub fn push_reply(&mut self, job: JobId, message: Outbound) {
        let order = self.take_order();
        self.replies.push_back(Waiting { tag: Tag::Reply(job), message, order, refused_since: None });
    }

    /// Adds a message of the outbox.
    pub fn push_letter(&mut self, place: Place, message: Outbound) {
        let order = self.take_order();
        self.letters.push_back(Waiting { tag: Tag::Letter(place), message, order, refused_since: None });
    }

    fn take_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Adds a message of the box about itself; one that waits for the same topic is replaced.
    pub fn push_status(&mut self, message: Outbound) {
        match self.status.iter_mut().find(|waiting| waiting.topic == message.topic) {
            Some(waiting) => *waiting = message,
            None => self.status.push_back(message),
        }
    }

    /// Adds a request to another box.
    pub fn push_order(&mut self, ticket: u64, message: Outbound) {
        self.orders.push_back((ticket, message));
    }

    /// Takes a request to another box back; `false` if it is out, or was never there.
    pub fn withdraw(&mut self, ticket: u64) -> bool {
        let place = self.orders.iter().position(|(waiting, _)| *waiting == ticket);
        place.and_then(|place| self.orders.remove(place)).is_some()
    }

    /// A connection stands.
    pub fn connected(&mut self, now: Mono, granted: Granted) {
        self.progress = now;
        self.again.clear();
        let mut flying: Vec<(u16, Flying)> = self.flying.drain().collect();
        flying.sort_by_key(|(_, flying)| flying.order);
        if granted.session_present {
            for (packet_id, flying) in flying {
                self.again.push_back(match flying.released {
                    true => ToBroker::PubRel(packet_id),
                    false => ToBroker::Publish { packet_id, again: true, message: flying.message.clone() },
                });
                self.flying.insert(packet_id, flying);
            }
            if !self.known {
                self.haunted = (1..=LAST_QOS2_ID).collect();
                self.again.extend((1..=LAST_QOS2_ID).map(ToBroker::PubRel));
            }
        } else {
            // The broker has forgotten us. What it was told to release may be lost with the session, so it goes again.
            flying.into_iter().filter(|(_, flying)| flying.is_kept()).for_each(|(_, flying)| self.put_back(flying));
            self.haunted.clear();
        }
        self.known = true;
        self.granted = Some(granted);
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        self.granted = None;
        self.again.clear();
        self.status.clear();
        self.orders.clear();
        (self.held_until, self.holds) = (None, 0);
        self.flying.retain(|_, flying| flying.is_kept());
    }

    /// The next packet, and the message that is done with once it is sent.
    pub fn next(&mut self, now: Mono) -> Option<Step> {
        let granted = self.granted?;
        if let Some(packet) = self.again.pop_front() {
            return Some((Some(packet), None));
        }
        let qos = self.front()?.qos.min(granted.max_qos);
        let packet_id = match qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce | Qos::ExactlyOnce => self.free_id(qos, granted)?,
        };
        let (tag, mut message, order, refused_since) = self.pop()?;
        message.qos = qos;
        if granted.max_packet.is_some_and(|limit| message.packet_bytes() > usize::try_from(limit).unwrap_or(usize::MAX))
        {
            return Some((None, Some((tag, Fate::Refused))));
        }
        if packet_id == 0 {
            return Some((Some(ToBroker::Publish { packet_id, again: false, message }), Some((tag, Fate::Accepted))));
        }
        if self.flying.is_empty() {
            self.progress = now;
        }
        let packet = ToBroker::Publish { packet_id, again: false, message: message.clone() };
        self.flying.insert(packet_id, Flying { tag, message, released: false, order, refused_since });
        Some((Some(packet), None))
    }

    /// Whether [`next`](Window::next) would give something.
    pub fn is_ready(&self) -> bool {
        let Some(granted) = self.granted else { return false };
        let Some(front) = self.front() else { return !self.again.is_empty() };
        !self.again.is_empty()
            || front.qos.min(granted.max_qos) == Qos::AtMostOnce
            || self.has_window(front.qos, granted)
    }

    fn put_back(&mut self, flying: Flying) {
        let Flying { tag, message, order, refused_since, .. } = flying;
        let queue = if matches!(tag, Tag::Letter(_)) { &mut self.letters } else { &mut self.replies };
        let place = queue.partition_point(|waiting| waiting.order < order);
        queue.insert(place, Waiting { tag, message, order, refused_since });
    }

    /// A packet id for a subscription.
    pub fn subscription_id(&mut self) -> u16 {
        self.next_qos1_id()
    }

    fn front(&self) -> Option<&Outbound> {
        let kept = || if self.is_letters_turn() { self.letters.front() } else { self.replies.front() };
        let kept = || kept().filter(|_| self.held_until.is_none() && !self.is_probing());
        let order = || self.orders.front().map(|(_, message)| message);
        self.status.front().or_else(order).or_else(|| kept().map(|waiting| &waiting.message))
    }

    fn is_letters_turn(&self) -> bool {
        !self.letters.is_empty() && (self.letter_next || self.replies.is_empty())
    }

    /// Whether a message is under way that shows if the broker takes any again.
    fn is_probing(&self) -> bool {
        self.holds > 0 && self.flying.values().any(Flying::is_kept)
    }

    fn pop(&mut self) -> Option<(Tag, Outbound, u64, Option<Mono>)> {
        if let Some(message) = self.status.pop_front() {
            return Some((Tag::Status, message, 0, None));
        }
        if let Some((ticket, message)) = self.orders.pop_front() {
            return Some((Tag::Order(ticket), message, 0, None));
        }
        let letter = self.is_letters_turn();
        self.letter_next = !letter;
        let queue = if letter { &mut self.letters } else { &mut self.replies };
        let Waiting { tag, message, order, refused_since } = queue.pop_front()?;
        Some((tag, message, order, refused_since))
    }

    fn has_window(&self, qos: Qos, granted: Granted) -> bool {
        let room = self.flying.len() < WIDTH.min(granted.receive_max.into());
        room && (qos != Qos::ExactlyOnce || self.free_qos2_id().is_some())
    }

    fn free_id(&mut self, qos: Qos, granted: Granted) -> Option<u16> {
        if !self.has_window(qos, granted) {
            return None;
        }
        if qos == Qos::ExactlyOnce { self.free_qos2_id() } else { Some(self.next_qos1_id()) }
    }

    fn free_qos2_id(&self) -> Option<u16> {
        (1..=LAST_QOS2_ID).find(|id| !self.flying.contains_key(id) && !self.haunted.contains(id))
    }

    /// There are a thousand times more ids than places in the window, so the search is short.
    fn next_qos1_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(0).max(LAST_QOS2_ID + 1);
            if !self.flying.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }
}

#[cfg(test)]
mod tests;
