//! The promised numbers beside the measured ones, in one run on one machine.
//!
//! Every ratio is the median over rounds of the baseline and of the system in turn, so that a machine that slows down
//! slows both. With a word on the command line only the loads are measured whose
//! name has that word in it; `planned` stands for those by measured plans, `contest` for who goes first,
//! `recipes` for what needs no daemon, `heat` for the governor against simulated plants, `sites` for real arrivals at boxes that may
//! send calls away, `spill` for what it costs the daemon to send a request on, `quality` for what a learnt score keeps local (with a table of outcomes behind it, if not the one that comes
//! along), `switch` for versions that take over, `mqtt` for what is promised of bindings, outbox and link (or one of its parts: `picture`, `cameras`, `worker`, `outbox`, `link`), `pull` for a bundle that is fetched
//! (with its size in MiB behind it). Nothing here fails for a number: it is printed, and the table says which promise it misses.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::Options;
use edge_tests::client::routes::Example;
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, measure_for};
use edge_tests::measure::baseline::{Baseline, Input, input_of};
use edge_tests::measure::load::{Load, Served, Way};
use edge_tests::measure::table::{Promise, Table};
use edge_tests::measure::work::{FILE_TYPE, TEXT_DIRECTION, TEXT_LINE, Work};
use edge_tests::measure::{Round, median};
use edge_tests::places;
use edge_tests::process::alive;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack, name_is_owned};
use edge_tests::usage;

