//! A list of models that boxes are to have, and of versions that none may have: its grammar, its rules, and how several lists make
//! one. Pure; an error says the place and what is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use edge_core::rollout::Rollout;
use edge_engine::bundle::{is_name, is_semver, syntax_fault};
use serde::Deserialize;

use crate::pull::Address;

/// Largest list, bytes.
pub const MOST_BYTES: u64 = 1 << 20;
/// Models of one list, and versions that it forbids.
const MOST_ENTRIES: usize = 4096;
/// Faults of one list that are told, and how much of each.
const MOST_FAULTS: usize = 8;
const LONGEST_FAULT: usize = 300;
/// Waves of one rollout.
const MOST_WAVES: usize = 32;
/// Longest hold between two waves: a month.
const LONGEST_HOLD: u64 = 31 * 24 * 3600;

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Grows with each change of a list that is fetched; a smaller one is an old list.
    pub serial: Option<u64>,
    pub models: Vec<Wanted>,
    pub revoked: BTreeMap<Version, String>,
}

/// A version of a model: name and semantic version.
pub type Version = (String, String);

/// A version that boxes are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub version: String,
    /// Boxes that follow this channel; all, if absent.
    pub channel: Option<String>,
    /// Where it is to be had.
    pub url: Option<String>,
    pub rollout: Rollout,
    /// When its rollout begins; if absent, when a box first reads of it.
    pub since: Option<SystemTime>,
}

/// What all lists together say to one box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub wanted: BTreeMap<String, Wanted>,
    /// Versions that may not serve, and why.
    pub revoked: BTreeMap<Version, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    serial: Option<u64>,
    #[serde(default)]
    model: Vec<RawModel>,
    #[serde(default)]
    revoked: Vec<RawRevoked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    version: String,
    channel: Option<String>,
    url: Option<String>,
    #[serde(default = "everybody")]
    waves: Vec<i64>,
    #[serde(default)]
    hold_s: i64,
    #[serde(default)]
    max_failed: i64,
    /// As a text or, as TOML has it, without quotation marks.
    since: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevoked {
    name: String,
    version: String,
    #[serde(default)]
    why: String,
}

fn everybody() -> Vec<i64> {
    vec![100]
}

/// Reads a list; its first faults at once.
pub fn parse(text: &str) -> Result<List, Vec<String>> {
    read(text).map_err(|mut faults| {
        let more = faults.len().saturating_sub(MOST_FAULTS);
        faults.truncate(MOST_FAULTS);
        for fault in &mut faults {
            if let Some((at, _)) = fault.char_indices().nth(LONGEST_FAULT) {
                fault.truncate(at);
                fault.push_str(" ...");
            }
        }
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        faults
    })
}

fn read(text: &str) -> Result<List, Vec<String>> {
    let raw: RawList = toml::from_str(text).map_err(|error| vec![syntax_fault(text, &error)])?;
    let mut faults = Faults::default();
    faults.unless(raw.model.len() <= MOST_ENTRIES, "model", &format!("at most {MOST_ENTRIES} of them"));
    faults.unless(raw.revoked.len() <= MOST_ENTRIES, "revoked", &format!("at most {MOST_ENTRIES} of them"));
    let mut seen = BTreeSet::new();
    for (at, model) in raw.model.iter().enumerate() {
        check(&mut faults, at, model);
        let once = seen.insert((&model.name, &model.channel));
        let other = format!("a model that is not named before for the same channel, and {:?} is", model.name);
        faults.unless(once, &format!("model[{at}].name"), &other);
    }
    for (at, revoked) in raw.revoked.iter().enumerate() {
        let key = |field: &str| format!("revoked[{at}].{field}");
        faults.version(&key("name"), &revoked.name, &key("version"), &revoked.version);
        let line = revoked.why.len() <= 255 && !revoked.why.chars().any(char::is_control);
        faults.unless(line, &key("why"), "one line, at most 255 characters");
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let revoked = raw.revoked.into_iter().map(|revoked| ((revoked.name, revoked.version), revoked.why));
    Ok(List {
        serial: raw.serial,
        models: raw.model.into_iter().map(RawModel::into_wanted).collect(),
        revoked: revoked.collect(),
    })
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, good: bool, key: &str, takes: &str) {
        if !good {
            self.0.push(format!("{key}: takes {takes}"));
        }
    }

    fn version(&mut self, name_key: &str, name: &str, version_key: &str, version: &str) {
        self.unless(is_name(name), name_key, "1 to 64 characters of [a-z0-9_-], a letter or digit first");
        self.unless(is_semver(version), version_key, "a semantic version such as 1.2.3");
    }
}

