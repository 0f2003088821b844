//! Names that outside programs depend on; each string stands once in the repository.

/// Well-known bus name.
pub const BUS_NAME: &str = "org.edged.Edge1";
/// Root object.
pub const ROOT_PATH: &str = "/org/edged/Edge1";
/// Objects of models stand below this.
pub const MODELS_PATH: &str = "/org/edged/Edge1/models";
/// Objects of submitted requests stand below this.
pub const REQUESTS_PATH: &str = "/org/edged/Edge1/requests";

/// Interface of the daemon itself.
pub const MANAGER: &str = "org.edged.Edge1.Manager";
/// Interface for inference.
pub const INFERENCE: &str = "org.edged.Edge1.Inference";
/// Interface of the set of models.
pub const MODELS: &str = "org.edged.Edge1.Models";
/// Interface of one model.
pub const MODEL: &str = "org.edged.Edge1.Model";
/// Interface of one submitted request.
pub const REQUEST: &str = "org.edged.Edge1.Request";
/// Interface of readings.
pub const TELEMETRY: &str = "org.edged.Edge1.Telemetry";

/// Prefix of every D-Bus error name; the code follows in CamelCase.
pub const ERROR_PREFIX: &str = "org.edged.Edge1.Error";

/// Default topic prefix.
pub const TOPIC_PREFIX: &str = "edge";

/// Main configuration file.
pub const CONFIG_FILE: &str = "/etc/edged/edged.toml";
/// Directory of further configuration files, read in name order.
pub const CONFIG_DIR: &str = "/etc/edged/edged.toml.d";
/// Directory of trusted minisign keys.
pub const KEYS_DIR: &str = "/etc/edged/keys.d";
/// State: bundles, ledger, journal.
pub const STATE_DIR: &str = "/var/lib/edged";
/// Cache: compiled engines, plans.
pub const CACHE_DIR: &str = "/var/cache/edged";
/// Runtime files.
pub const RUNTIME_DIR: &str = "/run/edged";
/// Group that may infer.
pub const INFER_GROUP: &str = "edge";
/// Environment variable by which `edgectl` picks the bus: `session` or `system`.
pub const BUS_ENV: &str = "EDGED_BUS";
