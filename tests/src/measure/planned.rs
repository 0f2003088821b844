//! Models that were measured on this machine, against the best that one process can do with them here: of all ways that
//! answer right, with the batch that the plan found best, whatever the daemon chose.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_wire::names::{MODEL, model_path};
use edge_wire::plan::{Plan, PlanWay};

use super::baseline::{Baseline, Input, On, input_of};
use super::load::{Load, Served, Way};
use super::table::{Promise, Table};
use super::work::{FILE_TYPE, TEXT_BOXES, TEXT_DIRECTION, TEXT_LINE, Work};
use super::{Round, median};
use crate::clock::{PATIENCE, eventually};
use crate::places;
use crate::provider::{OPENVINO, openvino};
use crate::stack::{Setup, Stack};
use crate::usage;

/// Rounds of each ratio.
const ROUNDS: usize = 7;
/// Processor time that a round is to take.
const ROUND: Duration = Duration::from_millis(600);

/// Measured models, the way the daemon speaks with them, and what is promised of their throughput.
const WORKS: [(Work, Way, f64); 4] = [
    (TEXT_LINE, Way::Fd, 0.95),
    (FILE_TYPE, Way::Inline, 0.95),
    (TEXT_BOXES, Way::Fd, 0.95),
    (TEXT_DIRECTION, Way::Fd, 0.85),
];

/// Pictures of the bundles, with the shape that the model sees after the recipe: 849 x 169 pixels at a height of 48, padded
/// to a width of 320; 480 x 480 pixels as they are.
const PICTURES: [(Work, &str, &[i64]); 2] =
    [(TEXT_LINE, "golden/lot.jpg", &[1, 3, 48, 320]), (TEXT_BOXES, "golden/tilted.jpg", &[1, 3, 480, 480])];
/// What a picture by a plan must reach of the default provider's tensors, where the processor has AMX: the plan may compute
/// in bfloat16 there, sixteen times as fast as in floats on paper.
const ENCODED_WITH_AMX: f64 = 2.0;

/// A way with what the baseline made of it.
struct Limit {
    model: usize,
    callers: usize,
    batch: u32,
    words: String,
}

/// Tunes the models, then holds them against the best of one process.
pub async fn rows(table: &mut Table) -> Result<()> {
    let providers = tempfile::tempdir()?;
    let place = providers.path().join(OPENVINO);
    let second = openvino(&place)?;
    let names: Vec<&str> = WORKS.iter().map(|(work, ..)| work.model).collect();
    let config = |objective: &str| {
        format!("[engine]\nproviders_dir = '{}'\n\n[models]\nobjective = '{objective}'", providers.path().display())
    };
    let mut stack = Setup::new().bundles(&names).config(&config("throughput")).start().await?;
    let mut baseline = Baseline::start()?;
    if second {
        baseline.register(&place.join("libonnxruntime_providers_openvino_plugin.so"))?;
    }
    let mut plans = Vec::new();
    for (work, ..) in WORKS {
        let (plan, seconds) = tune(&stack, work.model).await?;
        let (what, promise) = match work.model {
            "text-line" => ("tuning text-line, a model of 30 ms a run".to_owned(), Promise::AtMost(60.0)),
            name => (format!("tuning {name}"), Promise::None),
        };
        table.add(&what, "s", promise, seconds, format!("{} ways", plan.ways.len()));
        plans.push(plan);
    }
    let mut all = Vec::new();
    for ((work, way, promise), plan) in WORKS.into_iter().zip(&plans) {
        let limits = limits(&mut baseline, work, plan)?;
        let best = best(&mut baseline, &limits, |round, limit| round.rate() * f64::from(limit.batch))?;
        let limit = limits.get(best).context("a limit")?;
        let load = Load::connect(&stack, way, work, 16).await?;
        let calls = calls(&mut baseline, limit, 16)?;
        load.round(calls / 2).await?;
        let (mut ratios, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let runs = per_limit(calls, limit);
            let base = baseline.run(limit.model, runs, limit.callers)?;
            let served = load.round(calls).await?;
            ratios.push(served.round.rate() / (base.rate() * f64::from(limit.batch)));
            costs.push(Cost::of(&served, &base, f64::from(runs) * f64::from(limit.batch)));
        }
        let what = format!("{}, by its plan, 16 clients: throughput / limit", work.model);
        let note = format!("limit: {}; us of processor for each: {}", limit.words, Cost::middle(&costs));
        table.add(&what, "x", Promise::AtLeast(promise), median(ratios.into_iter()), note);
        all.push(limits);
    }
    for (work, file, shape) in PICTURES {
        encoded(&stack, &mut baseline, table, work, file, shape).await?;
    }
    // The plans are on disk: the same models, served by another objective.
    stack.launch.overlay = config("latency");
    stack.start_daemon().await?;
    for ((work, way, _), limits) in WORKS.into_iter().zip(&all) {
        let best =
            best(&mut baseline, limits, |round, limit| if limit.batch == 1 { 1.0 / round.p50_us() } else { 0.0 })?;
        let limit = limits.get(best).context("a limit")?;
        let load = Load::connect(&stack, way, work, 1).await?;
        let calls = calls(&mut baseline, limit, 1)?;
        load.round(calls / 2).await?;
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let base = baseline.run(limit.model, calls, 1)?;
            ratios.push(load.round(calls).await?.round.p50_us() / base.p50_us());
        }
        let what = format!("{}, plan for latency, 1 client: p50 / limit", work.model);
        table.add(&what, "x", Promise::AtMost(1.15), median(ratios.into_iter()), format!("limit: {}", limit.words));
    }
    Ok(())
}

