//! Connecting, births, deaths, and the numbers that they carry.

use super::*;

#[test]
fn the_will_is_the_death_of_the_node_with_its_number_alone() {
    let mut line = Line::new(None, 1);
    let death = will(&line.node.hello(line.now));
    assert_eq!(death.topic, "spBv1.0/plant/NDEATH/box");
    assert_eq!(death.payload.seq, None);
    assert_eq!(death.payload.timestamp, Some(EPOCH_MS));
    assert_eq!(death.payload.metrics.len(), 1);
    let number = death.metric("bdSeq");
    assert_eq!((number.datatype, number.alias, &number.value), (Some(4), None, &Some(Sent::Long(0))));
}

#[test]
fn the_number_of_a_connection_begins_at_0_goes_up_with_each_one_and_comes_round_after_255() {
    let mut line = Line::new(None, 1);
    let numbers: Vec<u64> = (0..258)
        .map(|_| {
            let number = will(&line.connect()).bdseq();
            assert_eq!(line.take()[0].bdseq(), number);
            line.node.lost();
            number
        })
        .collect();
    let expected: Vec<u64> = (0..=255).chain([0, 1]).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn the_number_goes_on_after_a_restart_and_after_connections_that_did_not_come_about() {
    let mut line = Line::with(None, 1, Some(41));
    line.node.hello(line.now);
    line.node.lost();
    assert_eq!(will(&line.connect()).bdseq(), 43);
}

#[test]
fn nothing_is_published_before_the_subscriptions_are_answered_and_then_the_birth_comes_first() {
    let mut line = Line::new(None, 1);
    line.node.hello(line.now);
    line.poll();
    assert!(line.packets.is_empty());
    line.node.connected();
    line.poll();
    assert_eq!(line.filters(), ["spBv1.0/plant/NCMD/box", "spBv1.0/plant/DCMD/box/+"]);
    assert!(line.take().is_empty());
    line.node.subscribed(line.now, &[Ok(()), Ok(())]);
    line.poll();
    assert_eq!(line.take()[0].topic, "spBv1.0/plant/NBIRTH/box");
}

#[test]
fn births_are_that_of_the_node_and_at_once_those_of_all_devices_before_any_data() {
    let mut line = Line::new(None, 1);
    line.node.show(picture(&[("model-a", "1"), ("model-b", "1")], 0));
    line.connect();
    let messages = line.take();
    let topics: Vec<&str> = messages.iter().map(|message| message.topic.as_str()).collect();
    let expected = ["spBv1.0/plant/NBIRTH/box", "spBv1.0/plant/DBIRTH/box/model-a", "spBv1.0/plant/DBIRTH/box/model-b"];
    assert_eq!(topics, expected);
    assert_eq!(seqs(&messages), [Some(0), Some(1), Some(2)]);
}

#[test]
fn what_changes_while_births_are_under_way_is_told_after_the_last_of_them() {
    let mut line = Line::new(None, 1);
    line.node.hello(line.now);
    line.node.connected();
    line.packets.extend(line.node.poll_packet(line.now));
    line.node.subscribed(line.now, &[Ok(()), Ok(())]);
    line.packets.extend(line.node.poll_packet(line.now));
    let mut changed = picture(&[("model-a", "1.0.0")], 5);
    changed.node[1] = Metric::text("Health/State", "draining");
    line.show(changed);
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH", "NDATA"]);
}

#[test]
fn every_birth_has_a_time_and_every_metric_in_it_a_name_a_datatype_a_time_and_a_value_or_none_said() {
    let mut line = Line::new(None, 1);
    line.connect();
    for birth in line.take() {
        assert_eq!(birth.payload.timestamp, Some(EPOCH_MS));
        for metric in &birth.payload.metrics {
            assert!(metric.name.is_some() && metric.datatype.is_some() && metric.timestamp == Some(EPOCH_MS));
            assert_eq!(metric.value.is_none(), metric.is_null == Some(true), "{metric:?}");
        }
    }
}

#[test]
fn a_birth_has_all_metrics_that_can_come_later() {
    let mut line = Line::new(None, 1);
    line.connect();
    let births = line.take();
    for name in ["bdSeq", "Node Control/Rebirth", "Node Control/Drain", "Health/State", "Commands/Last"] {
        births[0].metric(name);
    }
    for name in ["Version", "Requests/Done"] {
        births[1].metric(name);
    }
    let numbers: Vec<u64> =
        births.iter().flat_map(|birth| &birth.payload.metrics).filter_map(|metric| metric.alias).collect();
    let mut changed = picture(&[("model-a", "2.0.0")], 9);
    changed.node = changed.node.into_iter().map(|metric| Metric { value: None, ..metric }).collect();
    line.show(changed);
    let told = line.take();
    assert_eq!(kinds(&told), ["NDATA", "DDATA"]);
    for metric in told.iter().flat_map(|message| &message.payload.metrics) {
        assert!(numbers.contains(&metric.alias.unwrap()));
    }
}

#[test]
fn every_metric_has_a_number_of_its_own_in_the_whole_node_but_the_rebirth_which_has_none() {
    let mut line = Line::new(None, 1);
    line.node.show(picture(&[("model-a", "1"), ("model-b", "1")], 0));
    line.connect();
    let births = line.take();
    let metrics: Vec<&payload::Metric> = births.iter().flat_map(|birth| &birth.payload.metrics).collect();
    let without: Vec<&str> =
        metrics.iter().filter(|metric| metric.alias.is_none()).filter_map(|metric| metric.name.as_deref()).collect();
    assert_eq!(without, ["Node Control/Rebirth"]);
    let numbers: std::collections::BTreeSet<u64> = metrics.iter().filter_map(|metric| metric.alias).collect();
    assert_eq!(numbers.len(), metrics.len() - 1);
}

#[test]
fn the_birth_has_a_rebirth_that_is_a_truth_value_and_false() {
    let mut line = Line::new(None, 1);
    line.connect();
    let birth = &line.take()[0];
    let rebirth = birth.metric("Node Control/Rebirth");
    assert_eq!((rebirth.datatype, rebirth.alias, &rebirth.value), (Some(11), None, &Some(Sent::Boolean(false))));
}

#[test]
fn the_birth_carries_the_number_of_the_will_as_a_signed_number() {
    let mut line = Line::with(None, 1, Some(6));
    let number = will(&line.connect()).bdseq();
    let birth = &line.take()[0];
    assert_eq!((birth.bdseq(), number), (7, 7));
    assert_eq!(birth.metric("bdSeq").datatype, Some(4));
}

#[test]
fn messages_are_numbered_in_the_order_in_which_they_go_out_and_come_round_after_255() {
    let mut line = Line::new(None, 1);
    line.connect();
    let mut messages = line.take();
    for done in 1..600 {
        line.show(picture(&[("model-a", "1.0.0")], done));
        messages.extend(line.take());
    }
    let numbers: Vec<u64> = messages.iter().filter_map(|message| message.payload.seq).collect();
    assert_eq!(numbers.len(), messages.len());
    assert_eq!(numbers[0], 0);
    assert!(numbers.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 256), "{numbers:?}");
}

