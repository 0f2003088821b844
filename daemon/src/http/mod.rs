//! What all that asks servers over HTTP has in common: whom TLS trusts ([`tls`]), secrets in files and headers ([`secret`]), the
//! proxy ([`proxy`]), and what an error of the connection really says ([`cause`]). Knows neither who asks nor what for; its
//! errors are texts, to which the caller adds the key of the configuration.

pub mod cause;
pub mod proxy;
pub mod secret;
pub mod tls;

use reqwest::Url;

/// Host of an address, with its port if it names one.
pub fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// An address for people: query and fragment may hold secrets.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Of an address that cannot have them there is nothing to take away.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}
