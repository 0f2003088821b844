//! What rules match requests by: names with wildcards, and where a request comes from. Matching allocates nothing.

use edge_wire::mqtt::topic;

use super::super::keys::NAME_LIMIT;
use super::super::validate::is_filter;

/// A name in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern of this text, if it is one.
    pub fn new(text: &str) -> Option<Glob> {
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.*?".contains(&byte);
        ((1..=NAME_LIMIT).contains(&text.len()) && text.bytes().all(is_one)).then(|| Glob(text.to_owned()))
    }

    /// Whether it stands for one name alone.
    pub fn is_name(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name matches. Goes back to the last `*` only, so that it takes at most the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut from) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = name.get(from) {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, from));
                    at += 1;
                }
                Some(wanted) if *wanted == b'?' || wanted == byte => {
                    at += 1;
                    from += 1;
                }
                _ => match &mut star {
                    Some((place, taken)) => {
                        *taken += 1;
                        (at, from) = (*place + 1, *taken);
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(at).all(|rest| *rest == b'*')
    }
}

/// Which sources a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceMatch {
    /// Any caller on the bus.
    Bus,
    /// Those of one user.
    User {
        /// Its number.
        uid: u32,
        /// As it was written.
        text: String,
    },
    /// Anything from the broker.
    Mqtt,
    /// What comes on topics that match this filter.
    Topic(String),
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// The bus, or a private connection handed out over it, of a user.
    Bus { uid: u32 },
    /// The broker, on a topic.
    Mqtt { topic: &'a str },
}

impl SourceMatch {
    /// Reads one; an error says what is taken. `user_id` knows the numbers of users.
    pub fn parse(text: &str, user_id: fn(&str) -> Option<u32>) -> Result<SourceMatch, String> {
        let takes = "takes \"bus\", \"bus:user=NAME\", \"bus:uid=NUMBER\", \"mqtt\" or \"mqtt:TOPIC FILTER\"";
        if let Some(name) = text.strip_prefix("bus:user=") {
            let uid = user_id(name).ok_or_else(|| format!("{text:?}: this box has no user {name:?}: {takes}"))?;
            return Ok(SourceMatch::User { uid, text: text.to_owned() });
        }
        if let Some(number) = text.strip_prefix("bus:uid=") {
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let uid = number.parse().ok().filter(|_| is_number);
            let uid = uid.ok_or_else(|| format!("{text:?}: {number:?} is no number of a user: {takes}"))?;
            return Ok(SourceMatch::User { uid, text: text.to_owned() });
        }
        if let Some(filter) = text.strip_prefix("mqtt:") {
            return match !filter.is_empty() && is_filter(filter) {
                true => Ok(SourceMatch::Topic(filter.to_owned())),
                false => Err(format!(
                    "{text:?}: {filter:?} is no topic filter: `+` and `#` stand alone between slashes, `#` last"
                )),
            };
        }
        match text {
            "bus" => Ok(SourceMatch::Bus),
            "mqtt" => Ok(SourceMatch::Mqtt),
            _ => Err(format!("{text:?} is no source: {takes}")),
        }
    }

    /// Whether a request comes from there.
    pub fn matches(&self, source: Source<'_>) -> bool {
        match (self, source) {
            (SourceMatch::Bus, Source::Bus { .. }) | (SourceMatch::Mqtt, Source::Mqtt { .. }) => true,
            (SourceMatch::User { uid, .. }, Source::Bus { uid: caller }) => *uid == caller,
            (SourceMatch::Topic(filter), Source::Mqtt { topic }) => topic::matches(filter, topic),
            (SourceMatch::Bus | SourceMatch::User { .. }, Source::Mqtt { .. })
            | (SourceMatch::Mqtt | SourceMatch::Topic(_), Source::Bus { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_people_expect() {
        for (pattern, name, expected) in [
            ("ocr", "ocr", true),
            ("ocr", "ocr-2", false),
            ("ocr*", "ocr-2", true),
            ("ocr*", "ocr", true),
            ("*", "", true),
            ("?", "", false),
            ("*-line-?", "text-line-7", true),
            ("*-line-?", "text-line-77", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**x", "yyx", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), expected, "{pattern} of {name}");
        }
        assert!(Glob::new("a/b").is_none() && Glob::new("").is_none() && Glob::new(&"x".repeat(65)).is_none());
    }

    #[test]
    fn sources_match_who_and_where() {
        let user = |name: &str| (name == "scada").then_some(990);
        let (bus, topic) = (Source::Bus { uid: 990 }, Source::Mqtt { topic: "edge/box/infer/ocr" });
        for (text, source, expected) in [
            ("bus", bus, true),
            ("bus", topic, false),
            ("bus:user=scada", bus, true),
            ("bus:uid=990", bus, true),
            ("bus:uid=0", bus, false),
            ("mqtt", topic, true),
            ("mqtt", bus, false),
            ("mqtt:edge/+/infer/#", topic, true),
            ("mqtt:edge/+/infer", topic, false),
            ("mqtt:#", bus, false),
        ] {
            assert_eq!(SourceMatch::parse(text, user).unwrap().matches(source), expected, "{text} of {source:?}");
        }
        for text in [
            "bus:",
            "bus:user=",
            "bus:user=nobody",
            "bus:uid=",
            "bus:uid=-1",
            "bus:uid=+1",
            "mqtt:",
            "mqtt:a/#/b",
            "http",
        ] {
            assert!(SourceMatch::parse(text, user).is_err(), "{text}");
        }
    }
}
