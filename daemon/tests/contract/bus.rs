//! On a bus of its own: names, callers that leave, and results that are nobody else's business.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use edge_wire::error::ErrorCode;
use edge_wire::names;
use edge_wire::proxy::{InferenceProxy, ManagerProxy, RequestProxy};
use edge_wire::tensor::Tensor;
use edged::config::BusConfig;
use edged::transport::dbus::{Bus, BusError, serve_at};
use zbus::{Address, Connection, Fd, Message, MessageStream};

use crate::fake::{Fake, SEALS, driver, fd_tensor, limits, memfd, next, no_options, refused, release, soon, until};

/// A `dbus-daemon` that ends with the test.
struct PrivateBus {
    daemon: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl PrivateBus {
    fn start() -> PrivateBus {
        PrivateBus::with("--session")
    }

    /// A bus with the rules of the system bus and the policy file of the package, open to every user of this machine.
    fn system() -> PrivateBus {
        let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/dbus/org.edged.Edge1.conf");
        let mut config = tempfile::NamedTempFile::new().unwrap();
        let me = rustix::process::geteuid().as_raw();
        write!(
            config,
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
             "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <type>system</type><listen>unix:path=/unused</listen><auth>EXTERNAL</auth>
              <policy context="default">
                <allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
                <allow send_requested_reply="true" send_type="method_return"/>
                <allow send_requested_reply="true" send_type="error"/>
                <allow receive_type="method_call"/><allow receive_type="method_return"/>
                <allow receive_type="error"/><allow receive_type="signal"/>
                <allow send_destination="org.freedesktop.DBus"/>
              </policy>
              <include>{policy}</include>
              <policy user="{me}"><allow own="org.edged.Edge1"/></policy>
            </busconfig>"#
        )
        .unwrap();
        PrivateBus::with(&format!("--config-file={}", config.path().display()))
    }

    fn with(rules: &str) -> PrivateBus {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let listen = format!("unix:path={}/bus", folder.path().display());
        let mut daemon = Command::new("dbus-daemon")
            .args([rules, "--nofork", "--nopidfile", "--print-address", "--address", &listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed (package dbus)");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        PrivateBus { daemon, address: address.trim().to_owned(), _folder: folder }
    }

    fn address(&self) -> Address {
        Address::try_from(self.address.as_str()).unwrap()
    }

    async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address()).build().await.unwrap()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

async fn edged(bus: &PrivateBus) -> (Bus, Fake) {
    let driver = driver();
    let served = serve_at(driver.handle.clone(), &BusConfig::Session, bus.address(), &limits()).await.unwrap();
    served.own_name().await.unwrap();
    (served, driver)
}

fn hold() -> Message {
    Message::method_call(names::ROOT_PATH, "Infer")
        .destination(names::BUS_NAME)
        .interface(names::INFERENCE)
        .build(&("hold", Vec::<Tensor>::new(), no_options()))
        .unwrap()
}

#[tokio::test]
async fn callers_on_a_bus_are_known_by_what_the_bus_says() {
    let bus = PrivateBus::start();
    let (_edged, driver) = edged(&bus).await;
    let client = bus.connect().await;
    let inference = InferenceProxy::new(&client).await.unwrap();
    for _ in 0..3 {
        soon("reply", inference.infer_fd("echo", &[fd_tensor("a", &[1; 50_000])], &no_options())).await.unwrap();
    }
    let seen = driver.seen.lock().unwrap();
    let expected = format!("bus {} (uid {})", client.unique_name().unwrap(), rustix::process::geteuid().as_raw());
    assert!(seen.requests.iter().all(|request| request.caller.to_string() == expected), "{}", seen.requests[0].caller);
}

#[tokio::test]
async fn a_caller_that_leaves_the_bus_frees_what_it_waits_for() {
    let bus = PrivateBus::start();
    let (_edged, driver) = edged(&bus).await;
    let (leaving, staying) = (bus.connect().await, bus.connect().await);
    leaving.send(&hold()).await.unwrap();
    staying.send(&hold()).await.unwrap();
    let payload = memfd(b"abc", SEALS);
    let inference = InferenceProxy::new(&leaving).await.unwrap();
    let object = inference.submit("hold", "text/plain", Fd::from(&payload), &no_options()).await.unwrap();
    until("held", || driver.seen.lock().unwrap().held.len() == 3).await;
    let gone = format!("left bus {} ", leaving.unique_name().unwrap());
    drop(inference);
    leaving.close().await.unwrap();
    until("left", || driver.seen.lock().unwrap().events.iter().any(|event| event.starts_with(&gone))).await;
    assert_eq!(driver.seen.lock().unwrap().held.len(), 1);
    soon("the request's object is gone", async {
        let request = RequestProxy::new(&staying, object).await.unwrap();
        while !matches!(request.cancel().await, Err(zbus::Error::FDO(_))) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The one who stayed is still served.
    let mut replies = MessageStream::from(&staying);
    release(&driver.seen);
    soon("reply", async {
        while next(&mut replies).await.unwrap().message_type() != zbus::message::Type::MethodReturn {}
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_request_is_told_to_its_submitter_alone() {
    let bus = PrivateBus::start();
    let (_edged, driver) = edged(&bus).await;
    let (mine, other) = (bus.connect().await, bus.connect().await);
    let inference = InferenceProxy::new(&mine).await.unwrap();
    let payload = memfd(b"abc", SEALS);
    let path = inference.submit("hold", "text/plain", Fd::from(&payload), &no_options()).await.unwrap();
    let request = RequestProxy::new(&mine, path.clone()).await.unwrap();
    let spied = RequestProxy::new(&other, path).await.unwrap();
    let mut told = request.receive_completed().await.unwrap();
    let _listening = spied.receive_completed().await.unwrap();
    let mut overheard = MessageStream::from(&other);
    release(&driver.seen);
    next(&mut told).await;
    assert_eq!(refused(spied.result().await).code, ErrorCode::NotAuthorized);
    assert_eq!(refused(spied.cancel().await).code, ErrorCode::NotAuthorized);
    assert!(request.result().await.is_ok());
    // What the other heard until its own refusals holds no signal of the request.
    let mut refusals = 0;
    while refusals < 2 {
        let message = next(&mut overheard).await.unwrap();
        assert_ne!(message.header().member().map(|member| member.to_string()), Some("Completed".to_owned()));
        refusals += usize::from(message.message_type() == zbus::message::Type::Error);
    }
}

#[tokio::test]
async fn a_flood_of_one_caller_is_bounded_and_another_is_served() {
    let bus = PrivateBus::start();
    let (_edged, driver) = edged(&bus).await;
    let (flooding, other) = (bus.connect().await, bus.connect().await);
    let mut replies = MessageStream::from(&flooding);
    replies.set_max_queued(std::num::NonZeroUsize::new(4096).unwrap());
    for _ in 0..2000 {
        flooding.send(&hold()).await.unwrap();
    }
    let inference = InferenceProxy::new(&other).await.unwrap();
    soon("another caller", inference.infer("echo", &[], &no_options())).await.unwrap();
    let mut refusals = 0;
    while refusals < 2000 - limits().max_calls {
        let reply = next(&mut replies).await.unwrap();
        if reply.message_type() == zbus::message::Type::Error {
            assert_eq!(reply.header().error_name().unwrap().as_str(), "org.edged.Edge1.Error.Overloaded");
            refusals += 1;
        }
    }
    assert_eq!(driver.seen.lock().unwrap().held.len(), limits().max_calls);
}

#[tokio::test]
async fn a_second_daemon_on_the_bus_is_told_who_owns_the_name() {
    let bus = PrivateBus::start();
    let (_first, _driver) = edged(&bus).await;
    let second = driver();
    let second = serve_at(second.handle, &BusConfig::Session, bus.address(), &limits()).await.unwrap();
    let error = second.own_name().await.unwrap_err();
    let expected = format!("another edged owns org.edged.Edge1 on this bus (pid {})", std::process::id());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_named_with_its_address() {
    let driver = driver();
    let address = Address::try_from("unix:path=/nonexistent/bus").unwrap();
    let error = serve_at(driver.handle, &BusConfig::System, address, &limits()).await.unwrap_err();
    assert!(matches!(error, BusError::Absent { .. }));
    assert!(error.to_string().contains("no system bus at unix:path=/nonexistent/bus"), "{error}");
}

#[tokio::test]
async fn a_lost_bus_is_noticed() {
    let bus = PrivateBus::start();
    let (edged, _driver) = edged(&bus).await;
    drop(bus);
    let error = soon("noticed", edged.lost()).await;
    assert_eq!(error.to_string(), "the connection to the bus was lost");
}

#[tokio::test]
async fn a_closed_daemon_gives_its_name_back() {
    let bus = PrivateBus::start();
    let (first, _driver) = edged(&bus).await;
    first.close().await;
    let (_second, _driver) = edged(&bus).await;
    let client = bus.connect().await;
    assert_eq!(ManagerProxy::new(&client).await.unwrap().state().await.unwrap(), "serving");
}

/// Calls as a user that is neither root nor in any group that counts; what `dbus-send` says of it.
async fn call_as_nobody(bus: &PrivateBus, member: &str, arguments: &[&str]) -> String {
    const NOBODY: &str = "65534";
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "setpriv" } else { "dbus-send" });
    if root {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "dbus-send"]);
    }
    command.args([
        &format!("--bus={}", bus.address),
        "--print-reply",
        "--dest=org.edged.Edge1",
        names::ROOT_PATH,
        member,
    ]);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().expect("dbus-send is installed")).await.unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn on_the_system_bus_anybody_may_look_and_nobody_may_change() {
    let bus = PrivateBus::system();
    let driver = driver();
    let served = serve_at(driver.handle.clone(), &BusConfig::System, bus.address(), &limits()).await.unwrap();
    served.own_name().await.unwrap();
    let described = soon("describe", call_as_nobody(&bus, "org.edged.Edge1.Manager.Describe", &[])).await;
    assert!(described.contains("text-line"), "{described}");
    let properties = ["string:org.edged.Edge1.Manager"];
    let all = soon("read", call_as_nobody(&bus, "org.freedesktop.DBus.Properties.GetAll", &properties)).await;
    assert!(all.contains("serving"), "{all}");
    // The policy file of the bus keeps inference from those who may not; the daemon asks polkit, which is not there.
    let cancel = soon("infer", call_as_nobody(&bus, "org.edged.Edge1.Inference.Cancel", &["string:x"])).await;
    assert!(cancel.contains("org.freedesktop.DBus.Error.AccessDenied"), "{cancel}");
    let drain = soon("drain", call_as_nobody(&bus, "org.edged.Edge1.Manager.Drain", &[])).await;
    assert!(drain.contains("org.edged.Edge1.Error.NotAuthorized") && drain.contains("no polkit runs here"), "{drain}");
    assert_eq!(driver.handle.status().state, "serving");
}
