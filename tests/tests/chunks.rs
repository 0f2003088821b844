//! Requests with many rows: they run in chunks, are answered like their rows one by one, and keep nobody waiting; cut short, and
//! with an engine host that dies in the middle.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Outcome, Tensor, Yes, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::routes::{Example, Route, Routes};
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::places;
use edge_tests::spin::Spin;
use edge_tests::stack::{Setup, Stack};
use serde_json::json;
use tokio::task::JoinHandle;

const DIRECTION: &str = "text-direction";
const LINE: &str = "text-line";
const SPIN: &str = "spin-together";
/// Longer than anything here takes on a busy machine.
const PATIENT_MS: u64 = 60_000;
/// So far may an answer be off that was computed in another batch.
const CLOSE: f32 = 1e-4;

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        many_rows_are_answered_like_single_ones_on_every_way,
        large_outputs_of_many_rows_are_put_together_in_order,
        two_inputs_are_cut_alike_and_differing_rows_are_refused,
        strings_run_as_they_come,
        outputs_without_the_rows_of_the_inputs_are_never_put_together,
        what_is_high_is_answered_before_many_rows_of_somebody_else,
        the_trace_says_into_how_many_chunks_and_why,
        many_rows_are_cancelled_in_the_middle,
        a_deadline_that_passes_in_the_middle_ends_them,
        an_engine_host_that_dies_in_the_middle_loses_no_row,
    ];
    edge_tests::runner::run(setup(), trials)
}

fn setup() -> Setup {
    let bundles = [DIRECTION, LINE, "add", "echo-types", "spin", SPIN, "unique-rows"];
    Setup::new().bundles(&bundles).config("[limits]\nmax_inline_kib = 16384")
}

fn patient(more: serde_json::Value) -> Options {
    let mut all = options(json!({"deadline_ms": PATIENT_MS}));
    all.extend(options(more));
    all
}

/// Rows of made-up numbers between -1 and 1, no two alike.
fn rows(shape: &[i64]) -> Result<Tensor> {
    let elements = usize::try_from(shape.iter().product::<i64>())?;
    let mut state = 1_u32;
    let values = (0..elements).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from_bits(0x3f80_0000 | (state >> 9)).mul_add(2.0, -3.0)
    });
    Ok(Tensor::fp32("x", shape, &values.collect::<Vec<_>>()))
}

fn of_direction(count: i64) -> Result<Tensor> {
    rows(&[count, 3, 48, 192])
}

fn of_line(count: i64) -> Result<Tensor> {
    rows(&[count, 3, 48, 160])
}

/// One row of a tensor.
fn row(of: &Tensor, at: usize) -> Result<Tensor> {
    let count = usize::try_from(*of.shape.first().context("a shape")?)?;
    let each = of.data.len() / count;
    let mut shape = of.shape.clone();
    shape[0] = 1;
    let data = of.data.get(at * each..(at + 1) * each).context("a row")?.to_vec();
    Ok(Tensor::new(&of.name, &of.datatype, &shape, data))
}

/// Asserts that an answer to `asked` is what its rows are answered with one by one; of every `step`th row.
async fn like_single_ones(client: &BusClient, model: &str, asked: &Tensor, found: &Yes, step: usize) -> Result<()> {
    let count = usize::try_from(asked.shape[0])?;
    let output = found.outputs.first().context("an output")?;
    ensure!(output.shape[0] == asked.shape[0], "{:?} for {:?}", output.shape, asked.shape);
    for at in (0..count).step_by(step) {
        let outcome = client.infer_sealed(model, &[row(asked, at)?], &patient(json!({}))).await?;
        let single = expect_yes("a single row", outcome)?;
        let (ours, theirs) = (row(output, at)?, single.outputs.first().context("an output")?.clone());
        ensure!(ours.shape == theirs.shape && ours.name == theirs.name, "{:?} and {:?}", ours.shape, theirs.shape);
        let worst = ours.floats()?.iter().zip(theirs.floats()?).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(worst <= CLOSE, "{model}: row {at} of {count} is off by {worst}");
    }
    Ok(())
}

