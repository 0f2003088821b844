//! Serves a bundle as a registry does: a manifest by its tag and its digest, the layer by its digest, and perhaps only to those
//! who fetched a token.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::{Origin, Served};

/// Where a bundle lies in the registry.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Path of the layer.
    pub blob: String,
    /// Of the manifest, without its `sha256:`.
    pub digest: String,
}

/// What kind of layer the bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Of the media type for models.
    Typed,
    /// Named as `oras push` names it.
    Named,
}

/// The value of a header for a user and a password.
pub fn basic(user: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
}

/// Puts the archive at `path` into the registry.
pub fn push(origin: &Origin, repository: &str, tag: &str, path: &Path, layer: Layer) -> Result<Pushed> {
    let bytes = std::fs::read(path)?;
    let hex = |bytes: &[u8]| -> String { Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect() };
    let digest = hex(&bytes);
    let (media, title) = match layer {
        Layer::Typed => ("application/vnd.edged.model.v1+tar.zst", "a bundle"),
        Layer::Named => ("application/vnd.oci.image.layer.v1.tar", "add-2.0.0.edgemodel"),
    };
    let manifest = format!(
        "{{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", \"layers\": [{{\"mediaType\": \
         \"{media}\", \"digest\": \"sha256:{digest}\", \"size\": {}, \"annotations\": {{\"org.opencontainers.image.title\": \
         \"{title}\"}}}}]}}",
        bytes.len()
    );
    let pushed = Pushed { blob: format!("/v2/{repository}/blobs/sha256:{digest}"), digest: hex(manifest.as_bytes()) };
    for reference in [tag, &format!("sha256:{}", pushed.digest)] {
        origin.serve(&format!("/v2/{repository}/manifests/{reference}"), Served::text(&manifest));
    }
    origin.serve(&pushed.blob, Served::file(path));
    Ok(pushed)
}

/// Has what lies in the repository given only to those who fetched a token, as this user with this password.
pub fn guard(origin: &Origin, repository: &str, user: &str) {
    let realm =
        format!("Bearer realm=\"{}\",service=\"test\",scope=\"repository:{repository}:pull\"", origin.url("/token"));
    origin.with(|script| {
        for (path, served) in &mut script.served {
            if path.starts_with(&format!("/v2/{repository}/")) {
                served.guard = Some(("Bearer open".into(), realm.clone()));
            }
        }
    });
    origin.serve("/token", Served::text("{\"token\": \"open\"}").guarded(&basic(user), "Basic realm=\"test\""));
}
