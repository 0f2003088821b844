//! The bytes of a payload, wherever they are, as pieces that can be sent.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use edge_engine::memfile::{self, COPIED, Mapping};

use crate::request::Blob;

/// The bytes: of a large sealed file mapped, and sent from there; of a small one copied, which costs less. What is not sealed does not
/// leave: it may differ by now from what was looked into.
pub(crate) fn bytes(blob: Blob) -> Result<Bytes, String> {
    match blob {
        Blob::Inline(bytes) => Ok(bytes),
        Blob::Sealed { fd, offset, len } => sealed(&fd, offset, len),
        Blob::Unsealed { .. } => {
            Err("its descriptor is no file, pipe, socket or memfd, so that nobody has looked into it".into())
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_from_memory_and_from_sealed_files_of_any_size_and_from_nothing_that_may_change() {
        let content: Vec<u8> = (0..u32::try_from(COPIED).unwrap() * 2).map(|at| (at % 253) as u8).collect();
        assert_eq!(bytes(Blob::Inline(content.clone().into())).unwrap(), content);
        let fd = Arc::new(memfile::sealed(&content).unwrap());
        for (offset, len) in [(0, content.len()), (5, COPIED + 7), (3, 100), (9, 0)] {
            let blob = Blob::Sealed { fd: Arc::clone(&fd), offset: offset as u64, len: len as u64 };
            assert_eq!(bytes(blob).unwrap(), content[offset..offset + len]);
        }
        let beyond = Blob::Sealed { fd, offset: 10, len: content.len() as u64 };
        assert!(bytes(beyond).unwrap_err().contains("reach beyond"));
        let file = Arc::new(tempfile::tempfile().unwrap().into());
        assert!(bytes(Blob::Unsealed { fd: file, max_len: 3 }).unwrap_err().contains("nobody has looked into it"));
    }
}
