//! How a camera is told who asks: HTTP Basic (RFC 7617) and Digest (RFC 7616, MD5 and SHA-256, and the older form without
//! `qop`). Pure: the number that is used once is passed in.

use base64::Engine as _;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// The password is never shown.
impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Login({})", self.user)
    }
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Digest(Digest),
}

/// What a server asks for by Digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// As the server wrote it, to be said back.
    algorithm_word: Option<String>,
    has_qop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Md5Session,
    Sha256,
    Sha256Session,
}

/// The best of what the values of `WWW-Authenticate` offer: the strongest Digest, else Basic.
pub fn best<'a>(offers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let offers: Vec<(String, Vec<(String, String)>)> = offers.into_iter().flat_map(challenges).collect();
    let digests = offers.iter().filter(|(scheme, _)| scheme == "digest").filter_map(|(_, values)| digest(values));
    match digests.max_by_key(|digest| digest.algorithm) {
        Some(digest) => Some(Challenge::Digest(digest)),
        None => offers.iter().any(|(scheme, _)| scheme == "basic").then_some(Challenge::Basic),
    }
}

/// The value of `Authorization` for a GET of `uri` (path and query); `count` says how often the nonce was used, from 1.
pub fn answer(challenge: &Challenge, login: &Login, uri: &str, once: &str, count: u32) -> String {
    match challenge {
        Challenge::Basic => {
            let pair = format!("{}:{}", login.user, login.password);
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Challenge::Digest(digest) => digest.answer(login, uri, once, count),
    }
}

impl Digest {
    fn answer(&self, login: &Login, uri: &str, once: &str, count: u32) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let mut secret = hash(&format!("{}:{}:{}", login.user, self.realm, login.password));
        if matches!(self.algorithm, Algorithm::Md5Session | Algorithm::Sha256Session) {
            secret = hash(&format!("{secret}:{}:{once}", self.nonce));
        }
        let asked = hash(&format!("GET:{uri}"));
        let response = match self.has_qop {
            true => hash(&format!("{secret}:{}:{count:08x}:{once}:auth:{asked}", self.nonce)),
            false => hash(&format!("{secret}:{}:{asked}", self.nonce)),
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(&login.user),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri),
        );
        if let Some(word) = &self.algorithm_word {
            value.push_str(&format!(", algorithm={word}"));
        }
        if self.has_qop {
            value.push_str(&format!(", qop=auth, nc={count:08x}, cnonce={}", quoted(once)));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        value
    }
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Algorithm::Md5 | Algorithm::Md5Session => hex(&Md5::digest(text)),
            Algorithm::Sha256 | Algorithm::Sha256Session => hex(&Sha256::digest(text)),
        }
    }
}

fn digest(values: &[(String, String)]) -> Option<Digest> {
    let value = |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let algorithm_word = value("algorithm");
    let algorithm = match algorithm_word.as_deref().unwrap_or("MD5").to_ascii_lowercase().as_str() {
        "md5" => Algorithm::Md5,
        "md5-sess" => Algorithm::Md5Session,
        "sha-256" => Algorithm::Sha256,
        "sha-256-sess" => Algorithm::Sha256Session,
        _ => return None,
    };
    let offered = value("qop");
    let has_qop = match &offered {
        // Without `auth` only the body is vouched for too, which nobody needs of a GET.
        Some(list) if !list.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth")) => return None,
        Some(_) => true,
        None => false,
    };
    let word = algorithm_word.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    Some(Digest {
        realm: value("realm")?,
        nonce: value("nonce")?,
        opaque: value("opaque"),
        algorithm,
        algorithm_word: word,
        has_qop,
    })
}

/// Each scheme, in lower case, with its values; one header may have several.
fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut all: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in parts(header) {
        let (head, value) = part.split_once('=').unwrap_or((part, ""));
        // `Digest realm="x"`: the name of a value that follows a scheme.
        let (scheme, name) = match head.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => (Some(scheme), name.trim()),
            None if part.contains('=') => (None, head.trim()),
            None => (Some(head.trim()), ""),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            all.push((scheme.to_ascii_lowercase(), Vec::new()));
        }
        if let (false, Some((_, values))) = (name.is_empty(), all.last_mut()) {
            values.push((name.to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    all
}

/// What stands between commas that are not in quotes.
fn parts(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in header.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.extend(header.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(header.get(start..));
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    let mut out = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616, section 3.9.1.
    const ONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn offer(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    fn login() -> Login {
        Login { user: "Mufasa".into(), password: "Circle of Life".into() }
    }

    #[test]
    fn the_examples_of_the_standard_are_answered_as_they_say() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = best([offer(algorithm).as_str()]).unwrap();
            let value = answer(&challenge, &login(), "/dir/index.html", ONCE, 1);
            for part in [
                "username=\"Mufasa\"",
                "uri=\"/dir/index.html\"",
                "qop=auth, nc=00000001",
                "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                &format!("algorithm={algorithm}"),
                &format!("response=\"{response}\""),
            ] {
                assert!(value.contains(part), "{part} in {value}");
            }
        }
    }

    #[test]
    fn the_older_form_without_qop_is_answered_as_rfc_2069_says() {
        let challenge =
            best(["Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""]).unwrap();
        let login = Login { user: "Mufasa".into(), password: "CircleOfLife".into() };
        let value = answer(&challenge, &login, "/dir/index.html", "x", 1);
        assert!(value.contains("response=\"1949323746fe6a43ef61f9606e7febea\"") && !value.contains("qop"), "{value}");
    }

    #[test]
    fn the_strongest_offer_is_taken_however_they_are_written() {
        let (weak, strong) = (offer("MD5"), offer("SHA-256"));
        let is_strong = |offers: &[&str]| match best(offers.iter().copied()) {
            Some(Challenge::Digest(digest)) => digest.algorithm == Algorithm::Sha256,
            Some(Challenge::Basic) | None => false,
        };
        assert!(is_strong(&[&weak, &strong, "Basic realm=\"x\""]));
        assert!(is_strong(&[&format!("Basic realm=\"a, b=\\\"c\", {strong}, {weak}")]));
        assert_eq!(best(["Basic realm=\"x\", charset=\"UTF-8\""]), Some(Challenge::Basic));
        assert_eq!(best(["basic"]), Some(Challenge::Basic));
        for none in
            ["", "Negotiate", "Digest realm=\"x\"", &offer("SHA-512-256"), "Digest realm=x, nonce=y, qop=\"auth-int\""]
        {
            assert_eq!(best([none]), None, "{none}");
        }
    }

    #[test]
    fn basic_is_what_every_server_takes_and_a_password_is_never_shown() {
        let login = Login { user: "Aladdin".into(), password: "open sesame".into() };
        assert_eq!(answer(&Challenge::Basic, &login, "/", "", 1), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{login:?}").contains("sesame"));
    }
}
