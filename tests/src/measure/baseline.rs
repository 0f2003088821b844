//! The other side of every ratio: a process that holds sessions and runs them when told to.
//!
//! [`serve`] is the process's main loop; [`Baseline`] starts one and speaks with it, a line of JSON each way.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, Tensor as OrtTensor};
use serde::{Deserialize, Serialize};

use crate::answer::Tensor;
use crate::clock::Stopwatch;
use crate::measure::work::Work;
use crate::measure::{Round, hop};
use crate::places;
use crate::usage;

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    /// Hold this many sessions of a model, and run each of them once.
    Load { file: PathBuf, inputs: Vec<Input>, sessions: usize, on: On },
    /// Register OpenVINO's library.
    Register { library: PathBuf },
    /// Run the sessions of the model loaded as number `model`, one thread for each caller.
    Run { model: usize, calls: u32, callers: usize },
    /// Run it once and tell what came out.
    Answer { model: usize },
    /// Serve the process that listens at this socket, until it leaves.
    Hop { model: usize, socket: PathBuf },
}

/// How a session is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct On {
    /// `cpu` or `openvino`.
    pub provider: String,
    /// In the provider's fastest float.
    pub reduced: bool,
    pub threads: usize,
}

impl Default for On {
    fn default() -> On {
        On { provider: "cpu".into(), reduced: false, threads: 1 }
    }
}

/// A tensor on the line between the two processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<i64>,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Report {
    Loaded { model: usize },
    Registered,
    Ran { calls: u32, wall_ns: u64, cpu_ns: u64, latencies_ns: Vec<u64> },
    Answered { outputs: Vec<Input> },
    Failed { message: String },
}

/// The process as its user sees it.
#[derive(Debug)]
pub struct Baseline {
    child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Baseline {
    /// Starts one with the runtime library loaded.
    pub fn start() -> Result<Baseline> {
        let program = places::binary("edge-baseline")?;
        let mut command = Command::new(&program);
        command.arg(places::runtime_library()?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let orders = child.stdin.take().context("its stdin")?;
        let reports = BufReader::new(child.stdout.take().context("its stdout")?);
        Ok(Baseline { child, orders, reports })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Loads sessions of a model; gives its number.
    pub fn load(&mut self, file: &Path, inputs: Vec<Input>, sessions: usize) -> Result<usize> {
        self.load_on(file, inputs, sessions, On::default())
    }

    /// Registers OpenVINO's library, so that sessions can be made on it.
    pub fn register(&mut self, library: &Path) -> Result<()> {
        match self.order(&Order::Register { library: library.to_path_buf() })? {
            Report::Registered => Ok(()),
            other => bail!("the baseline did not register {}: {other:?}", library.display()),
        }
    }

    /// Loads sessions of a model on a provider; gives its number.
    pub fn load_on(&mut self, file: &Path, inputs: Vec<Input>, sessions: usize, on: On) -> Result<usize> {
        match self.order(&Order::Load { file: file.to_path_buf(), inputs, sessions, on })? {
            Report::Loaded { model } => Ok(model),
            other => bail!("the baseline did not load {}: {other:?}", file.display()),
        }
    }

    /// Runs a round.
    pub fn run(&mut self, model: usize, calls: u32, callers: usize) -> Result<Round> {
        match self.order(&Order::Run { model, calls, callers })? {
            Report::Ran { calls, wall_ns, cpu_ns, latencies_ns } => Ok(Round {
                calls,
                wall: Duration::from_nanos(wall_ns),
                cpu: Duration::from_nanos(cpu_ns),
                latencies: latencies_ns.into_iter().map(Duration::from_nanos).collect(),
            }),
            other => bail!("the baseline did not run: {other:?}"),
        }
    }

    /// A round in which each call comes from another process, as [`hop`] says, `rest` after the answer before. The processor time is the server's alone,
    /// as it is in the other rows.
    pub fn hop(&mut self, model: usize, calls: u32, rest: Duration, work: Work) -> Result<Round> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("hop");
        let listener = UnixListener::bind(&socket)?;
        self.tell(&Order::Hop { model, socket })?;
        let (stream, _) = listener.accept().context("the baseline did not come")?;
        let latencies = hop::ask(&stream, calls, rest, &work.tensor().data)?;
        drop(stream);
        match self.report()? {
            Report::Ran { calls, wall_ns, cpu_ns, .. } => {
                Ok(Round { calls, wall: Duration::from_nanos(wall_ns), cpu: Duration::from_nanos(cpu_ns), latencies })
            }
            other => bail!("the baseline did not serve: {other:?}"),
        }
    }

    /// What the model makes of its input: the reference for every other way to run it.
    pub fn answer(&mut self, model: usize) -> Result<Vec<Tensor>> {
        match self.order(&Order::Answer { model })? {
            Report::Answered { outputs } => Ok(outputs
                .into_iter()
                .map(|output| Tensor::new(&output.name, &output.datatype, &output.shape, output.data))
                .collect()),
            other => bail!("the baseline did not answer: {other:?}"),
        }
    }

    fn order(&mut self, order: &Order) -> Result<Report> {
        self.tell(order)?;
        self.report()
    }

    fn tell(&mut self, order: &Order) -> Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).context("tell the baseline")
    }

