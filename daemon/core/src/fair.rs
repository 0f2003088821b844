//! Decides the order of requests that wait for the same thing: by priority, then callers in turn, then by deadline within
//! a caller. Must not know what they wait for: whoever takes one out says what it costs.
//!
//! The requests lie in one [`Queue`] in which those of a caller are neighbours; beside it each priority keeps, per caller,
//! how much waits and which is first. So the next one is found by looking at the callers that wait (a bounded number), and
//! what a newcomer has before it by one walk down the tree for its own caller and one look at each of the others.

use crate::id::ShareId;
use crate::queue::{Forest, Key, Load, Queue, Slot};
use crate::request::Priority;
use crate::turns::Turns;
use crate::units::{Mono, Span};

/// What waits of one caller in one priority.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    load: Load,
    first: Option<(Key, Slot)>,
    /// Time taken since something of it waits without a pause.
    streak: Span,
}

/// One priority.
#[derive(Clone, Debug)]
struct Class {
    turns: Turns,
    /// One per share.
    parts: Vec<Part>,
    /// A bit for each share of which something waits.
    waiting: u64,
    total: Load,
    /// Time taken since something waits without a pause.
    streak: Span,
}

impl Class {
    fn new() -> Class {
        let parts = vec![Part::default(); ShareId::COUNT];
        Class { turns: Turns::new(ShareId::COUNT), parts, waiting: 0, total: Load::default(), streak: Span::ZERO }
    }

    fn shares(&self) -> Shares {
        Shares(self.waiting)
    }

    /// The end of the round in which the next one starts.
    fn round(&self) -> Span {
        let least = self.shares().map(|share| self.turns.tag(share.index())).min();
        self.turns.round(least.unwrap_or(Span::ZERO))
    }
}

/// Some shares, in the order of their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Shares(u64);

impl Shares {
    /// These and others.
    pub fn or(self, others: Shares) -> Shares {
        Shares(self.0 | others.0)
    }

    /// These without one.
    pub fn without(self, share: ShareId) -> Shares {
        Shares(self.0 & !(1 << share.number()))
    }

    /// How many they are.
    pub fn len(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    /// Whether they are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Shares {
    type Item = ShareId;

    fn next(&mut self) -> Option<ShareId> {
        let share = (self.0 != 0).then(|| ShareId::new(self.0.trailing_zeros()))?;
        self.0 &= self.0 - 1;
        Some(share)
    }
}

/// Requests of all priorities and callers that wait for one thing. Allocates when it is made, and never again.
#[derive(Debug)]
pub struct FairQueue {
    queue: Queue,
    classes: [Class; Priority::ALL.len()],
}

impl Default for FairQueue {
    fn default() -> FairQueue {
        FairQueue { queue: Queue::default(), classes: Priority::ALL.map(|_| Class::new()) }
    }
}

impl FairQueue {
    /// Puts the request at `slot`, which must be in no queue of this forest, into the queue.
    pub fn insert(&mut self, forest: &mut Forest, slot: Slot, key: Key, units: u64) {
        forest.insert(&mut self.queue, slot, key, units);
        let class = &mut self.classes[key.priority.index()];
        if class.waiting == 0 {
            class.turns.forgive();
        }
        let (part, load) = (&mut class.parts[key.share.index()], Load { count: 1, units });
        part.load = part.load.plus(load);
        class.total = class.total.plus(load);
        class.waiting |= 1 << key.share.number();
        if part.first.is_none_or(|(first, _)| key < first) {
            part.first = Some((key, slot));
        }
    }

    /// Takes the request with this key out of the queue, if it is there.
    pub fn remove(&mut self, forest: &mut Forest, key: Key) {
        let Some(units) = forest.units(&self.queue, key) else { return };
        forest.remove(&mut self.queue, key);
        let class = &mut self.classes[key.priority.index()];
        let (part, load) = (&mut class.parts[key.share.index()], Load { count: 1, units });
        part.load = part.load.minus(load);
        class.total = class.total.minus(load);
        if part.first.is_some_and(|(first, _)| first == key) {
            part.first = forest.first_of(&self.queue, key.priority, key.share);
        }
        if part.first.is_none() {
            // A sum that was cut off at the largest number there is ends here.
            *part = Part::default();
            class.waiting &= !(1 << key.share.number());
        }
        if class.waiting == 0 {
            (class.total, class.streak) = (Load::default(), Span::ZERO);
        }
    }

