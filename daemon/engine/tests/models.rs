//! The bundles of real models: they load, give the answers of the original packages, and refuse what they cannot
//! take.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::os::fd::OwnedFd;

use edge_engine::protocol::{Data, ErrorKind, ToHost};
use support::{Host, bundle, open_memfd};

#[test]
fn all_bundles_load_side_by_side_and_give_their_golden_answers() {
    let Some(mut host) = Host::start() else { return };
    let names = ["text-line", "text-direction", "text-boxes", "file-type", "speech"];
    for (model, name) in (0..).zip(names) {
        host.ask_load(&bundle(name), model, model * 2);
    }
    for _ in names {
        let loaded = host.loaded().unwrap();
        println!("{loaded:?}");
        assert!(loaded.goldens_passed >= 3 && loaded.service_ns > 0, "{loaded:?}");
        assert_eq!(loaded.providers.len(), 1);
        assert_eq!((loaded.providers[0].name.as_str(), loaded.providers[0].share), ("cpu", 1.0));
    }
    assert_eq!(host.notes.iter().filter(|note| note.contains("onnxruntime")).count(), 0, "{:?}", host.notes);
}

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models");

/// A file of the repository.
fn golden(path: &str) -> Vec<u8> {
    std::fs::read(format!("{MODELS}/{path}")).unwrap()
}

#[test]
fn a_photograph_of_a_label_is_read_and_bad_ones_are_refused() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-line"));
    let photograph = golden("text-line/golden/lot.jpg");
    let (document, cost) = host.infer_encoded("image/jpeg", &photograph).unwrap();
    assert_eq!((document["text"].as_str(), cost), (Some("LOT:4711-A23"), 1));
    assert!(document["confidence"].as_f64().unwrap() > 0.9, "{document}");
    let (document, cost) = host.infer_encoded("IMAGE/JPEG; q=1", &golden("text-line/golden/handling.jpg")).unwrap();
    assert_eq!((document["text"].as_str(), cost), (Some("Keep dry. This side up. Do not stack."), 2));

    let cases = [
        ("image/jpeg", &photograph[..photograph.len() / 2], ErrorKind::InvalidInput, "the JPEG is truncated"),
        ("image/png", &photograph[..], ErrorKind::InvalidInput, "the bytes are image/jpeg"),
        (
            "image/webp",
            &photograph,
            ErrorKind::InvalidInput,
            "content type image/webp: accepted are image/jpeg, image/png",
        ),
        ("image/jpeg", b"", ErrorKind::InvalidInput, "the bytes are no image/jpeg"),
    ];
    for (content_type, payload, kind, expected) in cases {
        let error = host.infer_encoded(content_type, payload).unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(expected), "{error:?}");
    }
    // 65,000 x 65,000 pixels, by the header only.
    let mut bomb = photograph.clone();
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    let error = host.infer_encoded("image/jpeg", &bomb).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("65000 x 65000 pixels"), "{error:?}");
    assert!(host.infer_encoded("image/jpeg", &photograph).is_ok());
}

#[test]
fn a_line_of_text_is_upright_or_not() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-direction"));
    for (name, label) in [("upright", "0"), ("upside-down", "180"), ("upright-turned", "0")] {
        let photograph = golden(&format!("text-direction/golden/{name}.jpg"));
        let (document, _) = host.infer_encoded("image/jpeg", &photograph).unwrap();
        assert_eq!(document["label"], label, "{name}: {document}");
        assert_eq!(document["labels"].as_array().unwrap().len(), 2);
    }
    // The graph would take any height and width; the manifest does not.
    let error = host.infer(&[(&[1, 3, 32, 192], &vec![0; 3 * 32 * 192 * 4])]).unwrap_err();
    assert_eq!(error.message, "input x: dimension 2 is 32, accepted is 48");
}

/// The corners of each box, and its score.
fn boxes(document: &serde_json::Value) -> Vec<(Vec<f64>, f64)> {
    let boxes = document["boxes"].as_array().unwrap().iter();
    let numbers = |found: &serde_json::Value| {
        let corners = found["polygon"].as_array().unwrap().iter().flat_map(|corner| corner.as_array().unwrap());
        (corners.map(|number| number.as_f64().unwrap()).collect(), found["score"].as_f64().unwrap())
    };
    boxes.map(numbers).collect()
}

