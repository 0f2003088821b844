//! All that a transport may hold of the daemon: submit a request, give a command, watch the state.
//!
//! Who checks what: a transport bounds sizes, authorises the caller, checks seals and ranges of descriptors, and parses
//! its own syntax. The driver checks everything that has a meaning (model, names, datatypes, shapes, options' ranges),
//! so that every transport gives the same answers.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::{CacheEntry, FleetReport, Info, Status, Trace};
use edge_wire::error::ErrorCode;
use edge_wire::governor::GovernorReport;
use edge_wire::history::HistoryEntry;
use edge_wire::sites::{AuditEntry, Explanation, Replay, UsageRow};
use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::counts::Counts;
use crate::pull::Wish;
use crate::request::{Caller, Failure, Options, Reply, Request};

/// Where a reply goes. The receiver may be dropped: then nobody wants the reply, but the request runs on.
#[derive(Debug)]
pub enum ReplySender {
    /// To somebody who waits for this one reply.
    One(oneshot::Sender<Reply>),
    /// To somebody who waits for the replies to many requests.
    Many(Ticket),
    /// To nobody: the driver itself asks, for a stage of a request.
    Nobody,
}

impl ReplySender {
    /// Gives the reply, unless nobody wants it any more. There is always room for it: a place for many has as many places as
    /// requests may be open there.
    pub fn send(self, reply: Reply) {
        let taken = match self {
            ReplySender::Nobody => return,
            ReplySender::One(sender) => sender.send(reply).is_ok(),
            ReplySender::Many(mut ticket) => {
                let number = ticket.number;
                ticket.to.take().is_some_and(|to| to.try_send((number, Some(Box::new(reply)))).is_ok())
            }
        };
        if !taken {
            tracing::debug!("nobody waits for this reply any more");
        }
    }
}

/// Many replies on their way to one place, each with the number that was given with its request.
pub type Replies = mpsc::Receiver<Numbered>;
/// A reply with its number; none if the driver let it go, which it does only when it ends.
pub type Numbered = (i64, Option<Box<Reply>>);

/// The right to one reply in a channel of many. One that is dropped says so.
#[derive(Debug)]
pub struct Ticket {
    number: i64,
    to: Option<mpsc::Sender<Numbered>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(to) = self.to.take()
            && to.try_send((self.number, None)).is_err()
        {
            tracing::debug!(number = self.number, "nobody waits for a reply that does not come");
        }
    }
}

/// What a transport did with a request after its reply, for the request's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is safe in the journal, and acknowledged to the broker.
    Journaled,
    /// The broker accepted the reply on this topic.
    Replied(Arc<str>),
    /// The broker refused the reply on this topic.
    ReplyRefused(Arc<str>),
}

/// A request that never came to the driver.
#[derive(Clone, Debug)]
pub struct Refused {
    pub caller: Caller,
    /// When it came.
    pub received: Mono,
    pub failure: Failure,
    /// As it was answered.
    pub info: Info,
}

/// A deed with its request and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub request_id: String,
    pub at: Mono,
    pub deed: Deed,
}

/// How a version is made the active one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activate {
    /// The version that serves may be let go before the new one is loaded: requests wait meanwhile.
    pub pause: bool,
    /// Also one that was taken back here before.
    pub force: bool,
}

/// A request that is only asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub model: String,
    pub options: Options,
    /// Size of its payload; that of `text` if there is one.
    pub bytes: Option<u64>,
    pub content_type: Option<String>,
    pub input_tokens: u32,
    pub output_tokens: u32,
    /// Looked into as a payload would be.
    pub text: Option<String>,
    /// `bus`, `bus:UID` or `mqtt:TOPIC`; the bus if absent.
    pub source: Option<String>,
}

/// Which of the requests that left the device are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// RFC 3339.
    pub since: Option<String>,
    pub site: Option<String>,
    pub model: Option<String>,
    pub class: Option<String>,
    pub limit: u32,
}

/// Of which time usage is wanted, and in what steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// RFC 3339.
    pub since: Option<String>,
    /// RFC 3339.
    pub until: Option<String>,
    /// `minute`, `hour`, `day` or `all`.
    pub step: String,
}

/// All that `/metrics` tells, taken at one instant.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub status: Status,
    pub counts: Counts,
    /// Joules that the box took since the start, with the rail that says so; absent without one.
    pub energy: Option<(String, f64)>,
    /// How long the loop was busy with this.
    pub took: Duration,
}

