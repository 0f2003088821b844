//! A scripted driver, a connection to the real interfaces in front of it, and small helpers.

use std::collections::HashMap;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge_engine::protocol::{Datatype, Want};
use edge_wire::dto::{
    CacheEntry, Info, JobStatus, ModelStatus, Platform, ProviderInfo, ReadingInfo, Status, TensorInfo, Trace,
};
use edge_wire::error::{ErrorCode, Refused};
use edge_wire::tensor::FdTensor;
use edged::config::LimitsConfig;
use edged::handle::{Handle, Message, ReplySender};
use edged::request::{Blob, Failure, Output, Payload, Reply, Request, TensorOut};
use edged::transport::dbus::{Access, Authority, Identity, Service, Via, peers};
use rustix::fs::{MemfdFlags, SealFlags};
use tokio::sync::{mpsc, watch};
use zbus::export::async_trait::async_trait;
use zbus::export::futures_core::Stream;
use zbus::{Connection, Variant};

/// All seals of the contract.
pub const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// What the scripted driver saw, in the words of the test, and what it holds back.
#[derive(Default)]
pub struct Seen {
    pub events: Vec<String>,
    pub requests: Vec<Request>,
    pub held: Vec<(Request, ReplySender)>,
}

/// The scripted driver: what a request gets depends on the name of its model.
pub struct Fake {
    pub handle: Handle,
    pub seen: Arc<Mutex<Seen>>,
    pub status: watch::Sender<Arc<Status>>,
}

/// Starts it. A model called
/// `echo` gives back its inputs, or a document about its payload; `sealed` the same in memfds; `hold` gives nothing until
/// asked to; `no` refuses with a time to retry; `big` gives 1 MiB; `late` never answers; `dropped` drops the reply.
pub fn driver() -> Fake {
    let (inbox, mut messages) = mpsc::channel(256);
    let (status, watched) = watch::channel(Arc::new(status()));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (shared, publish) = (seen.clone(), status.clone());
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            take(message, &mut shared.lock().unwrap(), &publish);
        }
    });
    Fake { handle: Handle::new(inbox, watched), seen, status }
}

