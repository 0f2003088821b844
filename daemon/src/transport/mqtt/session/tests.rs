use bytes::Bytes;
use proptest::prelude::*;

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
        request: None,
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
fn a_request_that_the_journal_has_no_room_for_is_offered_to_it_again() {
    let mut session = session();
    let jobs: Vec<JobId> =
        (1..=11).map(|packet_id| new(session.arrived(at(0), request(packet_id, Qos::AtLeastOnce, None)))).collect();
    actions(&mut session);
    session.tick(at(50));
    let written: Vec<Action> = jobs[..10].iter().map(|job| Action::Write { job: *job, deaths: 0 }).collect();
    assert_eq!(actions(&mut session), written);
    assert_eq!(session.numbers().unjournaled, 1);
    session.written(jobs[0]);
    session.replied(at(60), jobs[0], reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(60), 33, Answer::Taken);
    actions(&mut session);
    assert_eq!(session.next_tick(), Some(at(100)));
    session.tick(at(100));
    assert_eq!(actions(&mut session), [Action::Write { job: jobs[10], deaths: 0 }]);
    assert_eq!(session.numbers().unjournaled, 1);
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
fn only_the_first_session_that_was_kept_can_bring_what_ended_a_daemon() {
    for (present, lost, suspect) in [(true, false, true), (false, false, false), (true, true, false)] {
        let mut session = Session::new(limits(), 1, true);
        session.connected(at(0), granted(present));
        if lost {
            session.lost();
            session.connected(at(0), granted(true));
        }
        let job = new(session.arrived(at(0), again(request(1, Qos::AtLeastOnce, None))));
        let expected = if suspect { Action::Write { job, deaths: 1 } } else { Action::Run { job, deaths: 0 } };
        assert_eq!(actions(&mut session), [expected]);
    }
}

#[test]
fn writes_that_will_not_be_answered_let_their_requests_run() {
    let mut session = Session::new(limits(), 1, true);
    session.connected(at(0), granted(true));
    let job = new(session.arrived(at(0), again(request(1, Qos::AtLeastOnce, None))));
    assert_eq!(actions(&mut session), [Action::Write { job, deaths: 1 }]);
    session.writes_failed();
    assert_eq!(actions(&mut session), [Action::Run { job, deaths: 1 }]);
    assert_eq!(session.numbers(), Numbers { unjournaled: 1, ..Numbers::default() });
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
fn a_request_unsettled_for_too_long_is_journaled_so_that_nothing_behind_it_waits() {
    let mut session = session();
    let slow = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    let quick = new(session.arrived(at(20), request(2, Qos::AtLeastOnce, None)));
    session.replied(at(21), quick, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(22), 33, Answer::Taken);
    assert_eq!(packets(&mut session), Vec::<String>::new());
    actions(&mut session);
    assert_eq!(session.next_tick(), Some(at(50)));
    session.tick(at(49));
    assert_eq!(actions(&mut session), []);
    session.tick(at(50));
    assert_eq!(actions(&mut session), [Action::Write { job: slow, deaths: 0 }]);
    assert_eq!(session.numbers().journaled, 1);
    session.written(slow);
    assert_eq!(packets(&mut session), ["ack 1", "ack 2"]);
    session.replied(at(60), slow, reply(Qos::AtLeastOnce), false);
    assert_eq!(packets(&mut session), ["reply 34"]);
    session.puback(at(61), 34, Answer::Taken);
    assert!(actions(&mut session).contains(&Action::Remove(slow)));
    assert_eq!(session.numbers().journaled, 0);
}

#[test]
fn a_row_that_is_still_being_written_when_its_reply_is_taken_is_removed_behind_it() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    session.tick(at(50));
    session.replied(at(51), job, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(52), 33, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 1"]);
    let done = actions(&mut session);
    let place = |action: &Action| done.iter().position(|one| one == action);
    let written = place(&Action::Write { job, deaths: 0 });
    assert!(written.is_some() && place(&Action::Remove(job)) > written, "{done:?}");
    session.written(job);
    assert_eq!((actions(&mut session), session.numbers().journaled), (vec![], 0));
}

#[test]
fn a_deferrable_request_is_journaled_at_once_and_refused_when_the_journal_is_full() {
    let mut session = session();
    let deferrable = |packet_id| Arrival { deferrable: true, ..request(packet_id, Qos::AtLeastOnce, None) };
    for packet_id in 1..=10 {
        let job = new(session.arrived(at(0), deferrable(packet_id)));
        assert_eq!(actions(&mut session), [Action::Write { job, deaths: 0 }, Action::Run { job, deaths: 0 }]);
    }
    let refused = new(session.arrived(at(0), deferrable(11)));
    assert_eq!(actions(&mut session), [Action::Refuse(refused)]);
    assert_eq!(session.numbers().unjournaled, 1);
    session.replied(at(1), refused, reply(Qos::AtLeastOnce), false);
    assert_eq!(packets(&mut session), ["reply 33"]);
}

#[test]
fn without_room_in_the_journal_an_ordinary_request_is_acknowledged_when_answered() {
    let mut session = Session::new(Limits { journal_bytes: 150, ..limits() }, 1, false);
    session.connected(at(0), granted(false));
    let first = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    let second = new(session.arrived(at(0), request(2, Qos::AtLeastOnce, None)));
    actions(&mut session);
    session.tick(at(50));
    assert_eq!(actions(&mut session), [Action::Write { job: first, deaths: 0 }]);
    session.write_failed(first);
    assert_eq!((session.numbers().journaled, session.numbers().unjournaled), (0, 2));
    assert_eq!(packets(&mut session), Vec::<String>::new());
    for job in [first, second] {
        session.replied(at(60), job, reply(Qos::AtLeastOnce), false);
    }
    packets(&mut session);
    session.puback(at(61), 33, Answer::Taken);
    session.puback(at(61), 34, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 1", "ack 2"]);
}

#[test]
fn a_redelivery_over_a_reconnect_joins_the_request_that_runs() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(5, Qos::AtLeastOnce, None)));
    session.lost();
    session.connected(at(10), granted(true));
    assert_eq!(session.arrived(at(11), again(request(5, Qos::AtLeastOnce, None))), Taken::Known);
    assert_eq!(actions(&mut session), [Action::Run { job, deaths: 0 }]);
    session.replied(at(12), job, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(13), 33, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 5"]);
}

#[test]
fn a_redelivery_of_an_answered_request_whose_acknowledgement_waited_is_acknowledged_at_once() {
    let mut session = session();
    session.arrived(at(0), request(1, Qos::AtLeastOnce, None));
    let answered = new(session.arrived(at(0), request(2, Qos::AtLeastOnce, None)));
    session.replied(at(1), answered, reply(Qos::AtLeastOnce), false);
    packets(&mut session);
    session.puback(at(2), 33, Answer::Taken);
    session.lost();
    session.connected(at(3), granted(true));
    assert_eq!(session.arrived(at(4), again(request(2, Qos::AtLeastOnce, None))), Taken::Known);
    assert_eq!(packets(&mut session), ["ack 2"]);
}

#[test]
fn a_new_message_under_an_old_packet_id_is_a_new_request() {
    let mut session = session();
    session.arrived(at(0), request(1, Qos::AtLeastOnce, None));
    session.lost();
    session.connected(at(1), granted(false));
    assert!(matches!(session.arrived(at(2), again(request(1, Qos::AtLeastOnce, None))), Taken::New(_)));
    session.lost();
    session.connected(at(3), granted(true));
    assert!(matches!(session.arrived(at(4), request(1, Qos::AtLeastOnce, None)), Taken::New(_)));
    session.lost();
    session.connected(at(5), granted(true));
    let other = Arrival { bytes: 7, ..again(request(1, Qos::AtLeastOnce, None)) };
    assert!(matches!(session.arrived(at(6), other), Taken::New(_)));
}

#[test]
fn a_named_redelivery_joins_the_open_request_whatever_its_packet_id() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, Some("a"))));
    session.tick(at(50));
    session.written(job);
    assert_eq!(packets(&mut session), ["ack 1"]);
    session.lost();
    session.connected(at(60), granted(true));
    assert_eq!(session.arrived(at(61), again(request(9, Qos::AtLeastOnce, Some("a")))), Taken::Known);
    assert_eq!(packets(&mut session), ["ack 9"]);
    // Asked again by the client itself: the driver sees the duplicate.
    assert!(matches!(session.arrived(at(62), request(10, Qos::AtLeastOnce, Some("a"))), Taken::New(_)));
}

