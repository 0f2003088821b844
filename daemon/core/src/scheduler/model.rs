//! One model: whether it can run, its lanes and what they run, what waits for it, what was learnt of it.

use core::time::Duration;

use crate::estimate::batch_size::BatchSize;
use crate::estimate::prepare::PrepareTimes;
use crate::estimate::service::ServiceTimes;
use crate::event::LaneRange;
use crate::id::{LaneId, ModelId};
use crate::members::Ids;
use crate::queue::Queue;
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
}

impl Batch {
    /// What is left of the time it was expected to take.
    pub fn remaining(&self, now: Mono) -> Span {
        self.estimate.unwrap_or(Span::ZERO).minus(Span::between(self.started, now))
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
    /// Takes nothing new: the model was unloaded or moved to other lanes.
    pub retired: bool,
}

impl Lane {
    pub fn is_free(&self) -> bool {
        !self.retired && self.running.is_none()
    }

    /// Whether a batch may be sent ahead while another one runs.
    fn takes_ahead(&self) -> bool {
        !self.retired && self.next.is_none() && self.running.is_some_and(|batch| batch.is_short() && !batch.alone)
    }

    pub fn remaining(&self, now: Mono) -> Span {
        let of = |batch: Option<Batch>| batch.map_or(Span::ZERO, |batch| batch.remaining(now));
        of(self.running).plus(self.next.and_then(|next| next.estimate).unwrap_or(Span::ZERO))
    }
}

/// The four orders of waiting requests of a model. Those that run alone wait apart, so that one of them that may not
/// start yet holds up nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Decode,
    DecodeAlone,
    Run,
    RunAlone,
}

impl Line {
    pub const ALL: [Line; 4] = [Line::Decode, Line::DecodeAlone, Line::Run, Line::RunAlone];
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
    pub prepare: PrepareTimes,
    lines: [Queue; 4],
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
            prepare: PrepareTimes::default(),
            lines: [Queue::default(); 4],
            decoded: 0,
            running: 0,
            done: 0,
        }
    }

    pub fn line(&self, line: Line) -> &Queue {
        let [decode, decode_alone, run, run_alone] = &self.lines;
        match line {
            Line::Decode => decode,
            Line::DecodeAlone => decode_alone,
            Line::Run => run,
            Line::RunAlone => run_alone,
        }
    }

    pub fn line_mut(&mut self, line: Line) -> &mut Queue {
        let [decode, decode_alone, run, run_alone] = &mut self.lines;
        match line {
            Line::Decode => decode,
            Line::DecodeAlone => decode_alone,
            Line::Run => run,
            Line::RunAlone => run_alone,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether nothing waits for it and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.lines.iter().all(Queue::is_empty) && self.lanes.iter().all(|lane| lane.running.is_none())
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

    /// These lanes from now on; others end after what they run. Allocates, as a load is no decision.
    pub fn set_lanes(&mut self, range: LaneRange) {
        self.retire_lanes();
        for offset in 0..range.count {
            let Some(id) = range.first.0.checked_add(offset).map(LaneId) else { break };
            match self.lanes.iter_mut().find(|lane| lane.id == id) {
                Some(lane) => lane.retired = false,
                None => self.lanes.push(Lane { id, running: None, next: None, retired: false }),
            }
        }
    }

    /// Lets no lane take anything new, and forgets those that run nothing.
    pub fn retire_lanes(&mut self) {
        self.lanes.retain(|lane| lane.running.is_some());
        self.lanes.iter_mut().for_each(|lane| lane.retired = true);
    }
}
