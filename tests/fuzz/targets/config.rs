//! The operator's file: every text becomes a configuration or a list of faults, and what is taken keeps its own rules: its
//! sites can be numbered, and its rules only ever confine a request.
#![no_main]

use std::path::Path;

use edge_core::{DataClass, Site, Sites, Zone};
use edged::config::Config;
use edged::config::numbering::Numbering;
use edged::config::raw::Values;
use edged::config::rules::Source;
use edged::config::terms::{Ask, Rules};
use edged::config::validate::{Machine, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let machine = Machine { host_name: "box".into(), processors: 4, today: 20_785, ..Machine::default() };
    let mut values = Values::default();
    values.add(Path::new("edged.toml"), text);
    match validate(values, &machine) {
        Ok(config) => {
            assert!(config.policy.default_deadline <= config.policy.max_deadline);
            assert!(config.policy.lanes > 0 && config.policy.max_batch > 0 && config.policy.max_waiting > 0);
            sites_and_rules(&config);
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

fn sites_and_rules(config: &Config) {
    let broker = config.mqtt.as_ref().map_or(Zone::Device, |mqtt| mqtt.zone);
    for site in &config.sites {
        let Site { zone, price, budget, max_open, .. } = site.core;
        assert!(max_open > 0 && (budget.is_none() || price.is_some()));
        match site.http() {
            Some(http) => {
                assert!(http.url.username().is_empty() && http.url.password().is_none() && http.url.query().is_none());
                assert!(http.url.scheme() == "https" || http.credential.is_none() || zone == Zone::Device);
            }
            None => assert!(config.mqtt.is_some() && zone >= broker),
        }
    }
    let numbering = Numbering::default().assign(&config.sites, Sites::NONE).expect("there are at most 32");
    assert_eq!(numbering.sites(&config.sites).len(), config.sites.len());
    let rules = Rules::new(&config.rules, |name| numbering.number(name));
    for class in [DataClass::Regulated, DataClass::Internal, DataClass::Public] {
        for source in [Source::Bus { uid: 0 }, Source::Mqtt { topic: "edge/box/infer/ocr" }] {
            let said = rules.terms(&Ask { model: "ocr", task: "chat", source, class }, config.routing.objective);
            assert!(said.redact.is_none_or(|class| class <= said.ceiling) && said.sample.get() <= 0.2);
            for (name, says) in rules.told(said.spoke) {
                assert!(!name.is_empty() && !says.to_string().is_empty());
                assert!(says.ceiling.is_none_or(|ceiling| said.ceiling <= ceiling));
            }
        }
    }
}
