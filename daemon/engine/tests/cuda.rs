//! The real models on CUDA, where there is a card: with the answers of the CPU provider, placed on the card, confined like
//! all others, and with memory that comes back. Without one each test says SKIPPED.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use edge_engine::protocol::{FromHost, LoadedModel, Precision, Setup, ToHost};
use support::{Host, bundle, cards, noisy, setup, test_bundle, to_f32s};

const MODELS: [&str; 5] = ["text-line", "text-direction", "text-boxes", "file-type", "speech"];
/// Largest difference from the CPU provider, in parts of max(1, the largest number of its output): the contract.
const CLOSE: f32 = 0.02;

/// The first variant of a bundle, on the provider of the host.
fn wish(host: &Host, name: &str, precision: Precision) -> Setup {
    let first = setup(&bundle(name), "cpu");
    Setup { provider: host.provider.clone(), precision, threads: 1, instances: 1, ..first }
}

fn load(host: &mut Host, name: &str, precision: Precision) -> Result<LoadedModel, String> {
    host.ask_load_as(&bundle(name), 0, 0, wish(host, name, precision), true);
    host.loaded()
}

fn unload(host: &mut Host) {
    host.send(&ToHost::Unload { model: 0 }, &[]);
    host.receive_when(|message| matches!(message, FromHost::Unloaded { .. }));
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
fn the_models_run_on_the_card_give_their_golden_answers_and_those_of_the_cpu() {
    let mut wrong = Vec::new();
    for name in MODELS {
        for precision in [Precision::Exact, Precision::Reduced] {
            let Some(mut host) = cards::cuda() else { return };
            let Some(mut reference) = Host::start() else { return };
            load(&mut reference, name, Precision::Exact).unwrap();
            let label = format!("{name} {}", precision.as_str());
            let loaded = match load(&mut host, name, precision) {
                Ok(loaded) => loaded,
                Err(why) => {
                    wrong.push(format!("{label}: {why}"));
                    continue;
                }
            };
            let most = i64::from(loaded.most_rows.unwrap_or(1));
            let tries = [(1, 1), (1, 2), (2, 3), (8, 4), (1, 5)].map(|(rows, seed)| (most.min(rows), seed));
            let each = tries.map(|(rows, seed)| difference(name, &mut reference, &mut host, rows, seed));
            let worst = each.into_iter().fold(0f32, f32::max);
            println!(
                "{label}: {:?}, loaded in {} ms, {} golden answers, a run of them {:.2} ms, at most {worst:.7} from the cpu",
                loaded.providers.iter().map(|found| (found.name.as_str(), found.share)).collect::<Vec<_>>(),
                loaded.load_ms,
                loaded.goldens_passed,
                loaded.service_ns as f64 / 1e6,
            );
            let notes: Vec<_> = host.notes.iter().filter(|note| note.contains("onnxruntime")).collect();
            if !notes.is_empty() {
                wrong.push(format!("{label}: {notes:?}"));
            }
            if loaded.goldens_passed < 3 || loaded.providers[0].name != "cuda" {
                wrong.push(format!("{label}: {loaded:?}"));
            }
            if worst > CLOSE && precision == Precision::Exact {
                wrong.push(format!("{label}: {each:?} from the cpu"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_model_that_is_for_the_card_alone_runs_there_alone() {
    let Some(mut host) = cards::cuda() else { return };
    let bundle = test_bundle("wants-cuda");
    host.ask_load_as(&bundle, 0, 0, setup(&bundle, "cuda"), true);
    let loaded = host.loaded().unwrap();
    assert_eq!((loaded.providers[0].name.as_str(), loaded.providers[0].share), ("cuda", 1.0));
    assert_eq!(loaded.goldens_passed, 1);
}

#[test]
fn a_trial_on_the_card_is_held_against_the_cpu_and_measured() {
    let Some(mut host) = cards::cuda() else { return };
    for name in ["text-line", "text-direction"] {
        let wanted = Setup { instances: 2, ..wish(&host, name, Precision::Reduced) };
        let trial = host.load_trial(&bundle(name), wanted).unwrap().trial.unwrap();
        println!("{name}: {trial:?}");
        assert_eq!(trial.goldens, Ok(()), "{name}");
        assert!(trial.difference.as_ref().is_ok_and(|apart| *apart < 0.02), "{name}: {trial:?}");
        for lane in [0, 1] {
            assert!(host.measure(lane, 1).unwrap() > 0, "{name}");
        }
        unload(&mut host);
    }
}

#[test]
fn the_threads_of_cuda_are_confined_and_nothing_is_written_but_by_the_driver() {
    let Some(mut host) = cards::cuda() else { return };
    load(&mut host, "text-direction", Precision::Exact).unwrap();
    for thread in host.threads().keys() {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{thread}/status", host.child.id()));
        // One that ended meanwhile had nothing to lose.
        let Ok(status) = status else { continue };
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    }
    assert_eq!(host.probe("127.0.0.1:9", "/nowhere")[..8], ["PermissionDenied"; 8]);
    // The driver keeps there what it compiled, unless CUDA_CACHE_PATH names another place, as it does for the service.
    assert!(host.written().iter().all(|name| name == ".nv"), "{:?}", host.written());
}

#[test]
fn memory_of_the_card_comes_back_when_a_model_is_unloaded_and_when_the_host_is_killed() {
    let Some(mut host) = cards::cuda() else { return };
    let Some(before) = cards::taken_mib() else { return println!("SKIPPED: nothing tells the memory of the card") };
    let mut unloaded = Vec::new();
    for round in 0..6 {
        load(&mut host, "text-line", Precision::Exact).unwrap();
        host.infer_sealed(&noisy("text-line", 8, round)).unwrap();
        let loaded = cards::taken_mib().unwrap();
        unload(&mut host);
        unloaded.push(cards::taken_mib().unwrap());
        println!("before {before} MiB, loaded {loaded} MiB, unloaded {} MiB", unloaded[unloaded.len() - 1]);
    }
    load(&mut host, "text-line", Precision::Exact).unwrap();
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    let killed = cards::taken_mib().unwrap();
    println!("killed {killed} MiB");
    assert!(unloaded[5] <= unloaded[0] + 16, "{unloaded:?}");
}

#[test]
fn a_host_that_is_killed_in_the_middle_of_a_run_leaves_a_card_that_serves_the_next() {
    for round in 0..3 {
        let Some(mut host) = cards::cuda() else { return };
        load(&mut host, "text-line", Precision::Exact).unwrap();
        let inputs = noisy("text-line", 8, round);
        let expected = host.infer_sealed(&inputs).unwrap();
        let (shape, bytes) = &inputs[0];
        let fd = support::memfd(bytes);
        let data = edge_engine::protocol::Data::Sealed { fd: 0, offset: 0, len: bytes.len() as u64 };
        let tensors = vec![edge_engine::protocol::TensorData { index: 0, shape: shape.clone(), data }];
        let want = edge_engine::protocol::Want::Sealed;
        let input = edge_engine::protocol::Input::Tensors { tensors, want };
        host.run(0, vec![support::member(7, input)], &[&fd]);
        host.child.kill().unwrap();
        host.child.wait().unwrap();
        let Some(mut next) = cards::cuda() else { return };
        let loaded = load(&mut next, "text-line", Precision::Exact).unwrap();
        println!("the next host loaded in {} ms", loaded.load_ms);
        assert_eq!(next.infer_sealed(&inputs).unwrap(), expected);
    }
}

#[test]
fn a_model_that_does_not_fit_into_the_memory_it_may_take_is_refused_by_that_word() {
    let Some(mut host) = cards::cuda_limited(1 << 20) else { return };
    let why = load(&mut host, "text-line", Precision::Exact).unwrap_err();
    println!("{why}");
    assert!(why.contains("memory"), "{why}");
    // The host serves what does fit.
    let bundle = test_bundle("wants-cuda");
    host.ask_load_as(&bundle, 1, 0, setup(&bundle, "cuda"), true);
    assert_eq!(host.loaded().unwrap().goldens_passed, 1);
}

#[test]
fn a_run_that_does_not_fit_is_refused_by_that_word_and_the_next_one_runs() {
    let Some(mut host) = cards::cuda_limited(512 << 20) else { return };
    load(&mut host, "text-line", Precision::Exact).unwrap();
    let large = vec![(vec![16, 3, 48, 3200], vec![0u8; 16 * 3 * 48 * 3200 * 4])];
    let error = host.infer_sealed(&large).unwrap_err();
    println!("{error:?}");
    assert!(error.message.contains("memory"), "{error:?}");
    host.infer_sealed(&noisy("text-line", 1, 1)).unwrap();
}
