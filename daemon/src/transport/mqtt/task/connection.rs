//! The task's end of the connection: packets that came, subscriptions, its end and what comes after.

use std::hash::BuildHasher as _;

use edge_core::Mono;
use tokio::sync::mpsc;

use super::held::Held;
use super::{BURST, GOODBYE, Stage, Task};
use crate::transport::mqtt::link::Link;
use crate::transport::mqtt::packet::{FromBroker, NotTaken, Qos, ToBroker};
use crate::transport::mqtt::reconnect::End;
use crate::transport::mqtt::window::Answer;

impl Task {
    pub(super) async fn on_packet(&mut self, packet: Option<FromBroker>) {
        let Some(first) = packet else { return self.on_link_end().await };
        let (now, mut next, mut left) = (self.clock.now(), Some(first), BURST);
        while let Some(packet) = next.take() {
            if let Some(packet) = self.held.queue(packet) {
                self.handle_packet(now, packet);
            }
            left -= 1;
            if left > 0 && !self.held.is_full() {
                next = self.link.as_mut().and_then(|link| link.received.try_recv().ok());
            }
        }
    }

    async fn on_link_end(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.speaker.told(&link.told.borrow());
        let end = link.task.await.unwrap_or_else(|error| End {
            stood: None,
            taken_over: false,
            refused: false,
            closed: false,
            reason: format!("the task of the connection ended: {error}"),
        });
        self.ended(self.clock.now(), end);
    }

    pub(super) fn ended(&mut self, now: Mono, end: End) {
        self.forget_connection(now, &end.reason);
        let next = self.brokers.after(end, &self.config.client_id, self.throw(now));
        let stopping = self.is_stopping();
        if !stopping && next.is_news() {
            let (reason, times) = (&next.reason, next.times);
            tracing::warn!(broker = %self.speaker.broker(), %reason, times, retry_in = ?next.pause, "no connection to the broker");
        }
        // While stopping too: without a broker there is nobody to wait for.
        self.speaker.lost(next.contested, next.reason);
        if stopping {
            return;
        }
        self.next_attempt = Some(now.after(next.pause));
    }

    /// Nothing of a connection outlives it.
    pub(super) fn forget_connection(&mut self, now: Mono, why: &str) {
        self.held = Held::default();
        self.home.connection_is_gone();
        self.lose_siblings(now, why);
        self.session.lost();
        self.subscribing.clear();
        self.unsubscribed.clear();
        self.former.clear();
        self.in_group = None;
        self.in_fleet = false;
    }

    /// A number that differs from box to box and from time to time.
    pub(super) fn throw(&self, now: Mono) -> u64 {
        self.dice.hash_one(now.as_nanos())
    }

    pub(super) fn handle_packet(&mut self, now: Mono, packet: FromBroker) {
        match packet {
            FromBroker::Connected(Ok(granted)) => {
                self.session.connected(now, granted);
                self.speaker.accepted(granted);
                self.brokers.accepted(now, self.throw(now));
                self.on_told();
                self.subscribe(now);
            }
            FromBroker::Publish(message) => self.on_message(now, message),
            FromBroker::PubAck(id, taken) => {
                let answer = self.word_of_broker(now, id, taken);
                self.session.puback(now, id, answer);
            }
            FromBroker::PubRec(id, taken) => {
                let answer = self.word_of_broker(now, id, taken);
                self.session.pubrec(now, id, answer);
            }
            FromBroker::PubRel(id) => self.session.pubrel(id),
            FromBroker::PubComp(id) => self.session.pubcomp(now, id),
            FromBroker::SubAck(answers) => self.on_subscribed(answers),
            // The link keeps these to itself.
            FromBroker::Connected(Err(_)) | FromBroker::Disconnect { .. } | FromBroker::UnsubAck | FromBroker::Pong => {
            }
        }
    }

    /// What the broker's word means; the status tells of a refusal, with its topic.
    fn word_of_broker(&mut self, now: Mono, id: u16, taken: Result<(), NotTaken>) -> Answer {
        let topic = self.session.topic_of(id);
        let Err(NotTaken { reason, passing }) = taken else {
            if let Some(topic) = topic {
                self.speaker.refusals.taken(topic);
            }
            return Answer::Taken;
        };
        let topic = topic.unwrap_or_default();
        tracing::warn!(%reason, passing, topic, "the broker did not take a message");
        self.speaker.refusals.refused(now, topic, &reason, passing);
        if !passing {
            self.binder.refused(topic);
        }
        if passing { Answer::NotNow } else { Answer::Never }
    }

    fn subscribe(&mut self, now: Mono) {
        if !matches!(self.stage, Stage::Serving) {
            return;
        }
        let topics = &self.rules.topics;
        let filters = vec![(topics.infer_filter(), Qos::ExactlyOnce), (topics.cancel_filter(), Qos::AtLeastOnce)];
        // The records of this box are looked at once, for those of models that are not there any more.
        let (births, _) = self.speaker.discovery.filters();
        let records: Vec<(String, Qos)> = self.records().into_iter().map(|filter| (filter, Qos::AtMostOnce)).collect();
        self.ask_for(now, filters, false);
        let frames: Vec<(String, Qos)> =
            self.binder.filters().into_iter().filter(|(filter, _)| !is_shared(filter)).collect();
        if !frames.is_empty() {
            self.ask_for(now, frames, false);
        }
        self.ask_for(now, records, true);
        if !births.is_empty() {
            self.ask_for(now, births, false);
        }
        self.follow_group(now);
        self.follow_fleet(now);
        self.follow_siblings(now);
    }

