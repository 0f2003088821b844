//! One model: whether it can run, its lanes and what they run, what waits for it, what was learnt of it.

use core::time::Duration;

use crate::estimate::arrivals::Arrivals;
use crate::estimate::batch_size::BatchSize;
use crate::estimate::fan_out::FanOut;
use crate::estimate::late::Late;
use crate::estimate::prepare::PrepareTimes;
use crate::estimate::service::ServiceTimes;
use crate::event::LaneRange;
use crate::fair::FairQueue;
use crate::id::{LaneId, ModelId, RequestId, ShareId};
use crate::members::Ids;
use crate::queue::{Forest, Key, Load, Queue, Slot};
use crate::request::Priority;
use crate::units::{Mono, Span};

/// A batch may be sent to a lane ahead if the one that runs there takes no longer than this. It closes the gap between
/// two batches (messages and wake-ups of two processes, a few tenths of a millisecond), which costs a model of this time
/// two percent and a faster one more; for a slow one the gap is nothing, and to commit early would only make a more
/// urgent request wait.
const SHORT: Span = Span::from_millis(15);

/// Whether a model can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    /// Expected back; since when it is waited for (the death, then the host that is up again), and whether the host's
    /// death was the cause.
    Coming {
        since: Mono,
        host_died: bool,
    },
    Ready,
}

/// One batch on a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub ids: Ids,
    /// Size in the model's batch dimension.
    pub rows: usize,
    pub units: u64,
    /// When the lane began with it.
    pub started: Mono,
    /// How long it was expected to take.
    pub estimate: Option<Span>,
    /// Its one member is a retry.
    pub alone: bool,
    /// Members that nobody has given up.
    pub wanted: usize,
    pub size: Size,
    /// No other lane was busy when it was made.
    pub apart: bool,
}

/// The size of a batch, against those before it on its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// No other had as many rows.
    First,
    /// Others had as many rows, the last one did not, or each of its rows cost something else.
    Changed,
    /// The last one had the same.
    Same,
}

impl Batch {
    /// What is left of the time it was expected to take. One that nobody wants any more was told to stop.
    pub fn remaining(&self, now: Mono) -> Span {
        self.whole().minus(Span::between(self.started, now))
    }

    fn whole(&self) -> Span {
        if self.wanted == 0 { Span::ZERO } else { self.estimate.unwrap_or(Span::ZERO) }
    }

    fn is_short(&self) -> bool {
        self.estimate.is_some_and(|estimate| estimate <= SHORT)
    }
}

/// One engine thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    pub id: LaneId,
    pub running: Option<Batch>,
    pub next: Option<Batch>,
    /// Rows and units of the batch that was given to it last.
    last: Option<(usize, u64)>,
    /// A bit for each number of rows that it was given; the last one for all larger ones.
    sizes: u64,
    /// Takes nothing new: the model was unloaded or moved to other lanes.
    pub retired: bool,
}

impl Lane {
    pub fn new(id: LaneId) -> Lane {
        Lane { id, running: None, next: None, last: None, sizes: 0, retired: false }
    }

    /// A batch is about to be given to it.
    pub fn note(&mut self, rows: usize, units: u64) -> Size {
        let bit = 1_u64 << rows.min(63);
        let size = if self.last == Some((rows, units)) {
            Size::Same
        } else if self.sizes & bit == 0 {
            Size::First
        } else {
            Size::Changed
        };
        (self.last, self.sizes) = (Some((rows, units)), self.sizes | bit);
        size
    }

    /// Rows of the batch that was given to it last.
    pub fn last_rows(&self) -> Option<usize> {
        self.last.map(|(rows, _)| rows)
    }

    pub fn is_free(&self) -> bool {
        !self.retired && self.running.is_none()
    }

    /// Whether a batch may be sent ahead while another one runs.
    fn takes_ahead(&self) -> bool {
        !self.retired && self.next.is_none() && self.running.is_some_and(|batch| batch.is_short() && !batch.alone)
    }

