//! A configuration file as it may be told: keys and values without secrets and comments; and what is learnt of secrets and names on
//! the way. Pure. A file that is no TOML is told line by line: then only what cannot be a secret is left of its values.

use serde_json::Value as Document;
use toml::{Table, Value};

use super::names::{Kind, Names};
use super::redact::{REMOVED, Secrets, is_credential, is_pin, is_secret};

/// Ends of keys whose value is the name of this or another box, of its place, or of a program that speaks to it.
const NODES: [&str; 6] = ["node", "client_id", "edge_node", "group", "channel", "primary_host"];
/// Keys whose value is where something is on the network.
const HOSTS: [&str; 9] = ["host", "url", "address", "broker", "fallback", "proxy", "no_proxy", "mirrors", "snapshot"];
/// Keys whose value is a topic, or a pattern of topics.
const TOPICS: [&str; 11] = [
    "topic",
    "topics",
    "prefix",
    "output",
    "outputs",
    "filter",
    "filters",
    "source",
    "source_name",
    "reply_allow",
    "home_assistant_prefix",
];
/// A topic in a binding; in records of what was done it is how that went.
const RESULT: &str = "result";
/// Where a request comes from, as rules say it: `bus:user=NAME`, `mqtt:FILTER`.
const SOURCES: &str = "sources";

/// Learns what is secret in a file, and which names are in it.
pub fn learn(text: &str, secrets: &mut Secrets, names: &mut Names) {
    match text.parse::<Table>() {
        Ok(table) => learn_document(&serde_json::to_value(table).unwrap_or_default(), secrets, names),
        Err(_) => {
            for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
                let key = key.trim().rsplit('.').next().unwrap_or_default();
                visit(key, &alone(value.trim()), secrets, names);
            }
        }
    }
}

/// A value of a line of what is no TOML; what cannot be read is a text.
fn alone(value: &str) -> Document {
    let text = || Document::from(value.trim_matches(['"', '\'']));
    let table = format!("value = {value}").parse::<Table>().ok().and_then(|table| serde_json::to_value(table).ok());
    table.and_then(|mut table| table.get_mut("value").map(Document::take)).unwrap_or_else(text)
}

/// The same of a document.
pub fn learn_document(document: &Document, secrets: &mut Secrets, names: &mut Names) {
    visit("", document, secrets, names);
}

fn visit(key: &str, value: &Document, secrets: &mut Secrets, names: &mut Names) {
    match value {
        Document::Object(table) => table.iter().for_each(|(name, value)| {
            // Of a table of hosts or topics the keys are the names.
            if HOSTS.contains(&key) || is_secret(key) {
                names.learn_address(name);
            }
            // A secret is no less one in a table: `password = { value = ".." }`.
            let inner = if is_secret(key) { key } else { name };
            visit(inner, value, secrets, names);
        }),
        Document::Array(list) => list.iter().for_each(|one| visit(key, one, secrets, names)),
        Document::String(text) => {
            secrets.learn_named(key, text);
            learn_name(key, text, names);
        }
        other => secrets.learn_named(key, &other.to_string()),
    }
}

fn learn_name(key: &str, text: &str, names: &mut Names) {
    match key {
        _ if NODES.contains(&key) => names.learn(Kind::Node, text),
        _ if HOSTS.contains(&key) || text.contains("://") => names.learn_address(text),
        _ if TOPICS.contains(&key) || (key == RESULT && text.contains('/')) => names.learn_topic(text),
        SOURCES => names.learn_source(text),
        _ if is_credential(key) && !is_secret(key) => names.learn(Kind::User, text),
        _ => {}
    }
}

/// The file without secrets and comments.
pub fn told(text: &str, secrets: &Secrets) -> String {
    match text.parse::<Table>() {
        Ok(table) => {
            let clean = table.into_iter().map(|(key, value)| (key.clone(), cleaned(&key, value, secrets)));
            let table: Table = clean.collect();
            toml::to_string(&table).unwrap_or_else(|_| REMOVED.to_owned())
        }
        Err(error) => {
            let lines: String = text.lines().filter_map(line).collect();
            format!("# no TOML: {}\n{}", secrets.text(error.message()), secrets.text(&lines))
        }
    }
}

