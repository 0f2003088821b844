//! What waits for the broker: how many messages a second go through the outbox, and how many bytes it has the disk write for
//! each, as the kernel counts them (`write_bytes` of `/proc/PID/io`). First the outbox alone, its rules and its file, driven in
//! this process; then a daemon whose broker goes and comes back while it works off a folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use edge_core::{Mono, Priority};
use edge_wire::dto::MqttStatus;
use edged::ledger::outbox::{OutboxFile, Report};
use edged::transport::mqtt::outbox::{Action, Bounds, End, Letter, Outbox, Place};
use tokio::sync::mpsc;

use crate::client::mqtt::Protocol;
use crate::clock::{PATIENCE, Stopwatch, eventually};
use crate::measure::table::{Promise, Table};
use crate::stack::{Setup, Stack};
use crate::usage;

/// Bytes of a message, topic and payload.
const MESSAGE: usize = 200;
/// Messages a second that are promised, and that come while the disk is watched.
const RATE: u32 = 2000;
const PROMISED_RATE: f64 = 2000.0;
const PROMISED_BYTES: f64 = 600.0;
/// How long they come at that rate, seconds of the outbox's own time: long enough that the file is put in order more than once.
const OUTAGE_S: u32 = 40;
const MESSAGES: u32 = OUTAGE_S * RATE;
/// Messages that come at the same moment.
const TOGETHER: u32 = 20;
/// The defaults of the daemon.
const BOUNDS: Bounds = Bounds {
    rows: 100_000,
    bytes: 64 << 20,
    age: Duration::from_secs(7 * 86_400),
    memory_bytes: 4 << 20,
    pause_connected: Duration::from_millis(50),
    pause_alone: Duration::from_secs(1),
};
/// Messages that are with the broker at once.
const WIDTH: usize = 64;
/// Files of the folder, in each part.
const FILES: u64 = 1500;
/// What a file becomes: the answer, the last answer, and so many values.
const EACH: u64 = 8;

/// All rows.
pub async fn rows(table: &mut Table) -> Result<()> {
    alone(table).await.context("the outbox alone")?;
    let (mut stack, folder) = stack().await?;
    let done = system(&mut stack, folder.path(), table).await;
    done.with_context(|| stack.logs())
}

/// The rules and the file, driven as the transport drives them.
struct Alone {
    outbox: Outbox,
    file: OutboxFile,
    reports: mpsc::Receiver<Report>,
    /// Its time, which passes as fast as the disk allows.
    now: Mono,
    posted: u64,
    /// Chunks that were ordered to be written, and that are not yet.
    writing: u32,
}

impl Alone {
    async fn start(dir: &Path) -> Result<Alone> {
        let (sender, reports) = mpsc::channel(256);
        let file = OutboxFile::start(&dir.join("outbox.db"), sender)?;
        let outbox = Outbox::new(BOUNDS);
        let now = Mono::from_nanos(0);
        let mut alone = Alone { outbox, file, reports, now, posted: 0, writing: 0 };
        while !alone.outbox.has_disk() {
            alone.report().await?;
        }
        Ok(alone)
    }

    fn post(&mut self, payload: Bytes) {
        // So long that topic and payload have the length together.
        let topic = format!("plant/line/{:>05}", self.posted % 50_000);
        let payload = payload.slice(..payload.len().min(MESSAGE - topic.len()));
        let letter = Letter::at_least_once(topic, payload, 0);
        self.outbox.post(self.now, Priority::Normal, vec![letter], None);
        self.posted += 1;
    }

    /// Time passes, and what is wanted of the disk is ordered, and written before more time passes.
    async fn turn(&mut self, passed: Duration) -> Result<()> {
        self.now = self.now.after(passed);
        self.outbox.tick(self.now);
        self.order()?;
        while self.writing > 0 {
            self.report().await?;
        }
        Ok(())
    }

