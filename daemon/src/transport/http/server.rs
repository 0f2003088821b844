//! Takes connections on the socket and the port, and answers what is asked on each. What cannot be opened is said and tried again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge_wire::dto::{HttpStatus, Problem};
use http::Request;
use http::header::{ACCEPT, HOST};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::answer::{self, Answer};
use super::kept::Kept;
use super::metrics::Form;
use super::patient::Patient;
use super::places::{Peer, Place, Places};
use super::route::{self, Route};
use super::socket::{Socket, SocketError};
use super::traffic::Traffic;
use super::{SUBJECT, Setup};
use crate::config::HttpConfig;
use crate::driver::chain;
use crate::handle::{Handle, Message};

/// From the opening of a connection, or the answer before, until the head of a request is here: longer than scrapes are usually
/// apart, so that one connection does.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long nothing of an answer need be taken.
const STALL: Duration = Duration::from_secs(30);
/// Bytes of a request's head: what a client of today sends is a tenth of it.
const HEAD_BYTES: usize = 16 << 10;
/// Headers of one request.
const HEADERS: usize = 64;
/// After so long what could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Pause when the system gives no descriptor for a connection.
const BREATH: Duration = Duration::from_millis(100);

/// What all connections share.
struct Shared {
    places: Places,
    traffic: Traffic,
    kept: Kept,
}

pub(super) struct Server {
    config: HttpConfig,
    runtime_dir: std::path::PathBuf,
    handle: Handle,
    shared: Arc<Shared>,
    /// As it was told last.
    status: Mutex<HttpStatus>,
    /// Counts how often.
    told: watch::Sender<usize>,
}

impl Server {
    pub(super) fn new(setup: Setup, told: watch::Sender<usize>) -> Server {
        let Setup { config, runtime_dir, handle, clock } = setup;
        let shared = Shared {
            places: Places::new(config.max_connections),
            traffic: Traffic::default(),
            kept: Kept::new(handle.clone(), clock),
        };
        Server { config, runtime_dir, handle, shared: Arc::new(shared), status: Mutex::default(), told }
    }

    /// Serves until told to stop.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let both = async { tokio::join!(self.by_socket(), self.by_port()) };
        tokio::select! {
            ((), ()) = both => {}
            // Also when nobody is left who could say so.
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn by_socket(&self) {
        if !self.config.socket {
            return;
        }
        loop {
            let opened = Socket::open(&self.runtime_dir).and_then(|socket| {
                let listener = socket.listener.try_clone().and_then(UnixListener::from_std);
                let path = socket.path.clone();
                Ok((listener.map_err(|source| SocketError::Listen { path, source })?, socket))
            });
            match opened {
                Ok((listener, socket)) => {
                    tracing::info!(path = %socket.path.display(), "serving HTTP");
                    self.tell(|status| status.socket = socket.path.display().to_string()).await;
                    loop {
                        self.welcome(listener.accept().await.and_then(|(stream, _)| {
                            let user = stream.peer_cred()?.uid();
                            Ok((Peer::User(user), stream))
                        }))
                        .await;
                    }
                }
                Err(error) => {
                    let remedy = socket_remedy(&error);
                    self.not_open("the socket", &chain(&error), remedy).await;
                }
            }
        }
    }

    async fn by_port(&self) {
        let Some(port) = self.config.port else { return };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tracing::info!(%address, "serving HTTP");
                    self.tell(|status| status.address = address.to_string()).await;
                    loop {
                        self.welcome(listener.accept().await.map(|(stream, _)| (Peer::Port, stream))).await;
                    }
                }
                Err(error) => {
                    let remedy = "give `http.port` a port that no other program has: `ss -ltnp` names who has this one";
                    self.not_open(&format!("port {port}"), &format!("listen on {address}: {error}"), remedy).await;
                }
            }
        }
    }

    /// Says what is not open, and waits until it is to be tried again.
    async fn not_open(&self, what: &str, why: &str, remedy: &str) {
        let problem = Problem {
            subject: SUBJECT.into(),
            what: format!("{what} is not open: {why}"),
            remedy: format!("{remedy}; it is tried again by itself"),
        };
        let is_told = self.status().problems.contains(&problem);
        if !is_told {
            tracing::error!(%why, "HTTP is not served on {what}");
            self.tell(|status| {
                status.problems.retain(|other| !other.what.starts_with(what));
                status.problems.push(problem);
            })
            .await;
        }
        tokio::time::sleep(AGAIN).await;
    }

    fn status(&self) -> std::sync::MutexGuard<'_, HttpStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, change: impl FnOnce(&mut HttpStatus)) {
        let status = {
            let mut status = self.status();
            change(&mut status);
            let (socket, port) = (!status.socket.is_empty(), !status.address.is_empty());
            status.problems.retain(|problem| match problem.what.starts_with("the socket") {
                true => !socket,
                false => !port,
            });
            status.clone()
        };
        // A driver that is gone needs to know nothing.
        let _gone = self.handle.send(Message::Http(Box::new(status))).await;
        self.told.send_modify(|told| *told += 1);
    }

    /// Gives a connection a place, or turns it away.
    async fn welcome<S: Stream>(&self, came: std::io::Result<(Peer, S)>) {
        let (peer, stream) = match came {
            Ok(came) => came,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                return tokio::time::sleep(BREATH).await;
            }
        };
        match self.shared.places.take(peer) {
            Ok(place) => drop(tokio::spawn(serve(self.shared.clone(), stream, place))),
            Err(why) => {
                tracing::debug!(?peer, ?why, "one HTTP connection too many");
                stream.turn_away();
            }
        }
    }
}

