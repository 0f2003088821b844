//! The protocol of registries (OCI Distribution), as far as fetching one artefact goes: the manifest, the layer that is the
//! bundle, the token that a registry may want to see.

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::address::{host, is_digest, is_loopback};
use super::client::{Client, refused, secret, stalled};
use super::trouble::Trouble;

/// What a layer that is a bundle is.
pub const MEDIA_TYPE: &str = "application/vnd.edged.model.v1+tar.zst";
/// Where its name stands.
const TITLE: &str = "org.opencontainers.image.title";
/// End of the name of a bundle.
const ENDING: &str = ".edgemodel";
/// Largest manifest or token, bytes.
const MOST_BYTES: usize = 4 << 20;
/// Most characters of a registry's own words that are shown.
const MOST_SHOWN: usize = 200;
/// The manifests that are understood.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
                        application/vnd.oci.image.index.v1+json";

/// The layer that is the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
}

/// A repository in a registry, `https://HOST/v2/NAME/`.
#[derive(Debug)]
pub struct Repository<'c> {
    client: &'c Client,
    url: Url,
    token: Option<HeaderValue>,
}

/// What a registry wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where a token is to be had.
    pub realm: String,
    pub service: Option<String>,
    pub scope: Option<String>,
}

impl<'c> Repository<'c> {
    /// The repository at this address.
    pub fn new(client: &'c Client, url: Url) -> Repository<'c> {
        Repository { client, url, token: None }
    }

    /// The layer of the artefact with this tag or digest.
    pub async fn layer(&mut self, reference: &str) -> Result<Layer, Trouble> {
        let name = host(&self.url);
        let headers = [(ACCEPT, HeaderValue::from_static(ACCEPTED))].into_iter().collect();
        let (answer, known) = self.ask(&format!("manifests/{reference}"), &headers).await?;
        if !answer.status().is_success() {
            return Err(refused(&name, &answer, known.as_deref()));
        }
        let body = body(answer, self.client).await?;
        if let Some(expected) = reference.strip_prefix("sha256:") {
            let found = hex(&Sha256::digest(&body));
            if found != expected {
                let why = format!("{name} gave a manifest with sha256 {found} for {expected}");
                return Err(Trouble::lasting(why));
            }
        }
        choose(&body).map_err(|why| Trouble::lasting(format!("{reference} at {name}: {why}")))
    }

    /// Asks for the bytes of a layer.
    pub async fn blob(&mut self, sha256: &str, headers: &HeaderMap) -> Result<(Response, Option<String>), Trouble> {
        self.ask(&format!("blobs/sha256:{sha256}"), headers).await
    }

    /// Asks, and once more with a token if the registry wants one.
    async fn ask(&mut self, path: &str, headers: &HeaderMap) -> Result<(Response, Option<String>), Trouble> {
        let url = self.url.join(path).map_err(|error| Trouble::lasting(format!("{path}: {error}")))?;
        let (answer, known) = self.client.get(&url, headers, self.token.clone()).await?;
        let offers = answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|offer| offer.to_str().ok());
        let offer = offers.filter_map(challenge).next().filter(|_| answer.status().as_u16() == 401);
        let Some(offer) = offer else { return Ok((answer, known)) };
        self.token = Some(self.fetch_token(&offer).await?);
        self.client.get(&url, headers, self.token.clone()).await
    }

    /// The token that a registry wants to see, from where it says.
    async fn fetch_token(&self, offer: &Challenge) -> Result<HeaderValue, Trouble> {
        let name = host(&self.url);
        let wrong = |why: &str| Trouble::lasting(format!("{name} wants a token of {:?}, {why}", shorten(&offer.realm)));
        let mut realm = Url::parse(&offer.realm).map_err(|_| wrong("which is no address"))?;
        if realm.scheme() != "https" && !(realm.scheme() == "http" && is_loopback(&realm) && is_loopback(&self.url)) {
            return Err(wrong("where anybody could read it: it is not asked for"));
        }
        let named = [("service", &offer.service), ("scope", &offer.scope)];
        realm.query_pairs_mut().extend_pairs(named.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))));
        let known = self.client.credential(&self.url)?;
        let shown = known.as_ref().map(|known| known.header.clone());
        let (answer, file) = self.client.get(&realm, &HeaderMap::new(), shown).await?;
        if !answer.status().is_success() {
            let file = known.map(|known| known.file).or(file);
            return Err(refused(&name, &answer, file.as_deref()));
        }
        let body = body(answer, self.client).await?;
        let token: Token = serde_json::from_slice(&body).map_err(|_| wrong("which gave none"))?;
        let token = token.token.or(token.access_token).ok_or_else(|| wrong("which gave none"))?;
        secret(&format!("Bearer {token}"))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The one layer of a manifest that is a bundle. An error is a sentence of bounded length.
