//! What reading a machine for hours costs: no memory, no descriptors, little time. In a process of its own, so that nobody
//! else's memory counts.

use std::path::Path;

use edge_core::Mono;
use edged::telemetry::machines::{self, Machine};
use edged::telemetry::{Sampler, rss_bytes, sensed};

/// Samples of a warm-up, and those that must not take more: an hour and some.
const WARM: u64 = 500;
const SAMPLES: u64 = 5000;
/// Memory that an allocator may shift about.
const SHIFT: u64 = 512 << 10;
/// Descriptors that the machine's thread may have open for a moment.
const MOMENT: usize = 8;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn take(sampler: &mut Sampler, seconds: std::ops::Range<u64>) {
    for second in seconds {
        let sensed = sampler.read(Mono::from_nanos(second * 1_000_000_000));
        assert!(!sensed::readings(&sensed).is_empty() && !sensed::hardware(&sensed).zones.is_empty());
    }
}

#[test]
fn hours_of_samples_take_neither_memory_nor_descriptors() {
    let runtime = tempfile::tempdir().unwrap();
    let machine = Machine::start(machines::asked("machine=agx-orin").unwrap(), runtime.path()).unwrap();
    for root in [machine.root.as_path(), Path::new("/")] {
        let mut sampler = Sampler::new(root, runtime.path()).with(machines::source(root));
        if root == Path::new("/") && sensed::hardware(&sampler.read(Mono::default())).zones.is_empty() {
            println!("SKIPPED: this machine has no thermometer");
            continue;
        }
        take(&mut sampler, 0..WARM);
        let (memory, open) = (rss_bytes(std::process::id()), descriptors());
        take(&mut sampler, WARM..WARM + SAMPLES);
        let (later, still) = (rss_bytes(std::process::id()), descriptors());
        assert!(later.saturating_sub(memory) <= SHIFT, "{}: {memory} -> {later} bytes", root.display());
        assert!(still <= open + MOMENT, "{}: {open} -> {still} descriptors", root.display());
    }
}
