//! Whether a file of a secret holds one, before a site is asked with it. What cannot be looked at is not judged, and what is in it is
//! never shown.

use std::path::Path;

use crate::config::files::Secret;

/// Why what is in a file of a secret is none, with what it takes; `None` too if the file cannot be read here.
pub fn secret_fault(path: &Path, kind: Secret) -> Option<String> {
    // A pipe would be waited for.
    let is_file = path.metadata().is_ok_and(|found| found.is_file());
    if !is_file || std::fs::File::open(path).is_err() {
        return None;
    }
    let (read, takes) = match kind {
        Secret::Token => (super::credential::read(path), super::credential::TAKES),
        Secret::Proxy => (super::site::basic(path), "USER:PASSWORD"),
    };
    let why = read.err()?;
    Some(if why.contains(takes) { why } else { format!("{why}: takes one line of at most 64 KiB, {takes}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_file_of_a_secret_is_looked_at_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let large = "x".repeat((64 << 10) + 1);
        for (kind, text, part) in [
            (Secret::Token, b"abc\n".as_slice(), None),
            (Secret::Token, b"Bearer abc", None),
            (Secret::Token, b"", Some("takes one line, the token, or Bearer TOKEN")),
            (Secret::Token, b"s3cret\nsecond", Some("takes one line")),
            (Secret::Token, b"\xff\xfes3cret", Some("takes a regular file of at most 64 KiB with one line, the token")),
            (Secret::Token, b"s3\x01cret", Some("characters that no header can have: takes one line")),
            (Secret::Token, large.as_bytes(), Some("of at most 64 KiB with one line")),
            (Secret::Proxy, b"user:pass", None),
            (Secret::Proxy, b"s3cret", Some("USER:PASSWORD")),
        ] {
            std::fs::write(&path, text).unwrap();
            let fault = secret_fault(&path, kind);
            assert_eq!(fault.is_some(), part.is_some(), "{fault:?}");
            let Some((fault, part)) = fault.zip(part) else { continue };
            assert!(fault.contains("token") && fault.contains(part) && !fault.contains("s3"), "{fault}");
        }
        assert_eq!(secret_fault(dir.path(), Secret::Token), None);
        assert_eq!(secret_fault(&dir.path().join("gone"), Secret::Token), None);
    }
}
