//! The second execution provider of all tests: OpenVINO, as it can run on this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::places;

/// Its name in manifests and in the configuration.
pub const OPENVINO: &str = "openvino";
const PLUGIN: &str = "libonnxruntime_providers_openvino_plugin.so";

/// Makes `place` the directory of the provider's library. `false`, and a word that the test is skipped, if the library was
/// not fetched; in CI, where it was fetched before, an error.
///
/// The library passes over processors that are not Intel's, although it can compute on them: there it gets in a library of
/// ours that tells it otherwise.
pub fn openvino(place: &Path) -> Result<bool> {
    put(place, None)
}

/// The same, where each session is made only after somebody has opened this pipe for writing: as if the model took long to
/// compile. At once while there is no such pipe.
pub fn openvino_held(place: &Path, pipe: &Path) -> Result<bool> {
    put(place, Some(pipe))
}

fn put(place: &Path, pipe: Option<&Path>) -> Result<bool> {
    let fetched = places::providers().join(OPENVINO);
    let real = fetched.join(PLUGIN);
    if !real.is_file() {
        let missing = format!("no {}: `make fetch` brings it on x86_64", real.display());
        ensure!(std::env::var_os("CI").is_none() || std::env::consts::ARCH != "x86_64", "{missing}");
        println!("SKIPPED: {missing}");
        return Ok(false);
    }
    if pipe.is_none() && fs::read_to_string("/proc/cpuinfo")?.contains("GenuineIntel") {
        symlink(&fetched, place)?;
        return Ok(true);
    }
    fs::create_dir(place)?;
    let source = places::repository().join("daemon/engine/tests/fixtures/plugin.c");
    let slot = std::mem::offset_of!(ort::sys::OrtApi, HardwareDevice_VendorId) / size_of::<usize>();
    let done = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-DFOR_ANY_PROCESSOR", "-o"])
        .arg(place.join(PLUGIN))
        .arg(source)
        .args(pipe.map(|pipe| format!("-DHOLD=\"{}\"", pipe.display())))
        .args([format!("-DSLOT={slot}"), format!("-DREAL=\"{}\"", real.display()), "-ldl".into()])
        .output()
        .context("run cc (make need)")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(true)
}
