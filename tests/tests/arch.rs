//! Which crate may name which: read from `cargo metadata`, so that the arrows of ARCHITECTURE.md are facts.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Result, ensure};
use edge_tests::places::repository;
use serde_json::Value;

/// What each crate of the workspace may name of the others, in code and in its own tests.
const MAY_NAME: [(&str, &[&str]); 6] = [
    ("edge-core", &[]),
    ("edge-wire", &[]),
    ("edge-engine", &[]),
    ("edged", &["edge-core", "edge-wire", "edge-engine"]),
    ("edgectl", &["edge-wire"]),
    ("edge-tests", &["edge-core", "edge-wire", "edge-engine", "edged"]),
];

/// What a crate must not reach at all, however far away.
const MUST_NOT_REACH: [(&str, &[&str]); 4] = [
    ("edge-core", &["serde", "tokio", "zbus", "rumqttc", "ort", "tracing"]),
    ("edge-wire", &["tokio-rustls", "rumqttc", "ort", "rusqlite", "edge-core", "edge-engine"]),
    ("edge-engine", &["tokio", "zbus", "rumqttc", "rusqlite", "edge-core", "edge-wire"]),
    ("edgectl", &["edged", "edge-core", "edge-engine", "ort", "rumqttc", "rusqlite"]),
];

/// A crate's direct dependencies: those of its code, and those of its tests beside them.
#[derive(Debug, Default)]
struct Needs {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

struct Graph {
    members: BTreeSet<String>,
    needs: BTreeMap<String, Needs>,
}

impl Graph {
    fn read() -> Result<Graph> {
        // What other systems would need was never fetched here.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
            .current_dir(repository())
            .output()?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Graph::parse(&serde_json::from_slice(&output.stdout)?))
    }

    fn parse(metadata: &Value) -> Graph {
        let names: BTreeMap<&str, &str> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let members = list(&metadata["workspace_members"]).iter().map(|id| names[text(id)].to_owned()).collect();
        let mut needs: BTreeMap<String, Needs> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let needs = needs.entry(names[text(&node["id"])].to_owned()).or_default();
            for dependency in list(&node["deps"]) {
                let name = names[text(&dependency["pkg"])].to_owned();
                let in_code = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
                if in_code { &mut needs.code } else { &mut needs.tests }.insert(name);
            }
        }
        Graph { members, needs }
    }

    /// Everything that the code of `name` links, directly or not.
    fn reached(&self, name: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            for next in self.needs.get(name).iter().flat_map(|needs| &needs.code) {
                if reached.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        reached
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn every_crate_of_the_workspace_has_its_arrows_written_down() -> Result<()> {
    let known: BTreeSet<String> = MAY_NAME.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(Graph::read()?.members, known);
    Ok(())
}

#[test]
fn no_crate_names_one_that_it_has_no_arrow_to() -> Result<()> {
    let graph = Graph::read()?;
    for (name, allowed) in MAY_NAME {
        let needs = &graph.needs[name];
        // A crate may name itself to switch on a feature for its own tests.
        for named in needs.code.union(&needs.tests).filter(|named| graph.members.contains(*named)) {
            assert!(named == name || allowed.contains(&named.as_str()), "{name} names {named}");
        }
    }
    Ok(())
}

#[test]
fn the_core_depends_on_the_standard_library_alone() -> Result<()> {
    let graph = Graph::read()?;
    assert_eq!(graph.needs["edge-core"].code, BTreeSet::new());
    Ok(())
}

#[test]
fn what_crosses_the_border_brings_no_runtime_of_its_own() -> Result<()> {
    let graph = Graph::read()?;
    assert!(!graph.needs["edge-wire"].code.contains("tokio"), "edge-wire names tokio");
    Ok(())
}

#[test]
fn no_crate_reaches_what_belongs_to_another_process_or_adapter() -> Result<()> {
    let graph = Graph::read()?;
    for (name, forbidden) in MUST_NOT_REACH {
        let reached = graph.reached(name);
        for other in forbidden {
            assert!(!reached.contains(other), "{name} reaches {other}");
        }
    }
    Ok(())
}

#[test]
fn only_the_engine_and_the_measurements_link_the_runtime() -> Result<()> {
    let graph = Graph::read()?;
    let linking = graph.members.iter().filter(|name| graph.needs[*name].code.contains("ort"));
    assert_eq!(linking.collect::<Vec<_>>(), ["edge-engine", "edge-tests"]);
    Ok(())
}
