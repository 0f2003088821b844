//! The demonstration of where requests go: one stream of requests, sent again and again while the box is well, hot, cut off from the
//! plant, out of budget, and all of that at once. `stream` says what is sent and where it may end, `sites` and `machine` are the
//! surroundings, `judge` holds what came of it against what may, `table` is what is printed; here it is done.

pub mod explain;
mod judge;
pub mod machine;
pub mod sites;
pub mod stream;
pub mod table;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_wire::proxy::ManagerProxy;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::answer::{Options, Outcome, Tensor, Yes, expect_yes, options};
use crate::bundle::copy_as;
use crate::client::bus::BusClient;
use crate::clock::{PATIENCE, Stopwatch, eventually, pace, within};
use crate::stack::{Setup, Stack};
use machine::Machine;
use sites::{BUDGET, Sites};
use stream::{Request, SUM, Situation, stream};

/// Pause between two requests.
const PACE: Duration = Duration::from_millis(10);
/// How long those that may wait are watched until they wait or are answered.
const SETTLED: Duration = Duration::from_secs(2);
/// How long it may take until all is as it was: a box cools for ten seconds, and what waits is then taken up.
const RECOVERY: Duration = Duration::from_secs(60);
/// Requests that the plant has served before, and how many of them at a time: some that are late later do not outweigh them.
const KNOWN: usize = 208;
const AT_ONCE: usize = 16;
/// The models of the box; each is `add` under another name.
const MODELS: [&str; 4] = ["inspect", "sort", "grade", "nightly"];

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Went {
    pub request: Request,
    /// `here`, `side`, `plant`, `cloud` or `no`.
    pub place: String,
    /// The reason of an answer, the code of a no.
    pub why: String,
    /// What a no says.
    pub message: String,
    /// Why it waited on the disk, if it did.
    pub waited: String,
    pub cost_usd: f64,
    /// What is wrong with the answer; empty if nothing is.
    pub fault: String,
}

/// What the program found.
#[derive(Debug, Default)]
pub struct Found {
    pub went: Vec<Went>,
    /// What was held against what was expected: a sentence, and whether it held.
    pub checks: Vec<(String, bool)>,
    pub seconds: f64,
}

/// The box and all around it.
struct Around {
    stack: Stack,
    client: BusClient,
    sites: Sites,
    machine: Machine,
}

struct Sent {
    request: Request,
    task: JoinHandle<Result<Outcome>>,
}

/// Runs it; what it does is told on the way.
pub async fn run() -> Result<Found> {
    let watch = Stopwatch::start();
    let around = Around::start().await?;
    println!("A box with four models (ONNX Runtime; its two thermometers are simulated), and");
    println!("  side   a second server on the box: scripted");
    println!("  plant  on the premises, free, 60 ms: {}", around.sites.runs);
    println!("  cloud  120 ms, 0.002 USD a request: scripted");
    let mut found = Found::default();
    around.acquaint().await?;
    around.one(Situation::Idle, &mut found).await?;
    around.spend().await?;
    let mut waiting = around.one(Situation::Spent, &mut found).await?;
    around.budget([BUDGET; 2]).await?;
    around.sites.plant.part(true);
    waiting.extend(around.one(Situation::CutOff, &mut found).await?);
    around.sites.plant.part(false);
    around.passing("plant").await?;
    around.heat(true).await?;
    waiting.extend(around.one(Situation::Hot, &mut found).await?);
    around.sites.plant.part(true);
    around.spend().await?;
    waiting.extend(around.one(Situation::All, &mut found).await?);
    around.recover(&mut found, waiting).await?;
    around.judge(&mut found).await.with_context(|| around.stack.logs())?;
    found.seconds = watch.elapsed().as_secs_f64();
    Ok(found)
}

