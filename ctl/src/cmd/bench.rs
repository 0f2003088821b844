//! `edgectl bench MODEL`.

use std::time::Duration;

use edge_wire::dto::Status;

use crate::bench::caller::{self, Asking};
use crate::bench::input;
use crate::bench::load::Ended;
use crate::bench::plan;
use crate::bench::report::{self, ErrorReport, InputReport, Report};
use crate::bench::run::{self, Found, WARM_UP};
use crate::cli::{BenchArgs, Common, Over};
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json};

pub async fn run(common: &Common, args: &BenchArgs) -> Result<Answer, Failure> {
    let steps = plan::steps(&args.clients, &args.batch).map_err(Failure::usage)?;
    let client = super::connect(common).await?;
    let status = client.status().await?;
    let (input, note) = input::choose(args, super::models::find(&status, &args.model)?)?;
    steps.iter().try_for_each(|step| input.check(step.rows))?;
    let sent = InputReport::of(&input, !args.batch.is_empty())?;
    let most = steps.iter().map(|step| step.clients).max().unwrap_or(1);
    let asking = Asking {
        model: args.model.clone(),
        options: super::options(args.deadline, args.data_class, Some(args.priority)),
        limit: super::patience(args.deadline),
    };
    let (callers, over) = caller::connect(&client, args.over, most, asking).await?;
    let progress = |place: usize| {
        let step = steps.get(place).map(human::bench::step).unwrap_or_default();
        out::progress(&format!("edgectl: step {} of {}, {} s: {step}", place + 1, steps.len(), args.seconds));
    };
    let found = run::run(&callers, &input, &steps, Duration::from_secs(args.seconds.into()), progress).await?;
    let answer = answer(common, &report(args, &status, over, sent, &found));
    let answer = note.into_iter().fold(answer, |answer, note| answer.noting(format!("edgectl: {note}")));
    Ok(lost(answer, &found).ending(found.exit()))
}

fn report(args: &BenchArgs, status: &Status, over: Over, input: InputReport, found: &Found) -> Report {
    let (ended, error) = match &found.ended {
        Ended::Complete => ("complete", None),
        Ended::Interrupted => ("interrupted", None),
        Ended::Lost(failure) => ("lost", Some(ErrorReport { code: failure.word().into(), message: failure.message() })),
    };
    Report {
        model: args.model.clone(),
        node: status.node.clone(),
        platform: status.platform.clone(),
        simulated: status.simulated,
        served: report::served(&found.served),
        over: over.as_str().into(),
        input,
        priority: args.priority.as_str().into(),
        deadline_ms: args.deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
        data_class: args.data_class.map(|class| class.as_str().into()),
        seconds: args.seconds.into(),
        warm_up_ms: u64::try_from(WARM_UP.as_millis()).unwrap_or(u64::MAX),
        ended: ended.into(),
        error,
        steps: found.steps.clone(),
        warnings: found.warnings.iter().cloned().collect(),
    }
}

fn answer(common: &Common, report: &Report) -> Answer {
    if common.json {
        return Answer::done(json::record(report));
    }
    let warnings = report.warnings.iter().map(|warning| human::infer::warning(warning));
    warnings.fold(Answer::done(human::bench::report(report)), Answer::noting)
}

/// The same with the failure that cut the run short.
fn lost(answer: Answer, found: &Found) -> Answer {
    match &found.ended {
        Ended::Lost(failure) => answer.noting(human::failure(failure)),
        Ended::Complete | Ended::Interrupted => answer,
    }
}
