//! Bindings for as long as one likes, while the broker goes and comes back, the daemon is killed, and the link between them falls
//! silent, at random moments: cameras of which the newest frame counts, numbered frames of which every one does, numbered files of
//! a folder, and a Sparkplug host that never comes. Read [`ledger`] (what came, and in which order), [`faults`] (what happens).
//!
//! The daemon dies in the first half only: in the second it is watched for growth.

pub mod faults;
pub mod ledger;

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use self::faults::{Faults, Happened};
use self::ledger::Ledger;
use super::health::{Sample, Watch};
use crate::answer::Options;
use crate::client::mqtt::{Device, Outgoing, Protocol};
use crate::client::routes::tensor_body;
use crate::clock::{PATIENCE, Stopwatch, eventually, pace, within};
use crate::faulty::Faulty;
use crate::spin::{self, Spin};
use crate::stack::{Setup, Stack};
use crate::versions::inputs;

/// Time between two frames: of all cameras, of all that are counted, of the folder.
const CAMERA: Duration = Duration::from_millis(25);
const COUNTED: Duration = Duration::from_millis(25);
const FILED: Duration = Duration::from_millis(250);
/// Sources of the first two.
const SOURCES: u64 = 4;
/// A run of the cameras' model: all of them together ask for as much as it can do.
const MODEL_MS: i64 = 25;
/// A minute between two lines, or less in a short run.
const LINE: Duration = Duration::from_secs(60);
const LEAST_LINES: u32 = 12;
/// Of what is lost or out of order, so many are told by name.
const MOST_TOLD: usize = 5;

fn config(port: u16, folder: &Path) -> String {
    format!(
        r#"
[mqtt]
port = {port}
keep_alive_s = 5

[sparkplug]
group = "plant"
primary_host = "never"

[[binding]]
name = "cameras"
model = "spin"
topic = "camera/+/+"
payload = "application/json"
take = "newest"
source_name = "{{1}}"
result = "vision/{{1}}/{{2}}"

[[binding]]
name = "counted"
model = "add"
topic = "count/+/+"
payload = "application/json"
take = "every"
max_waiting = 16384
source_name = "{{1}}"
result = "counts/{{1}}/{{2}}"

[[binding]]
name = "files"
model = "add"
folder = "{}"
pattern = "*.json"
payload = "application/json"
source_name = "folder"
result = "files/folder/{{1}}"
"#,
        folder.display()
    )
}

/// What came of it.
#[derive(Debug)]
pub struct Tally {
    pub happened: Happened,
    pub ledger: Ledger,
    /// Frames and files that were given, and those of them whose answer never came.
    pub given: u64,
    pub lost: Vec<String>,
    pub watch: Watch,
    /// What was not as it must be when everything had come.
    pub unsettled: Option<String>,
}

impl Tally {
    /// Everything that was not as it must be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.watch.faults();
        faults.extend(self.unsettled.clone());
        for (what, found) in [("lost", &self.lost), ("out of order", &self.ledger.disordered)] {
            let others = found.len().saturating_sub(MOST_TOLD);
            faults.extend(found.iter().take(MOST_TOLD).map(|which| format!("{what}: {which}")));
            faults.extend((others > 0).then(|| format!("{what}: {others} others, the last {:?}", found.last())));
        }
        faults
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { again, late, failed, cameras, disordered, .. } = &self.ledger;
        writeln!(out, "{}", self.happened)?;
        writeln!(
            out,
            "{} numbered frames and files: lost {}, out of order {}, {again} results came again, {late} came late and said so, \
             {failed} told a failure; {cameras} answers of cameras",
            self.given,
            self.lost.len(),
            disordered.len()
        )?;
        write!(out, "{}", self.watch)
    }
}

/// What those who give frames share with whoever watches.
#[derive(Debug, Default)]
struct Given {
    cameras: AtomicU64,
    counted: AtomicU64,
    files: AtomicU64,
    is_over: AtomicBool,
}

