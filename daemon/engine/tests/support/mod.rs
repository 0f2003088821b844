//! Starts an engine host as a child and speaks the daemon's side of the protocol to it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use edge_engine::channel::{self, ChannelError, Receiver};
use edge_engine::protocol::{
    Data, FromHost, HostError, Input, LoadModel, LoadedModel, Member, MemberDone, Output, Precision, ProviderSetup,
    Run, Setup, TensorData, ToHost, Want,
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
    ToHost::Start { library, provider: ProviderSetup { name: "cpu".into(), plugin: None } }
}

/// Shape and bytes of an output.
pub type Shaped = (Vec<i64>, Vec<u8>);

pub struct Host {
    pub child: Child,
    directory: tempfile::TempDir,
    socket: OwnedFd,
    lanes: RefCell<HashMap<u16, OwnedFd>>,
    first_lanes: RefCell<HashMap<u16, u16>>,
    receiver: Receiver,
    /// Messages that came while another was waited for.
    early: Vec<(FromHost, Vec<OwnedFd>)>,
    pub notes: Vec<String>,
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
        command.env("MALLOC_ARENA_MAX", "2");
        let child = command.spawn().unwrap();
        let receiver = Receiver::default();
        Host {
            child,
            directory,
            socket: ours,
            lanes: RefCell::default(),
            first_lanes: RefCell::default(),
            receiver,
            early: Vec::new(),
            notes: Vec::new(),
            next: 1,
        }
    }

    /// A child with the runtime loaded; `None` (and a word about it) if there is no library.
    pub fn start() -> Option<Host> {
        let library = library()?;
        let mut host = Host::spawn();
        host.send(&start(library), &[]);
        match host.receive().0 {
            FromHost::Started { version, providers } => {
                assert!(version.starts_with("1."), "{version}");
                assert!(providers.contains(&"cpu".to_owned()), "{providers:?}");
            }
            other => panic!("{other:?}"),
        }
        Some(host)
    }

    pub fn send(&self, message: &ToHost, fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        channel::send(&self.socket, message, &fds).unwrap();
    }

    /// Gives a lane a batch.
    pub fn run(&self, lane: u16, members: Vec<Member>, fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let lanes = self.lanes.borrow();
        channel::send(lanes.get(&lane).expect("the lane's channel"), &Run { members }, &fds).unwrap();
    }

    /// Whether nobody reads a lane's channel any more.
    pub fn is_closed(&self, lane: u16) -> bool {
        let lanes = self.lanes.borrow();
        let channel = lanes.get(&lane).expect("the lane's channel");
        matches!(channel::send(channel, &Run { members: Vec::new() }, &[]), Err(ChannelError::Closed))
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
        self.first_lanes.borrow_mut().insert(model, first_lane);
        self.send(
            &ToHost::Load(LoadModel {
                model,
                load: 1,
                bundle: bundle.to_owned(),
                first_lane,
                setup: Setup { instances: 1, ..setup(bundle, "cpu") },
                check_goldens: true,
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

    /// Runs one request of tensors on lane 0 and returns (shape, bytes) of its outputs.
    pub fn infer(&mut self, inputs: &[(&[i64], &[u8])]) -> Result<Vec<Shaped>, HostError> {
        let tensors = inputs.iter().enumerate().map(|(index, (shape, bytes))| inline(index, shape, bytes)).collect();
        let id = self.id();
        let input = Input::Tensors { tensors, want: Want::Inline };
        self.run(0, vec![member(id, input)], &[]);
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
        self.send(&ToHost::Prepare { id, model: 0, content_type: content_type.into(), payload: data }, &[&fd]);
        let cost = self.prepared(id)?;
        self.run(0, vec![member(id, Input::Prepared)], &[]);
        let (mut members, fds) = self.ran();
        match members.remove(0).result? {
            Output::Document(data) => Ok((serde_json::from_slice(&bytes(&data, &fds)).unwrap(), cost)),
            Output::Tensors(_) => panic!("tensors for a document"),
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

pub fn to_f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}