    pub fn remaining(&self, now: Mono) -> Span {
        let running = self.running.map_or(Span::ZERO, |batch| batch.remaining(now));
        running.plus(self.next.map_or(Span::ZERO, |next| next.whole()))
    }
}

/// The four orders of waiting requests of a model. Those that run alone wait apart, so that one of them that may not
/// start yet holds up nobody; they are few, and go by priority and deadline without turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Decode,
    DecodeAlone,
    Run,
    RunAlone,
}

#[derive(Debug)]
pub(super) struct Model {
    pub id: ModelId,
    /// Index into the scheduler's hosts.
    pub host: usize,
    /// Index of the model that took over from it.
    pub heir: Option<usize>,
    pub state: State,
    pub lanes: Vec<Lane>,
    /// By its manifest.
    pub max_batch: u16,
    pub default_deadline: Option<Duration>,
    pub times: ServiceTimes,
    pub size: BatchSize,
    /// Its runs against its plan.
    pub late: Late,
    /// How often something comes that can run.
    pub arrivals: Arrivals,
    /// The batch size at which a backlog is worked off, by what is known of it.
    pub usual: usize,
    pub prepare: PrepareTimes,
    /// Of a pipeline: what its requests ask of its stages.
    pub fan_out: FanOut,
    /// What waits to be decoded, and to be run.
    pub decode: FairQueue,
    pub run: FairQueue,
    /// The same, of what has to run alone.
    decode_alone: Queue,
    run_alone: Queue,
    /// Waiting requests whose tensors the host holds.
    pub decoded: usize,
    /// Requests given to lanes and not settled.
    pub running: usize,
    pub done: u64,
}

impl Model {
    pub fn new(id: ModelId) -> Model {
        Model {
            id,
            host: 0,
            heir: None,
            state: State::Absent,
            lanes: Vec::new(),
            max_batch: 1,
            default_deadline: None,
            times: ServiceTimes::default(),
            size: BatchSize::default(),
            late: Late::default(),
            arrivals: Arrivals::default(),
            usual: 1,
            prepare: PrepareTimes::default(),
            fan_out: FanOut::default(),
            decode: FairQueue::default(),
            run: FairQueue::default(),
            decode_alone: Queue::default(),
            run_alone: Queue::default(),
            decoded: 0,
            running: 0,
            done: 0,
        }
    }

    /// Puts a waiting request into a line.
    pub fn enter(&mut self, forest: &mut Forest, line: Line, slot: Slot, key: Key, units: u64) {
        match line {
            Line::Decode => self.decode.insert(forest, slot, key, units),
            Line::Run => self.run.insert(forest, slot, key, units),
            Line::DecodeAlone => forest.insert(&mut self.decode_alone, slot, key.of_all(), units),
            Line::RunAlone => forest.insert(&mut self.run_alone, slot, key.of_all(), units),
        }
    }

    /// Takes a waiting request out of its line.
    pub fn leave(&mut self, forest: &mut Forest, line: Line, key: Key) {
        match line {
            Line::Decode => self.decode.remove(forest, key),
            Line::Run => self.run.remove(forest, key),
            Line::DecodeAlone => forest.remove(&mut self.decode_alone, key.of_all()),
            Line::RunAlone => forest.remove(&mut self.run_alone, key.of_all()),
        }
    }

    /// Whether a line is empty.
    pub fn is_empty(&self, line: Line) -> bool {
        match line {
            Line::Decode => self.decode.is_empty(),
            Line::Run => self.run.is_empty(),
            Line::DecodeAlone | Line::RunAlone => self.alone(line).is_empty(),
        }
    }

    /// The request of a priority whose turn it is in a line.
    pub fn next(&self, forest: &Forest, line: Line, priority: Priority) -> Option<(Key, Slot)> {
        match line {
            Line::Decode => self.decode.next(priority),
            Line::Run => self.run.next(priority),
            Line::DecodeAlone | Line::RunAlone => forest.first_of(self.alone(line), priority, ShareId::default()),
        }
    }