async fn was_divided(client: &BusClient, id: &str) -> Result<bool> {
    Ok(client.trace(id).await?.steps.iter().any(|step| step.step == "divided"))
}

async fn many_rows_are_answered_like_single_ones_on_every_way(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let asked = of_direction(64)?;
    for route in [Route::Inline, Route::Sealed, Route::Peer, Route::Binary5] {
        let id = format!("many-{route:?}");
        let given = patient(json!({"request_id": id}));
        let yes = expect_yes(&id, routes.ask(route, DIRECTION, std::slice::from_ref(&asked), &given).await?)?;
        like_single_ones(&routes.bus, DIRECTION, &asked, &yes, 7).await?;
        ensure!(was_divided(&routes.bus, &id).await?, "{id} ran as one");
        let number = |key: &str| yes.info[key].as_u64().unwrap_or(0);
        ensure!(number("compute_us") > 0 && number("batch") >= 1, "{}", yes.info);
        ensure!(number("queue_us") < number("total_us"), "{}", yes.info);
        ensure!(yes.info["provider"] == "cpu" && yes.info["variant"] == "fp32", "{}", yes.info);
    }
    // More rows than the model takes at once.
    let asked = of_direction(200)?;
    let outcome = routes.ask(Route::Sealed, DIRECTION, std::slice::from_ref(&asked), &patient(json!({}))).await?;
    like_single_ones(&routes.bus, DIRECTION, &asked, &expect_yes("200 rows", outcome)?, 19).await?;
    // Who asks again gets the same.
    let given = patient(json!({"request_id": "many-Sealed"}));
    let again = routes.ask(Route::Sealed, DIRECTION, &[of_direction(64)?], &given).await?;
    ensure!(expect_yes("again", again)?.info["duplicate"] == true, "it ran again");
    Ok(())
}

async fn large_outputs_of_many_rows_are_put_together_in_order(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let asked = of_line(12)?;
    for (what, sealed) in [("sealed", true), ("inline", false)] {
        let given = patient(json!({"request_id": what}));
        let inputs = std::slice::from_ref(&asked);
        let outcome = match sealed {
            true => client.infer_sealed(LINE, inputs, &given).await?,
            false => client.infer(LINE, inputs, &given).await?,
        };
        let yes = expect_yes(what, outcome)?;
        let bytes = yes.outputs.first().map_or(0, |output| output.data.len());
        ensure!(bytes > 12 * (16 << 10), "{what}: {bytes} bytes are no large output");
        ensure!(was_divided(&client, what).await?, "{what}: it ran as one");
        like_single_ones(&client, LINE, &asked, &yes, 1).await?;
    }
    Ok(())
}

async fn two_inputs_are_cut_alike_and_differing_rows_are_refused(stack: &Stack) -> Result<()> {
    const ROWS: i64 = 40_000;
    let client = stack.client().await?;
    let of = |name: &str, rows: i64, from: f32| {
        let number = |at: i64| Ok(f32::from(u16::try_from(at % 60_000)?) + from);
        let values = (0..rows * 4).map(number).collect::<Result<Vec<f32>>>()?;
        Ok::<_, anyhow::Error>(Tensor::fp32(name, &[rows, 4], &values))
    };
    let (few, many) = (1_000, ROWS);
    for rows in [few, many, many / 2 + 1] {
        let inputs = [of("a", rows, 0.0)?, of("b", rows, 0.5)?];
        let sum: Vec<f32> = inputs[0].floats()?.iter().zip(inputs[1].floats()?).map(|(a, b)| a + b).collect();
        for outcome in [
            client.infer("add", &inputs, &patient(json!({}))).await?,
            client.infer_sealed("add", &inputs, &patient(json!({}))).await?,
        ] {
            let yes = expect_yes("a sum", outcome)?;
            ensure!(yes.outputs[0].shape == [rows, 4] && yes.outputs[0].floats()? == sum, "{rows} rows differ");
        }
    }
    let uneven = [of("a", few, 0.0)?, of("b", few - 1, 0.5)?];
    for outcome in [
        client.infer("add", &uneven, &patient(json!({}))).await?,
        client.infer_sealed("add", &uneven, &patient(json!({}))).await?,
    ] {
        expect_no("rows that differ", &outcome, "invalid_input", &["inputs.b.shape", "dimension 0"])?;
    }
    Ok(())
}