#[test]
fn a_redelivery_of_an_answered_request_gets_the_stored_reply_and_is_not_run() {
    let mut session = session();
    let job = new(session.arrived(at(0), again(request(1, Qos::AtLeastOnce, Some("a")))));
    assert_eq!(actions(&mut session), [Action::Recall { job, key: key("a") }]);
    session.recalled(at(1), job, Some(reply(Qos::AtLeastOnce)));
    assert_eq!(packets(&mut session), ["reply 33"]);
    session.puback(at(2), 33, Answer::Taken);
    assert_eq!(packets(&mut session), ["ack 1"]);
    assert_eq!(notes(&mut session), [Noted::Replied]);

    let asked = Arrival { maybe_answered: true, ..request(2, Qos::AtMostOnce, Some("b")) };
    let job = new(session.arrived(at(3), asked));
    assert_eq!(actions(&mut session), [Action::Recall { job, key: key("b") }]);
    session.recalled(at(3), job, None);
    assert_eq!(actions(&mut session), [Action::Run { job, deaths: 0 }]);
}

#[test]
fn what_may_have_killed_a_daemon_is_journaled_with_its_death_before_it_runs() {
    let mut session = Session::new(limits(), 1, true);
    session.connected(at(0), granted(true));
    let fresh = new(session.arrived(at(0), request(1, Qos::AtLeastOnce, None)));
    let suspect = new(session.arrived(at(0), again(request(2, Qos::AtLeastOnce, None))));
    assert_eq!(
        actions(&mut session),
        [Action::Run { job: fresh, deaths: 0 }, Action::Write { job: suspect, deaths: 1 }]
    );
    session.written(suspect);
    assert_eq!(
        actions(&mut session),
        [Action::Note { job: suspect, step: Noted::Journaled }, Action::Run { job: suspect, deaths: 1 }]
    );
    let named = new(session.arrived(at(1), again(request(3, Qos::AtLeastOnce, Some("a")))));
    session.recalled(at(1), named, None);
    session.write_failed(named);
    let found = actions(&mut session);
    assert_eq!(found[1..], [Action::Write { job: named, deaths: 1 }, Action::Run { job: named, deaths: 1 }]);
}

