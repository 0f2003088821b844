//! The daemon is killed at random moments while requests wait on its disk: the device is held part of the time, the one other site
//! that serves the model is up and down, requests come over D-Bus and MQTT, and each is asked again.
//!
//! Two witnesses: what callers were answered, and the file as the dead daemon left it. The other site gives a different answer each
//! time it is asked, so whatever is run twice shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_wire::proxy::ManagerProxy;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Moments;
use super::spooled::{Known, Spooled};
use crate::answer::{Options, Outcome, Tensor, options};
use crate::client::bus::BusClient;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::reply;
use crate::client::routes::tensor_body;
use crate::clock::{PATIENCE, Stopwatch, pace};
use crate::faulty::Faulty;
use crate::recorded::{Answer, Pace, Recorded};
use crate::stack::{Setup, Stack};

/// The model that is asked.
const MODEL: &str = "add";
/// Where the other site serves it.
const PATH: &str = "/v2/models/add/infer";
/// Longer than all lives together.
const DEADLINE_MS: u64 = 3_600_000;
/// The latest moments of a kill: while requests come in; while they are put off; when they are taken up again.
const LATEST_MS: [u64; 4] = [30, 300, 1500, 2500];
/// How late the other site's answers come at most, milliseconds.
const SLOWEST_MS: u64 = 1500;
/// One life in so many ends in good order.
const STOP_EVERY: u64 = 10;
/// New requests of each life.
const NEW_EACH: u64 = 7;
/// Open requests, and answered ones, that are asked again in each life.
const OPEN_AGAIN: usize = 24;
const ANSWERED_AGAIN: u64 = 4;
/// How often each is asked again at the end.
const ASKED_AT_LAST: usize = 3;
/// An answer is the same for so long (docs/requests.md: 10 minutes), less what an asking takes.
const WINDOW: Duration = Duration::from_secs(570);
/// Answers of the other site: above what this box answers, and each another one.
const THERE: f32 = 1_000_000.0;
const ANSWERS_THERE: u16 = 20_000;
/// One in so many of the other site's answers is no answer, or none that ends.
const BUSY_EVERY: u16 = 7;
const RESET_EVERY: u16 = 11;

/// What the other site is to the daemon.
pub fn setup(port: u16) -> Setup {
    Setup::new().bundles(&[MODEL]).config(&format!(
        "[policy]\nmax_deadline_ms = {DEADLINE_MS}\n\n[[site]]\nname = \"plant\"\nzone = \"premises\"\nprotocol = \"oip\"\n\
         url = \"http://127.0.0.1:{port}\"\nmodels = {{ add = \"add\" }}\nbinary = false\n"
    ))
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Deaths of the daemon, those of them that were orderly stops, and those at which requests waited on its disk.
    pub kills: u32,
    pub stops: u32,
    pub kills_with_waiting: u32,
    /// Most that waited at one of them.
    pub most_waiting: usize,
    /// Those of them that were handed out.
    pub handed_out: usize,
    /// Requests over either way, and those that were found on the disk of a dead daemon.
    pub asked: usize,
    pub queued: usize,
    /// On the disk or acknowledged, and never answered, or gone from the disk.
    pub lost: BTreeSet<String>,
    /// Answered another time with other bytes, or kept with other bytes.
    pub differing: BTreeSet<String>,
    /// An answer went out that the disk did not have.
    pub unkept: BTreeSet<String>,
    /// Given up as having been at two crashes, and not handed out at two.
    pub given_up_early: BTreeSet<String>,
    /// Given up, rightly.
    pub given_up: usize,
    /// Left the box though their class forbids it.
    pub leaked: usize,
    /// Answers that said something else than the sum, or than what the other site said.
    pub wrong: BTreeSet<String>,
    /// Second and later answers, and those of them that say so.
    pub again: usize,
    pub duplicates: usize,
    /// Second answers to requests without an id, which the broker gave to two daemons.
    pub nameless_again: usize,
    /// A "no" that may pass, and those of them to a request that was on the disk.
    pub passing: usize,
    pub passing_queued: usize,
    /// Runs at the other site, and first answers by either place.
    pub sent: usize,
    pub here: usize,
    pub there: usize,
}

