//! What a broker's access rules do not permit: to connect, to publish, to subscribe, to leave a last will. Each test has its own
//! stack.

use std::fs;

use anyhow::{Context, Result, ensure};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::Protocol;
use edge_tests::client::routes::{Example, Route, Routes};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::{Daemon, NODE};
use edge_tests::runner::block_on;
use edge_tests::secrets::{Secrets, USER, keep};
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::{Problem, Status};

const MODEL: &str = "add";

/// A stack whose broker knows one user, and these rules for him; the daemon is started.
async fn with_rules(protocol: Protocol, password: &str, rules: &str) -> Result<(Stack, BusClient)> {
    let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
    let secrets = Secrets::make(&stack.dir().join("secrets"))?;
    let file = stack.dir().join("password");
    keep(&file, password)?;
    fs::write(stack.dir().join("rules"), format!("user {}\n{rules}", USER.0))?;
    let lines = format!(
        "allow_anonymous false\npassword_file {}\nacl_file {}\n",
        secrets.password_file.display(),
        stack.dir().join("rules").display()
    );
    let port = stack.broker_mut()?.listen_too(&lines)?;
    stack.launch.overlay = format!(
        "[mqtt]\nport = {port}\nprotocol = \"{}\"\nusername = \"{}\"\npassword_file = \"{}\"\n",
        protocol.word(),
        USER.0,
        file.display()
    );
    stack.daemon = Some(Daemon::start(&stack.launch).await?);
    let client = stack.client().await?;
    Ok((stack, client))
}

/// Waits until the daemon says this; an error shows what it says instead.
async fn says(client: &BusClient, what: &str, is_so: impl Fn(&Status) -> bool) -> Result<Status> {
    let look = async || Ok(Some(client.status().await?).filter(|status| is_so(status)));
    let found = eventually(what, PATIENCE * 2, look).await;
    let now = client.status().await?;
    found.with_context(|| format!("it says {:?} {:?}", now.mqtt, now.problems))
}

fn problem<'a>(status: &'a Status, subject: &str) -> Option<&'a Problem> {
    status.problems.iter().find(|problem| problem.subject == subject)
}

/// Has the broker read changed rules; its connections stay.
fn change_rules(stack: &mut Stack, rules: &str) -> Result<()> {
    fs::write(stack.dir().join("rules"), format!("user {}\n{rules}", USER.0))?;
    stack.broker_mut()?.process.signal(rustix::process::Signal::HUP)
}

#[test]
fn a_wrong_password_is_named_with_its_user_and_asked_about_slowly_until_it_is_corrected() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let (stack, client) = with_rules(protocol, "guess", "topic readwrite #\n").await?;
            let status =
                says(&client, "refused, and who", |status| status.mqtt.reason.contains(&format!("user {:?}", USER.0)))
                    .await?;
            let told = problem(&status, "broker").context("no problem is told")?;
            ensure!(told.remedy.contains("`mqtt.username` and `mqtt.password_file`"), "{told:?}");
            // A second attempt, and no more than that: the first pause is five seconds, give or take a quarter.
            let attempts = |stack: &Stack| {
                let log = stack.broker.as_ref().map(|broker| broker.process.log()).unwrap_or_default();
                log.matches("not authorised").count()
            };
            let second = async || Ok((attempts(&stack) >= 2).then_some(()));
            eventually("it asks again", PATIENCE, second).await.with_context(|| stack.logs())?;
            ensure!(attempts(&stack) == 2, "{} attempts", attempts(&stack));
            fs::write(stack.dir().join("password"), USER.1)?;
            stack.connected().await?;
        }
        Ok(())
    })?
}

