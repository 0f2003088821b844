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
    put(place, &[])
}

/// The same, where each session is made only after somebody has opened this pipe for writing: as if the model took long to
/// compile. At once while there is no such pipe.
pub fn openvino_held(place: &Path, pipe: &Path) -> Result<bool> {
    put(place, &[format!("-DHOLD=\"{}\"", pipe.display())])
}

/// The same, with faults that are switched on by files in this directory: `throws-at-load`, `crashes-at-load`,
/// `throws-at-run` and `keeps-memory`.
pub fn openvino_with_faults(place: &Path, switches: &Path) -> Result<bool> {
    put(place, &[format!("-DSWITCHES=\"{}\"", switches.display())])
}

/// Makes `place` the directory of a library that is for another version of the runtime, and says so when it is registered.
pub fn of_another_runtime(place: &Path) -> Result<()> {
    fs::create_dir(place)?;
    compile(place, &["-DREFUSES".to_owned()])
}

/// The same from a copy of its directory in `copy`, in which one library is missing: the reader of what it compiled before.
pub fn openvino_without_reader(place: &Path, copy: &Path) -> Result<bool> {
    let fetched = places::providers().join(OPENVINO);
    fs::create_dir(copy)?;
    for file in fs::read_dir(&fetched).into_iter().flatten() {
        let file = file?;
        if !file.file_name().to_string_lossy().contains("ir_frontend") {
            fs::copy(file.path(), copy.join(file.file_name()))?;
        }
    }
    put_from(copy, place, &[])
}

fn put(place: &Path, macros: &[String]) -> Result<bool> {
    put_from(&places::providers().join(OPENVINO), place, macros)
}

fn put_from(fetched: &Path, place: &Path, macros: &[String]) -> Result<bool> {
    let real = fetched.join(PLUGIN);
    if !real.is_file() {
        let missing = format!("no {}: `make fetch` brings it on x86_64", real.display());
        ensure!(std::env::var_os("CI").is_none() || std::env::consts::ARCH != "x86_64", "{missing}");
        println!("SKIPPED: {missing}");
        return Ok(false);
    }
    if macros.is_empty() && fs::read_to_string("/proc/cpuinfo")?.contains("GenuineIntel") {
        symlink(fetched, place)?;
        return Ok(true);
    }
    fs::create_dir(place)?;
    let slot = std::mem::offset_of!(ort::sys::OrtApi, HardwareDevice_VendorId) / size_of::<usize>();
    let real = format!("-DREAL=\"{}\"", real.display());
    compile(place, &[macros, &["-DFOR_ANY_PROCESSOR".into(), format!("-DSLOT={slot}"), real]].concat())?;
    Ok(true)
}

/// Makes the library of the engine host's own tests with these macros.
fn compile(place: &Path, macros: &[String]) -> Result<()> {
    let done = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .arg(place.join(PLUGIN))
        .arg(places::repository().join("daemon/engine/tests/fixtures/plugin.c"))
        .args(macros)
        .arg("-ldl")
        .output()
        .context("run cc (make need)")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
