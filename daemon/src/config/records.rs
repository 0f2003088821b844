//! Tables that may stand many times, as `[[site]]`: each is held against its table of keys, and known by its name. Must not
//! know what the keys are for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::keys::{self, Group, Key};
use super::raw::Fault;
use super::set::{Set, fits};

/// One of the tables.
#[derive(Clone, Debug)]
pub struct Record {
    /// How it is called in faults: `site "plant"`, or `site 2` for the second one if it has no name.
    label: String,
    /// Its name, if it has a good one.
    pub name: Option<String>,
    /// Where it stands.
    pub file: PathBuf,
    set: Set,
    /// Keys whose values were not taken: nothing more is said of them.
    bad: BTreeSet<&'static str>,
}

/// What was set is asked of the record itself.
impl std::ops::Deref for Record {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.set
    }
}

impl Record {
    /// Reads a table, the `place`th of its group, counted from 1.
    pub fn read(group: &Group, place: usize, file: &Path, table: Table, faults: &mut Vec<Fault>) -> Record {
        let name = table.get("name").and_then(Value::as_str).filter(|name| keys::is_name(name)).map(str::to_owned);
        let label = match &name {
            Some(name) => format!("{} \"{name}\"", group.name),
            None => format!("{} {place}", group.name),
        };
        let mut record = Record { label, name, file: file.to_owned(), set: Set::new(group.keys), bad: BTreeSet::new() };
        walk(group.keys, &[], "", table, &mut |path, found| match found {
            Ok((key, value)) if fits(key.kind, &value) => record.set.insert(key.path, value),
            Ok((key, value)) => {
                record.bad.insert(key.path);
                let shown = if key.path.ends_with("credential") { "it".into() } else { value.to_string() };
                faults.push(record.fault(key.path, format!("{shown} is not accepted: takes {}", key.kind.accepts())));
            }
            Err(message) => faults.push(record.fault(path, message)),
        });
        record
    }

    /// A fault of one of its keys; of all of it if `key` is empty.
    pub fn fault(&self, key: &str, message: String) -> Fault {
        let key = if key.is_empty() { self.label.clone() } else { format!("{}: {key}", self.label) };
        Fault::new(Some(self.file.clone()), key, &message)
    }

    /// What to call it, and one of its keys.
    pub fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.label)
    }

    /// A fault if the key has no value; none if it had one that was not taken, of which that was said.
    pub fn missing(&self, key: &str) -> Option<Fault> {
        let takes = keys::find_in(self.set.keys(), key).map(|key| key.kind.accepts()).unwrap_or_default();
        (!self.was_given(key)).then(|| self.fault(key, format!("missing: takes {takes}")))
    }

    /// Whether the key stands there, with whatever value.
    pub fn was_given(&self, key: &str) -> bool {
        self.is_set(key) || self.bad.contains(key)
    }
}

/// A key with its value, or why it is none.
pub type Found = Result<(&'static Key, Value), String>;

/// Takes a table apart into the values of its keys; `also` are names that are known besides. What is no key is told with the
/// known name that is most like it.
pub fn walk(keys: &'static [Key], also: &[&str], prefix: &str, table: Table, found: &mut dyn FnMut(&str, Found)) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match (keys::find_in(keys, &path), value) {
            (Some(key), value) => found(&path, Ok((key, value))),
            (None, Value::Table(inner)) if keys::is_section(keys, &path) => walk(keys, also, &path, inner, found),
            (None, _) if keys::is_section(keys, &path) => found(&path, Err("takes a table of keys".into())),
            (None, _) => {
                let known = keys.iter().map(|key| key.path).chain(also.iter().copied());
                let near = keys::nearest(known, &path).map(|near| format!("; did you mean `{near}`?"));
                found(&path, Err(format!("unknown key{}", near.unwrap_or_default())));
            }
        }
    }
}

/// Faults of records that have a name which an earlier one has.
pub fn same_names(records: &[Record]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let earlier = records.iter().take(place).find(|earlier| record.name.is_some() && earlier.name == record.name);
        if let Some(earlier) = earlier {
            let file = earlier.file.display();
            faults.push(record.fault("name", format!("another one has it too, in {file}: takes a name of its own")));
        }
    }
    faults
}
