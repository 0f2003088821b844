//! Which lines are of a unit, and what they say: settings, whose value may go on in the next line, and lists of processes.

use std::borrow::Cow;

/// Settings that set variables.
const VARIABLES: [&str; 3] = ["Environment", "ManagerEnvironment", "DefaultEnvironment"];
/// Settings that name variables, with values or without.
const NAMES: [&str; 2] = ["PassEnvironment", "UnsetEnvironment"];
/// Settings whose value is what a program reads.
const DATA: [&str; 2] = ["StandardInputText", "StandardInputData"];
/// Beginning of settings that are commands.
const EXEC: &str = "Exec";
/// Beginnings of those that are none.
const NO_COMMAND: [&str; 4] = ["ExecMain", "ExecPaths", "ExecSearchPath", "ExecDirectory"];
/// Before a process in a tree of them.
const BRANCHES: [&str; 4] = ["├─", "└─", "|-", "`-"];
/// Before a command that ended, in `systemctl status`.
const PROCESS: &str = "Process:";
/// Most lines that one value takes in `systemctl show`: an argument may be a script.
const MOST: usize = 256;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Variables,
    Names,
    /// As a file has them.
    Commands,
    /// One as `systemctl show` has it.
    Shown,
    /// One that ended, as `systemctl status` has it.
    Ended,
    /// One in a list of processes.
    Running,
    Data,
}

/// A line of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    pub kind: Kind,
    /// What stands before the value: the key, or the number of the process.
    pub before: &'a str,
    pub value: &'a str,
}

impl<'a> Setting<'a> {
    /// `None`: the line is something else.
    pub fn of(line: &'a str) -> Option<Setting<'a>> {
        let of = |kind, value: &'a str| {
            line.strip_suffix(value).map(|before| Setting { kind, before, value }).filter(|one| !one.before.is_empty())
        };
        if let Some(value) = running(line) {
            return of(Kind::Running, value);
        }
        let (key, value) = line.split_once('=')?;
        // What somebody commented out was a secret, too.
        let key = key.trim_start_matches(|char: char| char.is_whitespace() || is_comment(char)).trim_end();
        if let Some(process) = key.strip_prefix(PROCESS) {
            let is_command = process.split_whitespace().nth(1).is_some_and(is_command);
            return of(Kind::Ended, value).filter(|_| is_command);
        }
        let kind = match key {
            _ if VARIABLES.contains(&key) => Kind::Variables,
            _ if NAMES.contains(&key) => Kind::Names,
            _ if DATA.contains(&key) => Kind::Data,
            _ if !is_command(key) => return None,
            _ if value.trim_start().starts_with('{') => Kind::Shown,
            _ => Kind::Commands,
        };
        of(kind, value)
    }
}

/// Whether a setting of this name is a command.
fn is_command(key: &str) -> bool {
    let is_none = NO_COMMAND.iter().any(|begin| key.starts_with(begin));
    key.starts_with(EXEC) && !is_none && key.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// The command of `|-123 /usr/bin/x -p y`.
fn running(line: &str) -> Option<&str> {
    let tree = |before: &str| before.chars().all(|char| char.is_whitespace() || "│|".contains(char));
    let branch = |sign: &&str| line.split_once(*sign).filter(|(before, _)| tree(before)).map(|(_, rest)| rest);
    let process = BRANCHES.iter().find_map(branch)?.trim_start();
    let command = process.trim_start_matches(|char: char| char.is_ascii_digit());
    (command.len() < process.len() && command.starts_with(' ')).then_some(command)
}

/// Whether the value goes on in the next line: two backslashes are one that is meant.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

fn is_comment(char: char) -> bool {
    "#;".contains(char)
}

/// The lines of a text, with their ends; of a setting of a unit with the lines on which its value goes on.
pub struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    pub fn of(text: &'a str) -> Lines<'a> {
        Lines { rest: text }
    }

    fn line(&mut self) -> Option<(&'a str, &'a str)> {
        let (line, end, rest) = split(self.rest)?;
        self.rest = rest;
        Some((line, end))
    }

    /// The line and those that follow it, up to one that does not end with a backslash.
    fn continued(&mut self, first: &str, mut end: &'a str) -> (String, &'a str) {
        let was_comment = first.trim_start().starts_with(is_comment);
        let mut whole = first.to_owned();
        while goes_on(&whole) {
            let Some((line, next)) = self.line() else { break };
            end = next;
            let passes = !was_comment && line.trim_start().starts_with(is_comment);
            // Such a line in between systemd passes over.
            if !passes {
                whole.pop();
                whole.push(' ');
                whole.push_str(line.trim_start().trim_start_matches(is_comment));
            }
        }
        (whole, end)
    }

    /// The line and those that follow it, up to the one with the closing bracket; this line alone if there is none.
    fn bracketed(&mut self, first: &'a str, end: &'a str) -> (Cow<'a, str>, &'a str) {
        let is_last = |line: &str| line.trim_end().ends_with('}');
        let mut after = Lines::of(self.rest);
        let mut whole = first.to_owned();
        for _ in 0..MOST {
            let Some((line, last)) = (if is_last(&whole) { None } else { after.line() }) else { break };
            whole.push(' ');
            whole.push_str(line);
            if is_last(line) {
                self.rest = after.rest;
                return (whole.into(), last);
            }
        }
        (first.into(), end)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, end) = self.line()?;
        Some(match Setting::of(line).map(|setting| setting.kind) {
            Some(Kind::Shown) => self.bracketed(line, end),
            Some(Kind::Variables | Kind::Names | Kind::Commands | Kind::Data) if goes_on(line) => {
                let (whole, end) = self.continued(line, end);
                (whole.into(), end)
            }
            Some(_) | None => (line.into(), end),
        })
    }
}

/// The first line of a text, its end, and the rest; `None` of an empty one.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    if text.is_empty() {
        return None;
    }
    let at = text.find('\n').unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(at)?;
    let (end, rest) = rest.split_at_checked(usize::from(!rest.is_empty()))?;
    Some((line, end, rest))
}
