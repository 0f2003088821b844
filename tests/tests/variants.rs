//! What variants are worth and what they lose, with the real command, the real daemon's binary, the real runtime, and ONNX
//! Runtime's own tool where its Python is there.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its scene up has failed")]

use std::process::Command;

use anyhow::Result;
use edge_tests::desk::Desk;
use edge_tests::places;
use image::{Rgb, RgbImage};
use serde_json::Value;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];

/// A black picture of 64 x 64 with rectangles: colour, left, top, right, bottom.
fn picture(desk: &Desk, name: &str, rectangles: &[([u8; 3], [u32; 4])]) -> Result<()> {
    let colour = |x: u32, y: u32| {
        let inside = |[left, top, right, bottom]: [u32; 4]| (left..right).contains(&x) && (top..bottom).contains(&y);
        Rgb(rectangles.iter().rfind(|(_, place)| inside(*place)).map_or([0; 3], |(colour, _)| *colour))
    };
    desk.write(name, "")?;
    Ok(RgbImage::from_fn(64, 64, colour).save(desk.at(name))?)
}

fn measure(evaluated: &Value, variant: usize, name: &str) -> f64 {
    let measures = evaluated["variants"][variant]["measures"].as_array().unwrap();
    let measure = measures.iter().find(|measure| measure["name"] == name).unwrap_or_else(|| panic!("{measures:?}"));
    measure["value"].as_f64().unwrap()
}

/// Cells of eight pixels, as the detector of the repository sees them.
fn cell(column: u32, row: u32) -> [u32; 4] {
    [column * 8, row * 8, column * 8 + 8, row * 8 + 8]
}

/// A line of YOLO's for such a cell.
fn line(class: u32, [left, top, right, bottom]: [u32; 4]) -> String {
    let share = |pixels: u32| f64::from(pixels) / 64.0;
    let [x, y] = [share(left + right) / 2.0, share(top + bottom) / 2.0];
    format!("{class} {x} {y} {} {}\n", share(right - left), share(bottom - top))
}

#[test]
fn a_detector_is_measured_as_coco_does_and_faults_of_the_data_are_told() {
    let desk = Desk::new().unwrap();
    desk.bundle("things").unwrap();
    picture(&desk, "data/images/a.png", &[(RED, cell(0, 0)), (GREEN, cell(4, 4))]).unwrap();
    desk.write("data/labels/a.txt", line(0, cell(0, 0)) + &line(1, cell(4, 4))).unwrap();
    picture(&desk, "data/images/b.png", &[(RED, cell(2, 2))]).unwrap();
    desk.write("data/labels/b.txt", line(0, cell(2, 2))).unwrap();
    let all_right = desk.done(&["models", "eval", "things", "--data", "data"]).unwrap();
    assert_eq!((all_right["against"].as_str(), all_right["samples"].as_u64()), (Some("labels"), Some(2)));
    assert_eq!((measure(&all_right, 0, "map"), measure(&all_right, 0, "map50")), (1.0, 1.0), "{all_right}");
    assert!(all_right["variants"][0]["run_p50_ms"].as_f64().unwrap() > 0.0);
    // A second red thing that is not seen, as it is too dark: of the reds half the recalls, 0 to 0.66 of two of three.
    picture(&desk, "data/images/c.png", &[([90, 0, 0], cell(1, 1))]).unwrap();
    desk.write("data/labels/c.txt", line(0, cell(1, 1))).unwrap();
    picture(&desk, "data/images/d.png", &[(RED, cell(1, 1))]).unwrap();
    desk.write("data/labels/d.txt", line(0, cell(1, 1)) + "2 0.5 0.5 0.1 0.1\n").unwrap();
    desk.write("data/images/notes.txt", "no picture").unwrap();
    desk.write("data/labels/notes.txt", "").unwrap();
    let evaluated = desk.done(&["models", "eval", "things", "--data", "data", "--plot", "plot.svg"]).unwrap();
    let wanted = (67.0 / 101.0 + 1.0) / 2.0;
    assert!((measure(&evaluated, 0, "map") - wanted).abs() < 1e-9, "{evaluated}");
    let left: Vec<(&str, u64, &str)> = evaluated["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["file"].as_str().unwrap(), one["line"].as_u64().unwrap(), one["why"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("data/labels/d.txt", 2, "class 2: the model has 0..=1"),
        ("data/images/notes.txt", 0, "not taken: the model takes image/jpeg, image/png"),
    ];
    assert_eq!(left, wanted);
    let svg = std::fs::read_to_string(desk.at("plot.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
    // The same in COCO's form.
    let json = r#"{"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
                   "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}],
                   "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 8, 8]},
                                   {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 32, 8, 8]}]}"#;
    desk.write("data/coco.json", json).unwrap();
    let evaluated = desk.done(&["models", "eval", "things", "--data", "data/coco.json"]).unwrap();
    assert_eq!(measure(&evaluated, 0, "map50"), 0.5, "the green one is elsewhere: {evaluated}");
}

