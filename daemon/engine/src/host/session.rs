//! One session: made as the manifest says, on the providers that it asks for and no others, run by one thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::MemoryInfo;
use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, Tensor, ValueType};

use super::outbox::Outbox;
use super::outputs::Shape;
use super::provider::{ApplyError, Provider, ProviderError, Wish, runtime_threads};
use super::raw;
use super::threads::Starter;
use crate::bundle::Variant;
use crate::memfile::Fresh;
use crate::protocol::{Datatype, ProviderIdentity, ProviderReport, ProviderSetup, Setup, TensorSpec};
use crate::tensor::{self, Answer, AnswerData, Feed};

/// Why the runtime could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("load ONNX Runtime from {}: {why}", path.display())]
    Load { path: PathBuf, why: String },
    #[error("start ONNX Runtime {version} from {}", path.display())]
    Environment { path: PathBuf, version: String, source: ort::Error },
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}

/// What the dynamic loader said of a library: the error itself says only that it did not load.
fn loader_says(error: &ort::LoadDynamicError) -> String {
    let cause = match error {
        ort::LoadDynamicError::Dlopen { error, .. } => std::error::Error::source(error).map(ToString::to_string),
        _ => None,
    };
    cause.unwrap_or_else(|| error.to_string())
}

/// Why a session could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Provider(#[from] ApplyError),
    #[error("provider {name} was asked for and took none of the model's {nodes} nodes")]
    Idle { name: String, nodes: usize },
    #[error("provider {wanted} was asked for, and {name} took nodes")]
    Other { wanted: String, name: String },
    #[error("the runtime placed no node of the model, so that no provider would be known to run it")]
    Unplaced,
    #[error("make a session of {}", path.display())]
    Make { path: PathBuf, source: ort::Error },
    #[error("ask the runtime which provider runs which nodes")]
    Placement(#[source] ort::Error),
    #[error("{what} {name} has the type {found}, which requests cannot carry")]
    Type { what: &'static str, name: String, found: String },
}

/// ONNX Runtime, loaded once per process, and the provider that this host is for.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    provider: Provider,
    /// Starts the threads that serve.
    pub starter: Starter,
    /// Which build of the provider this is, and on what it runs.
    pub identity: ProviderIdentity,
    /// For example `1.32.0`.
    pub version: String,
    /// Short names of the providers compiled in.
    pub providers: Vec<String>,
}

impl Runtime {
    /// Loads the library and registers the provider. Their warnings become notes.
    pub fn start(library: &Path, provider: ProviderSetup, outbox: Outbox) -> Result<Runtime, StartError> {
        let builder = ort::init_from(library)
            .map_err(|error| StartError::Load { path: library.to_owned(), why: loader_says(&error) })?;
        let version = raw::version(library).unwrap_or_else(|| "of unknown version".into());
        let failed = |source| StartError::Environment { path: library.to_owned(), version: version.clone(), source };
        let logger = Arc::new(move |level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
            if level >= LogLevel::Warning && !is_told_otherwise(place) {
                outbox.note(format!("onnxruntime: {message} ({place})"));
            }
        });
        let environment =
            builder.with_name("edged").with_telemetry(false).with_logger(logger).build().map_err(failed)?;
        // The binding asks for every message and drops most; the runtime must not build them in the first place.
        environment.set_log_level(LogLevel::Warning);
        let providers: Vec<String> =
            raw::available_providers().map_err(failed)?.iter().map(|name| short_name(name)).collect();
        let starter = Starter::start().map_err(StartError::Thread)?;
        let provider = Provider::start(&environment, (library, &version), &providers, provider)?;
        let identity = provider.identity(&environment, library);
        Ok(Runtime { environment, provider, starter, identity, version, providers })
    }
}

/// Whether what the runtime warns of at this place in its source is said by the host itself, with figures: that some nodes are
/// not on the provider that was wanted, which it warns of in two lines for each session of nearly every model on a card.
fn is_told_otherwise(place: &str) -> bool {
    place.contains("VerifyEachNodeIsAssignedToAnEp")
}

