//! The one clock reader of the engine host: the same clock that `start_before` counts on.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, nanoseconds.
pub fn now_ns() -> u64 {
    read(ClockId::Monotonic)
}

/// Processor time of this process so far, nanoseconds.
pub fn cpu_ns() -> u64 {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Nanoseconds since `start`.
pub fn since_ns(start: u64) -> u64 {
    now_ns().saturating_sub(start)
}

/// The calling thread is about to run something.
pub struct Begun {
    at: u64,
    waited: u64,
}

impl Begun {
    /// Now.
    pub fn now() -> Begun {
        Begun { waited: waited_here_ns(), at: now_ns() }
    }

    /// How long it has run since, without the time in which the thread waited for a processor that others had; nanoseconds.
    pub fn ran_ns(&self) -> u64 {
        since_ns(self.at).saturating_sub(waited_here_ns().saturating_sub(self.waited))
    }
}

/// How long the calling thread has waited for a processor so far, nanoseconds; 0 where the kernel does not count it.
fn waited_here_ns() -> u64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    counted.and_then(|text| text.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// How long all threads of this process have waited for a processor so far, nanoseconds; 0 where the kernel does not count
/// it. From `/proc/PID/task/TID/schedstat`: time on a processor, time in a run queue, turns.
pub fn waited_ns() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let waited = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split_whitespace().nth(1)?.parse().ok()
    };
    tasks.filter_map(|task| waited(task.ok()?)).sum()
}