#[test]
fn topics_that_the_box_may_not_write_are_named_under_version_5_until_it_may() -> Result<()> {
    block_on(async {
        let some = format!("topic read #\ntopic write edge/{NODE}/available\ntopic write edge/{NODE}/telemetry\n");
        let (mut stack, client) = with_rules(Protocol::V5, USER.1, &some).await?;
        let status = says(&client, "the refused topics", |status| {
            problem(status, "publications")
                .is_some_and(|told| told.what.contains(&format!("edge/{NODE}/models/{MODEL}")))
        })
        .await?;
        let told = problem(&status, "publications").context("none")?;
        ensure!(told.what.contains(&format!("edge/{NODE}/state (NotAuthorized)")), "{told:?}");
        ensure!(!told.what.contains("last will") && told.remedy.contains(USER.0), "{told:?}");
        ensure!(status.mqtt.state == "connected", "{:?}", status.mqtt);
        // The rules are corrected; with the next change of what it says the box notices.
        change_rules(&mut stack, "topic readwrite #\n")?;
        client.call(edge_wire::names::MANAGER, "Drain", &()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
        says(&client, "the state is taken", |status| {
            problem(status, "publications").is_none_or(|told| !told.what.contains(&format!("edge/{NODE}/state")))
        })
        .await
        .map(drop)
    })?
}

/// Rules of the broker's own plug-in, which are the ones that refuse a subscription: those of an `acl_file` take any, and then
/// deliver nothing.
const SUBSCRIBE_SOME: &str = r##"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false},
    "anonymousGroup": "plant", "clients": [],
    "groups": [{"groupname": "plant", "roles": [{"rolename": "box"}], "clients": []}],
    "roles": [{"rolename": "box", "acls": [
        {"acltype": "subscribePattern", "topic": "edge/box/cancel/#", "priority": 0, "allow": true}]}]}"##;

#[test]
fn topics_that_the_box_may_not_read_are_named_under_either_version() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
            let file = stack.dir().join("rules.json");
            fs::write(&file, SUBSCRIBE_SOME)?;
            let lines = format!(
                "allow_anonymous true\nplugin {}\nplugin_opt_config_file {}\n",
                plugin("mosquitto_dynamic_security.so")?,
                file.display()
            );
            let port = stack.broker_mut()?.listen_too(&lines)?;
            stack.launch.overlay = format!("[mqtt]\nport = {port}\nprotocol = \"{}\"\n", protocol.word());
            stack.start_daemon().await?;
            let client = stack.client().await?;
            let status =
                says(&client, "the refused filter", |status| problem(status, "subscriptions").is_some()).await?;
            let told = problem(&status, "subscriptions").context("none")?;
            ensure!(told.what.contains(&format!("edge/{NODE}/infer/+")), "{told:?}");
            ensure!(!told.what.contains("cancel") && told.remedy.contains("access rules"), "{told:?}");
        }
        Ok(())
    })?
}

/// Where a library of mosquitto lies, below the directory of this kind of machine.
fn plugin(name: &str) -> Result<String> {
    let machine = std::env::consts::ARCH;
    let found = fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let places = found.filter(|dir| dir.file_name().is_some_and(|dir| dir.to_string_lossy().starts_with(machine)));
    let path = places.map(|dir| dir.join(name)).find(|path| path.exists());
    Ok(path.with_context(|| format!("mosquitto brought no {name}"))?.display().to_string())
}

#[test]
fn a_last_will_that_is_not_permitted_is_named_under_version_5() -> Result<()> {
    block_on(async {
        let some = format!("topic read #\ntopic write edge/{NODE}/state\ntopic write edge/{NODE}/models/+\n");
        let (_stack, client) = with_rules(Protocol::V5, USER.1, &some).await?;
        let status = says(&client, "the last will", |status| {
            problem(status, "publications").is_some_and(|told| told.what.contains("last will"))
        })
        .await?;
        let told = problem(&status, "publications").context("none")?;
        ensure!(told.what.contains(&format!("edge/{NODE}/available (NotAuthorized)")), "{told:?}");
        ensure!(!told.what.contains("state"), "{told:?}");
        Ok(())
    })?
}

#[test]
fn what_a_3_1_1_broker_throws_away_is_not_known_and_the_box_serves_on() -> Result<()> {
    block_on(async {
        let some = "topic read #\ntopic write edge/replies/#\n";
        let (stack, client) = with_rules(Protocol::V311, USER.1, some).await?;
        stack.connected().await?;
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Json311, &good).await.with_context(|| stack.logs())?;
        let status = client.status().await?;
        ensure!(problem(&status, "publications").is_none(), "{:?}", status.problems);
        Ok(())
    })?
}
