//! A broker that takes only whom it knows: TLS with the plant's authority, client certificates, user and password.

use std::fs;

use anyhow::{Context, Result, ensure};
use edge_tests::client::mqtt::Protocol;
use edge_tests::client::routes::{Example, Route, Routes};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::runner::block_on;
use edge_tests::secrets::{Secrets, USER, keep};
use edge_tests::stack::{Setup, Stack};

/// Settings of the connection, as an operator writes them.
struct Settings {
    host: &'static str,
    port: u16,
    protocol: Protocol,
    password: std::path::PathBuf,
    authority: std::path::PathBuf,
    client: Option<edge_tests::secrets::Pair>,
}

impl Settings {
    fn text(&self) -> String {
        let mut text = format!(
            "[mqtt]\nhost = \"{}\"\nport = {}\nprotocol = \"{}\"\nusername = \"{}\"\npassword_file = \"{}\"\n\
             [mqtt.tls]\nca = \"{}\"\n",
            self.host,
            self.port,
            self.protocol.word(),
            USER.0,
            self.password.display(),
            self.authority.display(),
        );
        if let Some(pair) = &self.client {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            text.push_str(&format!("client_cert = \"{certificate}\"\nclient_key = \"{key}\"\n"));
        }
        text
    }
}

/// A stack whose broker is guarded, with the settings that fit; the daemon is not started.
fn guarded() -> Result<(Stack, Secrets, Settings)> {
    let mut stack = Setup::new().prepare()?;
    let secrets = Secrets::make(&stack.dir().join("secrets"))?;
    let port = stack.broker_mut()?.guard(secrets.clone())?;
    let password = stack.dir().join("password");
    keep(&password, &format!("{}\n", USER.1))?;
    let settings = Settings {
        host: "localhost",
        port,
        protocol: Protocol::V5,
        password,
        authority: secrets.authority.certificate.clone(),
        client: Some(secrets.client.clone()),
    };
    Ok((stack, secrets, settings))
}

#[test]
fn a_box_with_certificate_and_password_is_let_in_and_serves() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let (mut stack, _, settings) = guarded()?;
            stack.launch.overlay = Settings { protocol, ..settings }.text();
            stack.start_daemon().await.with_context(|| stack.logs())?;
            let mqtt = stack.status().await?.mqtt;
            ensure!(mqtt.state == "connected" && mqtt.protocol == protocol.word(), "{mqtt:?}");
            let good = Example::from(&stack, "add").await?;
            Routes::open(&stack).await?.serves(Route::Json5, &good).await.with_context(|| stack.logs())?;
        }
        Ok(())
    })?
}

/// Starts the daemon with these settings, and waits until it says what is wrong and what to do.
async fn refused(stack: &mut Stack, settings: &Settings, reason: &[&str], remedy: &str) -> Result<()> {
    stack.launch.overlay = settings.text();
    let mut daemon = edge_tests::daemon::Daemon::spawn(&stack.launch)?;
    daemon.wait_ready().await?;
    stack.daemon = Some(daemon);
    let client = stack.client().await?;
    let said = async || {
        let status = client.status().await?;
        let problem = status.problems.iter().find(|problem| problem.subject == "broker");
        let told = problem.is_some_and(|problem| problem.remedy.contains(remedy));
        let known = reason.iter().any(|word| status.mqtt.reason.contains(word));
        Ok((known && told && status.mqtt.state == "connecting").then_some(()))
    };
    let found = eventually(&format!("it says {reason:?} and {remedy}"), PATIENCE, said).await;
    let mqtt = client.status().await?.mqtt;
    found.with_context(|| format!("it says {mqtt:?}"))?;
    stack.daemon_mut()?.terminate().map(drop)
}

#[test]
fn a_connection_that_is_refused_says_why_and_what_to_do() -> Result<()> {
    block_on(async {
        let (mut stack, secrets, settings) = guarded()?;
        let strangers = Secrets::make(&stack.dir().join("strangers"))?;
        let wrong = stack.dir().join("wrong-password");
        keep(&wrong, "guess\n")?;
        let stranger = Settings { authority: strangers.authority.certificate.clone(), ..settings };
        refused(&mut stack, &stranger, &["UnknownIssuer", "BadSignature"], "`mqtt.tls.ca`").await?;
        let settings = Settings { authority: secrets.authority.certificate.clone(), ..stranger };
        let misnamed = Settings { host: "127.0.0.1", ..settings };
        refused(&mut stack, &misnamed, &["not valid for name"], "`mqtt.host`").await?;
        let nameless = Settings { host: "localhost", client: None, ..misnamed };
        refused(&mut stack, &nameless, &["CertificateRequired", "HandshakeFailure"], "`mqtt.tls.client_cert`").await?;
        let foreign = Settings { client: Some(strangers.client), ..nameless };
        refused(&mut stack, &foreign, &["UnknownCA", "DecryptError", "BadCertificate"], "`mqtt.tls.client_cert`")
            .await?;
        let guessing = Settings { client: Some(secrets.client), password: wrong, ..foreign };
        refused(&mut stack, &guessing, &["NotAuthorized", "BadUserNamePassword"], "`mqtt.password_file`").await?;
        let lost = Settings { password: stack.dir().join("nowhere"), ..guessing };
        refused(&mut stack, &lost, &["read the password"], "`mqtt.password_file`").await
    })?
}

#[test]
fn a_renewed_password_is_taken_without_a_restart() -> Result<()> {
    block_on(async {
        let (mut stack, _, settings) = guarded()?;
        fs::write(&settings.password, "last year's\n")?;
        stack.launch.overlay = settings.text();
        let mut daemon = edge_tests::daemon::Daemon::spawn(&stack.launch)?;
        daemon.wait_ready().await?;
        stack.daemon = Some(daemon);
        let client = stack.client().await?;
        let refused = async || Ok(client.status().await?.mqtt.reason.contains("NotAuthorized").then_some(()));
        eventually("the old password is refused", PATIENCE, refused).await?;
        fs::write(&settings.password, USER.1)?;
        stack.connected().await
    })?
}