impl Tally {
    /// Whether nothing was lost, and nobody was told two things.
    pub fn holds(&self) -> bool {
        self.lost.is_empty()
            && self.differing.is_empty()
            && self.unkept.is_empty()
            && self.given_up_early.is_empty()
            && self.wrong.is_empty()
            && self.leaked == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |set: &BTreeSet<String>| match set.first() {
            Some(first) => format!("{} (for example {first})", set.len()),
            None => "0".to_owned(),
        };
        let rows = [
            ("kill -9", (self.kills - self.stops).to_string()),
            ("orderly stops in between", self.stops.to_string()),
            ("  with requests on the disk", format!("{} (at most {})", self.kills_with_waiting, self.most_waiting)),
            ("  requests that were handed out then", self.handed_out.to_string()),
            ("requests", self.asked.to_string()),
            ("  that were on the disk of a dead daemon", self.queued.to_string()),
            ("  answered by this box, by the other site", format!("{}, {}", self.here, self.there)),
            ("lost", some(&self.lost)),
            ("second answers", format!("{} ({} called duplicate)", self.again, self.duplicates)),
            ("second answers that differ from the first", some(&self.differing)),
            ("second answers to requests without an id", self.nameless_again.to_string()),
            ("answers that went out before they were on the disk", some(&self.unkept)),
            ("given up after two crashes, handed out at both", self.given_up.to_string()),
            ("given up earlier", some(&self.given_up_early)),
            ("wrong answers", some(&self.wrong)),
            ("told to come back", format!("{} ({} that were on the disk)", self.passing, self.passing_queued)),
            ("runs at the other site", self.sent.to_string()),
            ("left the box against their class", self.leaked.to_string()),
        ];
        rows.iter().try_for_each(|(what, value)| writeln!(out, "{what:<52} {value:>12}"))
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bus,
    Broker,
    /// By the broker without an id of its own: nobody can ask for it again.
    Nameless,
}

/// A request, as its caller knows it.
#[derive(Clone, Debug)]
struct Asked {
    number: u64,
    way: Way,
    known: Known,
    may_leave: bool,
    /// It was on the disk of a dead daemon; how often it was handed out then.
    queued: bool,
    deaths: u8,
    /// It was told to come back.
    turned_away: bool,
    first: Option<(Told, Stopwatch)>,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Outputs(Vec<Tensor>),
    No(String),
}

/// An id, and what its caller got.
type Answered = (String, Outcome);

impl Asked {
    fn options(&self) -> Options {
        let class = if self.may_leave { "internal" } else { "regulated" };
        let mut given = options(json!({ "deferrable": true, "deadline_ms": DEADLINE_MS, "data_class": class }));
        if self.way != Way::Nameless {
            given.insert("request_id".into(), self.known.1.clone().into());
        }
        given
    }

    fn inputs(&self) -> Vec<Tensor> {
        vec![Tensor::fp32("a", &[1, 4], &[marker(self.number); 4]), Tensor::fp32("b", &[1, 4], &[0.5; 4])]
    }

    /// Whether it has an answer that has to be given again.
    fn may_be_asked_again(&self) -> bool {
        let fresh = self.first.as_ref().is_some_and(|(_, at)| at.elapsed() < WINDOW);
        // On the bus a new connection is a new caller, but for what was on the disk.
        fresh && (self.queued || self.way == Way::Broker)
    }
}

/// A number that a 32-bit float has, for each request another one.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn marker(number: u64) -> f32 {
    1000.0 + number as f32
}

/// The other site: what it says, and the link to it.
struct Elsewhere {
    recorded: Recorded,
    link: Faulty,
}

