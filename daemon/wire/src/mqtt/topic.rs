//! The names of topics: built, taken apart, and which of them a reply may go to.

use std::fmt;

/// First level below the prefix for requests to any box of a group. No node may have this name.
const GROUP: &str = "_group";
const INFER: &str = "infer";
const CANCEL: &str = "cancel";
const FLEET: &str = "fleet";
const PEER: &str = "peer";
const AVAILABLE: &str = "available";
const CAPACITY: &str = "capacity";
const TELEMETRY: &str = "telemetry";
const EVENTS: &str = "events";
const LAST: &str = "last";
const BINDING: &str = "binding";
/// Topics that a box speaks on of its own accord.
const SPOKEN: [&str; 9] = [AVAILABLE, "state", TELEMETRY, CAPACITY, "models", FLEET, EVENTS, LAST, BINDING];
/// The protocol's limit of a topic, in bytes.
const MAX_TOPIC_BYTES: usize = 65_535;

/// The topics of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
    base: String,
}

/// A request that came by a subscription of an earlier configuration, which the broker keeps with the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former<'a> {
    /// The last level; not checked.
    pub model: &'a str,
    /// The subscription by which it came.
    pub filter: String,
}

/// What a received topic would mean under another prefix, node or group.
pub fn former(topic: &str) -> Option<Former<'_>> {
    let (above, model) = topic.rsplit_once('/')?;
    let base = above.strip_suffix(INFER)?.strip_suffix('/')?;
    let (prefix, node) = base.rsplit_once('/')?;
    let shared = prefix.strip_suffix(GROUP).and_then(|prefix| prefix.strip_suffix('/'));
    let filter = match shared {
        Some(_) => format!("$share/{node}/{above}/+"),
        None => format!("{above}/+"),
    };
    (!model.is_empty() && !node.is_empty() && !prefix.is_empty()).then_some(Former { model, filter })
}

/// What a topic that was subscribed to means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// A request for `model`, as written; by way of `group` if it came through the shared subscription.
    Infer {
        /// The last level; not checked.
        model: &'a str,
        /// Which group, if any.
        group: Option<&'a str>,
    },
    /// The request with this id is to be cancelled.
    Cancel {
        /// All that follows `cancel/`.
        request_id: &'a str,
    },
    /// What a box, this one or another, does about a version that the fleet is to have.
    Fleet {
        /// Node name of the box.
        node: &'a str,
        /// Name of the model; not checked.
        model: &'a str,
    },
    /// The answer of another box to a request of this one.
    Peer {
        /// Which request.
        name: &'a str,
    },
    /// Another box says how it is.
    Spoke {
        /// Node name of the box.
        node: &'a str,
        /// On which of its topics.
        of: Spoken,
    },
}

/// What a box says of how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Whether it is there at all.
    Available,
    /// Whether it takes requests, and how long one would wait; with or without readings around it.
    Capacity,
}

impl Topics {
    /// The topics of `node` below `prefix` (no slash at its end).
    pub fn new(prefix: &str, node: &str) -> Topics {
        Topics { prefix: prefix.to_owned(), base: format!("{prefix}/{node}") }
    }

    /// Name of the box.
    pub fn node(&self) -> &str {
        self.base.get(self.prefix.len() + 1..).unwrap_or_default()
    }

    /// Filter of the requests to this box.
    pub fn infer_filter(&self) -> String {
        format!("{}/{INFER}/+", self.base)
    }

    /// Filter of cancellations; an id may hold slashes.
    pub fn cancel_filter(&self) -> String {
        format!("{}/{CANCEL}/#", self.base)
    }

    /// Filter by which the boxes of `group` share its requests.
    pub fn group_filter(&self, group: &str) -> String {
        format!("$share/{group}/{}/{GROUP}/{group}/{INFER}/+", self.prefix)
    }

    /// Where the box `node` takes requests for `model`.
    pub fn infer_at(&self, node: &str, model: &str) -> String {
        format!("{}/{node}/{INFER}/{model}", self.prefix)
    }

    /// Where the box `node` is told that a request is not wanted any more.
    pub fn cancel_at(&self, node: &str, request_id: &str) -> String {
        format!("{}/{node}/{CANCEL}/{request_id}", self.prefix)
    }