#[test]
fn areas_are_measured_by_maps_and_without_labels_against_the_first_variant() {
    let desk = Desk::new().unwrap();
    desk.bundle("areas").unwrap();
    picture(&desk, "data/images/a.png", &[(RED, [0, 0, 32, 64])]).unwrap();
    let unlabelled = desk.done(&["models", "eval", "areas", "--data", "data"]).unwrap();
    assert_eq!((unlabelled["against"].as_str(), measure(&unlabelled, 0, "mean_iou")), (Some("first-variant"), 1.0));
    // The truth is a quarter wider: red is 32 of 40 columns, the rest 24 of 32.
    let map = image::GrayImage::from_fn(64, 64, |x, _| image::Luma([u8::from(x < 40)]));
    desk.write("data/masks/a.png", "").unwrap();
    map.save(desk.at("data/masks/a.png")).unwrap();
    let evaluated = desk.done(&["models", "eval", "areas", "--data", "data"]).unwrap();
    let wanted = (32.0 / 40.0 + 24.0 / 32.0) / 2.0;
    assert!((measure(&evaluated, 0, "mean_iou") - wanted).abs() < 1e-9, "{evaluated}");
    let (code, out, _) = desk.edgectl(&["models", "eval", "areas", "--data", "data"]).unwrap();
    assert!(
        code == Some(0) && out.contains("1 sample, held against their labels") && out.contains("mean_iou"),
        "{out}"
    );
    let cases: [(&[&str], &str); 3] = [
        (&["areas", "--data", "nothing"], "nothing: the data must be a directory"),
        (&["areas", "--data", "data", "--variants", "int8"], "--variants int8: the bundle has only"),
        (&["label-reader", "--data", "data"], "a pipeline has no variants of its own"),
    ];
    desk.bundle("label-reader").unwrap();
    for (arguments, wanted) in cases {
        let (code, out, err) = desk.edgectl(&[&["models", "eval"], arguments].concat()).unwrap();
        assert!(code == Some(2) && err.contains(wanted), "{arguments:?}: {code:?} {out} {err}");
    }
}

/// The lines of text that the model was made for, upright and upside down, in the shades that `edgectl` gets from cameras.
fn directions(desk: &Desk) -> Result<()> {
    let golden = places::bundle("text-direction")?.join("golden");
    for (name, label) in [("upright.jpg", "0"), ("upside-down.jpg", "180")] {
        let picture = image::open(golden.join(name))?.to_rgb8();
        for at in 0..8u8 {
            let shaded =
                |pixel: &Rgb<u8>| Rgb(pixel.0.map(|value| value.saturating_sub(at * 6).saturating_add(at % 3 * 5)));
            let picture = RgbImage::from_fn(picture.width(), picture.height(), |x, y| shaded(picture.get_pixel(x, y)));
            let name = format!("data/{label}/{at}.png");
            desk.write(&name, "")?;
            picture.save(desk.at(&name))?;
        }
    }
    Ok(())
}

#[test]
fn a_real_classifier_is_measured_by_its_folders() {
    let desk = Desk::new().unwrap();
    desk.bundle("text-direction").unwrap();
    directions(&desk).unwrap();
    desk.write("data/90/1.png", "").unwrap();
    let evaluated = desk.done(&["models", "eval", "text-direction", "--data", "data"]).unwrap();
    assert_eq!((evaluated["samples"].as_u64(), measure(&evaluated, 0, "top1")), (Some(16), 1.0), "{evaluated}");
    let why = evaluated["left_out"][0]["why"].as_str().unwrap();
    assert_eq!(why, "\"90\" is no label of the model, 1 files: it knows 0, 180");
    // Half of the folders say the opposite.
    std::fs::rename(desk.at("data/180/0.png"), desk.at("data/0/turned.png")).unwrap();
    let evaluated = desk.done(&["models", "eval", "text-direction", "--data", "data"]).unwrap();
    assert_eq!(measure(&evaluated, 0, "top1"), 15.0 / 16.0);
}