#[test]
fn boxes_of_text_are_where_the_reference_finds_them() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-boxes"));
    // (picture, boxes, cost, in tensors of 320 x 320)
    let cases = [
        ("shipping.jpg", 9, 9),
        ("nameplate-turned.jpg", 4, 3),
        ("tilted.jpg", 2, 3),
        ("small.png", 2, 1),
        ("blank.jpg", 0, 1),
    ];
    for (name, count, cost) in cases {
        let kind = if name.ends_with("png") { "image/png" } else { "image/jpeg" };
        let (document, took) = host.infer_encoded(kind, &golden(&format!("text-boxes/golden/{name}"))).unwrap();
        let expected = golden(&format!("text-boxes/golden/{name}.expected.json"));
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!((took, &document["width"]), (cost, &expected["width"]), "{name}");
        assert_eq!(document["height"], expected["height"], "{name}");
        let (found, wanted) = (boxes(&document), boxes(&expected));
        assert_eq!((found.len(), wanted.len()), (count, count), "{name}: {document}");
        for ((found, score), (wanted, wanted_score)) in found.iter().zip(&wanted) {
            let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            println!("{name}: {off} pixels, score {score:.3} instead of {wanted_score:.3}: {found:?} {wanted:?}");
            assert!(off <= 2.0, "{name}: {found:?} instead of {wanted:?}");
            assert!((score - wanted_score).abs() < 0.03, "{name}: {score} instead of {wanted_score}");
        }
    }
}

/// A PNG of one colour, whatever its size.
fn plain_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, [230, 228, 220].into());
    image::DynamicImage::from(picture).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn pictures_of_any_shape_are_searched_for_text_and_too_large_ones_are_refused() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-boxes"));
    for (width, height, cost) in [(1, 1, 1), (5000, 3, 4), (3, 5000, 4), (2000, 1500, 9)] {
        let (document, took) = host.infer_encoded("image/png", &plain_png(width, height)).unwrap();
        let none = serde_json::json!({"width": width, "height": height, "boxes": []});
        assert_eq!((document, took), (none, cost), "{width} x {height}");
    }
    let photograph = golden("text-boxes/golden/tilted.jpg");
    let mut bomb = photograph.clone();
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    let cases = [
        (&bomb[..], ErrorKind::TooLarge, "65000 x 65000 pixels"),
        (&plain_png(8000, 5001), ErrorKind::TooLarge, "8000 x 5001 pixels"),
        (&photograph[..photograph.len() / 2], ErrorKind::InvalidInput, "the JPEG is truncated"),
        (b"", ErrorKind::InvalidInput, "the bytes are no image/"),
    ];
    for (payload, kind, expected) in cases {
        let content_type = if payload.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" };
        let error = host.infer_encoded(content_type, payload).unwrap_err();
        assert!(error.kind == kind && error.message.contains(expected), "{error:?}");
    }
    // Between two multiples of 32 the graph itself fails in its middle.
    let error = host.infer(&[(&[1, 3, 32, 33], &vec![0; 3 * 32 * 33 * 4])]).unwrap_err();
    assert_eq!(error.message, "input x: dimension 3 is 33, accepted is a multiple of 32 up to 1280");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    let outputs = host.infer(&[(&[1, 3, 32, 64], &vec![0; 3 * 32 * 64 * 4])]).unwrap();
    assert_eq!(outputs[0].0, [1, 1, 32, 64]);
}

#[test]
fn the_type_of_a_file_comes_with_its_mime_type() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("file-type"));
    let (document, _) = host.infer_encoded("application/octet-stream", &golden("speech/golden/hum.wav")).unwrap();
    assert_eq!((&document["label"], &document["mime_type"]), (&"wav".into(), &"audio/x-wav".into()), "{document}");
    let (document, _) = host.infer_encoded("text/plain", b"").unwrap();
    assert_eq!((&document["label"], &document["score"]), (&"empty".into(), &1.0.into()));
}