/// Pictures by a plan, against tensors of the same size on the default provider: there nothing decodes, resizes or reads.
async fn encoded(
    stack: &Stack,
    baseline: &mut Baseline,
    table: &mut Table,
    work: Work,
    file: &'static str,
    shape: &[i64],
) -> Result<()> {
    let elements = shape.iter().map(|size| size.unsigned_abs()).product::<u64>();
    let data = vec![0; usize::try_from(elements)? * size_of::<f32>()];
    let input = Input { shape: shape.to_vec(), data, ..input_of(work) };
    let model = baseline.load(&places::bundle(work.model)?.join("model.onnx"), vec![input], 2)?;
    let limit = Limit { model, callers: 2, batch: 1, words: String::new() };
    let load = Load::connect(stack, Way::Picture(file), work, 16).await?;
    let calls = calls(baseline, &limit, 16)?;
    load.round(calls / 2).await?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let base = baseline.run(model, per_limit(calls, &limit), 2)?;
        ratios.push(load.round(calls).await?.round.rate() / base.rate());
    }
    let what = format!("{}, pictures by its plan, 16 clients: throughput / CPU provider alone", work.model);
    let promise = if usage::has_flag("amx_bf16") { Promise::AtLeast(ENCODED_WITH_AMX) } else { Promise::None };
    let note = format!("alone: tensors of {shape:?}, exact, 2 x 1 threads, nothing decoded");
    table.add(&what, "x", promise, median(ratios.into_iter()), note);
    Ok(())
}

/// Processor time of one request, microseconds.
struct Cost {
    limit: f64,
    host: f64,
    daemon: f64,
    bus: f64,
    clients: f64,
    /// Time for which no processor had anything of this to do.
    idle: f64,
}

impl Cost {
    fn of(served: &Served, base: &Round, items: f64) -> Cost {
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let busy = served.host + served.daemon + served.bus + served.clients;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(served.round.calls.max(1));
        Cost {
            limit: base.cpu.as_secs_f64() * 1e6 / items.max(1.0),
            host: each(served.host),
            daemon: each(served.daemon),
            bus: each(served.bus),
            clients: each(served.clients),
            idle: each((served.round.wall * cores).saturating_sub(busy)),
        }
    }

    fn middle(costs: &[Cost]) -> String {
        let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure));
        let (limit, host, daemon) = (of(|cost| cost.limit), of(|cost| cost.host), of(|cost| cost.daemon));
        let (bus, clients, idle) = (of(|cost| cost.bus), of(|cost| cost.clients), of(|cost| cost.idle));
        format!(
            "limit {limit:.0}; host {host:.0}, daemon {daemon:.0}, bus {bus:.0}, clients {clients:.0}, idle {idle:.0}"
        )
    }
}

