//! `edgectl infer MODEL FILE`.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use edge_wire::dto::Status;
use zbus::Variant;

use crate::annotate;
use crate::cli::{Common, InferArgs};
use crate::client::{Client, Inferred, Options, Request};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::payload;
use crate::render::{human, json};

/// Before this, nobody wonders whether something happens.
const PATIENCE: Duration = Duration::from_millis(700);

pub async fn run(common: &Common, args: &InferArgs) -> Result<Answer, Failure> {
    let payload = payload::open(&args.file)?;
    let picture = kept(args, &payload.fd)?;
    let client = super::connect(common).await?;
    let status = client.status().await?;
    let content_type =
        payload::choose(args.content_type.as_deref(), payload.content_type, &taken(&status, &args.model));
    let id = args.request_id.clone().or_else(fresh_id);
    let options = options(args, id.as_deref());
    let request = Request { model: &args.model, content_type, payload: payload.fd, options };
    match patiently(client.infer(request, super::patience(args.deadline)), &args.model).await {
        Ok(inferred) => {
            let answer = answer(common, args, &inferred, status.simulated);
            Ok(annotated(answer, args.annotate.as_deref().zip(picture.as_ref()), &inferred))
        }
        Err(failure) => Err(with_info(failure, &client, id.as_deref()).await),
    }
}

/// The picture once more, if boxes are to be drawn on it: the daemon gets the first descriptor.
fn kept(args: &InferArgs, fd: &OwnedFd) -> Result<Option<OwnedFd>, Failure> {
    let kept = args.annotate.as_ref().map(|_| fd.try_clone()).transpose();
    kept.map_err(|error| Failure::usage(format!("keep {}: {error}", args.file.display())))
}

/// The answer with its boxes drawn. The answer is there whether or not that works; what did not is said beside it.
fn annotated(answer: Answer, drawing: Option<(&Path, &OwnedFd)>, inferred: &Inferred) -> Answer {
    let Some((out, picture)) = drawing else { return answer };
    match annotate::draw(&inferred.result, picture, out) {
        Ok(()) => answer,
        Err(fault) => answer.noting(format!("edgectl: --annotate: {fault}")).ending(Exit::Usage),
    }
}

/// What the model takes, as far as is known; the daemon has the last word.
fn taken(status: &Status, model: &str) -> Vec<String> {
    super::models::find(status, model).map(|model| model.content_types.clone()).unwrap_or_default()
}

/// An id of our own, so that a request that got no answer can still be traced. Without one the daemon makes one up.
fn fresh_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid").ok().map(|id| id.trim().to_owned())
}

fn options<'a>(args: &'a InferArgs, id: Option<&'a str>) -> Options<'a> {
    let mut options: Options<'a> = super::options(args.deadline, args.data_class, args.priority);
    options.extend(id.map(|id| ("request_id", Variant::from(id))));
    options
}

/// Says at a terminal that something happens when it takes a while.
async fn patiently<T>(work: impl Future<Output = T>, model: &str) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => out::progress(&format!("edgectl: waiting for {model} ...")),
    }
    work.await
}

fn answer(common: &Common, args: &InferArgs, inferred: &Inferred, simulated: bool) -> Answer {
    let Inferred { result, info } = inferred;
    // Whatever is simulated here, another site ran a model.
    let simulated = simulated && !human::infer::is_away(info);
    if common.json {
        return Answer::done(json::inferred(result, info, simulated));
    }
    let mut text = human::infer::result(result);
    if simulated {
        text.push_str(human::status::SIMULATED);
    }
    let mut notes = human::infer::warnings(info);
    if args.verbose {
        text.push_str(&human::infer::info(info));
    } else {
        notes.extend(human::infer::elsewhere(info));
    }
    notes.into_iter().fold(Answer::done(text), Answer::noting)
}

/// A refusal with what the daemon remembers of the request, if it does. The refusal itself is the answer either way.
async fn with_info(failure: Failure, client: &Client, id: Option<&str>) -> Failure {
    match (failure, id) {
        (Failure::Refused { refused, .. }, Some(id)) => {
            let info = client.trace(id).await.ok().and_then(|trace| trace.info).map(Box::new);
            Failure::Refused { refused, info }
        }
        (other, _) => other,
    }
}
