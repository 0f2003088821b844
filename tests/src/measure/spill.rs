//! What it costs the daemon to send a request on: its own processor time for each, with the device held, so that everything goes to
//! another site. The site is a thread of this process that reads what comes and gives the answer that the model gave here: its time
//! is not the daemon's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use edge_wire::proxy::ManagerProxy;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::median;
use super::table::{Promise, Table};
use super::work::{TEXT_DIRECTION, Work};
use crate::answer::{Tensor, expect_yes, options};
use crate::client::bus::{BusClient, TensorFd};
use crate::clock::Stopwatch;
use crate::memfd;
use crate::stack::{Setup, Stack};
use crate::usage;

/// 110,592 bytes.
const WORK: Work = TEXT_DIRECTION;
/// Requests before anything is counted, for connections and estimates.
const WARM_UP: u32 = 100;
/// Rounds, and requests in each.
const ROUNDS: usize = 5;
const CALLS: u32 = 400;
/// Most bytes of a request's head.
const MOST_HEAD: u64 = 64 << 10;
/// Milliseconds of the daemon's processor for a request by raw tensors.
const PROMISED_MS: f64 = 0.4;

/// A kind of site and of load that is measured.
struct Kind {
    what: &'static str,
    zone: &'static str,
    binary: bool,
    /// Each with one request under way.
    callers: u32,
    promise: Promise,
}

const KINDS: [Kind; 5] = [
    Kind {
        what: "raw, site on the device, 1 caller",
        zone: "device",
        binary: true,
        callers: 1,
        promise: Promise::AtMost(PROMISED_MS),
    },
    Kind {
        what: "raw, site of the premises, noted first, 8 callers",
        zone: "premises",
        binary: true,
        callers: 8,
        promise: Promise::AtMost(PROMISED_MS),
    },
    Kind {
        what: "raw, site of the premises, noted first, 1 caller",
        zone: "premises",
        binary: true,
        callers: 1,
        promise: Promise::AtMost(PROMISED_MS),
    },
    Kind {
        what: "JSON, site on the device, 1 caller",
        zone: "device",
        binary: false,
        callers: 1,
        promise: Promise::None,
    },
    Kind {
        what: "JSON, site of the premises, noted first, 1 caller",
        zone: "premises",
        binary: false,
        callers: 1,
        promise: Promise::None,
    },
];

/// A row for each kind of site.
pub async fn rows(table: &mut Table) -> Result<()> {
    for kind in KINDS {
        let echo = Echo::start()?;
        let site = format!(
            "[[site]]\nname = \"there\"\nzone = \"{}\"\nprotocol = \"oip\"\nurl = \"http://127.0.0.1:{}\"\n\
             models = {{ {} = \"there\" }}\nbinary = {}\n",
            kind.zone, echo.port, WORK.model, kind.binary
        );
        let stack = Setup::new().bundles(&[WORK.model]).without_broker().config(&site).start().await?;
        row(&stack, &echo, &kind, table).await.with_context(|| stack.logs())?;
    }
    Ok(())
}

async fn row(stack: &Stack, echo: &Echo, kind: &Kind, table: &mut Table) -> Result<()> {
    let client = stack.client().await?;
    let input = WORK.tensor();
    let here = client.infer(WORK.model, std::slice::from_ref(&input), &options(json!({}))).await?;
    echo.answers(&expect_yes("here", here)?.outputs)?;
    let _held = ManagerProxy::new(&client.connection).await?.hold("a measurement").await?;
    let mut callers = Vec::new();
    for _ in 0..kind.callers {
        callers.push(Arc::new(Caller {
            client: stack.client().await?,
            fd: memfd::sealed(&input.data)?,
            input: input.clone(),
        }));
    }
    ask(&callers, WARM_UP).await?;
    let daemon = stack.daemon()?.process.pid();
    let (mut used, mut took) = (Vec::new(), Vec::new());
    let before = echo.served.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        let (watch, from) = (Stopwatch::start(), usage::cpu_time(daemon)?);
        ask(&callers, CALLS).await?;
        used.push((usage::cpu_time(daemon)? - from).as_secs_f64() * 1e3 / f64::from(CALLS));
        took.push(watch.elapsed().as_secs_f64() * 1e3 / f64::from(CALLS));
    }
    let sent = echo.served.load(Ordering::Relaxed) - before;
    let asked = u64::from(CALLS) * ROUNDS as u64;
    ensure!(sent == asked, "of {asked} requests {sent} came to the site");
    let least = used.iter().copied().fold(f64::INFINITY, f64::min);
    let note =
        format!("median of {ROUNDS}, least {least:.3}; {:.2} ms from call to answer", median(took.iter().copied()));
    table.add(&format!("sent on: {}", kind.what), "ms", kind.promise, median(used.iter().copied()), note);
    Ok(())
}

