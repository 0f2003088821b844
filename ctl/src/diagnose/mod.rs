//! From what was gathered to the list of checks: pure, so that each broken thing is a test.
//!
//! What the daemon knows about itself comes from its own list of problems; nothing here guesses at it a second time.

mod away;
mod inside;
mod link;
mod place;
pub mod unit;

use edge_wire::dto::Status;
use edge_wire::names::BUS_NAME;

use crate::check::{Check, Level, Report};
use crate::cli::Bus;
use crate::client::Owner;
use crate::exit::Exit;
use crate::failure::Failure;

/// What `doctor` gathered.
#[derive(Debug)]
pub struct Facts {
    pub bus: Bus,
    /// The way to the daemon, as far as it goes.
    pub daemon: Daemon,
    pub config: ConfigVerdict,
    /// What the service may open, if systemd runs it.
    pub unit: Option<unit::Unit>,
    /// The files of the configuration that could be read.
    pub settings: Vec<String>,
    pub caller: Caller,
    pub clock: Clock,
}

/// How far the way to the daemon goes.
#[derive(Debug)]
pub enum Daemon {
    NoBus(Failure),
    NoOwner,
    Silent { owner: Owner, failure: Failure },
    Here { owner: Owner, status: Box<Status> },
}

/// What `edged --check-config` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigVerdict {
    Valid(String),
    Invalid(String),
    /// It could not be asked.
    Unknown(String),
}

/// Who runs this command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub name: String,
    pub groups: Vec<u32>,
    /// The group that may infer, if the box has it.
    pub infer_group: Option<Group>,
    /// Whether the bus passes on what this caller asks of inference, if that could be told.
    pub passed_on: Option<bool>,
}

/// A group of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub gid: u32,
    pub members: Vec<String>,
}

/// The box's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub unix_seconds: u64,
    /// `None` if nobody could be asked.
    pub synchronised: Option<bool>,
}

/// All checks, the way to the daemon first.
pub fn report(facts: &Facts) -> Report {
    let mut checks = way(facts);
    checks.push(config(&facts.config));
    match &facts.daemon {
        Daemon::Here { status, .. } => checks.extend(inside::parts(status, facts.clock.unix_seconds)),
        _ => checks.push(Check::skip("inside", "library, engine, models and broker are known to the daemon alone")),
    }
    checks.extend(unit::opened(facts.unit.as_ref(), &facts.settings));
    checks.push(place::permission(facts));
    checks.push(place::clock(facts.clock));
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    let exit = match &facts.daemon {
        Daemon::NoBus(failure) | Daemon::Silent { failure, .. } => failure.exit(),
        Daemon::NoOwner => Exit::Unreachable,
        Daemon::Here { .. } if failed => Exit::Degraded,
        Daemon::Here { .. } => Exit::Done,
    };
    Report { reachable: matches!(facts.daemon, Daemon::Here { .. }), healthy: !failed, checks, exit }
}

/// Bus, name, answer.
fn way(facts: &Facts) -> Vec<Check> {
    let bus = facts.bus.as_str();
    let found = Check::ok("bus", format!("the {bus} bus answers"));
    let owned =
        |owner: &Owner| Check::ok("name", format!("{BUS_NAME} is owned by pid {} (uid {})", owner.pid, owner.uid));
    match &facts.daemon {
        Daemon::NoBus(failure) => vec![Check::fail("bus", failure.to_string(), failure.remedy().unwrap_or_default())],
        Daemon::NoOwner => {
            let absent = crate::client::absent(facts.bus);
            vec![found, Check::fail("name", absent.to_string(), absent.remedy().unwrap_or_default())]
        }
        Daemon::Silent { owner, failure } => {
            let silent = Check::fail("daemon", failure.to_string(), failure.remedy().unwrap_or_default());
            vec![found, owned(owner), silent]
        }
        Daemon::Here { owner, status } => vec![found, owned(owner), state(status)],
    }
}

fn state(status: &Status) -> Check {
    let what = format!("edged {} on {} is {}", status.version, status.node, status.state);
    match status.state.as_str() {
        "serving" => Check::ok("daemon", what),
        "draining" | "drained" => Check::warn("daemon", what, "`edgectl resume` takes requests again"),
        "starting" => Check::warn("daemon", what, "wait until the models are loaded, then ask again"),
        _ => Check::warn("daemon", what, "the failures below say why"),
    }
}

fn config(verdict: &ConfigVerdict) -> Check {
    match verdict {
        ConfigVerdict::Valid(said) => Check::ok("config", in_short(said)),
        ConfigVerdict::Invalid(said) => {
            Check::fail("config", said, "correct these keys, then `edgectl reload` or restart edged")
        }
        ConfigVerdict::Unknown(why) => Check::skip("config", why),
    }
}

