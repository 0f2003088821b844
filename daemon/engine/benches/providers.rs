//! What each provider makes of the real models, side by side in one run: time to load, median of a run, memory of the host.
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
use support::{Host, bundle, noisy, setup};

const WARM: u64 = 10;
const RUNS: u64 = 30;

fn ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Median time of a request, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn p50(host: &mut Host, name: &str, rows: i64) -> f64 {
    let mut times = Vec::new();
    for seed in 0..WARM + RUNS {
        let inputs = noisy(name, rows, seed);
        let start = ns();
        host.infer_sealed(&inputs).unwrap();
        times.push(ns() - start);
    }
    let mut timed = times.split_off(usize::try_from(WARM).unwrap());
    timed.sort_unstable();
    timed[timed.len() / 2] as f64 / 1e6
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
            let (one, eight) = (p50(&mut host, name, 1), p50(&mut host, name, 8));
            let memory = resident_mb(&host);
            println!("{label} {one:.2} | {eight:.2} | {:.2} | {} | {memory:.0} |", eight / 8.0, loaded.load_ms);
        }
    }
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = openvino(directory.path());
    println!("| model | provider | threads | batch 1, ms | batch 8, ms | batch 8, ms each | load, ms | host, MB |");
    println!("|---|---|---|---|---|---|---|---|");
    for name in ["text-line", "text-direction", "file-type", "speech"] {
        for threads in [1, 2] {
            row(name, "cpu", None, Precision::Exact, threads);
            for precision in [Precision::Exact, Precision::Reduced] {
                if plugin.is_some() {
                    row(name, "openvino", plugin.clone(), precision, threads);
                }
            }
        }
    }
}
