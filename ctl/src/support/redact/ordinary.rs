//! Which values are too ordinary to be looked for in other texts: a setting that says `true` under a secret name would take every
//! `true` out of a bundle. Where they stand they go all the same.

/// A word that is all letters is one of a language if it is shorter; longer ones are looked for.
const WORD: usize = 8;
/// Digits of a number that is not a count of something.
const NUMBER: usize = 6;
/// Words of edged's own and of settings, as long as secrets.
const WORDS: [&str; 20] = [
    "password",
    "username",
    "credential",
    "credentials",
    "disabled",
    "required",
    "optional",
    "<removed>",
    "regulated",
    "internal",
    "premises",
    "throughput",
    "efficiency",
    "on-request",
    "best_effort",
    "interactive",
    "mosquitto",
    "localhost",
    "homeassistant",
    "anonymous",
];
/// What a name has of digits at most; tokens have more.
const DIGITS: usize = 3;
/// A name is at most so long.
const NAME: usize = 48;

/// Whether a value is one that many other texts have by chance.
pub fn is_ordinary(value: &str) -> bool {
    let value = value.trim();
    let is_number = value.parse::<f64>().is_ok() && value.bytes().filter(u8::is_ascii_digit).count() < NUMBER;
    is_number || is_word(value) || WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// All small letters, all large, or a large one at the beginning: what has them mixed was made up.
fn is_word(value: &str) -> bool {
    let is_short = value.chars().count() < WORD && value.chars().all(char::is_alphabetic);
    let is_plain = |text: &str| !text.chars().any(char::is_uppercase);
    let rest = value.chars().next().and_then(|first| value.get(first.len_utf8()..)).unwrap_or_default();
    is_short && (is_plain(rest) || !value.chars().any(char::is_lowercase))
}

/// Whether what stands under `credential` names one of systemd or a file, and is not, against the manual, the secret itself.
pub fn is_name(value: &str) -> bool {
    let is_part = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_.@".contains(char);
    let is_word = value.chars().all(is_part) && value.bytes().filter(u8::is_ascii_digit).count() <= DIGITS;
    let is_path = value.starts_with('/') && !value.contains(['+', '=', ':', ' ']);
    is_path || (value.len() <= NAME && is_word)
}