/// The bundles that the promises speak of: SPECIFICATION.md names them.
const BUNDLES: [&str; 4] = ["text-line", "text-direction", "file-type", "speech"];
/// Rounds of each ratio: odd, so that the median is a round that happened.
const ROUNDS: usize = 11;
/// Processor time that a round is to take, so that it is measured well whatever the model costs.
const ROUND: Duration = Duration::from_millis(600);
/// Rest between two calls of a bare hop: about what daemon, bus and client take between two runs of a model.
const REST: Duration = Duration::from_micros(500);
/// Size of the bundle that is pulled, MiB, unless another one is named.
const PULLED: u64 = 64;
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let only = env::args().nth(1).unwrap_or_default();
    match block_on(bench(&only)).and_then(|done| done) {
        Ok(table) => {
            println!("\n{}\n\n{table}", usage::machine());
            println!("{} of the promises are missed in this run.", table.missed());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("edge-bench: {fault:?}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(only: &str) -> Result<Table> {
    let mut table = Table::default();
    if only == "contest" {
        let stack = Setup::new().bundles(&BUNDLES).start().await?;
        edge_tests::measure::contest::rows(&stack, &mut table).await.with_context(|| stack.logs())?;
        return Ok(table);
    }
    if only == "switch" {
        let stack = Setup::new().bundles(&BUNDLES).without_broker().start().await?;
        edge_tests::measure::switch::rows(&stack, &mut table).await.with_context(|| stack.logs())?;
        return Ok(table);
    }
    if only == "recipes" {
        edge_tests::measure::programs::rows(&mut table)?;
        return Ok(table);
    }
    if only == "heat" {
        heat(&mut table)?;
        return Ok(table);
    }
    if only == "sites" {
        sites(&mut table)?;
        return Ok(table);
    }
    if only == "quality" {
        quality(&mut table, env::args_os().nth(2).map(Into::into))?;
        return Ok(table);
    }
    if only == "spill" {
        edge_tests::measure::spill::rows(&mut table).await?;
        return Ok(table);
    }
    if only == "cycles" {
        edge_tests::measure::cycles::rows(&mut table).await?;
        return Ok(table);
    }
    if only == "pull" {
        let mib =
            env::args().nth(2).map_or(Ok(PULLED), |text| text.parse()).context("the size of the bundle in MiB")?;
        edge_tests::measure::pull::rows(&mut table, mib).await?;
        return Ok(table);
    }
    if only == "mqtt" {
        edge_tests::measure::mqtt::rows(&mut table, &env::args().nth(2).unwrap_or_default()).await?;
        return Ok(table);
    }
    if only == "planned" {
        edge_tests::measure::planned::rows(&mut table).await?;
        return Ok(table);
    }
    if !only.is_empty() {
        let stack = Setup::new().bundles(&BUNDLES).start().await?;
        ratios(&stack, &mut table, only).await.with_context(|| stack.logs())?;
        return Ok(table);
    }
    starts(&mut table).await?;
    let stack = Setup::new().bundles(&BUNDLES).start().await?;
    memory(&stack, &mut table).await?;
    idle(&stack, &mut table).await?;
    ratios(&stack, &mut table, only).await.with_context(|| stack.logs())?;
    edge_tests::measure::contest::rows(&stack, &mut table).await.with_context(|| stack.logs())?;
    edge_tests::measure::switch::rows(&stack, &mut table).await.with_context(|| stack.logs())?;
    host_killed(&stack, &mut table).await.with_context(|| stack.logs())?;
    drop(stack);
    edge_tests::measure::planned::rows(&mut table).await?;
    edge_tests::measure::cycles::rows(&mut table).await?;
    edge_tests::measure::programs::rows(&mut table)?;
    heat(&mut table)?;
    sites(&mut table)?;
    quality(&mut table, None)?;
    edge_tests::measure::spill::rows(&mut table).await?;
    edge_tests::measure::mqtt::rows(&mut table, "").await?;
    edge_tests::measure::pull::rows(&mut table, PULLED).await?;
    Ok(table)
}

/// The governor against simulated plants: the table, the promised numbers, and the picture in the documentation.
fn heat(table: &mut Table) -> Result<()> {
    edge_tests::measure::heat::rows(table);
    edge_tests::measure::heat::draw(&places::repository().join("docs"))
}

/// Real arrivals at simulated boxes: the table, the promised numbers, and the picture in the documentation.
fn sites(table: &mut Table) -> Result<()> {
    let calls = edge_tests::measure::sites::recorded(&places::repository())?;
    edge_tests::measure::sites::rows(table, &calls);
    edge_tests::measure::sites::draw(&places::repository().join("docs"), &calls)
}

/// A learnt score on outcomes of a weak and a strong model: the promised numbers, and the picture in the documentation, which is
/// of the table that comes along.
fn quality(table: &mut Table, outcomes: Option<std::path::PathBuf>) -> Result<()> {
    let rows = edge_tests::measure::quality::outcomes(outcomes.as_deref())?;
    edge_tests::measure::quality::rows(table, &rows)?;
    if outcomes.is_some() {
        return Ok(());
    }
    edge_tests::measure::quality::draw(&rows, &places::repository().join("docs"))
}

/// Times to the bus name and to READY, each the median of some starts.
async fn starts(table: &mut Table) -> Result<()> {
    let (mut owned, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut stack = Setup::new().bundles(&BUNDLES).prepare()?;
        let connection = stack.bus.connect().await?;
        let watch = Stopwatch::start();
        let mut daemon = edge_tests::daemon::Daemon::spawn(&stack.launch)?;
        eventually("the name is owned", PATIENCE, async || Ok(name_is_owned(&connection).await?.then_some(()))).await?;
        owned.push(watch.elapsed().as_secs_f64());
        daemon.wait_ready().await?;
        ready.push(watch.elapsed().as_secs_f64());
        stack.daemon = Some(daemon);
    }
    let spread =
        |times: &[f64]| format!("median of {}, worst {:.3} s", times.len(), times.iter().copied().fold(0.0, f64::max));
    let what = "process start to bus name owned";
    table.add(what, "s", Promise::AtMost(0.15), median(owned.iter().copied()), spread(&owned));
    let what = "process start to READY, bundles without text-boxes";
    table.add(what, "s", Promise::AtMost(2.0), median(ready.iter().copied()), spread(&ready));
    Ok(())
}

/// Resident memory of the daemon, and of its host over a process that holds the same runtime, models and sessions.
async fn memory(stack: &Stack, table: &mut Table) -> Result<()> {
    let (daemon, host) = (stack.daemon()?.process.pid(), stack.host_pid().await?);
    let mut baseline = Baseline::start()?;
    for model in stack.status().await?.models {
        let inputs = match Work::of(&model.name) {
            Some(work) => vec![input_of(work)],
            None => example_inputs(&Example::of(&model)),
        };
        baseline.load(&model_file(&model.name)?, inputs, usize::try_from(model.instances)?)?;
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (of_daemon, of_host) = (usage::resident(daemon)?, usage::resident(host)?);
    let of_baseline = usage::resident(baseline.pid())?;
    table.add(
        "resident memory of the daemon, without its host",
        "MB",
        Promise::AtMost(20.0),
        megabytes(of_daemon),
        String::new(),
    );
    let note = format!("host {:.1} MB, runtime and models alone {:.1} MB", megabytes(of_host), megabytes(of_baseline));
    let over = megabytes(of_host) - megabytes(of_baseline);
    table.add("resident memory of the host over runtime and models", "MB", Promise::AtMost(12.0), over, note);
    Ok(())
}

/// The manifest's shapes with zeros; a rate of 16 kHz where a sound model asks for one.
fn example_inputs(example: &Example) -> Vec<Input> {
    let input = |tensor: &edge_tests::answer::Tensor| Input {
        name: tensor.name.clone(),
        datatype: tensor.datatype.clone(),
        shape: tensor.shape.clone(),
        data: if tensor.datatype == "INT64" { 16_000_i64.to_le_bytes().to_vec() } else { tensor.data.clone() },
    };
    example.inputs.iter().map(input).collect()
}

fn model_file(name: &str) -> Result<std::path::PathBuf> {
    let file = places::bundle(name)?.join("model.onnx");
    ensure!(file.is_file(), "no {}", file.display());
    Ok(file)
}

async fn idle(stack: &Stack, table: &mut Table) -> Result<()> {
    let (daemon, host) = (stack.daemon()?.process.pid(), stack.host_pid().await?);
    // What a start leaves to do is no idleness.
    measure_for(Duration::from_secs(2)).await;
    let before = usage::cpu_time(daemon)? + usage::cpu_time(host)?;
    let watch = Stopwatch::start();
    measure_for(IDLE).await;
    let used = usage::cpu_time(daemon)? + usage::cpu_time(host)? - before;
    let percent = used.as_secs_f64() / watch.elapsed().as_secs_f64() * 100.0;
    let note = format!("daemon and host over {} s", IDLE.as_secs());
    table.add("idle processor time of a core, MQTT connected", "%", Promise::AtMost(0.2), percent, note);
    Ok(())
}

/// Baseline and system in turn, on one kind of work.
struct Duel {
    baseline: Vec<Round>,
    served: Vec<Served>,
}

impl Duel {
    fn value(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Cpu => self.cpu_ratio(),
            Measure::Throughput => self.throughput_ratio(),
            Measure::AddedP50 => self.added_p50_us(),
        }
    }

    fn cpu_ratio(&self) -> f64 {
        median(self.pairs().map(|(base, served)| served.round.cpu_us() / base.cpu_us()))
    }

    fn throughput_ratio(&self) -> f64 {
        median(self.pairs().map(|(base, served)| served.round.rate() / base.rate()))
    }

    fn added_p50_us(&self) -> f64 {
        median(self.pairs().map(|(base, served)| served.round.p50_us() - base.p50_us()))
    }

    fn pairs(&self) -> impl Iterator<Item = (&Round, &Served)> {
        self.baseline.iter().zip(&self.served)
    }

    /// What a call costs everybody, in microseconds.
    fn note(&self) -> String {
        let per_call = |read: fn(&Served) -> Duration| {
            median(
                self.served
                    .iter()
                    .map(|served| read(served).as_secs_f64() * 1e6 / f64::from(served.round.calls.max(1))),
            )
        };
        let base = median(self.baseline.iter().map(Round::cpu_us));
        let mut note = format!(
            "us a call: baseline {base:.0}, daemon {:.0}, host {:.0}, bus {:.0}, clients {:.0}",
            per_call(|served| served.daemon),
            per_call(|served| served.host),
            per_call(|served| served.bus),
            per_call(|served| served.clients),
        );
        let broker = per_call(|served| served.broker);
        if broker >= 1.0 {
            note.push_str(&format!(", broker {broker:.0}"));
        }
        note
    }
}

struct Bench<'a> {
    stack: &'a Stack,
    baseline: Baseline,
    models: Vec<(Work, usize)>,
}

impl Bench<'_> {
    async fn duel(&mut self, way: Way, work: Work, clients: usize, callers: usize) -> Result<Duel> {
        let model = self.models.iter().find(|known| known.0 == work).context("the work was loaded")?.1;
        let load = Load::connect(self.stack, way, work, clients).await?;
        let calls = self.calls(model, clients)?;
        load.round(calls / 2).await?;
        let mut duel = Duel { baseline: Vec::new(), served: Vec::new() };
        for _ in 0..ROUNDS {
            duel.baseline.push(self.baseline.run(model, calls, callers)?);
            duel.served.push(load.round(calls).await?);
        }
        Ok(duel)
    }

    /// What a call from another process costs without any product in between, on this machine and in this run: at once
    /// after the answer before, and after a rest as long as a daemon and a bus take between two calls. A processor that
    /// rested runs the same model for longer.
    fn hop(&mut self, table: &mut Table) -> Result<()> {
        let model = self.models.iter().find(|known| known.0 == TEXT_DIRECTION).context("the work was loaded")?.1;
        let calls = self.calls(model, 1)?;
        for (what, rest) in [("and nothing else", Duration::ZERO), ("with rests", REST)] {
            let (mut base, mut hops) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                base.push(self.baseline.run(model, calls, 1)?);
                hops.push(self.baseline.hop(model, calls, rest, TEXT_DIRECTION)?);
            }
            let pairs = || base.iter().zip(&hops);
            let ratio = median(pairs().map(|(base, hop)| hop.cpu_us() / base.cpu_us()));
            let added = median(pairs().map(|(base, hop)| hop.p50_us() - base.p50_us()));
            let note = format!(
                "us a call: baseline {:.0}, server {:.0}; no product, one client",
                median(base.iter().map(Round::cpu_us)),
                median(hops.iter().map(Round::cpu_us))
            );
            let what = format!("text-direction behind one socket {what}: CPU");
            table.add(&what, "x", Promise::None, ratio, note);
            let note =
                if rest.is_zero() { String::new() } else { format!("{} us after each answer", REST.as_micros()) };
            table.add("  the same: added p50", "us", Promise::None, added, note);
        }
        Ok(())
    }

    /// Calls of a round: as many as fit, the same number for every client.
    fn calls(&mut self, model: usize, clients: usize) -> Result<u32> {
        let one = self.baseline.run(model, 10, 1)?.cpu_us().max(1.0);
        let fitting = (ROUND.as_secs_f64() * 1e6 / one).clamp(40.0, 2000.0);
        let clients = f64::from(u32::try_from(clients)?);
        let share = (fitting / clients).ceil();
        Ok(format!("{:.0}", share * clients).parse()?)
    }
}

