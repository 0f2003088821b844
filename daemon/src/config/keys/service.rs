//! The keys of the service itself: its name and bus, `[limits]` of callers, `[http]`, `[governor]`, `[telemetry]`, `[cache]` and
//! `[paths]`. Must not know what becomes of a value.

use super::{Absent, HOUR, Key, Kind, SECOND, key, live};

/// Those that the reference begins with.
pub(super) const FIRST: &[Key] = &[
    key("node", Kind::Name, Absent::Unset("the host name"), "Name of this box in topics and status."),
    key(
        "bus.kind",
        Kind::Word(&["system", "session"]),
        Absent::Text("system"),
        "Which bus to serve on; `edged --session` overrides it.",
    ),
];

pub(super) const KEYS: &[Key] = &[
    key(
        "limits.max_inline_kib",
        Kind::Int { min: 1, max: 16_384 },
        Absent::Int(1024),
        "Largest inline payload of one `Infer`, all tensors together; larger ones go by descriptor.",
    ),
    key("limits.max_payload_mib", Kind::Int { min: 1, max: 4096 }, Absent::Int(64), "Largest payload in a descriptor."),
    key(
        "limits.max_calls",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(1024),
        "Calls of one bus connection that may be open at once.",
    ),
    key(
        "limits.max_submitted",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(256),
        "Requests of `Submit` that one caller may have open at once; as many objects of ended ones are kept for it.",
    ),
    key(
        "limits.max_peers",
        Kind::Int { min: 1, max: 1024 },
        Absent::Int(64),
        "Private connections of `Connect` that one user may have at once.",
    ),
    key(
        "http.socket",
        Kind::Bool,
        Absent::Bool(true),
        "Serve HTTP on the socket `api.sock` of `paths.runtime_dir`: `/metrics`, `/v2/health/live`, `/v2/health/ready`. Any local user may read these.",
    ),
    key(
        "http.port",
        Kind::Int { min: 1, max: 65_535 },
        Absent::Unset("no port"),
        "Serve the same on this port of 127.0.0.1, for programs that cannot use a socket: then any program of this box can read it, whoever runs it. Never on another address.",
    ),
    key(
        "http.max_connections",
        Kind::Int { min: 4, max: 4096 },
        Absent::Int(64),
        "HTTP connections that may be open at once. One user, or all that come by the port together, may have half of them; one connection more is answered 503 and closed.",
    ),
    live(
        "governor.margin_c",
        Kind::Number { min: 0.3, max: 20.0 },
        Absent::Number(0.7),
        "Distance from the temperature at which the machine slows itself down that the governor keeps, beside what its predictions are wrong by; kelvin.",
    ),
    live(
        "governor.max_power_w",
        Kind::Number { min: 1.0, max: 10_000.0 },
        Absent::Unset("no bound"),
        "Power that the box may take, by its power rail; without a rail the key does nothing.",
    ),
    live(
        "governor.slow_factor",
        Kind::Number { min: 1.1, max: 10.0 },
        Absent::Number(1.5),
        "A model is slow when its runs take this many times as long as its measured plan says.",
    ),
    key(
        "governor.power_mode",
        Kind::Text,
        Absent::Unset("the power mode is left as it is"),
        "Power mode by its name, such as `25W` or `MAXN`, that edged asks for at its start with `nvpmodel` and puts back when it ends. Nothing else of clocks, fans and modes is ever changed.",
    ),
    key(
        "telemetry.interval_ms",
        Kind::Int { min: 500, max: HOUR },
        Absent::Int(5 * SECOND),
        "How often readings are published; they are taken every second.",
    ),
    key(
        "cache.dir",
        Kind::Path,
        Absent::Text(edge_wire::names::CACHE_DIR),
        "Where what execution providers compiled is kept, so that the next start need not compile it again (`openvino`, `tensorrt`, `tensorrt-rtx`), and what was measured. May be emptied at any time.",
    ),
    key(
        "cache.max_mib",
        Kind::Int { min: 16, max: 1 << 20 },
        Absent::Int(2048),
        "Most that compiled engines take on disk. What was used longest ago goes first; what is in use stays.",
    ),
    key(
        "paths.state_dir",
        Kind::Path,
        Absent::Text(edge_wire::names::STATE_DIR),
        "Bundles and the journal; must survive a power cut.",
    ),
    key(
        "paths.runtime_dir",
        Kind::Path,
        Absent::Text(edge_wire::names::RUNTIME_DIR),
        "Files that must survive a crash of the daemon but not a power cut.",
    ),
];
