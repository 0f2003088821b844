//! Messages that have come round in a circle: an answer of a binding that became the frame of one, over a bridge or another
//! box. The configuration of one box is held against its own circles; what goes through others is found here. Pure.
//!
//! Every answer carries the bindings that it has come through: as a user property under MQTT 5, and in its JSON under either
//! version. Values that stand alone on a topic carry nothing under 3.1.1, so the topics that this box publishes on are
//! remembered, too.

use std::collections::{HashSet, VecDeque};

use crate::transport::mqtt::outbox::digest;
use crate::transport::mqtt::packet::Inbound;

/// User property, and first name in a JSON answer.
pub const PATH: &str = "edged_path";
/// A frame has come through so many bindings at most.
const MOST_HOPS: usize = 8;
/// Topics that are remembered.
const MOST_TOPICS: usize = 8192;
/// In so many bytes of a JSON body its path begins.
const HEAD: usize = 64;

/// What is known of circles.
#[derive(Debug)]
pub struct Circle {
    node: String,
    topics: HashSet<u64>,
    /// The earliest first.
    order: VecDeque<u64>,
}

impl Circle {
    /// Of the box with this name.
    pub fn new(node: &str) -> Circle {
        Circle { node: node.to_owned(), topics: HashSet::new(), order: VecDeque::new() }
    }

    /// The path of a frame that begins at a binding.
    pub fn start(&self, binding: &str) -> String {
        format!("{}/{binding}", self.node)
    }

    /// The path of a message with this binding at its end; `None` if it has come through it before, through too many, or
    /// is one of this box's own.
    pub fn path(&self, message: &Inbound, binding: &str) -> Option<String> {
        if self.topics.contains(&digest(&message.topic)) {
            return None;
        }
        let own = self.start(binding);
        let before = property(message).or_else(|| of_json(&message.payload)).unwrap_or_default();
        let hops = before.split(' ').filter(|hop| !hop.is_empty());
        if hops.clone().any(|hop| hop == own) || hops.count() >= MOST_HOPS {
            return None;
        }
        Some(if before.is_empty() { own } else { format!("{before} {own}") })
    }

    /// This box publishes there.
    pub fn publishes(&mut self, topic: &str) {
        let topic = digest(topic);
        if !self.topics.insert(topic) {
            return;
        }
        self.order.push_back(topic);
        if self.order.len() > MOST_TOPICS
            && let Some(oldest) = self.order.pop_front()
        {
            self.topics.remove(&oldest);
        }
    }
}

fn property(message: &Inbound) -> Option<&str> {
    message.properties.user.iter().find(|(name, _)| name == PATH).map(|(_, path)| path.as_str())
}

/// The path in a JSON answer, which stands near its beginning.
fn of_json(payload: &[u8]) -> Option<&str> {
    if !payload.starts_with(b"{") {
        return None;
    }
    let name = format!("\"{PATH}\":\"");
    let head = payload.get(..HEAD.min(payload.len()))?;
    let at = head.windows(name.len()).position(|window| window == name.as_bytes())?;
    let value = payload.get(at + name.len()..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(value.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, property: Option<&str>, payload: &'static str) -> Inbound {
        let mut message = Inbound { topic: topic.into(), payload: payload.into(), ..Inbound::default() };
        message.properties.user.extend(property.map(|path| (PATH.to_owned(), path.to_owned())));
        message
    }

    #[test]
    fn what_has_come_through_a_binding_does_not_come_through_it_again() {
        let circle = Circle::new("box");
        for (property, payload, path) in [
            (None, "\u{1}jpeg", Some("box/b")),
            (Some("other/c"), "", Some("other/c box/b")),
            (Some("other/c box/b"), "", None),
            (Some("other/c box/bb"), "", Some("other/c box/bb box/b")),
            (None, "{\"edged_path\":\"other/c\",\"id\":1}", Some("other/c box/b")),
            (None, "{\"historical\":true,\"edged_path\":\"box/b x/y\"}", None),
            (None, "{\"edged_path\":\"never ends", Some("box/b")),
            (Some("1 2 3 4 5 6 7"), "", Some("1 2 3 4 5 6 7 box/b")),
            (Some("1 2 3 4 5 6 7 8"), "", None),
        ] {
            let found = circle.path(&message("t", property, payload), "b");
            assert_eq!(found.as_deref(), path, "{property:?} {payload}");
        }
    }

    #[test]
    fn what_this_box_publishes_is_no_frame_of_it() {
        let mut circle = Circle::new("box");
        circle.publishes("plc/1/class");
        assert_eq!(circle.path(&message("plc/1/class", None, "cat"), "b"), None);
        assert!(circle.path(&message("plc/2/class", None, "cat"), "b").is_some());
        (0..MOST_TOPICS).for_each(|n| circle.publishes(&format!("t/{n}")));
        assert!(circle.path(&message("plc/1/class", None, "cat"), "b").is_some(), "bounded");
        assert_eq!(circle.order.len(), circle.topics.len());
    }
}