fn take(message: Message, seen: &mut Seen, status: &watch::Sender<Arc<Status>>) {
    match message {
        Message::Submit { request, reply } => submit(*request, reply, seen),
        Message::Cancel { caller, request_id, found } => {
            let open = |held: &(Request, ReplySender)| {
                held.0.caller == caller && held.0.options.request_id.as_ref() == Some(&request_id)
            };
            let place = seen.held.iter().position(open);
            if let Some(place) = place {
                let (request, reply) = seen.held.remove(place);
                reply.send(answer(&request, Err(Failure::new(ErrorCode::Cancelled, "cancelled"))));
            }
            let _gone = found.send(place.is_some());
        }
        Message::ClientLeft { caller } => {
            seen.held.retain(|(request, _)| request.caller != caller);
            seen.events.push(format!("left {caller}"));
        }
        Message::Status { done } => drop(done.send(status.borrow().clone())),
        Message::CutOff { done } => drop(done.send(())),
        Message::Drain => set_state(status, "draining"),
        Message::Resume => set_state(status, "serving"),
        Message::Hold { why, done } => {
            let told = if why.is_empty() { Err(Failure::invalid("why: 0 characters: takes 1 to 200")) } else { Ok(3) };
            seen.events.push(format!("hold {why}"));
            let _gone = done.send(told);
        }
        Message::Release { id } => seen.events.push(format!("release {id}")),
        Message::Governor { done } => {
            let now = status.borrow().governor.clone();
            let report = edge_wire::governor::GovernorReport { node: "box".into(), now, ..Default::default() };
            drop(done.send(Box::new(report)));
        }
        Message::Reload { done } => drop(done.send(Err("policy.lanes is 0; it takes 1 to 64".into()))),
        Message::Load { model, done } => {
            seen.events.push(format!("load {model}"));
            let _gone = done.send(Ok(()));
        }
        Message::Unload { model, done } => {
            seen.events.push(format!("unload {model}"));
            let _gone = done.send(Err(Failure::new(ErrorCode::UnknownModel, format!("no model {model}"))));
        }
        Message::Tune { model, done } => {
            seen.events.push(format!("tune {model}"));
            let _gone = done.send(Ok(7));
        }
        Message::Install { from, activate, how, who, done } => {
            let (mut bytes, file) = ([0; 7], std::fs::File::from(from));
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
            let bytes = String::from_utf8_lossy(&bytes);
            seen.events
                .push(format!("install {bytes} {activate:?} {how:?} by {}", who.split(' ').next().unwrap_or_default()));
            let _gone = done.send(Ok(8));
        }
        Message::Pull { wish, done } => {
            let how = (wish.activate, wish.pause, wish.force);
            seen.events.push(format!(
                "pull {} {how:?} by {}",
                wish.url,
                wish.who.split(' ').next().unwrap_or_default()
            ));
            let _gone = done.send(Ok(11));
        }
        Message::ExportCache { models, to, done, .. } => {
            std::io::Write::write_all(&mut std::fs::File::from(to), b"exported").unwrap();
            seen.events.push(format!("export {models:?}"));
            let _gone = done.send(Ok(12));
        }
        Message::ImportCache { from, done, .. } => {
            let mut bytes = [0; 8];
            std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::from(from), &mut bytes, 0).unwrap();
            seen.events.push(format!("import {}", String::from_utf8_lossy(&bytes)));
            let _gone = done.send(Ok(13));
        }
        Message::Activate { model, how, done, .. } => {
            seen.events.push(format!("activate {model} {how:?}"));
            let _gone = done.send(Ok(9));
        }
        Message::Rollback { model, done, .. } => {
            seen.events.push(format!("rollback {model}"));
            let _gone = done.send(Ok(10));
        }
        Message::Remove { model, done, .. } => {
            seen.events.push(format!("remove {model}"));
            let _gone = done.send(Err(Failure::invalid(format!("model: {model} is the active version"))));
        }
        Message::Sync { done } => {
            seen.events.push("sync".into());
            let _gone = done.send(Ok(1));
        }
        Message::Reports(_) => {}
        Message::History { done } => {
            let entry = edge_wire::history::HistoryEntry { what: "install".into(), ..Default::default() };
            let _gone = done.send(Ok(vec![entry]));
        }
        Message::Plan { model, done } => {
            let name = model.split(':').next().unwrap_or_default().to_owned();
            let plan = edge_wire::plan::Plan { model: name, ..Default::default() };
            let _gone = done.send(Ok(Box::new(plan)));
        }
        Message::CancelJob { id, done } => {
            seen.events.push(format!("cancel job {id}"));
            let _gone = done.send(Ok(()));
        }
        Message::Trace { request_id, found } => {
            let trace = Trace { request_id: request_id.clone(), outcome: "done".into(), ..Trace::default() };
            let _gone = found.send((request_id == "known").then_some(trace));
        }
        Message::Cache { done } => {
            let entry = CacheEntry { model: "text-line".into(), bytes: 7, ..CacheEntry::default() };
            let _gone = done.send(Ok(vec![entry]));
        }
        Message::ClearCache { model, done } => {
            seen.events.push(format!("clear {model:?}"));
            let _gone = done.send(Ok((1, 7)));
        }
        Message::Explain { profile, done } => {
            seen.events.push(format!("explain {profile:?}"));
            let explained = edge_wire::sites::Explanation {
                model: profile.model.clone(),
                verdict: "spill".into(),
                reason: "predicted_wait".into(),
                site: "plant".into(),
                predicted_ms: Some(900.0),
                ..Default::default()
            };
            let unknown = Failure::new(ErrorCode::UnknownModel, "no model nope");
            let _gone = done.send(if profile.model == "nope" { Err(unknown) } else { Ok(explained) });
        }
        Message::Audit { filter, done } => {
            seen.events.push(format!("audit {filter:?}"));
            let _gone =
                done.send(Ok(vec![edge_wire::sites::AuditEntry { site: "plant".into(), ..Default::default() }]));
        }
        Message::Usage { filter, done } => {
            seen.events.push(format!("usage {filter:?}"));
            let _gone = done.send(Ok(vec![edge_wire::sites::UsageRow { count: 7, ..Default::default() }]));
        }
        Message::Replay { policy, since, done } => {
            seen.events.push(format!("replay {policy} {since:?}"));
            let bad = || Failure::invalid("policy: site[0].zone: no zone `moon`");
            let told = edge_wire::sites::Replay { decisions: 5, ..Default::default() };
            let _gone = done.send(if policy.contains("moon") { Err(bad()) } else { Ok(told) });
        }
        Message::Notes(_)
        | Message::Refused(_)
        | Message::Mqtt(_)
        | Message::Scrape { .. }
        | Message::Sparkplug(_)
        | Message::Http(_)
        | Message::SiblingDone(_)
        | Message::SiblingHeard(_) => {}
    }
}

