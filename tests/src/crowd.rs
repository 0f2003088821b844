//! What every test of a crowd needs: a second client that is to be served all the while, and the memory that the daemon
//! takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::json;

use crate::answer::{expect_yes, options};
use crate::client::bus::BusClient;
use crate::client::mqtt::Device;
use crate::client::routes::{Example, tensor_body};
use crate::clock::{PATIENCE, Stopwatch, eventually, within};
use crate::runner::block_on;
use crate::stack::Stack;
use crate::usage;

/// Deadline of a caller who waits as long as it takes.
pub const PATIENT_MS: i64 = 600_000;
/// Deadline of the second client's requests.
const SECOND_MS: i64 = 60_000;

/// A second client on a thread of its own, whose times are not those of the flood's task.
#[derive(Debug)]
pub struct Second {
    over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Served>>,
}

/// What the second client got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    pub all: u32,
    /// Those that it began while requests waited.
    pub meanwhile: usize,
    pub slowest: Duration,
}

impl Second {
    /// Asks until it is told that the flood is over.
    pub fn start(stack: &Stack, good: &Example) -> Second {
        let (over, address, good) = (Arc::new(AtomicBool::new(false)), stack.bus.address(), good.clone());
        let count = Arc::new(AtomicUsize::new(0));
        let (ended, counter) = (Arc::clone(&over), Arc::clone(&count));
        let thread = std::thread::spawn(move || block_on(ask_until(&ended, &counter, &address, &good))?);
        Second { over, count, thread }
    }

    /// Waits until it was served so often.
    pub async fn served(&self, times: usize) -> Result<()> {
        let count = async || Ok((self.count.load(Ordering::Relaxed) >= times).then_some(()));
        eventually("the second client is served", PATIENCE, count).await
    }

    /// Once the flood is over.
    pub fn end(self) -> Result<Served> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the second client panicked"))?
    }
}

async fn ask_until(over: &AtomicBool, count: &AtomicUsize, address: &str, good: &Example) -> Result<Served> {
    let client = BusClient::on_bus(address).await?;
    let (mut served, given) = (Served::default(), options(json!({"deadline_ms": SECOND_MS})));
    while !over.load(Ordering::Relaxed) {
        let waiting = within("the state", PATIENCE, client.status()).await??.waiting > 0;
        let watch = Stopwatch::start();
        let outcome = within("the second client", PATIENCE, client.infer(&good.model, &good.inputs, &given)).await??;
        expect_yes("the second client", outcome)?;
        served.slowest = served.slowest.max(watch.elapsed());
        served.all += 1;
        count.fetch_add(1, Ordering::Relaxed);
        served.meanwhile += usize::from(waiting);
    }
    Ok(served)
}

/// Memory of the daemon from before a flood on.
#[derive(Debug)]
pub struct Growth {
    daemon: u32,
    before: u64,
}

impl Growth {
    /// Starts now.
    pub fn of(stack: &Stack) -> Result<Growth> {
        let daemon = stack.daemon()?.process.pid();
        Ok(Growth { daemon, before: usage::resident(daemon)? })
    }

    /// At its peak the daemon had at most so much more.
    pub fn within(&self, bytes: u64) -> Result<()> {
        let grown = usage::resident_peak(self.daemon)?.saturating_sub(self.before);
        println!("the daemon grew by {} KiB, allowed are {}", grown >> 10, bytes >> 10);
        ensure!(grown < bytes, "the daemon grew by {} KiB, allowed are {}", grown >> 10, bytes >> 10);
        Ok(())
    }
}

/// Waits until nothing waits or runs any more.
pub async fn quiet_again(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let quiet = async || {
        let status = client.status().await?;
        Ok((status.waiting == 0 && status.running == 0).then_some(()))
    };
    eventually("nothing waits any more", PATIENCE, quiet).await
}

/// A good request on the bus is served.
pub async fn next_on_bus(client: &BusClient, good: &Example) -> Result<()> {
    let given = options(json!({"deadline_ms": PATIENT_MS}));
    let next = within("the next answer", PATIENCE, client.infer(&good.model, &good.inputs, &given)).await??;
    expect_yes("the next request on the bus", next).map(drop)
}

/// A good request on the broker is served.
pub async fn next_on_broker(device: &Device, good: &Example) -> Result<()> {
    let body = tensor_body(&good.inputs, &options(json!({"deadline_ms": PATIENT_MS})))?;
    expect_yes("the next request on the broker", device.ask_json(&good.model, &body).await?).map(drop)
}
