//! Starts an engine host as a child and speaks the daemon's side of the protocol to it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cards;
pub mod plugins;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use edge_engine::channel::{self, ChannelError, Receiver};
use edge_engine::media::Frame;
use edge_engine::protocol::{
    Data, DeviceOptions, FromHost, HostError, Input, LoadModel, LoadPhase, LoadedModel, Member, MemberDone, Output,
    Precision, ProviderSetup, Run, Setup, TensorData, ToHost, ToLane, Want,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, MemfdFlags, Mode, SealFlags};

/// Longest wait for one message.
pub const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
pub const NO_LIMIT: u64 = u64::MAX;

/// The directory that `fetch.py` filled, unless the environment names other places.
fn fetched() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.fetch")
}

/// The runtime library, or a word that the test was skipped; in CI, where it was fetched before, a failure.
pub fn library() -> Option<PathBuf> {
    let named = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let path = named.unwrap_or_else(|| fetched().join("runtime/libonnxruntime.so.1.32.0"));
    if path.is_file() {
        return Some(path.canonicalize().unwrap());
    }
    let missing = format!("no ONNX Runtime at {} (python3 onnx-models/fetch.py .fetch)", path.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    println!("SKIPPED: {missing}");
    None
}

/// A bundle with real weights.
pub fn bundle(name: &str) -> PathBuf {
    let named = std::env::var_os("EDGE_MODELS_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| fetched().join("bundles")).join(name)
}

/// A tiny bundle of the repository.
pub fn test_bundle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx-models/test").join(name)
}

/// The bundle's own wish for this provider; something like one if the bundle is no good.
pub fn setup(bundle: &Path, provider: &str) -> Setup {
    let opened = edge_engine::bundle::open(bundle).ok();
    let wish = |bundle: edge_engine::bundle::Bundle| {
        let wishes = bundle.manifest().variant.iter().flat_map(|variant| variant.setups().collect::<Vec<_>>());
        wishes.into_iter().find(|setup| setup.provider == provider)
    };
    opened.and_then(wish).unwrap_or_else(|| Setup {
        variant: "only".into(),
        provider: provider.into(),
        precision: Precision::Exact,
        threads: 1,
        instances: 1,
    })
}

/// Starts the runtime for the CPU.
pub fn start(library: PathBuf) -> ToHost {
    start_for(library, "cpu", None)
}

/// Starts the runtime for a provider.
pub fn start_for(library: PathBuf, name: &str, plugin: Option<PathBuf>) -> ToHost {
    ToHost::Start { library, provider: provider(name, plugin), background: false }
}

/// A provider with the options that are usual for it.
pub fn provider(name: &str, plugin: Option<PathBuf>) -> ProviderSetup {
    ProviderSetup { name: name.into(), plugin, options: DeviceOptions::default() }
}

/// Shape and bytes of an output.
pub type Shaped = (Vec<i64>, Vec<u8>);

pub struct Host {
    pub child: Child,
    /// The one that it was started for.
    pub provider: String,
    directory: tempfile::TempDir,
    socket: OwnedFd,
    lanes: RefCell<HashMap<u16, OwnedFd>>,
    first_lanes: RefCell<HashMap<u16, u16>>,
    receiver: Receiver,
    /// Messages that came while another was waited for.
    early: Vec<(FromHost, Vec<OwnedFd>)>,
    pub notes: Vec<String>,
    /// What was said of loads that went on.
    pub progress: Vec<LoadPhase>,
    /// Where what is compiled is kept.
    pub cache_dir: Option<PathBuf>,
    next: u64,
}

impl Host {
    /// A child that has not been told to start the runtime.
    pub fn spawn() -> Host {
        let (ours, theirs) = channel::pair().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("probe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine-host"));
        command.arg("--probe").arg(&fifo).stdin(Stdio::from(theirs)).stdout(Stdio::piped());
        // As the daemon does, and with a home of its own.
        command.env("MALLOC_ARENA_MAX", "2").env("ORT_DISABLE_TELEMETRY", "1").env("HOME", directory.path());
        let child = command.spawn().unwrap();
        let receiver = Receiver::default();
        Host {
            child,
            provider: String::new(),
            directory,
            socket: ours,
            lanes: RefCell::default(),
            first_lanes: RefCell::default(),
            receiver,
            early: Vec::new(),
            notes: Vec::new(),
            progress: Vec::new(),
            cache_dir: None,
            next: 1,
        }
    }

    /// A child with the runtime loaded; `None` (and a word about it) if there is no library.
    pub fn start() -> Option<Host> {
        Host::start_for("cpu", None)
    }

    /// The same for another provider, which is there.
    pub fn start_for(name: &str, plugin: Option<PathBuf>) -> Option<Host> {
        Host::start_with(provider(name, plugin))
    }

    /// The same with options.
    pub fn start_with(provider: ProviderSetup) -> Option<Host> {
        let library = library()?;
        let mut host = Host::spawn();
        host.provider.clone_from(&provider.name);
        host.send(&ToHost::Start { library, provider, background: false }, &[]);
        match host.receive().0 {
            FromHost::Started { version, providers, identity, .. } => {
                assert!(!identity.device.is_empty(), "{identity:?}");
                assert_eq!(identity.digest.is_empty(), host.provider == "cpu", "{identity:?}");
                assert!(version.starts_with("1."), "{version}");
                assert!(providers.contains(&"cpu".to_owned()), "{providers:?}");
            }
            other => panic!("{other:?}"),
        }
        Some(host)
    }

    /// Names of what the host has put into its home directory.
    pub fn written(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "probe").collect()
    }

    /// CPU time of each of its threads, by number: name and ticks of 10 ms.
    pub fn threads(&self) -> HashMap<String, (String, u64)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let ticks = |path: PathBuf| {
            // A thread may end meanwhile.
            let stat = std::fs::read_to_string(path.join("stat")).ok()?;
            let name = stat.split(['(', ')']).nth(1)?.to_owned();
            let fields: Vec<u64> =
                stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
            Some((name, fields.iter().sum()))
        };
        let thread = |entry: std::fs::DirEntry| Some((entry.file_name().into_string().ok()?, ticks(entry.path())?));
        tasks.filter_map(|entry| thread(entry.unwrap())).collect()
    }

    pub fn send(&self, message: &ToHost, fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        channel::send(&self.socket, message, &fds).unwrap();
    }

    /// Gives a lane a batch.
    pub fn run(&self, lane: u16, members: Vec<Member>, fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let lanes = self.lanes.borrow();
        channel::send(lanes.get(&lane).expect("the lane's channel"), &ToLane::Run(Run { members }), &fds).unwrap();
    }

    /// Whether nobody reads a lane's channel any more.
    pub fn is_closed(&self, lane: u16) -> bool {
        let lanes = self.lanes.borrow();
        let channel = lanes.get(&lane).expect("the lane's channel");
        matches!(channel::send(channel, &ToLane::Run(Run { members: Vec::new() }), &[]), Err(ChannelError::Closed))
    }

    /// The next message that is not a note.
    pub fn receive(&mut self) -> (FromHost, Vec<OwnedFd>) {
        self.try_receive().expect("the engine host is gone")
    }

    /// The same, or `None` once the host is gone.
    pub fn try_receive(&mut self) -> Option<(FromHost, Vec<OwnedFd>)> {
        if !self.early.is_empty() {
            return Some(self.early.remove(0));
        }
        loop {
            match self.receiver.receive::<FromHost>(&self.socket) {
                Ok((FromHost::Note { message }, _)) => self.notes.push(message),
                Ok((FromHost::Progress { phase, .. }, _)) => self.progress.push(phase),
                Ok((FromHost::Loaded(loaded), channels)) => {
                    assert_eq!(channels.len(), usize::from(loaded.instances), "a channel for each lane");
                    let first = self.first_lanes.borrow().get(&loaded.model).copied().unwrap_or_default();
                    self.lanes.borrow_mut().extend((first..).zip(channels));
                    return Some((FromHost::Loaded(loaded), Vec::new()));
                }
                Ok(message) => return Some(message),
                Err(ChannelError::Full) => {
                    let mut wanted = [PollFd::new(&self.socket, PollFlags::IN)];
                    assert_eq!(poll(&mut wanted, Some(&PATIENCE)).unwrap(), 1, "the engine host says nothing");
                }
                Err(ChannelError::Closed) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The first message that `wanted` accepts; others stay for later.
    pub fn receive_when(&mut self, wanted: impl Fn(&FromHost) -> bool) -> (FromHost, Vec<OwnedFd>) {
        let mut others = Vec::new();
        loop {
            let message = self.receive();
            if wanted(&message.0) {
                others.append(&mut self.early);
                self.early = others;
                return message;
            }
            others.push(message);
        }
    }

    pub fn ask_load(&self, bundle: &Path, model: u16, first_lane: u16) {
        let setup = Setup { instances: 1, ..setup(bundle, "cpu") };
        self.ask_load_as(bundle, model, first_lane, setup, true);
    }

    /// Loads a bundle as model 0, to be measured on lanes from 0 on.
    pub fn load_trial(&mut self, bundle: &Path, setup: Setup) -> Result<LoadedModel, String> {
        self.first_lanes.borrow_mut().insert(0, 0);
        let bundle = bundle.to_owned();
        let (trial, cache_dir) = (true, None);
        let load = LoadModel {
            model: 0,
            load: 1,
            bundle,
            parts: Vec::new(),
            first_lane: 0,
            setup,
            check_goldens: true,
            trial,
            cache_dir,
        };
        self.send(&ToHost::Load(load), &[]);
        self.loaded()
    }

    /// Measures the sample on a lane; nanoseconds.
    pub fn measure(&mut self, lane: u16, batch: u16) -> Result<u64, HostError> {
        {
            let lanes = self.lanes.borrow();
            channel::send(lanes.get(&lane).expect("the lane's channel"), &ToLane::Measure { batch }, &[]).unwrap();
        }
        match self.receive_when(|message| matches!(message, FromHost::Measured { .. })).0 {
            FromHost::Measured { lane: measured, result } if measured == lane => result.map(|run| run.took_ns),
            other => panic!("{other:?}"),
        }
    }

    pub fn ask_load_as(&self, bundle: &Path, model: u16, first_lane: u16, setup: Setup, check_goldens: bool) {
        self.first_lanes.borrow_mut().insert(model, first_lane);
        let (bundle, cache_dir) = (bundle.to_owned(), self.cache_dir.clone());
        let trial = false;
        self.send(
            &ToHost::Load(LoadModel {
                model,
                load: 1,
                bundle,
                parts: Vec::new(),
                first_lane,
                setup,
                check_goldens,
                trial,
                cache_dir,
            }),
            &[],
        );
    }

    pub fn loaded(&mut self) -> Result<LoadedModel, String> {
        let finished = |message: &FromHost| matches!(message, FromHost::Loaded(_) | FromHost::LoadFailed { .. });
        match self.receive_when(finished).0 {
            FromHost::Loaded(loaded) => Ok(loaded),
            FromHost::LoadFailed { message, .. } => Err(message),
            other => panic!("{other:?}"),
        }
    }

    /// Loads a bundle as model 0 on lane 0.
    pub fn load(&mut self, bundle: &Path) -> LoadedModel {
        self.ask_load(bundle, 0, 0);
        self.loaded().unwrap()
    }

    /// Another id.
    pub fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// What a lane says of a batch.
    pub fn ran(&mut self) -> (Vec<MemberDone>, Vec<OwnedFd>) {
        match self.receive_when(|message| matches!(message, FromHost::Ran { .. })) {
            (FromHost::Ran { members, .. }, fds) => (members, fds),
            other => panic!("{other:?}"),
        }
    }

    /// [`Host::infer`] with inputs of any size, in sealed memory.
    pub fn infer_sealed(&mut self, inputs: &[(Vec<i64>, Vec<u8>)]) -> Result<Vec<Shaped>, HostError> {
        let fds: Vec<OwnedFd> = inputs.iter().map(|(_, bytes)| memfd(bytes)).collect();
        let tensor = |(index, (shape, bytes)): (u16, &(Vec<i64>, Vec<u8>))| {
            let data = Data::Sealed { fd: index, offset: 0, len: bytes.len() as u64 };
            TensorData { index, shape: shape.clone(), data }
        };
        let tensors = (0..).zip(inputs).map(tensor).collect();
        let id = self.id();
        let input = Input::Tensors { tensors, want: Want::Sealed };
        self.run(0, vec![member(id, input)], &fds.iter().collect::<Vec<_>>());
        self.only_tensors(id)
    }

    /// Runs one request of tensors on lane 0 and returns (shape, bytes) of its outputs.
    pub fn infer(&mut self, inputs: &[(&[i64], &[u8])]) -> Result<Vec<Shaped>, HostError> {
        let tensors = inputs.iter().enumerate().map(|(index, (shape, bytes))| inline(index, shape, bytes)).collect();
        let id = self.id();
        let input = Input::Tensors { tensors, want: Want::Inline };
        self.run(0, vec![member(id, input)], &[]);
        self.only_tensors(id)
    }

    /// The outputs of the one request that runs.
    fn only_tensors(&mut self, id: u64) -> Result<Vec<Shaped>, HostError> {
        let (mut members, fds) = self.ran();
        assert_eq!((members.len(), members[0].id), (1, id));
        match members.remove(0).result? {
            Output::Tensors(tensors) => {
                Ok(tensors.into_iter().map(|tensor| (tensor.shape, bytes(&tensor.data, &fds))).collect())
            }
            Output::Document(_) => panic!("a document for tensors"),
        }
    }

    /// Prepares and runs one encoded request on model 0, lane 0.
    pub fn infer_encoded(&mut self, content_type: &str, payload: &[u8]) -> Result<(serde_json::Value, u32), HostError> {
        let id = self.id();
        let fd = memfd(payload);
        let data = Data::Sealed { fd: 0, offset: 0, len: payload.len() as u64 };
        self.send(
            &ToHost::Prepare {
                id,
                model: 0,
                content_type: content_type.into(),
                payload: data,
                part: None,
                keep: false,
            },
            &[&fd],
        );
        let cost = self.prepared(id)?;
        self.run(0, vec![member(id, Input::Prepared)], &[]);
        let (mut members, fds) = self.ran();
        match members.remove(0).result? {
            Output::Document(data) => Ok((serde_json::from_slice(&bytes(&data, &fds)).unwrap(), cost)),
            Output::Tensors(_) => panic!("tensors for a document"),
        }
    }

    /// The tensor that a payload becomes, as (shape, bytes), and where a picture lies in it.
    pub fn fill(&mut self, content_type: &str, payload: &[u8]) -> Result<(Shaped, Option<Frame>), HostError> {
        let (ticket, fd) = (self.id(), memfd(payload));
        let payload = Data::Sealed { fd: 0, offset: 0, len: payload.len() as u64 };
        self.send(&ToHost::Fill { ticket, model: 0, content_type: content_type.into(), payload }, &[&fd]);
        match self.receive_when(|message| matches!(message, FromHost::Filled { ticket: it, .. } if *it == ticket)) {
            (FromHost::Filled { result, .. }, fds) => result.map(|filled| {
                assert_eq!(filled.tensor.index, 0);
                ((filled.tensor.shape, bytes(&filled.tensor.data, &fds)), filled.frame)
            }),
            other => panic!("{other:?}"),
        }
    }

    /// What outputs mean that come from elsewhere.
    pub fn interpret(&mut self, outputs: &[Shaped], frame: Option<Frame>) -> Result<serde_json::Value, HostError> {
        let fds: Vec<OwnedFd> = outputs.iter().map(|(_, bytes)| memfd(bytes)).collect();
        let tensor = |(index, (shape, bytes)): (u16, &Shaped)| {
            let data = Data::Sealed { fd: index, offset: 0, len: bytes.len() as u64 };
            TensorData { index, shape: shape.clone(), data }
        };
        let (ticket, outputs) = (self.id(), (0..).zip(outputs).map(tensor).collect());
        self.send(&ToHost::Interpret { ticket, model: 0, outputs, frame }, &fds.iter().collect::<Vec<_>>());
        match self.receive_when(|message| matches!(message, FromHost::Interpreted { ticket: it, .. } if *it == ticket))
        {
            (FromHost::Interpreted { result, .. }, fds) => {
                result.map(|data| serde_json::from_slice(&bytes(&data, &fds)).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn prepared(&mut self, wanted: u64) -> Result<u32, HostError> {
        let message = self.receive_when(|message| matches!(message, FromHost::Prepared { id, .. } if *id == wanted));
        match message.0 {
            FromHost::Prepared { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Asks the thread inside the host to reach these addresses.
    pub fn probe(&mut self, tcp: &str, unix: &str) -> Vec<String> {
        let mut fifo = std::fs::OpenOptions::new().write(true).open(self.directory.path().join("probe")).unwrap();
        writeln!(fifo, "{tcp} {unix}").unwrap();
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().split(',').map(str::to_owned).collect()
    }

    /// Closes the channel and returns how the host ended.
    pub fn close(self) -> std::process::ExitStatus {
        let Host { mut child, socket, .. } = self;
        drop(socket);
        child.wait().unwrap()
    }
}

pub fn member(id: u64, input: Input) -> Member {
    Member { id, input, start_before: NO_LIMIT }
}

pub fn inline(index: usize, shape: &[i64], bytes: &[u8]) -> TensorData {
    TensorData { index: u16::try_from(index).unwrap(), shape: shape.to_vec(), data: Data::Inline(bytes.to_vec()) }
}

/// A sealed memfd.
pub fn memfd(bytes: &[u8]) -> OwnedFd {
    let fd = open_memfd(bytes);
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE).unwrap();
    fd
}

/// A memfd that anybody may still write to.
pub fn open_memfd(bytes: &[u8]) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest).unwrap();
        rest = &rest[written..];
    }
    fd
}

/// The bytes of an output.
pub fn bytes(data: &Data, fds: &[OwnedFd]) -> Vec<u8> {
    match data {
        Data::Inline(bytes) => bytes.clone(),
        Data::Sealed { fd, offset, len } => {
            let fd = &fds[usize::from(*fd)];
            let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
            assert!(rustix::fs::fcntl_get_seals(fd).unwrap().contains(all));
            let mut bytes = vec![0; usize::try_from(*len).unwrap()];
            let mut at = 0;
            while at < bytes.len() {
                let read = rustix::io::pread(fd, &mut bytes[at..], offset + at as u64).unwrap();
                assert!(read > 0, "an output is shorter than it says");
                at += read;
            }
            bytes
        }
        Data::Unsealed { .. } => panic!("an output in an unsealed descriptor"),
    }
}

pub fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Numbers that look random and are the same every time.
fn random(count: usize, seed: u64) -> impl Iterator<Item = u16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u16::try_from(state >> 48).unwrap()
    })
    .take(count)
}

/// The inputs of a tensor request to one of the five models, `rows` of them, that look random.
pub fn noisy(model: &str, rows: i64, seed: u64) -> Vec<(Vec<i64>, Vec<u8>)> {
    let tensor = |shape: &[i64], seed: u64| {
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
        // Between -1 and 1.
        let numbers: Vec<f32> = random(count, seed).map(|number| f32::from(number) / 32768.0 - 1.0).collect();
        (shape.to_vec(), f32s(&numbers))
    };
    match model {
        "text-line" => vec![tensor(&[rows, 3, 48, 320], seed)],
        "text-direction" => vec![tensor(&[rows, 3, 48, 192], seed)],
        "text-boxes" => vec![tensor(&[rows, 3, 320, 320], seed)],
        "file-type" => {
            let count = usize::try_from(rows * 2048).unwrap();
            let bytes = random(count, seed).map(|number| i32::from(number >> 8));
            vec![(vec![rows, 2048], bytes.flat_map(i32::to_le_bytes).collect())]
        }
        "speech" => vec![
            tensor(&[rows, 576], seed),
            tensor(&[2, rows, 128], seed + 1),
            (vec![], 16_000i64.to_le_bytes().to_vec()),
        ],
        other => panic!("{other}"),
    }
}

pub fn to_f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}