#[test]
fn requests_of_a_former_daemon_are_looked_up_run_a_few_at_a_time_and_removed() {
    let mut session = Session::new(limits(), 1, true);
    let total = i64::try_from(RESTORED_AT_ONCE).unwrap() + 3;
    for job in 1..=total {
        let id = (job == 1).then_some("a");
        session.restore(at(0), JobId(job), id.map(key), 10, 1);
    }
    let started = actions(&mut session);
    assert_eq!(started.len(), RESTORED_AT_ONCE);
    assert_eq!(started[0], Action::Recall { job: JobId(1), key: key("a") });
    assert_eq!(started[1], Action::Run { job: JobId(2), deaths: 1 });
    session.connected(at(1), granted(true));
    // The broker sends it again: it is in the journal, so it is acknowledged and not run twice.
    assert_eq!(session.arrived(at(1), again(request(1, Qos::AtLeastOnce, Some("a")))), Taken::Known);
    packets(&mut session);
    session.replied(at(2), JobId(2), reply(Qos::AtLeastOnce), false);
    assert_eq!(packets(&mut session), ["reply 33"]);
    session.puback(at(3), 33, Answer::Taken);
    let after = actions(&mut session);
    assert!(after.contains(&Action::Remove(JobId(2))));
    assert_eq!(after.last(), Some(&Action::Run { job: JobId(total - 2), deaths: 1 }));
    assert!(new(session.arrived(at(4), request(8, Qos::AtLeastOnce, None))) > JobId(total));
}

