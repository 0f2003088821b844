//! Who signed a bundle: the first byte says whether what follows is a signature, the terms of keys, or a key. Whatever they say,
//! nothing is trusted that no trusted key signed, and what is said of it is short.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use edged::config::ModelsConfig;
use edged::config::raw::Values;
use edged::config::validate::{Machine, validate};
use edged::store::trust::{Trust, parse_terms};
use libfuzzer_sys::fuzz_target;

const KEY: &str = "untrusted comment: minisign public key\nRWSCcVLv83J2UwfLwO20oj3EvECx7+Psl2BgjS8Y+YmC48ZHUpWj5ud3\n";
/// What it signed.
const MANIFEST: &str = "test";
const OTHER: &str = "another manifest";

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("edge-fuzz-trust-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    dir
});

fn config() -> ModelsConfig {
    let mut values = Values::default();
    values.add(Path::new("edged.toml"), &format!("[models]\nkeys_dir = {:?}\n", DIR.display().to_string()));
    let machine = Machine { host_name: "box".into(), processors: 1, ..Machine::default() };
    validate(values, &machine).expect("a configuration").models
}

static TRUST: LazyLock<(ModelsConfig, Trust)> = LazyLock::new(|| {
    std::fs::write(DIR.join("a.pub"), KEY).expect("a key");
    let config = config();
    let trust = Trust::read(&config).expect("the key is good");
    (config, trust)
});

fuzz_target!(|input: (u8, &str)| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (config, trust) = &*TRUST;
    match input.0 % 3 {
        0 => {
            assert!(trust.judge(OTHER, Some(input.1), now).is_err(), "a signature of something else was taken");
            if let Err(error) = trust.judge(MANIFEST, Some(input.1), now) {
                assert!(error.to_string().len() < 4096, "{error}");
            }
        }
        1 => {
            if let Ok(terms) = parse_terms(input.1) {
                assert!(terms.keys().all(|key| key.len() == 16));
            }
        }
        _ => {
            std::fs::write(DIR.join("b.pub"), input.1).expect("a file");
            // Another key beside the good one is read or named, and never makes the good one sign something else.
            if let Ok(trust) = Trust::read(config) {
                assert!(trust.judge(OTHER, None, now).is_err());
            }
        }
    }
});
