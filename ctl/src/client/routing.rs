//! What the daemon says of where requests go: calls that only look.

use std::os::fd::OwnedFd;
use std::time::Duration;

use edge_wire::proxy::RoutingProxy;
use edge_wire::sites::{AuditEntry, Explanation, Replay, RoutingStatus, UsageRow};
use serde::Deserialize;
use zbus::proxy::CacheProperties;

use super::{CALL_LIMIT, Client, Options, parse};
use crate::failure::Failure;

/// Time limit of a replay: a hundred thousand decisions are read and made anew.
const REPLAY_LIMIT: Duration = Duration::from_secs(120);

impl Client {
    /// Other sites, from a daemon that knows of such.
    pub async fn routing(&self) -> Result<RoutingStatus, Failure> {
        #[derive(Deserialize)]
        struct Described {
            #[serde(default)]
            version: String,
            routing: Option<RoutingStatus>,
        }
        let Described { version, routing } = parse(&self.described().await?, "Describe")?;
        let too_old = || Failure::Mismatch { what: format!("edged {version} does not know of other sites") };
        routing.ok_or_else(too_old)
    }

    /// What would become of such a request.
    pub async fn explain(&self, model: &str, profile: &Options<'_>) -> Result<Explanation, Failure> {
        let mut told = self.call(CALL_LIMIT, async { self.router().await?.explain(model, profile).await }).await?;
        let json = told.remove("json").and_then(|json| String::try_from(json).ok());
        let missing = || Failure::Mismatch { what: "read the answer of Explain: it has no text `json`".into() };
        parse(&json.ok_or_else(missing)?, "Explain")
    }

    /// What left the device, the newest first.
    pub async fn audit(&self, options: &Options<'_>) -> Result<Vec<AuditEntry>, Failure> {
        let text = self.call(CALL_LIMIT, async { self.router().await?.audit(options).await }).await?;
        parse(&text, "Audit")
    }

    /// What was served.
    pub async fn usage(&self, options: &Options<'_>) -> Result<Vec<UsageRow>, Failure> {
        let text = self.call(CALL_LIMIT, async { self.router().await?.usage(options).await }).await?;
        parse(&text, "Usage")
    }

    /// What another policy would have made of the recorded decisions.
    pub async fn replay(&self, policy: OwnedFd, options: &Options<'_>) -> Result<Replay, Failure> {
        let policy = zbus::OwnedFd::from(policy);
        let ask = async { self.router().await?.replay(policy.into(), options).await };
        parse(&self.call(REPLAY_LIMIT, ask).await?, "Replay")
    }

    async fn router(&self) -> zbus::Result<RoutingProxy<'static>> {
        RoutingProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await
    }
}