    fn report(&mut self) -> Result<Report> {
        let mut report = String::new();
        ensure!(self.reports.read_line(&mut report)? > 0, "the baseline ended");
        serde_json::from_str(&report).with_context(|| format!("the baseline's report {report:?}"))
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The work as the input of a first run.
pub fn input_of(work: Work) -> Input {
    let tensor = work.tensor();
    Input { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, data: tensor.data }
}

/// The process's main: orders on stdin, reports on stdout, until stdin ends.
pub fn serve(library: &Path) -> Result<()> {
    let environment = ort::init_from(library)
        .map_err(|fault| anyhow::anyhow!("load {}: {fault}", library.display()))?
        .with_name("baseline")
        .with_telemetry(false)
        .build()?;
    let mut models: Vec<Model> = Vec::new();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let report = obey(&environment, &mut models, &serde_json::from_str(&line?)?);
        let report = report.unwrap_or_else(|fault| Report::Failed { message: format!("{fault:#}") });
        let mut text = serde_json::to_vec(&report)?;
        text.push(b'\n');
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(())
}

struct Model {
    sessions: Vec<Session>,
    inputs: Vec<Input>,
}

fn obey(environment: &Environment, models: &mut Vec<Model>, order: &Order) -> Result<Report> {
    match order {
        Order::Register { library } => {
            environment.register_ep_library("openvino", library)?;
            Ok(Report::Registered)
        }
        Order::Load { file, inputs, sessions, on } => {
            let mut model = Model { sessions: Vec::new(), inputs: inputs.clone() };
            for _ in 0..*sessions {
                let mut session = session(environment, file, on)?;
                run(&mut session, &model.inputs, 1)?;
                model.sessions.push(session);
            }
            models.push(model);
            Ok(Report::Loaded { model: models.len() - 1 })
        }
        Order::Run { model, calls, callers } => {
            let model = models.get_mut(*model).context("no such model was loaded")?;
            round(model, *calls, *callers)
        }
        Order::Answer { model } => {
            let model = models.get_mut(*model).context("no such model was loaded")?;
            let session = model.sessions.first_mut().context("a session")?;
            Ok(Report::Answered { outputs: answer(session, &model.inputs)? })
        }
        Order::Hop { model, socket } => {
            let model = models.get_mut(*model).context("no such model was loaded")?;
            serve_hop(model, &UnixStream::connect(socket)?)
        }
    }
}

fn answer(session: &mut Session, inputs: &[Input]) -> Result<Vec<Input>> {
    let values = inputs.iter().map(value).collect::<Result<Vec<_>>>()?;
    let feeds: Vec<(&str, &DynValue)> =
        inputs.iter().zip(&values).map(|(input, value)| (input.name.as_str(), value)).collect();
    let outputs = session.run(feeds)?;
    let read = |(name, value): (&str, ort::value::ValueRef<'_>)| {
        let (shape, data) = value.try_extract_tensor::<f32>()?;
        let data = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Input { name: name.into(), datatype: "FP32".into(), shape: shape.to_vec(), data })
    };
    outputs.iter().map(read).collect()
}

fn session(environment: &Environment, file: &Path, on: &On) -> Result<Session> {
    let openvino = on.provider == "openvino";
    let wanted = if openvino { "OpenVINOExecutionProvider" } else { "CPUExecutionProvider" };
    let mut devices = environment.devices();
    let device = devices.find(|device| {
        device.ep().is_ok_and(|name| name == wanted) && device.hardware_device().ty() == ort::memory::DeviceType::CPU
    });
    let device = device.with_context(|| format!("no device of {wanted}"))?;
    let options = openvino.then(|| {
        let exact = r#","INFERENCE_PRECISION_HINT":"f32","DYNAMIC_QUANTIZATION_GROUP_SIZE":"0""#;
        let config = format!(
            r#"{{"CPU":{{"INFERENCE_NUM_THREADS":"{}","NUM_STREAMS":"1","PERFORMANCE_HINT":"LATENCY","ENABLE_CPU_PINNING":"NO"{}}}}}"#,
            on.threads,
            if on.reduced { "" } else { exact }
        );
        [(format!("{wanted}.load_config"), config)]
    });
    let make = || -> ort::Result<Session> {
        let builder = Session::builder(environment)?
            .with_intra_threads(if openvino { 1 } else { on.threads })?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        builder.with_devices([device], options.as_ref().map(|options| &options[..]))?.commit_from_file(file)
    };
    Ok(make()?)
}

fn round(model: &mut Model, calls: u32, callers: usize) -> Result<Report> {
    ensure!(callers > 0 && callers <= model.sessions.len(), "{callers} callers, {} sessions", model.sessions.len());
    let share = calls / u32::try_from(callers)?;
    let (cpu, wall) = (usage::cpu_time(std::process::id())?, Stopwatch::start());
    let inputs = &model.inputs;
    let latencies: Result<Vec<Vec<Duration>>> = std::thread::scope(|scope| {
        let callers = model.sessions.iter_mut().take(callers);
        let threads: Vec<_> = callers.map(|session| scope.spawn(move || run(session, inputs, share))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a caller panicked"))).collect()
    });
    let latencies = latencies?;
    let (wall, cpu) = (wall.elapsed(), usage::cpu_time(std::process::id())?.saturating_sub(cpu));
    Ok(Report::Ran {
        calls: share * u32::try_from(callers)?,
        wall_ns: nanoseconds(wall)?,
        cpu_ns: nanoseconds(cpu)?,
        latencies_ns: latencies.into_iter().flatten().map(nanoseconds).collect::<Result<_>>()?,
    })
}

fn serve_hop(model: &mut Model, stream: &UnixStream) -> Result<Report> {
    let session = model.sessions.first_mut().context("a session")?;
    let input = model.inputs.first().context("an input")?;
    ensure!(input.datatype == "FP32", "the hop takes numbers of 4 bytes");
    let mut state =
        (session, OrtTensor::from_array((input.shape.clone(), elements(&input.data, f32::from_le_bytes)?))?);
    let (cpu, wall) = (usage::cpu_time(std::process::id())?, Stopwatch::start());
    let calls = hop::serve(
        stream,
        &mut state,
        |(_, tensor)| {
            let (_, values) = tensor.extract_tensor_mut();
            // SAFETY: any bytes are numbers of 4 bytes, and the bytes are borrowed as long as the numbers are.
            Ok(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) })
        },
        |(session, tensor)| {
            let outputs = session.run(ort::inputs![input.name.as_str() => &*tensor])?;
            let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
            Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
        },
    )?;
    let (wall, cpu) = (wall.elapsed(), usage::cpu_time(std::process::id())?.saturating_sub(cpu));
    Ok(Report::Ran { calls, wall_ns: nanoseconds(wall)?, cpu_ns: nanoseconds(cpu)?, latencies_ns: Vec::new() })
}