impl Elsewhere {
    fn start() -> Result<Elsewhere> {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let answers = (0..ANSWERS_THERE).map(|n| {
            let told = [THERE + f32::from(n); 4];
            let body = json!({ "model_name": MODEL, "outputs": [{ "name": "c", "datatype": "FP32", "shape": [1, 4], "data": told }] });
            let answer = Answer::status(200, &["Content-Type: application/json"], body.to_string().as_bytes());
            match n {
                n if n % BUSY_EVERY == BUSY_EVERY - 1 => Answer::status(503, &["Retry-After: 1"], b""),
                n if n % RESET_EVERY == RESET_EVERY - 1 => answer.paced(Pace::Reset(90)),
                _ => answer,
            }
        });
        recorded.answer("POST", PATH, answers);
        let link = Faulty::to(recorded.port())?;
        Ok(Elsewhere { recorded, link })
    }

    /// It is away, there, or there and slow: then the daemon dies while requests are at it.
    fn change(&self, moments: &mut Moments) {
        let (away, delay) = match moments.next(4) {
            0 => (true, 0),
            1 => (false, 0),
            _ => (false, moments.next(SLOWEST_MS)),
        };
        self.link.change(|faults| {
            faults.refusing = away;
            faults.down.delay = Duration::from_millis(delay);
        });
    }
}

/// Everything that is asked and what came of it.
struct Course {
    elsewhere: Elsewhere,
    stack: Stack,
    device: Device,
    uid: u32,
    asked: BTreeMap<String, Asked>,
    /// By number: which may not leave.
    kept_here: BTreeSet<u64>,
    before: Spooled,
    moments: Moments,
    told: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
    tally: Tally,
}

/// Kills a daemon of its own so often. An error means that the proof could not be run; what it found is in the tally.
pub async fn kill(times: u32, seed: u64) -> Result<Tally> {
    let elsewhere = Elsewhere::start()?;
    let stack = setup(elsewhere.link.port()).start().await?;
    let device = stack.device(Protocol::V5).await?;
    let mut course = Course {
        elsewhere,
        stack,
        device,
        uid: rustix::process::getuid().as_raw(),
        asked: BTreeMap::new(),
        kept_here: BTreeSet::new(),
        before: Spooled::default(),
        moments: Moments(seed),
        told: mpsc::unbounded_channel(),
        tally: Tally::default(),
    };
    for round in 0..times {
        course.life(round).await.with_context(|| format!("life {round} (seed {seed})\n{}", course.stack.logs()))?;
        course.tally.kills += 1;
        course.stack.start_daemon().await.with_context(|| format!("start after kill {round}"))?;
        if (round + 1) % 50 == 0 {
            println!("  {} kills, {} requests, {} of them queued", round + 1, course.asked.len(), course.queued());
        }
    }
    course.finish().await.with_context(|| course.stack.logs())?;
    Ok(course.tally)
}

impl Course {
    fn queued(&self) -> usize {
        self.asked.values().filter(|asked| asked.queued).count()
    }

