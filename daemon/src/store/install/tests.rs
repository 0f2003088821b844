//! What is put into the store, and what is not.

use super::*;
use crate::store::archive::stream;

/// A store, with archives of the repository's bundles.
struct Store {
    dir: tempfile::TempDir,
    config: ModelsConfig,
}

impl Store {
    fn new() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let config = ModelsConfig {
            dirs: vec![dir.path().join("bundles")],
            allow_unsigned: true,
            keys_dir: dir.path().join("keys.d"),
            ..ModelsConfig::for_tests()
        };
        Store { dir, config }
    }

    fn archive(bundle: &str) -> Vec<u8> {
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models/test").join(bundle);
        stream(&bundle::open(&at).unwrap(), Vec::new()).unwrap()
    }

    fn install(&self, archive: &[u8]) -> Result<Installed, String> {
        let file = edge_engine::memfile::sealed(archive).unwrap();
        let done = install(file, &self.config, SystemTime::UNIX_EPOCH, &Watched::default(), |_| Ok(()));
        done.map_err(|error| crate::driver::chain(&error))
    }

    /// Names of everything in the store.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("bundles")).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_bundle_gets_its_place_once() {
    let store = Store::new();
    let archive = Store::archive("add");
    let installed = store.install(&archive).unwrap();
    assert_eq!((installed.dir.file_name().unwrap().to_str(), installed.before), (Some("add-1.0.0"), false));
    bundle::verify(&bundle::open(&installed.dir).unwrap()).unwrap();
    assert!(store.install(&archive).unwrap().before);
    assert_eq!(store.names(), ["add-1.0.0"]);
    // Another content under the same name and version is another bundle.
    let manifest = installed.dir.join(bundle::MANIFEST);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("# changed\n{text}")).unwrap();
    assert!(store.install(&archive).unwrap_err().contains("add:1.0.0 is installed already, with other content"));
    assert_eq!(store.names(), ["add-1.0.0"]);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let store = Store::new();
    let archive = Store::archive("add");
    let said = Store {
        config: ModelsConfig { allow_unsigned: false, ..store.config.clone() },
        dir: tempfile::tempdir().unwrap(),
    };
    assert!(said.install(&archive).unwrap_err().contains("no model.toml.minisig"));
    let full =
        |config: ModelsConfig| Store { config, dir: tempfile::tempdir().unwrap() }.install(&archive).unwrap_err();
    let said = full(ModelsConfig { quota_bytes: 100, ..store.config.clone() });
    assert!(said.contains("it takes 1 MiB, and 0 MiB are left: remove models, or raise `models.quota_mib`"), "{said}");
    let said = full(ModelsConfig { reserve_bytes: u64::MAX, ..store.config.clone() });
    assert!(said.contains("the disk is full"), "{said}");
    let said = full(ModelsConfig { dirs: Vec::new(), ..store.config.clone() });
    assert!(said.contains("set `models.dirs`"), "{said}");
    store.install(&archive[..archive.len() / 2]).unwrap_err();
    assert_eq!(store.names(), Vec::<String>::new());
    let (pipe, _writer) = std::io::pipe().unwrap();
    let done = install(pipe.into(), &store.config, SystemTime::UNIX_EPOCH, &Watched::default(), |_| Ok(()));
    assert!(matches!(done, Err(InstallError::NoFile)), "a pipe may never end");
}

#[test]
fn one_that_is_cancelled_says_so() {
    let store = Store::new();
    let watched = Watched::default();
    watched.cancel();
    let file = edge_engine::memfile::sealed(&Store::archive("add")).unwrap();
    let done = install(file, &store.config, SystemTime::UNIX_EPOCH, &watched, |_| Ok(()));
    assert!(matches!(done, Err(InstallError::Cancelled)), "{done:?}");
    assert_eq!(store.names(), Vec::<String>::new());
}

#[test]
fn what_an_end_in_the_middle_left_over_goes_and_what_is_whole_stays() {
    let store = Store::new();
    let installed = store.install(&Store::archive("add")).unwrap();
    let bundles = store.dir.path().join("bundles");
    for left in [".staged-1", ".removed-add-0.9.0"] {
        std::fs::create_dir_all(bundles.join(left).join("golden")).unwrap();
    }
    assert_eq!(clear(&store.config), Vec::<String>::new());
    assert_eq!(store.names(), ["add-1.0.0"]);
    remove(&installed.dir, &store.config).unwrap();
    assert_eq!(store.names(), Vec::<String>::new());
    let elsewhere = store.dir.path().join("add");
    std::fs::create_dir(&elsewhere).unwrap();
    let said = crate::driver::chain(&remove(&elsewhere, &store.config).unwrap_err());
    assert!(said.contains("where bundles are installed") && elsewhere.exists(), "{said}");
}
