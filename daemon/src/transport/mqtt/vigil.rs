//! When a link counts as dead, and when a ping is due: pure.
//!
//! A look is taken four times in a keep-alive, and a ping is sent at every second one, so that the broker hears one twice as
//! often as it was promised. A living broker is heard of at least that often: it answers. The link is dead
//!
//! - when nothing was heard for a keep-alive. A look finds that a quarter late at most: **within one keep-alive and a quarter
//!   after the last byte**, while an answer may take half a keep-alive on its way;
//! - when bytes wait to be written and none could be for so long, whatever is heard: the broker does not take what it is owed.
//!   Found within one keep-alive and a half after they began to wait.
//!
//! While bytes wait to be written, one that could be counts as heard: the window was full and opened, which the other side
//! did. Behind a large message on a slow line the ping waits its turn, and its answer with it.

use std::time::Duration;

use edge_core::Mono;

/// Why a link is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Nothing came for so long.
    Silent(Duration),
    /// Nothing could be written for so long.
    Stuck(Duration),
}

impl std::fmt::Display for Dead {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dead::Silent(time) => write!(out, "nothing came from it for {:.1} s", time.as_secs_f64()),
            Dead::Stuck(time) => write!(out, "it took nothing for {:.1} s", time.as_secs_f64()),
        }
    }
}

/// Watches one link.
#[derive(Debug)]
pub struct Vigil {
    keep_alive: Duration,
    heard: Mono,
    /// When bytes were last written, or began to wait.
    wrote: Mono,
    /// Bytes waited at the last look.
    waited: bool,
    looks: u32,
    /// When the ping was sent that is not answered yet.
    pinged: Option<Mono>,
}

impl Vigil {
    /// Looks in one keep-alive.
    pub const LOOKS: u32 = 4;

    /// A link that was heard of now.
    pub fn new(now: Mono, keep_alive: Duration) -> Vigil {
        Vigil { keep_alive, heard: now, wrote: now, waited: false, looks: 0, pinged: None }
    }

    /// Bytes came.
    pub fn heard(&mut self, now: Mono) {
        self.heard = now;
    }

    /// Bytes were written; `more` wait.
    pub fn wrote(&mut self, now: Mono, more: bool) {
        self.wrote = now;
        if more && self.waited {
            self.heard = now;
        }
    }

    /// A ping was answered: its round trip.
    pub fn pong(&mut self, now: Mono) -> Option<Duration> {
        self.pinged.take().map(|sent| now.since(sent))
    }

    /// Takes a look, a quarter of a keep-alive after the last one: whether to send a ping. `waiting`: bytes wait to be written;
    /// `deaf`: nothing is read just now, for want of room on this side.
    ///
    /// # Errors
    /// The link is dead.
    pub fn look(&mut self, now: Mono, waiting: bool, deaf: bool) -> Result<bool, Dead> {
        if deaf {
            self.heard = now;
        }
        if !waiting || !self.waited {
            self.wrote = now;
        }
        self.waited = waiting;
        let (unheard, unwritten) = (now.since(self.heard), now.since(self.wrote));
        if unheard >= self.keep_alive {
            return Err(Dead::Silent(unheard));
        }
        if unwritten >= self.keep_alive {
            return Err(Dead::Stuck(unwritten));
        }
        self.looks = self.looks.wrapping_add(1);
        let ping = self.looks.is_multiple_of(2);
        if ping {
            self.pinged.get_or_insert(now);
        }
        Ok(ping)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(20);
    const QUARTER: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_ping_is_sent_twice_in_a_keep_alive_and_its_round_trip_is_measured() {
        let mut vigil = Vigil::new(at(0), KEEP_ALIVE);
        let mut pings = Vec::new();
        for look in 1..=8 {
            vigil.heard(at(look * 5));
            pings.push(vigil.look(at(look * 5), false, false).unwrap());
            if look == 3 {
                assert_eq!(vigil.pong(at(16)), Some(Duration::from_secs(6)));
            }
        }
        assert_eq!(pings, [false, true, false, true, false, true, false, true]);
        vigil.pong(at(41));
        assert_eq!(vigil.pong(at(42)), None);
    }

    #[test]
    fn a_broker_that_takes_nothing_is_dead_whatever_it_says() {
        let mut vigil = Vigil::new(at(0), KEEP_ALIVE);
        let mut found = Ok(false);
        for second in 1..=30 {
            vigil.heard(at(second));
            if second % 5 == 0 {
                found = vigil.look(at(second), second >= 5, false);
            }
            if found.is_err() {
                assert_eq!((second, found), (25, Err(Dead::Stuck(Duration::from_secs(20)))));
                return;
            }
        }
        panic!("not noticed: {found:?}");
    }

    #[test]
    fn a_large_message_on_a_slow_line_is_no_silence() {
        let mut vigil = Vigil::new(at(0), KEEP_ALIVE);
        for second in 1..=100 {
            vigil.wrote(at(second), true);
            if second % 5 == 0 {
                assert!(vigil.look(at(second), true, false).is_ok(), "{second}");
            }
        }
    }

    #[test]
    fn while_nothing_is_read_for_want_of_room_nobody_is_called_silent() {
        let mut vigil = Vigil::new(at(0), KEEP_ALIVE);
        for look in 1..=20 {
            assert!(vigil.look(at(look * 5), false, true).is_ok());
        }
        assert!(vigil.look(at(105), false, false).is_ok());
        assert!(vigil.look(at(119), false, false).is_ok());
        assert_eq!(vigil.look(at(120), false, false), Err(Dead::Silent(Duration::from_secs(20))));
    }

    proptest! {
        /// Looks stand anywhere within the quarter; a living broker answers each ping a little later.
        #[test]
        fn a_link_that_dies_is_noticed_within_five_quarters_and_one_that_lives_never(
            dies_ms in 0_u64..200_000, offset_ms in 1_u64..5000, delay_ms in 1_u64..9_900, waiting: bool,
        ) {
            let ms = |ms: u64| Mono::from_nanos(ms * 1_000_000);
            let mut vigil = Vigil::new(ms(offset_ms), KEEP_ALIVE);
            let (mut answer, mut last) = (None, offset_ms);
            for look in 1..100_u64 {
                let now = offset_ms + look * u64::try_from(QUARTER.as_millis()).unwrap();
                if let Some(due) = answer.filter(|due| *due <= now && *due < dies_ms) {
                    vigil.heard(ms(due));
                    (answer, last) = (None, due);
                }
                match vigil.look(ms(now), waiting && now > dies_ms, false) {
                    Ok(true) => { answer.get_or_insert(now + delay_ms); }
                    Ok(false) => {}
                    Err(_) => {
                        prop_assert!(now > dies_ms, "it lived");
                        prop_assert!(now - last <= 25_000, "{} ms after the last word", now - last);
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "not noticed");
        }
    }
}
