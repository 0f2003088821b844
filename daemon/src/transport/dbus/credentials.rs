//! Who is behind a unique name, as the bus knows it: user and groups. Falls back to the user database for groups, on
//! buses that do not tell them.

use edge_wire::error::ErrorCode;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;

use super::groups;
use crate::request::Failure;

/// Asks the bus.
#[derive(Clone, Debug)]
pub struct Credentials(DBusProxy<'static>);

impl Credentials {
    /// Credentials of the callers on this connection's bus.
    pub fn new(bus: DBusProxy<'static>) -> Credentials {
        Credentials(bus)
    }

    /// User and, if they matter, groups behind a unique name.
    pub async fn of(&self, name: &str, with_groups: bool) -> Result<(u32, Vec<u32>), Failure> {
        let unknown = |why: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::NotAuthorized, format!("the bus does not say who {name} is: {why}"))
        };
        let bus_name = BusName::try_from(name).map_err(|error| unknown(&error))?;
        let told = self.0.get_connection_credentials(bus_name).await.map_err(|error| unknown(&error))?;
        let uid = told.unix_user_id().ok_or_else(|| unknown(&"no user"))?;
        match told.into_unix_group_ids() {
            _ if !with_groups => Ok((uid, Vec::new())),
            Some(groups) => Ok((uid, groups)),
            None => Ok((uid, from_database(uid).await.map_err(|error| unknown(&error))?)),
        }
    }
}

async fn from_database(uid: u32) -> std::io::Result<Vec<u32>> {
    tokio::task::spawn_blocking(move || groups::of_user(uid)).await.map_err(std::io::Error::other)?
}
