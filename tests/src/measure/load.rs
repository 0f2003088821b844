//! The running system under load: clients in this process, and what each process of the stack used meanwhile.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use edge_wire::names::{BUS_NAME, INFERENCE, ROOT_PATH};
use serde_bytes::Bytes as SerdeBytes;
use tokio::task::JoinSet;
use zbus::{Connection, Fd, Variant};

use crate::answer::Tensor;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::reply::{self, HEADER_LENGTH, binary_body};
use crate::clock::Stopwatch;
use crate::measure::Round;
use crate::measure::work::Work;
use crate::memfd;
use crate::places;
use crate::stack::Stack;
use crate::usage;

/// How the clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `InferFd`; each client keeps its sealed memfd and sends it again.
    Fd,
    /// `Infer`.
    Inline,
    /// MQTT 5, QoS 1, binary tensors.
    Mqtt,
    /// `InferEncoded` of this file of the bundle, a JPEG; each client keeps its sealed memfd and sends it again.
    Picture(&'static str),
}

/// One round against the system; `round.cpu` is of the daemon and its engine host together.
#[derive(Clone, Debug, Default)]
pub struct Served {
    pub round: Round,
    pub daemon: Duration,
    pub host: Duration,
    pub bus: Duration,
    pub broker: Duration,
    pub clients: Duration,
}

/// Connected clients, ready for rounds.
#[derive(Debug)]
pub struct Load {
    clients: Vec<Arc<Client>>,
    pids: Pids,
}

#[derive(Clone, Debug)]
struct Pids {
    daemon: u32,
    /// One for each execution provider.
    hosts: Vec<u32>,
    bus: u32,
    broker: u32,
}

impl Load {
    /// Connects `count` clients for one kind of work.
    pub async fn connect(stack: &Stack, way: Way, work: Work, count: usize) -> Result<Load> {
        let pids = Pids {
            daemon: stack.daemon()?.process.pid(),
            hosts: hosts(stack).await?,
            bus: stack.bus.process.pid(),
            broker: stack.broker.as_ref().context("the stack has a broker")?.process.pid(),
        };
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Arc::new(Client::connect(stack, way, work).await?));
        }
        Ok(Load { clients, pids })
    }

    /// `calls` in all, shared by the clients, each of which has one under way.
    pub async fn round(&self, calls: u32) -> Result<Served> {
        let share = calls / u32::try_from(self.clients.len())?;
        let before = self.pids.read()?;
        let watch = Stopwatch::start();
        let mut running = JoinSet::new();
        for client in &self.clients {
            let client = Arc::clone(client);
            running.spawn(async move { client.ask(share).await });
        }
        let mut latencies = Vec::new();
        while let Some(done) = running.join_next().await {
            latencies.extend(done??);
        }
        let wall = watch.elapsed();
        let used = self.pids.read()?.since(&before);
        let [daemon, host, bus, broker, clients] = used.0;
        let calls = share * u32::try_from(self.clients.len())?;
        Ok(Served { round: Round { calls, wall, cpu: daemon + host, latencies }, daemon, host, bus, broker, clients })
    }
}

struct Used([Duration; 5]);

impl Pids {
    fn read(&self) -> Result<Used> {
        let own = std::process::id();
        let mut used = [Duration::ZERO; 5];
        let others = [self.daemon, self.bus, self.broker, own].map(|pid| vec![pid]);
        let [daemon, bus, broker, own] = others;
        for (place, pids) in used.iter_mut().zip([daemon, self.hosts.clone(), bus, broker, own]) {
            for pid in pids {
                *place += usage::cpu_time(pid)?;
            }
        }
        Ok(Used(used))
    }
}

impl Used {
    fn since(&self, before: &Used) -> Used {
        let mut used = [Duration::ZERO; 5];
        for (place, (after, before)) in used.iter_mut().zip(self.0.iter().zip(before.0)) {
            *place = after.saturating_sub(before);
        }
        Used(used)
    }
}

