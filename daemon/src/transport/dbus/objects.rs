//! The objects of one connection: put up before its first message, and kept as the driver publishes its state.

use std::sync::Arc;

use edge_wire::dto::Status;
use edge_wire::names::ROOT_PATH;
use zbus::connection::Builder;
use zbus::fdo::ObjectManager;
use zbus::object_server::Interface;
use zbus::{Connection, OwnedObjectPath};

use super::call::Link;
use super::client::Clients;
use super::control::Manager;
use super::door::Door;
use super::inference::Inference;
use super::jobs::{self, Job};
use super::models::{self, Model, Models};
use super::routing::Routing;
use super::service::Service;
use super::telemetry::Telemetry;

/// Where objects can be put: a connection that is yet to be made, or one that nobody knows of yet.
pub trait Shelf: Sized {
    /// Puts one interface at a path.
    fn put<I: Interface>(self, path: OwnedObjectPath, interface: I) -> impl Future<Output = zbus::Result<Self>> + Send;
}

impl Shelf for Builder<'_> {
    async fn put<I: Interface>(self, path: OwnedObjectPath, interface: I) -> zbus::Result<Self> {
        Ok(self.serve_at(path, interface))
    }
}

impl Shelf for &Connection {
    async fn put<I: Interface>(self, path: OwnedObjectPath, interface: I) -> zbus::Result<Self> {
        self.object_server().at(path, interface).await?;
        Ok(self)
    }
}

/// Puts every object up, and says which state they show.
pub async fn put_up<S: Shelf>(
    shelf: S,
    service: &Arc<Service>,
    clients: &Arc<Clients>,
) -> zbus::Result<(S, Arc<Status>)> {
    let door = Door { service: service.clone(), clients: clients.clone() };
    let root = OwnedObjectPath::try_from(ROOT_PATH)?;
    let shown = door.status();
    let mut shelf = shelf
        .put(root.clone(), ObjectManager)
        .await?
        .put(root.clone(), Inference::new(Link::new(service.clone(), clients.clone())))
        .await?
        .put(root.clone(), Manager(door.clone()))
        .await?
        .put(root.clone(), Models(door.clone()))
        .await?
        .put(root.clone(), Telemetry(door.clone()))
        .await?
        .put(root, Routing(door.clone()))
        .await?;
    for model in &shown.models {
        if let Ok(path) = models::path(model) {
            shelf = shelf.put(path, Model::new(door.clone(), model)).await?;
        }
    }
    for job in &shown.jobs {
        if let Ok(path) = jobs::path(job) {
            shelf = shelf.put(path, Job::new(door.clone(), job)).await?;
        }
    }
    Ok((shelf, shown))
}

/// Follows the published state until the connection is closed or the driver has stopped.
pub async fn keep_current(
    connection: Connection,
    service: Arc<Service>,
    clients: Arc<Clients>,
    mut shown: Arc<Status>,
) {
    let door = Door { service: service.clone(), clients };
    let mut published = service.handle.watch();
    loop {
        let next = published.borrow_and_update().clone();
        if let Err(error) = show(&connection, &door, &shown, &next).await {
            tracing::debug!(%error, "a change of state could not be told on the bus");
        }
        shown = next;
        tokio::select! {
            () = closed(&connection) => return,
            changed = published.changed() => if changed.is_err() { return closed(&connection).await },
        }
    }
}

async fn closed(connection: &Connection) {
    connection.closed().await;
}

async fn show(connection: &Connection, door: &Door, old: &Status, new: &Status) -> zbus::Result<()> {
    let server = connection.object_server();
    let manager = server.interface::<_, Manager>(ROOT_PATH).await?;
    manager.get().await.announce(old, new, manager.signal_emitter()).await?;
    let telemetry = server.interface::<_, Telemetry>(ROOT_PATH).await?;
    telemetry.get().await.announce(old, new, telemetry.signal_emitter()).await?;
    for gone in old.models.iter().filter(|model| models::find(new, &model.name, &model.version).is_none()) {
        let Ok(path) = models::path(gone) else { continue };
        server.remove::<Model, _>(path).await?;
    }
    for model in &new.models {
        let Ok(path) = models::path(model) else { continue };
        match models::find(old, &model.name, &model.version) {
            None => drop(server.at(path, Model::new(door.clone(), model)).await?),
            Some(before) if before == model => {}
            Some(before) => {
                let object = server.interface::<_, Model>(path).await?;
                object.get().await.announce(before, model, object.signal_emitter()).await?;
            }
        }
    }
    show_jobs(connection, door, old, new).await
}

async fn show_jobs(connection: &Connection, door: &Door, old: &Status, new: &Status) -> zbus::Result<()> {
    let server = connection.object_server();
    for gone in old.jobs.iter().filter(|job| jobs::find(new, job.id).is_none()) {
        let Ok(path) = jobs::path(gone) else { continue };
        server.remove::<Job, _>(path).await?;
    }
    for job in &new.jobs {
        let Ok(path) = jobs::path(job) else { continue };
        let before = jobs::find(old, job.id);
        if before == Some(job) {
            continue;
        }
        if before.is_none() {
            server.at(path.clone(), Job::new(door.clone(), job)).await?;
        }
        let object = server.interface::<_, Job>(path).await?;
        object.get().await.announce(before, job, object.signal_emitter()).await?;
    }
    Ok(())
}
