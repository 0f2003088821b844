//! Certificates made for one test, and servers that show them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use edged::uplink::Identity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const CONFIGURATION: &str = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\n\
    [localhost]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:localhost, DNS:plant.example\n\
    [elsewhere]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:elsewhere.example\n\
    [box]\nbasicConstraints = critical, CA:FALSE\n\
    [ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\npolicy = any\ndefault_md = sha256\n\
    unique_subject = no\n[any]\ncommonName = supplied\n";

/// An authority and what it signed.
pub struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("openssl.cnf"), CONFIGURATION).unwrap();
        fs::write(dir.path().join("index"), "").unwrap();
        fs::write(dir.path().join("serial"), "01\n").unwrap();
        let authority = Authority { dir };
        authority.openssl(&format!(
            "req -x509 {KEY} -days 2 -extensions authority -subj /CN=authority -keyout authority.key -out authority.pem"
        ));
        authority
    }

    /// The file of the authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// A certificate by that section of the configuration, valid now.
    pub fn signed(&self, section: &str) -> Identity {
        self.within(section, "20200101000000Z", "20491231000000Z")
    }

    /// One that was valid in January 2020.
    pub fn expired(&self, section: &str) -> Identity {
        self.within(section, "20200101000000Z", "20200201000000Z")
    }

    fn within(&self, section: &str, from: &str, to: &str) -> Identity {
        self.openssl(&format!("req {KEY} -subj /CN={section} -keyout {section}.key -out {section}.csr"));
        self.openssl(&format!(
            "ca -batch -notext -cert authority.pem -keyfile authority.key -extensions {section} -startdate {from} -enddate {to} \
             -in {section}.csr -out {section}.pem"
        ));
        let path = |end: &str| self.dir.path().join(format!("{section}.{end}"));
        Identity { certificate: path("pem"), key: path("key") }
    }

    fn openssl(&self, arguments: &str) {
        let (verb, rest) = arguments.split_once(' ').unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(self.dir.path()).arg(verb).args(["-config", "openssl.cnf"]).args(rest.split_whitespace());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Accepts TLS, showing this certificate; of clients that of `asks` is asked for, if there is one.
pub fn acceptor(shown: &Identity, asks: Option<&Path>, alpn: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_file(&shown.certificate).unwrap()];
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&shown.key).unwrap()).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config).into()
}

/// A connection with TLS, or none if the other side did not want it.
pub async fn accept(acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    acceptor.accept(stream).await.ok()
}
