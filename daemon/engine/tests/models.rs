//! The four bundles of real models: they load, give the answers of the original packages, and refuse what they cannot
//! take.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::{Host, bundle};

#[test]
fn the_four_bundles_load_side_by_side_and_give_their_golden_answers() {
    let Some(mut host) = Host::start() else { return };
    for (model, name) in (0..).zip(["text-line", "text-direction", "file-type", "speech"]) {
        host.ask_load(&bundle(name), model, model * 2);
    }
    for _ in 0..4 {
        let loaded = host.loaded().unwrap();
        println!("{loaded:?}");
        assert!(loaded.goldens_passed >= 3 && loaded.service_ns > 0, "{loaded:?}");
        assert_eq!(loaded.providers.len(), 1);
        assert_eq!((loaded.providers[0].name.as_str(), loaded.providers[0].share), ("cpu", 1.0));
    }
    assert_eq!(host.notes.iter().filter(|note| note.contains("onnxruntime")).count(), 0, "{:?}", host.notes);
}
