//! All entries: how large they are, which ones go for others or on request, and how the outside sees them. Must not
//! hand one out.

use std::fs;
use std::io;

use edge_wire::dto::CacheEntry;

use super::super::bound::{Held, surplus};
use super::super::key::Key;
use super::super::seal;
use super::Shelf;
use super::index::at;
use crate::driver::clock::rfc3339;

impl Shelf {
    /// Removes what was used longest ago, until the rest is within the bound.
    pub(super) fn shrink(&mut self) {
        let held = match self.held() {
            Ok(held) => held,
            Err(why) => return tracing::warn!(%why, "the size of the cache is not known"),
        };
        for name in surplus(&held, self.most) {
            tracing::info!(entry = %name, "a compiled engine makes room for others");
            self.remove(&name);
        }
    }

    /// Names of all entries, whether the index knows them or not.
    pub(super) fn names(&self) -> Result<Vec<String>, String> {
        let dir = self.engines();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("read {}: {error}", dir.display())),
        };
        let named = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = named.filter(|name| self.engines().join(name).is_dir()).collect();
        names.sort();
        Ok(names)
    }

    fn held(&mut self) -> Result<Vec<Held>, String> {
        let (names, engines) = (self.names()?, self.engines());
        let in_use: Vec<String> = self.in_use.values().cloned().collect();
        let index = self.index();
        let held = |name: String| Held {
            bytes: seal::size(&engines.join(&name)).unwrap_or(0),
            last_used: index.entries.get(&name).map_or(0, |known| known.last_used),
            in_use: in_use.contains(&name),
            name,
        };
        Ok(names.into_iter().map(held).collect())
    }

    /// All entries.
    pub fn list(&mut self) -> Result<Vec<CacheEntry>, String> {
        let (held, engines) = (self.held()?, self.engines());
        let index = self.index();
        let entry = |held: Held| {
            let known = index.entries.get(&held.name).cloned().unwrap_or_default();
            let text = edge_engine::bundle::read_text(&engines.join(&held.name).join(seal::KEY), 1 << 20);
            let key: Key = text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let time = |ms: u64| if ms == 0 { String::new() } else { rfc3339(at(ms)) };
            CacheEntry {
                // `<model>-<64 digits>`.
                model: held.name.rsplit_once('-').map_or(known.model, |(model, _)| model.to_owned()),
                variant: key.variant,
                provider: key.provider,
                device: key.device,
                path: engines.join(&held.name).display().to_string(),
                bytes: held.bytes,
                built_at: time(known.built),
                took_ms: known.took_ms,
                last_used: time(known.last_used),
                in_use: held.in_use,
            }
        };
        Ok(held.into_iter().map(entry).collect())
    }

    /// Removes all entries, or those of one model, that are not in use. How many, and their bytes.
    pub fn clear(&mut self, model: Option<&str>) -> Result<(u32, u64), String> {
        let (mut count, mut bytes) = (0, 0);
        for held in self.held()? {
            let of_model = |model: &str| held.name.rsplit_once('-').is_some_and(|(name, _)| name == model);
            if !held.in_use && model.is_none_or(of_model) {
                let freed = self.remove(&held.name);
                (count, bytes) = (count + 1, bytes + freed);
            }
        }
        Ok((count, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, build, holder, names};
    use super::*;

    #[test]
    fn the_total_stays_below_its_bound_and_what_is_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 70_000);
        build(&mut shelf, 1, &asked("a", 1), 20_000);
        build(&mut shelf, 2, &asked("b", 1), 20_000);
        shelf.release(holder(2));
        build(&mut shelf, 3, &asked("c", 1), 20_000);
        assert_eq!(names(&shelf), ["a", "b", "c"]);
        build(&mut shelf, 4, &asked("d", 1), 20_000);
        assert_eq!(names(&shelf), ["a", "c", "d"], "the one that is not in use goes");
        build(&mut shelf, 5, &asked("e", 1), 20_000);
        assert_eq!(names(&shelf), ["a", "c", "d", "e"], "all are in use");
    }

    #[test]
    fn clearing_leaves_what_is_in_use_and_other_models() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        for (model, name) in [(1, "a"), (2, "a-b"), (3, "c")] {
            build(&mut shelf, model, &asked(name, model), 100);
        }
        shelf.release(holder(1));
        shelf.release(holder(2));
        assert_eq!(shelf.clear(Some("a")).unwrap().0, 1);
        assert_eq!(names(&shelf), ["a-b", "c"]);
        let (removed, bytes) = shelf.clear(None).unwrap();
        assert!(removed == 1 && bytes > 100 && names(&shelf) == ["c"], "{removed} {bytes}");
    }
}
