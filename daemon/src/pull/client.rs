//! Asks servers: TLS with the authorities of the box and the plant's own, the proxy, credentials, redirects. Knows no meaning
//! of what is answered.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Proxy, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};

use super::address::{MOST_REDIRECTS, redirected};
use super::trouble::{Trouble, of_error, of_status};
use crate::config::PullConfig;
use crate::driver::clock;
use crate::http::{self, host};

/// A connection that is not there by then will not be.
const CONNECT: Duration = Duration::from_secs(15);

/// Who this box is to a server.
#[derive(Clone)]
pub struct Credential {
    /// The value of the header.
    pub header: HeaderValue,
    /// Where it was read.
    pub file: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credential({})", self.file)
    }
}

/// Asks servers, as the configuration says.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    config: PullConfig,
}

impl Client {
    /// Reads the files that the configuration names anew, so that renewed ones hold from the next pull on.
    pub fn new(config: &PullConfig) -> Result<Client, Trouble> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("edged/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls(config.ca.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .pool_max_idle_per_host(1)
            .connect_timeout(CONNECT)
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            builder = builder.proxy(through(proxy, config)?);
        }
        let http = builder
            .build()
            .map_err(|error| Trouble::end(format!("make a client: {}", crate::driver::chain(&error))))?;
        Ok(Client { http, config: config.clone() })
    }

    /// Asks for `url` with these headers, and follows where it is sent on to. `shown` is shown to the first host only; others
    /// are shown what the configuration has for them. Gives the answer, whatever its status, and the file that was shown.
    pub async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        shown: Option<HeaderValue>,
    ) -> Result<(Response, Option<String>), Trouble> {
        let (mut url, mut shown) = (url.clone(), shown);
        for _ in 0..=MOST_REDIRECTS {
            let known = self.credential(&url)?;
            let mut request = self.http.get(url.clone()).headers(headers.clone());
            request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(shown) = shown.take().or_else(|| known.as_ref().map(|known| known.header.clone())) {
                request = request.header(AUTHORIZATION, shown);
            }
            let name = host(&url);
            let answer = tokio::time::timeout(self.config.stall, request.send()).await;
            let answer = answer.map_err(|_| stalled(&name, self.config.stall))?;
            let answer = answer.map_err(|error| of_error(&name, error, &now()))?;
            let location = answer.headers().get(LOCATION).filter(|_| is_redirect(answer.status()));
            let Some(location) = location else { return Ok((answer, known.map(|known| known.file))) };
            let location = location.to_str().map_err(|_| Trouble::lasting(format!("{name} sends on to no address")))?;
            url = redirected(&url, location).map_err(Trouble::lasting)?;
        }
        Err(Trouble::lasting(format!("{} sends on more than {MOST_REDIRECTS} times", host(&url))))
    }

    /// What the configuration has for the host of an address.
    pub fn credential(&self, url: &Url) -> Result<Option<Credential>, Trouble> {
        let named = self.config.credentials.get(&host(url));
        let named = named.or_else(|| self.config.credentials.get(url.host_str().unwrap_or_default()));
        named.map(|path| read(path).map_err(Trouble::end)).transpose()
    }

    /// How long a server may say nothing.
    pub fn stall(&self) -> Duration {
        self.config.stall
    }
}

/// What an answer means that is no success.
pub fn refused(name: &str, answer: &Response, known: Option<&str>) -> Trouble {
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    of_status(name, answer.status().as_u16(), known, after)
}

/// A server that says nothing.
pub fn stalled(name: &str, span: Duration) -> Trouble {
    Trouble::passing(format!("nothing came from {name} for {} s", span.as_secs()))
}

/// The time here, for those who have to judge it.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(clock::wall()).to_string()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A value of a header that is never shown.
pub fn secret(text: &str) -> Result<HeaderValue, Trouble> {
    http::secret::header(text).ok_or_else(|| Trouble::lasting("a credential has characters that no header can have"))
}

/// A file of credentials: one line, `USER:PASSWORD` or `Bearer TOKEN`.
fn read(path: &Path) -> Result<Credential, String> {
    let takes = "USER:PASSWORD or Bearer TOKEN";
    let file = path.display().to_string();
    let line = http::secret::line(path, takes).map_err(|error| format!("`pull.credentials`: {error}"))?;
    let header = match (line.split_once(' '), line.split_once(':')) {
        (Some((word, token)), _) if word.eq_ignore_ascii_case("bearer") => format!("Bearer {}", token.trim()),
        (_, Some(_)) => format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(line)),
        _ => return Err(format!("{file}: takes one line, {takes}")),
    };
    let header = secret(&header).map_err(|_| format!("{file}: has characters that no header can have"))?;
    Ok(Credential { header, file })
}

fn through(address: &str, config: &PullConfig) -> Result<Proxy, Trouble> {
    let wrong = |why: String| Trouble::end(format!("`pull.proxy`: {why}"));
    let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    let shown = config.credentials.get(&host(&url)).map(|path| read(path)).transpose().map_err(Trouble::end)?;
    http::proxy::through(&url, &config.no_proxy, shown.map(|shown| shown.header)).map_err(wrong)
}

fn tls(own: Option<&Path>) -> Result<ClientConfig, Trouble> {
    let mut roots = RootCertStore::empty();
    http::tls::add_system(&mut roots);
    if let Some(path) = own {
        http::tls::add_file(&mut roots, path).map_err(|error| Trouble::end(format!("`pull.ca` {error}")))?;
    }
    if roots.is_empty() {
        return Err(Trouble::end(
            "this box knows no authority for TLS: install the package ca-certificates, or set `pull.ca`",
        ));
    }
    Ok(http::tls::trusting(roots).map_err(Trouble::end)?.with_no_client_auth())
}

/// Why the address of a proxy is none, if it is not.
pub fn proxy_fault(address: &str) -> Option<String> {
    let takes = "takes http://HOST:PORT or https://HOST:PORT";
    match Url::parse(address) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some(format!("{takes}; its user and password come from `pull.credentials`"))
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => None,
        _ => Some(format!("{address:?} is not accepted: {takes}")),
    }
}

/// Whether a host of `pull.credentials` could ever be asked.
pub fn is_host(text: &str) -> bool {
    Url::parse(&format!("https://{text}/")).is_ok_and(|url| host(&url) == text || url.host_str() == Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_user_with_a_password_or_a_token_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (text, header) in [
            ("press-7:open sesame\n", "Basic cHJlc3MtNzpvcGVuIHNlc2FtZQ=="),
            ("Bearer abc\r\n", "Bearer abc"),
            ("bearer  abc", "Bearer abc"),
        ] {
            std::fs::write(&path, text).unwrap();
            let read = read(&path).unwrap();
            assert_eq!(read.header, header);
            assert!(read.header.is_sensitive() && !format!("{read:?}").contains("abc"));
        }
        for (text, says) in [
            ("abc", "takes one line"),
            ("a:b\nc:d", "takes one line"),
            ("Bearer a\u{1}b", "no header can have"),
            ("", "takes one line"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err();
            assert!(said.contains(says) && said.contains("secret"), "{said}");
        }
        assert!(read(&dir.path().join("gone")).unwrap_err().contains("`pull.credentials`"));
    }

    #[test]
    fn a_host_is_a_name_with_or_without_a_port() {
        for host in ["models.example", "models.example:8443", "10.0.0.1", "[::1]:5000"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["https://models.example", "a/b", "", "user@h"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