    /// One life of the daemon, to its death.
    async fn life(&mut self, round: u32) -> Result<()> {
        let client = self.stack.client().await?;
        self.elsewhere.change(&mut self.moments);
        // Whoever holds the device is a program of its own, which may go before the daemon does.
        let mut holder = None;
        if self.moments.next(4) > 0 {
            let of = self.stack.client().await?;
            let fd = ManagerProxy::new(&of.connection).await?.hold("a test that kills").await?;
            holder = Some((of, fd));
        }
        let mut tasks = JoinSet::new();
        self.ask_new(round, &client, &mut tasks).await?;
        self.ask_again(&client, &mut tasks).await?;
        let kind = usize::try_from(self.moments.next(LATEST_MS.len() as u64))?;
        let latest = LATEST_MS.get(kind).copied().unwrap_or(1);
        // Somewhere in between the holder goes, or the other site comes or goes.
        let (first, second) = (self.moments.next(latest * 1000 / 2), self.moments.next(latest * 1000 / 2));
        tokio::time::sleep(Duration::from_micros(first)).await;
        match self.moments.next(3) {
            0 => holder = None,
            1 => self.elsewhere.change(&mut self.moments),
            _ => {}
        }
        tokio::time::sleep(Duration::from_micros(second)).await;
        if self.moments.next(STOP_EVERY) == 0 {
            self.tally.stops += 1;
            self.stack.daemon_mut()?.terminate()?;
        } else {
            self.stack.daemon_mut()?.process.crash()?;
        }
        drop(holder);
        // What was on its way to a caller arrives; what was not, fails with the name on the bus.
        while tasks.join_next().await.is_some() {}
        let answered = self.collect(false)?;
        self.look(&answered)
    }

    async fn ask_new(&mut self, round: u32, client: &BusClient, tasks: &mut JoinSet<()>) -> Result<()> {
        for n in 0..NEW_EACH {
            let number = u64::from(round) * NEW_EACH + n;
            let (way, word) = match n % 5 {
                0 | 1 => (Way::Bus, "bus"),
                2 | 3 => (Way::Broker, "broker"),
                _ => (Way::Nameless, "nameless"),
            };
            let id = format!("{word}-{number}");
            let whose = match way {
                Way::Bus => format!("uid {}", self.uid),
                Way::Broker | Way::Nameless => format!("mqtt {}", self.device.reply_topic),
            };
            let may_leave = self.moments.next(4) > 0;
            if !may_leave {
                self.kept_here.insert(number);
            }
            let known = (whose, id.clone());
            let asked =
                Asked { number, way, known, may_leave, queued: false, deaths: 0, turned_away: false, first: None };
            self.asked.insert(id.clone(), asked);
            self.ask(&id, client, tasks).await?;
        }
        Ok(())
    }

    /// What is open is asked again by callers on the bus, as their connections break; and some of what was answered.
    async fn ask_again(&mut self, client: &BusClient, tasks: &mut JoinSet<()>) -> Result<()> {
        let mut again: Vec<String> = self.to_ask().take(OPEN_AGAIN).collect();
        let answered: Vec<String> =
            self.asked.values().filter(|asked| asked.may_be_asked_again()).map(|asked| asked.known.1.clone()).collect();
        for _ in 0..ANSWERED_AGAIN.min(answered.len() as u64) {
            let at = usize::try_from(self.moments.next(answered.len() as u64))?;
            again.extend(answered.get(at).cloned());
        }
        for id in again {
            self.ask(&id, client, tasks).await?;
        }
        Ok(())
    }

    /// Open requests that their callers ask again: by the broker only those that were told to.
    fn to_ask(&self) -> impl Iterator<Item = String> {
        let again = |asked: &&Asked| asked.first.is_none() && (asked.way == Way::Bus || asked.turned_away);
        self.asked.values().filter(again).map(|asked| asked.known.1.clone())
    }

    async fn ask(&mut self, id: &str, client: &BusClient, tasks: &mut JoinSet<()>) -> Result<()> {
        let asked = self.asked.get_mut(id).context("a request")?;
        asked.turned_away = false;
        match asked.way {
            Way::Bus => {
                let (client, inputs, options) = (client.clone(), asked.inputs(), asked.options());
                let (id, told) = (id.to_owned(), self.told.0.clone());
                tasks.spawn(async move {
                    // A connection that broke is no answer: the caller asks again.
                    if let Ok(outcome) = client.infer(MODEL, &inputs, &options).await {
                        // The receiver is there as long as the course.
                        let _told = told.send((id, outcome));
                    }
                });
                Ok(())
            }
            Way::Broker | Way::Nameless => {
                let mut body = tensor_body(&asked.inputs(), &asked.options())?;
                body["reply_to"] = json!(self.device.reply_topic);
                let (topic, payload) = (request_topic(MODEL), body.to_string().into());
                let correlation = Some(id.to_owned().into());
                self.device.publish(Outgoing { topic, payload, qos: 1, correlation, ..Outgoing::default() }).await
            }
        }
    }