    /// The request of a priority whose turn it is.
    pub fn next(&self, priority: Priority) -> Option<(Key, Slot)> {
        let class = &self.classes[priority.index()];
        if class.waiting & class.waiting.wrapping_sub(1) == 0 {
            // One caller, or none: no turns to take.
            return class.shares().next().and_then(|share| class.parts[share.index()].first);
        }
        let round = class.round();
        let eligible = class.shares().filter(|share| class.turns.tag(share.index()) < round);
        let first = eligible.filter_map(|share| class.parts[share.index()].first);
        first.min_by_key(|(key, _)| key.by_deadline())
    }

    /// The caller of `key`, a request that still waits or waited elsewhere, takes `time`.
    pub fn charge(&mut self, key: Key, time: Span) {
        let class = &mut self.classes[key.priority.index()];
        let round = class.round();
        class.turns.charge(key.share.index(), round, time);
        class.streak = class.streak.plus(time);
        let part = &mut class.parts[key.share.index()];
        part.streak = part.streak.plus(time);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether something of this priority waits.
    pub fn waits(&self, priority: Priority) -> bool {
        self.classes[priority.index()].waiting != 0
    }

    /// The callers of a priority of whom something waits.
    pub fn shares(&self, priority: Priority) -> Shares {
        self.classes[priority.index()].shares()
    }

    /// How far a caller has got in its turns; the same for all where nothing waits.
    pub fn tag(&self, priority: Priority, share: ShareId) -> Span {
        let class = &self.classes[priority.index()];
        if class.waiting == 0 { Span::ZERO } else { class.turns.tag(share.index()) }
    }

    /// What waits of one caller, and the deadline of the first of it.
    pub fn part(&self, priority: Priority, share: ShareId) -> (Load, Option<Mono>) {
        let part = self.classes[priority.index()].parts[share.index()];
        (part.load, part.first.map(|(key, _)| key.deadline))
    }

    /// What one caller, or all of a priority, has taken since it waits without a pause.
    pub fn streak(&self, priority: Priority, share: Option<ShareId>) -> Span {
        let class = &self.classes[priority.index()];
        share.map_or(class.streak, |share| class.parts[share.index()].streak)
    }

    /// What waits of one priority.
    pub fn total_of(&self, priority: Priority) -> Load {
        self.classes[priority.index()].total
    }

    /// All that waits.
    pub fn total(&self) -> Load {
        self.classes.iter().fold(Load::default(), |sum, class| sum.plus(class.total))
    }

    /// What waits of the same caller and priority before a request with this key.
    pub fn before(&self, forest: &Forest, key: Key) -> Load {
        if self.classes[key.priority.index()].waiting & (1 << key.share.number()) == 0 {
            return Load::default();
        }
        let others = forest.before(&self.queue, Key::start(key.priority, key.share));
        forest.before(&self.queue, key).minus(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(priority: Priority, share: u32, deadline: u64, sequence: u64) -> Key {
        Key { priority, share: ShareId::new(share), deadline: Mono::from_nanos(deadline), sequence }
    }

    /// Takes everything out in order; each request costs its units in ms.
    fn drain(queue: &mut FairQueue, forest: &mut Forest, priority: Priority) -> Vec<(u32, u64)> {
        let mut order = Vec::new();
        while let Some((key, _)) = queue.next(priority) {
            let units = forest.units(&queue.queue, key).unwrap();
            queue.charge(key, Span::from_millis(units));
            queue.remove(forest, key);
            order.push((key.share.number(), key.sequence));
        }
        order
    }

    /// Shares of the requests in the order in which they are taken, given (share, deadline, cost).
    fn check(requests: &[(u32, u64, u64)], expected: &[u64]) {
        let (mut queue, mut forest) = (FairQueue::default(), Forest::default());
        for (sequence, (share, deadline, units)) in (0..).zip(requests) {
            let slot = Slot(u32::try_from(sequence).unwrap());
            queue.insert(&mut forest, slot, key(Priority::Normal, *share, *deadline, sequence), *units);
        }
        let order = drain(&mut queue, &mut forest, Priority::Normal);
        assert_eq!(order.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), expected, "{requests:?}");
        assert!(queue.is_empty() && queue.total() == Load::default());
    }

    #[test]
    fn callers_take_turns_and_the_earliest_deadline_comes_first_within_one() {
        check(&[(1, 9, 1), (1, 5, 1), (1, 7, 1)], &[1, 2, 0]);
        check(&[(1, 1, 10), (1, 2, 10), (1, 3, 10), (2, 9, 10), (2, 8, 10)], &[0, 4, 1, 3, 2]);
        check(&[(1, 1, 20), (1, 2, 20), (2, 7, 10), (2, 8, 10), (2, 9, 10)], &[0, 2, 3, 1, 4]);
        check(&[(1, 5, 1), (2, 1, 1), (1, 6, 1), (2, 2, 1)], &[1, 3, 0, 2]);
    }

    #[test]
    fn a_caller_that_comes_later_is_served_next_and_not_for_what_it_did_not_ask_before() {
        let (mut queue, mut forest) = (FairQueue::default(), Forest::default());
        for sequence in 0..20 {
            let slot = Slot(u32::try_from(sequence).unwrap());
            queue.insert(&mut forest, slot, key(Priority::Normal, 1, 10, sequence), 10);
        }
        for sequence in 0..10 {
            let (key, _) = queue.next(Priority::Normal).unwrap();
            assert_eq!(key.sequence, sequence);
            queue.charge(key, Span::from_millis(10));
            queue.remove(&mut forest, key);
        }
        for sequence in 50..54 {
            let slot = Slot(u32::try_from(sequence).unwrap());
            queue.insert(&mut forest, slot, key(Priority::Normal, 2, 99, sequence), 10);
        }
        let shares: Vec<u32> =
            drain(&mut queue, &mut forest, Priority::Normal).into_iter().map(|(share, _)| share).collect();
        assert_eq!(shares[..8], [2, 1, 2, 1, 2, 1, 2, 1], "{shares:?}");
    }

    proptest! {
        #[test]
        fn a_fair_queue_counts_like_a_list(
            steps in prop::collection::vec((0..3_usize, 0..5_u32, 0..20_u64, 0..50_u64, any::<bool>()), 1..150),
        ) {
            let (mut queue, mut forest) = (FairQueue::default(), Forest::default());
            let mut list: Vec<(Key, Slot, u64)> = Vec::new();
            for (sequence, (priority, share, deadline, units, take)) in (0..).zip(steps) {
                let priority = Priority::ALL[priority];
                if take && let Some((next, slot)) = queue.next(priority) {
                    // Nobody of the same caller has an earlier deadline.
                    let own = list.iter().filter(|item| (item.0.priority, item.0.share) == (priority, next.share));
                    prop_assert_eq!(own.map(|item| item.0).min(), Some(next));
                    queue.charge(next, Span::from_millis(units));
                    queue.remove(&mut forest, next);
                    list.retain(|item| item.1 != slot);
                } else {
                    let slot = (0..).map(Slot).find(|slot| list.iter().all(|item| item.1 != *slot)).unwrap();
                    let key = key(priority, share * 13, deadline, sequence);
                    queue.insert(&mut forest, slot, key, units);
                    list.push((key, slot, units));
                }
                let sum = |wanted: &dyn Fn(&Key) -> bool| {
                    let loads = list.iter().filter(|item| wanted(&item.0));
                    loads.fold(Load::default(), |sum, item| sum.plus(Load { count: 1, units: item.2 }))
                };
                prop_assert_eq!(queue.total(), sum(&|_| true));
                for priority in Priority::ALL {
                    prop_assert_eq!(queue.total_of(priority), sum(&|key| key.priority == priority));
                    prop_assert_eq!(queue.waits(priority), queue.next(priority).is_some());
                    for share in (0..5).map(|share| ShareId::new(share * 13)) {
                        let own = |key: &Key| (key.priority, key.share) == (priority, share);
                        prop_assert_eq!(queue.part(priority, share).0, sum(&own));
                        prop_assert_eq!(queue.shares(priority).any(|other| other == share), sum(&own).count > 0);
                        let probe = Key { deadline: Mono::from_nanos(10), ..Key::start(priority, share) };
                        prop_assert_eq!(queue.before(&forest, probe), sum(&|key| own(key) && *key < probe));
                    }
                }
            }
        }
    }
}
