//! Whose bundle it is: `model.toml.minisig` beside the manifest, which names the digest of every other file.

use std::path::{Path, PathBuf};

use edge_engine::bundle::read_text;
use minisign_verify::{PublicKey, Signature};

use crate::config::ModelsConfig;

/// Largest key or signature file; real ones have a few hundred bytes.
const MOST_BYTES: u64 = 64 << 10;
/// Largest manifest.
const MOST_SIGNED: u64 = 1 << 20;

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("no model.toml.minisig: sign the bundle, or set `models.allow_unsigned = true`")]
    Unsigned,
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is no minisign signature")]
    Malformed {
        path: PathBuf,
        #[source]
        source: minisign_verify::Error,
    },
    #[error("model.toml.minisig holds for none of the {keys} keys in {dir}")]
    Untrusted { keys: usize, dir: PathBuf },
}

/// Checks the signature of the bundle in `dir` against the trusted keys.
pub fn check(dir: &Path, config: &ModelsConfig) -> Result<(), SignatureError> {
    let path = dir.join("model.toml.minisig");
    let text = match read_text(&path, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && config.allow_unsigned => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(SignatureError::Unsigned),
        Err(source) => return Err(SignatureError::Read { path, source }),
    };
    let signature = Signature::decode(&text).map_err(|source| SignatureError::Malformed { path, source })?;
    let manifest = dir.join("model.toml");
    let signed = read_text(&manifest, MOST_SIGNED).map_err(|source| SignatureError::Read { path: manifest, source })?;
    let keys = keys(&config.keys_dir)?;
    if keys.iter().any(|key| key.verify(signed.as_bytes(), &signature, false).is_ok()) {
        return Ok(());
    }
    Err(SignatureError::Untrusted { keys: keys.len(), dir: config.keys_dir.clone() })
}

fn keys(dir: &Path) -> Result<Vec<PublicKey>, SignatureError> {
    let read = |path: &Path, source| SignatureError::Read { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(read(dir, source)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| read(dir, source))?.path();
        if path.extension().is_some_and(|end| end == "pub") {
            let text = read_text(&path, MOST_BYTES).map_err(|source| read(&path, source))?;
            keys.push(PublicKey::decode(&text).map_err(|source| SignatureError::Malformed { path, source })?);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with `minisign -G -W` and `minisign -S`; the secret key was thrown away.
    const MANIFEST: &str = "test";
    const KEY: &str =
        "untrusted comment: minisign public key\nRWSCcVLv83J2UwfLwO20oj3EvECx7+Psl2BgjS8Y+YmC48ZHUpWj5ud3\n";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUSCcVLv83J2U4QVMV/r13+MrLKyDTPvfH9CXv8W3BcOqWzWv7TeHPX/+C1nlogm/QJfVyovee0welzsbUQj3P1ycShcdFE9fws=\n\
        trusted comment: timestamp:1795385006\tfile:model.toml\thashed\n\
        K48MyMatyaIdhv6JOCkeP/IEukl6RchtA7Ckl/h07d941NRqQCO4klXrc6rZ3G/iuQyeCVwvSwZGFucfAx8HCw==\n";

    fn bundle(manifest: &str, signature: Option<&str>, key: Option<&str>) -> (tempfile::TempDir, ModelsConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.toml"), manifest).unwrap();
        if let Some(signature) = signature {
            std::fs::write(dir.path().join("model.toml.minisig"), signature).unwrap();
        }
        if let Some(key) = key {
            std::fs::write(dir.path().join("site.pub"), key).unwrap();
        }
        let config = ModelsConfig {
            dirs: Vec::new(),
            allow_unsigned: false,
            keys_dir: dir.path().into(),
            tune: crate::config::Tune::OnRequest,
            objective: Default::default(),
            pinned: Vec::new(),
            idle_unload: None,
        };
        (dir, config)
    }

    #[test]
    fn a_signature_without_an_end_is_named_and_not_waited_for() {
        let (dir, config) = bundle(MANIFEST, None, Some(KEY));
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("model.toml.minisig")).unwrap();
        let said = crate::driver::chain(&check(dir.path(), &config).unwrap_err());
        assert!(said.contains("model.toml.minisig") && said.contains("not a regular file"), "{said}");
        let (dir, config) = bundle(MANIFEST, Some(&"x".repeat(100_000)), Some(KEY));
        let said = crate::driver::chain(&check(dir.path(), &config).unwrap_err());
        assert!(said.contains("larger than"), "{said}");
    }

    #[test]
    fn a_bundle_is_loaded_only_under_a_trusted_signature() {
        let says = |manifest: &str, signature, key| {
            let (dir, config) = bundle(manifest, signature, key);
            check(dir.path(), &config).map_err(|error| error.to_string())
        };
        assert_eq!(says(MANIFEST, Some(SIGNATURE), Some(KEY)), Ok(()));
        assert!(says("tampered", Some(SIGNATURE), Some(KEY)).unwrap_err().contains("none of the 1 keys"));
        assert!(says(MANIFEST, Some(SIGNATURE), None).unwrap_err().contains("none of the 0 keys"));
        assert!(says(MANIFEST, None, Some(KEY)).unwrap_err().contains("allow_unsigned"));
        assert!(says(MANIFEST, Some("nonsense"), Some(KEY)).unwrap_err().contains("no minisign signature"));
    }

    #[test]
    fn an_unsigned_bundle_needs_the_operators_word_and_a_bad_signature_is_never_taken() {
        let (dir, config) = bundle(MANIFEST, None, None);
        assert!(check(dir.path(), &ModelsConfig { allow_unsigned: true, ..config }).is_ok());
        let (dir, config) = bundle("tampered", Some(SIGNATURE), Some(KEY));
        assert!(check(dir.path(), &ModelsConfig { allow_unsigned: true, ..config }).is_err());
    }
}
