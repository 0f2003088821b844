//! What all models want and only some can have at a time: the policy's lanes, and the decoders. Decides whose head is next:
//! the highest priority, or a lower one that has earned a turn; in it the models in turn, each for as many callers as wait
//! there; then the earliest deadline.

use crate::queue::{Key, Slot};
use crate::request::Priority;
use crate::scheduler::model::Line;
use crate::turns::{Reserve, Turns};
use crate::units::{Ratio, Span};

/// The request of a model and a priority that would start next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub key: Key,
    pub slot: Slot,
    pub model: usize,
    pub line: Line,
    /// The end of the models' round in which it starts.
    pub round: Span,
}

/// One thing that is contested.
#[derive(Debug)]
pub(super) struct Contest {
    models: [Turns; Priority::ALL.len()],
    reserve: Reserve,
}

/// What the policy says of contests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub share: Ratio,
    pub chunk: Span,
}

impl Contest {
    pub fn new() -> Contest {
        Contest { models: Priority::ALL.map(|_| Turns::new(0)), reserve: Reserve::default() }
    }

    /// One more model. Allocates, as a first mention of a model is no decision.
    pub fn add_model(&mut self) {
        self.models.iter_mut().for_each(Turns::add);
    }

    /// Where a model is in the turns of a priority.
    pub fn tag(&self, priority: Priority, model: usize) -> Span {
        self.models[priority.index()].tag(model)
    }

    /// The next to start among `heads` of each priority, at most one of each model and line; `time` says how long one is
    /// expected to take alone.
    pub fn choose<H: Iterator<Item = Head>>(
        &self,
        terms: Terms,
        heads: impl Fn(Priority) -> H,
        time: impl Fn(&Head) -> Span,
    ) -> Option<Head> {
        let highest = Priority::ALL.into_iter().find_map(|priority| self.first(priority, &heads))?;
        let lower = Priority::ALL.into_iter().rev().take_while(|priority| *priority > highest.key.priority);
        let due = |priority: &Priority, time| self.reserve.is_due(*priority, time, terms.chunk);
        let earned = lower.filter(|priority| due(priority, Span::ZERO));
        let mut firsts = earned.filter_map(|priority| self.first(priority, &heads));
        Some(firsts.find(|head| due(&head.key.priority, time(head))).unwrap_or(highest))
    }

    fn first<H: Iterator<Item = Head>>(&self, priority: Priority, heads: &impl Fn(Priority) -> H) -> Option<Head> {
        let turns = &self.models[priority.index()];
        let mut all = heads(priority);
        let only = all.next()?;
        if all.next().is_none() {
            return Some(Head { round: turns.round(turns.tag(only.model)), ..only });
        }
        let round = turns.round(heads(priority).map(|head| turns.tag(head.model)).min()?);
        let eligible = heads(priority).filter(|head| turns.tag(head.model) < round);
        eligible.min_by_key(|head| head.key.by_deadline()).map(|head| Head { round, ..head })
    }

    /// `head`, of a model for which `callers` wait, begins a run of `time`; `waits` says which priorities have something
    /// waiting.
    pub fn charge(&mut self, head: &Head, callers: u64, time: Span, terms: Terms, waits: [bool; Priority::ALL.len()]) {
        let priority = head.key.priority;
        self.models[priority.index()].charge(head.model, head.round, time.part(callers));
        self.reserve.ran(priority, time, waits, terms.share, terms.chunk);
    }
}
