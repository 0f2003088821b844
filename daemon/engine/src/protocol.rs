//! Messages between the daemon and an engine host. One message is one packet; file descriptors travel beside it and are
//! named by their place in it.
//!
//! There is one channel for the host as a whole, and one for each lane, on which the daemon asks that lane's thread
//! itself: a batch that went through another thread would cost a second wake-up. All answers come on the host's channel.
//!
//! Daemon and host are the same binary, so there is no version to negotiate and no compatibility to keep.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::media::Frame;

/// The largest packet, without descriptors. What does not fit inline goes into a memfd.
pub const MAX_PACKET: usize = 160 << 10;
/// Tensors up to this size may travel inside a packet; larger ones, or many of them, go into a memfd.
pub const INLINE_BYTES: usize = 16 << 10;
/// All inline bytes of one packet together stay below this.
pub const INLINE_TOTAL: usize = 96 << 10;
/// The kernel's limit of descriptors in one packet (SCM_MAX_FD is 253), with room to spare.
pub const MAX_FDS: usize = 240;

/// Element types, by their Open Inference Protocol v2 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bf16,
    Bytes,
}

impl Datatype {
    const NAMES: [(Datatype, &'static str, usize); 14] = [
        (Datatype::Bool, "BOOL", 1),
        (Datatype::Uint8, "UINT8", 1),
        (Datatype::Uint16, "UINT16", 2),
        (Datatype::Uint32, "UINT32", 4),
        (Datatype::Uint64, "UINT64", 8),
        (Datatype::Int8, "INT8", 1),
        (Datatype::Int16, "INT16", 2),
        (Datatype::Int32, "INT32", 4),
        (Datatype::Int64, "INT64", 8),
        (Datatype::Fp16, "FP16", 2),
        (Datatype::Fp32, "FP32", 4),
        (Datatype::Fp64, "FP64", 8),
        (Datatype::Bf16, "BF16", 2),
        (Datatype::Bytes, "BYTES", 0),
    ];

    /// The protocol's name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The type called `name`.
    pub fn from_name(name: &str) -> Option<Datatype> {
        Self::NAMES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Bytes of one element; 0 for [`Datatype::Bytes`], whose elements are length-prefixed (u32, little-endian).
    pub fn size(self) -> usize {
        Self::NAMES.iter().find(|row| row.0 == self).map_or(0, |row| row.2)
    }
}

/// One input or output of a model, as a request sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    pub name: String,
    pub datatype: Datatype,
    /// -1 where any size of at least one is taken.
    pub shape: Vec<i64>,
}

/// Where the bytes of a tensor or payload are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// In the packet.
    Inline(#[serde(with = "bytes")] Vec<u8>),
    /// In the descriptor at `fd` of this packet: a sealed memfd (SHRINK, GROW, WRITE), mapped and read in place.
    Sealed { fd: u16, offset: u64, len: u64 },
    /// In the descriptor at `fd` of this packet, a file that is not sealed: read with a bound, never mapped.
    Unsealed { fd: u16, max_len: u64 },
}

/// One tensor of a request or a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorData {
    /// Index into the model's inputs or outputs.
    pub index: u16,
    pub shape: Vec<i64>,
    pub data: Data,
}

/// How the caller wants its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// Inside the packet where they fit, otherwise in a sealed memfd.
    Inline,
    /// Each output in a fresh sealed memfd.
    Sealed,
}

/// What a member of a batch brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// What `Prepare` made of its payload.
    Prepared,
    /// Tensors, already checked against the spec.
    Tensors { tensors: Vec<TensorData>, want: Want },
}

/// One request of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: u64,
    pub input: Input,
    /// CLOCK_MONOTONIC nanoseconds after which the member is not started any more.
    pub start_before: u64,
}

/// How exactly a provider computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// As the graph says; FP32 stays FP32.
    #[default]
    Exact,
    /// In the provider's fastest float (BF16, FP16 or TF32). Good for a request only if the answers hold.
    Reduced,
}

impl Precision {
    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Exact => "exact",
            Precision::Reduced => "reduced",
        }
    }
}

