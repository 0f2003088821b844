//! Decides which data class follows from what was found. A finding can only make the class stricter: the cap is the strictest class
//! of all that was found, and whoever has a class already takes the stricter of both.

use std::collections::BTreeMap;

use edge_core::DataClass;

use super::Detectors;
use super::kind::{BUILT_IN, KindSet};
use super::own::Fault;

/// `[detect]` of the configuration, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Data classes by the names of detectors.
    pub classes: BTreeMap<String, String>,
    /// Patterns by their names.
    pub patterns: BTreeMap<String, String>,
    /// Data classes by the names of patterns.
    pub pattern_classes: BTreeMap<String, String>,
    /// The data class of what is no text.
    pub not_text: Option<String>,
}

impl Written {
    /// The detectors and what follows from them.
    ///
    /// # Errors
    /// Every fault, by its key below `detect`.
    pub fn read(&self) -> Result<(Detectors, ClassRules), Vec<Fault>> {
        let names: Vec<String> = self.patterns.keys().cloned().collect();
        let detectors = Detectors::new(&self.patterns);
        let mut rules = ClassRules::read(&names, &self.classes, &self.pattern_classes);
        let mut not_text = Vec::new();
        if let Some(word) = &self.not_text {
            let mut class = DataClass::Regulated;
            set(Some(&mut class), word, "not_text".to_owned(), String::new, &mut not_text);
            if let Ok(rules) = &mut rules {
                rules.not_text = Some(class);
            }
        }
        match (detectors, rules, not_text.is_empty()) {
            (Ok(detectors), Ok(rules), true) => Ok((detectors, rules)),
            (detectors, rules, _) => {
                let faults = detectors.err().into_iter().chain(rules.err()).flatten();
                Err(faults.chain(not_text).collect())
            }
        }
    }
}

/// The operator's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassRules {
    /// In the order of [`BUILT_IN`].
    built_in: [DataClass; BUILT_IN.len()],
    /// By the places of the operator's patterns.
    own: Vec<DataClass>,
    /// What cannot be read as text: pictures, sounds, tensors of numbers. `None`: what the caller and the policy say holds.
    pub not_text: Option<DataClass>,
}

/// The place of `ip` in [`BUILT_IN`].
const IP: usize = 4;

impl ClassRules {
    /// Everything `regulated`, but addresses of the Internet Protocol `internal`; the operator's patterns, of which there are
    /// `own`, `regulated` too.
    pub fn new(own: usize) -> ClassRules {
        let mut built_in = [DataClass::Regulated; BUILT_IN.len()];
        built_in[IP] = DataClass::Internal;
        ClassRules { built_in, own: vec![DataClass::Regulated; own], not_text: None }
    }