/// Runs it for so long; `told` gets a line now and then, as stdout does.
pub async fn run(time: Duration, seed: u64, told: &Path) -> Result<Tally> {
    let folder = tempfile::tempdir()?;
    let mut stack = Setup::new().bundles(&["add", spin::MODEL]).prepare()?;
    let link = Faulty::to(stack.mqtt_port()?)?;
    stack.launch.overlay = config(link.port(), folder.path());
    stack.start_daemon().await?;
    let done = soak(&mut stack, &link, folder.path(), (time, seed), told).await;
    done.with_context(|| stack.logs())
}

async fn soak(
    stack: &mut Stack,
    link: &Faulty,
    folder: &Path,
    (time, seed): (Duration, u64),
    told: &Path,
) -> Result<Tally> {
    let reader = stack.device(Protocol::V5).await?;
    for filter in ["vision/#", "counts/#", "files/#"] {
        reader.subscribe(filter).await?;
    }
    let given = Arc::new(Given::default());
    let giving = give(stack, &given, folder).await?;
    let mut tally = keep(stack, link, &reader, &given, (time, seed), told).await?;
    given.is_over.store(true, Ordering::Relaxed);
    for ended in giving.join_all().await {
        ended?;
    }
    all(&given, &reader, &mut tally).await;
    if !tally.lost.is_empty() || !tally.ledger.disordered.is_empty() {
        println!("{:#?}\n{}", stack.status().await?.mqtt.bindings, stack.logs());
    }
    tally.unsettled = settled(stack).await.err().map(|fault| format!("at the end: {fault:#}"));
    Ok(tally)
}

/// Starts those who give frames.
async fn give(stack: &Stack, given: &Arc<Given>, folder: &Path) -> Result<JoinSet<Result<()>>> {
    let (cameras, counted) = (stack.device(Protocol::V311).await?, stack.device(Protocol::V5).await?);
    let frame = tensor_body(&Spin::measure(stack).await?.lasting(MODEL_MS)?, &Options::new())?.to_string();
    let number = tensor_body(&inputs(), &Options::new())?.to_string();
    let mut giving = JoinSet::new();
    giving.spawn(publish(cameras, ("camera", 0, CAMERA), frame.into(), Arc::clone(given), |given| &given.cameras));
    let payload = number.clone().into();
    giving.spawn(publish(counted, ("count", 1, COUNTED), payload, Arc::clone(given), |given| &given.counted));
    giving.spawn(lay(folder.to_owned(), number, Arc::clone(given)));
    Ok(giving)
}

/// The topic of a frame has its source and its number.
async fn publish(
    device: Device,
    (word, qos, period): (&'static str, u8, Duration),
    payload: bytes::Bytes,
    given: Arc<Given>,
    count: fn(&Given) -> &AtomicU64,
) -> Result<()> {
    let mut ticks = pace(period);
    while !given.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = count(&given).fetch_add(1, Ordering::Relaxed);
        let topic = format!("{word}/{}/{number}", number % SOURCES);
        device.publish(Outgoing { topic, payload: payload.clone(), qos, ..Outgoing::default() }).await?;
    }
    // Until the broker has what was given: the client library keeps it for a broker that is away.
    if qos > 0 {
        let all = usize::try_from(count(&given).load(Ordering::Relaxed))?;
        device.acknowledged(all).await?;
    }
    Ok(())
}

/// Files whose names are numbers, each of which appears as a whole.
async fn lay(folder: PathBuf, content: String, given: Arc<Given>) -> Result<()> {
    let mut ticks = pace(FILED);
    while !given.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = given.files.fetch_add(1, Ordering::Relaxed);
        let made = folder.join(format!("{number:07}.part"));
        std::fs::write(&made, &content)?;
        std::fs::rename(&made, made.with_extension("json"))?;
    }
    Ok(())
}

