//! `edgectl audit`.

use zbus::Variant;

use crate::cli::{AuditArgs, Common};
use crate::client::Options;
use crate::clock;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common, args: &AuditArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    // A daemon that was stopped is not started by asking.
    client.status().await?;
    let entries = client.audit(&options(args)).await?;
    let AuditArgs { since, site, model, class, limit } = args;
    let is_narrowed = since.is_some() || site.is_some() || model.is_some() || class.is_some();
    let text = match common.json {
        true => json::record(&entries),
        false => human::usage::audit(&entries, *limit, is_narrowed),
    };
    Ok(Answer::done(text))
}

fn options(args: &AuditArgs) -> Options<'_> {
    let since = args.since.as_ref().map(|since| since.resolve(clock::unix_seconds()).rfc3339());
    let named = [
        ("since", since.map(Variant::from)),
        ("site", args.site.as_deref().map(Variant::from)),
        ("model", args.model.as_deref().map(Variant::from)),
        ("data_class", args.class.map(|class| Variant::from(class.as_str()))),
        ("limit", Some(Variant::from(args.limit))),
    ];
    named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
