//! Which frame of a binding is asked for next, and in which order its answers leave. Decides turns, rates, what is skipped and
//! what waits; must not know what a frame or an answer is, nor who answers.
//!
//! ```text
//!                  arrived                      poll
//!   frame ──► newest: one waits, a newer ──► turn of its source, ──► Submit ──► answered ──► in order of ──► Release
//!             one takes its place            if its rate and the                             its source
//!             every: all wait, up to a       binding's room allow
//!             bound for the binding
//!                  └──► Skip (newer, overloaded)
//! ```
//!
//! Sources that have something to ask take turns. A source that is at its rate waits until its next token, with what waits for
//! it; it is never dropped for that alone. Of too many sources the one that was idle longest is forgotten.

mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;

use self::source::Source;

/// Which frames of a source are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// One at a time, and then the newest: what came in between is skipped.
    Newest,
    /// Every one, in order.
    Every,
}

/// The bounds of one binding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub take: Take,
    /// Least time between two frames of a source; two may come at once after a pause. Zero: no limit.
    pub interval: Duration,
    /// Frames that are asked for at once, of all sources.
    pub max_open: usize,
    /// Of one source; with [`Take::Newest`] it is 1.
    pub max_open_of_one: usize,
    /// Frames of [`Take::Every`] that wait, of all sources.
    pub max_waiting: usize,
    pub max_sources: usize,
}

/// A frame that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a frame was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A newer one of its source came.
    Newer,
    /// There was no room for it.
    Overloaded,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T, R> {
    /// Ask for it, and say what was answered by [`Gate::answered`].
    Submit { ticket: Ticket, source: Arc<str>, frame: T },
    /// This answer may leave.
    Release { ticket: Ticket, source: Arc<str>, result: R },
    /// Nothing becomes of it.
    Skip { source: Arc<str>, frame: T, why: Skipped },
}

/// Sums since the start. What arrived waits, was submitted, or was skipped; what was submitted is open or was released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub arrived: u64,
    pub submitted: u64,
    pub released: u64,
    /// A newer one of their source came.
    pub skipped: u64,
    pub overloaded: u64,
}

/// The gate of one binding.
#[derive(Debug)]
pub struct Gate<T, R> {
    limits: Limits,
    sources: HashMap<Arc<str>, Source<T, R>>,
    /// Those that may ask, in the order of their turns.
    ready: VecDeque<Arc<str>>,
    /// Those that are at their rate, and until when.
    paced: BTreeSet<(Mono, Arc<str>)>,
    /// Those of which nothing waits or is open, the longest idle first.
    idle: BTreeMap<u64, Arc<str>>,
    /// Whose frames are open and unanswered.
    open: HashMap<Ticket, Arc<str>>,
    waiting: usize,
    /// Of those that wait, the ones that nobody keeps.
    loose: usize,
    steps: VecDeque<Step<T, R>>,
    turn: u64,
    counts: Counts,
}

impl<T, R> Gate<T, R> {
    /// A gate with these bounds; each is at least 1.
    pub fn new(limits: Limits) -> Gate<T, R> {
        let max_open_of_one = match limits.take {
            Take::Newest => 1,
            Take::Every => limits.max_open_of_one.max(1),
        };
        let limits = Limits {
            max_open: limits.max_open.max(1),
            max_open_of_one,
            max_waiting: limits.max_waiting.max(1),
            max_sources: limits.max_sources.max(1),
            ..limits
        };
        Gate {
            limits,
            sources: HashMap::new(),
            ready: VecDeque::new(),
            paced: BTreeSet::new(),
            idle: BTreeMap::new(),
            open: HashMap::new(),
            waiting: 0,
            loose: 0,
            steps: VecDeque::new(),
            turn: 0,
            counts: Counts::default(),
        }
    }

    /// A frame of a source came.
    pub fn arrived(&mut self, now: Mono, source: &str, frame: T) {
        self.take(now, source, frame, false);
    }

    /// One came that somebody keeps until it is answered, and of which that one has no more than it can bear: it is never skipped
    /// for want of room.
    pub fn kept(&mut self, now: Mono, source: &str, frame: T) {
        self.take(now, source, frame, self.limits.take == Take::Every);
    }

