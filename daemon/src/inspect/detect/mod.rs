//! Finds personal data in text: what can be told by its form and, where there is one, by its check digits. Names, places, ages and
//! anything else that takes understanding are not found. The text is gone through once; nothing is allocated for a character.
//! Must not know where the text came from nor what follows from a finding.
//!
//! `kind` (what can be found), `fold` (text made plain), `digits` (groups of digits), then one file for each detector;
//! `own` (the operator's patterns), `rules` (which class follows).

mod card;
mod digits;
mod email;
pub mod fold;
mod fold_table;
mod iban;
pub mod kind;
mod national;
mod net;
pub mod own;
mod phone;
pub mod rules;

use std::collections::BTreeMap;

use digits::{Groups, at, before, end_of_digits};
use fold::fold;
pub use kind::{Finding, Kind, KindSet, Nation};
pub use own::{Fault, Patterns};

use self::kind::BUILT_IN;

/// What redaction puts in the place of each of [`BUILT_IN`].
pub const PLACEHOLDERS: [&str; 6] = ["[card]", "[iban]", "[national_id]", "[email]", "[ip]", "[phone]"];

/// All detectors: those that are built in, and the operator's patterns.
#[derive(Clone, Debug, Default)]
pub struct Detectors {
    patterns: Patterns,
}

impl Detectors {
    /// With these patterns by their names.
    ///
    /// # Errors
    /// Every fault of every pattern.
    pub fn new(patterns: &BTreeMap<String, String>) -> Result<Detectors, Vec<Fault>> {
        Patterns::compile(patterns, &PLACEHOLDERS).map(|patterns| Detectors { patterns })
    }

    /// The names of the operator's patterns, by their places.
    pub fn own_names(&self) -> &[String] {
        self.patterns.names()
    }

    /// The word for a kind.
    pub fn word(&self, kind: Kind) -> &str {
        match kind {
            Kind::Own(place) => self.patterns.name(place).unwrap_or_default(),
            other => other.place().and_then(|place| BUILT_IN.get(place)).copied().unwrap_or_default(),
        }
    }

    /// Which kinds are in `text`; `hint` is what it is called where it came from, and is read for words such as "phone" only.
    pub fn kinds(&self, text: &str, hint: &str) -> KindSet {
        let folded = fold(text);
        let mut found = KindSet::EMPTY;
        built_in(folded.text(), hint, |finding| found.insert(finding.kind));
        for kind in self.patterns.kinds(folded.text()) {
            found.insert(kind);
        }
        if folded.changed() {
            // A pattern may name the very characters that are made plain.
            for kind in self.patterns.kinds(text) {
                found.insert(kind);
            }
        }
        found
    }

    /// Where they are, by their beginnings; findings may overlap. Returns whether `found` has all of them: the operator's patterns are
    /// told [`own::MOST_FINDINGS`] times each.
    pub fn find(&self, text: &str, hint: &str, found: &mut Vec<Finding>) -> bool {
        let folded = fold(text);
        found.clear();
        let mut add = |finding: Finding| {
            let (start, end) = folded.original(finding.start, finding.end);
            found.push(Finding { start, end, kind: finding.kind });
        };
        built_in(folded.text(), hint, &mut add);
        let mut all = self.patterns.find(folded.text(), &mut add);
        if folded.changed() {
            all &= self.patterns.find(text, |finding| found.push(finding));
        }
        found.sort_unstable();
        found.dedup();
        all
    }
}

/// What a byte may be the beginning of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Nothing,
    Digit,
    /// `@`
    At,
    /// `:`
    Colon,
    /// `+` or `(`
    Lead,
}

const SIGNS: [Sign; 256] = {
    let mut signs = [Sign::Nothing; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        signs[digit as usize] = Sign::Digit;
        digit += 1;
    }
    signs[b'@' as usize] = Sign::At;
    signs[b':' as usize] = Sign::Colon;
    signs[b'+' as usize] = Sign::Lead;
    signs[b'(' as usize] = Sign::Lead;
    signs
};

/// Goes through plain text once. From each digit group, `@`, `:`, `+` and `(` it is looked ahead and back no farther than what
/// may begin there is long.
fn built_in(text: &str, hint: &str, mut found: impl FnMut(Finding)) {
    let bytes = text.as_bytes();
    let mut place = 0;
    while let Some(step) = bytes.get(place..).and_then(|rest| rest.iter().position(|byte| sign(*byte) != Sign::Nothing))
    {
        place += step;
        let seen = match sign(at(bytes, place)) {
            Sign::Digit => number(bytes, place, hint),
            Sign::At => email::email(bytes, place).map(|(start, end)| Finding { start, end, kind: Kind::Email }),
            Sign::Colon => net::v6(bytes, place).map(|(start, end)| Finding { start, end, kind: Kind::Ip }),
            Sign::Lead => phone_at(bytes, place, hint),
            Sign::Nothing => None,
        };
        place = match seen {
            Some(finding) => {
                found(finding);
                finding.end.max(place + 1)
            }
            None if sign(at(bytes, place)) == Sign::Digit => end_of_digits(bytes, place),
            None => place + 1,
        };
    }
}

fn sign(byte: u8) -> Sign {
    SIGNS.get(usize::from(byte)).copied().unwrap_or(Sign::Nothing)
}

/// Fewest digits of a number that means a person; but for codes with letters among them.
const FEWEST: usize = 7;

/// What the digits from `place` on are: the surest kind first.
fn number(bytes: &[u8], place: usize, hint: &str) -> Option<Finding> {
    if before(bytes, place).is_ascii_digit() {
        return None;
    }
    if let Some(end) = net::v4(bytes, place) {
        return Some(Finding { start: place, end, kind: Kind::Ip });
    }
    let groups = Groups::read(bytes, place);
    let count = groups.count();
    if before(bytes, place).is_ascii_alphabetic()
        && let Some((start, end)) = iban::iban(bytes, place)
    {
        return Some(Finding { start, end, kind: Kind::Iban });
    }
    let (first, next) = (before(bytes, place), at(bytes, end_of_digits(bytes, place)));
    let marked = first == b'-' && before(bytes, place - 1).is_ascii_alphabetic();
    if first.is_ascii_alphabetic() || next.is_ascii_alphabetic() || marked {
        let nie = || national::nie(bytes, place, &groups).map(|(start, end)| (Nation::Es, start, end));
        let code = || national::fiscal_code(bytes, place).map(|(start, end)| (Nation::It, start, end));
        if let Some((nation, start, end)) = nie().or_else(code) {
            return Some(Finding { start, end, kind: Kind::NationalId(nation) });
        }
    }
    // In Corsica a letter follows the sixth digit.
    let lettered = groups.total(count) == 6 && matches!(at(bytes, groups.end(count)), b'A' | b'B' | b'a' | b'b');
    if groups.total(count) < FEWEST && !groups.more && !lettered {
        return None;
    }
    if let Some(count) = card::card(bytes, place, &groups) {
        return Some(Finding { start: place, end: groups.end(count), kind: Kind::Card });
    }
    if let Some((nation, end)) = national::national(bytes, place, &groups, hint) {
        return Some(Finding { start: place, end, kind: Kind::NationalId(nation) });
    }
    phone_at(bytes, place, hint)
}

fn phone_at(bytes: &[u8], place: usize, hint: &str) -> Option<Finding> {
    phone::phone(bytes, place, hint).map(|end| Finding { start: place, end, kind: Kind::Phone })
}

#[cfg(test)]
mod tests;
