//! What the daemon tells of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use edge_wire::dto::Status;
use edge_wire::sites::AuditEntry;
use serde::Serialize;
use zbus::Variant;

use crate::cli::Common;
use crate::client::{Client, Options};
use crate::clock;
use crate::cmd;
use crate::failure::Failure;
use crate::render::human;
use crate::since::When;
use crate::support::Found;

/// How far back usage and audit go.
const DAYS: u64 = 7;
/// Most departures that are counted: no more are given at once. All of them are in the usage, by site.
const MOST: u32 = 1000;

/// Departures of one kind: how many, and nothing of any of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Count {
    site: String,
    data_class: String,
    outcome: String,
    count: u64,
    bytes: u64,
}

/// The state, as far as there is a daemon that answers.
pub async fn state(common: &Common, found: &mut Found) -> Result<Option<Status>, Failure> {
    let asked = match cmd::connect(common).await {
        Ok(client) => client.status().await.map(|status| (client, status)),
        // The command line is wrong, and not the box.
        Err(failure @ Failure::Usage { .. }) => return Err(failure),
        Err(failure) => Err(failure),
    };
    let (client, status) = match asked {
        Ok(asked) => asked,
        Err(failure) => {
            found.put("status.json", "", Err(failure.to_string()));
            return Ok(None);
        }
    };
    found.text("status.txt", "what edged does, for people", Ok(human::status::status(&status)));
    found.record("models.json", "models and their setups", Ok(&status.models));
    found.record("jobs.json", "long work", Ok(&status.jobs));
    found.record("bindings.json", "what bindings did", Ok(&status.mqtt.bindings));
    found.record("telemetry.json", "readings and hardware", Ok((&status.readings, &status.hardware)));
    found.record("status.json", "the whole state", Ok(&status));
    more(&client, found).await;
    Ok(Some(status))
}

async fn more(client: &Client, found: &mut Found) {
    let told = |failure: Failure| failure.to_string();
    found.record("governor.json", "heat: what was learnt, and the last hour", client.governor().await.map_err(told));
    found.record("sites.json", "other places that serve", client.routing().await.map_err(told));
    found.record("history.json", "who did what with models", client.history().await.map_err(told));
    found.record("cache.json", "what providers compiled", client.cache().await.map_err(told));
    let since = When::Ago(std::time::Duration::from_secs(DAYS * 86_400)).resolve(clock::unix_seconds()).rfc3339();
    let mut options = Options::new();
    options.insert("since", Variant::from(since.clone()));
    let usage = client.usage(&options).await;
    found.record("usage.json", "what was served in seven days", usage.map_err(told));
    options.insert("limit", Variant::from(MOST));
    let audit = client.audit(&options).await.map(|entries| counted(&entries));
    found.record(
        "audit.json",
        "how much left the device in seven days, of the newest 1000: counts only",
        audit.map_err(told),
    );
}

fn counted(entries: &[AuditEntry]) -> Vec<Count> {
    let mut counts: BTreeMap<[&str; 3], Count> = BTreeMap::new();
    for entry in entries {
        let count = counts.entry([&entry.site, &entry.data_class, &entry.outcome]).or_default();
        count.count += 1;
        count.bytes = count.bytes.saturating_add(entry.bytes);
    }
    let named = |([site, class, outcome], count): ([&str; 3], Count)| Count {
        site: site.into(),
        data_class: class.into(),
        outcome: outcome.into(),
        ..count
    };
    counts.into_iter().map(named).collect()
}

/// All checks, whether there is a daemon or not.
pub async fn doctor(common: &Common, config: Option<PathBuf>, found: &mut Found) -> Result<(), Failure> {
    let report = cmd::doctor::report(common, config).await?;
    found.text("doctor.txt", "all checks, for people", Ok(human::checks::report(&report)));
    found.record("doctor.json", "all checks", Ok(&report));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_left_the_device_only_counts_are_told() {
        let entry = |site: &str, outcome: &str| AuditEntry {
            site: site.into(),
            outcome: outcome.into(),
            request_id: "mine".into(),
            caller: "somebody".into(),
            digest: "abc".into(),
            bytes: 10,
            ..AuditEntry::default()
        };
        let told = counted(&[entry("a", "ok"), entry("b", "ok"), entry("a", "ok"), entry("a", "timeout")]);
        let rows: Vec<(&str, &str, u64, u64)> =
            told.iter().map(|one| (one.site.as_str(), one.outcome.as_str(), one.count, one.bytes)).collect();
        assert_eq!(rows, [("a", "ok", 2, 20), ("a", "timeout", 1, 10), ("b", "ok", 1, 10)]);
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("mine") && !text.contains("somebody") && !text.contains("abc"), "{text}");
    }
}