/// A program that sends requests on its own connection, always with the same memfd.
struct Caller {
    client: BusClient,
    input: Tensor,
    fd: OwnedFd,
}

/// So many requests in all.
async fn ask(callers: &[Arc<Caller>], calls: u32) -> Result<()> {
    let (share, mut asking) = (calls / u32::try_from(callers.len())?, JoinSet::new());
    for caller in callers {
        let caller = Arc::clone(caller);
        asking.spawn(async move { caller.ask(share).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}

impl Caller {
    /// So often, one after the other.
    async fn ask(&self, calls: u32) -> Result<()> {
        let Tensor { name, datatype, shape, data } = &self.input;
        let shape: Vec<u64> = shape.iter().map(|size| size.unsigned_abs()).collect();
        let inputs =
            [TensorFd { name, datatype, shape: &shape, fd: self.fd.as_fd(), offset: 0, len: data.len() as u64 }];
        let given = options(json!({ "data_class": "internal", "deadline_ms": 10_000 }));
        for _ in 0..calls {
            let yes = expect_yes("there", self.client.infer_fd(WORK.model, &inputs, &given).await?)?;
            ensure!(yes.info["verdict"] == "spill" && yes.info["site"] == "there", "{}", yes.info);
        }
        Ok(())
    }
}

/// A server of the Open Inference Protocol that always gives the same answer, in the form in which it was asked.
struct Echo {
    port: u16,
    served: Arc<AtomicU64>,
    answers: Arc<std::sync::OnceLock<Answers>>,
}

/// Whole responses.
struct Answers {
    binary: Vec<u8>,
    json: Vec<u8>,
}

impl Echo {
    fn start() -> Result<Echo> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let echo = Echo { port, served: Arc::default(), answers: Arc::default() };
        let (served, answers) = (Arc::clone(&echo.served), Arc::clone(&echo.answers));
        std::thread::Builder::new().name("echo".into()).spawn(move || {
            // It ends with the process.
            for stream in listener.incoming().flatten() {
                let (served, answers) = (Arc::clone(&served), Arc::clone(&answers));
                let conversation = move || {
                    if let Err(fault) = converse(&stream, &served, &answers) {
                        eprintln!("echo: {fault:?}");
                    }
                };
                if let Err(fault) = std::thread::Builder::new().name("echo".into()).spawn(conversation) {
                    eprintln!("echo: {fault}");
                }
            }
        })?;
        Ok(echo)
    }

    /// What it answers from now on.
    fn answers(&self, outputs: &[Tensor]) -> Result<()> {
        let described = |tensor: &Tensor| {
            json!({
                "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
                "parameters": { "binary_data_size": tensor.data.len() },
            })
        };
        let said = |outputs: Vec<Value>| json!({ "model_name": "there", "outputs": outputs }).to_string();
        let header = said(outputs.iter().map(described).collect());
        let mut body = header.clone().into_bytes();
        outputs.iter().for_each(|tensor| body.extend_from_slice(&tensor.data));
        let binary = response(&format!("Inference-Header-Content-Length: {}\r\n", header.len()), &body);
        let whole = said(outputs.iter().map(Tensor::to_json).collect::<Result<_>>()?);
        let json = response("Content-Type: application/json\r\n", whole.as_bytes());
        ensure!(self.answers.set(Answers { binary, json }).is_ok(), "the answer was set before");
        Ok(())
    }
}

fn response(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    whole
}

/// Answers one connection to its end.
fn converse(stream: &TcpStream, served: &AtomicU64, answers: &std::sync::OnceLock<Answers>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::with_capacity(64 << 10, stream), stream);
    let mut body = Vec::new();
    loop {
        let Some(head) = head(&mut reader)? else { return Ok(()) };
        body.resize(head.len, 0);
        reader.read_exact(&mut body)?;
        if !head.infers {
            writer.write_all(&response("", b""))?;
            continue;
        }
        let answers = answers.get().context("asked before there is an answer")?;
        writer.write_all(if head.binary { &answers.binary } else { &answers.json })?;
        served.fetch_add(1, Ordering::Relaxed);
    }
}

struct Head {
    infers: bool,
    binary: bool,
    len: usize,
}

/// The head of the next request; none at the end of the connection.
fn head(reader: &mut BufReader<&TcpStream>) -> Result<Option<Head>> {
    let mut head = Head { infers: false, binary: false, len: 0 };
    let mut lines = reader.take(MOST_HEAD);
    let mut line = String::new();
    if lines.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    head.infers = line.starts_with("POST ");
    loop {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "a request without an end");
        let Some((name, value)) = line.split_once(':') else { return Ok(Some(head)) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.len = value.trim().parse()?,
            "inference-header-content-length" => head.binary = true,
            "transfer-encoding" => anyhow::bail!("a body in chunks is not measured here"),
            _ => {}
        }
    }
}
