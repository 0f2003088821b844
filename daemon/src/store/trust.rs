//! Whose bundle it is: `model.toml.minisig` beside the manifest, which names the digest of every other file. Trusted is who
//! has a public key in the directory of keys; `keys.toml` there says which of them are revoked, and until when others hold.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use edge_engine::bundle::{MANIFEST, read_text, syntax_fault};
use minisign::{PublicKey, PublicKeyBox, SignatureBox};
use serde::Deserialize;

use super::archive::SIGNATURE;
use crate::config::ModelsConfig;

/// Largest key or signature file; real ones have a few hundred bytes.
const MOST_BYTES: u64 = 64 << 10;
/// Largest manifest.
const MOST_SIGNED: u64 = 1 << 20;
/// What is said of keys: their numbers, which are revoked, which end.
pub const TERMS: &str = "keys.toml";

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("no model.toml.minisig: sign the bundle, or set `models.allow_unsigned = true`")]
    Unsigned,
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is no minisign {what}")]
    Malformed {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: minisign::PError,
    },
    #[error(
        "{path} may be written by every user of this box (mode {mode:04o}), so nobody knows whose it is: `chmod -R o-w` it, and look at what it holds"
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}: {what}")]
    Terms { path: PathBuf, what: String },
    #[error(
        "signed by the key {signer}, which is none of the {keys} keys in {dir}: if it is to be trusted, put its public key there, as a file *.pub"
    )]
    Unknown { signer: String, keys: usize, dir: PathBuf },
    #[error("signed by the key {signer}, which is revoked in {path}")]
    Revoked { signer: String, path: PathBuf },
    #[error("signed by the key {signer}, which holds until {until} ({path}); the clock here says {now}")]
    Expired { signer: String, until: String, path: PathBuf, now: String },
    #[error("the signature by the key {signer} is of another manifest, or the manifest was changed since")]
    Other { signer: String },
}

/// Who signed a bundle: the number of the key, as minisign writes it; empty where nobody did and that is allowed.
pub type Signer = String;

/// The keys that are trusted, as they lie in their directory now.
#[derive(Debug)]
pub struct Trust {
    dir: PathBuf,
    keys: Vec<PublicKey>,
    terms: BTreeMap<String, Terms>,
    allow_unsigned: bool,
}

/// `keys.toml`: a table for each key that there is something to say of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFile {
    #[serde(default)]
    key: BTreeMap<String, Terms>,
}

/// What is said of a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Nothing that it signed is taken any more.
    #[serde(default)]
    revoked: bool,
    /// The last day on which what it signed is taken, `2027-06-30`; UTC.
    not_after: Option<String>,
}

impl Trust {
    /// Reads the keys. A file that is none is an error: nobody knows whether it was to revoke something.
    pub fn read(config: &ModelsConfig) -> Result<Trust, TrustError> {
        let dir = config.keys_dir.clone();
        let terms = terms(&dir.join(TERMS))?;
        Ok(Trust { keys: keys(&dir)?, dir, terms, allow_unsigned: config.allow_unsigned })
    }

    /// Who signed this manifest, if that is somebody who is trusted at the time `now`.
    pub fn judge(&self, manifest: &str, signature: Option<&str>, now: SystemTime) -> Result<Signer, TrustError> {
        let Some(text) = signature else {
            return if self.allow_unsigned { Ok(Signer::new()) } else { Err(TrustError::Unsigned) };
        };
        let malformed = |source| TrustError::Malformed { path: SIGNATURE.into(), what: "signature", source };
        let signature = SignatureBox::from_string(text).map_err(malformed)?;
        let signer = number(signature.keynum());
        let path = self.dir.join(TERMS);
        let terms = self.terms.get(&signer).cloned().unwrap_or_default();
        if terms.revoked {
            return Err(TrustError::Revoked { signer, path });
        }
        let Some(key) = self.keys.iter().find(|key| key.keynum() == signature.keynum()) else {
            return Err(TrustError::Unknown { signer, keys: self.keys.len(), dir: self.dir.clone() });
        };
        if let Some(until) = terms.not_after
            && end_of(&until).is_none_or(|end| now >= end)
        {
            let now = humantime::format_rfc3339_seconds(now).to_string();
            return Err(TrustError::Expired { signer, until, path, now });
        }
        // The library panics where the comment's signature is cut, and takes one that is not there.
        if !is_comment_whole(text) {
            return Err(TrustError::Other { signer });
        }
        match minisign::verify(key, &signature, Cursor::new(manifest), true, false, false) {
            Ok(()) => Ok(signer),
            Err(_) => Err(TrustError::Other { signer }),
        }
    }
}