fn socket_remedy(error: &SocketError) -> &'static str {
    match error {
        SocketError::Directory { .. } | SocketError::Lock { .. } | SocketError::Listen { .. } => {
            "let `paths.runtime_dir` be a directory that the user of edged may write to, or turn it off with `http.socket = false`"
        }
        SocketError::InUse { .. } => "end the other program, or give each its own `paths.runtime_dir`",
        SocketError::Foreign { .. } => "move that file away",
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Says that there is no place, as far as that can be said at once, and closes.
    fn turn_away(self);
}

/// Whoever does not read at once what fits into an empty buffer is not waited for.
fn say_busy<W: std::io::Write>(stream: std::io::Result<W>) {
    let _said = stream.and_then(|mut stream| stream.write(answer::BUSY));
}

impl Stream for tokio::net::UnixStream {
    fn turn_away(self) {
        say_busy(self.into_std());
    }
}

impl Stream for tokio::net::TcpStream {
    fn turn_away(self) {
        say_busy(self.into_std());
    }
}

/// One connection from its beginning to its end.
async fn serve<S: Stream>(shared: Arc<Shared>, stream: S, place: Place) {
    let peer = place.peer;
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<Answer, std::convert::Infallible>(respond(&shared, peer, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Who has asked and closes its side is waiting for the answer.
        .half_close(true)
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream, STALL)), service);
    // What is not HTTP was answered by its status where that can be; it is the other end's affair.
    if let Err(error) = served.await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn respond(shared: &Shared, peer: Peer, request: &Request<Incoming>) -> Answer {
    let found = route::find(request.method().as_str(), request.uri().path());
    let name = found.map_or("other", route::path);
    let answer = match found {
        _ if peer == Peer::Port && !is_for_us(request) => answer::misdirected(),
        Err(missed) => answer::missed(missed),
        Ok(route) => told(shared, route, request).await,
    };
    shared.traffic.answered(name, answer.status().as_u16());
    answer
}

/// Whether the name by which it was asked is this box's. A request of HTTP/1.0 may have none: no browser sends such.
fn is_for_us(request: &Request<Incoming>) -> bool {
    let mut named = request.headers().get_all(HOST).iter();
    let named = named.all(|host| host.to_str().is_ok_and(route::is_local));
    named && request.uri().authority().is_none_or(|authority| route::is_local(authority.as_str()))
}

async fn told(shared: &Shared, route: Route, request: &Request<Incoming>) -> Answer {
    let Shared { places, traffic, kept } = shared;
    match route {
        Route::Metrics => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            let form = Form::wanted(accept.unwrap_or_default());
            let text = kept.text(form, places, traffic).await;
            text.map_or_else(answer::silent, |text| answer::body(http::StatusCode::OK, form.content_type(), text))
        }
        Route::Live => kept.scrape(places, traffic).await.map_or_else(answer::silent, |_| answer::live()),
        Route::Ready => {
            let scrape = kept.scrape(places, traffic).await;
            scrape.map_or_else(answer::silent, |scrape| answer::ready(&scrape.status))
        }
    }
}