async fn strings_run_as_they_come(stack: &Stack) -> Result<()> {
    const ROWS: usize = 3_000;
    let client = stack.client().await?;
    let example = Example::from(stack, "echo-types").await?;
    let mut inputs = example.inputs.clone();
    for tensor in &mut inputs {
        tensor.data = tensor.data.repeat(ROWS / usize::try_from(tensor.shape[0])?);
        tensor.shape[0] = i64::try_from(ROWS)?;
    }
    ensure!(inputs.iter().any(|tensor| tensor.datatype == "BYTES"), "{:?}", example.inputs);
    let given = patient(json!({"request_id": "strings"}));
    let yes = expect_yes("strings", client.infer_sealed("echo-types", &inputs, &given).await?)?;
    for tensor in &inputs {
        let output = yes.output(&format!("{}_out", tensor.name))?;
        ensure!(output.data == tensor.data && output.shape == tensor.shape, "{} came back changed", tensor.name);
    }
    ensure!(!was_divided(&client, "strings").await?, "it was divided");
    Ok(())
}

async fn outputs_without_the_rows_of_the_inputs_are_never_put_together(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let ones = |rows: u16| Tensor::fp32("each", &[rows.into(), 4], &[1.0].repeat(4 * usize::from(rows)));
    // One row, as its golden answer has it, and so many that they are divided.
    expect_yes("one row", client.infer_sealed("unique-rows", &[ones(1)], &patient(json!({}))).await?)?;
    let given = patient(json!({"request_id": "once"}));
    let outcome = client.infer_sealed("unique-rows", &[ones(60_000)], &given).await?;
    ensure!(was_divided(&client, "once").await?, "it ran as one: {outcome:?}");
    expect_no("rows that are alike", &outcome, "internal", &["output once", "shape [1, 4]", "[batching]"])?;
    nothing_is_left(&client).await
}

/// Asks for many rows beside the test; returns when the first of them run.
async fn begin(
    client: &BusClient,
    model: &'static str,
    asked: &Tensor,
    given: Options,
) -> Result<JoinHandle<Result<Outcome>>> {
    let id = given.get("request_id").and_then(|id| id.as_str()).context("an id")?.to_owned();
    let (own, inputs) = (client.clone(), [asked.clone()]);
    let open = tokio::spawn(async move { own.infer_sealed(model, &inputs, &given).await });
    let runs = async || {
        let status = client.status().await?;
        Ok((status.running > 0 && was_divided(client, &id).await.unwrap_or(false)).then_some(()))
    };
    eventually("the first of many rows run", PATIENCE, runs).await?;
    Ok(open)
}

async fn what_is_high_is_answered_before_many_rows_of_somebody_else(stack: &Stack) -> Result<()> {
    let (client, other) = (stack.client().await?, stack.client().await?);
    let asked = of_line(100)?;
    let low = begin(&client, LINE, &asked, patient(json!({"request_id": "low", "priority": "low"}))).await?;
    let high = patient(json!({"priority": "high"}));
    let mut waited = Vec::new();
    for _ in 0..3 {
        let yes = expect_yes("high", other.infer_sealed(LINE, &[row(&asked, 0)?], &high).await?)?;
        waited.push(yes.info["queue_us"].as_u64().context("queue_us")?);
    }
    ensure!(!low.is_finished(), "100 rows were answered before three");
    let whole = expect_yes("low", within("the end of many rows", PATIENCE, low).await???)?;
    let total = whole.info["total_us"].as_u64().context("total_us")?;
    println!("high waited {waited:?} us beside a request of {total} us");
    ensure!(waited.iter().all(|waited| waited * 5 < total), "high waited {waited:?} us of {total}");
    like_single_ones(&client, LINE, &asked, &whole, 23).await
}

