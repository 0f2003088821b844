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
const PLAIN: [&str; 8] = ["localhost", "127.0.0.1", "::1", "0.0.0.0", "true", "false", "edged", "system"];

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
        self.words.insert(name.to_owned(), format!("{}-{count}", kind.as_str()));
    }

    /// Learns the host of an address: `mqtts://broker.plant:8883/x`, `broker.plant:1883`.
    pub fn learn_address(&mut self, address: &str) {
        let place = address.split_once("://").map_or(address, |(_, place)| place);
        let place = place.split(['/', '?', '#']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let host = match place.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        };
        self.learn(Kind::Host, host);
    }

    /// Learns a topic, or the part of a filter or pattern that is before its first wildcard.
    pub fn learn_topic(&mut self, topic: &str) {
        let end = topic.find(['+', '#', '{']).unwrap_or(topic.len());
        let literal = topic.get(..end).unwrap_or_default().trim_end_matches('/');
        self.learn(Kind::Topic, literal);
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
    let joins = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        out.push_str(before);
        let part = joins(before.chars().next_back().or(out.chars().next_back().filter(|_| before.is_empty())))
            || joins(after.chars().next());
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
        let cases = [
            ("edged on press-7 is serving", "edged on node-1 is serving"),
            ("text-boxes of box", "text-boxes of node-2"),
            ("broker.plant:8883, spare.plant", "host-1:8883, host-2"),
            ("plant/line1/cam3/camera", "topic-1/cam3/camera"),
            ("press-77 at localhost", "press-77 at localhost"),
            ("from 10.1.2.3:1883 and fe80::1.", "from address:1883 and address."),
            ("127.0.0.1 and 12:30:45 and 1.32.0 and add::x", "127.0.0.1 and 12:30:45 and 1.32.0 and add::x"),
        ];
        for (text, expected) in cases {
            assert_eq!(names.hide(text), expected);
        }
    }
}
