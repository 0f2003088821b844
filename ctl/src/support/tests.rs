use std::io::Read as _;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;

fn found(config: &str, journal: &str, environment: &str, record: Value) -> Found {
    let mut found = Found::default();
    found.put("config/00-edged.toml", "", Ok(Content::Config(config.into())));
    found.text("journal.txt", "", Ok(journal.into()));
    found.text("unit/show.txt", "", Ok(environment.into()));
    found.record("status.json", "", Ok(record));
    found.put("gone.txt", "", Err(format!("read it: {journal}")));
    found
}

/// Everything that comes out when it is unpacked.
fn unpacked(found: Found, hide: bool) -> String {
    let (secrets, names) = found.learn();
    let (parts, missing) = redacted(found, &secrets, hide.then_some(&names));
    let packed = archive::packed("x", 0, &parts).unwrap();
    let mut text = serde_json::to_string(&missing).unwrap();
    for entry in tar::Archive::new(GzDecoder::new(packed.as_slice())).entries().unwrap() {
        entry.unwrap().read_to_string(&mut text).unwrap();
    }
    text
}

/// A secret that no other text has by chance, with signs that break things.
fn secret() -> impl Strategy<Value = String> {
    "[0-9a-f]{10}[A-Za-z0-9!#$%&*+,./:;=?@^_{|}~'-]{0,20}[0-9a-f]{2}"
}

proptest! {
    /// Planted where secrets are: values of the configuration, addresses, lines of the log, the environment of the service. What is in
    /// the configuration or the environment goes from the log also where nothing names it.
    #[test]
    fn planted_secrets_never_come_out(secrets in proptest::array::uniform6(secret()), hide: bool, is_broken: bool) {
        let [value, proxy, query, logged, variable, bearer] = &secrets;
        let broken = if is_broken { "[[[\n" } else { "" };
        let config = format!(
            "# password {value}\nnode = \"press-7\"\n[mqtt]\npassword = {value:?}\nport = 1883\n[pull]\nproxy = {:?}\n\
             url = {:?}\n{broken}",
            format!("http://me:{proxy}@proxy.plant:3128"),
            format!("https://models.plant/a?sig={query}"),
        );
        let journal = format!(
            "10:00 edged starts\n10:01 login failed for {value}\n10:02 token={logged} model=add\n10:03 proxy said {proxy}\n\
             10:04 GET https://u:{logged}@h/x failed\n10:05 Authorization: Bearer {bearer}\n10:06 saw {variable}\n"
        );
        let environment = format!("Environment=LANG=C \"MQTT_PASSWORD={variable}\" A=b\nMainPID=7\n");
        let record = serde_json::json!({
            "node": "press-7", "problems": [{"what": format!("broker refused password {value}")}], "api_key": bearer, "tokens": 17,
        });
        let out = unpacked(found(&config, &journal, &environment, record), hide);
        for secret in &secrets {
            prop_assert!(!out.contains(secret.as_str()), "{secret} is in {out}");
        }
        prop_assert!(out.contains("port = 1883") && out.contains("edged starts") && out.contains("\"tokens\": 17"), "{out}");
        prop_assert_eq!(out.contains("press-7"), !hide);
    }
}

/// Values that are no secrets of anybody's take nothing else with them.
#[test]
fn harmless_values_under_secret_names_cost_no_part() {
    let config = "[mqtt]\npassword = 'removed'\n[[site]]\nname = 'far'\nprotocol = 'openai'\ncredential = 'openai'\n";
    let environment = "Environment=HAS_TOKEN=true \"IS_SECRET=no\" MAX_TOKEN=17\nMainPID=7\n";
    let record = serde_json::json!({"serving": true, "open": 17, "protocol": "openai", "tokens": 17});
    let (secrets, _) = found(config, "", environment, record.clone()).learn();
    let (parts, missing) = redacted(found(config, "removed a model", environment, record.clone()), &secrets, None);
    assert_eq!(missing.iter().map(|one| one.file.as_str()).collect::<Vec<_>>(), ["gone.txt"]);
    let text = |file: &str| {
        let part = parts.iter().find(|part| part.file == file).unwrap();
        String::from_utf8(part.bytes.clone()).unwrap()
    };
    assert_eq!(serde_json::from_str::<Value>(&text("status.json")).unwrap(), record);
    assert_eq!(text("journal.txt"), "removed a model");
    let config = text("config/00-edged.toml");
    assert!(config.contains("protocol = \"openai\"") && config.contains("credential = \"<removed>\""), "{config}");
    let told = "Environment=HAS_TOKEN=<removed> \"IS_SECRET=<removed>\" MAX_TOKEN=<removed>\nMainPID=7\n";
    assert_eq!(text("unit/show.txt"), told);
}

/// What is in a unit under any name, and what a program of it is given.
#[test]
fn what_units_give_to_programs_never_comes_out() {
    let unit = "Environment=PLC=hunter2 DB_AUTH=hunter3-of-the-log\nEnvironment=LONG_PASSWORD=\\\n  hunter4-of-the-log\n\
                ExecStartPre=/usr/bin/mosquitto_pub -P hunter5\n";
    let journal = "10:00 saw hunter3-of-the-log and hunter4-of-the-log\n";
    let out = unpacked(found("", journal, unit, Value::Null), false);
    assert!(!out.contains("hunter"), "{out}");
    assert!(out.contains("PLC=<removed>") && out.contains("/usr/bin/mosquitto_pub <removed>"), "{out}");
}

#[test]
fn a_part_that_a_secret_is_still_in_is_left_out() {
    let mut found = Found::default();
    found.text("a.txt", "", Ok("fine".into()));
    found.text("b.txt", "", Ok("split hun\u{200b}ter2".into()));
    let mut secrets = Secrets::default();
    secrets.learn("fine");
    // What is known goes; what a later step would bring back must not be written.
    let mut names = Names::default();
    names.learn(names::Kind::Node, "split");
    secrets.learn("node-1");
    let (parts, missing) = redacted(found, &secrets, Some(&names));
    assert_eq!(parts.iter().map(|part| part.file.as_str()).collect::<Vec<_>>(), ["a.txt"]);
    assert!(missing[0].file == "b.txt" && missing[0].why.contains("left out"), "{missing:?}");
}

#[test]
fn of_what_is_long_the_end_is_kept() {
    let text: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
    let mut parts = vec![
        Clean { file: "a".into(), what: String::new(), bytes: text.clone().into_bytes() },
        Clean { file: "b".into(), what: String::new(), bytes: b"short".to_vec() },
    ];
    assert!(cut(&mut parts));
    let kept = String::from_utf8(parts[0].bytes.clone()).unwrap();
    assert!(
        kept.len() < text.len() * 6 / 10
            && kept.starts_with("(the beginning is left out: ")
            && kept.ends_with("line 99999\n")
    );
    assert!(kept.lines().nth(1).unwrap().starts_with("line "), "whole lines");
    while cut(&mut parts) {}
    assert_eq!(parts[1].bytes, b"short");
}
