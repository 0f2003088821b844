//! What a refusal tells the caller: the rule that said no, and what would make it say yes.

use edge_core::site::Unmet;
use edge_core::{Bar, Reason};

/// One sentence for each reason, without a full stop.
pub fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::Feasible => "feasible",
        Reason::Deferrable => "deferrable",
        Reason::Unmeasured => "not measured yet",
        Reason::QueueFull => "all places for waiting requests are taken (policy.max_waiting)",
        Reason::BytesFull => "all room for waiting payloads is taken (policy.max_waiting_mib)",
        Reason::ClientShare => "this client holds its share of what may wait (policy.client_share)",
        Reason::PredictedWait => "deadline_ms: the work ahead of this request takes longer than its deadline allows",
        Reason::DeadlineTooShort => "deadline_ms: shorter than the model takes on an idle box",
        Reason::DeadlinePast => "deadline_ms: passed before the request arrived here",
        Reason::ModelUnavailable => "the model cannot be served now",
        Reason::HostDown => "the engine host is being restarted for longer than the deadline allows",
        Reason::Draining => "the box is draining and takes nothing new; `edgectl resume` ends that",
        Reason::FanOut => "more requests for its stages or chunks are open than one request may have (policy.fan_out)",
        Reason::NoParent => "the request that it is a part of has ended",
        Reason::Throttled => {
            "deadline_ms: heat or power holds the box back, and the work ahead takes longer than the deadline allows; \
             `edgectl governor` says how much it can keep"
        }
        Reason::TooHot => "nothing runs until the box is cooler; `edgectl governor` shows the temperatures",
        Reason::Held => "somebody holds the device; `edgectl status` says why",
        Reason::OnlyThere => {
            "the model lives on other sites only, and none of them can serve it now; `edgectl sites` says why"
        }
        Reason::ContextOverflow => "the prompt is longer than the model of this box can read",
        Reason::Faster => "another site is expected to be faster",
        Reason::Difficult => "a stronger site is worth asking",
        Reason::Doubtful => "the answer of this box is doubtful",
        Reason::WaitedTooLong => "it waited here until only then another site could still be in time",
        Reason::EngineFault => "the runtime failed on it here",
        Reason::OutOfMemory => "there is no room for it, or for its model, in memory",
        Reason::SiteDown => "no site that may serve it does; `edgectl sites` says why",
        Reason::BudgetSpent => "the budget of the site that would serve it is spent for today (UTC)",
        Reason::Hedged => "the first site was late, so a second one was asked",
        Reason::Compared => "asked to compare with the answer of this box",
        Reason::DiedTwice => "this request was alive at two crashes and is not run again",
    }
}

/// What barred the site that came nearest to being taken, as the end of a sentence.
pub fn barred(bar: Bar) -> &'static str {
    match bar {
        Bar::NotServed => "no other site serves the model in this form",
        Bar::Class => "its data class forbids to send it to another site (data_class)",
        Bar::Unmet(Unmet::Jurisdiction) => "no site lies in a jurisdiction that a rule demands",
        Bar::Unmet(Unmet::Retention) => "no site keeps data as briefly as a rule demands",
        Bar::Unmet(Unmet::Training) => "no site promises not to learn from data, as a rule demands",
        Bar::Rule => "a rule keeps it from other sites",
        Bar::TooLarge => "its payload is larger than other sites take",
        Bar::Context => "its prompt and answer are longer than other sites take",
        Bar::Tried => "the sites that may serve it were asked already",
        Bar::Off => "the site that may serve it cannot be used",
        Bar::Tripped => "the site that may serve it does not answer",
        Bar::Full => "as many requests are open at the site that may serve it as may be",
        Bar::Budget => "the budget of the site that may serve it is spent for today (UTC)",
        Bar::TooSlow => "the site that may serve it would be too late",
    }
}

/// What is said when the bytes of a request came through a zone that its class does not allow.
pub fn beyond(class: &str, zone: &str) -> String {
    format!("data_class {class}: the broker by which it came is in zone {zone}, farther than this class may go")
}
