//! A bundle's manifest: every text is read or refused, and no file that a good one names lies outside its bundle.
#![no_main]

use std::path::{Component, Path};

use edge_engine::bundle::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse(text) else { return };
    assert!(!manifest.name.is_empty() && manifest.variant.is_empty() == manifest.pipeline.is_some() && manifest.deadline_ms > 0);
    let inside = |path: &str| {
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(plain && !path.is_empty(), "{path:?}");
    };
    manifest.file.iter().for_each(|file| inside(&file.path));
    manifest.variant.iter().for_each(|variant| inside(&variant.file));
    for golden in &manifest.golden {
        inside(&golden.input);
        inside(&golden.expected);
    }
});