    /// Takes what callers were told; gives the ids that got an answer to keep. At last, answers that may pass are one too.
    fn collect(&mut self, at_last: bool) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        while let Ok(answer) = self.told.1.try_recv() {
            answers.push(answer);
        }
        for message in self.device.take_all(|message| message.topic == self.device.reply_topic) {
            let id = message.correlation.as_ref().context("a reply without its correlation data")?;
            answers.push((String::from_utf8(id.to_vec())?, reply::read(&message)?));
        }
        let mut to_keep = Vec::new();
        for (id, outcome) in answers {
            if self.note(&id, outcome, at_last)? {
                to_keep.push(id);
            }
        }
        Ok(to_keep)
    }

    /// One answer; whether it is one to keep.
    fn note(&mut self, id: &str, outcome: Outcome, at_last: bool) -> Result<bool> {
        let (tally, asked) = (&mut self.tally, self.asked.get_mut(id).context("an id that nobody asked by")?);
        let (told, is_duplicate) = match outcome {
            Ok(yes) => {
                let value = yes.output("c")?.floats()?;
                let here = value.iter().all(|value| (value - marker(asked.number) - 0.5).abs() < 1e-3);
                let there = asked.may_leave && value.iter().all(|value| *value >= THERE);
                if !here && !there {
                    tally.wrong.insert(format!("{id}: {value:?}"));
                }
                if asked.first.is_none() {
                    tally.here += usize::from(here);
                    tally.there += usize::from(there);
                }
                (Told::Outputs(yes.outputs), yes.info["duplicate"] == true)
            }
            Err(no) if matches!(no.code.as_str(), "overloaded" | "unavailable") && !at_last => {
                tally.passing += 1;
                tally.passing_queued += usize::from(asked.queued);
                asked.turned_away = true;
                return Ok(false);
            }
            Err(no) if no.code == "internal" && no.message.contains("crashes") => {
                if asked.queued && asked.deaths < 2 && asked.first.is_none() {
                    tally.given_up_early.insert(format!("{id}: {} (handed out at {})", no.message, asked.deaths));
                }
                tally.given_up += usize::from(asked.first.is_none());
                (Told::No(no.code), false)
            }
            Err(no) => (Told::No(format!("{}: {}", no.code, no.message)), false),
        };
        if asked.way == Way::Nameless && asked.first.is_some() {
            // The broker gave it to two daemons, and nobody can tell that it was one request: that is what ids are for.
            tally.nameless_again += 1;
            return Ok(false);
        }
        match &asked.first {
            None => asked.first = Some((told, Stopwatch::start())),
            Some((first, at)) => {
                tally.again += 1;
                tally.duplicates += usize::from(is_duplicate);
                if *first != told && at.elapsed() < WINDOW {
                    tally.differing.insert(format!("{id}: {first:?}, then {told:?}"));
                }
            }
        }
        Ok(true)
    }

    /// What the dead daemon left, against what its predecessor left and what callers were told.
    fn look(&mut self, answered: &[String]) -> Result<()> {
        let now = Spooled::read(&self.stack.dir().join("state"), &self.stack.dir().join("copies"))?;
        let tally = &mut self.tally;
        for (known, reply) in &self.before.replies {
            if now.replies.get(known).is_some_and(|kept| kept != reply) {
                tally.differing.insert(format!("{} is kept with other bytes", known.1));
            }
        }
        for known in self.before.waits.keys().chain(self.before.replies.keys()) {
            let fresh = self
                .asked
                .get(&known.1)
                .is_some_and(|asked| asked.first.as_ref().is_none_or(|(_, at)| at.elapsed() < WINDOW));
            if fresh && !now.has(known) {
                tally.lost.insert(format!("{} is gone from the disk", known.1));
            }
        }
        for id in answered {
            let Some(asked) = self.asked.get(id) else { continue };
            if self.before.waits.contains_key(&asked.known) && !now.replies.contains_key(&asked.known) {
                tally.unkept.insert(id.clone());
            }
        }
        // What named no id has one here that its caller does not know.
        for (known, handed_out) in &now.waits {
            if let Some(asked) = self.asked.get_mut(&known.1) {
                asked.queued = true;
                asked.deaths += u8::from(*handed_out);
            }
        }
        for known in now.replies.keys() {
            if let Some(asked) = self.asked.get_mut(&known.1) {
                asked.queued = true;
            }
        }
        tally.kills_with_waiting += u32::from(!now.waits.is_empty());
        tally.most_waiting = tally.most_waiting.max(now.waits.len());
        tally.handed_out += now.waits.values().filter(|handed_out| **handed_out).count();
        self.before = now;
        self.look_elsewhere()
    }

    /// What came to the other site.
    fn look_elsewhere(&mut self) -> Result<()> {
        for sent in self.elsewhere.recorded.take().iter().filter(|sent| sent.method == "POST") {
            self.tally.sent += 1;
            let Ok(body) = serde_json::from_slice::<Value>(&sent.body) else { continue };
            let value = body["inputs"][0]["data"][0].as_f64().context("an input")?;
            let of = |number: &u64| (f64::from(marker(*number)) - value).abs() < 0.25;
            self.tally.leaked += usize::from(self.kept_here.iter().any(of));
        }
        Ok(())
    }

    /// Nothing is in the way any more: everything is answered, and asked again.
    async fn finish(&mut self) -> Result<()> {
        self.elsewhere.link.heal();
        let client = self.stack.client().await?;
        let (watch, mut ticks, mut tasks) = (Stopwatch::start(), pace(Duration::from_millis(500)), JoinSet::new());
        while self.asked.values().any(|asked| asked.first.is_none()) && watch.elapsed() < PATIENCE * 4 {
            let open: Vec<String> = self.to_ask().collect();
            if tasks.is_empty() {
                for id in open {
                    self.ask(&id, &client, &mut tasks).await?;
                }
            }
            ticks.tick().await;
            while tasks.try_join_next().is_some() {}
            self.collect(watch.elapsed() > PATIENCE * 2)?;
        }
        for asked in self.asked.values().filter(|asked| asked.first.is_none()) {
            self.tally.lost.insert(format!("{} was never answered", asked.known.1));
        }
        for _ in 0..ASKED_AT_LAST {
            let again: Vec<String> = self
                .asked
                .values()
                .filter(|asked| asked.may_be_asked_again())
                .map(|asked| asked.known.1.clone())
                .collect();
            self.all_again(&again, &client).await?;
        }
        self.look_elsewhere()?;
        (self.tally.asked, self.tally.queued) = (self.asked.len(), self.queued());
        Ok(())
    }

    /// Asks all of these once more, a few at a time, and waits for as many answers.
    async fn all_again(&mut self, ids: &[String], client: &BusClient) -> Result<()> {
        for some in ids.chunks(OPEN_AGAIN) {
            let (before, mut tasks) = (self.tally.again + self.tally.passing, JoinSet::new());
            for id in some {
                self.ask(id, client, &mut tasks).await?;
            }
            let (watch, mut ticks) = (Stopwatch::start(), pace(Duration::from_millis(5)));
            while self.tally.again + self.tally.passing < before + some.len() {
                ensure!(watch.elapsed() < PATIENCE, "of {some:?} some were not answered when they were asked again");
                ticks.tick().await;
                self.collect(false)?;
            }
        }
        Ok(())
    }
}
