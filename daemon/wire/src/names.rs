//! Names that outside programs depend on; each string stands once in the repository.

/// Well-known bus name.
pub const BUS_NAME: &str = "org.edged.Edge1";
/// Root object.
pub const ROOT_PATH: &str = "/org/edged/Edge1";
/// Objects of models stand below this.
pub const MODELS_PATH: &str = "/org/edged/Edge1/models";
/// Objects of jobs stand below this.
pub const JOBS_PATH: &str = "/org/edged/Edge1/jobs";
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
/// Interface of one job.
pub const JOB: &str = "org.edged.Edge1.Job";
/// Interface of one submitted request.
pub const REQUEST: &str = "org.edged.Edge1.Request";
/// Interface of readings.
pub const TELEMETRY: &str = "org.edged.Edge1.Telemetry";

/// Interface of where requests go, and why.
pub const ROUTING: &str = "org.edged.Edge1.Routing";

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
/// Folder of bundles that are dropped to be installed, unless set.
pub const INBOX_DIR: &str = "/var/lib/edged/inbox";
/// State: bundles, ledger, journal.
pub const STATE_DIR: &str = "/var/lib/edged";
/// Cache: compiled engines, plans.
pub const CACHE_DIR: &str = "/var/cache/edged";
/// Runtime files.
pub const RUNTIME_DIR: &str = "/run/edged";
/// Name of the local HTTP socket among the runtime files.
pub const API_SOCKET: &str = "api.sock";
/// Group that may infer.
pub const INFER_GROUP: &str = "edge";
/// Environment variable by which `edgectl` picks the bus: `session` or `system`.
pub const BUS_ENV: &str = "EDGED_BUS";

/// What polkit is asked about: an action for each change, so that its dialogue says which, and a rule may allow one alone.
pub mod action {
    /// Take no new requests.
    pub const DRAIN: &str = "org.edged.edge1.drain";
    /// Take requests again.
    pub const RESUME: &str = "org.edged.edge1.resume";
    /// Take over a changed configuration.
    pub const RELOAD: &str = "org.edged.edge1.reload";
    /// Reserve the device.
    pub const HOLD: &str = "org.edged.edge1.hold";
    /// Load a model.
    pub const LOAD: &str = "org.edged.edge1.load";
    /// Unload a model.
    pub const UNLOAD: &str = "org.edged.edge1.unload";
    /// Measure a model.
    pub const TUNE: &str = "org.edged.edge1.tune";
    /// Install a version that lies on the box.
    pub const INSTALL: &str = "org.edged.edge1.install";
    /// Fetch a version and install it.
    pub const PULL: &str = "org.edged.edge1.pull";
    /// Bring the models to what the fleet's list says.
    pub const SYNC: &str = "org.edged.edge1.sync";
    /// Serve another version.
    pub const ACTIVATE: &str = "org.edged.edge1.activate";
    /// Serve the version before.
    pub const ROLLBACK: &str = "org.edged.edge1.rollback";
    /// Remove a version.
    pub const REMOVE: &str = "org.edged.edge1.remove";
    /// Give up a job.
    pub const CANCEL: &str = "org.edged.edge1.cancel";
    /// Write what was compiled and measured to a file.
    pub const EXPORT_CACHE: &str = "org.edged.edge1.export-cache";
    /// Take over what another box compiled and measured.
    pub const IMPORT_CACHE: &str = "org.edged.edge1.import-cache";
    /// Forget what was compiled.
    pub const CLEAR_CACHE: &str = "org.edged.edge1.clear-cache";

    /// Whoever may do this may do all that concerns the daemon as a whole.
    pub const MANAGE: &str = "org.edged.edge1.manage";
    /// What [`MANAGE`] implies.
    pub const MANAGING: [&str; 4] = [DRAIN, RESUME, RELOAD, HOLD];
    /// Whoever may do this may do all that concerns models, and give up the jobs that this takes.
    pub const MODELS: &str = "org.edged.edge1.models";
    /// What [`MODELS`] implies.
    pub const OF_MODELS: [&str; 13] = [
        LOAD,
        UNLOAD,
        TUNE,
        INSTALL,
        PULL,
        SYNC,
        ACTIVATE,
        ROLLBACK,
        REMOVE,
        CANCEL,
        EXPORT_CACHE,
        IMPORT_CACHE,
        CLEAR_CACHE,
    ];
}

/// Version of the bus interfaces; grows with each addition, so that a client can tell what is there.
pub const INTERFACE_VERSION: u32 = 1;

/// The object path of a version of a model. Characters that a path may not hold become `_` and their code in
/// hexadecimal, so that no two models share a path.
pub fn model_path(name: &str, version: &str) -> String {
    let mut path = String::from(MODELS_PATH);
    for element in [name, version] {
        path.push('/');
        if element.is_empty() {
            path.push('_');
        }
        for byte in element.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(char::from(byte)),
                other => path.push_str(&format!("_{other:02x}")),
            }
        }
    }
    path
}

/// The object path of a job.
pub fn job_path(id: u64) -> String {
    format!("{JOBS_PATH}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_different_names_have_different_valid_paths() {
        assert_eq!(model_path("text-line", "1.0.0"), "/org/edged/Edge1/models/text_2dline/1_2e0_2e0");
        let models = [("a_b", "1"), ("a-b", "1"), ("a", "b_1"), ("", "1"), ("_", "1"), ("a", "")];
        let paths: std::collections::BTreeSet<_> =
            models.iter().map(|(name, version)| model_path(name, version)).collect();
        assert_eq!(paths.len(), models.len());
        for path in paths {
            zbus::ObjectPath::try_from(path.as_str()).unwrap();
        }
    }
}
