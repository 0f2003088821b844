//! What a payload is: by what its sender or the operator says, else by its first bytes. Must not know what a model takes.

/// What the operator says of the payloads of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// What the sender says, else what it looks like.
    Auto,
    /// This content type, whatever the sender says.
    Type(String),
}

/// What is neither a picture nor a sound nor text.
pub const BYTES: &str = "application/octet-stream";

/// The content type of a payload; `said` is what its sender says.
pub fn content_type(configured: &Payload, said: Option<&str>, payload: &[u8]) -> String {
    let said = said.map(essence).filter(|said| !said.is_empty() && said != BYTES);
    match (configured, said) {
        (Payload::Type(configured), _) => configured.clone(),
        (Payload::Auto, Some(said)) => said,
        (Payload::Auto, None) => looks_like(payload).to_owned(),
    }
}

/// What the first bytes say; of JSON and text all of them are read.
pub fn looks_like(payload: &[u8]) -> &'static str {
    if payload.starts_with(&[0xFF, 0xD8, 0xFF]) {
        "image/jpeg"
    } else if payload.starts_with(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if payload.starts_with(b"RIFF") && payload.get(8..12) == Some(b"WAVE") {
        "audio/wav"
    } else if is_json(payload) {
        "application/json"
    } else if is_text(payload) {
        "text/plain"
    } else {
        BYTES
    }
}

/// Whether the text is a content type without parameters.
pub fn is_content_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest))
}

/// Only objects and lists: a number alone is text.
fn is_json(payload: &[u8]) -> bool {
    let first = payload.trim_ascii_start().first();
    matches!(first, Some(b'{' | b'[')) && serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
}

fn is_text(payload: &[u8]) -> bool {
    let is_written = |letter: char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r');
    !payload.is_empty() && std::str::from_utf8(payload).is_ok_and(|text| text.chars().all(is_written))
}

/// The type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_the_operator_says_then_what_the_sender_says_then_what_it_looks_like() {
        let jpeg = [0xFF, 0xD8, 0xFF, 0xE0];
        let png = Payload::Type("image/png".into());
        for (configured, said, expected) in [
            (&png, Some("image/jpeg"), "image/png"),
            (&Payload::Auto, Some("Image/BMP; x=1"), "image/bmp"),
            (&Payload::Auto, Some("application/octet-stream"), "image/jpeg"),
            (&Payload::Auto, Some(""), "image/jpeg"),
            (&Payload::Auto, None, "image/jpeg"),
        ] {
            assert_eq!(content_type(configured, said, &jpeg), expected, "{configured:?} {said:?}");
        }
    }

    #[test]
    fn the_first_bytes_say_what_it_is() {
        for (payload, expected) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], "image/png"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
            (b"RIFF\x10\0\0\0AVI ", BYTES),
            (b" {\"a\": 1}", "application/json"),
            (b"[1]", "application/json"),
            (b"{\"a\": ", "text/plain"),
            (b"42", "text/plain"),
            ("Los 7\n".as_bytes(), "text/plain"),
            (b"a\0b", BYTES),
            (b"\xC3\x28", BYTES),
            (b"", BYTES),
        ] {
            assert_eq!(looks_like(payload), expected, "{payload:?}");
        }
        assert!(is_content_type("image/svg+xml") && !is_content_type("image") && !is_content_type("a/b; c=d"));
    }
}
