//! What may be pulled, and from where: `https://HOST/PATH` or `oci://REGISTRY/REPOSITORY:TAG`. Decides which sources there are,
//! in which order, and which redirects are followed. Pure.

use std::collections::BTreeMap;

use reqwest::Url;

pub use crate::http::{host, shown};

/// The word that stands for the place itself in a list of mirrors.
pub const ORIGIN: &str = "origin";
/// Longest address.
const MOST_BYTES: usize = 2048;
/// Redirects that are followed.
pub const MOST_REDIRECTS: usize = 5;
/// What Docker's registry is really called.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// What is to be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file of a web server.
    File {
        /// Without its fragment.
        url: Url,
        /// What the file has to be, as the fragment `sha256=` says.
        sha256: Option<String>,
    },
    /// An artefact of a registry.
    Artefact {
        /// Host, with its port if it names one.
        host: String,
        repository: String,
        /// A tag, or `sha256:` and a digest.
        reference: String,
    },
}

/// One place to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, or the repository in a registry (`https://HOST/v2/REPOSITORY/`).
    pub url: Url,
    /// It does without TLS, and is asked only where another one has none.
    pub fallback: bool,
}

impl Address {
    /// Reads what somebody asked for; an error names the field and what is taken.
    pub fn parse(text: &str) -> Result<Address, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("url: {} characters, at most {MOST_BYTES} are taken", text.len()));
        }
        match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("oci") => artefact(text),
            Some("https" | "http") => file(text),
            _ => Err(format!(
                "url: {text:?}: takes https://HOST/PATH/NAME-VERSION.edgemodel or oci://REGISTRY/REPOSITORY:TAG"
            )),
        }
    }

    /// For people: without what may be a secret in it.
    pub fn shown(&self) -> String {
        match self {
            Address::File { url, .. } => shown(url),
            Address::Artefact { host, repository, reference } => {
                let sign = if reference.contains(':') { '@' } else { ':' };
                format!("oci://{host}/{repository}{sign}{reference}")
            }
        }
    }

    /// Host, with its port if it names one.
    fn host(&self) -> String {
        match self {
            Address::File { url, .. } => host(url),
            Address::Artefact { host, .. } => host.clone(),
        }
    }

    /// The digest that the address itself promises: of the file, or of the artefact's manifest.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Address::File { sha256, .. } => sha256.as_deref(),
            Address::Artefact { reference, .. } => reference.strip_prefix("sha256:"),
        }
    }

    /// Where to fetch it from, in this order.
    pub fn sources(&self, mirrors: &BTreeMap<String, Vec<String>>) -> Vec<Source> {
        let listed = mirrors.get(&self.host()).map(Vec::as_slice).unwrap_or_default();
        let mut sources: Vec<Source> = Vec::new();
        for base in listed {
            match base.as_str() {
                ORIGIN => sources.extend(self.own()),
                base => sources.extend(self.below(base)),
            }
        }
        if !listed.iter().any(|base| base == ORIGIN) {
            sources.extend(self.own());
        }
        sources
    }

    /// The place that the address names.
    fn own(&self) -> Vec<Source> {
        match self {
            Address::File { url, .. } => vec![Source { url: url.clone(), fallback: false }],
            Address::Artefact { host, .. } => {
                let name = if host == DOCKER.0 { DOCKER.1 } else { host };
                let mut sources: Vec<Source> = self.below(&format!("https://{name}")).into_iter().collect();
                // A registry on the box itself is often one without TLS.
                let plain = self.below(&format!("http://{name}"));
                let plain = plain.filter(|source| is_loopback(&source.url));
                sources.extend(plain.map(|source| Source { fallback: true, ..source }));
                sources
            }
        }
    }

    /// The same at a mirror.
    fn below(&self, base: &str) -> Option<Source> {
        let base = Url::parse(base).ok()?;
        let mut url = base.clone();
        let prefix = base.path().trim_end_matches('/');
        match self {
            Address::File { url: own, .. } => {
                url.set_path(&format!("{prefix}{}", own.path()));
                url.set_query(own.query());
            }
            Address::Artefact { repository, .. } => url.set_path(&format!("/v2{prefix}/{repository}/")),
        }
        Some(Source { url, fallback: false })
    }
}

/// Why the base address of a mirror is none, if it is not.
pub fn mirror_fault(base: &str) -> Option<String> {
    if base == ORIGIN {
        return None;
    }
    let takes = "takes https://HOST or https://HOST/PATH, or the word \"origin\" for the place itself";
    let Ok(url) = Url::parse(base) else { return Some(format!("{base:?} is no address: {takes}")) };
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match (may_be_asked(&url), plain) {
        (Ok(()), true) => None,
        (Ok(()), false) => Some(format!("{base:?}: {takes}, and nothing else")),
        (Err(why), _) => Some(format!("{base:?}: {why}")),
    }
}

