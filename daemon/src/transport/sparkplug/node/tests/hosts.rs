//! The primary host: it is waited for, followed when it leaves, and looked for on other servers.

use super::*;

fn waiting(servers: usize) -> Line {
    let mut line = Line::new(Some("scada1"), servers);
    line.connect();
    line
}

#[test]
fn the_word_of_the_host_is_subscribed_to_with_the_commands() {
    assert_eq!(waiting(1).filters().last().unwrap(), "spBv1.0/STATE/scada1");
    assert_eq!(Line::born().packets.len(), 0);
}

#[test]
fn no_birth_before_the_host_says_that_it_is_there() {
    let mut line = waiting(1);
    line.pass(Duration::from_secs(3600));
    assert!(line.take().is_empty());
    line.hear(false, 5);
    assert!(line.take().is_empty());
    line.hear(true, 5);
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH"]);
}

#[test]
fn a_word_that_comes_before_the_subscriptions_are_answered_counts() {
    let mut line = Line::new(Some("scada1"), 1);
    line.node.hello(line.now);
    line.node.connected();
    line.poll();
    line.hear(true, 5);
    assert!(line.take().is_empty());
    line.node.subscribed(line.now, &[Ok(()), Ok(()), Ok(())]);
    line.poll();
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH"]);
}

#[test]
fn the_word_of_another_host_or_one_that_cannot_be_read_is_not_followed() {
    let mut line = waiting(1);
    let word = br#"{"online": true, "timestamp": 5}"#;
    line.node.received(line.now, "spBv1.0/STATE/scada2", word, true);
    line.node.received(line.now, "spBv1.0/STATE/scada1", b"ONLINE", true);
    line.poll();
    assert!(line.take().is_empty());
    assert!(line.node.doubt().contains("cannot be read"));
}

#[test]
fn a_greeting_with_an_older_time_than_the_last_word_is_not_followed_and_told() {
    let mut line = waiting(1);
    line.hear(false, 100);
    line.hear(true, 99);
    assert!(line.take().is_empty());
    assert!(line.node.doubt().contains("online with the time 99, before 100"), "{}", line.node.doubt());
    line.hear(true, 100);
    assert_eq!(kinds(&line.take()), ["NBIRTH", "DBIRTH"]);
    assert_eq!(line.node.doubt(), "");
}

#[test]
fn the_node_leaves_with_its_death_when_the_host_does() {
    for time in [5, 6] {
        let mut line = waiting(1);
        line.hear(true, 5);
        line.packets.clear();
        line.hear(false, time);
        assert!(matches!(line.packets.as_slice(), [Packet::Death(_), Packet::Disconnect]));
        assert_eq!(line.node.phase(), Phase::Leaving { to_next: true });
    }
}

#[test]
fn the_node_stays_when_the_farewell_is_older_than_the_greeting() {
    let mut line = waiting(1);
    line.hear(true, 5);
    line.packets.clear();
    line.hear(false, 4);
    assert!(line.packets.is_empty());
    assert_eq!(line.node.phase(), Phase::Born);
    assert!(line.node.doubt().contains("offline with the time 4, before 5"));
}

#[test]
fn the_node_comes_back_with_the_next_number_and_waits_on_the_only_server() {
    let mut line = waiting(1);
    line.hear(true, 5);
    line.hear(false, 6);
    line.node.lost();
    line.packets.clear();
    assert_eq!(will(&line.connect()).bdseq(), 1);
    line.hear(false, 6);
    line.pass(Duration::from_secs(3600));
    assert!(line.take().is_empty());
    assert!(matches!(line.node.phase(), Phase::Waiting { .. }));
    line.hear(true, 7);
    let births = line.take();
    assert_eq!((kinds(&births), births[0].bdseq()), (vec!["NBIRTH", "DBIRTH"], 1));
}

#[test]
fn the_node_goes_to_the_next_server_when_the_host_leaves_and_to_the_first_after_the_last() {
    let mut line = waiting(3);
    let mut visited = Vec::new();
    for time in [5, 7, 9, 11] {
        visited.push(line.node.server());
        line.hear(true, time);
        line.hear(false, time + 1);
        line.node.lost();
        line.packets.clear();
        line.connect();
    }
    assert_eq!(visited, [0, 1, 2, 0]);
}

#[test]
fn a_server_where_the_host_is_not_is_left_at_once_and_one_where_nobody_says_anything_after_a_while() {
    let mut line = waiting(2);
    line.hear(false, 5);
    assert!(matches!(line.packets.last(), Some(Packet::Disconnect)));
    line.node.lost();
    assert_eq!(line.node.server(), 1);
    line.packets.clear();
    line.connect();
    assert_eq!(line.node.poll_deadline(), Some(line.now.mono.after(HOST_WAIT)));
    line.pass(HOST_WAIT);
    assert!(matches!(line.packets.last(), Some(Packet::Disconnect)));
    line.node.lost();
    assert_eq!(line.node.server(), 0);
}

#[test]
fn a_server_that_cannot_be_reached_is_followed_by_the_next_and_one_that_was_lost_is_tried_again() {
    let mut line = Line::new(None, 2);
    line.node.hello(line.now);
    line.node.lost();
    assert_eq!(line.node.server(), 1);
    line.connect();
    line.node.lost();
    assert_eq!(line.node.server(), 1);
}

#[test]
fn the_node_is_on_one_server_at_a_time() {
    let mut line = waiting(2);
    line.hear(true, 5);
    line.hear(false, 6);
    // The next server is there only once this connection has ended.
    assert_eq!(line.node.server(), 0);
    line.node.lost();
    assert_eq!(line.node.server(), 1);
}

#[test]
fn without_a_primary_host_nobody_is_waited_for_and_no_word_is_followed() {
    let mut line = Line::born();
    line.hear(false, 5);
    assert!(line.packets.is_empty());
    assert_eq!(line.node.phase(), Phase::Born);
}
