//! How the box and its broker trust each other: TLS versions, pinned keys, certificates that end. Each test has its own stack.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use edge_tests::broker::tls_lines;
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::Protocol;
use edge_tests::client::routes::{Example, Route, Routes};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::Daemon;
use edge_tests::runner::block_on;
use edge_tests::secrets::{Pair, Secrets, ending, pin};
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::{MqttStatus, Status};

const MODEL: &str = "add";
/// Long enough for a daemon to start and connect.
const SOON: i64 = 15;

/// A stack whose broker has a second port with TLS and this certificate; the daemon is not started.
fn with_tls(more: &str, server: impl FnOnce(&Path, &Secrets) -> Result<Pair>) -> Result<(Stack, Secrets, Pair, u16)> {
    let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
    let dir = stack.dir().join("secrets");
    let secrets = Secrets::make(&dir)?;
    let server = server(&dir, &secrets)?;
    let lines = tls_lines(&secrets.authority, &server) + "allow_anonymous true\n" + more;
    let port = stack.broker_mut()?.listen_too(&lines)?;
    Ok((stack, secrets, server, port))
}

fn settings(host: &str, port: u16, tls: &str) -> String {
    format!("[mqtt]\nhost = \"{host}\"\nport = {port}\n[mqtt.tls]\n{tls}\n")
}

fn ca(secrets: &Secrets) -> String {
    format!("ca = \"{}\"", secrets.authority.certificate.display())
}

/// Waits until the daemon says this; an error shows what it says instead.
async fn says(client: &BusClient, what: &str, is_so: impl Fn(&Status) -> bool) -> Result<Status> {
    let look = async || Ok(Some(client.status().await?).filter(|status| is_so(status)));
    let found = eventually(what, PATIENCE * 2, look).await;
    let now = client.status().await?;
    found.with_context(|| format!("it says {:?} {:?}", now.mqtt, now.problems))
}

/// Starts the daemon and waits until it is connected.
async fn connects(stack: &mut Stack, settings: String) -> Result<MqttStatus> {
    stack.launch.overlay = settings;
    stack.start_daemon().await?;
    Ok(stack.status().await?.mqtt)
}

/// Starts the daemon and waits until it says why it is not connected, and what to do.
async fn is_kept_out(stack: &mut Stack, settings: String, reason: &str, remedy: &str) -> Result<()> {
    stack.launch.overlay = settings;
    stack.daemon = None;
    stack.daemon = Some(Daemon::start(&stack.launch).await?);
    let client = stack.client().await?;
    says(&client, reason, |status| {
        let told = status.problems.iter().any(|one| one.subject == "broker" && one.remedy.contains(remedy));
        status.mqtt.reason.contains(reason) && told
    })
    .await
    .map(drop)
}

#[test]
fn either_version_of_tls_is_spoken_and_told_with_its_cipher_and_the_ends_of_certificates() -> Result<()> {
    block_on(async {
        let (mut stack, secrets, server, port) = with_tls("", |_, secrets| Ok(secrets.server.clone()))?;
        for (most, version, cipher) in [("TLSv1.2", "1.2", "TLS_ECDHE_ECDSA_"), ("TLSv1.3", "1.3", "TLS13_")] {
            let broker = stack.broker_mut()?;
            broker.speak_up_to(most)?;
            broker.stop()?;
            broker.start_again()?;
            let client = format!(
                "{}\nclient_cert = \"{}\"\nclient_key = \"{}\"",
                ca(&secrets),
                secrets.client.certificate.display(),
                secrets.client.key.display()
            );
            let mqtt = connects(&mut stack, settings("localhost", port, &client)).await?;
            let tls = mqtt.tls.context("no TLS is told")?;
            ensure!(tls.version == version && tls.cipher.starts_with(cipher), "{tls:?}");
            ensure!(tls.pin == pin(&server.certificate)?, "{tls:?}");
            let of: Vec<&str> = mqtt.certificates.iter().map(|one| one.of.as_str()).collect();
            ensure!(of == ["authority", "client", "broker"], "{of:?}");
            ensure!(mqtt.certificates.iter().all(|one| one.not_after.starts_with("20")), "{:?}", mqtt.certificates);
            let good = Example::from(&stack, MODEL).await?;
            Routes::open(&stack).await?.serves(Route::Json5, &good).await?;
        }
        Ok(())
    })?
}

#[test]
fn a_pinned_key_is_asked_for_besides_the_authority_or_instead_of_one() -> Result<()> {
    block_on(async {
        let (mut stack, secrets, server, port) = with_tls("", |_, secrets| Ok(secrets.server.clone()))?;
        let (right, wrong) = (pin(&server.certificate)?, pin(&secrets.client.certificate)?);
        let with = |pins: &str| format!("{}\npin = [{pins}]", ca(&secrets));
        let both = with(&format!("\"{wrong}\", \"{right}\""));
        connects(&mut stack, settings("localhost", port, &both)).await?;
        // The key alone: by an address that is not in the certificate, without the authority.
        connects(&mut stack, settings("127.0.0.1", port, &format!("pin = [\"{right}\"]"))).await?;
        for settings in [
            settings("localhost", port, &with(&format!("\"{wrong}\""))),
            settings("localhost", port, &format!("pin = [\"{wrong}\"]")),
        ] {
            let found = format!("is {right}, which is not among `mqtt.tls.pin`");
            is_kept_out(&mut stack, settings, &found, "`mqtt.tls.pin`").await?;
        }
        // A pin does not stand in for the chain where there is an authority.
        let strangers = Secrets::make(&stack.dir().join("strangers"))?;
        let foreign = settings("localhost", port, &format!("{}\npin = [\"{right}\"]", ca(&strangers)));
        is_kept_out(&mut stack, foreign, "invalid peer certificate", "`mqtt.tls.ca`").await
    })?
}

