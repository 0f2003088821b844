//! Bundles before they are served, with the real command, the real daemon's binary and the real runtime: drafted from a
//! graph, checked, answered anew, signed, packed.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing fails")]

use anyhow::Result;
use edge_tests::desk::Desk;
use edge_tests::places;
use serde_json::Value;

/// A bundle drafted from the detector of the repository.
fn things(desk: &Desk) -> Result<Value> {
    desk.model("things", "things.onnx")?;
    std::fs::create_dir_all(desk.at("pictures"))?;
    let picture = places::test_bundles().join("things/golden/0.png");
    std::fs::copy(picture, desk.at("pictures/squares.png"))?;
    std::fs::write(desk.at("pictures/notes.txt"), "no picture")?;
    std::fs::write(desk.at("labels.txt"), "red\ngreen\n")?;
    desk.done(&[
        "models",
        "new",
        "things.onnx",
        "--samples",
        "pictures",
        "--labels",
        "labels.txt",
        "--annotate",
        "drawn",
    ])
}

/// Whether every place has a finding that says so, and nothing else is found.
fn findings(checked: &Value, expected: &[(&str, &str)]) {
    let faults = checked["faults"].as_array().unwrap();
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (place, what)) in faults.iter().zip(expected) {
        let said = (fault["place"].as_str().unwrap(), fault["what"].as_str().unwrap());
        assert!(said.0.contains(place) && said.1.contains(what), "{said:?} instead of {place}: {what}");
    }
}

#[test]
fn a_detector_is_drafted_tried_and_drawn_in_one_step() {
    let desk = Desk::new().unwrap();
    let drafted = things(&desk).unwrap();
    assert_eq!((drafted["name"].as_str(), drafted["task"].as_str()), (Some("things"), Some("object-detection")));
    assert!(drafted["family"].as_str().unwrap().contains("v8 to v11"), "{}", drafted["family"]);
    let assumed: Vec<&str> =
        drafted["assumed"].as_array().unwrap().iter().filter_map(|one| one["key"].as_str()).collect();
    assert!(assumed.contains(&"input.channels") && assumed.contains(&"licence"), "{assumed:?}");
    let samples = drafted["samples"].as_array().unwrap();
    assert!(samples[0]["error"].as_str().unwrap().contains("the model takes image/jpeg, image/png"), "{samples:?}");
    assert_eq!(samples[1]["golden"].as_bool(), Some(true));
    let labels: Vec<&str> =
        samples[1]["result"]["objects"].as_array().unwrap().iter().filter_map(|one| one["label"].as_str()).collect();
    assert!(!labels.is_empty() && labels.iter().all(|label| ["red", "green"].contains(label)), "{labels:?}");
    assert!(std::fs::read(desk.at("drawn/squares.png.png")).unwrap().starts_with(b"\x89PNG"));
    // What was drafted is a bundle that a box takes.
    let checked = desk.done(&["models", "check", "things"]).unwrap();
    assert_eq!((checked["ran"].as_bool(), checked["goldens_passed"].as_u64()), (Some(true), Some(1)), "{checked}");
    // Nothing is overwritten, and nothing is left over beside it.
    let (code, _, err) = desk.edgectl(&["models", "new", "things.onnx"]).unwrap();
    assert!(code == Some(2) && err.contains("things is there already"), "{code:?} {err}");
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new());
}

#[test]
fn a_model_that_takes_tensors_gets_golden_values() {
    let desk = Desk::new().unwrap();
    desk.model("add", "sum.onnx").unwrap();
    let drafted = desk.done(&["models", "new", "sum.onnx", "--name", "adder", "--licence", "MIT"]).unwrap();
    assert_eq!((drafted["dir"].as_str(), drafted["task"].as_str()), (Some("adder"), Some("tensors")));
    let manifest = std::fs::read_to_string(desk.at("adder/model.toml")).unwrap();
    assert!(manifest.contains("licence = \"MIT\"") && manifest.contains("[batching]"), "{manifest}");
    let checked = desk.done(&["models", "check", "adder"]).unwrap();
    assert_eq!(checked["goldens_passed"].as_u64(), Some(1), "{checked}");
}

