//! Where things are: the built binaries, the runtime library, the bundles. Says what to do when one is missing.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Root of the checkout.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A binary of this workspace: in `EDGE_BIN_DIR`, or beside the running test binary, which has the same profile. The
/// daemon alone may be another one, `EDGED`: the one that is shipped.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os("EDGED").filter(|_| name == "edged") {
        return Ok(path.into());
    }
    let dir = match env::var_os("EDGE_BIN_DIR") {
        // Whoever starts it may stand in another directory.
        Some(dir) => std::path::absolute(dir).context("EDGE_BIN_DIR")?,
        None => beside_this_binary()?,
    };
    let path = dir.join(name);
    ensure!(path.is_file(), "no {}: build it with `make build`, or set EDGE_BIN_DIR", path.display());
    Ok(path)
}

fn beside_this_binary() -> Result<PathBuf> {
    let this = env::current_exe().context("path of the running binary")?;
    let dir = this.parent().context("directory of the running binary")?;
    Ok(if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_path_buf() } else { dir.to_path_buf() })
}

/// The ONNX Runtime library: `ORT_DYLIB_PATH`, or the one that `make fetch` brought.
pub fn runtime_library() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH") {
        return Ok(path.into());
    }
    let dir = repository().join(".fetch/runtime");
    find_library(&dir).with_context(|| format!("no ONNX Runtime under {}: run `make fetch`", dir.display()))
}

fn find_library(dir: &Path) -> Option<PathBuf> {
    let mut below = Vec::new();
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            below.push(path);
        } else if name.starts_with("libonnxruntime.so") {
            found.push(path);
        }
    }
    found.sort();
    found.into_iter().next().or_else(|| below.iter().find_map(|dir| find_library(dir)))
}

/// Where `make fetch` puts execution providers that come as libraries of their own.
pub fn providers() -> PathBuf {
    env::var_os("EDGE_PROVIDERS_DIR").map_or_else(|| repository().join(".fetch/providers"), PathBuf::from)
}

/// The four bundles of real models: `EDGE_MODELS_DIR`, or what `make fetch` brought.
pub fn demo_bundles() -> Result<PathBuf> {
    let dir = env::var_os("EDGE_MODELS_DIR").map_or_else(|| repository().join(".fetch/bundles"), PathBuf::from);
    ensure!(dir.is_dir(), "no bundles under {}: run `make fetch`, or set EDGE_MODELS_DIR", dir.display());
    Ok(dir)
}

/// Tiny models that are committed.
pub fn test_bundles() -> PathBuf {
    repository().join("onnx-models/test")
}

/// The directory of one bundle, real or tiny, by its logical name.
pub fn bundle(name: &str) -> Result<PathBuf> {
    // A tiny model needs no demo bundles to be there.
    for dir in [Ok(test_bundles()), demo_bundles()] {
        let dir = dir?;
        for entry in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?.flatten() {
            if entry.file_name() == name && entry.path().join("model.toml").is_file() {
                return Ok(entry.path());
            }
        }
    }
    bail!("no bundle {name} among the demo bundles and onnx-models/test")
}

/// Where a socket called `name` may be: in `dir`, or in the system's temporary directory if the path were too long for a
/// socket, under a name that no other directory has.
pub fn socket(dir: &Path, name: &str) -> PathBuf {
    /// `sun_path` has 108 bytes, its end included.
    const LONGEST: usize = 100;
    let path = dir.join(name);
    if path.as_os_str().len() <= LONGEST {
        return path;
    }
    let mark = crc32fast::hash(path.as_os_str().as_encoded_bytes());
    env::temp_dir().join(format!("edged-{mark:08x}-{name}"))
}
