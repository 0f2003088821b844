//! What processes use: processor time to the nanosecond, resident memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Processor time of all threads of a process, ended ones included.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for the one id that is written.
    let fault = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    ensure!(fault == 0, "the processor clock of {pid}: {}", std::io::Error::from_raw_os_error(fault));
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the one value that is written.
    let fault = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(fault == 0, "processor time of {pid}: {}", std::io::Error::last_os_error());
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

/// Resident memory now, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    field(pid, "VmRSS:")
}

/// The most resident memory so far, in bytes.
pub fn resident_peak(pid: u32) -> Result<u64> {
    field(pid, "VmHWM:")
}

fn field(pid: u32, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("status of process {pid}"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("{key} of process {pid}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{key} {line}"))?;
    Ok(kib << 10)
}

/// Bytes that a process had the disk write so far, as far as the kernel knows of it.
pub fn written(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).with_context(|| format!("what process {pid} wrote"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    let bytes = line.with_context(|| format!("what process {pid} wrote to the disk"))?;
    bytes.parse().with_context(|| format!("write_bytes {bytes}"))
}

/// Open descriptors of a process.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| format!("descriptors of process {pid}"))?.count())
}

/// Names of the threads of a process, as it gave them.
pub fn threads(pid: u32) -> Result<Vec<String>> {
    let directory = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&directory).with_context(|| directory.clone())?;
    // A thread that ends meanwhile is no fault.
    let named = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    Ok(named.map(|name| name.trim().to_owned()).collect())
}

/// Does the processor say that it can do this? A word of the line `flags` in /proc/cpuinfo.
pub fn has_flag(flag: &str) -> bool {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_whitespace().any(|word| word == flag))
}

/// Processor and kernel of this machine, in one line.
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let name = name.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    format!("{name}, {cores} cores, {} GiB, Linux {}", kib >> 20, kernel.trim())
}
