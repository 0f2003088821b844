//! The callers of one connection: who they are, how much they have open, and when they are gone.
//!
//! Credentials are asked of the bus once per caller and kept until it leaves, so that a call costs no round trip. The
//! table is the transport's own bookkeeping; it is locked for the length of a look-up and never across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edge_wire::error::ErrorCode;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};
use zbus::message::Header;

use super::authorize::{Access, Authority, Identity, Via};
use super::credentials::Credentials;
use super::error::{internal, overloaded};
use crate::config::LimitsConfig;
use crate::request::{Caller, Failure};

/// More connections than any bus allows; beyond it somebody makes names up.
const MAX_CLIENTS: usize = 8192;

/// Pipes and sockets of one caller that payloads are read from at once; they may give nothing for seconds.
const MAX_STREAMS: usize = 16;
/// Files of one caller that payloads are copied from at once. It takes as long as their disk does, and a disk may hang.
const MAX_FILES: usize = 4;

/// A caller, from its first call until it leaves.
#[derive(Debug)]
pub struct Client {
    known: OnceCell<Known>,
    /// Open calls; closed when the caller leaves.
    calls: Arc<Semaphore>,
    /// Requests of `Submit` whose end is not told yet.
    submitted: Arc<Semaphore>,
    /// Objects of ended requests, the oldest first; each goes when its end of the channel does.
    ended: Mutex<VecDeque<oneshot::Sender<()>>>,
    max_ended: usize,
    /// Payloads that are read from pipes and sockets.
    streams: Arc<Semaphore>,
    /// Those that are copied from files.
    files: Arc<Semaphore>,
    left: watch::Sender<bool>,
}

/// What is known of a caller once the bus was asked.
#[derive(Debug)]
pub struct Known {
    pub identity: Identity,
    pub caller: Caller,
    /// Whether it may infer: credentials of a connection never change, so neither does this.
    pub may_infer: Result<(), Failure>,
}

impl Client {
    fn new(limits: &LimitsConfig, known: OnceCell<Known>) -> Client {
        Client {
            known,
            calls: Arc::new(Semaphore::new(limits.max_calls)),
            submitted: Arc::new(Semaphore::new(limits.max_submitted)),
            ended: Mutex::default(),
            max_ended: limits.max_submitted,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            files: Arc::new(Semaphore::new(MAX_FILES)),
            left: watch::Sender::new(false),
        }
    }

    /// A caller known from the start: the other end of a private connection.
    pub async fn peer(identity: Identity, caller: Caller, limits: &LimitsConfig, authority: &dyn Authority) -> Client {
        let may_infer = authority.check(&identity, Access::Infer).await;
        Client::new(limits, OnceCell::new_with(Some(Known { identity, caller, may_infer })))
    }

    /// What is known, if it is known already.
    pub fn known(&self) -> Option<&Known> {
        self.known.get()
    }

    /// A place for one call, held until its reply is on its way.
    pub fn open_call(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.calls, "calls open on this connection")
    }

    /// A place for one request of `Submit`, held until its end is told.
    pub fn open_submission(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.submitted, "requests submitted by this caller and not ended")
    }

    /// Counts the object of an ended request; returns once a younger one needs its place. At most as many objects of
    /// ended requests are kept as requests may be open.
    pub async fn keep_ended(&self) {
        let (place, lost) = oneshot::channel();
        {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.retain(|place| !place.is_closed());
            while ended.len() >= self.max_ended && ended.pop_front().is_some() {}
            ended.push_back(place);
        }
        // Nothing is ever sent; the end of the sender is what is waited for.
        let _gone = lost.await;
    }

    /// A place for one payload that is read from a pipe or socket.
    pub fn open_stream(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.streams, "payloads of this caller are being read from pipes and sockets")
    }

    /// A place for one payload that is copied from a file, once there is one: as many wait as calls and submissions may be open.
    pub async fn open_file(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let gone = |_| Failure::new(ErrorCode::Cancelled, "the caller has left");
        self.files.clone().acquire_owned().await.map_err(gone)
    }

    /// Whether the caller is gone.
    pub fn has_left(&self) -> bool {
        *self.left.borrow()
    }

    /// Returns when the caller is gone.
    pub async fn left(&self) {
        // The sender is `self`, so waiting cannot fail.
        let mut left = self.left.subscribe();
        let _left = left.wait_for(|left| *left).await;
    }

    /// Marks the caller as gone: nothing more of it is taken.
    pub fn leave(&self) {
        self.calls.close();
        self.submitted.close();
        self.streams.close();
        self.files.close();
        self.left.send_replace(true);
    }
}

fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Failure> {
    places.clone().try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => overloaded(format!("too many {what}; wait for some to end")),
        TryAcquireError::Closed => Failure::new(ErrorCode::Cancelled, "the caller has left"),
    })
}

/// Who may be on the other side of a connection.
#[derive(Debug)]
pub enum Clients {
    /// The callers on a bus, by unique name.
    Bus(BusClients),
    /// The one peer of a private connection.
    Peer(Arc<Client>),
}

impl Clients {
    /// The sender of a call. Never waits; a new one is not known yet.
    pub fn sender(&self, call: &Header<'_>) -> Result<Arc<Client>, Failure> {
        match self {
            Clients::Peer(client) => Ok(client.clone()),
            Clients::Bus(clients) => {
                clients.of(call.sender().ok_or_else(|| internal("a call without a sender"))?.as_str())
            }
        }
    }

    /// A place for one read by the sender of a call. A caller that only reads is remembered no longer than its read
    /// lasts: nobody asked the bus about it, so nothing would say that it has left.
    pub fn reading(&self, call: &Header<'_>) -> Result<Place, Failure> {
        match self {
            Clients::Peer(client) => client.open_call().map(Place::Call),
            Clients::Bus(clients) => {
                clients.reading(call.sender().ok_or_else(|| internal("a call without a sender"))?.as_str())
            }
        }
    }

    /// What is known of the sender of a call, after asking the bus if need be.
    pub async fn know<'c>(&self, client: &'c Client, call: &Header<'_>) -> Result<&'c Known, Failure> {
        match (self, call.sender()) {
            (Clients::Bus(clients), Some(sender)) => clients.know(client, sender.as_str()).await,
            _ => client.known().ok_or_else(|| internal("a peer that nobody knows")),
        }
    }
}

/// A place for one call that is no inference, given back when it is dropped.
#[derive(Debug)]
pub enum Place {
    /// Among the calls of a caller that is known.
    Call(OwnedSemaphorePermit),
    /// Among the reads of one that is not.
    Read(Reading),
}

/// Reads that are open, by the unique name of callers that have done nothing else.
type Readers = Arc<Mutex<HashMap<Arc<str>, usize>>>;

/// One of them.
#[derive(Debug)]
pub struct Reading {
    readers: Readers,
    name: Arc<str>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = readers.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.name);
            }
        }
    }
}

/// Callers by unique name. Names of a bus are never used again, so an entry can only become useless, not wrong.
pub struct BusClients {
    table: Mutex<HashMap<Arc<str>, Arc<Client>>>,
    readers: Readers,
    credentials: Credentials,
    authority: Arc<dyn Authority>,
    limits: LimitsConfig,
}

impl std::fmt::Debug for BusClients {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("BusClients").field("count", &self.table().len()).finish_non_exhaustive()
    }
}

impl BusClients {
    /// Nobody yet.
    pub fn new(credentials: Credentials, authority: Arc<dyn Authority>, limits: LimitsConfig) -> BusClients {
        BusClients { table: Mutex::default(), readers: Readers::default(), credentials, authority, limits }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Client>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: &str) -> Result<Arc<Client>, Failure> {
        let mut table = self.table();
        if let Some(client) = table.get(name) {
            return Ok(client.clone());
        }
        if table.len() >= MAX_CLIENTS {
            return Err(overloaded(format!("{MAX_CLIENTS} callers are connected already")));
        }
        let client = Arc::new(Client::new(&self.limits, OnceCell::new()));
        table.insert(name.into(), client.clone());
        Ok(client)
    }

