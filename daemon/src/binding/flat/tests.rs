//! What answers say, how that is written, and when.

use std::time::SystemTime;

use edge_core::Mono;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + second)
}

fn second(second: u64) -> Mono {
    Mono::default().after(Duration::from_secs(second))
}

fn rules(fields: &[Field], format: Format) -> Rules {
    Rules { fields: fields.to_vec(), format, on_change: true, stale_after: None, verdict: Verdict::default() }
}

fn words(told: &Told) -> Vec<String> {
    told.points.iter().map(|point| format!("{}={}", point.field.as_str(), point.payload)).collect()
}

#[test]
fn every_task_is_told_in_one_word_and_two_numbers() {
    let facts_of = |class: Option<&str>, score: Option<f64>, count: Option<u64>, text: Option<&str>| Facts {
        class: class.map(str::to_owned),
        score,
        count,
        text: text.map(str::to_owned),
    };
    for (document, expected) in [
        (
            json!({"label": "cat", "score": 0.93, "labels": [{"label": "cat", "score": 0.93}]}),
            facts_of(Some("cat"), Some(0.93), None, None),
        ),
        (json!({"text": "LOT\n7", "confidence": 0.5}), facts_of(None, Some(0.5), None, Some("LOT 7"))),
        (
            json!({"objects": [{"label": "screw", "score": 0.9}, {"label": "nut", "score": 0.8}], "left_out": 3}),
            facts_of(Some("screw"), Some(0.9), Some(5), None),
        ),
        (json!({"objects": []}), facts_of(Some(""), None, Some(0), None)),
        (
            json!({"lines": [{"text": "A", "score": 0.9}, {"text": "B", "score": 0.4}]}),
            facts_of(None, Some(0.4), Some(2), Some("A B")),
        ),
        (json!({"boxes": [{"score": 0.2}, {"score": 0.7}]}), facts_of(None, Some(0.7), Some(2), None)),
        (
            json!({"score": 0.8, "threshold": 0.5, "anomalous": true, "regions": [{"score": 0.8}]}),
            facts_of(Some("anomalous"), Some(0.8), Some(1), None),
        ),
        (
            json!({"regions": [{"label": "road", "score": 0.6}], "coverage": []}),
            facts_of(Some("road"), Some(0.6), Some(1), None),
        ),
        (json!({"segments": [], "speech_ms": 0}), facts_of(Some("silence"), None, Some(0), None)),
        (
            json!({"embedding": [0.1], "matches": [{"label": "a", "similarity": 0.7}], "label": "a"}),
            facts_of(Some("a"), Some(0.7), Some(1), None),
        ),
        (json!({"embedding": [0.1], "matches": [], "label": null}), facts_of(Some(""), None, Some(0), None)),
        (json!({"choices": [{"message": {"content": "yes"}}]}), facts_of(None, None, None, Some("yes"))),
        (json!([1, 2]), Facts::default()),
    ] {
        assert_eq!(facts(&document), expected, "{document}");
    }
}

#[test]
fn plain_values_are_what_clients_turn_into_their_own_types() {
    let mut memory = Memory::new(rules(&Field::ALL, Format::Plain), 8);
    let document = json!({"label": "cat", "score": 0.00000012345, "labels": []});
    let told = memory.answered(second(0), "a", Seen::Answer(facts(&document)), at(0));
    let expected = ["class=cat", "score=0", "quality=good", "reason=-", "ok=true", "time=2026-09-21T14:13:20.000Z"];
    assert_eq!(words(&told), expected);
    let document = json!({"objects": [{"label": "x", "score": 0.9300000001}]});
    let told = memory.answered(second(1), "b", Seen::Answer(facts(&document)), at(0));
    assert!(words(&told).starts_with(&["class=x".into(), "score=0.93".into(), "count=1".into()]), "{told:?}");
}

#[test]
fn no_plain_value_is_an_empty_message_which_would_delete_what_the_broker_keeps() {
    let mut memory = Memory::new(rules(&Field::ALL, Format::Plain), 8);
    let told = memory.answered(second(0), "a", Seen::Answer(facts(&json!({"objects": [], "text": ""}))), at(0));
    assert_eq!(words(&told)[..2], ["class=-", "count=0"]);
    assert!(told.points.iter().all(|point| !point.payload.is_empty()), "{told:?}");
}