#[test]
fn a_corrected_manifest_is_answered_anew_and_loses_its_signature() {
    let desk = Desk::new().unwrap();
    things(&desk).unwrap();
    desk.done(&["models", "keygen", "site", "--no-password"]).unwrap();
    let signed = desk.done(&["models", "sign", "things", "--key", "site.key"]).unwrap();
    assert!(desk.at("things/model.toml.minisig").exists());
    let checked = desk.done(&["models", "check", "things"]).unwrap();
    assert_eq!(checked["signed_by"], signed["key"]);
    // Red and blue change places: the answer is another one, and the golden one of before is wrong.
    let path = desk.at("things/model.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, manifest.replace("channels = \"rgb\"", "channels = \"bgr\"")).unwrap();
    let (code, out, _) = desk.edgectl(&["models", "check", "things"]).unwrap();
    assert!(code == Some(1) && out.contains("golden"), "{code:?} {out}");
    let drafted = desk.done(&["models", "goldens", "things"]).unwrap();
    assert_eq!(drafted["samples"].as_array().unwrap().len(), 1, "{drafted}");
    let checked = desk.done(&["models", "check", "things"]).unwrap();
    assert_eq!((checked["signed_by"].as_str(), checked["goldens_passed"].as_u64()), (Some(""), Some(1)));
    // What cannot be done leaves everything as it was.
    desk.done(&["models", "sign", "things", "--key", "site.key"]).unwrap();
    let everything = || {
        let names = ["model.toml", "model.toml.minisig", "golden/0.png", "golden/0.json"];
        names.map(|name| std::fs::read(desk.at("things").join(name)).unwrap())
    };
    let before = everything();
    let (code, _, err) = desk.edgectl(&["models", "goldens", "things", "--library", "/nothing.so"]).unwrap();
    assert!(code == Some(1) && err.contains("no ONNX Runtime library found"), "{code:?} {err}");
    assert_eq!(everything(), before);
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("planes = true", "planes = false")).unwrap();
    let spoilt = everything();
    let (code, _, err) = desk.edgectl(&["models", "goldens", "things"]).unwrap();
    assert!(code == Some(1) && err.contains("output.head.tensor"), "{code:?} {err}");
    assert_eq!(everything(), spoilt);
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new());
}

#[test]
fn a_packed_bundle_is_checked_like_its_directory() {
    let desk = Desk::new().unwrap();
    things(&desk).unwrap();
    let packed = desk.done(&["models", "pack", "things"]).unwrap();
    assert_eq!(packed["path"].as_str(), Some("things-1.0.0.edgemodel"));
    assert!(packed["remarks"][0].as_str().unwrap().contains("not signed"));
    let checked = desk.done(&["models", "check", "things-1.0.0.edgemodel"]).unwrap();
    assert_eq!(checked["goldens_passed"].as_u64(), Some(1), "{checked}");
    // One byte of the weights is another.
    let model = desk.at("things/model.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let (code, _, err) = desk.edgectl(&["models", "pack", "things"]).unwrap();
    assert!(code == Some(1) && err.contains("model.onnx has sha256"), "{code:?} {err}");
    let (code, _, err) = desk.edgectl(&["models", "sign", "things", "--key", "none.key"]).unwrap();
    assert!(code == Some(1) && err.contains("model.onnx has sha256"), "{code:?} {err}");
}

#[test]
fn the_check_names_every_fault_with_its_place() {
    let desk = Desk::new().unwrap();
    things(&desk).unwrap();
    let path = desk.at("things/model.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let check = |manifest: &str| {
        std::fs::write(&path, manifest).unwrap();
        let (code, out, err) = desk.edgectl(&["models", "check", "things", "--json"]).unwrap();
        assert_eq!(code, Some(1), "{out} {err}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    /// What is replaced, by what, and what is found then.
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
    let cases: [Case; 7] = [
        ("version = \"1.0.0\"", "version = \"1.0\"", &[("version", "a semantic version such as 1.2.3")]),
        ("threads = 1", "threads = -1", &[("model.toml, line 16, column 11", "expected u16")]),
        ("deadline_ms = 5000", "deadline_ms = 0\ncolour = 1", &[("model.toml", "unknown field `colour`")]),
        (
            "tensor = \"images\"",
            "tensor = \"image\"",
            &[("input.tensor", "\"image\" is not in model.onnx; there are images")],
        ),
        ("threads = 1", "threads = 0", &[("variant[0].threads", "must be 1..=64")]),
        ("[limits]", "[batching]\nmax = 4\n[limits]", &[("batching", "the first dimension of \"images\"")]),
        ("planes = true", "planes = false", &[("variant original", "output.head.tensor")]),
    ];
    for (from, to, expected) in cases {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let checked = check(&bad);
        findings(&checked, expected);
    }
    // Several at once, each in its place.
    let several = good.replacen("threads = 1", "threads = 0", 1).replacen("licence = ", "licence = \"\" # ", 1);
    findings(&check(&several), &[("licence", "SPDX"), ("variant[0].threads", "1..=64")]);
    std::fs::remove_file(desk.at("things/golden/0.png")).unwrap();
    findings(&check(&good), &[("golden/0.png", "No such file")]);
}

#[test]
fn graphs_that_no_box_can_run_are_told() {
    let desk = Desk::new().unwrap();
    let add = desk.model("add", "add.onnx").unwrap();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = add.windows(from.len()).position(|window| window == from).unwrap();
        [&add[..at], to, &add[at + from.len()..]].concat()
    };
    // An operator that nobody has: the name, with its tag and length before it.
    std::fs::write(desk.at("foreign.onnx"), replaced(b"\x22\x03Add", b"\x22\x03Adz")).unwrap();
    // An opset of the far future: field 8, in it field 2, version 17.
    std::fs::write(desk.at("future.onnx"), replaced(b"\x10\x11", b"\x10\x7f")).unwrap();
    // Weights in a file outside: a second piece of the graph is merged into the first by the format's own rule.
    let entry = [&b"\x6a\x14\x0a\x08location\x12\x08"[..], b"../w.bin"].concat();
    let tensor = [&b"\x08\x01\x10\x01\x42\x01w"[..], &entry, b"\x70\x01"].concat();
    let graph = [&[0x2a, u8::try_from(tensor.len()).unwrap()][..], &tensor].concat();
    let outside = [&add[..], &[0x3a, u8::try_from(graph.len()).unwrap()], &graph].concat();
    std::fs::write(desk.at("outside.onnx"), outside).unwrap();
    std::fs::write(desk.at("picture.onnx"), b"\x89PNG\r\n\x1a\n").unwrap();
    std::fs::write(desk.at("empty.onnx"), b"").unwrap();
    std::fs::write(desk.at("blank.txt"), "a\n\nb\n").unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["foreign.onnx"], 1, "Adz"),
        (&["future.onnx"], 1, "opset"),
        (&["outside.onnx"], 2, "keeps weights in \"../w.bin\", which is not a file beside it"),
        (&["picture.onnx"], 1, "picture.onnx is no ONNX file"),
        (&["empty.onnx"], 1, "empty.onnx is no ONNX file: it has no graph"),
        (&["nothing.onnx"], 1, "read nothing.onnx"),
        (&["add.onnx", "--labels", "blank.txt"], 2, "blank.txt: line 2 has no label"),
        (&["add.onnx", "--task", "object-detection"], 2, "add.onnx: it has 2 inputs, a model for pictures has one"),
        (&["add.onnx", "--task", "guess"], 2, "--task guess: takes one of text-recognition"),
    ];
    for (arguments, code, expected) in cases {
        let (found, out, err) = desk.edgectl(&[&["models", "new"], arguments].concat()).unwrap();
        assert!(found == Some(code) && err.contains(expected), "{arguments:?}: {found:?} {out} {err}");
    }
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new(), "nothing is left over");
}

