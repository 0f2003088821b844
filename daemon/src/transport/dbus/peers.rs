//! `Connect`: private connections without the bus in between. Each belongs to the caller that asked for it; closing it is
//! leaving. Their number is bounded per user.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zbus::Guid;
use zbus::connection::Builder;

use super::authorize::{Identity, Via};
use super::client::{Client, Clients};
use super::error::{internal, overloaded};
use super::objects;
use super::service::Service;
use super::socket::PeerSocket;
use crate::handle::Message;
use crate::request::{Caller, Failure};

/// How long a peer may take to authenticate.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many private connections each user has.
#[derive(Clone, Debug)]
pub struct Peers {
    open: Arc<Mutex<HashMap<u32, usize>>>,
    most: usize,
}

impl Peers {
    /// At most `most` for one user.
    pub fn new(most: usize) -> Peers {
        Peers { open: Arc::default(), most }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, uid: u32) -> Result<Place, Failure> {
        let mut open = self.open();
        let count = open.entry(uid).or_default();
        if *count >= self.most {
            return Err(overloaded(format!("user {uid} has {count} private connections; at most {}", self.most)));
        }
        *count += 1;
        Ok(Place { peers: self.clone(), uid })
    }
}

/// One private connection's place, given back when it is dropped.
#[derive(Debug)]
struct Place {
    peers: Peers,
    uid: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(count) = open.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.uid);
            }
        }
    }
}

/// Opens a private connection for a caller on the bus, and gives the caller's end.
pub fn connect(service: &Arc<Service>, who: &Identity) -> Result<OwnedFd, Failure> {
    if who.via == Via::Peer {
        return Err(Failure::invalid("Connect is for callers on the bus; this connection is private already"));
    }
    let place = service.peers.place(who.uid)?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| internal(format!("make a socket pair: {error}")))?;
    let (service, who) = (service.clone(), Identity { via: Via::Peer, ..who.clone() });
    tokio::spawn(async move {
        if let Err(error) = serve(&service, ours, who).await {
            tracing::debug!(%error, "a private connection was not made");
        }
        drop(place);
    });
    Ok(theirs.into())
}

/// Serves one private connection for `who` until it is closed.
pub async fn serve(service: &Arc<Service>, stream: UnixStream, who: Identity) -> zbus::Result<()> {
    let caller = Caller::Peer { name: who.name.clone(), uid: who.uid, connection: service.next_number() };
    let uid = who.uid;
    let client = Arc::new(Client::peer(who, caller.clone(), &service.limits, &*service.authority).await);
    let builder = Builder::socket(PeerSocket::new(stream)?).server(Guid::generate()).p2p().user_id(uid);
    let clients = Arc::new(Clients::Peer(client.clone()));
    let (builder, shown) = objects::put_up(builder, service, &clients).await?;
    let connection = match tokio::time::timeout(HANDSHAKE, builder.build()).await {
        Ok(made) => made?,
        Err(_) => return Err(zbus::Error::Handshake("the peer did not authenticate in time".into())),
    };
    objects::keep_current(connection, service.clone(), clients, shown).await;
    client.leave();
    // The driver may have stopped already; then there is nothing to free.
    let _told = service.handle.send(Message::ClientLeft { caller }).await;
    Ok(())
}
