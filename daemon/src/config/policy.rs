//! What decides where a request may be served, as one value: classes and limits, sites, rules, what is tried next, what is
//! looked for. It stands in the configuration or in a file of its own, and is taken whole or, with every fault named, not
//! at all.

use std::collections::BTreeSet;
use std::path::Path;

use edge_core::policy::{Limits, Routing};
use edge_core::units::{Kelvin, Watts};
use edge_core::{Bytes, DataClass, Policy, Ratio};
use edge_wire::dto::Problem;

use super::raw::{Fault, Values};
use super::routing::{self, DetectConfig, RoutingConfig};
use super::rules::{self, Rule};
use super::sites::{self, Around, SiteConfig};
use super::validate::{Machine, millis, size, small};

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// Without sites: those are put there by their numbers.
    pub policy: Policy,
    /// In the order of the files.
    pub sites: Vec<SiteConfig>,
    /// In the order of the files.
    pub rules: Vec<Rule>,
    pub routing: RoutingConfig,
    pub detect: DetectConfig,
    /// What is not wrong and should be known.
    pub warnings: Vec<Problem>,
    /// Keys that name a credential where nobody can look whether it is there.
    pub unseen: Vec<String>,
}

/// The policy of a file, which may hold any other keys of the configuration too. What it does not say has its default.
///
/// # Errors
/// Every fault there is.
pub fn read_policy(mut values: Values, around: &Around<'_>) -> Result<PolicyFile, Vec<Fault>> {
    let policy = read(&mut values, around);
    if values.faults.is_empty() { Ok(policy) } else { Err(values.faults) }
}

/// The same of a text that is there already; `file` is what it is called.
///
/// # Errors
/// Every fault there is.
pub fn read_policy_text(file: &Path, text: &str, around: &Around<'_>) -> Result<PolicyFile, Vec<Fault>> {
    let mut values = Values::default();
    values.add(file, text);
    read_policy(values, around)
}

/// The policy of these values; faults are noted there.
pub fn read(values: &mut Values, around: &Around<'_>) -> PolicyFile {
    let routing = routing::routing(values, &around.machine.machine_id);
    let detect = routing::detect(values);
    let policy = limits(values, around.machine, &routing.core);
    let named: BTreeSet<String> = values.names_of(&sites::GROUP);
    let sites::Read { sites, mut warnings, unseen } = sites::read(values, around);
    let read = rules::read(values, around, &sites, &named, (&routing, &detect));
    warnings.extend(read.warnings);
    PolicyFile { policy, sites, rules: read.rules, routing, detect, warnings, unseen }
}

fn limits(values: &mut Values, machine: &Machine, routing: &Routing) -> Policy {
    let class =
        |key: &str| values.text(key).and_then(|word| DataClass::from_word(&word)).unwrap_or(DataClass::Regulated);
    let lanes =
        if values.is_set("policy.lanes") { small(values.int("policy.lanes")) } else { machine.processors.max(1) };
    let policy = Policy {
        default_deadline: millis(values, "policy.default_deadline_ms"),
        max_deadline: millis(values, "policy.max_deadline_ms"),
        max_waiting: size(values.int("policy.max_waiting")),
        max_waiting_bytes: Bytes(values.int("policy.max_waiting_mib") << 20),
        client_share: Ratio::new(values.number("policy.client_share")).unwrap_or(Ratio::HALF),
        lower_share: Ratio::new(values.number("policy.lower_share")).unwrap_or(Ratio::TENTH),
        max_chunk: millis(values, "policy.max_chunk_ms"),
        lanes,
        preparing: small(values.int("policy.preparing")),
        fan_out: small(values.int("policy.fan_out")),
        max_batch: small(values.int("policy.max_batch")),
        unlabelled: class("policy.unlabelled"),
        bus_ceiling: class("policy.bus_ceiling"),
        broker_ceiling: class("policy.broker_ceiling"),
        hang_after: millis(values, "policy.hang_after_ms"),
        restart_estimate: millis(values, "policy.restart_estimate_ms"),
        governor: Limits {
            margin: Kelvin::new(values.number("governor.margin_c")).unwrap_or(Kelvin::MARGIN),
            max_power: values
                .is_set("governor.max_power_w")
                .then(|| Watts::new(values.number("governor.max_power_w")))
                .flatten(),
            slow_factor: values.number("governor.slow_factor"),
        },
        sites: Vec::new(),
        routing: *routing,
    };
    if policy.default_deadline > policy.max_deadline {
        let (default, max) = (policy.default_deadline.as_millis(), policy.max_deadline.as_millis());
        let text = format!("{default} is above `policy.max_deadline_ms` ({max}): takes at most that");
        values.fault_at("policy.default_deadline_ms", text);
    }
    policy
}
