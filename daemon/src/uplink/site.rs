//! A site as it is reached: its address, TLS, proxy and limits, and the client that keeps its connections. Decides nothing about
//! when it is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use super::connect::Watch;
use super::error::UplinkError;
use crate::http::{host, proxy, secret, tls};

/// A connection of HTTP/2 that says nothing for so long is asked whether it still lives, or requests that were not answered in
/// time would go on being sent into the void.
const PING: Duration = Duration::from_secs(5);
/// Most of an answer by HTTP/2 that may be on its way unread, bytes: enough for a link of 100 ms and 80 Mbit/s.
const WINDOW: u32 = 1 << 20;

/// What is spoken with a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Open Inference Protocol v2; `binary`: whether the site takes raw tensors behind the JSON.
    Oip { binary: bool },
    /// Chat and completions as OpenAI has them. Without a path in the site's address, `/v1` is added.
    OpenAi,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.1 only.
    One,
    /// What the site prefers, which it can say by TLS (ALPN) alone; 1.1 where there is none.
    #[default]
    Negotiated,
    /// 2, without asking (prior knowledge), with or without TLS.
    Two,
}

/// A certificate with its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a site is and how it is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAddress {
    pub name: Arc<str>,
    pub protocol: Protocol,
    /// `http://` or `https://`, with or without a path; the protocol's paths are put behind it.
    pub url: Url,
    /// PEM file of the only authorities that are trusted; `None` trusts those of the box.
    pub ca: Option<PathBuf>,
    /// Who this box is to a site that asks for certificates.
    pub identity: Option<Identity>,
    /// File of the bearer token, one line; read again when it has changed.
    pub credential: Option<PathBuf>,
    pub proxy: Option<Url>,
    /// File of `USER:PASSWORD` for the proxy, one line.
    pub proxy_credential: Option<PathBuf>,
    /// Hosts that are reached without the proxy, besides those on this box.
    pub no_proxy: Vec<String>,
    pub version: Version,
    /// Within that a connection must be there.
    pub connect: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle: Duration,
    /// Requests at once, at least 1: with HTTP/1.1, connections.
    pub connections: usize,
}

/// A site that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub url: Url,
    pub client: Client,
    /// One for each request that may be under way.
    pub slots: Arc<Semaphore>,
    pub connect: Duration,
    /// The header that says who this box is.
    pub shown: Option<HeaderValue>,
}

impl Reach {
    /// Makes the client: reads the files that the address names.
    pub fn new(address: &SiteAddress) -> Result<Reach, UplinkError> {
        let site = || Arc::clone(&address.name);
        let mut builder = Client::builder()
            .user_agent(concat!("edged/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connector_layer(Watch)
            .connect_timeout(address.connect)
            .pool_idle_timeout(address.idle)
            .pool_max_idle_per_host(address.connections)
            .no_proxy();
        let alpn: &[&[u8]] = match address.version {
            Version::One => &[b"http/1.1"],
            Version::Negotiated => &[b"h2", b"http/1.1"],
            Version::Two => &[b"h2"],
        };
        if address.url.scheme() == "https" || address.proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https") {
            let set = trust(address, alpn);
            let at = host(&address.url);
            builder =
                builder.tls_backend_preconfigured(set.map_err(|cause| UplinkError::Tls { site: site(), at, cause })?);
        } else {
            builder =
                builder.tls_backend_preconfigured(bare(alpn).map_err(|why| UplinkError::Unfit { site: site(), why })?);
        }
        builder = match address.version {
            Version::One => builder.http1_only(),
            Version::Negotiated => builder,
            Version::Two => builder.http2_prior_knowledge(),
        };
        if address.version != Version::One {
            builder = builder
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING)
                .http2_initial_stream_window_size(WINDOW)
                .http2_initial_connection_window_size(WINDOW);
        }
        if let Some(url) = &address.proxy {
            let shown = address.proxy_credential.as_deref().map(basic).transpose();
            let shown = shown.map_err(|cause| UplinkError::Credential { site: site(), cause })?;
            let way = proxy::through(url, &address.no_proxy, shown);
            builder =
                builder.proxy(way.map_err(|why| UplinkError::Unfit { site: site(), why: format!("proxy: {why}") })?);
        }
        let client = builder.build().map_err(|error| UplinkError::Unfit {
            site: site(),
            why: format!("make a client: {}", crate::http::cause::last(&error)),
        })?;
        Ok(Reach {
            name: site(),
            protocol: address.protocol,
            url: address.url.clone(),
            client,
            slots: Arc::new(Semaphore::new(address.connections.max(1))),
            connect: address.connect,
            shown: None,
        })
    }

    /// The address of a path below the site's own; `segments` are escaped.
    pub fn below(&self, segments: &[&str]) -> Result<Url, UplinkError> {
        let mut url = self.url.clone();
        url.set_query(None);
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(segments),
            Err(()) => return Err(self.unfit("its `url` takes http://HOST or https://HOST")),
        };
        Ok(url)
    }

    /// What came is not the protocol.
    pub fn garbage(&self, why: impl Into<String>) -> UplinkError {
        UplinkError::Garbage { site: Arc::clone(&self.name), why: why.into() }
    }

    /// The request cannot go there.
    pub fn unfit(&self, why: impl Into<String>) -> UplinkError {
        UplinkError::Unfit { site: Arc::clone(&self.name), why: why.into() }
    }
}

fn trust(address: &SiteAddress, alpn: &[&[u8]]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &address.ca {
        Some(path) => tls::add_file(&mut roots, path)?,
        None => tls::add_system(&mut roots),
    }
    if roots.is_empty() {
        return Err("this box knows no authority: install the package ca-certificates, or set the site's `ca`".into());
    }
    let builder = tls::trusting(roots)?;
    let mut config = match &address.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = (tls::certificates(&identity.certificate)?, tls::key(&identity.key)?);
            let set = builder.with_client_auth_cert(chain, key);
            set.map_err(|error| format!("{}: {error}", identity.certificate.display()))?
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// For a site without TLS, so that nothing is read that is not needed.
fn bare(alpn: &[&[u8]]) -> Result<ClientConfig, String> {
    let mut config = tls::trusting(RootCertStore::empty())?.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

pub(super) fn basic(path: &Path) -> Result<HeaderValue, String> {
    use base64::Engine as _;
    let line = secret::line(path, "USER:PASSWORD")?;
    if !line.contains(':') {
        return Err(format!("{}: takes one line, USER:PASSWORD", path.display()));
    }
    let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(line));
    secret::header(&header).ok_or_else(|| format!("{}: has characters that no header can have", path.display()))
}
