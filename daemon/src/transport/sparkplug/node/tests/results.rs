//! Results of bindings: told one by one, kept while nobody hears them, and told as history afterwards.

use super::*;
use crate::transport::sparkplug::store::{Bounds, Store};

/// Answers what the node asks of its store, and the broker's part of its questions.
fn serve(line: &mut Line, store: &mut Store) {
    loop {
        let actions = line.take_actions();
        if actions.is_empty() {
            return line.node.stored(store.len());
        }
        for action in actions {
            match action {
                Action::Keep(chunk) => _ = store.append(chunk),
                Action::Fetch(most) => line.node.fetched(store.oldest(most)),
                Action::Remove(through) => store.remove(through),
                Action::Command(_) | Action::Refused(_) | Action::Doubt(_) => panic!("{action:?}"),
            }
        }
        line.node.stored(store.len());
        line.poll();
    }
}

fn store() -> Store {
    Store::new(Bounds { chunks: 1000, bytes: 1 << 20 })
}

fn classes(messages: &[Message]) -> Vec<String> {
    let texts = messages.iter().flat_map(|message| &message.payload.metrics).filter_map(|metric| match &metric.value {
        Some(Sent::String(text)) if text.starts_with('c') => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn is_history(message: &Message) -> bool {
    message.payload.metrics.iter().all(|metric| metric.is_historical == Some(true))
}

#[test]
fn each_result_is_told_in_a_message_of_its_own_with_its_time_and_quality() {
    let mut line = Line::born();
    for class in ["c1", "c2", "c2"] {
        line.pass(Duration::from_millis(100));
        line.answer("cam", class);
    }
    let messages = line.take();
    assert_eq!(kinds(&messages), ["DBIRTH", "DDATA", "DDATA", "DDATA"]);
    assert_eq!(messages[0].topic, "spBv1.0/plant/DBIRTH/box/binding-cam");
    assert_eq!(classes(&messages), ["c1", "c2"]);
    for (message, time) in messages[1..].iter().zip([100, 200, 300]) {
        for metric in &message.payload.metrics {
            assert_eq!((metric.timestamp, metric.is_historical), (Some(EPOCH_MS + time), None));
            let properties = metric.properties.as_ref().unwrap();
            assert_eq!((properties.keys.len(), properties.values.len()), (1, 1));
        }
    }
}

#[test]
fn results_that_nobody_hears_are_kept_and_told_as_history_after_the_births_in_their_order() {
    let (mut line, mut store) = (Line::new(Some("scada1"), 1), store());
    for n in 0..5 {
        line.pass(Duration::from_millis(100));
        line.answer("cam", &format!("c{n}"));
    }
    serve(&mut line, &mut store);
    assert_eq!(store.len(), 5);
    line.connect();
    line.hear(true, 1);
    serve(&mut line, &mut store);
    let messages = line.take();
    assert_eq!(kinds(&messages)[..3], ["NBIRTH", "DBIRTH", "DBIRTH"]);
    let history = &messages[3..];
    assert!(history.len() == 5 && history.iter().all(is_history), "{history:?}");
    assert_eq!(classes(history), ["c0", "c1", "c2", "c3", "c4"]);
    assert_eq!(history[0].payload.metrics[0].timestamp, Some(EPOCH_MS + 100));
    assert_eq!(seqs(&messages), (0..8).map(Some).collect::<Vec<_>>());
    // They leave the store once the broker has read them.
    assert_eq!(store.len(), 5);
    line.node.fenced(line.now);
    line.poll();
    serve(&mut line, &mut store);
    assert!(store.is_empty());
    assert_eq!(line.node.counts().history_told, 5);
}

#[test]
fn history_is_told_in_portions_so_that_it_does_not_hold_up_what_is_new() {
    let (mut line, mut store) = (Line::new(None, 1), store());
    for n in 0..35 {
        line.answer("cam", &format!("c{n}"));
    }
    serve(&mut line, &mut store);
    line.connect();
    let mut told = Vec::new();
    for _ in 0..4 {
        serve(&mut line, &mut store);
        line.node.fenced(line.now);
        line.poll();
        serve(&mut line, &mut store);
        told.push(line.take().iter().filter(|message| is_history(message) && message.kind() == "DDATA").count());
        line.answer("cam", "c-new");
        line.pass(HISTORY_PAUSE);
    }
    // Forty a second, in four portions.
    assert_eq!(told, [10, 10, 10, 5]);
}

#[test]
fn no_portion_is_asked_for_before_the_one_before_is_known_to_have_come() {
    let (mut line, mut store) = (Line::new(None, 1), store());
    for n in 0..35 {
        line.answer("cam", &format!("c{n}"));
    }
    serve(&mut line, &mut store);
    line.connect();
    serve(&mut line, &mut store);
    line.take();
    line.pass(HISTORY_PAUSE * 10);
    assert_eq!(line.take_actions(), []);
    line.node.fenced(line.now);
    line.poll();
    let actions = line.take_actions();
    assert!(matches!(actions.as_slice(), [Action::Remove(_), Action::Fetch(10)]), "{actions:?}");
}

#[test]
fn results_that_are_not_known_to_have_come_are_told_again_as_history() {
    let (mut line, mut store) = (Line::born(), store());
    line.answer("cam", "c1");
    line.pass(FENCE_PAUSE);
    assert_eq!(line.packets.last(), Some(&Packet::Fence));
    line.answer("cam", "c2");
    line.node.fenced(line.now);
    line.take();
    line.node.lost();
    line.poll();
    serve(&mut line, &mut store);
    line.answer("cam", "c3");
    serve(&mut line, &mut store);
    line.connect();
    serve(&mut line, &mut store);
    let messages = line.take();
    let history: Vec<Message> = messages.into_iter().filter(|m| m.kind() == "DDATA").collect();
    assert!(history.iter().all(is_history));
    assert_eq!(classes(&history), ["c2", "c3"]);
}

#[test]
fn results_of_a_host_that_left_are_kept_until_it_is_back() {
    let (mut line, mut store) = (Line::new(Some("scada1"), 1), store());
    line.connect();
    line.hear(true, 1);
    line.answer("cam", "c1");
    line.hear(false, 2);
    line.answer("cam", "c2");
    line.node.lost();
    line.poll();
    serve(&mut line, &mut store);
    line.take();
    line.connect();
    line.answer("cam", "c3");
    serve(&mut line, &mut store);
    assert!(line.take().is_empty());
    line.hear(true, 3);
    serve(&mut line, &mut store);
    let data: Vec<Message> = line.take().into_iter().filter(|m| m.kind() == "DDATA").collect();
    assert!(data.iter().all(is_history));
    assert_eq!(classes(&data), ["c1", "c2", "c3"]);
}

#[test]
fn an_answer_to_the_question_proves_only_what_went_before_it() {
    let mut line = Line::born();
    line.answer("cam", "c1");
    line.pass(FENCE_PAUSE);
    line.answer("cam", "c2");
    line.node.fenced(line.now);
    line.node.lost();
    line.poll();
    assert_eq!(line.take_kept().len(), 1);
}

#[test]
fn no_question_is_put_while_nothing_is_unproven() {
    let mut line = Line::born();
    line.answer("cam", "c1");
    line.pass(FENCE_PAUSE);
    line.node.fenced(line.now);
    line.packets.clear();
    line.pass(Duration::from_secs(60));
    assert!(line.packets.is_empty());
    assert_eq!(line.node.poll_deadline(), None);
}

#[test]
fn results_wait_when_too_many_are_unproven_and_the_oldest_beyond_are_kept() {
    let mut line = Line::born();
    for n in 0..MOST_UNPROVEN + MOST_UPDATES + 10 {
        line.answer("cam", &format!("c{n}"));
    }
    let told = line.take().iter().filter(|message| message.kind() == "DDATA").count();
    assert_eq!(told, MOST_UNPROVEN);
    assert_eq!(line.take_kept().len(), 10);
    line.node.fenced(line.now);
    line.poll();
    assert!(line.take().len() > 500);
}

#[test]
fn a_result_with_a_new_field_is_told_by_a_birth_of_its_device() {
    let mut line = Line::born();
    line.answer("cam", "c1");
    line.take();
    let result = BindingResult {
        binding: "cam".into(),
        fields: vec![("width".into(), Field::Number(4.5))],
        quality: Quality::Good,
        reason: String::new(),
        at_ms: line.now.wall_ms + 5,
        results: 2,
        errors: 0,
    };
    let update = line.bindings.take(&result).unwrap();
    line.node.result(update);
    line.poll();
    let messages = line.take();
    assert_eq!(kinds(&messages), ["DBIRTH"]);
    assert_eq!(messages[0].metric("Result/width").value, Some(Sent::Double(4.5)));
}

#[test]
fn history_of_a_device_or_metric_that_is_gone_is_counted_and_left_out() {
    let (mut line, mut store) = (Line::new(None, 1), store());
    line.answer("cam", "c1");
    serve(&mut line, &mut store);
    line.node.withdraw("binding-cam");
    store.append(vec![0xFF; 3]);
    line.node.stored(store.len());
    line.connect();
    let doubts = |line: &mut Line, store: &mut Store| {
        for action in line.take_actions() {
            match action {
                Action::Fetch(most) => line.node.fetched(store.oldest(most)),
                Action::Remove(through) => store.remove(through),
                _ => {}
            }
        }
        line.poll();
    };
    doubts(&mut line, &mut store);
    line.node.fenced(line.now);
    line.poll();
    doubts(&mut line, &mut store);
    assert_eq!((line.node.counts().history_lost, line.node.counts().history_told), (2, 0));
    assert!(store.is_empty());
}

#[test]
fn a_binding_that_is_not_configured_any_more_dies() {
    let mut line = Line::born();
    line.answer("cam", "c1");
    line.take();
    line.node.withdraw("binding-cam");
    line.poll();
    assert_eq!(kinds(&line.take()), ["DDEATH"]);
}
