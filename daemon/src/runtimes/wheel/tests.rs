use std::io::Cursor;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

const METADATA_OF_ORT: &str = "Metadata-Version: 2.4\nName: onnxruntime-gpu\nVersion: 1.30.0\n\nName: a description\n";

/// One file of a wheel: name, content.
type Member<'a> = (&'a str, &'a [u8]);

fn elf(bytes: usize) -> Vec<u8> {
    let mut content = b"\x7fELF".to_vec();
    // What does not shrink much, so that only the size is odd where the size is odd.
    content.extend((0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(bytes));
    content
}

/// A wheel of ONNX Runtime with these files besides its metadata.
fn wheel(dir: &Path, metadata: Option<&str>, members: &[Member<'_>]) -> PathBuf {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    if let Some(text) = metadata {
        zip.start_file("onnxruntime_gpu-1.30.0.dist-info/METADATA", options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    for (name, content) in members {
        match name.strip_suffix(" ->") {
            Some(name) => zip.add_symlink(name, String::from_utf8_lossy(content), options).unwrap(),
            None => {
                zip.start_file(*name, options).unwrap();
                zip.write_all(content).unwrap();
            }
        }
    }
    let path = dir.join("onnxruntime_gpu-1.30.0-cp310-cp310-linux_aarch64.whl");
    fs::write(&path, zip.finish().unwrap().into_inner()).unwrap();
    path
}

#[test]
fn only_the_libraries_are_taken_out_of_a_wheel() {
    let dir = tempfile::tempdir().unwrap();
    let (core, cuda) = (elf(5000), elf(100_000));
    let path = wheel(
        dir.path(),
        Some(METADATA_OF_ORT),
        &[
            ("onnxruntime/__init__.py", b"import os"),
            ("onnxruntime/capi/libonnxruntime_providers_cuda.so", &cuda),
            ("onnxruntime/capi/libonnxruntime.so.1.30.0", &core),
            ("onnxruntime/capi/onnxruntime_pybind11_state.so", &core),
            ("other/libonnxruntime.so.1.30.0", &core),
        ],
    );
    let mut found = Wheel::open(&path).unwrap();
    assert_eq!(found.version, "1.30.0");
    let names: Vec<&str> = found.libraries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["libonnxruntime.so.1.30.0", "libonnxruntime_providers_cuda.so"], "its own first");
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    found.unpack(&into).unwrap();
    assert_eq!(fs::read(into.join("libonnxruntime.so.1.30.0")).unwrap(), core);
    assert_eq!(fs::read(into.join("libonnxruntime_providers_cuda.so")).unwrap(), cuda);
    assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
    assert_eq!(digest(&path).unwrap().len(), 64);
}

#[test]
fn what_is_no_honest_wheel_of_onnx_runtime_is_refused_by_name() {
    let core = ("onnxruntime/capi/libonnxruntime.so.1.30.0", &*elf(5000));
    let bomb = [b"\x7fELF".to_vec(), vec![0; 20 << 20]].concat();
    let ort = Some(METADATA_OF_ORT);
    let of = |name: &str| format!("Name: {name}\nVersion: 1.0\n");
    let (other, plugin, hidden) = (of("rapidocr_onnxruntime"), of("onnx"), "\nName: onnxruntime\nVersion: 1.0\n");
    let cases: [(Option<&str>, &[Member<'_>], &str); 12] = [
        (None, &[core], "has no metadata"),
        (Some(&other), &[core], "is a wheel of rapidocr-onnxruntime, not of ONNX Runtime"),
        (Some(&plugin), &[core], "is a wheel of onnx, not"),
        (Some(hidden), &[core], "do not say which package"),
        (Some("Name: onnxruntime\nVersion: ../../etc\n"), &[core], "do not say which package and version"),
        (ort, &[], "has no onnxruntime/capi/libonnxruntime.so*"),
        (ort, &[("onnxruntime/capi/onnxruntime.dll", b"MZ")], "has no onnxruntime/capi/libonnxruntime.so*"),
        (ort, &[("onnxruntime/capi/libonnxruntime_providers_cuda.so", b"\x7fELF")], "has no onnxruntime/capi/lib"),
        (ort, &[core, ("../../etc/ld.so.preload", b"x")], "leads out of the directory"),
        (ort, &[core, ("/etc/ld.so.preload", b"x")], "leads out of the directory"),
        (ort, &[("onnxruntime/capi/libonnxruntime.so.1 ->", b"/etc/shadow")], "is a link"),
        (ort, &[("onnxruntime/capi/libonnxruntime.so.1.30.0", &bomb)], "would swell from"),
    ];
    for (metadata, members, word) in cases {
        let dir = tempfile::tempdir().unwrap();
        let said = Wheel::open(&wheel(dir.path(), metadata, members)).unwrap_err().to_string();
        assert!(said.contains(word) && said.contains(".whl"), "{said}: {word}");
    }
}

#[test]
fn what_is_no_zip_file_or_a_part_of_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = wheel(dir.path(), Some(METADATA_OF_ORT), &[("onnxruntime/capi/libonnxruntime.so.1", &elf(50_000))]);
    let whole = fs::read(&path).unwrap();
    for content in
        [&b""[..], b"PK\x03\x04", b"not a zip file at all", &whole[..whole.len() / 2], &whole[..whole.len() - 30]]
    {
        fs::write(&path, content).unwrap();
        let said = Wheel::open(&path).unwrap_err().to_string();
        assert!(said.contains("is no wheel"), "{} bytes: {said}", content.len());
    }
    assert!(Wheel::open(dir.path()).unwrap_err().to_string().contains("it is no file"));
    let missing = Wheel::open(&dir.path().join("no.whl")).unwrap_err();
    assert!(matches!(missing, WheelError::Open { .. }), "{missing}");
}

#[test]
fn a_library_that_is_none_or_was_changed_is_found_when_it_is_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    let try_with = |change: &dyn Fn(&mut Vec<u8>), content: &[u8]| {
        let path = wheel(dir.path(), Some(METADATA_OF_ORT), &[("onnxruntime/capi/libonnxruntime.so.1", content)]);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        Wheel::open(&path).and_then(|mut wheel| wheel.unpack(&into)).unwrap_err().to_string()
    };
    let said = try_with(&|_| {}, b"#!/bin/sh\nreboot\n");
    assert!(said.contains("is no library (no ELF file)"), "{said}");
    // In the middle of the packed library.
    let said = try_with(&|bytes| bytes[20_000] ^= 0x55, &elf(50_000));
    assert!(said.contains("cannot be read"), "{said}");
}
