//! What is known of the chunks on the disk: pure.
//!
//! After a kill everything that is there comes back, also what was sent already. Of messages that replace each other, an older
//! one must not come back without a newer one that was sent before the kill, or subscribers would end with the older value. So
//! chunks of a rank leave the disk in their order, and while one is there that holds a message of a topic, a newer one of
//! that topic goes to the disk before it is sent.

use std::collections::{HashMap, VecDeque};

/// The chunks of all ranks, from when they are ordered to be written until they are gone for certain.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Of each rank the numbers in order, and whether nothing in it is needed any more.
    order: [VecDeque<(i64, bool)>; 3],
    /// Topics of the messages in it that replace each other, by digest.
    topics: HashMap<i64, Vec<u64>>,
    /// In how many chunks each of these topics is.
    held: HashMap<u64, u32>,
}

impl Shelf {
    /// A chunk goes to the disk, or was found there.
    pub(super) fn put(&mut self, rank: usize, id: i64, topics: Vec<u64>) {
        for topic in &topics {
            *self.held.entry(*topic).or_default() += 1;
        }
        self.topics.insert(id, topics);
        let place = self.order[rank].partition_point(|(other, _)| *other < id);
        self.order[rank].insert(place, (id, false));
    }

    /// It did not get there.
    pub(super) fn take_back(&mut self, rank: usize, id: i64) {
        self.order[rank].retain(|(other, _)| *other != id);
        self.removed(id);
    }

    /// Nothing in it is needed any more: gives which chunks may be removed now.
    pub(super) fn release(&mut self, rank: usize, id: i64) -> Vec<i64> {
        let order = &mut self.order[rank];
        let place = order.partition_point(|(other, _)| *other < id);
        if let Some(entry) = order.get_mut(place).filter(|(other, _)| *other == id) {
            entry.1 = true;
        }
        std::iter::from_fn(|| order.pop_front_if(|(_, done)| *done)).map(|(id, _)| id).collect()
    }

    /// It is gone from the disk.
    pub(super) fn removed(&mut self, id: i64) {
        for topic in self.topics.remove(&id).unwrap_or_default() {
            if let Some(count) = self.held.get_mut(&topic) {
                *count -= 1;
                if *count == 0 {
                    self.held.remove(&topic);
                }
            }
        }
    }

    /// Whether an older message of this topic may come back from the disk.
    pub(super) fn holds(&self, topic: u64) -> bool {
        self.held.contains_key(&topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_leave_in_their_order_and_hold_their_topics_until_they_are_gone() {
        let mut shelf = Shelf::default();
        shelf.put(1, 5, vec![7]);
        shelf.put(1, 6, vec![7, 8]);
        shelf.put(1, 4, vec![]);
        shelf.put(0, 9, vec![9]);
        assert!(shelf.release(1, 6).is_empty());
        assert_eq!(shelf.release(1, 4), [4]);
        assert_eq!(shelf.release(0, 9), [9]);
        assert_eq!(shelf.release(1, 5), [5, 6]);
        shelf.removed(5);
        assert!(shelf.holds(7) && shelf.holds(8) && shelf.holds(9));
        shelf.removed(6);
        assert!(!shelf.holds(7) && !shelf.holds(8));
        shelf.put(1, 10, vec![7]);
        shelf.take_back(1, 10);
        assert!(!shelf.holds(7));
        assert!(shelf.release(1, 10).is_empty());
    }
}