fn cleaned(key: &str, value: Value, secrets: &Secrets) -> Value {
    match value {
        Value::Table(table) => {
            let inner = |name: &str| if is_secret(key) { key.to_owned() } else { name.to_owned() };
            let clean = table.into_iter().map(|(name, value)| {
                let value = cleaned(&inner(&name), value, secrets);
                (secrets.text(&name), value)
            });
            Value::Table(clean.collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(|one| cleaned(key, one, secrets)).collect()),
        other if is_credential(key) || is_pin(key, &other) => Value::String(REMOVED.into()),
        Value::String(text) => Value::String(secrets.value(&text)),
        other if secrets.are_in(other.to_string().as_bytes()) => Value::String(REMOVED.into()),
        other => other,
    }
}

/// A line of what is no TOML: headings, and of values numbers and yes or no.
fn line(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let is_heading = line.starts_with('[') && line.ends_with(']') && !line.contains('=');
    match line.split_once('=') {
        _ if is_heading => Some(format!("{line}\n")),
        Some((key, value)) if is_key(key.trim()) => {
            let (key, value) = (key.trim(), value.trim());
            let plain = !is_credential(key)
                && !is_pin(key, &value)
                && (value.parse::<f64>().is_ok() || matches!(value, "true" | "false"));
            Some(format!("{key} = {}\n", if plain { value } else { REMOVED }))
        }
        _ => Some(format!("{REMOVED}\n")),
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        # the old password was hunter1
        node = "press-7"
        [mqtt]
        host = "broker.plant"
        username = "edge-box"
        password = "hunter2"
        password_file = "/etc/edged/password"
        port = 8883
        [pull]
        proxy = "http://me:hunter3@proxy.plant:3128"
        mirrors = ["https://m.plant/x?sig=hunter4"]
        [pull.credentials]
        "registry.plant:5000" = "registry"
        [[binding]]
        topic = "plant/line1/+/camera"
        "#;

    fn learnt(text: &str) -> (Secrets, Names) {
        let (mut secrets, mut names) = (Secrets::default(), Names::default());
        learn(text, &mut secrets, &mut names);
        (secrets, names)
    }

    #[test]
    fn a_file_is_told_without_secrets_and_comments() {
        let (secrets, names) = learnt(FILE);
        let told = told(FILE, &secrets);
        for gone in ["hunter1", "hunter2", "hunter3", "hunter4", "edge-box", "\"registry\""] {
            assert!(!told.contains(gone), "{gone}: {told}");
        }
        for kept in [
            "node = \"press-7\"",
            "port = 8883",
            "password_file = \"/etc/edged/password\"",
            "http://<removed>@proxy.plant:3128",
        ] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
        assert_eq!(
            secrets.text("refused hunter2 and hunter3 of registry"),
            "refused <removed> and <removed> of registry"
        );
        let hidden = names.hide("press-7 broker.plant proxy.plant registry.plant m.plant edge-box plant/line1/cam");
        for gone in ["press-7", "broker.plant", "proxy.plant", "registry.plant", "m.plant", "edge-box", "plant/line1"] {
            assert!(!hidden.contains(gone), "{gone}: {hidden}");
        }
    }

    #[test]
    fn of_a_file_that_is_no_toml_only_what_cannot_be_secret_is_told() {
        let broken = "node = \"a\"\n[mqtt\n[mqtt]\nport = 1883\npassword = hunter2\nhost = b\n key = \"\"\"\nhunter3\n\"\"\"\n# hunter4\n";
        let (secrets, _) = learnt(broken);
        let told = told(broken, &secrets);
        assert!(!told.contains("hunter"), "{told}");
        assert!(told.contains("[mqtt]\nport = 1883\npassword = <removed>\nhost = <removed>\n"), "{told}");
        assert!(told.starts_with("# no TOML"), "{told}");
        assert_eq!(secrets.text("hunter2"), REMOVED);
    }

    #[test]
    fn a_key_of_the_broker_is_for_everybody_and_a_pin_is_not() {
        let text = "[mqtt.tls]\npin = ['sha256/AbCd0123=']\n[plc]\npin = 4711\nPLC_PIN = '482913'\n[models]\nkeys_dir = '/etc/k'\n";
        let (secrets, _) = learnt(text);
        let told = told(text, &secrets);
        for kept in ["sha256/AbCd0123=", "keys_dir = \"/etc/k\""] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
        assert!(!told.contains("4711") && !told.contains("482913"), "{told}");
        assert_eq!(secrets.text("saw 482913 of 4711"), "saw <removed> of 4711");
    }

    #[test]
    fn names_are_learnt_of_every_key_that_has_some_also_in_a_file_with_a_fault() {
        let rows = [
            ("node = 'gone-1'", "gone-1"),
            ("host = 'gone.plant'", "gone.plant"),
            ("fallback = ['gone-2.plant:1883', 'gone-3.plant']", "gone-2.plant gone-3.plant"),
            (
                "no_proxy = ['intranet.factory.lan', '.gone.lan', '*.away.lan']",
                "intranet.factory.lan gone.lan away.lan",
            ),
            ("mirrors = { 'models.plant' = ['https://mirror.plant/a', 'origin'] }", "models.plant mirror.plant"),
            ("snapshot = 'http://camera-7.plant/now.jpg'", "camera-7.plant"),
            ("reference = ['/srv', 'https://store.plant/a']", "store.plant"),
            ("result = 'halle3/erg/{1}/res'", "halle3/erg"),
            ("topic = '$share/halle-group/+/halle4/{1}/x9z'", "halle-group halle4 x9z"),
            ("source_name = 'halle5_{1}'", "halle5_7"),
            ("flat = { topic = 'halle6/{1}/{field}' }", "halle6"),
            ("reply_allow = ['scada/halle7/+']", "scada/halle7"),
            ("prefix = 'werk2'", "werk2"),
            ("home_assistant_prefix = 'haus3'", "haus3"),
            ("sources = ['bus', 'bus:user=anna.mueller', 'bus:uid=7', 'mqtt:halle9/x/#']", "anna.mueller halle9/x"),
            ("username = 'berta'", "berta"),
            ("client_id = 'client-9'", "client-9"),
            ("group = 'ring-4'", "ring-4"),
            ("channel = 'early-birds'", "early-birds"),
            ("primary_host = 'scada-1'", "scada-1"),
        ];
        for (line, gone) in rows {
            for text in [line.to_owned(), format!("[[[\n{line}\n")] {
                // A table over several keys is no value of one line.
                if text.starts_with('[') && line.contains("{ ") {
                    continue;
                }
                let (_, names) = learnt(&text);
                for name in gone.split(' ') {
                    let hidden = names.hide(&format!("at {name}, {line}"));
                    assert!(!hidden.contains(name), "{text}: {hidden}");
                }
            }
        }
        let (_, names) =
            learnt("result = 'done'\nprefix = 'edge'\ntopic = 'camera/+/image'\nsources = ['bus', 'mqtt']");
        let text = "the bus is done with the image of a camera on mqtt of edge";
        assert_eq!(names.hide(text), text, "words that tell nothing");
    }
}
