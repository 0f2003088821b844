//! Execution providers that come as libraries: those made for a test, and OpenVINO's.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A library made of `fixtures/plugin.c` with these macros, or a word that the test was skipped.
pub fn plugin(directory: &Path, macros: &[&str]) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/plugin.c");
    let library = directory.join("libplugin.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(source);
    command.args(macros.iter().map(|name| format!("-D{name}"))).arg("-ldl");
    match command.output() {
        Ok(done) => {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            Some(library)
        }
        Err(error) => skipped(&format!("no C compiler: cc: {error} (make need)")),
    }
}

/// Where `fetch.py` puts OpenVINO's libraries, unless the environment names another place.
fn fetched() -> PathBuf {
    let named = std::env::var_os("EDGE_PROVIDERS_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.fetch/providers")).join("openvino")
}

/// A file of OpenVINO's, or a word that the test was skipped.
pub fn openvino_file(name: &str) -> Option<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        println!("SKIPPED: OpenVINO's provider is for x86_64, this machine is {}", std::env::consts::ARCH);
        return None;
    }
    let path = fetched().join(name);
    match path.canonicalize() {
        Ok(path) => Some(path),
        Err(_) => skipped(&format!("no {} (python3 onnx-models/fetch.py .fetch)", path.display())),
    }
}

/// The plugin of OpenVINO itself.
pub fn openvino_itself() -> Option<PathBuf> {
    openvino_file("libonnxruntime_providers_openvino_plugin.so")
}

/// Whether OpenVINO's plugin takes this machine's processor.
pub fn is_intel() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel")
}

/// The plugin of OpenVINO as it can run on this machine: on a processor that is not Intel's it is told that it is.
pub fn openvino(directory: &Path) -> Option<PathBuf> {
    let real = openvino_itself()?;
    if is_intel() {
        return Some(real);
    }
    let place = std::mem::offset_of!(ort::sys::OrtApi, HardwareDevice_VendorId) / size_of::<usize>();
    let (slot, real) = (format!("SLOT={place}"), format!("REAL=\"{}\"", real.display()));
    plugin(directory, &["FOR_ANY_PROCESSOR", &slot, &real])
}

/// In CI, where everything was fetched and installed before, a failure.
fn skipped<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("SKIPPED: {why}");
    None
}
