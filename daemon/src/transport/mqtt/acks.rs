//! Acknowledgements owed to the broker on this connection, in the order of receipt, as the protocol demands.

use std::collections::VecDeque;

use super::packet::Qos;
use super::session::JobId;

/// One owed acknowledgement. Those of an earlier connection name nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckId(u64);

/// What is owed for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    pub packet_id: u16,
    pub qos: Qos,
    /// The request that the message carried.
    pub job: JobId,
    /// Size of its payload.
    pub bytes: usize,
    /// May be acknowledged as soon as all before it are.
    pub settled: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Acks {
    first: u64,
    owed: VecDeque<Owed>,
}

impl Acks {
    /// Adds the message received last.
    pub fn push(&mut self, owed: Owed) -> AckId {
        let id = AckId(self.first + self.owed.len() as u64);
        self.owed.push_back(owed);
        id
    }

    /// The message may be acknowledged.
    pub fn settle(&mut self, id: AckId) {
        let place = id.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(owed) = place.and_then(|place| self.owed.get_mut(place)) {
            owed.settled = true;
        }
    }

    /// The next acknowledgement that may be sent.
    pub fn pop(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front_if(|owed| owed.settled)?;
        self.first += 1;
        Some(owed)
    }

    /// Whether [`pop`](Acks::pop) would give something.
    pub fn is_ready(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.settled)
    }

    /// Messages that are not acknowledged yet.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// The connection is gone: gives what was not sent, and forgets it.
    pub fn clear(&mut self) -> impl Iterator<Item = Owed> + '_ {
        self.first += self.owed.len() as u64;
        self.owed.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(packet_id: u16) -> Owed {
        Owed { packet_id, qos: Qos::AtLeastOnce, job: JobId(packet_id.into()), bytes: 0, settled: false }
    }

    fn ready(acks: &mut Acks) -> Vec<u16> {
        std::iter::from_fn(|| acks.pop()).map(|owed| owed.packet_id).collect()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_receipt() {
        let mut acks = Acks::default();
        let ids: Vec<AckId> = (1..=4).map(|packet_id| acks.push(owed(packet_id))).collect();
        acks.settle(ids[1]);
        acks.settle(ids[2]);
        assert!(!acks.is_ready());
        assert!(ready(&mut acks).is_empty());
        acks.settle(ids[0]);
        assert_eq!(ready(&mut acks), [1, 2, 3]);
        acks.settle(ids[3]);
        acks.settle(ids[3]);
        assert_eq!(ready(&mut acks), [4]);
    }

    #[test]
    fn what_an_earlier_connection_owed_is_given_back_and_settles_nothing_later() {
        let mut acks = Acks::default();
        let old = acks.push(owed(1));
        let settled = acks.push(owed(2));
        acks.settle(settled);
        let unsent: Vec<(u16, bool)> = acks.clear().map(|owed| (owed.packet_id, owed.settled)).collect();
        assert_eq!(unsent, [(1, false), (2, true)]);
        acks.push(owed(3));
        acks.settle(old);
        acks.settle(settled);
        assert!(!acks.is_ready());
        assert_eq!(acks.len(), 1);
    }
}