fn file(text: &str) -> Result<Address, String> {
    let mut url = Url::parse(text).map_err(|error| format!("url: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url: takes no user name and password: put them into a file that `pull.credentials` names".into());
    }
    may_be_asked(&url).map_err(|why| format!("url: {why}"))?;
    let sha256 = match url.fragment() {
        None | Some("") => None,
        Some(fragment) => {
            let digest =
                fragment.strip_prefix("sha256=").map(str::to_ascii_lowercase).filter(|digest| is_digest(digest));
            Some(digest.ok_or("url: after `#` it takes sha256= and 64 characters of 0-9 and a-f")?)
        }
    };
    url.set_fragment(None);
    if matches!(url.path(), "" | "/") {
        return Err("url: names no file: takes https://HOST/PATH/NAME-VERSION.edgemodel".into());
    }
    Ok(Address::File { url, sha256 })
}

fn artefact(text: &str) -> Result<Address, String> {
    let takes = "takes oci://REGISTRY/REPOSITORY:TAG, or @sha256:DIGEST instead of :TAG";
    let wrong = |what: &str| format!("url: {what}: {takes}");
    let rest = text.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
    let (host, name) = rest.split_once('/').ok_or_else(|| wrong("names no repository"))?;
    if host.contains('@') {
        return Err("url: takes no user name and password: put them into a file that `pull.credentials` names".into());
    }
    // All of it has to be a host: what begins a query or a path elsewhere would be asked of another registry than it looks like.
    let is_host = |url: Url| url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if host.is_empty() || !Url::parse(&format!("https://{host}/")).is_ok_and(is_host) {
        return Err(wrong(&format!("{host:?} is no registry")));
    }
    let (repository, reference) = match name.split_once('@') {
        // A digest says more than a tag beside it.
        Some((name, digest)) => {
            let hex = digest.strip_prefix("sha256:").map(str::to_ascii_lowercase).filter(|hex| is_digest(hex));
            let hex = hex.ok_or_else(|| wrong("after `@` comes sha256: and 64 characters of 0-9 and a-f"))?;
            (name.split_once(':').map_or(name, |(name, _)| name), format!("sha256:{hex}"))
        }
        None => {
            let (name, tag) = name.rsplit_once(':').ok_or_else(|| wrong("names no tag"))?;
            let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let good = (1..=128).contains(&tag.len())
                && tag.bytes().next().is_some_and(first)
                && tag.bytes().all(|byte| first(byte) || b".-".contains(&byte));
            if !good {
                return Err(wrong(&format!("{tag:?} is no tag")));
            }
            (name, tag.to_owned())
        }
    };
    let part = |part: &str| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().next().is_some_and(word) && part.bytes().all(|byte| word(byte) || b"._-".contains(&byte))
    };
    if !repository.split('/').all(part) {
        return Err(wrong(&format!("{repository:?} is no repository (a-z, 0-9, `.`, `_`, `-`, between slashes)")));
    }
    let repository = match host == DOCKER.0 && !repository.contains('/') {
        true => format!("library/{repository}"),
        false => repository.to_owned(),
    };
    Ok(Address::Artefact { host: host.to_ascii_lowercase(), repository, reference })
}

/// Whether a text is a sha256 in hexadecimal.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this may be asked at all: by TLS, or on the box itself.
fn may_be_asked(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err("http:// is taken of this box itself only: takes https://".into()),
        other => Err(format!("{other}:// is not taken: takes https://")),
    }
}

/// Where a redirect leads, if it is followed.
pub fn redirected(from: &Url, location: &str) -> Result<Url, String> {
    let to = from.join(location).map_err(|error| format!("{} sends on to no address: {error}", host(from)))?;
    let said = |why: &str| Err(format!("{} sends on to {}, {why}", host(from), shown(&to)));
    match (from.scheme(), to.scheme()) {
        (_, "https") => Ok(to),
        ("http", "http") if is_loopback(&to) => Ok(to),
        (_, "http") => said("where what comes could be changed on the way: it is not followed"),
        (_, other) => said(&format!("and {other}:// is not taken: it is not followed")),
    }
}