pub fn choose(manifest: &[u8]) -> Result<Layer, String> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("it is no manifest: {}", shorten(&error.to_string())))?;
    if !manifest.manifests.is_empty() {
        let many = manifest.manifests.len();
        return Err(format!("it is an index of {many} artefacts: name one of them by @sha256:DIGEST"));
    }
    let titled = |layer: &&Descriptor| layer.annotations.get(TITLE).is_some_and(|title| title.ends_with(ENDING));
    let typed: Vec<&Descriptor> = manifest.layers.iter().filter(|layer| layer.media_type == MEDIA_TYPE).collect();
    let bundles = if typed.is_empty() { manifest.layers.iter().filter(titled).collect() } else { typed };
    let layer = match bundles.as_slice() {
        [layer] => layer,
        [] => {
            return Err(format!(
                "none of its {} layers is a bundle: push one with `oras push REGISTRY/REPOSITORY:TAG NAME{ENDING}`",
                manifest.layers.len()
            ));
        }
        many => return Err(format!("{} of its layers are bundles, one is taken", many.len())),
    };
    let sha256 = layer.digest.strip_prefix("sha256:").filter(|hex| is_digest(hex)).map(str::to_ascii_lowercase);
    match sha256 {
        Some(sha256) => Ok(Layer { sha256, bytes: layer.size }),
        None => Err(format!("the digest {} of its layer is no sha256", shorten(&layer.digest))),
    }
}

/// What somebody else wrote, short enough to be shown.
fn shorten(text: &str) -> String {
    let short: String =
        text.chars().take(MOST_SHOWN).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}

/// Reads an offer of the form `Bearer realm="...",service="...",scope="..."`.
pub fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut found = Challenge::default();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        match key.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
            "realm" => found.realm = value.to_owned(),
            "service" => found.service = Some(value.to_owned()),
            "scope" => found.scope = Some(value.to_owned()),
            _ => {}
        }
        rest = left;
    }
    (!found.realm.is_empty()).then_some(found)
}

/// A short body.
async fn body(mut answer: Response, client: &Client) -> Result<Vec<u8>, Trouble> {
    let name = host(answer.url());
    let mut body = Vec::new();
    loop {
        let chunk = tokio::time::timeout(client.stall(), answer.chunk()).await;
        let chunk = chunk.map_err(|_| stalled(&name, client.stall()))?;
        match chunk.map_err(|error| super::trouble::of_error(&name, error, &super::client::now()))? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(body),
        }
        if body.len() > MOST_BYTES {
            return Err(Trouble::lasting(format!("{name} gives a manifest of more than {MOST_BYTES} bytes")));
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn layer(media: &str, digest: &str, title: &str) -> String {
        format!(
            "{{\"mediaType\": \"{media}\", \"digest\": \"{digest}\", \"size\": 7, \"annotations\": {{\"{TITLE}\": \"{title}\"}}}}"
        )
    }

    #[test]
    fn the_bundle_is_the_layer_of_its_type_or_the_only_one_of_its_name() {
        let plain = "application/vnd.oci.image.layer.v1.tar";
        let good = Ok(Layer { sha256: DIGEST[7..].into(), bytes: 7 });
        let (typed, named) = (layer(MEDIA_TYPE, DIGEST, ""), layer(plain, DIGEST, "add-1.0.0.edgemodel"));
        let other = layer(plain, DIGEST, "README.md");
        for (layers, expected) in [
            (vec![&typed], good.clone()),
            (vec![&other, &named], good.clone()),
            (vec![&other, &named, &typed], good),
            (vec![&other], Err("none of its 1 layers is a bundle")),
            (vec![], Err("none of its 0 layers is a bundle")),
            (vec![&named, &named], Err("2 of its layers are bundles")),
            (vec![&layer(MEDIA_TYPE, "sha512:12", "")], Err("is no sha256")),
            // Of the right length, and an address of something else.
            (vec![&layer(MEDIA_TYPE, &format!("sha256:{}", "../".repeat(22).split_at(64).0), "")], Err("is no sha256")),
            (vec![&layer(MEDIA_TYPE, &"x".repeat(100_000), "")], Err("x... of its layer is no sha256")),
        ] {
            let layers: Vec<&str> = layers.into_iter().map(String::as_str).collect();
            let found = choose(format!("{{\"layers\": [{}]}}", layers.join(",")).as_bytes());
            match expected {
                Ok(layer) => assert_eq!(found, Ok(layer)),
                Err(says) => assert!(found.clone().unwrap_err().contains(says), "{found:?}"),
            }
        }
        assert!(choose(b"{\"manifests\": [{}, {}]}").unwrap_err().contains("an index of 2 artefacts"));
        assert!(choose(b"<html>").unwrap_err().contains("no manifest"));
    }

    #[test]
    fn the_offer_of_a_token_is_read_in_all_its_forms() {
        let found =
            challenge("Bearer realm=\"https://auth.example/token\",service=\"reg\",scope=\"repository:a:pull,push\"");
        assert_eq!(
            found,
            Some(Challenge {
                realm: "https://auth.example/token".into(),
                service: Some("reg".into()),
                scope: Some("repository:a:pull,push".into())
            })
        );
        assert_eq!(challenge("bearer realm=x, service=y").unwrap().service.as_deref(), Some("y"));
        for text in ["Basic realm=\"x\"", "Bearer", "Bearer service=\"y\"", "Bearer realm=\"x"] {
            assert_eq!(challenge(text), None, "{text}");
        }
    }
}
