mod journal;
mod random;
mod redelivery;

use bytes::Bytes;

use super::*;

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Mono {
    Mono::from_nanos(ms * MS)
}

fn limits() -> Limits {
    Limits {
        journal_after: Duration::from_millis(50),
        journal_rows: 10,
        journal_bytes: 10_000,
        replies_waiting: 8,
        inflight: 20,
        inflight_bytes: 1 << 20,
        outbox: outbox::tests::BOUNDS,
        stalled_after: Duration::from_secs(30),
    }
}

fn granted(session_present: bool) -> Granted {
    Granted { session_present, receive_max: 20, max_packet: None, max_qos: Qos::ExactlyOnce, keep_alive_s: None }
}

fn key(id: &str) -> Key {
    Key { reply_topic: "r".into(), request_id: id.into(), model: "m".into() }
}

fn request(packet_id: u16, qos: Qos, id: Option<&str>) -> Arrival {
    Arrival {
        packet_id,
        qos,
        redelivered: false,
        bytes: 100,
        key: id.map(key),
        deferrable: false,
        maybe_answered: false,
        refused: false,
    }
}

fn again(arrival: Arrival) -> Arrival {
    Arrival { redelivered: true, ..arrival }
}

fn reply(qos: Qos) -> Outbound {
    Outbound {
        topic: "r".into(),
        payload: Bytes::from_static(b"{}"),
        qos,
        retain: false,
        correlation: None,
        content_type: "application/json".into(),
        ..Outbound::default()
    }
}

fn session() -> Session {
    let mut session = Session::new(limits(), 1, false);
    session.connected(at(0), granted(false));
    session
}

fn new(taken: Taken) -> JobId {
    let Taken::New(job) = taken else { panic!("{taken:?}") };
    job
}

fn actions(session: &mut Session) -> Vec<Action> {
    std::iter::from_fn(|| session.poll_action()).collect()
}

/// Packets in short: `ack 1`, `rec 1`, `comp 1`, `rel 1`, `reply 33`.
fn packets(session: &mut Session) -> Vec<String> {
    std::iter::from_fn(|| session.poll_packet(at(0)))
        .map(|packet| match packet {
            ToBroker::PubAck(id) => format!("ack {id}"),
            ToBroker::PubRec(id) => format!("rec {id}"),
            ToBroker::PubComp(id) => format!("comp {id}"),
            ToBroker::PubRel(id) => format!("rel {id}"),
            ToBroker::Publish { packet_id, again, .. } => format!("reply {packet_id}{}", if again { "!" } else { "" }),
            other => format!("{other:?}"),
        })
        .collect()
}

fn notes(session: &mut Session) -> Vec<Noted> {
    let note = |action| if let Action::Note { step, .. } = action { Some(step) } else { None };
    actions(session).into_iter().filter_map(note).collect()
}

#[test]
fn open_requests_are_bounded_in_bytes_and_one_large_one_is_taken_alone() {
    let limits = Limits { inflight_bytes: 250, ..limits() };
    let mut session = Session::new(limits, 1, false);
    session.connected(at(0), granted(false));
    let large = |packet_id| Arrival { bytes: 300, ..request(packet_id, Qos::AtLeastOnce, None) };
    let alone = new(session.arrived(at(0), large(1)));
    assert_eq!(session.arrived(at(0), request(2, Qos::AtMostOnce, None)), Taken::Left(Why::Heavy));
    assert_eq!(session.no_room(Qos::AtLeastOnce, 1), Some(Why::Heavy));
    new(session.arrived(at(0), Arrival { refused: true, ..large(3) }));
    session.replied(at(1), alone, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(1), 33, Answer::Taken);
    for packet_id in [4, 5] {
        new(session.arrived(at(2), request(packet_id, Qos::AtLeastOnce, None)));
    }
    assert_eq!(session.arrived(at(2), request(6, Qos::AtLeastOnce, None)), Taken::Left(Why::Heavy));
}

#[test]
fn a_subscription_that_is_never_answered_makes_the_connection_anew() {
    let mut session = session();
    session.subscribe(at(5), vec![("a/+".into(), Qos::AtLeastOnce)], false);
    assert_eq!(session.next_tick(), Some(at(30_005)));
    session.tick(at(30_004));
    assert_eq!(actions(&mut session), []);
    session.tick(at(30_005));
    assert_eq!(actions(&mut session), [Action::Reconnect]);
    session.lost();
    session.connected(at(31_000), granted(true));
    session.subscribe(at(31_000), vec![("a/+".into(), Qos::AtLeastOnce)], false);
    session.subscribed();
    assert_eq!(session.next_tick(), None);
}

#[test]
fn a_request_is_acknowledged_when_its_reply_was_accepted() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(7, Qos::AtLeastOnce, None)));
    assert_eq!(actions(&mut session), [Action::Run { job, deaths: 0 }]);
    session.replied(at(1), job, reply(Qos::AtLeastOnce), true);
    assert_eq!(packets(&mut session), ["reply 33"]);
    session.puback(at(2), 33, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 7"]);
    assert_eq!(actions(&mut session), [Action::Note { job, step: Noted::Replied }, Action::Forget(job)]);
    assert!(session.is_drained());
}

