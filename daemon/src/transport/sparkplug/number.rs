//! The number of the last connection, in a file of the state directory, so that the next daemon goes on counting. A host that
//! sees the same number twice could take the death of the connection before for that of this one.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the disk may take; a connection is made all the same.
const DISK_LIMIT: Duration = Duration::from_secs(1);

fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("sparkplug-bdseq")
}

/// The number, if one was remembered.
pub async fn read(state_dir: &Path) -> Option<u8> {
    let path = place(state_dir);
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(&path).map_err(|error| (path, error)));
    match tokio::time::timeout(DISK_LIMIT, read).await {
        Ok(Ok(Ok(text))) => parse(&text),
        Ok(Ok(Err((_, error)))) if error.kind() == std::io::ErrorKind::NotFound => None,
        Ok(Ok(Err((path, error)))) => {
            tracing::warn!(path = %path.display(), %error, "read the number of the last Sparkplug connection; it begins at 0");
            None
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!("the disk did not give the number of the last Sparkplug connection in time; it begins at 0");
            None
        }
    }
}

fn parse(text: &str) -> Option<u8> {
    text.trim().parse().ok()
}

/// Remembers the number.
pub async fn write(state_dir: &Path, number: u8) {
    let path = place(state_dir);
    let written = tokio::task::spawn_blocking(move || {
        // A reader finds either number whole.
        let new = path.with_extension("new");
        std::fs::write(&new, number.to_string())?;
        std::fs::rename(&new, &path)
    });
    match tokio::time::timeout(DISK_LIMIT, written).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "remember the number of the Sparkplug connection"),
        Ok(Err(_)) | Err(_) => tracing::warn!("the disk did not take the number of the Sparkplug connection in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_is_remembered_and_a_spoiled_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).await, None);
        write(dir.path(), 255).await;
        assert_eq!(read(dir.path()).await, Some(255));
        write(dir.path(), 0).await;
        assert_eq!(read(dir.path()).await, Some(0));
        for spoiled in ["256", "-1", "", "seven"] {
            std::fs::write(place(dir.path()), spoiled).unwrap();
            assert_eq!(read(dir.path()).await, None, "{spoiled}");
        }
        write(&dir.path().join("missing"), 1).await;
    }
}