#[test]
fn every_kind_of_model_is_recognised_and_runs() {
    let desk = Desk::new().unwrap();
    let fetched = places::demo_bundles().unwrap();
    std::fs::write(desk.at("two.txt"), "first\nsecond\n").unwrap();
    // Where the model is, what is said of it besides, and the task that it must get.
    let cases: [(&str, &[&str], &str); 8] = [
        ("things", &["--labels", "two.txt"], "object-detection"),
        ("shapes", &["--labels", "two.txt"], "instance-segmentation"),
        ("areas", &[], "segmentation"),
        ("spots", &["--task", "anomaly"], "anomaly"),
        ("likeness", &["--task", "embedding"], "embedding"),
        ("text-line", &[], "text-recognition"),
        ("text-direction", &["--labels", "two.txt"], "classification"),
        ("speech", &[], "speech-segments"),
    ];
    for (name, more, task) in cases {
        let tiny = places::test_bundles().join(name);
        let dir = if tiny.is_dir() { tiny } else { fetched.join(name) };
        let model = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let model = model.into_iter().find(|path| path.extension().is_some_and(|end| end == "onnx")).unwrap();
        let golden = dir.join("golden");
        let words = ["models", "new", model.to_str().unwrap(), "--name", name, "--samples", golden.to_str().unwrap()];
        let drafted = desk.done(&[&words[..], more].concat()).unwrap();
        assert_eq!(drafted["task"].as_str(), Some(task), "{name}: {}", drafted["family"]);
        assert!(drafted["run_ms"].as_f64().unwrap() > 0.0, "{name}: {}", drafted["remarks"]);
        let checked = desk.done(&["models", "check", name]).unwrap();
        assert!(checked["goldens_passed"].as_u64().unwrap() > 0, "{name}: {checked}");
    }
}
