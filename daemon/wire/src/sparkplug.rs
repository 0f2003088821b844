//! How the edge node is that this box is for SCADA hosts.

use serde::{Deserialize, Serialize};

use crate::dto::Problem;

/// The edge node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SparkplugStatus {
    /// `off`, `connecting`, `joining` (connected, not subscribed yet), `waiting` (for the primary host), `born` or `leaving`.
    pub state: String,
    /// Why it is not born; empty if it is.
    pub reason: String,
    /// Group ID.
    pub group: String,
    /// Edge Node ID.
    pub edge_node: String,
    /// Host and port of the broker.
    pub broker: String,
    /// Client id of this connection.
    pub client_id: String,
    /// Host ID of the primary host; empty without one.
    pub primary_host: String,
    /// `online`, `offline` or `unknown`; empty without one.
    pub host_state: String,
    /// Number of the connection, 0 to 255; absent before the first one.
    pub bdseq: Option<u8>,
    /// Connections made since start.
    pub connects: u64,
    /// Births of the node since start.
    pub births: u64,
    /// Births that hosts asked for.
    pub rebirths_asked: u64,
    /// What hosts may do.
    pub commands: Vec<String>,
    /// Commands of hosts that were carried out, or tried.
    pub commands_accepted: u64,
    /// Commands of hosts that were not allowed, or made no sense.
    pub commands_refused: u64,
    /// The last command and what became of it; empty before the first one.
    pub last_command: String,
    /// Results that are kept for the host.
    pub history_waiting: u64,
    /// Kept results that were told.
    pub history_told: u64,
    /// Kept results that were not told: there was no room for them, or their device is gone.
    pub history_lost: u64,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}
