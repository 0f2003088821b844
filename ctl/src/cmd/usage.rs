//! `edgectl usage`.

use zbus::Variant;

use crate::cli::{Common, UsageArgs};
use crate::client::Options;
use crate::clock;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common, args: &UsageArgs) -> Result<Answer, Failure> {
    let options = options(args)?;
    let client = super::connect(common).await?;
    // A daemon that was stopped is not started by asking.
    client.status().await?;
    let rows = client.usage(&options).await?;
    Ok(Answer::done(if common.json { json::record(&rows) } else { human::usage::usage(&rows) }))
}

fn options(args: &UsageArgs) -> Result<Options<'static>, Failure> {
    let now = clock::unix_seconds();
    let (since, until) = (args.since.as_ref(), args.until.as_ref());
    let (since, until) = (since.map(|when| when.resolve(now)), until.map(|when| when.resolve(now)));
    if let (Some(since), Some(until)) = (&since, &until)
        && since.unix_seconds > until.unix_seconds
    {
        let text = format!("--until is {}, before --since, {}", until.rfc3339(), since.rfc3339());
        return Err(Failure::usage(text));
    }
    let named = [
        ("since", since.map(|since| Variant::from(since.rfc3339()))),
        ("until", until.map(|until| Variant::from(until.rfc3339()))),
        ("step", Some(Variant::from(args.by.as_str()))),
    ];
    Ok(named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
