//! Frames that come by their name: a message holds a path or an address, and the frame is what lies there. Decides what such a
//! message says and whether the operator's list has it; [`file`] opens a path that the list has so that nothing leads out of
//! it. What is asked over HTTP is fetched elsewhere.

pub mod file;

use std::path::{Component, Path, PathBuf};

use reqwest::Url;
use serde_json::Value;

/// Longest message that can be a reference, bytes.
const MOST_BYTES: usize = 8192;
/// Most entries of a list.
pub const MOST_ALLOWED: usize = 64;

/// What a message names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An absolute path, without `..`.
    Path(PathBuf),
    Url(Url),
}

/// Why there is no frame by that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    #[error(
        "the message is no reference: takes an absolute path or an address as plain text, or as \"path\" or \"url\" of a JSON object"
    )]
    NotOne,
    #[error("{0}: takes an absolute path without `..`")]
    Path(String),
    #[error(
        "{0}: takes http:// or https:// with a host, without user, password and fragment, nothing escaped that leads elsewhere"
    )]
    Url(String),
    #[error("{0} is not below an entry of `reference`")]
    NotAllowed(String),
}

/// What the list has of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A file below a directory.
    File {
        root: PathBuf,
        below: PathBuf,
    },
    Url(Url),
}

/// The operator's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    roots: Vec<PathBuf>,
    urls: Vec<Url>,
}

impl Reference {
    /// Reads a message: a path or an address as it is, or a JSON object with `path` or `url`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(message: &[u8]) -> Result<Reference, ReferenceFault> {
        if message.len() > MOST_BYTES {
            return Err(ReferenceFault::NotOne);
        }
        let text = std::str::from_utf8(message).map_err(|_| ReferenceFault::NotOne)?.trim();
        if !text.starts_with('{') {
            return match () {
                () if text.starts_with('/') => Ok(Reference::Path(path(text)?)),
                () if text.contains("://") => Ok(Reference::Url(url(text)?)),
                () => Err(ReferenceFault::NotOne),
            };
        }
        let object: Value = serde_json::from_str(text).map_err(|_| ReferenceFault::NotOne)?;
        match (object.get("path"), object.get("url")) {
            (Some(Value::String(text)), None) => Ok(Reference::Path(path(text)?)),
            (None, Some(Value::String(text))) => Ok(Reference::Url(url(text)?)),
            _ => Err(ReferenceFault::NotOne),
        }
    }
}

impl Allow {
    /// Adds an entry: an absolute path of a directory, or the beginning of an address.
    ///
    /// # Errors
    /// Why it is none.
    pub fn add(&mut self, text: &str) -> Result<(), ReferenceFault> {
        if text.starts_with('/') {
            self.roots.push(path(text)?);
            return Ok(());
        }
        let url = url(text)?;
        if url.query().is_some() {
            return Err(ReferenceFault::Url(shown(text)));
        }
        self.urls.push(url);
        Ok(())
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.urls.is_empty()
    }

    /// What the list has of it.
    ///
    /// # Errors
    /// That it has nothing.
    pub fn hold(&self, reference: Reference) -> Result<Allowed, ReferenceFault> {
        match reference {
            Reference::Path(path) => self
                .roots
                .iter()
                .find_map(|root| {
                    let below = path.strip_prefix(root).ok()?;
                    (!below.as_os_str().is_empty()).then(|| (root.clone(), below.to_owned()))
                })
                .map(|(root, below)| Allowed::File { root, below })
                .ok_or_else(|| ReferenceFault::NotAllowed(shown(&path.to_string_lossy()))),
            Reference::Url(url) => match self.urls.iter().any(|allowed| is_below(allowed, &url)) {
                true => Ok(Allowed::Url(url)),
                false => Err(ReferenceFault::NotAllowed(shown(&crate::http::shown(&url)))),
            },
        }
    }
}

fn path(text: &str) -> Result<PathBuf, ReferenceFault> {
    let path = Path::new(text);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    match path.is_absolute() && is_plain && !text.contains('\0') {
        true => Ok(path.components().collect()),
        false => Err(ReferenceFault::Path(shown(text))),
    }
}

/// The parser has taken the dots out of the path; an escaped slash or backslash would bring them back on some servers.
fn url(text: &str) -> Result<Url, ReferenceFault> {
    let fault = || ReferenceFault::Url(without_secret(text));
    let url = Url::parse(text).map_err(|_| fault())?;
    let path = url.path().to_ascii_lowercase();
    let is_good = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.port() != Some(0)
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && !["%2f", "%5c", "%2e", "%00", "%25"].iter().any(|escaped| path.contains(escaped));
    if is_good { Ok(url) } else { Err(fault()) }
}

