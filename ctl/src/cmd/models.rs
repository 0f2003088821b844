//! `edgectl models list`, `show` and `cache [clear]`; the other verbs of models have files of their own.

use edge_wire::dto::{CacheEntry, ModelStatus, Status};
use edge_wire::error::ErrorCode;

use crate::cli::{CacheCommand, Common, ModelsCommand};
use crate::client::Client;
use crate::clock;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

use super::versions;

pub async fn run(common: &Common, command: &ModelsCommand) -> Result<Answer, Failure> {
    if let Some(answer) = super::bring::run(common, command).await {
        return answer;
    }
    let client = super::connect(common).await?;
    if let ModelsCommand::Cache(args) = command {
        return cache(&client, common, args.command.as_ref()).await;
    }
    match command {
        ModelsCommand::Install(args) => return versions::install(&client, common, args).await,
        ModelsCommand::Pull(args) => return versions::pull(&client, common, args).await,
        ModelsCommand::History(args) => return versions::history(&client, common, args).await,
        ModelsCommand::Sync => return versions::sync(&client, common).await,
        _ => {}
    }
    let status = client.status().await?;
    let text = match command {
        ModelsCommand::Plan(args) => return super::plan::show(&client, common, &status, args).await,
        ModelsCommand::Tune(args) => return super::plan::tune(&client, common, &status, args).await,
        ModelsCommand::Load(args) => return super::load::load(&client, common, &status, args).await,
        ModelsCommand::Unload(args) => return super::load::unload(&client, common, &status, args).await,
        ModelsCommand::Activate(args) => return versions::activate(&client, common, &status, args).await,
        ModelsCommand::Rollback(args) => return versions::rollback(&client, common, &status, args).await,
        ModelsCommand::Remove(args) => return versions::remove(&client, common, &status, args).await,
        ModelsCommand::Fleet if common.json => json::record(&status.fleet),
        ModelsCommand::Fleet => human::versions::fleet(&status),
        ModelsCommand::List if common.json => json::record(&status.models),
        ModelsCommand::List => human::models::list(&status.models, status.simulated, clock::unix_seconds()),
        ModelsCommand::Show(args) => {
            let model = find(&status, &args.name)?;
            if common.json { json::record(model) } else { human::models::show(model, status.simulated) }
        }
        // Answered above.
        ModelsCommand::Cache(_)
        | ModelsCommand::New(_)
        | ModelsCommand::Check(_)
        | ModelsCommand::Goldens(_)
        | ModelsCommand::Eval(_)
        | ModelsCommand::Quantize(_)
        | ModelsCommand::Sign(_)
        | ModelsCommand::Keygen(_)
        | ModelsCommand::Pack(_)
        | ModelsCommand::Install(_)
        | ModelsCommand::Sync
        | ModelsCommand::Pull(_)
        | ModelsCommand::History(_) => String::new(),
    };
    Ok(Answer::done(text))
}

async fn cache(client: &Client, common: &Common, command: Option<&CacheCommand>) -> Result<Answer, Failure> {
    let args = match command {
        Some(CacheCommand::Clear(args)) => args,
        Some(CacheCommand::Export(args)) => return super::carry::export(client, common, args).await,
        Some(CacheCommand::Import(args)) => return super::carry::import(client, common, args).await,
        None => {
            let entries = client.cache().await?;
            return Ok(Answer::done(if common.json { json::record(&entries) } else { human::cache::list(&entries) }));
        }
    };
    let (removed, bytes) = client.clear_cache(args.model.as_deref()).await?;
    let of_model = |entry: &&CacheEntry| args.model.as_ref().is_none_or(|model| entry.model == *model);
    let kept = client.cache().await?.iter().filter(of_model).filter(|entry| entry.in_use).count();
    let text = match common.json {
        true => json::cleared(removed, bytes, kept),
        false => human::cache::cleared(removed, bytes, kept),
    };
    Ok(Answer::done(text))
}

/// The model called `name` or `name:version`; without a version the one that serves.
pub fn find<'a>(status: &'a Status, name: &str) -> Result<&'a ModelStatus, Failure> {
    let (wanted, version) = name.split_once(':').map_or((name, None), |(name, version)| (name, Some(version)));
    let fits = |model: &&ModelStatus| model.name == wanted && version.is_none_or(|version| model.version == version);
    let found = status.models.iter().filter(fits);
    let active = || found.clone().find(|model| model.active);
    active().or_else(|| found.clone().find(|model| model.state == "ready")).or_else(|| found.clone().next()).ok_or_else(
        || {
            let names: Vec<String> =
                status.models.iter().map(|model| format!("{}:{}", model.name, model.version)).collect();
            let there =
                if names.is_empty() { "there are none".into() } else { format!("there are {}", names.join(", ")) };
            Failure::refused(ErrorCode::UnknownModel, format!("no model {name}; {there}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let model = |version: &str, state: &str| ModelStatus {
            name: "text-line".into(),
            version: version.into(),
            state: state.into(),
            ..ModelStatus::default()
        };
        Status { models: vec![model("1.0.0", "failed"), model("2.0.0", "ready")], ..Status::default() }
    }

    #[test]
    fn the_version_that_serves_is_shown_unless_another_is_named() {
        assert_eq!(find(&status(), "text-line").unwrap().version, "2.0.0");
        assert_eq!(find(&status(), "text-line:1.0.0").unwrap().version, "1.0.0");
    }

    #[test]
    fn an_unknown_model_is_refused_with_the_names_that_there_are() {
        for name in ["text", "text-line:3.0.0"] {
            let text = find(&status(), name).unwrap_err().to_string();
            assert!(text.contains("unknown_model") && text.contains("text-line:2.0.0"), "{text}");
        }
    }
}
