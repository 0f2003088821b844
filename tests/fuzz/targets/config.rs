//! The operator's file: every text becomes a configuration or a list of faults, and what is taken keeps its own rules.
#![no_main]

use std::path::Path;

use edged::config::raw::Values;
use edged::config::validate::{Machine, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let machine = Machine { host_name: "box".into(), processors: 4, ..Machine::default() };
    let mut values = Values::default();
    values.add(Path::new("edged.toml"), text);
    match validate(values, &machine) {
        Ok(config) => {
            assert!(config.policy.default_deadline <= config.policy.max_deadline);
            assert!(config.policy.lanes > 0 && config.policy.max_batch > 0 && config.policy.max_waiting > 0);
            if let Some(mqtt) = &config.mqtt {
                assert!(!mqtt.prefix.is_empty() && !mqtt.prefix.contains(['+', '#']) && mqtt.port > 0);
                assert!(mqtt.max_packet_bytes > mqtt.max_request_bytes && mqtt.max_inflight > 0);
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| assert!(!fault.to_string().is_empty()));
        }
    }
});
