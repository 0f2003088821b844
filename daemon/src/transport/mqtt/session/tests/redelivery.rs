//! What the broker sends again, and what a daemon that died left behind.

use super::*;

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
