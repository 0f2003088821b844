//! What hosts write: rebirths, and commands with and without permission.

use super::*;

const DCMD: &str = "spBv1.0/plant/DCMD/box/model-a";

fn refusals(line: &mut Line) -> Vec<String> {
    let refused = line.take_actions().into_iter().filter_map(|action| match action {
        Action::Refused(refusal) => Some(refusal.to_string()),
        _ => None,
    });
    refused.collect()
}

#[test]
fn a_rebirth_stops_data_and_brings_all_births_with_the_number_of_the_connection() {
    let mut line = Line::born();
    line.pass(Duration::from_secs(5));
    line.node.show(picture(&[("model-a", "1.0.0")], 3));
    line.ask_rebirth();
    let messages = line.take();
    assert_eq!(kinds(&messages), ["NBIRTH", "DBIRTH"]);
    assert_eq!((messages[0].bdseq(), seqs(&messages)), (0, vec![Some(0), Some(1)]));
    assert_eq!(messages[1].metric("Requests/Done").value, Some(Sent::Long(3)));
    line.show(picture(&[("model-a", "1.0.0")], 4));
    assert_eq!(seqs(&line.take()), [Some(2)]);
}

#[test]
fn a_rebirth_soon_after_a_birth_waits_for_the_pause_and_no_data_goes_out_meanwhile() {
    let mut line = Line::born();
    line.ask_rebirth();
    line.show(picture(&[("model-a", "1.0.0")], 3));
    line.pass(REBIRTH_PAUSE - Duration::from_millis(1));
    assert!(line.take().is_empty());
    assert!(line.node.poll_deadline().unwrap() <= line.now.mono.after(Duration::from_millis(1)));
    line.pass(Duration::from_millis(1));
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH"]);
}

#[test]
fn a_hundred_requests_for_a_rebirth_are_answered_by_two_births_within_the_pause() {
    let mut line = Line::born();
    line.pass(Duration::from_secs(5));
    (0..100).for_each(|_| line.ask_rebirth());
    line.pass(REBIRTH_PAUSE);
    line.pass(Duration::from_secs(60));
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH", "NBIRTH", "DBIRTH"]);
    assert_eq!(line.node.counts().rebirths_asked, 100);
}

#[test]
fn a_rebirth_that_is_asked_for_while_births_go_out_is_answered_by_births_after_them() {
    let mut line = Line::new(None, 1);
    line.node.hello(line.now);
    line.node.connected();
    line.packets.extend(line.node.poll_packet(line.now));
    line.node.subscribed(line.now, &[Ok(()), Ok(())]);
    line.packets.extend(line.node.poll_packet(line.now));
    line.ask_rebirth();
    line.pass(REBIRTH_PAUSE);
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH", "NBIRTH", "DBIRTH"]);
}

#[test]
fn aliases_stay_the_same_through_a_rebirth() {
    let mut line = Line::new(None, 1);
    line.connect();
    let numbers = |messages: Vec<Message>| -> Vec<(Option<String>, Option<u64>)> {
        messages.into_iter().flat_map(|m| m.payload.metrics).map(|metric| (metric.name, metric.alias)).collect()
    };
    let first = numbers(line.take());
    line.pass(Duration::from_secs(5));
    line.ask_rebirth();
    assert_eq!(numbers(line.take()), first);
}

#[test]
fn allowed_commands_reach_the_daemon_and_are_counted() {
    let mut line = Line::born();
    line.write(NCMD, "Node Control/Drain", Sent::Boolean(true));
    line.write(DCMD, "Device Control/Activate", Sent::String("2.0.0".into()));
    let wanted = [
        Action::Command(Command::Drain(true)),
        Action::Command(Command::Activate { model: "a".into(), version: "2.0.0".into() }),
    ];
    assert_eq!(line.take_actions(), wanted);
    let accepted = line.node.counts().commands_accepted;
    assert_eq!(accepted, 2);
}

