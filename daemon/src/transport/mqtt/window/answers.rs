//! What the broker answered, and what follows: a message is done with, is given up, or waits with all others and is offered
//! again. Must not know what is sent next.

use std::time::Duration;

use edge_core::Mono;

use super::super::packet::ToBroker;
use super::{Answer, Fate, Flying, Tag, Window};

/// First pause after the broker did not take a reply for the time being; doubles while that goes on.
const FIRST_HOLD: Duration = Duration::from_secs(1);
/// Longest of these pauses.
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// How long one and the same reply is offered to a broker that does not take it.
const GIVE_UP: Duration = Duration::from_secs(300);

impl Window {
    /// A QoS 1 message was taken or refused.
    pub fn puback(&mut self, now: Mono, packet_id: u16, answer: Answer) -> Option<(Tag, Fate)> {
        self.progress = now;
        if answer != Answer::Taken {
            return self.not_taken(now, packet_id, answer);
        }
        let flying = self.flying.remove(&packet_id)?;
        Some(self.taken(flying.tag))
    }

    fn taken(&mut self, tag: Tag) -> (Tag, Fate) {
        if matches!(tag, Tag::Reply(_) | Tag::Letter(_)) {
            self.holds = 0;
        }
        (tag, Fate::Accepted)
    }

    /// A message that the broker may take later goes back to its place in the order, and the others wait with it.
    fn not_taken(&mut self, now: Mono, packet_id: u16, answer: Answer) -> Option<(Tag, Fate)> {
        let flying = self.flying.remove(&packet_id)?;
        let since = flying.refused_since.unwrap_or(now);
        match flying.tag {
            Tag::Reply(_) | Tag::Letter(_) if answer == Answer::NotNow && now.since(since) < GIVE_UP => {
                if self.held_until.is_none() {
                    let pause = FIRST_HOLD.saturating_mul(1 << self.holds.min(8)).min(LONGEST_HOLD);
                    self.held_until = Some(now.after(pause));
                    self.holds += 1;
                }
                self.put_back(Flying { refused_since: Some(since), ..flying });
                None
            }
            tag => Some((tag, Fate::Refused)),
        }
    }

    /// Until when replies are held back.
    pub fn held_until(&self) -> Option<Mono> {
        self.held_until
    }

    /// Time passed.
    pub fn tick(&mut self, now: Mono) {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
    }

    /// A QoS 2 message was taken, so that it can be released, or refused.
    pub fn pubrec(&mut self, now: Mono, packet_id: u16, answer: Answer) -> Option<(Tag, Fate)> {
        self.progress = now;
        if answer != Answer::Taken {
            return self.not_taken(now, packet_id, answer);
        }
        if let Some(flying) = self.flying.get_mut(&packet_id) {
            flying.released = true;
        }
        // An unknown one is released as well: else the broker would keep it for ever.
        self.again.push_back(ToBroker::PubRel(packet_id));
        None
    }

    /// A QoS 2 message is where it belongs.
    pub fn pubcomp(&mut self, now: Mono, packet_id: u16) -> Option<(Tag, Fate)> {
        self.progress = now;
        self.haunted.remove(&packet_id);
        let flying = self.flying.remove(&packet_id)?;
        Some(self.taken(flying.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::packet::Qos;
    use super::super::super::session::JobId;
    use super::super::LAST_QOS2_ID;
    use super::super::tests::{NOW, message, sent, window};
    use super::*;

    #[test]
    fn a_broker_that_takes_nothing_for_a_while_gets_everything_later_in_its_order() {
        let one = Qos::AtLeastOnce;
        let mut window = window(false, &[("a", one), ("b", Qos::ExactlyOnce), ("c", one), ("d", one)]);
        assert_eq!(sent(&mut window), ["a", "b", "c"]);
        let (mut now, mut pauses) = (NOW, Vec::new());
        // What was under way comes back in the order of sending, and holds the others once.
        assert_eq!(window.puback(now, LAST_QOS2_ID + 1, Answer::NotNow), None);
        assert_eq!(window.pubrec(now, 1, Answer::NotNow), None);
        assert_eq!(window.puback(now, LAST_QOS2_ID + 2, Answer::NotNow), None);
        for _ in 0..8 {
            // What the box says of itself is not held back.
            window.push_status(message("state", one));
            assert_eq!((sent(&mut window), window.is_ready(), window.waiting()), (vec!["state".into()], false, 4));
            window.flying.clear();
            let until = window.held_until().unwrap();
            pauses.push(until.since(now).as_secs());
            now = until;
            window.tick(now);
            // One shows whether the others may follow.
            let Some((Some(ToBroker::Publish { packet_id, message, .. }), None)) = window.next(now) else {
                panic!("not sent")
            };
            assert_eq!((message.topic.as_str(), window.next(now)), ("a", None));
            assert_eq!(window.puback(now, packet_id, Answer::NotNow), None);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        window.tick(now.after(LONGEST_HOLD));
        let Some((Some(ToBroker::Publish { packet_id, .. }), None)) = window.next(now) else { panic!("not sent") };
        assert_eq!(window.puback(now, packet_id, Answer::Taken), Some((Tag::Reply(JobId(0)), Fate::Accepted)));
        assert_eq!(sent(&mut window), ["b", "c", "d"]);
    }

    #[test]
    fn one_reply_that_is_never_taken_is_given_up_in_the_end() {
        let mut window = window(false, &[("a", Qos::AtLeastOnce), ("b", Qos::AtLeastOnce)]);
        let mut now = NOW;
        let fate = loop {
            window.tick(now);
            let Some((Some(ToBroker::Publish { packet_id, .. }), None)) = window.next(now) else {
                now = window.held_until().unwrap_or(now);
                window.flying.clear();
                continue;
            };
            if let Some(fate) = window.puback(now, packet_id, Answer::NotNow) {
                break fate;
            }
        };
        assert_eq!(fate, (Tag::Reply(JobId(0)), Fate::Refused));
        assert!(now.since(NOW) >= GIVE_UP && now.since(NOW) < GIVE_UP + LONGEST_HOLD * 2);
    }
}
