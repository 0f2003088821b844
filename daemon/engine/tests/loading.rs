//! Loading and forgetting models: what is wrong with a bundle is said, and the other models are served.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use edge_engine::protocol::{FromHost, LoadModel, ToHost};
use support::{Host, setup, start, test_bundle};

fn ask(host: &mut Host, bundle: &Path, provider: &str) -> Result<edge_engine::protocol::LoadedModel, String> {
    host.send(
        &ToHost::Load(LoadModel {
            model: 5,
            load: 1,
            bundle: bundle.to_owned(),
            first_lane: 5,
            setup: setup(bundle, provider),
            check_goldens: true,
            trial: false,
            cache_dir: None,
        }),
        &[],
    );
    host.loaded()
}

#[test]
fn a_bundle_with_a_fault_is_refused_with_the_reason() {
    let Some(mut host) = Host::start() else { return };
    let cases = [
        ("wrong-golden", "cpu", "golden golden/one.json: at c element 1: expected 2.75, got 2.5 (tolerance"),
        ("unknown-key", "cpu", "unknown field `colour`"),
        ("corrupt", "cpu", "variant only: make a session of"),
        ("wants-cuda", "cuda", "provider cuda was asked for, but this engine host is for cpu"),
        ("nowhere", "cpu", "open bundle manifest"),
    ];
    for (name, provider, expected) in cases {
        let message = ask(&mut host, &test_bundle(name), provider).unwrap_err();
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert_eq!(ask(&mut host, &test_bundle("add"), "cpu").unwrap().goldens_passed, 1);
}

#[test]
fn a_forgotten_model_can_be_loaded_again() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("add"));
    host.ask_load(&test_bundle("add"), 0, 8);
    assert_eq!(host.loaded().unwrap_err(), "the model is loaded, or being loaded");
    host.ask_load(&test_bundle("add"), 1, 0);
    assert!(host.loaded().unwrap_err().contains("its lanes belong to another model"));
    for _ in 0..3 {
        host.send(&ToHost::Unload { model: 0 }, &[]);
        match host.receive().0 {
            FromHost::Unloaded { model: 0, before_bytes, after_bytes } => assert!(before_bytes > 0 && after_bytes > 0),
            other => panic!("{other:?}"),
        }
        assert!(host.is_closed(0), "the lane of a forgotten model has ended");
        host.load(&test_bundle("add"));
    }
}

#[test]
fn a_library_that_is_none_is_named() {
    for path in ["/nowhere/libonnxruntime.so", "/etc/passwd"] {
        let mut host = Host::spawn();
        host.send(&start(path.into()), &[]);
        match host.receive().0 {
            FromHost::StartFailed { message } => {
                assert!(message.contains("load ONNX Runtime") && message.contains(path), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_is_loaded_before_the_runtime() {
    let mut host = Host::spawn();
    host.ask_load(&test_bundle("add"), 0, 0);
    assert_eq!(host.loaded().unwrap_err(), "the runtime is not started");
}