fn set_state(status: &watch::Sender<Arc<Status>>, state: &str) {
    status.send_modify(|status| {
        let changed = Status { state: state.into(), reason: "asked to".into(), ..(**status).clone() };
        *status = Arc::new(changed);
    });
}

fn submit(mut request: Request, reply: ReplySender, seen: &mut Seen) {
    let result = match request.model.as_str() {
        "hold" => return seen.held.push((request, reply)),
        "late" => return std::mem::forget(reply),
        "dropped" => return drop(reply),
        "no" => Err(Failure {
            code: ErrorCode::Overloaded,
            message: "predicted wait 900 ms, deadline 100 ms".into(),
            retry_after_ms: Some(800),
        }),
        "big" => Ok(Output::Tensors(vec![tensor("big", vec![1 << 20], Blob::Inline(vec![1; 1 << 20].into()))])),
        "many" => {
            let one = tensor("one", vec![1], Blob::Inline(vec![1].into()));
            Ok(Output::Tensors(vec![one; 17]))
        }
        _ => Ok(echo(&request)),
    };
    reply.send(answer(&request, result));
    // Whoever keeps it holds the answer's end open.
    request.stream = None;
    seen.requests.push(request);
}

/// Gives a held request its reply.
pub fn release(seen: &Arc<Mutex<Seen>>) {
    for (request, reply) in seen.lock().unwrap().held.drain(..) {
        let result = echo(&request);
        reply.send(answer(&request, Ok(result)));
    }
}

fn answer(request: &Request, result: Result<Output, Failure>) -> Reply {
    let info = Info {
        request_id: request.options.request_id.clone().unwrap_or_else(|| "made-up".into()),
        model: request.model.clone(),
        verdict: "local".into(),
        provider: "cpu".into(),
        queue_us: 10,
        batch: 1,
        warnings: request.options.warnings.clone(),
        ..Info::default()
    };
    Reply { result, info }
}

fn tensor(name: &str, shape: Vec<i64>, data: Blob) -> TensorOut {
    TensorOut { name: name.into(), datatype: Datatype::Uint8, shape, data }
}

fn echo(request: &Request) -> Output {
    match &request.payload {
        Payload::Tensors(tensors) => Output::Tensors(
            tensors
                .iter()
                .map(|input| {
                    let data = match (&input.data, request.model.as_str()) {
                        (Blob::Inline(bytes), "sealed") => {
                            let fd = Arc::new(memfd(bytes, SEALS));
                            Blob::Sealed { fd, offset: 0, len: bytes.len() as u64 }
                        }
                        (data, _) => data.clone(),
                    };
                    tensor(&input.name, input.shape.clone(), data)
                })
                .collect(),
        ),
        Payload::Encoded { content_type, .. } if content_type == "application/json" => {
            let said = r#"{"index":0,"message":{"role":"assistant","content":"oil"},"finish_reason":"stop"}"#;
            Output::Document(format!(
                r#"{{"object":"chat.completion","choices":[{said}],"usage":{{"total_tokens":3}}}}"#
            ))
        }
        Payload::Encoded { content_type, data } => {
            let kind = match data {
                Blob::Inline(_) => "inline",
                Blob::Sealed { .. } => "sealed",
                Blob::Unsealed { .. } => "unsealed",
            };
            assert_eq!(request.want, Want::Inline);
            Output::Document(format!("{{\"content_type\":\"{content_type}\",\"data\":\"{kind} {}\"}}", data.len()))
        }
    }
}