    fn take(&mut self, now: Mono, source: &str, frame: T, is_kept: bool) {
        self.counts.arrived += 1;
        let name = match self.sources.get_key_value(source) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(source),
        };
        let is_new = !self.sources.contains_key(&name);
        if is_new && self.sources.len() >= self.limits.max_sources && !self.forget_idle() && !is_kept {
            return self.skip(name, frame, Skipped::Overloaded);
        }
        let is_bounded = self.limits.take == Take::Every && !is_kept;
        if is_bounded && self.loose >= self.limits.max_waiting && !self.make_room(&name) {
            return self.skip(name, frame, Skipped::Overloaded);
        }
        let known = self.sources.entry(Arc::clone(&name)).or_default();
        if known.is_idle() {
            self.idle.remove(&known.idle_since);
        }
        let older = if self.limits.take == Take::Newest { known.waiting.pop_front() } else { None };
        known.waiting.push_back((frame, is_kept));
        match older {
            Some((older, _)) => self.skip(Arc::clone(&name), older, Skipped::Newer),
            None => {
                self.waiting += 1;
                self.loose += usize::from(!is_kept);
            }
        }
        self.line_up(now, name);
    }

    /// What was asked for was answered. False: it is not open (any more), and nothing follows.
    pub fn answered(&mut self, now: Mono, ticket: Ticket, result: R) -> bool {
        let Some(name) = self.open.remove(&ticket) else { return false };
        if let Some(source) = self.sources.get_mut(&name) {
            source.answered(ticket, result);
            while let Some((ticket, result)) = source.next_answer() {
                self.counts.released += 1;
                self.steps.push_back(Step::Release { ticket, source: Arc::clone(&name), result });
            }
        }
        self.line_up(now, name);
        true
    }

    /// The next thing to be done.
    pub fn poll(&mut self, now: Mono) -> Option<Step<T, R>> {
        while let Some((at, name)) = self.paced.pop_first() {
            if at > now {
                self.paced.insert((at, name));
                break;
            }
            if let Some(source) = self.sources.get_mut(&name) {
                source.in_line = false;
            }
            self.line_up(now, name);
        }
        if self.steps.is_empty() && self.open.len() < self.limits.max_open {
            self.submit(now);
        }
        self.steps.pop_front()
    }

    /// When there may be something to be done though nothing came.
    pub fn next_tick(&self) -> Option<Mono> {
        self.paced.first().map(|(at, _)| *at)
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Frames that are asked for and not answered.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Sources that are known.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn submit(&mut self, now: Mono) {
        let Some(name) = self.ready.pop_front() else { return };
        let Some(source) = self.sources.get_mut(&name) else { return };
        source.in_line = false;
        let Some((frame, is_kept)) = source.waiting.pop_front() else { return };
        self.turn += 1;
        let ticket = Ticket(self.turn);
        source.submitted(now, ticket, self.limits.interval);
        self.waiting = self.waiting.saturating_sub(1);
        self.loose = self.loose.saturating_sub(usize::from(!is_kept));
        self.counts.submitted += 1;
        self.open.insert(ticket, Arc::clone(&name));
        self.steps.push_back(Step::Submit { ticket, source: Arc::clone(&name), frame });
        // At the end of the line: the others come first.
        self.line_up(now, name);
    }

    /// Puts a source where what it has belongs: in line, to those that wait for their time, or to the idle ones.
    fn line_up(&mut self, now: Mono, name: Arc<str>) {
        let Some(source) = self.sources.get_mut(&name) else { return };
        if source.is_idle() {
            self.turn += 1;
            source.idle_since = self.turn;
            self.idle.insert(self.turn, name);
            return;
        }
        if source.in_line || source.waiting.is_empty() || source.open.len() >= self.limits.max_open_of_one {
            return;
        }
        source.in_line = true;
        match source.not_before > now {
            true => _ = self.paced.insert((source.not_before, name)),
            false => self.ready.push_back(name),
        }
    }

    fn skip(&mut self, source: Arc<str>, frame: T, why: Skipped) {
        match why {
            Skipped::Newer => self.counts.skipped += 1,
            Skipped::Overloaded => self.counts.overloaded += 1,
        }
        self.steps.push_back(Step::Skip { source, frame, why });
    }

    /// Room for a source that has nothing waiting, at the cost of the newest frame of the one that has most: a storm on one
    /// topic does not keep the others out.
    fn make_room(&mut self, source: &Arc<str>) -> bool {
        if self.sources.get(source).is_some_and(|source| !source.waiting.is_empty()) {
            return false;
        }
        let loose = |other: &Source<T, R>| other.waiting.iter().filter(|(_, is_kept)| !is_kept).count();
        let most = self.sources.iter_mut().max_by_key(|(_, other)| loose(other));
        let Some((name, most)) = most.filter(|(_, most)| loose(most) > 1) else { return false };
        let newest = most.waiting.iter().rposition(|(_, is_kept)| !is_kept);
        let (name, frame) = (Arc::clone(name), newest.and_then(|at| most.waiting.remove(at)));
        let Some((frame, _)) = frame else { return false };
        self.waiting = self.waiting.saturating_sub(1);
        self.loose = self.loose.saturating_sub(1);
        self.skip(name, frame, Skipped::Overloaded);
        true
    }

    fn forget_idle(&mut self) -> bool {
        self.idle.pop_first().is_some_and(|(_, name)| self.sources.remove(&name).is_some())
    }
}

#[cfg(test)]
mod tests;
