//! One message of the outbox: its form on disk, and the mark of one that comes late. Pure.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::transport::mqtt::packet::{Outbound, Qos};

/// Form of a chunk on disk; another one is not read.
const FORM: u8 = 1;
/// User property, and name in a JSON body, of a message that comes long after it was made.
pub const HISTORICAL: &str = "historical";

/// A message for subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub message: Outbound,
    /// Only the newest of its topic is worth anything: a later one takes its place while it waits.
    pub newest: bool,
    /// Milliseconds since 1970, wall clock.
    pub made_ms: i64,
}

impl Letter {
    /// One of QoS 1 that no later one replaces, and that the broker does not keep.
    pub fn at_least_once(topic: String, payload: Bytes, made_ms: i64) -> Letter {
        let message = Outbound { topic, payload, qos: Qos::AtLeastOnce, ..Outbound::default() };
        Letter { message, newest: false, made_ms }
    }

    /// As the bounds count it.
    pub fn bytes(&self) -> u64 {
        self.message.packet_bytes() as u64
    }

    /// What its topic is known by, over restarts.
    pub fn topic_digest(&self) -> u64 {
        digest(&self.message.topic)
    }

    /// Nothing is promised of a message of QoS 0: it is not kept over a reconnect.
    pub fn is_durable(&self) -> bool {
        self.message.qos != Qos::AtMostOnce
    }

    /// The message, said to be late.
    pub fn late(mut message: Outbound) -> Outbound {
        message.user.push((HISTORICAL.into(), "true".into()));
        if let Some(rest) = message.payload.strip_prefix(b"{") {
            let comma = if rest.starts_with(b"}") { "" } else { "," };
            let head = format!("{{\"{HISTORICAL}\":true{comma}");
            message.payload = [head.as_bytes(), rest].concat().into();
        }
        message
    }
}

/// Short, and the same in every build: a map over topics is kept on disk by it.
pub fn digest(topic: &str) -> u64 {
    let hash = Sha256::digest(topic);
    hash.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A message as it lies on disk.
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    /// Its place in the chunk.
    at: u32,
    topic: String,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    exactly_once: bool,
    retain: bool,
    content_type: String,
    user: Vec<(String, String)>,
    newest: bool,
    made_ms: i64,
}

/// The messages of a chunk with their places, as bytes.
pub fn write<'a>(letters: impl Iterator<Item = (u32, &'a Letter)>) -> Option<Bytes> {
    let all: Vec<Written> = letters
        .map(|(at, letter)| {
            let message = &letter.message;
            Written {
                at,
                topic: message.topic.clone(),
                payload: message.payload.to_vec(),
                exactly_once: message.qos == Qos::ExactlyOnce,
                retain: message.retain,
                content_type: message.content_type.clone().into_owned(),
                user: message.user.clone(),
                newest: letter.newest,
                made_ms: letter.made_ms,
            }
        })
        .collect();
    postcard::to_extend(&all, vec![FORM]).ok().map(Bytes::from)
}

/// The messages of a chunk; `None` if it was not written in this form.
pub fn read(content: &[u8]) -> Option<Vec<(u32, Letter)>> {
    let (&FORM, rest) = content.split_first()? else { return None };
    let all: Vec<Written> = postcard::from_bytes(rest).ok()?;
    let letter = |written: Written| {
        let message = Outbound {
            topic: written.topic,
            payload: written.payload.into(),
            qos: if written.exactly_once { Qos::ExactlyOnce } else { Qos::AtLeastOnce },
            retain: written.retain,
            content_type: written.content_type.into(),
            user: written.user,
            ..Outbound::default()
        };
        (written.at, Letter { message, newest: written.newest, made_ms: written.made_ms })
    };
    Some(all.into_iter().map(letter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(topic: &str, payload: &'static [u8]) -> Letter {
        let message = Outbound {
            topic: topic.into(),
            payload: Bytes::from_static(payload),
            qos: Qos::AtLeastOnce,
            retain: true,
            content_type: "text/plain".into(),
            user: vec![("a".into(), "b".into())],
            ..Outbound::default()
        };
        Letter { message, newest: true, made_ms: 1_700_000_000_000 }
    }

    #[test]
    fn a_chunk_is_read_as_it_was_written_and_nothing_else_is_read() {
        let letters = [letter("plc/1/class", b"cat"), letter("plc/2/class", b"")];
        let bytes = write([(0, &letters[0]), (7, &letters[1])].into_iter()).unwrap();
        assert_eq!(read(&bytes).unwrap(), [(0, letters[0].clone()), (7, letters[1].clone())]);
        assert_eq!((read(&bytes[..9]), read(&[]), read(&[2, 0])), (None, None, None));
    }

    #[test]
    fn one_that_comes_late_says_so_in_its_properties_and_in_a_json_body() {
        for (payload, expected) in
            [("{\"a\":1}", "{\"historical\":true,\"a\":1}"), ("{}", "{\"historical\":true}"), ("0.5", "0.5"), ("", "")]
        {
            let message = Outbound { payload: payload.into(), ..Outbound::default() };
            let late = Letter::late(message);
            assert_eq!(late.payload, expected.as_bytes());
            assert_eq!(late.user, [("historical".to_owned(), "true".to_owned())]);
        }
    }

    #[test]
    fn the_digest_of_a_topic_is_the_same_in_every_build() {
        assert_eq!(digest("plc/1/class"), digest("plc/1/class"));
        assert_eq!(digest(""), 0x141c_fc98_42c4_b0e3);
    }
}