/// What is read off a duel.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Cpu,
    Throughput,
    AddedP50,
}

impl Measure {
    fn words(self) -> &'static str {
        match self {
            Measure::Cpu => "CPU",
            Measure::Throughput => "throughput / baseline, two callers",
            Measure::AddedP50 => "added p50",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Measure::Cpu | Measure::Throughput => "x",
            Measure::AddedP50 => "us",
        }
    }
}

/// One kind of load with what is promised of it.
struct Bout {
    what: &'static str,
    way: Way,
    work: Work,
    clients: usize,
    /// Threads of the baseline.
    callers: usize,
    promises: &'static [(Measure, Promise)],
}

const DUELS: [Bout; 7] = [
    Bout {
        what: "text-direction, InferFd, 1 client",
        way: Way::Fd,
        work: TEXT_DIRECTION,
        clients: 1,
        callers: 1,
        promises: &[(Measure::Cpu, Promise::AtMost(1.18)), (Measure::AddedP50, Promise::AtMost(350.0))],
    },
    Bout {
        what: "text-direction, InferFd, 16 clients",
        way: Way::Fd,
        work: TEXT_DIRECTION,
        clients: 16,
        callers: 2,
        promises: &[(Measure::Cpu, Promise::AtMost(1.10)), (Measure::Throughput, Promise::AtLeast(0.80))],
    },
    Bout {
        what: "text-line, InferFd, 16 clients",
        way: Way::Fd,
        work: TEXT_LINE,
        clients: 16,
        callers: 2,
        promises: &[(Measure::Throughput, Promise::AtLeast(0.95))],
    },
    Bout {
        what: "file-type, Infer, 16 clients",
        way: Way::Inline,
        work: FILE_TYPE,
        clients: 16,
        callers: 2,
        promises: &[(Measure::Throughput, Promise::AtLeast(0.95)), (Measure::Cpu, Promise::AtMost(1.06))],
    },
    Bout {
        what: "file-type, Infer, 1 client",
        way: Way::Inline,
        work: FILE_TYPE,
        clients: 1,
        callers: 1,
        promises: &[(Measure::Cpu, Promise::AtMost(1.06))],
    },
    Bout {
        what: "text-direction, MQTT 5 QoS 1, 1 client",
        way: Way::Mqtt,
        work: TEXT_DIRECTION,
        clients: 1,
        callers: 1,
        promises: &[(Measure::Cpu, Promise::AtMost(1.22))],
    },
    Bout {
        what: "text-direction, MQTT 5 QoS 1, 16 clients",
        way: Way::Mqtt,
        work: TEXT_DIRECTION,
        clients: 16,
        callers: 2,
        promises: &[(Measure::Cpu, Promise::AtMost(1.22))],
    },
];

