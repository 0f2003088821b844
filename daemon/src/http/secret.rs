//! Secrets: one line in a file, and values of headers that are never shown.

use std::path::Path;

use reqwest::header::HeaderValue;

/// Largest file of credentials, bytes.
pub const MOST_SECRET: u64 = 64 << 10;

/// The one line of the file, without its end; `takes` says what that line may be. The error names the file.
pub fn line(path: &Path, takes: &str) -> Result<String, String> {
    let file = path.display();
    let text = edge_engine::bundle::read_text(path, MOST_SECRET).map_err(|error| {
        format!(
            "read {file}: {error}: takes a regular file of at most {} KiB with one line, {takes}",
            MOST_SECRET >> 10
        )
    })?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.contains(['\r', '\n']) || line.is_empty() {
        return Err(format!("{file}: takes one line, {takes}"));
    }
    Ok(line.to_owned())
}

/// A value of a header that is never shown, if a header can have it.
pub fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
