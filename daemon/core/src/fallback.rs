//! What is tried next when a place does not serve a request: the operator's table, and its default.
//!
//! | failure | by default |
//! |---|---|
//! | out of memory | another site, wait on the disk |
//! | heat, or somebody holds the box | another site, wait on the disk |
//! | prompt too long for the model here | another site |
//! | the runtime failed on it | another site |
//! | no room or no time here | another site, wait on the disk |
//! | a site does not serve | another site, this box, wait on the disk |
//! | a budget is spent | another site, this box, wait on the disk |
//!
//! A step that is not possible is passed over: no site may serve it, the request may not be deferred, this box cannot be in
//! time. What was alive when engine hosts died is tried nowhere: it would take others along.

use crate::spill::Bar;
use crate::verdict::{Fault, Reason};

/// Why a place does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The model, or what it decodes, has no room in memory.
    OutOfMemory,
    /// Heat or power hold the box back, or somebody reserves it.
    Heat,
    /// The prompt is longer than the model here can read.
    ContextOverflow,
    /// The runtime failed on the request.
    EngineFault,
    /// There is no room for one more request, or no time, or the model is not there.
    QueueFull,
    /// A site did not serve what was sent to it.
    SiteDown,
    /// The site that would be taken has spent its budget.
    BudgetSpent,
}

impl Failure {
    /// All of them, in the order of the table.
    pub const ALL: [Failure; 7] = [
        Failure::OutOfMemory,
        Failure::Heat,
        Failure::ContextOverflow,
        Failure::EngineFault,
        Failure::QueueFull,
        Failure::SiteDown,
        Failure::BudgetSpent,
    ];

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::OutOfMemory => "out_of_memory",
            Failure::Heat => "heat",
            Failure::ContextOverflow => "context_overflow",
            Failure::EngineFault => "engine_fault",
            Failure::QueueFull => "queue_full",
            Failure::SiteDown => "site_down",
            Failure::BudgetSpent => "budget_spent",
        }
    }

    /// Which failure it is when this box refuses or drops a request for `reason`; `None` if another place is no help, or
    /// would come to harm.
    pub const fn of_reason(reason: Reason) -> Option<Failure> {
        match reason {
            Reason::Throttled | Reason::TooHot | Reason::Held => Some(Failure::Heat),
            Reason::ContextOverflow => Some(Failure::ContextOverflow),
            Reason::EngineFault => Some(Failure::EngineFault),
            Reason::OutOfMemory => Some(Failure::OutOfMemory),
            Reason::SiteDown => Some(Failure::SiteDown),
            Reason::BudgetSpent => Some(Failure::BudgetSpent),
            Reason::QueueFull
            | Reason::BytesFull
            | Reason::ClientShare
            | Reason::PredictedWait
            | Reason::DeadlineTooShort
            | Reason::ModelUnavailable
            | Reason::HostDown
            | Reason::OnlyThere
            | Reason::WaitedTooLong => Some(Failure::QueueFull),
            Reason::Feasible
            | Reason::Deferrable
            | Reason::Unmeasured
            | Reason::DeadlinePast
            | Reason::Draining
            | Reason::DiedTwice
            | Reason::FanOut
            | Reason::NoParent
            | Reason::Faster
            | Reason::Difficult
            | Reason::Doubtful
            | Reason::Hedged
            | Reason::Compared => None,
        }
    }

    /// Which failure it is when work on it failed here; `None` if it would fail anywhere, or do harm there.
    pub const fn of_fault(fault: Fault) -> Option<Failure> {
        match fault {
            Fault::Runtime => Some(Failure::EngineFault),
            Fault::Full => Some(Failure::OutOfMemory),
            Fault::Late => Some(Failure::QueueFull),
            Fault::HostLost
            | Fault::Hung
            | Fault::InvalidInput
            | Fault::TooLarge
            | Fault::Stopped
            | Fault::Site
            | Fault::Confined => None,
        }
    }

    /// The reason that the next place is given.
    pub const fn reason(self) -> Reason {
        match self {
            Failure::OutOfMemory => Reason::OutOfMemory,
            Failure::Heat => Reason::Throttled,
            Failure::ContextOverflow => Reason::ContextOverflow,
            Failure::EngineFault => Reason::EngineFault,
            Failure::QueueFull => Reason::QueueFull,
            Failure::SiteDown => Reason::SiteDown,
            Failure::BudgetSpent => Reason::BudgetSpent,
        }
    }

    const fn index(self) -> usize {
        match self {
            Failure::OutOfMemory => 0,
            Failure::Heat => 1,
            Failure::ContextOverflow => 2,
            Failure::EngineFault => 3,
            Failure::QueueFull => 4,
            Failure::SiteDown => 5,
            Failure::BudgetSpent => 6,
        }
    }
}

