//! Messages for which there is no room yet. What the broker says of our own messages is read meanwhile, or no answer would ever be
//! known to be safe, which is what makes room.

use std::collections::VecDeque;

use crate::transport::mqtt::packet::{FromBroker, Inbound, Qos};

/// With so many kept back nothing more is read. A broker sends no more than it has been told to, 65,535 at most; under 3.1.1 that
/// is its own setting, 20 in mosquitto.
const MOST: usize = 1024;
/// The same in bytes of payload.
const MOST_BYTES: usize = 64 << 20;

/// What is kept back, in the order in which it came.
#[derive(Debug, Default)]
pub struct Held {
    packets: VecDeque<FromBroker>,
    bytes: usize,
}

impl Held {
    /// Keeps a message back, before all others.
    pub fn hold(&mut self, message: Inbound) {
        self.bytes += message.payload.len();
        self.packets.push_front(FromBroker::Publish(Box::new(message)));
    }

    /// Keeps back what must not overtake what is kept back already: what the broker wants acknowledged, as that goes in order of
    /// arrival. Gives back everything else.
    pub fn queue(&mut self, packet: FromBroker) -> Option<FromBroker> {
        let is_behind = match &packet {
            FromBroker::Publish(message) => message.qos != Qos::AtMostOnce,
            FromBroker::PubRel(_) => true,
            _ => false,
        };
        if self.packets.is_empty() || !is_behind {
            return Some(packet);
        }
        self.bytes += bytes(&packet);
        self.packets.push_back(packet);
        None
    }

    /// The next one to try again.
    pub fn pop(&mut self) -> Option<FromBroker> {
        let packet = self.packets.pop_front()?;
        self.bytes -= bytes(&packet);
        Some(packet)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing more is to be read.
    pub fn is_full(&self) -> bool {
        self.packets.len() >= MOST || self.bytes >= MOST_BYTES
    }
}

fn bytes(packet: &FromBroker) -> usize {
    match packet {
        FromBroker::Publish(message) => message.payload.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, qos: Qos, bytes: usize) -> Inbound {
        Inbound { topic: topic.into(), qos, payload: vec![0; bytes].into(), ..Inbound::default() }
    }

    fn publish(topic: &str, qos: Qos) -> FromBroker {
        FromBroker::Publish(Box::new(message(topic, qos, 1)))
    }

    fn word(packet: Option<FromBroker>) -> String {
        match packet {
            Some(FromBroker::Publish(message)) => message.topic.clone(),
            Some(FromBroker::PubRel(id)) => id.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_to_be_acknowledged_waits_behind_what_has_no_room_and_acknowledgements_pass() {
        let mut held = Held::default();
        assert_eq!(word(held.queue(publish("a", Qos::AtLeastOnce))), "a", "nothing waits");
        held.hold(message("a", Qos::AtLeastOnce, 1));
        assert!(held.queue(publish("b", Qos::ExactlyOnce)).is_none());
        assert!(held.queue(FromBroker::PubRel(7)).is_none());
        assert_eq!(word(held.queue(publish("c", Qos::AtMostOnce))), "c");
        assert!(matches!(held.queue(FromBroker::PubAck(1, Ok(()))), Some(FromBroker::PubAck(1, Ok(())))));
        assert_eq!((held.len(), word(held.pop())), (3, "a".into()));
        held.hold(message("a", Qos::AtLeastOnce, 1));
        let order: Vec<String> = std::iter::from_fn(|| held.pop()).map(|packet| word(Some(packet))).collect();
        assert_eq!(order, ["a", "b", "7"]);
        assert_eq!((held.len(), held.bytes), (0, 0));
    }

    #[test]
    fn no_more_is_kept_back_than_there_is_memory_for() {
        let mut held = Held::default();
        held.hold(message("a", Qos::AtLeastOnce, MOST_BYTES - 1));
        assert!(!held.is_full());
        held.queue(publish("b", Qos::AtLeastOnce));
        assert!(held.is_full());
        held.pop();
        for _ in 1..MOST {
            assert!(!held.is_full());
            held.queue(FromBroker::PubRel(1));
        }
        assert!(held.is_full());
    }
}
