//! What was published last of each source, so that only what has changed is published again, and when the values of a source
//! go stale. Bounded: of more sources the one that was heard of least recently is forgotten, and its next answer is all new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use edge_core::Mono;
use serde_json::Value;

use super::points::State;
use super::{Facts, Field, Format, Point, Quality, Rules};

/// What the daemon answered.
#[derive(Clone, Debug)]
pub enum Seen<'a> {
    /// What the document of the task says.
    Answer(Facts),
    /// The code of the failure.
    Failure(&'a str),
}

/// What is to be published of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub source: Arc<str>,
    pub points: Vec<Point>,
}

/// What was published of the sources of one binding.
#[derive(Debug)]
pub struct Memory {
    rules: Rules,
    most: usize,
    sources: HashMap<Arc<str>, Last>,
    /// Turn in which each was heard of last, the longest ago first.
    heard: BTreeMap<u64, Arc<str>>,
    turn: u64,
    /// When each goes stale.
    due: BTreeSet<(Mono, Arc<str>)>,
    /// Whether [`Memory::known`] has changed since that was asked last.
    changed: bool,
    /// Sources that were forgotten for others, with what is to be said of them.
    forgotten: Vec<Told>,
}

#[derive(Debug)]
struct Last {
    state: State,
    /// As it was published last.
    said: HashMap<Field, Value>,
    /// What an earlier life of the daemon published, while nothing was heard of the source in this one: the values are not known.
    recalled: Vec<Field>,
    turn: u64,
    due: Option<Mono>,
}

impl Memory {
    /// Of at most so many sources.
    pub fn new(rules: Rules, most: usize) -> Memory {
        let (sources, heard, due) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        Memory { rules, most: most.max(1), sources, heard, turn: 0, due, changed: false, forgotten: Vec::new() }
    }

    /// What is to be published because a frame of `at` was answered.
    pub fn answered(&mut self, now: Mono, source: &str, seen: Seen<'_>, at: SystemTime) -> Told {
        let source = self.touch(source, at);
        let Some(last) = self.sources.get_mut(&source) else { return Told { source, points: Vec::new() } };
        match seen {
            Seen::Answer(facts) => {
                let is_ok = self.rules.verdict.is_ok(&facts);
                let facts = facts.in_place_of(&last.state.facts);
                last.state = State { facts, is_ok, quality: Quality::Good, reason: String::new(), at };
                let due = self.rules.stale_after.map(|span| now.after(span));
                self.due.extend(due.map(|due| (due, Arc::clone(&source))));
                if let Some(due) = std::mem::replace(&mut last.due, due).filter(|old| Some(*old) != due) {
                    self.due.remove(&(due, Arc::clone(&source)));
                }
            }
            Seen::Failure(code) => {
                last.state.is_ok = false;
                last.state.quality = Quality::Bad;
                last.state.reason = code.to_owned();
                last.state.at = at;
                // A source that never had an answer goes stale too.
                if let (None, true, Some(span)) = (last.due, last.said.is_empty(), self.rules.stale_after) {
                    last.due = Some(now.after(span));
                    self.due.insert((now.after(span), Arc::clone(&source)));
                }
            }
        }
        // What was recalled is no more than what may be said from now on; the file need not be written for less.
        let before: Vec<Field> = std::mem::take(&mut last.recalled);
        let (was, points) = (last.said.len().max(before.len()), last.points(&self.rules));
        self.changed |= last.said.len() > was;
        Told { source, points }
    }

    /// Of a source something was published by an earlier life of the daemon, these fields: it goes stale unless it is heard of,
    /// and is known until others need its place.
    pub fn recall(&mut self, now: Mono, source: &str, fields: Vec<Field>, at: SystemTime) {
        if self.sources.len() >= self.most {
            return;
        }
        let source = self.touch(source, at);
        let Some(last) = self.sources.get_mut(&source) else { return };
        (last.recalled, last.due) = (fields, self.rules.stale_after.map(|span| now.after(span)));
        self.due.extend(last.due.map(|due| (due, source)));
    }

    /// The sources of which something was published, and which fields of them.
    pub fn known(&self) -> impl Iterator<Item = (&Arc<str>, Vec<Field>)> {
        self.sources.iter().map(|(source, last)| {
            let said = last.said.keys().chain(&last.recalled).copied().collect::<BTreeSet<_>>();
            (source, said.into_iter().collect())
        })
    }

    /// What was said last of this field is not known where it was said: it is said again.
    pub fn unsay(&mut self, source: &str, field: Field) {
        if let Some(last) = self.sources.get_mut(source) {
            last.said.remove(&field);
        }
    }

