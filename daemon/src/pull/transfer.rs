//! What the answer to a request for bytes means: the rest of what is there, the whole anew, or a trouble. Pure.

use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED};

use super::trouble::Trouble;

/// What of an answer counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub status: u16,
    /// Bytes of the body.
    pub length: Option<u64>,
    /// First byte, and bytes of the whole, of a part; the first is absent where none is given.
    pub range: Option<(Option<u64>, Option<u64>)>,
    /// What the server calls this content, if that is sure to change with it.
    pub validator: Option<String>,
}

/// What is known before it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Bytes that are there; 0 asks for the whole.
    pub have: u64,
    /// Bytes of the whole, as they were announced before.
    pub total: Option<u64>,
    /// They were announced by somebody who must know: a manifest.
    pub fixed: bool,
    pub validator: Option<String>,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coming {
    /// What is missing.
    Rest,
    /// All of it; why from the begin, if something was there already.
    Whole { total: u64, again: Option<&'static str> },
    /// Nothing of use: it is to be asked for from the begin.
    Again(&'static str),
}

/// Another content is there now.
const CHANGED: &str = "the content has changed there";

impl Seen {
    /// Of an answer.
    pub fn of(answer: &Response) -> Seen {
        let headers = answer.headers();
        Seen {
            status: answer.status().as_u16(),
            length: text(headers, CONTENT_LENGTH).and_then(|text| text.trim().parse().ok()),
            range: text(headers, CONTENT_RANGE).and_then(range),
            validator: validator(text(headers, ETAG), text(headers, LAST_MODIFIED)),
        }
    }
}

/// What comes, or why nothing of use does. `name` is the server; a status that is neither is the caller's to name.
pub fn coming(name: &str, seen: &Seen, known: &Known) -> Result<Coming, Trouble> {
    let differs = |total: u64| known.total.is_some_and(|before| before != total);
    match (seen.status, seen.range) {
        (206, Some((Some(first), total))) => {
            if first != known.have {
                let why = format!("{name} sends bytes from {first} on, and was asked for those from {} on", known.have);
                return Err(Trouble::lasting(why));
            }
            let renamed = known.validator.is_some() && seen.validator.is_some() && known.validator != seen.validator;
            if renamed || total.is_some_and(differs) {
                return Ok(Coming::Again(CHANGED));
            }
            Ok(Coming::Rest)
        }
        (206, _) => Err(Trouble::lasting(format!("{name} sends a part of the bundle, and does not say which"))),
        (416, _) => Ok(Coming::Again("the bytes that are missing are not there")),
        (200, _) => {
            let total = match (seen.length, known.total.filter(|_| known.fixed)) {
                (Some(length), Some(total)) if length != total => {
                    let why = format!("{name} announces {length} bytes, and the manifest promises {total}");
                    return Err(Trouble::lasting(why));
                }
                (Some(length), _) => length,
                (None, Some(total)) => total,
                (None, None) => {
                    return Err(Trouble::lasting(format!(
                        "{name} does not say how long the bundle is (no Content-Length): serve it as a file"
                    )));
                }
            };
            let renamed = known.validator.is_some() && known.validator != seen.validator;
            let again = match (known.have > 0, renamed || differs(total)) {
                (false, _) => None,
                (true, true) => Some(CHANGED),
                (true, false) => Some("the server cannot resume"),
            };
            Ok(Coming::Whole { total, again })
        }
        _ => Err(Trouble::lasting(format!("{name} answered {}, which nobody expected", seen.status))),
    }
}

fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A strong tag, else the time of the last change.
fn validator(tag: Option<&str>, changed: Option<&str>) -> Option<String> {
    tag.filter(|tag| tag.starts_with('"')).or(changed).map(str::to_owned)
}

/// Reads `bytes 5-9/10`, `bytes 5-9/*` and `bytes */10`.
fn range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (part, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = match part.trim() {
        "*" => None,
        part => Some(part.split_once('-')?.0.trim().parse().ok()?),
    };
    Some((first, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(have: u64, total: Option<u64>) -> Known {
        Known { have, total, fixed: false, validator: Some("\"a\"".into()) }
    }

    fn seen(status: u16, length: Option<u64>, range: Option<(Option<u64>, Option<u64>)>) -> Seen {
        Seen { status, length, range, validator: Some("\"a\"".into()) }
    }

    #[test]
    fn the_answer_is_the_rest_or_the_whole_or_says_that_it_changed() {
        let rest = |first, total| seen(206, Some(5), Some((first, total)));
        for (answer, before, expected) in [
            (rest(Some(5), Some(10)), known(5, Some(10)), Coming::Rest),
            (rest(Some(5), None), known(5, Some(10)), Coming::Rest),
            (rest(Some(5), Some(11)), known(5, Some(10)), Coming::Again(CHANGED)),
            (
                Seen { validator: Some("\"b\"".into()), ..rest(Some(5), Some(10)) },
                known(5, Some(10)),
                Coming::Again(CHANGED),
            ),
            (seen(200, Some(10), None), known(0, None), Coming::Whole { total: 10, again: None }),
            (
                seen(200, Some(10), None),
                known(5, Some(10)),
                Coming::Whole { total: 10, again: Some("the server cannot resume") },
            ),
            (seen(200, Some(12), None), known(5, Some(10)), Coming::Whole { total: 12, again: Some(CHANGED) }),
            (
                seen(200, None, None),
                Known { fixed: true, ..known(0, Some(10)) },
                Coming::Whole { total: 10, again: None },
            ),
            (
                seen(416, None, Some((None, Some(4)))),
                known(5, Some(10)),
                Coming::Again("the bytes that are missing are not there"),
            ),
        ] {
            assert_eq!(coming("h", &answer, &before), Ok(expected), "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_true_is_not_taken() {
        for (answer, before, says) in [
            (seen(206, None, Some((Some(4), Some(10)))), known(5, Some(10)), "sends bytes from 4 on"),
            (seen(206, None, None), known(5, Some(10)), "does not say which"),
            (seen(206, None, Some((None, Some(10)))), known(5, Some(10)), "does not say which"),
            (seen(200, None, None), known(0, None), "no Content-Length"),
            (seen(200, Some(11), None), Known { fixed: true, ..known(0, Some(10)) }, "the manifest promises 10"),
            (seen(204, None, None), known(0, None), "answered 204"),
        ] {
            let said = coming("h", &answer, &before);
            assert!(matches!(&said, Err(Trouble::Source { why, .. }) if why.contains(says)), "{said:?}");
        }
    }

    #[test]
    fn ranges_and_names_of_content_are_read() {
        assert_eq!(range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(range("bytes */10"), Some((None, Some(10))));
        for text in ["", "bytes", "bytes 5", "lines 5-9/10", "bytes x-9/10"] {
            assert_eq!(range(text), None, "{text}");
        }
        assert_eq!(validator(Some("\"a\""), Some("Mon")).as_deref(), Some("\"a\""));
        assert_eq!(validator(Some("W/\"a\""), Some("Mon")).as_deref(), Some("Mon"));
        assert_eq!(validator(Some("W/\"a\""), None), None);
    }
}