/// Without the sentences that say what each binding does.
fn in_short(verdict: &str) -> String {
    let is_words = |line: &&str| line.starts_with("binding ");
    let bindings = verdict.lines().filter(is_words).count();
    let rest: Vec<&str> = verdict.lines().filter(|line| !is_words(line)).collect();
    match bindings {
        0 => rest.join("\n"),
        1 => format!("{}; 1 binding, which `edgectl config check` says in words", rest.join("\n")),
        _ => format!("{}; {bindings} bindings, which `edgectl config check` says in words", rest.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::{EngineStatus, ModelStatus, Problem, ProviderInfo, ReadingInfo};

    use super::place::{EARLIEST, clock, permission};
    use super::*;

    const OWNER: Owner = Owner { pid: 812, uid: 990 };

    #[test]
    fn a_configuration_is_told_without_the_words_of_its_bindings() {
        assert_eq!(in_short("configuration is fine: a.toml"), "configuration is fine: a.toml");
        let said = in_short("configuration is fine: a.toml\nbinding \"a\" takes files.\nbinding \"b\" takes frames.");
        assert_eq!(said, "configuration is fine: a.toml; 2 bindings, which `edgectl config check` says in words");
    }

    fn healthy() -> Status {
        Status {
            state: "serving".into(),
            engine: EngineStatus {
                state: "up".into(),
                library: "/lib/ort.so".into(),
                pid: 813,
                ..EngineStatus::default()
            },
            models: vec![ModelStatus {
                name: "text-line".into(),
                version: "1.0.0".into(),
                state: "ready".into(),
                providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
                ..ModelStatus::default()
            }],
            ..Status::default()
        }
    }

    fn facts(status: Status) -> Facts {
        let group = Group { gid: 500, members: vec!["ana".into()] };
        Facts {
            bus: Bus::System,
            daemon: Daemon::Here { owner: OWNER, status: Box::new(status) },
            config: ConfigVerdict::Valid("valid".into()),
            unit: None,
            settings: Vec::new(),
            caller: Caller {
                uid: 1000,
                name: "ana".into(),
                groups: vec![1000, 500],
                infer_group: Some(group),
                passed_on: Some(true),
            },
            clock: Clock { unix_seconds: EARLIEST + 1, synchronised: Some(true) },
        }
    }

    /// The one check that is not in order, and the exit.
    fn wrong(facts: &Facts) -> (Check, Exit) {
        let report = report(facts);
        let mut wrong = report.checks.into_iter().filter(|check| matches!(check.level, Level::Warn | Level::Fail));
        let first = wrong.next().expect("nothing is wrong");
        assert_eq!(wrong.next(), None);
        (first, report.exit)
    }

    #[test]
    fn a_box_in_order_has_no_failure() {
        let report = report(&facts(healthy()));
        assert_eq!(report.exit, Exit::Done);
        assert!(report.healthy && report.reachable);
        assert!(report.checks.iter().all(|check| matches!(check.level, Level::Ok | Level::Skip)), "{report:#?}");
    }

    #[test]
    fn a_problem_of_the_daemon_takes_the_place_of_its_check() {
        for subject in ["library", "engine", "model text-line:1.0.0", "broker", "state", "models", "journal"] {
            let problem = Problem { subject: subject.into(), what: "is bad".into(), remedy: "mend it".into() };
            let (check, exit) = wrong(&facts(Status { problems: vec![problem], ..healthy() }));
            assert_eq!(check, Check::fail(subject, "is bad", "mend it"));
            assert_eq!(exit, Exit::Degraded);
        }
    }

    #[test]
    fn what_is_only_good_to_know_of_the_machine_does_not_fail() {
        let mut status = healthy();
        let note = Problem { subject: "power mode".into(), what: "caps the clock".into(), remedy: "nothing".into() };
        status.hardware.notes = vec![note];
        let report = report(&facts(status));
        assert_eq!(report.exit, Exit::Done);
        let shown = report.checks.iter().find(|check| check.subject == "power mode").unwrap();
        assert_eq!(*shown, Check::warn("power mode", "caps the clock", "nothing"));
    }

    #[test]
    fn a_failed_model_fails_even_when_the_daemon_names_no_problem() {
        let mut status = healthy();
        status.models[0].state = "failed".into();
        status.models[0].reason = "sha256 of text-line.onnx differs".into();
        let (check, exit) = wrong(&facts(status));
        assert!(check.what.contains("sha256 of text-line.onnx differs"), "{check:?}");
        assert_eq!(exit, Exit::Degraded);
    }

    #[test]
    fn what_is_said_of_a_model_that_is_not_loaded_follows_the_reason() {
        let check = |state: &str, reason: &str| {
            let mut status = healthy();
            (status.models[0].state, status.models[0].reason) = (state.into(), reason.into());
            let checks = report(&facts(status)).checks;
            checks.into_iter().find(|check| check.subject == "model text-line:1.0.0").unwrap()
        };
        let let_go = check("standby", "let go to make room for b:1.0.0; the next request loads it again");
        assert_eq!((let_go.level, let_go.remedy.as_str()), (Level::Ok, ""));
        assert!(let_go.what.contains("let go to make room"), "{let_go:?}");
        let unloaded = check("unloaded", "");
        assert_eq!((unloaded.level, unloaded.what.as_str()), (Level::Warn, "unloaded"));
        assert!(unloaded.remedy.contains("edgectl models load text-line:1.0.0"), "{unloaded:?}");
        let stage = check("unavailable", "stage b:1.0.0: not served");
        assert_eq!(stage.level, Level::Warn);
        assert!(stage.what.contains("stage b:1.0.0"), "{stage:?}");
        assert!(check("loading", "").remedy.contains("wait"));
    }

    #[test]
    fn a_warning_alone_is_no_degradation() {
        let mut simulated = healthy();
        simulated.engine.state = "simulated".into();
        let (check, exit) = wrong(&facts(simulated));
        assert_eq!((check.level, exit), (Level::Warn, Exit::Done));
        assert!(check.what.contains("SIMULATED"));
    }

    #[test]
    fn a_connection_that_was_contested_is_a_warning_even_while_it_stands() {
        let mut status = healthy();
        status.mqtt.state = "connected".into();
        status.mqtt.reason = "another client uses the client id edged-a".into();
        let (check, exit) = wrong(&facts(status));
        assert_eq!((check.subject.as_str(), check.level, exit), ("broker", Level::Warn, Exit::Done));
        assert!(check.what.contains("edged-a") && check.remedy.contains("`mqtt.client_id`"), "{check:?}");
    }

    #[test]
    fn without_a_daemon_the_way_to_it_is_named_and_the_rest_is_not_guessed() {
        let report = report(&Facts { daemon: Daemon::NoOwner, ..facts(healthy()) });
        assert_eq!(report.exit, Exit::Unreachable);
        assert!(!report.reachable);
        let name = &report.checks[1];
        assert_eq!((name.subject.as_str(), name.level), ("name", Level::Fail));
        assert!(name.remedy.contains("systemctl status edged") && name.remedy.contains("journalctl"), "{name:?}");
        assert!(report.checks.iter().any(|check| check.subject == "inside" && check.level == Level::Skip));
    }

    #[test]
    fn the_room_that_is_left_for_state_is_shown_when_it_is_measured() {
        let free = ReadingInfo { name: "state_free_bytes".into(), value: Some(1024.0), ..ReadingInfo::default() };
        let report = report(&facts(Status { readings: vec![free], ..healthy() }));
        assert!(report.checks.contains(&Check::ok("state", "writable, 1.0 KiB free")), "{report:#?}");
    }

    #[test]
    fn who_may_infer_depends_on_bus_group_and_login() {
        let caller = |uid, groups: &[u32], infer_group| Caller {
            uid,
            name: "ana".into(),
            groups: groups.into(),
            infer_group,
            passed_on: None,
        };
        let passed = |passed_on, caller| Caller { passed_on: Some(passed_on), ..caller };
        let group =
            |members: &[&str]| Some(Group { gid: 500, members: members.iter().map(|&one| one.into()).collect() });
        let cases = [
            (Bus::System, caller(0, &[0], None), Level::Ok, "root"),
            (Bus::System, caller(1000, &[500], group(&[])), Level::Ok, "may infer"),
            (Bus::System, passed(true, caller(1000, &[500], group(&[]))), Level::Ok, "may infer"),
            (Bus::System, passed(false, caller(1000, &[500], group(&[]))), Level::Fail, "the bus does not know"),
            (Bus::System, passed(false, caller(1000, &[1000], group(&["ana"]))), Level::Warn, "after this login"),
            (Bus::System, passed(true, caller(1000, &[1000], group(&["ana"]))), Level::Ok, "may infer"),
            (Bus::System, caller(1000, &[1000], group(&["ana"])), Level::Warn, "after this login"),
            (Bus::System, caller(1000, &[1000], group(&[])), Level::Warn, "is not in group edge"),
            (Bus::System, caller(1000, &[1000], None), Level::Fail, "no group edge"),
            (Bus::Session, caller(990, &[], None), Level::Ok, "owner of a session bus"),
            (Bus::Session, caller(1000, &[], None), Level::Warn, "another user"),
        ];
        for (bus, caller, level, word) in cases {
            let check = permission(&Facts { bus, caller, ..facts(healthy()) });
            assert_eq!(check.level, level, "{check:?}");
            assert!(check.what.contains(word), "{check:?}");
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_a_failure_and_an_unsynchronised_one_a_warning() {
        let at = |unix_seconds, synchronised| clock(Clock { unix_seconds, synchronised }).level;
        assert_eq!(at(0, Some(true)), Level::Fail);
        assert_eq!(at(EARLIEST, Some(false)), Level::Warn);
        assert_eq!(at(EARLIEST, Some(true)), Level::Ok);
        assert_eq!(at(EARLIEST, None), Level::Ok);
    }
}
