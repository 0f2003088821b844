//! Loading and forgetting models: what is wrong with a bundle is said, and the other models are served.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use edge_engine::protocol::{FromHost, LoadModel, ToHost};
use support::{Host, setup, start, test_bundle};

fn ask(host: &mut Host, bundle: &Path, provider: &str) -> Result<edge_engine::protocol::LoadedModel, String> {
    ask_with(host, bundle, &[], provider)
}

fn ask_with(
    host: &mut Host,
    bundle: &Path,
    parts: &[PathBuf],
    provider: &str,
) -> Result<edge_engine::protocol::LoadedModel, String> {
    host.send(
        &ToHost::Load(LoadModel {
            model: 5,
            load: 1,
            bundle: bundle.to_owned(),
            parts: parts.to_vec(),
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

/// A copy of a test bundle, with another manifest and another file.
fn changed(name: &str, file: &str, change: impl Fn(Vec<u8>) -> Vec<u8>, manifest: (&str, &str)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(test_bundle(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = dir.path().join(file);
    std::fs::write(&path, change(std::fs::read(&path).unwrap())).unwrap();
    let path = dir.path().join("model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(manifest.0), "{text}");
    std::fs::write(&path, text.replace(manifest.0, manifest.1)).unwrap();
    dir
}

/// Replaces bytes wherever they stand.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn a_model_is_made_of_its_graph_and_of_weights_and_an_adapter_that_are_bundles_of_their_own() {
    let Some(mut host) = Host::start() else { return };
    let (model, base, tone) = (test_bundle("toned"), test_bundle("base"), test_bundle("tone"));
    let loaded = ask_with(&mut host, &model, &[tone.clone(), base.clone()], "cpu").unwrap();
    assert_eq!(loaded.goldens_passed, 1, "both took part in the answer");
    let inputs: Vec<&str> = loaded.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(inputs, ["x"], "what the adapter gives no request has to bring");
}

#[test]
fn a_part_that_is_missing_or_does_not_fit_is_named_and_nothing_is_loaded() {
    let Some(mut host) = Host::start() else { return };
    let (model, base, tone) = (test_bundle("toned"), test_bundle("base"), test_bundle("tone"));
    let same = |bytes: Vec<u8>| bytes;
    let adapter = "tone.onnx_adapter";
    let newer = changed("tone", adapter, same, ("version = \"1.0.0\"", "version = \"2.0.0\""));
    let other = changed("tone", adapter, same, ("base = [\"07", "base = [\"08"));
    let renamed = |bytes: Vec<u8>| replaced(&bytes, b"lora_b", b"lora_c");
    let renamed = changed("tone", adapter, renamed, ("licence", "licence"));
    let wrong = |bytes: Vec<u8>| replaced(&bytes, &1f32.to_le_bytes(), &3f32.to_le_bytes());
    let wrong = changed("tone", adapter, wrong, ("licence", "licence"));
    let cut = changed("tone", adapter, |bytes| bytes[..20].to_vec(), ("licence", "licence"));
    let cases = [
        (vec![base.clone()], "it needs the adapter tone ^1.0, which is not here"),
        (vec![base.clone(), newer.path().into()], "it needs tone ^1.0, and tone is 2.0.0"),
        (vec![base.clone(), other.path().into()], "was made for other graphs than its sha256 07"),
        (vec![base.clone(), renamed.path().into()], "has lora_c, which no optional input of the graph is called"),
        (vec![base.clone(), cut.path().into()], "its file is no adapter of ONNX Runtime"),
        (vec![base, wrong.path().into()], "golden/one.json"),
        (vec![tone, test_bundle("known")], "it needs the weights base ^1.0, which is not here"),
    ];
    for (parts, expected) in cases {
        let said = ask_with(&mut host, &model, &parts, "cpu").unwrap_err();
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn a_recipe_reads_a_file_of_a_part() {
    let Some(mut host) = Host::start() else { return };
    let said = ask(&mut host, &test_bundle("named"), "cpu").unwrap_err();
    assert!(said.contains("it needs the labels known ^1.0, which is not here"), "{said}");
    let loaded = ask_with(&mut host, &test_bundle("named"), &[test_bundle("known")], "cpu").unwrap();
    assert_eq!(loaded.goldens_passed, 1);
}
