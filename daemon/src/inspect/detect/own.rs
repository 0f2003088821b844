//! The operator's own patterns: checked when the configuration is read, every fault at once, and searched in time that grows with the text
//! alone, as the engine (crate `regex`) follows all ways of a pattern together and never goes back. Look-around and references to
//! groups cannot be searched so, and are refused by name. Must not know what follows from a finding.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::kind::{Finding, Kind, MAX_OWN};

/// Most bytes that one compiled pattern may take, and its cache; ten times that for all together.
const COMPILED: usize = 1 << 20;
const ALL_COMPILED: usize = 10 << 20;
/// How deep groups may lie in each other.
const DEEPEST: u32 = 64;
/// Longest pattern, bytes.
const LONGEST: usize = 1024;
/// Longest name, bytes.
const LONGEST_NAME: usize = 32;
/// Most findings of one pattern in one text. A search for the next one may read to the end of the text, so that without a bound
/// the time could grow with the square of its length.
pub const MOST_FINDINGS: usize = 1000;

/// A fault of a pattern: its key below `detect`, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Fault {
    pub key: String,
    pub what: String,
}

/// Compiled patterns, in the order of their names.
#[derive(Clone, Debug)]
pub struct Patterns {
    names: Vec<String>,
    all: RegexSet,
    each: Vec<Regex>,
}

impl Default for Patterns {
    /// None.
    fn default() -> Patterns {
        Patterns { names: Vec::new(), all: RegexSet::empty(), each: Vec::new() }
    }
}

impl Patterns {
    /// Compiles them, or says everything that is wrong. `forbidden` are texts that none may match: the placeholders of redaction.
    ///
    /// # Errors
    /// A name that is none, a pattern that is empty, too long, too large, not understood, or matches the empty text or a placeholder.
    pub fn compile(patterns: &BTreeMap<String, String>, forbidden: &[&str]) -> Result<Patterns, Vec<Fault>> {
        let (mut faults, mut each) = (Vec::new(), Vec::new());
        if patterns.len() > MAX_OWN {
            let what = format!("{} patterns; at most {MAX_OWN} are taken", patterns.len());
            faults.push(Fault { key: "patterns".to_owned(), what });
        }
        let placeholders: Vec<String> = patterns.keys().map(|name| format!("[{name}]")).collect();
        for (name, pattern) in patterns {
            match compile(name, pattern) {
                Ok(compiled) => {
                    let meets = |text: &&str| compiled.is_match(text);
                    let met = forbidden.iter().copied().chain(placeholders.iter().map(String::as_str)).find(meets);
                    if let Some(placeholder) = met {
                        let what =
                            format!("it matches {placeholder}, which redaction puts in the place of what it found");
                        faults.push(fault(name, what));
                    }
                    each.push(compiled);
                }
                Err(what) => faults.push(fault(name, what)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let all = RegexSetBuilder::new(each.iter().map(Regex::as_str))
            .size_limit(ALL_COMPILED)
            .dfa_size_limit(ALL_COMPILED)
            .nest_limit(DEEPEST)
            .build()
            .map_err(|error| vec![Fault { key: "patterns".to_owned(), what: why(&error) }])?;
        Ok(Patterns { names: patterns.keys().cloned().collect(), all, each })
    }

    /// The name of the pattern at a place.
    pub fn name(&self, place: u8) -> Option<&str> {
        self.names.get(usize::from(place)).map(String::as_str)
    }

    /// Their names, in the order of their places.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Which of them are somewhere in the text: one pass for all of them.
    pub fn kinds<'a>(&'a self, text: &str) -> impl Iterator<Item = Kind> + use<'a> {
        // Without patterns nothing is searched, and nothing allocated.
        let found = (!self.names.is_empty()).then(|| self.all.matches(text));
        found.into_iter().flat_map(|found| found.into_iter().filter_map(own))
    }

    /// Where each of them is, at most [`MOST_FINDINGS`] each. Returns whether that was all.
    pub fn find(&self, text: &str, mut found: impl FnMut(Finding)) -> bool {
        let mut all = true;
        for kind in self.kinds(text) {
            let Kind::Own(place) = kind else { continue };
            let Some(pattern) = self.each.get(usize::from(place)) else { continue };
            let mut count = 0;
            for part in pattern.find_iter(text).take(MOST_FINDINGS + 1).filter(|part| !part.is_empty()) {
                found(Finding { start: part.start(), end: part.end(), kind });
                count += 1;
            }
            all &= count <= MOST_FINDINGS;
        }
        all
    }
}

fn own(place: usize) -> Option<Kind> {
    u8::try_from(place).ok().map(Kind::Own)
}

fn fault(name: &str, what: String) -> Fault {
    Fault { key: format!("patterns.{name}"), what }
}

fn compile(name: &str, pattern: &str) -> Result<Regex, String> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !letters || name.len() > LONGEST_NAME || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(format!("a name of a pattern is 1 to {LONGEST_NAME} of a to z, 0 to 9 and _, a letter first"));
    }
    if super::kind::BUILT_IN.contains(&name) {
        return Err("this is the name of a detector that is built in".to_owned());
    }
    if pattern.is_empty() || pattern.len() > LONGEST {
        return Err(format!("{} bytes; a pattern has 1 to {LONGEST}", pattern.len()));
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(COMPILED)
        .dfa_size_limit(COMPILED)
        .nest_limit(DEEPEST)
        .build()
        .map_err(|error| why(&error))?;
    if compiled.is_match("") {
        return Err("it matches the empty text, and so everything".to_owned());
    }
    let lenient = lenient(pattern);
    let searched =
        RegexBuilder::new(&lenient).size_limit(COMPILED).dfa_size_limit(COMPILED).nest_limit(DEEPEST).build();
    Ok(searched.unwrap_or(compiled))
}

