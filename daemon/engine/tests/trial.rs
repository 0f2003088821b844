//! Setups on trial: what they are held against, and what is measured of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use edge_engine::protocol::{FromHost, Precision, Setup, ToHost};
use support::{Host, bundle, setup, test_bundle};

#[test]
fn the_cpu_passes_its_own_trial_and_each_of_its_sessions_is_measured() {
    let Some(mut host) = Host::start() else { return };
    for name in ["text-line", "file-type", "text-direction", "speech"] {
        let bundle = bundle(name);
        let setup = Setup { threads: 1, instances: 2, ..setup(&bundle, "cpu") };
        let trial = host.load_trial(&bundle, setup).unwrap().trial.unwrap();
        assert_eq!(trial.goldens, Ok(()), "{name}");
        assert!(trial.difference.as_ref().is_ok_and(|apart| *apart < 1e-3), "{name}: {trial:?}");
        assert!(trial.cost >= 1, "{name}");
        for lane in [0, 1] {
            assert!(host.measure(lane, 1).unwrap() > 0, "{name}");
        }
        if name == "speech" {
            let error = host.measure(0, 2).unwrap_err();
            assert!(error.message.contains("several runs"), "{error:?}");
        } else {
            assert!(host.measure(0, 4).unwrap() > host.measure(0, 1).unwrap(), "{name}");
        }
        host.send(&ToHost::Unload { model: 0 }, &[]);
        host.receive_when(|message| matches!(message, FromHost::Unloaded { .. }));
    }
}

#[test]
fn a_setup_that_gives_other_answers_is_reported_and_not_refused() {
    let Some(mut host) = Host::start() else { return };
    let bundle = test_bundle("wrong-golden");
    let setup = Setup { precision: Precision::Exact, instances: 1, ..setup(&bundle, "cpu") };
    let trial = host.load_trial(&bundle, setup).unwrap().trial.unwrap();
    assert!(trial.goldens.as_ref().is_err_and(|why| why.contains("expected 2.75, got 2.5")), "{trial:?}");
    assert_eq!(trial.difference, Ok(0.0));
}

#[test]
fn what_was_loaded_to_serve_is_not_measured() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("add"));
    let error = host.measure(0, 1).unwrap_err();
    assert!(error.message.contains("not loaded to be measured"), "{error:?}");
}