impl Around {
    async fn start() -> Result<Around> {
        let machine = Machine::start()?;
        let root = machine.root().to_str().context("a path of UTF-8")?.to_owned();
        let setup = Setup::new().bundles(&["add"]).without_broker().argument("--root").argument(&root);
        let mut stack = setup.prepare()?;
        let sites = Sites::start(stack.dir())?;
        stack.launch.overlay = sites.config([BUDGET; 2]);
        let copies = stack.dir().join("copies");
        for model in MODELS {
            copy_as("add", &copies, model, &[])?;
        }
        stack.launch.models.push(copies);
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let around = Around { stack, client, sites, machine };
        around.heat(false).await?;
        for site in ["side", "plant", "cloud", "cloud-chat"] {
            around.passing(site).await?;
        }
        Ok(around)
    }

    /// Lets the box see what the plant is like: an hour's work, before anything is shown.
    async fn acquaint(&self) -> Result<()> {
        for _ in 0..KNOWN / AT_ONCE {
            let before = (0..AT_ONCE).map(|_| {
                let client = self.client.clone();
                tokio::spawn(async move { client.infer("measure", &known(), &internal()).await })
            });
            for asked in before.collect::<Vec<_>>() {
                expect_yes("a measurement by the plant", asked.await??)?;
            }
        }
        Ok(())
    }

    /// Sends the stream, and gives back those of it that wait until all is well again.
    async fn one(&self, situation: Situation, found: &mut Found) -> Result<Vec<Sent>> {
        let watch = Stopwatch::start();
        let before = self.client.status().await?.routing.deferred;
        let mut ticks = pace(PACE);
        let mut sent = Vec::new();
        for request in stream(situation) {
            ticks.tick().await;
            let client = self.client.clone();
            sent.push(Sent { request, task: tokio::spawn(async move { ask(&client, &request).await }) });
        }
        let (later, now): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(|sent| sent.request.kind().deferrable);
        for sent in now {
            found.went.push(self.came(sent).await?);
        }
        // What has not ended by now waits: on the disk, or for a place that does not answer.
        let settled = async || {
            let open = later.iter().filter(|sent| !sent.task.is_finished()).count();
            let waits = self.client.status().await?.routing.deferred;
            Ok((waits >= before + u64::try_from(open)?).then_some(()))
        };
        eventually("each waits or has ended", SETTLED, settled).await.ok();
        let (ended, waiting): (Vec<Sent>, Vec<Sent>) = later.into_iter().partition(|sent| sent.task.is_finished());
        for sent in ended {
            found.went.push(self.came(sent).await?);
        }
        let (title, many, seconds) = (situation.title(), waiting.len(), watch.elapsed().as_secs_f64());
        println!("{title}: {} requests in {seconds:.1} s, {many} wait", stream(situation).len());
        Ok(waiting)
    }

    /// What became of one that has ended, or will soon.
    async fn came(&self, sent: Sent) -> Result<Went> {
        let request = sent.request;
        let outcome = within(&request.id(), RECOVERY, sent.task).await???;
        let mut went = went(request, outcome);
        if request.kind().deferrable {
            let trace = self.client.trace(&request.id()).await?;
            let step = trace.steps.iter().find(|step| step.step == "put_off");
            let why = step.and_then(|step| step.detail.rsplit(' ').next()).unwrap_or_default();
            went.waited = why.to_owned();
        }
        Ok(went)
    }

    /// Makes all well again, and waits for those that wait.
    async fn recover(&self, found: &mut Found, waiting: Vec<Sent>) -> Result<()> {
        let watch = Stopwatch::start();
        self.sites.plant.part(false);
        self.budget([BUDGET; 2]).await?;
        self.heat(false).await?;
        let cool = watch.elapsed().as_secs_f64();
        self.passing("plant").await?;
        let many = waiting.len();
        for sent in waiting {
            found.went.push(self.came(sent).await?);
        }
        let seconds = watch.elapsed().as_secs_f64();
        println!("  all is well again after {cool:.1} s; {many} that waited were answered by {seconds:.1} s");
        Ok(())
    }

