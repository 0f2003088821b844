//! From the configuration to a byte stream: name, address, TLS.

use std::path::{Path, PathBuf};

use rustls::client::VerifierBuilderError;
use rustls::pki_types::{InvalidDnsNameError, ServerName, pem};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::pin_text;
use super::tls;
use super::told::Told;
use crate::config::{MqttConfig, TlsConfig};

/// A connection to the broker, before MQTT is spoken on it.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("connect to {host}:{port}")]
    Tcp { host: String, port: u16, source: std::io::Error },
    #[error("speak TLS with {host}:{port}")]
    Tls { host: String, port: u16, source: std::io::Error },
    #[error("{host} is no name that a certificate can be for")]
    Name { host: String, source: InvalidDnsNameError },
    #[error("read {path}")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("use the certificate authority in {path}")]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("verify with the certificate authority in {path}")]
    Verifier { path: PathBuf, source: VerifierBuilderError },
    #[error("the key of {host}:{port} is {found}, which is not among `mqtt.tls.pin`")]
    Pin { host: String, port: u16, found: String },
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
    #[error("use the client certificate {path} with its key")]
    Client { path: PathBuf, source: rustls::Error },
    #[error("read the password in {path}")]
    Password { path: PathBuf, source: std::io::Error },
    #[error("read the files of the connection")]
    Stopped,
}

/// What is read from files for every attempt, so that renewed certificates and passwords are taken without a restart.
struct Secrets {
    password: Option<String>,
    tls: Option<tls::Setup>,
}

/// Connects; gives the password too. What becomes known of the connection is told, also of one that fails.
pub async fn dial(config: &MqttConfig, told: &watch::Sender<Told>) -> Result<(Stream, Option<String>), DialError> {
    let (tls, password_file) = (config.tls.clone(), config.password_file.clone());
    let read = tokio::task::spawn_blocking(move || {
        let mut known = Told::default();
        let secrets = secrets(tls.as_ref(), password_file.as_deref(), &mut known);
        (secrets, known)
    });
    let (secrets, known) = read.await.map_err(|_| DialError::Stopped)?;
    told.send_replace(known);
    let secrets = secrets?;
    let (host, port) = (config.host.clone(), config.port);
    let failed = |source| DialError::Tcp { host: host.clone(), port, source };
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
    // Small packets must not wait for company: a reply is awaited.
    tcp.set_nodelay(true).map_err(failed)?;
    // What nobody acknowledges is given up by the kernel too, should the pings not have told before.
    let unheard = u32::try_from(config.keep_alive.as_millis() * 3 / 2).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&tcp, unheard).map_err(|errno| failed(errno.into()))?;
    let Some(setup) = secrets.tls else { return Ok((Stream::Plain(tcp), secrets.password)) };
    let name = ServerName::try_from(host.clone()).map_err(|source| DialError::Name { host: host.clone(), source })?;
    let stream = TlsConnector::from(setup.client).connect(name, tcp).await;
    if let Some(facts) = setup.watch.seen() {
        told.send_modify(|told| told.add("broker", None, facts));
    }
    let stream = stream.map_err(|source| match setup.watch.strange() {
        // The chain is verified before the key is looked at, and says more.
        Some(found) if tls::is_about_the_key(&source) => {
            DialError::Pin { host: host.clone(), port, found: pin_text(&found) }
        }
        _ => DialError::Tls { host: host.clone(), port, source },
    })?;
    told.send_modify(|told| told.tls = Some(tls::agreed(stream.get_ref().1, &setup.watch)));
    Ok((Stream::Tls(Box::new(stream)), secrets.password))
}

fn secrets(tls: Option<&TlsConfig>, password_file: Option<&Path>, told: &mut Told) -> Result<Secrets, DialError> {
    let tls = tls.map(|tls| tls::set_up(tls, told)).transpose()?;
    let password = password_file.map(|path| {
        let text = std::fs::read_to_string(path);
        // Files of secrets often end with a line break that is no part of them.
        text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|source| DialError::Password { path: path.to_owned(), source })
    });
    Ok(Secrets { password: password.transpose()?, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_loses_its_line_break_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "se cret\r\n").unwrap();
        assert_eq!(secrets(None, Some(&path), &mut Told::default()).unwrap().password.as_deref(), Some("se cret"));
        let missing = dir.path().join("missing");
        let Err(error) = secrets(None, Some(&missing), &mut Told::default()) else { panic!("read") };
        assert!(error.to_string().contains("missing"));
    }
}
