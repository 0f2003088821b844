//! Parts: bundles that models are made of, such as adapters, tokenizers, labels and weights. Which are here, and which of them
//! a model is used with. A table and pure choices over it; what follows from a change is carried out in
//! [`versions::parts`](super::versions).

use std::collections::BTreeMap;

use edge_engine::bundle::{Need, Offered, PartFault, fits, range};

use crate::store::{Found, UsedPart};

/// Versions of all parts that one box may hold.
pub const MAX_PARTS: usize = 1024;

/// The parts of the box, and the models that wait for all bundles to be read before theirs are chosen.
#[derive(Debug, Default)]
pub struct Parts {
    list: Vec<Found>,
    pub held: Vec<Found>,
    /// Why a version was last not made the active one, by name and version.
    refused: BTreeMap<(String, String), String>,
}

impl Parts {
    /// Adds one. `false` if the same name and version is there already, or the table is full.
    pub fn add(&mut self, found: Found) -> bool {
        if self.find(&found.name, &found.version).is_some() || self.list.len() >= MAX_PARTS {
            return false;
        }
        self.list.push(found);
        true
    }

    /// A version did not become the active one, or did.
    pub fn tried(&mut self, name: &str, version: &str, result: Result<(), String>) {
        let key = (name.to_owned(), version.to_owned());
        match result {
            Err(why) if self.find(name, version).is_some() => drop(self.refused.insert(key, why)),
            Err(_) | Ok(()) => drop(self.refused.remove(&key)),
        }
    }

    /// Why a version was last not made the active one.
    pub fn refused(&self, name: &str, version: &str) -> Option<&str> {
        self.refused.get(&(name.to_owned(), version.to_owned())).map(String::as_str)
    }

    /// It was taken out of the store.
    pub fn remove(&mut self, name: &str, version: &str) {
        self.refused.remove(&(name.to_owned(), version.to_owned()));
        self.list.retain(|part| part.name != name || part.version != version);
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.list.iter()
    }

    /// This version of a part.
    pub fn find(&self, name: &str, version: &str) -> Option<&Found> {
        self.list.iter().find(|part| part.name == name && part.version == version)
    }

    /// Whether a name is that of parts.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|part| part.name == name)
    }

    /// The version of a part that models are given where they take it: the active one, else the newest that is good.
    pub fn current(&self, name: &str, active: Option<&str>) -> Option<&Found> {
        let active = active.and_then(|active| self.find(name, active)).filter(|part| part.fault.is_none());
        let good = self.list.iter().filter(|part| part.name == name && part.fault.is_none());
        active.or_else(|| good.max_by(|one, other| range::order(&one.version, &other.version)))
    }

    /// The version of a part that a model is used with: the current one, or where it does not take that, the newest that it
    /// takes. So a version of a model that needs another one can be tried beside the model that serves.
    fn choose(&self, need: &Need, model: &Found, active: Option<&str>) -> Result<&Found, PartFault> {
        let missing = || PartFault::Missing(need.clone());
        let current = self.current(&need.name, active).ok_or_else(missing)?;
        let Err(fault) = takes(model, need, current) else { return Ok(current) };
        let of_name = self.list.iter().filter(|part| part.name == need.name && part.fault.is_none());
        let fitting = of_name.filter(|part| takes(model, need, part).is_ok());
        fitting.max_by(|one, other| range::order(&one.version, &other.version)).ok_or(fault)
    }

    /// The parts that a model is used with, in the order of its needs; `active` tells which version of a part is active.
    pub fn compose<'a>(
        &self,
        model: &Found,
        active: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Vec<UsedPart>, PartFault> {
        let used = |need: &Need| self.choose(need, model, active(&need.name)).map(used);
        model.needs.iter().map(used).collect()
    }
}

/// Whether a model takes a part.
pub fn takes(model: &Found, need: &Need, part: &Found) -> Result<(), PartFault> {
    let missing = || PartFault::Missing(need.clone());
    let facts = part.part.as_ref().ok_or_else(missing)?;
    let offered = Offered { kind: facts.kind, name: &part.name, version: &part.version, base: &facts.base };
    fits(need, &model.graphs, offered)
}

