//! Decides which requests count as one caller's when turns are taken: those of a user on the system bus, of a connection on
//! a session bus (where all are one user's), and over MQTT those that name the same client, else that use the same reply
//! topic. Must not know what a turn is worth: the core takes turns among numbers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use edge_core::ShareId;

use crate::config::BusConfig;
use crate::request::{Caller, Request};

/// What makes requests one caller's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ShareKey {
    /// A user of the system bus: connections cost nothing, so more of them are worth no more.
    User(u32),
    /// A connection of a session bus, with the private ones that it asked for.
    Connection(Arc<str>),
    /// A sender on the broker, by the name that it gives itself.
    Client(Arc<str>),
    /// Senders on the broker that listen for replies on the same topic.
    Topic(Arc<str>),
}

impl ShareKey {
    /// The key of a request.
    pub fn of(request: &Request, bus: &BusConfig) -> ShareKey {
        match (&request.caller, &request.options.client) {
            (Caller::Bus { name, uid } | Caller::Peer { name, uid, .. }, _) => match bus {
                BusConfig::System => ShareKey::User(*uid),
                BusConfig::Session => ShareKey::Connection(name.clone()),
            },
            (Caller::Broker { .. }, Some(client)) => ShareKey::Client(client.as_str().into()),
            (Caller::Broker { reply_topic }, None) => ShareKey::Topic(reply_topic.clone()),
        }
    }
}

/// The callers that have requests open, with their numbers. Holds no more of them than there are open requests.
#[derive(Debug)]
pub struct Shares {
    open: HashMap<ShareKey, (ShareId, u32)>,
    /// Callers per number.
    callers: [u32; ShareId::COUNT],
}

impl Default for Shares {
    fn default() -> Shares {
        Shares { open: HashMap::new(), callers: [0; ShareId::COUNT] }
    }
}

impl Shares {
    /// One more request of this caller; the number that it goes by.
    pub fn open(&mut self, key: &ShareKey) -> ShareId {
        if let Some((share, requests)) = self.open.get_mut(key) {
            *requests += 1;
            return *share;
        }
        let share = self.free(key);
        if let Some(callers) = self.callers.get_mut(place(share)) {
            *callers += 1;
        }
        self.open.insert(key.clone(), (share, 1));
        share
    }

    /// One request of this caller less.
    pub fn close(&mut self, key: &ShareKey) {
        let Some((share, requests)) = self.open.get_mut(key) else { return };
        *requests -= 1;
        if *requests > 0 {
            return;
        }
        if let Some(callers) = self.callers.get_mut(place(*share)) {
            *callers = callers.saturating_sub(1);
        }
        self.open.remove(key);
    }

    /// The number that a caller had before if nobody has it now, so that what it owes is found again; else one that the
    /// fewest have.
    fn free(&self, key: &ShareKey) -> ShareId {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let [low, ..] = hasher.finish().to_le_bytes();
        let usual = ShareId::new(u32::from(low));
        if self.callers.get(place(usual)) == Some(&0) {
            return usual;
        }
        let fewest = (0..).zip(&self.callers).min_by_key(|(_, callers)| **callers);
        fewest.map_or(usual, |(number, _)| ShareId::new(number))
    }
}

fn place(share: ShareId) -> usize {
    usize::try_from(share.number()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Options, Payload};
    use edge_core::Zone;
    use edge_engine::protocol::Want;

    fn key(caller: Caller, client: Option<&str>, bus: &BusConfig) -> ShareKey {
        let options = Options { client: client.map(Into::into), ..Options::default() };
        let payload = Payload::Tensors(Vec::new());
        let request = Request {
            caller,
            topic: "".into(),
            model: "m".into(),
            options,
            payload,
            want: Want::Inline,
            deaths: 0,
            reached: Zone::Device,
            stream: None,
        };
        ShareKey::of(&request, bus)
    }

    #[test]
    fn more_connections_of_a_user_are_worth_no_more_on_the_system_bus() {
        use BusConfig::{Session, System};
        let bus = |name: &str, uid| Caller::Bus { name: name.into(), uid };
        let peer = |name: &str, connection| Caller::Peer { name: name.into(), uid: 7, connection };
        assert_eq!(key(bus(":1.1", 7), None, &System), key(peer(":1.2", 5), Some("x"), &System));
        assert_ne!(key(bus(":1.1", 7), None, &System), key(bus(":1.1", 8), None, &System));
        assert_ne!(key(bus(":1.1", 7), None, &Session), key(bus(":1.2", 7), None, &Session));
        assert_eq!(key(bus(":1.1", 7), None, &Session), key(peer(":1.1", 5), None, &Session));
    }

    #[test]
    fn senders_on_the_broker_are_told_apart_by_their_name_or_their_reply_topic() {
        let bus = BusConfig::System;
        let broker = |topic: &str| Caller::Broker { reply_topic: topic.into() };
        assert_eq!(key(broker("a"), Some("press"), &bus), key(broker("b"), Some("press"), &bus));
        assert_ne!(key(broker("a"), Some("press"), &bus), key(broker("a"), Some("saw"), &bus));
        assert_ne!(key(broker("a"), Some("a"), &bus), key(broker("a"), None, &bus));
        assert_ne!(key(broker("a"), None, &bus), key(broker("b"), None, &bus));
    }

    #[test]
    fn callers_have_numbers_of_their_own_while_there_are_enough_and_find_them_again() {
        let mut shares = Shares::default();
        let first: Vec<ShareId> = (0..64).map(|uid| shares.open(&ShareKey::User(uid))).collect();
        let mut numbers: Vec<u32> = first.iter().map(|share| share.number()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..64).collect::<Vec<u32>>());
        let beyond: Vec<ShareId> = (64..128).map(|uid| shares.open(&ShareKey::User(uid))).collect();
        assert!(first.iter().all(|share| beyond.contains(share)), "two on each");
        assert_eq!(shares.open(&ShareKey::User(3)), first[3]);
        shares.close(&ShareKey::User(3));
        assert_eq!(shares.open(&ShareKey::User(3)), first[3], "one is still open");
        (0..128).for_each(|uid| shares.close(&ShareKey::User(uid)));
        (0..2).for_each(|_| shares.close(&ShareKey::User(3)));
        assert!(shares.open.is_empty() && shares.callers.iter().all(|callers| *callers == 0));
        let one = shares.open(&ShareKey::User(3));
        shares.close(&ShareKey::User(3));
        assert_eq!(shares.open(&ShareKey::User(3)), one);
    }
}
