//! Topics from the broker and reply topics that senders wish for: the first line is a topic, the others are the operator's
//! patterns. No reply may go where any box listens or speaks, whatever the patterns allow.
#![no_main]

use edge_wire::mqtt::topic::{Topics, matches};
use libfuzzer_sys::fuzz_target;

/// Where boxes below the prefix take requests or speak.
const TAKEN: [&str; 9] = [
    "edge/+/infer/#",
    "edge/+/cancel/#",
    "edge/_group/+/infer/#",
    "edge/+/available/#",
    "edge/+/state/#",
    "edge/+/telemetry/#",
    "edge/+/models/#",
    "edge/+/last/#",
    "edge/+/binding/#",
];

fuzz_target!(|text: &str| {
    let topics = Topics::new("edge", "box");
    let mut lines = text.split('\n').map(str::to_owned);
    let topic = lines.next().unwrap_or_default();
    let allow: Vec<String> = lines.collect();
    let meaning = topics.parse(&topic);
    match topics.check_reply_topic(&topic, &allow) {
        Ok(()) => {
            assert!(meaning.is_none(), "a reply to {topic:?} would be a request");
            assert!(!topic.is_empty() && !topic.contains(['+', '#', '\0']));
            let hit = TAKEN.iter().find(|filter| matches(filter, &topic));
            assert!(hit.is_none(), "a reply to {topic:?} goes where {hit:?} is taken");
            let below = topic.strip_prefix("edge/").is_some_and(|rest| !rest.is_empty());
            assert!(below || allow.iter().any(|filter| matches(filter, &topic)));
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
});
