//! Decides the order of waiting requests, and knows how much of them lies before any place in that order.
//! Must not know what the requests wait for, or what time it is.
//!
//! A [`Queue`] is a search tree ordered by [`Key`] in which each node also knows the sum of its subtree (a treap: the
//! shape follows from a hash of the sequence number, so that it stays flat whatever the deadlines are, and the same
//! requests always give the same tree). Admission asks "how much work is due before this request?" for every arrival;
//! a plain heap would have to walk its members for that, this answers in O(log n).
//!
//! ```text
//!   Forest (one node per place, allocated once)     Queue: model 0, to run        Queue: model 1, to run
//!   ┌────┬────┬────┬────┬────┬────┐                      (3)  sum 9                    (1)  sum 2
//!   │ 0  │ 1  │ 2  │ 3  │ 4  │ .. │                     /   \                             \
//!   └────┴────┴────┴────┴────┴────┘                  (0)     (4)                            (2)
//! ```
//!
//! All queues that share a [`Forest`] share its nodes: a request is in at most one of them at a time.

use crate::id::ShareId;
use crate::request::Priority;
use crate::units::Mono;

/// The place of a request in every order: more urgent is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// First by what the caller asked for,
    pub priority: Priority,
    /// then by caller, so that those of one caller lie together (in which order callers are served is decided elsewhere),
    pub share: ShareId,
    /// then by when the reply loses its value,
    pub deadline: Mono,
    /// then by arrival.
    pub sequence: u64,
}

impl Key {
    /// The same place in an order that knows neither priorities nor callers.
    pub fn by_deadline(self) -> Key {
        Key { priority: Priority::High, share: ShareId::default(), ..self }
    }

    /// The same place in an order that knows no callers.
    pub fn of_all(self) -> Key {
        Key { share: ShareId::default(), ..self }
    }

    /// The first place of a priority and a caller.
    pub fn start(priority: Priority, share: ShareId) -> Key {
        Key { priority, share, deadline: Mono::default(), sequence: 0 }
    }
}

/// A place in the table of live requests, and the node that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(crate) u32);

impl Slot {
    const NONE: Slot = Slot(u32::MAX);

    /// Where it is in a vector.
    pub(crate) fn index(self) -> usize {
        // A slot is made from an index of a bounded table; on a 16-bit target it would miss, not wrap.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A number of requests and their work in the units that the queue counts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many requests.
    pub count: u64,
    /// Their units of work.
    pub units: u64,
}

impl Load {
    /// This and `other` together.
    pub fn plus(self, other: Load) -> Load {
        Load { count: self.count.saturating_add(other.count), units: self.units.saturating_add(other.units) }
    }

    /// What is left of this without `other`.
    pub fn minus(self, other: Load) -> Load {
        Load { count: self.count.saturating_sub(other.count), units: self.units.saturating_sub(other.units) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    /// Work of this request alone.
    units: u64,
    /// Sum over the subtree.
    sum: Load,
    /// Larger than that of both children.
    rank: u32,
    left: Slot,
    right: Slot,
}

/// The nodes of all queues that share it.
#[derive(Debug, Default)]
pub struct Forest {
    nodes: Vec<Node>,
}

/// One ordered set of requests. Cheap to make; holds nothing itself.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    root: Slot,
    first: Option<(Key, Slot)>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { root: Slot::NONE, first: None }
    }
}

impl Queue {
    /// The most urgent request.
    pub fn first(&self) -> Option<(Key, Slot)> {
        self.first
    }

    /// Whether nothing waits in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl Forest {
    /// A forest that allocates nothing more up to `places` requests.
    pub fn with_room(places: usize) -> Forest {
        Forest { nodes: Vec::with_capacity(places) }
    }

    /// Puts the request at `slot`, which must be in no queue of this forest, into `queue`.
    pub fn insert(&mut self, queue: &mut Queue, slot: Slot, key: Key, units: u64) {
        let sum = Load { count: 1, units };
        let node = Node { key, units, sum, rank: rank(key.sequence), left: Slot::NONE, right: Slot::NONE };
        if slot.index() >= self.nodes.len() {
            self.nodes.resize(slot.index() + 1, node);
        }
        self.nodes[slot.index()] = node;
        queue.root = self.inserted(queue.root, slot);
        if queue.first.is_none_or(|first| key < first.0) {
            queue.first = Some((key, slot));
        }
    }

    /// Takes the request with this key out of `queue`, if it is there.
    pub fn remove(&mut self, queue: &mut Queue, key: Key) {
        queue.root = self.removed(queue.root, key);
        if queue.first.is_some_and(|first| first.0 == key) {
            queue.first = self.leftmost(queue.root);
        }
    }

