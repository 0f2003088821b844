//! One picture over HTTP: bounded in bytes and time, no redirect followed, and with the login that the server asks for.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::RootCertStore;

use super::digest::{Challenge, Login, answer, best};
use crate::driver::clock::Clock;
use crate::http::{secret, shown, tls};

/// Within that a picture must be there, all of it.
pub const LIMIT: Duration = Duration::from_secs(10);
/// A connection that is not there by then will not be.
const CONNECT: Duration = Duration::from_secs(5);
const TAKES: &str = "USER:PASSWORD";

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Setup(String),
    #[error("ask {url}")]
    Send { url: String, source: reqwest::Error },
    #[error("read from {url}")]
    Read { url: String, source: reqwest::Error },
    #[error("{url} answers {status}{hint}")]
    Status { url: String, status: u16, hint: &'static str },
    #[error("{url} sends more than {most} bytes")]
    Large { url: String, most: u64 },
    #[error("{url} has not sent all of it within {} s", LIMIT.as_secs())]
    Late { url: String },
    #[error("{url} sends nothing")]
    Empty { url: String },
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub bytes: Bytes,
    pub content_type: Option<String>,
}

/// Asks one server. Copies share their connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    http: Client,
    login: Option<Login>,
    /// What the server asked for last, and how often it was answered.
    asked: Option<(Challenge, u32)>,
    clock: Clock,
    most: u64,
}

impl Fetcher {
    /// Reads the files, so that renewed ones hold from the next one on.
    ///
    /// # Errors
    /// That a file cannot be read or is none.
    pub fn new(ca: Option<&Path>, credential: Option<&Path>, clock: Clock, most: u64) -> Result<Fetcher, FetchError> {
        let login = credential.map(login).transpose().map_err(FetchError::Setup)?;
        let mut roots = RootCertStore::empty();
        match ca {
            Some(file) => tls::add_file(&mut roots, file).map_err(FetchError::Setup)?,
            None => tls::add_system(&mut roots),
        }
        let tls = tls::trusting(roots).map_err(FetchError::Setup)?.with_no_client_auth();
        let http = Client::builder()
            .user_agent(concat!("edged/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(1)
            .connect_timeout(CONNECT)
            .no_proxy()
            .build()
            .map_err(|error| FetchError::Setup(format!("make a client: {}", crate::driver::chain(&error))))?;
        Ok(Fetcher { http, login, asked: None, clock, most })
    }

    /// What is there now.
    ///
    /// # Errors
    /// Why there is nothing of use.
    pub async fn get(&mut self, url: &Url) -> Result<Fetched, FetchError> {
        let late = || FetchError::Late { url: shown(url) };
        tokio::time::timeout(LIMIT, self.ask(url)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask(&mut self, url: &Url) -> Result<Fetched, FetchError> {
        let mut reply = self.send(url).await?;
        // Once more, if it asks who is there, or in a new way.
        if reply.status() == StatusCode::UNAUTHORIZED && self.login.is_some() {
            let offers = reply.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            self.asked = best(offers).map(|challenge| (challenge, 0));
            if self.asked.is_some() {
                reply = self.send(url).await?;
            }
        }
        if reply.status() != StatusCode::OK {
            return Err(FetchError::Status {
                url: shown(url),
                status: reply.status().as_u16(),
                hint: self.hint(reply.status()),
            });
        }
        self.read(url, reply).await
    }

    async fn send(&mut self, url: &Url) -> Result<Response, FetchError> {
        let mut request = self.http.get(url.clone());
        if let (Some(login), Some((challenge, count))) = (&self.login, &mut self.asked) {
            *count = count.saturating_add(1);
            let uri = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
            // Other than before is all that it has to be.
            let once = format!("{:016x}{count:08x}", self.clock.now().as_nanos());
            let value = secret::header(&answer(challenge, login, &uri, &once, *count));
            request = match value {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
        }
        request.send().await.map_err(|source| FetchError::Send { url: shown(url), source: source.without_url() })
    }

    async fn read(&self, url: &Url, mut reply: Response) -> Result<Fetched, FetchError> {
        let large = || FetchError::Large { url: shown(url), most: self.most };
        if reply.content_length().is_some_and(|length| length > self.most) {
            return Err(large());
        }
        let named = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut bytes = BytesMut::new();
        loop {
            let chunk = reply.chunk().await;
            let chunk = chunk.map_err(|source| FetchError::Read { url: shown(url), source: source.without_url() })?;
            let Some(chunk) = chunk else { break };
            if (bytes.len() as u64).saturating_add(chunk.len() as u64) > self.most {
                return Err(large());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Err(FetchError::Empty { url: shown(url) });
        }
        Ok(Fetched { bytes: bytes.freeze(), content_type: named })
    }

    fn hint(&self, status: StatusCode) -> &'static str {
        match (status.as_u16(), &self.login, &self.asked) {
            (401, None, _) => ": it wants to know who asks; set `credential`",
            (401, Some(_), None) => ": it wants a login that is neither Basic nor Digest",
            (401 | 403, Some(_), _) => ": user or password are not those that it knows",
            (300..=399, ..) => ": redirects are not followed; take the address to which it leads",
            _ => "",
        }
    }
}

/// User and password in a file.
fn login(file: &Path) -> Result<Login, String> {
    let line = secret::line(file, TAKES)?;
    let pair = line.split_once(':').ok_or_else(|| format!("{}: takes one line, {TAKES}", file.display()))?;
    Ok(Login { user: pair.0.to_owned(), password: pair.1.to_owned() })
}