/// Process ids of the engine hosts, once one is up.
async fn hosts(stack: &Stack) -> Result<Vec<u32>> {
    stack.host_pid().await?;
    let hosts = stack.client().await?.status().await?.engine.hosts;
    Ok(hosts.into_iter().map(|host| host.pid).filter(|pid| *pid > 0).collect())
}

#[derive(Debug)]
enum Client {
    Fd { connection: Connection, fd: OwnedFd, model: String, tensor: Tensor },
    Inline { connection: Connection, model: String, tensor: Tensor },
    Mqtt { device: Device, message: Outgoing },
    Picture { connection: Connection, fd: OwnedFd, model: String },
}

impl Client {
    async fn connect(stack: &Stack, way: Way, work: Work) -> Result<Client> {
        let (tensor, model) = (work.tensor(), work.model.to_owned());
        Ok(match way {
            Way::Fd => {
                let fd = memfd::sealed(&tensor.data)?;
                Client::Fd { connection: stack.bus.connect().await?, fd, model, tensor }
            }
            Way::Inline => Client::Inline { connection: stack.bus.connect().await?, model, tensor },
            Way::Mqtt => {
                let (body, header) = binary_body(std::slice::from_ref(&tensor))?;
                let message = Outgoing {
                    topic: request_topic(&model),
                    payload: Bytes::from(body),
                    qos: 1,
                    content_type: Some("application/octet-stream".into()),
                    user: vec![(HEADER_LENGTH.into(), header.to_string())],
                    ..Outgoing::default()
                };
                Client::Mqtt { device: stack.device(Protocol::V5).await?, message }
            }
            Way::Picture(file) => {
                let file = places::bundle(&model)?.join(file);
                let payload = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
                Client::Picture { connection: stack.bus.connect().await?, fd: memfd::sealed(&payload)?, model }
            }
        })
    }

    async fn ask(&self, calls: u32) -> Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(usize::try_from(calls)?);
        for _ in 0..calls {
            let watch = Stopwatch::start();
            self.ask_once().await?;
            latencies.push(watch.elapsed());
        }
        Ok(latencies)
    }

    async fn ask_once(&self) -> Result<()> {
        let options: HashMap<&str, Variant<'_>> = HashMap::new();
        match self {
            Client::Fd { connection, fd, model, tensor } => {
                let (shape, len) = (unsigned(tensor), tensor.data.len() as u64);
                let input = (tensor.name.as_str(), tensor.datatype.as_str(), shape, Fd::from(fd.as_fd()), 0_u64, len);
                call(connection, "InferFd", &(model, [input].as_slice(), options)).await
            }
            Client::Inline { connection, model, tensor } => {
                let data = SerdeBytes::new(&tensor.data);
                let input = (tensor.name.as_str(), tensor.datatype.as_str(), unsigned(tensor), data);
                call(connection, "Infer", &(model, [input].as_slice(), options)).await
            }
            Client::Mqtt { device, message } => {
                let answer = device.exchange5(message.clone()).await?;
                ensure!(
                    answer.payload.windows(9).take(200).any(|part| part == b"\"ok\":true"),
                    "{:?}",
                    reply::read(&answer)?
                );
                Ok(())
            }
            Client::Picture { connection, fd, model } => {
                call(connection, "InferEncoded", &(model, "image/jpeg", Fd::from(fd.as_fd()), options)).await
            }
        }
    }
}

async fn call<B>(connection: &Connection, method: &str, body: &B) -> Result<()>
where
    B: serde::Serialize + zbus::DynamicType,
{
    // Whoever reads outputs maps them; here it is enough that they came.
    connection
        .call_method(Some(BUS_NAME), ROOT_PATH, Some(INFERENCE), method, body)
        .await
        .context("a measured call")?;
    Ok(())
}

fn unsigned(tensor: &Tensor) -> Vec<u64> {
    tensor.shape.iter().map(|size| size.unsigned_abs()).collect()
}