#[test]
fn the_second_half_of_exactly_once_survives_reconnects_and_restarts() {
    let mut session = session();
    let job = new(session.arrived(at(0), request(4, Qos::ExactlyOnce, None)));
    session.replied(at(1), job, reply(Qos::AtMostOnce), false);
    assert_eq!(packets(&mut session), ["reply 0", "rec 4"]);
    session.lost();
    session.connected(at(2), granted(true));
    // The broker missed PUBREC: the message is not taken a second time.
    assert_eq!(session.arrived(at(3), again(request(4, Qos::ExactlyOnce, None))), Taken::Known);
    assert_eq!(packets(&mut session), ["rec 4"]);
    session.pubrel(4);
    session.pubrel(77);
    assert_eq!(packets(&mut session), ["comp 4", "comp 77"]);
    assert!(matches!(session.arrived(at(4), request(4, Qos::ExactlyOnce, None)), Taken::New(_)));
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
fn nothing_more_is_promised_while_too_many_replies_wait() {
    let mut session = session();
    for packet_id in 1..=9 {
        let job = new(session.arrived(at(0), request(packet_id, Qos::AtLeastOnce, None)));
        if packet_id <= 8 {
            session.replied(at(0), job, reply(Qos::AtLeastOnce), false);
        }
    }
    actions(&mut session);
    session.tick(at(50));
    assert_eq!(actions(&mut session), []);
    assert_eq!(session.numbers().unjournaled, 9);
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

/// What can happen next in a random run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive { qos: Qos, named: bool, deferrable: bool },
    Reply(usize),
    Store(usize),
    Acknowledge,
    Lose,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let qos = prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)];
    prop_oneof![
        4 => (qos, any::<bool>(), any::<bool>()).prop_map(|(qos, named, deferrable)| Step::Arrive { qos, named, deferrable }),
        3 => any::<usize>().prop_map(Step::Reply),
        3 => any::<usize>().prop_map(Step::Store),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::Lose),
        2 => (0_u64..80).prop_map(Step::Pass),
    ]
}

/// A broker, a driver and two stores around a session.
struct World {
    session: Session,
    now: u64,
    next_packet: u16,
    /// Messages that the broker has sent and that are not acknowledged, in order.
    unacknowledged: Vec<Arrival>,
    running: Vec<JobId>,
    writing: Vec<JobId>,
    keeping: Vec<JobId>,
    asked: Vec<JobId>,
    /// Packets of ours that the broker has not answered.
    received: Vec<ToBroker>,
    taken: usize,
    over: usize,
}

