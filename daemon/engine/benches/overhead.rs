//! What the engine host adds to the model: the same inputs through a bare session in this process and through a host,
//! side by side in one run. Also how long loading takes and what memory stays. Prints a table; judges nothing.
//!
//!     cargo bench -p edge-engine --bench overhead
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use edge_engine::protocol::{Data, FromHost, Input, LoadedModel, Setup, TensorData, Want};
use ort::session::Session;
use ort::value::TensorRef;
use rustix::time::{ClockId, clock_gettime};
use support::{Host, bundle, f32s, member, memfd, setup};

const ROUNDS: usize = 12;
const CALLS: usize = 60;
const SHAPE: [i64; 4] = [1, 3, 48, 192];
const NAMES: [&str; 4] = ["text-line", "text-direction", "file-type", "speech"];

fn ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// CPU time of another process.
fn cpu_of(pid: u32) -> u64 {
    let mut clock = 0;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls only write to the places given.
    unsafe {
        assert_eq!(libc::clock_getcpuclockid(libc::pid_t::try_from(pid).unwrap(), &mut clock), 0);
        assert_eq!(libc::clock_gettime(clock, &mut now), 0);
    }
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Resident memory in KiB: all, and what is not of a file.
fn memory_of(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (value("VmRSS:"), value("RssAnon:"))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn environment() -> ort::environment::Environment {
    let library = support::library().unwrap_or_else(|| std::process::exit(0));
    let silent = Arc::new(|_: ort::logging::LogLevel, _: &str, _: &str, _: &str, _: &str| {});
    let environment = ort::init_from(library).unwrap().with_logger(silent).build().unwrap();
    environment.set_log_level(ort::logging::LogLevel::Warning);
    environment
}

fn session(environment: &ort::environment::Environment, model: &Path) -> Session {
    let builder = Session::builder(environment).unwrap().with_intra_threads(1).unwrap();
    let builder = builder.with_intra_op_spinning(false).unwrap().with_inter_op_spinning(false).unwrap();
    builder.with_memory_pattern(false).unwrap().commit_from_file(model).unwrap()
}

/// The same sessions as the host has, each run once on inputs of the goldens' sizes, and nothing else.
fn bare() {
    let environment = environment();
    let mut sessions = Vec::new();
    for (name, count) in NAMES.into_iter().zip([2, 2, 2, 1]) {
        for _ in 0..count {
            let mut session = session(&environment, &bundle(name).join("model.onnx"));
            match name {
                "text-line" => run_f32(&mut session, &[1, 3, 48, 576]),
                "text-direction" => run_f32(&mut session, &SHAPE),
                "file-type" => {
                    let zeros = vec![0i32; 2048];
                    let input = TensorRef::from_array_view(([1usize, 2048], &zeros[..])).unwrap();
                    session.run(ort::inputs![input]).unwrap();
                }
                _ => {}
            }
            sessions.push(session);
        }
    }
    // SAFETY: gives unused memory back, as the host does after loading.
    unsafe { libc::malloc_trim(0) };
    let (all, anonymous) = memory_of(std::process::id());
    println!("{all} {anonymous}");
}

fn run_f32(session: &mut Session, shape: &[i64]) {
    let count: i64 = shape.iter().product();
    let numbers = vec![0f32; usize::try_from(count).unwrap()];
    session.run(ort::inputs![TensorRef::from_array_view((shape, &numbers[..])).unwrap()]).unwrap();
}

fn load(host: &mut Host, names: &[&str], goldens: bool) -> (u64, Vec<LoadedModel>) {
    let start = ns(ClockId::Monotonic);
    for (model, name) in (0..).zip(names) {
        let bundle = bundle(name);
        let setup = Setup { instances: 1, ..setup(&bundle, "cpu") };
        host.ask_load_as(&bundle, model, model * 4, setup, goldens);
    }
    let loaded = names.iter().map(|_| host.loaded().unwrap()).collect();
    (ns(ClockId::Monotonic) - start, loaded)
}

fn loading() {
    let start = ns(ClockId::Monotonic);
    let mut host = Host::start().unwrap();
    println!("host started, runtime loaded          {:8.1} ms", ms(ns(ClockId::Monotonic) - start));
    let (took, loaded) = load(&mut host, &NAMES, true);
    println!("four bundles loaded, with goldens     {:8.1} ms", ms(took));
    for model in loaded {
        println!(
            "  model {} alone                       {:6} ms, {} goldens",
            model.model, model.load_ms, model.goldens_passed
        );
    }
    let (all, anonymous) = memory_of(host.child.id());
    let bare = std::process::Command::new(std::env::current_exe().unwrap()).arg("--bare").output().unwrap();
    let bare = String::from_utf8(bare.stdout).unwrap();
    let bare: Vec<u64> = bare.split_whitespace().map(|word| word.parse().unwrap()).collect();
    println!("resident, host                        {:8.1} MB ({:.1} MB anonymous)", mb(all), mb(anonymous));
    println!("resident, the same sessions bare      {:8.1} MB ({:.1} MB anonymous)", mb(bare[0]), mb(bare[1]));
    host.child.kill().unwrap();
    let start = ns(ClockId::Monotonic);
    let mut host = Host::start().unwrap();
    load(&mut host, &["text-line", "text-direction", "file-type", "speech"][..1], false);
    println!("after kill -9: text-line ready again  {:8.1} ms", ms(ns(ClockId::Monotonic) - start));
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mb(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn main() {
    if std::env::args().any(|argument| argument == "--bare") {
        return bare();
    }
    if support::library().is_none() {
        return;
    }
    loading();

    let numbers: Vec<f32> = (0..3 * 48 * 192).map(|n| (n % 97) as f32 / 97.0 - 0.5).collect();
    let environment = environment();
    let mut session = session(&environment, &bundle("text-direction").join("model.onnx"));
    let mut host = Host::start().unwrap();
    host.load(&bundle("text-direction"));
    let payload = f32s(&numbers);
    let (mut bare_cpu, mut host_cpu, mut bare_wall, mut host_wall) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let cpu = ns(ClockId::ProcessCPUTime);
        for _ in 0..CALLS {
            let start = ns(ClockId::Monotonic);
            let input = TensorRef::from_array_view((SHAPE, &numbers[..])).unwrap();
            session.run(ort::inputs![input]).unwrap();
            bare_wall.push(ns(ClockId::Monotonic) - start);
        }
        bare_cpu.push((ns(ClockId::ProcessCPUTime) - cpu) / CALLS as u64);

        let fds: Vec<_> = (0..CALLS).map(|_| memfd(&payload)).collect();
        let cpu = cpu_of(host.child.id());
        for fd in &fds {
            let start = ns(ClockId::Monotonic);
            let data = Data::Sealed { fd: 0, offset: 0, len: payload.len() as u64 };
            let tensors = vec![TensorData { index: 0, shape: SHAPE.to_vec(), data }];
            let input = Input::Tensors { tensors, want: Want::Sealed };
            host.run(0, vec![member(1, input)], &[fd]);
            assert!(matches!(host.receive().0, FromHost::Ran { .. }));
            host_wall.push(ns(ClockId::Monotonic) - start);
        }
        host_cpu.push((cpu_of(host.child.id()) - cpu) / CALLS as u64);
    }
    let (bare, hosted) = (median(bare_cpu), median(host_cpu));
    println!("text-direction, CPU of a call, bare   {:8.1} us", bare as f64 / 1e3);
    println!(
        "text-direction, CPU of a call, host   {:8.1} us ({:.3} x)",
        hosted as f64 / 1e3,
        hosted as f64 / bare as f64
    );
    let (bare, hosted) = (median(bare_wall), median(host_wall));
    println!("text-direction, p50, bare             {:8.1} us", bare as f64 / 1e3);
    println!(
        "text-direction, p50, host             {:8.1} us (+{:.1} us)",
        hosted as f64 / 1e3,
        (hosted as f64 - bare as f64) / 1e3
    );
}