    /// Whether a source or a field was added to those since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What is to be said of sources that were forgotten since this was asked last: their values are old from now on.
    pub fn take_forgotten(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.forgotten)
    }

    /// When something goes stale next.
    pub fn next_tick(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What is to be published because it has gone stale by now.
    pub fn woke(&mut self, now: Mono) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some((due, source)) = self.due.pop_first() {
            if due > now {
                self.due.insert((due, source));
                break;
            }
            let Some(last) = self.sources.get_mut(&source) else { continue };
            last.due = None;
            last.state.is_ok = false;
            last.state.quality = Quality::Stale;
            last.state.reason = "stale".into();
            let points = if last.recalled.is_empty() { last.points(&self.rules) } else { last.unknown(&self.rules) };
            told.push(Told { points, source });
        }
        told
    }

    /// How many sources are known.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn touch(&mut self, source: &str, at: SystemTime) -> Arc<str> {
        self.turn += 1;
        let known = self.sources.get_key_value(source).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::from(source));
        if !self.sources.contains_key(&name) && self.sources.len() >= self.most {
            self.forget_one();
        }
        let state =
            || State { facts: Facts::default(), is_ok: false, quality: Quality::Bad, reason: String::new(), at };
        let fresh = || Last { state: state(), said: HashMap::new(), recalled: Vec::new(), turn: 0, due: None };
        let last = self.sources.entry(Arc::clone(&name)).or_insert_with(fresh);
        self.heard.remove(&last.turn);
        last.turn = self.turn;
        self.heard.insert(self.turn, Arc::clone(&name));
        name
    }

    fn forget_one(&mut self) {
        let Some((_, source)) = self.heard.pop_first() else { return };
        let Some(last) = self.sources.remove(&source) else { return };
        if let Some(due) = last.due {
            self.due.remove(&(due, Arc::clone(&source)));
            // Nobody would say it later.
            let said = |field: &Field| last.said.contains_key(field) || last.recalled.contains(field);
            let fields: Vec<Field> = self.rules.fields.iter().copied().filter(said).collect();
            let points = stale(&fields, self.rules.format, last.state.at);
            self.forgotten.push(Told { source, points });
        }
    }
}

/// What is said of values that are old and not known: plain ones stand as they are, and those that tell how good they are say so.
/// Their time is not known either.
pub fn stale(fields: &[Field], format: Format, at: SystemTime) -> Vec<Point> {
    let (facts, quality, reason) = (Facts::default(), Quality::Stale, "stale".to_owned());
    let state = State { facts, is_ok: false, quality, reason, at };
    let fields = fields.iter().copied().filter(|field| *field != Field::Time);
    let point = |field| match (state.value(field), format) {
        (None, Format::Plain) => None,
        (value, _) => Some(state.with(value.unwrap_or_default(), field, format)),
    };
    fields.filter_map(point).collect()
}

impl Last {
    /// What is to be said of values of an earlier life.
    fn unknown(&mut self, rules: &Rules) -> Vec<Point> {
        let is_known = |field: &Field| self.state.value(*field).is_some() || self.recalled.contains(field);
        let fields: Vec<Field> = rules.fields.iter().copied().filter(is_known).collect();
        for field in fields.iter().copied().filter(|field| *field != Field::Time) {
            self.said.extend(self.state.value(field).map(|value| (field, value)));
        }
        stale(&fields, rules.format, self.state.at)
    }

    /// What is to be said now, and is from now on what was said last.
    fn points(&mut self, rules: &Rules) -> Vec<Point> {
        let quality_changed = self.said.get(&Field::Quality) != self.state.value(Field::Quality).as_ref();
        let reason_changed = self.said.get(&Field::Reason) != self.state.value(Field::Reason).as_ref();
        let mut changed: Vec<Field> = Vec::new();
        for field in rules.fields.iter().copied().filter(|field| *field != Field::Time) {
            let is_other = self.state.value(field).as_ref() != self.said.get(&field);
            // Behind each value stands how good it is.
            let is_marked = rules.format == Format::Json && (quality_changed || reason_changed);
            if is_other || is_marked || !rules.on_change {
                changed.push(field);
            }
        }
        // The time is that of the values beside it.
        if rules.fields.contains(&Field::Time) && (!changed.is_empty() || !rules.on_change || quality_changed) {
            changed.push(Field::Time);
        }
        for field in rules.fields.iter().copied().chain([Field::Quality, Field::Reason]) {
            match self.state.value(field) {
                Some(value) => self.said.insert(field, value),
                None => self.said.remove(&field),
            };
        }
        changed.into_iter().filter_map(|field| self.state.point(field, rules.format)).collect()
    }
}
