//! Sparkplug's topics, and names that fit into them.
//!
//! Decides how the node, its devices and its host are called on the broker. Must not know what is sent there.

use std::collections::BTreeSet;

/// The namespace of version 3 with payload B.
pub const NAMESPACE: &str = "spBv1.0";

/// The topics of one edge node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    group: String,
    node: String,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// Written to the node.
    NodeCommand,
    /// Written to this device.
    DeviceCommand(&'a str),
    /// Word of this host application.
    State(&'a str),
}

impl Topics {
    /// Topics of `node` in `group`; both are safe already.
    pub fn new(group: &str, node: &str) -> Topics {
        Topics { group: group.to_owned(), node: node.to_owned() }
    }

    /// The birth of the node, or of one of its devices.
    pub fn birth(&self, device: Option<&str>) -> String {
        self.of("BIRTH", device)
    }

    /// The death of the node, or of one of its devices.
    pub fn death(&self, device: Option<&str>) -> String {
        self.of("DEATH", device)
    }

    /// What changed of the node, or of one of its devices.
    pub fn data(&self, device: Option<&str>) -> String {
        self.of("DATA", device)
    }

    /// What hosts write to the node.
    pub fn node_commands(&self) -> String {
        self.of("CMD", None)
    }

    /// What hosts write to any of its devices.
    pub fn device_commands(&self) -> String {
        self.of("CMD", Some("+"))
    }

    fn of(&self, what: &str, device: Option<&str>) -> String {
        let Topics { group, node } = self;
        match device {
            None => format!("{NAMESPACE}/{group}/N{what}/{node}"),
            Some(device) => format!("{NAMESPACE}/{group}/D{what}/{node}/{device}"),
        }
    }

    /// What a topic that came is for; `None` if it is none of ours.
    pub fn parse<'a>(&self, topic: &'a str) -> Option<Inbound<'a>> {
        let rest = topic.strip_prefix(NAMESPACE)?.strip_prefix('/')?;
        let parts: Vec<&str> = rest.splitn(5, '/').collect();
        match parts.as_slice() {
            ["STATE", host] => Some(Inbound::State(host)),
            [group, "NCMD", node] if self.is_mine(group, node) => Some(Inbound::NodeCommand),
            [group, "DCMD", node, device] if self.is_mine(group, node) => Some(Inbound::DeviceCommand(device)),
            _ => None,
        }
    }

    fn is_mine(&self, group: &str, node: &str) -> bool {
        self.group == group && self.node == node
    }
}

/// Where a host application says whether it is there.
pub fn state(host: &str) -> String {
    format!("{NAMESPACE}/STATE/{host}")
}

/// Whether a group, or a host, may be called so: anything that MQTT takes in a topic but the three reserved characters.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.contains(['+', '/', '#']) && !text.contains(char::is_control)
}

/// A name for a node, a device or one level of a metric: letters, digits, `-` and `_`. That is less than Sparkplug allows, and
/// what SCADA systems take as a part of a tag's path without changing it.
pub fn safe(name: &str) -> String {
    let safe = |char: char| if char.is_ascii_alphanumeric() || "-_".contains(char) { char } else { '_' };
    let name: String = name.chars().map(safe).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// Names that differ from all before, whatever the case of their letters: hosts may not tell `A` from `a`.
#[derive(Clone, Debug, Default)]
pub struct Distinct(BTreeSet<String>);

impl Distinct {
    /// `name` if nothing before had it, or else the first of `name_2`, `name_3` and so on.
    pub fn take(&mut self, name: String) -> String {
        let mut taken = name.clone();
        let mut number: u32 = 2;
        while !self.0.insert(taken.to_lowercase()) {
            taken = format!("{name}_{number}");
            number = number.saturating_add(1);
        }
        taken
    }

    /// Nobody is called so any more.
    pub fn give_back(&mut self, name: &str) {
        self.0.remove(&name.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_the_namespace_the_group_the_kind_the_node_and_of_devices_the_device() {
        let topics = Topics::new("plant 1", "box");
        assert_eq!(topics.birth(None), "spBv1.0/plant 1/NBIRTH/box");
        assert_eq!(topics.data(None), "spBv1.0/plant 1/NDATA/box");
        assert_eq!(topics.death(None), "spBv1.0/plant 1/NDEATH/box");
        assert_eq!(topics.birth(Some("model-a")), "spBv1.0/plant 1/DBIRTH/box/model-a");
        assert_eq!(topics.data(Some("model-a")), "spBv1.0/plant 1/DDATA/box/model-a");
        assert_eq!(topics.death(Some("model-a")), "spBv1.0/plant 1/DDEATH/box/model-a");
        assert_eq!(topics.node_commands(), "spBv1.0/plant 1/NCMD/box");
        assert_eq!(topics.device_commands(), "spBv1.0/plant 1/DCMD/box/+");
        assert_eq!(state("scada1"), "spBv1.0/STATE/scada1");
    }

    #[test]
    fn only_commands_for_this_node_and_words_of_hosts_are_read() {
        let topics = Topics::new("g", "box");
        assert_eq!(topics.parse("spBv1.0/g/NCMD/box"), Some(Inbound::NodeCommand));
        assert_eq!(topics.parse("spBv1.0/g/DCMD/box/d"), Some(Inbound::DeviceCommand("d")));
        assert_eq!(topics.parse("spBv1.0/STATE/scada1"), Some(Inbound::State("scada1")));
        for other in [
            "spBv1.0/g/NCMD/other",
            "spBv1.0/h/NCMD/box",
            "spBv1.0/g/NCMD/box/d",
            "spBv1.0/g/DCMD/box",
            "spBv1.0/g/DCMD/box/d/e",
            "spBv1.0/g/NBIRTH/box",
            "spBv1.0/STATE/a/b",
            "STATE/scada1",
            "spBv1.0",
            "",
        ] {
            assert_eq!(topics.parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_become_safe_for_topics_and_for_the_paths_of_tags() {
        for (name, safe_name) in [("box-1", "box-1"), ("a+b/c#d", "a_b_c_d"), ("v1.2 ä", "v1_2__"), ("", "_")] {
            assert_eq!(safe(name), safe_name);
        }
        assert!(is_id("Plant 1") && is_id("Wörk"));
        for bad in ["", "a/b", "a+", "#", "a\0", "a\n"] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn two_names_that_differ_only_in_case_or_in_unsafe_characters_stay_apart() {
        let mut distinct = Distinct::default();
        let taken = ["a.b", "a_b", "A_B", "c", "a_b_2"].map(|name| distinct.take(safe(name)));
        assert_eq!(taken, ["a_b", "a_b_2", "A_B_3", "c", "a_b_2_2"]);
    }
}
