//! The keys of `[mqtt]`: the broker, and what is kept of requests that come by it. Must not know what becomes of a value.

use super::{Absent, Key, Kind, SECOND, ZONES, key};

pub(super) const KEYS: &[Key] = &[
    key("mqtt.host", Kind::Text, Absent::Unset("MQTT is off"), "Host name or address of the broker."),
    key("mqtt.port", Kind::Int { min: 1, max: 65_535 }, Absent::Unset("1883, with TLS 8883"), "Port of the broker."),
    key(
        "mqtt.fallback",
        Kind::Texts,
        Absent::Texts(&[]),
        "Up to 7 more brokers, `HOST` or `HOST:PORT`, tried in this order when `mqtt.host` fails; the port is that of `mqtt.host` \
         unless named. All other settings hold for each.",
    ),
    key(
        "mqtt.return_after_s",
        Kind::Int { min: 0, max: 24 * 3600 },
        Absent::Int(300),
        "How long a connection to a broker of `mqtt.fallback` stands before `mqtt.host` is looked for again, and gone back to when it \
         answers. 0 stays until the connection ends.",
    ),
    key(
        "mqtt.protocol",
        Kind::Word(&["5", "3.1.1"]),
        Absent::Text("5"),
        "Protocol version of the connection. JSON bodies are taken on either.",
    ),
    key(
        "mqtt.prefix",
        Kind::Text,
        Absent::Text(edge_wire::names::TOPIC_PREFIX),
        "First part of every topic; may hold slashes, no wildcards.",
    ),
    key(
        "mqtt.group",
        Kind::Name,
        Absent::Unset("no shared subscription"),
        "Group of boxes among which the broker spreads requests.",
    ),
    key(
        "mqtt.client_id",
        Kind::Text,
        Absent::Unset("`edged-`, the node, a part of the machine id"),
        "Client id; must differ between boxes.",
    ),
    key("mqtt.keep_alive_s", Kind::Int { min: 5, max: 3600 }, Absent::Int(30), "Keep-alive of the connection."),
    key("mqtt.username", Kind::Text, Absent::Unset("no name"), "User name at the broker."),
    key(
        "mqtt.password_file",
        Kind::Path,
        Absent::Unset("no password"),
        "File that holds the password; a bare name is a systemd credential (`$CREDENTIALS_DIRECTORY`).",
    ),
    key(
        "mqtt.zone",
        Kind::Word(ZONES),
        Absent::Unset("`device` for a loopback address, else `premises`"),
        "Where the broker is. It sees every payload, so this zone counts as reached.",
    ),
    key(
        "mqtt.reply_allow",
        Kind::Texts,
        Absent::Texts(&[]),
        "Topic filters that reply topics may match, besides any topic under the prefix that is no request topic.",
    ),
    key(
        "mqtt.max_request_kib",
        Kind::Int { min: 1, max: 262_144 },
        Absent::Int(16_384),
        "Largest request; above it the answer is `too_large`.",
    ),
    key(
        "mqtt.max_packet_kib",
        Kind::Int { min: 2, max: 262_144 },
        Absent::Int(65_536),
        "Largest packet that is received at all; above `max_request_kib`.",
    ),
    key(
        "mqtt.journal_after_ms",
        Kind::Int { min: 0, max: 60 * SECOND },
        Absent::Int(50),
        "A request unsettled for this long is written to the journal and acknowledged, so that nothing behind it waits.",
    ),
    key(
        "mqtt.journal_max_rows",
        Kind::Int { min: 1, max: 1_000_000 },
        Absent::Int(10_000),
        "Requests that the journal holds at most.",
    ),
    key(
        "mqtt.journal_max_mib",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(256),
        "Bytes that the journal holds at most.",
    ),
    key(
        "mqtt.max_replies_waiting",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(1024),
        "Replies that wait for the broker at most.",
    ),
    key(
        "mqtt.max_inflight",
        Kind::Int { min: 1, max: 65_535 },
        Absent::Int(256),
        "Requests received and not yet acknowledged, at most.",
    ),
    key(
        "mqtt.max_inflight_mib",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(64),
        "Payloads of requests that are not yet answered, all together; a single larger one is taken when it is alone.",
    ),
    key(
        "mqtt.outbox_max_rows",
        Kind::Int { min: 100, max: 10_000_000 },
        Absent::Int(100_000),
        "Results and events that wait for the broker at most; beyond, the oldest of the lowest priority goes.",
    ),
    key(
        "mqtt.outbox_max_mib",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(64),
        "Bytes of them; beyond, the oldest of the lowest priority goes.",
    ),
    key(
        "mqtt.outbox_max_age_s",
        Kind::Int { min: 10, max: 366 * 86_400 },
        Absent::Int(7 * 86_400),
        "How long one of them waits at most.",
    ),
    key(
        "mqtt.outbox_commit_ms",
        Kind::Int { min: 10, max: 60 * SECOND },
        Absent::Int(SECOND),
        "While there is no broker, what was made within this time is written to the disk together: longer wears the disk less, and a power failure loses more of what no sender keeps.",
    ),
    key(
        "mqtt.home_assistant",
        Kind::Word(&["off", "on", "remove"]),
        Absent::Text("off"),
        "Whether Home Assistant is told of this box, its models, readings and the flat results of its bindings, so that it makes entities of them; `remove` takes back what was told before.",
    ),
    key("mqtt.home_assistant_prefix", Kind::Text, Absent::Text("homeassistant"), "Discovery prefix of Home Assistant."),
    key(
        "mqtt.tls.ca",
        Kind::Path,
        Absent::Unset("no TLS"),
        "PEM file of the authority that signed the broker's certificate; its presence turns TLS on.",
    ),
    key(
        "mqtt.tls.pin",
        Kind::Texts,
        Absent::Texts(&[]),
        "Keys that the broker's certificate may have, each `sha256/` and the base64 of the SHA-256 of its public key \
         (SubjectPublicKeyInfo). With `mqtt.tls.ca` besides what that asks for; without, such a key is all that is asked for. Turns TLS on.",
    ),
    key(
        "mqtt.tls.client_cert",
        Kind::Path,
        Absent::Unset("no client certificate"),
        "PEM file of the client's certificate chain.",
    ),
    key(
        "mqtt.tls.client_key",
        Kind::Path,
        Absent::Unset("no client certificate"),
        "PEM file of the client's private key; a bare name is a systemd credential.",
    ),
];