    /// What waits in a line before a request with this key that it does not take turns with.
    pub fn alone_before(&self, forest: &Forest, line: Line, key: Key) -> Load {
        if self.alone(line).is_empty() { Load::default() } else { forest.before(self.alone(line), key.of_all()) }
    }

    fn alone(&self, line: Line) -> &Queue {
        match line {
            Line::Decode | Line::DecodeAlone => &self.decode_alone,
            Line::Run | Line::RunAlone => &self.run_alone,
        }
    }

    /// All that waits for it.
    pub fn waiting(&self, forest: &Forest) -> u64 {
        let fair = self.decode.total().count + self.run.total().count;
        fair + forest.total(&self.decode_alone).count + forest.total(&self.run_alone).count
    }

    /// Whether something of this priority waits in a line; of what runs alone, whether anything does.
    pub fn waits(&self, line: Line, priority: Priority) -> bool {
        match line {
            Line::Decode => self.decode.waits(priority),
            Line::Run => self.run.waits(priority),
            Line::DecodeAlone | Line::RunAlone => !self.is_empty(line),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether nothing waits for it.
    pub fn waits_for_nothing(&self) -> bool {
        let fair = self.decode.is_empty() && self.run.is_empty();
        fair && self.decode_alone.is_empty() && self.run_alone.is_empty()
    }

    /// Whether nothing waits to be run.
    pub fn runs_nothing(&self) -> bool {
        self.run.is_empty() && self.run_alone.is_empty()
    }

    /// Largest batch that policy and manifest allow.
    pub fn most(&self, policy_max: u16) -> usize {
        usize::from(self.max_batch.min(policy_max).max(1)).min(Ids::CAPACITY)
    }

    pub fn free_lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_free()).count()
    }

    pub fn busy_lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.running.is_some()).count()
    }

    /// Lanes that take work, now or when they are done.
    pub fn usable_lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| !lane.retired).count()
    }

    pub fn free_lane(&self) -> Option<usize> {
        self.lanes.iter().position(Lane::is_free)
    }

    /// The lane that will be done first among those that a batch may be sent ahead to.
    pub fn lane_ahead(&self, now: Mono) -> Option<usize> {
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| lane.takes_ahead());
        lanes.min_by_key(|(_, lane)| lane.remaining(now)).map(|(index, _)| index)
    }

    /// Work that its lanes have begun or hold.
    pub fn remaining(&self, now: Mono) -> Span {
        self.lanes.iter().fold(Span::ZERO, |sum, lane| sum.plus(lane.remaining(now)))
    }

    /// A request that was given to a lane is not wanted any more.
    pub fn unwanted(&mut self, id: RequestId) {
        let batches = self.lanes.iter_mut().flat_map(|lane| [&mut lane.running, &mut lane.next]).flatten();
        for batch in batches.filter(|batch| batch.ids.as_slice().contains(&id)) {
            batch.wanted = batch.wanted.saturating_sub(1);
        }
    }

    /// These lanes from now on; others end after what they run. Allocates, as a load is no decision.
    pub fn set_lanes(&mut self, range: LaneRange) {
        self.retire_lanes();
        for offset in 0..range.count {
            let Some(id) = range.first.0.checked_add(offset).map(LaneId) else { break };
            match self.lanes.iter_mut().find(|lane| lane.id == id) {
                Some(lane) => lane.retired = false,
                None => self.lanes.push(Lane::new(id)),
            }
        }
    }

    /// Lets no lane take anything new, and forgets those that run nothing.
    pub fn retire_lanes(&mut self) {
        self.lanes.retain(|lane| lane.running.is_some());
        self.lanes.iter_mut().for_each(|lane| lane.retired = true);
    }
}
