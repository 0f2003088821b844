//! Which requests are written to the journal, when, and what if there is no room in it.

use super::*;

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
