//! What other boxes say of themselves, put together: whether each is there, takes requests, and how long one would wait. Pure.
//!
//! Two topics tell of it, and the broker keeps what each said last: a record of how much a box can take may be older than its
//! last will, so that a box counts as serving only while both say so. But anybody may publish `offline` in its name, and a will that
//! the broker sends late comes behind the box's return: a box that goes on speaking is there. What a broker has kept it marks as such
//! (by MQTT 3.1.1 and 5 alike), so that what a box says now can be told from it.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_wire::mqtt::retained::{LoadReport, OFFLINE, load_report};
use edge_wire::mqtt::topic::Spoken;

use crate::driver::sites::siblings::Heard;

/// Records that a box sends after its last will until it counts as there. A single one may have been under way, or have been kept by
/// another broker whose messages a bridge brings as new ones.
const RECORDS_AGAINST_WILL: u8 = 2;

/// One box.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// By its last will, or its own word when it left.
    offline: bool,
    /// Records that it sent since then.
    spoken: u8,
    load: Option<LoadReport>,
}

/// The boxes that are listened to.
#[derive(Debug, Default)]
pub struct Company {
    seen: BTreeMap<String, Seen>,
}

impl Company {
    /// Those that are listened to from now on; the others are forgotten. Gives those that come and those that go.
    pub fn follow<'a>(&mut self, wanted: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<String>) {
        let wanted: Vec<&str> = wanted.collect();
        let gone: Vec<String> = self.seen.keys().filter(|node| !wanted.contains(&node.as_str())).cloned().collect();
        self.seen.retain(|node, _| wanted.contains(&node.as_str()));
        let mut new = Vec::new();
        for node in wanted {
            if !self.seen.contains_key(node) {
                self.seen.insert(node.to_owned(), Seen::default());
                new.push(node.to_owned());
            }
        }
        (new, gone)
    }

    /// Nothing is heard any more, as there is no connection.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Whether a box is known to be connected by MQTT 5. What one of 3.1.1 gets has lost its properties on the way.
    pub fn has_five(&self, node: &str) -> bool {
        self.seen.get(node).and_then(|seen| seen.load).is_some_and(|load| load.five)
    }

    /// Whether a box has left the broker, by its last will or by its own word.
    pub fn has_left(&self, node: &str) -> bool {
        self.seen.get(node).is_some_and(|seen| seen.offline)
    }

    /// A box said something, now or (`kept` by the broker) at an earlier time; what is known of it now, if that is enough to know anything.
    pub fn hear(&mut self, node: &str, of: Spoken, payload: &[u8], kept: bool) -> Option<Heard> {
        let seen = self.seen.get_mut(node)?;
        match of {
            Spoken::Available => (seen.offline, seen.spoken) = (payload == OFFLINE.as_bytes(), 0),
            Spoken::Capacity => {
                // What is none of its records says nothing.
                seen.load = Some(load_report(payload)?);
                if !kept {
                    seen.spoken = seen.spoken.saturating_add(1);
                    seen.offline &= seen.spoken < RECORDS_AGAINST_WILL;
                }
            }
        }
        let node = node.to_owned();
        match (seen.offline, seen.load) {
            (true, _) => Some(Heard { node, is_serving: false, wait: Duration::ZERO }),
            (false, Some(load)) => {
                Some(Heard { node, is_serving: load.serving, wait: Duration::from_millis(load.wait_ms) })
            }
            (false, None) => None,
        }
    }
}
