//! Every key of the configuration, once: its place, kind, range, default and meaning. Validation and the printed
//! reference both read this table, so that neither can say what the other does not do.

use edge_core::Demands;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within these bounds, in the unit of the key's suffix.
    Int {
        min: i64,
        max: i64,
    },
    /// A number within these bounds.
    Number {
        min: f64,
        max: f64,
    },
    Bool,
    /// Text of 1 to 255 characters.
    Text,
    /// A name that fits into one level of a topic.
    Name,
    /// Path of a file or directory.
    Path,
    /// The same, or an empty text for none.
    PathOrNone,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of text.
    Texts,
    /// A list of some of these words.
    Words(&'static [&'static str]),
    /// A table: to each name a text.
    TextByName,
    /// A table: to each name a list of texts.
    TextsByName,
    /// A table: to each name one of these words.
    WordByName(&'static [&'static str]),
    /// A whole number within these bounds, or one of these words.
    IntOrWord {
        min: i64,
        max: i64,
        words: &'static [&'static str],
    },
    /// true, false, or this word.
    BoolOrWord(&'static str),
    /// true, false, or a list of text.
    BoolOrTexts,
    /// A day.
    Date,
    /// The two letters of a country.
    Country,
    /// A list of them, at most as many as a policy may demand.
    Countries,
}

/// What holds when the key is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Absent {
    Int(i64),
    Number(f64),
    Bool(bool),
    Text(&'static str),
    Texts(&'static [&'static str]),
    /// Nothing; the text says what happens then.
    Unset(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path, for example `policy.lanes`.
    pub path: &'static str,
    pub kind: Kind,
    pub absent: Absent,
    pub meaning: &'static str,
    /// Taken over by a reload (SIGHUP, `edgectl reload`); the others need a restart.
    pub reload: bool,
}

pub(super) const fn key(path: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { path, kind, absent, meaning, reload: false }
}

pub(super) const fn live(path: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { path, kind, absent, meaning, reload: true }
}

/// Tables that may stand many times, each with a name: `[[site]]`, `[[rule]]`.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub name: &'static str,
    /// Paths are those within one of the tables.
    pub keys: &'static [Key],
    /// How many there may be, all files together.
    pub most: usize,
    pub meaning: &'static str,
    /// One of each, for people.
    pub example: &'static str,
}

/// All of them.
pub const GROUPS: [&Group; 2] = [&super::sites::GROUP, &super::rules::GROUP];

/// Longest [`Kind::Name`].
pub const NAME_LIMIT: usize = 64;

pub(super) const CLASSES: &[&str] = &["regulated", "internal", "public"];
/// Execution providers that the engine host can ask for: the words that manifests take.
const PROVIDERS: &[&str] = &["cpu", "cuda", "tensorrt", "tensorrt-rtx", "openvino"];
/// Zones, from near to far.
pub(super) const ZONES: &[&str] = &["device", "premises", "region", "cloud"];
/// What is sought among places that are all in time.
pub(super) const OBJECTIVES: &[&str] = &["cheapest_within_slo", "fastest_within_budget"];
/// What may be tried next.
const STEPS: &[&str] = &["site", "here", "wait"];
pub(super) const SECOND: i64 = 1000;
pub(super) const HOUR: i64 = 3600 * SECOND;