/// Has a model measured; its plan, and how long that took.
async fn tune(stack: &Stack, model: &str) -> Result<(Plan, f64)> {
    let client = stack.client().await?;
    let path = model_path(model, "1.0.0");
    let options: std::collections::HashMap<&str, zbus::Variant<'_>> = Default::default();
    let reply = client.call_at(&path, MODEL, "Tune", &(options,)).await?;
    reply.map_err(|no| anyhow::anyhow!("tune {model}: {}: {}", no.code, no.message))?;
    let ended = async || {
        let jobs = client.status().await?.jobs;
        Ok(jobs.into_iter().rev().find(|job| {
            job.operation == "tune" && job.state != "running" && job.model.starts_with(&format!("{model}:"))
        }))
    };
    let job = eventually("the model was measured", PATIENCE * 10, ended).await?;
    ensure!(job.state == "done", "{job:?}");
    let reply = client.call_at(&path, MODEL, "Plan", &()).await?;
    let message = reply.map_err(|no| anyhow::anyhow!("plan of {model}: {}: {}", no.code, no.message))?;
    let plan: Plan = serde_json::from_str(&message.body().deserialize::<String>()?)?;
    let seconds = Duration::from_millis(job.elapsed_ms).as_secs_f64();
    // Requests go to the way that was chosen as soon as it is there.
    let served = async || {
        let status = client.status().await?;
        let model = status.models.into_iter().find(|known| known.name == model).context("the model")?;
        let loading = model.setups.iter().any(|setup| matches!(setup.state.as_str(), "loading" | "found"));
        Ok((model.state == "ready" && !loading).then_some(()))
    };
    eventually("the chosen way serves", PATIENCE, served).await?;
    Ok((plan, seconds))
}

/// Every way that is good for tensors, in batches of one and in the one that did most.
fn limits(baseline: &mut Baseline, work: Work, plan: &Plan) -> Result<Vec<Limit>> {
    let file: PathBuf = places::bundle(work.model)?.join("model.onnx");
    let mut limits = Vec::new();
    for way in plan.ways.iter().filter(|way| way.tensors && !way.points.is_empty()) {
        let most = way.points.iter().filter(|point| point.sessions == way.instances);
        let most = most.max_by(|a, b| a.per_second.total_cmp(&b.per_second)).map_or(1, |point| point.batch);
        let mut batches = vec![1, most];
        batches.dedup();
        for batch in batches {
            let on = On {
                provider: way.provider.clone(),
                reduced: way.precision == "reduced",
                threads: usize::try_from(way.threads)?,
            };
            let callers = usize::try_from(way.instances)?;
            let model = baseline.load_on(&file, vec![batched(work, batch)], callers, on)?;
            limits.push(Limit { model, callers, batch, words: words(way, batch) });
        }
    }
    ensure!(!limits.is_empty(), "no way of {} answers right", work.model);
    Ok(limits)
}

fn words(way: &PlanWay, batch: u32) -> String {
    format!("{} {}, {} x {} threads, batch {batch}", way.provider, way.precision, way.instances, way.threads)
}

/// So many times the work in one.
fn batched(work: Work, batch: u32) -> Input {
    let one = input_of(work);
    let times = usize::try_from(batch).unwrap_or(1);
    let mut shape = one.shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows = i64::from(batch);
    }
    Input { shape, data: one.data.repeat(times), ..one }
}

/// The limit whose figure is the largest, each measured a few times.
fn best(baseline: &mut Baseline, limits: &[Limit], figure: impl Fn(&Round, &Limit) -> f64) -> Result<usize> {
    let mut found = (0, 0.0);
    for (at, limit) in limits.iter().enumerate() {
        let calls = per_limit(calls(baseline, limit, limit.callers)? / 2, limit);
        let mut figures = Vec::new();
        for _ in 0..3 {
            figures.push(figure(&baseline.run(limit.model, calls, limit.callers)?, limit));
        }
        let figure = median(figures.into_iter());
        if figure > found.1 {
            found = (at, figure);
        }
    }
    Ok(found.0)
}

/// Items of a round: as many as fit, the same number for every client.
fn calls(baseline: &mut Baseline, limit: &Limit, clients: usize) -> Result<u32> {
    let one = baseline.run(limit.model, 6, 1)?;
    let per_item = one.wall.as_secs_f64() / f64::from(one.calls.max(1)) / f64::from(limit.batch);
    let fitting = (ROUND.as_secs_f64() / per_item.max(1e-6)).clamp(32.0, 2000.0);
    let clients = f64::from(u32::try_from(clients)?);
    Ok(format!("{:.0}", (fitting / clients).ceil() * clients).parse()?)
}

/// Runs of the limit for so many items, the same number for every caller.
fn per_limit(items: u32, limit: &Limit) -> u32 {
    let callers = u32::try_from(limit.callers).unwrap_or(1).max(1);
    (items / limit.batch.max(1)).div_ceil(callers).max(1) * callers
}