    /// Where another box answers a request of this one.
    pub fn peer(&self, name: &str) -> String {
        format!("{}/{PEER}/{name}", self.base)
    }

    /// Filter of all such answers.
    pub fn peer_filter(&self) -> String {
        self.peer("+")
    }

    /// Filters of what the box `node` says of how it is.
    pub fn spoken_by(&self, node: &str) -> [String; 3] {
        [AVAILABLE, CAPACITY, TELEMETRY].map(|word| format!("{}/{node}/{word}", self.prefix))
    }

    /// Where replies go when the request names no topic.
    pub fn result(&self, model: &str) -> String {
        format!("{}/result/{model}", self.base)
    }

    /// Retained: the last answer of `model` about one source of a binding.
    pub fn last(&self, model: &str, source: &str) -> String {
        format!("{}/{LAST}/{model}/{source}", self.base)
    }

    /// Filter of everything that this box says or takes of its own.
    pub fn own_filter(&self) -> String {
        format!("{}/#", self.base)
    }

    /// Filters of where any box takes requests or answers, or speaks of itself: no output of a binding may be there. What
    /// bindings say by default has a place of its own.
    pub fn taken_filters(&self) -> Vec<String> {
        let prefix = &self.prefix;
        let words = SPOKEN.into_iter().filter(|word| *word != BINDING).chain([INFER, CANCEL, PEER, "result"]);
        let shared = format!("{prefix}/{GROUP}/+/{INFER}/#");
        words.map(|word| format!("{prefix}/+/{word}/#")).chain([shared]).collect()
    }

    /// Retained `online` or `offline`.
    pub fn available(&self) -> String {
        format!("{}/{AVAILABLE}", self.base)
    }

    /// Retained state of the box.
    pub fn state(&self) -> String {
        format!("{}/state", self.base)
    }

    /// Retained record of one model.
    pub fn model(&self, model: &str) -> String {
        format!("{}/models/{model}", self.base)
    }

    /// Retained: what this box does about a version of a model that its fleet is to have.
    pub fn fleet(&self, model: &str) -> String {
        format!("{}/{FLEET}/{model}", self.base)
    }

    /// The same of the box `node`.
    pub fn fleet_of(&self, node: &str, model: &str) -> String {
        format!("{}/{node}/{FLEET}/{model}", self.prefix)
    }

    /// Filter of the same of this box, for all models.
    pub fn own_fleet_filter(&self) -> String {
        format!("{}/{FLEET}/+", self.base)
    }

    /// Filter of the same of all boxes.
    pub fn fleet_filter(&self) -> String {
        format!("{}/+/{FLEET}/+", self.prefix)
    }

    /// Readings, every few seconds.
    pub fn telemetry(&self) -> String {
        format!("{}/{TELEMETRY}", self.base)
    }

    /// One message for each change of what the box says of itself.
    pub fn events(&self) -> String {
        format!("{}/{EVENTS}", self.base)
    }

    /// Retained: whether the box takes requests, and how long one would wait.
    pub fn capacity(&self) -> String {
        format!("{}/{CAPACITY}", self.base)
    }

    /// Filter of the retained records of this box's models.
    pub fn models_filter(&self) -> String {
        format!("{}/models/+", self.base)
    }

    /// Filters of all retained records of this box that are one for each model.
    pub fn own_records(&self) -> [String; 2] {
        [self.models_filter(), self.own_fleet_filter()]
    }

    /// Whether the retained record of one of this box's models is on `topic`.
    pub fn is_model(&self, topic: &str) -> bool {
        below(topic, &self.base)
            .and_then(|rest| rest.strip_prefix("models/"))
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    }

