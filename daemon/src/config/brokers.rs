//! The list of brokers and the pins of their keys: text to values, each fault with what is taken. Must not know what becomes
//! of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::raw::Values;

/// Brokers besides the first one.
const MOST_FALLBACKS: usize = 7;
/// Pins: the key of each broker, and the next one of each.
const MOST_PINS: usize = 16;
/// Digits of a SHA-256 in base64.
const DIGITS: usize = 44;

/// The brokers of `mqtt.fallback`, for a first one that is `first`.
pub(super) fn fallback(values: &mut Values, first: (&str, u16)) -> Vec<(String, u16)> {
    let texts = values.texts("mqtt.fallback");
    if texts.len() > MOST_FALLBACKS {
        values.fault_at("mqtt.fallback", format!("{} brokers, takes up to {MOST_FALLBACKS}", texts.len()));
    }
    let mut found: Vec<(String, u16)> = Vec::new();
    for text in texts {
        match address(&text, first.1) {
            None => {
                let takes = "takes \"HOST\", \"HOST:PORT\" or \"[IPv6]:PORT\", with a port from 1 to 65535";
                values.fault_at("mqtt.fallback", format!("{text:?} is no broker: {takes}"));
            }
            Some(broker) if found.contains(&broker) || (broker.0.as_str(), broker.1) == first => {
                values.fault_at(
                    "mqtt.fallback",
                    format!("{text:?} stands in the list of brokers twice: takes each once"),
                );
            }
            Some(broker) => found.push(broker),
        }
    }
    found
}

/// Host and port of a broker; `otherwise` is the port of one without.
fn address(text: &str, otherwise: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => otherwise,
    };
    Some((host.to_owned(), port))
}

/// The pins of `mqtt.tls.pin`.
pub(super) fn pins(values: &mut Values) -> Vec<[u8; 32]> {
    let texts = values.texts("mqtt.tls.pin");
    if texts.len() > MOST_PINS {
        values.fault_at("mqtt.tls.pin", format!("{} pins, takes up to {MOST_PINS}", texts.len()));
    }
    let mut pins = Vec::with_capacity(texts.len());
    for text in texts {
        match pin(&text) {
            Some(pin) => pins.push(pin),
            None => values.fault_at(
                "mqtt.tls.pin",
                format!("{text:?} is no pin: takes \"sha256/\" and {DIGITS} characters of base64, a SHA-256"),
            ),
        }
    }
    pins
}

/// A pin; curl writes it with two slashes.
fn pin(text: &str) -> Option<[u8; 32]> {
    let rest = text.strip_prefix("sha256/")?;
    let digits = if rest.len() == DIGITS { rest } else { rest.strip_prefix('/')? };
    STANDARD.decode(digits).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read<T>(text: &str, read: impl Fn(&mut Values) -> T) -> (T, Vec<String>) {
        let mut values = Values::default();
        values.add(Path::new("test.toml"), text);
        let found = read(&mut values);
        (found, values.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_broker_is_a_host_with_or_without_a_port() {
        for (text, broker) in [
            ("b2", Some(("b2", 1883))),
            ("10.0.0.6:1884", Some(("10.0.0.6", 1884))),
            ("::1", Some(("::1", 1883))),
            ("[fe80::1]", Some(("fe80::1", 1883))),
            ("[::1]:8883", Some(("::1", 8883))),
            ("b:0", None),
            ("b:65536", None),
            ("b:1:2", None),
            ("b:", None),
            (":1", None),
            ("", None),
            ("mqtt://b:1", None),
            ("[b]:1", None),
            ("[::1]1", None),
            ("b c", None),
        ] {
            assert_eq!(address(text, 1883), broker.map(|(host, port)| (host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn the_first_broker_is_a_host_alone() {
        for (host, is_taken) in
            [("b", true), ("10.0.0.5", true), ("::1", true), ("b:8883", false), ("mqtt://b", false), ("[::1]", false)]
        {
            let mut values = Values::default();
            values.add(Path::new("e"), &format!("[mqtt]\nhost = '{host}'"));
            let found = super::super::validate::validate(values, &super::super::validate::Machine::default());
            assert_eq!(found.is_ok(), is_taken, "{host}");
            if let Err(faults) = found {
                assert!(format!("{faults:?}").contains("the port is `mqtt.port`"), "{faults:?}");
            }
        }
    }

    #[test]
    fn faults_of_the_list_name_the_key_and_what_it_takes() {
        let of = |list: &str| read(&format!("[mqtt]\nfallback = {list}"), |values| fallback(values, ("b1", 1883)));
        assert_eq!(of("['b2', 'b3:1']"), (vec![("b2".into(), 1883), ("b3".into(), 1)], Vec::new()));
        for (list, part) in [
            ("['b2:x']", "a port from 1 to 65535"),
            ("['b2', 'b2:1883']", "twice"),
            ("['b1']", "twice"),
            ("['a','b','c','d','e','f','g','h']", "takes up to 7"),
        ] {
            let (_, faults) = of(list);
            assert!(faults.len() == 1 && faults[0].contains("mqtt.fallback") && faults[0].contains(part), "{faults:?}");
        }
    }

    #[test]
    fn a_pin_is_a_digest_in_base64_with_one_slash_or_two() {
        let digest = STANDARD.encode([7; 32]);
        let slashed = STANDARD.encode([0xFF; 32]);
        assert!(slashed.starts_with('/'));
        for (text, pin) in [
            (format!("sha256/{digest}"), [7; 32]),
            (format!("sha256//{digest}"), [7; 32]),
            (format!("sha256/{slashed}"), [0xFF; 32]),
            (format!("sha256//{slashed}"), [0xFF; 32]),
        ] {
            let found = read(&format!("[mqtt.tls]\npin = ['{text}']"), pins);
            assert_eq!(found, (vec![pin], Vec::new()), "{text}");
        }
        let many = vec![format!("'sha256/{digest}'"); 17].join(", ");
        for list in
            [format!("[{many}]"), format!("['{digest}']"), "['sha256/AAAA']".into(), format!("['sha1/{digest}']")]
        {
            let (_, faults) = read(&format!("[mqtt.tls]\npin = {list}"), pins);
            assert!(
                faults.len() == 1 && faults[0].contains("mqtt.tls.pin") && faults[0].contains("takes"),
                "{faults:?}"
            );
        }
    }
}