/// Whether the fourth line, which signs the comment, is there with all its 64 bytes, as `minisign -S` writes it.
fn is_comment_whole(signature: &str) -> bool {
    signature.lines().nth(3).is_some_and(|line| line.trim().len() == 88 && line.trim().ends_with("=="))
}

/// Checks the signature of the bundle in `dir`, and that not everybody may change it after it was checked.
pub fn check(dir: &Path, config: &ModelsConfig, now: SystemTime) -> Result<Signer, TrustError> {
    shut(dir)?;
    let read = |name: &str, most| {
        let path = dir.join(name);
        match read_text(&path, most) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrustError::Read { path, source }),
        }
    };
    let signature = read(SIGNATURE, MOST_BYTES)?;
    let manifest = read(MANIFEST, MOST_SIGNED)?.unwrap_or_default();
    Trust::read(config)?.judge(&manifest, signature.as_deref(), now)
}

/// That not every user may write here or to what lies here; what does not lie here is told where it is read.
fn shut(dir: &Path) -> Result<(), TrustError> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in std::iter::once(dir.to_owned()).chain(entries) {
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o002 != 0 && !found.is_symlink() {
            return Err(TrustError::Open { path, mode });
        }
    }
    Ok(())
}

fn keys(dir: &Path) -> Result<Vec<PublicKey>, TrustError> {
    let read = |path: &Path, source| TrustError::Read { path: path.to_owned(), source };
    shut(dir)?;
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
            let key = PublicKeyBox::from_string(&text).and_then(PublicKeyBox::into_public_key);
            keys.push(key.map_err(|source| TrustError::Malformed { path, what: "public key", source })?);
        }
    }
    Ok(keys)
}

fn terms(path: &Path) -> Result<BTreeMap<String, Terms>, TrustError> {
    let text = match read_text(path, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(TrustError::Read { path: path.to_owned(), source }),
    };
    parse_terms(&text).map_err(|what| TrustError::Terms { path: path.to_owned(), what })
}

/// Reads `keys.toml`; to the number of each key what is said of it. An error names the place and what is taken.
pub fn parse_terms(text: &str) -> Result<BTreeMap<String, Terms>, String> {
    let file: TermsFile = toml::from_str(text).map_err(|error| syntax_fault(text, &error))?;
    for (key, terms) in &file.key {
        if key.len() != 16 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("key.{key}: must be the number of a key, 16 characters of 0-9 and A-F"));
        }
        if terms.not_after.as_deref().is_some_and(|until| end_of(until).is_none()) {
            return Err(format!("key.{key}.not_after: must be a day such as \"2027-06-30\""));
        }
    }
    Ok(file.key.into_iter().map(|(key, terms)| (key.to_ascii_uppercase(), terms)).collect())
}

/// When a day is over, UTC.
fn end_of(day: &str) -> Option<SystemTime> {
    let begins = humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).ok()?;
    begins.checked_add(Duration::from_secs(24 * 3600))
}

