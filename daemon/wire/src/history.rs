//! Who did what with the models of a box, and when.

use serde::{Deserialize, Serialize};

/// One deed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// When it ended; RFC 3339, UTC.
    pub at: String,
    /// Who: for example `bus :1.42 (uid 1000)`; `edged` for what it did by itself.
    pub who: String,
    /// `install`, `activate`, `rollback`, `remove`, `probation`.
    pub what: String,
    /// `name:version`; the name of a file where nothing else is known.
    pub model: String,
    /// `done`, `failed` or `cancelled`.
    pub result: String,
    /// Why it failed, or what else there is to say; may be empty.
    pub detail: String,
}