#[test]
fn speech_is_found_over_a_whole_wav_and_state_is_the_callers_for_tensors() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("speech"));
    let sound = golden("speech/golden/two-sentences.wav");
    let (document, cost) = host.infer_encoded("audio/wav", &sound).unwrap();
    assert_eq!(document["segments"].as_array().unwrap().len(), 2, "{document}");
    assert_eq!(cost, u32::try_from((sound.len() - 44) / 2).unwrap().div_ceil(512));
    let error = host.infer_encoded("audio/wav", &sound[..sound.len() - 1000]).unwrap_err();
    assert!(error.message.contains("samples"), "{error:?}");

    let (signal, state) = (vec![0; 576 * 4], vec![0; 2 * 128 * 4]);
    let rate = 16_000i64.to_le_bytes();
    let outputs = host.infer(&[(&[1, 576], &signal), (&[2, 1, 128], &state), (&[], &rate)]).unwrap();
    assert_eq!((outputs[0].0.as_slice(), outputs[1].0.as_slice()), (&[1i64, 1][..], &[2i64, 1, 128][..]));
}

#[test]
fn what_lies_outside_the_profile_of_a_variant_is_refused_whether_a_picture_or_a_tensor() {
    let Some(mut host) = Host::start() else { return };
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("golden")).unwrap();
    for entry in edge_engine::bundle::open(&bundle("text-line")).unwrap().manifest().file.iter() {
        std::fs::copy(bundle("text-line").join(&entry.path), copy.path().join(&entry.path)).unwrap();
    }
    let manifest = std::fs::read_to_string(bundle("text-line").join("model.toml")).unwrap();
    let profile = "[[variant.profile]]\ntensor = \"x\"\nmin = [1, 3, 48, 320]\nopt = [1, 3, 48, 320]\n\
                   max = [2, 3, 48, 400]\n\n# The graph leaves";
    assert!(manifest.contains("# The graph leaves"));
    std::fs::write(copy.path().join("model.toml"), manifest.replacen("# The graph leaves", profile, 1)).unwrap();
    let setup = support::setup(copy.path(), "cpu");
    host.ask_load_as(copy.path(), 0, 0, edge_engine::protocol::Setup { instances: 1, ..setup }, false);
    host.loaded().unwrap();

    let error = host.infer_encoded("image/jpeg", &golden("text-line/golden/handling.jpg")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
    assert!(error.message.starts_with("input x: dimension 3 is "), "{error:?}");
    assert!(error.message.ends_with(", accepted is 320..=400"), "{error:?}");
    let tensor = |shape: [i64; 4]| {
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
        [(shape.to_vec(), vec![0; count * 4])]
    };
    let error = host.infer_sealed(&tensor([3, 3, 48, 320])).unwrap_err();
    assert_eq!(error.message, "input x: dimension 0 is 3, accepted is 1..=2");
    let error = host.infer_sealed(&tensor([1, 3, 48, 319])).unwrap_err();
    assert_eq!(error.message, "input x: dimension 3 is 319, accepted is 320..=400");
    assert!(host.infer_sealed(&tensor([2, 3, 48, 400])).is_ok());
}

#[test]
fn a_payload_that_is_not_sealed_is_read_if_it_is_a_file() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-direction"));
    let photograph = golden("text-direction/golden/upright.jpg");
    let file = open_memfd(&photograph);
    let (pipe, _into) = rustix::pipe::pipe().unwrap();
    let zero: OwnedFd = std::fs::File::open("/dev/zero").unwrap().into();
    let directory: OwnedFd = std::fs::File::open("/").unwrap().into();
    let cases = [
        (&file, 1 << 20, ""),
        (&pipe, 1 << 20, "payload: descriptor is a pipe or socket, which the daemon reads itself"),
        (&file, 100, "payload: 23453 bytes, at most 100 are accepted"),
        (
            &zero,
            1 << 20,
            "payload: descriptor is a character device; accepted are memfds, regular files, pipes and sockets",
        ),
        (&directory, 1 << 20, "payload: descriptor is a directory; accepted are"),
    ];
    for (fd, max_len, expected) in cases {
        let id = host.id();
        let payload = Data::Unsealed { fd: 0, max_len };
        host.send(
            &ToHost::Prepare { id, model: 0, content_type: "image/jpeg".into(), payload, part: None, keep: false },
            &[fd],
        );
        let said = host.prepared(id).err().map(|error| error.message).unwrap_or_default();
        assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said} instead of {expected}");
    }
}

