//! One runtime in the place of another: the link, the daemon, and the way back by itself if the daemon does not serve with it.

use std::time::Duration;

use edge_wire::dto::Status;
use edge_wire::runtime::Switched;

use super::scene::Scene;
use super::settle::{Before, Seen, Target};
use crate::client::{Change, Client};
use crate::failure::Failure;
use crate::out;
use crate::render::units;

/// How long models may take to be loaded again. What a provider compiles for minutes is not waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(200);
/// Looks for which the daemon may be away: a minute, longer than the init system waits before it starts it again.
const LOOKS_AWAY: u32 = 300;

/// What came of a switch.
#[derive(Debug)]
pub enum Came {
    /// The daemon serves with it.
    Serves { serving: String, models: Vec<String>, remarks: Vec<String> },
    /// No daemon uses a runtime now.
    Later { why: String },
    /// Everything is as before.
    TakenBack { reason: String, current: String, serving: String, remarks: Vec<String> },
}

/// Makes `target` the current one and `previous` the one before, and has the daemon take it over; if that fails, everything is made
/// as it was.
pub async fn switch(scene: &Scene, target: &Target, previous: &str) -> Result<Came, Failure> {
    let was = lead(scene, target.id(), previous).await?;
    let (client, status) = match runs(scene) {
        Ok(runs) => runs,
        Err(why) => return Ok(Came::Later { why }),
    };
    let before = Before::of(status, target);
    let reason = match taken_over(client, target, &before).await {
        Ok((serving, models, remarks)) => return Ok(Came::Serves { serving, models, remarks }),
        Err(reason) => reason,
    };
    if before.broken {
        // There is nothing to go back to.
        return Err(Failure::local(format!(
            "{reason}; {} is current all the same, as the one before could not be used",
            target.named()
        )));
    }
    out::progress(&format!("{reason}; taking {} back", target.named()));
    let lost = |failure: Failure| {
        Failure::local(format!(
            "{reason}; and it could not be taken back: {}: `edgectl runtime list` shows what is current",
            failure.message()
        ))
    };
    lead(scene, &was.was_current, &was.was_previous).await.map_err(lost)?;
    let back = scene.target(&was.was_current);
    // The daemon may have gone away; then there is nothing of it to wait for, and its next start finds the link as it was.
    let before = match client.status().await {
        Ok(status) => before.again(&status, &back),
        Err(_) => before,
    };
    let (serving, remarks) = match taken_over(client, &back, &before).await {
        Ok((serving, _, remarks)) => (serving, remarks),
        Err(why) => (String::new(), vec![format!("edged does not serve with {} either: {why}", back.named())]),
    };
    Ok(Came::TakenBack { reason, current: was.was_current, serving, remarks })
}

/// Has the daemon take over what is the current one already.
pub async fn take_over(scene: &Scene, target: &Target) -> Result<Came, Failure> {
    let (client, status) = match runs(scene) {
        Ok(runs) => runs,
        Err(why) => return Ok(Came::Later { why }),
    };
    let (serving, models, remarks) =
        taken_over(client, target, &Before::of(status, target)).await.map_err(Failure::local)?;
    Ok(Came::Serves { serving, models, remarks })
}

/// The daemon that uses a runtime, or why there is none.
fn runs(scene: &Scene) -> Result<(&Client, &Status), String> {
    match (&scene.client, &scene.status) {
        (Some(_), Some(status)) if status.simulated => Err("the one that runs only simulates".into()),
        (Some(client), Some(status)) => Ok((client, status)),
        _ => Err(format!("none runs on the {} bus", scene.bus)),
    }
}

async fn lead(scene: &Scene, to: &str, previous: &str) -> Result<Switched, Failure> {
    let mut words = scene.words("switch", to.as_ref());
    words.option("--previous", Some(previous));
    Ok(words.ask::<Switched>().await?.0)
}

/// The version that serves, models that are ready, and remarks; or why the daemon does not serve with it.
type Settled = Result<(String, Vec<String>, Vec<String>), String>;

/// Has the daemon look for its library again, and waits until it serves with this one.
async fn taken_over(client: &Client, target: &Target, before: &Before) -> Settled {
    client.change(Change::Reload).await.map_err(|failure| format!("edged does not reload: {}", failure.message()))?;
    let limit = client.limit().unwrap_or(PATIENCE);
    let mut awaited = String::new();
    let settled = tokio::time::timeout(limit, settled(client, target, before, &mut awaited)).await;
    settled.unwrap_or_else(|_| Err(format!("after {} {awaited}", units::duration(limit))))
}

/// Asks until it serves, or will not; what is waited for.
async fn settled(client: &Client, target: &Target, before: &Before, awaited: &mut String) -> Settled {
    let mut away = 0;
    loop {
        match client.status().await {
            Ok(now) => {
                away = 0;
                match before.look(target, &now) {
                    Seen::Serves { models, remarks } => return Ok((now.engine.version, models, remarks)),
                    Seen::Failed(why) => return Err(why),
                    Seen::Waits(why) if why == *awaited => {}
                    Seen::Waits(why) => {
                        out::progress(&why);
                        *awaited = why;
                    }
                }
            }
            Err(failure) if away >= LOOKS_AWAY => return Err(format!("edged has gone away: {}", failure.message())),
            Err(_) => away += 1,
        }
        tokio::time::sleep(LOOK).await;
    }
}
