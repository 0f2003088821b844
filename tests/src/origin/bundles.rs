//! Bundles to pull: a tiny model with as many bytes beside it as one likes, which cannot be made smaller.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{bundle, places};

/// The model.
pub const MODEL: &str = "add";
/// The version that is pulled.
pub const VERSION: &str = "2.0.0";

/// A directory of the bundle with so many bytes of noise, below `parent`.
pub fn directory(parent: &Path, bytes: u64) -> Result<PathBuf> {
    let dir = bundle::copy_as(MODEL, parent, MODEL, &[("version = \"1.0.0\"", "version = \"2.0.0\"")])?;
    noise(&dir.join("noise.bin"), bytes)?;
    let manifest = dir.join("model.toml");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, format!("{text}\n[[file]]\npath = \"noise.bin\"\nbytes = 1\nsha256 = \"\"\n"))?;
    bundle::seal(&dir)?;
    Ok(dir)
}

/// The same as one file, with its size.
pub fn archive(parent: &Path, bytes: u64) -> Result<(PathBuf, u64)> {
    let dir = directory(parent, bytes)?;
    let packed = pack(&dir, &parent.join(format!("{MODEL}-{VERSION}.edgemodel")))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(packed)
}

/// Packs a bundle by the real command.
pub fn pack(dir: &Path, out: &Path) -> Result<(PathBuf, u64)> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(["models", "pack"]).arg(dir).arg("--out").arg(out);
    command.env("ORT_DYLIB_PATH", places::runtime_library()?);
    let done = command.output().context("run edgectl")?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok((out.to_owned(), std::fs::metadata(out)?.len()))
}

/// Noise that is the same each time.
pub fn noise(path: &Path, bytes: u64) -> Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        let take = usize::try_from(left.min(8))?;
        out.write_all(&word[..take])?;
        left -= take as u64;
    }
    Ok(out.flush()?)
}