    /// The most urgent request in `queue` that does not come before `key`.
    pub fn first_from(&self, queue: &Queue, key: Key) -> Option<(Key, Slot)> {
        let mut found = None;
        let mut at = queue.root;
        while let Some(node) = self.nodes.get(at.index()) {
            if node.key < key {
                at = node.right;
            } else {
                found = Some((node.key, at));
                at = node.left;
            }
        }
        found
    }

    /// The first request of a priority and a caller in `queue`.
    pub fn first_of(&self, queue: &Queue, priority: Priority, share: ShareId) -> Option<(Key, Slot)> {
        let found = self.first_from(queue, Key::start(priority, share));
        found.filter(|(key, _)| (key.priority, key.share) == (priority, share))
    }

    /// The units of the request with this key, if it is in `queue`.
    pub fn units(&self, queue: &Queue, key: Key) -> Option<u64> {
        let (found, slot) = self.first_from(queue, key)?;
        self.nodes.get(slot.index()).filter(|_| found == key).map(|node| node.units)
    }

    /// All that waits in `queue`.
    pub fn total(&self, queue: &Queue) -> Load {
        self.sum(queue.root)
    }

    /// What waits in `queue` before a request with this key.
    pub fn before(&self, queue: &Queue, key: Key) -> Load {
        let mut load = Load::default();
        let mut at = queue.root;
        while let Some(node) = self.nodes.get(at.index()) {
            if node.key < key {
                load = load.plus(self.sum(node.left)).plus(Load { count: 1, units: node.units });
                at = node.right;
            } else {
                at = node.left;
            }
        }
        load
    }

    fn leftmost(&self, root: Slot) -> Option<(Key, Slot)> {
        let mut found = None;
        let mut at = root;
        while let Some(node) = self.nodes.get(at.index()) {
            found = Some((node.key, at));
            at = node.left;
        }
        found
    }

    fn sum(&self, root: Slot) -> Load {
        self.nodes.get(root.index()).map_or(Load::default(), |node| node.sum)
    }

    fn refresh(&mut self, at: Slot) {
        let node = self.nodes[at.index()];
        let own = Load { count: 1, units: node.units };
        self.nodes[at.index()].sum = own.plus(self.sum(node.left)).plus(self.sum(node.right));
    }

    /// The tree `root` with the single node `new` in it.
    fn inserted(&mut self, root: Slot, new: Slot) -> Slot {
        if root == Slot::NONE {
            return new;
        }
        let (node, add) = (self.nodes[root.index()], self.nodes[new.index()]);
        let top = if add.rank > node.rank {
            let (left, right) = self.split(root, add.key);
            self.nodes[new.index()].left = left;
            self.nodes[new.index()].right = right;
            new
        } else if add.key < node.key {
            self.nodes[root.index()].left = self.inserted(node.left, new);
            root
        } else {
            self.nodes[root.index()].right = self.inserted(node.right, new);
            root
        };
        self.refresh(top);
        top
    }

    /// The tree `root` without the node of this key.
    fn removed(&mut self, root: Slot, key: Key) -> Slot {
        if root == Slot::NONE {
            return root;
        }
        let node = self.nodes[root.index()];
        if node.key == key {
            return self.merged(node.left, node.right);
        }
        if key < node.key {
            self.nodes[root.index()].left = self.removed(node.left, key);
        } else {
            self.nodes[root.index()].right = self.removed(node.right, key);
        }
        self.refresh(root);
        root
    }

    /// The tree `root` as two: keys before `key`, and the rest.
    fn split(&mut self, root: Slot, key: Key) -> (Slot, Slot) {
        if root == Slot::NONE {
            return (root, root);
        }
        let node = self.nodes[root.index()];
        let halves = if node.key < key {
            let (left, right) = self.split(node.right, key);
            self.nodes[root.index()].right = left;
            (root, right)
        } else {
            let (left, right) = self.split(node.left, key);
            self.nodes[root.index()].left = right;
            (left, root)
        };
        self.refresh(root);
        halves
    }

