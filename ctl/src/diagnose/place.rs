//! What is true of the box and of the caller, whether the daemon runs or not: rights and the clock.

use edge_wire::names::INFER_GROUP;

use super::{Clock, Daemon, Facts};
use crate::check::Check;
use crate::cli::Bus;

/// 2026-01-01: no box that runs this program is older, so an earlier clock is a clock that was never set.
pub const EARLIEST: u64 = 1_767_225_600;

/// Whether the caller may infer, and what would let it.
pub fn permission(facts: &Facts) -> Check {
    let caller = &facts.caller;
    let owner = match &facts.daemon {
        Daemon::Silent { owner, .. } | Daemon::Here { owner, .. } => Some(owner.uid),
        Daemon::NoBus(_) | Daemon::NoOwner => None,
    };
    match (facts.bus, &caller.infer_group) {
        _ if caller.uid == 0 => Check::ok("permission", "root may do everything"),
        (Bus::Session, _) if owner.is_none_or(|uid| uid == caller.uid) => {
            Check::ok("permission", "the owner of a session bus may do everything")
        }
        (Bus::Session, _) => Check::warn("permission", "this daemon runs as another user", "ask as that user"),
        (Bus::System, None) => Check::fail(
            "permission",
            format!("there is no group {INFER_GROUP} on this box: nobody but root may infer"),
            "`systemd-sysusers` makes it from the package's sysusers.d",
        ),
        // Buses before 1.14 (Ubuntu 22.04 has 1.12) look a user's groups up once and remember them.
        (Bus::System, Some(group)) if caller.groups.contains(&group.gid) && caller.passed_on == Some(false) => {
            Check::fail(
                "permission",
                format!("{} is in group {INFER_GROUP}, and the bus does not know it yet", caller.name),
                "`sudo systemctl reload dbus`",
            )
        }
        (Bus::System, Some(group)) if !caller.groups.contains(&group.gid) && caller.passed_on == Some(true) => {
            Check::ok(
                "permission",
                format!("the bus lets {}, who may infer; changes ask for an administrator", caller.name),
            )
        }
        (Bus::System, Some(group)) if caller.groups.contains(&group.gid) => Check::ok(
            "permission",
            format!("{} is in group {INFER_GROUP} and may infer; changes ask for an administrator", caller.name),
        ),
        (Bus::System, Some(group)) if group.members.contains(&caller.name) => Check::warn(
            "permission",
            format!("{} was added to group {INFER_GROUP} after this login", caller.name),
            "log out and in again; where that is not enough (Ubuntu 22.04), `sudo systemctl reload dbus`",
        ),
        (Bus::System, Some(_)) => Check::warn(
            "permission",
            format!("{} is not in group {INFER_GROUP}: may look, may not infer", caller.name),
            format!(
                "`sudo usermod -aG {INFER_GROUP} {} && sudo systemctl reload dbus`, then log in again",
                caller.name
            ),
        ),
    }
}

/// Whether the clock was set, and is kept right.
pub fn clock(clock: Clock) -> Check {
    let remedy = "check the network and `timedatectl`; certificates and received_at depend on it";
    match clock {
        Clock { unix_seconds, .. } if unix_seconds < EARLIEST => {
            Check::fail("clock", "the clock stands before 2026: it was never set", remedy)
        }
        Clock { synchronised: Some(false), .. } => Check::warn("clock", "set, but not synchronised now", remedy),
        Clock { synchronised: Some(true), .. } => Check::ok("clock", "set and synchronised"),
        Clock { synchronised: None, .. } => Check::ok("clock", "set; nobody here knows whether it is synchronised"),
    }
}