#[test]
fn a_payload_filled_here_and_run_elsewhere_gives_the_document_that_it_gives_here() {
    let cases = [
        (bundle("text-line"), "image/jpeg", golden("text-line/golden/lot.jpg")),
        (bundle("text-direction"), "image/jpeg", golden("text-direction/golden/upside-down.jpg")),
        (bundle("file-type"), "application/octet-stream", golden("text-line/golden/lot.jpg")),
        (support::test_bundle("things"), "image/png", coloured(30, 60, [255, 0, 0])),
        (support::test_bundle("areas"), "image/png", coloured(30, 60, [0, 0, 255])),
        (support::test_bundle("shapes"), "image/png", coloured(31, 17, [0, 200, 255])),
    ];
    for (bundle, content_type, payload) in cases {
        let Some(mut host) = Host::start() else { return };
        host.load(&bundle);
        let (here, _) = host.infer_encoded(content_type, &payload).unwrap();
        let (filled, frame) = host.fill(content_type, &payload).unwrap();
        // The server elsewhere: the same graph, asked for tensors.
        let outputs = host.infer_sealed(&[filled]).unwrap();
        assert_eq!(host.interpret(&outputs, frame).unwrap(), here, "{}", bundle.display());
    }
}

#[test]
fn what_a_server_elsewhere_answers_is_not_believed() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-direction"));
    let (filled, frame) = host.fill("image/jpeg", &golden("text-direction/golden/upright.jpg")).unwrap();
    let good = host.infer_sealed(&[filled]).unwrap();
    let (shape, bytes) = good[0].clone();
    let cases = [
        (vec![], "0 outputs, the model has 1"),
        (vec![good[0].clone(), good[0].clone()], "2 outputs, the model has 1"),
        (vec![(vec![2, 2], bytes.repeat(2))], "of another number of items than one"),
        (vec![(vec![1, 3], bytes.clone())], "does not fit the model's"),
        (vec![(vec![2], bytes.clone())], "does not fit the model's"),
        (vec![(vec![1, -2], bytes.clone())], "does not fit the model's"),
        (vec![(shape.clone(), bytes[1..].to_vec())], "bytes do not fit the shape"),
        (vec![(shape, Vec::new())], "bytes do not fit the shape"),
    ];
    for (outputs, expected) in cases {
        let error = host.interpret(&outputs, frame).unwrap_err();
        assert!(error.message.contains(expected), "{error:?} instead of {expected}");
    }
    let odd = vec![(vec![1, 2], f32::NAN.to_ne_bytes().repeat(2))];
    // Numbers that are none are answered somehow, and never with a crash.
    let _said = host.interpret(&odd, frame);
    assert!(host.interpret(&good, frame).is_ok());

    let no = host.fill("image/jpeg", b"no picture").unwrap_err();
    assert_eq!((no.kind, no.message.contains("no image/jpeg")), (ErrorKind::InvalidInput, true), "{no:?}");
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("speech"));
    let wave = std::fs::read_dir(format!("{MODELS}/speech/golden")).unwrap().flatten();
    let wave = wave.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "wav")).unwrap();
    let no = host.fill("audio/wav", &std::fs::read(wave).unwrap()).unwrap_err();
    assert!(no.message.contains("no server elsewhere can serve it"), "{no:?}");
}