#[test]
fn a_command_may_name_its_metric_by_the_number() {
    let mut line = Line::new(None, 1);
    line.connect();
    let alias = line.take()[0].metric("Node Control/Drain").alias;
    let metric = payload::Metric { alias, value: Some(Sent::Boolean(false)), ..Default::default() };
    line.write_metric(NCMD, metric.clone());
    assert_eq!(line.take_actions(), [Action::Command(Command::Drain(false))]);
    line.write_metric(DCMD, metric);
    assert!(refusals(&mut line)[0].contains("no metric with the alias"));
}

#[test]
fn the_outcome_of_a_command_is_told_as_a_metric() {
    let mut line = Line::born();
    line.write(NCMD, "Node Control/Drain", Sent::Boolean(true));
    line.node.outcome("drain: done");
    line.poll();
    let last = line.take().pop().unwrap();
    assert_eq!(last.kind(), "NDATA");
    let told: Vec<&Option<Sent>> = last.payload.metrics.iter().map(|metric| &metric.value).collect();
    assert!(told.contains(&&Some(Sent::String("drain: done".into()))), "{told:?}");
}

#[test]
fn what_is_not_allowed_is_refused_counted_and_told() {
    let mut line = Line::born();
    line.node.plan.permits = Permits::default();
    line.write(NCMD, "Node Control/Drain", Sent::Boolean(true));
    line.write(DCMD, "Device Control/Activate", Sent::String("2.0.0".into()));
    let refused = refusals(&mut line);
    assert!(
        refused[0].contains("drain is not allowed") && refused[1].contains("activate is not allowed"),
        "{refused:?}"
    );
    assert_eq!(line.node.counts().commands_refused, 2);
    let told = line.take().pop().unwrap();
    assert!(told.payload.metrics.iter().any(|metric| metric.value == Some(Sent::Long(2))), "{told:?}");
    assert!(line.node.last_command().contains("activate is not allowed"));
}

#[test]
fn what_no_birth_had_or_has_another_kind_is_refused() {
    let mut line = Line::born();
    line.write(NCMD, "Node Control/Reboot", Sent::Boolean(true));
    line.write(NCMD, "Node Control/Drain", Sent::String("true".into()));
    line.write(NCMD, "Node Control/Rebirth", Sent::Boolean(false));
    line.write("spBv1.0/plant/DCMD/box/model-z", "Device Control/Activate", Sent::String("1".into()));
    line.write_metric(NCMD, payload::Metric::default());
    line.node.received(line.now, NCMD, &[0x0A], false);
    line.poll();
    let refused = refusals(&mut line);
    let reasons =
        ["cannot be written", "takes true or false", "takes true", "no device", "without name", "read a Spark"];
    for (refusal, reason) in refused.iter().zip(reasons) {
        assert!(refusal.contains(reason), "{refusal}");
    }
    assert_eq!((refused.len(), line.node.counts().commands_refused), (6, 6));
    assert!(!kinds(&line.take()).contains(&"NBIRTH"));
}

#[test]
fn a_retained_command_is_of_any_time_and_refused() {
    let mut line = Line::born();
    line.pass(Duration::from_secs(5));
    let metric = payload::Metric { name: Some(REBIRTH.into()), value: Some(Sent::Boolean(true)), ..Default::default() };
    let payload = Payload { timestamp: None, metrics: vec![metric], seq: None };
    line.node.received(line.now, NCMD, &payload.write(), true);
    line.poll();
    assert!(refusals(&mut line)[0].contains("retained"));
    assert!(!kinds(&line.take()).contains(&"NBIRTH"));
}

#[test]
fn commands_for_others_and_before_the_birth_change_nothing() {
    let mut line = Line::new(Some("scada1"), 1);
    line.connect();
    line.ask_rebirth();
    assert!(refusals(&mut line)[0].contains("not born"));
    line.hear(true, 1);
    line.take();
    line.pass(Duration::from_secs(5));
    line.write("spBv1.0/plant/NCMD/other", REBIRTH, Sent::Boolean(true));
    line.write("spBv1.0/other/NCMD/box", REBIRTH, Sent::Boolean(true));
    assert!(line.take().is_empty() && line.take_actions().is_empty());
}

#[test]
fn the_word_on_the_last_command_is_short() {
    let mut line = Line::born();
    line.node.outcome(&"ä".repeat(500));
    assert_eq!(line.node.last_command().len(), MOST_OUTCOME);
}