#[test]
fn a_json_value_carries_its_time_and_how_good_it_is() {
    let mut memory = Memory::new(rules(&[Field::Score, Field::Ok], Format::Json), 8);
    let document = json!({"label": "cat", "score": 0.93});
    let told = memory.answered(second(0), "a", Seen::Answer(facts(&document)), at(0));
    let expected = json!({"value": 0.93, "time": "2026-09-21T14:13:20.000Z", "quality": "good"});
    assert_eq!(serde_json::from_str::<Value>(&told.points[0].payload).unwrap(), expected);
    let told = memory.answered(second(1), "a", Seen::Failure("overloaded"), at(1));
    let score = json!({"value": 0.93, "time": "2026-09-21T14:13:21.000Z", "quality": "bad", "reason": "overloaded"});
    assert_eq!(serde_json::from_str::<Value>(&told.points[0].payload).unwrap(), score, "the last one, marked");
    assert_eq!(told.points.len(), 2);
}

#[test]
fn only_what_changed_is_told_again_and_the_time_goes_with_it() {
    let fields = [Field::Class, Field::Score, Field::Time];
    let mut memory = Memory::new(rules(&fields, Format::Plain), 8);
    let (cat, sure) = (json!({"label": "cat", "score": 0.9}), json!({"label": "cat", "score": 0.95}));
    assert_eq!(words(&memory.answered(second(0), "a", Seen::Answer(facts(&cat)), at(0))).len(), 3);
    assert!(memory.answered(second(1), "a", Seen::Answer(facts(&cat)), at(1)).points.is_empty());
    assert_eq!(words(&memory.answered(second(1), "b", Seen::Answer(facts(&cat)), at(1))).len(), 3, "of another source");
    let told = memory.answered(second(2), "a", Seen::Answer(facts(&sure)), at(2));
    assert_eq!(words(&told), ["score=0.95", "time=2026-09-21T14:13:22.000Z"]);
    let mut always = Memory::new(Rules { on_change: false, ..rules(&fields, Format::Plain) }, 8);
    for turn in 0..3 {
        assert_eq!(words(&always.answered(second(turn), "a", Seen::Answer(facts(&cat)), at(turn))).len(), 3);
    }
}

#[test]
fn a_failure_says_no_with_its_code_and_leaves_the_values_of_the_last_answer() {
    let mut memory = Memory::new(rules(&Field::ALL, Format::Plain), 8);
    let cat = json!({"label": "cat", "score": 0.9});
    memory.answered(second(0), "a", Seen::Answer(facts(&cat)), at(0));
    let told = memory.answered(second(1), "a", Seen::Failure("unavailable"), at(1));
    let expected = ["quality=bad", "reason=unavailable", "ok=false", "time=2026-09-21T14:13:21.000Z"];
    assert_eq!(words(&told), expected);
    let told = memory.answered(second(2), "a", Seen::Answer(facts(&cat)), at(2));
    assert_eq!(words(&told)[..3], ["quality=good", "reason=-", "ok=true"]);
}

#[test]
fn values_go_stale_once_after_the_last_good_answer() {
    let stale_after = Some(Duration::from_secs(10));
    let mut memory = Memory::new(Rules { stale_after, ..rules(&[Field::Quality, Field::Ok], Format::Plain) }, 8);
    let cat = json!({"label": "cat", "score": 0.9});
    memory.answered(second(0), "a", Seen::Answer(facts(&cat)), at(0));
    assert_eq!(memory.next_tick(), Some(second(10)));
    memory.answered(second(5), "a", Seen::Answer(facts(&cat)), at(5));
    assert_eq!(memory.next_tick(), Some(second(15)), "each good answer puts it off");
    memory.answered(second(12), "a", Seen::Failure("overloaded"), at(12));
    assert_eq!(memory.woke(second(14)), []);
    let told = memory.woke(second(15));
    assert_eq!(words(&told[0]), ["quality=stale"]);
    assert_eq!((memory.next_tick(), memory.woke(second(99))), (None, Vec::new()), "once");
    let told = memory.answered(second(100), "a", Seen::Failure("overloaded"), at(100));
    assert_eq!((words(&told), memory.next_tick()), (vec!["quality=bad".into()], None));
    assert_eq!(
        words(&memory.answered(second(101), "a", Seen::Answer(facts(&cat)), at(101))),
        ["quality=good", "ok=true"]
    );
    memory.answered(second(101), "new", Seen::Failure("unavailable"), at(101));
    assert_eq!(memory.woke(second(111)).len(), 2, "also one that never had an answer");
}