/// A PNG of one colour.
fn coloured(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

#[test]
fn a_detector_tells_things_in_pixels_of_the_picture_that_was_sent() {
    let Some(mut host) = Host::start() else { return };
    // Its golden answer is checked at load.
    assert_eq!(host.load(&support::test_bundle("things")).goldens_passed, 1);
    // A narrow one, all red: every cell of it, and nothing of the padding beside it.
    let (document, cost) = host.infer_encoded("image/png", &coloured(30, 60, [255, 0, 0])).unwrap();
    let objects = document["objects"].as_array().unwrap();
    assert_eq!((objects.len(), cost), (32, 1));
    assert!(objects.iter().all(|thing| thing["label"] == "red" && thing["score"] == 1.0));
    let side = |at: usize| objects.iter().map(move |thing| thing["box"][at].as_f64().unwrap());
    assert_eq!((side(0).fold(f64::MAX, f64::min), side(2).fold(0.0, f64::max)), (0.0, 30.0));
    assert_eq!((side(1).fold(f64::MAX, f64::min), side(3).fold(0.0, f64::max)), (0.0, 60.0));
    let (document, _) = host.infer_encoded("image/png", &coloured(1, 1, [0, 0, 255])).unwrap();
    assert_eq!(document, serde_json::json!({"width": 1, "height": 1, "objects": []}));
    let error = host.infer_encoded("image/png", &coloured(1001, 1000, [0, 0, 0])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn areas_shapes_and_spots_are_told_with_their_outlines_in_the_picture_that_was_sent() {
    let Some(mut host) = Host::start() else { return };
    // Their golden answers are checked at load.
    assert_eq!(host.load(&support::test_bundle("areas")).goldens_passed, 1);
    let (document, cost) = host.infer_encoded("image/png", &coloured(30, 60, [0, 0, 255])).unwrap();
    let whole = serde_json::json!([[30.0, 0.0], [30.0, 60.0], [0.0, 60.0], [0.0, 0.0]]);
    let region = serde_json::json!({"label": "blue", "score": 1.0, "area": 1.0, "polygon": whole});
    let coverage = serde_json::json!([{"label": "blue", "area": 1.0}]);
    let expected = serde_json::json!({"width": 30, "height": 60, "regions": [region], "coverage": coverage});
    assert_eq!((document, cost), (expected, 1));
    let (document, _) = host.infer_encoded("image/png", &coloured(1, 1, [0, 0, 0])).unwrap();
    assert_eq!(document, serde_json::json!({"width": 1, "height": 1, "regions": [], "coverage": []}));

    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&support::test_bundle("shapes")).goldens_passed, 1);
    let (document, _) = host.infer_encoded("image/png", &coloured(64, 64, [255, 0, 0])).unwrap();
    for thing in document["objects"].as_array().unwrap() {
        // Everything is red: the mask is the rectangle.
        let sides: Vec<f64> = thing["box"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
        let [left, top, right, bottom] = sides[..] else { panic!("{thing}") };
        assert_eq!(
            thing["polygons"],
            serde_json::json!([[[right, top], [right, bottom], [left, bottom], [left, top]]])
        );
    }
    assert!(document["objects"].as_array().unwrap().len() > 3, "{document}");

    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&support::test_bundle("spots")).goldens_passed, 2);
    let (document, _) = host.infer_encoded("image/png", &coloured(64, 64, [255, 255, 255])).unwrap();
    assert_eq!((&document["score"], &document["anomalous"]), (&1.0.into(), &true.into()));
    assert_eq!(document["regions"][0]["area"], 1.0);
}

#[test]
fn an_embedding_is_told_with_what_it_is_most_like() {
    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&support::test_bundle("likeness")).goldens_passed, 2);
    let (document, _) = host.infer_encoded("image/png", &coloured(7, 5, [0, 0, 200])).unwrap();
    assert_eq!((&document["label"], document["matches"].as_array().unwrap().len()), (&"all blue".into(), 1));
    let (document, _) = host.infer_encoded("image/png", &coloured(7, 5, [0, 200, 0])).unwrap();
    assert_eq!(document["matches"][0]["label"], "red and green");
}

#[test]
fn a_set_of_known_embeddings_that_does_not_fit_the_model_is_told_at_load() {
    let Some(mut host) = Host::start() else { return };
    let bundle = tempfile::tempdir().unwrap();
    for name in ["model.toml", "model.onnx"] {
        std::fs::copy(support::test_bundle("likeness").join(name), bundle.path().join(name)).unwrap();
    }
    std::fs::write(bundle.path().join("enrolled.jsonl"), "{\"label\": \"a\", \"embedding\": [1, 2]}\n").unwrap();
    host.ask_load(bundle.path(), 0, 0);
    let said = host.loaded().unwrap_err();
    assert!(said.contains("output.enrolled: embeddings of 2 numbers; the output embedding has 6"), "{said}");
}

