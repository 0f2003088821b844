//! `[sparkplug]`: from keys to values. Decides which names the protocol takes; must not know the protocol otherwise.

use std::time::Duration;

use edge_wire::sparkplug::SparkplugStatus;

use super::WAITING_FOR_MODELS;
use super::raw::Values;

/// The edge node that this box is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparkplugConfig {
    /// Group ID.
    pub group: String,
    /// Edge Node ID.
    pub edge_node: String,
    /// Host ID of the application that is waited for.
    pub primary_host: Option<String>,
    /// Hosts may let the box take no more requests, and take them again.
    pub drain: bool,
    /// Hosts may choose the active version of a model.
    pub activate: bool,
    /// Shortest time between two words on the box and its models.
    pub interval: Duration,
    /// Results that are kept at most.
    pub history_max_rows: u64,
    /// Their bytes.
    pub history_max_bytes: u64,
    /// Kept results that are told in a second.
    pub history_per_second: u32,
}

impl SparkplugConfig {
    /// The node's state before anything is known of it.
    pub fn first_status(&self) -> SparkplugStatus {
        let named = [("drain", self.drain), ("activate", self.activate)];
        let commands = named.into_iter().filter(|(_, may)| *may).map(|(name, _)| name);
        SparkplugStatus {
            state: "connecting".into(),
            reason: WAITING_FOR_MODELS.into(),
            group: self.group.clone(),
            edge_node: self.edge_node.clone(),
            primary_host: self.primary_host.clone().unwrap_or_default(),
            host_state: self.primary_host.as_ref().map(|_| "unknown".into()).unwrap_or_default(),
            commands: std::iter::once("rebirth").chain(commands).map(str::to_owned).collect(),
            ..SparkplugStatus::default()
        }
    }
}

/// Reads the section; nothing if Sparkplug is off.
pub(super) fn read(values: &mut Values, has_broker: bool, node: &str) -> Option<SparkplugConfig> {
    let Some(group) = values.text("sparkplug.group") else {
        let stray = super::keys::KEYS.iter().find(|key| key.path.starts_with("sparkplug.") && values.is_set(key.path));
        if let Some(stray) = stray {
            values.fault_at(
                stray.path,
                "set, but `sparkplug.group` is not: set it, or remove the [sparkplug] section".into(),
            );
        }
        return None;
    };
    if !has_broker {
        values
            .fault_at("sparkplug.group", "set, but `mqtt.host` is not: Sparkplug goes to the broker of [mqtt]".into());
    }
    let primary_host = values.text("sparkplug.primary_host");
    for (key, id) in [("sparkplug.group", Some(&group)), ("sparkplug.primary_host", primary_host.as_ref())] {
        if let Some(id) = id.filter(|id| !is_id(id)) {
            let what = "text of 1 to 255 characters without `+`, `/`, `#` and control characters";
            values.fault_at(key, format!("{id:?} is not accepted: takes {what}"));
        }
    }
    if group == "STATE" {
        values.fault_at("sparkplug.group", "\"STATE\" is not accepted: the protocol keeps it for hosts".into());
    }
    let commands = values.texts("sparkplug.commands");
    let may = |word: &str| commands.iter().any(|command| command == word);
    Some(SparkplugConfig {
        edge_node: crate::transport::sparkplug::topic::safe(node),
        primary_host,
        drain: may("drain"),
        activate: may("activate"),
        interval: Duration::from_millis(values.int("sparkplug.interval_ms")),
        history_max_rows: values.int("sparkplug.history_max_rows"),
        history_max_bytes: values.int("sparkplug.history_max_mib") << 20,
        history_per_second: u32::try_from(values.int("sparkplug.history_per_s")).unwrap_or(u32::MAX),
        group,
    })
}

fn is_id(id: &str) -> bool {
    crate::transport::sparkplug::topic::is_id(id)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::validate::{Machine, validate};
    use super::*;

    fn check(text: &str) -> Result<Option<SparkplugConfig>, String> {
        let mut values = Values::default();
        values.add(Path::new("edged.toml"), text);
        let machine = Machine { host_name: "box.1".into(), ..Machine::default() };
        let config = validate(values, &machine).map(|config| config.sparkplug);
        config.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn sparkplug_is_off_unless_a_group_is_set() {
        assert_eq!(check("[mqtt]\nhost='b'"), Ok(None));
    }

    #[test]
    fn a_group_is_enough_and_hosts_may_then_ask_for_births_only() {
        let config = check("[mqtt]\nhost='b'\n[sparkplug]\ngroup='Plant 1'").unwrap().unwrap();
        assert_eq!((config.group.as_str(), config.edge_node.as_str()), ("Plant 1", "box_1"));
        assert_eq!((config.drain, config.activate, config.primary_host), (false, false, None));
        assert_eq!((config.interval, config.history_per_second), (Duration::from_secs(1), 100));
    }

    #[test]
    fn what_hosts_may_do_is_said_in_words() {
        let config =
            check("[mqtt]\nhost='b'\n[sparkplug]\ngroup='g'\ncommands=['drain', 'activate']").unwrap().unwrap();
        assert!(config.drain && config.activate);
    }

    #[test]
    fn what_the_protocol_does_not_take_is_refused_with_its_key_and_what_is_accepted() {
        for (text, key, accepts) in [
            ("[sparkplug]\ngroup='g'", "sparkplug.group", "`mqtt.host` is not"),
            ("[mqtt]\nhost='b'\n[sparkplug]\nprimary_host='h'", "sparkplug.primary_host", "`sparkplug.group` is not"),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='a/b'", "sparkplug.group", "without `+`, `/`, `#`"),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='STATE'", "sparkplug.group", "keeps it for hosts"),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='g'\nprimary_host='+'", "sparkplug.primary_host", "without `+`"),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='g'\ncommands=['reboot']", "sparkplug.commands", "\"activate\""),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='g'\ninterval_ms=50", "sparkplug.interval_ms", "100 to 60000"),
            ("[mqtt]\nhost='b'\n[sparkplug]\ngroup='g'\nhistory_per_s=0", "sparkplug.history_per_s", "1 to 1000"),
        ] {
            let said = check(text).unwrap_err();
            assert!(said.contains(key) && said.contains(accepts), "{text}: {said}");
        }
    }
}