/// The pattern with `\b` between ASCII letters only: next to other letters it holds more often, and the search is tens of times faster in text
/// that is not all ASCII.
fn lenient(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    // How deep in classes, where `\b` is no boundary.
    let mut class = 0_u32;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next();
                if escaped == Some('b') && class == 0 && characters.peek() != Some(&'{') {
                    out.push_str(r"(?-u:\b)");
                    continue;
                }
                out.push('\\');
                out.extend(escaped);
                continue;
            }
            '[' => class += 1,
            ']' => class = class.saturating_sub(1),
            _ => {}
        }
        out.push(character);
    }
    out
}

/// In one line: the last line of the crate's message has the reason, those above draw the place.
fn why(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("it compiles to more than {limit} bytes; fewer or smaller counted repetitions take less")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.strip_prefix("error: ").unwrap_or(last);
            if reason.contains("look-around") || reason.contains("backreferences") {
                format!("{reason}: such patterns cannot be searched in time that grows with the text alone")
            } else {
                reason.to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(name, pattern)| ((*name).to_owned(), (*pattern).to_owned())).collect()
    }

    #[test]
    fn every_fault_is_told_with_the_pattern_and_the_reason() {
        let long = "x".repeat(LONGEST + 1);
        let given = patterns(&[
            ("ahead", "a(?=b)"),
            ("back", r"(a)\1"),
            ("card", "x"),
            ("empty", ""),
            ("everything", "a*"),
            ("fine", r"\bA-\d{6}\b"),
            ("large", r"(?:\w{100}){100}"),
            ("long", &long),
            ("open", "(a"),
            ("placeholder", r"[a-z]+"),
            ("Upper", "x"),
        ]);
        let faults = Patterns::compile(&given, &["[card]"]).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for (key, part) in [
            ("patterns.Upper:", "a letter first"),
            ("patterns.ahead:", "look-around, including look-ahead and look-behind, is not supported"),
            ("patterns.back:", "backreferences are not supported"),
            ("patterns.card:", "built in"),
            ("patterns.empty:", "1 to 1024"),
            ("patterns.everything:", "empty text"),
            ("patterns.large:", "more than 1048576 bytes"),
            ("patterns.long:", "1025 bytes"),
            ("patterns.open:", "unclosed group"),
            ("patterns.placeholder:", "matches [card]"),
        ] {
            assert!(told.iter().any(|line| line.starts_with(key) && line.contains(part)), "{key} {part}: {told:#?}");
        }
        assert_eq!(told.len(), 10, "{told:#?}");
    }

    #[test]
    fn boundaries_are_those_of_ascii_words_and_classes_stay_what_they_are() {
        for (pattern, searched) in [
            (r"\bA-\d{6}\b", r"(?-u:\b)A-\d{6}(?-u:\b)"),
            (r"\\b", r"\\b"),
            (r"[a[\]b]]\b", r"[a[\]b]](?-u:\b)"),
            (r"\b{start}x", r"\b{start}x"),
            (r"\B\p{L}", r"\B\p{L}"),
        ] {
            assert_eq!(lenient(pattern), searched);
        }
        let compiled = Patterns::compile(&patterns(&[("order", r"\bA-\d{6}\b")]), &[]).unwrap();
        assert_eq!(compiled.kinds("Größe: éA-123456ß").count(), 1);
        assert_eq!(compiled.kinds("xA-123456").count(), 0);
    }

    #[test]
    fn too_many_patterns_are_a_fault() {
        let given = (0..=MAX_OWN).map(|at| (format!("p{at}"), format!("x{at}y"))).collect();
        let faults = Patterns::compile(&given, &[]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].key, "patterns");
    }

    #[test]
    fn a_pattern_that_makes_other_engines_go_back_for_ever_is_searched_to_the_end() {
        let compiled = Patterns::compile(&patterns(&[("loop", "(a+)+$"), ("nested", "(x+x+)+y")]), &[]).unwrap();
        // An engine that goes back would need 2 to the power of 100,000 steps here; that this ends is the proof.
        let text = "a".repeat(100_000) + "b" + &"x".repeat(100_000);
        assert_eq!(compiled.kinds(&text).count(), 0);
        let mut found = Vec::new();
        assert!(compiled.find(&"a".repeat(100_000), |finding| found.push(finding)));
        assert_eq!(found, [Finding { start: 0, end: 100_000, kind: Kind::Own(0) }]);
    }

    #[test]
    fn the_number_of_findings_is_bounded_and_that_is_said() {
        let compiled = Patterns::compile(&patterns(&[("one", "q")]), &[]).unwrap();
        let mut count = 0;
        assert!(!compiled.find(&"q".repeat(MOST_FINDINGS + 5), |_| count += 1));
        assert_eq!(count, MOST_FINDINGS + 1);
    }
}