/// Lets faults happen, looks and tells, until the time is over.
async fn keep(
    stack: &mut Stack,
    link: &Faulty,
    reader: &Device,
    given: &Given,
    (time, seed): (Duration, u64),
    told: &Path,
) -> Result<Tally> {
    let mut file = File::create(told).with_context(|| format!("write {}", told.display()))?;
    let mut tell = |line: &str| -> Result<()> {
        println!("{line}");
        writeln!(file, "{line}").with_context(|| format!("write {}", told.display()))
    };
    let (half, warm, between) = (time / 2, time * 3 / 5, LINE.min(time / LEAST_LINES));
    let observer = stack.client().await?;
    let mut faults = Faults::new(seed, time);
    let (mut ledger, mut watch, mut next_line) = (Ledger::default(), Watch::default(), Duration::ZERO);
    let (mut ticks, since, mut is_warm) = (pace(Duration::from_secs(1)), Stopwatch::start(), false);
    tell(&format!("edged with bindings, {} s, seed {seed}", time.as_secs()))?;
    tell(HEAD)?;
    while since.elapsed() < time {
        ticks.tick().await;
        let now = since.elapsed();
        if let Some(fault) = faults.due(now, now < half) {
            fault.happen(stack, link).await.with_context(|| format!("{fault:?}"))?;
            tell(&format!("{:>6} {fault:?}, over at {:.1} s", now.as_secs(), since.elapsed().as_secs_f64()))?;
        }
        let now = since.elapsed();
        ledger.collect(reader)?;
        let daemon = stack.daemon()?.process.pid();
        let sample = within("the daemon tells its state", PATIENCE, Sample::take(&observer, daemon)).await??;
        if now >= warm && is_warm {
            watch.look(sample);
        } else if now >= half {
            watch.warm_up(sample);
            is_warm = true;
        }
        if now >= next_line {
            tell(&line(now, &ledger, given, sample, &observer.status().await?, &faults.happened))?;
            next_line = now + between;
        }
    }
    ledger.collect(reader)?;
    Ok(Tally { happened: faults.happened, ledger, given: 0, lost: Vec::new(), watch, unsettled: None })
}

const HEAD: &str =
    "     s    given     came  late again disorder  cameras  outbox  daemon               engine host          faults";

fn line(
    now: Duration,
    ledger: &Ledger,
    given: &Given,
    sample: Sample,
    status: &edge_wire::dto::Status,
    happened: &Happened,
) -> String {
    format!(
        "{:>6} {:>8} {:>8} {:>5} {:>5} {:>8} {:>8} {:>7}  {:<20} {:<20} {}",
        now.as_secs(),
        given.counted.load(Ordering::Relaxed) + given.files.load(Ordering::Relaxed),
        ledger.came(),
        ledger.late,
        ledger.again,
        ledger.disordered.len(),
        ledger.cameras,
        status.mqtt.outbox.waiting,
        sample.daemon.to_string(),
        sample.host.to_string(),
        happened.all()
    )
}

/// Waits for every answer, for as long as some still come.
async fn all(given: &Given, reader: &Device, tally: &mut Tally) {
    let (counted, files) = (given.counted.load(Ordering::Relaxed), given.files.load(Ordering::Relaxed));
    let whole = async || {
        tally.ledger.collect(reader)?;
        Ok((tally.ledger.came() >= counted + files).then_some(()))
    };
    // What is missing is told one by one.
    eventually("all answers", PATIENCE * 3, whole).await.ok();
    tally.given = counted + files;
    tally.lost =
        (0..counted).filter_map(|number| tally.ledger.lacks(&format!("counts/{}", number % SOURCES), number)).collect();
    tally.lost.extend((0..files).filter_map(|number| tally.ledger.lacks("files/folder", number)));
}

/// Nothing waits any more.
async fn settled(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let nothing = async || {
        let mqtt = client.status().await?.mqtt;
        let open: u64 = mqtt.bindings.iter().map(|binding| binding.waiting + binding.open).sum();
        anyhow::ensure!(
            open == 0 && mqtt.outbox.waiting == 0,
            "{open} frames and {} messages wait",
            mqtt.outbox.waiting
        );
        anyhow::ensure!(mqtt.problems.is_empty(), "{:?}", mqtt.problems);
        Ok(Some(()))
    };
    eventually("nothing waits", PATIENCE, nothing).await
}
