//! What one `InferFd` call costs the daemon's thread on the bus and on a private connection, with a driver that answers
//! at once: the cost of the transport alone. Needs `dbus-daemon`. Prints CPU time per call and the median round trip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use edge_engine::protocol::Datatype;
use edge_wire::dto::{Info, Status};
use edge_wire::proxy::InferenceProxy;
use edge_wire::tensor::FdTensor;
use edged::config::{BusConfig, LimitsConfig};
use edged::handle::{Handle, Message};
use edged::request::{Output, Payload, Reply, Request, TensorOut};
use edged::transport::dbus::serve_at;
use rustix::fs::{MemfdFlags, SealFlags};
use tokio::sync::{mpsc, watch};
use zbus::{Address, Connection};

const CALLS: u32 = 4000;
const PAYLOAD: usize = 110_592;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:path={}/bus", folder.path().display());
    let mut daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address", "--address", &listen])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_owned();

    let (ask, asked) = mpsc::channel::<std_mpsc::Sender<u64>>(1);
    let (ready, is_ready) = std_mpsc::channel();
    let bus = address.clone();
    std::thread::spawn(move || runtime().block_on(edged(bus, asked, ready)));
    is_ready.recv().unwrap();
    runtime().block_on(measure(&address, ask));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// CPU time of this thread, in nanoseconds.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> Instant {
    Instant::now()
}

async fn edged(bus: String, mut asked: mpsc::Receiver<std_mpsc::Sender<u64>>, ready: std_mpsc::Sender<()>) {
    let (inbox, mut messages) = mpsc::channel(1024);
    let (_status, watched) = watch::channel(Arc::new(Status::default()));
    let limits = LimitsConfig {
        max_inline_bytes: 1 << 20,
        max_payload_bytes: 64 << 20,
        max_calls: 1024,
        max_submitted: 16,
        max_peers: 4,
    };
    let address = Address::try_from(bus.as_str()).unwrap();
    let bus = serve_at(Handle::new(inbox, watched), &BusConfig::Session, address, &limits).await.unwrap();
    bus.own_name().await.unwrap();
    ready.send(()).unwrap();
    loop {
        tokio::select! {
            Some(message) = messages.recv() => if let Message::Submit { request, reply } = message {
                reply.send(answer(*request));
            },
            Some(reply) = asked.recv() => reply.send(cpu()).unwrap(),
            else => return,
        }
    }
}

fn answer(request: Request) -> Reply {
    let Payload::Tensors(tensors) = request.payload else { panic!("no tensors") };
    let output = |input: edged::request::TensorIn| TensorOut {
        name: "save_infer_model/scale_0.tmp_1".into(),
        datatype: Datatype::Fp32,
        shape: vec![1, 2],
        data: input.data,
    };
    let info = Info {
        request_id: "r-0123456789".into(),
        model: "text-direction".into(),
        version: "1.0.0".into(),
        variant: "fp32".into(),
        verdict: "local".into(),
        reason: "fits".into(),
        site: "device".into(),
        zone: "device".into(),
        data_class: "regulated".into(),
        provider: "cpu".into(),
        received_at: "2026-11-22T10:00:00.000000Z".into(),
        completed_at: "2026-11-22T10:00:00.001700Z".into(),
        queue_us: 90,
        compute_us: 1500,
        total_us: 1700,
        batch: 1,
        ..Info::default()
    };
    Reply { result: Ok(Output::Tensors(tensors.into_iter().map(output).collect())), info }
}

async fn measure(address: &str, ask: mpsc::Sender<std_mpsc::Sender<u64>>) {
    let bus = zbus::connection::Builder::address(address).build().await.unwrap();
    let inference = InferenceProxy::new(&bus).await.unwrap();
    let socket = OwnedFd::from(inference.connect(&HashMap::new()).await.unwrap());
    let peer = zbus::connection::Builder::unix_stream(UnixStream::from(socket)).p2p().build().await.unwrap();
    for (name, connection) in [("bus", bus), ("private connection", peer)] {
        for clients in [1, 16] {
            round(&connection, clients, CALLS / 10).await;
            let before = server_cpu(&ask).await;
            let took = round(&connection, clients, CALLS).await;
            let spent = server_cpu(&ask).await - before;
            let per_call = f64::from(u32::try_from(spent / u64::from(CALLS)).unwrap()) / 1000.0;
            println!("{name}, {clients:>2} calls at once: {per_call:6.1} us CPU per call, p50 {took:?}");
        }
    }
}

async fn server_cpu(ask: &mpsc::Sender<std_mpsc::Sender<u64>>) -> u64 {
    let (sender, receiver) = std_mpsc::channel();
    ask.send(sender).await.unwrap();
    receiver.recv().unwrap()
}

/// Makes `calls` calls from `clients` tasks; the median round trip.
async fn round(connection: &Connection, clients: u32, calls: u32) -> Duration {
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let inference = InferenceProxy::new(&connection).await.unwrap();
                let inputs = [tensor()];
                let mut times = Vec::new();
                for _ in 0..calls / clients {
                    let start = now();
                    inference.infer_fd("text-direction", &inputs, &HashMap::new()).await.unwrap();
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort();
    times[times.len() / 2]
}

fn tensor() -> FdTensor {
    let fd = rustix::fs::memfd_create("bench", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(fd);
    file.write_all(&vec![0; PAYLOAD]).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE).unwrap();
    FdTensor {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![1, 3, 48, 192],
        fd: OwnedFd::from(file).into(),
        offset: 0,
        length: u64::try_from(PAYLOAD).unwrap(),
    }
}
