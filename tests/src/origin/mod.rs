//! A small web server on the loopback that bundles are pulled from, and that fails as it is told: by TLS on one port, and on
//! another one plain, where it is a proxy to itself as well. It is a registry if what it serves says so.

pub mod bundles;
pub mod certificates;
mod http;
pub mod registry;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::secrets::Pair;

/// What one answer does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status instead, with this header.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    Cut(u64),
    /// Nothing more comes after so many bytes of the body.
    Stall(u64),
    /// So many bytes more are announced than there are.
    Longer(u64),
    /// So many bytes less.
    Shorter(u64),
    /// Nothing is announced at all.
    Unannounced,
    /// It is sent on to this address.
    Redirect(String),
}

/// What is served.
#[derive(Clone, Debug)]
pub enum Body {
    File(PathBuf),
    Text(String),
}

/// Something that is served at a path.
#[derive(Clone, Debug)]
pub struct Served {
    pub body: Body,
    /// Its strong tag.
    pub tag: String,
    /// Parts of it can be asked for.
    pub ranges: bool,
    /// What has to be shown to get it, and what is said to those who do not.
    pub guard: Option<(String, String)>,
    /// What the next answers do wrong, one each.
    pub faults: VecDeque<Fault>,
    /// What every answer after those does wrong.
    pub always: Option<Fault>,
}

impl Served {
    /// A file that is served well.
    pub fn file(path: &Path) -> Served {
        Served::new(Body::File(path.to_owned()))
    }

    /// A text that is served well.
    pub fn text(text: &str) -> Served {
        Served::new(Body::Text(text.to_owned()))
    }

    fn new(body: Body) -> Served {
        Served { body, tag: "\"one\"".into(), ranges: true, guard: None, faults: VecDeque::new(), always: None }
    }

    /// The next answers do this wrong.
    pub fn failing(mut self, faults: impl IntoIterator<Item = Fault>) -> Served {
        self.faults.extend(faults);
        self
    }

    /// Every answer does this wrong.
    pub fn always(mut self, fault: Fault) -> Served {
        self.always = Some(fault);
        self
    }

    /// Only those who show this get it.
    pub fn guarded(mut self, shown: &str, otherwise: &str) -> Served {
        self.guard = Some((shown.to_owned(), otherwise.to_owned()));
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// What the server does, and what it was asked.
#[derive(Debug, Default)]
pub struct Script {
    pub served: BTreeMap<String, Served>,
    pub asked: Vec<Asked>,
    /// Bytes of bodies that were sent.
    pub sent: u64,
}

/// A running server. It ends with this process.
#[derive(Clone, Debug)]
pub struct Origin {
    /// By TLS.
    pub port: u16,
    /// Plain, and the proxy.
    pub plain: u16,
    script: Arc<Mutex<Script>>,
}

impl Origin {
    /// Starts it with this certificate.
    pub fn start(pair: &Pair) -> Result<Origin> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(pair)?));
        let listen = || -> Result<std::net::TcpListener> {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let (secure, plain) = (listen()?, listen()?);
        let script = Arc::new(Mutex::new(Script::default()));
        let origin = Origin {
            port: secure.local_addr()?.port(),
            plain: plain.local_addr()?.port(),
            script: Arc::clone(&script),
        };
        std::thread::Builder::new().name("origin".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let (Ok(secure), Ok(plain)) = (TcpListener::from_std(secure), TcpListener::from_std(plain)) else {
                    return;
                };
                loop {
                    let (stream, by_tls) = tokio::select! {
                        accepted = secure.accept() => (accepted, true),
                        accepted = plain.accept() => (accepted, false),
                    };
                    let Ok((stream, _)) = stream else { return };
                    tokio::spawn(http::serve(stream, by_tls, acceptor.clone(), Arc::clone(&script)));
                }
            });
        })?;
        Ok(origin)
    }

    /// Serves something at a path, instead of what was there.
    pub fn serve(&self, path: &str, served: Served) {
        self.with(|script| script.served.insert(path.to_owned(), served));
    }

    /// Changes what is served at a path.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Served)) {
        self.with(|script| script.served.get_mut(path).map(change));
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// The address without TLS.
    pub fn plain_url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.plain)
    }

    /// What it was asked since the last time, and the bytes that it sent.
    pub fn take(&self) -> (Vec<Asked>, u64) {
        self.with(|script| (std::mem::take(&mut script.asked), std::mem::take(&mut script.sent)))
    }

    /// How often it was asked for a path.
    pub fn count(&self, path: &str) -> usize {
        self.with(|script| script.asked.iter().filter(|asked| asked.path == path).count())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        // A test that failed while it held this has said so itself.
        let mut script = self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut script)
    }
}

pub(crate) fn tls(pair: &Pair) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&pair.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&pair.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_single_cert(chain, key)?)
}
