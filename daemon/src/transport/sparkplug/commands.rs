//! What hosts write: which metric is meant, and whether it may be written.
//!
//! Decides by the operator's permission and by what was born; must not know what becomes of a command. A rebirth is always
//! allowed, because the specification demands it.

use super::metrics::{ACTIVATE, DRAIN, Kind, Permits, REBIRTH, Value};
use super::payload::{Metric, written};

/// What a host wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// All births again.
    Rebirth,
    /// Take no more requests, or take them again.
    Drain(bool),
    /// Make this version the active one; `model` is a name without a version.
    Activate { model: String, version: String },
}

impl Command {
    /// In words, for the log and the metric that shows the last one.
    pub fn words(&self) -> String {
        match self {
            Command::Rebirth => "rebirth".into(),
            Command::Drain(true) => "drain".into(),
            Command::Drain(false) => "resume".into(),
            Command::Activate { model, version } => format!("activate {model}:{version}"),
        }
    }
}

/// Why a write is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is not allowed: `sparkplug.commands` does not have it")]
    NotPermitted(&'static str),
    #[error("{0} cannot be written")]
    NotWritable(String),
    #[error("{0} takes {1}")]
    WrongValue(&'static str, &'static str),
    #[error("there is no metric with the alias {0}")]
    UnknownAlias(u64),
    #[error("a metric without name and alias")]
    Nameless,
    #[error("there is no device {0}")]
    UnknownDevice(String),
    #[error("{0} is no model")]
    NoModel(String),
    #[error("the node is not born yet")]
    NotBorn,
    #[error("{0}")]
    Unreadable(String),
}

/// Judges a write to the metric `name` of the node.
pub fn of_node(name: &str, metric: &Metric, permits: Permits) -> Result<Command, Refusal> {
    match name {
        REBIRTH => match written(metric, Kind::Boolean) {
            Some(Value::Bool(true)) => Ok(Command::Rebirth),
            _ => Err(Refusal::WrongValue(REBIRTH, "true")),
        },
        DRAIN if !permits.drain => Err(Refusal::NotPermitted("drain")),
        DRAIN => match written(metric, Kind::Boolean) {
            Some(Value::Bool(drain)) => Ok(Command::Drain(drain)),
            _ => Err(Refusal::WrongValue(DRAIN, "true or false")),
        },
        other => Err(Refusal::NotWritable(short(other))),
    }
}

/// Judges a write to the metric `name` of a device, which is that of `model` if it is a model's.
pub fn of_device(
    device: &str,
    model: Option<&str>,
    name: &str,
    metric: &Metric,
    permits: Permits,
) -> Result<Command, Refusal> {
    if name != ACTIVATE {
        return Err(Refusal::NotWritable(short(name)));
    }
    if !permits.activate {
        return Err(Refusal::NotPermitted("activate"));
    }
    let Some(model) = model else { return Err(Refusal::NoModel(short(device))) };
    match written(metric, Kind::String) {
        Some(Value::Text(version)) if is_version(&version) => Ok(Command::Activate { model: model.into(), version }),
        _ => Err(Refusal::WrongValue(ACTIVATE, "a version of 1 to 64 letters, digits, `.`, `-` and `+`")),
    }
}

/// Whether this may be a version; which ones there are the daemon knows.
fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

/// What a stranger wrote, short enough for a line of the log.
pub fn short(text: &str) -> String {
    const MOST: usize = 64;
    text.chars().take(MOST).map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sparkplug::payload::metric::Value as Sent;

    const ALL: Permits = Permits { drain: true, activate: true };
    const NONE: Permits = Permits { drain: false, activate: false };

    fn write(value: Sent) -> Metric {
        Metric { value: Some(value), ..Metric::default() }
    }

    #[test]
    fn a_rebirth_is_allowed_whatever_the_operator_says_and_takes_true_only() {
        assert_eq!(of_node(REBIRTH, &write(Sent::Boolean(true)), NONE), Ok(Command::Rebirth));
        for value in [Sent::Boolean(false), Sent::Int(1), Sent::String("true".into())] {
            assert_eq!(of_node(REBIRTH, &write(value), ALL), Err(Refusal::WrongValue(REBIRTH, "true")));
        }
        assert!(of_node(REBIRTH, &Metric::default(), ALL).is_err());
    }

    #[test]
    fn drain_and_activate_need_the_operators_word() {
        let (drain, version) = (write(Sent::Boolean(true)), write(Sent::String("1.2.0".into())));
        assert_eq!(of_node(DRAIN, &drain, NONE), Err(Refusal::NotPermitted("drain")));
        assert_eq!(of_node(DRAIN, &drain, ALL), Ok(Command::Drain(true)));
        let activate = |permits| of_device("model-a", Some("a"), ACTIVATE, &version, permits);
        assert_eq!(activate(NONE), Err(Refusal::NotPermitted("activate")));
        assert_eq!(activate(ALL), Ok(Command::Activate { model: "a".into(), version: "1.2.0".into() }));
    }

    #[test]
    fn what_is_no_command_cannot_be_written() {
        let value = write(Sent::String("serving".into()));
        assert_eq!(of_node("Health/State", &value, ALL), Err(Refusal::NotWritable("Health/State".into())));
        let refused = of_device("model-a", Some("a"), "Version", &value, ALL);
        assert_eq!(refused, Err(Refusal::NotWritable("Version".into())));
        assert!(matches!(of_device("binding-b", None, ACTIVATE, &value, ALL), Err(Refusal::NoModel(_))));
    }

    #[test]
    fn a_version_that_can_be_none_is_refused_before_anybody_looks_for_it() {
        for text in ["", "a:b", "../x", "1 2", &"1".repeat(65)] {
            let refused = of_device("d", Some("a"), ACTIVATE, &write(Sent::String(text.into())), ALL);
            assert!(matches!(refused, Err(Refusal::WrongValue(ACTIVATE, _))), "{text}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_is_told_short_and_on_one_line() {
        let told = Refusal::NotWritable(short(&"a\n".repeat(100))).to_string();
        assert!(told.len() < 100 && !told.contains('\n'), "{told}");
    }
}
