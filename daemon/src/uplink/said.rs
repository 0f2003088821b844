//! What servers say beside the answer itself: sentences in failures, when to come again. Pure; what comes from elsewhere is cut
//! short and cannot write lines of its own into a log.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Characters of a server's sentence that are kept.
const MOST_CHARS: usize = 300;
/// Nobody means a longer pause than this.
const MOST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What a proxy asks for.
pub(super) const PROXY_ASKS: &str = "the proxy asks who this box is (407): set the site's `proxy_credential`";

/// Text of somebody else: without control characters, at most [`MOST_CHARS`].
pub(super) struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, char) in self.0.trim().chars().enumerate() {
            if index >= MOST_CHARS {
                return out.write_str("...");
            }
            write!(out, "{}", if char.is_control() { ' ' } else { char })?;
        }
        Ok(())
    }
}

/// `what`, and behind it what the server says.
pub(super) fn with(what: &str, message: &str) -> String {
    if message.is_empty() { what.to_owned() } else { format!("{what}: {message}") }
}

/// The sentence in the body of a failure: in JSON where servers put it, else the text itself unless it is a page.
pub(super) fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let found = serde_json::from_str::<Value>(&text).ok().and_then(|value| sentence(&value));
    match found {
        Some(found) => Quoted(&found).to_string(),
        None if text.trim_start().starts_with(['<', '{', '[']) => String::new(),
        None => Quoted(&text).to_string(),
    }
}

/// The sentence that says what is wrong, if there is one.
pub(super) fn sentence(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => ["error", "message", "detail", "error_msg"]
            .iter()
            .find_map(|name| fields.get(*name).filter(|value| !value.is_null()))
            .and_then(|value| sentence(value).or_else(|| Some(value.to_string()))),
        _ => None,
    }
}

/// How long to wait, as `Retry-After` says: seconds, or a date, held against the server's own `Date` where it tells one.
pub(super) fn retry_after(text: &str, server: Option<&str>, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(MOST_PAUSE));
    }
    let now = server.and_then(date).unwrap_or(now);
    // A date that has passed means now.
    Some(date(text)?.duration_since(now).unwrap_or_default().min(MOST_PAUSE))
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next() != Some("GMT") || parts.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_seconds_or_as_a_date_by_the_servers_own_clock() {
        let now = SystemTime::UNIX_EPOCH;
        let s = |seconds| Some(Duration::from_secs(seconds));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (text, server, pause) in [
            ("7", None, s(7)),
            (" 0 ", None, s(0)),
            ("99999999", None, s(86_400)),
            (date, Some("Sun, 06 Nov 1994 08:49:30 GMT"), s(7)),
            (date, Some("Sun, 06 Nov 1994 09:00:00 GMT"), s(0)),
            (date, None, s(86_400)),
            ("soon", None, None),
            ("-1", None, None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None, None),
            ("Sun, 36 Nov 1994 08:49:37 GMT", None, None),
        ] {
            assert_eq!(retry_after(text, server, now), pause, "{text}");
        }
    }

    #[test]
    fn the_sentence_of_a_failure_is_found_cut_and_kept_on_one_line() {
        for (body, says) in [
            (r#"{"error":"no model"}"#, "no model"),
            (r#"{"error":{"message":"too long","code":4}}"#, "too long"),
            (r#"{"detail":[{"loc":1}]}"#, r#"[{"loc":1}]"#),
            ("plain\nwords", "plain words"),
            ("<html><body>502", ""),
            (r#"{"x":1}"#, ""),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), says);
        }
        assert_eq!(message("x".repeat(1000).as_bytes()).len(), MOST_CHARS + 3);
    }
}