/// The Python that has the tool, or why there is none.
fn python() -> std::result::Result<(), String> {
    let asked = Command::new("python3").args(["-c", "import onnx, onnxruntime.quantization"]).output();
    match asked {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it does not start").to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn without_the_tool_it_is_said_how_to_get_it_and_nothing_changes() {
    let desk = Desk::new().unwrap();
    desk.bundle("text-direction").unwrap();
    directions(&desk).unwrap();
    let before = std::fs::read(desk.at("text-direction/model.toml")).unwrap();
    let (code, _, err) =
        desk.edgectl(&["models", "quantize", "text-direction", "--data", "data", "--python", "./none"]).unwrap();
    assert!(code == Some(2) && err.contains("-m pip install onnxruntime onnx"), "{code:?} {err}");
    // One that has nothing.
    desk.write("bare", "#!/bin/sh\necho 'No module named onnx' >&2\nexit 3\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(desk.at("bare"), executable).unwrap();
    let (code, _, err) =
        desk.edgectl(&["models", "quantize", "text-direction", "--data", "data", "--python", "./bare"]).unwrap();
    assert!(code == Some(2) && err.contains("No module named onnx"), "{code:?} {err}");
    assert_eq!(std::fs::read(desk.at("text-direction/model.toml")).unwrap(), before);
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new(), "nothing is left over");
}

#[test]
fn a_quantised_variant_states_what_it_lost_and_the_bundle_is_good() {
    if let Err(why) = python() {
        println!("SKIPPED: no Python with ONNX Runtime's quantisation: {why}");
        return;
    }
    let desk = Desk::new().unwrap();
    desk.bundle("text-direction").unwrap();
    directions(&desk).unwrap();
    let quantize = ["models", "quantize", "text-direction", "--data", "data"];
    let quantized = desk.done(&[&quantize[..], &["--out", "smaller", "--tolerance", "0.3"]].concat()).unwrap();
    assert_eq!((quantized["dir"].as_str(), quantized["variant"].as_str()), (Some("smaller"), Some("int8")));
    // Every fifth of sixteen is kept back.
    assert_eq!((quantized["calibrated"].as_u64(), quantized["held_out"]["samples"].as_u64()), (Some(13), Some(3)));
    assert!(quantized["quantized"].as_u64().unwrap() > 50, "{quantized}");
    let size = |key: &str| quantized[key].as_u64().unwrap();
    assert!(size("bytes") < size("from_bytes"), "{} bytes instead of {}", size("bytes"), size("from_bytes"));
    let variants = quantized["all"]["variants"].as_array().unwrap();
    assert_eq!((variants.len(), variants[1]["int8"].as_bool()), (2, Some(true)));
    // What it lost stands in the manifest, the goldens are those of before, and a box takes it.
    let manifest = std::fs::read_to_string(desk.at("smaller/model.toml")).unwrap();
    let stated = format!("int8 = true\nloss = {:?}", quantized["loss"].as_f64().unwrap());
    assert!(manifest.contains(&stated), "{manifest}");
    assert_eq!(
        std::fs::read(desk.at("smaller/golden/upright.jpg.expected.json")).unwrap(),
        std::fs::read(desk.at("text-direction/golden/upright.jpg.expected.json")).unwrap()
    );
    let checked = desk.done(&["models", "check", "smaller"]).unwrap();
    assert_eq!(checked["goldens_passed"].as_u64(), Some(3), "{checked}");
    let evaluated = desk.done(&["models", "eval", "smaller", "--data", "data", "--plot", "both.svg"]).unwrap();
    assert_eq!(measure(&evaluated, 1, "top1"), measure(&quantized["all"], 1, "top1"));
    assert_eq!(std::fs::read_to_string(desk.at("both.svg")).unwrap().matches("<circle").count(), 2);
    // The bundle that it was made of is as it was; asked without --out it is changed itself.
    let checked = desk.done(&["models", "check", "text-direction"]).unwrap();
    assert_eq!(checked["goldens_passed"].as_u64(), Some(3));
    assert!(!desk.at("text-direction/model-int8.onnx").exists());
    desk.done(&[&quantize[..], &["--tolerance", "0.3"]].concat()).unwrap();
    let checked = desk.done(&["models", "check", "text-direction"]).unwrap();
    assert_eq!(checked["faults"].as_array().map(Vec::len), Some(0), "{checked}");
    let (code, _, err) = desk.edgectl(&quantize).unwrap();
    assert!(code == Some(2) && err.contains("the bundle has a variant int8 already"), "{code:?} {err}");
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new(), "nothing is left over");
}

#[test]
fn what_cannot_be_quantised_is_told_and_nothing_changes() {
    if let Err(why) = python() {
        println!("SKIPPED: no Python with ONNX Runtime's quantisation: {why}");
        return;
    }
    let desk = Desk::new().unwrap();
    desk.bundle("things").unwrap();
    picture(&desk, "data/a.png", &[(RED, cell(0, 0))]).unwrap();
    let (code, _, err) = desk.edgectl(&["models", "quantize", "things", "--data", "data"]).unwrap();
    assert!(code == Some(2) && err.contains("there is nothing to quantise"), "{code:?} {err}");
    // A golden answer that the new variant does not give: the bundle stays as it is.
    desk.bundle("text-direction").unwrap();
    directions(&desk).unwrap();
    let path = desk.at("text-direction/model.toml");
    let strict = std::fs::read_to_string(&path).unwrap().replace("tolerance = 0.05", "tolerance = 0.0");
    std::fs::write(&path, &strict).unwrap();
    let (code, _, err) = desk.edgectl(&["models", "quantize", "text-direction", "--data", "data"]).unwrap();
    assert!(
        code == Some(2) && err.contains("its golden answers differ") && err.contains("--tolerance"),
        "{code:?} {err}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), strict);
    assert_eq!(desk.hidden().unwrap(), Vec::<String>::new(), "nothing is left over");
}