    /// Two trees as one; all keys of `left` come before all of `right`.
    fn merged(&mut self, left: Slot, right: Slot) -> Slot {
        if left == Slot::NONE {
            return right;
        }
        if right == Slot::NONE {
            return left;
        }
        let (before, after) = (self.nodes[left.index()], self.nodes[right.index()]);
        let top = if before.rank > after.rank {
            self.nodes[left.index()].right = self.merged(before.right, right);
            left
        } else {
            self.nodes[right.index()].left = self.merged(left, after.left);
            right
        };
        self.refresh(top);
        top
    }
}

/// A well-mixed number for each sequence number (the finaliser of SplitMix64), so that no pattern of arrivals and
/// deadlines makes a deep tree.
fn rank(sequence: u64) -> u32 {
    let mixed = (sequence ^ (sequence >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(priority: Priority, deadline: u64, sequence: u64) -> Key {
        Key { deadline: Mono::from_nanos(deadline), sequence, ..Key::start(priority, ShareId::new(3)) }
    }

    #[test]
    fn priority_comes_before_caller_caller_before_deadline_and_deadline_before_arrival() {
        use Priority::{High, Low, Normal};
        let of = |share, key: Key| Key { share: ShareId::new(share), ..key };
        let ordered = [
            of(9, key(High, 9, 9)),
            key(Normal, 1, 8),
            key(Normal, 2, 3),
            key(Normal, 2, 4),
            of(4, key(Normal, 1, 1)),
            key(Low, 0, 0),
            key(Low, 1, 1),
        ];
        assert!(ordered.is_sorted());
        assert!(of(4, key(Low, 1, 1)).by_deadline() < key(High, 2, 1).by_deadline());
    }

    #[test]
    fn two_queues_share_a_forest_without_touching_each_other() {
        let mut forest = Forest::with_room(4);
        let (mut one, mut two) = (Queue::default(), Queue::default());
        for slot in 0..4_u32 {
            let queue = if slot % 2 == 0 { &mut one } else { &mut two };
            forest.insert(queue, Slot(slot), key(Priority::Normal, u64::from(slot), u64::from(slot)), 10);
        }
        forest.remove(&mut one, key(Priority::Normal, 0, 0));
        assert_eq!(one.first().map(|first| first.1), Some(Slot(2)));
        assert_eq!(forest.total(&two), Load { count: 2, units: 20 });
    }

    proptest! {
        #[test]
        fn a_queue_answers_like_a_sorted_list(steps in prop::collection::vec((0..3_u8, 0..20_u64, 0..50_u64, any::<bool>()), 1..200)) {
            let mut forest = Forest::default();
            let mut queue = Queue::default();
            let mut list: Vec<(Key, Slot, u64)> = Vec::new();
            for (sequence, (priority, deadline, units, take)) in steps.into_iter().enumerate() {
                if take && !list.is_empty() {
                    let (gone, ..) = list.remove(usize::try_from(deadline).unwrap() % list.len());
                    forest.remove(&mut queue, gone);
                } else {
                    let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                    let slot = (0..).map(Slot).find(|slot| list.iter().all(|item| item.1 != *slot)).unwrap();
                    let new = key(priority, deadline, u64::try_from(sequence).unwrap());
                    forest.insert(&mut queue, slot, new, units);
                    list.push((new, slot, units));
                    list.sort_by_key(|item| item.0);
                }
                prop_assert_eq!(queue.first(), list.first().map(|item| (item.0, item.1)));
                for priority in Priority::ALL {
                    let first = list.iter().find(|item| item.0.priority == priority).map(|item| (item.0, item.1));
                    prop_assert_eq!(forest.first_of(&queue, priority, ShareId::new(3)), first);
                    prop_assert_eq!(forest.first_of(&queue, priority, ShareId::new(4)), None);
                }
                for (key, _, units) in &list {
                    prop_assert_eq!(forest.units(&queue, *key), Some(*units));
                }
                prop_assert_eq!(forest.units(&queue, key(Priority::Low, 99, 0)), None);
                for probe in list.iter().map(|item| item.0).chain([key(Priority::Normal, 10, 0)]) {
                    let before = list.iter().filter(|item| item.0 < probe);
                    let expected = before.fold(Load::default(), |load, item| {
                        load.plus(Load { count: 1, units: item.2 })
                    });
                    prop_assert_eq!(forest.before(&queue, probe), expected);
                    let from = list.iter().find(|item| item.0 >= probe).map(|item| item.0);
                    prop_assert_eq!(forest.first_from(&queue, probe).map(|first| first.0), from);
                }
            }
        }
    }

    #[test]
    fn a_tree_stays_flat_when_deadlines_only_grow() {
        fn depth(forest: &Forest, at: Slot) -> usize {
            forest.nodes.get(at.index()).map_or(0, |node| 1 + depth(forest, node.left).max(depth(forest, node.right)))
        }
        let mut forest = Forest::default();
        let mut queue = Queue::default();
        for slot in 0..4096_u32 {
            forest.insert(&mut queue, Slot(slot), key(Priority::Normal, u64::from(slot), u64::from(slot)), 1);
        }
        assert!(depth(&forest, queue.root) < 48, "depth {}", depth(&forest, queue.root));
    }
}
