//! What is said of ONNX Runtimes that were installed from wheels. The records cross from the daemon's binary to
//! `edgectl runtime ...`, and to its `--json`.

use serde::{Deserialize, Serialize};

/// Whether an execution provider of a runtime works on this box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderTrial {
    /// Short name, for example `cuda`.
    pub name: String,
    /// It registered in an engine host when the runtime was installed.
    pub registers: bool,
    /// Why it does not; empty otherwise.
    pub why: String,
}

/// A runtime that lies on this box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstalledRuntime {
    /// Name of its directory: version and the first digits of the wheel's digest.
    pub id: String,
    /// As the library says.
    pub version: String,
    /// Its directory.
    pub path: String,
    /// Bytes of its libraries.
    pub bytes: u64,
    /// File name of the wheel that it came in.
    pub wheel: String,
    /// SHA-256 of that wheel.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub installed_at: String,
    /// Providers that are compiled into it.
    pub providers: Vec<ProviderTrial>,
    /// The daemon uses it, or will at its next start.
    pub current: bool,
    /// `edgectl runtime rollback` goes back to it.
    pub previous: bool,
}

/// All runtimes of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtimes {
    /// Where they are installed.
    pub dir: String,
    /// The installed ones, in the order of their names.
    pub installed: Vec<InstalledRuntime>,
    /// Library that serves when no installed one is current: the package's, or one of a Python wheel; empty if there is none.
    pub otherwise: String,
    /// What the configuration names instead (`engine.library`), so that no installed one is looked at; empty if it names none.
    pub configured: String,
}

/// What came of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installed {
    /// The runtime.
    pub runtime: InstalledRuntime,
    /// It was not there before.
    pub fresh: bool,
    /// What somebody should know, one line each.
    pub remarks: Vec<String>,
}

/// Which runtime is current now, and which was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switched {
    /// The current one; empty for the package's.
    pub current: String,
    /// The one that can be gone back to; empty for the package's.
    pub previous: String,
    /// What was the current one.
    pub was_current: String,
    /// What could be gone back to.
    pub was_previous: String,
}

/// Runtimes that were taken off the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// Their names.
    pub removed: Vec<String>,
    /// What could not be removed, and why.
    pub faults: Vec<String>,
}

/// What `edgectl runtime install`, `rollback` and `remove` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeChange {
    /// `installed`, `checked`, `already_current`, `rolled_back`, `taken_back` or `removed`.
    pub outcome: String,
    /// The runtime that it is about; empty for the package's.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its providers.
    pub providers: Vec<ProviderTrial>,
    /// The current one now; empty for the package's.
    pub current: String,
    /// The version that the daemon serves with now; empty if none runs.
    pub serving: String,
    /// Models that were loaded again, and gave their golden answers where they have such.
    pub models_ready: Vec<String>,
    /// Runtimes that were removed.
    pub removed: Vec<String>,
    /// What somebody should know, one line each.
    pub remarks: Vec<String>,
    /// Why it was taken back; empty otherwise.
    pub reason: String,
}
