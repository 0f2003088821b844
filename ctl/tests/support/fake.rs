//! A daemon that answers by script: the interfaces that the command uses, with canned records behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use edge_wire::dict::InfoDict;
use edge_wire::dto::{CacheEntry, Info, Status, Trace};
use edge_wire::error::ErrorCode;
use edge_wire::governor::GovernorReport;
use edge_wire::names;
use edge_wire::sites::{AuditEntry, Explanation, Replay, UsageRow};
use edge_wire::tensor::FdTensor;
use tokio::sync::oneshot;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;
use zbus::wire::serialized::Context;
use zbus::{OwnedVariant, fdo, interface};

use super::bus::PrivateBus;
use super::canned;

/// What the daemon shows and what it was asked.
#[derive(Default)]
pub struct Script {
    pub status: Status,
    pub traces: Vec<Trace>,
    /// What providers compiled.
    pub cache: Vec<CacheEntry>,
    /// A reload is refused with this.
    pub reload_fault: Option<String>,
    /// The answer of the governor, if it has one to give.
    pub governor: Option<GovernorReport>,
    /// What becomes of requests for these models; nobody is asked about others.
    pub explanations: Vec<Explanation>,
    /// What left the device.
    pub audit: Vec<AuditEntry>,
    /// What was served.
    pub usage: Vec<UsageRow>,
    /// What another policy makes of it.
    pub replay: Replay,
    /// It is of a time before there were other sites.
    pub knows_no_sites: bool,
    /// With each look a second has passed, in which so much was done.
    pub works: bool,
    /// A drain never ends.
    pub drains_for_ever: bool,
    /// There are no private connections.
    pub only_on_bus: bool,
    /// Calls in order, as text.
    pub calls: Vec<String>,
    /// How those who infer came: `bus`, `private`.
    pub ways: BTreeSet<&'static str>,
}

pub type Shared = Arc<Mutex<Script>>;

/// The daemon, on a thread of its own.
pub struct Fake {
    pub script: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts it; it owns the daemon's name when this returns.
    pub fn start(bus: &PrivateBus, status: Status) -> Fake {
        let script = Arc::new(Mutex::new(Script { status, traces: canned::traces(), ..Script::default() }));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let (address, shared) = (bus.address.clone(), Arc::clone(&script));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let connection = zbus::connection::Builder::address(address.as_str())
                    .serve_at(names::ROOT_PATH, Manager(Arc::clone(&shared)))
                    .serve_at(names::ROOT_PATH, Inference { shared: Arc::clone(&shared), way: "bus" })
                    .serve_at(names::ROOT_PATH, Models(Arc::clone(&shared)))
                    .serve_at(names::ROOT_PATH, Telemetry(Arc::clone(&shared)))
                    .serve_at(names::ROOT_PATH, Routing(Arc::clone(&shared)))
                    .serve_at(names::job_path(7), Job(Arc::clone(&shared)))
                    .name(names::BUS_NAME)
                    .build()
                    .await
                    .unwrap();
                ready.send(()).unwrap();
                let _ = stopped.await;
                drop(connection);
            });
        });
        is_ready.recv().unwrap();
        Fake { script, stop: Some(stop), thread: Some(thread) }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.script.lock().unwrap().calls.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A "no" as the daemon sends it.
#[derive(Debug)]
struct No {
    code: ErrorCode,
    message: String,
    retry_after_ms: Option<u64>,
    /// It is not the daemon's, but the bus library's: there is no such interface.
    is_unknown: bool,
}

impl No {
    fn new(code: ErrorCode, message: impl Into<String>) -> No {
        No { code, message: message.into(), retry_after_ms: None, is_unknown: false }
    }

    fn unknown(interface: &str) -> No {
        No { is_unknown: true, ..No::new(ErrorCode::Internal, format!("Unknown interface '{interface}'")) }
    }
}