/// The execution provider that a host is for. It is registered before anything is loaded, so that one that fails or
/// crashes does so by its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSetup {
    /// Short name: `cpu`, `cuda`, `tensorrt`, `tensorrt-rtx`, `openvino`, or that of any other provider with a library of
    /// its own: the runtime's name in lower case, without `ExecutionProvider`.
    pub name: String,
    /// Its library, if it comes as one of its own. It is checked and registered at `Start`.
    pub plugin: Option<PathBuf>,
    pub options: DeviceOptions,
}

/// What a provider may use of its device. Each provider reads what it knows; `None` is its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceOptions {
    /// Which of the provider's devices, counted from 0. Default: 0.
    pub device: Option<u16>,
    /// Most memory of the device that one session's arena takes, bytes. Default: no limit. Read by cuda.
    pub memory_limit_bytes: Option<u64>,
    /// Most memory that building an engine and each of its layers may take for a while, bytes. Default:
    /// [`WORKSPACE_BYTES`]. Read by tensorrt and tensorrt-rtx.
    pub workspace_limit_bytes: Option<u64>,
    /// Which deep learning accelerator of an Orin runs what it can, instead of the GPU. Default: none. Read by tensorrt.
    pub dla_core: Option<u16>,
}

/// Whether a provider compiles a model when it is loaded, so that it pays to keep what it made.
pub fn compiles(provider: &str) -> bool {
    matches!(provider, "openvino" | "tensorrt" | "tensorrt-rtx")
}

/// Workspace of TensorRT unless said otherwise: half a gibibyte leaves room on a board of 8 GB, where a whole one has ended
/// builds for lack of memory.
pub const WORKSPACE_BYTES: u64 = 512 << 20;

/// One way to run a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setup {
    /// The manifest's variant.
    pub variant: String,
    /// Short name of the provider that must take nodes: the host's own. What it leaves falls to the CPU only if the variant
    /// lists `cpu`.
    pub provider: String,
    pub precision: Precision,
    /// Intra-op threads of one session, 1..=64.
    pub threads: u16,
    /// Sessions side by side, one lane each, 1..=16.
    pub instances: u16,
}

/// A bundle to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadModel {
    pub model: u16,
    /// Number of this load of the model, to tell its answer from that of an earlier load that was given up by `Unload`.
    pub load: u32,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The directories of the parts that it needs.
    #[serde(default)]
    pub parts: Vec<PathBuf>,
    /// Lanes are numbered from here, one per instance.
    pub first_lane: u16,
    pub setup: Setup,
    /// Run the golden inputs before saying `Loaded`. Off only when this very bundle passed on this runtime before.
    pub check_goldens: bool,
    /// Loaded to be measured: it is held against the reference too, what does not hold is reported and not an error, and its
    /// lanes take [`ToLane::Measure`].
    pub trial: bool,
    /// Where the provider keeps what it compiles, and finds it again: a directory for this model on this device with these
    /// versions of library and provider alone. None: nothing is kept. Read by openvino, tensorrt and tensorrt-rtx.
    pub cache_dir: Option<PathBuf>,
}

/// Content type of a payload that is the pixels of a [`Picture`]. No caller can send it.
pub const PIXELS: &str = "image/x-pixels";

/// A line of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Width and height of the upright picture that the corners are pixels of.
    pub picture: [u32; 2],
    /// Clockwise from the top left, x and y.
    pub corners: [[u32; 2]; 4],
    /// Turn it by half.
    pub upside_down: bool,
    /// Width and height of a payload of [`PIXELS`].
    pub pixels: [u32; 2],
}

/// A decoded picture in a sealed memfd: red, green, blue, row by row, upright. A large one is scaled down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub data: Data,
}

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadPhase {
    /// Sessions are made, for which some providers compile.
    Compiling,
    /// The golden inputs run.
    CheckingGoldens,
}

impl LoadPhase {
    /// The words used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            LoadPhase::Compiling => "compiling",
            LoadPhase::CheckingGoldens => "checking goldens",
        }
    }
}