/// The product's name of a provider.
pub fn short_name(name: &str) -> String {
    match name.strip_suffix("ExecutionProvider").unwrap_or(name) {
        "NvTensorRTRTX" => "tensorrt-rtx".into(),
        other => other.to_ascii_lowercase(),
    }
}

/// A session and what the runtime says of it.
pub struct Engine {
    session: Session,
    names: raw::Names,
    memory: MemoryInfo<'static>,
    /// As the graph declares them.
    pub inputs: Vec<TensorSpec>,
    /// As the graph declares them.
    pub outputs: Vec<TensorSpec>,
    /// Names of the inputs that the graph gives a value to, and that an adapter may give another one.
    pub optional: Vec<String>,
}

/// What a session is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The graph.
    pub file: &'a Path,
    /// sha256 of the graph.
    pub digest: &'a str,
    /// Where the files of weights are that the graph refers to, if not beside it.
    pub weights: Option<&'a Path>,
}

impl Source<'_> {
    fn commit(&self, mut builder: SessionBuilder) -> ort::Result<Session> {
        let Some(weights) = self.weights else { return builder.commit_from_file(self.file) };
        let folder = weights.to_str().ok_or_else(|| ort::Error::new("the directory of the weights is no UTF-8"))?;
        let mut builder = builder.with_config_entry(WEIGHTS, folder)?;
        // With its weights elsewhere the graph itself is small.
        let graph = std::fs::read(self.file)
            .map_err(|error| ort::Error::new(format!("read {}: {error}", self.file.display())))?;
        builder.commit_from_memory(&graph)
    }
}

/// Where the runtime looks for files of weights when the graph does not come from a file.
const WEIGHTS: &str = "session.model_external_initializers_file_folder_path";

impl Engine {
    /// Makes a session of a variant's graph as `setup` says; what is compiled for it is kept in `cache_dir`.
    pub fn make(
        runtime: &Runtime,
        variant: &Variant,
        setup: &Setup,
        source: Source<'_>,
        cache_dir: Option<&Path>,
    ) -> Result<Engine, SessionError> {
        let Source { file, digest, .. } = source;
        let failed = |source| SessionError::Make { path: file.to_owned(), source };
        let Runtime { environment, provider, version, .. } = runtime;
        let wish = Wish { setup, variant, options: provider.options(), cache_dir, digest, version };
        let builder = options(runtime, variant, setup).map_err(failed)?;
        let builder = provider.apply(builder, environment, &wish)?;
        let session = source.commit(builder).map_err(failed)?;
        let inputs = specs("input", session.inputs())?;
        provider.check_sizes(&inputs, variant)?;
        let outputs = specs("output", session.outputs())?;
        let names = raw::Names::of(&session).map_err(failed)?;
        let optional = optional(&session);
        Ok(Engine { session, names, memory: MemoryInfo::default(), inputs, outputs, optional })
    }

    /// Makes a session of a graph on the CPU, whatever this host is for: what it answers is what others are held against.
    pub fn reference(
        runtime: &Runtime,
        variant: &Variant,
        setup: &Setup,
        source: Source<'_>,
    ) -> Result<Engine, SessionError> {
        let file = source.file;
        let failed = |source| SessionError::Make { path: file.to_owned(), source };
        let builder = options(runtime, variant, setup).map_err(failed)?;
        let builder = super::provider::on_cpu(builder, &runtime.environment).map_err(failed)?;
        let session = source.commit(builder).map_err(failed)?;
        let placed = raw::placement(&session).map_err(SessionError::Placement)?;
        if let Some((name, _)) = placed.iter().find(|(name, count)| *count > 0 && short_name(name) != setup.provider) {
            return Err(SessionError::Other { wanted: setup.provider.clone(), name: short_name(name) });
        }
        let (inputs, outputs) = (specs("input", session.inputs())?, specs("output", session.outputs())?);
        let names = raw::Names::of(&session).map_err(failed)?;
        let optional = optional(&session);
        Ok(Engine { session, names, memory: MemoryInfo::default(), inputs, outputs, optional })
    }