/// A part as a model has it.
pub fn used(part: &Found) -> UsedPart {
    UsedPart {
        name: part.name.clone(),
        version: part.version.clone(),
        kind: part.part.as_ref().map(|facts| facts.kind),
        dir: part.dir.clone(),
        digest: part.digest.clone(),
        bytes: part.part.as_ref().map_or(0, |facts| facts.bytes),
    }
}

#[cfg(test)]
mod tests {
    use edge_engine::bundle::PartKind;

    use super::*;
    use crate::store::Part;

    fn part(name: &str, version: &str, base: &[&str]) -> Found {
        let base = base.iter().map(|base| (*base).to_owned()).collect();
        let facts = Part { kind: PartKind::Adapter, base, bytes: 7 };
        Found { name: name.into(), version: version.into(), part: Some(facts), ..Found::default() }
    }

    fn model(ranges: &[(&str, &str)]) -> Found {
        let need = |(name, version): &(&str, &str)| Need {
            kind: PartKind::Adapter,
            name: (*name).into(),
            version: (*version).into(),
        };
        Found {
            name: "m".into(),
            needs: ranges.iter().map(need).collect(),
            graphs: vec!["g".into()],
            ..Found::default()
        }
    }

    fn table(parts: &[(&str, &str)]) -> Parts {
        let mut table = Parts::default();
        for (name, version) in parts {
            assert!(table.add(part(name, version, &[])));
        }
        table
    }

    #[test]
    fn a_model_gets_the_active_version_or_the_newest_that_it_takes() {
        let parts =
            table(&[("tone", "1.0.0"), ("tone", "1.10.0"), ("tone", "1.9.0"), ("tone", "2.0.0"), ("words", "3.0.0")]);
        let cases: [(&str, Option<&str>, Result<&str, &str>); 6] = [
            ("^1", Some("1.0.0"), Ok("1.0.0")),
            ("^1", Some("2.0.0"), Ok("1.10.0")),
            ("^1", None, Ok("1.10.0")),
            ("*", None, Err("it needs tone *, and tone is 2.0.0")),
            ("^2", Some("1.0.0"), Ok("2.0.0")),
            ("^3", Some("1.0.0"), Err("it needs tone ^3, and tone is 1.0.0")),
        ];
        for (range, active, expected) in cases {
            let got =
                parts.compose(&model(&[("tone", range), ("words", "^3")]), |name| active.filter(|_| name == "tone"));
            let got = got.map(|used| used[0].version.clone()).map_err(|fault| fault.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{range} {active:?}");
        }
        let none = parts.compose(&model(&[("other", "^1")]), |_| None).unwrap_err().to_string();
        assert_eq!(none, "it needs the adapter other ^1, which is not here");
    }

    #[test]
    fn a_part_with_a_fault_or_for_another_graph_is_not_chosen() {
        let mut parts = table(&[("tone", "1.0.0")]);
        parts.add(Found { fault: Some("damaged".into()), ..part("tone", "1.2.0", &[]) });
        parts.add(part("tone", "1.1.0", &["another graph"]));
        let used = parts.compose(&model(&[("tone", "^1")]), |_| Some("1.2.0")).unwrap();
        assert_eq!(used[0].version, "1.0.0");
        let said = takes(&model(&[("tone", "^1")]), &model(&[("tone", "^1")]).needs[0], &part("tone", "1.1.0", &["x"]));
        assert!(matches!(said, Err(PartFault::Base { .. })));
    }

    #[test]
    fn a_version_is_there_once_and_not_any_more_when_it_was_removed() {
        let mut parts = table(&[("tone", "1.0.0"), ("tone", "1.1.0")]);
        assert!(!parts.add(part("tone", "1.0.0", &[])));
        parts.remove("tone", "1.1.0");
        assert_eq!(parts.current("tone", Some("1.1.0")).unwrap().version, "1.0.0");
        parts.remove("tone", "1.0.0");
        assert!(!parts.has("tone") && parts.iter().next().is_none());
    }
}