/// As minisign writes it: the number's eight bytes from the last to the first.
fn number(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with `minisign -G -W` and `minisign -S`; the secret key was thrown away.
    const MANIFEST_TEXT: &str = "test";
    const KEY: &str =
        "untrusted comment: minisign public key\nRWSCcVLv83J2UwfLwO20oj3EvECx7+Psl2BgjS8Y+YmC48ZHUpWj5ud3\n";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RUSCcVLv83J2U4QVMV/r13+MrLKyDTPvfH9CXv8W3BcOqWzWv7TeHPX/+C1nlogm/QJfVyovee0welzsbUQj3P1ycShcdFE9fws=\n\
        trusted comment: timestamp:1795385006\tfile:model.toml\thashed\n\
        K48MyMatyaIdhv6JOCkeP/IEukl6RchtA7Ckl/h07d941NRqQCO4klXrc6rZ3G/iuQyeCVwvSwZGFucfAx8HCw==\n";
    const NUMBER: &str = "537672F3EF527182";

    struct Case<'a> {
        manifest: &'a str,
        signature: Option<&'a str>,
        key: Option<&'a str>,
        terms: Option<&'a str>,
        allow_unsigned: bool,
    }

    const GOOD: Case<'_> =
        Case { manifest: MANIFEST_TEXT, signature: Some(SIGNED), key: Some(KEY), terms: None, allow_unsigned: false };

    fn day(text: &str) -> SystemTime {
        humantime::parse_rfc3339(&format!("{text}T12:00:00Z")).unwrap()
    }

    impl Case<'_> {
        fn bundle(&self) -> (tempfile::TempDir, ModelsConfig) {
            let dir = tempfile::tempdir().unwrap();
            let write = |name: &str, text: Option<&str>| {
                text.into_iter().for_each(|text| std::fs::write(dir.path().join(name), text).unwrap());
            };
            write(MANIFEST, Some(self.manifest));
            write(SIGNATURE, self.signature);
            write("site.pub", self.key);
            write(TERMS, self.terms);
            let config = ModelsConfig {
                keys_dir: dir.path().into(),
                allow_unsigned: self.allow_unsigned,
                ..ModelsConfig::for_tests()
            };
            (dir, config)
        }

        fn says(&self, now: SystemTime) -> Result<Signer, String> {
            let (dir, config) = self.bundle();
            check(dir.path(), &config, now).map_err(|error| crate::driver::chain(&error))
        }
    }

    #[test]
    fn what_everybody_may_write_is_nobodys() {
        let now = day("2026-11-27");
        for (name, mode) in [("", 0o777), (MANIFEST, 0o666), ("site.pub", 0o646), ("golden", 0o1777)] {
            let (dir, mut config) = GOOD.bundle();
            std::fs::create_dir(dir.path().join("golden")).unwrap();
            assert_eq!(check(dir.path(), &config, now).map_err(|error| error.to_string()), Ok(NUMBER.into()));
            let path = if name.is_empty() { dir.path().to_owned() } else { dir.path().join(name) };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let expected = format!("{} may be written by every user of this box (mode {mode:04o})", path.display());
            let found = check(dir.path(), &config, now).unwrap_err().to_string();
            assert!(found.starts_with(&expected), "{found}");
            // A directory of keys is held to the same.
            let bundle = tempfile::tempdir().unwrap();
            std::fs::write(bundle.path().join(MANIFEST), MANIFEST_TEXT).unwrap();
            std::fs::write(bundle.path().join(SIGNATURE), SIGNED).unwrap();
            config.keys_dir = dir.path().into();
            let found = check(bundle.path(), &config, now).unwrap_err().to_string();
            assert!(found.starts_with(&expected), "{found}");
        }
    }

    #[test]
    fn a_bundle_is_taken_only_under_a_trusted_signature() {
        let now = day("2026-11-27");
        assert_eq!(GOOD.says(now), Ok(NUMBER.into()));
        let cases = [
            (Case { manifest: "tampered", ..GOOD }, "is of another manifest, or the manifest was changed"),
            (Case { key: None, ..GOOD }, "which is none of the 0 keys"),
            (Case { signature: None, ..GOOD }, "allow_unsigned"),
            (Case { signature: Some("nonsense"), ..GOOD }, "is no minisign signature"),
            (Case { key: Some("nonsense"), ..GOOD }, "is no minisign public key"),
            (Case { terms: Some("[key.537672F3EF527182]\nrevoked = true"), ..GOOD }, "which is revoked in"),
            // Of keys that are not there any more as well.
            (Case { key: None, terms: Some("[key.537672f3ef527182]\nrevoked = true"), ..GOOD }, "which is revoked in"),
            (
                Case { terms: Some("[key.537672F3EF527182]\nnot_after = \"2026-11-26\""), ..GOOD },
                "holds until 2026-11-26",
            ),
            // What is said of keys and cannot be understood is not passed over.
            (Case { terms: Some("[key.537672F3EF527182]\nrevokd = true"), ..GOOD }, "keys.toml: line 2"),
            (Case { terms: Some("[key.12]\nrevoked = true"), ..GOOD }, "must be the number of a key"),
            (Case { terms: Some("[key.537672F3EF527182]\nnot_after = \"soon\""), ..GOOD }, "must be a day such as"),
        ];
        for (case, expected) in cases {
            let said = case.says(now).unwrap_err();
            assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
        }
    }

    #[test]
    fn a_key_holds_through_its_last_day_whatever_year_the_clock_is_in() {
        let case = Case { terms: Some("[key.537672F3EF527182]\nnot_after = \"2026-11-27\""), ..GOOD };
        assert!(case.says(day("2026-11-27")).is_ok());
        assert!(case.says(day("1970-01-01")).is_ok(), "a box that lost its clock serves what it served");
        let said = case.says(day("2063-04-05")).unwrap_err();
        assert!(said.contains("the clock here says 2063-04-05"), "{said}");
    }

    #[test]
    fn an_unsigned_bundle_needs_the_operators_word_and_a_bad_signature_is_never_taken() {
        let now = day("2026-11-27");
        assert_eq!(Case { signature: None, allow_unsigned: true, ..GOOD }.says(now), Ok(String::new()));
        assert!(Case { manifest: "tampered", allow_unsigned: true, ..GOOD }.says(now).is_err());
    }

    #[test]
    fn a_signature_without_an_end_is_named_and_not_waited_for() {
        let (dir, config) = Case { signature: None, ..GOOD }.bundle();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join(SIGNATURE)).unwrap();
        let said = crate::driver::chain(&check(dir.path(), &config, day("2026-11-27")).unwrap_err());
        assert!(said.contains(SIGNATURE) && said.contains("not a regular file"), "{said}");
        let said = Case { signature: Some(&"x".repeat(100_000)), ..GOOD }.says(day("2026-11-27")).unwrap_err();
        assert!(said.contains("larger than"), "{said}");
    }

    #[test]
    fn a_signature_that_is_cut_anywhere_is_refused_and_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.pub"), KEY).unwrap();
        let trust =
            Trust::read(&ModelsConfig { keys_dir: dir.path().to_owned(), ..ModelsConfig::for_tests() }).unwrap();
        let whole = SIGNED.trim_end();
        trust.judge(MANIFEST_TEXT, Some(SIGNED), day("2027-01-01")).unwrap();
        let comment = whole.rfind('\n').unwrap();
        for end in comment + 1..whole.len() {
            trust.judge(MANIFEST_TEXT, Some(&whole[..end]), day("2027-01-01")).unwrap_err();
            // Shorter, and good base64 all the same.
            let short = format!("{}\n", &whole[..comment + 1 + (end - comment - 1) / 4 * 4]);
            trust.judge(MANIFEST_TEXT, Some(&short), day("2027-01-01")).unwrap_err();
        }
    }
}
