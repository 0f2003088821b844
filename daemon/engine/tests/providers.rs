//! The provider that a host is for: found, checked and registered at `Start`, and each way in which that fails has words of
//! its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use edge_engine::protocol::{FromHost, Precision, Setup};
use support::cards;
use support::plugins::{is_intel, openvino_file, openvino_itself, plugin};
use support::{Host, library, setup, start_for, test_bundle};

/// What a host says that is started for this provider; `None` if it ends instead.
fn started(name: &str, plugin: Option<PathBuf>) -> Option<Result<String, String>> {
    let mut host = Host::spawn();
    host.send(&start_for(library()?, name, plugin), &[]);
    match host.try_receive()?.0 {
        FromHost::Started { version, .. } => Some(Ok(version)),
        FromHost::StartFailed { message } => Some(Err(message)),
        other => panic!("{other:?}"),
    }
}

fn refused(name: &str, plugin: Option<PathBuf>, expected: &str) {
    let said = started(name, plugin).unwrap().unwrap_err();
    assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
}

#[test]
fn a_provider_that_is_not_there_is_said_with_what_is_and_what_to_do() {
    if library().is_none() {
        return;
    }
    match cards::runtime_has("cuda") {
        Some(false) => {
            refused("cuda", None, "provider cuda was asked for, but ONNX Runtime 1.");
            refused(
                "tensorrt",
                None,
                "cpu: install a build of it that has tensorrt, or take tensorrt out of the allowed",
            );
        }
        _ => println!("SKIPPED in part: this ONNX Runtime has CUDA"),
    }
    refused(
        "openvino",
        None,
        "provider openvino was asked for, which comes as a library of its own, and none was found",
    );
    refused("abacus", None, "provider abacus was asked for, which comes as a library of its own");
    refused(
        "cpu",
        Some("/plugin.so".into()),
        "provider cpu is a part of ONNX Runtime and takes no library, /plugin.so",
    );
}

#[test]
fn a_file_that_is_no_library_for_this_machine_is_told_before_it_is_opened() {
    if library().is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        Some(path)
    };
    let mut foreign = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    foreign.truncate(4096);
    let cut = file("cut.so", &foreign);
    foreign[18..20].copy_from_slice(&20u16.to_le_bytes());
    let missing = Some(directory.path().join("missing.so"));
    refused("openvino", missing, "missing.so: No such file or directory");
    refused("openvino", Some(directory.path().to_owned()), "not a regular file");
    refused("openvino", file("note.so", b"not a library"), "note.so: it is no library (no ELF file of 64 bits)");
    refused("openvino", file("foreign.so", &foreign), "foreign.so: it is for machine 20, this machine is ");
    refused("openvino", cut, "it has 4096 bytes of ");
}

#[test]
fn a_library_that_is_no_provider_or_refuses_the_runtime_is_told_apart() {
    if library().is_none() {
        return;
    }
    if let Some(other) = openvino_file("libtbb.so.12") {
        refused("openvino", Some(other), "it has no function CreateEpFactories");
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(refuses) = plugin(directory.path(), &["REFUSES"]) else { return };
    refused("abacus", Some(refuses.clone()), "provider abacus: register its library ");
    refused("abacus", Some(refuses), "this provider needs version 99 of the runtime's interface");
}

#[test]
fn a_library_that_crashes_ends_the_host_and_nothing_else() {
    if library().is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for crash in ["CRASH_WHEN_OPENED", "CRASH_WHEN_REGISTERED"] {
        let Some(crashes) = plugin(directory.path(), &[crash]) else { return };
        assert_eq!(started("abacus", Some(crashes)), None, "{crash}");
    }
}

#[test]
fn a_library_that_offers_no_device_is_told_with_all_that_is_offered() {
    if library().is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    if let Some(empty) = plugin(directory.path(), &["OFFERS_NOTHING"]) {
        let expected = "abacus offers no device of kind any on this machine; all that is offered: CPUExecutionProvider";
        refused("abacus", Some(empty), expected);
    }
    if let Some(real) = openvino_itself().filter(|_| !is_intel()) {
        refused(
            "openvino",
            Some(real),
            "openvino offers no device of kind CPU on this machine (its library passes over",
        );
    }
}

/// Asks a host to load a model as `setup` says.
fn load(host: &mut Host, bundle: &Path, setup: Setup) -> Result<edge_engine::protocol::LoadedModel, String> {
    host.ask_load_as(bundle, 0, 0, setup, true);
    host.loaded()
}

#[test]
fn a_host_loads_models_for_its_own_provider_and_no_other() {
    let Some(mut host) = Host::start() else { return };
    let bundle = test_bundle("add");
    let error = load(&mut host, &bundle, setup(&bundle, "openvino")).unwrap_err();
    assert!(error.contains("provider openvino was asked for, but this engine host is for cpu"), "{error}");
    let reduced = Setup { precision: Precision::Reduced, ..setup(&bundle, "cpu") };
    assert_eq!(load(&mut host, &bundle, reduced).unwrap().goldens_passed, 1);
}
