//! A sound: whatever the header claims, the samples are finite and no more than the bytes can hold.
#![no_main]

use edge_engine::media::wav;
use libfuzzer_sys::fuzz_target;

const SECONDS: u32 = 10;

fuzz_target!(|payload: &[u8]| {
    let Ok(sound) = wav::read(payload, SECONDS) else { return };
    assert!(!sound.samples.is_empty() && sound.samples.len() <= payload.len());
    assert!(sound.samples.len() as u64 <= u64::from(sound.rate) * u64::from(SECONDS));
    assert!(sound.samples.iter().all(|sample| sample.is_finite()));
});