/// The table, in the order of the reference.
pub const KEYS: &[Key] = &[
    key("node", Kind::Name, Absent::Unset("the host name"), "Name of this box in topics and status."),
    key(
        "bus.kind",
        Kind::Word(&["system", "session"]),
        Absent::Text("system"),
        "Which bus to serve on; `edged --session` overrides it.",
    ),
    key(
        "engine.library",
        Kind::Path,
        Absent::Unset("searched: `ORT_DYLIB_PATH`, `/usr/lib/edged/onnxruntime`, an installed Python wheel"),
        "The ONNX Runtime library, or the directory that holds it.",
    ),
    key(
        "engine.providers",
        Kind::Words(PROVIDERS),
        Absent::Texts(PROVIDERS),
        "Execution providers that models may use. One that is named here, that a model could use, and that does not work on this box is a problem that status shows; without this key it is only told of.",
    ),
    key(
        "engine.providers_dir",
        Kind::Path,
        Absent::Text("/usr/lib/edged/providers"),
        "Directory of execution providers that come as libraries of their own: `openvino/libonnxruntime_providers_openvino_plugin.so` and the like, in a directory of the provider's name.",
    ),
    key(
        "engine.device",
        Kind::Int { min: 0, max: 15 },
        Absent::Int(0),
        "Which of a provider's devices, counted from 0, where it knows several (`cuda`, `tensorrt`).",
    ),
    key(
        "engine.device_memory_mib",
        Kind::Int { min: 16, max: 1 << 20 },
        Absent::Unset("no limit"),
        "Most memory of the device that the arena of one session takes (`cuda`).",
    ),
    key(
        "engine.workspace_mib",
        Kind::Int { min: 16, max: 65_536 },
        Absent::Unset("512"),
        "Most memory that building an engine takes for a while (`tensorrt`, `tensorrt-rtx`).",
    ),
    key(
        "engine.memory_mib",
        Kind::Int { min: 1, max: 1 << 20 },
        Absent::Unset("no limit of their own"),
        "Most memory that the models of all engine hosts take together, by what each took when it was loaded. A model that does not fit is loaded in the place of those that nobody uses, or not at all.",
    ),
    key(
        "engine.memory_reserve_mib",
        Kind::Int { min: 0, max: 1 << 20 },
        Absent::Int(256),
        "Memory that loading a model leaves free, on the machine and in the service's control group: runs need some of it for a while.",
    ),
    key(
        "engine.dla_core",
        Kind::Int { min: 0, max: 1 },
        Absent::Unset("none"),
        "Which deep learning accelerator of an Orin runs what it can, instead of the graphics processor (`tensorrt`).",
    ),
    key(
        "models.dirs",
        Kind::Texts,
        Absent::Texts(&["/var/lib/edged/bundles", "/usr/share/edged/bundles"]),
        "Directories whose subdirectories are bundles. A bundle in an earlier directory wins over one of the same name and version in a later one.",
    ),
    key(
        "models.allow_unsigned",
        Kind::Bool,
        Absent::Bool(false),
        "Load bundles without `model.toml.minisig`. A bundle that carries a wrong signature is never loaded.",
    ),
    key(
        "models.pinned",
        Kind::Texts,
        Absent::Texts(&[]),
        "Models that are never unloaded to make room for another one: names, or `NAME:VERSION`.",
    ),
    key(
        "models.idle_unload_s",
        Kind::Int { min: 0, max: 30 * 24 * 3600 },
        Absent::Int(0),
        "A model that nobody asked for so long is unloaded; the next request loads it again. 0: only when another one needs the room.",
    ),
    key(
        "models.tune",
        Kind::Word(&["idle", "on-request"]),
        Absent::Text("idle"),
        "When a model is measured on this box, to find the fastest way to run it: once, while nobody asks for anything, or only by `edgectl models tune`.",
    ),
    live(
        "models.objective",
        Kind::Word(&["latency", "throughput", "efficiency"]),
        Absent::Text("throughput"),
        "What the plan that a model is served by is best at: one request alone is answered soonest, most requests are answered, or least energy is used (needs a power rail).",
    ),
    key(
        "models.keys_dir",
        Kind::Path,
        Absent::Text(edge_wire::names::KEYS_DIR),
        "Directory of trusted minisign public keys (`*.pub`). `keys.toml` there may say which of them are revoked, and until when they hold.",
    ),
    key(
        "models.inbox",
        Kind::PathOrNone,
        Absent::Text(edge_wire::names::INBOX_DIR),
        "Folder in which files `NAME-VERSION.edgemodel` are dropped: each is installed and goes; one that is refused is renamed to `*.refused`, with the reason in `*.refused.txt`. It is looked into at the start, at `edgectl reload`, and every few seconds. Copy a file there under another name and rename it, or let it be: one that grows is waited for.",
    ),
    key(
        "models.quota_mib",
        Kind::Int { min: 1, max: 1 << 24 },
        Absent::Int(32_768),
        "Most that installed bundles take together on disk: the first of `models.dirs`.",
    ),
    key(
        "models.disk_reserve_mib",
        Kind::Int { min: 0, max: 1 << 24 },
        Absent::Int(512),
        "What installing leaves free on that disk.",
    ),
    key(
        "models.probation_s",
        Kind::Int { min: 0, max: 7 * 24 * 3600 },
        Absent::Int(600),
        "How long a version that was just activated is watched: if it fails, is slow or stops giving its golden answers, the version before it is taken back. 0: not at all.",
    ),
    key(
        "models.probation_requests",
        Kind::Int { min: 0, max: 1_000_000 },
        Absent::Int(100),
        "Requests that it must have answered by then; it is watched on until it has.",
    ),
    key(
        "pull.max_rate_kib_s",
        Kind::Int { min: 1, max: 1 << 30 },
        Absent::Unset("no limit"),
        "Most that pulling a bundle takes of the network, KiB per second.",
    ),
    key(
        "pull.windows",
        Kind::Texts,
        Absent::Texts(&[]),
        "When bundles are pulled: spans of the day such as `22:00-05:30`, in the local time of the box, whatever summer time makes of it (a changed time zone holds after a restart). Outside of them a pull waits, and goes on where it was. Empty: at any time.",
    ),
    key(
        "pull.metered",
        Kind::Word(&["allow", "wait"]),
        Absent::Text("allow"),
        "Whether bundles are pulled while NetworkManager says that the network is metered. Without NetworkManager nobody knows, and they are.",
    ),
    key(
        "pull.proxy",
        Kind::Text,
        Absent::Unset("none; the environment is not asked"),
        "Proxy for pulling, `http://HOST:PORT`. Its user and password come from `pull.credentials` under that `HOST:PORT`.",
    ),
    key(
        "pull.no_proxy",
        Kind::Texts,
        Absent::Texts(&[]),
        "Hosts, domains and networks that are asked without the proxy, for example the plant's registry. This box itself always is.",
    ),
    key(
        "pull.ca",
        Kind::Path,
        Absent::Unset("only the authorities of the box"),
        "PEM file of authorities that servers may be signed by, besides those of the box.",
    ),
    key(
        "pull.credentials",
        Kind::TextByName,
        Absent::Unset("none"),
        "To a host (`HOST` or `HOST:PORT`) the file with `USER:PASSWORD` or `Bearer TOKEN`; a bare name is a systemd credential: `\"registry.plant:5000\" = \"registry-token\"`.",
    ),
    key(
        "pull.mirrors",
        Kind::TextsByName,
        Absent::Unset("none"),
        "To a host the addresses that are asked in its place, in this order; the word `origin` stands for the host itself, which is asked last without it: `\"models.example\" = [\"https://mirror.plant/models\", \"origin\"]`.",
    ),
    key(
        "pull.max_waiting",
        Kind::Int { min: 0, max: 64 },
        Absent::Int(15),
        "Pulls that wait while one runs; one more is `overloaded`.",
    ),
    key(
        "pull.stall_s",
        Kind::Int { min: 1, max: 3600 },
        Absent::Int(30),
        "A server that says nothing for so long is asked again.",
    ),
    key(
        "pull.give_up_after_s",
        Kind::Int { min: 1, max: 30 * 24 * 3600 },
        Absent::Int(6 * 3600),
        "A pull that got nothing new for so long is given up; time outside of `pull.windows` does not count.",
    ),
    key(
        "fleet.dir",
        Kind::Path,
        Absent::Text("/etc/edged/models.d"),
        "Directory of lists (`*.toml`) that name the versions of models which this box is to have; it fetches, installs and activates them by itself. They are read at the start, at `edgectl models sync` and every `fleet.every_s`.",
    ),
    key(
        "fleet.url",
        Kind::Text,
        Absent::Unset("none"),
        "Address of such a list for many boxes, `https://HOST/PATH/LIST.toml`; its minisign signature is fetched from the same address with `.minisig` at its end, and must be by a key of `models.keys_dir`. What the files of `fleet.dir` say of a model goes before it.",
    ),
    key(
        "fleet.channel",
        Kind::Name,
        Absent::Unset("none: only entries without a channel"),
        "Channel that this box follows: entries of lists for it go before those without one.",
    ),
    key(
        "fleet.every_s",
        Kind::Int { min: 10, max: 7 * 24 * 3600 },
        Absent::Int(300),
        "How often the lists are read again.",
    ),
    live(
        "policy.default_deadline_ms",
        Kind::Int { min: 1, max: HOUR },
        Absent::Int(5 * SECOND),
        "Deadline of requests that name none and whose model has none.",
    ),
    live(
        "policy.max_deadline_ms",
        Kind::Int { min: 1, max: 24 * HOUR },
        Absent::Int(600 * SECOND),
        "The longest deadline a request may ask for.",
    ),
    live(
        "policy.max_waiting",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(1024),
        "Places for requests that wait, all models together.",
    ),
    live(
        "policy.max_waiting_mib",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(256),
        "Room for payloads that wait, all models together.",
    ),
    live(
        "policy.client_share",
        Kind::Number { min: 0.01, max: 1.0 },
        Absent::Number(0.5),
        "Share of places, room and predicted wait that one caller may hold, so that a flood from one never starves another.",
    ),
    live(
        "policy.lower_share",
        Kind::Number { min: 0.01, max: 0.5 },
        Absent::Number(0.1),
        "What each lower priority gets while it waits behind higher ones, as a share of their time, so that `low` is never starved.",
    ),
    live(
        "policy.max_chunk_ms",
        Kind::Int { min: 1, max: 10 * SECOND },
        Absent::Int(20),
        "How long a batch of several requests may be expected to run, and a chunk of the rows that one request brings in its tensors; a single row or encoded payload may take longer. A request of high priority waits for at most one of these.",
    ),
    live(
        "policy.lanes",
        Kind::Int { min: 1, max: 64 },
        Absent::Unset("the number of processors"),
        "Sessions that may run at the same time, all models together.",
    ),
    live(
        "policy.preparing",
        Kind::Int { min: 1, max: 16 },
        Absent::Int(2),
        "Payloads that may be decoded at the same time.",
    ),
    live(
        "policy.fan_out",
        Kind::Int { min: 1, max: 1024 },
        Absent::Int(64),
        "Requests for stages that one request for a pipeline may have open at the same time (a bundle may set fewer), and chunks of a request with many rows.",
    ),
    live(
        "policy.max_batch",
        Kind::Int { min: 1, max: 32 },
        Absent::Int(16),
        "Largest batch, whatever a manifest says.",
    ),
    live("policy.unlabelled", Kind::Word(CLASSES), Absent::Text("regulated"), "Data class of requests that name none."),
    live(
        "policy.bus_ceiling",
        Kind::Word(CLASSES),
        Absent::Text("public"),
        "Freest data class that a caller on the bus may claim; a freer claim is cut to it.",
    ),
    live(
        "policy.broker_ceiling",
        Kind::Word(CLASSES),
        Absent::Text("public"),
        "Freest data class that a source on the broker may claim; a freer claim is cut to it.",
    ),
    live(
        "policy.hang_after_ms",
        Kind::Int { min: 100, max: HOUR },
        Absent::Int(20 * SECOND),
        "A batch that runs longer than this, and longer than 20 times its estimate, counts as hung: the engine host is restarted.",
    ),
    live(
        "policy.restart_estimate_ms",
        Kind::Int { min: 1, max: 600 * SECOND },
        Absent::Int(500),
        "What a restart of the engine host is assumed to take until one was measured.",
    ),
    key(
        "policy.drain_limit_ms",
        Kind::Int { min: 100, max: HOUR },
        Absent::Int(10 * SECOND),
        "How long a stop waits for accepted requests before it ends them. The init system must wait longer: the unit's `TimeoutStopSec` is 30 s.",
    ),
    live(
        "routing.objective",
        Kind::Word(OBJECTIVES),
        Absent::Text("cheapest_within_slo"),
        "What is sought among the places that answer in time: the cheapest one (this box costs nothing), or the fastest one whose budget is not spent. A rule may say otherwise.",
    ),
    live(
        "routing.sure",
        Kind::Number { min: 0.5, max: 0.999 },
        Absent::Number(0.95),
        "A site counts as in time if this share of its answers was.",
    ),
    live(
        "routing.defer_after_ms",
        Kind::Int { min: 0, max: HOUR },
        Absent::Int(2 * SECOND),
        "A deferrable request that would wait longer than this waits on the disk.",
    ),
    live(
        "routing.defer_max_rows",
        Kind::Int { min: 0, max: 1_000_000 },
        Absent::Int(10_000),
        "Requests that wait on the disk at most. 0: none.",
    ),
    live(
        "routing.defer_max_mib",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(256),
        "Payloads that wait on the disk at most, all together.",
    ),
    live(
        "routing.defer_max_age_h",
        Kind::Int { min: 1, max: 8760 },
        Absent::Int(168),
        "How long a request may wait on the disk; one that is older is refused.",
    ),
    live(
        "routing.probe_every_s",
        Kind::Int { min: 1, max: 3600 },
        Absent::Int(30),
        "A site that nothing was sent to for so long is asked how it is.",
    ),
    live(
        "routing.audit",
        Kind::Word(&["required", "best_effort"]),
        Absent::Text("required"),
        "Whether a request may leave this box when its audit row cannot be written: never, or all the same, which status then shows.",
    ),
    live(
        "routing.audit_days",
        Kind::Int { min: 1, max: 3650 },
        Absent::Int(365),
        "How long it is kept what left this box: when, to whom, its class, why, its digest; never its content.",
    ),
    live(
        "routing.usage_days",
        Kind::Int { min: 1, max: 3650 },
        Absent::Int(90),
        "How long usage per minute, model, site and verdict is kept.",
    ),
    live(
        "routing.decisions_max_rows",
        Kind::Int { min: 0, max: 10_000_000 },
        Absent::Int(100_000),
        "Decisions that are kept for `edgectl route replay`, the latest ones. 0: none.",
    ),
    live(
        "routing.difficulty_model",
        Kind::Path,
        Absent::Unset("no text is rated"),
        "File of the learnt model that tells how likely a stronger site answers a text better; rules with `difficulty` ask it.",
    ),
    live(
        "routing.fallback.out_of_memory",
        Kind::Words(STEPS),
        Absent::Texts(&["site", "wait"]),
        "What is tried, in this order, when the model, or what it decodes, has no room in memory. `site`: the best other site; `here`: this box, if it can be in time; `wait`: the disk, if the request may be deferred. A step that is not possible is passed over; after the last the answer is no.",
    ),
    live(
        "routing.fallback.heat",
        Kind::Words(STEPS),
        Absent::Texts(&["site", "wait"]),
        "What is tried, in this order, when heat or power hold the box back, or somebody reserves it.",
    ),
    live(
        "routing.fallback.context_overflow",
        Kind::Words(STEPS),
        Absent::Texts(&["site"]),
        "What is tried, in this order, when the prompt is longer than the model here can read.",
    ),
    live(
        "routing.fallback.engine_fault",
        Kind::Words(STEPS),
        Absent::Texts(&["site"]),
        "What is tried, in this order, when the runtime failed on the request.",
    ),
    live(
        "routing.fallback.queue_full",
        Kind::Words(STEPS),
        Absent::Texts(&["site", "wait"]),
        "What is tried, in this order, when there is no room or no time here, or the model is not there.",
    ),
    live(
        "routing.fallback.site_down",
        Kind::Words(STEPS),
        Absent::Texts(&["site", "here", "wait"]),
        "What is tried, in this order, when a site did not serve what was sent to it.",
    ),
    live(
        "routing.fallback.budget_spent",
        Kind::Words(STEPS),
        Absent::Texts(&["site", "here", "wait"]),
        "What is tried, in this order, when the site that would be taken has spent its budget.",
    ),
    live(
        "detect.enabled",
        Kind::Bool,
        Absent::Bool(true),
        "Whether texts are searched for personal data before they may leave this box. What is found can only make their class stricter.",
    ),
    live(
        "detect.patterns",
        Kind::TextByName,
        Absent::Unset("none"),
        "Patterns of your own, at most 32: to each name (a to z, digits, `_`) a regular expression, without look-around and back-references: `{ badge = 'B-[0-9]{6}' }`.",
    ),
    live(
        "detect.pattern_classes",
        Kind::WordByName(CLASSES),
        Absent::Unset("`regulated` for each"),
        "To the names of `detect.patterns` the class of a text that one is found in.",
    ),
    live(
        "detect.not_text",
        Kind::Word(CLASSES),
        Absent::Unset("what the caller and the rules say holds"),
        "Freest class of what cannot be read as text: pictures, sounds, tensors of numbers.",
    ),
    live("detect.classes.card", Kind::Word(CLASSES), Absent::Text("regulated"), "Class of a text with card numbers."),
    live(
        "detect.classes.iban",
        Kind::Word(CLASSES),
        Absent::Text("regulated"),
        "Class of a text with bank accounts (IBAN).",
    ),
    live(
        "detect.classes.national_id",
        Kind::Word(CLASSES),
        Absent::Text("regulated"),
        "Class of a text with national numbers of persons.",
    ),
    live(
        "detect.classes.email",
        Kind::Word(CLASSES),
        Absent::Text("regulated"),
        "Class of a text with e-mail addresses.",
    ),
    live(
        "detect.classes.ip",
        Kind::Word(CLASSES),
        Absent::Text("internal"),
        "Class of a text with addresses of the Internet Protocol.",
    ),
    live(
        "detect.classes.phone",
        Kind::Word(CLASSES),
        Absent::Text("regulated"),
        "Class of a text with telephone numbers.",
    ),
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
    key("mqtt.host", Kind::Text, Absent::Unset("MQTT is off"), "Host name or address of the broker."),
    key("mqtt.port", Kind::Int { min: 1, max: 65_535 }, Absent::Unset("1883, with TLS 8883"), "Port of the broker."),
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
        "mqtt.tls.ca",
        Kind::Path,
        Absent::Unset("no TLS"),
        "PEM file of the authority that signed the broker's certificate; its presence turns TLS on.",
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

/// The key at `path`.
pub fn find(path: &str) -> Option<&'static Key> {
    find_in(KEYS, path)
}