#[test]
fn a_real_detector_finds_characters_where_its_own_package_does() {
    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&support::bundle("character-boxes")).goldens_passed, 3);
    // Thirty and more on a label that was photographed for another model.
    let payload = std::fs::read(support::bundle("text-boxes").join("golden/shipping.jpg")).unwrap();
    let (document, _) = host.infer_encoded("image/jpeg", &payload).unwrap();
    let objects = document["objects"].as_array().unwrap();
    assert!((20..60).contains(&objects.len()), "{}", objects.len());
    let sides = |thing: &serde_json::Value| [0, 1, 2, 3].map(|side| thing["box"][side].as_f64().unwrap());
    for [left, top, right, bottom] in objects.iter().map(sides) {
        assert!((10.0..120.0).contains(&(right - left)) && (10.0..120.0).contains(&(bottom - top)), "{document}");
    }
}

#[test]
fn ruled_lines_of_a_photographed_form_are_told_with_outlines_that_hold_their_areas() {
    let bundle = support::bundle("table-lines");
    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&bundle).goldens_passed, 3);
    let payload = std::fs::read(bundle.join("golden/form.jpg")).unwrap();
    let (document, _) = host.infer_encoded("image/jpeg", &payload).unwrap();
    let regions = document["regions"].as_array().unwrap();
    let count = |label: &str| regions.iter().filter(|region| region["label"] == label).count();
    // Four rows and three columns: the lines of the rows are broken by those of the columns.
    assert!(count("horizontal") >= 5 && count("vertical") == 4, "{document}");
    let picture = document["width"].as_f64().unwrap() * document["height"].as_f64().unwrap();
    let held = |ring: &serde_json::Value| -> f64 {
        let corner = |corner: &serde_json::Value| [0, 1].map(|axis| corner[axis].as_f64().unwrap());
        let corners: Vec<[f64; 2]> = ring.as_array().unwrap().iter().map(corner).collect();
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        (sides.map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum::<f64>() / 2.0 / picture).abs()
    };
    for region in regions {
        let (held, area) = (held(&region["polygon"]), region["area"].as_f64().unwrap());
        // Lines are thin: a cell and a half along their sides is a good part of them.
        assert!((held - area).abs() < area * 0.6, "{held} {region}");
    }
}

#[test]
fn a_real_embedding_knows_its_parts_and_takes_nothing_else_for_one() {
    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&support::bundle("part-type")).goldens_passed, 4);
    for (model, file, kind, label) in [
        ("part-type", "pipe-tee.png", "image/png", serde_json::json!("pipe tee")),
        ("text-boxes", "shipping.jpg", "image/jpeg", serde_json::Value::Null),
        ("table-lines", "form.jpg", "image/jpeg", serde_json::Value::Null),
    ] {
        let payload = std::fs::read(support::bundle(model).join("golden").join(file)).unwrap();
        let (document, _) = host.infer_encoded(kind, &payload).unwrap();
        assert_eq!(document["label"], label, "{model}/{file}");
    }
}

#[test]
fn a_real_anomaly_model_outlines_a_flaw_where_it_lies() {
    let bundle = support::bundle("surface-flaws");
    let Some(mut host) = Host::start() else { return };
    assert_eq!(host.load(&bundle).goldens_passed, 4);
    // A nut on bricks, 60 pixels wide, in a photograph of twice the size that the model takes.
    let payload = std::fs::read(bundle.join("golden/part.jpg")).unwrap();
    let (document, _) = host.infer_encoded("image/jpeg", &payload).unwrap();
    let regions = document["regions"].as_array().unwrap();
    assert_eq!((&document["anomalous"], regions.len()), (&true.into(), 1), "{document}");
    for corner in regions[0]["polygon"].as_array().unwrap() {
        let [x, y] = [0, 1].map(|axis| corner[axis].as_f64().unwrap());
        assert!((220.0..330.0).contains(&x) && (250.0..370.0).contains(&y), "{document}");
    }
}