    /// With the operator's words: `classes` by the names of detectors, `pattern_classes` by those of patterns, which are `names`.
    ///
    /// # Errors
    /// Every name that is none and every word that is no class.
    pub fn read(
        names: &[String],
        classes: &BTreeMap<String, String>,
        pattern_classes: &BTreeMap<String, String>,
    ) -> Result<ClassRules, Vec<Fault>> {
        let (mut rules, mut faults) = (ClassRules::new(names.len()), Vec::new());
        for (name, word) in classes {
            let place = BUILT_IN.iter().position(|known| known == name);
            let range = || format!("there is no such detector; there are {}", BUILT_IN.join(", "));
            let slot = place.and_then(|place| rules.built_in.get_mut(place));
            set(slot, word, format!("classes.{name}"), range, &mut faults);
        }
        for (name, word) in pattern_classes {
            let place = names.iter().position(|known| known == name);
            let range = || {
                format!(
                    "there is no such pattern; there are {}",
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                )
            };
            let slot = place.and_then(|place| rules.own.get_mut(place));
            set(slot, word, format!("pattern_classes.{name}"), range, &mut faults);
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }

    /// The strictest class of all kinds that were found; `None` if nothing was.
    pub fn cap(&self, found: KindSet) -> Option<DataClass> {
        let built_in = self.built_in.iter().enumerate().filter(|(place, _)| found.has_built_in(*place));
        let own = self.own.iter().enumerate().filter(|(place, _)| found.has_own(*place));
        built_in.chain(own).map(|(_, class)| *class).min()
    }
}

fn set(slot: Option<&mut DataClass>, word: &str, key: String, range: impl Fn() -> String, faults: &mut Vec<Fault>) {
    match (slot, DataClass::from_word(word)) {
        (Some(slot), Some(class)) => *slot = class,
        (None, _) => faults.push(Fault { key, what: range() }),
        (_, None) => {
            let what = format!("\"{word}\" is no data class; there are regulated, internal and public");
            faults.push(Fault { key, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::{Kind, Nation};
    use super::*;
    use DataClass::{Internal, Public, Regulated};

    fn table(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
    }

    fn set_of(kinds: &[Kind]) -> KindSet {
        let mut set = KindSet::EMPTY;
        kinds.iter().for_each(|kind| set.insert(*kind));
        set
    }

    #[test]
    fn the_strictest_class_of_what_was_found_holds() {
        let names = ["badge".to_owned(), "order".to_owned()];
        let classes = table(&[("email", "internal"), ("phone", "public")]);
        let rules = ClassRules::read(&names, &classes, &table(&[("order", "internal")])).unwrap();
        for (found, expected) in [
            (&[][..], None),
            (&[Kind::Ip], Some(Internal)),
            (&[Kind::Phone], Some(Public)),
            (&[Kind::Phone, Kind::Email], Some(Internal)),
            (&[Kind::Card, Kind::Phone], Some(Regulated)),
            (&[Kind::NationalId(Nation::Be)], Some(Regulated)),
            (&[Kind::Own(1)], Some(Internal)),
            (&[Kind::Own(0), Kind::Own(1)], Some(Regulated)),
        ] {
            assert_eq!(rules.cap(set_of(found)), expected, "{found:?}");
        }
    }

    #[test]
    fn more_findings_never_make_it_freer() {
        let rules = ClassRules::new(2);
        let all =
            [Kind::Card, Kind::Iban, Kind::NationalId(Nation::De), Kind::Email, Kind::Ip, Kind::Phone, Kind::Own(1)];
        for first in all {
            for second in all {
                let alone = rules.cap(set_of(&[first])).unwrap();
                assert!(rules.cap(set_of(&[first, second])).unwrap() <= alone, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn every_unknown_name_and_word_is_told() {
        let faults = ClassRules::read(
            &["order".to_owned()],
            &table(&[("cards", "regulated"), ("email", "secret")]),
            &table(&[("badge", "internal")]),
        )
        .unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("classes.cards: there is no such detector; there are card, iban"), "{told:?}");
        assert!(told[1].contains("\"secret\" is no data class"), "{told:?}");
        assert!(told[2].contains("there are order"), "{told:?}");
    }

    #[test]
    fn all_faults_of_the_section_are_told_at_once() {
        let written = Written {
            classes: table(&[("email", "secret")]),
            patterns: table(&[("back", r"(a)\1"), ("order", r"A-\d+")]),
            pattern_classes: table(&[("order", "internal"), ("badge", "internal")]),
            not_text: Some("free".to_owned()),
        };
        let keys: Vec<String> = written.read().unwrap_err().into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["patterns.back", "classes.email", "pattern_classes.badge", "not_text"]);

        let good =
            Written { patterns: table(&[("order", r"A-\d+")]), not_text: Some("internal".to_owned()), ..written };
        let good = Written { classes: BTreeMap::new(), pattern_classes: table(&[("order", "internal")]), ..good };
        let (detectors, rules) = good.read().unwrap();
        assert_eq!(rules.cap(detectors.kinds("A-1", "")), Some(Internal));
        assert_eq!(rules.not_text, Some(Internal));
    }
}
