//! When to try again after a connection ended, and what that end means: pure.
//!
//! Two boxes with the same client id throw each other out for ever. MQTT 5 has a word for it, which not every broker says;
//! under 3.1.1 there is none, and the broker just closes the older connection. So a row of connections that are closed
//! soon after they were accepted is taken for it. Then the pause is long: whoever waits longer loses less.

use std::time::Duration;

/// First pause after a failure; doubles with each one.
const FIRST: Duration = Duration::from_millis(250);
/// Longest pause between attempts.
const LONGEST: Duration = Duration::from_secs(30);
/// Shortest pause after the broker did not let us in: whoever guesses fast is locked out by some brokers.
const REFUSED: Duration = Duration::from_secs(5);
/// Pause while another client uses the client id.
const CONTESTED: Duration = Duration::from_secs(15);
/// A connection that stood this long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// Failures that count at most when a connection stood for less: the pause is then two seconds.
const AFTER_SHORT: u32 = 4;
/// Short connections in a row, closed by the broker without a word, that look like a contested client id.
const SUSPICIOUS: u32 = 3;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How long it stood; `None` if it never did.
    pub stood: Option<Duration>,
    /// The broker said that another client took over.
    pub taken_over: bool,
    /// The broker does not let us in: user, password or access rules.
    pub refused: bool,
    /// The broker closed it without a word.
    pub closed: bool,
    pub reason: String,
}

/// What to do now, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    pub pause: Duration,
    pub contested: bool,
    pub reason: String,
    /// Ends in a row for this reason, without a good connection between them.
    pub times: u32,
}

impl Next {
    /// Whether a log needs it: a broker that is away for a day ends thousands of attempts in the same words. The status has
    /// the last one.
    pub fn is_news(&self) -> bool {
        self.times.is_power_of_two()
    }
}

/// What is remembered from one connection to the next.
#[derive(Clone, Debug, Default)]
pub struct Reconnect {
    failures: u32,
    short: u32,
    /// The last end: contested or not, the reason, and how often in a row.
    last: Option<(bool, String)>,
    times: u32,
}

impl Reconnect {
    /// Decides after `end`; `dice` is any number, for the spread of many boxes over time.
    pub fn after(&mut self, end: End, client_id: &str, dice: u64) -> Next {
        let good = end.stood.is_some_and(|stood| stood >= GOOD);
        // A broker that was there a moment ago is soon there again, whatever was before.
        self.failures = match end.stood {
            Some(_) if good => 1,
            Some(_) => self.failures.saturating_add(1).min(AFTER_SHORT),
            None => self.failures.saturating_add(1),
        };
        self.short = match end {
            End { stood: Some(_), closed: true, .. } if !good => self.short.saturating_add(1),
            End { stood: None, .. } => self.short,
            _ => 0,
        };
        if end.taken_over {
            let reason = format!("another client uses the client id {client_id}: {}", end.reason);
            return self.next(good, CONTESTED, true, reason, dice);
        }
        if self.short >= SUSPICIOUS {
            let reason = format!(
                "the broker closed {} connections soon after accepting them; most likely another client uses the client id \
                 {client_id}",
                self.short
            );
            return self.next(good, CONTESTED, true, reason, dice);
        }
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = FIRST.saturating_mul(1 << doublings).min(LONGEST);
        let pause = if end.refused { pause.max(REFUSED) } else { pause };
        self.next(good, pause, false, end.reason, dice)
    }

    fn next(&mut self, good: bool, pause: Duration, contested: bool, reason: String, dice: u64) -> Next {
        // The reason of a contested client id counts connections, and is the same one nevertheless.
        let again = matches!(&self.last, Some((was, last)) if *was == contested && (contested || *last == reason));
        self.times = if again && !good { self.times.saturating_add(1) } else { 1 };
        self.last = Some((contested, reason.clone()));
        Next { pause: spread(pause, dice), contested, reason, times: self.times }
    }
}

