//! The connection to the bus: made once, never made again. A daemon that loses its bus has lost its callers and its
//! name, so it says so and ends; the init system starts it anew (see [`Bus::lost`]).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use edge_wire::names::{BUS_NAME, INFER_GROUP};
use zbus::address::Address;
use zbus::connection::Builder;
use zbus::export::futures_core::Stream;
use zbus::fdo::{self, DBusProxy, RequestNameFlags};
use zbus::names::BusName;
use zbus::{Connection, MatchRule, MessageStream};

use super::authorize::{Authority, SessionAuthority, SystemAuthority};
use super::client::{BusClients, Clients};
use super::credentials::Credentials;
use super::reactor::Reactor;
use super::service::Service;
use super::{groups, objects};
use crate::config::{BusConfig, LimitsConfig};
use crate::handle::{Handle, Message};

/// How long the bus may take to let the daemon in. One that is busy takes milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the last replies may take to be written.
const LAST_REPLIES: Duration = Duration::from_secs(2);

/// Why the daemon cannot be on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("no {kind} bus at {address}; is it running, and may this user use it?")]
    Absent { kind: &'static str, address: String, source: zbus::Error },
    #[error("the {kind} bus has not answered for {} s; is it hung?", ANSWER_LIMIT.as_secs())]
    Silent { kind: &'static str },
    #[error("another edged owns {BUS_NAME} on this bus (pid {pid})")]
    NameTaken { pid: String },
    #[error("the bus does not let this user own {BUS_NAME}; its policy file names who may")]
    NameForbidden { source: zbus::Error },
    #[error("{what} on the bus")]
    Failed { what: &'static str, source: zbus::Error },
    #[error("look up the group {group}")]
    Group { group: &'static str, source: std::io::Error },
    #[error("the connection to the bus was lost")]
    Lost,
}

fn failed(what: &'static str) -> impl FnOnce(zbus::Error) -> BusError {
    move |source| BusError::Failed { what, source }
}

/// The daemon on its bus.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
    service: Arc<Service>,
}

/// Connects, puts every object up, and follows the driver's state. The name is not owned yet: see [`Bus::own_name`].
pub async fn serve(handle: Handle, bus: &BusConfig, limits: &LimitsConfig) -> Result<Bus, BusError> {
    let address = match bus {
        BusConfig::System => Address::system(),
        BusConfig::Session => Address::session(),
    };
    let unusable =
        |source| BusError::Absent { kind: kind(bus), address: "the address in the environment".into(), source };
    let served = serve_at(handle, bus, address.map_err(unusable)?, limits);
    tokio::time::timeout(ANSWER_LIMIT, served).await.map_err(|_| BusError::Silent { kind: kind(bus) })?
}

/// The same for a bus at this address; `bus` says by which rules.
pub async fn serve_at(
    handle: Handle,
    bus: &BusConfig,
    address: Address,
    limits: &LimitsConfig,
) -> Result<Bus, BusError> {
    let shown = address.to_string();
    let absent = |source| BusError::Absent { kind: kind(bus), address: shown, source };
    let connection = Builder::address(address).runtime(Reactor).build().await.map_err(absent)?;
    let proxy = DBusProxy::new(&connection).await.map_err(failed("ask the bus about itself"))?;
    let authority = authority(bus, &connection, &proxy).await?;
    let service = Service::new(handle, limits.clone(), authority);
    let clients = BusClients::new(Credentials::new(proxy), service.authority.clone(), limits.clone());
    let clients = Arc::new(Clients::Bus(clients));
    let departures = departures(&connection).await.map_err(failed("hear of callers that leave"))?;
    tokio::spawn(follow(departures, service.clone(), clients.clone()));
    let (_, shown) = objects::put_up(&connection, &service, &clients).await.map_err(failed("put objects up"))?;
    tokio::spawn(objects::keep_current(connection.clone(), service.clone(), clients, shown));
    Ok(Bus { connection, service })
}

impl Bus {
    /// Takes the well-known name, so that callers find the daemon; before it has one, nobody calls.
    pub async fn own_name(&self) -> Result<(), BusError> {
        let flags = RequestNameFlags::DO_NOT_QUEUE;
        match self.connection.request_name_with_flags(BUS_NAME, flags).await {
            Ok(_) => Ok(()),
            Err(zbus::Error::NameTaken) => Err(BusError::NameTaken { pid: self.owner().await }),
            Err(source @ zbus::Error::FDO(_)) => match &source {
                zbus::Error::FDO(error) if matches!(**error, fdo::Error::AccessDenied(_)) => {
                    Err(BusError::NameForbidden { source })
                }
                _ => Err(BusError::Failed { what: "take the name", source }),
            },
            Err(source) => Err(BusError::Failed { what: "take the name", source }),
        }
    }

    /// Returns once the connection to the bus is lost. It is not made again: every caller is gone with it, so the
    /// daemon ends with this error, and the init system starts a fresh one.
    pub async fn lost(&self) -> BusError {
        self.connection.closed().await;
        BusError::Lost
    }

    /// Gives the name up, lets replies that are on their way be written, for at most two seconds, and closes the
    /// connection. For a daemon that has drained: calls that are still open then get no reply.
    pub async fn close(self) {
        // The bus may be lost already, and then there is nothing to give up.
        let _released = self.connection.release_name(BUS_NAME).await;
        let _in_time = tokio::time::timeout(LAST_REPLIES, self.service.quiet()).await;
        let _closed = self.connection.close().await;
    }

    async fn owner(&self) -> String {
        let asked = async {
            let bus = DBusProxy::new(&self.connection).await?;
            let name = BusName::try_from(BUS_NAME)?;
            Ok::<u32, zbus::Error>(bus.get_connection_unix_process_id(name).await?)
        };
        asked.await.map_or_else(|_| "unknown".to_owned(), |pid| pid.to_string())
    }
}

fn kind(bus: &BusConfig) -> &'static str {
    match bus {
        BusConfig::System => "system",
        BusConfig::Session => "session",
    }
}

async fn authority(
    bus: &BusConfig,
    connection: &Connection,
    proxy: &DBusProxy<'_>,
) -> Result<Arc<dyn Authority>, BusError> {
    match bus {
        BusConfig::Session => {
            let name = BusName::try_from("org.freedesktop.DBus").map_err(failed("name the bus"))?;
            let owner = proxy.get_connection_unix_user(name).await;
            let owner = owner.unwrap_or_else(|_| rustix::process::geteuid().as_raw());
            Ok(Arc::new(SessionAuthority { owner }))
        }
        BusConfig::System => {
            let asked = tokio::task::spawn_blocking(|| groups::named(INFER_GROUP)).await;
            let infer_group = asked
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(|source| BusError::Group { group: INFER_GROUP, source })?;
            Ok(Arc::new(SystemAuthority { connection: connection.clone(), infer_group }))
        }
    }
}

/// Every connection that leaves the bus; one rule for all, so that a caller costs the bus nothing.
async fn departures(connection: &Connection) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(2, "")
        .build()?;
    MessageStream::for_match_rule(rule, connection, None).await
}

async fn follow(mut departures: MessageStream, service: Arc<Service>, clients: Arc<Clients>) {
    let Clients::Bus(clients) = &*clients else { return };
    while let Some(signal) = poll_fn(|context| Pin::new(&mut departures).poll_next(context)).await {
        let Ok(signal) = signal else { return };
        let body = signal.body();
        let Ok((name, _, _)) = body.deserialize::<(&str, &str, &str)>() else { continue };
        let Some(caller) = clients.forget(name) else { continue };
        if service.handle.send(Message::ClientLeft { caller }).await.is_err() {
            return;
        }
    }
}
