//! What tells a box which versions to have: lists, and what other boxes report. What is taken keeps to its bounds, and nothing begins
//! that is forbidden or before its turn.
#![no_main]

use std::time::Duration;

use edge_core::Mono;
use edge_core::rollout::{Here, Reports, Step, next, place};
use edge_wire::mqtt::retained::fleet_report;
use edged::fleet::list::{parse, said};
use libfuzzer_sys::fuzz_target;

/// The longest report of one fault.
const MOST: usize = 8000;

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    if kind % 2 == 1 {
        if let Some(report) = fleet_report("box", "model", text.as_bytes()) {
            assert!(report.node == "box" && report.model == "model");
        }
        return;
    }
    let list = match parse(text) {
        Ok(list) => list,
        Err(faults) => return assert!(!faults.is_empty() && faults.iter().all(|fault| fault.len() < MOST + text.len())),
    };
    let said = said(&[list.clone(), list], Some("beta"));
    for (name, wanted) in &said.wanted {
        assert!(*name == wanted.name && wanted.rollout.waves.is_sorted() && !wanted.rollout.waves.is_empty());
        let revoked = said.revoked.contains_key(&(name.clone(), wanted.version.clone()));
        let here = Here { has_source: wanted.url.is_some(), revoked, ..Here::default() };
        let at = place(text);
        let step = next(&wanted.rollout, at, &here, Reports::Known { failed: 1 }, Some(Duration::ZERO), Mono::default());
        if matches!(step, Step::Pull | Step::Activate) {
            assert!(!revoked && wanted.rollout.wave(at) == Some(0));
        }
    }
});