    fn order(&mut self) -> Result<()> {
        while let Some(action) = self.outbox.poll() {
            let taken = match action {
                Action::Write(head, content) => {
                    self.writing += 1;
                    self.file.write(head, content)
                }
                Action::Fetch(id) => self.file.fetch(id),
                Action::Remove(id) => self.file.remove(id),
                Action::Safe(_) => Ok(()),
            };
            ensure!(taken.is_ok(), "the disk has no room for an order: {taken:?}");
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<()> {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await.context("the disk says nothing")?;
        self.said(report.context("the thread of the disk has ended")?)
    }

    fn said(&mut self, report: Report) -> Result<()> {
        let now = self.now;
        match report {
            Report::Opened { chunks, .. } => self.outbox.opened(now, 0, chunks),
            Report::Written(id) => {
                self.writing = self.writing.saturating_sub(1);
                self.outbox.written(id);
            }
            Report::Removed(id) => self.outbox.removed(id),
            Report::Fetched(id, content) => self.outbox.fetched(now, id, content),
            Report::Shut(why) => anyhow::bail!("the file cannot be opened: {}", why.what),
            Report::Failed(_, why) => anyhow::bail!("it cannot be written: {why}"),
        }
        Ok(())
    }

    /// To a broker that takes everything at once, until nothing waits any more.
    async fn drained(&mut self) -> Result<()> {
        self.outbox.connected();
        while self.outbox.level().rows > 0 {
            let now = self.now;
            let places: Vec<Place> =
                std::iter::from_fn(|| self.outbox.next(now)).map(|(place, _)| place).take(WIDTH).collect();
            let is_empty = places.is_empty();
            places.into_iter().for_each(|place| self.outbox.end(place, End::Accepted));
            self.order()?;
            if is_empty {
                self.report().await?;
            }
        }
        self.outbox.lost();
        Ok(())
    }
}

/// What an outage of [`OUTAGE_S`] seconds at the promised rate came to.
struct Cost {
    /// Bytes to the disk for a message while it lasted, and until all were with the broker and the file was closed.
    away: f64,
    whole: f64,
    /// How long the rules and the disk were at work: onto it, and from it.
    onto: Duration,
    from: Duration,
}

async fn alone(table: &mut Table) -> Result<()> {
    let noise = outage(Content::Noise).await?;
    let json = outage(Content::Json).await?;
    let rate = |time: Duration| f64::from(MESSAGES) / time.as_secs_f64();
    let note = format!("onto the disk {:.0}/s, from it {:.0}/s", rate(noise.onto), rate(noise.from));
    let what = "outbox alone, all of it over the disk: messages";
    table.add(what, "/s", Promise::AtLeast(PROMISED_RATE), rate(noise.onto + noise.from), note);
    let note = format!(
        "{:.0} B by the end of the outage of {} s at {RATE}/s; of JSON {:.0} and {:.0} B",
        noise.away, OUTAGE_S, json.whole, json.away
    );
    let what = "outbox alone: bytes to disk for a message of 200 bytes, whole";
    table.add(what, "B", Promise::AtMost(PROMISED_BYTES), noise.whole, note);
    Ok(())
}

/// Messages at the promised rate without a broker, with the pause that is usual; then there is a broker.
async fn outage(content: Content) -> Result<Cost> {
    let dir = tempfile::tempdir()?;
    let (own, mut payloads) = (std::process::id(), Payloads::new(content));
    let before = usage::written(own)?;
    let mut alone = Alone::start(dir.path()).await?;
    let watch = Stopwatch::start();
    for _ in 0..MESSAGES / TOGETHER {
        (0..TOGETHER).for_each(|_| alone.post(payloads.next()));
        alone.turn(Duration::from_secs(1) / (RATE / TOGETHER)).await?;
    }
    // The last of them wait for company.
    alone.turn(BOUNDS.pause_alone).await?;
    let onto = watch.elapsed();
    let level = alone.outbox.level();
    ensure!(level.dropped == 0 && level.stored == u64::from(MESSAGES), "{level:?}");
    let away = usage::written(own)? - before;
    alone.drained().await?;
    let from = watch.elapsed() - onto;
    ensure!(alone.outbox.level().sent == u64::from(MESSAGES), "{:?}", alone.outbox.level());
    let Alone { file, reports, .. } = alone;
    tokio::task::spawn_blocking(move || file.close(reports)).await?;
    let each = |bytes: u64| bytes as f64 / f64::from(MESSAGES);
    Ok(Cost { away: each(away), whole: each(usage::written(own)? - before), onto, from })
}

/// What messages are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Bytes without a pattern.
    Noise,
    /// Values as a binding publishes them.
    Json,
}

#[derive(Debug)]
struct Payloads {
    content: Content,
    state: u64,
}

impl Payloads {
    fn new(content: Content) -> Payloads {
        Payloads { content, state: 0x2545_f491_4f6c_dd1d }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn next(&mut self) -> Bytes {
        if self.content == Content::Noise {
            return (0..MESSAGE / 8 + 1).flat_map(|_| self.random().to_le_bytes()).collect();
        }
        let (score, ms, box_) = (self.random() % 10_000, self.random() % 1000, self.random() % 640);
        let text = format!(
            "{{\"value\":0.{score:04},\"time\":\"2026-01-01T00:00:00.{ms:03}Z\",\"quality\":\"good\",\"box\":[{box_},17,{},480],\
             \"class\":\"scratch\",\"model\":\"surface-flaws\",\"version\":\"1.0.0\",\"source\":\"line\",\"ok\":true}}",
            box_ + 40
        );
        text.into()
    }
}

/// A daemon with a folder; a file becomes [`EACH`] messages, none of which takes the place of another, as each is its own source.
async fn stack() -> Result<(Stack, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "[[binding]]\nname = \"files\"\nmodel = \"file-type\"\nfolder = \"{}\"\npattern = \"*.dat\"\n\
         payload = \"application/octet-stream\"\nsource_name = \"{{1}}\"\nmax_in_flight = 256\ndeadline_ms = 60000\nresult = \"files/{{1}}/result\"\n\
         flat = {{ topic = \"files/{{1}}/{{field}}\", when = \"always\", format = \"json\", \
         fields = [\"class\", \"score\", \"quality\", \"reason\", \"ok\", \"time\"] }}",
        folder.path().display()
    );
    Ok((Setup::new().bundles(&["file-type"]).config(&config).start().await?, folder))
}

async fn system(stack: &mut Stack, folder: &Path, table: &mut Table) -> Result<()> {
    let (client, reader) = (stack.client().await?, stack.device(Protocol::V5).await?);
    reader.subscribe("files/#").await?;
    let daemon = stack.daemon()?.process.pid();
    // What the daemon says of itself is up to a second old.
    let says = async |what: &str, fits: &dyn Fn(&MqttStatus) -> bool| {
        let look = async || Ok(Some(client.status().await?.mqtt).filter(|mqtt| fits(mqtt)));
        eventually(what, PATIENCE * 2, look).await
    };
    let (written, before) = (usage::written(daemon)?, client.status().await?.mqtt.outbox.sent);
    work_off(folder, "well").await?;
    let all = |mqtt: &MqttStatus| mqtt.outbox.sent >= before + FILES * EACH && mqtt.outbox.waiting == 0;
    let sent = says("all of it is sent", &all).await?.outbox.sent;
    let messages = sent - before;
    let cost = (usage::written(daemon)? - written) as f64 / messages as f64;
    let note = format!("{messages} messages of a folder");
    table.add("daemon, broker there: bytes to disk for a message", "B", Promise::AtMost(PROMISED_BYTES), cost, note);
    reader.take_all(|_| true);

    stack.broker_mut()?.stop()?;
    says("the loss is noticed", &|mqtt| mqtt.state == "connecting").await?;
    let (written, watch) = (usage::written(daemon)?, Stopwatch::start());
    work_off(folder, "away").await?;
    let took = watch.elapsed();
    let cost = usage::written(daemon)? - written;
    let level = says("all of it waits", &|mqtt| mqtt.outbox.stored >= FILES * EACH).await?.outbox;
    ensure!(level.dropped == 0, "{level:?}");
    let waiting = level.waiting as f64;
    let note = format!(
        "{waiting} messages of {:.0} B in the mean, {:.0}/s of a folder",
        level.waiting_bytes as f64 / waiting,
        waiting / took.as_secs_f64()
    );
    let what = "  the same, broker away";
    table.add(what, "B", Promise::AtMost(PROMISED_BYTES), cost as f64 / waiting, note);

    stack.broker_mut()?.start_again()?;
    let first = reader.take("the first", PATIENCE, |message| message.topic.starts_with("files/")).await?;
    ensure!(first.property("historical").is_some(), "it does not say that it is late");
    let (watch, mut came) = (Stopwatch::start(), 1);
    // But for the last answers, which go elsewhere.
    while came < FILES * (EACH - 1) {
        reader.take("another", PATIENCE, |message| message.topic.starts_with("files/")).await?;
        came += 1 + reader.take_all(|message| message.topic.starts_with("files/")).len() as u64;
    }
    let rate = (FILES * EACH) as f64 / watch.elapsed().as_secs_f64();
    let note = "through mosquitto to a subscriber with QoS 1".into();
    table.add("  the same, broker back: messages of QoS 1", "/s", Promise::AtLeast(PROMISED_RATE), rate, note);
    Ok(())
}

/// Lays files into the folder, each of which appears as a whole, until all have gone: a file goes when its answers are with the
/// broker or on the disk.
async fn work_off(folder: &Path, word: &str) -> Result<()> {
    for number in 0..FILES {
        let text =
            format!("{{\"part\": {number}, \"line\": \"{word}\", \"sizes\": [1, 2, 3], \"is\": {{\"new\": true}}}}");
        let made = folder.join(format!("{word}{number:05}.part"));
        std::fs::write(&made, text)?;
        std::fs::rename(&made, made.with_extension("dat"))?;
    }
    let is_empty = async || Ok(std::fs::read_dir(folder)?.next().is_none().then_some(()));
    eventually("all files are answered", PATIENCE * 4, is_empty).await
}
