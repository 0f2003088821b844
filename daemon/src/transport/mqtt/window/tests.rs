//! What is sent, when, and what comes of it.

use bytes::Bytes;

use super::*;

pub(super) const NOW: Mono = Mono::from_nanos(5);

pub(super) fn granted(session_present: bool) -> Granted {
    Granted { session_present, receive_max: 3, max_packet: None, max_qos: Qos::ExactlyOnce, keep_alive_s: None }
}

pub(super) fn message(topic: &str, qos: Qos) -> Outbound {
    Outbound {
        topic: topic.into(),
        payload: Bytes::from_static(b"{}"),
        qos,
        retain: false,
        correlation: None,
        content_type: "application/json".into(),
        ..Outbound::default()
    }
}

/// Sends all that can be sent; gives topics of publications (with `!` when repeated) and releases.
pub(super) fn sent(window: &mut Window) -> Vec<String> {
    std::iter::from_fn(|| window.next(NOW))
        .map(|(packet, _)| match packet {
            Some(ToBroker::Publish { message, again, .. }) => message.topic + if again { "!" } else { "" },
            Some(ToBroker::PubRel(id)) => format!("release {id}"),
            other => format!("{other:?}"),
        })
        .collect()
}

pub(super) fn window(session_present: bool, replies: &[(&str, Qos)]) -> Window {
    let mut window = Window::default();
    window.connected(NOW, granted(session_present));
    for (index, (topic, qos)) in replies.iter().enumerate() {
        window.push_reply(JobId(i64::try_from(index).unwrap()), message(topic, *qos));
    }
    window
}

#[test]
fn no_more_is_sent_than_the_broker_allows_and_status_goes_first() {
    let one = Qos::AtLeastOnce;
    let mut window = window(false, &[("a", one), ("b", one), ("c", one), ("d", one)]);
    window.push_status(message("state", one));
    assert_eq!(sent(&mut window), ["state", "a", "b"]);
    assert!(!window.is_ready());
    assert_eq!(window.waiting(), 4);
    assert_eq!(window.puback(NOW, LAST_QOS2_ID + 1, Answer::Taken), Some((Tag::Status, Fate::Accepted)));
    assert!(window.is_ready());
    assert_eq!(sent(&mut window), ["c"]);
    assert_eq!(window.puback(NOW, LAST_QOS2_ID + 2, Answer::Never), Some((Tag::Reply(JobId(0)), Fate::Refused)));
    assert_eq!(window.puback(NOW, 9999, Answer::Taken), None);
    assert_eq!(sent(&mut window), ["d"]);
}

#[test]
fn a_kept_session_gets_the_same_packets_again_in_their_order() {
    let mut window = window(false, &[("a", Qos::ExactlyOnce), ("b", Qos::AtLeastOnce), ("c", Qos::ExactlyOnce)]);
    assert_eq!(sent(&mut window), ["a", "b", "c"]);
    assert_eq!(window.pubrec(NOW, 1, Answer::Taken), None);
    window.lost();
    assert!(window.next(NOW).is_none());
    window.push_reply(JobId(9), message("d", Qos::AtLeastOnce));
    window.connected(NOW, granted(true));
    assert_eq!(sent(&mut window), ["release 1", "b!", "c!"]);
    assert_eq!(window.pubcomp(NOW, 1), Some((Tag::Reply(JobId(0)), Fate::Accepted)));
    assert_eq!(sent(&mut window), ["d"]);
}

#[test]
fn a_forgotten_session_gets_everything_anew() {
    let mut window = window(false, &[("a", Qos::ExactlyOnce), ("b", Qos::AtLeastOnce), ("c", Qos::AtMostOnce)]);
    window.push_status(message("state", Qos::AtLeastOnce));
    assert_eq!(sent(&mut window), ["state", "a", "b", "c"]);
    assert_eq!(window.pubrec(NOW, 1, Answer::Taken), None);
    window.lost();
    window.connected(NOW, granted(false));
    assert_eq!(sent(&mut window), ["a", "b"]);
}