async fn the_trace_says_into_how_many_chunks_and_why(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let given = patient(json!({"request_id": "told"}));
    expect_yes("told", client.infer_sealed(DIRECTION, &[of_direction(64)?], &given).await?)?;
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(["trace", "told"]).env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let said = String::from_utf8(command.output().context("run edgectl")?.stdout)?;
    // As wide as the terminal is.
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, divided) = words.split_once("divided 64 rows in ").with_context(|| said.clone())?;
    ensure!(divided.contains(" chunks of ") && divided.contains("so that others wait at most 20 ms"), "{said}");
    ensure!(divided.contains(" chunks, model took "), "{said}");
    Ok(())
}

async fn nothing_is_left(client: &BusClient) -> Result<()> {
    let quiet = async || {
        let status = client.status().await?;
        let busy = status.models.iter().any(|model| model.waiting > 0);
        Ok((status.waiting == 0 && status.running == 0 && !busy).then_some(()))
    };
    eventually("nothing is left of it", PATIENCE, quiet).await
}

async fn many_rows_are_cancelled_in_the_middle(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let open = begin(&client, LINE, &of_line(100)?, patient(json!({"request_id": "given-up"}))).await?;
    ensure!(client.cancel("given-up").await?.is_ok(), "it was not found");
    expect_no("given up", &within("its end", PATIENCE, open).await???, "cancelled", &[])?;
    nothing_is_left(&client).await?;
    // Whoever leaves takes its rows along.
    let leaving = stack.client().await?;
    let open = begin(&leaving, LINE, &of_line(100)?, patient(json!({"request_id": "left"}))).await?;
    leaving.connection.clone().close().await?;
    open.abort();
    nothing_is_left(&client).await?;
    expect_yes("the next", client.infer_sealed(LINE, &[of_line(1)?], &patient(json!({}))).await?).map(drop)
}

async fn a_deadline_that_passes_in_the_middle_ends_them(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let spin = Spin::measure(stack).await?;
    let asked = |milliseconds: i64, rows: i64| {
        let spin = spin.lasting(milliseconds)?;
        let trips = &spin.iter().find(|tensor| tensor.datatype == "INT64").context("a count")?.data;
        Ok::<_, anyhow::Error>([Tensor::new("each", "INT64", &[rows, 1], trips.repeat(usize::try_from(rows)?))])
    };
    for _ in 0..8 {
        expect_yes("a short row", client.infer_sealed(SPIN, &asked(5, 1)?, &patient(json!({}))).await?)?;
    }
    // Nobody can know that these rows take twenty times as long.
    let given = options(json!({"deadline_ms": 1500, "request_id": "late"}));
    let outcome = client.infer_sealed(SPIN, &asked(100, 100)?, &given).await?;
    expect_no("too many rows", &outcome, "deadline_exceeded", &["deadline_ms", "before all its chunks had run"])?;
    ensure!(was_divided(&client, "late").await?, "it ran as one");
    nothing_is_left(&client).await
}

async fn an_engine_host_that_dies_in_the_middle_loses_no_row(_: &Stack) -> Result<()> {
    let stack = setup().without_broker().start().await?;
    let client = stack.client().await?;
    let asked = of_line(60)?;
    let open = begin(&client, LINE, &asked, patient(json!({"request_id": "killed"}))).await?;
    stack.kill_host().await?;
    let yes = expect_yes("across the death", within("its end", PATIENCE, open).await???)?;
    like_single_ones(&client, LINE, &asked, &yes, 11).await?;
    let trace = client.trace("killed").await?;
    let lost = trace.steps.iter().filter(|step| step.step == "faulted" && step.detail.ends_with(": host_lost"));
    let lost: Vec<&str> = lost.map(|step| step.detail.as_str()).collect();
    ensure!(!lost.is_empty() && lost.iter().all(|detail| detail.starts_with("row")), "{trace:?}");
    Ok(())
}
