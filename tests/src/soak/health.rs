//! What the daemon and its engine host use, and that it does not grow: what they use after a warm-up is the measure for
//! all that comes later.

use std::fmt;

use anyhow::Result;

use crate::client::bus::BusClient;
use crate::usage;

/// What the daemon may use beyond its warm-up: room for a burst of payloads.
const DAEMON_ROOM: u64 = 8 << 20;
/// What the host may use beyond its warm-up: two of the largest pictures in work.
const HOST_ROOM: u64 = 64 << 20;
/// Descriptors beyond those of the warm-up: clients come and go, and each request may bring some.
const FD_ROOM: usize = 32;

/// One process at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub pid: u32,
    pub resident: u64,
    pub descriptors: usize,
}

impl Use {
    fn of(pid: u32) -> Result<Use> {
        Ok(Use { pid, resident: usage::resident(pid)?, descriptors: usage::descriptors(pid)? })
    }

    /// The larger of each.
    fn most(self, other: Use) -> Use {
        Use {
            pid: self.pid,
            resident: self.resident.max(other.resident),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }

    fn within(self, warm: Use, room: u64) -> bool {
        self.resident <= warm.resident + room && self.descriptors <= warm.descriptors + FD_ROOM
    }
}

impl fmt::Display for Use {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>6.1} MB {:>3} fds", self.resident as f64 / 1e6, self.descriptors)
    }
}

/// Both at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub daemon: Use,
    pub host: Use,
}

impl Sample {
    /// Reads it now; the host is nothing while there is none.
    pub async fn take(client: &BusClient, daemon: u32) -> Result<Sample> {
        let engine = client.status().await?.engine;
        // One that was killed a moment ago may still be called up.
        let host = if engine.state == "up" { Use::of(engine.pid).unwrap_or_default() } else { Use::default() };
        Ok(Sample { daemon: Use::of(daemon)?, host })
    }
}

/// Holds later samples against those of the warm-up. Only samples of the same processes count.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    warm: Option<Sample>,
    worst: Option<Sample>,
}

impl Watch {
    /// A sample of the warm-up.
    pub fn warm_up(&mut self, sample: Sample) {
        self.warm = Some(most(self.warm, sample));
    }

    /// A later one.
    pub fn look(&mut self, sample: Sample) {
        self.worst = Some(most(self.worst, sample));
    }

    /// What has grown too much.
    pub fn faults(&self) -> Vec<String> {
        let (Some(warm), Some(worst)) = (self.warm, self.worst) else {
            return vec!["nothing was measured".into()];
        };
        let mut faults = Vec::new();
        for (who, warm, worst, room) in
            [("daemon", warm.daemon, worst.daemon, DAEMON_ROOM), ("host", warm.host, worst.host, HOST_ROOM)]
        {
            if warm.pid != worst.pid {
                faults.push(format!("the {who} was started again while nobody killed it"));
            } else if !worst.within(warm, room) {
                faults.push(format!("the {who} has grown: {warm} after the warm-up, {worst} later"));
            }
        }
        faults
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (warm, worst) = (self.warm.unwrap_or_default(), self.worst.unwrap_or_default());
        writeln!(out, "{:<14} {:>20} {:>20}", "most of", "in the warm-up", "later")?;
        writeln!(out, "{:<14} {:>20} {:>20}", "daemon", warm.daemon.to_string(), worst.daemon.to_string())?;
        writeln!(out, "{:<14} {:>20} {:>20}", "engine host", warm.host.to_string(), worst.host.to_string())
    }
}

fn most(so_far: Option<Sample>, sample: Sample) -> Sample {
    match so_far {
        // A process that came later is told by its id.
        Some(so_far) => Sample {
            daemon: Use { pid: sample.daemon.pid, ..so_far.daemon.most(sample.daemon) },
            host: Use { pid: sample.host.pid, ..so_far.host.most(sample.host) },
        },
        None => sample,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(daemon: u64, host: u64, descriptors: usize) -> Sample {
        let one = |pid, resident| Use { pid, resident: resident << 20, descriptors };
        Sample { daemon: one(1, daemon), host: one(2, host) }
    }

    #[test]
    fn growth_is_told_with_its_process_and_room_is_left() {
        let faults = |later: Sample| {
            let mut watch = Watch::default();
            watch.warm_up(sample(18, 100, 30));
            watch.warm_up(sample(15, 120, 20));
            watch.look(later);
            watch.faults()
        };
        assert_eq!(faults(sample(25, 170, 60)), Vec::<String>::new());
        assert!(faults(sample(27, 100, 30))[0].contains("daemon has grown"));
        assert!(faults(sample(18, 190, 30))[0].contains("host has grown"));
        assert_eq!(faults(sample(18, 120, 70)).len(), 2);
        let mut other = sample(18, 100, 30);
        other.host.pid = 3;
        assert!(faults(other)[0].contains("host was started again"));
        assert_eq!(Watch::default().faults(), ["nothing was measured"]);
    }
}
