//! One call of `Inference` on its way: whose it is, what it holds, and what becomes of it.
//!
//! A refused call starts no task. An accepted one has a task of its own that waits for the driver and writes the reply.

use std::collections::HashMap;
use std::sync::Arc;

use edge_wire::dto::Info;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use zbus::message::{Flags, Header, Message};
use zbus::{Connection, Type, Variant};

use super::client::{Client, Clients, Known};
use super::error::{No, internal};
use super::generate::Generation;
use super::methods::Method;
use super::service::Service;
use super::submit::Submission;
use super::{arguments, intake, peers, reply, stream};
use crate::request::{Failure, Reply};

/// What the calls of one connection share.
#[derive(Debug)]
pub struct Link {
    pub service: Arc<Service>,
    pub clients: Arc<Clients>,
    /// One reply is built and written at a time, so that replies to a slow reader wait small, before they are built.
    writing: Semaphore,
}

impl Link {
    /// Calls of these clients.
    pub fn new(service: Arc<Service>, clients: Arc<Clients>) -> Arc<Link> {
        Arc::new(Link { service, clients, writing: Semaphore::new(1) })
    }
}

/// One call on its way, with what it holds until its reply is written.
pub struct Call {
    link: Arc<Link>,
    pub connection: Connection,
    pub message: Message,
    pub client: Arc<Client>,
    _place: OwnedSemaphorePermit,
    _descriptors: OwnedSemaphorePermit,
}

impl Call {
    pub fn service(&self) -> &Arc<Service> {
        &self.link.service
    }

    /// Says at once all that can be said about a call; the rest goes on in a task.
    pub fn begin(link: &Arc<Link>, method: Method, connection: &Connection, message: &Message) -> Result<(), Failure> {
        arguments::check_size(message, link.service.limits.max_inline_bytes)?;
        let header = message.header();
        let client = link.clients.sender(&header)?;
        let call = Call {
            link: link.clone(),
            connection: connection.clone(),
            message: message.clone(),
            _place: client.open_call()?,
            _descriptors: link.service.hold_descriptors(header.unix_fds().unwrap_or(0))?,
            client: client.clone(),
        };
        match client.known() {
            Some(known) => call.proceed(method, known),
            None => {
                tokio::spawn(call.introduce(method));
                Ok(())
            }
        }
    }

    /// Asks the bus who the caller is, and goes on.
    async fn introduce(self, method: Method) {
        let (link, client) = (self.link.clone(), self.client.clone());
        let (connection, message) = (self.connection.clone(), self.message.clone());
        let header = message.header();
        let begun = match link.clients.know(&client, &header).await {
            Ok(_) if client.has_left() => return,
            Ok(known) => self.proceed(method, known),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = begun {
            refuse(&connection, &header, failure).await;
        }
    }

    fn proceed(self, method: Method, known: &Known) -> Result<(), Failure> {
        known.may_infer.clone()?;
        match method {
            Method::Infer | Method::InferFd | Method::InferEncoded => self.infer(method, known),
            Method::Submit => self.submit(method, known),
            Method::Generate => self.generate(known),
            Method::Cancel => self.cancel(known),
            Method::Connect => self.connect(known),
        }
    }

    fn infer(self, method: Method, known: &Known) -> Result<(), Failure> {
        let request = self.parts(method)?.request(known.caller.clone());
        let receiver = stream::submit(self.service(), &self.client, request)?;
        tokio::spawn(self.answer(method, receiver));
        Ok(())
    }

    fn submit(self, method: Method, known: &Known) -> Result<(), Failure> {
        let request = self.parts(method)?.request(known.caller.clone());
        let submission = Submission::begin(self.service(), &self.client, known, request)?;
        tokio::spawn(submission.run(self));
        Ok(())
    }

    fn generate(self, known: &Known) -> Result<(), Failure> {
        let body = self.message.body();
        let parts = intake::chat(arguments::read(Method::Generate.name(), &body)?, &self.service().limits)?;
        let generation = Generation::begin(self.service(), &self.client, known, parts.request(known.caller.clone()))?;
        tokio::spawn(generation.run(self));
        Ok(())
    }

    fn parts(&self, method: Method) -> Result<intake::Parts, Failure> {
        let (body, limits) = (self.message.body(), &self.service().limits);
        match method {
            Method::Infer => intake::inline(arguments::read(method.name(), &body)?, &self.message, limits),
            Method::InferFd => intake::sealed(arguments::read(method.name(), &body)?, limits),
            _ => intake::encoded(arguments::read(method.name(), &body)?, limits),
        }
    }

    fn cancel(self, known: &Known) -> Result<(), Failure> {
        let body = self.message.body();
        let id = arguments::read::<&str>(Method::Cancel.name(), &body)?.to_owned();
        let caller = known.caller.clone();
        tokio::spawn(async move { self.finish(self.service().cancel(caller, id).await).await });
        Ok(())
    }

    fn connect(self, known: &Known) -> Result<(), Failure> {
        let body = self.message.body();
        // Nothing can be chosen yet; options of newer clients are ignored like everywhere.
        let _given = arguments::read::<HashMap<&str, Variant<'_>>>(Method::Connect.name(), &body)?;
        let socket = peers::connect(self.service(), &known.identity)?;
        tokio::spawn(async move { self.finish(Ok(zbus::OwnedFd::from(socket))).await });
        Ok(())
    }

    /// Waits for the driver and writes the reply. A caller that has left gets none.
    async fn answer(self, method: Method, receiver: oneshot::Receiver<Reply>) {
        let reply = receiver.await;
        if self.client.has_left() {
            return;
        }
        let _turn = self.link.writing.acquire().await;
        let header = self.message.header();
        let limit = self.service().limits.max_inline_bytes;
        let reply = reply.unwrap_or_else(|_| Reply { result: Err(no_reply()), info: Info::default() });
        match reply::build(method, reply, limit, &header, &self.connection) {
            Ok(message) if expects_reply(&header) => send(&self.connection, &message).await,
            Ok(_) => {}
            Err(failure) => refuse(&self.connection, &header, failure).await,
        }
    }

    /// Writes a reply that is small and ready.
    pub async fn finish<B: serde::Serialize + Type>(&self, result: Result<B, Failure>) {
        let header = self.message.header();
        match result {
            Ok(body) if expects_reply(&header) => {
                if let Err(error) = self.connection.reply(&header, &body).await {
                    tracing::debug!(%error, "a reply could not be sent");
                }
            }
            Ok(_) => {}
            Err(failure) => refuse(&self.connection, &header, failure).await,
        }
    }
}

fn no_reply() -> Failure {
    internal("the daemon gave no reply to this request")
}

fn expects_reply(header: &Header<'_>) -> bool {
    !header.primary().flags().contains(Flags::NO_REPLY_EXPECTED)
}

async fn send(connection: &Connection, message: &Message) {
    if let Err(error) = connection.send(message).await {
        tracing::debug!(%error, "a reply could not be sent");
    }
}

/// Writes a "no".
pub async fn refuse(connection: &Connection, header: &Header<'_>, failure: Failure) {
    if !expects_reply(header) {
        return;
    }
    if let Err(error) = connection.reply_dbus_error(header, No::from(failure)).await {
        tracing::debug!(%error, "a refusal could not be sent");
    }
}
