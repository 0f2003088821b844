//! Secrets in text that nobody knows the form of: line by line, by what stands before them and by how they look.

use super::REMOVED;
use super::label::{is_pin, is_secret};
use crate::support::words;

/// Beginnings of tokens that services give out.
const TOKENS: [&str; 16] = [
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "sk-",
    "hf_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "nvapi-",
];
/// A token is at least so long.
const TOKEN: usize = 16;
/// A setting of systemd units whose value has a secret in it, in plain text and with blanks.
const CREDENTIAL: &str = "SetCredential";
/// Words before a token of any look.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// A text without secrets.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = None;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        match within {
            // The key itself; the line that ends it says nothing either.
            Some(Within::Key) => within = (!content.contains("-----END")).then_some(Within::Key),
            Some(Within::Next) => within = None,
            Some(Within::Continued) => within = content.ends_with('\\').then_some(Within::Continued),
            None => {
                out.push_str(&one(content));
                out.push_str(end);
                within = begins(content);
            }
        }
    }
    out
}

/// Lines that belong to what was removed.
#[derive(Clone, Copy)]
enum Within {
    Key,
    Next,
    /// Of a setting of a unit, or a value that was not at its end, up to a line that does not end with a backslash.
    Continued,
}

fn begins(line: &str) -> Option<Within> {
    let key = line.split_once("-----BEGIN ").map(|(_, rest)| rest);
    match key {
        Some(rest) if rest.contains("PRIVATE") && !rest.contains("-----END") => Some(Within::Key),
        _ if line.contains("secret key") && line.contains("comment:") => Some(Within::Next),
        _ if !line.ends_with('\\') => None,
        _ if line.contains(CREDENTIAL) || labelled(line).ends_with(REMOVED) => Some(Within::Continued),
        _ => None,
    }
}

fn one(line: &str) -> String {
    tokens(&labelled(&addresses(&keys(line))))
}

/// A private key, or the part of one that is on this line.
fn keys(line: &str) -> String {
    let Some((before, rest)) = line.split_once("-----BEGIN ") else { return line.to_owned() };
    if !rest.contains("PRIVATE") {
        return line.to_owned();
    }
    let after =
        rest.rsplit_once("-----END").and_then(|(_, end)| end.split_once("-----")).map_or("", |(_, after)| after);
    format!("{before}{REMOVED}{after}")
}

/// A value that is one address from its beginning to its end, whatever signs are in it.
pub fn address(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => format!("{scheme}://{}", cleaned(rest)),
        _ => value.to_owned(),
    }
}

/// What stands before the `@` of the addresses in a value.
pub fn users(value: &str) -> Vec<String> {
    let whole = value.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map(|(_, rest)| rest);
    whole.and_then(|rest| rest.rsplit_once('@')).map(|(user, _)| user.to_owned()).into_iter().collect()
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Addresses in a line.
fn addresses(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|char: char| char.is_whitespace() || "\"`".contains(char)).unwrap_or(after.len());
        let (address, left) = after.split_at(end);
        out.push_str(&cleaned(address));
        rest = left;
    }
    out + rest
}

/// The part behind `://` without user and query.
fn cleaned(address: &str) -> String {
    let (user, place) = address.rsplit_once('@').map_or(("", address), |(_, place)| (REMOVED, place));
    let at = if user.is_empty() { "" } else { "@" };
    match place.split_once('?') {
        Some((place, query)) if !query.is_empty() => format!("{user}{at}{place}?{REMOVED}"),
        _ => format!("{user}{at}{place}"),
    }
}

/// Values behind names that say that they are secret: `password=x`, `"token": "x"`, `--secret x`, `Authorization: Bearer x`.
fn labelled(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(begin) = rest.find(is_word) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|char| !is_word(char)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(word);
        let quote = before.chars().next_back().filter(|char| "\"'".contains(*char));
        rest = match value(word, quote, after) {
            Some((kept, left)) => {
                out.push_str(kept);
                out.push_str(REMOVED);
                left
            }
            None => after,
        };
    }
    out + rest
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || "_-.".contains(char)
}

/// What of the text behind a word stays before its secret value, and what comes behind that; `None` if it has none.
fn value<'a>(word: &str, quote: Option<char>, after: &'a str) -> Option<(&'a str, &'a str)> {
    let is_scheme = SCHEMES.contains(&word.to_ascii_lowercase().as_str());
    let is_named = is_scheme || is_secret(word);
    if !is_named && !word.eq_ignore_ascii_case("pin") {
        return None;
    }
    let closed = after.strip_prefix(['"', '\'']).unwrap_or(after);
    let spaced = closed.trim_start();
    let (sign, behind) = match spaced.strip_prefix("=>").or_else(|| spaced.strip_prefix(['=', ':'])) {
        Some(behind) => (spaced.chars().next(), behind.trim_start()),
        // An option, or a scheme: the value is the next word.
        None if (word.starts_with('-') || is_scheme) && spaced.len() < closed.len() => (None, spaced),
        None => return None,
    };
    if !is_named && !is_pin(word, &behind) {
        return None;
    }
    let kept = |left: &str| after.get(..after.len() - left.len()).unwrap_or_default();
    let left = match behind.chars().next()? {
        // Of a value in quotes everything up to the last of them: rather too much.
        open @ ('"' | '\'') => {
            let inner = behind.get(1..)?;
            let end = closing(inner, open);
            return Some((kept(inner), inner.get(end..).unwrap_or_default()));
        }
        // `"NAME=value with spaces"`: the quote was opened before the name.
        _ if quote.is_some_and(|_| closed.len() == after.len()) => {
            behind.get(closing(behind, quote.unwrap_or('"'))..).unwrap_or_default()
        }
        // `name: all of it`.
        _ if sign == Some(':') || word.starts_with(CREDENTIAL) => "",
        _ => behind.find(char::is_whitespace).and_then(|end| behind.get(end..)).unwrap_or_default(),
    };
    Some((kept(behind), left))
}

/// Where the closing quote is; the end where there is none.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// Tokens of known kinds, wherever they stand.
fn tokens(line: &str) -> String {
    words::replaced(
        line,
        |char| char.is_ascii_alphanumeric() || "_-.".contains(char),
        |word| {
            let is_token = word.len() >= TOKEN && TOKENS.iter().any(|begin| word.starts_with(begin));
            if is_token { REMOVED.into() } else { word.into() }
        },
    )
}