#[test]
fn the_verdict_is_yes_only_if_every_condition_is_known_to_hold() {
    let verdict = |classes: &[&str], min_score, min_count, max_count| Verdict {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        min_score,
        min_count,
        max_count,
    };
    let good = json!({"label": "good", "score": 0.8});
    let two = json!({"objects": [{"label": "hole", "score": 0.9}, {"label": "hole", "score": 0.8}]});
    for (verdict, document, expected) in [
        (verdict(&[], None, None, None), &good, true),
        (verdict(&["good", "fine"], Some(0.8), None, None), &good, true),
        (verdict(&["fine"], None, None, None), &good, false),
        (verdict(&[], Some(0.81), None, None), &good, false),
        (verdict(&[], None, Some(1), None), &good, false),
        (verdict(&[], None, Some(2), Some(2)), &two, true),
        (verdict(&[], None, None, Some(1)), &two, false),
        (verdict(&[], None, Some(3), None), &two, false),
        (verdict(&["good"], None, None, None), &json!({"text": "x"}), false),
    ] {
        assert_eq!(verdict.is_ok(&facts(document)), expected, "{verdict:?} {document}");
    }
}

#[test]
fn of_too_many_sources_the_one_heard_of_least_recently_is_forgotten() {
    let stale_after = Some(Duration::from_secs(10));
    let mut memory = Memory::new(Rules { stale_after, ..rules(&[Field::Class], Format::Plain) }, 2);
    let cat = json!({"label": "cat", "score": 0.9});
    for source in ["a", "b", "a", "c"] {
        memory.answered(second(0), source, Seen::Answer(facts(&cat)), at(0));
    }
    let forgotten: Vec<_> = memory.take_forgotten().iter().map(|told| told.source.to_string()).collect();
    assert_eq!(forgotten, ["b"], "nobody says it later");
    assert!(memory.answered(second(1), "a", Seen::Answer(facts(&cat)), at(1)).points.is_empty(), "known still");
    assert_eq!(memory.answered(second(1), "b", Seen::Answer(facts(&cat)), at(1)).points.len(), 1, "all new");
    assert_eq!(memory.sources(), 2);
    assert_eq!(memory.woke(second(20)).len(), 2, "nothing is left of what was forgotten");
}

proptest! {
    #[test]
    fn whatever_was_told_last_of_each_field_is_what_holds(
        events in prop::collection::vec((0..3_usize, 0..4_u8, 0..3_u64), 1..40),
        json in any::<bool>(),
    ) {
        let format = if json { Format::Json } else { Format::Plain };
        let stale_after = Some(Duration::from_secs(2));
        let rules = Rules { stale_after, ..rules(&Field::ALL, format) };
        let (mut memory, mut always) =
            (Memory::new(rules.clone(), 8), Memory::new(Rules { on_change: false, ..rules }, 8));
        let mut held = std::collections::HashMap::new();
        let mut all = std::collections::HashMap::new();
        let mut now = 0;
        for (source, what, pause) in events {
            now += pause;
            let source = ["a", "b", "c"][source];
            let document = json!({"label": if what % 2 == 0 { "x" } else { "y" }, "score": 0.5});
            let seen = if what == 3 { Seen::Failure("overloaded") } else { Seen::Answer(facts(&document)) };
            let mut told = memory.woke(second(now));
            told.push(memory.answered(second(now), source, seen.clone(), at(now)));
            let mut whole = always.woke(second(now));
            whole.push(always.answered(second(now), source, seen, at(now)));
            for (map, list) in [(&mut held, told), (&mut all, whole)] {
                for told in list {
                    for point in told.points {
                        map.insert((told.source.to_string(), point.field), value(&point.payload, format));
                    }
                }
            }
            let but_time = |map: &std::collections::HashMap<(String, Field), String>| {
                let mut list: Vec<_> = map.iter().filter(|((_, field), _)| *field != Field::Time).map(|(key, value)| (key.clone(), value.clone())).collect();
                list.sort();
                list
            };
            prop_assert_eq!(but_time(&held), but_time(&all));
        }
    }
}

/// Without the time, which does not change by itself.
fn value(payload: &str, format: Format) -> String {
    match format {
        Format::Plain => payload.to_owned(),
        Format::Json => {
            let mut value: Value = serde_json::from_str(payload).unwrap();
            value.as_object_mut().unwrap().remove("time");
            value.to_string()
        }
    }
}