fn nanoseconds(time: Duration) -> Result<u64> {
    Ok(u64::try_from(time.as_nanos())?)
}

/// Runs a session `calls` times; the input values are made once, as a program of its own would.
fn run(session: &mut Session, inputs: &[Input], calls: u32) -> Result<Vec<Duration>> {
    let values = inputs.iter().map(value).collect::<Result<Vec<_>>>()?;
    let mut latencies = Vec::with_capacity(usize::try_from(calls)?);
    for _ in 0..calls {
        let feeds: Vec<(&str, &DynValue)> =
            inputs.iter().zip(&values).map(|(input, value)| (input.name.as_str(), value)).collect();
        let watch = Stopwatch::start();
        let outputs = session.run(feeds)?;
        std::hint::black_box(outputs.len());
        drop(outputs);
        latencies.push(watch.elapsed());
    }
    Ok(latencies)
}

fn value(input: &Input) -> Result<DynValue> {
    let shape = input.shape.clone();
    Ok(match input.datatype.as_str() {
        "FP32" => OrtTensor::from_array((shape, elements(&input.data, f32::from_le_bytes)?))?.into_dyn(),
        "INT32" => OrtTensor::from_array((shape, elements(&input.data, i32::from_le_bytes)?))?.into_dyn(),
        "INT64" => OrtTensor::from_array((shape, elements(&input.data, i64::from_le_bytes)?))?.into_dyn(),
        other => bail!("the baseline makes no {other}"),
    })
}

fn elements<T, const N: usize>(data: &[u8], read: fn([u8; N]) -> T) -> Result<Vec<T>> {
    data.chunks(N).map(|raw| Ok(read(raw.try_into()?))).collect()
}
