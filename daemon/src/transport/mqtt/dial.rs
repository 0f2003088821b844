//! From the configuration to a byte stream: name, address, TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
    tls: Option<Arc<ClientConfig>>,
}

/// Connects; gives the password too.
pub async fn dial(config: &MqttConfig) -> Result<(Stream, Option<String>), DialError> {
    let (tls, password_file) = (config.tls.clone(), config.password_file.clone());
    let read = tokio::task::spawn_blocking(move || secrets(tls.as_ref(), password_file.as_deref()));
    let secrets = read.await.map_err(|_| DialError::Stopped)??;
    let (host, port) = (config.host.clone(), config.port);
    let tcp = TcpStream::connect((host.as_str(), port)).await;
    let tcp = tcp.map_err(|source| DialError::Tcp { host: host.clone(), port, source })?;
    // Small packets must not wait for company: a reply is awaited.
    tcp.set_nodelay(true).map_err(|source| DialError::Tcp { host: host.clone(), port, source })?;
    let Some(tls) = secrets.tls else { return Ok((Stream::Plain(tcp), secrets.password)) };
    let name = ServerName::try_from(host.clone()).map_err(|source| DialError::Name { host: host.clone(), source })?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await;
    let stream = stream.map_err(|source| DialError::Tls { host, port, source })?;
    Ok((Stream::Tls(Box::new(stream)), secrets.password))
}

fn secrets(tls: Option<&TlsConfig>, password_file: Option<&Path>) -> Result<Secrets, DialError> {
    let password = password_file.map(|path| {
        let text = std::fs::read_to_string(path);
        // Files of secrets often end with a line break that is no part of them.
        text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|source| DialError::Password { path: path.to_owned(), source })
    });
    Ok(Secrets { password: password.transpose()?, tls: tls.map(client_config).transpose()?.map(Arc::new) })
}

fn client_config(tls: &TlsConfig) -> Result<ClientConfig, DialError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|source| DialError::Authority { path: tls.ca.clone(), source })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(DialError::Setup)?.with_root_certificates(roots);
    let Some((certificate, key)) = &tls.client else { return Ok(config.with_no_client_auth()) };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| DialError::Pem { path: key.clone(), source })?;
    let config = config.with_client_auth_cert(certificates(certificate)?, private);
    config.map_err(|source| DialError::Client { path: certificate.clone(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let wrong = |source| DialError::Pem { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if found.is_empty() { Err(DialError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_loses_its_line_break_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "se cret\r\n").unwrap();
        assert_eq!(secrets(None, Some(&path)).unwrap().password.as_deref(), Some("se cret"));
        let missing = dir.path().join("missing");
        let Err(error) = secrets(None, Some(&missing)) else { panic!("read") };
        assert!(error.to_string().contains("missing"));
    }

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, broken) = (dir.path().join("empty.pem"), dir.path().join("broken.pem"));
        std::fs::write(&empty, "nothing here\n").unwrap();
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let with = |ca: &Path| client_config(&TlsConfig { ca: ca.to_owned(), client: None });
        assert!(matches!(with(&empty), Err(DialError::NoCertificate { .. })));
        assert!(matches!(with(&broken), Err(DialError::Authority { .. })));
        assert!(matches!(with(&dir.path().join("missing")), Err(DialError::Pem { .. })));
    }
}
