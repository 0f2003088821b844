//! The primary host: whether the one application is there that this node must not speak without.
//!
//! Decides what its word means. Must not know what the node does about it. Each server keeps a word of its own, and a host that
//! comes back says another time to each of them, so times are compared within one server only.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::topic;

/// Largest word that is read, bytes.
const MOST_BYTES: usize = 4 << 10;

/// What is known of it.
#[derive(Clone, Debug)]
pub struct PrimaryHost {
    /// Its id, the last level of its topic.
    pub id: String,
    servers: BTreeMap<usize, Times>,
    /// What it said last on this connection.
    online: Option<bool>,
}

/// The latest times on one server; milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    any: Option<u64>,
    online: Option<u64>,
}

/// What a word means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Online,
    Offline,
    /// It is of an earlier time than one that came before: nothing follows from it.
    Old {
        online: bool,
        timestamp: u64,
        newest: u64,
    },
    /// It is none; why.
    Unreadable(String),
}

#[derive(Deserialize)]
struct Word {
    online: bool,
    timestamp: u64,
}

impl PrimaryHost {
    /// One that said nothing yet.
    pub fn new(id: String) -> PrimaryHost {
        PrimaryHost { id, servers: BTreeMap::new(), online: None }
    }

    /// Its topic.
    pub fn topic(&self) -> String {
        topic::state(&self.id)
    }

    /// A connection begins: what was said on another one does not hold.
    pub fn connected(&mut self) {
        self.online = None;
    }

    /// What it said last on this connection.
    pub fn online(&self) -> Option<bool> {
        self.online
    }

    /// Takes its word from a server, by its place in the list.
    pub fn hear(&mut self, server: usize, payload: &[u8]) -> Heard {
        let word = match read(payload) {
            Ok(word) => word,
            Err(why) => return Heard::Unreadable(why),
        };
        let times = self.servers.entry(server).or_default();
        // A farewell is held against the last greeting only: a will carries the time of its connection.
        let newest = if word.online { times.any } else { times.online };
        if let Some(newest) = newest.filter(|newest| word.timestamp < *newest) {
            return Heard::Old { online: word.online, timestamp: word.timestamp, newest };
        }
        times.any = times.any.max(Some(word.timestamp));
        if word.online {
            times.online = Some(word.timestamp);
        }
        self.online = Some(word.online);
        if word.online { Heard::Online } else { Heard::Offline }
    }
}

fn read(payload: &[u8]) -> Result<Word, String> {
    if payload.len() > MOST_BYTES {
        return Err(format!("{} bytes", payload.len()));
    }
    serde_json::from_slice(payload).map_err(|error| format!("no JSON with `online` and `timestamp`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(online: bool, timestamp: u64) -> Vec<u8> {
        format!(r#"{{"online": {online}, "timestamp": {timestamp}}}"#).into_bytes()
    }

    fn host() -> PrimaryHost {
        PrimaryHost::new("scada1".into())
    }

    #[test]
    fn the_first_word_holds_whatever_its_time() {
        assert_eq!(host().hear(0, &word(true, 0)), Heard::Online);
        assert_eq!(host().hear(0, &word(false, 5)), Heard::Offline);
    }

    #[test]
    fn a_greeting_of_the_same_or_a_later_time_holds_and_an_earlier_one_does_not() {
        let mut host = host();
        assert_eq!(host.hear(0, &word(true, 100)), Heard::Online);
        assert_eq!(host.hear(0, &word(true, 100)), Heard::Online);
        assert_eq!(host.hear(0, &word(true, 99)), Heard::Old { online: true, timestamp: 99, newest: 100 });
        assert_eq!(host.online(), Some(true));
        assert_eq!(host.hear(0, &word(false, 150)), Heard::Offline);
        assert_eq!(host.hear(0, &word(true, 120)), Heard::Old { online: true, timestamp: 120, newest: 150 });
        assert_eq!(host.online(), Some(false));
    }

    #[test]
    fn a_farewell_is_held_against_the_last_greeting() {
        let mut host = host();
        host.hear(0, &word(true, 100));
        assert_eq!(host.hear(0, &word(false, 99)), Heard::Old { online: false, timestamp: 99, newest: 100 });
        assert_eq!(host.online(), Some(true));
        assert_eq!(host.hear(0, &word(false, 100)), Heard::Offline);
        assert_eq!(host.online(), Some(false));
    }

    #[test]
    fn a_farewell_between_the_last_greeting_and_the_last_farewell_holds() {
        let mut host = host();
        host.hear(0, &word(true, 100));
        host.hear(0, &word(false, 150));
        assert_eq!(host.hear(0, &word(false, 120)), Heard::Offline);
    }

    #[test]
    fn each_server_has_times_of_its_own() {
        let mut host = host();
        host.hear(0, &word(true, 100));
        assert_eq!(host.hear(1, &word(true, 50)), Heard::Online);
        assert_eq!(host.hear(0, &word(true, 50)), Heard::Old { online: true, timestamp: 50, newest: 100 });
    }

    #[test]
    fn what_was_said_on_another_connection_does_not_hold_but_its_time_does() {
        let mut host = host();
        host.hear(0, &word(true, 100));
        host.connected();
        assert_eq!(host.online(), None);
        assert!(matches!(host.hear(0, &word(true, 99)), Heard::Old { .. }));
        assert_eq!(host.online(), None);
    }

    #[test]
    fn words_that_are_none_change_nothing() {
        for payload in [
            &b""[..],
            b"ONLINE",
            br#"{"online": true}"#,
            br#"{"timestamp": 1}"#,
            br#"{"online": "true", "timestamp": 1}"#,
            br#"{"online": true, "timestamp": -1}"#,
            br#"{"online": true, "timestamp": 1.5}"#,
            &[b' '; MOST_BYTES + 1],
        ] {
            let mut host = host();
            assert!(matches!(host.hear(0, payload), Heard::Unreadable(_)), "{:?}", String::from_utf8_lossy(payload));
            assert_eq!(host.online(), None);
        }
        let more = br#"{"online": true, "timestamp": 1, "more": []}"#;
        assert_eq!(host().hear(0, more), Heard::Online);
    }

    #[test]
    fn the_topic_ends_with_the_id_of_the_host() {
        assert_eq!(host().topic(), "spBv1.0/STATE/scada1");
    }
}
