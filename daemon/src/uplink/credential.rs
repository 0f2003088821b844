//! Bearer tokens of the sites, as their files say; read again when a file has changed. Holds what was read last.

use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

use crate::http::secret;

/// A token that was read.
#[derive(Debug, Default)]
pub(super) struct Token {
    read: Option<(Stamp, HeaderValue)>,
}

/// Tells a file from another one, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Token {
    /// The header for the token that the file holds now. The error names the file, and never what is in it.
    pub fn header(&mut self, path: &Path) -> Result<HeaderValue, String> {
        let stamp = stamp(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        if let Some((known, header)) = &self.read
            && *known == stamp
        {
            return Ok(header.clone());
        }
        self.read = None;
        let header = read(path)?;
        self.read = Some((stamp, header.clone()));
        Ok(header)
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let found = rustix::fs::stat(path)?;
    Ok(Stamp {
        device: found.st_dev,
        inode: found.st_ino,
        size: found.st_size,
        modified: (found.st_mtime, found.st_mtime_nsec),
        changed: (found.st_ctime, found.st_ctime_nsec),
    })
}

/// What a file of a token holds.
pub(super) const TAKES: &str = "the token, or Bearer TOKEN";

pub(super) fn read(path: &Path) -> Result<HeaderValue, String> {
    let takes = TAKES;
    let line = secret::line(path, takes)?;
    let token = match line.split_once(' ') {
        None => line.as_str(),
        Some((word, token)) if word.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => token.trim(),
        Some(_) => return Err(format!("{}: takes one line, {takes}", path.display())),
    };
    let header = secret::header(&format!("Bearer {token}"));
    header.ok_or_else(|| format!("{}: has characters that no header can have", PathBuf::from(path).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_again_when_its_file_has_changed_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut token = Token::default();
        let gone = token.header(&path).unwrap_err();
        assert!(gone.contains("token") && gone.contains("No such file"), "{gone}");
        for (text, header) in [("abc\n", "Bearer abc"), ("Bearer def\r\n", "Bearer def"), ("ghi", "Bearer ghi")] {
            std::fs::write(&path, text).unwrap();
            let read = token.header(&path).unwrap();
            assert_eq!(read, header);
            assert!(read.is_sensitive() && !format!("{token:?}").contains(text.trim()));
        }
        for text in ["", "a b", "a\nb", "a\u{1}"] {
            std::fs::write(&path, text).unwrap();
            assert!(token.header(&path).unwrap_err().contains("token"), "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(token.header(&path).unwrap_err().starts_with("read "));
    }
}
