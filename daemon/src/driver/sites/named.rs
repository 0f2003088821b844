//! Files that the configuration names: what was learnt of texts, and credentials. They are read away from the loop, as the disk
//! that they lie on may not answer, and only if they are files that have an end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_core::{Event, SiteId};
use edge_engine::bundle;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::difficulty::model::{Learnt, MAX_BYTES};
use crate::driver::Driver;
use crate::http::secret::MOST_SECRET;

/// What was learnt, and the SHA-256 of its file as `sha256sum` prints it, or why it cannot be used.
pub(super) type Found = Result<(Learnt, String), String>;
/// Why the file of a credential cannot be read, if so.
pub(super) type Credentials = BTreeMap<PathBuf, Option<String>>;

/// What is in them.
#[derive(Default)]
pub(in crate::driver) struct Named {
    /// `None`: no file is named.
    pub(super) learnt: Option<Found>,
    pub(super) credentials: Credentials,
}

impl Named {
    /// Reads them. Waits for the disk.
    pub fn read(config: &Config) -> Named {
        Named {
            learnt: config.routing.difficulty_model.as_deref().map(learnt),
            credentials: look(config.sites.iter().filter_map(|site| site.http()?.credential.clone())),
        }
    }

    /// The same on a thread of its own.
    pub async fn read_apart(config: &Config) -> Named {
        let config = config.clone();
        let read = tokio::task::spawn_blocking(move || Named::read(&config)).await;
        read.unwrap_or_else(|error| {
            tracing::error!(%error, "read the files that the configuration names");
            Named::default()
        })
    }
}

/// A look at the credentials that is under way.
#[derive(Debug, Default)]
pub(super) struct Looks {
    look: Option<JoinHandle<Credentials>>,
}

impl Looks {
    /// What was found; waits for ever if nobody looks. Safe to cancel.
    pub async fn next(&mut self) -> Credentials {
        let Some(look) = &mut self.look else { return std::future::pending().await };
        let found = look.await;
        self.look = None;
        found.unwrap_or_else(|error| {
            tracing::error!(%error, "look at the credentials");
            Credentials::new()
        })
    }
}

impl Driver {
    /// Once a minute: a credential may come, or go.
    pub(in crate::driver) fn look_at_credentials(&mut self) {
        let paths: Vec<PathBuf> =
            self.sites.iter().filter_map(|(_, known)| known.config.http()?.credential.clone()).collect();
        // One look that the disk does not answer is enough.
        if !paths.is_empty() && self.sites.looks.look.is_none() {
            self.sites.looks.look = Some(tokio::task::spawn_blocking(move || look(paths)));
        }
    }

    /// A site whose credential cannot be read is not asked.
    pub(super) fn tell_credentials(&mut self, found: &Credentials) {
        let known = self.sites.iter().filter_map(|(site, known)| {
            let fault = found.get(known.config.http()?.credential.as_ref()?)?;
            Some((site, fault.clone()))
        });
        let known: Vec<(SiteId, Option<String>)> = known.collect();
        for (site, fault) in known {
            let off = fault.is_some();
            if let (Some(why), Some(Some(known))) = (fault, self.sites.known.get_mut(usize::from(site.0))) {
                known.last_error = why;
            }
            self.core.handle(self.now, Event::SiteLoad { site, off, wait: Duration::ZERO });
        }
    }
}

fn look(paths: impl IntoIterator<Item = PathBuf>) -> Credentials {
    let look = |path: PathBuf| {
        let fault = bundle::read_bytes(&path, MOST_SECRET).err();
        let most = MOST_SECRET >> 10;
        let why = fault
            .map(|error| format!("credential {}: {error}: takes a regular file of at most {most} KiB", path.display()));
        (path, why)
    };
    paths.into_iter().map(look).collect()
}

fn learnt(path: &Path) -> Found {
    let file = path.display();
    let bytes = bundle::read_bytes(path, MAX_BYTES as u64)
        .map_err(|error| format!("read {file}: {error}: takes a regular file of at most {} KiB", MAX_BYTES >> 10))?;
    let read = Learnt::read(&bytes).map_err(|error| format!("{file}: {}", crate::driver::chain(&error)))?;
    let digest = bundle::digest(&mut bytes.as_slice());
    Ok((read, digest.map_err(|error| format!("{file}: {error}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has no end, or nothing to read, or too much.
    fn odd(dir: &Path) -> [(PathBuf, &'static str); 5] {
        let at = |name: &str| dir.join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        std::fs::File::create(at("large")).unwrap().set_len(1 << 40).unwrap();
        [
            (at("pipe"), "not a regular file"),
            ("/dev/zero".into(), "not a regular file"),
            (dir.to_owned(), "not a regular file"),
            (at("large"), "larger than"),
            (at("gone"), "No such file"),
        ]
    }

    #[test]
    fn only_files_that_have_an_end_are_read_and_the_others_are_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (path, word) in odd(dir.path()) {
            let name = path.display().to_string();
            let why = learnt(&path).map(drop).unwrap_err();
            assert!(why.contains(&name) && why.contains(word) && why.contains("at most 1024 KiB"), "{why}");
            let why = look([path.clone()])[&path].clone().unwrap();
            assert!(why.contains(&name) && why.contains(word) && why.contains("at most 64 KiB"), "{why}");
            for why in [
                crate::http::secret::line(&path, "a token").unwrap_err(),
                crate::http::tls::certificates(&path).unwrap_err(),
                crate::http::tls::key(&path).map(drop).unwrap_err(),
            ] {
                assert!(
                    why.contains(&name) && why.contains(word) && why.contains("a regular file of at most"),
                    "{why}"
                );
            }
        }
        let token = dir.path().join("token");
        std::fs::write(&token, "abc\n").unwrap();
        assert_eq!(look([token.clone()])[&token], None);
    }
}
