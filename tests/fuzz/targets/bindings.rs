//! What the operator and strangers write into bindings: the first line is a topic filter, the second a template, the third a
//! topic, the rest a message. No topic that a template gives escapes the search for loops, no reference leads out of the list,
//! and every answer, or what is none, gives values that can be written.
#![no_main]

use std::time::{Duration, SystemTime};

use edge_core::Mono;
use edged::binding::filter::Filter;
use edged::binding::flat::{Field, Format, Memory, Rules, Seen, Verdict, facts};
use edged::binding::look::{Payload, content_type, is_content_type};
use edged::binding::reference::{Allow, Allowed, Reference};
use edged::binding::tag;
use edged::binding::template::{Fixed, Names, Safety, Template, Values, Variable, overlaps};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (filter, template, topic, message) = (line(), line(), line(), line());
    if let (Ok(filter), Ok(template), Ok(topic)) =
        (str::from_utf8(filter), str::from_utf8(template), str::from_utf8(topic))
    {
        topics(filter, template, topic);
    }
    reference(message);
    flat(message);
    assert!(is_content_type(&content_type(&Payload::Auto, None, message)));
});

fn topics(filter: &str, template: &str, topic: &str) {
    assert!(tag::is_name(&tag::name(topic)));
    let Ok(filter) = Filter::parse(filter) else { return };
    let names = Names::of(&filter).and(Variable::Source).and(Variable::Field);
    let captures = filter.captures(topic).unwrap_or_else(|| vec![topic; filter.wildcards()]);
    assert_eq!(captures.len(), filter.wildcards());
    let source = tag::name(&captures.join("-"));
    let fixed = Fixed { binding: "b", model: "m", node: "box", prefix: "edge" };
    for safety in [Safety::Topic, Safety::Tag] {
        let Ok(template) = Template::parse(template, &names, safety) else { continue };
        let values = Values { captures: &captures, source: &source, fixed, field: Some(Field::Score) };
        let Some(made) = template.expand(&values) else { continue };
        assert!(!made.is_empty() && !made.contains(['+', '#', '\0']) && !made.starts_with('$'), "{made:?}");
        let pattern = template.pattern(&fixed, &[Field::Score]);
        assert!(!filter.matches(&made) || overlaps(&filter, &pattern), "{made:?} is missed");
    }
}

fn reference(message: &[u8]) {
    let mut allow = Allow::default();
    for entry in ["/srv/frames", "https://cams.example/live"] {
        allow.add(entry).expect("it is one");
    }
    let Ok(reference) = Reference::parse(message) else { return };
    match allow.hold(reference) {
        Ok(Allowed::File { root, below }) => {
            assert_eq!(root, std::path::Path::new("/srv/frames"));
            assert!(below.is_relative() && !below.components().any(|part| part == std::path::Component::ParentDir));
        }
        Ok(Allowed::Url(url)) => {
            assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("cams.example"), None));
            assert!(url.path() == "/live" || url.path().starts_with("/live/"));
            assert!(url.username().is_empty() && url.password().is_none());
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

fn flat(message: &[u8]) {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(message) else { return };
    for format in [Format::Plain, Format::Json] {
        let stale_after = Some(Duration::from_secs(1));
        let verdict = Verdict { min_score: Some(0.5), ..Verdict::default() };
        let rules = Rules { fields: Field::ALL.to_vec(), format, on_change: true, stale_after, verdict };
        let mut memory = Memory::new(rules, 1);
        let told = memory.answered(Mono::default(), "a", Seen::Answer(facts(&document)), SystemTime::UNIX_EPOCH);
        for point in &told.points {
            let is_json = serde_json::from_str::<serde_json::Value>(&point.payload).is_ok();
            assert!(format == Format::Plain || is_json, "{}", point.payload);
            assert!(!point.payload.contains('\n'), "{}", point.payload);
        }
        let again = memory.answered(Mono::default(), "a", Seen::Answer(facts(&document)), SystemTime::UNIX_EPOCH);
        assert!(again.points.is_empty(), "nothing has changed");
    }
}