fn check(faults: &mut Faults, at: usize, model: &RawModel) {
    let key = |field: &str| format!("model[{at}].{field}");
    faults.version(&key("name"), &model.name, &key("version"), &model.version);
    let channel = model.channel.as_deref().is_none_or(is_name);
    faults.unless(channel, &key("channel"), "1 to 64 characters of [a-z0-9_-], a letter or digit first");
    if let Some(Err(why)) = model.url.as_deref().map(Address::parse) {
        faults.0.push(format!("model[{at}].{why}"));
    }
    let percents = model.waves.iter().all(|percent| (1..=100).contains(percent));
    let ascending = model.waves.is_sorted_by(|one, next| one < next);
    let few = (1..=MOST_WAVES).contains(&model.waves.len());
    let takes = format!("1 to {MOST_WAVES} ascending percentages from 1 to 100, such as [1, 10, 100]");
    faults.unless(percents && ascending && few, &key("waves"), &takes);
    let hold = u64::try_from(model.hold_s).is_ok_and(|hold| hold <= LONGEST_HOLD);
    faults.unless(hold, &key("hold_s"), &format!("0 to {LONGEST_HOLD}"));
    faults.unless(
        model.waves.len() < 2 || model.hold_s > 0,
        &key("hold_s"),
        "at least 1 where there are several waves: longer than the probation of a version",
    );
    faults.unless(u32::try_from(model.max_failed).is_ok(), &key("max_failed"), "a number of boxes, from 0");
    let since = model.since.as_ref().is_none_or(|since| time(since).is_some());
    faults.unless(since, &key("since"), "a time such as \"2026-12-01T06:00:00Z\"");
}

/// A time with its zone.
fn time(value: &toml::Value) -> Option<SystemTime> {
    match value {
        toml::Value::String(text) => humantime::parse_rfc3339(text).ok(),
        toml::Value::Datetime(time) => humantime::parse_rfc3339(&time.to_string()).ok(),
        _ => None,
    }
}

impl RawModel {
    /// What was checked, typed.
    fn into_wanted(self) -> Wanted {
        let rollout = Rollout {
            waves: self.waves.iter().filter_map(|percent| u8::try_from(*percent).ok()).collect(),
            hold: Duration::from_secs(u64::try_from(self.hold_s).unwrap_or_default()),
            max_failed: u32::try_from(self.max_failed).unwrap_or_default(),
        };
        let since = self.since.as_ref().and_then(time);
        Wanted { name: self.name, version: self.version, channel: self.channel, url: self.url, rollout, since }
    }
}

