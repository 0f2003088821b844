//! `edgectl runtime list`, `install`, `rollback` and `remove`: the daemon's binary reads wheels and changes the directory of
//! runtimes, the daemon takes over what is current. In reading order: this (which verb), `scene` (what there is before), `change`
//! (one becomes current, or everything is as before), `settle` (whether the daemon serves with it).

mod change;
mod scene;
mod settle;

use edge_wire::runtime::{Installed, InstalledRuntime, Removed, RuntimeChange, Runtimes};

use self::change::Came;
use self::scene::Scene;
use crate::cli::{BackArgs, Common, RuntimeCommand, TakenArgs, WheelArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json};

pub async fn run(common: &Common, command: &RuntimeCommand) -> Result<Answer, Failure> {
    match command {
        RuntimeCommand::List(args) => {
            let scene = Scene::look(common, args.config.as_deref()).await?;
            let runtimes = &scene.runtimes;
            let serving = scene.status.as_ref().map(|status| status.engine.clone());
            let text = match common.json {
                true => json::record(runtimes),
                false => human::runtime::list(runtimes, serving.as_ref()),
            };
            Ok(Answer::done(text))
        }
        RuntimeCommand::Install(args) => install(common, args).await,
        RuntimeCommand::Rollback(args) => rollback(common, args).await,
        RuntimeCommand::Remove(args) => remove(common, args).await,
    }
}

async fn install(common: &Common, args: &WheelArgs) -> Result<Answer, Failure> {
    let scene = Scene::look(common, args.config.config.as_deref()).await?;
    let held = scene.hold()?;
    if !args.no_switch {
        scene.follows_the_link()?;
    }
    out::progress(&format!("checking {}", args.wheel.display()));
    let mut words = scene.words("install", args.wheel.as_os_str());
    if args.no_switch {
        words.flag("--only-check");
    }
    let (Installed { runtime, fresh, remarks }, _): (Installed, bool) = words.ask().await?;
    let mut change = about(&runtime, remarks);
    if args.no_switch {
        change.outcome = "checked".into();
        change.current = scene.current();
        return Ok(told(common, &change));
    }
    let target = scene.target(&runtime.id);
    let previous = scene.current();
    if previous == runtime.id {
        change.outcome = "already_current".into();
        change.current.clone_from(&previous);
        if scene.serves(&target) {
            change.serving = scene.serving();
            return Ok(told(common, &change));
        }
    }
    let came = match previous == runtime.id {
        true => change::take_over(&scene, &target).await?,
        false => change::switch(&scene, &target, &previous).await?,
    };
    if matches!(came, Came::TakenBack { .. }) && fresh {
        // It lies there for nobody; whoever wants to look at it has the wheel.
        let (removed, _): (Removed, bool) = scene.words("remove", runtime.id.as_ref()).ask().await?;
        change.removed.extend(removed.removed);
        change.remarks.extend(removed.faults);
    }
    put(&mut change, came, "installed");
    if change.outcome == "installed" {
        let (removed, _): (Removed, bool) = scene.bare("prune").ask().await?;
        change.removed.extend(removed.removed);
        change.remarks.extend(removed.faults);
    }
    drop(held);
    Ok(told(common, &change))
}

async fn rollback(common: &Common, args: &BackArgs) -> Result<Answer, Failure> {
    let scene = Scene::look(common, args.config.config.as_deref()).await?;
    let held = scene.hold()?;
    scene.follows_the_link()?;
    let current = scene.current();
    let to = if args.package { String::new() } else { scene.previous() };
    if to == current {
        let what = "the package's runtime is the current one, and no other was before it: `edgectl runtime list`";
        return Err(Failure::local(what));
    }
    if to.is_empty() && scene.runtimes.otherwise.is_empty() {
        return Err(Failure::local("there is no package's runtime on this box to go back to: nothing was changed"));
    }
    let came = change::switch(&scene, &scene.target(&to), &current).await?;
    let known = scene.runtimes.installed.iter().find(|runtime| runtime.id == to).cloned();
    let mut change = about(&known.unwrap_or_default(), Vec::new());
    put(&mut change, came, "rolled_back");
    drop(held);
    Ok(told(common, &change))
}

async fn remove(common: &Common, args: &TakenArgs) -> Result<Answer, Failure> {
    let scene = Scene::look(common, args.config.config.as_deref()).await?;
    let held = scene.hold()?;
    let (removed, _): (Removed, bool) = scene.words("remove", args.id.as_ref()).ask().await?;
    drop(held);
    let change = RuntimeChange {
        outcome: "removed".into(),
        id: args.id.clone(),
        current: scene.current(),
        serving: scene.serving(),
        removed: removed.removed,
        remarks: removed.faults,
        ..RuntimeChange::default()
    };
    Ok(told(common, &change))
}

fn about(runtime: &InstalledRuntime, remarks: Vec<String>) -> RuntimeChange {
    RuntimeChange {
        id: runtime.id.clone(),
        version: runtime.version.clone(),
        providers: runtime.providers.clone(),
        remarks,
        ..RuntimeChange::default()
    }
}

/// What came of a switch, which is `done` if it went well.
fn put(change: &mut RuntimeChange, came: Came, done: &str) {
    match came {
        Came::Serves { serving, models, remarks } => {
            (change.serving, change.models_ready) = (serving, models);
            change.remarks.extend(remarks);
        }
        Came::Later { why } => change.remarks.push(format!("it takes effect at the next start of edged: {why}")),
        Came::TakenBack { reason, current, serving, remarks } => {
            (change.reason, change.current, change.serving) = (reason, current, serving);
            change.remarks.extend(remarks);
            change.outcome = "taken_back".into();
            return;
        }
    }
    change.current.clone_from(&change.id);
    if change.outcome.is_empty() {
        change.outcome = done.into();
    }
}

fn told(common: &Common, change: &RuntimeChange) -> Answer {
    let text = if common.json { json::record(change) } else { human::runtime::change(change) };
    Answer::done(text).ending(if change.outcome == "taken_back" { Exit::Refused } else { Exit::Done })
}

/// The name of the current one, or of the one before; empty for the package's.
fn marked(runtimes: &Runtimes, is: fn(&InstalledRuntime) -> bool) -> String {
    runtimes.installed.iter().find(|runtime| is(runtime)).map(|runtime| runtime.id.clone()).unwrap_or_default()
}