/// What the daemon asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// First message: load this library (already found on disk) and register the provider, which is the only one besides
    /// the CPU that this host will use. Answered by `Started` or `StartFailed`; a provider that crashes on the way ends
    /// the host. In the `background` it gives way to all other processes, for good.
    Start { library: PathBuf, provider: ProviderSetup, background: bool },
    /// Answered by `Loaded` or `LoadFailed`, unless `Unload` comes first. Several may be under way at once.
    Load(LoadModel),
    /// Forget a model; its lanes end after what they run. Answered by `Unloaded`.
    Unload { model: u16 },
    /// Decode a payload and keep the tensors under `id`. Answered by `Prepared`.
    Prepare {
        id: u64,
        model: u16,
        content_type: String,
        payload: Data,
        /// Prepare this part of the picture instead of the whole.
        part: Option<Part>,
        /// Hand out the picture as well, so that it need not be decoded again for its parts.
        keep: bool,
    },
    /// Decode a payload and hand out the tensor that it becomes, for a server that runs the same model elsewhere; nothing is
    /// kept. Answered by `Filled`.
    Fill { ticket: u64, model: u16, content_type: String, payload: Data },
    /// Say what such a server's outputs mean: one for each of the model's. Answered by `Interpreted`.
    Interpret { ticket: u64, model: u16, outputs: Vec<TensorData>, frame: Option<Frame> },
    /// Drop what is kept under `id`; it may be prepared again.
    Forget { id: u64 },
    /// Drop what is kept under `id`; if it runs alone, terminate the run (its member then fails with `Stopped`).
    Discard { id: u64 },
}

/// Members that run together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub members: Vec<Member>,
}

/// What a lane is asked, on its own channel. What is beyond the batch that it runs waits in the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLane {
    /// Answered by `Ran`.
    Run(Run),
    /// Run the trial's sample so many times as one batch. Answered by `Measured`.
    Measure { batch: u16 },
    /// Run the golden inputs once more. Answered by `Checked`.
    Check,
}

/// What went wrong, for one member or one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The payload or a tensor is not what the model takes.
    InvalidInput,
    /// The decoded payload would exceed the manifest's limits.
    TooLarge,
    /// The runtime reported an error.
    Runtime,
    /// No room for what would be kept until it runs; there will be when others have run.
    Full,
    /// `start_before` had passed.
    Late,
    /// Ended by `Discard`.
    Stopped,
}

/// Whose fault it is that a model was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadFault {
    /// The bundle's, or that of what was asked for: it would fail again.
    Bundle,
    /// The provider's, its device's or the machine's: it may pass.
    Provider,
}

/// An error with its chain of causes as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostError {
    pub kind: ErrorKind,
    pub message: String,
}

/// What one member gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// For tensor requests: one per output, in the model's order.
    Tensors(Vec<TensorData>),
    /// For encoded requests: the JSON document of the bundle's task.
    Document(Data),
}

/// One member's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDone {
    pub id: u64,
    pub result: Result<Output, HostError>,
}

/// A payload as a model takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// The model's one input, in a sealed memfd.
    pub tensor: TensorData,
    /// Where a picture lies in it, if its answer needs to know.
    pub frame: Option<Frame>,
}

/// An execution provider as it really is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderReport {
    /// Short name, as in [`ProviderSetup::name`].
    pub name: String,
    /// Share of the graph's nodes that it really placed, 0..=1.
    pub share: f32,
}

/// A loaded model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadedModel {
    pub model: u16,
    /// Which load it was.
    pub load: u32,
    pub variant: String,
    /// As requests see them: the manifest's closed dimensions and the graph's free ones.
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// Dimension 0 of every input and output is the batch.
    pub batched: bool,
    /// If rows may run apart from each other, the most that may run at once; `None` if requests must run as they come: there is no
    /// batch, or not every number of rows from 1 on is taken.
    pub most_rows: Option<u32>,
    /// A request with more rows is outside the variant's shape profile, and refused; `u32::MAX` without one.
    pub profile_rows: u32,
    pub max_batch: u16,
    pub instances: u16,
    /// Content types of encoded payloads that the recipe takes; empty if there is no recipe.
    pub content_types: Vec<String>,
    /// The provider that runs most nodes first.
    pub providers: Vec<ProviderReport>,
    pub load_ms: u32,
    pub goldens_passed: u16,
    /// Service time of the last golden of batch 1, nanoseconds: a first estimate.
    pub service_ns: u64,
    /// Memory that it takes, bytes: by how much the host's own memory (resident, without what it shares with files) has
    /// grown from before its load until after its golden answers, when the runtime has given back what it can. Of what grew
    /// while other loads were under way it has a share by the size of its files, so that is an estimate. At least the size
    /// of its files, as a load may fill memory that the host has already. 0 if neither is known.
    pub memory_bytes: u64,
    /// How right it answers, if it was loaded to be measured.
    pub trial: Option<Box<Trial>>,
}