impl zbus::DBusError for No {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let reply = Message::error(call, self.name());
        match self.retry_after_ms {
            Some(after) => reply.build(&(&self.message, after)),
            None => reply.build(&self.message),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        if self.is_unknown {
            return ErrorName::from_static_str_unchecked("org.freedesktop.DBus.Error.UnknownInterface");
        }
        ErrorName::try_from(self.code.dbus_name()).unwrap()
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

struct Manager(Shared);

impl Manager {
    fn enter(&self, state: &str, left: u32) {
        let mut script = self.0.lock().unwrap();
        script.status.state = state.into();
        script.status.reason = if left > 0 { format!("{left} requests are left") } else { String::new() };
        (script.status.waiting, script.status.running) = (left, 0);
    }
}

#[interface(name = "org.edged.Edge1.Manager")]
impl Manager {
    async fn describe(&self) -> String {
        let mut script = self.0.lock().unwrap();
        script.calls.push("Describe".into());
        let mut told = serde_json::to_value(&script.status).unwrap();
        if script.knows_no_sites {
            told.as_object_mut().unwrap().remove("routing");
        }
        let told = told.to_string();
        // A drain goes on by itself: the next look finds it done.
        if script.status.state == "draining" && !script.drains_for_ever {
            script.status.state = "drained".into();
            script.status.reason = "nothing is left; nothing new is taken".into();
            script.status.waiting = 0;
        }
        if script.works {
            work(&mut script.status);
        }
        // So does the job that is a second from its end.
        if let Some(job) = script.status.jobs.iter_mut().find(|job| job.id == 8 && job.state == "running") {
            (job.percent, job.elapsed_ms, job.state) = (100, job.elapsed_ms + 1000, "done".into());
        }
        told
    }

    async fn trace(&self, request_id: String) -> Result<String, No> {
        let script = self.0.lock().unwrap();
        let found = script.traces.iter().find(|trace| trace.request_id == request_id);
        found
            .map(|trace| serde_json::to_string(trace).unwrap())
            .ok_or_else(|| No::new(ErrorCode::InvalidInput, format!("request_id \"{request_id}\" has no trace here")))
    }

    async fn hold(&self, why: String) -> Result<zbus::OwnedFd, No> {
        if why == "nothing" {
            return Err(No::new(ErrorCode::NotAuthorized, "holding the device needs an administrator"));
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
        let shared = Arc::clone(&self.0);
        {
            let mut script = shared.lock().unwrap();
            script.calls.push(format!("hold {why}"));
            script.status.governor.capacity.held = why;
            script.status.running = 0;
        }
        tokio::spawn(async move {
            let _ = tokio::io::AsyncReadExt::read(&mut ours, &mut [0]).await;
            let mut script = shared.lock().unwrap();
            script.calls.push("let go".into());
            script.status.governor.capacity.held.clear();
        });
        Ok(OwnedFd::from(theirs).into())
    }

    async fn drain(&self) {
        self.enter("draining", 2);
    }

    async fn resume(&self) {
        self.enter("serving", 0);
    }

    async fn reload(&self) -> Result<(), No> {
        match self.0.lock().unwrap().reload_fault.clone() {
            Some(fault) => Err(No::new(ErrorCode::InvalidInput, fault)),
            None => Ok(()),
        }
    }
}

/// A second in which most requests were done.
fn work(status: &mut Status) {
    status.uptime_ms += 1000;
    let counters = &mut status.counters;
    counters.arrived += 55;
    counters.accepted += 53;
    counters.done += 52;
    counters.refused += 2;
    status.models[0].done += 40;
    status.models[1].done += 12;
}

struct Telemetry(Shared);

#[interface(name = "org.edged.Edge1.Telemetry")]
impl Telemetry {
    async fn governor(&self, _options: Given) -> fdo::Result<String> {
        let script = self.0.lock().unwrap();
        let report = script.governor.as_ref().ok_or_else(|| fdo::Error::UnknownMethod("no method Governor".into()))?;
        Ok(serde_json::to_string(report).unwrap())
    }
}

struct Routing(Shared);

impl Routing {
    /// Notes a call; an error as from a bus where the daemon does not have this interface.
    fn note(&self, call: String) -> Result<(), No> {
        let mut script = self.0.lock().unwrap();
        script.calls.push(call);
        if script.knows_no_sites { Err(No::unknown("org.edged.Edge1.Routing")) } else { Ok(()) }
    }
}

#[interface(name = "org.edged.Edge1.Routing")]
impl Routing {
    async fn explain(&self, model: String, profile: Given) -> Result<Given, No> {
        self.note(format!("explain {model} {}", told(&profile)))?;
        let script = self.0.lock().unwrap();
        let found = script.explanations.iter().find(|explanation| explanation.model == model);
        let found = found.ok_or_else(|| No::new(ErrorCode::UnknownModel, format!("no model {model}")))?;
        let json = serde_json::to_string(found).unwrap();
        Ok(Given::from([("json".to_owned(), OwnedVariant::from(zbus::Str::from(json)))]))
    }

    async fn audit(&self, options: Given) -> Result<String, No> {
        self.note(format!("audit {}", told(&options)))?;
        let text = |name: &str| options.get(name).map(|value| String::try_from(value.try_clone().unwrap()).unwrap());
        let script = self.0.lock().unwrap();
        let is_meant = |entry: &&AuditEntry| text("site").is_none_or(|site| site == entry.site);
        Ok(serde_json::to_string(&script.audit.iter().filter(is_meant).collect::<Vec<_>>()).unwrap())
    }

    async fn usage(&self, options: Given) -> Result<String, No> {
        self.note(format!("usage {}", told(&options)))?;
        let mut rows = self.0.lock().unwrap().usage.clone();
        if told(&options).contains("step=\"all\"") {
            rows.iter_mut().for_each(|row| (row.from, row.span_s) = (String::new(), 0));
        }
        Ok(serde_json::to_string(&rows).unwrap())
    }

    async fn replay(&self, policy: zbus::OwnedFd, options: Given) -> Result<String, No> {
        let mut text = String::new();
        File::from(OwnedFd::from(policy)).read_to_string(&mut text).unwrap();
        self.note(format!("replay {} bytes {}", text.len(), told(&options)))?;
        if text.contains("colour") {
            let faults = "policy: policy: site.0.colour: no such key\npolicy: site.0.zone: `moon` given: takes device, premises, \
                          region or cloud";
            return Err(No::new(ErrorCode::InvalidInput, faults));
        }
        Ok(serde_json::to_string(&self.0.lock().unwrap().replay).unwrap())
    }
}

/// Options, those that change from run to run without their values.
fn told(options: &Given) -> String {
    let told: Vec<String> = options.iter().map(option).collect();
    format!("{{{}}}", told.join(", "))
}

struct Models(Shared);

#[interface(name = "org.edged.Edge1.Models")]
impl Models {
    async fn cache(&self) -> String {
        serde_json::to_string(&self.0.lock().unwrap().cache).unwrap()
    }

    async fn export_cache(
        &self,
        models: Vec<String>,
        to: zbus::OwnedFd,
        _options: Given,
    ) -> Result<zbus::OwnedObjectPath, No> {
        if models.iter().any(|model| model == "none") {
            return Err(No::new(ErrorCode::Unavailable, "nothing is kept: this is a simulator"));
        }
        std::io::Write::write_all(&mut std::fs::File::from(OwnedFd::from(to)), b"exported").unwrap();
        let notes = ["exported: plan of speech:1.0.0", "exported: engine of speech for openvino (fp32)"];
        Ok(self.carried("export", if models.is_empty() { "all models" } else { "speech" }, "done", &notes))
    }

    async fn import_cache(&self, from: zbus::OwnedFd, _options: Given) -> zbus::OwnedObjectPath {
        let (bytes, _) = read(OwnedFd::from(from));
        let why = "engine of speech for openvino (fp32), of press-7: processor was \"i7\", this box has \"i5\"";
        match bytes {
            8 => self.carried(
                "import",
                "plans and engines",
                "done",
                &["taken: plan of speech:1.0.0", &format!("refused: {why}")],
            ),
            _ => self.carried("import", "plans and engines", "failed", &[]),
        }
    }

    async fn clear_cache(&self, options: Given) -> (u32, u64) {
        let model = options.get("model").map(|model| String::try_from(model.try_clone().unwrap()).unwrap());
        let mut script = self.0.lock().unwrap();
        let goes = |entry: &CacheEntry| !entry.in_use && model.as_ref().is_none_or(|model| *model == entry.model);
        let (gone, kept): (Vec<CacheEntry>, _) = script.cache.drain(..).partition(goes);
        script.cache = kept;
        (u32::try_from(gone.len()).unwrap(), gone.iter().map(|entry| entry.bytes).sum())
    }
}

impl Models {
    /// A job that has ended already.
    fn carried(&self, operation: &str, model: &str, state: &str, notes: &[&str]) -> zbus::OwnedObjectPath {
        let mut script = self.0.lock().unwrap();
        let id = 20 + u64::try_from(script.status.jobs.len()).unwrap();
        let failed = "nothing of it is for this box: plan of speech:1.0.0, of press-7: device was a, and is b";
        script.status.jobs.push(edge_wire::dto::JobStatus {
            id,
            operation: operation.into(),
            model: model.into(),
            percent: -1,
            elapsed_ms: 1500,
            state: state.into(),
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            last_error: if state == "failed" { failed.into() } else { String::new() },
            ..Default::default()
        });
        zbus::ObjectPath::try_from(edge_wire::names::job_path(id)).unwrap().into()
    }
}

/// The one job that can be given up.
struct Job(Shared);

#[interface(name = "org.edged.Edge1.Job")]
impl Job {
    async fn cancel(&self, _options: Given) -> Result<(), No> {
        let mut script = self.0.lock().unwrap();
        script.calls.push("cancel job 7".into());
        let job = script.status.jobs.iter_mut().find(|job| job.id == 7).unwrap();
        if job.state != "running" {
            return Err(No::new(ErrorCode::InvalidInput, "job: job 7 has ended already (cancelled): none runs"));
        }
        job.state = "cancelled".into();
        Ok(())
    }
}

struct Inference {
    shared: Shared,
    /// How the caller came, for the record of calls: `bus` or `private`.
    way: &'static str,
}

type Given = BTreeMap<String, OwnedVariant>;

#[interface(name = "org.edged.Edge1.Inference")]
impl Inference {
    async fn infer_encoded(
        &self,
        model: String,
        content_type: String,
        payload: zbus::OwnedFd,
        options: Given,
    ) -> Result<(String, Given), No> {
        let (bytes, sealed) = read(OwnedFd::from(payload));
        self.note(&model, &format!("{content_type} {bytes} bytes sealed={sealed}"), &options);
        let info = answer(&model, &options).await?;
        Ok((canned::document(model.split(':').next().unwrap()), info))
    }

    async fn infer_fd(
        &self,
        model: String,
        inputs: Vec<FdTensor>,
        options: Given,
    ) -> Result<(Vec<FdTensor>, Given), No> {
        let inputs = inputs.into_iter().map(|tensor| {
            let FdTensor { name, datatype, shape, fd, offset, length } = tensor;
            let (bytes, sealed) = read(OwnedFd::from(fd));
            assert_eq!((offset, length), (0, bytes as u64));
            format!("{name} {datatype} {shape:?} {bytes} bytes sealed={sealed}")
        });
        self.note(&model, &inputs.collect::<Vec<_>>().join(", "), &options);
        Ok((Vec::new(), answer(&model, &options).await?))
    }

    async fn connect(&self, _options: Given) -> fdo::Result<zbus::OwnedFd> {
        if self.shared.lock().unwrap().only_on_bus {
            return Err(fdo::Error::UnknownMethod("no method Connect".into()));
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        let inference = Inference { shared: Arc::clone(&self.shared), way: "private" };
        tokio::spawn(async move {
            let builder = zbus::connection::Builder::unix_stream(ours).server(zbus::Guid::generate()).p2p();
            let _connection = builder.serve_at(names::ROOT_PATH, inference).build().await.unwrap();
            std::future::pending::<()>().await;
        });
        Ok(OwnedFd::from(theirs).into())
    }
}

impl Inference {
    fn note(&self, model: &str, input: &str, options: &Given) {
        let told: Vec<String> = options.iter().filter(|(key, _)| *key != "request_id").map(option).collect();
        let call = format!("{model} {input} {{{}}}", told.join(", "));
        let mut script = self.shared.lock().unwrap();
        script.ways.insert(self.way);
        script.calls.push(call);
    }
}

/// What comes with the answer of this model, or its "no".
async fn answer(model: &str, options: &Given) -> Result<Given, No> {
    let id = options.get("request_id").and_then(|id| String::try_from(id.try_clone().unwrap()).ok());
    let name = model.split(':').next().unwrap_or_default();
    match refusal(name) {
        Some(no) => Err(no),
        None if name == "slow" => std::future::pending().await,
        None => Ok(info(name, id)),
    }
}

fn option((key, value): (&String, &OwnedVariant)) -> String {
    format!("{key}={value}", value = zbus::Variant::from(value.try_clone().unwrap()))
}

/// The dictionary as it crosses the bus; one model tells more than any daemon does today.
fn info(model: &str, id: Option<String>) -> Given {
    let by = if model == "away" { super::canned_routing::away() } else { canned::info() };
    let info = Info { model: model.into(), request_id: id.unwrap_or_default(), ..by };
    let data = zbus::wire::to_bytes(Context::new(zbus::wire::LE, 0), &InfoDict::from(info)).unwrap();
    let mut info: Given = data.deserialize().unwrap().0;
    if model == "metered" {
        info.insert("energy_mj".into(), zbus::Variant::from(12.5).try_into().unwrap());
    }
    info
}

/// Models that always say no.
fn refusal(model: &str) -> Option<No> {
    let no = match model {
        "busy" => No {
            retry_after_ms: Some(70),
            ..No::new(ErrorCode::Overloaded, "all places for waiting requests are taken (policy.max_waiting)")
        },
        "late" => No::new(ErrorCode::DeadlineExceeded, "deadline_ms: shorter than the model takes on an idle box"),
        "guarded" => No::new(ErrorCode::NotAuthorized, "user 1000 is not in the group edge"),
        "nothing" => No::new(ErrorCode::UnknownModel, "no model nothing"),
        _ => return None,
    };
    Some(no)
}

/// Size of the payload, and whether it is a memfd that nobody can change.
fn read(fd: OwnedFd) -> (usize, bool) {
    use rustix::fs::{SealFlags, fcntl_get_seals};
    let wanted = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let sealed = fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(wanted));
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    if sealed {
        bytes.resize(usize::try_from(file.metadata().unwrap().len()).unwrap(), 0);
        file.read_exact_at(&mut bytes, 0).unwrap();
    } else {
        file.read_to_end(&mut bytes).unwrap();
    }
    (bytes.len(), sealed)
}