/// Scheme, host and port are the same, and the path begins with all parts of the other.
fn is_below(allowed: &Url, url: &Url) -> bool {
    let is_there = allowed.scheme() == url.scheme()
        && allowed.host() == url.host()
        && allowed.port_or_known_default() == url.port_or_known_default();
    let rest = url.path().strip_prefix(allowed.path().trim_end_matches('/'));
    is_there && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands before an `@` may be a password.
fn without_secret(text: &str) -> String {
    shown(text.rsplit_once('@').map_or(text, |(_, behind)| behind))
}

fn shown(text: &str) -> String {
    let clean = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    format!("{:?}", text.chars().map(clean).take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow() -> Allow {
        let mut allow = Allow::default();
        for entry in ["/srv/frames", "/data/", "https://cams.example/live", "http://10.0.0.7:8080/"] {
            allow.add(entry).unwrap();
        }
        allow
    }

    fn held(message: &str) -> Result<Allowed, ReferenceFault> {
        allow().hold(Reference::parse(message.as_bytes())?)
    }

    #[test]
    fn a_message_names_a_file_or_an_address_as_text_or_as_json() {
        let file = |root: &str, below: &str| Ok(Allowed::File { root: root.into(), below: below.into() });
        assert_eq!(held("/srv/frames/a/1.jpg\n"), file("/srv/frames", "a/1.jpg"));
        assert_eq!(held("{\"path\": \"/data//1.jpg\", \"line\": 3}"), file("/data", "1.jpg"));
        for url in ["https://cams.example/live/1.jpg?x=1", "https://cams.example/live", "http://10.0.0.7:8080/any"] {
            assert_eq!(held(url), Ok(Allowed::Url(Url::parse(url).unwrap())), "{url}");
        }
        assert!(matches!(held("{\"url\": \"https://CAMS.example:443/live/1\"}"), Ok(Allowed::Url(_))));
    }

    #[test]
    fn nothing_leads_out_of_the_list() {
        for message in [
            "/srv/frames",
            "/srv/frames2/1.jpg",
            "/etc/passwd",
            "https://cams.example/livestream",
            "https://cams.example/",
            "https://cams.example/live/../admin",
            "https://cams.example/live/%2e%2e/admin",
            "https://cams.example:8443/live/1",
            "http://cams.example/live/1",
            "https://cams.example.evil.example/live/1",
            "http://10.0.0.77:8080/x",
            "http://10.0.0.7/x",
        ] {
            assert!(matches!(held(message), Err(ReferenceFault::NotAllowed(_))), "{message}: {:?}", held(message));
        }
        for message in [
            "/srv/frames/../x",
            "{\"path\": \"frames/1\"}",
            "{\"path\": \"/srv/frames/a\\u0000b\"}",
            "https://cams.example@evil.example/live/1",
            "https://user:secret@cams.example/live/1",
            "https://cams.example/live/..%2fadmin",
            "https://cams.example/live/%252e%252e/admin",
            "https://cams.example/live/1#x",
            "file:///etc/passwd",
            "ftp://cams.example/live/1",
        ] {
            let fault = held(message).unwrap_err();
            assert!(matches!(fault, ReferenceFault::Path(_) | ReferenceFault::Url(_)), "{message}: {fault:?}");
            assert!(!fault.to_string().contains("secret"), "{fault}");
        }
        for message in ["", "1.jpg", "{", "{}", "{\"path\": 1}", "{\"path\": \"/a\", \"url\": \"http://b\"}", "[1]"] {
            assert_eq!(held(message), Err(ReferenceFault::NotOne), "{message}");
        }
        assert_eq!(Reference::parse(b"\xFF"), Err(ReferenceFault::NotOne));
        assert_eq!(Reference::parse(&vec![b'/'; MOST_BYTES + 1]), Err(ReferenceFault::NotOne));
    }

    #[test]
    fn an_entry_is_a_directory_or_the_beginning_of_an_address() {
        for entry in ["frames", "/srv/../etc", "https://u:p@h/", "https://h/x?y", "gopher://h/", "https://"] {
            assert!(Allow::default().add(entry).is_err(), "{entry}");
        }
        assert!(Allow::default().is_empty() && !allow().is_empty());
    }
}