    /// Which provider took which share of the nodes, the largest first.
    pub fn placement(&self, setup: &Setup) -> Result<Vec<ProviderReport>, SessionError> {
        reports(raw::placement(&self.session).map_err(SessionError::Placement)?, &setup.provider)
    }

    /// A text of the model's own metadata.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }

    /// Runs the model on one value per input, in the graph's order, and hands the outputs to `take`.
    pub fn run<T>(
        &mut self,
        feeds: &[Feed<'_>],
        options: &RunOptions,
        take: impl FnOnce(&[Answer<'_>]) -> T,
    ) -> Result<T, RunError> {
        self.run_into(feeds, options, &mut [], take)
    }

    /// The same; an output for which there is a place is written there.
    pub fn run_into<T>(
        &mut self,
        feeds: &[Feed<'_>],
        options: &RunOptions,
        places: &mut [Option<Place>],
        take: impl FnOnce(&[Answer<'_>]) -> T,
    ) -> Result<T, RunError> {
        let Engine { session, names, memory, .. } = self;
        let allocator = session.allocator();
        let held: Vec<Held<'_>> =
            feeds.iter().map(|feed| Held::of(feed, memory, allocator)).collect::<Result<_, _>>()?;
        let inputs: Vec<_> = held.iter().map(Held::value).collect();
        let mut bound = Vec::with_capacity(places.len());
        for place in places {
            bound.push(place.as_mut().map(|place| place.bind(memory, allocator)).transpose()?);
        }
        let outputs = raw::run(session, names, options, &inputs, &bound)?;
        let value = |(at, value)| {
            let written = || bound.get(at).and_then(Option::as_ref).map(raw::Borrowed::value);
            Option::as_ref(value).or_else(written).ok_or_else(|| ort::Error::new("an output has no value"))
        };
        let answers: Vec<Answer<'_>> =
            outputs.iter().enumerate().map(|row| value(row).and_then(answer)).collect::<Result<_, _>>()?;
        Ok(take(&answers))
    }
}

/// Where an output is written, and what it is expected to be.
pub struct Place {
    pub fresh: Fresh,
    pub shape: Shape,
}

impl Place {
    fn bind(&mut self, memory: &MemoryInfo<'_>, allocator: &ort::memory::Allocator) -> ort::Result<raw::Borrowed<'_>> {
        let Place { fresh, shape } = self;
        raw::borrow_mut(fresh.as_mut_slice(), shape.datatype, &shape.sizes, memory, allocator)
    }
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    Strings(&'static str),
    #[error("onnxruntime")]
    Runtime(#[from] ort::Error),
}

/// What is said of the nodes that each provider took. Fails if the wanted one took none: the CPU would run in its place
/// without a word.
fn reports(mut placed: Vec<(String, usize)>, wanted: &str) -> Result<Vec<ProviderReport>, SessionError> {
    placed.retain(|(_, count)| *count > 0);
    placed.sort_by_key(|row| std::cmp::Reverse(row.1));
    let nodes: usize = placed.iter().map(|row| row.1).sum();
    if nodes == 0 {
        return Err(SessionError::Unplaced);
    }
    let report =
        |(name, count): &(String, usize)| ProviderReport { name: short_name(name), share: share(*count, nodes) };
    let reports: Vec<_> = placed.iter().map(report).collect();
    if !reports.iter().any(|report| report.name == wanted) {
        return Err(SessionError::Idle { name: wanted.to_owned(), nodes });
    }
    Ok(reports)
}

#[expect(clippy::cast_precision_loss, reason = "node counts are far below 2^24")]
fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

fn options(runtime: &Runtime, variant: &Variant, setup: &Setup) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        .with_thread_manager(runtime.starter.clone())?
        .with_intra_threads(runtime_threads(setup))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // A pattern is kept per shape for ever, and requests choose the shapes; only the manifest knows how many.
        .with_memory_pattern(variant.memory_pattern)?
        .with_log_level(LogLevel::Warning)?
        .with_config_entry("session.record_ep_graph_assignment_info", "1")?;
    if variant.providers.iter().any(|name| name == "cpu") {
        Ok(builder)
    } else {
        Ok(builder.with_disable_cpu_fallback()?)
    }
}

fn specs(what: &'static str, outlets: &[ort::value::Outlet]) -> Result<Vec<TensorSpec>, SessionError> {
    let spec = |outlet: &ort::value::Outlet| {
        let found = || SessionError::Type { what, name: outlet.name().into(), found: outlet.dtype().to_string() };
        match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let datatype = raw::datatype(*ty).ok_or_else(found)?;
                // Any negative size is an open one.
                let shape = shape.iter().map(|size| (*size).max(-1)).collect();
                Ok(TensorSpec { name: outlet.name().into(), datatype, shape })
            }
            _ => Err(found()),
        }
    };
    outlets.iter().map(spec).collect()
}

fn optional(session: &Session) -> Vec<String> {
    session.overridable_initializers().iter().map(|value| value.name().to_owned()).collect()
}

/// An input value for the time of one run.
enum Held<'a> {
    Borrowed(raw::Borrowed<'a>),
    Strings(DynValue),
}

impl<'a> Held<'a> {
    fn of(feed: &Feed<'a>, memory: &MemoryInfo<'_>, allocator: &ort::memory::Allocator) -> Result<Held<'a>, RunError> {
        if feed.datatype == Datatype::Bytes {
            let count = tensor::elements(feed.shape).ok_or(RunError::Strings("the shape is too large"))?;
            let strings = tensor::strings(feed.bytes, count).map_err(RunError::Strings)?;
            return Ok(Held::Strings(Tensor::from_string_array((feed.shape, &strings[..]))?.into_dyn()));
        }
        Ok(Held::Borrowed(raw::borrow(feed.bytes, feed.datatype, feed.shape, memory, allocator)?))
    }

    fn value(&self) -> &DynValue {
        match self {
            Held::Borrowed(value) => value.value(),
            Held::Strings(value) => value,
        }
    }
}

fn answer(value: &DynValue) -> ort::Result<Answer<'_>> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(ort::Error::new(format!("output is a {}, not a tensor", value.dtype())));
    };
    let datatype = raw::datatype(*ty).ok_or_else(|| ort::Error::new(format!("output has elements of type {ty}")))?;
    let data = match datatype {
        Datatype::Bytes => AnswerData::Strings(value.try_extract_strings()?.1),
        _ => AnswerData::Plain(raw::bytes(value)?),
    };
    Ok(Answer { datatype, shape: shape.to_vec(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(placed: &[(&str, usize)], wanted: &str) -> Result<Vec<(String, f32)>, String> {
        let placed = placed.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let reports = reports(placed, wanted).map_err(|error| error.to_string())?;
        Ok(reports.into_iter().map(|report| (report.name, report.share)).collect())
    }

    #[test]
    fn a_warning_of_what_the_host_says_itself_is_left_out() {
        assert!(is_told_otherwise("session_state.cc:1598 VerifyEachNodeIsAssignedToAnEp"));
        assert!(!is_told_otherwise("conv.cc:426 UpdateState"));
    }

    #[test]
    fn invariant_7_a_provider_that_took_nothing_is_an_error_and_results_name_the_one_that_ran() {
        let mixed = [("CPUExecutionProvider", 1), ("CUDAExecutionProvider", 3)];
        assert_eq!(said(&mixed, "cuda"), Ok(vec![("cuda".into(), 0.75), ("cpu".into(), 0.25)]));
        let idle = Err("provider cuda was asked for and took none of the model's 4 nodes".to_owned());
        assert_eq!(said(&[("CPUExecutionProvider", 4)], "cuda"), idle);
        assert_eq!(said(&[("CPUExecutionProvider", 4), ("CUDAExecutionProvider", 0)], "cuda"), idle);
        for nothing in [&[][..], &[("CPUExecutionProvider", 0)]] {
            assert!(said(nothing, "cpu").unwrap_err().contains("placed no node"), "{nothing:?}");
        }
    }
}
