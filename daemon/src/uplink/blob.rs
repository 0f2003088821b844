//! The bytes of a payload, wherever they are, as pieces that can be sent.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use edge_engine::memfile::{self, COPIED, Mapping};

use crate::request::Blob;

/// The bytes: of a large sealed file mapped, and sent from there; of a small one copied, which costs less. A file that is not
/// sealed is read beside the thread, as its disk may be slow.
pub(crate) async fn bytes(blob: Blob) -> Result<Bytes, String> {
    match blob {
        Blob::Inline(bytes) => Ok(bytes),
        Blob::Sealed { fd, offset, len } => sealed(&fd, offset, len),
        Blob::Unsealed { fd, max_len } => match tokio::task::spawn_blocking(move || unsealed(&fd, max_len)).await {
            Ok(read) => read,
            Err(error) => Err(format!("read the descriptor: {error}")),
        },
    }
}

fn sealed(fd: &Arc<OwnedFd>, offset: u64, len: u64) -> Result<Bytes, String> {
    let size = memfile::check(fd).map_err(|error| error.to_string())?;
    if offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(format!("offset {offset} and length {len} reach beyond the {size} bytes of the memfd"));
    }
    match usize::try_from(len) {
        Ok(small) if small <= COPIED => {
            let mut bytes = vec![0; small];
            memfile::read_at(fd, offset, &mut bytes).map_err(|error| format!("read the memfd: {error}"))?;
            Ok(bytes.into())
        }
        _ => {
            let mapped = Mapping::new(fd, offset, len).map_err(|error| format!("map the memfd: {error}"))?;
            Ok(Bytes::from_owner(mapped))
        }
    }
}

fn unsealed(fd: &Arc<OwnedFd>, most: u64) -> Result<Bytes, String> {
    let failed = |error: rustix::io::Errno| format!("read the descriptor: {error}");
    let found = rustix::fs::fstat(fd.as_fd()).map_err(failed)?;
    if !rustix::fs::FileType::from_raw_mode(found.st_mode).is_file() {
        return Err("the descriptor is no file: pipes and sockets are read before".into());
    }
    let size = u64::try_from(found.st_size).unwrap_or_default();
    if size > most {
        return Err(format!("{size} bytes, at most {most} are accepted"));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|error| error.to_string())?];
    memfile::read_at(fd, 0, &mut bytes).map_err(|error| format!("read the descriptor: {error}"))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn all(blob: Blob) -> Result<Bytes, String> {
        bytes(blob).await
    }

    #[tokio::test]
    async fn bytes_come_from_memory_from_sealed_files_of_any_size_and_from_files() {
        let content: Vec<u8> = (0..u32::try_from(COPIED).unwrap() * 2).map(|at| (at % 253) as u8).collect();
        let fd = Arc::new(memfile::sealed(&content).unwrap());
        for (offset, len) in [(0, content.len()), (5, COPIED + 7), (3, 100), (9, 0)] {
            let blob = Blob::Sealed { fd: Arc::clone(&fd), offset: offset as u64, len: len as u64 };
            assert_eq!(all(blob).await.unwrap(), content[offset..offset + len]);
        }
        let beyond = Blob::Sealed { fd, offset: 10, len: content.len() as u64 };
        assert!(all(beyond).await.unwrap_err().contains("reach beyond"));

        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let fd: Arc<OwnedFd> = Arc::new(file.into());
        assert_eq!(all(Blob::Unsealed { fd: Arc::clone(&fd), max_len: 3 }).await.unwrap(), "abc");
        assert!(all(Blob::Unsealed { fd, max_len: 2 }).await.unwrap_err().contains("at most 2"));
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        let pipe = Blob::Unsealed { fd: Arc::new(pipe), max_len: 9 };
        assert!(all(pipe).await.unwrap_err().contains("no file"));
    }
}
