//! What Home Assistant is told, where the operator wants that: one retained message for each entity, published again when it
//! says that it is there, and taken back when there is no such entity any more.

use std::collections::{BTreeMap, BTreeSet};

use edge_wire::dto::Status;
use edge_wire::mqtt::home::{self, Flat};
use edge_wire::mqtt::topic::Topics;

use crate::config::Discovery as How;
use crate::transport::mqtt::packet::{Inbound, Qos};

/// What is told, and what is heard.
#[derive(Debug)]
pub(super) struct Discovery {
    how: How,
    prefix: String,
    node: String,
    flat: BTreeSet<Flat>,
}

/// What a message of Home Assistant, or of its topics, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing of ours.
    Nothing,
    /// It is there: everything is to be published again.
    Birth,
    /// An entity of this box that lies at the broker.
    Found,
}

impl Discovery {
    pub(super) fn new((how, prefix): (How, String), node: &str) -> Discovery {
        Discovery { how, prefix, node: node.to_owned(), flat: BTreeSet::new() }
    }

    /// What is subscribed to for good, and what once, for what lies at the broker.
    pub(super) fn filters(&self) -> (Vec<(String, Qos)>, Vec<String>) {
        let found = || vec![home::own_filter(&self.prefix, &self.node)];
        match self.how {
            How::Off => (Vec::new(), Vec::new()),
            How::On => (vec![(home::birth_topic(&self.prefix), Qos::AtLeastOnce)], found()),
            How::Remove => (Vec::new(), found()),
        }
    }

    /// Reads a message.
    pub(super) fn hear(&self, message: &Inbound) -> Heard {
        if self.how == How::Off {
            return Heard::Nothing;
        }
        if message.topic == home::birth_topic(&self.prefix) {
            let born = message.payload.as_ref() == home::BIRTH.as_bytes();
            return if born { Heard::Birth } else { Heard::Nothing };
        }
        let own = message.retained && home::is_own(&self.prefix, &self.node, &message.topic);
        if own && !message.payload.is_empty() { Heard::Found } else { Heard::Nothing }
    }

    /// More values have a topic of their own.
    pub(super) fn add(&mut self, flat: Vec<Flat>) {
        if self.how == How::On {
            let room = home::MOST.saturating_sub(self.flat.len());
            self.flat.extend(flat.into_iter().take(room));
        }
    }

    /// The retained messages of all entities.
    pub(super) fn wanted(&self, status: &Status, topics: &Topics) -> BTreeMap<String, String> {
        if self.how != How::On {
            return BTreeMap::new();
        }
        let flat: Vec<Flat> = self.flat.iter().cloned().collect();
        home::entities(status, topics, &self.prefix, &flat)
    }

    /// Whether a topic is one of an entity of this box.
    pub(super) fn is_own(&self, topic: &str) -> bool {
        home::is_own(&self.prefix, &self.node, topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &'static str, retained: bool) -> Inbound {
        Inbound { topic: topic.into(), payload: payload.into(), retained, ..Inbound::default() }
    }

    #[test]
    fn only_what_is_wanted_is_heard() {
        let with = |how| Discovery::new((how, "ha".into()), "box");
        let own = "ha/sensor/box/state/config";
        for (how, message, heard) in [
            (How::On, message("ha/status", "online", false), Heard::Birth),
            (How::On, message("ha/status", "offline", false), Heard::Nothing),
            (How::On, message(own, "{}", true), Heard::Found),
            (How::On, message(own, "{}", false), Heard::Nothing),
            (How::On, message(own, "", true), Heard::Nothing),
            (How::On, message("ha/sensor/other/state/config", "{}", true), Heard::Nothing),
            (How::Remove, message(own, "{}", true), Heard::Found),
            (How::Off, message(own, "{}", true), Heard::Nothing),
            (How::Off, message("ha/status", "online", false), Heard::Nothing),
        ] {
            assert_eq!(with(how).hear(&message), heard, "{how:?} {message:?}");
        }
        assert_eq!(with(How::Off).filters(), (Vec::new(), Vec::new()));
        assert!(with(How::Remove).wanted(&Status::default(), &Topics::new("edge", "box")).is_empty());
        assert!(!with(How::On).wanted(&Status::default(), &Topics::new("edge", "box")).is_empty());
    }
}
