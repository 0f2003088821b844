//! Copies of bundles, changed for a test, with the digests put right again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::places;

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy_dir(&path, &target)?;
        } else {
            fs::copy(&path, &target).map(drop)?;
        }
    }
    Ok(())
}

/// The bundle `name` as `new_name` in a directory of that name below `parent`, with these texts of its manifest replaced.
pub fn copy_as(name: &str, parent: &Path, new_name: &str, replace: &[(&str, &str)]) -> Result<PathBuf> {
    let dir = parent.join(new_name);
    copy_dir(&places::bundle(name)?, &dir)?;
    let manifest = dir.join("model.toml");
    let mut text = fs::read_to_string(&manifest)?;
    let (was, is) = (format!("name = \"{name}\""), format!("name = \"{new_name}\""));
    for (was, is) in [(was.as_str(), is.as_str())].iter().chain(replace) {
        ensure!(text.contains(was), "the manifest of {name} has no {was:?}");
        text = text.replacen(was, is, 1);
    }
    fs::write(manifest, text)?;
    Ok(dir)
}

/// Writes sizes and digests of the files as they are now into the manifest.
pub fn seal(dir: &Path) -> Result<()> {
    let manifest = dir.join("model.toml");
    let (mut lines, mut path) = (Vec::new(), None);
    for line in fs::read_to_string(&manifest)?.lines() {
        if let Some(name) = line.strip_prefix("path = ") {
            path = Some(dir.join(name.trim_matches('"')));
        }
        lines.push(match &path {
            Some(path) if line.starts_with("bytes = ") => format!("bytes = {}", fs::metadata(path)?.len()),
            Some(path) if line.starts_with("sha256 = ") => format!("sha256 = \"{}\"", sha256(path)?),
            Some(_) | None => line.to_owned(),
        });
    }
    Ok(fs::write(manifest, lines.join("\n") + "\n")?)
}

fn sha256(path: &Path) -> Result<String> {
    let said = Command::new("sha256sum").arg(path).output().context("run sha256sum")?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout)?;
    Ok(said.split_whitespace().next().context("a digest")?.to_owned())
}
