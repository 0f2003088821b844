//! What each provider makes of the real models, side by side in one run: time to load, median and CPU
//! time of a run, memory of the host.
//! Prints a table; judges nothing.
//!
//!     cargo bench -p edge-engine --bench providers
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use edge_engine::protocol::{Precision, Setup};
use rustix::time::{ClockId, clock_gettime};
use support::plugins::openvino;
use support::{Host, bundle, cards, noisy, setup};

const WARM: u64 = 10;
const RUNS: u64 = 30;

fn ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// CPU time of the host's threads.
fn cpu_ns(host: &Host) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.child.id())).unwrap();
    let spent = |path: PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks.filter_map(|task| spent(task.unwrap().path())).sum()
}

/// Median time of a request and mean CPU time, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn measure(host: &mut Host, name: &str, rows: i64) -> (f64, f64) {
    let (mut times, mut before) = (Vec::new(), 0);
    for seed in 0..WARM + RUNS {
        if seed == WARM {
            before = cpu_ns(host);
        }
        let inputs = noisy(name, rows, seed);
        let start = ns();
        host.infer_sealed(&inputs).unwrap();
        times.push(ns() - start);
    }
    let mut timed = times.split_off(usize::try_from(WARM).unwrap());
    timed.sort_unstable();
    (timed[timed.len() / 2] as f64 / 1e6, (cpu_ns(host) - before) as f64 / RUNS as f64 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn resident_mb(host: &Host) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() as f64 / 1024.0
}

fn row(name: &str, provider: &str, plugin: Option<PathBuf>, precision: Precision, threads: u16) {
    let Some(mut host) = Host::start_for(provider, plugin) else { return };
    let bundle = bundle(name);
    let setup =
        Setup { variant: "fp32".into(), provider: provider.into(), precision, threads, ..setup(&bundle, "cpu") };
    host.ask_load_as(&bundle, 0, 0, Setup { instances: 1, ..setup }, false);
    let label = format!("| {name} | {provider} {} | {threads} |", precision.as_str());
    match host.loaded() {
        Err(why) => println!("{label} {} |", why.chars().take(80).collect::<String>()),
        Ok(loaded) => {
            let (alone, cpu) = measure(&mut host, name, 1);
            // One that runs a single row at a time has no batches.
            let eight = loaded.most_rows.is_some_and(|most| most >= 8).then(|| measure(&mut host, name, 8));
            let eight = eight.map_or_else(|| "- | -".into(), |(took, cpu)| format!("{took:.2} | {cpu:.2}"));
            let memory = resident_mb(&host);
            println!("{label} {alone:.2} | {cpu:.2} | {eight} | {} | {memory:.0} |", loaded.load_ms);
        }
    }
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = openvino(directory.path());
    println!("| model | provider | threads | batch 1, ms | CPU ms | batch 8, ms | CPU ms | load, ms | host, MB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let card = cards::there();
    for name in ["text-line", "text-direction", "text-boxes", "file-type", "speech"] {
        for threads in [1, 2] {
            row(name, "cpu", None, Precision::Exact, threads);
            for precision in [Precision::Exact, Precision::Reduced] {
                if plugin.is_some() {
                    row(name, "openvino", plugin.clone(), precision, threads);
                }
            }
        }
        for precision in [Precision::Exact, Precision::Reduced] {
            if card {
                row(name, "cuda", None, precision, 1);
            }
        }
    }
}