/// The key at `path` of a table of keys.
pub fn find_in(keys: &'static [Key], path: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.path == path)
}

/// Whether keys lie below `path`.
pub fn is_section(keys: &[Key], path: &str) -> bool {
    keys.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known path most like `path`: the same last part, or one that begins alike.
pub fn nearest<'a>(known: impl IntoIterator<Item = &'a str>, path: &str) -> Option<&'a str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    known.into_iter().find(|known| {
        let known = known.rsplit('.').next().unwrap_or(known);
        let common = known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        known == name || common * 3 >= known.len().max(name.len()) * 2
    })
}

impl Kind {
    /// The accepted values in words.
    pub fn accepts(self) -> String {
        match self {
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Number { min, max } => format!("a number from {min} to {max}"),
            Kind::Bool => "true or false".into(),
            Kind::Text => "text of 1 to 255 characters".into(),
            Kind::Name => format!("1 to {NAME_LIMIT} letters, digits, `_`, `-` and `.`"),
            Kind::Path => "a path".into(),
            Kind::PathOrNone => "a path, or \"\" for none".into(),
            Kind::Word(words) => one_of(words),
            Kind::Texts => "a list of texts".into(),
            Kind::Words(words) => format!("a list of {}", one_of(words)),
            Kind::TextByName => "a table: to each name a text".into(),
            Kind::TextsByName => "a table: to each name a list of texts".into(),
            Kind::WordByName(words) => format!("a table: to each name {}", one_of(words)),
            Kind::IntOrWord { min, max, words } => {
                format!("a whole number from {min} to {max}, or {}", one_of(words))
            }
            Kind::BoolOrWord(word) => format!("true, false or \"{word}\""),
            Kind::BoolOrTexts => "true, false or a list of texts".into(),
            Kind::Date => "a day, YYYY-MM-DD".into(),
            Kind::Country => "two capital letters of ISO 3166-1, or \"EU\"".into(),
            Kind::Countries => {
                format!("a list of 1 to {} times two capital letters of ISO 3166-1, or \"EU\"", Demands::COUNTRIES)
            }
        }
    }
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// Whether `text` is a [`Kind::Name`].
pub fn is_name(text: &str) -> bool {
    (1..=NAME_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

impl Absent {
    fn words(self) -> String {
        match self {
            Absent::Int(value) => format!("`{value}`"),
            Absent::Number(value) => format!("`{value}`"),
            Absent::Bool(value) => format!("`{value}`"),
            Absent::Text(value) => format!("`\"{value}\"`"),
            Absent::Texts(values) => format!("`{values:?}`"),
            Absent::Unset(then) => format!("unset: {then}"),
        }
    }
}

/// The reference of all keys, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n`/etc/edged/edged.toml` is read first, then `/etc/edged/edged.toml.d/*.toml` in name order; a later \
         value of the same key wins.\nAn absent file is an empty one. `edged --check-config` and `edgectl config check` name \
         every fault at once, each with its key and\nthe accepted values. Keys marked *live* are taken over by `edgectl \
         reload` or SIGHUP; the others need a restart.\n\nThis page is printed by `edged --config-reference`.\n",
    );
    let mut section = None;
    for key in KEYS {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if section != Some(table) {
            let title = if table.is_empty() { "Top level".into() } else { format!("[{table}]") };
            out.push_str(&format!("\n## {title}\n\n{HEAD}"));
            section = Some(table);
        }
        row(&mut out, key, name);
    }
    for group in GROUPS {
        out.push_str(&format!(
            "\n## [[{}]]\n\n{}\n\n```toml\n{}```\n\n{HEAD}",
            group.name, group.meaning, group.example
        ));
        group.keys.iter().for_each(|key| row(&mut out, key, key.path));
    }
    out
}

const HEAD: &str = "| key | takes | default | meaning |\n|---|---|---|---|\n";

fn row(out: &mut String, key: &Key, name: &str) {
    let live = if key.reload { " *live*" } else { "" };
    let (takes, absent) = (key.kind.accepts(), key.absent.words());
    out.push_str(&format!("| `{name}`{live} | {takes} | {absent} | {} |\n", key.meaning));
}
