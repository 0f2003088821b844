//! The way through a proxy.

use reqwest::header::HeaderValue;
use reqwest::{NoProxy, Proxy, Url};

/// All goes through the proxy but what is on this box and the hosts of `direct`; `shown` is who this box is to it.
pub fn through(url: &Url, direct: &[String], shown: Option<HeaderValue>) -> Result<Proxy, String> {
    let mut proxy = Proxy::all(url.clone()).map_err(|error| error.to_string())?;
    if let Some(shown) = shown {
        proxy = proxy.custom_http_auth(shown);
    }
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.0/8".into(), "::1".into()];
    hosts.extend(direct.iter().cloned());
    Ok(proxy.no_proxy(NoProxy::from_string(&hosts.join(","))))
}