    /// Filters of what lies at the broker of this box, and is looked at once.
    fn records(&self) -> Vec<String> {
        let (_, entities) = self.speaker.discovery.filters();
        self.rules.topics.own_records().into_iter().chain(entities).collect()
    }

    pub(super) fn ask_for(&mut self, now: Mono, filters: Vec<(String, Qos)>, retained: bool) {
        self.subscribing.push_back(filters.iter().map(|(filter, _)| filter.clone()).collect());
        self.session.subscribe(now, filters, retained);
    }

    /// Takes what it shares with other boxes (the group's requests, frames of shared subscriptions) while the box takes any; else
    /// the broker gives it to the others.
    pub(super) fn follow_group(&mut self, now: Mono) {
        let group = self.config.group.as_ref().map(|group| (self.rules.topics.group_filter(group), Qos::ExactlyOnce));
        let frames = self.binder.filters().into_iter().filter(|(filter, _)| is_shared(filter));
        let shared: Vec<(String, Qos)> = group.into_iter().chain(frames).collect();
        let connected = self.speaker.is_connected() || !self.subscribing.is_empty();
        let wanted = matches!(self.stage, Stage::Serving) && !self.is_draining();
        if !connected || self.in_group == Some(wanted) || shared.is_empty() {
            return;
        }
        self.in_group = Some(wanted);
        if wanted {
            self.ask_for(now, shared, false);
        } else {
            self.session.unsubscribe(shared.into_iter().map(|(filter, _)| filter).collect());
        }
    }

    /// Listens to what the other boxes say of rollouts that reach this one later than them.
    pub(super) fn follow_fleet(&mut self, now: Mono) {
        let connected = self.speaker.is_connected() || !self.subscribing.is_empty();
        let late = self.status.borrow().fleet.models.iter().any(|model| model.waves > 1);
        if !connected || self.in_fleet || !late || !matches!(self.stage, Stage::Serving) {
            return;
        }
        self.in_fleet = true;
        let filter = self.rules.topics.fleet_filter();
        self.ask_for(now, vec![(filter, Qos::AtMostOnce)], true);
    }

    fn on_subscribed(&mut self, answers: Vec<Result<(), String>>) {
        let asked = self.subscribing.pop_front().unwrap_or_default();
        self.unsubscribed.retain(|(filter, _)| !asked.contains(filter));
        let (records, fleet) = (self.records(), self.rules.topics.fleet_filter());
        for (filter, answer) in asked.iter().zip(answers) {
            match answer {
                Ok(()) if records.contains(filter) => self.session.unsubscribe(vec![filter.clone()]),
                Ok(()) if *filter == fleet => self.speaker.hears_fleet(true),
                Ok(()) => {}
                Err(why) if records.contains(filter) => tracing::debug!(%why, %filter, "old records are not looked at"),
                Err(why) => {
                    self.siblings.refused(filter, &why);
                    self.unsubscribed.push((filter.clone(), why));
                }
            }
        }
        if !self.subscribing.is_empty() {
            return;
        }
        self.session.subscribed();
        let refused = self.unsubscribed.iter().map(|(filter, why)| format!("{filter}: {why}")).collect();
        if !self.speaker.is_connected() {
            tracing::info!(broker = %self.speaker.broker(), "connected to the broker");
        }
        self.speaker.subscribed(refused);
        self.end_former();
    }

    /// Ends what bindings of an earlier configuration are still subscribed to.
    fn end_former(&mut self) {
        let Some((filters, rest)) = self.ledger.former.take() else { return };
        tracing::info!(?filters, "subscriptions of former bindings are ended");
        self.session.unsubscribe(filters);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = rest.write() {
                tracing::warn!(%error, "note which topics bindings are subscribed to");
            }
        });
    }

    /// Ends the connection in good order, so that the broker does not speak the last will.
    pub(super) async fn leave(&mut self) {
        let Some(Link { packets, task, received, .. }) = self.link.take() else { return };
        let good_bye = async {
            // What is owed goes first; the link ends with this packet.
            while let Some(packet) = self.session.poll_packet(self.clock.now()) {
                if packets.send(packet).await.is_err() {
                    return;
                }
            }
            drop(packets.send(ToBroker::Disconnect).await);
        };
        drop(tokio::time::timeout(GOODBYE, good_bye).await);
        drop(received);
        let abort = task.abort_handle();
        if tokio::time::timeout(GOODBYE, task).await.is_err() {
            abort.abort();
        }
    }
}

/// Whether the broker gives what matches to one of several boxes.
fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// The next packet; `None` when the connection ended. Waits for ever without one.
pub(super) async fn receive(received: Option<&mut mpsc::Receiver<FromBroker>>) -> Option<FromBroker> {
    match received {
        Some(received) => received.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until the link takes a packet. The end of the link comes by the other channel.
pub(super) async fn room(packets: Option<&mpsc::Sender<ToBroker>>) {
    match packets {
        Some(packets) if packets.reserve().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}
