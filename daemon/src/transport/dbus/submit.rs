//! `Submit` and its `Request` objects: one per request, kept until a while after its end or until its submitter leaves.
//!
//! Results are the submitter's own: signals go to it alone, and nobody else may ask the object. A request counts against
//! its submitter until its end is told; objects of ended requests have a bound of their own, and at that bound the
//! oldest one makes room.

use std::sync::Arc;
use std::time::Duration;

use edge_wire::dict::InfoDict;
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use edge_wire::names::REQUESTS_PATH;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use zbus::message::Header;
use zbus::names::UniqueName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, interface};

use super::call::Call;
use super::client::{Client, Known};
use super::error::{No, internal};
use super::reply::other_kind;
use super::service::Service;
use super::stream;
use crate::request::{Caller, Failure, Output, Reply, Request};

/// How long the result of an ended request may be asked for.
const KEPT: Duration = Duration::from_secs(60);

/// How a submitted request stands: nothing yet, or its document, or its "no".
type Outcome = Option<Result<(String, Info), Failure>>;

/// A request that was handed in and whose object is not there yet.
pub struct Submission {
    path: OwnedObjectPath,
    object: RequestObject,
    outcome: watch::Sender<Outcome>,
    receiver: oneshot::Receiver<Reply>,
    place: OwnedSemaphorePermit,
}

impl Submission {
    /// Hands the request in. One without an id of its own gets one, so that it can be cancelled.
    pub fn begin(
        service: &Arc<Service>,
        client: &Arc<Client>,
        known: &Known,
        mut request: Request,
    ) -> Result<Submission, Failure> {
        let place = client.open_submission()?;
        let number = service.next_number();
        let id = request.options.request_id.get_or_insert_with(|| service.id_of(number)).clone();
        let path = OwnedObjectPath::try_from(format!("{REQUESTS_PATH}/{number}"))
            .map_err(|error| internal(format!("name a request object: {error}")))?;
        let (outcome, seen) = watch::channel(None);
        let receiver = stream::submit(service, client, request)?;
        let object = RequestObject { service: service.clone(), id, caller: known.caller.clone(), outcome: seen };
        Ok(Submission { path, object, outcome, receiver, place })
    }

    /// Puts the object up, answers the call, tells the end, and takes the object down in its time.
    pub async fn run(self, call: Call) {
        let Submission { path, object, outcome, receiver, place } = self;
        let (connection, client) = (call.connection.clone(), call.client.clone());
        let submitter = call.message.header().sender().map(|name| name.to_owned());
        let put_up = connection.object_server().at(&path, object).await;
        call.finish(put_up.map(|_| &path).map_err(|error| internal(format!("put up {path}: {error}")))).await;
        // The call is answered: its place and its message are free for others.
        drop(call);
        let seen = async {
            see_through(&connection, &path, submitter, outcome, receiver).await;
            // It is over: what its submitter may have open is not about it any more.
            drop(place);
            // An error means that a younger one needed the room.
            let _crowded_out = tokio::time::timeout(KEPT, client.keep_ended()).await;
        };
        tokio::select! {
            () = client.left() => {}
            () = seen => {}
        }
        if let Err(error) = connection.object_server().remove::<RequestObject, _>(&path).await {
            tracing::debug!(%path, %error, "a request object could not be taken down");
        }
    }
}

async fn see_through(
    connection: &Connection,
    path: &OwnedObjectPath,
    submitter: Option<UniqueName<'static>>,
    outcome: watch::Sender<Outcome>,
    receiver: oneshot::Receiver<Reply>,
) {
    let ended = document(receiver.await);
    outcome.send_replace(Some(ended.clone()));
    if let Err(error) = tell(connection, path, submitter, ended).await {
        tracing::debug!(%path, %error, "the end of a request could not be told");
    }
}

fn document(reply: Result<Reply, oneshot::error::RecvError>) -> Result<(String, Info), Failure> {
    let reply = reply.map_err(|_| internal("the daemon gave no reply to this request"))?;
    let duplicate = reply.info.duplicate;
    match reply.result? {
        Output::Document(json) => Ok((json, reply.info)),
        Output::Tensors(_) => Err(other_kind(duplicate, "the model gave tensors where a document was due")),
    }
}

async fn tell(
    connection: &Connection,
    path: &OwnedObjectPath,
    submitter: Option<UniqueName<'static>>,
    ended: Result<(String, Info), Failure>,
) -> zbus::Result<()> {
    let mut emitter = SignalEmitter::new(connection, path)?;
    if let Some(submitter) = submitter {
        emitter = emitter.set_destination(submitter.into());
    }
    match ended {
        Ok((json, info)) => RequestObject::completed(&emitter, &json, InfoDict::from(info)).await,
        Err(no) => RequestObject::failed(&emitter, no.code.as_str(), &no.message.replace('\0', "?")).await,
    }
}

/// The interface `Request` of one submitted request.
pub struct RequestObject {
    service: Arc<Service>,
    id: String,
    caller: Caller,
    outcome: watch::Receiver<Outcome>,
}

impl RequestObject {
    /// On a private connection there is no sender, and nobody but the submitter.
    fn check(&self, header: &Header<'_>) -> Result<(), Failure> {
        match (&self.caller, header.sender()) {
            (Caller::Bus { name, .. }, Some(sender)) if **name != *sender.as_str() => {
                Err(Failure::new(ErrorCode::NotAuthorized, "a request's object is for its submitter"))
            }
            _ => Ok(()),
        }
    }
}

#[interface(name = "org.edged.Edge1.Request", spawn = false)]
impl RequestObject {
    /// Gives the request up.
    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        self.check(&header)?;
        Ok(self.service.cancel(self.caller.clone(), self.id.clone()).await?)
    }

    /// What Completed said, or the error that Failed named; unavailable while it runs.
    #[zbus(out_args("json", "info"))]
    async fn result(&self, #[zbus(header)] header: Header<'_>) -> Result<(String, InfoDict<'static>), No> {
        self.check(&header)?;
        match &*self.outcome.borrow() {
            Some(Ok((json, info))) => Ok((json.clone(), InfoDict::from(info.clone()))),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => Err(Failure::new(ErrorCode::Unavailable, "the request has not ended yet").into()),
        }
    }

    /// The id by which it is cancelled and traced.
    #[zbus(property(emits_changed_signal = "const"))]
    fn request_id(&self) -> String {
        self.id.clone()
    }

    /// running, completed or failed; the signals tell of its change.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> &'static str {
        match &*self.outcome.borrow() {
            None => "running",
            Some(Ok(_)) => "completed",
            Some(Err(_)) => "failed",
        }
    }

    /// It ended with this document.
    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, json: &str, info: InfoDict<'_>) -> zbus::Result<()>;

    /// It ended with this error code and message.
    #[zbus(signal)]
    async fn failed(emitter: &SignalEmitter<'_>, code: &str, message: &str) -> zbus::Result<()>;
}