/// The state that the scripted driver publishes at first.
pub fn status() -> Status {
    let tensor = |name: &str| TensorInfo { name: name.into(), datatype: "FP32".into(), shape: vec![-1, 3] };
    let model = ModelStatus {
        name: "text-line".into(),
        version: "1.0.0".into(),
        description: "reads a line of text".into(),
        task: "ctc_text".into(),
        licence: "Apache-2.0".into(),
        state: "ready".into(),
        variant: "fp32".into(),
        providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
        inputs: vec![tensor("x")],
        outputs: vec![tensor("y"), tensor("z")],
        content_types: vec!["image/jpeg".into()],
        instances: 2,
        max_batch: 8,
        default_deadline_ms: 5000,
        goldens_passed: 3,
        load_ms: 120,
        service_us: 1500,
        done: 7,
        path: "/var/lib/edged/text-line".into(),
        ..ModelStatus::default()
    };
    Status {
        state: "serving".into(),
        version: "0.1.0".into(),
        governor: edge_wire::governor::GovernorStatus {
            regime: "throttled".into(),
            reason: "tj is hot".into(),
            headroom_c: Some(4.5),
            tightest: "tj".into(),
            capacity: edge_wire::governor::CapacityInfo {
                lanes: 1,
                batch: 8,
                duty: 0.5,
                sustainable: Some(0.4),
                ..Default::default()
            },
            ..Default::default()
        },
        platform: Platform { machine: "board".into(), cores: 2, ..Platform::default() },
        models: vec![model],
        jobs: vec![job(7)],
        readings: vec![ReadingInfo { name: "cpu_load".into(), value: Some(3.5), absent: String::new(), age_ms: 9 }],
        ..Status::default()
    }
}

/// A job that runs.
pub fn job(id: u64) -> JobStatus {
    JobStatus {
        id,
        operation: "build".into(),
        model: "text-line:1.0.0".into(),
        detail: "fp32 on openvino".into(),
        phase: "compiling".into(),
        percent: -1,
        elapsed_ms: 2500,
        expected_ms: 9000,
        state: "running".into(),
        notes: Vec::new(),
        last_error: String::new(),
    }
}

/// An authority that allows what its name says.
pub struct Allow {
    pub infer: bool,
    pub change: bool,
}

#[async_trait]
impl Authority for Allow {
    async fn check(&self, _: &Identity, access: Access<'_>) -> Result<(), Failure> {
        let allowed = match access {
            Access::Read => true,
            Access::Infer => self.infer,
            Access::Change { .. } => self.change,
        };
        allowed.then_some(()).ok_or_else(|| Failure::new(ErrorCode::NotAuthorized, "the fake says no"))
    }
}

pub fn limits() -> LimitsConfig {
    LimitsConfig {
        max_inline_bytes: 256 << 10,
        max_payload_bytes: 1 << 20,
        max_calls: 64,
        max_submitted: 4,
        max_peers: 2,
    }
}

/// A client of the real interfaces, with the scripted driver behind them.
pub struct Client {
    pub connection: Connection,
    pub driver: Fake,
    pub service: Arc<Service>,
}

/// Everything allowed.
pub async fn client() -> Client {
    client_with(Allow { infer: true, change: true }, limits()).await
}

/// A client that counts as a caller on a bus, so that it may `Connect`.
pub async fn client_with(authority: Allow, limits: LimitsConfig) -> Client {
    let driver = driver();
    let service = Service::new(driver.handle.clone(), limits, Arc::new(authority));
    let connection = attach(&service).await;
    Client { connection, driver, service }
}

/// One more connection to the same service.
pub async fn attach(service: &Arc<Service>) -> Connection {
    let uid = rustix::process::geteuid().as_raw();
    let who = Identity { name: ":1.7".into(), uid, groups: vec![], via: Via::Bus };
    let (ours, theirs) = UnixStream::pair().unwrap();
    let service = service.clone();
    tokio::spawn(async move { peers::serve(&service, ours, who).await.unwrap() });
    zbus::connection::Builder::unix_stream(theirs).p2p().build().await.unwrap()
}

/// A memfd with these bytes and seals.
pub fn memfd(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("test", flags).unwrap());
    file.write_all(bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

/// A tensor of bytes in a sealed memfd.
pub fn fd_tensor(name: &str, bytes: &[u8]) -> FdTensor {
    FdTensor {
        name: name.into(),
        datatype: "UINT8".into(),
        shape: vec![bytes.len() as u64],
        fd: memfd(bytes, SEALS).into(),
        offset: 0,
        length: bytes.len() as u64,
    }
}

/// No options.
pub fn no_options() -> HashMap<&'static str, Variant<'static>> {
    HashMap::new()
}

/// The "no" in a failed call.
pub fn refused<T: std::fmt::Debug>(result: zbus::Result<T>) -> Refused {
    let error = result.unwrap_err();
    Refused::from_dbus(&error).unwrap_or_else(|| panic!("not one of our errors: {error:?}"))
}

/// Fails a test that would hang.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The next item of a stream.
pub async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    soon("a signal", poll_fn(|context| Pin::new(&mut *stream).poll_next(context))).await.expect("the stream ended")
}
