//! What a refusal tells the caller: the rule that said no, and what would make it say yes.

use edge_core::Reason;

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
        Reason::DiedTwice => "this request was alive at two crashes and is not run again",
    }
}

/// What is said when the bytes of a request came through a zone that its class does not allow.
pub fn beyond(class: &str, zone: &str) -> String {
    format!("data_class {class}: the broker by which it came is in zone {zone}, farther than this class may go")
}
