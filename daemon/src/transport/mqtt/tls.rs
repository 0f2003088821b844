//! TLS of the connection: files to a client's configuration, and whether a broker's certificate will do.
//!
//! The chain is verified as the library does it, where there is an authority. A pin is asked for besides. With pins alone the
//! key is all that counts: neither name nor dates of the certificate are looked at, as a broker with a certificate of its own
//! often has neither right.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use edge_wire::dto::MqttTls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use super::certificate::{self, Facts};
use super::dial::DialError;
use super::told::Told;
use crate::config::TlsConfig;

/// What a connection is set up with.
pub struct Setup {
    pub client: Arc<ClientConfig>,
    pub watch: Arc<Watch>,
}

/// Verifies the broker's certificate, and keeps what was seen of it.
#[derive(Debug)]
pub struct Watch {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
    seen: OnceLock<Facts>,
}

impl Watch {
    /// What is known of the broker's certificate, once it was shown.
    pub fn seen(&self) -> Option<Facts> {
        self.seen.get().copied()
    }

    /// The key that the broker showed, if it is none of the pinned ones.
    pub fn strange(&self) -> Option<[u8; 32]> {
        let pin = self.seen()?.pin;
        (!self.pins.is_empty() && !self.pins.contains(&pin)).then_some(pin)
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let facts = certificate::read(end_entity);
        if let Some(facts) = facts {
            self.seen.get_or_init(|| facts);
        }
        if let Some(chain) = &self.chain {
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        let is_pinned = facts.is_some_and(|facts| self.pins.contains(&facts.pin));
        if is_pinned || (self.pins.is_empty() && self.chain.is_some()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Reads the files; what is known of their certificates is told even if they cannot be used.
pub fn set_up(tls: &TlsConfig, told: &mut Told) -> Result<Setup, DialError> {
    told.files = fingerprint(tls);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = tls.ca.as_deref().map(|ca| chain(ca, &provider, told)).transpose()?;
    let watch = Arc::new(Watch { chain, pins: tls.pins.clone(), provider: provider.clone(), seen: OnceLock::new() });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(DialError::Setup)?;
    let verifier = Arc::clone(&watch);
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let Some((certificate, key)) = &tls.client else {
        return Ok(Setup { client: Arc::new(config.with_no_client_auth()), watch });
    };
    let own = certificates(certificate)?;
    if let Some(facts) = own.first().and_then(|leaf| certificate::read(leaf)) {
        told.add("client", Some(certificate), facts);
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| DialError::Pem { path: key.clone(), source })?;
    let config = config.with_client_auth_cert(own, private);
    let client = config.map_err(|source| DialError::Client { path: certificate.clone(), source })?;
    Ok(Setup { client: Arc::new(client), watch })
}

fn chain(ca: &Path, provider: &Arc<CryptoProvider>, told: &mut Told) -> Result<Arc<WebPkiServerVerifier>, DialError> {
    let mut roots = RootCertStore::empty();
    let authorities = certificates(ca)?;
    // Of several the last one to end: while it holds, something can be signed.
    let ends = authorities.iter().filter_map(|authority| certificate::read(authority));
    if let Some(last) = ends.max_by_key(|facts| facts.not_after_s) {
        told.add("authority", Some(ca), last);
    }
    for authority in authorities {
        roots.add(authority).map_err(|source| DialError::Authority { path: ca.to_owned(), source })?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().map_err(|source| DialError::Verifier { path: ca.to_owned(), source })
}

/// Digest of the files of a connection; `None` while one of them cannot be read.
pub fn fingerprint(tls: &TlsConfig) -> Option<[u8; 32]> {
    let client = tls.client.iter().flat_map(|(certificate, key)| [certificate, key]);
    let mut digest = Sha256::new();
    for file in tls.ca.iter().chain(client) {
        let bytes = std::fs::read(file).ok()?;
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    }
    Some(digest.finalize().into())
}

/// Whether a handshake failed because the key is none of the pinned ones.
pub fn is_about_the_key(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    cause == Some(&CertificateError::ApplicationVerificationFailure.into())
}

/// What was agreed on.
pub fn agreed(connection: &ClientConnection, watch: &Watch) -> MqttTls {
    MqttTls {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2".into(),
            Some(ProtocolVersion::TLSv1_3) => "1.3".into(),
            other => other.map_or_else(String::new, |version| format!("{version:?}")),
        },
        cipher: connection.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        pin: watch.seen().map_or_else(String::new, |facts| certificate::pin_text(&facts.pin)),
    }
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
    fn certificates_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, broken) = (dir.path().join("empty.pem"), dir.path().join("broken.pem"));
        std::fs::write(&empty, "nothing here\n").unwrap();
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let with = |ca: &Path| {
            set_up(&TlsConfig { ca: Some(ca.to_owned()), pins: Vec::new(), client: None }, &mut Told::default())
        };
        assert!(matches!(with(&empty), Err(DialError::NoCertificate { .. })));
        assert!(matches!(with(&broken), Err(DialError::Authority { .. })));
        assert!(matches!(with(&dir.path().join("missing")), Err(DialError::Pem { .. })));
    }

    #[test]
    fn a_renewed_file_has_another_fingerprint_and_a_missing_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let tls = TlsConfig { ca: Some(ca.clone()), pins: Vec::new(), client: None };
        assert_eq!(fingerprint(&tls), None);
        std::fs::write(&ca, "old").unwrap();
        let old = fingerprint(&tls);
        assert!(old.is_some() && old == fingerprint(&tls));
        std::fs::write(&ca, "new").unwrap();
        assert_ne!(old, fingerprint(&tls));
    }
}
