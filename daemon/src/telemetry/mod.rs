//! Readings of the machine: each a value with its time, or a typed absence. Never a zero for "unknown".
//!
//! One file for each kind of thing that is read (`zones`, `coolers`, `clocks`, `rails`, `overcurrent`, `fan`, `powermode`,
//! `system`, `disk`, `hailo`, `nvml`); `sampler` asks them all, `watch` does that every second. Files are read below a
//! root, so that a copy of another machine, or a simulated one, is read by the very same code.

mod accelerators;
mod clocks;
mod coolers;
mod disk;
mod fan;
pub mod gpu;
mod graphics;
mod hailo;
pub mod hailort;
pub mod machines;
mod memory;
mod node;
mod nvml;
mod overcurrent;
mod platform;
pub mod powermode;
pub mod rail;
mod rails;
pub mod reading;
mod sampler;
pub mod sensed;
mod shelf;
mod system;
#[cfg(test)]
mod testing;
pub mod traps;
mod watch;
mod zones;

pub use accelerators::Told;
pub use graphics::graphics;
pub use memory::available_bytes;
pub use platform::{
    board_software, gpu_driver, graphics_names, jetpack_of, platform, processor_features, processor_name,
};
pub use reading::{Absence, Reading};
pub use sampler::Sampler;
pub use watch::{INTERVAL, Sample, Watch};

/// Resident memory of a process, from `/proc/PID/statm`; 0 if it is gone.
pub fn rss_bytes(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or_default();
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}