impl World {
    fn new() -> World {
        World {
            session: session(),
            now: 0,
            next_packet: 0,
            unacknowledged: Vec::new(),
            running: Vec::new(),
            writing: Vec::new(),
            keeping: Vec::new(),
            asked: Vec::new(),
            received: Vec::new(),
            taken: 0,
            over: 0,
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        match self.session.arrived(at(self.now), arrival.clone()) {
            Taken::New(_) => self.taken += 1,
            Taken::Known => {}
            Taken::Left(Why::Full | Why::Heavy) => {
                let refused = Arrival { refused: true, ..arrival };
                let job = new(self.session.arrived(at(self.now), refused));
                self.taken += 1;
                self.session.replied(at(self.now), job, reply(Qos::AtMostOnce), false);
            }
            Taken::Left(Why::Stopping) => panic!("not stopping"),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Arrive { qos, named, deferrable } => {
                self.next_packet += 1;
                let id = self.next_packet.to_string();
                let arrival = Arrival { deferrable, ..request(self.next_packet, qos, named.then_some(id.as_str())) };
                if qos != Qos::AtMostOnce {
                    self.unacknowledged.push(arrival.clone());
                }
                self.deliver(arrival);
            }
            Step::Reply(which) if !self.running.is_empty() => {
                let job = self.running.swap_remove(which % self.running.len());
                let qos = if job.0 % 3 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                self.session.replied(at(self.now), job, reply(qos), true);
            }
            Step::Store(which) => {
                if let Some(job) = self.writing.pop() {
                    if which % 5 == 0 { self.session.write_failed(job) } else { self.session.written(job) }
                }
                if let Some(job) = self.keeping.pop() {
                    self.session.kept(job);
                }
                if let Some(job) = self.asked.pop() {
                    self.session.recalled(at(self.now), job, (which % 2 == 0).then(|| reply(Qos::AtLeastOnce)));
                }
            }
            Step::Acknowledge if !self.received.is_empty() => match self.received.remove(0) {
                ToBroker::Publish { packet_id, message, .. } if message.qos == Qos::AtLeastOnce => {
                    self.session.puback(at(self.now), packet_id, Answer::Taken);
                }
                ToBroker::Publish { packet_id, message, .. } if message.qos == Qos::ExactlyOnce => {
                    self.session.pubrec(at(self.now), packet_id, Answer::Taken);
                }
                ToBroker::PubRel(packet_id) => self.session.pubcomp(at(self.now), packet_id),
                _ => {}
            },
            Step::Lose => {
                self.session.lost();
                self.received.clear();
                self.session.connected(at(self.now), granted(true));
                for arrival in self.unacknowledged.clone() {
                    self.deliver(again(arrival));
                }
            }
            Step::Pass(ms) => {
                self.now += ms;
                self.session.tick(at(self.now));
            }
            Step::Reply(_) | Step::Acknowledge => {}
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Run { job, .. } => self.running.push(job),
                Action::Refuse(job) => self.session.replied(at(self.now), job, reply(Qos::AtLeastOnce), false),
                Action::Recall { job, .. } => self.asked.push(job),
                Action::Keep { job, .. } => self.keeping.push(job),
                Action::Write { job, .. } => self.writing.push(job),
                Action::Forget(_) => self.over += 1,
                Action::Remove(_) | Action::Note { .. } | Action::Reconnect | Action::OrderRefused(_) => {}
            }
        }
        while let Some(packet) = self.session.poll_packet(at(self.now)) {
            match packet {
                ToBroker::PubAck(id) | ToBroker::PubRec(id) => {
                    let first = self.unacknowledged.remove(0);
                    assert_eq!(first.packet_id, id, "out of order");
                    if first.qos == Qos::ExactlyOnce {
                        self.session.pubrel(id);
                    }
                }
                other => self.received.push(other),
            }
        }
        let numbers = self.session.numbers();
        assert!(numbers.journaled <= limits().journal_rows);
        assert!(self.session.acks.len() <= limits().inflight + 200);
    }

    /// Lets everything come to its end.
    fn run_dry(&mut self) {
        for round in 0..10_000 {
            let idle = self.running.is_empty()
                && self.writing.is_empty()
                && self.keeping.is_empty()
                && self.asked.is_empty()
                && self.received.is_empty();
            if idle && self.session.is_drained() {
                return;
            }
            self.take(Step::Store(1));
            self.take(Step::Reply(0));
            self.take(Step::Acknowledge);
            assert!(round < 9_999, "{:?}", self.session);
        }
    }
}

proptest! {
    #[test]
    fn every_request_ends_once_and_is_acknowledged_in_order(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.run_dry();
        prop_assert_eq!(world.taken, world.over);
        prop_assert!(world.unacknowledged.is_empty());
        prop_assert!(world.session.jobs.is_empty() && world.session.by_key.is_empty());
        prop_assert_eq!((world.session.rows, world.session.row_bytes, world.session.unowed), (0, 0, 0));
    }
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
