//! Mixed good and bad load on a stack whose parts die now and then, and what must hold all the while.
//!
//! Read [`jobs`] (what is asked, and what must come back), [`callers`] (D-Bus), [`devices`] (MQTT), [`leavers`] (clients
//! that go in the middle), [`health`] (what the processes may use). Nothing of these kills anything; `edge-soak` does. [`bindings`] is
//! a soak of its own.

pub mod bindings;
pub mod callers;
pub mod devices;
pub mod health;
pub mod jobs;
pub mod leavers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::answer::Outcome;
use jobs::{Job, Verdict};

/// Faults that are told one by one.
const MOST_FAULTS: usize = 20;
/// Of the good requests, at least this many in a hundred are served; the others were refused for the load.
const SERVED_PERCENT: u64 = 90;

/// The way of those who go before they are answered.
pub const LEAVING: &str = "leaving";

/// How requests of one way in ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// Good ones, with the right answer.
    pub served: u64,
    /// Bad ones, with the right refusal.
    pub refused: u64,
    /// Refused for the load or for a restart, by name.
    pub busy: u64,
    /// Lost with the daemon on a way that promises nothing else.
    pub lost: u64,
}

/// What everybody of one run shares.
#[derive(Debug)]
pub struct World {
    pub bus_address: String,
    pub mqtt_port: u16,
    pub jobs: Vec<Job>,
    /// Whether the daemon's own link to the broker can carry properties.
    pub properties: bool,
    ends: Mutex<BTreeMap<&'static str, Ends>>,
    faults: Mutex<Vec<String>>,
    /// Odd while the daemon is down on purpose.
    lives: AtomicU64,
    over: AtomicBool,
    open: AtomicU64,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(bus_address: String, mqtt_port: u16, jobs: Vec<Job>, properties: bool) -> World {
        World {
            bus_address,
            mqtt_port,
            jobs,
            properties,
            ends: Mutex::default(),
            faults: Mutex::default(),
            lives: AtomicU64::new(0),
            over: AtomicBool::new(false),
            open: AtomicU64::new(0),
        }
    }

    /// The daemon is about to be killed, or is there again.
    pub fn daemon_turns(&self) {
        self.lives.fetch_add(1, Ordering::Relaxed);
    }

    /// To be compared with the value at another time.
    pub fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// No more requests.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Requests on the broker that have no answer yet.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Judges an answer.
    pub fn judge(&self, way: &'static str, job: &Job, outcome: &Outcome) {
        match job.judge(outcome) {
            Verdict::Right if job.is_good() => self.count(way, |ends| ends.served += 1),
            Verdict::Right => self.count(way, |ends| ends.refused += 1),
            Verdict::Busy => self.count(way, |ends| ends.busy += 1),
            Verdict::Wrong(why) => self.fault(format!("{} by {way}: {why}", job.what)),
        }
    }

    /// A call that was not answered; `began` is what [`World::lives`] said before it.
    pub fn lost(&self, way: &'static str, began: u64, fault: &anyhow::Error) {
        if began.is_multiple_of(2) && began == self.lives() {
            self.fault(format!("{way} broke while the daemon was there: {fault:#}"));
        } else {
            self.count(way, |ends| ends.lost += 1);
        }
    }

    /// Something that must not be.
    pub fn fault(&self, fault: String) {
        eprintln!("  FAULT {fault}");
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    fn count(&self, way: &'static str, change: impl FnOnce(&mut Ends)) {
        change(self.ends.lock().unwrap_or_else(PoisonError::into_inner).entry(way).or_default());
    }

    /// All ways together.
    pub fn sum(&self) -> Ends {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.values().fold(Ends::default(), |sum, ends| Ends {
            served: sum.served + ends.served,
            refused: sum.refused + ends.refused,
            busy: sum.busy + ends.busy,
            lost: sum.lost + ends.lost,
        })
    }

    /// What was wrong, with what the sums say; ends the counting.
    pub fn verdict(&self) -> Vec<String> {
        let mut all = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let more = all.len().saturating_sub(MOST_FAULTS);
        all.truncate(MOST_FAULTS);
        if more > 0 {
            all.push(format!("and {more} more"));
        }
        let sum = self.sum();
        if sum.served * 100 < (sum.served + sum.busy) * SERVED_PERCENT {
            all.push(format!("of the good requests only {} were served and {} were not", sum.served, sum.busy));
        }
        for (way, ends) in self.ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Who leaves gets no answer at all.
            if *way != LEAVING && (ends.served == 0 || ends.refused == 0) {
                all.push(format!("{way} was hardly used: {ends:?}"));
            }
        }
        all
    }
}

impl fmt::Display for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<14} {:>9} {:>9} {:>9} {:>9}", "way", "served", "refused", "busy", "lost")?;
        for (way, ends) in self.ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "{way:<14} {:>9} {:>9} {:>9} {:>9}", ends.served, ends.refused, ends.busy, ends.lost)?;
        }
        Ok(())
    }
}
