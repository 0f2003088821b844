//! The keys of `[sparkplug]`: the edge node that this box is for SCADA hosts. Must not know what becomes of a value.

use super::{Absent, Key, Kind, SECOND, key};

/// What a host may be let do.
const COMMANDS: &[&str] = &["rebirth", "drain", "activate"];

pub(super) const KEYS: &[Key] = &[
    key(
        "sparkplug.group",
        Kind::Text,
        Absent::Unset("Sparkplug is off"),
        "Group ID of the edge node; its Edge Node ID is the node name. The broker is that of `[mqtt]`, by a connection of its own.",
    ),
    key(
        "sparkplug.primary_host",
        Kind::Text,
        Absent::Unset("nobody is waited for"),
        "Host ID of the application without which nothing is told: births wait for it, and results are kept while it is away.",
    ),
    key(
        "sparkplug.commands",
        Kind::Words(COMMANDS),
        Absent::Texts(&["rebirth"]),
        "What hosts may do. A rebirth is always answered; `drain` lets them stop and start the taking of requests, `activate` \
         choose the active version of a model.",
    ),
    key(
        "sparkplug.interval_ms",
        Kind::Int { min: 100, max: 60 * SECOND },
        Absent::Int(1000),
        "Changes of the box and its models are told at most once in this time; results are told at once.",
    ),
    key(
        "sparkplug.history_max_rows",
        Kind::Int { min: 1, max: 1_000_000 },
        Absent::Int(10_000),
        "Results that are kept at most while nobody hears them; the oldest go.",
    ),
    key(
        "sparkplug.history_max_mib",
        Kind::Int { min: 1, max: 1024 },
        Absent::Int(16),
        "Bytes that these results take at most.",
    ),
    key(
        "sparkplug.history_per_s",
        Kind::Int { min: 1, max: 1000 },
        Absent::Int(100),
        "Kept results that are told in a second once somebody hears them.",
    ),
];
