//! The way into the methods that are not inference: who calls, whether it may, and a place for the call.

use std::sync::Arc;

use edge_wire::dto::Status;
use zbus::message::Header;

use super::authorize::Access;
use super::client::{Clients, Place};
use super::service::Service;
use crate::request::Failure;

/// Shared by the interfaces of one connection.
#[derive(Clone, Debug)]
pub struct Door {
    pub service: Arc<Service>,
    pub clients: Arc<Clients>,
}

impl Door {
    /// Lets a call in, and holds a place for it. Reads cost the bus no question about the caller.
    pub async fn open(&self, header: &Header<'_>, access: Access<'_>) -> Result<Place, Failure> {
        if matches!(access, Access::Read) {
            return self.clients.reading(header);
        }
        let client = self.clients.sender(header)?;
        let place = client.open_call()?;
        let known = self.clients.know(&client, header).await?;
        self.service.authority.check(&known.identity, access).await?;
        Ok(Place::Call(place))
    }

    /// Lets a change in, and says who makes it: for the history.
    pub async fn change(&self, header: &Header<'_>, action: &'static str) -> Result<(Place, String), Failure> {
        let place = self.open(header, Access::Change { action, call: header }).await?;
        let who = match self.clients.sender(header)?.known() {
            Some(known) => known.caller.to_string(),
            None => "bus".into(),
        };
        Ok((place, who))
    }

    /// The state as last published.
    pub fn status(&self) -> Arc<Status> {
        self.service.handle.status()
    }
}