/// What these lists say to a box that follows `channel`. A later list has the last word on a model; within one, the entry for
/// the channel has it. What any of them forbids is forbidden.
pub fn said(lists: &[List], channel: Option<&str>) -> Said {
    let mut said = Said::default();
    for list in lists {
        let common = list.models.iter().filter(|model| model.channel.is_none());
        let own = list.models.iter().filter(|model| model.channel.is_some() && model.channel.as_deref() == channel);
        for model in common.chain(own) {
            said.wanted.insert(model.name.clone(), model.clone());
        }
        for (version, why) in &list.revoked {
            said.revoked.insert(version.clone(), why.clone());
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
serial = 7

[[model]]
name = "screws"
version = "2.0.0"
url = "https://models.plant.example/screws-2.0.0.edgemodel"
waves = [1, 10, 100]
hold_s = 3600
max_failed = 2
since = "2026-12-01T06:00:00Z"

[[model]]
name = "screws"
channel = "beta"
version = "2.1.0-rc.1"

[[revoked]]
name = "screws"
version = "1.9.0"
why = "misses scratches on chrome"
"#;

    #[test]
    fn a_list_is_read() {
        let list = parse(FULL).unwrap();
        assert_eq!((list.serial, list.models.len()), (Some(7), 2));
        let rollout = Rollout { waves: vec![1, 10, 100], hold: Duration::from_secs(3600), max_failed: 2 };
        assert_eq!(list.models[0].rollout, rollout);
        assert!(list.models[0].since.is_some());
        assert_eq!(list.models[1].rollout, Rollout { waves: vec![100], hold: Duration::ZERO, max_failed: 0 });
        assert_eq!(list.revoked[&("screws".into(), "1.9.0".into())], "misses scratches on chrome");
        let bare = parse(&FULL.replace("\"2026-12-01T06:00:00Z\"", "2026-12-01T06:00:00Z")).unwrap();
        assert_eq!(bare, list, "TOML has a form of its own for times");
        assert_eq!(parse("").unwrap(), List::default());
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let model = |more: &str| format!("[[model]]\nname = \"a\"\nversion = \"1.0.0\"\n{more}");
        let cases = [
            ("[[model]]\nname = \"A\"\nversion = \"1.0\"".to_owned(), "model[0].name: takes 1 to 64"),
            ("[[model]]\nname = \"A\"\nversion = \"1.0\"".to_owned(), "model[0].version: takes a semantic version"),
            ("[[model]]\nname = \"a\"".to_owned(), "line 1, column 1: missing field `version`"),
            (model("colour = 1"), "unknown field `colour`"),
            (model("channel = \"\""), "model[0].channel: takes"),
            (model("url = \"ftp://x\""), "model[0].url: \"ftp://x\": takes https://"),
            (model("waves = []"), "model[0].waves: takes 1 to 32 ascending percentages"),
            (model("waves = [10, 10]\nhold_s = 1"), "model[0].waves: takes"),
            (model("waves = [0]"), "model[0].waves: takes"),
            (model("waves = [101]"), "model[0].waves: takes"),
            (model("waves = [1, 100]"), "model[0].hold_s: takes at least 1"),
            (model("hold_s = -1"), "model[0].hold_s: takes 0 to 2678400"),
            (model("max_failed = -1"), "model[0].max_failed: takes"),
            (model("since = \"tomorrow\""), "model[0].since: takes a time"),
            (model("since = 2026-12-01"), "model[0].since: takes a time"),
            (model("since = 7"), "model[0].since: takes a time"),
            (format!("{}{}", model(""), model("")), "model[1].name: takes a model that is not named before"),
            ("[[revoked]]\nname = \"a\"\nversion = \"x\"".to_owned(), "revoked[0].version: takes"),
            ("[[revoked]]\nname = \"a\"\nversion = \"1.0.0\"\nwhy = \"a\\nb\"".to_owned(), "revoked[0].why: takes one"),
            ("serial = -1".to_owned(), "line 1"),
            ("models = 1".to_owned(), "unknown field `models`"),
        ];
        for (text, expected) in cases {
            let said = parse(&text).unwrap_err().join("\n");
            assert!(said.contains(expected), "{text}\n{said}\ninstead of\n{expected}");
        }
    }

    #[test]
    fn however_much_is_wrong_little_is_told() {
        let many = "[[model]]\nname = \"A\"\nversion = \"x\"\nwaves = []\n".repeat(4000);
        let long = format!("[[model]]\nname = \"{}\"\nversion = \"1.0.0\"\n", "a".repeat(100_000)).repeat(2);
        for text in [many, long, format!("{} = 1", "k".repeat(100_000))] {
            let faults = parse(&text).unwrap_err();
            let bytes: usize = faults.iter().map(String::len).sum();
            assert!(faults.len() <= MOST_FAULTS + 1 && bytes < 4000, "{} faults, {bytes} bytes", faults.len());
        }
    }

    #[test]
    fn a_later_list_and_the_own_channel_have_the_last_word_and_every_ban_holds() {
        let central = parse(FULL).unwrap();
        let local = parse(
            "[[model]]\nname = \"screws\"\nversion = \"1.8.0\"\n[[revoked]]\nname = \"nuts\"\nversion = \"1.0.0\"",
        )
        .unwrap();
        let version = |lists: &[List], channel| said(lists, channel).wanted["screws"].version.clone();
        let one = std::slice::from_ref(&central);
        assert_eq!(version(one, None), "2.0.0");
        assert_eq!(version(one, Some("beta")), "2.1.0-rc.1");
        assert_eq!(version(one, Some("other")), "2.0.0");
        let both = [central, local];
        assert_eq!(version(&both, Some("beta")), "1.8.0");
        assert_eq!(said(&both, None).revoked.len(), 2);
    }
}
