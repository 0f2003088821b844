//! Replies given before, so that the same caller and id gets the same answer again instead of a second run.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use edge_core::{ModelId, Mono, RequestId};

use crate::request::{Caller, Reply};

/// How long a reply is remembered (docs/json.md, `duplicate`).
pub const WINDOW: Duration = Duration::from_secs(600);
/// Replies that are remembered at most.
pub const MAX_REPLIES: usize = 4096;
/// Bytes of remembered replies at most.
pub const MAX_BYTES: usize = 4 << 20;
/// Bytes of one remembered reply at most.
pub const MAX_REPLY_BYTES: usize = MAX_BYTES / 16;

/// Who asked, by which id, of which model. The model belongs to it: the same id for another model is another request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub caller: Caller,
    pub request_id: String,
    pub model: ModelId,
}

impl Key {
    /// The key of a request. One that may wait on the disk is known there by its user, whatever connection it came on, and so it
    /// is here: asked again on another one, it is the same request.
    pub fn of(caller: &Caller, deferrable: bool, request_id: &str, model: ModelId) -> Key {
        let caller = match caller {
            Caller::Bus { uid, .. } | Caller::Peer { uid, .. } if deferrable => {
                Caller::Bus { name: "".into(), uid: *uid }
            }
            other => other.clone(),
        };
        Key { caller, request_id: request_id.to_owned(), model }
    }
}

#[derive(Debug)]
enum Slot {
    Open(RequestId),
    Settled { reply: Box<Reply>, bytes: usize },
}

/// What is known of a key.
#[derive(Debug)]
pub enum Known<'a> {
    /// Not answered yet.
    Open(RequestId),
    Settled(&'a Reply),
}

/// The table.
#[derive(Debug, Default)]
pub struct Duplicates {
    slots: HashMap<Key, Slot>,
    settled: VecDeque<(Mono, Key)>,
    bytes: usize,
}

impl Duplicates {
    /// What is known of `key` at `now`.
    pub fn find(&mut self, now: Mono, key: &Key) -> Option<Known<'_>> {
        self.expire(now);
        match self.slots.get(key)? {
            Slot::Open(id) => Some(Known::Open(*id)),
            Slot::Settled { reply, .. } => Some(Known::Settled(reply)),
        }
    }

    /// Notes that `id` is being answered. Bounded by the requests that are open.
    pub fn open(&mut self, key: Key, id: RequestId) {
        self.slots.insert(key, Slot::Open(id));
    }

    /// Keeps the reply to `key`, or forgets the key when `reply` is not worth keeping (a failure that may pass, or a
    /// reply too large).
    pub fn settle(&mut self, now: Mono, key: Key, reply: Option<Reply>, bytes: usize) {
        match reply {
            Some(reply) if bytes <= MAX_REPLY_BYTES => {
                self.bytes += bytes;
                self.slots.insert(key.clone(), Slot::Settled { reply: Box::new(reply), bytes });
                self.settled.push_back((now, key));
                while self.settled.len() > MAX_REPLIES || self.bytes > MAX_BYTES {
                    self.drop_oldest();
                }
            }
            _ => {
                self.slots.remove(&key);
            }
        }
    }

    fn expire(&mut self, now: Mono) {
        while self.settled.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.settled.pop_front()
            && let Some(Slot::Settled { bytes, .. }) = self.slots.remove(&key)
        {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Output;
    use edge_wire::dto::Info;

    fn key(id: &str) -> Key {
        Key { caller: Caller::Bus { name: ":1.1".into(), uid: 0 }, request_id: id.into(), model: ModelId(0) }
    }

    fn reply() -> Reply {
        Reply { result: Ok(Output::Document("{}".into())), info: Info::default() }
    }

    #[test]
    fn what_may_wait_on_the_disk_is_the_same_on_every_connection_of_its_user() {
        let bus = |name: &str, uid| Caller::Bus { name: name.into(), uid };
        let peer = |uid| Caller::Peer { name: ":1.1".into(), uid, connection: 3 };
        let of = |caller: Caller, deferrable| Key::of(&caller, deferrable, "a", ModelId(0));
        for (one, other, deferrable, same) in [
            (bus(":1.1", 5), bus(":1.2", 5), true, true),
            (bus(":1.1", 5), bus(":1.2", 5), false, false),
            (bus(":1.1", 5), bus(":1.1", 6), true, false),
            (bus(":1.1", 5), peer(5), true, true),
            (Caller::Broker { reply_topic: "a".into() }, Caller::Broker { reply_topic: "b".into() }, true, false),
        ] {
            assert_eq!(
                of(one.clone(), deferrable) == of(other.clone(), deferrable),
                same,
                "{one} {other} {deferrable}"
            );
        }
    }

    #[test]
    fn a_reply_is_known_within_the_window_and_forgotten_after_it() {
        let mut table = Duplicates::default();
        let start = Mono::from_nanos(0);
        assert!(table.find(start, &key("a")).is_none());
        table.open(key("a"), RequestId(1));
        assert!(matches!(table.find(start, &key("a")), Some(Known::Open(RequestId(1)))));
        table.settle(start, key("a"), Some(reply()), 2);
        assert!(matches!(table.find(start.after(WINDOW), &key("a")), Some(Known::Settled(_))));
        assert!(table.find(start.after(WINDOW + Duration::from_secs(1)), &key("a")).is_none());
        assert_eq!((table.bytes, table.slots.len()), (0, 0));
    }

    #[test]
    fn the_table_is_bounded_in_replies_and_bytes() {
        let mut table = Duplicates::default();
        for n in 0..MAX_REPLIES + 10 {
            table.settle(Mono::from_nanos(0), key(&n.to_string()), Some(reply()), 2);
        }
        assert_eq!(table.slots.len(), MAX_REPLIES);
        for n in 0..40 {
            table.settle(Mono::from_nanos(0), key(&format!("b{n}")), Some(reply()), MAX_BYTES / 16);
        }
        assert!(table.bytes <= MAX_BYTES);
        table.open(key("c"), RequestId(9));
        table.settle(Mono::from_nanos(0), key("c"), Some(reply()), MAX_BYTES);
        assert!(table.find(Mono::from_nanos(0), &key("c")).is_none());
    }
}