    /// What a received topic means; `None` if it is none of the subscribed ones.
    pub fn parse<'a>(&self, topic: &'a str) -> Option<Meaning<'a>> {
        if let Some(meaning) = self.of_fleet(topic) {
            return Some(meaning);
        }
        if let Some(rest) = below(topic, &self.base) {
            let (first, rest) = rest.split_once('/')?;
            return match first {
                INFER if !rest.contains('/') => Some(Meaning::Infer { model: rest, group: None }),
                CANCEL if !rest.is_empty() => Some(Meaning::Cancel { request_id: rest }),
                PEER if !rest.is_empty() && !rest.contains('/') => Some(Meaning::Peer { name: rest }),
                _ => None,
            };
        }
        let mut levels = below(topic, &self.prefix)?.split('/');
        match (levels.next(), levels.next(), levels.next(), levels.next(), levels.next()) {
            (Some(GROUP), Some(group), Some(INFER), Some(model), None) => {
                Some(Meaning::Infer { model, group: Some(group) })
            }
            (Some(node), Some(word), None, ..) if !node.is_empty() => {
                let of = match word {
                    AVAILABLE => Spoken::Available,
                    CAPACITY | TELEMETRY => Spoken::Capacity,
                    _ => return None,
                };
                Some(Meaning::Spoke { node, of })
            }
            _ => None,
        }
    }

    fn of_fleet<'a>(&self, topic: &'a str) -> Option<Meaning<'a>> {
        let mut levels = below(topic, &self.prefix)?.split('/');
        match (levels.next(), levels.next(), levels.next(), levels.next()) {
            (Some(node), Some(FLEET), Some(model), None) if !node.is_empty() && !model.is_empty() => {
                Some(Meaning::Fleet { node, model })
            }
            _ => None,
        }
    }

    /// Whether a reply may go to `topic`, given the operator's further patterns (MQTT filters).
    ///
    /// Topics on which any box below the prefix takes requests or speaks of itself are never allowed: a reply there
    /// would start a loop or a false alarm.
    pub fn check_reply_topic(&self, topic: &str, allow: &[String]) -> Result<(), BadReplyTopic> {
        if topic.is_empty() {
            return Err(BadReplyTopic::Empty);
        }
        if topic.len() > MAX_TOPIC_BYTES {
            return Err(BadReplyTopic::Long);
        }
        if topic.contains(['+', '#']) {
            return Err(BadReplyTopic::Wildcard);
        }
        if topic.starts_with('$') {
            return Err(BadReplyTopic::Dollar);
        }
        if topic.chars().any(char::is_control) {
            return Err(BadReplyTopic::Control);
        }
        let rest = below(topic, &self.prefix);
        // Among them where this box takes what other boxes answer.
        if rest.is_some_and(reserved) || self.parse(topic).is_some() {
            return Err(BadReplyTopic::Reserved);
        }
        if rest.is_some_and(|rest| !rest.is_empty()) || allow.iter().any(|filter| matches(filter, topic)) {
            return Ok(());
        }
        Err(BadReplyTopic::NotAllowed { prefix: self.prefix.clone() })
    }
}

/// What follows `base` and a slash.
fn below<'a>(topic: &'a str, base: &str) -> Option<&'a str> {
    topic.strip_prefix(base)?.strip_prefix('/')
}

/// Whether a box takes requests or speaks on this topic; `rest` follows the prefix.
fn reserved(rest: &str) -> bool {
    let mut levels = rest.split('/');
    match (levels.next(), levels.next(), levels.next()) {
        (Some(GROUP), Some(_), Some(INFER)) => true,
        (Some(_), Some(second), _) => second == INFER || second == CANCEL || SPOKEN.contains(&second),
        _ => false,
    }
}

/// Why a reply may not go to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadReplyTopic {
    /// No characters at all.
    Empty,
    /// Longer than the protocol allows.
    Long,
    /// `+` or `#` in it.
    Wildcard,
    /// A `$` at its start.
    Dollar,
    /// A control character in it.
    Control,
    /// A request topic, or one that a box speaks on.
    Reserved,
    /// Matches no pattern.
    NotAllowed {
        /// Below which everything else is allowed.
        prefix: String,
    },
}

impl fmt::Display for BadReplyTopic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReplyTopic::Empty => out.write_str("it is empty"),
            BadReplyTopic::Long => write!(out, "it is longer than {MAX_TOPIC_BYTES} bytes"),
            BadReplyTopic::Wildcard => out.write_str("it holds a wildcard (`+` or `#`)"),
            BadReplyTopic::Dollar => out.write_str("it starts with `$`"),
            BadReplyTopic::Control => out.write_str("it holds a control character"),
            BadReplyTopic::Reserved => out.write_str("a box takes requests or speaks of itself there"),
            BadReplyTopic::NotAllowed { prefix } => {
                write!(out, "it is neither below `{prefix}/` nor matched by `mqtt.reply_allow`")
            }
        }
    }
}