/// How right a setup answers that was loaded to be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Why the golden answers do not hold, if they do not.
    pub goldens: Result<(), String>,
    /// Largest difference of any output from the reference provider's, as a share of max(1, largest absolute reference
    /// value); or why that is not known.
    pub difference: Result<f64, String>,
    /// Cost of the sample that is measured, in units of the model's smallest request.
    pub cost: u32,
}

/// One measured run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How long it took, nanoseconds.
    pub took_ns: u64,
    /// How long threads of the host waited meanwhile for a processor, nanoseconds, all together.
    pub waited_ns: u64,
    /// Processor time of the host meanwhile, nanoseconds.
    pub cpu_ns: u64,
}

/// Which build of a provider this is, and on what it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderIdentity {
    /// What it says of itself, else the beginning of the digest; empty for one without a library of its own.
    pub version: String,
    /// sha256 over its library and the names and sizes of what lies beside it; empty for one without.
    pub digest: String,
    /// Name of the processor or graphics processor.
    pub device: String,
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromHost {
    Started {
        /// For example `1.32.0`.
        version: String,
        /// Providers compiled into the library.
        providers: Vec<String>,
        /// The provider that this host is for, as far as it can be told from another build of it.
        identity: ProviderIdentity,
        /// Its own memory without a model, bytes; 0 if the system does not say.
        own_bytes: u64,
    },
    StartFailed {
        message: String,
    },
    /// Beside it come the daemon's ends of the channels of its lanes, `instances` of them.
    Loaded(LoadedModel),
    LoadFailed {
        model: u16,
        /// Which load it was.
        load: u32,
        fault: LoadFault,
        message: String,
    },
    /// A load goes on.
    Progress {
        model: u16,
        /// Which load it is.
        load: u32,
        phase: LoadPhase,
    },
    /// A load that was given up by `Unload` has ended: nothing of it runs any more.
    Abandoned {
        model: u16,
        /// Which load it was.
        load: u32,
    },
    /// Its lanes have ended, and what could be given back to the system was.
    Unloaded {
        model: u16,
        /// The host's own memory before, bytes; 0 if the system does not say, or the model was not loaded.
        before_bytes: u64,
        /// The same after it.
        after_bytes: u64,
    },
    Prepared {
        id: u64,
        /// Cost in units of the model's smallest request, at least 1.
        result: Result<u32, HostError>,
        took_ns: u64,
        /// The decoded picture, if it was asked for and there was memory for it.
        picture: Option<Picture>,
    },
    Filled {
        ticket: u64,
        result: Result<Filled, HostError>,
    },
    Interpreted {
        ticket: u64,
        /// The JSON document of the bundle's task.
        result: Result<Data, HostError>,
    },
    Ran {
        lane: u16,
        /// Time in the model and its output recipe, without waiting in the host.
        took_ns: u64,
        members: Vec<MemberDone>,
    },
    /// A lane ran the golden inputs: how many gave their answers, or what did not.
    Checked {
        lane: u16,
        result: Result<u16, HostError>,
    },
    /// A lane ran the trial's sample.
    Measured {
        lane: u16,
        result: Result<Measured, HostError>,
    },
    /// Worth a line in the log.
    Note {
        message: String,
    },
}

/// `Vec<u8>` as one run of bytes instead of a sequence of numbers.
mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        input.deserialize_byte_buf(Bytes)
    }
}