/// What the driver's inbox takes.
#[derive(Debug)]
pub enum Message {
    Submit {
        request: Box<Request>,
        reply: ReplySender,
    },
    Cancel {
        caller: Caller,
        request_id: String,
        found: oneshot::Sender<bool>,
    },
    ClientLeft {
        caller: Caller,
    },
    Drain,
    /// The daemon ends now: whoever would be cut off with it is told so. What the broker sent stays with the broker and
    /// in the journal, for the next daemon.
    CutOff {
        done: oneshot::Sender<()>,
    },
    Resume,
    /// Read the configuration's policy part again; answers with what is wrong with it.
    Reload {
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Nothing is run on the device until it is released by the number that comes back.
    Hold {
        why: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    Release {
        id: u64,
    },
    /// What the governor has learnt, with its history.
    Governor {
        done: oneshot::Sender<Box<GovernorReport>>,
    },
    /// Load or unload a model by `name` or `name:version`.
    Load {
        model: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    Unload {
        model: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    /// Put the bundle of an archive into the store; the job by which that can be watched.
    Install {
        from: OwnedFd,
        /// Make it the active version; absent: only if the box has no other version of it.
        activate: Option<bool>,
        how: Activate,
        who: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// Fetch a bundle and put it into the store; the job.
    Pull {
        wish: Box<Wish>,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// Make a version the active one; the job.
    Activate {
        model: String,
        how: Activate,
        who: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// Take the version before back; the job.
    Rollback {
        model: String,
        who: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// Take a version out of the store; with `force` also the active one, where there is no other.
    Remove {
        model: String,
        force: bool,
        who: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    /// Who did what with models, the oldest first.
    History {
        done: oneshot::Sender<Result<Vec<HistoryEntry>, String>>,
    },
    /// Measure a model on this box; the job by which that can be watched.
    Tune {
        model: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// What was measured of a model.
    Plan {
        model: String,
        done: oneshot::Sender<Result<Box<edge_wire::plan::Plan>, Failure>>,
    },
    /// Give up a job by its number; answers when that is under way.
    CancelJob {
        id: u64,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    /// What providers compiled and is kept.
    Cache {
        done: oneshot::Sender<Result<Vec<CacheEntry>, String>>,
    },
    /// Removes what is kept of this model, or all; not what is in use. How many entries, and their bytes.
    ClearCache {
        model: Option<String>,
        done: oneshot::Sender<Result<(u32, u64), String>>,
    },
    /// Write what is kept of these models, or of all, into a file; the job.
    ExportCache {
        models: Vec<String>,
        to: OwnedFd,
        who: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// Take over what another box exported; the job.
    ImportCache {
        from: OwnedFd,
        who: String,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// The state as it is now, not as last published.
    Status {
        done: oneshot::Sender<Arc<Status>>,
    },
    /// The state as it is now with what was counted.
    Scrape {
        done: oneshot::Sender<Box<Scrape>>,
    },
    Trace {
        request_id: String,
        found: oneshot::Sender<Option<Trace>>,
    },
    /// What a transport did, for the traces of its requests; many at once, as nobody waits for them.
    Notes(Vec<Note>),
    /// A transport refused a request itself; for its trace and for the counters.
    Refused(Box<Refused>),
    /// Read anew what the box is to have; the number of the look by which that is done, as in the status.
    Sync {
        done: oneshot::Sender<Result<u64, Failure>>,
    },
    /// What other boxes say of versions that the fleet is to have.
    Reports(Vec<FleetReport>),
    /// What would become of such a request now.
    Explain {
        profile: Box<Profile>,
        done: oneshot::Sender<Result<Explanation, Failure>>,
    },
    /// What left the device, the newest first.
    Audit {
        filter: AuditFilter,
        done: oneshot::Sender<Result<Vec<AuditEntry>, Failure>>,
    },
    /// What was served.
    Usage {
        filter: UsageFilter,
        done: oneshot::Sender<Result<Vec<UsageRow>, Failure>>,
    },
    /// The recorded decisions under another policy.
    Replay {
        policy: String,
        since: Option<String>,
        done: oneshot::Sender<Result<Replay, Failure>>,
    },
    /// A request to another box has ended.
    SiblingDone(Box<crate::uplink::Done>),
    /// Another box said how it is.
    SiblingHeard(crate::driver::sites::siblings::Heard),
    /// The broker link's state changed.
    Mqtt(Box<edge_wire::dto::MqttStatus>),
    /// The state of the edge node for SCADA hosts changed.
    Sparkplug(Box<edge_wire::sparkplug::SparkplugStatus>),
    /// What of the local HTTP server is open changed.
    Http(Box<edge_wire::dto::HttpStatus>),
}

/// A cheap clone for each transport.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    status: watch::Receiver<Arc<Status>>,
}

impl Handle {
    /// Hands a message to the driver at once, or gives it back where there is no room or no driver.
    pub fn offer_back(&self, message: Message) -> Result<(), Message> {
        self.inbox.try_send(message).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// A handle on the driver that reads `inbox` and publishes `status`.
    pub fn new(inbox: mpsc::Sender<Message>, status: watch::Receiver<Arc<Status>>) -> Handle {
        Handle { inbox, status }
    }

    /// Hands a request in; the reply comes through the receiver. A full inbox answers `overloaded` at once.
    pub fn submit(&self, request: Request) -> Result<oneshot::Receiver<Reply>, Failure> {
        let (reply, receiver) = oneshot::channel();
        self.hand_in(request, ReplySender::One(reply)).map(|()| receiver)
    }

    /// Hands a request in; the reply comes through `to` with this number. There must be room in `to` for the replies to
    /// all requests that were handed in with it. A full inbox answers `overloaded` at once, and only so.
    pub fn submit_numbered(&self, request: Request, number: i64, to: &mpsc::Sender<Numbered>) -> Result<(), Failure> {
        self.hand_in(request, ReplySender::Many(Ticket { number, to: Some(to.clone()) }))
    }

    fn hand_in(&self, request: Request, reply: ReplySender) -> Result<(), Failure> {
        let refused = match self.inbox.try_send(Message::Submit { request: Box::new(request), reply }) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let failure = match &refused {
            mpsc::error::TrySendError::Full(_) => Failure {
                code: ErrorCode::Overloaded,
                message: "the daemon's inbox is full".into(),
                retry_after_ms: Some(50),
            },
            mpsc::error::TrySendError::Closed(_) => Failure::new(ErrorCode::Unavailable, "the daemon is stopping"),
        };
        if let mpsc::error::TrySendError::Full(message) | mpsc::error::TrySendError::Closed(message) = refused
            && let Message::Submit { reply: ReplySender::Many(mut ticket), .. } = message
        {
            ticket.to = None;
        }
        Err(failure)
    }

    /// Sends a command; waits for room in the inbox.
    pub async fn send(&self, message: Message) -> Result<(), Failure> {
        self.inbox.send(message).await.map_err(|_| Failure::new(ErrorCode::Unavailable, "the daemon is stopping"))
    }

    /// Sends a command unless the inbox is full; for those who must not wait and can do without.
    pub fn offer(&self, message: Message) -> bool {
        self.inbox.try_send(message).is_ok()
    }

    /// Sends a command and waits for its answer.
    pub async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.send(message(sender)).await?;
        receiver.await.map_err(|_| Failure::new(ErrorCode::Unavailable, "the daemon is stopping"))
    }

    /// The state as last published. Changes at most a few times a second, never once per request.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Wakes whenever the state changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Caller, Options, Payload};
    use edge_core::Zone;
    use edge_engine::protocol::Want;

    fn request() -> Request {
        Request {
            caller: Caller::Broker { reply_topic: "r".into() },
            topic: "t".into(),
            model: "m".into(),
            options: Options::default(),
            payload: Payload::Tensors(Vec::new()),
            want: Want::Inline,
            deaths: 0,
            reached: Zone::Device,
            stream: None,
        }
    }

    #[test]
    fn each_request_of_many_gets_one_answer_under_its_number() {
        let (inbox, mut messages) = mpsc::channel(2);
        let (_status, watcher) = watch::channel(Arc::new(Status::default()));
        let handle = Handle::new(inbox, watcher);
        let (to, mut replies) = mpsc::channel(8);
        for number in [7, 8] {
            handle.submit_numbered(request(), number, &to).unwrap();
        }
        assert_eq!(handle.submit_numbered(request(), 9, &to).unwrap_err().code, ErrorCode::Overloaded);
        // Refused by its result, not by a reply.
        assert!(replies.try_recv().is_err());
        let mut taken = || {
            let Ok(Message::Submit { reply, .. }) = messages.try_recv() else { panic!("nothing came") };
            reply
        };
        taken().send(Reply { result: Err(Failure::invalid("payload: empty")), info: Info::default() });
        assert!(matches!(replies.try_recv(), Ok((7, Some(_)))));
        drop(taken());
        assert!(matches!(replies.try_recv(), Ok((8, None))));
        drop(messages);
        assert_eq!(handle.submit_numbered(request(), 9, &to).unwrap_err().code, ErrorCode::Unavailable);
        assert!(replies.try_recv().is_err());
    }
}
