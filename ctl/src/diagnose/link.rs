//! The link to the broker: whether it stands, whether it is the one that was wished for, how long its certificates hold.

use edge_wire::dto::{CertificateStatus, MqttStatus};

use crate::check::Check;
use crate::render::units::{count, micros};

/// A certificate that ends within so many days is worth a look.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 24 * 3600;

/// The checks with the subjects under which the daemon names problems of the same.
pub fn parts(mqtt: &MqttStatus, unix_seconds: u64) -> Vec<(String, Check)> {
    let mut parts = vec![("broker".to_owned(), broker(mqtt))];
    parts.extend(fallback(mqtt).map(|check| ("fallback".to_owned(), check)));
    let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    parts.extend(mqtt.certificates.iter().map(|one| {
        let subject = format!("certificate of the {}", one.of);
        (subject.clone(), certificate(one, subject, now))
    }));
    parts
}

fn broker(mqtt: &MqttStatus) -> Check {
    match mqtt.state.as_str() {
        "off" | "" => Check::skip("broker", "off: no [mqtt] in the configuration"),
        "connected" if mqtt.reason.is_empty() => Check::ok("broker", connected(mqtt)),
        // The connection stands, and was contested a moment ago: the only thing that is remembered into the next one.
        "connected" => Check::warn(
            "broker",
            format!("connected to {}, but lately: {}", mqtt.broker, mqtt.reason),
            "give each box its own `mqtt.client_id`, or leave it unset",
        ),
        // The daemon lists a connection that does not stand among its problems, with the remedy for its cause.
        state => Check::fail("broker", format!("{}: {state}: {}", mqtt.broker, mqtt.reason), "`edgectl status`"),
    }
}

fn connected(mqtt: &MqttStatus) -> String {
    let tls = match &mqtt.tls {
        Some(tls) => format!("TLS {}", tls.version),
        None => "no TLS".into(),
    };
    let ping = mqtt.ping_us.map_or(String::new(), |us| format!(", ping {}", micros(us)));
    let MqttStatus { broker, client_id, protocol, .. } = mqtt;
    format!("connected to {broker} as {client_id}, MQTT {protocol}, {tls}{ping}")
}

/// The box serves, by another broker than the first one.
fn fallback(mqtt: &MqttStatus) -> Option<Check> {
    let first = mqtt.brokers.first().filter(|_| mqtt.state == "connected" && !mqtt.is_preferred())?;
    let why = if first.fault.is_empty() { String::new() } else { format!(": {}", first.fault) };
    Some(Check::warn(
        "fallback",
        format!("on {} instead of {}{why}", mqtt.broker, first.address),
        format!("look after {}; it is gone back to by itself when it answers (`mqtt.return_after_s`)", first.address),
    ))
}

/// One that has ended is named by the daemon.
fn certificate(one: &CertificateStatus, subject: String, now: i64) -> Check {
    let CertificateStatus { of, file, not_after, not_after_s } = one;
    let days = (not_after_s - now).div_euclid(DAY);
    let left = count(u64::try_from(days).unwrap_or_default(), "day");
    if days >= SOON_DAYS {
        return Check::ok(subject, format!("holds until {not_after}"));
    }
    let remedy = match of.as_str() {
        "broker" => "renew it at the broker, then let the broker read it".into(),
        _ => format!("put a renewed one into {file}: it is taken within seconds, without a restart"),
    };
    Check::warn(subject, format!("expires in {left}, {not_after}"), remedy)
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::BrokerStatus;

    use super::*;
    use crate::check::Level;

    const NOW: u64 = 1_795_824_000;

    fn connected_to(broker: &str) -> MqttStatus {
        let named = |address: &str, fault: &str| BrokerStatus { address: address.into(), fault: fault.into() };
        MqttStatus {
            state: "connected".into(),
            broker: broker.into(),
            brokers: vec![named("a:1883", "connect to a:1883: Connection refused"), named("b:1883", "")],
            ..MqttStatus::default()
        }
    }

    fn wrong(mqtt: &MqttStatus) -> Vec<(String, Level, String)> {
        let wrong = parts(mqtt, NOW).into_iter().filter(|(_, check)| !matches!(check.level, Level::Ok | Level::Skip));
        wrong
            .map(|(subject, check)| {
                assert!(subject == check.subject && !check.remedy.is_empty(), "{check:?}");
                (subject, check.level, check.what)
            })
            .collect()
    }

    #[test]
    fn a_box_on_a_fallback_serves_and_says_why_it_is_there() {
        assert_eq!(wrong(&MqttStatus { state: "off".into(), ..MqttStatus::default() }), []);
        assert_eq!(wrong(&connected_to("a:1883")), []);
        let found = wrong(&connected_to("b:1883"));
        assert!(
            found.len() == 1 && found[0].1 == Level::Warn && found[0].2.contains("Connection refused"),
            "{found:?}"
        );
    }

    #[test]
    fn a_certificate_is_warned_of_ahead_of_its_end() {
        let with = |days: i64| {
            let not_after_s = i64::try_from(NOW).unwrap() + days * DAY + 60;
            let one = CertificateStatus {
                of: "client".into(),
                file: "/etc/c.pem".into(),
                not_after: "then".into(),
                not_after_s,
            };
            wrong(&MqttStatus { certificates: vec![one], ..connected_to("a:1883") })
        };
        assert_eq!(with(14), []);
        let found = with(13);
        assert!(found[0].1 == Level::Warn && found[0].2.contains("expires in 13 days"), "{found:?}");
        assert!(with(0)[0].2.contains("expires in 0 days"));
    }
}
