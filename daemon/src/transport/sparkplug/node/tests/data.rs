//! What is told after the births: changes, and devices that come, go or become others.

use super::*;

#[test]
fn what_changed_is_told_by_the_number_alone_with_a_time_and_nothing_else_is_told() {
    let mut line = Line::new(None, 1);
    line.connect();
    let births = line.take();
    let (state, done) = (births[0].metric("Health/State").alias, births[1].metric("Requests/Done").alias);
    line.pass(Duration::from_secs(2));
    let mut changed = picture(&[("model-a", "1.0.0")], 5);
    changed.node[1] = Metric::text("Health/State", "degraded");
    line.show(changed);
    let messages = line.take();
    assert_eq!(kinds(&messages), ["NDATA", "DDATA"]);
    assert_eq!(messages[0].topic, "spBv1.0/plant/NDATA/box");
    assert_eq!(messages[1].topic, "spBv1.0/plant/DDATA/box/model-a");
    for (message, alias) in messages.iter().zip([state, done]) {
        assert_eq!(message.payload.timestamp, Some(EPOCH_MS + 2_000));
        let [metric] = message.payload.metrics.as_slice() else { panic!("{message:?}") };
        assert_eq!((metric.alias, &metric.name, metric.datatype), (alias, &None, None));
        assert_eq!(metric.timestamp, Some(EPOCH_MS + 2_000));
    }
}

#[test]
fn nothing_is_told_while_nothing_changes() {
    let mut line = Line::born();
    for _ in 0..100 {
        line.pass(Duration::from_secs(10));
        line.show(picture(&[("model-a", "1.0.0")], 0));
    }
    assert!(line.packets.is_empty());
}

#[test]
fn what_changed_back_before_it_was_told_is_no_news() {
    let mut line = Line::born();
    line.node.show(picture(&[("model-a", "1.0.0")], 1));
    line.node.show(picture(&[("model-a", "1.0.0")], 0));
    line.poll();
    assert!(line.packets.is_empty());
}

#[test]
fn a_value_that_is_not_known_any_more_is_told_as_null() {
    let mut line = Line::born();
    let mut known = picture(&[("model-a", "1.0.0")], 0);
    known.node[2] = Metric::number("Thermal/Headroom_C", Some(20.0), 0.5);
    line.show(known);
    line.show(picture(&[("model-a", "1.0.0")], 0));
    let messages = line.take();
    assert_eq!(messages[0].payload.metrics[0].value, Some(Sent::Double(20.0)));
    let last = &messages[1].payload.metrics[0];
    assert_eq!((&last.value, last.is_null), (&None, Some(true)));
}

#[test]
fn a_model_that_comes_is_born_and_one_that_goes_dies_each_with_the_next_number_and_a_time() {
    let mut line = Line::born();
    line.show(picture(&[("model-a", "1.0.0"), ("model-b", "1.0.0")], 0));
    line.show(picture(&[("model-b", "1.0.0")], 0));
    let messages = line.take();
    let topics: Vec<&str> = messages.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["spBv1.0/plant/DBIRTH/box/model-b", "spBv1.0/plant/DDEATH/box/model-a"]);
    assert_eq!(seqs(&messages), [Some(2), Some(3)]);
    assert_eq!(messages[1].payload.timestamp, Some(EPOCH_MS));
    assert!(messages[1].payload.metrics.is_empty());
}

#[test]
fn a_device_that_comes_back_has_numbers_that_stood_for_nothing_before() {
    let mut line = Line::new(None, 1);
    line.connect();
    let first: Vec<Option<u64>> = line.take()[1].payload.metrics.iter().map(|metric| metric.alias).collect();
    line.show(picture(&[], 0));
    line.show(picture(&[("model-a", "1.0.0")], 0));
    let again = line.take().pop().unwrap();
    assert_eq!(again.kind(), "DBIRTH");
    assert!(again.payload.metrics.iter().all(|metric| !first.contains(&metric.alias)));
}

#[test]
fn a_device_with_other_metrics_is_born_again_before_data_of_them() {
    let mut line = Line::born();
    let mut more = picture(&[("model-a", "1.0.0")], 3);
    more.devices.get_mut("model-a").unwrap().metrics.push(Metric::flag("New", true));
    line.show(more);
    let messages = line.take();
    assert_eq!(kinds(&messages), ["DBIRTH"]);
    messages[0].metric("New");
}

#[test]
fn a_node_with_other_metrics_is_born_again_as_a_whole_within_the_pause() {
    let mut line = Line::born();
    let mut more = picture(&[("model-a", "1.0.0")], 3);
    more.node.push(Metric::flag("New", true));
    line.show(more);
    assert!(line.take().is_empty());
    line.pass(REBIRTH_PAUSE);
    let messages = line.take();
    assert_eq!(kinds(&messages), ["NBIRTH", "DBIRTH"]);
    assert_eq!((messages[0].bdseq(), messages[0].payload.seq), (0, Some(0)));
}

#[test]
fn data_keeps_the_order_of_time() {
    let mut line = Line::born();
    line.answer("cam", "one");
    line.pass(Duration::from_millis(10));
    line.answer("cam", "two");
    line.pass(Duration::from_millis(10));
    line.show(picture(&[("model-a", "1.0.0")], 3));
    let data: Vec<Message> = line.take().into_iter().filter(|message| message.kind() == "DDATA").collect();
    let times: Vec<u64> =
        data.iter().flat_map(|message| &message.payload.metrics).filter_map(|metric| metric.timestamp).collect();
    assert!(times.len() > 3 && times.is_sorted(), "{times:?}");
}
