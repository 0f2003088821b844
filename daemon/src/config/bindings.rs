//! `[[binding]]`: where frames come from, which model they are given to, and where the answers go. Decides what a description of
//! one may say, and finds every fault of all of them, those between two of them included. Must not know how frames come.

mod checks;
mod keys;
mod outputs;

use std::path::PathBuf;
use std::time::Duration;

use edge_core::{DataClass, Priority, Zone};
use reqwest::Url;

pub use self::keys::{GROUP, MOST};
use super::raw::Values;
use super::validate::Machine;
use super::{MqttConfig, files};
use crate::binding::filter::Filter;
use crate::binding::flat::{Facts, Rules};
use crate::binding::gate::Limits;
use crate::binding::glob::Glob;
use crate::binding::look::Payload;
use crate::binding::reference::Allow;
use crate::binding::tag;
use crate::binding::template::{Fixed, Template, Values as Stands};

/// One binding.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingConfig {
    pub name: String,
    pub model: String,
    pub version: Option<String>,
    pub source: Source,
    pub payload: Payload,
    /// Messages name the frame, which must be on this list.
    pub reference: Option<Allow>,
    pub limits: Limits,
    pub deadline: Option<Duration>,
    pub data_class: Option<DataClass>,
    pub priority: Priority,
    /// `None`: the wildcards of the topic, or the name of the binding.
    pub source_name: Option<Template>,
    pub result: Template,
    pub qos: u8,
    pub retain: bool,
    pub last: bool,
    pub flat: Option<Flat>,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Topic(Filter),
    Folder(Folder),
    Snapshot(Snapshot),
    Device(Device),
}

/// A directory of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub dir: PathBuf,
    pub pattern: Glob,
    pub after: After,
}

/// What becomes of a file whose answer is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    Delete,
    Keep,
    Move(PathBuf),
}

/// A camera that gives its picture over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub url: Url,
    /// File of `USER:PASSWORD`.
    pub credential: Option<PathBuf>,
    /// PEM file of the only authorities that are trusted; `None`: those of the box.
    pub ca: Option<PathBuf>,
    pub interval: Duration,
}

/// A camera of this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub path: PathBuf,
    /// Least time between two pictures; `None`: all that it gives.
    pub interval: Option<Duration>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Flat results.
#[derive(Clone, Debug, PartialEq)]
pub struct Flat {
    pub topic: Template,
    pub retain: bool,
    pub rules: Rules,
}

impl BindingConfig {
    /// What a topic template may name of this binding.
    pub fn fixed<'a>(&'a self, node: &'a str, prefix: &'a str) -> Fixed<'a> {
        Fixed { binding: &self.name, model: &self.model, node, prefix }
    }

    /// The name of the source of a frame by what its wildcards stood for; every reader takes it as a part of a topic and of a
    /// tag path.
    pub fn source(&self, captures: &[&str], node: &str, prefix: &str) -> String {
        let stands = Stands { captures, fixed: self.fixed(node, prefix), ..Stands::default() };
        tag::name(&match &self.source_name {
            // Too long for a topic: cut, and told from others by its hash.
            Some(template) => template.expand(&stands).unwrap_or_else(|| captures.join("-")),
            // The files of a folder are one after the other of one source, whatever their names.
            None if captures.is_empty() || matches!(self.source, Source::Folder(_)) => self.name.clone(),
            None => captures.join("-"),
        })
    }

    /// The filter that it is subscribed to by, if it is.
    pub fn filter(&self) -> Option<&Filter> {
        match &self.source {
            Source::Topic(filter) => Some(filter),
            Source::Folder(_) | Source::Snapshot(_) | Source::Device(_) => None,
        }
    }

    /// Whether an answer that says this is a yes; without flat results nobody asks.
    pub fn is_ok(&self, facts: &Facts) -> bool {
        self.flat.as_ref().is_none_or(|flat| flat.rules.verdict.is_ok(facts))
    }
}

/// Why the answers of a binding may not go to the broker: its frames were not there yet, and what is made of them goes no
/// farther than they may.
pub fn confined(binding: &BindingConfig, unlabelled: DataClass, broker: Zone) -> Option<String> {
    let class = binding.data_class.unwrap_or(unlabelled);
    if binding.filter().is_some() || broker <= class.farthest() {
        return None;
    }
    Some(format!(
        "{:?}: its frames are {} data, which stays in the zone {}, and the broker that gets the answers is in the zone {}: set \
         `data_class`, or `mqtt.zone` if the broker is nearer",
        binding.name,
        class.as_str(),
        class.farthest().as_str(),
        broker.as_str()
    ))
}

/// What bindings are held against beyond their own text.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub machine: &'a Machine,
    pub node: &'a str,
    pub mqtt: Option<&'a MqttConfig>,
    /// Group and name of the edge node, if it is one.
    pub sparkplug: Option<(&'a str, &'a str)>,
}

/// What was read of all bindings.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub bindings: Vec<BindingConfig>,
    /// Keys that name a credential where nobody can look whether it is there.
    pub unseen: Vec<String>,
}

/// The bindings of these values; faults are noted there.
pub fn read(values: &mut Values, around: &Around<'_>) -> Read {
    let records = values.take_records(&GROUP);
    values.faults.extend(super::records::same_names(&records));
    if records.len() > MOST {
        values.fault(None, "binding", format!("there are {}: takes at most {MOST}", records.len()));
    }
    if let (Some(first), None) = (records.first(), around.mqtt) {
        values.faults.push(first.fault("", "needs a broker for its answers: set `mqtt.host`".into()));
    }
    let mut out = Read::default();
    let mut known = Vec::new();
    for record in &records {
        let mut reader = checks::Reader::new(record, around);
        let binding = reader.binding();
        values.faults.append(&mut reader.faults);
        out.unseen.append(&mut reader.unseen);
        known.extend(binding.map(|binding| (record, binding)));
    }
    values.faults.extend(outputs::faults(&known, around));
    out.bindings = known.into_iter().map(|(_, binding)| binding).collect();
    out
}

#[cfg(test)]
mod tests;
