//! Options that are unknown, out of range or of the wrong kind, on every route; and duplicates of a request.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use edge_tests::answer::{Options, Yes, expect_yes, options};
use edge_tests::client::routes::{Example, Route, Routes, Row};
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use serde_json::{Value, json};

const MODEL: &str = "add";

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        an_unknown_option_is_ignored_and_named_in_a_warning,
        a_deadline_of_zero_or_below_is_refused,
        an_absurd_deadline_is_refused,
        a_deadline_beyond_the_policy_is_cut_and_said_so,
        a_deadline_that_is_no_integer_is_refused,
        a_deadline_that_nobody_can_meet_is_exceeded,
        an_unknown_data_class_is_the_strictest_and_said_so,
        an_unlabelled_request_is_regulated,
        an_unknown_priority_is_refused,
        deferrable_is_a_truth_value,
        a_version_of_the_wrong_kind_is_refused,
        an_endless_request_id_is_refused,
        the_same_id_again_gets_the_stored_reply,
        the_same_id_of_another_caller_is_another_request,
    ];
    edge_tests::runner::run(Setup::new(), trials)
}

async fn setting(stack: &Stack) -> Result<(Routes, Example)> {
    Ok((Routes::open(stack).await?, Example::from(stack, MODEL).await?))
}

/// Every value for the option is refused on every route, and the message names the option.
async fn option_refused(stack: &Stack, name: &str, values: &[Value]) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    for value in values {
        let what = format!("{name} = {value}");
        let mut options = Options::new();
        options.insert(name.into(), value.clone());
        let row = Row { what: &what, model: MODEL, inputs: &good.inputs, options, mentions: &[name], ..Row::default() };
        routes.refuse(&row, &good).await?;
    }
    Ok(())
}

/// A good request with these options is served on every route and `check` holds for each answer.
async fn served_with(stack: &Stack, given: Value, check: impl Fn(&Yes) -> bool) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    for route in Route::ALL {
        let what = format!("{given} over {route:?}");
        let yes = expect_yes(&what, routes.ask(route, MODEL, &good.inputs, &options(given.clone())).await?)?;
        ensure!(check(&yes), "{what}: {}", yes.info);
    }
    Ok(())
}

async fn an_unknown_option_is_ignored_and_named_in_a_warning(stack: &Stack) -> Result<()> {
    served_with(stack, json!({"colour": "green"}), |yes| yes.warns(&["colour"])).await
}

async fn a_deadline_of_zero_or_below_is_refused(stack: &Stack) -> Result<()> {
    option_refused(stack, "deadline_ms", &[json!(0), json!(-1), json!(i64::MIN)]).await
}

async fn an_absurd_deadline_is_refused(stack: &Stack) -> Result<()> {
    option_refused(stack, "deadline_ms", &[json!(u64::MAX), json!(i64::MAX)]).await
}

async fn a_deadline_beyond_the_policy_is_cut_and_said_so(stack: &Stack) -> Result<()> {
    served_with(stack, json!({"deadline_ms": 604_800_000}), |yes| yes.warns(&["deadline_ms", "600000"])).await
}

async fn a_deadline_that_is_no_integer_is_refused(stack: &Stack) -> Result<()> {
    option_refused(stack, "deadline_ms", &[json!(1.5), json!("soon"), json!(true)]).await
}

async fn a_deadline_that_nobody_can_meet_is_exceeded(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let inputs = Spin::measure(stack).await?.lasting(300)?;
    // Teaches the daemon how long it takes.
    expect_yes("a first run", routes.bus.infer(spin::MODEL, &inputs, &Options::new()).await?)?;
    let row = Row {
        what: "a deadline of 2 ms for work of 300 ms",
        model: spin::MODEL,
        inputs: &inputs,
        options: options(json!({"deadline_ms": 2})),
        code: "deadline_exceeded",
        ..Row::default()
    };
    routes.refuse(&row, &good).await
}

async fn an_unknown_data_class_is_the_strictest_and_said_so(stack: &Stack) -> Result<()> {
    let strict = |yes: &Yes| yes.info["data_class"] == "regulated" && yes.warns(&["data_class", "secret"]);
    served_with(stack, json!({"data_class": "secret"}), strict).await
}

async fn an_unlabelled_request_is_regulated(stack: &Stack) -> Result<()> {
    served_with(stack, json!({}), |yes| yes.info["data_class"] == "regulated" && yes.info["verdict"] == "local").await
}

async fn an_unknown_priority_is_refused(stack: &Stack) -> Result<()> {
    option_refused(stack, "priority", &[json!("urgent"), json!("HIGH"), json!("")]).await
}

async fn deferrable_is_a_truth_value(stack: &Stack) -> Result<()> {
    option_refused(stack, "deferrable", &[json!("yes"), json!(1)]).await
}

async fn a_version_of_the_wrong_kind_is_refused(stack: &Stack) -> Result<()> {
    option_refused(stack, "version", &[json!("")]).await
}

async fn an_endless_request_id_is_refused(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let row = Row {
        what: "a request id of 10,000 characters",
        // On MQTT the id of a JSON body is how the reply is found, so that only the other routes can be asked.
        routes: &[Route::Inline, Route::Sealed, Route::Peer],
        model: MODEL,
        inputs: &good.inputs,
        options: options(json!({"request_id": "x".repeat(10_000)})),
        mentions: &["request_id"],
        ..Row::default()
    };
    routes.refuse(&row, &good).await
}

async fn the_same_id_again_gets_the_stored_reply(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    for route in [Route::Inline, Route::Sealed, Route::Peer, Route::Json5, Route::Json311] {
        let given = options(json!({"request_id": format!("again-{route:?}")}));
        let ask = async || expect_yes("a request", routes.ask(route, MODEL, &good.inputs, &given).await?);
        let (first, second) = (ask().await?, ask().await?);
        ensure!(first.info["duplicate"] != true, "{route:?}: the first is no duplicate: {}", first.info);
        ensure!(second.info["duplicate"] == true, "{route:?}: the second is a duplicate: {}", second.info);
        ensure!(first.outputs == second.outputs, "{route:?}: a duplicate gets the same outputs");
        ensure!(first.info["completed_at"] == second.info["completed_at"], "{route:?}: it was stored, not made again");
    }
    Ok(())
}

async fn the_same_id_of_another_caller_is_another_request(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let given = options(json!({"request_id": "shared"}));
    for route in [Route::Inline, Route::Json5, Route::Json311] {
        let yes = expect_yes("a request", routes.ask(route, MODEL, &good.inputs, &given).await?)?;
        ensure!(yes.info["duplicate"] != true, "{route:?}: {}", yes.info);
    }
    Ok(())
}
