//! The real models on OpenVINO: whole, with the answers of the CPU provider, on as many threads as were asked for, and with
//! nothing written but in the directory for it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use edge_engine::protocol::{LoadedModel, Precision, Setup};
use support::plugins::openvino;
use support::{Host, bundle, noisy, setup, to_f32s};

/// Those that OpenVINO can convert.
const MODELS: [&str; 3] = ["text-line", "text-direction", "file-type"];

fn load(host: &mut Host, name: &str, precision: Precision, threads: u16) -> LoadedModel {
    let bundle = bundle(name);
    let provider = if host.provider == "openvino" { "openvino" } else { "cpu" };
    host.ask_load_as(&bundle, 0, 0, Setup { precision, threads, instances: 1, ..setup(&bundle, provider) }, true);
    host.loaded().unwrap()
}

/// A host for OpenVINO; `None` (and a word about it) where there is none.
fn start(directory: &Path) -> Option<Host> {
    Host::start_for("openvino", Some(openvino(directory)?))
}

/// The largest difference of any output, in parts of max(1, the largest number of the reference).
fn difference(name: &str, reference: &mut Host, other: &mut Host, rows: i64, seed: u64) -> f32 {
    let inputs = noisy(name, rows, seed);
    let (expected, got) = (reference.infer_sealed(&inputs).unwrap(), other.infer_sealed(&inputs).unwrap());
    assert_eq!(expected.len(), got.len(), "{name}");
    let differs = |((shape, expected), (other, got)): (&support::Shaped, &support::Shaped)| {
        assert_eq!(shape, other, "{name}");
        let (expected, got) = (to_f32s(expected), to_f32s(got));
        assert!(got.iter().all(|number| number.is_finite()), "{name}");
        let most = expected.iter().fold(1f32, |most, number| most.max(number.abs()));
        expected.iter().zip(&got).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / most
    };
    expected.iter().zip(&got).map(differs).fold(0f32, f32::max)
}

#[test]
fn the_models_run_whole_on_openvino_give_their_golden_answers_and_those_of_the_cpu() {
    let directory = tempfile::tempdir().unwrap();
    for name in MODELS {
        for precision in [Precision::Exact, Precision::Reduced] {
            let Some(mut host) = start(directory.path()) else { return };
            let Some(mut reference) = Host::start() else { return };
            let bundle = bundle(name);
            host.ask_load_as(
                &bundle,
                0,
                0,
                Setup { precision, threads: 1, instances: 1, ..setup(&bundle, "openvino") },
                true,
            );
            let loaded = match (host.loaded(), precision) {
                (Ok(loaded), _) => loaded,
                // Where the processor has BF16 the answers may be too far off; that is what goldens are for.
                (Err(why), Precision::Reduced) if why.contains("golden") => {
                    println!("{name} reduced: {why}");
                    continue;
                }
                (Err(why), _) => panic!("{name}: {why}"),
            };
            load(&mut reference, name, Precision::Exact, 1);
            let providers: Vec<_> = loaded.providers.iter().map(|found| (found.name.as_str(), found.share)).collect();
            assert_eq!(providers, [("openvino", 1.0)], "{name}");
            assert!(loaded.goldens_passed >= 3, "{loaded:?}");
            let tries = [(1, 1), (1, 2), (2, 3), (8, 4), (1, 5)];
            let each = tries.map(|(rows, seed)| difference(name, &mut reference, &mut host, rows, seed));
            let worst = each.into_iter().fold(0f32, f32::max);
            println!("{name} {} against cpu: at most {worst:.7} of the largest number", precision.as_str());
            assert!(worst <= 0.02 || precision == Precision::Reduced, "{name}: {each:?}");
            assert_eq!(host.notes.iter().filter(|note| note.contains("onnxruntime")).count(), 0, "{:?}", host.notes);
        }
    }
}

#[test]
fn openvino_computes_on_the_threads_that_were_asked_for_and_waits_without_computing() {
    let directory = tempfile::tempdir().unwrap();
    for threads in [1, 2] {
        let Some(mut host) = start(directory.path()) else { return };
        load(&mut host, "text-line", Precision::Exact, threads);
        let before = host.threads();
        for seed in 0..40 {
            host.infer_sealed(&noisy("text-line", 1, seed)).unwrap();
        }
        let after = host.threads();
        let ticks = |(id, (name, now)): (&String, &(String, u64))| {
            (name.clone(), now - before.get(id).map_or(0, |before| before.1))
        };
        let mut spent: Vec<(String, u64)> = after.iter().map(ticks).collect();
        spent.sort_by_key(|row| std::cmp::Reverse(row.1));
        println!("{threads} threads: {spent:?}");
        assert!(spent[0].1 >= 10, "{spent:?}");
        let beyond: u64 = spent.iter().skip(usize::from(threads)).map(|row| row.1).sum();
        assert!(beyond * 10 <= spent[0].1, "{threads} threads were asked for: {spent:?}");
    }
}

#[test]
fn the_threads_of_openvino_are_confined_like_all_others() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut host) = start(directory.path()) else { return };
    load(&mut host, "text-direction", Precision::Exact, 2);
    let threads = host.threads();
    assert!(threads.len() >= 6, "{threads:?}");
    for thread in threads.keys() {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{thread}/status", host.child.id()));
        // One that ended meanwhile had nothing to lose.
        let Ok(status) = status else { continue };
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    }
    assert_eq!(host.probe("127.0.0.1:9", "/nowhere"), ["PermissionDenied"; 9]);
}

#[test]
fn openvino_writes_into_the_directory_for_it_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let Some(library) = openvino(directory.path()) else { return };
    let cache = directory.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    for round in ["compiled", "found again"] {
        let Some(mut host) = Host::start_for("openvino", Some(library.clone())) else { return };
        host.cache_dir = Some(cache.clone());
        let loaded = load(&mut host, "text-direction", Precision::Exact, 1);
        println!("{round}: {} ms", loaded.load_ms);
        assert!(loaded.goldens_passed >= 3 && host.written().is_empty(), "{:?}", host.written());
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "{round}");
    }
    let Some(mut host) = Host::start_for("openvino", Some(library)) else { return };
    load(&mut host, "text-direction", Precision::Exact, 1);
    assert!(host.written().is_empty(), "{:?}", host.written());
}