#[test]
fn what_an_answer_does_not_tell_any_more_is_told_to_be_nothing() {
    let before = Facts { class: Some("cat".into()), score: Some(0.9), count: Some(2), text: None };
    let none = Facts::default().in_place_of(&before);
    assert_eq!(none, Facts { class: Some(String::new()), score: Some(0.0), count: Some(0), text: None });
    let other = Facts { class: Some("dog".into()), ..Facts::default() };
    assert_eq!(other.clone().in_place_of(&Facts::default()), other);
}

#[test]
fn a_source_of_an_earlier_life_goes_stale_unless_it_is_heard_of() {
    let stale_after = Some(Duration::from_secs(10));
    let fields = [Field::Class, Field::Score, Field::Quality, Field::Reason, Field::Ok, Field::Time];
    let cat = facts(&json!({"label": "cat", "score": 0.9}));
    let mut before = Memory::new(Rules { stale_after, ..rules(&fields, Format::Plain) }, 8);
    assert!(!before.take_changed());
    before.answered(second(0), "a", Seen::Failure("overloaded"), at(0));
    assert!(before.take_changed());
    before.answered(second(0), "a", Seen::Answer(cat.clone()), at(0));
    assert!(before.take_changed(), "it has a class now");
    before.answered(second(1), "a", Seen::Answer(cat.clone()), at(1));
    assert!(!before.take_changed(), "other values of the same fields");
    let known: Vec<_> = before.known().map(|(source, fields)| (source.to_string(), fields)).collect();
    assert_eq!(known.len(), 1);
    assert!([Field::Class, Field::Score, Field::Time].iter().all(|field| known[0].1.contains(field)), "{known:?}");

    let stale = |field: &str, value: Value| {
        let time = "2026-09-21T14:14:10.000Z";
        format!("{field}={}", json!({"value": value, "time": time, "quality": "stale", "reason": "stale"}))
    };
    for (format, expected) in [
        (Format::Plain, ["quality=stale", "reason=stale", "ok=false"].map(str::to_owned).to_vec()),
        (
            Format::Json,
            vec![
                stale("class", Value::Null),
                stale("score", Value::Null),
                stale("quality", json!("stale")),
                stale("reason", json!("stale")),
                stale("ok", json!(false)),
            ],
        ),
    ] {
        let mut memory = Memory::new(Rules { stale_after, ..rules(&fields, format) }, 8);
        for source in ["a", "b"] {
            memory.recall(second(50), source, known[0].1.clone(), at(50));
        }
        memory.answered(second(55), "b", Seen::Answer(cat.clone()), at(55));
        assert_eq!(memory.woke(second(59)), []);
        let told = memory.woke(second(60));
        assert_eq!((told.len(), &*told[0].source), (1, "a"), "b was heard of");
        assert_eq!(words(&told[0]), expected);
        assert!(!memory.take_changed(), "nothing new is to be remembered");
        assert_eq!(memory.known().count(), 2);
        let told = memory.answered(second(70), "a", Seen::Answer(cat.clone()), at(70));
        assert_eq!(told.points.len(), fields.len(), "all of it is new: {told:?}");
    }
}

#[test]
fn what_was_not_taken_is_said_again() {
    let fields = [Field::Class, Field::Ok];
    let mut memory = Memory::new(rules(&fields, Format::Plain), 8);
    let cat = facts(&json!({"label": "cat", "score": 0.9}));
    memory.answered(second(0), "a", Seen::Answer(cat.clone()), at(0));
    memory.unsay("a", Field::Class);
    memory.unsay("b", Field::Class);
    assert_eq!(words(&memory.answered(second(1), "a", Seen::Answer(cat.clone()), at(1))), ["class=cat"]);
    assert!(memory.answered(second(2), "a", Seen::Answer(cat), at(2)).points.is_empty());
}

#[test]
fn a_source_of_an_earlier_life_stays_known_where_nothing_goes_stale() {
    let mut memory = Memory::new(rules(&[Field::Class], Format::Plain), 1);
    for source in ["a", "b"] {
        memory.recall(second(0), source, vec![Field::Class], at(0));
    }
    assert_eq!(memory.woke(second(1_000_000)), []);
    let known: Vec<_> = memory.known().map(|(source, fields)| (source.to_string(), fields)).collect();
    assert_eq!(known, [("a".to_owned(), vec![Field::Class])], "there was room for one");
}