/// Whether an address is on this box.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_address_is_a_file_or_an_artefact_and_is_shown_without_secrets() {
        for (text, shown) in [
            ("https://models.example/a/add-1.0.0.edgemodel", "https://models.example/a/add-1.0.0.edgemodel"),
            ("https://models.example:8443/x?token=secret", "https://models.example:8443/x"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x"),
            ("http://[::1]:9/x", "http://[::1]:9/x"),
            ("oci://reg.example:5000/plant/add:1.0.0", "oci://reg.example:5000/plant/add:1.0.0"),
            ("OCI://Reg.Example/add:v1", "oci://reg.example/add:v1"),
            ("oci://docker.io/add:v1", "oci://docker.io/library/add:v1"),
            (&format!("oci://r/a/b:tag@sha256:{DIGEST}"), &format!("oci://r/a/b@sha256:{DIGEST}")),
        ] {
            assert_eq!(Address::parse(text).map(|address| address.shown()).as_deref(), Ok(shown), "{text}");
        }
        let with = Address::parse(&format!("https://h/x#sha256={}", DIGEST.to_uppercase())).unwrap();
        assert_eq!((with.sha256(), with.shown().as_str()), (Some(DIGEST), "https://h/x"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_taken() {
        for (text, says) in [
            ("", "takes https://HOST/PATH/NAME-VERSION.edgemodel or oci://"),
            ("add", "takes https://"),
            ("ftp://h/x", "takes https://"),
            ("file:///etc/passwd", "takes https://"),
            ("http://h/x", "of this box itself only"),
            ("http://10.0.0.1/x", "of this box itself only"),
            ("http://localhost.example/x", "of this box itself only"),
            ("https://user:pw@h/x", "`pull.credentials`"),
            ("https://h", "names no file"),
            ("https://h/", "names no file"),
            ("https:///x y", "url: "),
            ("https://h/x#sha256=12", "64 characters"),
            ("https://h/x#md5=12", "64 characters"),
            ("oci://reg", "names no repository"),
            ("oci:///a:b", "is no registry"),
            ("oci://elsewhere?.reg/a:b", "is no registry"),
            ("oci://elsewhere#.reg/a:b", "is no registry"),
            ("oci://elsewhere\\.reg/a:b", "is no registry"),
            ("oci://reg/a", "names no tag"),
            ("oci://reg/A:b", "is no repository"),
            ("oci://reg/../a:b", "is no repository"),
            ("oci://reg/a//b:c", "is no repository"),
            ("oci://reg/a:-b", "is no tag"),
            ("oci://reg/a@sha256:12", "64 characters"),
            ("oci://u:p@reg/a:b", "`pull.credentials`"),
        ] {
            let said = Address::parse(text).unwrap_err();
            assert!(said.starts_with("url: ") && said.contains(says), "{text}: {said}");
        }
        assert!(Address::parse(&format!("https://h/{}", "x".repeat(3000))).unwrap_err().contains("at most"));
    }

    #[test]
    fn mirrors_come_before_the_place_itself_or_where_its_name_stands() {
        let mirrors: BTreeMap<String, Vec<String>> = [
            ("m.example", &["https://a.plant/models", "https://b.plant:8443"][..]),
            ("r.example", &["origin", "https://harbor.plant/proxy/"]),
        ]
        .map(|(host, bases)| (host.to_owned(), bases.iter().map(|&base| base.to_owned()).collect()))
        .into();
        let urls = |text: &str| -> Vec<String> {
            let sources = Address::parse(text).unwrap().sources(&mirrors);
            sources.into_iter().map(|source| source.url.into()).collect()
        };
        assert_eq!(
            urls("https://m.example/x/y.edgemodel?k=v"),
            [
                "https://a.plant/models/x/y.edgemodel?k=v",
                "https://b.plant:8443/x/y.edgemodel?k=v",
                "https://m.example/x/y.edgemodel?k=v"
            ]
        );
        assert_eq!(
            urls("oci://r.example/plant/add:1"),
            ["https://r.example/v2/plant/add/", "https://harbor.plant/v2/proxy/plant/add/"]
        );
        assert_eq!(urls("https://other/x"), ["https://other/x"]);
        assert_eq!(
            urls("oci://localhost:5000/add:1"),
            ["https://localhost:5000/v2/add/", "http://localhost:5000/v2/add/"]
        );
        assert_eq!(urls("oci://docker.io/a/b:1"), ["https://registry-1.docker.io/v2/a/b/"]);
    }

    #[test]
    fn a_mirror_is_a_base_address_or_the_word_origin() {
        for base in ["origin", "https://h", "https://h/a/b/", "http://localhost:9"] {
            assert_eq!(mirror_fault(base), None, "{base}");
        }
        for (base, says) in [
            ("h", "is no address"),
            ("http://h", "of this box itself only"),
            ("https://u:p@h", "and nothing else"),
            ("https://h?a", "and nothing else"),
            ("ftp://h", "ftp:// is not taken"),
        ] {
            let said = mirror_fault(base).unwrap_or_default();
            assert!(said.contains(says), "{base}: {said}");
        }
    }

    #[test]
    fn a_redirect_never_leads_to_where_it_could_be_changed_on_the_way() {
        let to = |from: &str, location: &str| redirected(&Url::parse(from).unwrap(), location).map(String::from);
        assert_eq!(to("https://a/x/y", "/z").as_deref(), Ok("https://a/z"));
        assert_eq!(to("https://a/x/y", "https://cdn/z?sig=1").as_deref(), Ok("https://cdn/z?sig=1"));
        assert_eq!(to("http://localhost/x", "http://127.0.0.1/z").as_deref(), Ok("http://127.0.0.1/z"));
        for (from, location, says) in [
            ("https://a/x", "http://a/x", "it is not followed"),
            ("https://a/x", "http://localhost/x", "it is not followed"),
            ("http://localhost/x", "http://a/x?secret", "sends on to http://a/x,"),
            ("https://a/x", "ftp://a/x", "ftp:// is not taken"),
            ("https://a/x", "file:///etc/shadow", "file:// is not taken"),
            ("https://a/x", "https://", "no address"),
        ] {
            let said = to(from, location).unwrap_err();
            assert!(said.contains(says) && !said.contains("secret"), "{location}: {said}");
        }
    }
}
