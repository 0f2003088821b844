//! An engine host for models that are not served: one model at a time, one request at a time, on the reference provider (the
//! CPU). Knows nothing of the daemon that may run beside it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edge_engine::bundle::{self, Variant};
use edge_engine::memfile;
use edge_engine::protocol::{
    Data, DeviceOptions, FromHost, HostError, Input, LoadModel, LoadedModel, Member, Output, Precision, ProviderSetup,
    Run, Setup, TensorData, ToHost, ToLane, Want,
};

use crate::lanes::process::Process;
use crate::lanes::{HostEvent, SendError, SpawnError};

/// How long a host may say nothing: large models load and run slowly on a small processor, and one that hangs must end.
const PATIENCE: Duration = Duration::from_secs(300);
/// The provider that everything is held against.
pub const REFERENCE: &str = "cpu";

/// Why a model could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("copy the payload into memory")]
    Memory(#[source] std::io::Error),
    #[error("read what the host answered")]
    Answer(#[source] std::io::Error),
    #[error("the host answered something that is no document")]
    Json(#[source] serde_json::Error),
    #[error("start ONNX Runtime {}: {message}", library.display())]
    Start { library: PathBuf, message: String },
    #[error("{0}")]
    Load(String),
    #[error("{}", .0.message)]
    Request(HostError),
    #[error("{0}")]
    Gone(String),
    #[error("the engine host has said nothing for {} s", PATIENCE.as_secs())]
    Silent,
}

/// The parts that the bundle in `dir` needs, which lie beside it; of several the newest. What is missing the host tells.
fn beside(dir: &Path) -> Vec<PathBuf> {
    let Ok(model) = bundle::open(dir) else { return Vec::new() };
    let around = dir.canonicalize().ok().and_then(|dir| dir.parent().map(Path::to_owned));
    let entries = around.and_then(|around| std::fs::read_dir(around).ok()).into_iter().flatten().flatten();
    let parts: Vec<bundle::Bundle> = entries.filter_map(|entry| bundle::open(&entry.path()).ok()).collect();
    let graphs = model.manifest().graphs();
    let part = |need: &bundle::Need| {
        let good = |part: &&bundle::Bundle| {
            let manifest = part.manifest();
            let offered = manifest.offered().filter(|_| manifest.name == need.name);
            offered.is_some_and(|offered| bundle::fits(need, &graphs, offered).is_ok())
        };
        let order = |one: &&bundle::Bundle, other: &&bundle::Bundle| {
            bundle::range::order(&one.manifest().version, &other.manifest().version)
        };
        Some(parts.iter().filter(good).max_by(order)?.dir().to_owned())
    };
    model.manifest().needs.iter().filter_map(part).collect()
}

/// Shape and bytes of an output.
pub type Shaped = (Vec<i64>, Vec<u8>);

/// The host.
#[derive(Debug)]
pub struct Room {
    process: Process,
    /// Version of the runtime.
    pub runtime: String,
    /// Providers that are compiled into it.
    pub providers: Vec<String>,
    next: u64,
    loads: u32,
    /// Nanoseconds that the last request took in the model.
    pub took_ns: u64,
}

impl Room {
    /// Starts `program engine-host` with this ONNX Runtime.
    pub async fn start(program: &Path, library: &Path) -> Result<Room, RoomError> {
        let provider = ProviderSetup { name: REFERENCE.into(), plugin: None, options: DeviceOptions::default() };
        Room::start_for(program, library, provider).await
    }

    /// The same for another provider, to find out whether it registers; models are run on the reference alone.
    pub async fn start_for(program: &Path, library: &Path, provider: ProviderSetup) -> Result<Room, RoomError> {
        let process = Process::spawn(program)?;
        let mut room = Room { process, runtime: String::new(), providers: Vec::new(), next: 0, loads: 0, took_ns: 0 };
        let start = ToHost::Start { library: library.to_owned(), provider, background: false };
        room.process.send(&start, Vec::new())?;
        match room.answer(|message| matches!(message, FromHost::Started { .. } | FromHost::StartFailed { .. })).await? {
            (FromHost::Started { version, providers, .. }, _) => (room.runtime, room.providers) = (version, providers),
            (FromHost::StartFailed { message }, _) => {
                return Err(RoomError::Start { library: library.to_owned(), message });
            }
            _ => {}
        }
        Ok(room)
    }

    /// Loads a variant of the bundle in `dir` as the one model, after whatever was loaded before.
    pub async fn load(&mut self, dir: &Path, variant: &Variant, check_goldens: bool) -> Result<LoadedModel, RoomError> {
        if self.loads > 0 {
            self.process.send(&ToHost::Unload { model: 0 }, Vec::new())?;
            self.answer(|message| matches!(message, FromHost::Unloaded { .. })).await?;
        }
        self.loads += 1;
        let setup = Setup {
            variant: variant.name.clone(),
            provider: REFERENCE.into(),
            precision: Precision::Exact,
            threads: variant.threads,
            instances: 1,
        };
        let load = LoadModel {
            model: 0,
            load: self.loads,
            bundle: dir.to_owned(),
            parts: beside(dir),
            first_lane: 0,
            setup,
            check_goldens,
            trial: false,
            cache_dir: None,
        };
        self.process.send(&ToHost::Load(load), Vec::new())?;
        let ended = |message: &FromHost| matches!(message, FromHost::Loaded(_) | FromHost::LoadFailed { .. });
        match self.answer(ended).await? {
            (FromHost::Loaded(loaded), channels) => {
                self.process.lanes(0, channels);
                Ok(loaded)
            }
            (FromHost::LoadFailed { message, .. }, _) => Err(RoomError::Load(message)),
            _ => Err(RoomError::Silent),
        }
    }

    /// The document that the model makes of a payload.
    pub async fn document(&mut self, content_type: &str, payload: &[u8]) -> Result<serde_json::Value, RoomError> {
        let id = self.id();
        let file = Arc::new(memfile::sealed(payload).map_err(RoomError::Memory)?);
        let data = Data::Sealed { fd: 0, offset: 0, len: payload.len() as u64 };
        let content_type = content_type.to_owned();
        let prepare = ToHost::Prepare { id, model: 0, content_type, payload: data, part: None, keep: false };
        self.process.send(&prepare, vec![file])?;
        let prepared = |message: &FromHost| matches!(message, FromHost::Prepared { id: done, .. } if *done == id);
        if let (FromHost::Prepared { result, .. }, _) = self.answer(prepared).await? {
            result.map_err(RoomError::Request)?;
        }
        match self.run(Member { id, input: Input::Prepared, start_before: u64::MAX }).await? {
            (Output::Document(data), fds) => serde_json::from_slice(&bytes(&data, &fds)?).map_err(RoomError::Json),
            (Output::Tensors(_), _) => Ok(serde_json::Value::Null),
        }
    }

    /// What the model makes of tensors, in the order of its inputs; each with its shape and little-endian bytes.
    pub async fn tensors(&mut self, inputs: &[Shaped]) -> Result<Vec<Shaped>, RoomError> {
        let id = self.id();
        let sealed = |(_, bytes): &Shaped| memfile::sealed(bytes).map(Arc::new).map_err(RoomError::Memory);
        let files = inputs.iter().map(sealed).collect::<Result<Vec<_>, _>>()?;
        let tensor = |(index, (shape, bytes)): (u16, &Shaped)| {
            let data = Data::Sealed { fd: index, offset: 0, len: bytes.len() as u64 };
            TensorData { index, shape: shape.clone(), data }
        };
        let tensors = (0..).zip(inputs).map(tensor).collect();
        let member = Member { id, input: Input::Tensors { tensors, want: Want::Sealed }, start_before: u64::MAX };
        match self.run_with(member, &files).await? {
            (Output::Tensors(tensors), fds) => {
                tensors.into_iter().map(|tensor| Ok((tensor.shape, bytes(&tensor.data, &fds)?))).collect()
            }
            (Output::Document(_), _) => Ok(Vec::new()),
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    async fn run(&mut self, member: Member) -> Result<(Output, Vec<OwnedFd>), RoomError> {
        self.run_with(member, &[]).await
    }

    async fn run_with(&mut self, member: Member, files: &[Arc<OwnedFd>]) -> Result<(Output, Vec<OwnedFd>), RoomError> {
        self.process.run(0, &ToLane::Run(Run { members: vec![member] }), files)?;
        let (message, fds) = self.answer(|message| matches!(message, FromHost::Ran { .. })).await?;
        let FromHost::Ran { took_ns, members, .. } = message else { return Err(RoomError::Silent) };
        self.took_ns = took_ns;
        let done = members.into_iter().next().ok_or(RoomError::Silent)?;
        Ok((done.result.map_err(RoomError::Request)?, fds))
    }

    /// The next message that is wanted; others (notes, progress) are passed over.
    async fn answer(&mut self, wanted: impl Fn(&FromHost) -> bool) -> Result<(FromHost, Vec<OwnedFd>), RoomError> {
        loop {
            match tokio::time::timeout(PATIENCE, self.process.next()).await {
                Ok(HostEvent::Message(message, fds)) if wanted(&message) => return Ok((message, fds)),
                Ok(HostEvent::Message(..)) => {}
                Ok(HostEvent::Gone(why)) => return Err(RoomError::Gone(why)),
                Err(_) => return Err(RoomError::Silent),
            }
        }
    }
}

/// The bytes behind `data`.
fn bytes(data: &Data, fds: &[OwnedFd]) -> Result<Vec<u8>, RoomError> {
    let (fd, offset, len) = match data {
        Data::Inline(bytes) => return Ok(bytes.clone()),
        Data::Sealed { fd, offset, len } => (*fd, *offset, *len),
        Data::Unsealed { fd, max_len } => (*fd, 0, *max_len),
    };
    let lost = || RoomError::Answer(std::io::ErrorKind::UnexpectedEof.into());
    let file = fds.get(usize::from(fd)).ok_or_else(lost)?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| lost())?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, offset + done as u64) {
            Ok(0) => return Err(lost()),
            Ok(read) => done += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(RoomError::Answer(errno.into())),
        }
    }
    Ok(bytes)
}