#[test]
fn a_number_is_given_when_a_message_is_handed_over_and_not_when_there_is_news() {
    let mut line = Line::born();
    // No room: nothing is handed over while three things change.
    for done in 1..=3 {
        line.node.show(picture(&[("model-a", "1.0.0")], done));
    }
    line.poll();
    let messages = line.take();
    assert_eq!(seqs(&messages), [Some(2)]);
    assert_eq!(messages[0].payload.metrics[0].value, Some(Sent::Long(3)));
}

#[test]
fn we_leave_with_our_death_and_then_the_disconnect() {
    let mut line = Line::born();
    line.node.stop(line.now);
    line.poll();
    let [Packet::Death(death), Packet::Disconnect] = line.packets.as_slice() else { panic!("{:?}", line.packets) };
    let death = will(death);
    assert_eq!((death.topic.as_str(), death.bdseq(), death.payload.seq), ("spBv1.0/plant/NDEATH/box", 0, None));
    line.packets.clear();
    line.show(picture(&[], 9));
    assert!(line.packets.is_empty());
}

#[test]
fn we_leave_in_the_same_way_before_the_birth() {
    let mut line = Line::new(Some("scada1"), 1);
    line.connect();
    line.packets.clear();
    line.node.stop(line.now);
    line.poll();
    assert!(matches!(line.packets.as_slice(), [Packet::Death(_), Packet::Disconnect]));
}

#[test]
fn every_connection_begins_with_births_of_everything() {
    let mut line = Line::born();
    line.node.lost();
    line.show(picture(&[("model-a", "2.0.0")], 1));
    assert!(line.take().is_empty());
    line.connect();
    let messages = line.take();
    assert_eq!(kinds(&messages), ["NBIRTH", "DBIRTH"]);
    assert_eq!(messages[1].metric("Version").value, Some(Sent::String("2.0.0".into())));
}

#[test]
fn subscriptions_that_the_broker_refuses_are_told() {
    let mut line = Line::new(None, 1);
    line.node.hello(line.now);
    line.node.connected();
    line.poll();
    line.node.subscribed(line.now, &[Ok(()), Err("not authorized".into())]);
    line.poll();
    assert_eq!(line.node.refused_filters(), ["spBv1.0/plant/DCMD/box/+: not authorized"]);
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH"]);
}

#[test]
fn payloads_are_protocol_buffers_of_the_specification() {
    let mut line = Line::new(None, 1);
    line.node.hello(line.now);
    line.connect();
    let Some(Packet::Publish { payload, .. }) =
        line.packets.iter().find(|packet| matches!(packet, Packet::Publish { .. }))
    else {
        panic!("no birth")
    };
    // Field 1, the time, as a number; field 2, the first metric, whose field 1 is its name.
    assert_eq!(payload[0], 0x08);
    let name = b"Node Control/Rebirth";
    let place = payload.windows(name.len()).position(|window| window == name).unwrap();
    assert_eq!(payload[place - 2..place], [0x0A, 20]);
}
