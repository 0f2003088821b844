//! A bundle as one file: the first byte says whether what follows is the archive itself, or what it holds, which is compressed
//! here. Whatever is taken is what its manifest promises, and nothing lies outside of its directory.
#![no_main]

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::LazyLock;

use edge_engine::bundle::{open, verify};
use edged::store::archive::{peek, unpack};
use libfuzzer_sys::fuzz_target;

/// In memory, and this process's own.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = PathBuf::from("/dev/shm");
    let root = if shared.is_dir() { shared } else { std::env::temp_dir() };
    root.join(format!("edge-fuzz-archive-{}", std::process::id()))
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let archive = if kind % 2 == 0 { zstd::encode_all(rest, 1).expect("zstd takes anything") } else { rest.to_vec() };
    let seen = peek(&archive[..], |announced| announced.bytes());
    std::fs::remove_dir_all(&*ROOT).ok();
    let dir = ROOT.join("bundle");
    std::fs::create_dir_all(&dir).expect("a directory");
    if unpack(&archive[..], &dir, |_| Ok::<(), Infallible>(())).is_ok() {
        assert!(seen.is_ok());
        verify(&open(&dir).expect("what was taken is a bundle")).expect("what was taken is what was promised");
    }
    let beside = std::fs::read_dir(&*ROOT).expect("the directory").count();
    assert_eq!(beside, 1, "something lies outside");
});