#[test]
fn ids_that_a_former_daemon_may_have_left_are_released_before_they_are_used() {
    let mut window = window(true, &[("a", Qos::ExactlyOnce)]);
    let releases = sent(&mut window);
    assert_eq!((releases.len(), releases[0].as_str()), (usize::from(LAST_QOS2_ID), "release 1"));
    assert!(!window.is_ready());
    assert_eq!(window.pubcomp(NOW, 7), None);
    let Some((Some(ToBroker::Publish { packet_id, .. }), None)) = window.next(NOW) else { panic!("not sent") };
    assert_eq!(packet_id, 7);
    window.lost();
    window.connected(NOW, granted(true));
    assert_eq!(sent(&mut window), ["a!"]);
}

#[test]
fn what_the_broker_cannot_take_is_told_and_what_it_can_take_less_of_is_lowered() {
    let mut window = Window::default();
    window.connected(NOW, Granted { max_packet: Some(60), max_qos: Qos::AtLeastOnce, ..granted(false) });
    window.push_reply(JobId(1), Outbound { payload: Bytes::from(vec![0; 100]), ..message("a", Qos::AtLeastOnce) });
    window.push_reply(JobId(2), message("b", Qos::ExactlyOnce));
    assert_eq!(window.next(NOW), Some((None, Some((Tag::Reply(JobId(1)), Fate::Refused)))));
    let Some((Some(ToBroker::Publish { message, packet_id, .. }), None)) = window.next(NOW) else { panic!("not sent") };
    assert_eq!(message.qos, Qos::AtLeastOnce);
    assert!(packet_id > LAST_QOS2_ID);
}

#[test]
fn a_later_state_replaces_one_that_still_waits() {
    let mut window = Window::default();
    window.push_status(message("state", Qos::AtLeastOnce));
    window.push_status(message("models/m", Qos::AtLeastOnce));
    window.push_status(Outbound { payload: Bytes::from_static(b"new"), ..message("state", Qos::AtLeastOnce) });
    window.connected(NOW, granted(false));
    let Some((Some(ToBroker::Publish { message, .. }), _)) = window.next(NOW) else { panic!("not sent") };
    assert_eq!((message.topic.as_str(), &message.payload[..]), ("state", &b"new"[..]));
    assert_eq!(sent(&mut window), ["models/m"]);
}

#[test]
fn packet_ids_go_round_without_touching_one_that_is_in_use() {
    let mut window = window(false, &[("a", Qos::AtLeastOnce)]);
    assert_eq!(sent(&mut window), ["a"]);
    for n in 0..70_000_i64 {
        window.push_reply(JobId(n), message("b", Qos::AtLeastOnce));
        let Some((Some(ToBroker::Publish { packet_id, .. }), None)) = window.next(NOW) else { panic!("not sent") };
        assert!(packet_id > LAST_QOS2_ID + 1);
        window.puback(NOW, packet_id, Answer::Taken);
    }
}

#[test]
fn a_broker_that_owes_an_acknowledgement_is_noticed() {
    let mut window = window(false, &[]);
    assert_eq!(window.stalled_since(), None);
    window.push_reply(JobId(1), message("a", Qos::AtLeastOnce));
    let sent_at = Mono::from_nanos(50);
    window.next(sent_at);
    assert_eq!(window.stalled_since(), Some(sent_at));
    window.lost();
    assert_eq!(window.stalled_since(), None);
}

#[test]
fn a_request_to_another_box_goes_before_replies_and_is_given_up_with_the_connection() {
    let one = Qos::AtLeastOnce;
    let mut window = window(false, &[("a", one)]);
    window.push_order(7, message("first", one));
    window.push_order(8, message("second", one));
    window.push_order(9, message("third", one));
    assert!(window.withdraw(9) && !window.withdraw(9));
    assert_eq!(sent(&mut window), ["first", "second", "a"]);
    assert_eq!(window.waiting(), 1, "only replies count");
    assert!(!window.withdraw(7), "it is out");
    assert_eq!(window.puback(NOW, 33, Answer::Taken), Some((Tag::Order(7), Fate::Accepted)));
    assert_eq!(window.puback(NOW, 34, Answer::NotNow), Some((Tag::Order(8), Fate::Refused)));
    assert_eq!(window.held_until(), None, "what a box is asked says nothing of replies");
    window.push_order(10, message("late", one));
    window.lost();
    window.connected(NOW, granted(true));
    assert_eq!(window.waiting(), 1);
    assert!(sent(&mut window).iter().all(|topic| topic != "late"));
}