/// Between three quarters of `pause` and five quarters.
pub(super) fn spread(pause: Duration, dice: u64) -> Duration {
    let half = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) / 2;
    pause - Duration::from_millis(half / 2) + Duration::from_millis(dice % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(stood_s: Option<u64>, closed: bool) -> End {
        let stood = stood_s.map(Duration::from_secs);
        End { stood, taken_over: false, refused: false, closed, reason: "why".into() }
    }

    #[test]
    fn the_pause_doubles_up_to_a_limit_and_starts_again_after_a_good_connection() {
        let mut reconnect = Reconnect::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pauses.push(reconnect.after(end(None, false), "box", 0).pause.as_millis());
        }
        assert_eq!(pauses[..3], [188, 375, 750]);
        assert_eq!(pauses[9], 22_500);
        assert_eq!(reconnect.after(end(Some(60), true), "box", 0).pause.as_millis(), 188);
    }

    #[test]
    fn a_short_connection_after_a_long_absence_is_followed_soon() {
        let mut reconnect = Reconnect::default();
        for _ in 0..10 {
            reconnect.after(end(None, false), "box", 0);
        }
        assert_eq!(reconnect.after(end(Some(3), true), "box", 0).pause.as_millis(), 1_500);
        assert_eq!(reconnect.after(end(None, false), "box", 0).pause.as_millis(), 3_000);
    }

    #[test]
    fn the_dice_spread_a_pause_within_a_quarter() {
        for dice in [0, 1, 500, 12_345, u64::MAX] {
            let pause = spread(Duration::from_secs(30), dice);
            assert!(pause >= Duration::from_millis(22_500) && pause <= Duration::from_millis(37_500), "{pause:?}");
        }
        assert_eq!(spread(Duration::ZERO, 7), Duration::ZERO);
    }

    #[test]
    fn who_is_not_let_in_asks_again_slowly_from_the_first_time_on() {
        let refused = End { refused: true, ..end(None, false) };
        let mut reconnect = Reconnect::default();
        assert_eq!(reconnect.after(refused.clone(), "box", 0).pause.as_millis(), 3_750);
        for _ in 0..10 {
            reconnect.after(refused.clone(), "box", 0);
        }
        assert_eq!(reconnect.after(refused, "box", 0).pause.as_millis(), 22_500);
    }

    #[test]
    fn a_day_without_a_broker_is_some_lines_and_what_is_new_is_one_more() {
        let because = |reason: &str| End { reason: reason.into(), ..end(None, false) };
        let mut reconnect = Reconnect::default();
        let mut news = |end: &End| reconnect.after(end.clone(), "box", 0).is_news();
        // An attempt every 30 s.
        assert_eq!((0..2880).filter(|_| news(&because("refused"))).count(), 12);
        assert!(news(&because("no route")));
        assert!(news(&because("refused")), "again, after another reason");
        assert!((0..3).filter(|_| news(&because("refused"))).count() < 3);
        for stood in [60, 60, 60] {
            assert!(news(&End { reason: "refused".into(), ..end(Some(stood), true) }), "the end of a good connection");
        }
        // Two boxes of one client id for a day, thrown out every 15 s.
        assert_eq!((0..5760).filter(|_| news(&end(Some(1), true))).count(), 2 + 13);
    }

    #[test]
    fn a_takeover_is_said_with_its_client_id_and_waits_long() {
        let taken = End { taken_over: true, ..end(Some(5), false) };
        let next = Reconnect::default().after(taken, "edged-box-1", 0);
        assert!(next.contested && next.reason.contains("edged-box-1") && next.reason.contains("why"));
        assert!(next.pause >= Duration::from_secs(10));
    }

    #[test]
    fn three_connections_closed_soon_after_they_were_accepted_look_like_a_takeover() {
        let mut reconnect = Reconnect::default();
        assert!(!reconnect.after(end(Some(1), true), "box", 0).contested);
        assert!(!reconnect.after(end(None, false), "box", 0).contested);
        assert!(!reconnect.after(end(Some(1), true), "box", 0).contested);
        let next = reconnect.after(end(Some(1), true), "box", 0);
        assert!(next.contested && next.reason.contains("another client uses the client id box"));
        assert!(reconnect.after(end(Some(2), true), "box", 0).contested);
        assert!(!reconnect.after(end(Some(31), true), "box", 0).contested);
        for _ in 0..5 {
            assert!(!reconnect.after(end(Some(1), false), "box", 0).contested);
        }
    }
}
