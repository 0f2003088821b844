//! Whom TLS trusts, and who this box is to those who ask.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// Largest PEM file, bytes: all authorities of a distribution are a quarter of a megabyte.
const MOST_PEM: u64 = 4 << 20;

/// Adds the authorities of this box.
pub fn add_system(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    // Some boxes have certificates in their store that nobody can read; what can be read holds.
    let (_, unread) = roots.add_parsable_certificates(found.certs);
    if unread > 0 || !found.errors.is_empty() {
        tracing::warn!(unread, errors = ?found.errors, "some authorities of this box cannot be read");
    }
}

/// Adds those of a PEM file. The error names the file.
pub fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The certificates of a PEM file, at least one. The error names the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let pem = pem(path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if found.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(found) }
}

/// The private key of a PEM file. The error names the file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&pem(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// What is in a PEM file. The error names the file.
fn pem(path: &Path) -> Result<Vec<u8>, String> {
    edge_engine::bundle::read_bytes(path, MOST_PEM).map_err(|error| {
        format!("{}: {error}: takes a regular file of at most {} MiB, PEM", path.display(), MOST_PEM >> 20)
    })
}

/// TLS that trusts these.
pub fn trusting(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("set TLS up: {error}"))?;
    Ok(config.with_root_certificates(roots))
}