/// Whether `filter` (with `+` and `#`) matches `topic`. A wildcard in the first level matches no topic with a `$` there.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new("plant/edge", "box-7")
    }

    #[test]
    fn a_topic_of_an_earlier_configuration_names_its_model_and_its_subscription() {
        let cases = [
            ("old/box/infer/m", Some(("m", "old/box/infer/+"))),
            ("a/b/box/infer/m", Some(("m", "a/b/box/infer/+"))),
            ("edge/_group/press/infer/m", Some(("m", "$share/press/edge/_group/press/infer/+"))),
            ("edge/box/result/m", None),
            ("edge/box/infer/", None),
            ("box/infer/m", None),
            ("m", None),
        ];
        for (topic, expected) in cases {
            let found = former(topic);
            assert_eq!(found.as_ref().map(|found| (found.model, found.filter.as_str())), expected, "{topic}");
        }
        let current = Topics::new("edge", "box");
        assert_eq!(former("edge/box/infer/m").map(|found| found.filter), Some(current.infer_filter()));
        let shared = former("edge/_group/press/infer/m").map(|found| found.filter);
        assert_eq!(shared, Some(current.group_filter("press")));
    }

    #[test]
    fn records_of_own_models_are_told_from_others() {
        let topics = Topics::new("edge", "box");
        assert!(topics.is_model(&topics.model("m")));
        for other in ["edge/box/models/", "edge/box/models/a/b", "edge/other/models/m", "edge/box/state"] {
            assert!(!topics.is_model(other), "{other}");
        }
    }

    #[test]
    fn received_topics_are_taken_apart() {
        let topics = topics();
        let infer = |model, group| Some(Meaning::Infer { model, group });
        let cases = [
            ("plant/edge/box-7/infer/text-line", infer("text-line", None)),
            ("plant/edge/box-7/infer/", infer("", None)),
            ("plant/edge/_group/ocr/infer/text-line", infer("text-line", Some("ocr"))),
            ("plant/edge/box-7/cancel/line-3/0042", Some(Meaning::Cancel { request_id: "line-3/0042" })),
            ("plant/edge/box-7/fleet/screws", Some(Meaning::Fleet { node: "box-7", model: "screws" })),
            ("plant/edge/box-8/fleet/screws", Some(Meaning::Fleet { node: "box-8", model: "screws" })),
            ("plant/edge/box-8/fleet/", None),
            ("plant/edge/box-8/fleet/a/b", None),
            ("plant/edge/box-7/cancel/", None),
            ("plant/edge/box-7/cancel", None),
            ("plant/edge/box-7/infer/a/b", None),
            ("plant/edge/box-77/infer/a", None),
            ("plant/edge/box-7", None),
            ("plant/edgebox-7/infer/a", None),
            ("", None),
        ];
        for (topic, meaning) in cases {
            assert_eq!(topics.parse(topic), meaning, "{topic}");
        }
    }

    #[test]
    fn the_filters_of_what_is_taken_match_what_boxes_take_and_say_and_leave_room_for_bindings() {
        let topics = topics();
        let is_taken = |topic: &str| topics.taken_filters().iter().any(|filter| matches(filter, topic));
        let other = Topics::new("plant/edge", "box-8");
        for taken in [
            topics.infer_at("box-8", "m"),
            topics.cancel_at("box-7", "a/b"),
            topics.peer("4f"),
            topics.result("m"),
            topics.last("m", "cam-1"),
            topics.available(),
            other.state(),
            other.telemetry(),
            topics.capacity(),
            topics.model("m"),
            other.fleet("m"),
            "plant/edge/_group/ocr/infer/m".into(),
        ] {
            assert!(is_taken(&taken), "{taken}");
        }
        for free in ["plant/edge/box-7/binding/sorting/cam-1", "plant/edge/vision", "vision/7/result"] {
            assert!(!is_taken(free), "{free}");
        }
        assert!(matches(&topics.own_filter(), &topics.last("m", "cam-1")));
    }

    #[test]
    fn every_filter_matches_the_topics_it_is_for() {
        let topics = topics();
        assert!(matches(&topics.infer_filter(), "plant/edge/box-7/infer/text-line"));
        assert!(matches(&topics.cancel_filter(), "plant/edge/box-7/cancel/a/b"));
        assert!(matches(&topics.fleet_filter(), "plant/edge/box-8/fleet/text-line"));
        assert!(matches(&topics.own_fleet_filter(), &topics.fleet("text-line")));
        let group = topics.group_filter("ocr");
        assert!(matches(group.strip_prefix("$share/ocr/").unwrap(), "plant/edge/_group/ocr/infer/text-line"));
    }

    #[test]
    fn reply_topics_are_refused_by_name_and_allowed_below_the_prefix_or_by_pattern() {
        use BadReplyTopic::*;
        let topics = topics();
        let allow = ["line/+/answers".to_owned(), "scada/#".to_owned()];
        let foreign = || Err(NotAllowed { prefix: "plant/edge".into() });
        let cases = [
            ("plant/edge/box-7/result/text-line", Ok(())),
            ("plant/edge/replies/7", Ok(())),
            ("plant/edge/box-7/result/infer", Ok(())),
            ("line/4/answers", Ok(())),
            ("scada", Ok(())),
            ("scada/a/b", Ok(())),
            ("", Err(Empty)),
            ("plant/edge/+/result", Err(Wildcard)),
            ("plant/edge/#", Err(Wildcard)),
            ("$SYS/broker", Err(Dollar)),
            ("plant/edge/a\0b", Err(Control)),
            ("plant/edge/box-7/infer/text-line", Err(Reserved)),
            ("plant/edge/other/infer/text-line", Err(Reserved)),
            ("plant/edge/_group/ocr/infer/text-line", Err(Reserved)),
            ("plant/edge/box-7/cancel/1", Err(Reserved)),
            ("plant/edge/box-7/available", Err(Reserved)),
            ("plant/edge/box-7/models/x", Err(Reserved)),
            ("plant/edge/other/fleet/x", Err(Reserved)),
            ("plant/edge/other/last/screws/cam-1", Err(Reserved)),
            ("plant/edge/box-7/binding/sorting/cam-1", Err(Reserved)),
            ("plant/edge/", foreign()),
            ("plant/edge", foreign()),
            ("plant", foreign()),
            ("line/4/5/answers", foreign()),
            ("elsewhere", foreign()),
        ];
        for (topic, expected) in cases {
            assert_eq!(topics.check_reply_topic(topic, &allow), expected, "{topic}");
        }
        assert_eq!(topics.check_reply_topic(&"x".repeat(65_536), &["#".into()]), Err(Long));
        assert_eq!(topics.check_reply_topic("plant/edge/b/infer/x", &["#".into()]), Err(Reserved));
    }

    #[test]
    fn filters_match_as_the_protocol_says() {
        let cases = [
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("+", "a/b", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("ü/+", "ü/x", true),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn what_boxes_say_to_each_other_is_told_from_requests_and_no_reply_may_go_there() {
        let (own, other) = (Topics::new("plant/edge", "box-7"), Topics::new("plant/edge", "box-8"));
        let peer = own.peer("4f");
        assert_eq!((own.parse(&peer), other.parse(&peer)), (Some(Meaning::Peer { name: "4f" }), None));
        assert!(matches(&own.peer_filter(), &peer));
        assert_eq!(other.check_reply_topic(&peer, &[]), Ok(()), "the other box may answer there");
        assert_eq!(
            own.check_reply_topic(&peer, &["#".into()]),
            Err(BadReplyTopic::Reserved),
            "a box that answers itself"
        );
        for none in [own.peer(""), own.peer("a/b")] {
            assert_eq!(own.parse(&none), None, "{none}");
        }
        let [available, capacity, telemetry] = other.spoken_by("box-7");
        assert_eq!([&available, &capacity, &telemetry], [&own.available(), &own.capacity(), &own.telemetry()]);
        for (topic, of) in [(available, Spoken::Available), (capacity, Spoken::Capacity), (telemetry, Spoken::Capacity)]
        {
            assert_eq!(other.parse(&topic), Some(Meaning::Spoke { node: "box-7", of }), "{topic}");
            assert_eq!(other.check_reply_topic(&topic, &[]), Err(BadReplyTopic::Reserved), "{topic}");
        }
        assert_eq!(other.infer_at("box-7", "m"), "plant/edge/box-7/infer/m");
        assert!(matches(&own.infer_filter(), &other.infer_at("box-7", "m")));
        assert!(matches(&own.cancel_filter(), &other.cancel_at("box-7", "box-8/a")));
    }
}