async fn ratios(stack: &Stack, table: &mut Table, only: &str) -> Result<()> {
    let mut baseline = Baseline::start()?;
    let mut models = Vec::new();
    for work in [TEXT_DIRECTION, FILE_TYPE, TEXT_LINE] {
        models.push((work, baseline.load(&model_file(work.model)?, vec![input_of(work)], 2)?));
    }
    let mut bench = Bench { stack, baseline, models };
    if only.is_empty() || "one socket".contains(only) {
        bench.hop(table)?;
    }

    for duel in DUELS.iter().filter(|duel| only.is_empty() || duel.what.contains(only)) {
        let fought = bench.duel(duel.way, duel.work, duel.clients, duel.callers).await?;
        for (at, (measure, promise)) in duel.promises.iter().enumerate() {
            let what = format!("{}: {}", if at == 0 { duel.what } else { "  the same" }, measure.words());
            let note = if at == 0 { fought.note() } else { String::new() };
            table.add(&what, measure.unit(), *promise, fought.value(*measure), note);
        }
    }
    let resident = usage::resident(stack.daemon()?.process.pid())? as f64 / 1e6;
    table.add("resident memory of the daemon after all that", "MB", Promise::AtMost(20.0), resident, String::new());
    Ok(())
}

/// Kills the engine host, and takes the time to the next answer.
async fn host_killed(stack: &Stack, table: &mut Table) -> Result<()> {
    let client = stack.client().await?;
    let input = TEXT_DIRECTION.tensor();
    let mut times = Vec::new();
    for _ in 0..5 {
        let killed = stack.kill_host().await?;
        let watch = Stopwatch::start();
        eventually("the next answer", PATIENCE, async || {
            let inputs = std::slice::from_ref(&input);
            Ok(client.infer_sealed(TEXT_DIRECTION.model, inputs, &Options::new()).await?.ok())
        })
        .await?;
        times.push(watch.elapsed().as_secs_f64());
        ensure!(!alive(killed), "the killed host is alive");
        // The backoff after a crash is not what is measured: the next one shall be a first one again.
        measure_for(Duration::from_secs(3)).await;
    }
    let note = format!("median of {}, worst {:.3} s", times.len(), times.iter().copied().fold(0.0, f64::max));
    let what = "kill -9 of the engine host to the next answer";
    table.add(what, "s", Promise::AtMost(1.0), median(times.iter().copied()), note);
    Ok(())
}
