//! Private connections.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use edge_wire::error::ErrorCode;
use edge_wire::names;
use edge_wire::proxy::{InferenceProxy, ManagerProxy, ModelsProxy, TelemetryProxy};
use edged::request::Caller;
use zbus::{Connection, Message};

use crate::fake::{attach, client, fd_tensor, no_options, refused, soon, until};

async fn private(inference: &InferenceProxy<'_>) -> zbus::Result<Connection> {
    let socket = OwnedFd::from(inference.connect(&no_options()).await?);
    zbus::connection::Builder::unix_stream(UnixStream::from(socket)).p2p().build().await
}

#[tokio::test]
async fn a_private_connection_infers_and_reads_as_its_caller() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let private = soon("connect", private(&inference)).await.unwrap();
    let over = InferenceProxy::new(&private).await.unwrap();
    let (outputs, _) = soon("infer", over.infer_fd("echo", &[fd_tensor("a", b"abc")], &no_options())).await.unwrap();
    assert_eq!(outputs[0].length, 3);
    assert_eq!(ManagerProxy::new(&private).await.unwrap().state().await.unwrap(), "serving");
    assert_eq!(ModelsProxy::new(&private).await.unwrap().list().await.unwrap().len(), 1);
    assert_eq!(TelemetryProxy::new(&private).await.unwrap().regime().await.unwrap(), "throttled");
    let seen = client.driver.seen.lock().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert!(
        matches!(&seen.requests[0].caller, Caller::Peer { name, uid: who, .. } if **name == *":1.7" && *who == uid),
        "{}",
        seen.requests[0].caller
    );
}

#[tokio::test]
async fn closing_a_private_connection_is_leaving() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let private = soon("connect", private(&inference)).await.unwrap();
    let call = Message::method_call(names::ROOT_PATH, "Infer")
        .interface(names::INFERENCE)
        .build(&("hold", Vec::<edge_wire::tensor::Tensor>::new(), no_options()))
        .unwrap();
    private.send(&call).await.unwrap();
    until("held", || client.driver.seen.lock().unwrap().held.len() == 1).await;
    private.close().await.unwrap();
    until("left", || client.driver.seen.lock().unwrap().events.iter().any(|event| event.starts_with("left peer")))
        .await;
    assert!(client.driver.seen.lock().unwrap().held.is_empty());
}

#[tokio::test]
async fn a_user_has_only_so_many_private_connections_and_gets_places_back() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let first = soon("first", private(&inference)).await.unwrap();
    let _second = soon("second", private(&inference)).await.unwrap();
    let no = refused(inference.connect(&no_options()).await);
    assert!(no.code == ErrorCode::Overloaded && no.message.contains("at most 2"), "{}", no.message);
    first.close().await.unwrap();
    until("left", || !client.driver.seen.lock().unwrap().events.is_empty()).await;
    let _third = soon("third", private(&inference)).await.unwrap();
}

#[tokio::test]
async fn a_private_connection_gives_no_further_ones() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let private = soon("connect", private(&inference)).await.unwrap();
    let no = refused(InferenceProxy::new(&private).await.unwrap().connect(&no_options()).await);
    assert!(no.code == ErrorCode::InvalidInput && no.message.contains("private already"), "{}", no.message);
}

/// A connection that is driven by hand, so that it can leave its replies unread.
struct Raw(UnixStream);

impl Raw {
    async fn open(inference: &InferenceProxy<'_>) -> Raw {
        let mut stream = UnixStream::from(OwnedFd::from(inference.connect(&no_options()).await.unwrap()));
        stream.set_nonblocking(true).unwrap();
        let uid: String = rustix::process::geteuid().as_raw().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        soon("the handshake", async {
            while !answer.ends_with(b"\r\n") {
                let mut byte = [0];
                match stream.read_exact(&mut byte) {
                    Ok(()) => answer.push(byte[0]),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
        assert!(answer.starts_with(b"OK "), "{}", String::from_utf8_lossy(&answer));
        stream.write_all(b"BEGIN\r\n").unwrap();
        Raw(stream)
    }

    /// Writes whole copies of `message` until the daemon takes no more; says how many bytes it took.
    async fn flood(&mut self, message: &Message, idle: impl AsyncFn()) -> usize {
        const ENDLESS: usize = 64 << 20;
        let bytes = message.data().bytes();
        let (mut taken, mut at) = (0, 0);
        while taken < ENDLESS {
            match self.0.write(&bytes[at..]) {
                Ok(written) => {
                    taken += written;
                    at = (at + written) % bytes.len();
                }
                Err(_) => {
                    idle().await;
                    match self.0.write(&bytes[at..]) {
                        Ok(written) => {
                            taken += written;
                            at = (at + written) % bytes.len();
                        }
                        Err(_) => return taken,
                    }
                }
            }
        }
        taken
    }
}

/// Calls that are read from a peer, at least, before it is noticed that it does not read.
const FEW: usize = 20;

#[tokio::test]
async fn a_peer_that_reads_no_replies_holds_up_only_itself() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let other = attach(&client.service).await;
    let other = InferenceProxy::new(&other).await.unwrap();
    let calls = [
        Message::method_call(names::ROOT_PATH, "Infer")
            .interface(names::INFERENCE)
            .build(&("echo", Vec::<edge_wire::tensor::Tensor>::new(), no_options()))
            .unwrap(),
        Message::method_call(names::ROOT_PATH, "Describe").interface(names::MANAGER).build(&()).unwrap(),
        Message::method_call(names::ROOT_PATH, "GetAll")
            .interface("org.freedesktop.DBus.Properties")
            .build(&names::MANAGER)
            .unwrap(),
    ];
    for call in calls {
        let mut slow = Raw::open(&inference).await;
        let idle = async || {
            for _ in 0..20 {
                soon("another client", other.infer("echo", &[], &no_options())).await.unwrap();
            }
        };
        let taken = slow.flood(&call, idle).await;
        assert!(taken < 8 << 20, "{taken} bytes of calls were taken from a peer that reads no replies");
        // What is never read fits into the socket; less would say that nothing was tried.
        assert!(taken / call.data().len() >= FEW, "only {taken} bytes of calls were taken");
    }
    let seen = client.driver.seen.lock().unwrap();
    let from_peer = seen.requests.iter().filter(|request| matches!(request.caller, Caller::Peer { .. })).count();
    assert!(from_peer >= FEW, "{from_peer} calls of the slow peer came to the driver");
}