/// What is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The best of the sites that may serve it and were not asked yet.
    Site,
    /// This box, if it can be in time.
    Here,
    /// The disk, if the request may be deferred, until something can serve it.
    Wait,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 3] = [Step::Site, Step::Here, Step::Wait];

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Site => "site",
            Step::Here => "here",
            Step::Wait => "wait",
        }
    }

    /// The step called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.as_str() == word)
    }

    const fn index(self) -> usize {
        match self {
            Step::Site => 0,
            Step::Here => 1,
            Step::Wait => 2,
        }
    }
}

/// Steps in their order; the first `None` ends them, and then the answer is no.
pub type Steps = [Option<Step>; 3];

/// For each failure what is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallbacks([Steps; 7]);

impl Fallbacks {
    /// The steps after a failure.
    pub fn after(&self, failure: Failure) -> impl Iterator<Item = Step> + use<> {
        self.0[failure.index()].into_iter().map_while(|step| step)
    }

    /// The same table with other steps after one failure.
    pub fn with(mut self, failure: Failure, steps: Steps) -> Fallbacks {
        self.0[failure.index()] = steps;
        self
    }
}

impl Default for Fallbacks {
    fn default() -> Fallbacks {
        let site = [Some(Step::Site), None, None];
        let wait = [Some(Step::Site), Some(Step::Wait), None];
        let here = [Some(Step::Site), Some(Step::Here), Some(Step::Wait)];
        Fallbacks([wait, wait, site, site, wait, here, here])
    }
}

/// How often each step was taken after each failure, and how often nothing was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken([[u64; 4]; 7]);

impl Taken {
    /// A step was taken; `None`: the answer was no.
    pub fn count(&mut self, failure: Failure, step: Option<Step>) {
        let place = &mut self.0[failure.index()][step.map_or(3, Step::index)];
        *place = place.saturating_add(1);
    }

    /// How often.
    pub fn get(&self, failure: Failure, step: Option<Step>) -> u64 {
        self.0[failure.index()][step.map_or(3, Step::index)]
    }
}

/// Which failure a bar of the site that would otherwise be taken is.
pub const fn of_bar(bar: Bar) -> Failure {
    match bar {
        Bar::Budget => Failure::BudgetSpent,
        Bar::Class
        | Bar::Unmet(_)
        | Bar::Rule
        | Bar::NotServed
        | Bar::TooLarge
        | Bar::Context
        | Bar::Tried
        | Bar::Off
        | Bar::Tripped
        | Bar::Full
        | Bar::TooSlow => Failure::SiteDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_default_that_starts_with_another_site() {
        for failure in Failure::ALL {
            assert_eq!(Fallbacks::default().after(failure).next(), Some(Step::Site), "{}", failure.as_str());
        }
        let waits = |failure| Fallbacks::default().after(failure).any(|step| step == Step::Wait);
        let waiting: Vec<&str> = Failure::ALL.into_iter().filter(|it| waits(*it)).map(Failure::as_str).collect();
        assert_eq!(waiting, ["out_of_memory", "heat", "queue_full", "site_down", "budget_spent"]);
    }

    #[test]
    fn the_operator_s_steps_end_at_the_first_gap_and_leave_the_others_alone() {
        let table = Fallbacks::default().with(Failure::Heat, [Some(Step::Wait), None, Some(Step::Site)]);
        assert_eq!(table.after(Failure::Heat).collect::<Vec<_>>(), [Step::Wait]);
        assert_eq!(table.after(Failure::QueueFull).next(), Some(Step::Site));
    }

    #[test]
    fn what_killed_an_engine_host_is_tried_nowhere() {
        for fault in [Fault::HostLost, Fault::Hung, Fault::InvalidInput, Fault::TooLarge] {
            assert_eq!(Failure::of_fault(fault), None, "{fault:?}");
        }
        assert_eq!(Failure::of_reason(Reason::DiedTwice), None);
    }

    #[test]
    fn each_step_is_counted_where_it_belongs() {
        let mut taken = Taken::default();
        taken.count(Failure::Heat, Some(Step::Site));
        taken.count(Failure::Heat, None);
        taken.count(Failure::Heat, None);
        assert_eq!((taken.get(Failure::Heat, Some(Step::Site)), taken.get(Failure::Heat, None)), (1, 2));
        assert_eq!(taken.get(Failure::QueueFull, None), 0);
    }
}
