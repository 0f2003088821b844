//! What happens to the system, and when: at random moments, the same for the same seed.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::clock::measure_for;
use crate::faulty::Faulty;
use crate::kills::Moments;
use crate::stack::Stack;

/// Time from one to the next in the mean, and so many of them at least in a short run.
const BETWEEN: Duration = Duration::from_secs(25);
const LEAST: u32 = 12;
/// How long the broker is away, and the link silent, at most. The link is so for longer than it takes to be noticed.
const AWAY_MS: u64 = 4_000;
const SILENT_MS: u64 = 12_000;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    DaemonKilled,
    /// For so long.
    BrokerAway(Duration),
    LinkSilent(Duration),
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened {
    pub kills: u32,
    pub stops: u32,
    pub silences: u32,
}

impl Happened {
    /// All together.
    pub fn all(&self) -> u32 {
        self.kills + self.stops + self.silences
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Happened { kills, stops, silences } = self;
        write!(out, "{kills} kills of the daemon, {stops} stops of the broker, {silences} silences of the link")
    }
}

/// What is to come.
#[derive(Debug)]
pub struct Faults {
    moments: Moments,
    between: Duration,
    next: Duration,
    pub happened: Happened,
}

impl Faults {
    /// For a run of this length.
    pub fn new(seed: u64, time: Duration) -> Faults {
        let between = BETWEEN.min(time / LEAST);
        Faults { moments: Moments::new(seed), between, next: between, happened: Happened::default() }
    }

    /// What happens now, if its moment has come; without kills when the daemon is to live.
    pub fn due(&mut self, now: Duration, may_kill: bool) -> Option<Fault> {
        if now < self.next {
            return None;
        }
        let least = self.between / 2;
        self.next = now + least + self.up_to(u64::try_from(self.between.as_millis()).unwrap_or(u64::MAX));
        // In turn, so that a short run has each of them; the moments and lengths are random.
        let all = self.happened.all();
        let turn = if may_kill { all % 3 } else { 1 + all % 2 };
        Some(match turn {
            0 => {
                self.happened.kills += 1;
                Fault::DaemonKilled
            }
            1 => {
                self.happened.stops += 1;
                Fault::BrokerAway(self.up_to(AWAY_MS))
            }
            _ => {
                self.happened.silences += 1;
                Fault::LinkSilent(self.up_to(SILENT_MS))
            }
        })
    }

    fn up_to(&mut self, ms: u64) -> Duration {
        Duration::from_millis(self.moments.next(ms.max(1)))
    }
}

impl Fault {
    /// Lets it happen, until it is over.
    pub async fn happen(self, stack: &mut Stack, link: &Faulty) -> Result<()> {
        match self {
            Fault::DaemonKilled => {
                stack.daemon_mut()?.process.crash()?;
                stack.start_daemon().await
            }
            Fault::BrokerAway(time) => {
                stack.broker_mut()?.stop()?;
                // The length of the outage, not a wait for something.
                measure_for(time).await;
                stack.broker_mut()?.start_again()
            }
            Fault::LinkSilent(time) => {
                link.part(true);
                measure_for(time).await;
                link.heal();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults_and_a_daemon_that_is_to_live_is_not_killed() {
        let all = |may_kill: bool| -> Vec<Fault> {
            let mut faults = Faults::new(7, Duration::from_secs(3600));
            (0..3600).filter_map(|second| faults.due(Duration::from_secs(second), may_kill)).collect()
        };
        assert_eq!(all(true), all(true));
        assert!(all(true).len() > 100 && all(true).contains(&Fault::DaemonKilled));
        assert!(all(false).len() > 100 && !all(false).contains(&Fault::DaemonKilled));
    }
}
