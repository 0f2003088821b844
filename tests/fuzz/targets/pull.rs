//! What is said to a box that pulls a bundle: addresses (of people, of redirects), what a registry wants to see, its manifests. What is
//! taken stays on the ways that are allowed, and what is told of the rest is short.
#![no_main]

use std::collections::BTreeMap;

use edged::pull::Address;
use edged::pull::address::{is_digest, is_loopback, mirror_fault, redirected};
use edged::pull::registry::{challenge, choose};
use libfuzzer_sys::fuzz_target;

/// The longest sentence about something that came from outside, beside the thing itself.
const MOST: usize = 2000;

fuzz_target!(|input: (u8, &str)| {
    let text = input.1;
    match input.0 % 4 {
        0 => {
            let Ok(address) = Address::parse(text) else { return };
            assert!(!address.shown().contains(['#', '?']) && address.sha256().is_none_or(is_digest));
            let mirrors = BTreeMap::from([("h".to_owned(), vec!["https://m/x".to_owned(), "origin".to_owned()])]);
            let sources = address.sources(&mirrors);
            assert!(!sources.is_empty());
            for source in sources {
                assert!(source.url.scheme() == "https" || is_loopback(&source.url), "{}", source.url);
            }
        }
        1 => {
            let at = reqwest::Url::parse("https://models.example/a/b").expect("an address");
            if let Ok(to) = redirected(&at, text) {
                assert_eq!(to.scheme(), "https");
            }
        }
        2 => {
            if let Some(found) = challenge(text) {
                assert!(!found.realm.is_empty() && found.realm.len() < text.len());
            }
            if let Some(why) = mirror_fault(text) {
                assert!(!why.is_empty());
            }
        }
        _ => match choose(text.as_bytes()) {
            Ok(layer) => assert!(is_digest(&layer.sha256), "{layer:?}"),
            Err(why) => assert!(!why.is_empty() && why.len() < MOST, "{why}"),
        },
    }
});