#[test]
fn a_named_reply_is_stored_before_it_is_published() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(7, Qos::AtLeastOnce, Some("a"))));
    session.replied(at(1), job, reply(Qos::AtLeastOnce), true);
    assert_eq!(actions(&mut session)[1], Action::Keep { job, key: key("a") });
    assert_eq!(packets(&mut session), Vec::<String>::new());
    session.kept(job);
    assert_eq!(packets(&mut session), ["reply 33"]);
}

#[test]
fn acknowledgements_keep_the_order_of_receipt_over_both_qualities_of_service() {
    let mut session = session();
    let first = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    let second = new(session.arrived(at(0), request(2, Qos::ExactlyOnce, None)));
    session.replied(at(1), second, reply(Qos::ExactlyOnce), false);
    assert_eq!(packets(&mut session), ["reply 1"]);
    session.pubrec(at(1), 1, Answer::Taken);
    assert_eq!(packets(&mut session), ["rel 1"]);
    session.pubcomp(at(1), 1);
    assert_eq!(packets(&mut session), Vec::<String>::new());
    session.replied(at(1), first, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(1), 33, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 1", "rec 2"]);
    session.pubrel(2);
    assert_eq!(packets(&mut session), ["comp 2"]);
}

#[test]
fn bounds_are_named_and_counted() {
    let mut session = session();
    for packet_id in 1..=20 {
        new(session.arrived(at(0), request(packet_id, Qos::AtLeastOnce, None)));
    }
    let refused = Arrival { refused: true, ..request(21, Qos::AtLeastOnce, None) };
    assert_eq!(session.arrived(at(0), request(21, Qos::AtLeastOnce, None)), Taken::Left(Why::Full));
    assert!(matches!(session.arrived(at(0), refused), Taken::New(_)));
    session.lost();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(new(session.arrived(at(0), request(0, Qos::AtMostOnce, None))));
    }
    assert_eq!(session.arrived(at(0), request(0, Qos::AtMostOnce, None)), Taken::Left(Why::Full));
    let refused = Arrival { refused: true, ..request(0, Qos::AtMostOnce, None) };
    let last = new(session.arrived(at(0), refused));
    for job in open {
        session.replied(at(1), job, reply(Qos::AtMostOnce), false);
    }
    assert_eq!(session.numbers().replies_waiting, 8);
    session.replied(at(1), last, reply(Qos::AtMostOnce), false);
    assert_eq!((session.numbers().replies_waiting, session.numbers().dropped), (8, 1));
}

#[test]
fn a_stopping_daemon_leaves_what_the_broker_keeps_and_answers_the_rest() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    session.stop();
    assert_eq!(session.arrived(at(1), request(2, Qos::AtLeastOnce, None)), Taken::Left(Why::Stopping));
    assert!(!session.is_drained());
    session.replied(at(2), job, reply(Qos::AtLeastOnce), false);
    assert_eq!(packets(&mut session), ["reply 33"]);
    assert!(!session.is_drained());
    session.puback(at(3), 33, Answer::Taken);
    assert!(session.is_drained());
    assert_eq!(packets(&mut session), ["ack 1"]);
}

#[test]
fn a_broker_that_acknowledges_nothing_is_left_for_a_new_connection() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    session.replied(at(0), job, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    actions(&mut session);
    session.tick(at(60));
    actions(&mut session);
    assert_eq!(session.next_tick(), Some(at(30_000)));
    session.tick(at(30_000));
    assert_eq!(actions(&mut session), [Action::Reconnect]);
    session.tick(at(31_000));
    assert_eq!(actions(&mut session), []);
    session.lost();
    session.connected(at(32_000), granted(true));
    assert_eq!(packets(&mut session), ["reply 33!"]);
}

#[test]
fn a_reply_that_the_broker_refuses_is_counted_and_blocks_nothing() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    session.replied(at(0), job, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(1), 33, Answer::Never);
    assert_eq!(packets(&mut session), ["ack 1"]);
    assert_eq!(notes(&mut session), [Noted::ReplyRefused]);
    assert_eq!(session.numbers().refused_by_broker, 1);
}

#[test]
fn requests_are_found_by_the_id_that_a_cancellation_names() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, Some("a"))));
    new(session.arrived(at(0), request(2, Qos::AtLeastOnce, Some("b"))));
    new(session.arrived(at(0), request(3, Qos::AtLeastOnce, None)));
    assert_eq!(session.jobs_called("a"), [job]);
    assert_eq!(session.jobs_called("c"), []);
}

#[test]
fn a_request_to_another_box_that_the_broker_does_not_take_is_told_and_one_that_waits_can_be_taken_back() {
    let mut session = session();
    for ticket in 1..=3 {
        session.order(ticket, reply(Qos::AtLeastOnce));
    }
    assert!(session.withdraw(3) && !session.withdraw(3));
    assert!(!session.is_drained());
    assert_eq!(packets(&mut session), ["reply 33", "reply 34"]);
    assert!(!session.withdraw(1), "it is out");
    session.puback(at(1), 33, Answer::Taken);
    session.puback(at(1), 34, Answer::Never);
    assert_eq!(actions(&mut session), [Action::OrderRefused(2)]);
    assert!(session.is_drained());
    assert_eq!(session.numbers().refused_by_broker, 0, "that counts replies");
    session.order(4, reply(Qos::AtLeastOnce));
    session.lost();
    session.connected(at(2), granted(true));
    assert_eq!(packets(&mut session).iter().filter(|packet| packet.starts_with("reply")).count(), 0);
}
