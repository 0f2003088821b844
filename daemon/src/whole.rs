//! Small files that are replaced: whole, or not at all, also over a loss of power. Must not know what is in them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts `bytes` in the place of what `path`, a file in `dir`, held before.
///
/// # Errors
/// What the disk says; the file is as it was then.
pub fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let written = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    };
    written().inspect_err(|_| {
        // What is left of it would only take room.
        drop(fs::remove_file(&new));
    })
}