    fn reading(&self, name: &str) -> Result<Place, Failure> {
        if let Some(client) = self.table().get(name) {
            return client.open_call().map(Place::Call);
        }
        read_place(&self.readers, name, self.limits.max_calls).map(Place::Read)
    }

    async fn know<'c>(&self, client: &'c Client, name: &str) -> Result<&'c Known, Failure> {
        let known = client.known.get_or_try_init(|| self.ask(name)).await;
        if known.is_err() {
            // Gone already, or the bus could not say: the next call asks again.
            self.forget(name);
        }
        known
    }

    async fn ask(&self, name: &str) -> Result<Known, Failure> {
        let (uid, groups) = self.credentials.of(name, self.authority.needs_groups()).await?;
        let name: Arc<str> = name.into();
        let identity = Identity { name: name.clone(), uid, groups, via: Via::Bus };
        let may_infer = self.authority.check(&identity, Access::Infer).await;
        Ok(Known { identity, caller: Caller::Bus { name, uid }, may_infer })
    }

    /// Forgets a caller that has left, and says who it was if it ever had a request.
    pub fn forget(&self, name: &str) -> Option<Caller> {
        let client = self.table().remove(name)?;
        client.leave();
        client.known().map(|known| known.caller.clone())
    }
}

fn read_place(readers: &Readers, name: &str, most: usize) -> Result<Reading, Failure> {
    let mut open = readers.lock().unwrap_or_else(PoisonError::into_inner);
    if !open.contains_key(name) && open.len() >= MAX_CLIENTS {
        return Err(overloaded(format!("{MAX_CLIENTS} callers are reading already")));
    }
    let name: Arc<str> = name.into();
    let count = open.entry(name.clone()).or_default();
    if *count >= most {
        return Err(overloaded("too many calls open on this connection; wait for some to end".to_owned()));
    }
    *count += 1;
    Ok(Reading { readers: readers.clone(), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> LimitsConfig {
        LimitsConfig { max_inline_bytes: 1, max_payload_bytes: 1, max_calls: 2, max_submitted: 1, max_peers: 1 }
    }

    #[test]
    fn a_caller_has_only_so_many_calls_open_and_gets_places_back() {
        let client = Client::new(&limits(), OnceCell::new());
        let first = client.open_call().unwrap();
        let _second = client.open_call().unwrap();
        assert_eq!(client.open_call().unwrap_err().code, ErrorCode::Overloaded);
        drop(first);
        assert!(client.open_call().is_ok());
    }

    #[test]
    fn who_only_reads_is_bounded_and_leaves_nothing_behind() {
        let readers = Readers::default();
        let first = read_place(&readers, ":1.7", 2).unwrap();
        let second = read_place(&readers, ":1.7", 2).unwrap();
        assert_eq!(read_place(&readers, ":1.7", 2).unwrap_err().code, ErrorCode::Overloaded);
        drop(first);
        let other = read_place(&readers, ":1.8", 2).unwrap();
        drop((read_place(&readers, ":1.7", 2).unwrap(), second, other));
        assert!(readers.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_oldest_ended_object_makes_room_for_a_younger_one() {
        let client = Arc::new(Client::new(&limits(), OnceCell::new()));
        let kept = |client: &Arc<Client>| {
            let client = client.clone();
            tokio::spawn(async move { client.keep_ended().await })
        };
        let first = kept(&client);
        tokio::task::yield_now().await;
        assert!(!first.is_finished());
        let second = kept(&client);
        first.await.unwrap();
        assert!(!second.is_finished());
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        let third = kept(&client);
        tokio::task::yield_now().await;
        assert_eq!((third.is_finished(), client.ended.lock().unwrap().len()), (false, 1));
    }

    #[tokio::test]
    async fn a_caller_that_left_opens_nothing_and_is_waited_for_no_longer() {
        let client = Client::new(&limits(), OnceCell::new());
        client.leave();
        client.left().await;
        assert_eq!(client.open_call().unwrap_err().code, ErrorCode::Cancelled);
        assert_eq!(client.open_submission().unwrap_err().code, ErrorCode::Cancelled);
    }
}
