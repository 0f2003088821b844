//! NVIDIA graphics cards: whether a test can have one, and how much of its memory is taken.

use std::path::Path;
use std::process::Command;

use edge_engine::protocol::{DeviceOptions, FromHost};

use super::{Host, library, provider, start};

/// What a driver makes where there is a card: on a machine with slots, and on a Jetson.
const DEVICES: [&str; 3] = ["/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0/ctrl"];

/// Whether the runtime of the tests was built with this provider; `None` without a runtime.
pub fn runtime_has(name: &str) -> Option<bool> {
    let mut host = Host::spawn();
    host.send(&start(library()?), &[]);
    match host.receive().0 {
        FromHost::Started { providers, .. } => Some(providers.iter().any(|have| have == name)),
        other => panic!("{other:?}"),
    }
}

/// Whether there is a card and a runtime that can use it; if not, a word that the test is skipped. Anything else that is
/// missing from there on, CUDA's own libraries for example, is a failure.
pub fn there() -> bool {
    if !DEVICES.iter().any(|path| Path::new(path).exists()) {
        println!("SKIPPED: no NVIDIA graphics processor ({})", DEVICES.join(", "));
        return false;
    }
    match runtime_has("cuda") {
        Some(true) => true,
        Some(false) => {
            println!("SKIPPED: this ONNX Runtime has no CUDA (make gpu-test, or ORT_DYLIB_PATH names one that has)");
            false
        }
        None => false,
    }
}

/// A host for CUDA; `None` (and a word about it) where there is none.
pub fn cuda() -> Option<Host> {
    if there() { Host::start_for("cuda", None) } else { None }
}

/// The same, with a bound for the memory of each session on the card.
pub fn cuda_limited(bytes: u64) -> Option<Host> {
    let options = DeviceOptions { memory_limit_bytes: Some(bytes), ..DeviceOptions::default() };
    let wanted = edge_engine::protocol::ProviderSetup { options, ..provider("cuda", None) };
    if there() { Host::start_with(wanted) } else { None }
}

/// MiB of the first card that are taken; `None` where nothing tells (a Jetson has no memory of its own there).
pub fn taken_mib() -> Option<u64> {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
    let said = Command::new("nvidia-smi").args(query).output().ok()?;
    String::from_utf8(said.stdout).ok()?.trim().parse().ok()
}
