//! What a box says when something about it changes: one message a change, for logs and alarms. Nothing that changes with each
//! request is an event.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dto::{ModelStatus, Problem, Status};

/// One change, without its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// `started`, `state`, `regime`, `model`, `problem`, `problem_over` or `broker`.
    pub event: &'static str,
    /// Which one: the model, the subject of the problem, the broker; empty for the box itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What it was before; empty if it was not there.
    pub from: String,
    /// What it is now; empty if it is gone.
    pub to: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The daemon was started.
pub fn started(status: &Status) -> Event {
    let (from, to) = (String::new(), status.version.clone());
    Event { event: "started", subject: String::new(), from, to, reason: status.reason.clone() }
}

/// Everything worth a message that differs between two looks at the same box, in a fixed order.
pub fn between(before: &Status, now: &Status) -> Vec<Event> {
    let mut events = Vec::new();
    let mut changed = |event, subject: &str, from: &str, to: &str, reason: &str| {
        if from != to {
            let own = str::to_owned;
            events.push(Event { event, subject: own(subject), from: own(from), to: own(to), reason: own(reason) });
        }
    };
    changed("state", "", &before.state, &now.state, &now.reason);
    changed("regime", "", &before.governor.regime, &now.governor.regime, &now.governor.reason);
    if is_link(&before.mqtt.state) && is_link(&now.mqtt.state) {
        changed("broker", &now.mqtt.broker, &before.mqtt.state, &now.mqtt.state, &now.mqtt.reason);
    }
    let (old, new) = (models(before), models(now));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let (from, to) = (old.get(name), new.get(name));
        let word = |model: Option<&&ModelStatus>| model.map_or_else(String::new, |model| shown(model));
        changed("model", name, &word(from), &word(to), to.map_or("", |model| &model.reason));
    }
    let (old, new) = (problems(before), problems(now));
    for (subject, what) in &new {
        if !old.contains_key(subject) {
            changed("problem", subject, "", what, "");
        }
    }
    for (subject, what) in &old {
        if !new.contains_key(subject) {
            changed("problem_over", subject, what, "", "");
        }
    }
    events
}

/// `<prefix>/<node>/events`.
pub fn text(event: &Event, node: &str, at: &str) -> String {
    #[derive(Serialize)]
    struct Record<'a> {
        node: &'a str,
        time: &'a str,
        #[serde(flatten)]
        event: &'a Event,
    }
    super::retained::text(&Record { node, time: at, event })
}

fn is_link(state: &str) -> bool {
    !state.is_empty() && state != "off"
}

/// The version of each model that requests go to.
fn models(status: &Status) -> BTreeMap<&str, &ModelStatus> {
    super::retained::shown_models(status).into_iter().map(|model| (model.name.as_str(), model)).collect()
}

/// A model that is let go to save memory and loaded again is no news.
fn shown(model: &ModelStatus) -> String {
    let state = if model.state == "standby" { "ready" } else { &model.state };
    format!("{} {state}", model.version)
}

fn problems(status: &Status) -> BTreeMap<&str, &str> {
    let of = |problem: &'_ Problem| -> (usize, usize) { (problem.subject.len(), problem.what.len()) };
    let mut all: Vec<&Problem> = status.problems.iter().chain(&status.mqtt.problems).collect();
    all.sort_by_key(|problem| of(problem));
    all.into_iter().map(|problem| (problem.subject.as_str(), problem.what.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let mut status = Status { state: "serving".into(), node: "box".into(), ..Status::default() };
        status.governor.regime = "nominal".into();
        status.mqtt.state = "connected".into();
        status.models.push(ModelStatus {
            name: "m".into(),
            version: "1.0.0".into(),
            state: "ready".into(),
            active: true,
            ..ModelStatus::default()
        });
        status
    }

    fn words(before: &Status, now: &Status) -> Vec<String> {
        between(before, now).iter().map(|e| format!("{} {}: {} > {}", e.event, e.subject, e.from, e.to)).collect()
    }

    #[test]
    fn each_change_is_one_event_and_nothing_is_said_of_what_stays() {
        let before = status();
        assert_eq!(words(&before, &before), [""; 0]);
        let mut now = status();
        now.state = "draining".into();
        now.governor.regime = "throttled".into();
        now.models[0].version = "2.0.0".into();
        now.models[0].done += 1;
        now.mqtt.received += 1;
        now.mqtt.state = "connecting".into();
        now.problems.push(Problem { subject: "fan".into(), what: "it stands".into(), remedy: String::new() });
        assert_eq!(
            words(&before, &now),
            [
                "state : serving > draining",
                "regime : nominal > throttled",
                "broker : connected > connecting",
                "model m: 1.0.0 ready > 2.0.0 ready",
                "problem fan:  > it stands",
            ]
        );
        assert_eq!(words(&now, &before).last().unwrap(), "problem_over fan: it stands > ");
        let mut gone = status();
        gone.models.clear();
        assert_eq!(words(&before, &gone), ["model m: 1.0.0 ready > "]);
        let mut rests = status();
        rests.models[0].state = "standby".into();
        assert_eq!(words(&before, &rests), [""; 0]);
    }

    #[test]
    fn an_event_is_json_with_its_node_and_time() {
        let mut now = status();
        now.governor.regime = "throttled".into();
        now.governor.reason = "gpu is hot".into();
        let event = &between(&status(), &now)[0];
        assert_eq!(
            text(event, "box", "2026-01-01T00:00:00Z"),
            r#"{"node":"box","time":"2026-01-01T00:00:00Z","event":"regime","from":"nominal","to":"throttled","reason":"gpu is hot"}"#
        );
    }
}
