//! Whether a pull may go on now: the time of day, and whether the network is metered, as NetworkManager says on the system bus.
//! Where nobody can tell, it may.

use std::time::Duration;

use edge_core::pull::window::until_open;
use zbus::Connection;

use super::words::span;
use crate::config::{Metered, PullConfig};
use crate::driver::clock;

/// How often it is asked while a pull runs or waits.
pub const EVERY: Duration = Duration::from_secs(5);
/// NetworkManager answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);
const MANAGER: &str = "org.freedesktop.NetworkManager";
const MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";

/// Asks.
#[derive(Debug, Default)]
pub struct Gate {
    bus: Option<Connection>,
}

impl Gate {
    /// Why a pull may not go on, and how long it is until it may, if that is known; `None` if it may.
    pub async fn closed(&mut self, config: &PullConfig) -> Option<(String, Option<Duration>)> {
        let local = clock::local_second_of_day();
        if let Some(left) = until_open(&config.windows, local) {
            let time = format!("{:02}:{:02}", local / 3600, local / 60 % 60);
            let why = format!("waiting for a window of `pull.windows`: opens in {} (it is {time} here)", span(left));
            return Some((why, Some(left)));
        }
        if config.metered == Metered::Wait && self.is_metered().await {
            return Some(("waiting: the network is metered (`pull.metered`)".into(), None));
        }
        None
    }

    async fn is_metered(&mut self) -> bool {
        match tokio::time::timeout(PATIENCE, self.ask()).await {
            // Yes, and a guess that it is.
            Ok(Ok(word)) => matches!(word, 1 | 3),
            Ok(Err(error)) => {
                tracing::debug!(%error, "NetworkManager does not say whether the network is metered");
                self.bus = None;
                false
            }
            Err(_) => {
                self.bus = None;
                false
            }
        }
    }

    async fn ask(&mut self) -> zbus::Result<u32> {
        let bus = match &self.bus {
            Some(bus) => bus,
            None => self.bus.insert(Connection::system().await?),
        };
        let properties = Some("org.freedesktop.DBus.Properties");
        let reply = bus.call_method(Some(MANAGER), MANAGER_PATH, properties, "Get", &(MANAGER, "Metered")).await?;
        let value: zbus::OwnedVariant = reply.body().deserialize()?;
        u32::try_from(value)
    }
}