    /// Sets the day's budgets of the cloud's two addresses.
    async fn budget(&self, budgets: [f64; 2]) -> Result<()> {
        let overlay = self.stack.dir().join("edged.toml.d/50-overlay.toml");
        fs::write(&overlay, self.sites.config(budgets)).with_context(|| format!("write {}", overlay.display()))?;
        Ok(ManagerProxy::new(&self.client.connection).await?.reload().await?)
    }

    /// Cuts them to what is spent already.
    async fn spend(&self) -> Result<()> {
        let spent = [self.spent("cloud").await?, self.spent("cloud-chat").await?];
        self.budget(spent).await
    }

    async fn spent(&self, name: &str) -> Result<f64> {
        let sites = self.client.status().await?.routing.sites;
        Ok(sites.iter().find(|site| site.name == name).with_context(|| format!("no site {name}"))?.spent_usd)
    }

    /// Waits until a site is asked.
    async fn passing(&self, name: &str) -> Result<()> {
        let passing = async || {
            let sites = self.client.status().await?.routing.sites;
            Ok(sites.iter().any(|site| site.name == name && site.state == "passing").then_some(()))
        };
        eventually(&format!("{name} is asked again"), PATIENCE, passing).await
    }

    /// Heats the box until nothing may run, or cools it until something may.
    async fn heat(&self, hot: bool) -> Result<()> {
        self.machine.heat(hot);
        let is_so = async || {
            let governor = self.client.status().await?.governor;
            let is_so = (governor.capacity.lanes == 0) == hot && governor.regime != "boot";
            ensure!(is_so, "{governor:?}");
            Ok(Some(()))
        };
        eventually(if hot { "the box is too hot" } else { "the box is cool" }, RECOVERY, is_so).await
    }
}

/// What the plant is asked before the stream begins; not of the stream.
fn known() -> [Tensor; 2] {
    [Tensor::fp32("a", &[1, 4], &[0.0; 4]), Tensor::fp32("b", &[1, 4], &SUM)]
}

fn internal() -> Options {
    options(json!({ "data_class": "internal", "deadline_ms": 20_000 }))
}

async fn ask(client: &BusClient, request: &Request) -> Result<Outcome> {
    let (kind, options) = (request.kind(), request.options());
    match kind.chat {
        None => client.infer(kind.model, &request.tensors(), &options).await,
        Some(chat) => client.infer_bytes(kind.model, "application/json", request.body(chat).as_bytes(), &options).await,
    }
}

fn went(request: Request, outcome: Outcome) -> Went {
    let text = |info: &Value, key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let mut went = Went {
        request,
        place: "no".into(),
        why: String::new(),
        message: String::new(),
        waited: String::new(),
        cost_usd: 0.0,
        fault: String::new(),
    };
    match outcome {
        Err(no) => (went.why, went.message) = (no.code, no.message),
        Ok(yes) => {
            let site = text(&yes.info, "site");
            went.place = match site.as_str() {
                _ if text(&yes.info, "verdict") == "local" => "here".into(),
                "cloud-chat" => "cloud".into(),
                _ => site,
            };
            went.why = text(&yes.info, "reason");
            went.cost_usd = yes.info["cost_usd"].as_f64().unwrap_or_default();
            went.fault = fault(&request, &yes);
        }
    }
    went
}

/// What is wrong with an answer.
fn fault(request: &Request, yes: &Yes) -> String {
    let is_right = match request.kind().chat {
        None => yes.output("c").and_then(|sum| sum.floats()).is_ok_and(|sum| sum == SUM),
        Some(_) => yes.document["choices"][0]["message"]["content"].is_string(),
    };
    if is_right { String::new() } else { format!("{yes:?}") }
}

/// Whether all of it held.
pub fn holds(found: &Found) -> bool {
    found.checks.iter().all(|(_, held)| *held)
}