#[test]
fn a_brokers_certificate_that_ends_while_connected_is_told_and_keeps_the_next_connection_out() -> Result<()> {
    block_on(async {
        let short = |dir: &Path, secrets: &Secrets| ending(dir, &secrets.authority, "short", SOON);
        let (mut stack, secrets, _, port) = with_tls("", short)?;
        connects(&mut stack, settings("localhost", port, &ca(&secrets))).await?;
        let client = stack.client().await?;
        let ended = |status: &Status| status.problems.iter().any(|one| one.subject == "certificate of the broker");
        ensure!(!ended(&client.status().await?), "it has not ended yet");
        let status = says(&client, "it has ended", ended).await?;
        ensure!(status.mqtt.state == "connected" && status.mqtt.connects == 1, "{:?}", status.mqtt);
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Json5, &good).await?;

        let broker = stack.broker_mut()?;
        broker.stop()?;
        broker.start_again()?;
        says(&client, "kept out", |status| status.mqtt.reason.contains("certificate expired")).await?;
        let remedy = "renew the broker's certificate";
        says(&client, remedy, |status| status.problems.iter().any(|one| one.remedy.contains(remedy))).await?;
        let lines = tls_lines(&secrets.authority, &secrets.server) + "allow_anonymous true\n";
        stack.broker_mut()?.listen_too(&lines)?;
        let status = says(&client, "let in again", |status| status.mqtt.state == "connected").await?;
        ensure!(!ended(&status), "{:?}", status.problems);
        Ok(())
    })?
}

#[test]
fn a_renewed_client_certificate_is_taken_before_and_after_the_old_one_ends() -> Result<()> {
    block_on(async {
        let whose = "require_certificate true\n";
        let (mut stack, secrets, _, port) = with_tls(whose, |_, secrets| Ok(secrets.server.clone()))?;
        let dir = stack.dir().join("secrets");
        let mine = Pair { certificate: dir.join("mine.pem"), key: dir.join("mine.key") };
        let put = |pair: &Pair| -> Result<()> {
            fs::copy(&pair.key, &mine.key)?;
            fs::copy(&pair.certificate, &mine.certificate)?;
            Ok(())
        };
        put(&ending(&dir, &secrets.authority, "first", 3600)?)?;
        let client_lines = format!(
            "{}\nclient_cert = \"{}\"\nclient_key = \"{}\"",
            ca(&secrets),
            mine.certificate.display(),
            mine.key.display()
        );
        connects(&mut stack, settings("localhost", port, &client_lines)).await?;
        let client = stack.client().await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe(&format!("edge/{}/available", edge_tests::daemon::NODE)).await?;

        // It ends soon enough to be looked after: the new one is taken while the old one holds.
        put(&ending(&dir, &secrets.authority, "second", SOON)?)?;
        let status = says(&client, "connected with the second", |status| {
            status.mqtt.state == "connected" && status.mqtt.connects == 2
        })
        .await?;
        ensure!(status.mqtt.last_error.is_empty(), "a change is no fault: {:?}", status.mqtt);
        let lost = device.take_all(|message| message.payload == "offline");
        ensure!(lost.is_empty(), "the box never went away: {lost:?}");

        // That one ends; the connection goes on, and the third one is taken.
        let ended = |status: &Status| status.problems.iter().any(|one| one.subject == "certificate of the client");
        says(&client, "it has ended", |status| ended(status) && status.mqtt.state == "connected").await?;
        put(&ending(&dir, &secrets.authority, "third", 3600)?)?;
        says(&client, "connected with the third", |status| {
            status.mqtt.state == "connected" && status.mqtt.connects == 3 && !ended(status)
        })
        .await
        .map(drop)
    })?
}

#[test]
fn a_client_certificate_that_had_ended_is_named_by_the_broker_and_replaced_without_a_restart() -> Result<()> {
    block_on(async {
        let whose = "require_certificate true\n";
        let (mut stack, secrets, _, port) = with_tls(whose, |_, secrets| Ok(secrets.server.clone()))?;
        let dir = stack.dir().join("secrets");
        let old = ending(&dir, &secrets.authority, "old", -3600)?;
        let lines = format!(
            "{}\nclient_cert = \"{}\"\nclient_key = \"{}\"",
            ca(&secrets),
            old.certificate.display(),
            old.key.display()
        );
        is_kept_out(&mut stack, settings("localhost", port, &lines), "CertificateExpired", "`mqtt.tls.client_cert`")
            .await?;
        let client = stack.client().await?;
        let named = |status: &Status| status.problems.iter().any(|one| one.subject == "certificate of the client");
        says(&client, "the daemon knows it by itself", named).await?;
        let new = ending(&dir, &secrets.authority, "new", 3600)?;
        fs::copy(&new.key, &old.key)?;
        fs::copy(&new.certificate, &old.certificate)?;
        stack.connected().await
    })?
}
