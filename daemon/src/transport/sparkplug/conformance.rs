//! Holds docs/sparkplug-conformance.md against the tests that it names: a row without a test, or a test of the node without a
//! place in the page, fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the tests are that rows may name.
const PLACES: [&str; 3] = ["src/transport/sparkplug", "src/transport/mqtt/codec", "src/config/sparkplug.rs"];

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(crate_dir().join("../docs/sparkplug-conformance.md")).unwrap()
}

/// Names of the tests below a place.
fn tests(place: &Path) -> BTreeSet<String> {
    let files: Vec<PathBuf> = match std::fs::read_dir(place) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => return tests_of(&std::fs::read_to_string(place).unwrap()),
    };
    files.iter().flat_map(|file| tests(file)).collect()
}

fn tests_of(text: &str) -> BTreeSet<String> {
    let behind = text.split("#[test]\n").skip(1).chain(text.split("#[tokio::test]\n").skip(1));
    let names = behind.filter_map(|rest| {
        let name = rest.trim_start().trim_start_matches("async ").strip_prefix("fn ")?;
        name.split('(').next().map(str::to_owned)
    });
    names.collect()
}

/// The assertion of each row, with its test where it has one.
fn rows(page: &str) -> Vec<(String, Option<String>)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let id = cells.first()?.strip_prefix("`tck-id-")?.strip_suffix('`')?.to_owned();
        let test = cells.get(2).map(|cell| cell.trim_matches('`').to_owned());
        Some((id, test))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_assertion_stands_once_and_names_a_test_that_there_is_or_a_reason() {
    let all: BTreeSet<String> = PLACES.iter().flat_map(|place| tests(&crate_dir().join(place))).collect();
    let rows = rows(&page());
    assert!(rows.len() > 290, "{} rows", rows.len());
    let mut seen = BTreeMap::new();
    for (id, test) in &rows {
        assert_eq!(seen.insert(id, test), None, "{id} stands twice");
        if let Some(test) = test {
            assert!(all.contains(test), "{id} names {test}, and there is no such test");
        }
    }
    assert!(rows.iter().filter(|(_, test)| test.is_some()).count() > 170);
}

#[test]
fn every_test_of_the_node_has_its_place_in_the_page() {
    let page = page();
    for test in tests(&crate_dir().join("src/transport/sparkplug/node/tests")) {
        assert!(page.contains(&format!("`{test}`")), "{test} is named nowhere");
    }
}
