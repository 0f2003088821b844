//! Room for the daemon's state.

use std::path::Path;

use super::reading::{Absence, to_float};

/// Bytes that an unprivileged process may still fill on the file system of `dir`, or where it is going to be made.
pub fn free_bytes(dir: &Path) -> Result<f64, Absence> {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let stat = rustix::fs::statvfs(there).map_err(|errno| Absence::Failed(format!("{}: {errno}", dir.display())))?;
    Ok(to_float(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_known_also_before_the_directory_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0.0);
        assert!(free_bytes(&dir.path().join("not/yet")).unwrap() > 0.0);
    }
}
