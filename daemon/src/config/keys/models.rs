//! The keys of `[engine]`, `[models]`, `[pull]` and `[fleet]`: what models run on, which there are, where they come from.
//! Must not know what becomes of a value.

use super::{Absent, Key, Kind, key, live};

/// Execution providers that the engine host can ask for: the words that manifests take.
const PROVIDERS: &[&str] = &["cpu", "cuda", "tensorrt", "tensorrt-rtx", "openvino"];

pub(super) const KEYS: &[Key] = &[
    key(
        "engine.library",
        Kind::Path,
        Absent::Unset(
            "searched: `ORT_DYLIB_PATH`, what `edgectl runtime install` made the current one, `/usr/lib/edged/onnxruntime`, an installed Python wheel",
        ),
        "The ONNX Runtime library, or the directory that holds it.",
    ),
    key(
        "engine.runtimes_dir",
        Kind::Path,
        Absent::Text(edge_engine::library::INSTALLED),
        "Directory in which `edgectl runtime install` puts ONNX Runtimes, one directory each, with a link `current` to the one that is used.",
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
];
