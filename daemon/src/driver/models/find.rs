//! The bundle that a name and a version mean, and what is said where they mean none. Must not change the table, nor know
//! where a setup runs.

use edge_wire::error::ErrorCode;

use super::super::{resolve, versions};
use super::{Bundle, Models, order};
use crate::request::Failure;

impl Models {
    /// The bundle that `name` and `version` mean: without a version the newest that is ready, else the newest.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<&Bundle, Failure> {
        if let (None, Some(active)) = (version, self.active.get(name)) {
            let Some(active) = active else { return Err(self.none_active(name)) };
            let placed = self.place(name, active).and_then(|index| self.bundles.get(index));
            if let Some(bundle) = placed.filter(|bundle| bundle.revoked.is_none()) {
                return Ok(bundle);
            }
        }
        let named = |bundle: &&Bundle| {
            let of_version = version.is_none_or(|version| version == bundle.found.version);
            !bundle.gone && bundle.found.name == name && of_version
        };
        let meant = |bundle: &&Bundle| named(bundle) && bundle.revoked.is_none();
        let rank = |bundle: &Bundle| (self.spec(bundle.root()).is_some(), order(&bundle.found.version));
        let mut best: Option<&Bundle> = None;
        for bundle in self.bundles.iter().filter(meant) {
            if best.is_none_or(|other| rank(bundle) > rank(other)) {
                best = Some(bundle);
            }
        }
        best.ok_or_else(|| match self.bundles.iter().find(named) {
            Some(revoked) => self.revoked(&revoked.found.version, revoked),
            None => self.unknown(name, version),
        })
    }

    fn revoked(&self, version: &str, bundle: &Bundle) -> Failure {
        let why = versions::revoke::words(bundle.revoked.as_deref().unwrap_or_default());
        let name = resolve::shorten(&bundle.found.name);
        Failure::new(ErrorCode::Unavailable, format!("model `{name}`: version {version} {why}"))
    }

    fn none_active(&self, name: &str) -> Failure {
        if !self.bundles.iter().any(|bundle| !bundle.gone && bundle.found.name == name) {
            return self.unknown(name, None);
        }
        let name = resolve::shorten(name);
        let text = format!("model `{name}`: installed, and no version of it is active: `edgectl models activate`");
        Failure::new(ErrorCode::Unavailable, text)
    }

    fn unknown(&self, name: &str, version: Option<&str>) -> Failure {
        let of_name = self.bundles.iter().filter(|bundle| !bundle.gone && bundle.found.name == name);
        let mut versions: Vec<&str> = of_name.map(|bundle| bundle.found.version.as_str()).collect();
        versions.sort_unstable();
        let name = resolve::shorten(name);
        let message = match version {
            Some(version) if !versions.is_empty() => {
                let version = resolve::shorten(version);
                format!("model: no version `{version}` of `{name}`: takes {}", versions.join(", "))
            }
            _ => {
                let pipelines = self.pipelines.iter().map(String::as_str);
                let mut names: Vec<&str> = self
                    .bundles
                    .iter()
                    .filter(|bundle| !bundle.gone)
                    .map(|bundle| bundle.found.name.as_str())
                    .chain(pipelines)
                    .collect();
                names.sort_unstable();
                names.dedup();
                names.truncate(32);
                let takes =
                    if names.is_empty() { "none is installed".into() } else { format!("takes {}", names.join(", ")) };
                format!("model: no model `{name}`: {takes}")
            }
        };
        Failure::new(ErrorCode::UnknownModel, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edge_core::ModelId;

    use super::super::tests::models;
    use super::*;

    #[test]
    fn without_a_version_the_newest_ready_one_serves() {
        let mut models = models(&[("a", "1.9.0"), ("a", "1.10.0"), ("a", "2.0.0-rc.1"), ("b", "1.0.0")]);
        let find = |models: &Models, version: Option<&str>| models.find("a", version).map(Bundle::root);
        assert_eq!(find(&models, None), Ok(ModelId(2)));
        models.get_mut(ModelId(0)).unwrap().loaded = Some(Arc::default());
        assert_eq!(find(&models, None), Ok(ModelId(0)));
        models.get_mut(ModelId(1)).unwrap().loaded = Some(Arc::default());
        assert_eq!(find(&models, None), Ok(ModelId(1)));
        assert_eq!(find(&models, Some("1.9.0")), Ok(ModelId(0)));
    }

    #[test]
    fn an_unknown_name_or_version_is_told_what_there_is() {
        let mut models = models(&[("b", "1.0.0"), ("d", "1.0.0")]);
        models.note_pipeline("a");
        assert!(models.find("c", None).unwrap_err().message.contains("no model `c`: takes a, b, d"));
        assert!(models.find("b", Some("9")).unwrap_err().message.contains("no version `9` of `b`: takes 1.0.0"));
    }
}
