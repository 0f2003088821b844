//! Names of places that somebody may not want to tell: boxes, hosts, topics, addresses. Pure: the same name is the same word
//! everywhere in a bundle, so that what belongs together can still be seen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::words;

/// Shorter ones are found in every word.
const SHORTEST: usize = 3;
/// Names that tell nothing.
const PLAIN: [&str; 10] =
    ["localhost", "127.0.0.1", "::1", "0.0.0.0", "true", "false", "edged", "system", "edge", "homeassistant"];
/// Levels of topics that are words of every log, and keys of the configuration.
const LEVELS: [&str; 24] = [
    "image", "images", "camera", "cameras", "frame", "frames", "picture", "result", "results", "status", "state",
    "infer", "request", "requests", "reply", "answer", "value", "data", "event", "events", "topic", "model", "models",
    "source",
];

/// What kind of name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Node,
    Host,
    Topic,
    User,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Host => "host",
            Kind::Topic => "topic",
            Kind::User => "user",
        }
    }
}

/// Names and the words that stand for them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    words: BTreeMap<String, String>,
    counts: BTreeMap<Kind, u32>,
}

impl Names {
    /// Learns a name.
    pub fn learn(&mut self, kind: Kind, name: &str) {
        let name = name.trim();
        if name.len() < SHORTEST || PLAIN.contains(&name) || self.words.contains_key(name) {
            return;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        // Of `line_7` the word is `topic-1_7`.
        let tail = name.trim_end_matches(|char: char| !char.is_alphanumeric()).len();
        let tail = name.get(tail..).unwrap_or_default();
        self.words.insert(name.to_owned(), format!("{}-{count}{tail}", kind.as_str()));
    }

    /// Learns the host of an address: `mqtts://broker.plant:8883/x`, `broker.plant:1883`; or a domain, `*.plant`.
    pub fn learn_address(&mut self, address: &str) {
        let place = address.split_once("://").map_or(address, |(_, place)| place);
        let place = place.split(['/', '?', '#']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let host = match place.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        };
        self.learn(Kind::Host, host.trim_start_matches(['*', '.']));
    }

    /// Learns a topic, or of a filter or a template what is between its wildcards.
    pub fn learn_topic(&mut self, topic: &str) {
        let filter = match topic.strip_prefix("$share/").and_then(|shared| shared.split_once('/')) {
            Some((group, filter)) => {
                self.learn(Kind::Node, group);
                filter
            }
            None => topic,
        };
        // `{1}` is one; `{{` is a brace, and what is learnt on both sides of it is no less hidden.
        for (at, piece) in filter.split(['+', '#', '{']).enumerate() {
            let literal = piece.split_once('}').map_or(piece, |(_, literal)| literal).trim_matches('/');
            // `out`, `res`: what a plant is called stands before the wildcard.
            let is_short = literal.len() <= SHORTEST && literal.bytes().all(|byte| byte.is_ascii_lowercase());
            if !LEVELS.contains(&literal) && (at == 0 || !is_short) {
                self.learn(Kind::Topic, literal);
            }
        }
    }

    /// Learns who or what a rule speaks of: `bus:user=anna`, `mqtt:plant/line1/#`.
    pub fn learn_source(&mut self, source: &str) {
        match source.split_once("user=") {
            Some((_, user)) => self.learn(Kind::User, user),
            None => self.learn_topic(source.strip_prefix("mqtt:").unwrap_or_default()),
        }
    }

    /// A text with words in their places, of addresses as well.
    pub fn hide(&self, text: &str) -> String {
        let mut names: Vec<(&String, &String)> = self.words.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let text = names.into_iter().fold(text.to_owned(), |text, (name, word)| replaced(&text, name, word));
        hide_addresses(&text)
    }

    /// The same of a document, its keys included.
    pub fn hide_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(list) => Value::Array(list.into_iter().map(|one| self.hide_json(one)).collect()),
            Value::Object(map) => {
                Value::Object(map.into_iter().map(|(key, value)| (self.hide(&key), self.hide_json(value))).collect())
            }
            other => other,
        }
    }
}

/// Where the name stands by itself, and not as a part of a longer word.
fn replaced(text: &str, name: &str, word: &str) -> String {
    let is_letter = |char: char| char.is_alphanumeric() || char == '_';
    let joins = |char: Option<char>| char.is_some_and(is_letter);
    // Of a template `line_{1}` the name is `line_`: anything may follow it.
    let (begins, ends) = (name.starts_with(is_letter), name.ends_with(char::is_alphanumeric));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        out.push_str(before);
        let last = before.chars().next_back().or(out.chars().next_back().filter(|_| before.is_empty()));
        let part = (begins && joins(last)) || (ends && joins(after.chars().next()));
        out.push_str(if part { name } else { word });
        rest = after;
    }
    out + rest
}

/// Addresses of networks: who they are cannot be told from a number, so all of them are one word.
fn hide_addresses(text: &str) -> String {
    words::replaced(text, |char| char.is_ascii_hexdigit() || ".:".contains(char), hidden_address)
}

/// `10.0.0.7:1883` is `address:1883`.
fn hidden_address(word: &str) -> Cow<'_, str> {
    let tells = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    let trimmed = word.trim_end_matches(['.', ':']);
    let tail = word.get(trimmed.len()..).unwrap_or_default();
    let (address, port) = match trimmed.split_once(':') {
        Some((address, port)) if !port.contains(':') => (address, Some(port)),
        _ => (trimmed, None),
    };
    // Versions of four numbers look the same, and `::` is the path of a module.
    let is_one = |text: &str| text.len() > SHORTEST && text.parse::<IpAddr>().is_ok_and(|ip| tells(&ip));
    match port {
        Some(port) if is_one(address) => format!("address:{port}{tail}").into(),
        None if is_one(address) => format!("address{tail}").into(),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_words_everywhere_and_parts_of_words_stay() {
        let mut names = Names::default();
        names.learn(Kind::Node, "press-7");
        names.learn(Kind::Node, "box");
        names.learn_address("mqtts://u:p@broker.plant:8883/x");
        names.learn_address("spare.plant:1883");
        names.learn_topic("plant/line1/+/camera");
        names.learn_topic("{source}/x");
        names.learn(Kind::Host, "localhost");
        names.learn_topic("hall9_{1}/out");
        names.learn_address(".factory.lan");
        names.learn_source("bus:user=anna.mueller");
        let cases = [
            ("edged on press-7 is serving", "edged on node-1 is serving"),
            ("text-boxes of box", "text-boxes of node-2"),
            ("broker.plant:8883, spare.plant", "host-1:8883, host-2"),
            ("plant/line1/cam3/camera", "topic-1/cam3/camera"),
            ("hall9_7/x of anna.mueller, anna.muellers", "topic-2_7/x of user-1, anna.muellers"),
            ("mail.factory.lan", "mail.host-3"),
            ("timed out", "timed out"),
            ("press-77 at localhost", "press-77 at localhost"),
            ("from 10.1.2.3:1883 and fe80::1.", "from address:1883 and address."),
            ("127.0.0.1 and 12:30:45 and 1.32.0 and add::x", "127.0.0.1 and 12:30:45 and 1.32.0 and add::x"),
        ];
        for (text, expected) in cases {
            assert_eq!(names.hide(text), expected);
        }
    }
}
