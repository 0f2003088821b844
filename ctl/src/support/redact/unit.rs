//! Lines of units: as their files have them, as `systemctl show` and as `systemctl status` tell them. Pure. What a unit hands to a
//! program, in its environment or on its command line, may be a secret under any name, so no label is waited for: names of
//! variables and programs are told, and what they are given is not.

mod lines;
mod words;

use self::lines::{Kind, Lines, Setting};
use self::words::words;
use super::REMOVED;

/// Variables whose value harms nobody and tells why a runtime is or is not found.
const HARMLESS: [&str; 8] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "PATH",
    "LANG",
    "CUDA_CACHE_PATH",
    "CUDA_CACHE_MAXSIZE",
    "ORT_DYLIB_PATH",
    "LD_LIBRARY_PATH",
];
/// Beginning of edged's own.
const OURS: &str = "EDGED_";
/// Programs whose arguments are told: they take no secret there.
const PROGRAMS: [&str; 2] = ["edged", "edgectl"];
/// What systemd may be told of a command, before its program.
const MARKS: [char; 6] = ['@', '-', ':', '+', '!', '|'];
/// What stands behind the arguments in `systemctl show`.
const BEHIND: [&str; 2] = ["; ignore_errors=", "; flags="];

/// A text in which units keep their secrets to themselves; what is no line of one stays.
pub fn told(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (line, end) in Lines::of(text) {
        match Setting::of(&line) {
            Some(setting) => {
                out.push_str(setting.before);
                out.push_str(&value(&setting));
            }
            None => out.push_str(&line),
        }
        out.push_str(end);
    }
    out
}

/// The variables that units in a text set, with what they set them to.
pub fn variables(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (line, _) in Lines::of(text) {
        let Some(setting) = Setting::of(&line).filter(|setting| setting.kind == Kind::Variables) else { continue };
        for word in words(setting.value) {
            let bare = unquoted(word);
            match (bare.split_once('='), found.last_mut()) {
                (Some((name, value)), _) if is_name(name) => {
                    found.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
                }
                // `NAME=\` and the value on the next line: systemd takes it for a word of its own.
                (_, Some((_, value))) if value.is_empty() => *value = bare.to_owned(),
                _ => {}
            }
        }
    }
    found
}

fn value(setting: &Setting<'_>) -> String {
    let lead = if setting.value.starts_with(char::is_whitespace) { " " } else { "" };
    let value = setting.value.trim();
    let told = match setting.kind {
        _ if value.is_empty() => String::new(),
        Kind::Variables => each(value, variable),
        Kind::Names => each(value, name),
        Kind::Commands => commands(value),
        Kind::Shown => shown(value),
        Kind::Ended => ended(value),
        Kind::Running => command(value),
        Kind::Data => REMOVED.to_owned(),
    };
    format!("{lead}{told}")
}

fn each(value: &str, one: fn(&str) -> String) -> String {
    words(value).into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// `NAME=value`, in quotes or not.
fn variable(word: &str) -> String {
    let bare = unquoted(word);
    let quote = word.chars().next().filter(|char| "\"'".contains(*char)).map(String::from).unwrap_or_default();
    match bare.split_once('=') {
        Some((name, _)) if HARMLESS.contains(&name) || name.starts_with(OURS) => word.to_owned(),
        Some((name, _)) if is_name(name) => format!("{quote}{name}={REMOVED}{quote}"),
        // A part of a value whose quotes were forgotten.
        _ => REMOVED.to_owned(),
    }
}

/// `NAME`, of a variable that is handed on or taken away.
fn name(word: &str) -> String {
    if is_name(unquoted(word)) { word.to_owned() } else { variable(word) }
}

/// Whether it is written as people write names of variables; what is mixed may as well be a part of a value.
fn is_name(text: &str) -> bool {
    let all = |letter: fn(&u8) -> bool| text.bytes().all(|byte| letter(&byte) || byte.is_ascii_digit() || byte == b'_');
    let begins = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    begins && (all(u8::is_ascii_uppercase) || all(u8::is_ascii_lowercase))
}

/// Without the quotes at its ends, as systemd or the shell writes them.
fn unquoted(word: &str) -> &str {
    word.trim_start_matches('$').trim_matches(['"', '\''])
}

/// Commands as a file has them: several stand in one line, with a `;` between them.
fn commands(value: &str) -> String {
    let words = words(value);
    words.split(|word| *word == ";").map(program_and_arguments).collect::<Vec<_>>().join(" ; ")
}

/// A command as lists of processes have it.
fn command(line: &str) -> String {
    program_and_arguments(&line.split_whitespace().collect::<Vec<_>>())
}

fn program_and_arguments(words: &[&str]) -> String {
    let Some((program, arguments)) = words.split_first() else { return String::new() };
    let path = program.trim_start_matches(MARKS).trim_matches(['"', '\'']);
    let is_ours = path.rsplit('/').next().is_some_and(|name| PROGRAMS.contains(&name));
    // What is no path may be a part of the arguments of the command before.
    let is_path =
        path.starts_with('/') && path.chars().all(|char| char.is_ascii_alphanumeric() || "/._-+@%".contains(char));
    match is_path || is_ours {
        false => REMOVED.to_owned(),
        true if is_ours => words.join(" "),
        true if arguments.is_empty() => (*program).to_owned(),
        true => format!("{program} {REMOVED}"),
    }
}

/// `{ path=/bin/x ; argv[]=/bin/x -p y ; ignore_errors=no ; .. }`.
fn shown(value: &str) -> String {
    let Some((before, after)) = value.split_once("argv[]=") else { return REMOVED.to_owned() };
    // The last ones: the arguments may say the same.
    let end = BEHIND.iter().filter_map(|sign| after.rfind(sign)).max();
    let (argv, behind) = end.and_then(|end| after.split_at_checked(end)).unwrap_or((after, "}"));
    format!("{before}argv[]={} {behind}", command(argv))
}

/// `/bin/x -p y (code=exited, status=0/SUCCESS)`.
fn ended(value: &str) -> String {
    let (line, code) = value.rfind("(code=").and_then(|end| value.split_at_checked(end)).unwrap_or((value, ""));
    format!("{} {code}", command(line)).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
